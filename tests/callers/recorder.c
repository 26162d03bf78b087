/* recorder: stands at /usr/sbin/sendmail in the sandbox, notes how it was called in a file of its own below /calls, and
 * becomes the wrapper, which gets the same argv, descriptors, signals, limits and environment. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *kind(int descriptor)
{
    struct stat status;

    if (fstat(descriptor, &status) != 0)
        return "closed";
    switch (status.st_mode & S_IFMT) {
    case S_IFIFO:
        return "pipe";
    case S_IFREG:
        return "file"; /* deleted or not: with some callers that is a race */
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return isatty(descriptor) ? "terminal" : "device";
    default:
        return "other";
    }
}

int main(int argc, char **argv)
{
    char path[64], head[128];
    struct timespec now;
    int file;

    snprintf(head, sizeof head, "%s, %s, %s", kind(0), kind(1), kind(2));
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(path, sizeof path, "/calls/%lld.%09ld.%d", (long long)now.tv_sec, now.tv_nsec, (int)getpid());
    file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0)
        return 70;
    write(file, head, strlen(head) + 1);
    for (int at = 0; at < argc; at++)
        write(file, argv[at], strlen(argv[at]) + 1);
    close(file);
    execv("/usr/sbin/sendmail.dkim", argv);
    return 70;
}
