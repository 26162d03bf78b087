#!/usr/bin/python3
"""rows.py: runs command lines and tells what became of each.

Reads from stdin a JSON list of {"key", "user", "program", "line", "input", "alone", "state"}; a key is a word that turns up
in the recipients or in the text of the row's mail, and nowhere else; a state is one of states.py, or null. Writes, once Postfix's queue is empty, a JSON object:
for each key {"code", "stdout", "stderr", "mails": [{"file", "mail_from", "mail_parameters", "rcpt_to", "bytes" (base64)}]}.
Rows that are `alone` run first, one after the other.
"""
import base64
import concurrent.futures
import glob
import json
import os
import pwd
import re
import shlex
import subprocess
import sys
import time

import states

QUEUES = ["maildrop", "incoming", "active", "deferred"]


def run(row):
    user = pwd.getpwnam(row["user"])
    argv = [argument.encode() for argument in shlex.split(row["line"])]
    if row["state"]:
        return told(*states.run(row, (user.pw_uid, user.pw_gid), argv))
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp", "USER": row["user"]}
    try:
        done = subprocess.run(
            argv, executable=row["program"],
            input=row["input"].encode(), capture_output=True, env=environment, cwd="/tmp", timeout=60,
            user=user.pw_uid, group=user.pw_gid, extra_groups=[user.pw_gid])
        return told(done.returncode, done.stdout, done.stderr)
    except subprocess.TimeoutExpired as late:
        return told("did not end", late.stdout or b"", late.stderr or b"")


def told(code, stdout, stderr):
    return {"code": str(code), "stdout": stdout.decode("utf-8", "replace"), "stderr": stderr.decode("utf-8", "replace"),
            "mails": []}


def queued():
    return sum(len(files) for queue in QUEUES for _, _, files in os.walk(f"/var/spool/postfix/{queue}"))


def wait_for_the_queue():
    deadline = time.monotonic() + 120
    while queued():
        if time.monotonic() > deadline:
            sys.exit("the queue does not empty: " + subprocess.getoutput("postqueue -p; tail -n 20 /var/log/postfix.log"))
        time.sleep(0.1)


def collect(results):
    keys = re.compile(b"|".join(re.escape(key.encode()) for key in results))
    for file in glob.glob("/out/sink/*.json"):
        with open(file, "rb") as envelope:
            envelope = envelope.read()
        file = file.removesuffix("json") + "eml"
        with open(file, "rb") as data:
            data = data.read()
        # A report names in its text whom it is about.
        found = keys.search(envelope) or keys.search(data)
        if found:
            mail = json.loads(envelope)
            mail.update(file=file, bytes=base64.b64encode(data).decode())
            results[found.group().decode()]["mails"].append(mail)


rows = json.load(sys.stdin)
results = {row["key"]: run(row) for row in rows if row["alone"]}
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    together = [row for row in rows if not row["alone"]]
    results.update(zip((row["key"] for row in together), pool.map(run, together)))
wait_for_the_queue()
collect(results)
json.dump(results, sys.stdout)
