/* epoll and eventfd: what is reported when, and the errors. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static struct epoll_event found[8];

static int change(int epoll, int what, int fd, unsigned events)
{
    return epoll_ctl(epoll, what, fd, &(struct epoll_event){ .events = events, .data.u64 = 0x100000000 + fd });
}

static void report(const char *what, int epoll, int timeout)
{
    int count = epoll_wait(epoll, found, 8, timeout);
    if (count < 0) {
        printf("%s: %s\n", what, error_name());
        return;
    }
    printf("%s: %d", what, count);
    for (int i = 0; i < count; i++)
        printf(" %#x of %llx", found[i].events, (unsigned long long)found[i].data.u64);
    printf("\n");
}

int main(void)
{
    int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    show_fact("a pipe", pipe(ends) == 0);
    show("no size", epoll_create(0));
    show("unknown flags", epoll_create1(1));
    show_ok("add", change(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    show("add again", change(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    show("change what is not there", change(epoll, EPOLL_CTL_MOD, ends[1], EPOLLIN));
    show("remove what is not there", change(epoll, EPOLL_CTL_DEL, ends[1], 0));
    show("itself", change(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN));
    show("no descriptor", change(epoll, EPOLL_CTL_ADD, 99, EPOLLIN));
    show("on a pipe", change(ends[0], EPOLL_CTL_ADD, ends[1], EPOLLIN));
    show("unknown operation", change(epoll, 7, ends[0], EPOLLIN));
    show("a bad address", epoll_ctl(epoll, EPOLL_CTL_MOD, ends[0], NULL));
    show("a directory", change(epoll, EPOLL_CTL_ADD, open("/", O_RDONLY), EPOLLIN));
    show("exclusive modify", change(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLEXCLUSIVE));
    show("room for none", epoll_wait(epoll, found, 0, 0));
    show("wait on a pipe", epoll_wait(ends[0], found, 1, 0));
    report("nothing yet", epoll, 0);
    report("nor after a while", epoll, 20);
    show("write", write(ends[1], "ab", 2));
    report("level", epoll, -1);
    report("level again", epoll, 1000);
    struct pollfd one = { .fd = epoll, .events = POLLIN };
    show("the instance is readable", poll(&one, 1, 0));
    show_ok("edge", change(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET));
    report("edge at first", epoll, 0);
    report("no edge again", epoll, 0);
    show("write more", write(ends[1], "c", 1));
    report("an edge", epoll, 0);
    report("and none", epoll, 0);
    show_ok("one shot", change(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT));
    report("the shot", epoll, 0);
    report("no other", epoll, 0);
    show_ok("armed again", change(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT));
    report("the second shot", epoll, 0);
    show_ok("both ends", change(epoll, EPOLL_CTL_ADD, ends[1], EPOLLOUT));
    show_ok("level", change(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN));
    show("one of two", epoll_wait(epoll, found, 1, 0));
    int first = found[0].data.u64;
    show("then the other", epoll_wait(epoll, found, 1, 0));
    show_fact("it is another", (int)found[0].data.u64 != first);
    show_ok("remove", change(epoll, EPOLL_CTL_DEL, ends[1], 0));
    close(ends[1]);
    report("hang-up", epoll, 0);
    close(ends[0]);
    report("closed", epoll, 0);

    int outer = epoll_create(1), count = eventfd(3, EFD_NONBLOCK);
    show_ok("nested", change(outer, EPOLL_CTL_ADD, epoll, EPOLLIN));
    show("each other", change(epoll, EPOLL_CTL_ADD, outer, EPOLLIN));
    show_ok("an eventfd", change(epoll, EPOLL_CTL_ADD, count, EPOLLIN));
    report("through two", outer, 0);
    unsigned long number = 0;
    show("read", read(count, &number, 8));
    show("its count", number);
    show("read none", read(count, &number, 8));
    show("read little", read(count, &number, 4));
    report("nothing through two", outer, 0);
    pid_t child = split();
    if (child == 0) {
        usleep(50000);
        number = 5;
        _exit(write(count, &number, 8) != 8);
    }
    report("a child's write wakes", outer, 10000);
    waitpid(child, NULL, 0);
    number = -1;
    show("write too much", write(count, &number, 8));
    number = -2;
    show("no room", write(count, &number, 8));
    show("unknown flag of eventfd", eventfd(0, 2));
    int tickets = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    show("a ticket", read(tickets, &number, 8));
    show("it is one", number);
    show("another", read(tickets, &number, 8));
    show("no third", read(tickets, &number, 8));
    return 0;
}
