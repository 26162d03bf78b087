"""record.py PORT SERVER FILE: hands each connection to PORT of this host on to port 25 of SERVER, and keeps in FILE what the last
client sent. Returns once it listens."""

import os
import socket
import sys
import threading

port, server, path = sys.argv[1:]


def pump(source, target, kept):
    while data := source.recv(65536):
        if kept:
            kept.write(data)
            kept.flush()
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


listener = socket.create_server(("127.0.0.1", int(port)))
if os.fork() == 0:
    os.setsid()
    while True:
        client, _ = listener.accept()
        upstream = socket.create_connection((server, 25))
        threading.Thread(target=pump, args=(upstream, client, None), daemon=True).start()
        threading.Thread(target=pump, args=(client, upstream, open(path, "wb")), daemon=True).start()
