#!/usr/bin/python3
"""keys.py RECORD: answers every question for TXT of survive._domainkey.ANYTHING on 127.0.0.1:53 with the record, over UDP
and TCP; every other name does not exist."""
import socketserver
import struct
import sys
import threading

strings = b"".join(bytes([len(part)]) + part for part in
                   (sys.argv[1].encode()[at:at + 250] for at in range(0, len(sys.argv[1]), 250)))


def answer(query):
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    is_key = question.lower().startswith(b"\x07survive\x0a_domainkey") and question[-4:-2] == b"\0\x10"
    flags = 0x8580 if is_key else 0x8583
    head = query[:2] + struct.pack(">5H", flags, 1, int(is_key), 0, 0) + question
    if not is_key:
        return head
    return head + b"\xc0\x0c" + struct.pack(">2HIH", 16, 1, 1, len(strings)) + strings


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(answer(self.request[0]), self.client_address)


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        size = struct.unpack(">H", self.rfile.read(2))[0]
        reply = answer(self.rfile.read(size))
        self.wfile.write(struct.pack(">H", len(reply)) + reply)


socketserver.TCPServer.allow_reuse_address = True
tcp = socketserver.TCPServer(("127.0.0.1", 53), Tcp)
threading.Thread(target=tcp.serve_forever, daemon=True).start()
socketserver.ThreadingUDPServer(("127.0.0.1", 53), Udp).serve_forever()
