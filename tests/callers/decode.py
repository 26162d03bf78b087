#!/usr/bin/python3
"""decode.py FILE...: what a reader sees of each message, one JSON line a file. By Python's email package, which has nothing
of ours: the fields are decoded, text parts are text with LF, other parts are named, counted and hashed."""
import email
import email.header
import email.policy
import email.utils
import hashlib
import json
import sys

policy = email.policy.default


def author(value):
    """Uses the older of the two parsers: the newer one doubles a space that is encoded between two words."""
    name, address = email.utils.parseaddr(value)
    name = str(email.header.make_header(email.header.decode_header(name)))
    return email.utils.formataddr((name, address), "utf-8") if name.isascii() else f"{name} <{address}>"


def parts(message):
    texts, attachments = [], []
    for part in message.walk():
        kind = part.get_content_type()
        if part.is_multipart():
            continue
        data = part.get_payload(decode=True)
        name = part.get_filename()
        if name is None and kind.startswith("text/"):
            charset = part.get_content_charset("utf-8")
            texts.append(data.decode(charset).replace("\r\n", "\n"))
        else:
            digest = hashlib.sha256(data).hexdigest()
            attachments.append(f"{name} {kind} {len(data)} {digest}")
    return texts, attachments


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        message = email.message_from_binary_file(file, policy=policy)
    texts, attachments = parts(message)
    fields = {name: [str(value) for value in message.get_all(name, [])] for name in ("To", "Cc", "Bcc", "Subject")}
    raw = [value for name, value in message.raw_items() if name.lower() == "from"]
    names = [name.lower() for name in message.keys()]
    print(json.dumps({
        "file": path,
        "from": [author(value) for value in raw],
        "to": fields["To"],
        "cc": fields["Cc"],
        "bcc": fields["Bcc"],
        "subject": fields["Subject"],
        "dates": names.count("date"),
        "message_ids": names.count("message-id"),
        "texts": texts,
        "attachments": attachments,
        "defects": [repr(defect) for part in message.walk() for defect in part.defects],
    }))
