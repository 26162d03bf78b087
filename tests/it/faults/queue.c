/*
 * queue FOLDER: a stand-in for the real sendmail and its queue. A message is in FOLDER/RECIPIENT/ as a whole, made by
 * rename(2), or it is not there; any earlier failure is exit code 75, or no 250. The file begins with
 * the arguments, NUL-terminated, and one NUL more. RECIPIENT is the last argument, or that of RCPT where -bs is given.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef FOLDER
#error "the folder of the queue"
#endif

static char *text;
static size_t length, room;
static char from[65536];
static size_t at, there;

static void fail(void)
{
    _exit(75);
}

static void put(const char *bytes, size_t count)
{
    if (length + count > room) {
        room = (length + count) * 2;
        if (!(text = realloc(text, room)))
            fail();
    }
    memcpy(text + length, bytes, count);
    length += count;
}

/* The next line with its LF, into the text, and how long it is; 0 at the end. */
static size_t line(void)
{
    size_t before = length;

    for (;;) {
        char *found = memchr(from + at, '\n', there - at);
        size_t count = (found ? (size_t)(found + 1 - from) : there) - at;
        ssize_t more;

        put(from + at, count);
        at += count;
        if (found)
            return length - before;
        do
            more = read(0, from, sizeof from);
        while (more < 0 && errno == EINTR);
        if (more < 0)
            fail();
        if (more == 0)
            return length - before;
        at = 0;
        there = (size_t)more;
    }
}

static void say(const char *words, const char *more)
{
    char reply[1200];
    size_t size = (size_t)snprintf(reply, sizeof reply, "%s%s\r\n", words, more), done = 0;

    while (done < size) {
        ssize_t count = write(1, reply + done, size - done);
        if (count < 0 && errno != EINTR)
            fail();
        if (count > 0)
            done += (size_t)count;
    }
}

static void keep(const char *recipient)
{
    static int number;
    char path[1200], made[1210];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", FOLDER, recipient);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        fail();
    snprintf(path, sizeof path, "%s/%s/%d.%d", FOLDER, recipient, (int)getpid(), number++);
    snprintf(made, sizeof made, "%s.new", path);
    if (!(file = fopen(made, "w")))
        fail();
    if (fwrite(text, 1, length, file) != length || fclose(file) != 0 || rename(made, path) != 0)
        fail();
}

static int is(size_t count, const char *words)
{
    return count >= strlen(words) && strncasecmp(text + length - count, words, strlen(words)) == 0;
}

static void run_session(size_t arguments)
{
    char recipient[1024] = "";
    size_t count;

    say("220 queue", "");
    while ((length = arguments, count = line()) > 0) {
        if (is(count, "RCPT TO:<")) {
            put("", 1);
            snprintf(recipient, sizeof recipient, "%s", text + arguments + 9);
            recipient[strcspn(recipient, ">")] = '\0';
            say("250 ok", "");
        } else if (is(count, "DATA")) {
            length = arguments;
            say("354 go ahead", "");
            while ((count = line()) > 0 && !is(count, ".\r\n"))
                if (text[length - count] == '.') {
                    memmove(text + length - count, text + length - count + 1, count - 1);
                    length--;
                }
            if (count == 0)
                return;
            length -= count;
            keep(recipient);
            say("250 kept ", recipient);
        } else if (is(count, "QUIT")) {
            say("221 bye", "");
            return;
        } else {
            say("250 ok", "");
        }
    }
}

int main(int argc, char **argv)
{
    size_t count;
    int number, takes_dots = 0, session = 0;

    for (number = 1; number < argc; number++) {
        put(argv[number], strlen(argv[number]) + 1);
        takes_dots |= strcmp(argv[number], "-i") == 0;
        session |= strcmp(argv[number], "-bs") == 0;
    }
    put("", 1);
    if (session) {
        run_session(length);
        return 0;
    }
    while ((count = line()) > 0)
        if (!takes_dots && (is(count, ".\n") || is(count, ".\r\n"))) {
            length -= count;
            break;
        }
    keep(argv[argc - 1]);
    return 0;
}
