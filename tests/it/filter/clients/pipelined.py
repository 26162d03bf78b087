"""pipelined.py PORT SENDER RECIPIENT...: submits standard input to each pair of recipients, all in one session, and each command with as
many others in one packet as RFC 2920 allows."""

import re
import socket
import sys

port, sender, *recipients = sys.argv[1:]
text = re.sub(rb"\r?\n", b"\r\n", sys.stdin.buffer.read())
text = re.sub(rb"(?m)^\.", b"..", text) + b".\r\n"
server = socket.create_connection(("127.0.0.1", int(port)))
replies = server.makefile("rb")


def expect(*codes):
    for code in codes:
        while (line := replies.readline())[3:4] == b"-":
            pass
        if not line.startswith(code):
            sys.exit(f"{code}: {line}")


expect(b"220")
server.sendall(b"EHLO client.test\r\n")
expect(b"250")
rest = b""
for at in range(0, len(recipients), 2):
    pair = b"".join(b"RCPT TO:<%s>\r\n" % one.encode() for one in recipients[at : at + 2])
    server.sendall(rest + b"MAIL FROM:<%s>\r\n" % sender.encode() + pair + b"DATA\r\n")
    expect(*[b"250"] * bool(rest), b"250", b"250", b"250", b"354")
    rest = text
server.sendall(rest + b"QUIT\r\n")
expect(b"250", b"221")
