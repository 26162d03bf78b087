#!/usr/bin/python3
"""odd-log.py KIND COMMAND...: runs a command where /dev/log belongs to a daemon of some kind, most of them without a hand free.

As root, in a mount namespace of its own. Prints what the daemon has read."""

import os
import socket
import subprocess
import sys
import tempfile
import threading

kind, command = sys.argv[1], sys.argv[2:]
path = tempfile.mkdtemp() + "/log"
held = []


def bound(type):
    one = socket.socket(socket.AF_UNIX, type)
    one.bind(path)
    held.append(one)
    return one


def fill(act):
    """Until there is no room."""
    try:
        while True:
            act()
    except BlockingIOError:
        pass


def sender():
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.setblocking(False)
    held.append(one)
    return one


if kind == "datagrams-unread":
    bound(socket.SOCK_DGRAM)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.setblocking(False)
    fill(lambda: one.sendto(b"x", path))
elif kind == "datagrams-left":
    bound(socket.SOCK_DGRAM).close()
elif kind == "stream-not-accepted":
    bound(socket.SOCK_STREAM).listen(0)
    fill(lambda: sender().connect(path))
elif kind == "stream-unread":
    bound(socket.SOCK_STREAM).listen(8)
elif kind == "stream-hangs-up":
    daemon = bound(socket.SOCK_STREAM)
    daemon.listen(8)

    def hang_up():
        while True:
            daemon.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()
elif kind == "stream-read":
    daemon = bound(socket.SOCK_STREAM)
    daemon.listen(8)
elif kind == "packets":
    bound(socket.SOCK_SEQPACKET).listen(8)
elif kind == "file":
    open(path, "w").close()
elif kind == "forbidden":
    bound(socket.SOCK_DGRAM)
os.chmod(path, 0o600 if kind == "forbidden" else 0o666)
subprocess.run(["mount", "--bind", path, "/dev/log"], check=True)
code = subprocess.run(command).returncode
if kind == "stream-read":
    daemon.setblocking(False)
    fill(lambda: print(daemon.accept()[0].recv(65536)))
sys.exit(code)
