#!/usr/bin/python3
"""publish.py ZONE [PATTERN...]: puts the records of the files (as opendkim-genkey and dkimctl write them) into DNS as the
whole of that zone. When it returns they are being served. The last one to publish a zone looks for files last, too."""
import fcntl
import glob
import os
import socket
import struct
import subprocess
import sys
import time

zone = sys.argv[1].rstrip(".").lower()
lock = os.open("/zones/lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
serial = int(os.read(lock, 20) or b"1") + 1
os.pwrite(lock, str(serial).encode(), 0)

path, timers = f"/zones/{zone}.zone", (3600, 600, 86400, 1)
with open(path + ".new", "w", encoding="ascii") as file:
    file.write(f"$ORIGIN {zone}.\n$TTL 1\n@ IN SOA ns.invalid. root.invalid. {serial} %d %d %d %d\n" % timers)
    file.write("@ IN NS ns.invalid.\n")
    for pattern in sys.argv[2:]:
        for name in sorted(glob.glob(pattern)) or [pattern]:
            file.write(open(name, encoding="ascii").read() + "\n")
check = subprocess.run(["nsd-checkzone", zone, path + ".new"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
if check.returncode:
    sys.exit(check.stdout.decode())
known = os.path.exists(path)
os.rename(path + ".new", path)
command = ["reload", zone] if known else ["addzone", zone, "published"]
subprocess.run(["nsd-control", *command], check=True, stdout=subprocess.DEVNULL)

# nsd loads it in the background: ask for the SOA record until it is this one.
name = b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".")) + b"\0"
question = struct.pack(">6H", 1, 0, 1, 0, 0, 0) + name + struct.pack(">2H", 6, 1)
answer = struct.pack(">5I", serial, *timers)
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.settimeout(1)
deadline = time.monotonic() + 10
while time.monotonic() < deadline:
    dns.sendto(question, ("127.0.0.1", 53))
    try:
        if answer in dns.recv(4096):
            sys.exit(0)
    except OSError:  # socket.timeout, before Python 3.10
        pass
    time.sleep(0.005)
sys.exit(f"publish: {zone} is not being served; see /out/nsd.log")
