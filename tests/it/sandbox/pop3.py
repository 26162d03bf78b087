#!/usr/bin/python3
"""pop3.py FILE: a mailbox of one message at port 110, for any user; as many sessions as are asked for. Returns once it listens."""
import os
import socketserver
import sys

with open(sys.argv[1], "rb") as file:
    MESSAGE = file.read().replace(b"\n", b"\r\n")


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("+OK ready")
        for line in self.rfile:
            verb = line.split()[0].decode().upper() if line.split() else ""
            if verb == "STAT":
                self.say(f"+OK 1 {len(MESSAGE)}")
            elif verb == "LIST":
                self.say(f"+OK\r\n1 {len(MESSAGE)}\r\n." if len(line.split()) == 1 else f"+OK 1 {len(MESSAGE)}")
            elif verb == "UIDL":
                self.say("+OK\r\n1 only\r\n." if len(line.split()) == 1 else "+OK 1 only")
            elif verb in ("RETR", "TOP"):
                self.say("+OK")
                self.wfile.write((b"\r\n" + MESSAGE).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
            elif verb in ("USER", "PASS", "DELE", "NOOP", "RSET"):
                self.say("+OK")
            elif verb == "QUIT":
                self.say("+OK bye")
                return
            else:
                self.say("-ERR not here")

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")


socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 110), Session)
if os.fork() == 0:
    os.setsid()
    server.serve_forever()
