//! Where the program finds itself: descriptors, limits, folder, umask, root and namespaces.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

use super::{DOMAIN, KEY, SHOW, apart, message, sandbox, shown, user};
use crate::support::{
    Attacks, Observed, Sandbox, User, assert_no_secret, logged, project, stderr, stdout,
};

#[test]
#[ignore = "needs root"]
fn closed_descriptors_do_not_matter() {
    let sandbox = sandbox();
    let attacks = Attacks::of(closed_descriptors_do_not_matter);
    let user = user();
    let from = format!("a@{DOMAIN}");
    // Were the key opened as descriptor 0, it would be the message; as 1 or 2, output would be written to it.
    for (closed, has_stdin) in [
        ("0<&-", false),
        ("1>&-", true),
        ("2>&-", true),
        ("0<&- 1>&-", false),
        ("0<&- 2>&-", false),
        ("1>&- 2>&-", true),
        ("0<&- 1>&- 2>&-", false),
    ] {
        let text = if has_stdin { message(&from) } else { Vec::new() };
        for options in ["-i", "-t -i", "-G -i", "-oi -v"] {
            let script = format!("exec sendmail {options} -f {from} RCPT {closed}");
            let observed = Observed::of(sandbox, &user, &script, &text);
            let wanted = (!options.contains("-G")).then(|| DOMAIN.to_owned());
            assert_eq!(observed.signed_by(), wanted, "{script}: {observed:?}");
            let body = observed.arrived.as_ref().unwrap().split().1;
            assert_eq!(body.trim(), if has_stdin { "x" } else { "" });
            attacks.row(&format!("sendmail {options} {closed}"), &observed.outcome());
        }
    }
    // glibc opens them for reading in a set-gid program, so that postqueue would fail.
    for script in ["sendmail -bp >&- 2>&-", "sendmail -bp >&-", "sendmail -bp 2>&-", "mailq <&-"] {
        let output = sandbox.sh(&user.name, script, b"");
        assert!(output.status.success(), "{script}: {output:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn descriptors_leak_neither_in_nor_out() {
    let sandbox = sandbox();
    let attacks = Attacks::of(descriptors_leak_neither_in_nor_out);
    let user = user();
    let from = message(&format!("a@{DOMAIN}"));
    for (what, before) in [
        (
            "3 to 1,000 open",
            "for n in range(3, 1001): os.dup2(os.open(\"/etc/passwd\", os.O_RDONLY), n)",
        ),
        (
            "3 to 9 open for writing",
            "for n in range(3, 10): os.dup2(os.open(\"/tmp/x%d\" % os.getuid(), 66), n)",
        ),
        (
            "folders, O_PATH",
            "for n in range(3, 20): os.dup2(os.open(\"/etc/sendmail-dkim\", os.O_PATH), n)",
        ),
        ("4 the end of a pipe without a reader", "os.dup2(os.pipe()[1], 4)"),
        (
            "5 a socket to the log",
            "import socket; s = socket.socket(1, 2); s.connect(\"/dev/log\"); os.dup2(s.fileno(), 5)",
        ),
        ("7 its own /proc/self/mem", "os.dup2(os.open(\"/proc/self/mem\", os.O_RDWR), 7)"),
        ("8 of its own /proc/self/fd", "os.dup2(os.open(\"/proc/self/fd\", os.O_RDONLY), 8)"),
    ] {
        let script = |program: &str| {
            format!(
                "exec python3 -c 'import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
{before}
for n in range(3, 1200):
    try: os.set_inheritable(n, True)
    except OSError: pass
os.execv(\"{program}\", [\"sendmail\", \"-i\", \"RCPT\"])'"
            )
        };
        let observed = Observed::of(sandbox, &user, &script("/usr/sbin/sendmail"), &from);
        assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{what}: {observed:?}");
        // To the real sendmail come down those of the caller, and no other.
        let fds = |program: &str| {
            let shown = shown(sandbox, &user, &script(program), &from);
            let fds =
                shown.lines().filter(|line| line.starts_with("fd ") && !line.starts_with("fd 0"));
            fds.map(|fd| fd.replace(char::is_numeric, "")).collect::<Vec<_>>()
        };
        let (ours, theirs) = (fds("/usr/sbin/sendmail"), fds("/etc/sendmail-dkim/show"));
        assert_eq!(ours, theirs, "{what}");
        let left = format!(
            "{}; {} descriptors are open in the real sendmail, as without the wrapper",
            observed.outcome(),
            ours.len()
        );
        attacks.row(what, &left);
    }
}

/// What came of a message in the queue of a stand-in for the real sendmail that needs next to nothing.
struct Queued {
    status: ExitStatus,
    said: String,
    /// `None` where nothing is in the queue.
    is_signed: Option<bool>,
    /// The line of the log after `result=`; empty where there is none.
    logged: String,
}

/// Submits by a script in which RCPT stands for the recipient, with the stand-in behind. What hangs is a failure.
fn queued(sandbox: &Sandbox, user: &User, script: &str, message: &[u8]) -> Queued {
    static REAL: OnceLock<String> = OnceLock::new();
    let real = REAL.get_or_init(|| sandbox.static_queue("/tmp/queue"));
    let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
    let script = format!("exec timeout -s KILL 60 {}", script.replace("RCPT", &recipient));
    let changes = format!("echo 'sendmail = \"{real}\"' >config.toml");
    let output = apart(sandbox, user, &changes, &script, message);
    assert_no_secret(sandbox, &[output.stdout.clone(), output.stderr.clone()].concat());
    let hangs = [124, 137, 247].map(Some).contains(&output.status.code());
    assert!(!hangs, "it hangs: {script}: {output:?}");
    let entries = fs::read_dir(sandbox.path(&format!("/tmp/queue/{recipient}")));
    let kept = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    // What was not renamed is not there.
    let is_whole = |path: &PathBuf| path.extension().is_none_or(|extension| extension != "new");
    let kept: Vec<_> = kept.filter(is_whole).collect();
    assert!(kept.len() <= 1, "{script}: {kept:?}");
    let is_signed = kept.first().map(|path| {
        let kept = fs::read(path).unwrap();
        assert_no_secret(sandbox, &kept);
        assert!(kept.ends_with(message), "{script}: {} bytes", kept.len());
        String::from_utf8_lossy(&kept).contains(&format!(" d={DOMAIN};"))
    });
    assert_eq!(output.status.success(), is_signed.is_some(), "{script}: {output:?}");
    let lines = logged(sandbox, mark, &format!("uid={} ", user.uid), 0);
    assert!(lines.len() <= 1, "{lines:?}");
    let line = lines.first().and_then(|line| line.split_once("result="));
    let logged = line.map_or(String::new(), |(_, end)| end.to_owned());
    Queued { status: output.status, said: stderr(&output), is_signed, logged }
}

impl Queued {
    fn row(&self) -> String {
        let sent = match self.is_signed {
            None => "not accepted",
            Some(true) => "sent signed",
            Some(false) => "sent unsigned",
        };
        let said = self.said.lines().last().unwrap_or_default();
        format!("{sent}, {}; {said} {}", self.status, self.logged)
    }
}

#[test]
#[ignore = "needs root"]
fn without_a_descriptor_for_the_key_mail_goes_out_unsigned() {
    let sandbox = sandbox();
    let attacks = Attacks::of(without_a_descriptor_for_the_key_mail_goes_out_unsigned);
    let user = user();
    let mut outcomes = Vec::new();
    for room in 0..8 {
        let script = format!(
            "python3 -c 'import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({room} + 20, 2048))
for n in range(3, 20): os.dup2(0, n)
os.execv(\"/usr/sbin/sendmail\", [\"sendmail\", \"-i\", \"RCPT\"])'"
        );
        let message =
            format!("From: a@{DOMAIN}\nDate: x\nMessage-ID: <x@y.test>\nSubject: x\n\nx\n");
        let queued = queued(sandbox, &user, &script, message.as_bytes());
        let (logged, said) = (&queued.logged, &queued.said);
        let reasons = ["cannot start the process that signs: too many", "cannot open key "];
        let reasons = reasons.map(|reason| format!("unsigned reason=\"{reason}"));
        match queued.is_signed {
            Some(true) => assert_eq!(logged, "signed", "{room}"),
            Some(false) => {
                assert!(reasons.iter().any(|reason| logged.starts_with(reason)), "{logged}");
            }
            None => assert!(said.contains("error while loading shared libraries"), "{said}"),
        }
        outcomes.push(queued.is_signed);
        attacks.row(&format!("room for {room} descriptors above 3 to 19"), &queued.row());
    }
    // From nothing over no key to all that is needed.
    assert!(outcomes.is_sorted() && outcomes.contains(&Some(false)), "{outcomes:?}");
    assert!(outcomes.last() == Some(&Some(true)), "{outcomes:?}");
}

#[test]
#[ignore = "needs root"]
fn folder_umask_and_terminal_do_not_matter() {
    let sandbox = sandbox();
    let attacks = Attacks::of(folder_umask_and_terminal_do_not_matter);
    let user = user();
    for how in [
        "d=$(mktemp -d); cd $d; rmdir $d",
        "d=$(mktemp -d); cd $d; chmod 000 $d",
        "d=$(mktemp -d); mkdir \"$d/$(printf 'a\\nb')\"; cd \"$d/$(printf 'a\\nb')\"",
        "cd /proc/self/fd",
        "cd /proc/1 2>/dev/null; cd /dev/shm",
        "umask 777",
        "umask 000",
        "umask 077",
        "ulimit -c unlimited",
        "trap '' HUP INT QUIT PIPE TERM CHLD ALRM USR1 USR2",
        "nice -n 19 true; renice 19 $$ >/dev/null",
    ] {
        let script = format!("{how}; exec setsid -w sendmail -i RCPT");
        let observed = Observed::of(sandbox, &user, &script, &message(&format!("a@{DOMAIN}")));
        assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{how}: {observed:?}");
        attacks.row(how, &observed.outcome());
    }
}

#[test]
#[ignore = "needs root"]
fn other_users_cannot_read_the_message_file_under_any_umask() {
    let sandbox = sandbox();
    let attacks = Attacks::of(other_users_cannot_read_the_message_file_under_any_umask);
    let user = user();
    assert!(SHOW.contains("stdin mode"));
    let large = format!("From: a@{DOMAIN}\n\n{}", "0123456789\n".repeat(200_000));
    for umask in ["000", "022", "777"] {
        let script = format!("umask {umask}; exec sendmail -i x@sink.test");
        let shown = shown(sandbox, &user, &script, large.as_bytes());
        let kept = shown.lines().find(|line| line.starts_with("stdin mode")).unwrap();
        let mode = if umask == "777" { "0" } else { "600" };
        assert_eq!(kept, format!("stdin mode {mode} links 0"), "{umask}");
        attacks.row(&format!("umask {umask}, 2.2 MB"), kept);
    }
}

#[test]
#[ignore = "needs root"]
fn under_any_limit_mail_arrives_or_is_not_accepted() {
    let sandbox = sandbox();
    let attacks = Attacks::of(under_any_limit_mail_arrives_or_is_not_accepted);
    let user = user();
    let message = format!(
        "From: a@{DOMAIN}\nDate: x\nMessage-ID: <x@y.test>\n\n{}",
        "0123456789\n".repeat(120_000)
    );
    // With less than this the loader or the stack fails, before a line of the program runs, or its memory runs out.
    let short = [
        "-v 4000", "-v 6000", "-v 6500", "-v 7000", "-v 7500", "-v 8000", "-n 0", "-n 3", "-d 100",
        "-s 16", "-s 64",
    ];
    // No descriptor or process for the signature.
    let no_key = ["-n 4", "-n 5", "-n 7", "-u 0", "-u 1"];
    // The stand-in cannot write either.
    let no_file = ["-f 0", "-f 1", "-f 500"];
    let enough = [
        "-v 30000",
        "-n 16",
        "-t 1",
        "-c 0",
        "-c unlimited",
        "-l 0",
        "-m 0",
        "-x 0",
        "-i 0",
        "-q 0",
        "-r 0",
        "-e 0",
    ];
    for limit in [short.as_slice(), &no_key, &no_file, &enough].concat() {
        let script = format!("bash -c 'ulimit {limit} && exec sendmail -i RCPT'");
        let queued = queued(sandbox, &user, &script, message.as_bytes());
        let row = queued.row();
        if no_key.contains(&limit) {
            let reasons = ["cannot start the process that signs: ", "cannot open key "];
            let is_reason =
                |reason: &&str| queued.logged.starts_with(&format!("unsigned reason=\"{reason}"));
            assert!(queued.is_signed == Some(false) && reasons.iter().any(is_reason), "{row}");
        } else if no_file.contains(&limit) {
            let reason = "unsigned reason=\"no room for the message: ";
            assert!(queued.is_signed.is_none() && queued.logged.starts_with(reason), "{row}");
        } else if enough.contains(&limit) {
            assert!(queued.is_signed == Some(true) && queued.logged == "signed", "{limit}: {row}");
        } else {
            let logged = queued.logged.as_str();
            assert!(queued.is_signed.is_none_or(|signed| signed == (logged == "signed")), "{row}");
        }
        attacks.row(&format!("ulimit {limit}, 1.3 MB"), &row);
    }
}

#[test]
#[ignore = "needs root"]
fn in_a_user_namespace_the_bit_is_ignored() {
    let sandbox = sandbox();
    let attacks = Attacks::of(in_a_user_namespace_the_bit_is_ignored);
    let user = user();
    let real = "echo 'sendmail = \"/bin/true\"' >config.toml";
    // A configuration, a passwd and keys of one's own are seen there: the wrapper must have nothing to lose.
    let own = "mkdir -p /tmp/evil/$$/keys; mount -t tmpfs -o mode=755 x /etc/sendmail-dkim/domains && \
        printf \"selectors = [\\\"s1\\\"]\\ndomain = \\\"forbidden.test\\\"\\n\" >/etc/sendmail-dkim/domains/default.toml";
    for (what, enter) in [
        ("no id mapped", "unshare -U".to_owned()),
        ("root there", "unshare -r".to_owned()),
        ("root there, all namespaces", "unshare -r -m -p -i -u -n -f".to_owned()),
        (
            "root there, domain files of one's own",
            format!("unshare -r -m sh -c '{own}; exec \"$@\"' x"),
        ),
        ("no id mapped, /proc of one's own", "unshare -r -m -p -f --mount-proc".to_owned()),
        ("chroot there", "unshare -r chroot /".to_owned()),
    ] {
        let mark = sandbox.mark();
        let script = format!("{enter} /usr/sbin/sendmail.dkim x@sink.test");
        let from = format!("u{}@{DOMAIN}", user.uid);
        let output = apart(sandbox, &user, real, &script, &message(&from));
        assert_no_secret(sandbox, &[output.stdout.clone(), output.stderr.clone()].concat());
        let lines = logged(sandbox, mark, &format!("author=<{from}>"), 1);
        assert!(
            lines.len() == 1 && lines[0].contains(".private, the set-gid bit was ignored"),
            "{lines:?}"
        );
        let (_, line) = lines[0].split_once("]: ").unwrap();
        attacks.row(&format!("user namespace: {what}"), &line.replace(KEY, "KEY"));
    }
    // Where root maps all ids, the bit holds, and it is no attack.
    let script = format!(
        "cat >/tmp/evil/mapped; mkfifo /tmp/evil/go; unshare -U sh -c 'read x </tmp/evil/go; \
         exec setpriv --reuid={0} --regid={0} --clear-groups sendmail -i RCPT </tmp/evil/mapped' & \
         while [ $(readlink /proc/$!/ns/user) = $(readlink /proc/$$/ns/user) ]; do sleep 0.1; done; \
         for map in gid uid; do echo 0 0 65000 >/proc/$!/${{map}}_map; done; echo >/tmp/evil/go; wait $!",
        user.name
    );
    let root = User { name: "root".to_owned(), ..user };
    let observed = Observed::of(sandbox, &root, &script, &message(&format!("a@{DOMAIN}")));
    assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{observed:?}");
    attacks.row("user namespace that root makes, all ids mapped", &observed.outcome());
}

#[test]
#[ignore = "needs root"]
fn in_a_chroot_without_proc_dev_and_passwd_it_signs() {
    let sandbox = sandbox();
    let attacks = Attacks::of(in_a_chroot_without_proc_dev_and_passwd_it_signs);
    let user = user();
    // The real sendmail is static; no other file is there but the wrapper, its libraries and its configuration.
    sandbox.root(
        "mkdir -p /jail/usr/sbin /jail/etc /jail/out; chmod 1777 /jail/out; cp -a /etc/sendmail-dkim /jail/etc; \
         cp -a /usr/sbin/sendmail.dkim /jail/usr/sbin; \
         for file in $(ldd /usr/sbin/sendmail.dkim | grep -o '/[^ ]*'); do cp -L --parents $file /jail; done",
    );
    let made = Command::new("cc")
        .args(["-O1", "-static", "-DFOLDER=\"/out\"", "-o"])
        .arg(sandbox.path("/jail/usr/sbin/sendmail.postfix"))
        .arg(project("tests/it/faults/queue.c"))
        .output();
    stdout(&made.unwrap());
    // chroot(1) requires root, and becomes the user then.
    let script = format!(
        "exec chroot --userspec={0}:{0} --groups= /jail /usr/sbin/sendmail.dkim -i x@sink.test",
        user.uid
    );
    let output = sandbox.sh("root", &script, &message(&format!("a@{DOMAIN}")));
    assert!(output.status.success(), "{output:?}");
    let kept = sandbox.root("cat /jail/out/*/* | tr '\\0' '\\n'");
    assert!(kept.contains(&format!("d={DOMAIN}")), "{kept}");
    assert_no_secret(sandbox, kept.as_bytes());
    let domain = kept.split("; d=").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    attacks.row("chroot without /proc, /dev and passwd", &format!("handed on signed, d={domain}"));
}
