use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use serde_json::Value;

use crate::support::{Sandbox, Stage, dkimctl, reported, stdout};

/// The exit code, the result, and the findings.
fn status(sandbox: &Sandbox, domain: &str) -> (Option<i32>, Value, Vec<Value>) {
    let output = sandbox.sh("root", &format!("dkimctl status --json {domain}"), b"");
    let (shown, findings) = reported(&output.stdout);
    (output.status.code(), shown, findings)
}

/// What is wrong with a host or a key, how that is put right, whether the key itself is fine, and what is said.
const FAULTS: [(&str, &str, bool, &str); 13] = [
    ("rm KEY", "cp -p /tmp/key KEY", false, "s1.private does not exist"),
    ("echo garbage >KEY", "cp -p /tmp/key KEY", false, "no private key in PEM format"),
    ("chmod 644 KEY", "chmod 640 KEY", false, "0644"),
    ("chgrp root KEY", "chgrp sendmail-dkim KEY", false, "root:root"),
    (
        "chmod 700 /etc/sendmail-dkim/keys/DOMAIN",
        "chmod 750 /etc/sendmail-dkim/keys/DOMAIN",
        false,
        "0700",
    ),
    ("echo x = 1 >>FILE", "sed -i '$d' FILE", false, "unknown key `x`"),
    ("chmod 664 FILE", "chmod 644 FILE", false, "must be writable by its owner only"),
    ("chmod 700 /etc/sendmail-dkim/keys", "chmod 750 /etc/sendmail-dkim/keys", true, "0700"),
    (
        "echo x = 1 >>/etc/sendmail-dkim/config.toml",
        "sed -i '$d' /etc/sendmail-dkim/config.toml",
        false,
        "config.toml: line",
    ),
    (
        "chmod 775 /etc/sendmail-dkim/domains",
        "chmod 755 /etc/sendmail-dkim/domains",
        true,
        "/etc/sendmail-dkim/domains must be writable",
    ),
    (
        "ln -sf /usr/sbin/sendmail.postfix /etc/alternatives/mta",
        "ln -sf /usr/sbin/sendmail.dkim /etc/alternatives/mta",
        true,
        "sendmail.dkim is not the active sendmail",
    ),
    (
        "chmod g-s /usr/sbin/sendmail.dkim",
        "chmod g+s /usr/sbin/sendmail.dkim",
        true,
        "without the set-gid bit",
    ),
    (
        "mv /usr/sbin/sendmail.postfix /usr/sbin/away",
        "mv /usr/sbin/away /usr/sbin/sendmail.postfix",
        true,
        "sendmail.postfix: no such file or directory: no mail is accepted",
    ),
];

#[test]
#[ignore = "needs root"]
fn what_is_said_to_sign_signs_and_all_is_well_only_where_it_is() {
    let sandbox = Sandbox::own("status");
    let domain = "state.test";
    let key = format!("/etc/sendmail-dkim/keys/{domain}/s1.private");
    let file = format!("/etc/sendmail-dkim/domains/{domain}.toml");
    sandbox.key(domain, "s1");
    sandbox.root(&format!("cp -p {key} /tmp/key"));
    // DNS was not queried yet.
    let (code, shown, findings) = status(&sandbox, domain);
    assert_eq!(
        (code, &shown["signing"], &shown["keys"][0]["signing"]),
        (Some(1), &true.into(), &true.into()),
        "{shown}"
    );
    let remedy = findings[0]["remedy"].as_str().unwrap();
    assert!(remedy.ends_with(&format!("dkimctl testkey {domain}")), "{shown}");
    sandbox.root(&format!("dkimctl testkey {domain}"));
    for (spoil, repair, is_fine, says) in FAULTS {
        let (code, shown, _) = status(&sandbox, domain);
        assert_eq!(
            (code, &shown["keys"][0]["state"]),
            (Some(0), &"signs".into()),
            "before {spoil}: {shown}"
        );
        let text = sandbox.root("dkimctl status");
        assert!(text.starts_with("Mail is signed on this host.\n"), "{text}");
        let script =
            |text: &str| text.replace("KEY", &key).replace("FILE", &file).replace("DOMAIN", domain);
        sandbox.root(&script(spoil));
        let (code, shown, findings) = status(&sandbox, domain);
        assert_eq!(code, Some(1), "{spoil}: {shown}");
        let is_said = findings.iter().any(|one| one.to_string().contains(says));
        assert!(is_said, "{spoil}: {findings:?}");
        assert_eq!(shown["keys"][0]["signing"], is_fine, "{spoil}: {shown}");
        assert_eq!(shown["signing"], false, "{spoil}: {shown}");
        let output = sandbox.sh("root", "dkimctl status", b"");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with("No mail is signed on this host.\n"), "{spoil}: {text}");
        // What it says is true.
        let recipient = sandbox.recipient();
        let message = format!("From: a@{domain}\nSubject: x\n\nx\n");
        let sent = sandbox.sh("alice", &format!("sendmail {recipient}"), message.as_bytes());
        if sent.status.success() {
            assert!(!sandbox.verify(&sandbox.received(&recipient)).all("pass"), "{spoil}");
        }
        sandbox.root(&script(repair));
    }
    // A record that is gone is known once it was asked for.
    sandbox.publish(domain, "");
    drop(sandbox.sh("root", "dkimctl testkey", b""));
    let (code, shown, findings) = status(&sandbox, domain);
    assert_eq!(code, Some(1), "{shown}");
    assert!(findings[0]["evidence"].as_str().unwrap().contains("is no longer in DNS"), "{shown}");
    // A message that was signed is in the log.
    let line =
        |domain| format!("Nov 29 12:00:00 h sendmail-dkim[1]: uid=0 d={domain} s=s result=signed");
    let log = [line("old.test"), line("x.test"), "Nov 29 12:00:01 h x[1]: y\n".to_owned()];
    sandbox.write("/var/log/mail.log", &log.join("\n"));
    let (_, shown, _) = status(&sandbox, domain);
    assert!(shown["host"]["last_signed"].as_str().unwrap().contains("d=x.test"), "{shown}");
}

/// Runs it as a user who may not read keys, where root runs the tests.
fn as_unprivileged(stage: &Stage, args: &[&str]) -> Output {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.args(args).arg("--etc").arg(stage.path("etc"));
    if fs::metadata("/proc/self").unwrap().permissions().mode() != 0 && is_root() {
        command.uid(65_534).gid(65_534);
    }
    command.output().unwrap()
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

#[test]
fn keys_that_may_not_be_read_are_not_said_to_be_gone() {
    let stage = Stage::new();
    for (path, mode) in [("etc/keys", 0o000), ("etc/keys", 0o400), ("etc/keys/sample.com", 0o000)] {
        fs::set_permissions(stage.path(path), fs::Permissions::from_mode(mode)).unwrap();
        for args in [
            &["record", "sample.com"][..],
            &["record", "--all"],
            &["status"],
            &["status", "sample.com"],
            &["rotate", "--dry-run", "sample.com", "--server", "127.0.0.1:9"],
        ] {
            let output = as_unprivileged(&stage, args);
            assert_eq!(output.status.code(), Some(77), "{path} {mode:o} {args:?}: {output:?}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(": permission denied\n"), "{args:?}: {said}");
        }
        fs::set_permissions(stage.path(path), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn of_another_directory_the_keys_alone_are_judged() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a", "-b", "1024"]));
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    let output = dkimctl(&stage, &["status"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("The host was not checked: "), "{text}");
    assert!(text.contains("\nx.test\ta\t") && text.contains("not seen in DNS"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_key_that_is_lost_with_its_directory_is_broken() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["genkey", "x.test", "a", "--type", "ed25519"]));
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    fs::remove_dir_all(stage.path("new/keys/x.test")).unwrap();
    for args in [&["status", "--json"][..], &["status", "--json", "x.test"]] {
        let output = dkimctl(&stage, args);
        let (shown, _) = reported(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert_eq!(shown["signing"], false, "{shown}");
        let rows: Vec<_> = shown["keys"].as_array().unwrap().iter().collect();
        let [row] = rows[..] else { panic!("{shown}") };
        assert_eq!((&row["selector"], &row["state"]), (&"a".into(), &"broken".into()), "{shown}");
    }
}

#[test]
#[ignore = "needs root"]
fn of_keys_without_a_domain_file_one_that_can_sign_is_named() {
    let sandbox = Sandbox::own("status");
    // One was wiped, one is being replaced, and the domain file is lost.
    sandbox.root(
        "for key in a b c; do dkimctl genkey x.test $key --type ed25519; done
         cd /etc/sendmail-dkim; rm domains/* keys/x.test/a.private",
    );
    let state = "[[rotation]]\nold = \"b\"\nnew = \"c\"\nstage = \"retiring\"\nsince = 2026-11-20\nuntil = 2099-01-02\n";
    sandbox.write("/etc/sendmail-dkim/keys/x.test/rotation.toml", state);
    let found = || {
        let (code, _, findings) = status(&sandbox, "");
        let remedies = findings.iter().map(|one| one["remedy"].as_str().unwrap().to_owned());
        (code, remedies.collect::<Vec<_>>())
    };
    assert_eq!(found(), (Some(1), vec!["dkimctl use x.test c".to_owned()]));
    sandbox.root("rm /etc/sendmail-dkim/keys/x.test/c.private");
    assert_eq!(found(), (Some(1), vec!["dkimctl add DOMAIN".to_owned()]));
}

#[test]
fn a_key_that_is_to_replace_another_one_has_nothing_wrong() {
    let stage = Stage::new();
    for selector in ["a", "b"] {
        stdout(&dkimctl(&stage, &["genkey", "x.test", selector, "--type", "ed25519"]));
    }
    let state = "[[rotation]]\nold = \"a\"\nnew = \"b\"\nstage = \"pending\"\nsince = 2026-11-20\n";
    stage.write("new/keys/x.test/rotation.toml", state);
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    // The rotation is known even if the domain file cannot be used.
    for file in ["selectors = [\"a\"]\n", "selectors = 1\n"] {
        stage.write("new/domains/x.test.toml", file);
        let output = dkimctl(&stage, &["status", "--json"]);
        let (shown, _) = reported(&output.stdout);
        let row = &shown["keys"][1];
        assert_eq!([&row["selector"], &row["state"], &row["replaces"]], ["b", "pending", "a"]);
        assert_eq!(row["wrong"], serde_json::json!([]), "{shown}");
    }
}

#[test]
fn each_key_of_two_rotations_has_its_own_stage() {
    let stage = Stage::new();
    for selector in ["a", "b", "c"] {
        stdout(&dkimctl(&stage, &["genkey", "x.test", selector, "--type", "ed25519"]));
    }
    fs::remove_file(stage.path("new/keys/x.test/a.private")).unwrap();
    let first = "[[rotation]]\nold = \"a\"\nnew = \"b\"\nstage = \"revoked\"\nsince = 2026-11-01\n";
    let second = "[[rotation]]\nold = \"b\"\nnew = \"c\"\nsince = 2026-11-20\nuntil = 2099-01-02\n";
    for (signs, stage_of_it, expected) in [
        ("b", "settling", [("a", "revoked", ""), ("b", "", ""), ("c", "settling", "b")]),
        ("c", "retiring", [("a", "revoked", ""), ("b", "retiring", ""), ("c", "", "b")]),
    ] {
        stage.write("new/domains/x.test.toml", &format!("selectors = [{signs:?}]\n"));
        let state = format!("{first}{second}stage = {stage_of_it:?}\n");
        stage.write("new/keys/x.test/rotation.toml", &state);
        let shown = dkimctl(&stage, &["status", "--json"]);
        let (shown, _) = reported(&shown.stdout);
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let rows = shown["keys"].as_array().unwrap().iter();
        // The record of a wiped key still shows its type.
        assert!(rows.clone().all(|row| row["type"] == "ed25519"), "{shown}");
        let rows: Vec<_> =
            rows.map(|row| ["selector", "stage", "replaces"].map(|key| text(row, key))).collect();
        assert_eq!(rows, expected.map(|(a, b, c)| [a, b, c].map(str::to_owned)), "{shown}");
        let row = shown["keys"].as_array().unwrap().iter().find(|row| row["stage"] == stage_of_it);
        assert_eq!(text(row.unwrap(), "until"), "2099-01-02T00:00:00Z", "{shown}");
        let shown = dkimctl(&stage, &["status"]);
        let words = if signs == "b" { "signs from 2099" } else { "stays published until 2099" };
        assert!(String::from_utf8_lossy(&shown.stdout).contains(words), "{shown:?}");
    }
}
