use crate::support::Sandbox;

#[test]
#[ignore = "needs root"]
fn modes_that_read_no_message_behave_the_same_as_without_the_wrapper() {
    let sandbox = Sandbox::for_test("pass_through");
    // The same name for both, so that both say the same of themselves.
    sandbox.root(
        "mkdir -p /opt/theirs; cd /opt/theirs
        for name in sendmail mailq newaliases; do ln -sf /usr/sbin/sendmail.postfix $name; done
        mkdir -p /opt/ours; cd /opt/ours
        for name in sendmail mailq newaliases; do ln -sf /usr/sbin/sendmail $name; done",
    );
    for (user, call) in [
        ("www-data", "mailq"),
        ("root", "mailq"),
        ("root", "newaliases"),
        ("www-data", "newaliases"),
        ("www-data", "sendmail -bp"),
        ("root", "sendmail -bi"),
        ("www-data", "sendmail -bv a@sink.test"),
        ("www-data", "sendmail -q"),
        ("www-data", "sendmail -q30m"),
        ("www-data", "sendmail -qRsink.test"),
        ("www-data", "sendmail -bd"),
        ("www-data", "sendmail -bh"),
        ("www-data", "sendmail -bt"),
        ("www-data", "sendmail"),
        ("www-data", "sendmail -n x@sink.test"),
        ("www-data", "sendmail -d x@sink.test"),
        ("www-data", "sendmail -B 9BIT x@sink.test"),
        ("www-data", "sendmail -X /tmp/x x@sink.test"),
        ("www-data", "sendmail --help"),
        ("www-data", "sendmail -bs x@sink.test"),
        ("www-data", "sendmail -t -bp"),
    ] {
        let run = |path: &str| {
            let script = format!("PATH=/opt/{path}:$PATH; {call}");
            let output = sandbox.sh(user, &script, b"not to be read\n");
            let text = |bytes| String::from_utf8_lossy(bytes).replace(path, "…");
            let mut said = text(&output.stdout);
            // Mail of other tests comes and goes.
            if said == "Mail queue is empty\n" || said.starts_with("-Queue ID-") {
                said = "(the queue)".to_owned();
            }
            (output.status.code(), said, text(&output.stderr))
        };
        assert_eq!(run("ours"), run("theirs"), "{user}: {call}");
    }
}

/// Names under which the real sendmail behaves differently, and some other names.
const NAMES: [&str; 12] = [
    "sendmail",
    "send-mail",
    "mailq",
    "newaliases",
    "rmail",
    "hoststat",
    "purgestat",
    "smtpd",
    "runq",
    "rsmtp",
    "mta",
    "mta-sendmail",
];

#[test]
#[ignore = "needs root"]
fn each_name_of_a_link_means_the_same_as_without_the_wrapper() {
    let sandbox = Sandbox::for_test("pass_through");
    // As alternatives(8) has them: a link at the program's place to one of the group, and that to the program; the names
    // of mta-mailq and its like come from the first link.
    for (tree, program) in [("ours", "sendmail.dkim"), ("real", "sendmail.postfix")] {
        sandbox.root(&format!(
            "mkdir -p /opt/links/{tree}/alternatives; cd /opt/links/{tree}
            for name in {}; do
                ln -sf /usr/sbin/{program} alternatives/mta-$name; ln -sf alternatives/mta-$name $name
            done",
            NAMES.join(" ")
        ));
    }
    for name in NAMES {
        for (call, input) in [
            (format!("/opt/links/TREE/{name}"), ""),
            (format!("PATH=/opt/links/TREE; {name} -i"), "not to be read\n"),
            (format!("cd /opt/links/TREE; ./{name} -n x@sink.test"), "not to be read\n"),
            (
                format!("cd /opt/links; TREE/alternatives/mta-{name} -i RCPT"),
                "From: a@none.test\n\nx\n",
            ),
            (format!("/opt/links/TREE/{name} -i -f a@none.test RCPT"), "From: a@none.test\n\nx\n"),
        ] {
            let run = |tree: &str| {
                let recipient = sandbox.recipient();
                let script = call.replace("TREE", tree).replace("RCPT", &recipient);
                let output = sandbox.sh("www-data", &script, input.as_bytes());
                let text = |bytes| {
                    String::from_utf8_lossy(bytes).replace(tree, "…").replace(&recipient, "…")
                };
                let mut said = text(&output.stdout);
                if said == "Mail queue is empty\n" || said.starts_with("-Queue ID-") {
                    said = "(the queue)".to_owned();
                }
                let is_sent = output.status.success() && said.is_empty() && call.contains("RCPT");
                let sent = is_sent.then(|| sandbox.received(&recipient).without_trace());
                (output.status.code(), said, text(&output.stderr), sent)
            };
            assert_eq!(run("ours"), run("real"), "{call}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn mail_by_any_link_and_name_of_sendmail_is_signed() {
    let sandbox = Sandbox::for_test("pass_through");
    sandbox.key("links.test", "s1");
    sandbox.root(
        "ln -sf /etc/alternatives/mta /opt/send-mail; ln -sf ../usr/lib/sendmail /opt/other-name",
    );
    for path in [
        "/usr/sbin/sendmail",
        "/usr/lib/sendmail",
        "/etc/alternatives/mta",
        "/etc/alternatives/mta-sendmail",
        "/opt/send-mail",
        "/opt/other-name",
        "cd /usr/lib; ./sendmail",
    ] {
        let recipient = sandbox.recipient();
        let script = format!("{path} -i -f a@links.test {recipient}");
        let output = sandbox.sh("www-data", &script, b"From: a@links.test\n\nx\n");
        assert!(output.status.success() && output.stderr.is_empty(), "{path}: {output:?}");
        sandbox.assert_signed(&sandbox.received(&recipient), "links.test", "s1");
    }
}
