#!/usr/bin/python3
"""zsh.py TYPED EXPECTED: types a text and a tab into zsh on a terminal, and says "found" if the line becomes what is expected."""

import os
import pty
import select
import sys
import time

typed, expected = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", HOME="/tmp", PS1="ready> ")
    os.execvp("zsh", ["zsh", "-f", "-i"])
shown = b""


def wait_for(text, seconds=30):
    global shown
    end = time.monotonic() + seconds
    while text not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
    return text in shown


os.write(terminal, b"autoload -U compinit && compinit -u -D && echo lo''aded\n")
if not wait_for(b"loaded"):
    sys.exit(f"compinit: {shown!r}")
shown = b""
os.write(terminal, typed.encode() + b"\t")
print("found" if wait_for(expected.encode()) else f"not found: {shown!r}")
