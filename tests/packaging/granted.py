#!/usr/bin/env python3
"""granted.py PROFILE TRACE...: what the traced processes did that an AppArmor profile does not grant, a line for each path.

PROFILE is the output of `apparmor_parser --preprocess`; a TRACE is what `strace -ff -y` wrote of one process. What apparmor(7)
does not look at is left out: stat(2), access(2), a descriptor of O_PATH, and what failed before it was looked at.
"""
import os
import re
import sys

from apparmor.common import convert_regexp

VARIABLE = re.compile(r"^\s*(@\{\w+\})\s*\+?=\s*(.*)$")
RULE = re.compile(r"^\s*(?:owner\s+)?([/@]\S+)\s+([a-zA-Z]+),")
CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)(?:<(.*)>(?:\(deleted\))?)?")
ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"')
DESCRIPTOR = re.compile(r"(?:AT_FDCWD|\d+)<([^>]*)>")


def expand(pattern, variables):
    """The patterns that a pattern with variables stands for."""
    found = re.search(r"@\{\w+\}", pattern)
    if not found:
        return [re.sub("/+", "/", pattern)]
    name, expanded = found.group(), []
    if name not in variables:
        return []
    for value in variables[name]:
        expanded += expand(pattern[: found.start()] + value + pattern[found.end() :], variables)
    return expanded


def read_profile(path):
    """The rules for files: compiled patterns and what each grants."""
    variables, rules = {}, []
    lines = [line.split("#")[0] if line.lstrip().startswith("#") else line for line in open(path)]
    for line in lines:
        if found := VARIABLE.match(line):
            variables.setdefault(found.group(1), []).extend(found.group(2).split())
        elif found := RULE.match(line):
            rules.append(found.groups())
    assert rules, "no rules"
    return [
        (re.compile(convert_regexp(pattern)), set(granted))
        for rule, granted in rules
        for pattern in expand(rule, variables)
    ]


class Process:
    """One process: where it is, and what it needs."""

    def __init__(self):
        self.folder = None

    def absolute(self, path, folder=None):
        """A path as the kernel sees it, links followed."""
        if not path.startswith("/"):
            folder = folder or self.folder
            assert folder, f"{path} is relative to an unknown folder"
            path = os.path.join(folder, path)
        return os.path.realpath(path)

    def needs(self, line):
        """Pairs of a path and the permissions that a call needs."""
        found = CALL.match(line)
        if not found or found.group(3).startswith("-"):
            return []
        call, arguments, _, opened = found.groups()
        names = ARGUMENT.findall(arguments)
        if call == "chdir":
            self.folder = self.absolute(names[0])
        elif call in ("open", "openat") and "O_PATH" not in arguments:
            reads = not re.search(r"\bO_WRONLY\b", arguments)
            writes = re.search(r"\bO_(WRONLY|RDWR|CREAT|TRUNC)\b", arguments)
            return [(opened.removesuffix(" (deleted)"), "r" * reads + "w" * bool(writes))]
        elif call == "execve":
            return [(self.absolute(names[0]), "rmx")]
        elif call == "mmap" and "PROT_EXEC" in arguments and (file := re.search(r"<(/[^>]*)>", arguments)):
            return [(file.group(1), "m")]
        elif call == "connect" and "sun_path=" in arguments:
            return [(self.absolute(names[0]), "w")]
        elif call in ("rename", "renameat", "renameat2", "link", "linkat"):
            return [(self.absolute(names[0]), "rw"), (self.absolute(names[1]), "w")]
        elif call in ("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "chmod", "fchmodat", "truncate"):
            folder = DESCRIPTOR.search(arguments)
            return [(self.absolute(names[0], folder and folder.group(1)), "w")]
        return []


def main():
    rules = read_profile(sys.argv[1])
    needed = {}
    for path in sys.argv[2:]:
        process = Process()
        for line in open(path, errors="replace"):
            for name, permissions in process.needs(line):
                needed.setdefault(name, set()).update(permissions)
    for name, permissions in sorted(needed.items()):
        if name.startswith("/proc/"):
            # The profile has the number of the process, or a variable for any of them.
            name = re.sub(r"^/proc/\d+/", "/proc/1/", name)
        granted = set()
        for pattern, letters in rules:
            if pattern.match(name):
                granted |= letters
        if lacking := permissions - granted:
            print(name, "".join(sorted(lacking)))


main()
