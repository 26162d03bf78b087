use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output};

use crate::support::{Sandbox, Stage, feed, project, result, stderr, stdout};

const DOMAIN: &str = "log.test";

/// What may be behind `/dev/log`; see `tests/it/sandbox/odd-log.py`.
const DAEMONS: &[&str] = &[
    "datagrams-unread",
    "datagrams-left",
    "stream-not-accepted",
    "stream-unread",
    "stream-hangs-up",
    "stream-read",
    "packets",
    "file",
    "forbidden",
];

/// A script as www-data, with such a daemon. What hangs is killed.
fn with_daemon(sandbox: &Sandbox, daemon: &str, script: &str, input: &[u8]) -> Output {
    let mut command = sandbox.command("root", "unshare");
    command.args(["-m", "/opt/sandbox/odd-log.py", daemon, "timeout", "-s", "KILL", "60"]);
    command.args(["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", "sh", "-c"]);
    feed(command.arg(script), input)
}

#[test]
#[ignore = "needs root"]
fn no_daemon_of_the_log_holds_up_mail_or_makes_it_fail() {
    let sandbox = Sandbox::own("log");
    sandbox.key(DOMAIN, "s1");
    // The programs of Postfix wait for some of these daemons themselves.
    let real = sandbox.static_queue("/tmp/queue");
    sandbox.write("/etc/sendmail-dkim/config.toml", &format!("sendmail = {real:?}\n"));
    for daemon in DAEMONS.iter().copied() {
        for (domain, is_signed) in [(DOMAIN, true), ("unknown.test", false)] {
            for is_session in [false, true] {
                let what = format!("{daemon} {domain} -bs: {is_session}");
                let recipient = sandbox.recipient();
                let text = format!("From: a@{domain}\r\n\r\nx\r\n");
                let (script, input) = if is_session {
                    let envelope = format!("MAIL FROM:<a@b.test>\r\nRCPT TO:<{recipient}>\r\n");
                    let input = format!("EHLO x\r\n{envelope}DATA\r\n{text}.\r\nQUIT\r\n");
                    ("exec sendmail -bs".to_owned(), input)
                } else {
                    (format!("exec sendmail -i {recipient}"), text)
                };
                let output = with_daemon(&sandbox, daemon, &script, input.as_bytes());
                assert!(output.status.success(), "{what}: {output:?}");
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let is_quiet = said.is_empty() || is_session || daemon == "stream-read";
                assert!(is_quiet && output.stderr.is_empty(), "{what}: {output:?}");
                let kept = sandbox.root(&format!("cat /tmp/queue/{recipient}/* | tr '\\0' ' '"));
                assert_eq!(kept.contains(" d=log.test;"), is_signed, "{what}: {kept}");
                if daemon == "stream-read" {
                    // Ended by a NUL, as such daemons expect it.
                    let end =
                        if is_signed { "s=s1 result=signed" } else { "reason=\"no domain file\"" };
                    let is_logged = said.contains(&format!("{end}\\x00'"));
                    assert!(said.contains("b'<22>sendmail-dkim[") && is_logged, "{what}: {said}");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn no_daemon_of_the_log_makes_a_refusal_anything_else() {
    let sandbox = Sandbox::with_key("log", "refused-log.test", "s1");
    sandbox.root(
        "cd /etc/sendmail-dkim; rm keys/refused-log.test/*
         echo 'on_error = \"refuse\"' >>domains/refused-log.test.toml",
    );
    for daemon in DAEMONS.iter().copied() {
        let message = b"From: a@refused-log.test\n\nx\n";
        let output = with_daemon(sandbox, daemon, "exec sendmail -i nobody@sink.test", message);
        assert_eq!(output.status.code(), Some(75), "{daemon}: {output:?}");
    }
}

#[test]
fn a_message_id_that_was_added_is_logged() {
    let stage = Stage::new();
    stage.config("log_destination = \"stderr\"");
    let output = stage.submit(&["-i", "b@y.test"], b"From: a@sample.com\n\nx\n");
    let sent = stage.captured().unwrap().text();
    let (_, after) = sent.split_once("\nMessage-ID: ").unwrap();
    let id = after.lines().next().unwrap();
    assert!(stderr(&output).contains(&format!(" message-id={id} ")), "{output:?}");
}

#[test]
fn an_unsigned_message_is_logged_with_its_message_id_even_if_signed_ones_are_not() {
    let stage = Stage::new();
    stage.config("log_destination = \"stderr\"\nlog_success = false");
    for from in ["a@other.test", "a@sample.com, b@other.test"] {
        let message = format!("From: {from}\nMessage-ID: <1@other.test>\n\nx\n");
        let output = stage.submit(&["-i", "b@y.test"], message.as_bytes());
        let said = stderr(&output);
        assert!(said.contains(" message-id=<1@other.test> "), "{said}");
        assert!(said.contains(" result=unsigned reason="), "{said}");
    }
}

#[test]
fn a_long_line_on_standard_error_fits_into_a_pipe_that_is_ready() {
    let stage = Stage::new();
    stage.config("log_destination = \"stderr\"");
    let key = "\u{202e}".repeat(2_000);
    stage.write("etc/domains/sample.com.toml", &format!("selector = \"s1\"\n\"{key}\" = 1\n"));
    let output = stage.submit(&["-i", "b@y.test"], b"From: a@sample.com\n\nx\n");
    let said = stderr(&output);
    assert!(output.status.success() && said.contains(": line 2: unknown key"), "{output:?}");
    // PIPE_BUF of pipe(7).
    assert!(said.len() > 3_000 && said.len() <= 4_096, "{}", said.len());
    assert!(said.ends_with('\n') && said.lines().count() == 1, "{said}");
}

#[test]
fn a_failure_is_one_line_if_the_log_goes_to_standard_error_too() {
    let stage = Stage::new();
    let more = "log_destination = \"stderr\"\n";
    stage.write("etc/config.toml", &format!("sendmail = \"/nowhere/sendmail\"\n{more}"));
    let output = stage.submit(&["-i", "b@y.test"], b"From: a@sample.com\n\nx\n");
    let said = stderr(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(75), 1), "{said}");
    assert!(said.starts_with("sendmail.dkim: fatal: no real sendmail at "), "{said}");
}

#[test]
#[ignore = "needs root"]
fn the_log_goes_to_the_configured_destination() {
    let sandbox = Sandbox::own("log-destination");
    sandbox.key(DOMAIN, "s1");
    let real = sandbox.static_queue("/tmp/queue");
    let message = format!("From: a@{DOMAIN}\nMessage-ID: <1@{DOMAIN}>\n\nx\n");
    let sent = |destination: &str| {
        let config = format!("sendmail = {real:?}\nlog_destination = {destination:?}\n");
        sandbox.write("/etc/sendmail-dkim/config.toml", &config);
        let mark = sandbox.mark();
        let script = "exec sendmail -i -f bounce@own.test nobody@sink.test";
        let output = sandbox.sh("www-data", script, message.as_bytes());
        assert!(output.status.success() && output.stdout.is_empty(), "{destination}: {output:?}");
        let least = usize::from(destination == "syslog");
        let logged = crate::support::logged(&sandbox, mark, "uid=33 ", least);
        (String::from_utf8(output.stderr).unwrap(), !logged.is_empty())
    };
    assert_eq!(sent("none"), (String::new(), false));
    assert_eq!(sent("syslog"), (String::new(), true));
    let (line, is_logged) = sent("stderr");
    let line = line.split(" time=").collect::<Vec<_>>();
    let [before, after] = line[..] else { panic!("{line:?}") };
    let id = format!("envelope=<bounce@own.test> message-id=<1@{DOMAIN}> size={}", message.len());
    assert!(before.starts_with("sendmail-dkim: uid=33 ") && before.ends_with(&id), "{before}");
    let end = format!(" author=<a@{DOMAIN}> d={DOMAIN} s=s1 result=signed\n");
    assert!(after.ends_with(&end) && !is_logged, "{after}");
}

/// Standard error may be closed, have lost its reader, or be full.
#[test]
#[ignore = "needs root"]
fn no_standard_error_holds_up_mail_or_changes_the_signals() {
    let sandbox = Sandbox::own("log-stderr");
    sandbox.key(DOMAIN, "s1");
    sandbox
        .write("/tmp/real", "#!/bin/sh\ncat >/tmp/got.$$\nexec grep 'Sig[PBIC]' /proc/$$/status\n");
    sandbox.root("chmod 755 /tmp/real; chmod 1777 /tmp");
    let config = "sendmail = \"/tmp/real\"\nlog_destination = \"stderr\"\n";
    sandbox.write("/etc/sendmail-dkim/config.toml", config);
    let message = format!("From: a@{DOMAIN}\n\nx\n");
    let sent = |how: &str| {
        let script = format!(
            r#"exec timeout -s KILL 60 python3 -c '
import os, signal, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
{how}
os.execv("/usr/sbin/sendmail", ["sendmail", "-i", "nobody@sink.test"])'"#
        );
        let output = sandbox.sh("www-data", &script, message.as_bytes());
        assert!(output.status.success(), "{how}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let usual = sent("");
    assert!(usual.contains("SigBlk:\t0000000000000000"), "{usual}");
    for how in [
        "os.close(2)",
        "r, w = os.pipe(); os.dup2(w, 2); os.close(r)",
        "r, w = os.pipe(); os.set_inheritable(r, True); os.set_blocking(w, False)\n\
         while True:\n  try: os.write(w, b\"x\" * 4096)\n  except BlockingIOError: break\n\
         os.set_blocking(w, True); os.dup2(w, 2)",
        "os.dup2(os.open(\"/dev/full\", os.O_WRONLY), 2)",
    ] {
        assert_eq!(sent(how), usual, "{how}");
    }
    let kept = sandbox.root("grep -l 'd=log.test;' /tmp/got.* | wc -l");
    assert_eq!(kept.trim(), "5");
}

/// A line of a signed message so long ago.
fn signed(ago: &str) -> String {
    let time = Command::new("date").args(["-u", "-d", ago, "+%FT%TZ"]).output().unwrap();
    let time = stdout(&time);
    format!(
        "{} h sendmail-dkim[1]: uid=0 author=<a@x.test> d=x.test s=s result=signed\n",
        time.trim()
    )
}

#[test]
fn the_last_day_is_counted_and_for_prometheus_the_whole_log() {
    let stage = Stage::new();
    let log = ["3 years ago", "2 days ago", "1 hour ago"].map(signed).concat();
    stage.write("log", &log);
    let path = stage.path("log").display().to_string();
    let count = |file: &str, args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
        command.args(["log", "--file", file]).args(args);
        stdout(&feed(&mut command, log.as_bytes()))
    };
    for (args, expected) in [(&[][..], 1), (&["--since", "3d"], 2), (&["--since", "2020-01-01"], 3)]
    {
        for file in [&path, "-"] {
            let found = result(count(file, &[args, &["--json"]].concat()));
            assert_eq!(found["signed"], expected, "{file} {args:?}: {found}");
        }
    }
    for (args, expected) in [(&[][..], 3), (&["--since", "3d"], 2)] {
        let text = count(&path, &[args, &["--prometheus"]].concat());
        let sample = format!("domain=\"x.test\",result=\"signed\",reason=\"\"}} {expected}\n");
        assert!(text.contains(&sample), "{args:?}: {text}");
    }
}

#[test]
fn a_log_that_the_caller_may_not_read_is_no_empty_log() {
    use std::os::unix::process::CommandExt as _;
    let stage = Stage::new();
    stage.write("log", &signed("1 hour ago"));
    fs::set_permissions(stage.path("log"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    let output = command.args(["log", "--file"]).arg(stage.path("log")).output().unwrap();
    assert_eq!(output.status.code(), Some(77), "{output:?}");
}

/// The form of each line in a file of rsyslogd.
const RSYSLOG: &str = r#"
module(load="imuxsock")
action(type="omfile" file="/var/log/rfc3339" template="RSYSLOG_FileFormat")
action(type="omfile" file="/var/log/traditional" template="RSYSLOG_TraditionalFileFormat")
"#;

/// What a Prometheus parser reads, one line for each sample.
const SAMPLES: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        print(family.type, sample.name, sorted(sample.labels.items()), int(sample.value))
";

#[test]
#[ignore = "needs root"]
fn dkimctl_counts_what_became_of_mail_in_the_log_of_a_real_daemon() {
    let sandbox = Sandbox::on("logging", "tests/it/sandbox/layer.sh logging");
    sandbox.key(DOMAIN, "s1");
    sandbox.key("users-log.test", "s1");
    sandbox.root("echo 'users = [\"root\"]' >>/etc/sendmail-dkim/domains/users-log.test.toml");
    let real = sandbox.static_queue("/tmp/queue");
    sandbox.write("/etc/sendmail-dkim/config.toml", &format!("sendmail = {real:?}\n"));
    sandbox.write("/etc/rsyslog.test", RSYSLOG);
    sandbox.root("rm /dev/log; TZ=Asia/Tokyo rsyslogd -f /etc/rsyslog.test -i /tmp/rsyslog.pid");
    for (from, times) in [
        (format!("a@{DOMAIN}"), 3),
        ("a@unknown.test".to_owned(), 2),
        ("a@users-log.test".to_owned(), 1),
        // This looks like another line.
        ("\"x result=signed\"@unknown.test".to_owned(), 1),
    ] {
        for _ in 0..times {
            let message = format!("From: {from}\n\nx\n");
            let output =
                sandbox.sh("www-data", "exec sendmail -i nobody@sink.test", message.as_bytes());
            assert!(output.status.success(), "{output:?}");
        }
    }
    // The daemon writes all that it has when it ends.
    sandbox.root("logger end; kill $(cat /tmp/rsyslog.pid); while [ -e /tmp/rsyslog.pid ]; do sleep 0.1; done");
    for file in ["/var/log/rfc3339", "/var/log/traditional"] {
        let log = |options: &str| {
            sandbox.root(&format!("TZ=Asia/Tokyo dkimctl log --file {file} {options}"))
        };
        let found = result(log("--json"));
        let counts =
            ["signed", "unsigned", "refused"].map(|result| found[result].as_u64().unwrap());
        assert_eq!(counts, [3, 4, 0], "{file}: {found}");
        assert_eq!(found["users"][0]["name"], "www-data");
        let text = log("");
        for expected in [
            "        3         0         0  log.test\n",
            "        0         3         0  unknown.test\n",
            "        3  no domain file\n           If the domain is yours, make a key for it",
            "        4  www-data (uid 33)\n",
        ] {
            assert!(text.contains(expected), "{file}: {expected}\n{text}");
        }
        // Nothing is a second old.
        let none = log("--since 2099-01-01");
        assert!(none.contains("        0  signed\n        0  unsigned\n"), "{none}");
        sandbox.write("/tmp/samples.py", SAMPLES);
        let samples = sandbox.root(&format!(
            "TZ=Asia/Tokyo dkimctl log --file {file} --prometheus | python3 /tmp/samples.py"
        ));
        let labels = "('domain', 'log.test'), ('reason', ''), ('result', 'signed')";
        let expected = format!("counter sendmail_dkim_messages_total [{labels}] 3\n");
        assert!(samples.contains(&expected), "{file}: {samples}");
        let labels = "('domain', ''), ('reason', 'no-domain-file'), ('result', 'unsigned')";
        assert!(samples.contains(&format!("[{labels}] 3\n")), "{file}: {samples}");
        assert!(samples.contains("counter sendmail_dkim_failures_total [] 0\n"), "{samples}");
    }
    fail2ban(&sandbox);
    // Without a file: the mail log of the host, if it is not an old one.
    let script = "cp /var/log/rfc3339 /var/log/mail.log; dkimctl log | head -n 2 | tail -n 1
                  cp /var/log/rfc3339 /var/log/mail.log.1; dkimctl log | head -n 2 | tail -n 1
                  rm /var/log/mail.log.1; touch -d '2 days ago' /var/log/mail.log; dkimctl log 2>&1; echo $?";
    let output = sandbox.root(script);
    assert!(output.starts_with("        3  signed\n        6  signed\n"), "{output}");
    assert!(output.contains("--file") && output.ends_with("66\n"), "{output}");
}

/// The filter of docs/monitoring.md finds the line of the user who may not sign, in both forms, and no other.
fn fail2ban(sandbox: &Sandbox) {
    let text = fs::read_to_string(project("docs/monitoring.md")).unwrap();
    let regex = text.lines().find_map(|line| line.trim().strip_prefix("failregex = ")).unwrap();
    sandbox.write("/tmp/filter.conf", &format!("[Definition]\nfailregex = {regex}\n"));
    for file in ["/var/log/rfc3339", "/var/log/traditional"] {
        let shown = sandbox.root(&format!("fail2ban-regex {file} /tmp/filter.conf"));
        let found = shown.lines().find(|line| line.starts_with("Failregex:")).unwrap();
        assert_eq!(found, "Failregex: 1 total", "{shown}");
    }
}
