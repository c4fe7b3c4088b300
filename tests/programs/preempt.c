/* Processes that never give up the processor all get on, and each keeps its own registers: general, x87, SSE, AVX, and the FS base. */
#include "check.h"
#include <immintrin.h>

/* Spins for a while with a pattern in every kind of register and tells whether one was lost. */
__attribute__((target("avx"))) static int keeps_wide(unsigned long pattern, double seconds)
{
    __m256i value = _mm256_set1_epi64x(pattern);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        unsigned long lanes[4];
        for (int i = 0; i < 10000; i++)
            __asm__ volatile("vaddpd %%ymm15, %%ymm15, %%ymm14" : "+x"(value) : : "xmm14");
        _mm256_storeu_si256((__m256i *)lanes, value);
        for (int lane = 0; lane < 4; lane++)
            if (lanes[lane] != pattern)
                return 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) + (now.tv_nsec - start.tv_nsec) / 1e9 < seconds);
    return 1;
}

static int keeps(unsigned long pattern, double seconds)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    long double slow = pattern;
    do {
        unsigned long out[6];
        __asm__ volatile("mov %1, %%rbx; mov %1, %%r12; mov %1, %%r15; movq %1, %%xmm6; movq %1, %%xmm15; mov $300000, %%ecx;"
                         "1: dec %%ecx; jnz 1b;"
                         "mov %%rbx, 0(%0); mov %%r12, 8(%0); mov %%r15, 16(%0); movq %%xmm6, 24(%0); movq %%xmm15, 32(%0); mov %%rcx, 40(%0)"
                         :
                         : "r"(out), "r"(pattern)
                         : "rbx", "rcx", "r12", "r15", "xmm6", "xmm15", "memory");
        for (int i = 0; i < 5; i++)
            if (out[i] != pattern)
                return 0;
        slow = slow * 3 / 3;
        if (slow != (long double)pattern)
            return 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) + (now.tv_nsec - start.tv_nsec) / 1e9 < seconds);
    return 1;
}

static __thread unsigned long own;

int main(void)
{
    pid_t children[4];
    int has_avx = __builtin_cpu_supports("avx");
    for (int i = 0; i < 4; i++) {
        children[i] = split();
        if (children[i] == 0) {
            unsigned long pattern = 0x0123456789abcdeful * (2 * i + 1);
            own = pattern;
            int good = keeps(pattern, 0.2);
            if (has_avx)
                good &= keeps_wide(pattern, 0.1);
            _exit(good && own == pattern ? 40 + i : 1);
        }
    }
    /* A sleeper must be woken while they spin. */
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    usleep(20000);
    clock_gettime(CLOCK_MONOTONIC, &now);
    show_fact("a sleeper wakes while others spin", now.tv_sec - start.tv_sec < 5);
    for (int i = 0; i < 4; i++)
        reap("spinner", children[i]);
    unsigned rounding = _mm_getcsr();
    _mm_setcsr(rounding | 0x6000);
    pid_t child = split();
    if (child == 0)
        _exit((_mm_getcsr() & 0x6000) == 0x6000 ? 5 : 1);
    reap("a child has its parent's rounding mode", child);
    return 0;
}
