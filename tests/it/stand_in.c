/*
 * A stand-in for the real sendmail: writes everything it sees to its own folder. A file `exit` there gives its exit
 * code, a file `stderr` what it says.
 */
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static FILE *make(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, "w");
}

static void list(const char *folder, const char *name, char **words)
{
    FILE *file = make(folder, name);
    for (; *words; words++)
        fwrite(*words, 1, strlen(*words) + 1, file);
    fclose(file);
}

int main(int argc, char **argv)
{
    char self[4096] = "", cwd[4096] = "", line[65536];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    struct dirent *entry;
    char *folder;
    FILE *from, *to;
    DIR *fds;
    mode_t mask;
    int code = 0;

    (void)argc;
    if (length <= 0)
        return 99;
    folder = dirname(self);
    mask = umask(022);

    /* Before anything of our own is open. */
    fds = opendir("/proc/self/fd");
    to = make(folder, "status");
    fprintf(to, "Fds:");
    while ((entry = readdir(fds)))
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(fds) && atoi(entry->d_name) != fileno(to))
            fprintf(to, " %s", entry->d_name);
    fprintf(to, "\nMask:%03o\n", (unsigned)mask);
    closedir(fds);
    if (getcwd(cwd, sizeof cwd))
        fprintf(to, "Cwd:%s\n", cwd);
    fprintf(to, "Offset:%ld\n", (long)lseek(0, 0, SEEK_CUR));
    snprintf(line, sizeof line, "/proc/self/task/%d/children", (int)getpid());
    if ((from = fopen(line, "r"))) {
        fprintf(to, "Children:%s\n", fgets(line, sizeof line, from) ? line : "");
        fclose(from);
    }
    if ((from = fopen("/proc/self/status", "r"))) {
        while (fgets(line, sizeof line, from))
            fputs(line, to);
        fclose(from);
    }
    fclose(to);

    list(folder, "argv", argv);
    list(folder, "environ", environ);

    to = make(folder, "stdin");
    while ((length = read(0, line, sizeof line)) > 0)
        fwrite(line, 1, length, to);
    fclose(to);

    snprintf(line, sizeof line, "%s/stderr", folder);
    if ((from = fopen(line, "r"))) {
        while (fgets(line, sizeof line, from))
            fputs(line, stderr);
        fclose(from);
    }
    snprintf(line, sizeof line, "%s/exit", folder);
    if ((from = fopen(line, "r"))) {
        if (fscanf(from, "%d", &code) != 1)
            code = 98;
        fclose(from);
    }
    return code;
}
