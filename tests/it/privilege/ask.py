"""Takes the place of the process that reads messages: takes the ends of its pipes to the process that signs, and asks on them.
argv: the PID of the reader. Each line of standard input is a request in hexadecimal, of any length; or `partial` and one, which
is written in pieces. Prints each reply in hexadecimal, or `none`. Needs root: the reader is not dumpable."""

import ctypes
import os
import select
import stat
import sys

pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
pidfd = os.pidfd_open(pid)
ends = {}
for number in sorted(map(int, os.listdir(f"/proc/{pid}/fd"))):
    if number < 3 or not stat.S_ISFIFO(os.stat(f"/proc/{pid}/fd/{number}").st_mode):
        continue
    flags = int(dict(line.split(":", 1) for line in open(f"/proc/{pid}/fdinfo/{number}"))["flags"], 8)
    # The pipes to the process that signs were made first; the others are those of the real sendmail.
    ends.setdefault(flags & os.O_ACCMODE, libc.syscall(438, pidfd, number, 0))  # pidfd_getfd(2)
ask, told = ends[os.O_WRONLY], ends[os.O_RDONLY]
REPLY = 1027
for line in sys.stdin:
    words = line.split()
    request = bytes.fromhex(words[-1])
    try:
        for byte in range(0, len(request), 100 if words[0] == "partial" else len(request)):
            os.write(ask, request[byte:byte + (100 if words[0] == "partial" else len(request))])
    except BrokenPipeError:
        pass
    reply = b""
    while len(reply) < REPLY:
        ready, _, _ = select.select([told], [], [], 5 if len(request) >= 524 else 0.3)
        piece = os.read(told, REPLY - len(reply)) if ready else b""
        if not piece:
            break
        reply += piece
    print(reply.hex() or "none", flush=True)
