use crate::support::Sandbox;

#[test]
fn modes_that_read_no_message_behave_as_without_us() {
    let Some(sandbox) = Sandbox::for_test("pass_through") else { return };
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
            let text = |octets| String::from_utf8_lossy(octets).replace(path, "…");
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
