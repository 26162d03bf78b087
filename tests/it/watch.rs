use crate::support::{Sandbox, project, stdout};

#[test]
#[ignore = "needs root"]
fn a_record_that_goes_is_mailed_and_logged_once_and_so_is_its_return() {
    let sandbox = Sandbox::own("watch");
    for domain in ["stays.test", "goes.test"] {
        sandbox.key(domain, "s1");
    }
    let recipient = sandbox.recipient();
    let unit = std::fs::read_to_string(project("packaging/systemd/sendmail-dkim-watch.service"));
    let unit = unit.unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let command = command.replace("--mail root", &format!("--mail {recipient}"));
    let allowed = unit.lines().find_map(|line| line.strip_prefix("SuccessExitStatus=")).unwrap();
    let watch = |code: &str, count: usize| {
        let mark = sandbox.mark();
        let shown = sandbox.root(&format!("{command} 2>&1; echo code $?"));
        let (shown, found) = shown.trim_end().rsplit_once("\ncode ").unwrap();
        assert_eq!(found, code, "{shown}");
        assert!(code == "0" || allowed.split(' ').any(|one| one == code), "{allowed}");
        let logged = crate::support::logged(&sandbox, mark, "watch: s1._domainkey", count);
        assert_eq!(logged.len(), count, "{logged:?}");
        (shown.to_owned(), logged)
    };
    let mails = || sandbox.root("mailq >/dev/null; true").len() + sandbox.count(&recipient);
    let (shown, _) = watch("0", 0);
    assert_eq!(shown, "All records are correct.");

    sandbox.publish("goes.test", "");
    let (shown, logged) = watch("69", 1);
    assert!(
        shown.starts_with("New problems:\n  s1._domainkey.goes.test: there is no record"),
        "{shown}"
    );
    assert!(!shown.contains("stays.test") && logged[0].contains("<20>"), "{shown}{logged:?}");
    let mailed = sandbox.received(&recipient).split();
    assert!(mailed.0.contains("\r\nSubject: DKIM records on host"), "{mailed:?}");
    assert!(mailed.1.contains("s1._domainkey.goes.test: there is no record"), "{mailed:?}");
    // Again, and nothing is new.
    let (shown, _) = watch("69", 0);
    assert!(shown.starts_with("Still there:\n"), "{shown}");
    assert_eq!(mails(), 1);

    // A message that cannot be mailed is sent by the next run that can.
    sandbox.publish("goes.test", "/etc/sendmail-dkim/keys/goes.test/s1.txt");
    let alternatives = "/etc/alternatives/mta";
    sandbox.root(&format!("mv {alternatives} {alternatives}.away"));
    let (shown, logged) = watch("71", 1);
    assert!(shown.starts_with("Ended:\n  s1._domainkey.goes.test: "), "{shown}");
    assert!(shown.contains("cannot mail to"), "{shown}");
    assert!(logged[0].contains("<22>") && logged[0].ends_with(": ok"), "{logged:?}");
    sandbox.write("/opt/full", "#!/bin/sh\ncat >/dev/null; echo no room >&2; exit 75\n");
    sandbox.root(&format!("chmod 755 /opt/full; ln -s /opt/full {alternatives}"));
    let (shown, _) = watch("71", 0);
    assert!(shown.contains("/usr/sbin/sendmail failed: exit status: 75 no room"), "{shown}");
    sandbox.root(&format!("mv -f {alternatives}.away {alternatives}"));
    assert_eq!(watch("0", 0).0, "All records are correct.");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while mails() < 2 {
        assert!(std::time::Instant::now() < deadline, "the second message does not arrive");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(watch("0", 0).0, "All records are correct.");
}

/// Mail From a domain: the end of the line in the log.
fn outcome(sandbox: &Sandbox, domain: &str) -> String {
    let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
    let message = format!("From: a@{domain}\n\nx\n");
    stdout(&sandbox.sh("alice", &format!("sendmail -i {recipient}"), message.as_bytes()));
    let line = sandbox.logged(mark, &format!("author=<a@{domain}>"));
    line.split_once("result=").unwrap().1.to_owned()
}

/// Three domains that are not signed once their records are gone for a second: two are gone, and of one, a server is silent.
fn with_skip() -> Sandbox {
    let sandbox = Sandbox::own("watch");
    for domain in ["gone.test", "half.test", "two.test"] {
        sandbox.key(domain, "s1");
        sandbox.publish(domain, "");
    }
    sandbox.root(
        "dkimctl genkey -d two.test -s s2; dkimctl use two.test s1 s2; cd /etc/sendmail-dkim
         printf 'on_missing_record = \"skip\"\nmissing_record_after = \"1s\"\n' >>config.toml",
    );
    sandbox.publish("two.test", "/etc/sendmail-dkim/keys/two.test/s2.txt");
    // One of its two servers does not answer.
    sandbox.root("printf '$ORIGIN half.test.\n$TTL 1\n@ SOA ns.invalid. root 200 1 1 1 1\n@ NS ns.invalid.\n@ NS ns2.invalid.\n' \
         >/zones/half.test.zone; nsd-control reload half.test >/dev/null");
    sandbox
}

fn every_command_says_so(sandbox: &Sandbox) {
    for (command, expected) in [
        ("dkimctl status gone.test", "gone.test\ts1\tgone\t"),
        (
            "dkimctl status gone.test",
            "no server has s1._domainkey.gone.test, so the key does not sign",
        ),
        ("dkimctl doctor --offline", "no server has s1._domainkey.gone.test"),
        (
            "dkimctl explain --from a@gone.test --user alice",
            "the record of the key is gone from DNS",
        ),
    ] {
        let shown = sandbox.root(&format!("{command} 2>&1; true"));
        assert!(shown.contains(expected), "{command}: {shown}");
    }
}

const GONE: &str = "unsigned reason=\"the record of the key is gone from DNS\"";

#[test]
#[ignore = "needs root"]
fn a_key_whose_record_is_gone_from_all_servers_stops_signing_and_comes_back() {
    let sandbox = with_skip();
    let watch = |args: &str| {
        let mark = sandbox.mark();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let shown = sandbox.root(&format!("dkimctl watch {args} 2>&1; true"));
        (shown, mark)
    };
    let gone =
        || sandbox.root("cd /etc/sendmail-dkim/domains; grep -Hv '^#' *.gone 2>/dev/null; true");
    // One run proves no length of time, and silence proves nothing at all.
    watch("");
    assert_eq!(gone(), "");
    for _ in 0..2 {
        watch("--server 127.0.0.9");
        assert_eq!(gone(), "");
    }
    watch("");
    assert_eq!(gone(), "");
    let (shown, mark) = watch("");
    assert_eq!(gone(), "gone.test.gone:s1\ntwo.test.gone:s1\n");
    let said = "s1._domainkey.gone.test: there is no record; the key does not sign until a server has its record again";
    assert!(
        shown.contains(said) && !shown.contains("New problems:\n  s1._domainkey.half"),
        "{shown}"
    );
    sandbox.logged(mark, said);
    let rights = sandbox.root("stat -c '%U %a' /etc/sendmail-dkim/domains/gone.test.gone");
    assert_eq!(rights, "root 644\n");
    assert_eq!(outcome(&sandbox, "gone.test"), GONE);
    assert_eq!(outcome(&sandbox, "half.test"), "signed");
    // The other key of the domain signs alone.
    let recipient = sandbox.recipient();
    let script = format!("sendmail -i {recipient}");
    stdout(&sandbox.sh("alice", &script, b"From: a@two.test\n\nx\n"));
    sandbox.assert_signed(&sandbox.received(&recipient), "two.test", "s2");
    every_command_says_so(&sandbox);
    // It is reported once; and a resolver that does not answer neither changes it nor is news.
    assert!(watch("").0.starts_with("Still there:\n"));
    watch("--server 127.0.0.9");
    assert_eq!(outcome(&sandbox, "gone.test"), GONE);
    // Nor does a domain file with an error.
    let file = "/etc/sendmail-dkim/domains/gone.test.toml";
    sandbox.root(&format!("echo 'x = 1' >>{file}"));
    let (shown, _) = watch("");
    assert!(
        shown.contains("New problems:\n  /etc/sendmail-dkim/domains/gone.test.toml: "),
        "{shown}"
    );
    assert!(!shown.contains("Ended:\n  s1._domainkey.gone.test"), "{shown}");
    sandbox.root(&format!("sed -i '$d' {file}"));
    assert_eq!(outcome(&sandbox, "gone.test"), GONE);
    watch("");
    // With the setting off it signs at once; and by itself when the record is back.
    sandbox.root("echo 'on_missing_record = \"sign\"' >>/etc/sendmail-dkim/domains/two.test.toml");
    watch("");
    assert_eq!(gone(), "gone.test.gone:s1\n");
    // No receiver can use the record of a revoked key.
    sandbox.root("echo 's1._domainkey IN TXT \"v=DKIM1; p=\"' >/tmp/revoked.txt");
    sandbox.publish("gone.test", "/tmp/revoked.txt");
    watch("");
    assert_eq!(gone(), "gone.test.gone:s1\n");
    sandbox.publish("gone.test", "/etc/sendmail-dkim/keys/gone.test/s1.txt");
    let (shown, mark) = watch("");
    assert!(shown.starts_with("Ended:\n  s1._domainkey.gone.test"), "{shown}");
    sandbox.logged(mark, "watch: s1._domainkey.gone.test: ok");
    assert_eq!((gone().as_str(), outcome(&sandbox, "gone.test").as_str()), ("", "signed"));
}

#[test]
#[ignore = "needs root"]
fn two_watches_do_not_meet() {
    let sandbox = Sandbox::own("watch");
    sandbox.key("busy.test", "s1");
    let output = sandbox.sh("root", "flock /etc/sendmail-dkim/domains dkimctl watch", b"");
    assert_eq!(output.status.code(), Some(75), "{output:?}");
}

#[test]
fn a_state_of_another_form_is_named() {
    let etc = std::env::temp_dir().join(format!("watch-{}", std::process::id()));
    std::fs::create_dir_all(etc.join("domains")).unwrap();
    std::fs::write(etc.join("watch.json"), "{\"problem\": 1}").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dkimctl"))
        .args(["watch", "--server", "127.0.0.1:1", "--etc"])
        .arg(&etc)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("watch.json") && said.contains("remove the file"), "{said}");
    std::fs::remove_dir_all(&etc).unwrap();
    let mut help = std::process::Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    assert!(stdout(&help.args(["watch", "--help"]).output().unwrap()).contains("--mail ADDRESS"));
}
