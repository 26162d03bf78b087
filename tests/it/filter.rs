//! The wrapper as Postfix's content filter: mail that clients submit by SMTP to a real Postfix.

mod clients;
mod dsn;
mod edges;
mod killed;
mod setup;

use std::fs;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{Received, Sandbox, feed, logged, project, signing_domains, stderr};

/// Signed by SMTP.
const DOMAIN: &str = "filter.test";

/// The ports of an smtpd(8) that hands all mail to the filter, and of one that hands it none.
pub(crate) const FILTERED: u16 = 10025;
pub(crate) const DIRECT: u16 = 10026;

/// As docs/smtp.md has it.
const LINE: &str = "dkim/unix=dkim unix - n n - 10 pipe flags=Rq user=sendmail-dkim null_sender= \
    argv=/usr/sbin/sendmail.dkim -G -i -O DkimLogin=${sasl_username} -O DkimClient=${client_address} \
    -f ${sender} -- ${recipient}";

/// A host whose Postfix has the filter, of a release of Debian.
fn host(suite: &str) -> Sandbox {
    host_on(&format!("tests/it/sandbox/base.sh {suite}"))
}

/// The same, on the root file system that a script builds.
pub(crate) fn host_on(builder: &str) -> Sandbox {
    let sandbox = Sandbox::on("filter", builder);
    add(&sandbox);
    sandbox.key(DOMAIN, "s1");
    sandbox.root(&format!("echo 'smtp = true' >>/etc/sendmail-dkim/domains/{DOMAIN}.toml"));
    sandbox
}

/// Adds the filter, its user and both ports to a host.
pub(crate) fn add(sandbox: &Sandbox) {
    sandbox.root(&format!(
        "useradd --system --no-create-home --gid nogroup --shell /usr/sbin/nologin sendmail-dkim
        echo 'filter_user = \"sendmail-dkim\"' >>/etc/sendmail-dkim/config.toml
        postconf -M '{LINE}'
        postconf -M '{FILTERED}/inet={FILTERED} inet n - n - - smtpd -o content_filter=dkim:dummy'
        postconf -M '{DIRECT}/inet={DIRECT} inet n - n - - smtpd'
        postconf -e smtputf8_enable=yes allow_min_user=yes smtp_destination_recipient_limit=1000 dkim_destination_recipient_limit=1000
        postfix reload 2>&1; sleep 1"
    ));
}

/// The one that tests share which do not change it.
fn shared() -> &'static Sandbox {
    static SHARED: OnceLock<Sandbox> = OnceLock::new();
    SHARED.get_or_init(|| host("bookworm"))
}

/// Submits by SMTP; what the client says.
pub(crate) fn submit(
    sandbox: &Sandbox,
    port: u16,
    sender: &str,
    options: &str,
    recipients: &[&str],
    message: &[u8],
) -> Output {
    let mut command = client(sandbox, []);
    command.args([&port.to_string(), sender, options]).args(recipients);
    feed(&mut command, message)
}

/// `send.py` without its arguments; `variables`: `NAME=VALUE` for its environment.
pub(crate) fn client(sandbox: &Sandbox, variables: impl IntoIterator<Item = String>) -> Command {
    let python = fs::read_to_string(project("tests/it/filter/send.py")).unwrap();
    let mut command = sandbox.command("nobody", "env");
    command.args(variables).args(["python3", "-c", &python]);
    command
}

/// Submits messages of a folder. Each line of the list has the name of a file there, and its recipients.
pub(crate) fn submit_all(
    sandbox: &Sandbox,
    port: u16,
    sender: &str,
    options: &str,
    folder: &str,
    list: &[u8],
) -> Output {
    let mut command = client(sandbox, [format!("FOLDER={folder}")]);
    feed(command.args([&port.to_string(), sender, options]), list)
}

/// The same for what must be accepted.
fn send(sandbox: &Sandbox, port: u16, sender: &str, recipients: &[&str], message: &[u8]) {
    let output = submit(sandbox, port, sender, "", recipients, message);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn message(from: &str) -> Vec<u8> {
    format!(
        "Date: Sun, 29 Nov 2026 12:00:00 +0000\nMessage-ID: <1@{from}>\nFrom: {from}\nTo: x@y.test\n\
         Subject: Gr\u{fc}\u{df}e\n\nGr\u{fc}\u{df}e\nFrom here on\n.\n..\n"
    )
    .into_bytes()
}

/// Compares a table with the one between the marks of docs/smtp.md. `UPDATE_EXPECT=1` writes it there.
fn in_docs(name: &str, table: &str) {
    let path = project("docs/smtp.md");
    let text = fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {name}: UPDATE_EXPECT=1 cargo test --test it filter:: -->\n\n");
    let (before, rest) = text.split_once(&begin).expect("the mark before the table");
    let (known, after) = rest.split_once("\n<!-- end").expect("the mark after it");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, format!("{before}{begin}{table}\n<!-- end{after}")).unwrap();
    } else {
        assert_eq!(table, known, "docs/smtp.md");
    }
}

/// A message without the Received and Return-Path fields of this host, byte for byte.
fn untraced(received: &Received) -> Vec<u8> {
    let text = &received.bytes;
    let end = text.windows(4).position(|four| four == b"\r\n\r\n").map_or(text.len(), |at| at + 2);
    let (header, rest) = text.split_at(end);
    let (mut kept, mut skipping) = (Vec::new(), false);
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            skipping = line.starts_with(b"Received:");
        }
        if !skipping {
            kept.extend_from_slice(line);
        }
    }
    [&kept, rest].concat()
}

#[test]
#[ignore = "needs root"]
fn mail_by_smtp_is_signed_once_for_all_its_recipients() {
    for suite in ["bullseye", "bookworm", "trixie"] {
        let own;
        let sandbox = if suite == "bookworm" {
            shared()
        } else {
            own = host(suite);
            &own
        };
        let all = [sandbox.recipient(), sandbox.recipient(), sandbox.recipient_7bit()];
        let (mark, from) = (sandbox.mark(), format!("a{suite}@{DOMAIN}"));
        send(sandbox, FILTERED, &from, &all.each_ref().map(String::as_str), &message(&from));
        for recipient in &all {
            let arrived = sandbox.received(recipient);
            sandbox.assert_signed(&arrived, DOMAIN, "s1");
            assert_eq!(arrived.mail_from, from);
        }
        assert_eq!(sandbox.received(&all[0]).recipients.len(), 2);
        let line = sandbox.logged(mark, &from);
        assert!(line.contains(" client=127.0.0.1 envelope="), "{line}");
        let calls = logged(sandbox, mark, &from, 1);
        assert_eq!(calls.len(), 1, "one call for all: {calls:?}");
    }
}

/// What has no right: of a domain without a file, of one without smtp = true, and what is no mail of ours.
#[test]
#[ignore = "needs root"]
fn what_is_not_signed_comes_back_byte_for_byte() {
    let sandbox = shared();
    sandbox.key("nosmtp.test", "s1");
    let stamp = "Date: Sun, 29 Nov 2026 12:00:00 +0000\nMessage-ID: <1@x.test>\n";
    let own = "From: a@other.test\nTo: b@y.test\n";
    let texts: [Vec<u8>; 15] = [
        format!("{stamp}{own}Subject: x\n\nhi\n").into(),
        format!("{stamp}From: a@nosmtp.test\n\nhi\n").into(),
        format!("{stamp}From: a@{DOMAIN}\nFrom: b@other.test\n\ntwo\n").into(),
        format!("{stamp}From: a@{DOMAIN}\nResent-From: b@other.test\nResent-Date: Sun, 29 Nov 2026 12:00:00 +0000\nResent-Message-ID: <2@x>\n\nhi\n").into(),
        format!("{stamp}DKIM-Signature: v=1; d={DOMAIN}; b=x\nFrom: a@{DOMAIN}\n\nhi\n").into(),
        format!("{stamp}{own}\n.\n..\n...\n.x\nFrom me\n>From you\n\n\n").into(),
        format!("{stamp}{own}\n\n\n\n").into(),
        format!("{stamp}{own}").into(),
        format!("{stamp}{own}X-Empty:\nX-Fold: a\n\tb\n  c  \n \n\ttrailing \t \n").into(),
        [stamp.as_bytes(), own.as_bytes(), b"\n\xff\xfe\x00\x01 8-bit\xe4\n"].concat(),
        [stamp.as_bytes(), own.as_bytes(), b"\n", "x".repeat(990).as_bytes(), b"\nno line end"].concat(),
        [stamp.as_bytes(), own.as_bytes(), b"\n", &b"0123456789abcde\n".repeat(200_000)].concat(),
        format!("{stamp}{own}Bcc: c@y.test\nReturn-Path: <x@y>\nContent-Length: 7\n\nhi\n").into(),
        format!("From x Sun Nov 29\n{stamp}{own}\nhi\n").into(),
        format!(" starts with a space\n{stamp}{own}\nhi\n").into(),
    ];
    for (number, text) in texts.iter().enumerate() {
        let both = [FILTERED, DIRECT].map(|port| {
            let recipient = sandbox.recipient();
            send(sandbox, port, "bounce@other.test", &[&recipient], text);
            sandbox.received(&recipient)
        });
        let [filtered, direct] = both.each_ref().map(untraced);
        let shown =
            |text: &[u8]| String::from_utf8_lossy(text).chars().take(2_000).collect::<String>();
        // A missing Date or Message-ID that Postfix adds holds the time and the queue id.
        let same = match number {
            14 => filtered.ends_with(
                format!(
                    " starts with a space\r\n{}",
                    shown(text).split_once('\n').unwrap().1.replace('\n', "\r\n")
                )
                .as_bytes(),
            ),
            _ => filtered == direct,
        };
        assert!(same, "{number}:\n{}\n{}", shown(&filtered), shown(&direct));
        let signed = signing_domains(&both[0]);
        assert_eq!(signed.len(), usize::from(number == 4), "{number}: {signed:?}");
        assert_eq!(both[0].mail_from, both[1].mail_from);
    }
}

#[test]
#[ignore = "needs root"]
fn the_envelope_stays_as_it_is() {
    let sandbox = shared();
    let many: Vec<String> = (0..600).map(|_| sandbox.recipient()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = format!("{}@{DOMAIN}", "l".repeat(64));
    let odd = [
        "\"a b\"@sink.test",
        "\"$(id) `id` \\\" ; |x\"@sink.test",
        "a'b@sink.test",
        "a*?%!b@sink.test",
        "a+b=c@sink.test",
        "\"-G\"@sink.test",
        "\"-O DkimLogin=alice\"@sink.test",
        "{a}~^/b#c@sink.test",
        "\"a,b\"@sink.test",
        "\"(c)\"@sink.test",
    ];
    let null: (&str, &[&str]) = ("", &["null-sender@sink.test"]);
    for domain in [DOMAIN, "other.test"] {
        let from = format!("a@{domain}");
        let mut cases = vec![
            null,
            (&long, &["long-sender@sink.test"]),
            ("\"a b\"@x.test", &odd),
            ("-x@y.test", &odd[..1]),
        ];
        if domain == DOMAIN {
            cases.push((&from, &many));
        }
        for (number, (sender, recipients)) in cases.into_iter().enumerate() {
            let own: Vec<String> = recipients
                .iter()
                .map(|one| one.replace("sink.test", &format!("{domain}.sink.test")))
                .collect();
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let both = [FILTERED, DIRECT].map(|port| {
                let output = submit(sandbox, port, sender, "", &own, &message(&from));
                assert!(output.status.success(), "{number} {sender:?}: {}", stderr(&output));
                let last = own.last().unwrap().to_lowercase();
                let deadline = Instant::now() + Duration::from_secs(60);
                loop {
                    let all = envelopes(sandbox, &last);
                    if let [(sender, recipients, path)] = all.as_slice() {
                        fs::remove_file(sandbox.path(path)).unwrap();
                        break (sender.clone(), recipients.clone());
                    }
                    assert!(Instant::now() < deadline, "{number} {sender:?} {last}: {}", all.len());
                    sleep(Duration::from_millis(50));
                }
            });
            assert_eq!(both[0], both[1], "{number}");
            assert_eq!(both[0].0, sender);
            assert_eq!(both[0].1.len(), own.len());
        }
    }
}

/// Sender, recipients and the path of the envelope of each message that has a recipient.
fn envelopes(sandbox: &Sandbox, recipient: &str) -> Vec<(String, Vec<String>, String)> {
    let folder = fs::read_dir(sandbox.path("/out/sink")).unwrap().flatten();
    let names = folder.map(|entry| entry.file_name().into_string().unwrap());
    let texts = names.filter(|name| name.ends_with(".json")).filter_map(|name| {
        let path = format!("/out/sink/{name}");
        Some((fs::read(sandbox.path(&path)).ok()?, path))
    });
    let parsed = texts.filter_map(|(text, path)| {
        let envelope: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let all = envelope["rcpt_to"].as_array()?;
        let all = all.iter().map(|one| one["address"].as_str().unwrap().to_owned());
        Some((envelope["mail_from"].as_str()?.to_owned(), all.collect::<Vec<_>>(), path))
    });
    parsed.filter(|(_, all, _)| all.iter().any(|one| one.to_lowercase() == recipient)).collect()
}

#[test]
#[ignore = "needs root"]
fn smtputf8_and_8bitmime_pass_the_filter() {
    let sandbox = shared();
    for (options, from, to) in [
        ("BODY=8BITMIME", format!("b@{DOMAIN}"), "eight@sink.test".to_owned()),
        ("SMTPUTF8 BODY=8BITMIME", format!("b@{DOMAIN}"), "gr\u{fc}\u{df}e@sink.test".to_owned()),
        ("SMTPUTF8", "\u{fc}@other.test".to_owned(), "\u{fc}nsigned@sink.test".to_owned()),
    ] {
        let output = submit(sandbox, FILTERED, &from, options, &[&to], &message(&from));
        assert!(output.status.success(), "{}", stderr(&output));
        let deadline = Instant::now() + Duration::from_secs(60);
        while envelopes(sandbox, &to).is_empty() {
            assert!(Instant::now() < deadline, "{to}");
            sleep(Duration::from_millis(50));
        }
        let all = envelopes(sandbox, &to);
        assert_eq!((all.len(), all[0].0.as_str()), (1, from.as_str()));
        if from.ends_with(DOMAIN) {
            let path = all[0].2.replace(".json", ".eml");
            assert_eq!(sandbox.failures_in(&[&path]), [""; 0]);
        }
    }
}

/// A host of a test's own, whose Postfix tries again when asked only.
fn own_host() -> Sandbox {
    let sandbox = host("bookworm");
    sandbox.root(
        "postconf -e minimal_backoff_time=1h maximal_backoff_time=2h; postfix reload 2>&1; sleep 1",
    );
    sandbox
}

/// What postqueue(1) says of the only message, once it was deferred.
fn deferred(sandbox: &Sandbox) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let queue = sandbox.root("postqueue -p");
        // The reason is in brackets; a star marks what is being delivered.
        if queue.contains('(') && !queue.contains('*') && queue.contains("in 1 Request") {
            return queue;
        }
        assert!(
            Instant::now() < deadline,
            "{queue}\n{}",
            sandbox.root("tail -n 20 /var/log/postfix.log")
        );
        sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs root"]
fn a_message_that_comes_back_to_the_filter_waits_and_the_reason_is_named() {
    let sandbox = own_host();
    let hidden = "printf '/^Received:/ IGNORE\\n' >/etc/postfix/hidden; postconf -e header_checks=regexp:/etc/postfix/hidden";
    for (number, (loops, undo)) in [
        ("postconf -e content_filter=dkim:dummy", "postconf -X content_filter"),
        ("postconf -P pickup/unix/content_filter=dkim:dummy", "postconf -PX pickup/unix/content_filter"),
        (
            "printf '/^Subject:/ FILTER dkim:dummy\\n' >/etc/postfix/checks; postconf -e header_checks=regexp:/etc/postfix/checks",
            "postconf -X header_checks",
        ),
        (&format!("postconf -e content_filter=dkim:dummy; {hidden}"), "postconf -X content_filter header_checks"),
    ]
    .into_iter()
    .enumerate()
    {
        for domain in [DOMAIN, "other.test"] {
            sandbox.root(&format!("{loops}; postfix reload 2>&1; sleep 1"));
            let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
            let from = format!("loop{number}@{domain}");
            send(&sandbox, FILTERED, &from, &[&recipient], &message(&from));
            let queue = deferred(&sandbox);
            assert!(queue.contains("the message came back to the content filter"), "{queue}");
            let line = sandbox.logged(mark, "result=refused");
            assert!(line.contains("set content_filter to nothing"), "{line}");
            sandbox.root(&format!("{undo}; postfix reload 2>&1; sleep 1; postsuper -r ALL 2>&1; postqueue -f"));
            let arrived = sandbox.received(&recipient);
            assert_eq!(sandbox.count(&recipient), 1);
            assert_eq!(signing_domains(&arrived).len(), usize::from(domain == DOMAIN), "{loops}");
        }
    }
}

/// What is wrong with the host, and why the message waits in the queue; empty: it is sent unsigned. In /etc/sendmail-dkim.
const WRONG: [(&str, &str); 6] = [
    ("chgrp root KEY", ""),
    ("chgrp root KEY; echo 'on_error = \"refuse\"' >>FILE", "not signed, so not accepted"),
    ("echo 'foo = 1' >>FILE", ""),
    (
        "echo 'foo = 1' >>FILE; echo 'on_error = \"refuse\"' >>config.toml",
        "not signed, so not accepted",
    ),
    ("printf 'on_error = \"refuse\"\\nfoo = 1\\n' >>config.toml", "not signed, so not accepted"),
    ("sed -i 's|^sendmail = .*|sendmail = \"/nowhere\"|' config.toml", "no real sendmail"),
];

#[test]
#[ignore = "needs root"]
fn no_failure_of_the_filter_bounces_mail_and_refused_mail_waits() {
    let sandbox = own_host();
    sandbox.root("cp -a /etc/sendmail-dkim /opt/kept");
    for (wrong, why) in WRONG {
        let wrong = wrong.replace("FILE", &format!("domains/{DOMAIN}.toml"));
        let wrong = wrong.replace("KEY", &format!("keys/{DOMAIN}/s1.private"));
        sandbox.root(&format!("cd /etc/sendmail-dkim; {wrong}"));
        let recipient = sandbox.recipient();
        let from = format!("a@{DOMAIN}");
        send(&sandbox, FILTERED, &from, &[&recipient], &message(&from));
        if why.is_empty() {
            assert_eq!(signing_domains(&sandbox.received(&recipient)), [""; 0], "{wrong}");
        } else {
            let queue = deferred(&sandbox);
            assert!(queue.contains(why), "{wrong}: {queue}");
        }
        sandbox.root(
            "cd /etc/sendmail-dkim; find . -mindepth 1 -delete; cp -a /opt/kept/. .; postqueue -f",
        );
        if !why.is_empty() {
            sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
        }
        assert_eq!(sandbox.count(&recipient), 1, "{wrong}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_exit_code_of_the_real_sendmail_is_what_postfix_sees() {
    let sandbox = own_host();
    let real = "/etc/sendmail-dkim/config.toml";
    sandbox.write(
        "/opt/failing",
        "#!/bin/sh\ncat >/dev/null\necho 'of the real sendmail' >&2\nexit $(cat /opt/code)\n",
    );
    sandbox.root(&format!(
        "chmod 755 /opt/failing; sed -i 's|^sendmail = .*|sendmail = \"/opt/failing\"|' {real}"
    ));
    for (code, wanted) in [
        (75, "deferred"),
        (71, "deferred"),
        (65, "bounced"),
        (67, "bounced"),
        (69, "bounced"),
        (77, "bounced"),
    ] {
        for domain in [DOMAIN, "other.test"] {
            sandbox.write("/opt/code", &code.to_string());
            let recipient = sandbox.recipient();
            send(&sandbox, FILTERED, "", &[&recipient], &message(&format!("a@{domain}")));
            let deadline = Instant::now() + Duration::from_secs(60);
            let line = loop {
                let log =
                    sandbox.root(&format!("grep 'to=<{recipient}>' /var/log/postfix.log || true"));
                if log.contains("status=") {
                    break log;
                }
                assert!(Instant::now() < deadline, "{code}");
                sleep(Duration::from_millis(50));
            };
            assert!(line.contains(&format!("status={wanted}")), "{code} {domain}: {line}");
            assert!(line.contains("of the real sendmail"), "{line}");
        }
    }
    sandbox.root("postsuper -d ALL 2>&1");
}
