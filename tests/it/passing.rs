use crate::support::{Received, Sandbox, stdout};

/// Mail of another user with a local From, as it was received.
const FORGED: &str = "Received: from mx.example.net (mx.example.net [192.0.2.1])\n\
    \tby mail.example.net with ESMTP id 1; Tue, 14 Nov 2023 22:13:20 +0000\n\
    From: The Boss <boss@ours.test>\n\
    To: staff, other@ours.test\n\
    Subject: Pay   now\n\
    Date: Tue, 14 Nov 2023 22:13:20 +0000\n\
    Message-ID: <1@example.net>\n\
    MIME-Version: 1.0\n\
    Content-Type: text/plain; charset=utf-8\n\
    Content-Transfer-Encoding: 8bit\n\
    \n\
    Gr\u{fc}\u{df}e\n\
    \n\
    From the bank\n\
    ..\n\
    end\n";

/// A sandbox with programs that hand on mail, a key for the domain, and the message in a file and in a mailbox.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::on("passing", "tests/it/sandbox/layer.sh passing");
    sandbox.key("ours.test", "s1");
    sandbox.write("/tmp/forged", FORGED);
    let mbox = FORGED.replace("\nFrom the", "\n>From the");
    sandbox.write("/tmp/mbox", &format!("From x@y.test Tue Nov 14 22:13:20 2023\n{mbox}\n"));
    sandbox.root("chmod 644 /tmp/forged /tmp/mbox");
    sandbox
}

/// Runs a shell text with the wrapper instead of sendmail and without it. What arrives must be the same, unsigned, and
/// all of the message; the log must say why.
fn passes(sandbox: &Sandbox, user: &str, script: &str, why: &str) {
    let mark = sandbox.mark();
    let received = ["/usr/sbin/sendmail.dkim", "/usr/sbin/sendmail.postfix"].map(|program| {
        sandbox.root(&format!(
            "ln -sf {program} /etc/alternatives/mta; ln -sf {program} /etc/alternatives/mta-sendmail"
        ));
        let recipient = sandbox.recipient();
        stdout(&sandbox.sh(user, &script.replace("RCPT", &recipient), FORGED.as_bytes()));
        let received = sandbox.received(&recipient);
        shown(&received).replace(&recipient, "RCPT")
    });
    let [ours, theirs] = received;
    assert_eq!(ours, theirs, "{script}");
    assert!(!ours.contains("DKIM-Signature"), "{ours}");
    // All of it, except for spaces and line ends, which some of the programs change.
    for line in FORGED.lines().filter(|line| !line.starts_with("To:")) {
        assert!(ours.lines().any(|found| found.ends_with(line)), "{line:?} is not in\n{ours}");
    }
    let line = sandbox.logged(mark, why);
    assert!(line.contains("author=<boss@ours.test>") && line.contains("result=unsigned"), "{line}");
}

/// A message without the trace of this host, and what is another each time in Resent fields.
fn shown(received: &Received) -> String {
    let (header, body) = received.split();
    let header = header.replace("\r\n\t", "\u{1}").replace("\r\n ", "\u{2}");
    let of_this_host = |line: &str| {
        line.starts_with("Received:") && line.contains("by host.example.test")
            || line.starts_with("Resent-Date:")
            || line.starts_with("Resent-Message-ID:")
    };
    let kept: Vec<&str> = header.split("\r\n").filter(|line| !of_this_host(line)).collect();
    let header = kept.join("\r\n").replace('\u{1}', "\r\n\t").replace('\u{2}', "\r\n ");
    format!("{header}\r\n\r\n{body}")
}

const RECEIVED: &str = "reason=\"has a Received field\"";

#[test]
#[ignore = "needs root"]
fn a_content_filter_returns_mail_unchanged() {
    let sandbox = sandbox();
    // As FILTER_README has it.
    sandbox.write(
        "/opt/filter",
        "#!/bin/sh\ncat >/tmp/in.$$ && /usr/sbin/sendmail -G -i \"$@\" </tmp/in.$$\n",
    );
    sandbox.root(
        "chmod 755 /opt/filter
        postconf -M '10025/inet=10025 inet n - n - - smtpd -o content_filter=filter:dummy'
        postconf -M 'filter/unix=filter unix - n n - 10 pipe flags=q user=nobody null_sender= \
            argv=/opt/filter -f ${sender} -- ${recipient}'
        postfix reload 2>&1; sleep 1",
    );
    let send = "python3 -c 'import smtplib, sys
server = smtplib.SMTP(\"127.0.0.1\", 10025)
server.sendmail(\"x@y.test\", [\"RCPT\"], sys.stdin.buffer.read())'";
    passes(&sandbox, "nobody", send, "reason=\"given with -G\"");
}

#[test]
#[ignore = "needs root"]
fn the_field_of_a_web_program_helps_no_mail_that_came_in() {
    let sandbox = sandbox();
    let web = "Received: from 192.0.2.7 ([192.0.2.7]) by www.ours.test (Horde Framework) with HTTPS;\n\
        \tTue, 14 Nov 2023 22:13:20 +0000\n";
    let (_, rest) = FORGED.split_once("From: ").unwrap();
    let message = format!("{web}From: {rest}");
    // Written on this host it is a submission.
    let recipient = sandbox.recipient();
    stdout(&sandbox.sh("alice", &format!("sendmail -i {recipient}"), message.as_bytes()));
    sandbox.assert_signed(&sandbox.received(&recipient), "ours.test", "s1");
    // Sent to it by SMTP, and handed on by a program, it is not: the server has put its own field on top.
    let recipient = sandbox.recipient();
    sandbox.root(&format!(
        "postconf -M '10025/inet=10025 inet n - n - - smtpd -o content_filter=again:dummy'
        postconf -M 'again/unix=again unix - n n - 10 pipe user=nobody null_sender= \
            argv=/usr/sbin/sendmail -i -f ${{sender}} -- {recipient}'
        postfix reload 2>&1; sleep 1"
    ));
    let send = "python3 -c 'import smtplib, sys
server = smtplib.SMTP(\"127.0.0.1\", 10025)
server.sendmail(\"x@y.test\", [\"z@sink.test\"], sys.stdin.buffer.read())'";
    let mark = sandbox.mark();
    stdout(&sandbox.sh("nobody", send, message.as_bytes()));
    let (header, _) = sandbox.received(&recipient).split();
    assert!(!header.contains("DKIM-Signature") && header.contains("Horde"), "{header}");
    let line = sandbox.logged(mark, RECEIVED);
    assert!(line.contains("author=<boss@ours.test>") && line.contains("result=unsigned"), "{line}");
}

#[test]
#[ignore = "needs root"]
fn rmail_relays_mail_unchanged() {
    let sandbox = sandbox();
    let script = "(echo 'From x Tue Nov 14 22:13:20 2023 remote from y'; cat) | rmail RCPT";
    passes(&sandbox, "uucp", script, "reason=\"given with -G\"");
}

#[test]
#[ignore = "needs root"]
fn mutt_bounces_mail_unchanged() {
    let sandbox = sandbox();
    // At a terminal; its keyboard must not end at once.
    let script = "cp /tmp/mbox /tmp/mbox.$$
        echo 'set folder=/tmp bounce=yes quit=yes move=no' >/tmp/muttrc.$$
        echo 'push \"<bounce-message>RCPT<enter><exit>\"' >>/tmp/muttrc.$$
        sleep 3 | TERM=xterm script -qec \"mutt -n -F /tmp/muttrc.$$ -f /tmp/mbox.$$\" /dev/null >/dev/null";
    passes(&sandbox, "alice", script, RECEIVED);
}

#[test]
#[ignore = "needs root"]
fn procmail_forwards_mail_unchanged() {
    let sandbox = sandbox();
    let script = "printf ':0\\n!RCPT\\n' >/tmp/rc.$$; procmail -m /tmp/rc.$$";
    passes(&sandbox, "alice", script, RECEIVED);
}

#[test]
#[ignore = "needs root"]
fn formail_relays_a_mailbox_unchanged() {
    let sandbox = sandbox();
    passes(&sandbox, "alice", "formail -s sendmail -oi RCPT </tmp/mbox", RECEIVED);
}

#[test]
#[ignore = "needs root"]
fn fetchmail_relays_mail_unchanged() {
    let sandbox = sandbox();
    sandbox.root("/opt/sandbox/pop3.py /tmp/forged >/dev/null 2>&1 </dev/null");
    let script = "printf 'poll 127.0.0.1 protocol pop3 user u password p is alice here keep fetchall no rewrite\\n' >/tmp/f.$$
        chmod 600 /tmp/f.$$; fetchmail -f /tmp/f.$$ -i /tmp/ids.$$ -s --nobounce --sslproto '' \
        --mda '/usr/sbin/sendmail -i -f %F -- RCPT'";
    passes(&sandbox, "alice", script, RECEIVED);
}

#[test]
#[ignore = "needs root"]
fn getmail_relays_mail_unchanged() {
    let sandbox = sandbox();
    sandbox.root("/opt/sandbox/pop3.py /tmp/forged >/dev/null 2>&1 </dev/null");
    let script = "mkdir /tmp/g.$$; printf '[retriever]\\ntype = SimplePOP3Retriever\\nserver = 127.0.0.1\\nusername = u\\npassword = p\\n\
        [destination]\\ntype = MDA_external\\npath = /usr/sbin/sendmail\\narguments = (\"-i\", \"-f\", \"%%(sender)\", \"--\", \"RCPT\")\\n\
        [options]\\nread_all = true\\ndelete = false\\ndelivered_to = false\\nreceived = false\\n' >/tmp/g.$$/getmailrc
        getmail --getmaildir /tmp/g.$$ >/dev/null";
    passes(&sandbox, "alice", script, RECEIVED);
}
