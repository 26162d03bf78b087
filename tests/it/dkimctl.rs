use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{
    Sandbox, Stage, copy_program, dkimctl, feed, project, reported, result, stderr, stdout,
};

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
    assert!(stderr(&output).contains("already exists"), "{output:?}");
    assert_eq!(fs::read(&key).unwrap(), before);
    // Neither is a record whose key is gone, or a domain file.
    fs::remove_file(&key).unwrap();
    assert_eq!(code(&dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a"])), Some(73));
    assert!(!key.exists());
    stage.write("new/domains/x.test.toml", "selectors = [\"mine\"]\n");
    let shown = stdout(&dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "b", "-b", "1024"]));
    assert!(shown.contains("dkimctl use x.test b, once DNS has the record"), "{shown}");
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
fn genkey_rejects_a_malformed_domain_selector_or_size() {
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
            "  \"[list]\" was added before the subject",
        ]
    );
    let (code, said) = verify(&["--json", "--keys", &keys], changed.as_bytes());
    assert_eq!(code, Some(1));
    let told = result(&said);
    assert_eq!((&told[0]["result"], &told[0]["fault"]), (&"fail".into(), &"body".into()));
    let what: Vec<_> = told[0]["diagnosis"].as_array().unwrap().iter().collect();
    assert!(what.iter().all(|one| one["proven"] == true), "{said}");
    assert_eq!((&what[0]["code"], &what[1]["code"]), (&"footer".into(), &"subject-tag".into()));
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
fn a_failed_lookup_has_an_exit_code_unless_another_signature_is_wrong() {
    let stage = Stage::new();
    let text = stage.delivered(&["-i", "x"], b"From: a@sample.com\n\nHi\n").text();
    let (signature, rest) = text.split_at(text.find("\nFrom: ").unwrap() + 1);
    let keys = stage.path("etc/keys").display().to_string();
    // A record that cannot be read, and none at all.
    fs::create_dir(stage.path("etc/keys/sample.com/open.txt")).unwrap();
    let [open, none] =
        ["open", "none"].map(|name| signature.replace("s=s1;", &format!("s={name};")));
    for (signatures, expected) in [
        ([signature, &open], 69),
        ([&open, signature], 69),
        ([&open, &open], 69),
        ([&open, &none], 1),
        ([&none, &open], 1),
    ] {
        let message = format!("{}{rest}", signatures.concat());
        let (code, said) = verify(&["--keys", &keys], message.as_bytes());
        assert_eq!(code, Some(expected), "{said}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    let output = feed(command.args(["verify", "--json", "--keys", &keys]), rest.as_bytes());
    let (reports, findings) = reported(&output.stdout);
    assert_eq!((reports, &findings[0]["code"]), (Value::Array(vec![]), &"no-signature".into()));
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
    let told = result(&said);
    assert_eq!(told.as_array().unwrap().len(), 101);
    assert_eq!(told[100]["fault"], "too-many");
}

#[test]
fn the_search_for_a_change_ends_for_any_message() {
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
fn verify_requires_one_source_of_records_and_an_existing_message() {
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
    copy_program(env!("CARGO_BIN_EXE_sendmail-dkim"), &wrapper);
    // Only root may give it to another group; with one's own group, the bit gives no privilege.
    drop(std::os::unix::fs::chown(&wrapper, None, Some(1)));
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o2755)).unwrap();
    let shown = stdout(&dkimctl(&stage, &["try", "--wrapper", &wrapper.display().to_string()]));
    assert!(shown.ends_with("\nverified: d=sample.com s=dkimselector\n"), "{shown}");
}

#[test]
fn try_reports_how_a_wrapper_failed_that_read_nothing() {
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
fn try_reports_a_message_that_is_not_signed_for_its_domain() {
    let stage = Stage::new();
    let wrapper = stage.path("wrapper").display().to_string();
    let hash = "A".repeat(43);
    let signature = |domain: &str| {
        format!(
            "DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=dkimselector; h=from; bh={hash}=; b=AAAA\n"
        )
    };
    for (added, says) in [
        (String::new(), "no signature was added\n"),
        (signature("other.test"), "no signature was added\n"),
        (signature("sample.com"), "d=sample.com s=dkimselector fail: "),
    ] {
        stage.write(
            "script",
            &format!("#!/bin/sh\n{{ printf '{added}'; cat; }} >\"$SENDMAIL_DKIM_ETC/captured\"\n"),
        );
        fs::set_permissions(stage.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
        copy_program(stage.path("script"), &wrapper);
        let output = dkimctl(&stage, &["try", "--wrapper", &wrapper]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(code(&output), Some(1), "{added}: {output:?}");
        assert!(text.contains(&format!("\nNOT verified: {says}")), "{added}: {text}");
        let output = dkimctl(&stage, &["try", "--wrapper", &wrapper, "--json"]);
        assert_eq!((code(&output), &result(&output.stdout)["verified"]), (Some(1), &false.into()));
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_reader_that_stops_is_not() {
    let stage = Stage::new();
    let list = |to: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
        command.arg("--etc").arg(stage.path("etc")).arg("list").stdout(to).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        (code(&output), stderr(&output))
    };
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, said) = list(full.into());
    assert!(code == Some(74) && said.starts_with("dkimctl: cannot write to stdout: "), "{said}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(list(writer.into()), (Some(0), String::new()));
}

#[test]
fn quiet_commands_print_what_is_wrong_and_records() {
    let stage = Stage::new();
    let quiet = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
        command.arg("--etc").arg(stage.path("etc")).arg("--quiet").args(args);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(quiet(&["list"]), "");
    assert!(quiet(&["record", "--all"]).contains("s1._domainkey.sample.com"));
    assert!(quiet(&["list", "--json"]).contains("\"selectors\""));
    fs::remove_file(stage.path("etc/keys/sample.com/s1.private")).unwrap();
    let text = quiet(&["check"]);
    assert!(text.contains("s1.private does not exist") && text.starts_with("  1. "), "{text}");
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
#[ignore = "needs root"]
fn every_subcommand_reads_a_domain_file_together_with_config_toml() {
    let sandbox = Sandbox::own("dkimctl");
    host_that_adds_a_header(&sandbox);
    sandbox.write("/tmp/mail", "From: a@sample.com\nX-Foo: x\n\nx\n");
    let explained = sandbox.root("dkimctl explain --json /tmp/mail");
    assert_eq!(explained.matches("\"X-Foo\"").count(), 2, "{explained}");
    for (command, expected) in [
        ("record sample.com", "s1._domainkey.sample.com"),
        ("record --all", "s1._domainkey.sample.com"),
        ("testkey sample.com", "s1._domainkey.sample.com"),
        ("testkey", "s1._domainkey.sample.com"),
        ("status", "sample.com\ts1\tsigns"),
        ("status sample.com", "sample.com\ts1\tsigns"),
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
    // Once its record is published, the new key signs: rotate rewrites the domain file.
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
        &["testkey"],
        &["rotate", "--dry-run", "--all"],
        &["status"],
    ] {
        let output = dkimctl(&stage, args);
        let is_status = args[0] == "status";
        assert_eq!(code(&output), Some(if is_status { 1 } else { 65 }), "{args:?}: {output:?}");
        let said = if is_status {
            String::from_utf8_lossy(&output.stdout).into()
        } else {
            stderr(&output)
        };
        assert!(said.contains("config.toml: line 3: unknown key `origni`"), "{args:?}: {said}");
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
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    };
    let new = stage.path("new").display().to_string();
    assert!(status(&[], Some("new")).contains("option"));
    assert!(status(&[], Some("etc")).contains("s1"));
    assert!(status(&["--etc", &new], Some("etc")).contains("option"));
}

#[test]
fn an_option_of_sendmail_is_none_of_dkimctl() {
    let stage = Stage::new();
    for (args, is_json) in [
        (&["explain", "/nowhere", "--json", "--", "-t"][..], true),
        (&["explain", "/nowhere", "--", "--json"], false),
    ] {
        let output = dkimctl(&stage, args);
        assert_eq!(code(&output), Some(66), "{output:?}");
        assert_eq!(output.stdout.starts_with(b"{"), is_json, "{output:?}");
    }
}

/// Runs `dkimctl`, and ends it where it waits for something.
fn within_a_minute(stage: &Stage, args: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60", env!("CARGO_BIN_EXE_dkimctl"), "--etc"]);
    feed(command.arg(stage.path("etc")).args(args), b"")
}

/// A file, and a command that reads it. Names of the stage stand for their paths.
const READ: &[(&str, &[&str])] = &[
    ("etc/config.toml", &["import", "opendkim.conf"]),
    ("etc/config.toml", &["setup", "--dry-run"]),
    ("etc/config.toml", &["record", "sample.com"]),
    ("etc/config.toml", &["rotate", "sample.com", "--server", "127.0.0.1:1"]),
    ("etc/config.toml", &["explain", "--from", "a@sample.com"]),
    ("etc/config.toml", &["testkey", "--server", "127.0.0.1:1"]),
    ("etc/domains/sample.com.toml", &["record", "sample.com"]),
    ("etc/domains/sample.com.toml", &["status"]),
    ("etc/domains/sample.com.toml", &["rotate", "sample.com", "--server", "127.0.0.1:1"]),
    ("etc/domains/sample.com.toml", &["testkey", "--server", "127.0.0.1:1"]),
    ("etc/domains/sample.com.toml", &["explain", "--from", "a@sample.com"]),
    ("etc/domains/sample.com.toml", &["import", "opendkim.conf"]),
    ("etc/keys/sample.com/s1.private", &["record", "sample.com"]),
    ("etc/keys/sample.com/s1.private", &["rotate", "sample.com", "--server", "127.0.0.1:1"]),
    ("etc/keys/sample.com/s1.private", &["testkey", "--server", "127.0.0.1:1"]),
    ("etc/keys/sample.com/s1.private", &["explain", "--from", "a@sample.com"]),
    ("etc/keys/sample.com/s1.private", &["import", "opendkim.conf"]),
    ("etc/keys/sample.com/s1.private", &["verify", "--keys", "etc/keys", "message"]),
    ("etc/keys/sample.com/s1.txt", &["record", "sample.com"]),
    ("etc/keys/sample.com/s1.txt", &["status"]),
    ("etc/keys/sample.com/s1.txt", &["import", "opendkim.conf"]),
    ("etc/keys/sample.com/s1.txt", &["verify", "--keys", "etc/keys", "message"]),
    ("etc/keys/sample.com/rotation.toml", &["status"]),
    ("etc/keys/sample.com/rotation.toml", &["rotate", "sample.com"]),
    ("opendkim.conf", &["import", "opendkim.conf"]),
    ("KT", &["import", "opendkim.conf"]),
    ("ST", &["import", "opendkim.conf"]),
    ("EX", &["import", "opendkim.conf"]),
    ("IN", &["import", "opendkim.conf"]),
    ("KEY", &["import", "opendkim.conf"]),
    ("message", &["verify", "--keys", "etc/keys", "message"]),
    ("message", &["explain", "message"]),
    ("message", &["try", "message"]),
    ("record", &["verify", "--record", "record", "message"]),
    ("merge", &["record", "--merge", "merge"]),
];

/// Words that are names of the stage become its paths.
fn in_stage(stage: &Stage, text: &str) -> String {
    let names =
        ["opendkim.conf", "KT", "ST", "EX", "IN", "KEY", "message", "etc/keys", "record", "merge"];
    let words = text.split_inclusive([' ', '\n', ':']).map(|word| {
        let name = word.trim_end_matches([' ', '\n', ':']);
        let end = word.strip_prefix(name).unwrap();
        let path = names.contains(&name).then(|| stage.path(name).display().to_string());
        format!("{}{end}", path.unwrap_or_else(|| name.to_owned()))
    });
    words.collect()
}

/// A stage with a set-up of OpenDKIM and a message in it.
fn stage_with_files() -> Stage {
    let stage = Stage::new();
    let conf = "KeyTable KT\nSigningTable ST\nExemptDomains EX\nInclude IN\n";
    stage.write("opendkim.conf", &in_stage(&stage, conf));
    stage.write("KT", &in_stage(&stage, "k sample.com:s1:KEY\n"));
    stage.write("ST", "sample.com k\n");
    stage.write("EX", "exempt.test\n");
    stage.write("IN", "LogWhy no\n");
    fs::copy(stage.path("etc/keys/sample.com/s1.private"), stage.path("KEY")).unwrap();
    let signed = fs::read_to_string(project("tests/vectors/rfc6376-a2.eml")).unwrap();
    let signed = signed.replace("d=example.com", "d=sample.com").replace("s=brisbane", "s=s1");
    stage.write("message", &signed);
    stage
}

#[test]
fn no_fifo_and_no_device_in_place_of_a_file_holds_a_command_up() {
    for (file, args) in READ {
        let stage = stage_with_files();
        let (command, rest) = args.split_first().unwrap();
        let rest: Vec<String> = rest.iter().map(|arg| in_stage(&stage, arg)).collect();
        let args: Vec<&str> =
            [*command].into_iter().chain(rest.iter().map(String::as_str)).collect();
        for plant in ["mkfifo", "ln -sf /dev/zero"] {
            let path = stage.path(file);
            let script = format!("rm -f '{0}'; {plant} '{0}'", path.display());
            stdout(&Command::new("sh").args(["-c", &script]).output().unwrap());
            let output = within_a_minute(&stage, &args);
            assert!(code(&output).is_some_and(|code| code < 100), "{plant} {file}: {output:?}");
            // It stays what it was.
            assert!(!fs::metadata(&path).unwrap().is_file(), "{plant} {file}: {output:?}");
        }
    }
}

#[test]
fn a_file_that_is_not_text_is_bad_data() {
    for (file, command) in [
        ("etc/config.toml", &["list"][..]),
        ("etc/config.toml", &["rotate", "sample.com", "--server", "127.0.0.1:1"]),
        ("etc/domains/sample.com.toml", &["record", "sample.com"]),
        ("etc/keys/sample.com/rotation.toml", &["status"]),
    ] {
        let stage = Stage::new();
        fs::write(stage.path(file), b"\xff\xfe").unwrap();
        let output = within_a_minute(&stage, command);
        assert_eq!(code(&output), Some(65), "{file}: {output:?}");
        assert!(stderr(&output).contains("UTF-8"), "{file}: {output:?}");
    }
}

#[test]
fn a_message_that_the_shell_opens_is_read_from_a_pipe() {
    let record = project("tests/vectors/rfc6376-a2.txt").display().to_string();
    let message = fs::read(project("tests/vectors/rfc6376-a2.eml")).unwrap();
    let pass = (Some(0), "d=example.com s=brisbane pass\n".to_owned());
    assert_eq!(verify(&["--record", &record, "/dev/fd/0"], &message), pass);
    assert_eq!(verify(&["--record", &record, "/dev/stdin"], &message), pass);
}

/// What no terminal should get: orders to it, and what turns text round.
const ORDERS: &str = "\u{1b}[31m\u{9b}2J\u{202e}\u{7f}";

fn gives_no_orders(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(text.clone()).unwrap();
        let order = text.chars().find(|char| char.is_control() && !['\n', '\t'].contains(char));
        assert!(order.is_none() && !text.contains('\u{202e}'), "{order:?} {text:?}");
    }
}

#[test]
fn what_is_shown_gives_the_terminal_no_orders() {
    let stage = Stage::new();
    let folder = format!("evil{ORDERS}");
    let message = format!(
        "From: \"{ORDERS}\" <a@sample.com>\nSubject: {ORDERS}\r\nX: \u{1b}[31m\n\n{ORDERS} {}\n",
        "gr\u{fc}n ".repeat(300)
    );
    let mut message = message.into_bytes();
    message.extend(b"\xff\xfe\n");
    fs::create_dir(stage.path(&folder)).unwrap();
    let path = stage.path(&format!("{folder}/message"));
    fs::write(&path, &message).unwrap();
    let path = path.to_str().unwrap();
    let record = format!("v=DKIM1; k={ORDERS}; p={ORDERS}");
    stage.write("record", &record);
    let record = stage.path("record").display().to_string();
    stage
        .write("etc/domains/sample.com.toml", &format!("selectors = [\"s1\"]\n\"{ORDERS}\" = 1\n"));
    let conf = stage.path("opendkim.conf").display().to_string();
    stage.write(
        "opendkim.conf",
        &format!("Domain a.test\nSelector {ORDERS}\nKeyFile /{ORDERS}\n{ORDERS} x\n"),
    );
    for args in [
        &["explain", path][..],
        &["explain", "--json", path],
        &["explain", "--from", &format!("{ORDERS}@sample.com")],
        &["explain", &format!("{path}.not")],
        &["verify", "--record", &record, path],
        &["verify", "--record", &record, "--json", path],
        &["try", path],
        &["record", &format!("x{ORDERS}.test")],
        &["record", "--format", ORDERS],
        &["record", "--merge", path],
        &["genkey", "-d", "x.test", "-s", ORDERS],
        &["import", "--dry-run", &conf],
        &["import", "--dry-run", "--json", &conf],
        &["import", "--dry-run", path],
        &["status"],
        &["testkey", "--server", "127.0.0.1:1"],
        &[ORDERS],
        &[&format!("--{ORDERS}")],
    ] {
        let output = within_a_minute(&stage, args);
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{args:?}: {output:?}");
        gives_no_orders(&output);
    }
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\n");
    let shown = stdout(&within_a_minute(&stage, &["try", path]));
    assert!(shown.contains("\n  X: \\u{1b}[31m\n"), "{shown}");
}
