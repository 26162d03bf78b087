#!/usr/bin/python3
"""corpora.py CORPORA OUT: puts the test messages of dkimpy and Mail::DKIM (see corpora.sh) that have a DKIM-Signature
into OUT/messages, with CRLF, and what dkimpy's own signer makes of those that have none; and their key records into
OUT/zones, a file for each zone, as publish.py takes them."""
import importlib.util
import itertools
import os
import re
import sys
import warnings

import dkim

corpora, out = sys.argv[1:]
warnings.simplefilter("ignore")
os.makedirs(f"{out}/messages")
os.makedirs(f"{out}/zones")
SIGNATURE = re.compile(rb"^DKIM-Signature[ \t]*:", re.IGNORECASE | re.MULTILINE)
records = {}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def header(message):
    return re.split(rb"\r?\n\r?\n", message, maxsplit=1)[0]


def write(name, message):
    if message.startswith(b"From "):  # the envelope line of an mbox
        message = message.split(b"\n", 1)[1]
    if b"\r\n" not in message:
        message = message.replace(b"\n", b"\r\n")
    if SIGNATURE.search(header(message)):
        with open(f"{out}/messages/{name}", "wb") as file:
            file.write(message)


def add(name, text):
    records[name.rstrip(".").lower()] = text.decode() if isinstance(text, bytes) else text


# Mail::DKIM: messages, and a file of records.
perl = f"{corpora}/libmail-dkim-perl/t"
for name in sorted(os.listdir(f"{perl}/corpus")):
    write(f"maildkim-{name}", read(f"{perl}/corpus/{name}"))
for line in open(f"{perl}/FAKE_DNS.dat", encoding="ascii"):
    name, _, text = line.strip().partition(" ")
    text = text.strip()
    # A name that the DNS has no answer for has no record here.
    if name and not name.startswith("#") and text != "NXDOMAIN" and not text.startswith("~~"):
        add(name, "" if text == '""' else text)

# dkimpy: messages, and records in the code of its tests.
python = f"{corpora}/dkimpy/dkim/tests"
for name in sorted(os.listdir(f"{python}/data")):
    write(f"dkimpy-{name}", read(f"{python}/data/{name}"))


def responses(path, case, function, names):
    spec = importlib.util.spec_from_file_location("tests", f"{python}/{path}")
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    found = getattr(tests, case)("test_verifies")
    found.setUp()
    for name in names:
        add(name, getattr(found, function)(f"{name}.".encode()))


responses("test_dkim.py", "TestSignAndVerify", "dnsfunc",
          ["example._domainkey.canonical.com", "test._domainkey.example.com", "20120113._domainkey.gmail.com"])
responses("test_dkim.py", "TestSignAndVerify", "dnsfunc5",
          ["test._domainkey.football.example.com", "brisbane._domainkey.football.example.com"])
responses("test_dkim_ed25519.py", "TestSignAndVerify", "dnsfunc",
          ["test._domainkey.example.net", "sed._domainkey.test.ex"])

# Its tests sign these on the spot, in every way.
keys = [(b"rsa-sha256", b"test", b"example.com", "test.private"),
        (b"ed25519-sha256", b"test", b"example.net", "ed25519test.key"),
        (b"ed25519-sha256", b"brisbane", b"football.example.com", "rfc8032_7_1.key")]
forms = list(itertools.product([b"simple", b"relaxed"], repeat=2))
for name in ["test.message", "test_extra.message", "rfc6376.msg", "ed25519test.msg", "rfc6376.w1258.msg"]:
    message = read(f"{python}/data/{name}").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    for (algorithm, selector, domain, key), form, length in itertools.product(keys, forms, [False, True]):
        signed = dkim.sign(message, selector, domain, read(f"{python}/data/{key}"), canonicalize=form, length=length,
                           signature_algorithm=algorithm)
        case = f"signed-{algorithm.decode()}-{domain.decode()}-{b'-'.join(form).decode()}-{'l' if length else 'whole'}-{name}"
        write(case, signed + message)
        # A reader of the other kind must see the change.
        write(f"altered-{case}", signed + message.replace(b"\r\n\r\n", b"\r\n\r\nadded\r\n", 1))

for name, text in records.items():
    strings = [text[at:at + 250].replace("\\", "\\\\").replace('"', '\\"') for at in range(0, len(text), 250)] or [""]
    zone = name.partition("._domainkey.")[2]
    with open(f"{out}/zones/{zone}", "a", encoding="ascii") as file:
        file.write(f"{name}. TXT " + " ".join(f'"{string}"' for string in strings) + "\n")
