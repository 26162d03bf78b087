use crate::support::{Received, Sandbox};

/// A way to submit a message: options, whether recipients come from the header, and how much of the text arrives.
const CALLS: [(&str, &str); 8] = [
    ("-t -i", WHOLE),
    ("-i -t -f bounce@behind.test", WHOLE),
    ("-f bounce@behind.test RCPT", UP_TO_THE_DOT),
    ("RCPT also.RCPT", UP_TO_THE_DOT),
    ("-oi -oem -f bounce@behind.test -- RCPT", WHOLE),
    ("-i -B8BITMIME -oem -odb RCPT", WHOLE),
    ("-FCronDaemon -i -B 8BITMIME -oem RCPT", WHOLE),
    ("-t -oi -fbounce@behind.test", WHOLE),
];

const UP_TO_THE_DOT: &str = "Hello\r\n..two dots\r\n.one\r\nFrom here\r\n";
const WHOLE: &str = "Hello\r\n..two dots\r\n.one\r\nFrom here\r\n.\r\nafter the dot\r\n";

/// To these a lone dot is text, whether -i is given or not.
const READ_ON: [&str; 3] = ["msmtp", "nullmailer", "opensmtpd"];

/// Submits in every way, as www-data; gives what arrived, for each recipient one.
fn submit_all(sandbox: &Sandbox, mta: &str) -> Vec<Received> {
    if READ_ON.contains(&mta) {
        sandbox.root("echo 'lone_dot = \"text\"' >>/etc/sendmail-dkim/config.toml");
    }
    let mut received = Vec::new();
    for (call, wanted) in CALLS {
        let wanted = if READ_ON.contains(&mta) { WHOLE } else { wanted };
        let recipient = sandbox.recipient();
        let message = format!(
            "From: \"Company, Inc.\" <a@behind.test>\nTo: Someone <{recipient}>\n\
             Subject: through {mta}\n\n{}",
            WHOLE.replace("\r\n", "\n")
        );
        let script = format!("sendmail {}", call.replace("RCPT", &recipient));
        let output = sandbox.sh("www-data", &script, message.as_bytes());
        assert!(output.status.success(), "{mta}: {call}: {output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{mta}: {call}: {output:?}");
        let also = call.contains("also.").then(|| format!("also.{recipient}"));
        for recipient in std::iter::once(recipient).chain(also) {
            let one = sandbox.received(&recipient);
            assert_eq!(one.split().1, wanted, "{mta}: {call}");
            if call.contains("bounce@") {
                assert_eq!(one.mail_from, "bounce@behind.test", "{mta}: {call}");
            }
            received.push(one);
        }
    }
    received
}

/// The real sendmail is that of another mail system: it takes all that it is given, and what it sends verifies.
fn signed_mail_survives(mta: &str) {
    let sandbox = if mta == "postfix" {
        Sandbox::own("backends")
    } else {
        Sandbox::on("backends", &format!("tests/it/sandbox/layer.sh {mta}"))
    };
    let Some(sandbox) = sandbox else { return };
    sandbox.key("behind.test", "s1");
    let received = submit_all(&sandbox, mta);
    let failures = sandbox.failures(&received);
    println!("{mta}: {} messages, {} not verified", received.len(), failures.len());
    assert!(failures.is_empty(), "{mta}\n{}", failures.join("\n"));
    // What is not signed goes through, too.
    let recipient = sandbox.recipient();
    let output =
        sandbox.sh("www-data", &format!("sendmail {recipient}"), b"From: a@other.test\n\nx\n");
    assert!(output.status.success() && output.stderr.is_empty(), "{mta}: {output:?}");
    assert!(sandbox.verify(&sandbox.received(&recipient)).all("none"), "{mta}");
}

#[test]
fn postfix_takes_what_we_hand_over() {
    signed_mail_survives("postfix");
}

#[test]
fn exim_takes_what_we_hand_over() {
    signed_mail_survives("exim4");
}

#[test]
fn msmtp_takes_what_we_hand_over() {
    signed_mail_survives("msmtp");
}

#[test]
fn nullmailer_takes_what_we_hand_over() {
    signed_mail_survives("nullmailer");
}

#[test]
fn dma_takes_what_we_hand_over() {
    signed_mail_survives("dma");
}

#[test]
fn opensmtpd_takes_what_we_hand_over() {
    signed_mail_survives("opensmtpd");
}

#[test]
fn sendmail_takes_what_we_hand_over() {
    signed_mail_survives("sendmail");
}
