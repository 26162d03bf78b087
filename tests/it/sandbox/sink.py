#!/usr/bin/python3
"""sink.py FOLDER PORT:8bit|7bit ...: an SMTP server on each port that keeps every message as it came over the wire.

A message is FOLDER/sink/N.eml, its data after dot-unstuffing, and N.json, its envelope; for each recipient there is
also FOLDER/rcpt/RECIPIENT/N.json, a link made last: where that name is, the rest is complete. Recipients are in lower
case there, with '%XX' for data that do not suit a file name. Returns once all ports listen.
"""
import asyncio
import itertools
import json
import os
import socket
import sys
import urllib.parse

EXTENSIONS = {
    "8bit": ["PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN"],
    "7bit": ["PIPELINING", "SIZE 0", "DSN"],
}
folder = sys.argv[1]
numbers = itertools.count(1)


def put(path, data):
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)


def keep(data, envelope):
    name = str(next(numbers))
    here = f"{folder}/sink/{name}"
    put(here + ".eml", data)
    put(here + ".json", json.dumps(envelope).encode())
    for recipient in envelope["rcpt_to"]:
        shelf = f"{folder}/rcpt/" + urllib.parse.quote(recipient["address"].lower(), safe="@+=")
        os.makedirs(shelf, exist_ok=True)
        if not os.path.lexists(f"{shelf}/{name}.json"):
            os.symlink(f"../../sink/{name}.json", f"{shelf}/{name}.json")
    return name


class Wire:
    """Reads up to a mark, at any length; everything else in the buffer stays."""

    def __init__(self, reader):
        self.reader, self.buffer = reader, bytearray()

    async def until(self, mark):
        begin = 0
        while (at := self.buffer.find(mark, begin)) < 0:
            begin = max(0, len(self.buffer) - len(mark) + 1)
            more = await self.reader.read(65536)
            if not more:
                raise EOFError
            self.buffer += more
        found = bytes(self.buffer[:at])
        del self.buffer[: at + len(mark)]
        return found

    async def message(self):
        # The CRLF before the first line is that of DATA itself: a message may be empty.
        self.buffer[:0] = b"\r\n"
        mail_data = await self.until(b"\r\n.\r\n") + b"\r\n"
        return mail_data.replace(b"\r\n.", b"\r\n")[2:]


def path_and_parameters(argument):
    """'<a@b> SIZE=1 BODY=8BITMIME' -> address and the rest; a quoted local part may hold anything."""
    quoted = False
    for at, char in enumerate(argument):
        if char == '"' and argument[at - 1] != "\\":
            quoted = not quoted
        if char == ">" and not quoted:
            return argument[: at + 1].strip()[1:-1], argument[at + 1 :].split()
    return argument, []


async def serve(reader, writer, port, extensions):
    wire, envelope = Wire(reader), None

    def say(text):
        writer.write(text.encode() + b"\r\n")

    say("220 sink.test ESMTP")
    try:
        while True:
            await writer.drain()
            line = (await wire.until(b"\r\n")).decode("utf-8", "backslashreplace")
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            if verb == "EHLO":
                lines = ["sink.test"] + extensions
                for at, text in enumerate(lines):
                    say(("250 " if at + 1 == len(lines) else "250-") + text)
            elif verb in ("HELO", "NOOP"):
                say("250 sink.test")
            elif verb == "RSET":
                envelope = None
                say("250 2.0.0 ok")
            elif verb == "MAIL":
                address, parameters = path_and_parameters(argument.partition(":")[2])
                envelope = {"mail_from": address, "mail_parameters": parameters, "rcpt_to": [], "port": port}
                say("250 2.1.0 ok")
            elif verb == "RCPT" and envelope:
                address, parameters = path_and_parameters(argument.partition(":")[2])
                envelope["rcpt_to"].append({"address": address, "parameters": parameters})
                say("250 2.1.5 ok")
            elif verb == "DATA" and envelope and envelope["rcpt_to"]:
                say("354 go ahead")
                await writer.drain()
                name = keep(await wire.message(), envelope)
                envelope = None
                say(f"250 2.0.0 kept as {name}")
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("503 5.5.1 not now")
    except (EOFError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(listeners):
    servers = [
        await asyncio.start_server(lambda r, w, p=port, e=extensions: serve(r, w, p, e), sock=sock)
        for sock, port, extensions in listeners
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


os.makedirs(f"{folder}/sink")
os.makedirs(f"{folder}/rcpt")
listeners = []
for argument in sys.argv[2:]:
    port, kind = argument.split(":")
    sock = socket.create_server(("127.0.0.1", int(port)), backlog=512)
    listeners.append((sock, int(port), EXTENSIONS[kind]))
if os.fork() == 0:
    os.setsid()
    asyncio.run(main(listeners))
