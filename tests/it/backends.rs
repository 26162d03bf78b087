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

/// Fields, and texts, that some mail system writes again: a name for each, and what stands for From, To and the text.
const FORMS: [(&str, &str, &str, &str); 12] = [
    ("plain", "Me <a@behind.test>", "x@sink.test", "x"),
    ("dotted name", "Sample.com <a@behind.test>", "x@sink.test", "x"),
    ("comma in name", "Company, Inc. <a@behind.test>", "x@sink.test", "x"),
    ("needless quotes", "\"John Doe\" <a@behind.test>", "x@sink.test", "x"),
    ("apostrophe", "Miles O'Brien <a@behind.test>", "x@sink.test", "x"),
    ("comment", "a@behind.test (John Doe)", "x@sink.test", "x"),
    ("encoded word", "=?utf-8?q?J=C3=BCrgen?= <a@behind.test>", "x@sink.test", "x"),
    ("no space in list", "a@behind.test", "x@sink.test,y@sink.test", "x"),
    ("dotted name in list", "a@behind.test", "Joe Q. <x@sink.test>, y@sink.test", "x"),
    ("folded list", "a@behind.test", "x@sink.test,\n\ty@sink.test", "x"),
    ("eight bits", "a@behind.test", "x@sink.test", "Gr\u{fc}\u{df}e"),
    ("long line", "a@behind.test", "x@sink.test", LONG),
];

/// Longer than SMTP allows.
const LONG: &str = match str::from_utf8(&[b'x'; 3_000]) {
    Ok(text) => text,
    Err(_) => panic!("it is ASCII"),
};

/// The names of the forms whose signature does not survive.
fn broken_forms(sandbox: &Sandbox) -> Vec<&'static str> {
    let mut received = Vec::new();
    for (_, from, to, text) in FORMS {
        let recipient = sandbox.recipient();
        let message = format!("From: {from}\nTo: {to}\nSubject: x\n\n{text}\n");
        let output =
            sandbox.sh("www-data", &format!("sendmail -i {recipient}"), message.as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{from}: {output:?}");
        received.push(sandbox.received(&recipient));
    }
    let failures = sandbox.failures(&received);
    let is_broken = |one: &Received| {
        let path = format!("\"{}\"", one.path());
        failures.iter().any(|failure| failure.contains(&path))
    };
    let broken = FORMS.iter().zip(&received).filter(|(_, one)| is_broken(one));
    broken.map(|(form, _)| form.0).collect()
}

/// A sandbox in which the real sendmail is that of a mail system.
fn behind(mta: &str) -> Sandbox {
    let sandbox = if mta == "postfix" {
        Sandbox::own("backends")
    } else {
        Sandbox::on("backends", &format!("tests/it/sandbox/layer.sh {mta}"))
    };
    sandbox.key("behind.test", "s1");
    sandbox
}

/// It takes all that it is given, what it sends verifies, and only these forms do not survive it.
#[expect(clippy::print_stdout, reason = "the figures are what `make backends` shows")]
fn takes_what_we_hand_over(mta: &str, broken: &[&str]) -> Sandbox {
    let sandbox = behind(mta);
    let received = submit_all(&sandbox, mta);
    let failures = sandbox.failures(&received);
    assert!(failures.is_empty(), "{mta}\n{}", failures.join("\n"));
    // What is not signed goes through, too.
    let recipient = sandbox.recipient();
    let message = b"From: a@other.test\n\nx\n";
    let output = sandbox.sh("www-data", &format!("sendmail {recipient}"), message);
    assert!(output.status.success() && output.stderr.is_empty(), "{mta}: {output:?}");
    assert!(sandbox.verify(&sandbox.received(&recipient)).all("none"), "{mta}");
    assert_eq!(broken_forms(&sandbox), broken, "{mta}");
    println!("{mta}: {} ways to submit, {} forms, broken: {broken:?}", CALLS.len(), FORMS.len());
    sandbox
}

/// What docs/backends.md says to put into config.toml for those that rewrite lists of addresses.
const NO_LISTS: &str =
    "headers = [\"-To\", \"-Cc\", \"-Reply-To\"]\noversign = [\"-To\", \"-Cc\", \"-Reply-To\"]";

fn sign_no_lists(sandbox: &Sandbox) {
    sandbox.root(&format!("cat >>/etc/sendmail-dkim/config.toml <<'END'\n{NO_LISTS}\nEND"));
}

#[test]
#[ignore = "needs root"]
fn postfix_accepts_all_messages() {
    takes_what_we_hand_over("postfix", &[]);
}

#[test]
#[ignore = "needs root"]
fn exim_accepts_all_messages() {
    takes_what_we_hand_over("exim4", &[]);
}

#[test]
#[ignore = "needs root"]
fn msmtp_accepts_all_messages() {
    takes_what_we_hand_over("msmtp", &[]);
}

#[test]
#[ignore = "needs root"]
fn dma_accepts_all_messages() {
    takes_what_we_hand_over("dma", &[]);
}

#[test]
#[ignore = "needs root"]
fn opensmtpd_accepts_all_messages() {
    takes_what_we_hand_over("opensmtpd", &[]);
}

#[test]
#[ignore = "needs root"]
fn nullmailer_accepts_all_messages_and_rewrites_addresses() {
    let broken = ["needless quotes", "no space in list"];
    let sandbox = takes_what_we_hand_over("nullmailer", &broken);
    sign_no_lists(&sandbox);
    assert_eq!(broken_forms(&sandbox), ["needless quotes"]);
}

#[test]
#[ignore = "needs root"]
fn sendmail_accepts_all_messages_and_rewrites_addresses() {
    let broken = ["apostrophe", "no space in list", "dotted name in list"];
    let sandbox = takes_what_we_hand_over("sendmail", &broken);
    sign_no_lists(&sandbox);
    assert_eq!(broken_forms(&sandbox), ["apostrophe"]);
    sandbox.root(
        "sed -i 's/^O MustQuoteChars=.*/O MustQuoteChars=@/' /etc/mail/sendmail.cf /etc/mail/submit.cf
        kill $(head -n 1 /run/sendmail/mta/sendmail.pid); sleep 1; /etc/mail-daemon >/dev/null 2>&1",
    );
    assert_eq!(broken_forms(&sandbox), [""; 0]);
}

#[test]
fn the_page_about_other_mail_systems_says_what_these_tests_do() {
    let page = std::fs::read_to_string(crate::support::project("docs/backends.md")).unwrap();
    for text in [NO_LISTS.split('\n').next().unwrap(), "MustQuoteChars=@", "lone_dot = \"text\""] {
        assert!(page.contains(text), "{text}");
    }
}
