#!/usr/bin/python3
"""verify-dkimpy.py [FILE...]: what dkimpy says of each signature, one JSON line a file (see verify-opendkim.py)."""
import json
import sys

import dkim
from dkim.util import parse_tag_value


def verdict(parsed, index, field):
    try:
        tags = {name.decode(): value.decode() for name, value in parse_tag_value(field).items()}
    except Exception as error:  # anything that it cannot read is a fault of the signature
        return {"d": "", "s": "", "result": "fail", "detail": repr(error)}
    found = {"d": tags.get("d", ""), "s": tags.get("s", ""), "result": "fail", "detail": ""}
    try:
        if parsed.verify(idx=index):
            found["result"] = "pass"
        else:
            found["detail"] = "signature does not verify"
    except Exception as error:
        found["detail"] = f"{type(error).__name__}: {error}"
    return found


for path in sys.argv[1:] or map(str.strip, sys.stdin):
    with open(path, "rb") as file:
        message = file.read()
    signatures, detail = [], ""
    try:
        # Once for all signatures: it takes seconds for a large message.
        parsed = dkim.DKIM(message)
        fields = [value for name, value in parsed.headers if name.lower() == b"dkim-signature"]
        signatures = [verdict(parsed, index, field) for index, field in enumerate(fields)]
    except dkim.MessageFormatError as error:
        detail = f"MessageFormatError: {error}"
    passed = all(signature["result"] == "pass" for signature in signatures)
    result = "fail" if detail or not passed else "pass" if signatures else "none"
    print(json.dumps({"file": path, "verifier": "dkimpy", "result": result, "detail": detail, "signatures": signatures}), flush=True)
