use crate::support::{Received, Sandbox, stderr};

/// Sends one message through the wrapper and one past it, both as www-data.
fn both(sandbox: &Sandbox, args: &str, message: &str) -> [Received; 2] {
    ["/usr/sbin/sendmail", "/usr/sbin/sendmail.postfix"].map(|program| {
        let recipient = sandbox.recipient();
        let script = format!("{program} {args} {recipient}");
        let output = sandbox.sh("www-data", &script, message.as_bytes());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        sandbox.received(&recipient)
    })
}

/// Both must be the same, except for what Postfix creates for each message.
fn assert_same(sandbox: &Sandbox, args: &str, message: &str) {
    let [ours, theirs] = both(sandbox, args, message);
    assert_eq!(ours.without_trace(), theirs.without_trace(), "{args} {message:?}");
    assert_eq!(ours.mail_from, theirs.mail_from);
    assert!(!ours.split().0.contains("DKIM-Signature"));
}

#[test]
#[ignore = "needs root"]
fn mail_of_an_unknown_domain_arrives_the_same_as_without_the_wrapper() {
    let sandbox = Sandbox::for_test("unsigned");
    let long = format!("From: a@unknown.test\n\n{}\n", "x".repeat(3_000));
    let large = format!("From: a@unknown.test\n\n{}", "0123456789\r\n".repeat(200_000));
    for (args, message) in [
        ("-i", "From: a@unknown.test\nSubject: x\n\nx\n"),
        ("", "From: a@unknown.test\r\nSubject : x\r\n\r\nx\r\n.\r\nrest\r\n"),
        ("-i", "From a@b\nFrom: Company, Inc. <a@unknown.test>\nTo: x\n \t\nno field\n.\n"),
        ("-i -f a@unknown.test", "no header"),
        ("-i -fa@unknown.test", ""),
        ("-G -i", "From: root\n\nx\n"),
        ("-i", &long),
        ("-i", &large),
    ] {
        assert_same(sandbox, args, message);
    }
}

#[test]
#[ignore = "needs root"]
fn mail_that_must_not_be_signed_arrives_the_same_as_without_the_wrapper() {
    let sandbox = Sandbox::for_test("unsigned");
    sandbox.key("others.test", "s1");
    let from = "From: a@others.test\n";
    for (args, message) in [
        (
            "-i",
            format!(
                "Received: from x by y; Tue, 14 Nov 2023 22:13:20 +0000\n{from}To: root\n\nx\n"
            ),
        ),
        ("-G -i", format!("{from}To: root\n\nx\n")),
        ("-i", format!("{from}From: b@others.test\nTo: root\n\nx\n")),
        ("-i", "From: a@others.test, b@unknown.test\nTo: root\n\nx\n".to_owned()),
    ] {
        assert_same(sandbox, args, &message);
    }
}

#[test]
#[ignore = "needs root"]
fn mail_with_a_signature_of_the_same_domain_keeps_it_alone() {
    let sandbox = Sandbox::for_test("unsigned");
    sandbox.key("again.test", "s1");
    let message = "DKIM-Signature: v=1; a=rsa-sha256; d=again.test; s=x; h=from; bh=x; b=x\n\
        From: a@again.test\nTo: root\n\nx\n";
    let [ours, theirs] = both(sandbox, "-i", message);
    assert_eq!(ours.without_trace(), theirs.without_trace());
}

#[test]
#[ignore = "needs root"]
fn users_and_groups_decide_by_the_real_user() {
    let sandbox = Sandbox::for_test("unsigned");
    sandbox.key("users.test", "s1");
    let file = "selectors = [\"s1\"]\nusers = [\"alice\"]\ngroups = [\"nogroup\"]\n";
    sandbox.write("/etc/sendmail-dkim/domains/users.test.toml", file);
    for (user, result) in [("alice", "pass"), ("nobody", "pass"), ("www-data", "none")] {
        let recipient = sandbox.recipient();
        let mark = sandbox.mark();
        let script = format!("USER=alice LOGNAME=alice sendmail -f alice@users.test {recipient}");
        let output = sandbox.sh(user, &script, b"From: alice@users.test\n\nx\n");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let verdicts = sandbox.verify(&sandbox.received(&recipient));
        assert!(verdicts.all(result), "{user}: {verdicts}");
        if result == "none" {
            let line = sandbox.logged(mark, "author=<alice@users.test>");
            let reason = "reason=\"the user may not sign for the domain\"";
            assert!(line.ends_with(reason), "{line}");
        }
    }
}

/// Breaks something, expects mail to arrive the same as without the wrapper and the log to have the reason, and repairs it.
fn with_broken(domain: &str, break_it: &str, repair: &str, logged: &str) {
    let sandbox = Sandbox::for_test("unsigned");
    sandbox.key(domain, "s1");
    let key = format!("/etc/sendmail-dkim/keys/{domain}/s1.private");
    let file = format!("/etc/sendmail-dkim/domains/{domain}.toml");
    let fill = |text: &str| text.replace("KEY", &key).replace("FILE", &file);
    sandbox.root(&format!("cp -a {key} {key}.kept; cp -a {file} {file}.kept; {}", fill(break_it)));
    let mark = sandbox.mark();
    assert_same(sandbox, "", &format!("From: a@{domain}\r\nTo: root\r\n\r\nx\r\n.\r\nrest\n"));
    let line = sandbox.logged(mark, &format!("author=<a@{domain}>"));
    assert!(line.contains("result=unsigned") && line.contains(&fill(logged)), "{line}");
    // Rejected instead, with `on_error = "refuse"`.
    if !break_it.contains("FILE") {
        sandbox.root(&format!("echo 'on_error = \"refuse\"' >>{file}"));
        let message = format!("From: a@{domain}\n\nx\n");
        let output = sandbox.sh("www-data", "sendmail nobody@sink.test", message.as_bytes());
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        let said = stderr(&output);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("sendmail.dkim: fatal: not signed, so not accepted: "), "{said}");
        assert_eq!(sandbox.count("nobody@sink.test"), 0);
    }
    sandbox.root(&fill(repair));
    sandbox.root(&format!("rm -rf {key} {file}; mv {key}.kept {key}; mv {file}.kept {file}"));
    let recipient = sandbox.recipient();
    let message = format!("From: a@{domain}\n\nx\n");
    sandbox.sh("www-data", &format!("sendmail {recipient}"), message.as_bytes());
    sandbox.assert_signed(&sandbox.received(&recipient), domain, "s1");
}

#[test]
#[ignore = "needs root"]
fn an_unreadable_key_sends_mail_unsigned() {
    with_broken("unreadable.test", "chgrp root KEY", "", "cannot open key KEY: permission denied");
}

#[test]
#[ignore = "needs root"]
fn a_missing_key_sends_mail_unsigned() {
    with_broken("missing.test", "rm KEY", "", "cannot open key KEY: no such file or directory");
}

#[test]
#[ignore = "needs root"]
fn a_folder_in_place_of_the_key_sends_mail_unsigned() {
    with_broken("folder.test", "rm KEY; mkdir -m 755 KEY", "", "KEY is not a regular file");
}

#[test]
#[ignore = "needs root"]
fn a_fifo_in_place_of_the_key_sends_mail_unsigned() {
    let fifo = "rm KEY; mkfifo -m 640 KEY; chgrp sendmail-dkim KEY";
    with_broken("fifo.test", fifo, "", "KEY is not a regular file");
}

#[test]
#[ignore = "needs root"]
fn a_link_in_place_of_the_key_sends_mail_unsigned() {
    let link = "mv KEY KEY.real; ln -s KEY.real KEY";
    with_broken("link.test", link, "rm KEY.real", "cannot open key KEY, links are not followed");
}

#[test]
#[ignore = "needs root"]
fn a_key_that_others_may_read_or_write_sends_mail_unsigned() {
    with_broken("world.test", "chmod 644 KEY", "", "found mode 0644, expected 0640 or stricter");
    with_broken(
        "group.test",
        "chmod 660 KEY",
        "",
        "must be writable by its owner only (found uid 0, mode 0660)",
    );
}

#[test]
#[ignore = "needs root"]
fn with_a_key_of_another_user_mail_is_sent_unsigned() {
    with_broken(
        "owner.test",
        "chown alice KEY",
        "",
        "must be owned by root or by the owner of the configuration directory",
    );
}

#[test]
#[ignore = "needs root"]
fn a_key_of_another_group_sends_mail_unsigned() {
    let sandbox = Sandbox::for_test("unsigned");
    sandbox.key("group-of-users.test", "s1");
    let key = "/etc/sendmail-dkim/keys/group-of-users.test/s1.private";
    sandbox.root(&format!("chgrp users {key}"));
    // The caller could read the key itself: it is no secret, and signs nothing.
    let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
    sandbox.write("/tmp/message", "From: a@group-of-users.test\n\nx\n");
    let submit = "setpriv --reuid=alice --regid=alice --groups=users";
    sandbox.root(&format!("{submit} sendmail {recipient} </tmp/message"));
    assert!(!sandbox.received(&recipient).split().0.contains("DKIM-Signature"));
    let line = sandbox.logged(mark, "author=<a@group-of-users.test>");
    let reason = "must have the group of the keys directory";
    assert!(line.contains("result=unsigned") && line.contains(reason), "{line}");
}

#[test]
#[ignore = "needs root"]
fn with_a_file_that_is_not_a_key_mail_is_sent_unsigned() {
    with_broken("garbage.test", "echo garbage >KEY", "", "key KEY: ");
}

#[test]
#[ignore = "needs root"]
fn a_small_key_sends_mail_unsigned() {
    let small = "openssl genrsa 768 2>/dev/null >KEY || echo 'no openssl' >KEY";
    with_broken("small.test", small, "", "key KEY: ");
}

#[test]
#[ignore = "needs root"]
fn a_broken_domain_file_sends_mail_unsigned_and_names_the_line() {
    let text = "printf 'selectors = [\"s1\"]\\nfoo = 1\\n' >FILE";
    with_broken("broken.test", text, "", "FILE: line 2: unknown key `foo`");
}

#[test]
#[ignore = "needs root"]
fn a_domain_file_that_others_may_write_sends_mail_unsigned() {
    with_broken("users.group.test", "chgrp users FILE; chmod 664 FILE", "", "by its owner only");
    with_broken("trust.test", "chmod 666 FILE", "", "must be writable by its owner only");
}

#[test]
#[ignore = "needs root"]
fn of_a_message_that_is_too_large_the_verdict_is_that_of_postfix() {
    let sandbox = Sandbox::own("unsigned");
    sandbox.key("large.test", "s1");
    let config = sandbox.root("cat /etc/sendmail-dkim/config.toml");
    let without = config.lines().filter(|line| !line.starts_with("message_size_limit"));
    let without = without.collect::<Vec<_>>().join("\n");
    let said = |program: &str, from: &str, bytes: &str| {
        let script = format!(
            "(printf 'From: a@{from}\\n\\n'; head -c 30000000 /dev/zero | {bytes}; echo x) |
                /usr/sbin/{program} -i x@there.test"
        );
        let output = sandbox.sh("www-data", &script, b"");
        let said = stderr(&output).replace(|char: char| char.is_ascii_digit(), "");
        (output.status.code(), said.replace("sendmail.postfix", "sendmail"))
    };
    // Bytes without a line end among them, lines, and CRs that are no line end, more than Postfix accepts.
    let all = ["tr '\\0' '\\r'", "tr '\\0' x", "tr '\\0' '\\n'", "sed 's/^/\\n/'"];
    let theirs = all.map(|bytes| said("sendmail.postfix", "large.test", bytes));
    for (more, from) in
        [("", "large.test"), ("message_size_limit = 10240000", "large.test"), ("", "unknown.test")]
    {
        sandbox.write("/etc/sendmail-dkim/config.toml", &format!("{without}\n{more}\n"));
        for (bytes, theirs) in all.into_iter().zip(&theirs) {
            assert_eq!(said("sendmail", from, bytes), *theirs, "{more} {from} {bytes}");
            assert_ne!(theirs.0, Some(0), "{bytes}");
        }
    }
}
