//! The process while it has a key: looked into, traced, made to dump, its group asked for.

use super::{DOMAIN, KEY, apart, message, sandbox, user};
use crate::support::{Attacks, Sandbox, User, assert_no_secret, logged, secrets};

/// Runs a program with a pipe held open as its stdin, so that it waits, and lets its own user look at it. The wrapper waits
/// with the key in memory.
fn while_it_waits(sandbox: &Sandbox, user: &User, program: &str, look: &str) -> String {
    let text = if program == SESSION { "EHLO x\\r\\n" } else { "From: a@privilege.test\\n\\nx\\n" };
    let script = format!(
        "cd $(mktemp -d); mkfifo wait; ulimit -c unlimited; {program} <wait & PID=$!; exec 9>wait; \
         printf '{text}' >&9; {WAIT}; {look}; kill $PID 2>/dev/null"
    );
    let output = sandbox.sh(&user.name, &script, b"");
    assert_no_secret(sandbox, &output.stderr);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Until it is the program that was asked for, and the group is given up: then the key is open.
const WAIT: &str = "for try in $(seq 300); do [ $(cat /proc/$PID/comm) != sh ] && \
    awk '/^Gid:/ { exit !($2 == $3 && $3 == $4) }' /proc/$PID/status && break; sleep 0.1; done; sleep 0.2";

const WRAPPER: &str = "sendmail -i x@unknown.test";
const SESSION: &str = "sendmail -bs";

#[test]
#[ignore = "needs root"]
fn a_waiting_wrapper_shows_nothing_to_its_own_user() {
    let sandbox = sandbox();
    let attacks = Attacks::of(a_waiting_wrapper_shows_nothing_to_its_own_user);
    let user = user();
    // It has opened the key by now: the ids are the user's alone.
    let ids = while_it_waits(sandbox, &user, WRAPPER, "grep -E '^(Gid|Uid):' /proc/$PID/status");
    assert_eq!(ids, format!("Uid:\t{0}\t{0}\t{0}\t{0}\nGid:\t{0}\t{0}\t{0}\t{0}\n", user.uid));
    // Each shows something of a program without the bit.
    for look in [
        "cat /proc/$PID/maps 2>/dev/null",
        "cat /proc/$PID/environ 2>/dev/null | tr '\\0' x",
        "cat /proc/$PID/auxv 2>/dev/null | od -An",
        "cat /proc/$PID/syscall 2>/dev/null",
        "cat /proc/$PID/personality 2>/dev/null",
        "ls -l /proc/$PID/fd 2>/dev/null",
        "cat /proc/$PID/fdinfo/0 2>/dev/null",
        "readlink /proc/$PID/exe /proc/$PID/cwd /proc/$PID/root",
        "ls /proc/$PID/map_files 2>/dev/null",
        "cat /proc/$PID/task/$PID/maps 2>/dev/null",
        "cat /proc/$PID/io 2>/dev/null",
        "python3 -c 'import sys; f = open(\"/proc/%s/mem\" % sys.argv[1], \"rb\"); print(f)' $PID 2>/dev/null",
        "timeout 10 gdb -p $PID -batch -ex 'info registers' 2>/dev/null | grep -A3 '^rax'",
        "timeout 10 gdb -p $PID -batch -ex \"dump memory all 0x7ffff0000000 0x7ffff0001000\" -ex bt 2>/dev/null | grep '^#'",
        "timeout 2 strace -p $PID 2>&1 | grep -a 'read('",
        "python3 -c 'import ctypes, sys; c = ctypes.CDLL(None)
c.pidfd_open.restype = ctypes.c_int
fd = c.syscall(438, c.syscall(434, int(sys.argv[1]), 0), 0, 0); print(fd) if fd >= 0 else 0' $PID 2>/dev/null",
    ] {
        let seen = while_it_waits(sandbox, &user, "cat", look);
        assert!(!seen.is_empty(), "{look} shows nothing of any program");
        let ours = while_it_waits(sandbox, &user, WRAPPER, look);
        assert_eq!(ours, "", "{look}");
        let look = look.replace("2>/dev/null", "").replace("timeout 10 ", "");
        attacks.row(&look, &format!("{} bytes; of cat(1), {}", ours.len(), seen.len()));
    }
}

#[test]
#[ignore = "needs root"]
fn no_signal_makes_it_leave_a_core() {
    let sandbox = sandbox();
    let attacks = Attacks::of(no_signal_makes_it_leave_a_core);
    let user = user();
    for signal in ["QUIT", "SEGV", "ABRT", "ILL", "BUS", "FPE", "TRAP", "SYS", "XCPU", "XFSZ"] {
        // What wait(2) says of it holds for any core_pattern. Twice: the first SIGSEGV goes to Rust's own handler, which
        // looks for a stack overflow and then lets the next one through. A shell has ignored SIGQUIT for what it runs in
        // the background.
        let dumps = |program: &str| {
            let script = format!(
                "cd $(mktemp -d); exec python3 -c 'import os, resource, signal, subprocess, time
resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
signal.signal(signal.SIG{signal}, signal.SIG_DFL)
child = subprocess.Popen(\"{program}\".split(), stdin=subprocess.PIPE, restore_signals=True)
child.stdin.write(b\"From: a@{DOMAIN}\\n\\nx\\n\"); child.stdin.flush(); time.sleep(0.3)
child.send_signal(signal.SIG{signal}); time.sleep(0.1)
try: os.kill(child.pid, signal.SIG{signal})
except OSError: pass
status = os.waitpid(child.pid, 0)[1]
print(os.WTERMSIG(status), os.WCOREDUMP(status), os.listdir(\".\"))'"
            );
            let output = sandbox.sh(&user.name, &script, b"");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let (ours, other) = (dumps(WRAPPER), dumps("cat"));
        assert!(other.contains("True"), "{signal}: {other}");
        assert!(ours.ends_with(" False []"), "{signal}: {ours}");
        let outcome = format!("signal, core, files: {ours}; of cat(1): {other}");
        attacks.row(&format!("kill -{signal} with RLIMIT_CORE unlimited"), &outcome);
    }
}

#[test]
#[ignore = "needs root"]
fn what_was_opened_before_the_exec_shows_nothing_after_it() {
    let sandbox = sandbox();
    let attacks = Attacks::of(what_was_opened_before_the_exec_shows_nothing_after_it);
    let user = user();
    for program in [WRAPPER, "cat"] {
        let script = format!(
            "exec python3 -c 'import os, time
wait, go = os.pipe(); stdin, text = os.pipe()
child = os.fork()
if child == 0:
    os.read(wait, 1); os.dup2(stdin, 0); os.close(text)
    os.execvp(\"{program}\".split()[0], \"{program}\".split())
names = [\"maps\", \"mem\", \"environ\", \"fd\", \"smaps\"]
files = {{}}
for name in names:
    try: files[name] = os.open(\"/proc/%d/%s\" % (child, name), os.O_RDONLY)
    except OSError as error: pass
os.write(go, b\"x\"); os.write(text, b\"From: a@{DOMAIN}\\n\\nx\\n\"); 
while open(\"/proc/%d/comm\" % child).read().strip() not in (\"sendmail\", \"cat\"): time.sleep(0.05)
time.sleep(0.3)
for name, file in files.items():
    try:
        if name == \"fd\":
            got = []
            for number in os.listdir(file):
                try: got.append(os.open(number, os.O_RDONLY | os.O_NONBLOCK, dir_fd=file))
                except OSError as error: got.append(error.strerror)
            got = \", \".join(sorted(set(map(str, got))))
        elif name == \"mem\": got = len(os.pread(file, 64, 0x400000))
        else: got = len(os.read(file, 65536))
        print(name, got)
    except OSError as error: print(name, error.strerror)
os.kill(child, 9)'"
        );
        let output = sandbox.sh(&user.name, &script, b"");
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(seen.contains("maps ") && seen.contains("environ "), "{output:?}");
        let got = |name: &str| {
            let line = seen.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(' ').map_or(String::new(), |(_, got)| got.to_owned())
        };
        for name in ["maps", "smaps", "environ", "mem", "fd"] {
            let got = got(name);
            let nothing = ["0", "Permission denied", "No such process", "Input/output error"];
            if program != "cat" {
                assert!(nothing.contains(&got.as_str()), "{name}: {got}\n{seen}");
                attacks.row(&format!("/proc/PID/{name}, opened before the exec"), &got);
            } else if name == "fd" {
                assert!(!nothing.contains(&got.as_str()), "{name}: {got}\n{seen}");
            }
        }
    }
}

/// In place of the real sendmail in an SMTP session.
const SERVER: &str = r#"#!/usr/bin/python3
import sys
print("220 x\r", flush=True)
for line in sys.stdin:
    if line.startswith("DATA"):
        print("354 go\r", flush=True)
        while sys.stdin.readline().strip() != ".": pass
    print("250 x\r", flush=True)
"#;

/// In place of the real sendmail, whose postdrop has a bit of its own that is ignored too: it would wait for ever.
const REAL: &str = "echo 'sendmail = \"/bin/true\"' >config.toml";

#[test]
#[ignore = "needs root"]
fn under_a_debugger_the_bit_is_ignored_and_mail_goes_out_unsigned() {
    let sandbox = sandbox();
    let attacks = Attacks::of(under_a_debugger_the_bit_is_ignored_and_mail_goes_out_unsigned);
    let user = user();
    for (what, tracer) in [
        ("strace -f", "strace -f -o /dev/null -e trace=none"),
        ("strace that makes setresgid(2) lie", "strace -o /dev/null -e inject=setresgid:retval=0"),
        ("strace that makes prctl(2) lie", "strace -o /dev/null -e inject=prctl:retval=0"),
        ("gdb", "gdb -q -batch -ex run -ex bt --args"),
    ] {
        let mark = sandbox.mark();
        let script = format!("timeout 60 {tracer} /usr/sbin/sendmail.dkim x@sink.test");
        let output = apart(sandbox, &user, REAL, &script, &message(&format!("a@{DOMAIN}")));
        assert_no_secret(sandbox, &[output.stdout, output.stderr].concat());
        let lines = logged(sandbox, mark, &format!("uid={} ", user.uid), 1);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let wanted = format!(
            " author=<a@{DOMAIN}> d={DOMAIN} s=s1 result=unsigned reason=\"cannot open key {KEY}, \
             the set-gid bit was ignored or is not there: permission denied\""
        );
        assert!(lines[0].ends_with(&wanted), "{lines:?}");
        attacks.row(what, lines[0].split_once(" s=s1 ").unwrap().1);
    }
}

#[test]
#[ignore = "needs root"]
fn without_new_privileges_mail_goes_out_unsigned_and_the_log_says_why() {
    let sandbox = sandbox();
    let attacks = Attacks::of(without_new_privileges_mail_goes_out_unsigned_and_the_log_says_why);
    let user = user();
    let from = message(&format!("a@{DOMAIN}"));
    let wanted = format!(
        "result=unsigned reason=\"cannot open key {KEY}, the set-gid bit was ignored or is not there: \
         permission denied\""
    );
    let nosuid = "mount --bind /usr/sbin /usr/sbin; mount -o remount,bind,nosuid /usr/sbin";
    let chmod = "mkdir /opt/apart.sbin.$$; cp /usr/sbin/sendmail.dkim /opt/apart.sbin.$$/x; \
        mount --bind /opt/apart.sbin.$$/x /usr/sbin/sendmail.dkim";
    for (what, changes, script) in [
        ("NoNewPrivileges", ":", "setpriv --no-new-privs sendmail x@sink.test"),
        ("NoNewPrivileges, -t", ":", "setpriv --no-new-privs sendmail -t x@sink.test"),
        ("a mount with nosuid", nosuid, "sendmail x@sink.test"),
        ("the bit taken away", chmod, "sendmail x@sink.test"),
    ] {
        let mark = sandbox.mark();
        let output = apart(sandbox, &user, &format!("{REAL}; {changes}"), script, &from);
        assert_no_secret(sandbox, &[output.stdout, output.stderr].concat());
        let lines = logged(sandbox, mark, &format!("uid={} ", user.uid), 1);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].ends_with(&wanted), "{lines:?}");
        attacks.row(what, lines[0].split_once(" s=s1 ").unwrap().1);
    }
    // Inside an SMTP session too.
    let mark = sandbox.mark();
    let session = format!(
        "EHLO x\r\nMAIL FROM:<a@{DOMAIN}>\r\nRCPT TO:<x@sink.test>\r\nDATA\r\nFrom: a@{DOMAIN}\r\n\r\nx\r\n.\r\nQUIT\r\n"
    );
    sandbox.write("/opt/serve", SERVER);
    let serve = "chmod 755 /opt/serve; echo 'sendmail = \"/opt/serve\"' >config.toml";
    let script = "timeout 60 setpriv --no-new-privs sendmail -bs";
    apart(sandbox, &user, serve, script, session.as_bytes());
    let lines = logged(sandbox, mark, &format!("uid={} ", user.uid), 1);
    assert!(lines.len() == 1 && lines[0].ends_with(&wanted), "{lines:?}");
    attacks.row("NoNewPrivileges, -bs", lines[0].split_once(" s=s1 ").unwrap().1);
}

#[test]
#[ignore = "needs root"]
fn the_signer_of_a_session_reveals_nothing_and_obeys_no_user() {
    let sandbox = sandbox();
    let attacks = Attacks::of(the_signer_of_a_session_reveals_nothing_and_obeys_no_user);
    let user = user();
    let among = |look: &str| {
        // Both children and the one that reads: the real sendmail shows what any program shows.
        let look = format!(
            "for CHILD in $PID $(cat /proc/$PID/task/$PID/children); do \
             [ $(cat /proc/$CHILD/comm) != sendmail ] || {{ {}; }}; done",
            look.replace("$PID", "$CHILD")
        );
        while_it_waits(sandbox, &user, SESSION, &look)
    };
    let comms = among("echo $PID");
    assert_eq!(comms.lines().filter(|line| line.parse::<u32>().is_ok()).count(), 2, "{comms}");
    for look in [
        "cat /proc/$PID/maps 2>/dev/null",
        "cat /proc/$PID/environ 2>/dev/null",
        "ls -l /proc/$PID/fd 2>/dev/null",
        "timeout 10 gdb -p $PID -batch -ex 'info registers' 2>/dev/null | grep -A3 '^rax'",
    ] {
        let seen = among(look);
        let seen: Vec<&str> = seen.lines().filter(|line| !is_smtp(line)).collect();
        assert_eq!(seen, [""; 0], "{look}");
        let what = format!("-bs, both processes: {}", look.replace(" 2>/dev/null", ""));
        attacks.row(&what, &format!("{} lines", seen.len()));
    }
    assert!(secrets(sandbox).len() > 60);
}

/// What the session itself says.
fn is_smtp(line: &str) -> bool {
    let code = line.get(..3).unwrap_or_default();
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit())
}
