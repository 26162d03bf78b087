#!/usr/bin/python3
"""content.py FILE...: what a reader of each message sees, one JSON line each: its header text and addresses, and its parts, decoded.

Two messages that say the same give the same line, however they are encoded. Written with Python's own email package, so that
it shares nothing with what it judges.
"""
import email
import email.header
import email.policy
import email.utils
import json
import re
import sys


def decoded_header(value):
    """The bytes of a header text, its encoded words decoded, and what the wrapper may repair taken out."""
    try:
        pieces = email.header.decode_header(value.encode("ascii", "surrogateescape").decode("latin-1"))
    except Exception:
        pieces = [(value, None)]
    data = b""
    for piece, charset in pieces:
        piece = piece if isinstance(piece, bytes) else piece.encode("latin-1", "replace")
        data += piece if charset is None else b" " + piece + b" "
    # What Postfix makes of an address itself: origin, quotes, routes, a comma between two words.
    data = data.replace(b"\0", b"").replace(b"@origin.example", b"").replace(b'"', b"").replace(b"\\", b"").replace(b",", b"")
    # To ASCII and back at once, where a long encoded-word in ISO-2022-JP was split.
    return b"".join(data.split()).replace(b"\x1b(B\x1b$B", b"")


# Which Postfix takes out in headers, and which is no header to Python.
SPACE_BEFORE_COLON = re.compile(rb"(?m)^([A-Za-z0-9_.-]+)[ \t]+:")


def normal(data):
    """Content without what Postfix itself changes: it makes a space of a bare CR, and drops a NUL in a header."""
    data = re.sub(rb"\r+$", b"", data.replace(b"\r\n", b"\n")).replace(b"\r", b" ").replace(b"\0", b"")
    data = SPACE_BEFORE_COLON.sub(rb"\1:", data)
    # A part of a multipart that Python sees as text shows its label.
    data = re.sub(rb"(?im)^(content-transfer-encoding:[ \t]*)(?:8bit|binary)$", rb"\g<1>7bit", data)
    return data.rstrip(b"\n")


FIELDS = ["Subject", "To", "Cc", "From", "Reply-To", "References", "List-Unsubscribe", "Comments", "Organization"]


def filename(part):
    """That of a part, its bytes taken for UTF-8 or, where they are not, for Latin-1."""
    plain = email.message.Message()
    for name, value in part._headers:
        data = str(value).encode("utf-8", "surrogateescape")
        try:
            plain[name] = data.decode("utf-8")
        except UnicodeDecodeError:
            plain[name] = data.decode("latin-1")
    return plain.get_filename()


def content(data):
    """All that a reader sees: header text and the decoded parts."""
    data = SPACE_BEFORE_COLON.sub(rb"\1:", re.sub(rb"\r+\n", b"\n", data))
    while re.match(rb">*From ", data):
        data = data.partition(b"\n")[2]
    # A header line of spaces only has no meaning, but Python makes it part of the value before it.
    header, mark, body = data.partition(b"\n\n")
    if re.match(rb"[!-9;-~]+[ \t]*:", header):
        data = re.sub(rb"(?m)\n[ \t]+$", b"", header) + mark + body
    message = email.message_from_bytes(data, policy=email.policy.compat32)
    # As they stand: get_all() makes something else of bytes that are not ASCII.
    raw = [(name.lower(), value) for name, value in message._headers]
    header = {name: [decoded_header(value) for other, value in raw if other == name.lower()] for name in FIELDS}
    seen = []
    for part in message.walk():
        if part.is_multipart():
            seen.append(part.get_content_type())
            continue
        name = filename(part)
        body = part.get_payload(decode=True)
        if body is None:
            body = str(part.get_payload()).encode("utf-8", "surrogateescape")
        seen.append((part.get_content_type(), name and decoded_header(str(name)), normal(body)))
    return header, seen


ADDRESSES = ["from", "sender", "reply-to", "to", "cc"]


def line(data):
    """As JSON; bytes that are no ASCII as Latin-1."""
    header, parts = content(data)
    message = email.message_from_bytes(data)
    # By bytes, as a name in an address may be of any charset.
    raw = [(name.lower(), str(value).encode("ascii", "surrogateescape").decode("latin-1")) for name, value in message._headers]
    addresses = {}
    for name, value in raw:
        if name in ADDRESSES:
            found = [address for _, address in email.utils.getaddresses([re.sub(r"\r?\n", "", value)]) if address]
            addresses.setdefault(name, []).extend(found)
    text = lambda data: data.decode("latin-1") if isinstance(data, bytes) else data
    return json.dumps({
        "header": {name: [text(value) for value in values] for name, values in header.items()},
        "addresses": addresses,
        "parts": [part if isinstance(part, str) else [text(piece) for piece in part] for part in parts],
    })


if __name__ == "__main__":
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            print(line(file.read()))
