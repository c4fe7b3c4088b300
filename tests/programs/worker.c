/* A daemon that names itself and its child as servers do: the title over argv, the name by prctl(2). */
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
    int is_child = fork() == 0;
    memset(argv[0], 0, end - argv[0]);
    strcpy(argv[0], is_child ? "worker: child at work" : "worker: ready");
    if (!is_child)
        prctl(PR_SET_NAME, "master");
    for (;;)
        pause();
}
