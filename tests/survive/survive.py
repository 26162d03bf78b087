#!/usr/bin/python3
"""survive.py FOLDER: inside the sandbox, the whole of tests/survive/run: submits, waits, verifies, compares, tells."""
import collections
import email
import email.header
import email.policy
import glob
import json
import os
import re
import subprocess
import sys
import time

COLUMNS = {"8bit": "sink.test", "7bit": "7bit.test"}
VERIFIERS = ["dkimpy.py", "maildkim.pl", "opendkim.py"]
ETC = "/etc/sendmail-dkim"


def set_up():
    """One key for every domain, and DNS that knows it everywhere."""
    subprocess.run(["pkill", "nsd"], check=False)
    subprocess.run(["dkimctl", "genkey", "-d", "default.test", "-s", "survive"], check=True, stdout=subprocess.DEVNULL)
    os.rename(f"{ETC}/keys/default.test", f"{ETC}/keys/default")
    text = open(f"{ETC}/keys/default/survive.txt").read()
    record = "".join(re.findall(r'"([^"]*)"', text))
    with open(f"{ETC}/domains/default.toml", "w") as file:
        file.write('selectors = ["survive"]\nsign_forwarded = true\n')
    time.sleep(0.5)
    subprocess.Popen([sys.executable, "/survive/dns.py", record], stdin=subprocess.DEVNULL)
    time.sleep(0.5)


def submit(files):
    """Each message to each column; what the wrapper logged of it."""
    said = {}
    for number, path in enumerate(files):
        for column, domain in COLUMNS.items():
            size = os.path.getsize("/out/syslog") if os.path.exists("/out/syslog") else 0
            with open(path, "rb") as file:
                done = subprocess.run(["/usr/sbin/sendmail", "-i", "-f", "sender@origin.example", f"m{number}@{domain}"],
                                      stdin=file, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            with open("/out/syslog") as log:
                log.seek(size)
                lines = [line for line in log if "sendmail-dkim[" in line]
            said[number, column] = (done.returncode, done.stdout.decode("utf-8", "replace"), "".join(lines))
    return said


def wait():
    """Until all queues were empty for a second: a message is in none of them for a moment."""
    quiet = 0
    for _ in range(1200):
        queues = ["maildrop", "incoming", "active"]
        busy = any(files for queue in queues for _, _, files in os.walk(f"/var/spool/postfix/{queue}"))
        quiet = 0 if busy else quiet + 1
        if quiet == 10:
            return
        time.sleep(0.1)


def received(number, column):
    shelf = f"/out/rcpt/m{number}@{COLUMNS[column]}"
    names = os.listdir(shelf) if os.path.isdir(shelf) else []
    return [f"/out/sink/{name[:-5]}.eml" for name in names]


def verify(paths):
    results = collections.defaultdict(dict)
    for verifier in VERIFIERS:
        for at in range(0, len(paths), 200):
            out = subprocess.run([f"/opt/sandbox/verify-{verifier}", *paths[at:at + 200]], stdout=subprocess.PIPE, check=False)
            for line in out.stdout.splitlines():
                verdict = json.loads(line)
                own = [one for one in verdict["signatures"] if one["s"] == "survive"]
                passed = bool(own) and all(one["result"] == "pass" for one in own)
                results[verdict["file"]][verifier] = "pass" if passed else json.dumps(own) + verdict.get("detail", "")
    return results


def decoded_header(value):
    """The octets of a header text, its encoded words decoded, and what the wrapper may mend taken out."""
    if isinstance(value, email.header.Header):
        value = str(value.encode())
    try:
        pieces = email.header.decode_header(value.encode("ascii", "surrogateescape").decode("latin-1"))
    except Exception:
        pieces = [(value, None)]
    octets = b""
    for piece, charset in pieces:
        piece = piece if isinstance(piece, bytes) else piece.encode("latin-1", "replace")
        octets += piece if charset is None else b" " + piece + b" "
    # What Postfix makes of an address itself: origin, quotes, routes.
    octets = octets.replace(b"@origin.example", b"").replace(b'"', b"").replace(b"\\", b"")
    return b"".join(octets.split())


def normal(octets):
    octets = octets.replace(b"\r", b"").replace(b"\0", b"")
    return octets.rstrip(b"\n")


FIELDS = ["Subject", "To", "Cc", "From", "Reply-To", "References", "List-Unsubscribe", "Comments", "Organization"]


def content(octets):
    """All that a reader sees: header text and the decoded parts."""
    octets = re.sub(rb"\r+\n", b"\n", octets)
    while re.match(rb">*From ", octets):
        octets = octets.partition(b"\n")[2]
    message = email.message_from_bytes(octets, policy=email.policy.compat32)
    header = {name: [decoded_header(value) for value in message.get_all(name, [])] for name in FIELDS}
    seen = []
    for part in message.walk():
        if part.is_multipart():
            seen.append(part.get_content_type())
            continue
        name = part.get_filename()
        body = part.get_payload(decode=True)
        if body is None:
            body = str(part.get_payload()).encode("utf-8", "surrogateescape")
        seen.append((part.get_content_type(), name and decoded_header(name), normal(body)))
    return header, seen


def differences(before, after):
    """What the second message says otherwise than the first; fields that were added are no difference."""
    (header, parts), (header_after, parts_after) = content(before), content(after)
    differ = [(name, values, header_after[name]) for name, values in header.items() if values and values != header_after[name]]
    differ += [pair for pair in zip(parts, parts_after) if pair[0] != pair[1]]
    if len(parts) != len(parts_after):
        differ.append((len(parts), "parts", len(parts_after)))
    return differ


def main():
    files = sorted(path for path in glob.glob(sys.argv[1] + "/**", recursive=True) if os.path.isfile(path))
    set_up()
    said = submit(files)
    wait()
    places = {key: received(*key) for key in said}
    verdicts = verify([path for paths in places.values() for path in paths[:1]])
    rows = collections.defaultdict(collections.Counter)
    reasons, misses = collections.Counter(), []
    for (number, column), (code, words, log) in said.items():
        path = files[number]
        folder = os.path.relpath(os.path.dirname(path), sys.argv[1])
        for row in (rows[folder, column], rows["(all)", column]):
            row["submitted"] += 1
        delivered = places[number, column]
        signed = "result=signed" in log and "reason=" not in log
        if not signed:
            reason = re.search(r'reason="((?:[^"\\]|\\.)*)"', log)
            reasons[reason.group(1) if reason else f"exit {code}: {words}"] += 1
        for row in (rows[folder, column], rows["(all)", column]):
            row["delivered"] += bool(delivered)
            row["signed"] += signed
            row["eligible"] += bool(delivered) and signed
        if not (signed and delivered):
            if signed:
                misses.append({"file": path, "column": column, "miss": "not delivered", "log": log})
            continue
        result = verdicts[delivered[0]]
        with open(path, "rb") as before, open(delivered[0], "rb") as after:
            same = [before.read(), after.read()]
        differ = differences(*same)
        equal = not differ
        for row in (rows[folder, column], rows["(all)", column]):
            for verifier in VERIFIERS:
                row[verifier] += result.get(verifier) == "pass"
            row["equal"] += equal
        bad = {name: what for name, what in result.items() if what != "pass"}
        if bad or len(result) < 3:
            misses.append({"file": path, "column": column, "miss": "verify", "received": delivered[0], "by": bad})
        if not equal:
            told = [repr(one)[:600] for one in differ[:3]]
            misses.append({"file": path, "column": column, "miss": "decoded", "received": delivered[0], "differs": told})
    names = ["submitted", "delivered", "signed", "eligible", *VERIFIERS, "equal"]
    print(f"{'folder':28} {'hop':5}" + "".join(f"{name:>12}" for name in names))
    for (folder, column), row in sorted(rows.items()):
        print(f"{folder:28} {column:5}" + "".join(f"{row[name]:12}" for name in names))
    print("\nnot signed, both columns:")
    for reason, count in reasons.most_common():
        print(f"{count:6}  {reason}")
    with open("/survive/misses.json", "w") as file:
        json.dump(misses, file, indent=1)
    print(f"\nmisses: {len(misses)}")
    for miss in misses[:40]:
        print(json.dumps(miss)[:400])
    return 1 if misses else 0


sys.exit(main())
