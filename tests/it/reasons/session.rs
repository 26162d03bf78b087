//! What the log says of messages inside a session, with servers of every manner behind the wrapper.

use super::{DOMAIN, RESTORE, set_up, submit, text};
use crate::support::Sandbox;

/// In place of the real sendmail. /opt/manner says what is odd about it; what it has read is appended to /tmp/read.
const SERVER: &str = r#"#!/usr/bin/python3
import sys
manner = open("/opt/manner").read().strip()
read = open("/tmp/read", "a")
def say(text):
    print(text, end="\r\n", flush=True)
say("220 x")
for line in sys.stdin:
    read.write(line)
    read.flush()
    word = line.split()[0].upper() if line.split() else ""
    if word == "STARTTLS":
        say("220 go")
    elif word == "DATA" and manner == "silent":
        while sys.stdin.readline().strip() != ".":
            pass
        say("354 go")
        say("250 late")
    elif word == "DATA" or word == "XTEXT":
        say("354 go")
        if manner == "dies":
            sys.exit(3)
        while True:
            line = sys.stdin.readline()
            read.write(line)
            read.flush()
            if not line:
                sys.exit(0)
            if line.strip() == ".":
                break
        say("250 kept")
    elif word == "QUIT":
        say("221 x")
        break
    else:
        say("250 x")
"#;

fn serve(sandbox: &Sandbox, manner: &str) {
    sandbox.write("/opt/serve", SERVER);
    sandbox.write("/opt/manner", manner);
    sandbox.root(
        "chmod 755 /opt/serve; rm -f /tmp/read; touch /tmp/read; chmod 666 /tmp/read
         sed -i 's|^sendmail = .*|sendmail = \"/opt/serve\"|' /etc/sendmail-dkim/config.toml",
    );
}

fn message(command: &str) -> String {
    format!(
        "MAIL FROM:<a@b.test>\r\nRCPT TO:<x@y.test>\r\n{command}\r\n{}.\r\n",
        text(DOMAIN).replace('\n', "\r\n")
    )
}

/// Runs a whole session: what the client reads.
fn talk(sandbox: &Sandbox, script: &str, session: &str) -> String {
    let output = sandbox.sh("www-data", &format!("exec timeout 60 {script}"), session.as_bytes());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The server has five minutes to answer DATA: here poll(2) says at once that they are over. Which of the calls waits for that
/// answer depends on how much comes at a time; where it is another one, the session never ends. So several are tried at once,
/// and what the first one said that ended is shown.
const IMPATIENT: &str = r#"exec timeout -s KILL 60 bash -c '
cat >/tmp/session
for which in 5+2 6+2 7+2 8+2 6+3 7+3; do
    (exec strace -I1 -o /dev/null -e inject=poll:retval=0:when=$which -u www-data /usr/sbin/sendmail.dkim -bs \
        </tmp/session >/tmp/said-$BASHPID 2>/dev/null) &
done
until wait -n -p ended; do :; done
kill $(jobs -pr) 2>/dev/null
cat /tmp/said-$ended'"#;

#[test]
#[ignore = "needs root"]
fn a_session_that_is_not_followed_passes_and_is_logged() {
    let sandbox = set_up();
    for (manner, before, command, reason) in [
        ("plain", "STARTTLS\r\n", "DATA", "sent after STARTTLS"),
        ("plain", "", "XTEXT", "sent after an unknown command that was answered with 354"),
        ("silent", "", "DATA", "DATA was not answered"),
    ] {
        serve(&sandbox, manner);
        let mark = sandbox.mark();
        let session = format!("EHLO x\r\n{before}{}QUIT\r\n", message(command));
        let output = if manner == "silent" {
            sandbox.sh("root", IMPATIENT, session.as_bytes())
        } else {
            submit(&sandbox, "", "-bs", &session)
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = sandbox.logged(mark, "uid=33 ");
        assert!(line.ends_with(&format!("result=unsigned reason=\"{reason}\"")), "{line}");
        assert!(said.contains("\r\n354 go\r\n250 ") && said.ends_with("221 x\r\n"), "{said}");
        let read = sandbox.root("cat /tmp/read");
        assert!(!read.contains("DKIM-Signature"), "{read}");
    }
    // In between it is understood.
    serve(&sandbox, "plain");
    talk(&sandbox, "sendmail -bs", &format!("EHLO x\r\n{}QUIT\r\n", message("DATA")));
    assert!(sandbox.root("cat /tmp/read").contains("\nDKIM-Signature: "));
}

#[test]
#[ignore = "needs root"]
fn a_server_that_ends_inside_the_message_is_a_failure() {
    let sandbox = set_up();
    serve(&sandbox, "dies");
    for from in [DOMAIN, "unknown.test"] {
        let mark = sandbox.mark();
        let large = "0123456789\r\n".repeat(60_000);
        let session = format!(
            "EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<x@y.test>\r\nDATA\r\n{}{large}.\r\nQUIT\r\n",
            text(from).replace('\n', "\r\n")
        );
        let said = talk(&sandbox, "sendmail -bs", &session);
        assert!(said.ends_with("354 go\r\n"), "{said}");
        let line = sandbox.logged(mark, &format!("author=<a@{from}>"));
        let end = "result=refused reason=\"the real sendmail ended inside the message\"";
        assert!(line.ends_with(end), "{line}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_message_that_cannot_be_passed_on_in_a_session_is_a_failure() {
    let sandbox = set_up();
    serve(&sandbox, "plain");
    let mark = sandbox.mark();
    let session = |number: i32| {
        let sender = format!("a{number}@b.test");
        let session = format!("EHLO x\r\n{}QUIT\r\n", message("DATA").replace("a@b.test", &sender));
        let script = format!(
            "timeout 60 strace -o /dev/null -u www-data -e inject=poll:error=ENOMEM:when={number} \
             /usr/sbin/sendmail.dkim -bs"
        );
        let output = sandbox.sh("root", &script, session.as_bytes());
        (sender, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let sessions: Vec<_> = (1..40).map(session).collect();
    // Looked at last, because the log may get the line of one session during the next.
    let log = std::fs::read(sandbox.path("/out/syslog")).unwrap();
    let log = String::from_utf8_lossy(&log[mark..]).into_owned();
    let refused = "result=refused reason=\"cannot hand it over: ";
    let mut seen = false;
    for (sender, said) in sessions {
        if log.lines().any(|line| line.contains(&sender) && line.contains(refused)) {
            let hung_up = "421 4.3.0 Error: cannot hand over the message, closing connection\r\n";
            seen |= said.ends_with(hung_up);
            assert!(!said.contains("250 kept"), "{said}");
        }
    }
    assert!(seen, "no call failed inside the message");
}

#[test]
#[ignore = "needs root"]
fn without_a_second_process_a_session_obeys_on_error() {
    let sandbox = set_up();
    for (under, who, reason) in [
        (
            "exec bash -c 'ulimit -u 0; exec \"$@\"' x ",
            "www-data",
            "cannot start the process that signs: ",
        ),
        (
            "exec strace -o /dev/null -u www-data -e inject=clone3:error=EAGAIN ",
            "root",
            "cannot relay the SMTP session: ",
        ),
    ] {
        for refuse in [false, true] {
            serve(&sandbox, "plain");
            if refuse {
                sandbox.root("echo 'on_error = \"refuse\"' >>/etc/sendmail-dkim/config.toml");
            }
            let mark = sandbox.mark();
            let session = format!("EHLO x\r\n{}QUIT\r\n", message("DATA"));
            let script = format!("{under}/usr/sbin/sendmail.dkim -bs");
            let output = sandbox.sh(who, &script, session.as_bytes());
            let line = sandbox.logged(mark, reason);
            let result = if refuse { "refused" } else { "unsigned" };
            assert!(line.contains(&format!("result={result} reason=\"{reason}")), "{line}");
            assert_eq!(output.status.code(), Some(if refuse { 75 } else { 0 }), "{output:?}");
            let read = sandbox.root("tr -d '\\r' </tmp/read");
            assert_eq!(read.contains(&text(DOMAIN)), !refuse, "{read}");
            assert!(!read.contains("DKIM-Signature"), "{read}");
            sandbox.root(RESTORE);
        }
    }
}

/// A client that kills the process that keeps the group, once the greeting is there.
const KILLER: &str = "import os, signal, subprocess, sys, time
child = subprocess.Popen(['setpriv', '--reuid=www-data', '--regid=www-data', '--clear-groups', 'sendmail', '-bs'],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
for one in open('/proc/%d/task/%d/children' % (child.pid, child.pid)).read().split():
    if os.readlink('/proc/%s/exe' % one).endswith('sendmail.dkim'):
        os.kill(int(one), signal.SIGKILL)
        time.sleep(0.2)
print(child.communicate(sys.stdin.buffer.read(), timeout=60)[0].decode())";

#[test]
#[ignore = "needs root"]
fn without_the_process_that_signs_a_session_goes_on() {
    let sandbox = set_up();
    sandbox.write("/opt/killer.py", KILLER);
    for refuse in [false, true] {
        serve(&sandbox, "plain");
        if refuse {
            sandbox.root("echo 'on_error = \"refuse\"' >>/etc/sendmail-dkim/config.toml");
        }
        let mark = sandbox.mark();
        let session = format!("EHLO x\r\n{0}{0}QUIT\r\n", message("DATA"));
        let said = sandbox.sh("root", "python3 /opt/killer.py", session.as_bytes());
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let line = sandbox.logged(mark, &format!("author=<a@{DOMAIN}>"));
        let result = if refuse { "refused" } else { "unsigned" };
        let reason = "the process that signs has ended";
        assert!(line.contains(&format!("result={result} reason=\"{reason}")), "{line}");
        let answer = if refuse { "\n451 4.7.0 Error: not signed" } else { "\n250 kept" };
        assert_eq!(said.matches(answer).count(), 2, "{said}");
        sandbox.root(RESTORE);
    }
}
