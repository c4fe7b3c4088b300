/* Files and directories: opening, reading, writing, names, and the errors of each. */
#include "check.h"
#include <dirent.h>
#include <sys/uio.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void show_directory(const char *what)
{
    DIR *directory = opendir(what);
    char *names[100];
    int count = 0;
    struct dirent *entry;
    while (directory && (entry = readdir(directory)) && count < 100) {
        char name[300];
        snprintf(name, sizeof name, "%s%s", entry->d_name,
                 entry->d_type == DT_DIR ? "/" : entry->d_type == DT_LNK ? "@" : entry->d_type == DT_REG ? "" : "?");
        names[count++] = strdup(name);
    }
    qsort(names, count, sizeof *names, by_name);
    printf("%s:", what);
    for (int i = 0; i < count; i++)
        printf(" %s", names[i]);
    printf("\n");
    if (directory)
        closedir(directory);
}

int main(void)
{
    char text[4096];
    struct stat status;
    umask(022);
    enter_scratch();
    show("open of nothing", open("none", O_RDONLY));
    show("open of an empty name", open("", O_RDONLY));
    show("open below nothing", open("none/file", O_RDWR | O_CREAT, 0644));
    char long_name[300];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    show("open of a long name", open(long_name, O_RDONLY));
    int fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0666);
    show_ok("create", fd);
    show("create again", open("file", O_RDWR | O_CREAT | O_EXCL, 0666));
    show("write", write(fd, "hello, world", 12));
    show("pread", pread(fd, text, 5, 7));
    show_bytes("it is", text, 5);
    show("pwrite", pwrite(fd, "W", 1, 7));
    show("position", lseek(fd, 0, SEEK_CUR));
    show("seek before the start", lseek(fd, -1, SEEK_SET));
    show("seek far", lseek(fd, 100, SEEK_SET));
    show("read there", read(fd, text, 10));
    show("write there", write(fd, "end", 3));
    show("seek to the end", lseek(fd, 0, SEEK_END));
    show("pread of the hole", pread(fd, text, 8, 50));
    show_bytes("it is", text, 8);
    show("seek with nonsense", lseek(fd, 0, 99));
    show_ok("ftruncate", ftruncate(fd, 5));
    show_bytes("left", text, pread(fd, text, 100, 0));
    show_ok("ftruncate to more", ftruncate(fd, 8));
    show_bytes("then", text, pread(fd, text, 100, 0));
    struct iovec parts[3] = { { "one", 3 }, { "", 0 }, { "two", 3 } };
    lseek(fd, 0, SEEK_SET);
    show("writev", writev(fd, parts, 3));
    show_bytes("then", text, pread(fd, text, 100, 0));
    show_ok("fstat", fstat(fd, &status));
    printf("mode %o, size %ld, links %lu\n", status.st_mode, (long)status.st_size, (unsigned long)status.st_nlink);
    close(fd);
    show("open to truncate", fd = open("file", O_WRONLY | O_TRUNC));
    show("read from write-only", read(fd, text, 1));
    fstat(fd, &status);
    show("size", status.st_size);
    close(fd);

    show("mkdir", mkdir("directory", 0777));
    show("mkdir again", mkdir("directory", 0777));
    show("mkdir below a file", mkdir("file/x", 0777));
    show("open a directory for writing", open("directory", O_WRONLY));
    show("O_DIRECTORY on a file", open("file", O_RDONLY | O_DIRECTORY));
    show("read of a directory", (fd = open("directory", O_RDONLY), read(fd, text, 10)));
    close(fd);
    show("open below a file", open("file/x", O_RDONLY));
    show("a file with a slash", open("file/", O_RDONLY));
    show_ok("create in it", close(open("directory/inner", O_WRONLY | O_CREAT, 0600)));
    show("rmdir of a full one", rmdir("directory"));
    show("rmdir of a file", rmdir("file"));
    show("unlink of a directory", unlink("directory"));
    show("unlink of nothing", unlink("none"));
    show_ok("symlink", symlink("directory/inner", "link"));
    show("symlink again", symlink("x", "link"));
    show_bytes("readlink", text, readlink("link", text, sizeof text));
    show_bytes("readlink cut", text, readlink("link", text, 4));
    show("readlink of a file", readlink("file", text, 10));
    show("O_NOFOLLOW", open("link", O_RDONLY | O_NOFOLLOW));
    show_ok("symlink to itself", symlink("loop", "loop"));
    show("open of a loop", open("loop", O_RDONLY));
    show_ok("symlink to nothing", symlink("nowhere", "dangling"));
    show("open of it", open("dangling", O_RDONLY));
    show_ok("lstat of it", lstat("dangling", &status));
    printf("mode %o, size %ld\n", status.st_mode, (long)status.st_size);
    show_directory(".");
    show_directory("directory");

    show_ok("rename", rename("file", "renamed"));
    show("rename of nothing", rename("file", "other"));
    show("rename of a file over a directory", rename("renamed", "directory"));
    show("rename of a directory into itself", rename("directory", "directory/below"));
    show_ok("link", link("renamed", "second name"));
    stat("renamed", &status);
    show("links", status.st_nlink);
    show_ok("unlink", unlink("second name"));
    show("access for reading", access("renamed", R_OK));
    show("access of nothing", access("none", F_OK));
    show_ok("chmod", chmod("renamed", 0640));
    stat("renamed", &status);
    printf("mode %o\n", status.st_mode);

    show("chdir to a file", chdir("renamed"));
    show_ok("chdir", chdir("directory"));
    char *here = getcwd(text, sizeof text);
    show_fact("getcwd ends in it", here && strcmp(strrchr(here, '/'), "/directory") == 0);
    show("getcwd with little room", syscall(SYS_getcwd, text, 3));
    show_ok("a file from there", access("inner", F_OK));
    show_ok("the parent's file", access("../renamed", F_OK));
    int base = open("..", O_RDONLY | O_DIRECTORY);
    show_ok("openat", fd = openat(base, "renamed", O_RDONLY));
    close(fd);
    show("openat from a file", (fd = open("inner", O_RDONLY), openat(fd, "x", O_RDONLY)));
    show("openat from nothing", openat(99, "x", O_RDONLY));
    show_ok("fchdir", fchdir(base));
    show_ok("newfstatat of a link", fstatat(base, "link", &status, AT_SYMLINK_NOFOLLOW));
    show_fact("it is a link", S_ISLNK(status.st_mode));
    show_ok("unlinkat of a directory's file", unlinkat(base, "directory/inner", 0));
    show_ok("and of the directory", unlinkat(base, "directory", AT_REMOVEDIR));

    /* A directory that is gone while it is somebody's. */
    mkdir("doomed", 0755);
    show_ok("chdir", chdir("doomed"));
    show_ok("rmdir", rmdir("../doomed"));
    show_fact("getcwd finds nothing", getcwd(text, sizeof text) == NULL && errno == ENOENT);
    ssize_t length = readlink("/proc/self/cwd", text, sizeof text - 1);
    text[length < 0 ? 0 : length] = 0;
    show_fact("/proc says deleted", length > 17 && strcmp(text + length - 17, "/doomed (deleted)") == 0);
    show("create in it", open("x", O_CREAT | O_WRONLY, 0644));
    show("open of /", open("/", O_WRONLY));
    show("a root that is its own parent", (stat("/..", &status), status.st_ino) == (stat("/", &status), status.st_ino));
    return 0;
}
