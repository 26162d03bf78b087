use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Sandbox, Stage, dkimctl, feed, project, stderr, stdout};

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn genkey_makes_a_key_its_record_and_the_domain_file() {
    let stage = Stage::new();
    let shown = stdout(&dkimctl(&stage, &["genkey", "-d", "Hogehoge.JP", "-s", "dkimselector"]));
    let record = fs::read_to_string(stage.path("new/keys/hogehoge.jp/dkimselector.txt")).unwrap();
    let (name, rest) = record.split_at("dkimselector._domainkey".len());
    assert_eq!(name, "dkimselector._domainkey");
    assert!(rest.starts_with("\tIN\tTXT\t( \"v=DKIM1; k=rsa; \"\n\t  \"p="), "{record}");
    assert!(shown.contains(&format!("{name}.hogehoge.jp.{rest}")), "{shown}");
    assert!(shown.contains("dkimselector._domainkey.hogehoge.jp\n"), "{shown}");
    assert!(record.ends_with("\" )  ; ----- DKIM key dkimselector for hogehoge.jp\n"));
    let pem = stage.path("new/keys/hogehoge.jp/dkimselector.private");
    assert!(fs::read_to_string(&pem).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(mode(&pem) & 0o137, 0, "{:o}", mode(&pem));
    assert_eq!(mode(&stage.path("new/keys")) & 0o027, 0);
    assert_eq!(mode(&stage.path("new/domains/hogehoge.jp.toml")), 0o644);
    let file = fs::read_to_string(stage.path("new/domains/hogehoge.jp.toml")).unwrap();
    assert_eq!(file, "selectors = [\"dkimselector\"]\n");
}

#[test]
fn genkey_overwrites_nothing() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a", "-b", "1024"]));
    let key = stage.path("new/keys/x.test/a.private");
    let before = fs::read(&key).unwrap();
    let output = dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a"]);
    assert_eq!(code(&output), Some(73));
    assert!(stderr(&output).contains("is there already"), "{output:?}");
    assert_eq!(fs::read(&key).unwrap(), before);
    // Neither is a record whose key is gone, or a domain file.
    fs::remove_file(&key).unwrap();
    assert_eq!(code(&dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a"])), Some(73));
    assert!(!key.exists());
    stage.write("new/domains/x.test.toml", "selectors = [\"mine\"]\n");
    let shown = stdout(&dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "b", "-b", "1024"]));
    assert!(shown.contains("add \"b\" to `selectors`"), "{shown}");
    let file = fs::read_to_string(stage.path("new/domains/x.test.toml")).unwrap();
    assert_eq!(file, "selectors = [\"mine\"]\n");
}

#[test]
fn genkey_leaves_no_half_made_file_behind() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a", "-b", "1024"]));
    let names = fs::read_dir(stage.path("new/keys/x.test")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.private", "a.txt"]);
}

#[test]
fn genkey_refuses_what_is_no_domain_selector_or_size() {
    let stage = Stage::new();
    for args in [
        &["-s", "a"][..],
        &["-d", "x.test"],
        &["-d", "../x", "-s", "a"],
        &["-d", "x.test", "-s", "../a"],
        &["-d", "x/y.test", "-s", "a"],
        &["-d", "x.test", "-s", "a", "-b", "512"],
        &["-d", "x.test", "-s", "a", "-b", "8192"],
        &["-d", "x.test", "-s", "a", "-b", "many"],
        &["-d", "x.test", "-s", "a", "--what"],
    ] {
        let output = dkimctl(&stage, &[&["genkey"], args].concat());
        assert_eq!(code(&output), Some(64), "{args:?}: {output:?}");
        assert!(stderr(&output).starts_with("dkimctl: "));
        assert!(!stage.path("new").exists());
    }
}

#[test]
fn genkey_warns_of_a_weak_key() {
    let stage = Stage::new();
    let output = dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a", "-b", "1024"]);
    assert!(stderr(&output).contains("a key of 1024 bits is weak"));
}

fn verify(args: &[&str], message: &[u8]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    let output = feed(command.arg("verify").args(args), message);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn verify_says_which_step_failed() {
    let record = project("tests/vectors/rfc6376-a2.txt").display().to_string();
    let message = fs::read_to_string(project("tests/vectors/rfc6376-a2.eml")).unwrap();
    let record = ["--record", record.as_str()];
    let pass = "d=example.com s=brisbane pass\n".to_owned();
    assert_eq!(verify(&record, message.as_bytes()), (Some(0), pass.clone()));
    assert_eq!(verify(&record, message.replace('\n', "\r\n").as_bytes()), (Some(0), pass));
    for (from, to, step) in [
        ("hungry", "angry", "the body was changed"),
        ("Is dinner", "Was dinner", "a signed header field was changed"),
        ("rsa-sha256", "rsa-sha1", "bad signature field"),
    ] {
        let (code, said) = verify(&record, message.replace(from, to).as_bytes());
        assert_eq!(code, Some(1));
        assert!(said.starts_with(&format!("d=example.com s=brisbane fail: {step}")), "{said}");
    }
    assert_eq!(verify(&record, b"From: x\n\ny\n"), (Some(1), "no signature\n".to_owned()));
}

#[test]
fn verify_names_what_was_changed_on_the_way() {
    let stage = Stage::new();
    let message = b"From: a@sample.com\nTo: b\nSubject: Hi\n\nHi\n";
    let signed = stage.delivered(&["-i", "x"], message).text();
    let keys = stage.path("etc/keys").display().to_string();
    let changed =
        format!("{signed}-- \nlist footer\n").replace("Subject: Hi", "Subject: [list] Hi");
    let (code, said) = verify(&["--keys", &keys], changed.as_bytes());
    assert_eq!(code, Some(1));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "d=sample.com s=s1 fail: the body was changed (body hash differs)",
            "  lines 2 to 3 of the body were added: \"--\" ...",
            "  \"[list]\" was put before the subject",
        ]
    );
    let (code, said) = verify(&["--json", "--keys", &keys], changed.as_bytes());
    assert_eq!(code, Some(1));
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&told[0]["result"], &told[0]["fault"]), (&"fail".into(), &"body".into()));
    let what: Vec<_> = told[0]["findings"].as_array().unwrap().iter().collect();
    assert!(what.iter().all(|one| one["proven"] == true), "{said}");
    assert_eq!((&what[0]["what"], &what[1]["what"]), (&"footer".into(), &"subject-tag".into()));
}

#[test]
fn verify_finds_records_in_a_key_tree() {
    let stage = Stage::new();
    let captured = stage.delivered(&["-i", "x"], b"From: a@sample.com\n\nHi\n");
    let keys = stage.path("etc/keys").display().to_string();
    let pass = (Some(0), "d=sample.com s=s1 pass\n".to_owned());
    assert_eq!(verify(&["--keys", &keys], &captured.stdin), pass);
    let missing = stage.path("etc").display().to_string();
    let (code, said) = verify(&["--keys", &missing], &captured.stdin);
    assert_eq!((code, said.as_str()), (Some(1), "d=sample.com s=s1 fail: no key record\n"));
}

#[test]
fn no_more_than_a_hundred_signatures_are_verified() {
    let stage = Stage::new();
    let captured = stage.delivered(&["-i", "x"], b"From: a@sample.com\n\nHi\n");
    let text = captured.text();
    let (signature, rest) = text.split_at(text.find("\nFrom: ").unwrap() + 1);
    let keys = stage.path("etc/keys").display().to_string();
    for (count, further) in [(100, 0), (101, 1), (5_000, 4_900)] {
        let message = format!("{}{rest}", signature.repeat(count));
        let (code, said) = verify(&["--keys", &keys], message.as_bytes());
        let passed = said.lines().filter(|line| *line == "d=sample.com s=s1 pass").count();
        assert_eq!(passed, 100, "{count}");
        let wanted =
            format!("fail: {further} further signatures are not verified, only the first 100");
        assert_eq!(said.lines().nth(100), Some(wanted.as_str()).filter(|_| further > 0));
        assert_eq!(code, Some(i32::from(further > 0)), "{count}");
    }
    let message = format!("{}{rest}", signature.repeat(102));
    let (_, said) = verify(&["--json", "--keys", &keys], message.as_bytes());
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told.as_array().unwrap().len(), 101);
    assert_eq!(told[100]["fault"], "too-many");
}

#[test]
fn the_search_for_a_change_ends_whatever_the_message() {
    let stage = Stage::new();
    let captured = stage.delivered(&["-i", "x"], b"From: a@sample.com\nSubject: x\n\nHi\n");
    let text = captured.text();
    let (signature, _) = text.split_at(text.find("\nFrom: ").unwrap() + 1);
    let keys = stage.path("etc/keys").display().to_string();
    let words = "a ".repeat(20_000);
    let fields = "Subject: x\n".repeat(5_000);
    let addresses = (0..3_000).map(|n| format!(", a@b{n}.example")).collect::<String>();
    let part = "--b\nContent-Transfer-Encoding: base64\n\nYQ==\n";
    let parts = format!("Content-Type: multipart/x; boundary=b\n\n{}", part.repeat(1_000));
    let lines =
        format!("\n{}{}", "a\n".repeat(3_990), format!("{}\n", "x".repeat(90_000)).repeat(8));
    for rest in [
        format!("From: a@sample.com\nSubject: {words}\n\nHi\n"),
        format!("From: a@sample.com\n{fields}\nHi\n"),
        format!("From: a@sample.com{addresses}\nSubject: x\n\nHi\n"),
        format!("From: a@sample.com\nSubject: x\n{parts}"),
        format!("From: a@sample.com\nSubject: x\n{lines}"),
    ] {
        // With a minute of a processor and 400 MB of addresses.
        let script = "ulimit -t 60; ulimit -v 400000; exec \"$0\" verify --keys \"$1\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_dkimctl"), &keys]);
        let output = feed(&mut command, format!("{signature}{rest}").as_bytes());
        assert_eq!(code(&output), Some(1), "{rest:.200}: {output:?}");
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn verify_wants_one_source_of_records_and_a_message_that_is_there() {
    assert_eq!(verify(&["--keys", "/", "--server", "127.0.0.1"], b"").0, Some(64));
    assert_eq!(verify(&["--server", "localhost"], b"").0, Some(64));
    assert_eq!(verify(&["--keys", "/nowhere", "/nowhere"], b"").0, Some(66));
    assert_eq!(verify(&["--record", "/nowhere"], b"").0, Some(66));
    assert_eq!(verify(&["--keys", "/nowhere", "/"], b"").0, Some(66));
    assert_eq!(verify(&["--record", "/dev/null/record"], b"").0, Some(66));
}

#[test]
fn try_signs_the_sample_and_any_message() {
    let stage = Stage::new();
    let shown = stdout(&dkimctl(&stage, &["try"]));
    assert!(shown.ends_with("\nverified: d=sample.com s=dkimselector\n"), "{shown}");
    assert!(
        shown.starts_with("+ DKIM-Signature: v=1; ") && shown.contains("\n  Test Mail.\n"),
        "{shown}"
    );
    assert!(shown.contains("\ndkimselector._domainkey.sample.com.\tIN\tTXT\t( "), "{shown}");
    fs::write(stage.path("message"), "From: Company, Inc. <a@x.test>\r\n\r\n.\r\nno end").unwrap();
    let shown = stdout(&dkimctl(&stage, &["try", &stage.path("message").display().to_string()]));
    assert!(shown.ends_with("\nverified: d=x.test s=dkimselector\n"), "{shown}");
    assert!(shown.contains("\n+ From: \"Company, Inc.\" <a@x.test>\n"), "{shown}");
}

#[test]
fn try_never_runs_a_privileged_wrapper_which_would_really_send() {
    let stage = Stage::new();
    let wrapper = stage.path("sendmail.dkim");
    fs::copy(env!("CARGO_BIN_EXE_sendmail-dkim"), &wrapper).unwrap();
    // Only root may give it to another group; with one's own group, the bit gives no privilege.
    drop(std::os::unix::fs::chown(&wrapper, None, Some(1)));
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o2755)).unwrap();
    let shown = stdout(&dkimctl(&stage, &["try", "--wrapper", &wrapper.display().to_string()]));
    assert!(shown.ends_with("\nverified: d=sample.com s=dkimselector\n"), "{shown}");
}

#[test]
fn try_tells_how_a_wrapper_failed_that_read_nothing() {
    let stage = Stage::new();
    // More than a pipe holds.
    stage.write("message", &format!("From: a@x.test\n\n{}", "line\n".repeat(100_000)));
    let message = stage.path("message").display().to_string();
    // Any program that takes no message.
    let wrapper = env!("CARGO_BIN_EXE_dkimctl");
    let output = dkimctl(&stage, &["try", "--wrapper", wrapper, &message]);
    assert_eq!(code(&output), Some(70));
    let why = format!("dkimctl: {wrapper} failed: exit status: 64\n");
    assert!(stderr(&output).ends_with(&why), "{output:?}");
}

#[test]
fn try_says_why_a_message_has_no_domain() {
    let stage = Stage::new();
    fs::write(stage.path("message"), "From: a@x.test, b@y.test\n\n").unwrap();
    let output = dkimctl(&stage, &["try", &stage.path("message").display().to_string()]);
    assert_eq!(
        (code(&output), stderr(&output).as_str()),
        (Some(65), "dkimctl: more than one domain in From\n")
    );
}

#[test]
fn help_and_version_go_to_stdout() {
    let stage = Stage::new();
    assert!(stdout(&dkimctl(&stage, &["--help"])).starts_with("usage: dkimctl "));
    assert!(stdout(&dkimctl(&stage, &["genkey", "--help"])).starts_with("usage: dkimctl genkey "));
    assert_eq!(
        stdout(&dkimctl(&stage, &["--version"])),
        concat!("dkimctl ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!(code(&dkimctl(&stage, &["nothing"])), Some(64));
    assert_eq!(code(&dkimctl(&stage, &[])), Some(64));
}

/// A domain file that is valid only together with its `config.toml`, and what signs by it.
fn host_that_adds_a_header(sandbox: &Sandbox) {
    sandbox.key("sample.com", "s1");
    sandbox.root("echo 'headers = [\"+X-Foo\"]' >>/etc/sendmail-dkim/config.toml");
    sandbox.write(
        "/etc/sendmail-dkim/domains/sample.com.toml",
        "selectors = [\"s1\"]\noversign = [\"+X-Foo\"]\n",
    );
    let recipient = sandbox.recipient();
    let message = b"From: a@sample.com\nX-Foo: x\n\nx\n";
    stdout(&sandbox.sh("alice", &format!("sendmail {recipient}"), message));
    sandbox.assert_signed(&sandbox.received(&recipient), "sample.com", "s1");
}

#[test]
fn every_subcommand_reads_a_domain_file_together_with_config_toml() {
    let Some(sandbox) = Sandbox::own("dkimctl") else { return };
    host_that_adds_a_header(&sandbox);
    sandbox.write("/tmp/mail", "From: a@sample.com\nX-Foo: x\n\nx\n");
    let explained = sandbox.root("dkimctl explain --json /tmp/mail");
    assert_eq!(explained.matches("\"X-Foo\"").count(), 2, "{explained}");
    for (command, expected) in [
        ("record sample.com", "s1._domainkey.sample.com"),
        ("record --all", "s1._domainkey.sample.com"),
        ("status", "sample.com  s1  signs"),
        ("status sample.com", "sample.com  s1  signs"),
        ("testkey sample.com", "s1._domainkey.sample.com"),
        ("testkey", "s1._domainkey.sample.com"),
        ("rotate --dry-run --all", "sample.com: s1 -> k1"),
        ("rotate --selector k1 sample.com", "sample.com: s1 -> k1: pending"),
    ] {
        let command = command.replace("--dry-run", "--dry-run --selector k1");
        let shown = sandbox.root(&format!("dkimctl {command}"));
        assert!(shown.contains(expected), "{command}: {shown}");
    }
    let found = sandbox.sh("root", "dkimctl doctor --offline", b"");
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(!found.contains("configuration"), "{found}");
    // Once its record is published, the new key signs: rotate writes the domain file anew.
    sandbox.publish("sample.com", "/etc/sendmail-dkim/keys/sample.com/*.txt");
    let shown = sandbox.root("dkimctl rotate sample.com");
    assert!(shown.contains("sample.com: s1 -> k1: retiring"), "{shown}");
    let file = sandbox.root("cat /etc/sendmail-dkim/domains/sample.com.toml");
    assert_eq!(file, "selectors = [\"k1\"]\noversign = [\"+X-Foo\"]\n");
}

#[test]
fn a_config_toml_that_is_broken_is_named_and_no_domain_file_is_blamed() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["genkey", "-d", "sample.com", "-s", "s1", "-b", "1024"]));
    let file = "selectors = [\"s1\"]\noversign = [\"+X-Foo\"]\n";
    stage.write("new/domains/sample.com.toml", file);
    stage.write("new/config.toml", "sendmail = \"/x\"\nheaders = [\"+X-Foo\"]\norigni = \"x\"\n");
    for args in [
        &["record", "sample.com"][..],
        &["status"],
        &["testkey"],
        &["rotate", "--dry-run", "--all"],
    ] {
        let output = dkimctl(&stage, args);
        assert_eq!(code(&output), Some(65), "{args:?}: {output:?}");
        let said = stderr(&output);
        assert!(said.contains("config.toml: line 3: unknown field `origni`"), "{args:?}: {said}");
        assert!(!said.contains("sample.com.toml"), "{args:?}: {said}");
    }
}

#[test]
fn the_folder_is_that_of_the_option_or_of_the_environment() {
    let stage = Stage::new();
    dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "option"]);
    let status = |args: &[&str], environment: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
        command.args(args).arg("status").env_remove("SENDMAIL_DKIM_ETC");
        if let Some(folder) = environment {
            command.env("SENDMAIL_DKIM_ETC", stage.path(folder));
        }
        stdout(&command.output().unwrap())
    };
    let new = stage.path("new").display().to_string();
    assert!(status(&[], Some("new")).contains("option"));
    assert!(status(&[], Some("etc")).contains("s1"));
    assert!(status(&["--etc", &new], Some("etc")).contains("option"));
}
