/* peak COMMAND ARGUMENT...: runs a command and says how much memory it had at most, in KiB, or any process that it waited
 * for, and its exit code. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;
    pid_t child = fork();

    if (argc < 2 || child < 0)
        return 1;
    if (child == 0) {
        execv(argv[1], argv + 1);
        _exit(127);
    }
    close(0);
    if (wait4(child, &status, 0, &usage) != child)
        return 1;
    return printf("%ld %d\n", usage.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : -1) < 0;
}
