use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStdin, ChildStdout, ExitStatus, Stdio};

use crate::support::{Received, Sandbox, Tied, logged, stderr, stdout};

const DOMAIN: &str = "smtp.test";

fn sandbox() -> &'static Sandbox {
    use std::sync::Once;
    static KEYS_MADE: Once = Once::new();
    let sandbox = Sandbox::for_test("smtp");
    KEYS_MADE.call_once(|| {
        sandbox.key(DOMAIN, "s1");
        sandbox.key("other-smtp.test", "s2");
    });
    sandbox
}

/// A client that waits for each reply.
struct Client {
    child: Tied,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    /// Talks to what a shell text starts, and has read the greeting.
    fn new(sandbox: &Sandbox, user: &str, script: &str) -> Self {
        let mut command = sandbox.command(user, "timeout");
        command.args(["120", "/bin/sh", "-c", script]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = Tied(child.unwrap());
        let stdin = child.0.stdin.take();
        let stdout = BufReader::new(child.0.stdout.take().unwrap());
        let mut client = Self { child, stdin, stdout };
        let greeting = client.reply();
        assert!(greeting.starts_with("220 "), "{greeting}");
        client
    }

    fn put(&mut self, bytes: &[u8]) {
        self.stdin.as_ref().unwrap().write_all(bytes).unwrap();
    }

    fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let begins = reply.len();
            if self.stdout.read_line(&mut reply).unwrap() == 0
                || reply.as_bytes().get(begins + 3) != Some(&b'-')
            {
                return reply;
            }
        }
    }

    /// Says a line and gives the answer.
    fn say(&mut self, line: &str) -> String {
        self.put(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// Sends what precedes the text of a message.
    fn begin(&mut self, from: &str, to: &str) {
        assert!(self.say(&format!("MAIL FROM:<{from}>")).starts_with("250 "));
        assert!(self.say(&format!("RCPT TO:<{to}>")).starts_with("250 "));
        assert!(self.say("DATA").starts_with("354 "));
    }

    /// Sends one message with dot-stuffing; returns the last reply.
    fn send(&mut self, from: &str, to: &str, message: &str) -> String {
        self.begin(from, to);
        self.say(&format!("{message}."))
    }

    /// Says no more; the rest of the answers, and the exit code.
    fn leave(mut self) -> (String, ExitStatus) {
        self.stdin = None;
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (rest, self.child.0.wait().unwrap())
    }

    fn quit(mut self) {
        assert!(self.say("QUIT").starts_with("221 "));
        let (rest, status) = self.leave();
        assert!(rest.is_empty() && status.success(), "{rest} {status}");
    }
}

/// All of an SMTP session at once: stdout and exit code, queue ids aside.
fn at_once(sandbox: &Sandbox, script: &str, session: &str) -> (String, Option<i32>, String) {
    let output = sandbox.sh("www-data", script, session.as_bytes());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| line.split(" queued as ").next().unwrap().to_owned();
    let said: Vec<_> = said.lines().map(line).collect();
    (said.join("\n"), output.status.code(), stderr(&output))
}

fn envelope(from: &str, to: &str) -> String {
    format!("MAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nDATA\r\n")
}

/// Runs the same session with and without the wrapper, except for the recipient. The replies must be the same. Returns both
/// messages.
fn both(sandbox: &Sandbox, session: &dyn Fn(&str) -> String) -> [Received; 2] {
    let recipients = [sandbox.recipient(), sandbox.recipient()];
    let answers: Vec<_> = ["sendmail", "sendmail.postfix"]
        .iter()
        .zip(&recipients)
        .map(|(program, recipient)| {
            let script = format!("exec {program} -bs");
            let (said, code, stderr) = at_once(sandbox, &script, &session(recipient));
            (said.replace("250-SMTPUTF8\n250 CHUNKING", "250 SMTPUTF8"), code, stderr)
        })
        .collect();
    assert_eq!(answers[0], answers[1]);
    recipients.map(|recipient| sandbox.received(&recipient))
}

#[test]
#[ignore = "needs root"]
fn a_message_in_a_session_is_signed() {
    let sandbox = sandbox();
    let recipient = sandbox.recipient();
    let mut client = Client::new(sandbox, "www-data", "exec sendmail -bs");
    assert!(client.say("EHLO [127.0.0.1]").contains("PIPELINING"));
    let message = format!(
        "From: Jos\u{e9} <a@{DOMAIN}>\r\nTo: <{recipient}>\r\nSubject: x\r\n\r\n..x\r\n...\r\nSch\u{f6}ne Gr\u{fc}\u{df}e from here\r\n"
    );
    assert!(client.send(&format!("a@{DOMAIN}"), &recipient, &message).starts_with("250 2.0.0 Ok"));
    client.quit();
    let received = sandbox.received(&recipient);
    sandbox.assert_signed(&received, DOMAIN, "s1");
    assert_eq!(received.split().1, ".x\r\n..\r\nSch=C3=B6ne Gr=C3=BC=C3=9Fe from here\r\n");
    assert_eq!(received.mail_from, format!("a@{DOMAIN}"));
}

#[test]
#[ignore = "needs root"]
fn replies_are_the_same_as_without_the_wrapper() {
    let sandbox = sandbox();
    let session = |recipient: &str| {
        let message = format!("From: a@{DOMAIN}\r\n\r\nx\r\n.\r\n");
        let long = "x".repeat(3_000);
        [
            "HELP\r\nNOOP x\r\n\r\nDATA\r\nEHLO x\r\nVRFY a\r\nETRN x\r\nSTARTTLS\r\nAUTH PLAIN\r\n",
            "MAIL FROM:<a@b> BODY=9BIT\r\nRCPT TO:<x@y>\r\nDATA\r\n",
            &format!("{long}\r\n"),
            "MAIL FROM:<a@x.test>\r\nRSET\r\nDATA\r\nHELO x\r\nEHLO y\r\n",
            &format!("MAIL FROM:<a@{DOMAIN}> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x SIZE=10\r\n"),
            &format!("RCPT TO:<{recipient}> NOTIFY=NEVER ORCPT=rfc822;{recipient}\r\nRCPT TO:<>\r\n"),
            "DATA x\r\ndata\r\n",
            &message,
            &envelope("a@x.test", "<"),
            "FOO\r\nRSET\r\nQUIT\r\n",
        ]
        .concat()
    };
    let [ours, theirs] = both(sandbox, &session);
    sandbox.assert_signed(&ours, DOMAIN, "s1");
    assert_eq!(ours.mail_from, theirs.mail_from);
}

#[test]
#[ignore = "needs root"]
fn a_message_of_another_domain_passes_byte_for_byte() {
    let sandbox = sandbox();
    let texts = [
        "From: a@unknown.test\r\nTo: root\r\n\r\n..x\r\n.y\r\n\u{fc}\r\n.\r\n".to_owned(),
        "From a b\r\n From: a@unknown.test\r\nTo: root\r\n\r\nx\ny\r\r\n.\r\n".to_owned(),
        format!("Received: from x\r\nFrom: a@{DOMAIN}\r\nTo: root\r\n\r\nx\r\n.\r\n"),
        "\r\nno header\r\n.\r\n".to_owned(),
        ".\r\n".to_owned(),
        format!("From: a@unknown.test\r\n\r\n{}\r\n.\r\n", "x".repeat(9_000)),
        format!("From: a@unknown.test\r\n\r\n{}.\r\n", "0123456789\r\n".repeat(120_000)),
    ];
    for text in texts {
        let session = |recipient: &str| {
            format!("EHLO x\r\n{}{text}QUIT\r\n", envelope("x@unknown.test", recipient))
        };
        let [ours, theirs] = both(sandbox, &session);
        let shown: String = text.chars().take(99).collect();
        assert_eq!(ours.without_trace(), theirs.without_trace(), "{shown}");
        assert!(sandbox.verify(&ours).all("none"));
    }
}

#[test]
#[ignore = "needs root"]
fn what_postfix_would_complete_is_completed_before() {
    // The key of the origin would be in the way of other tests.
    let sandbox = &Sandbox::own("smtp");
    sandbox.key(DOMAIN, "s1");
    sandbox.key("origin.example", "s1");
    let sender = format!("a.b@{DOMAIN}");
    for (from, header, domain, wanted) in [
        (&*sender, "Subject: x\r\n", DOMAIN, format!("\r\nFrom: {sender}\r\n")),
        (&sender, "From a b\r\nSubject: x\r\n", DOMAIN, format!("\r\nFrom: {sender}\r\n")),
        (&sender, "From: root\r\n", "origin.example", "\r\nFrom: root@origin.example\r\n".into()),
        ("root", "To: x\r\n", "origin.example", "\r\nFrom: root@origin.example\r\n".into()),
        ("", "X: y\r\n", "origin.example", "\r\nFrom: MAILER-DAEMON@origin.example\r\n".into()),
    ] {
        let recipient = sandbox.recipient();
        let session =
            format!("HELO x\r\n{}{header}\r\nx\r\n.\r\nQUIT\r\n", envelope(from, &recipient));
        let (said, code, _) = at_once(sandbox, "sendmail -bs", &session);
        assert!(code == Some(0) && said.contains("250 2.0.0 Ok"), "{said}");
        let received = sandbox.received(&recipient);
        sandbox.assert_signed(&received, domain, "s1");
        let head = received.split().0 + "\r\n";
        assert!(head.contains(&wanted) && head.contains("\r\nDate: "), "{head}");
        assert_eq!(head.contains("\r\nX-Mailbox-Line: From a b\r\n"), header.starts_with("From a"));
    }
}

#[test]
#[ignore = "needs root"]
fn a_hundred_messages_over_one_connection_are_signed_each_by_its_domain() {
    let sandbox = sandbox();
    let mut client = Client::new(sandbox, "www-data", "exec sendmail -bs -i");
    client.say("EHLO x");
    let mut recipients = Vec::new();
    for number in 0..100 {
        let recipient = sandbox.recipient();
        let domain = [DOMAIN, "other-smtp.test"][number % 2];
        let message = format!("From: a@{domain}\r\nSubject: {number}\r\n\r\n{number}\r\n");
        let said = client.send(&format!("bounce@{domain}"), &recipient, &message);
        assert!(said.starts_with("250 2.0.0 Ok"), "{said}");
        recipients.push(recipient);
    }
    client.quit();
    let messages: Vec<_> = recipients.iter().map(|recipient| sandbox.received(recipient)).collect();
    let failures = sandbox.failures(&messages);
    assert!(failures.is_empty(), "{failures:?}");
    for (number, message) in messages.iter().enumerate() {
        let (head, body) = message.split();
        let domain = [DOMAIN, "other-smtp.test"][number % 2];
        assert!(head.contains(&format!(" d={domain};")), "{head}");
        assert_eq!(body, format!("{number}\r\n"));
    }
}

#[test]
#[ignore = "needs root"]
fn a_script_that_waits_for_nothing_and_ends_lines_by_lf_is_signed() {
    let sandbox = sandbox();
    let recipients = [sandbox.recipient(), sandbox.recipient()];
    let one = |recipient: &str| {
        let text = format!("From: a@{DOMAIN}\r\n\r\n..x\r\nx\r\n.\r\n");
        envelope(&format!("a@{DOMAIN}"), recipient) + &text
    };
    let session = format!("HELO x\r\n{}{}QUIT\r\n", one(&recipients[0]), one(&recipients[1]))
        .replace('\r', "");
    let (said, code, stderr) = at_once(sandbox, "sendmail -bs", &session);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{said}");
    for recipient in recipients {
        let received = sandbox.received(&recipient);
        sandbox.assert_signed(&received, DOMAIN, "s1");
        assert_eq!(received.split().1, ".x\r\nx\r\n");
    }
}

#[test]
#[ignore = "needs root"]
fn a_dot_that_is_the_end_for_some_servers_only_is_left_to_the_server() {
    let sandbox = sandbox();
    let mark = sandbox.mark();
    let session = |recipient: &str| {
        let hidden = format!("a@{DOMAIN}");
        format!(
            "EHLO x\r\n{}From: {hidden}\r\n\r\nx\n.\nMAIL FROM:<{hidden}>\r\nRSET\r\n.\r\nQUIT\r\n",
            envelope(&hidden, recipient)
        )
    };
    let [ours, theirs] = both(sandbox, &session);
    assert_eq!(ours.without_trace(), theirs.without_trace());
    sandbox.logged(mark, "reason=\"a line containing a single dot that not every server takes for the end of mail data\"");
}

#[test]
#[ignore = "needs root"]
fn what_is_broken_off_is_not_sent() {
    let sandbox = sandbox();
    for text in ["", "x", "x\r\n", "x\r\n.", "x\r\n.\r", "x\r\n..\r\n"] {
        for from in [DOMAIN, "unknown.test"] {
            let recipient = sandbox.recipient();
            let session = format!(
                "EHLO x\r\n{}From: a@{from}\r\n\r\n{text}",
                envelope(&format!("a@{from}"), &recipient)
            );
            let [ours, theirs] = ["sendmail", "sendmail.postfix"]
                .map(|program| at_once(sandbox, &format!("{program} -bs"), &session).1);
            assert_eq!(ours, theirs, "{text:?}");
            assert_eq!(sandbox.count(&recipient), 0, "{text:?}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_session_without_a_message_ends_the_same_as_without_the_wrapper() {
    let sandbox = sandbox();
    for session in ["", "QUIT\r\n", "EHLO x\r\n", "EHLO", "MAIL FROM:<a@b>\r\nDATA\r\nRSET\r\n"] {
        let [ours, theirs] = ["sendmail", "sendmail.postfix"]
            .map(|program| at_once(sandbox, &format!("{program} -bs"), session));
        assert_eq!(
            ours.0,
            theirs.0.replace("250-SMTPUTF8\n250 CHUNKING", "250 SMTPUTF8"),
            "{session:?}"
        );
        assert_eq!((ours.1, ours.2), (theirs.1, theirs.2));
    }
}

#[test]
#[ignore = "needs root"]
fn odd_descriptors_change_nothing() {
    let sandbox = sandbox();
    for how in [
        "sendmail -bs >&-",
        "sendmail -bs >&- 2>&-",
        "sendmail -bs >/dev/null",
        "cat >/tmp/smtp.$$; sendmail -bs </tmp/smtp.$$",
        "sendmail -bs | cat",
        "ulimit -n 16; sendmail -bs 2>/dev/null",
        "trap '' PIPE HUP INT QUIT; sendmail -bs",
        "trap '' CHLD; sendmail -bs",
        "umask 777; cd /; env -i /usr/sbin/sendmail -bs",
        "/usr/lib/sendmail -bs -odb -oem",
    ] {
        let recipient = sandbox.recipient();
        let sender = format!("a@{DOMAIN}");
        let session = format!(
            "EHLO x\r\n{}From: {sender}\r\n\r\nx\r\n.\r\nQUIT\r\n",
            envelope(&sender, &recipient)
        );
        let (said, code, stderr) = at_once(sandbox, how, &session);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{how}: {said}");
        sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
    }
    let closed = ["sendmail", "sendmail.postfix"]
        .map(|program| at_once(sandbox, &format!("{program} -bs <&-"), ""));
    assert_eq!(closed[0], closed[1]);
}

#[test]
#[ignore = "needs root"]
fn bdat_that_was_not_offered_passes_unsigned() {
    let sandbox = sandbox();
    let mark = sandbox.mark();
    let session = |recipient: &str| {
        format!(
            "EHLO x\r\nMAIL FROM:<a@{DOMAIN}>\r\nRCPT TO:<{recipient}>\r\nBDAT 31 LAST\r\n\
             From: a@{DOMAIN}\r\n\r\nDATA\r\n\r\nQUIT\r\n"
        )
    };
    let [ours, theirs] = both(sandbox, &session);
    assert_eq!(ours.without_trace(), theirs.without_trace());
    sandbox.logged(mark, "result=unsigned reason=\"sent with BDAT\"");
}

#[test]
#[ignore = "needs root"]
fn a_tcp_socket_brings_mail_from_elsewhere() {
    let sandbox = sandbox();
    // Both kinds of socket, and what sits at the other end.
    sandbox.write(
        "/opt/sandbox/over-socket.py",
        "import socket, subprocess, sys\n\
         if sys.argv[1] == 'tcp':\n    listener = socket.create_server(('127.0.0.1', 0))\n    \
         ours = socket.create_connection(listener.getsockname())\n    theirs = listener.accept()[0]\n\
         else:\n    ours, theirs = socket.socketpair()\n\
         child = subprocess.Popen(['sendmail', '-bs'], stdin=theirs, stdout=theirs)\ntheirs.close()\n\
         ours.sendall(sys.stdin.buffer.read())\nours.shutdown(socket.SHUT_WR)\n\
         try:\n    while ours.recv(4096): pass\nexcept ConnectionResetError: pass\nsys.exit(child.wait())\n",
    );
    // As with inetd, Postfix expects to be called by its own user.
    for (kind, user, result) in [("tcp", "postfix", "none"), ("unix", "www-data", "pass")] {
        let recipient = sandbox.recipient();
        let session = format!(
            "EHLO x\r\n{}From: a@{DOMAIN}\r\n\r\nx\r\n.\r\nQUIT\r\n",
            envelope(&format!("a@{DOMAIN}"), &recipient)
        );
        let script = format!("python3 /opt/sandbox/over-socket.py {kind}");
        stdout(&sandbox.sh(user, &script, session.as_bytes()));
        let verdicts = sandbox.verify(&sandbox.received(&recipient));
        assert!(verdicts.all(result), "{kind}: {verdicts}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_message_that_cannot_be_signed_goes_in_as_it_came_or_is_refused_alone() {
    let sandbox = sandbox();
    sandbox.key("broken-smtp.test", "s1");
    sandbox.root("rm /etc/sendmail-dkim/keys/broken-smtp.test/s1.private");
    let mark = sandbox.mark();
    let broken = |recipient: &str| {
        format!(
            "EHLO x\r\n{}From: a@broken-smtp.test\r\nTo: root\r\n\r\n.x\r\n.\r\nQUIT\r\n",
            envelope("a@broken-smtp.test", recipient)
        )
    };
    let [ours, theirs] = both(sandbox, &broken);
    assert_eq!(ours.without_trace(), theirs.without_trace());
    let line = sandbox.logged(mark, "author=<a@broken-smtp.test>");
    assert!(line.contains("result=unsigned reason=\"cannot open key"), "{line}");
    assert!(line.contains("s1.private: no such file or directory"), "{line}");

    sandbox.root("echo 'on_error = \"refuse\"' >>/etc/sendmail-dkim/domains/broken-smtp.test.toml");
    let (refused, good) = (sandbox.recipient(), sandbox.recipient());
    let mut client = Client::new(sandbox, "www-data", "exec sendmail -bs");
    client.say("EHLO x");
    for _ in 0..3 {
        let message = "From: a@broken-smtp.test\r\n\r\n.x\r\n";
        let said = client.send("a@broken-smtp.test", &refused, message);
        assert_eq!(said, "451 4.7.0 Error: not signed, so not accepted\r\n");
        assert!(client.say("DATA").starts_with("503 "));
    }
    let message = format!("From: a@{DOMAIN}\r\n\r\nx\r\n");
    assert!(client.send(&format!("a@{DOMAIN}"), &good, &message).starts_with("250 2.0.0 Ok"));
    client.quit();
    sandbox.assert_signed(&sandbox.received(&good), DOMAIN, "s1");
    assert_eq!(sandbox.count(&refused), 0);
    sandbox.logged(mark, "author=<a@broken-smtp.test> d=broken-smtp.test s=s1 result=refused");
}

#[test]
#[ignore = "needs root"]
fn the_group_is_dropped_before_the_first_byte_and_no_process_can_be_traced() {
    let sandbox = sandbox();
    let look = "PIDS=$(pgrep -u nobody -x -f 'sendmail -bs'); for PID in $PIDS; do \
        grep -E '^(Gid|PPid):' /proc/$PID/status; cat /proc/$PID/mem /proc/$PID/environ; ls /proc/$PID/fd; \
        timeout 2 strace -p $PID 2>&1 | grep read; done 2>/dev/null";
    let script = format!(
        "mkfifo /tmp/look.$$; sendmail -bs </tmp/look.$$ >/dev/null & exec 9>/tmp/look.$$; sleep 0.5; \
         {look}; rm /tmp/look.$$"
    );
    let shown = stdout(&sandbox.sh("nobody", &script, b""));
    let ids: Vec<_> = shown.lines().filter(|line| line.starts_with("Gid:")).collect();
    let group = sandbox.root("getent group sendmail-dkim | cut -d: -f3");
    let gids = |own: &str, saved: &str| format!("Gid:\t{own}\t{own}\t{saved}\t{own}");
    // The one that reads, and the one that keeps the group.
    assert_eq!(ids, [gids("65534", "65534"), gids("65534", group.trim())], "{shown}");
    assert_eq!(shown.lines().count(), 4, "{shown}");

    // The same when a key was opened: the group is only in effect while it is.
    let mut client = Client::new(sandbox, "games", "exec sendmail -bs");
    client.say("EHLO x");
    let (from, recipient) = (format!("a@{DOMAIN}"), sandbox.recipient());
    let message = format!("From: {from}\r\n\r\nx\r\n");
    assert!(client.send(&from, &recipient, &message).starts_with("250 2.0.0 Ok"));
    let look =
        "for PID in $(pgrep -u games -x -f 'sendmail -bs'); do grep ^Gid: /proc/$PID/status; done";
    let expected = format!("{}\n{}\n", gids("60", "60"), gids("60", group.trim()));
    assert_eq!(sandbox.root(look), expected);
    client.quit();
    sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
}

#[test]
#[ignore = "needs root"]
fn a_signal_that_ends_the_wrapper_ends_the_real_sendmail_and_sends_nothing() {
    let sandbox = sandbox();
    let recipient = sandbox.recipient();
    let pid_file = format!("/tmp/pid.{recipient}");
    let mut client =
        Client::new(sandbox, "www-data", &format!("echo $$ >{pid_file}; exec sendmail -bs"));
    client.say("EHLO x");
    client.begin(&format!("a@{DOMAIN}"), &recipient);
    client.put(format!("From: a@{DOMAIN}\r\n\r\nx\r\n").as_bytes());
    sandbox.root(&format!("kill -TERM $(cat {pid_file})"));
    let (said, status) = client.leave();
    // timeout(1) passes it on by a signal to itself.
    assert_eq!((said.as_str(), status.signal()), ("", Some(15)));
    let left = "for i in $(seq 50); do pgrep -P $(cat PID) || exit 0; sleep 0.1; done; exit 1";
    sandbox.root(&left.replace("PID", &pid_file));
    assert_eq!(sandbox.count(&recipient), 0);
}

#[test]
#[ignore = "needs root"]
fn a_message_that_the_client_leaves_incomplete_is_neither_sent_nor_logged() {
    let sandbox = sandbox();
    for from in ["a@left.test".to_owned(), format!("left@{DOMAIN}")] {
        let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
        let mut client = Client::new(sandbox, "www-data", "exec sendmail -bs");
        client.say("EHLO x");
        client.begin(&from, &recipient);
        client.put(format!("From: {from}\r\n\r\nx\r\n").as_bytes());
        client.leave();
        assert_eq!(logged(sandbox, mark, &format!("author=<{from}>"), 0), [""; 0], "{from}");
        assert_eq!(sandbox.count(&recipient), 0, "{from}");
    }
}

#[test]
#[ignore = "needs root"]
fn thirty_megabytes_need_little_memory_and_are_signed() {
    let sandbox = Sandbox::own("smtp");
    sandbox.key(DOMAIN, "s1");
    sandbox.root("postconf -e message_size_limit=100000000; postfix reload");
    let recipient = sandbox.recipient();
    let mut client =
        Client::new(&sandbox, "www-data", "echo $$ >/tmp/large.pid; exec sendmail -bs");
    client.say("EHLO x");
    client.say(&format!("MAIL FROM:<a@{DOMAIN}> SIZE=30000000"));
    client.say(&format!("RCPT TO:<{recipient}>"));
    client.say("DATA");
    client.put(format!("From: a@{DOMAIN}\r\nSubject: large\r\n\r\n").as_bytes());
    let lines = "..0123456789 0123456789 0123456789 0123456789 0123456789 \u{e9}\r\n".repeat(1_000);
    let mut length = 0;
    while length < 30_000_000 {
        client.put(lines.as_bytes());
        length += lines.len();
    }
    let said = client.say(".");
    assert!(said.starts_with("250 2.0.0 Ok"), "{said}");
    let status = sandbox.root("grep VmHWM /proc/$(cat /tmp/large.pid)/status");
    let peak: u64 = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak <= 8 << 10, "{status}");
    client.quit();
    sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
}

#[test]
#[ignore = "needs root"]
fn a_message_that_fits_only_unsigned_goes_in_as_it_came() {
    let sandbox = Sandbox::own("smtp");
    sandbox.key(DOMAIN, "s1");
    sandbox.root("postconf -e message_size_limit=50000; postfix reload");
    let mark = sandbox.mark();
    for (size, result) in [(15_000, "none"), (5_000, "pass")] {
        let recipient = sandbox.recipient();
        let mut client = Client::new(&sandbox, "www-data", "exec sendmail -bs");
        client.say("EHLO x");
        let message =
            format!("From: a@{DOMAIN}\r\n\r\n{}", "\u{e9}\u{e9}\u{e9}\r\n".repeat(size / 3));
        let said = client.send(&format!("a@{DOMAIN}"), &recipient, &message);
        assert!(said.starts_with("250 2.0.0 Ok"), "{said}");
        client.quit();
        let verdicts = sandbox.verify(&sandbox.received(&recipient));
        assert!(verdicts.all(result), "{size}: {verdicts}");
    }
    sandbox.logged(mark, "signed, it would be larger than message_size_limit");
}

#[test]
#[ignore = "needs root"]
fn a_message_that_is_too_large_gets_the_same_reply_as_without_the_wrapper() {
    let sandbox = Sandbox::own("smtp");
    sandbox.key(DOMAIN, "s1");
    sandbox.root("postconf -e message_size_limit=50000; postfix reload");
    let mark = sandbox.mark();
    let [ours, theirs] = ["sendmail", "sendmail.postfix"].map(|program| {
        let mut client =
            Client::new(&sandbox, "www-data", &format!("exec /usr/sbin/{program} -bs"));
        client.say("EHLO x");
        let body = "0123456789\r\n".repeat(300_000);
        let message = format!("From: a@{DOMAIN}\r\n\r\n{body}");
        let said = client.send(&format!("a@{DOMAIN}"), &sandbox.recipient(), &message);
        let next = client.say("NOOP");
        client.quit();
        (said, next)
    });
    assert_eq!(ours, theirs);
    assert!(ours.0.starts_with("552 "), "{ours:?}");
    // It was not kept to its end.
    sandbox.logged(mark, "the message is larger than message_size_limit");
}
