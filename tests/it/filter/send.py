"""send.py PORT SENDER OPTIONS RECIPIENT...: submits standard input by SMTP, byte for byte but for line ends and dots. OPTIONS are of
MAIL FROM. The host is $SERVER, or this one; $SOURCE is
an address of one's own; $LOGIN is NAME:PASSWORD; $COMMAND is sent first. A recipient may have parameters, `RECIPIENT> NAME=VALUE`.
With $FOLDER, each line of standard input has the name of a message's file there, and its recipients.
Prints the last reply to each."""

import os
import re
import smtplib
import ssl
import sys


def expect(code, reply):
    if reply[0] != code:
        sys.exit(f"{reply[0]} {reply[1].decode()}")


def submit(port, sender, options, recipients, message):
    source = os.environ.get("SOURCE")
    host = os.environ.get("SERVER", "127.0.0.1")
    server = smtplib.SMTP(host, int(port), "client.test", source_address=(source, 0) if source else None)
    server.command_encoding = "utf-8"
    server.ehlo()
    if "LOGIN" in os.environ:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        server.starttls(context=context)
        server.ehlo()
        server.login(*os.environ["LOGIN"].split(":"))
    if "COMMAND" in os.environ:
        server.putcmd(os.environ["COMMAND"])
        expect(250, server.getreply())
    server.putcmd(f"MAIL FROM:<{sender}> {options}".strip())
    expect(250, server.getreply())
    for recipient in recipients:
        server.putcmd(f"RCPT TO:<{recipient}" + ("" if "> " in recipient else ">"))
        expect(250, server.getreply())
    server.putcmd("DATA")
    expect(354, server.getreply())
    text = re.sub(rb"\r?\n", b"\r\n", message)
    server.send(re.sub(rb"(?m)^\.", b"..", text) + (b"" if text.endswith(b"\n") else b"\r\n") + b".\r\n")
    code, reply = server.getreply()
    expect(250, (code, reply))
    print(reply.decode())
    server.quit()


port, sender, options, *recipients = sys.argv[1:]
if "FOLDER" in os.environ:
    for line in sys.stdin:
        name, *recipients = line.split()
        with open(os.path.join(os.environ["FOLDER"], name), "rb") as file:
            submit(port, sender, options, recipients, file.read())
else:
    submit(port, sender, options, recipients, sys.stdin.buffer.read())
