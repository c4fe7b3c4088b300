/* Takes memory until there is none: exits with 0 when it is told so, and is killed when it is not. */
#include <string.h>
#include <sys/mman.h>

int main(void)
{
    for (;;) {
        char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return 0;
        memset(memory, 1, 1 << 20);
    }
}
