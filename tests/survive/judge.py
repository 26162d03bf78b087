#!/usr/bin/python3
"""judge.py FILE...: the points that two spam filters, SpamAssassin and rspamd of Debian, give each message, one JSON line each. Both use
their local rules only: neither asks the DNS, learns, or remembers a message, so a message gets the same points each time.
"""
import http.client
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
PORT = 11333
# Modules that ask the network, or remember.
OFF = ["antivirus", "arc", "asn", "bayes_expiry", "dcc", "dkim", "dkim_signing", "dmarc", "elastic", "fuzzy_check", "greylist",
       "history_redis", "metadata_exporter", "mx_check", "neural", "p0f", "phishing", "ratelimit", "rbl", "replies", "reputation",
       "rspamd_update", "spf", "surbl", "url_redirector", "whitelist"]


def start_rspamd():
    """As a daemon of this sandbox, with Debian's configuration but for what asks the network."""
    local = "/etc/rspamd/override.d"
    for name in OFF:
        with open(f"{local}/{name}.conf", "w") as file:
            file.write("enabled = false;\n")
    with open(f"{local}/options.inc", "w") as file:
        file.write('filters = "chartable,regexp";\ndns { nameserver = ["127.0.0.1"]; timeout = 0.05s; retransmits = 1; }\n'
                   "rrd = null;\ntask_timeout = 60s;\n")
    with open(f"{local}/classifier-bayes.conf", "w") as file:
        file.write("enabled = false;\n")
    with open(f"{local}/worker-normal.inc", "w") as file:
        file.write(f'bind_socket = "127.0.0.1:{PORT}";\ncount = 1;\n')
    for worker in ["controller", "proxy"]:
        with open(f"{local}/worker-{worker}.inc", "w") as file:
            file.write("enabled = false;\n")
    for folder in ["/run/rspamd", "/var/log/rspamd", "/var/lib/rspamd"]:
        subprocess.run(["install", "-d", "-o", "_rspamd", "-g", "_rspamd", folder], check=True)
    subprocess.run(["rspamd", "-u", "_rspamd", "-g", "_rspamd"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            rspamd(b"Subject: x\n\nx\n")
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("rspamd does not answer")


def rspamd(data):
    """The points of each symbol."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
    connection.request("POST", "/checkv2", data)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return {name: symbol["score"] for name, symbol in answer["symbols"].items()}


JUDGES = ["SpamAssassin", "rspamd"]
# A tenth of a point for any text in base64: text of which more than a third is not ASCII would be three times as long without it.
ACCEPTED = "MIME_BASE64_TEXT"


def change(before, after):
    """By how many points a message got worse. Rules for information have a thousandth of a point."""
    before, after = [sum(points for rule, points in rules.items() if rule != ACCEPTED) for rules in [before, after]]
    return round(after - before, 2)


def judged(paths):
    """By path and judge: the points of each rule that matched."""
    found = {path: {} for path in paths}
    for at in range(0, len(paths), 500):
        command = ["perl", f"{HERE}/judge-spamassassin.pl", *paths[at:at + 500]]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        for line in done.stdout.splitlines():
            verdict = json.loads(line)
            found[verdict["file"]]["SpamAssassin"] = verdict["points"]
    for path in paths:
        with open(path, "rb") as file:
            found[path]["rspamd"] = rspamd(file.read())
    return found


if __name__ == "__main__":
    start_rspamd()
    for file, points in judged(sys.argv[1:]).items():
        print(json.dumps({"file": file, **points}))
