use crate::support::{Sandbox, stdout};

const SELECTOR: &str = "dkimselector";

/// A domain of the test's own, so that tests can run side by side.
#[test]
#[ignore = "needs root"]
fn mail_dash_r_of_both_mailx_is_signed() {
    let sandbox = Sandbox::with_key("main_job", "sample.com", SELECTOR);
    for mail in ["bsd-mailx", "s-nail"] {
        for user in ["root", "www-data", "alice"] {
            let recipient = sandbox.recipient();
            let script = format!(
                "echo 'Test Mail.' | {mail} -s 'test mail' -r webmaster@sample.com {recipient}"
            );
            let output = sandbox.sh(user, &script, b"");
            assert_eq!(stdout(&output), "", "{output:?}");
            assert!(output.stderr.is_empty(), "{output:?}");
            let received = sandbox.received(&recipient);
            sandbox.assert_signed(&received, "sample.com", SELECTOR);
            assert_eq!(received.mail_from, "webmaster@sample.com");
            assert_eq!(received.recipients, [recipient]);
            let (header, body) = received.split();
            assert!(header.contains("\r\nSubject: test mail"), "{header}");
            assert_eq!(body, "Test Mail.\r\n");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn php_mail_as_www_data_is_signed() {
    let sandbox = Sandbox::with_key("main_job", "php.test", SELECTOR);
    for recipient in [sandbox.recipient(), sandbox.recipient()] {
        let code = format!(
            "var_dump(mail('{recipient}', 'Gru\u{df}', \"Hello gr\u{fc}n\\nsecond line\\n\", \
             \"From: Company, Inc. <webmaster@php.test>\\r\\nBcc: bcc.{recipient}\\r\\n\
             MIME-Version: 1.0\\r\\nContent-Type: text/plain; charset=utf-8\\r\\n\
             Content-Transfer-Encoding: 8bit\", '-fwebmaster@php.test'));"
        );
        let mut command = sandbox.command("www-data", "php");
        let output = command.args(["-r", &code]).output().unwrap();
        assert_eq!(stdout(&output), "bool(true)\n");
        for recipient in [format!("bcc.{recipient}"), recipient] {
            let received = sandbox.received(&recipient);
            sandbox.assert_signed(&received, "php.test", SELECTOR);
            let (header, body) = received.split();
            assert!(!header.contains("bcc."), "{header}");
            // 7-bit, so that no hop has to make it so.
            assert!(body.starts_with("Hello gr=C3=BCn\r\nsecond line\r\n"), "{body}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_second_domain_is_one_command_and_one_record_and_no_restart() {
    let sandbox = Sandbox::with_key("main_job", "first.test", SELECTOR);
    let send = |recipient: &str| {
        let script = format!("echo x | bsd-mailx -s x -r a@hogehoge.jp {recipient}");
        stdout(&sandbox.sh("www-data", &script, b""));
        sandbox.received(recipient)
    };
    assert!(sandbox.verify(&send(&sandbox.recipient())).all("none"));
    sandbox.key("hogehoge.jp", SELECTOR);
    sandbox.assert_signed(&send(&sandbox.recipient()), "hogehoge.jp", SELECTOR);
}

#[test]
#[ignore = "needs root"]
fn what_postfix_would_add_or_rewrite_is_there_before() {
    let sandbox = Sandbox::with_key("main_job", "complete.test", SELECTOR);
    sandbox.key("origin.example", SELECTOR);
    for (domain, args, message) in [
        ("complete.test", "-f a@complete.test -F 'A, B'", "Subject: no From\n\nx\n"),
        ("complete.test", "-fa@complete.test", "no header at all\n"),
        ("complete.test", "-fa@complete.test", " begins with a space\nX: y\n"),
        ("complete.test", "-fa@complete.test", "\nbegins with an empty line\n"),
        ("complete.test", "-fa@complete.test", ""),
        ("complete.test", "", "From: Company, Inc. <a@complete.test>\nTo: root, x@y.test\n\nx\n"),
        ("complete.test", "", "From: a@complete.test\nSubject : x\n \t\n y\nno field\n"),
        ("complete.test", "", "From a@b Mon\n>From x\nFrom: \"a\"@complete.test.\n\nFrom x\n"),
        (
            "complete.test",
            "",
            "From: a@complete.test\r\r\nCc: c (x)\r\n\r\nbare\rcr\r\n.\r\nrest\r\n",
        ),
        ("origin.example", "", "From: root (Cron Daemon)\nTo: alice\n\nx\n"),
        ("origin.example", "", "Subject: of the login name\n\nx\n"),
        ("origin.example", "-f ''", "Subject: without a sender\n\nx\n"),
    ] {
        for flags in ["", "-i "] {
            let recipient = sandbox.recipient();
            let script = format!("/usr/sbin/sendmail {flags}{args} {recipient}");
            let output = sandbox.sh("alice", &script, message.as_bytes());
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            let received = sandbox.received(&recipient);
            sandbox.assert_signed(&received, domain, SELECTOR);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn two_selectors_make_two_signatures() {
    let sandbox = Sandbox::with_key("main_job", "two.test", SELECTOR);
    sandbox.key("two.test", "second");
    let file = "selectors = [\"dkimselector\", \"second\"]\nidentity = \"@sub.two.test\"\nexpire = \"14d\"\n";
    sandbox.write("/etc/sendmail-dkim/domains/two.test.toml", file);
    let recipient = sandbox.recipient();
    let output = sandbox.sh(
        "alice",
        "sendmail -t",
        format!("From: a@two.test\nTo: {recipient}\n\nx\n").as_bytes(),
    );
    assert!(output.status.success(), "{output:?}");
    let received = sandbox.received(&recipient);
    let verdicts = sandbox.verify(&received);
    assert!(verdicts.all("pass"), "{verdicts}");
    let (header, _) = received.split();
    assert_eq!(header.matches("DKIM-Signature:").count(), 2);
    assert_eq!(header.matches("i=@sub.two.test;").count(), 2, "{header}");
    for name in ["; x=", "s=dkimselector;", "s=second;"] {
        assert!(
            header.contains(name) || header.contains(&name.replace("; ", ";\r\n\t")),
            "{header}"
        );
    }
}

#[test]
#[ignore = "needs root"]
fn all_four_canonicalizations_verify() {
    let sandbox = Sandbox::with_key("main_job", "canon.test", SELECTOR);
    for canonicalization in ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"]
    {
        let file =
            format!("selectors = [\"{SELECTOR}\"]\ncanonicalization = \"{canonicalization}\"\n");
        sandbox.write("/etc/sendmail-dkim/domains/canon.test.toml", &file);
        let recipient = sandbox.recipient();
        let message = format!(
            "From:  A\t <a@canon.test>\nto : {recipient}\nSubject: odd  \n\t folding \t\n\n  x \t y  \n\n\n"
        );
        let output = sandbox.sh("alice", "sendmail -i -t", message.as_bytes());
        assert!(output.status.success(), "{output:?}");
        let received = sandbox.received(&recipient);
        assert!(received.split().0.contains(canonicalization));
        sandbox.assert_signed(&received, "canon.test", SELECTOR);
    }
}

#[test]
#[ignore = "needs root"]
fn a_large_message_is_signed() {
    let sandbox = Sandbox::with_key("main_job", "large.test", SELECTOR);
    for line_end in ["\n", "\r\n"] {
        let recipient = sandbox.recipient();
        let mut message = format!("From: a@large.test{line_end}Subject: large{line_end}{line_end}");
        while message.len() < 3_000_000 {
            message.push_str("0123456789012345678901234567890123456789012345678901234567890123456");
            message.push_str(line_end);
        }
        let output =
            sandbox.sh("www-data", &format!("sendmail -i {recipient}"), message.as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let received = sandbox.received(&recipient);
        assert!(received.bytes.len() > 3_000_000);
        sandbox.assert_signed(&received, "large.test", SELECTOR);
    }
}

#[test]
#[ignore = "needs root"]
fn an_rsa_and_an_ed25519_selector_make_a_signature_each() {
    let sandbox = Sandbox::with_key("main_job", "both.test", SELECTOR);
    sandbox.root("dkimctl genkey -d both.test -s ed --type ed25519");
    sandbox.publish("both.test", "/etc/sendmail-dkim/keys/both.test/*.txt");
    let file = "selectors = [\"dkimselector\", \"ed\"]\n";
    sandbox.write("/etc/sendmail-dkim/domains/both.test.toml", file);
    for recipient in [sandbox.recipient(), sandbox.recipient_7bit()] {
        let message = format!("From: a@both.test\nTo: {recipient}\nSubject: gr\u{fc}n\n\n\u{fc}\n");
        stdout(&sandbox.sh("alice", "sendmail -t", message.as_bytes()));
        let verdicts = sandbox.verify(&sandbox.received(&recipient));
        for verifier in ["dkimpy", "opendkim"] {
            assert_eq!(verdicts.of(verifier, SELECTOR), "pass: ");
            assert_eq!(verdicts.of(verifier, "ed"), "pass: ");
        }
        // The one of Debian 12 does not support RFC 8463, but accepts the RSA signature next to it.
        assert_eq!(verdicts.of("maildkim", SELECTOR), "pass: pass");
        let unknown = "fail: invalid (unsupported algorithm ed25519-sha256)";
        assert_eq!(verdicts.of("maildkim", "ed"), unknown);
    }
}
