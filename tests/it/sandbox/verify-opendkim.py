#!/usr/bin/python3
"""verify-opendkim.py [FILE...]: what libopendkim says of each signature, one JSON line a file:

    {"file": …, "verifier": …, "result": "pass"|"fail"|"none", "detail": …,
     "signatures": [{"d": …, "s": …, "result": "pass"|"fail", "detail": …}]}

A file passes when it is signed and every signature in it passes. Keys come from DNS. Without FILE, it reads paths from
standard input, one on each line, and answers each before it reads the next.

The library is asked itself: opendkim-testmsg(8) passes a message of which any one signature passes, and opendkim -t asks
a resolver that requires DNSSEC from the root down, and reports one signature only.
"""
import ctypes
import json
import re
import sys

PASSED = 0x04  # DKIM_SIGFLAG_PASSED
# DKIM_LIBFLAGS_BADSIGHANDLES: a signature that is malformed is one that fails, and the others are looked at.
FLAGS, SET = 0x0400, 1
SIGNATURE = re.compile(rb"^dkim-signature[ \t]*:", re.IGNORECASE | re.MULTILINE)

library = ctypes.CDLL("libopendkim.so.11")
pointer, number = ctypes.c_void_p, ctypes.c_int
for name, result, arguments in [
    ("dkim_init", pointer, [pointer, pointer]),
    ("dkim_options", number, [pointer, number, number, pointer, ctypes.c_size_t]),
    ("dkim_verify", pointer, [pointer, ctypes.c_char_p, pointer, ctypes.POINTER(number)]),
    ("dkim_chunk", number, [pointer, ctypes.c_char_p, ctypes.c_size_t]),
    ("dkim_eom", number, [pointer, pointer]),
    ("dkim_free", number, [pointer]),
    ("dkim_geterror", ctypes.c_char_p, [pointer]),
    ("dkim_getresultstr", ctypes.c_char_p, [number]),
    ("dkim_getsiglist", number, [pointer, ctypes.POINTER(ctypes.POINTER(pointer)), ctypes.POINTER(number)]),
    ("dkim_sig_process", number, [pointer, pointer]),
    ("dkim_sig_getflags", ctypes.c_uint, [pointer]),
    ("dkim_sig_getbh", number, [pointer]),
    ("dkim_sig_getdomain", ctypes.c_char_p, [pointer]),
    ("dkim_sig_getselector", ctypes.c_char_p, [pointer]),
    ("dkim_sig_geterror", number, [pointer]),
    ("dkim_sig_geterrorstr", ctypes.c_char_p, [number]),
]:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments


def text(data):
    return (data or b"").decode("utf-8", "replace")


def verdict(message, signature):
    library.dkim_sig_process(message, signature)  # the end of the message stops at the first that passes
    flags, body_hash = library.dkim_sig_getflags(signature), library.dkim_sig_getbh(signature)
    passed = flags & PASSED and body_hash == 0
    detail = text(library.dkim_sig_geterrorstr(library.dkim_sig_geterror(signature)))
    if body_hash == 1:
        detail += "; body hash mismatch"
    return {
        "d": text(library.dkim_sig_getdomain(signature)),
        "s": text(library.dkim_sig_getselector(signature)),
        "result": "pass" if passed else "fail",
        "detail": "" if passed else detail,
    }


def verify(data):
    status, signatures, count = number(), ctypes.POINTER(pointer)(), number()
    message = library.dkim_verify(context, b"test", None, ctypes.byref(status))
    code = library.dkim_chunk(message, data, len(data)) or library.dkim_chunk(message, None, 0)
    code = code or library.dkim_eom(message, None)
    found = []
    if library.dkim_getsiglist(message, ctypes.byref(signatures), ctypes.byref(count)) == 0:
        found = [verdict(message, signatures[at]) for at in range(count.value)]
    detail = text(library.dkim_getresultstr(code)) + "; " + text(library.dkim_geterror(message)) if code else ""
    library.dkim_free(message)
    # Not asked of the library: it stops at a From without a domain before it looks for signatures.
    if not SIGNATURE.search(data.partition(b"\r\n\r\n")[0]):
        return "none", detail, found
    return "pass" if found and all(one["result"] == "pass" for one in found) else "fail", detail, found


context = library.dkim_init(None, None)
flags = ctypes.c_uint(FLAGS)
assert library.dkim_options(context, SET, 0, ctypes.byref(flags), ctypes.sizeof(flags)) == 0
for path in sys.argv[1:] or map(str.strip, sys.stdin):
    with open(path, "rb") as file:
        result, detail, signatures = verify(file.read())
    line = {"file": path, "verifier": "opendkim", "result": result, "detail": detail, "signatures": signatures}
    print(json.dumps(line), flush=True)
