#!/usr/bin/python3
"""syslog.py SOCKET FILE: keeps what programs log, one datagram a line. Returns once the socket is there."""
import os
import socket
import sys

path, out = sys.argv[1:]
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind(path)
os.chmod(path, 0o666)
file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
if os.fork() == 0:
    os.setsid()
    while True:
        line = log.recv(65536).rstrip(b"\n\0")
        line = line.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\0", b"\\0")
        os.write(file, line + b"\n")
