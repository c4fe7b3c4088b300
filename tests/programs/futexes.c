/* Futexes in memory that processes share, and locks whose holder ends. */
#include "check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

static long futex(volatile unsigned *word, int operation, unsigned value, const struct timespec *timeout, volatile unsigned *other, unsigned last)
{
    return syscall(SYS_futex, word, operation, value, timeout, other, last);
}

/* Waits until the process sleeps in a call, as far as its state tells. */
static void wait_for_sleep(pid_t pid)
{
    wait_for_state(pid, "S");
}

static volatile unsigned *shared_page(int fd)
{
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        printf("mmap: %s\n", error_name());
    return at;
}

/* A child sleeps on `word` with `operation`; whether a wake of `other` with `wake` reaches it. */
static void meet(const char *what, volatile unsigned *word, int operation, volatile unsigned *other, int wake)
{
    const struct timespec ten = { .tv_sec = 10 };
    pid_t child = split();
    if (child == 0) {
        _exit(futex(word, operation, 0, &ten, NULL, 0) == 0 ? 0 : errno);
    }
    wait_for_sleep(child);
    usleep(20000);
    long woken = futex(other, wake, 7, NULL, NULL, 0);
    show(what, woken);
    if (woken < 1)
        kill(child, SIGKILL);
    reap("  its end", child);
}

static void meetings(void)
{
    volatile unsigned *anonymous = shared_page(-1);
    meet("shared anonymous memory", anonymous, FUTEX_WAIT, anonymous, FUTEX_WAKE);
    meet("another word of it", anonymous, FUTEX_WAIT, anonymous + 1, FUTEX_WAKE);
    meet("private flag on the sleeper", anonymous, FUTEX_WAIT_PRIVATE, anonymous, FUTEX_WAKE);
    meet("private flag on both", anonymous, FUTEX_WAIT_PRIVATE, anonymous, FUTEX_WAKE_PRIVATE);
    int fd = open("word", O_CREAT | O_RDWR, 0600);
    if (ftruncate(fd, 4096) < 0)
        printf("ftruncate: %s\n", error_name());
    volatile unsigned *one = shared_page(fd), *two = shared_page(fd);
    show_fact("two places for one page", one != two);
    meet("a file mapped twice", one, FUTEX_WAIT, two, FUTEX_WAKE);
    volatile unsigned *read_only = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    meet("one of them only read", read_only, FUTEX_WAIT, one, FUTEX_WAKE);
    volatile unsigned *copy = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    copy[0] = 0;
    meet("a private copy of the file", copy, FUTEX_WAIT, one, FUTEX_WAKE);
    volatile unsigned *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    own[0] = 0;
    meet("memory of one's own", own, FUTEX_WAIT, own, FUTEX_WAKE);
}

static void moving(void)
{
    volatile unsigned *words = shared_page(-1);
    const struct timespec ten = { .tv_sec = 10 };
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = split();
        if (children[i] == 0)
            _exit(futex(words, FUTEX_WAIT, 0, &ten, NULL, 0) == 0 ? 0 : 1);
        wait_for_sleep(children[i]);
    }
    usleep(20000);
    show("requeue where the word differs", futex(words, FUTEX_CMP_REQUEUE, 1, (void *)5, words + 8, 1));
    show("one woken, two moved", futex(words, FUTEX_CMP_REQUEUE, 1, (void *)5, words + 8, 0));
    show("nobody at the first", futex(words, FUTEX_WAKE, 7, NULL, NULL, 0));
    show("the moved ones", futex(words + 8, FUTEX_WAKE, 7, NULL, NULL, 0));
    for (int i = 0; i < 3; i++)
        reap("a child", children[i]);
}

static void refusals(void)
{
    volatile unsigned *page = shared_page(-1);
    const struct timespec soon = { .tv_nsec = 1000000 };
    show("odd address", futex((void *)((char *)page + 2), FUTEX_WAKE, 1, NULL, NULL, 0));
    show("nothing there", futex((void *)4096, FUTEX_WAKE, 1, NULL, NULL, 0));
    show("nothing there, private", futex((void *)4096, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    show("wait where nothing is", futex((void *)4096, FUTEX_WAIT, 1, NULL, NULL, 0));
    show("the kernel's half", futex((void *)0xffff800000000000, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    show("another value", futex(page, FUTEX_WAIT, 1, NULL, NULL, 0));
    show("time is up", futex(page, FUTEX_WAIT, 0, &soon, NULL, 0));
    show("an empty mask", futex(page, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
    show("an empty mask to wake", futex(page, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
    show("a negative number to move", futex(page, FUTEX_REQUEUE, 1, (void *)-1, page + 1, 0));
    show("a negative number to wake", futex(page, FUTEX_REQUEUE, -1, (void *)1, page + 1, 0));
}

static void *lock_and_leave(void *mutex)
{
    pthread_mutex_lock(mutex);
    return NULL;
}

static pthread_mutex_t *robust(pthread_mutex_t *mutex, int sharing)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, sharing);
    pthread_mutex_init(mutex, &attributes);
    return mutex;
}

static void take_over(const char *what, pthread_mutex_t *mutex)
{
    errno = pthread_mutex_lock(mutex);
    printf("%s: %s\n", what, errno ? error_name() : "0");
    if (errno == EOWNERDEAD) {
        errno = pthread_mutex_consistent(mutex);
        errno = pthread_mutex_unlock(mutex);
        printf("  given back: %s\n", errno ? error_name() : "0");
    } else if (errno == 0)
        pthread_mutex_unlock(mutex);
}

enum ending { EXITS, KILLED, EXECUTES };

static void process_ends(const char *what, pthread_mutex_t *mutex, enum ending ending)
{
    int pipes[2];
    if (pipe(pipes) < 0)
        return;
    pid_t child = split();
    if (child == 0) {
        pthread_mutex_lock(mutex);
        if (write(pipes[1], "x", 1) != 1)
            _exit(1);
        usleep(100000);
        if (ending == EXECUTES)
            execl("/proc/self/exe", "futexes", "after", NULL);
        if (ending == KILLED)
            kill(getpid(), SIGKILL);
        _exit(0);
    }
    char byte;
    if (read(pipes[0], &byte, 1) != 1)
        puts("the child said nothing");
    /* It sleeps here until the holder ends, or comes just after. */
    take_over(what, mutex);
    reap("  the child", child);
    close(pipes[0]);
    close(pipes[1]);
}

static void owners(void)
{
    pthread_mutex_t *mutex = robust((pthread_mutex_t *)shared_page(-1), PTHREAD_PROCESS_SHARED);
    process_ends("its holder has exited", mutex, EXITS);
    process_ends("its holder was killed", mutex, KILLED);
    process_ends("its holder has become another program", mutex, EXECUTES);
    static pthread_mutex_t own;
    pthread_t thread;
    robust(&own, PTHREAD_PROCESS_PRIVATE);
    pthread_create(&thread, NULL, lock_and_leave, &own);
    pthread_join(thread, NULL);
    take_over("a thread has ended", &own);
    take_over("once more", &own);
}

/* A list of one's own: what the kernel makes of words that are wrong. */
static void odd_lists(void)
{
    struct list {
        struct robust_list_head head;
        struct { struct robust_list list; volatile unsigned word; } locks[3];
    } *list = (void *)shared_page(-1);
    show("a head of a wrong size", syscall(SYS_set_robust_list, &list->head, 23));
    pid_t child = split();
    if (child == 0) {
        unsigned me = getpid();
        list->head.futex_offset = (char *)&list->locks[0].word - (char *)&list->locks[0].list;
        list->head.list.next = &list->locks[0].list;
        for (int i = 0; i < 3; i++)
            list->locks[i].list.next = i < 2 ? &list->locks[i + 1].list : &list->locks[0].list; /* a circle */
        list->locks[0].word = me | FUTEX_WAITERS;
        list->locks[1].word = me + 1;
        list->locks[2].word = me;
        show("a circle", syscall(SYS_set_robust_list, &list->head, sizeof list->head));
        _exit(0);
    }
    reap("its maker", child);
    printf("words: %#x %s %#x\n", list->locks[0].word, list->locks[1].word == (unsigned)child + 1 ? "untouched" : "changed", list->locks[2].word);
    child = split();
    if (child == 0) {
        list->locks[0].word = list->locks[1].word = getpid();
        list->head.list.next = &list->head.list;
        list->head.list_op_pending = &list->locks[1].list;
        show("one that is being taken", syscall(SYS_set_robust_list, &list->head, sizeof list->head));
        _exit(0);
    }
    reap("its maker", child);
    printf("words: %s %#x\n", list->locks[0].word == (unsigned)child ? "untouched" : "changed", list->locks[1].word);
    child = split();
    if (child == 0) {
        show("no head at all", syscall(SYS_set_robust_list, (void *)8, sizeof list->head));
        _exit(0);
    }
    reap("its maker", child);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return 0;
    enter_scratch();
    meetings();
    moving();
    refusals();
    owners();
    odd_lists();
    return 0;
}
