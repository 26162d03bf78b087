#!/usr/bin/python3
"""dumps.py VALUE: with fs.suid_dumpable set to VALUE, alice's own submission waits before its header, within it and within its body. She
looks into each process of it, and lets it dump core. Exits with 1 if she sees or gets anything. A program of hers without a set-gid
bit shows first that she would.
"""
import ctypes
import os
import pathlib
import pwd
import resource
import signal
import subprocess
import sys
import time

USER = pwd.getpwnam("alice")
CORES = pathlib.Path("/var/tmp/cores")
STAGES = [b"", b"From: webmaster@sample.com\nTo: dumps@sink.test\n", b"From: webmaster@sample.com\nTo: dumps@sink.test\n\nhalf a body\n"]
PIDFD_OPEN, PIDFD_GETFD, PTRACE_ATTACH, PTRACE_DETACH = 434, 438, 16, 17
LIBC = ctypes.CDLL(None, use_errno=True)


def as_alice():
    os.initgroups(USER.pw_name, USER.pw_gid)
    os.setgid(USER.pw_gid)
    os.setuid(USER.pw_uid)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.chdir(CORES)


def tree(pid):
    """The process and its descendants."""
    found = [pid]
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += tree(int(child))
    return found


def look(pid):
    """What alice sees of a process: the ways that work."""
    seen = []
    for name in ("environ", "maps", "mem", "auxv", "syscall", "stack"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                if name == "maps" or name == "mem" or file.read(1):
                    seen.append(name)
        except OSError:
            pass
    try:
        if os.listdir(f"/proc/{pid}/fd"):
            seen.append("fd")
    except OSError:
        pass
    handle = LIBC.syscall(PIDFD_OPEN, pid, 0)
    if handle >= 0 and any(LIBC.syscall(PIDFD_GETFD, handle, number, 0) >= 0 for number in range(20)):
        seen.append("pidfd_getfd")
    if LIBC.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
        seen.append("ptrace")
        os.waitpid(pid, 0x40000000)
        LIBC.ptrace(PTRACE_DETACH, pid, None, None)
    return seen


def seen_by_alice(pid):
    """The same, asked by a process of hers."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            as_alice()
            os.write(writer, " ".join(look(pid)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as file:
        return file.read()


def try_out(command, text, number):
    """What she sees of each process of a program that waits for the rest of its input, and whether a core is left by a signal."""
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=as_alice)
    program.stdin.write(text)
    program.stdin.flush()
    time.sleep(1)
    processes = tree(program.pid)
    seen = [f"{pathlib.Path(f'/proc/{pid}/comm').read_text().strip()}: {found}" for pid in processes if (found := seen_by_alice(pid))]
    for pid in reversed(processes):
        os.kill(pid, number)
    program.stdin.close()
    program.wait()
    time.sleep(0.3)
    cores = list(CORES.iterdir())
    for core in cores:
        core.unlink()
    return seen + [f"core: {core.name}" for core in cores], len(processes)


pathlib.Path("/proc/sys/fs/suid_dumpable").write_text(sys.argv[1])
CORES.mkdir(mode=0o777, exist_ok=True)
CORES.chmod(0o1777)
# That of value 2 must be absolute.
pathlib.Path("/proc/sys/kernel/core_pattern").write_text(f"{CORES}/core.%p")
ways, _ = try_out(["cat"], b"x", signal.SIGABRT)
if not any("mem" in way and "pidfd_getfd" in way for way in ways) or not any(way.startswith("core:") for way in ways):
    sys.exit(f"the ways do not work on cat: {ways}")
looked = 0
for text, number in zip(STAGES, (signal.SIGABRT, signal.SIGQUIT, signal.SIGSEGV)):
    ways, processes = try_out(["/usr/sbin/sendmail", "-t", "-i"], text, number)
    looked += processes
    if ways:
        sys.exit(f"seen after {text!r}, {number.name}: {ways}")
# The one that reads, and the one that signs.
if looked < 6:
    sys.exit(f"only {looked} processes")
