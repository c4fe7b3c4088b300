/* Breeders: processes that make others, which end, execute, make threads, map, and change who and where they are. */

static void *nap(void *argument)
{
    usleep((long)argument);
    return NULL;
}

static void *execute(void *argument)
{
    usleep((long)argument);
    char *arguments[] = {"stress", "end", NULL};
    execv(self, arguments);
    return NULL;
}

static void thread(void *(*run)(void *), long argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, (void *)argument) == 0)
        pthread_detach(thread);
}

/* Becomes `stress victim N`, with N its own number. */
static void become_marked(void)
{
    char number[16], variable[32];
    snprintf(number, sizeof number, "%d", getpid());
    snprintf(variable, sizeof variable, "VICTIM=%d", getpid());
    char *arguments[] = {"stress", "victim", number, NULL}, *environment[] = {variable, "PAD=x", NULL};
    execve(self, arguments, environment);
}

static void map_about(void)
{
    for (int i = 0; i < 20; i++) {
        size_t size = 4096 * (1 + draw(100));
        char *block = mmap(NULL, size, PROT_READ | PROT_WRITE, (draw(2) ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            continue;
        for (size_t at = 0; at < size; at += 4096 * (1 + draw(3)))
            block[at] = 1;
        if (draw(3) == 0)
            mprotect(block, 4096, PROT_NONE);
        if (draw(3) == 0)
            block = mremap(block, size, size * 2, MREMAP_MAYMOVE);
        if (draw(2) && block != MAP_FAILED)
            munmap(block, size);
    }
}

static void change_identity(void)
{
    gid_t groups[20];
    for (int i = 0; i < 20; i++)
        groups[i] = draw(100000);
    setgroups(draw(21), groups);
    setresgid(draw(1000), draw(1000), draw(1000));
    prctl(PR_SET_NAME, "id");
    usleep(draw(2000));
    setresuid(draw(2) ? 0 : draw(1000), draw(1000), draw(2) ? 0 : draw(1000));
    prctl(PR_SET_DUMPABLE, draw(2));
    usleep(draw(5000));
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd >= 0 && write(fd, text, strlen(text)) < 0)
        errno = 0;
    close(fd);
}

static void change_namespaces(void)
{
    static const int kinds[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWPID};
    static const char *const names[] = {"user", "mnt", "uts", "ipc", "net", "cgroup", "pid", "time"};
    for (int i = 0; i < 3; i++) {
        int kind = kinds[draw(7)];
        if (unshare(kind) == 0 && kind == CLONE_NEWUSER) {
            write_text("/proc/self/setgroups", "deny");
            write_text("/proc/self/uid_map", "0 0 1");
            write_text("/proc/self/gid_map", "0 0 1");
        }
        if (kind == CLONE_NEWNS && mount("none", "/tmp", "tmpfs", 0, NULL) == 0) {
            close(open("/tmp/file", O_CREAT | O_WRONLY, 0600));
            usleep(draw(2000));
            if (draw(2))
                umount("/tmp");
        }
        if (fork() == 0) {
            usleep(draw(4000));
            _exit(0);
        }
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", 1 + (int)draw(getpid()), names[draw(8)]);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        setns(fd, 0);
    close(fd);
    usleep(draw(5000));
}

static void change_files(void)
{
    for (int i = 0; i < 30; i++) {
        int ends[2];
        if (pipe(ends) == 0 && draw(2)) {
            dup2(ends[0], 20 + draw(200));
            close(ends[1]);
        }
    }
    if (chdir("/proc/self/fd") == 0)
        usleep(draw(3000));
    close_range(3, ~0u, 0);
}

/* What one child does before it ends; it returns in the child alone. */
static void be_child(void)
{
    switch (draw(11)) {
    case 0:
    case 1:
    case 2:
        become_marked();
        break;
    case 3:
        for (int i = draw(4); i >= 0; i--)
            thread(nap, draw(8000));
        usleep(draw(4000));
        if (draw(2))
            syscall(SYS_exit, 0);
        break;
    case 4:
        thread(execute, draw(3000));
        thread(nap, 100000);
        usleep(20000);
        break;
    case 5:
        map_about();
        break;
    case 6:
        change_identity();
        break;
    case 7:
        change_namespaces();
        break;
    case 8:
        change_files();
        break;
    case 9:
        /* An orphan, and a group of its own. */
        if (fork() == 0) {
            setsid();
            usleep(draw(10000));
        }
        break;
    default:
        usleep(draw(2000));
    }
}

static void breed(int number)
{
    char name[16];
    snprintf(name, sizeof name, "breeder%d", number);
    prctl(PR_SET_NAME, name);
    int living = 0;
    while (!table->is_over) {
        int shares_memory = draw(8) == 0;
        pid_t child = shares_memory ? vfork() : fork();
        if (child == 0) {
            if (shares_memory) {
                become_marked();
                _exit(1);
            }
            random_state += getpid() * 2654435761ul;
            be_child();
            _exit(draw(200));
        }
        living += child > 0;
        atomic_fetch_add(&table->born, child > 0);
        /* Zombies stay for a while, and sometimes many. */
        for (int most = draw(12); living > most && waitpid(-1, NULL, draw(4) ? __WALL : WNOHANG | __WALL) > 0;)
            living--;
        if (draw(4) == 0)
            usleep(draw(3000));
    }
}
