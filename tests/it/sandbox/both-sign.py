#!/usr/bin/python3
"""both-sign.py CONF ETC SENDER...: what OpenDKIM by its set-up CONF, and the wrapper by its folder ETC, put on mail From
each sender. One JSON line a sender: for both a sorted list of "d= s= i=" (i= where it is not that of the domain), and the
names that OpenDKIM has more often in h=, of the first signature that both make."""
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

conf, etc, senders = sys.argv[1], sys.argv[2], sys.argv[3:]
work = tempfile.mkdtemp()
# Without its set-gid bit the wrapper takes the folder that the environment names.
wrapper = shutil.copy("/usr/sbin/sendmail.dkim", work)
os.chmod(wrapper, 0o755)
with open(work + "/real", "w") as file:
    file.write(f"#!/bin/sh\ncat >{work}/sent\n")
os.chmod(work + "/real", 0o755)
with open(etc + "/config.toml", "w") as file:
    file.write(f'sendmail = "{work}/real"\n')


def signatures(text):
    found = []
    for field in re.findall(r"v=1; a=(?:[^\n]|\n[ \t])*", text):
        tags = dict(re.findall(r"\b([dsi])=([^;\s]+);", field))
        identity = tags.get("i", "@" + tags["d"])
        found.append(f"{tags['d']} {tags['s']}" + ("" if identity == "@" + tags["d"] else " " + identity))
    return sorted(set(found))


def fields(text):
    """The names in h=, each as often as it occurs, by d= and s=."""
    found = {}
    for field in re.findall(r"v=1; a=(?:[^\n]|\n[ \t])*", text):
        tags = dict(re.findall(r"\b([dsh])=([^;]+);", field))
        names = re.sub(r"\s", "", tags["h"]).lower().split(":")
        found[tags["d"], tags["s"]] = collections.Counter(names)
    return found


for sender in senders:
    message = f"From: {sender}\nTo: a@b.test\nSubject: x\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n\nx\n"
    with open(work + "/message", "w") as file:
        file.write(message.replace("\n", "\r\n"))
    old = subprocess.run(["opendkim", "-x", conf, "-t", work + "/message", "-v", "-v", "-v"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, check=False).stdout.decode()
    assert "mlfi_eoh()" in old, old
    subprocess.run([wrapper, "-i", "a@b.test"], input=message.encode(), env={"SENDMAIL_DKIM_ETC": etc}, check=True)
    with open(work + "/sent") as file:
        new = file.read()
    before, now = fields(old), fields(new)
    lost = [sorted((before[key] - now[key]).elements()) for key in before if key in now]
    print(json.dumps({"sender": sender, "opendkim": signatures(old), "wrapper": signatures(new), "lost": (lost + [[]])[0]}))
shutil.rmtree(work)
