"""States that callers leave sendmail in, for rows.py: each row runs in the one it names, in a process made by hand."""
import fcntl
import os
import pty
import resource
import select
import signal
import socket
import tempfile
import time

PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/tmp"}
PATIENCE = 60
# Where a call never ends, by Postfix's program alone as well.
SHORT_PATIENCE = 15


class Call:
    """What a state may change: before the fork the three descriptors, in the child all else, and how the input comes."""

    def __init__(self, row, ids, argv):
        self.row, self.ids, self.argv = row, ids, argv
        self.input = row["input"].encode()
        self.environment = dict(PLAIN, USER=row["user"])
        self.stdin, self.feeder = os.pipe()
        self.readers, self.outputs = zip(os.pipe(), os.pipe())
        self.in_child = []
        self.pieces = [self.input]
        self.pause, self.keeps_open, self.signal = 0, False, None
        self.patience = PATIENCE

    def file(self, before, flags):
        """The input is an unlinked file, at the offset where `before` ends."""
        handle, path = tempfile.mkstemp(dir="/tmp")
        os.chmod(path, 0o666)
        os.write(handle, before + self.input)
        os.close(handle)
        self.stdin = os.open(path, flags)
        os.unlink(path)
        os.lseek(self.stdin, len(before), os.SEEK_SET)
        self.pieces = []

    def device(self, path, flags):
        self.stdin, self.pieces = os.open(path, flags), []

    def cut(self, numerator, denominator):
        self.pieces = [self.input[:len(self.input) * numerator // denominator]]

    def slowly(self, pause):
        self.pieces, self.pause = [self.input[at:at + 7] for at in range(0, len(self.input), 7)], pause

    def socket(self):
        ours, theirs = socket.socketpair()
        self.feeder, self.stdin = ours.detach(), theirs.detach()

    def terminal(self, end):
        self.feeder, self.stdin = pty.openpty()
        self.pieces, self.keeps_open = [self.input + end], True

    def ids_without_a_name(self):
        self.ids = (4242, 4242)

    def no_blocking(self):
        """All of the input is there before any process reads: Postfix's reader gives up if it finds none."""
        fcntl.fcntl(self.stdin, fcntl.F_SETFL, fcntl.fcntl(self.stdin, fcntl.F_GETFL) | os.O_NONBLOCK)
        os.write(self.feeder, self.input)
        os.close(self.feeder)
        self.feeder, self.pieces = os.open("/dev/null", os.O_WRONLY), []

    def outputs_at(self, path):
        handle = os.open(path, os.O_WRONLY)
        self.outputs = (handle, handle)

    def child(self, act, *arguments):
        self.in_child.append((act, arguments))

    def impatient(self):
        self.patience = SHORT_PATIENCE

    def closed(self, *descriptors):
        for descriptor in descriptors:
            self.child(os.close, descriptor)

    def ignored(self, *names):
        for name in names:
            self.child(signal.signal, getattr(signal, name), signal.SIG_IGN)

    def until(self, name):
        """The caller gives up in the middle."""
        self.cut(2, 3)
        self.keeps_open, self.signal = True, getattr(signal, name)


def leak():
    for descriptor in range(3, 60):
        os.dup2(0, descriptor)


def no_readers(call):
    call.child(signal.signal, signal.SIGPIPE, signal.SIG_DFL)
    for reader in call.readers:
        os.close(reader)
    call.readers = []


def gone_folder():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def sockets(call):
    call.socket()
    pairs = [socket.socketpair() for _ in range(2)]
    call.readers = [ours.detach() for ours, _ in pairs]
    call.outputs = [theirs.detach() for _, theirs in pairs]


STATES = {
    "closed-output": lambda call: call.closed(1, 2),
    "closed-input": lambda call: call.closed(0),
    "all-closed": lambda call: call.closed(0, 1, 2),
    "full-output": lambda call: call.outputs_at("/dev/full"),
    "no-readers": no_readers,
    "sockets": sockets,
    "nonblocking-socket": lambda call: (call.socket(), call.no_blocking()),
    "nonblocking-pipe": lambda call: call.no_blocking(),
    "unlinked-file": lambda call: call.file(b"skipped\n", os.O_RDWR),
    "append-file": lambda call: call.file(b"", os.O_RDWR | os.O_APPEND),
    "null-input": lambda call: call.device("/dev/null", os.O_RDONLY),
    "write-only-input": lambda call: call.device("/dev/null", os.O_WRONLY),
    "folder-input": lambda call: call.device("/etc", os.O_RDONLY),
    "blocked-signals": lambda call: (
        call.child(signal.pthread_sigmask, signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTSTP}), call.child(os.setsid)),
    "ignored-signals": lambda call: call.ignored("SIGPIPE", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTSTP", "SIGTTIN", "SIGTTOU"),
    "ignored-children": lambda call: call.ignored("SIGCHLD"),
    "four-variables": lambda call: setattr(
        call, "environment", {"HOME": "/", "PATH": "/usr/bin:/bin", "LOGNAME": "root", "USER": "root"}),
    "no-variables": lambda call: setattr(call, "environment", {}),
    "a-name": lambda call: call.environment.update(NAME="Given, Name"),
    "umask-077": lambda call: call.child(os.umask, 0o077),
    "umask-177": lambda call: call.child(os.umask, 0o177),
    "umask-777": lambda call: call.child(os.umask, 0o777),
    "no-passwd-entry": lambda call: call.ids_without_a_name(),
    "leaked-descriptors": lambda call: call.child(leak),
    "few-descriptors": lambda call: call.child(resource.setrlimit, resource.RLIMIT_NOFILE, (16, 16)),
    "no-files": lambda call: (call.impatient(), call.child(resource.setrlimit, resource.RLIMIT_FSIZE, (0, 0))),
    "root-folder": lambda call: call.child(os.chdir, "/"),
    "gone-folder": lambda call: call.child(gone_folder),
    "slow": lambda call: call.slowly(0.02),
    "cut-in-the-header": lambda call: call.cut(1, 5),
    "cut-in-the-text": lambda call: call.cut(4, 5),
    "stays-open": lambda call: (call.impatient(), setattr(call, "keeps_open", True)),
    "terminal": lambda call: (call.impatient(), call.terminal(b"")),
    "terminal-end-of-file": lambda call: call.terminal(b"\x04"),
    "terminated": lambda call: call.until("SIGTERM"),
    "interrupted": lambda call: call.until("SIGINT"),
    "hung-up": lambda call: call.until("SIGHUP"),
    "killed": lambda call: call.until("SIGKILL"),
}


def become(call):
    for target, source in enumerate((call.stdin, *call.outputs)):
        os.dup2(source, target)
    os.closerange(3, 200)
    # Python ignores the first two, and the process that runs the tests may ignore the others; callers do not.
    for name in ("SIGPIPE", "SIGXFSZ", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.setgroups([call.ids[1]])
    os.setresgid(call.ids[1], call.ids[1], call.ids[1])
    os.setresuid(call.ids[0], call.ids[0], call.ids[0])
    os.chdir("/tmp")
    for act, arguments in call.in_child:
        act(*arguments)
    os.execve(call.row["program"], call.argv, call.environment)


def run_session(call):
    """Feeds and listens until the outputs are closed and the input is given."""
    said = {reader: b"" for reader in call.readers}
    os.set_blocking(call.feeder, False)
    left, due, deadline = list(call.pieces), time.monotonic(), time.monotonic() + call.patience
    reading, feeding = set(call.readers), True
    while (reading or (feeding and left)) and time.monotonic() < deadline:
        now = time.monotonic()
        writable = [call.feeder] if feeding and left and now >= due else []
        ready, free, _ = select.select(list(reading), writable, [], 0.02)
        for reader in ready:
            data = os.read(reader, 65536)
            said[reader] += data
            if not data:
                reading.discard(reader)
        if free:
            try:
                left[0] = left[0][os.write(call.feeder, left[0]):]
            except OSError:
                left = []
            if left and not left[0]:
                left.pop(0)
                due = now + call.pause
        if feeding and not left and not call.keeps_open:
            os.close(call.feeder)
            feeding = False
        if not left and call.signal is not None:
            time.sleep(0.5)
            os.kill(call.pid, call.signal)
            call.signal = None
    return [said[reader] for reader in call.readers] or [b"", b""]


def run(row, ids, argv):
    call = Call(row, ids, argv)
    unused = [call.stdin, call.feeder, *call.readers, *call.outputs]
    STATES[row["state"]](call)
    call.pid = os.fork()
    if call.pid == 0:
        try:
            become(call)
        finally:
            os._exit(126)
    mine = {call.feeder, *call.readers}
    for descriptor in {*unused, call.stdin, *call.outputs} - mine:
        try:
            os.close(descriptor)
        except OSError:
            pass
    stdout, stderr = run_session(call)
    deadline = time.monotonic() + min(call.patience, 5)
    while not (ended := os.waitpid(call.pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(call.pid, signal.SIGKILL)
            os.waitpid(call.pid, 0)
            return "did not end", stdout, stderr
        time.sleep(0.01)
    for descriptor in mine:
        try:
            os.close(descriptor)
        except OSError:
            pass
    return os.waitstatus_to_exitcode(ended[1]), stdout, stderr
