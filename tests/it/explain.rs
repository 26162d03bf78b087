use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Sandbox, Stage, feed, result, stdout};

fn dkimctl(stage: &Stage, args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.arg("--etc").arg(stage.path("etc")).arg("explain").args(args);
    feed(&mut command, input)
}

fn told(stage: &Stage, args: &[&str], input: &[u8]) -> (Option<i32>, Value) {
    let output = dkimctl(stage, &[&["--json"], args].concat(), input);
    (output.status.code(), result(&output.stdout))
}

#[test]
#[ignore = "needs root"]
fn the_changes_are_those_that_the_wrapper_makes() {
    let sandbox = Sandbox::for_test("explain");
    sandbox.key("explain.test", "s1");
    let message =
        "From: Company, Inc. <a@explain.test>\nTo: root\nSubject: gr\u{fc}n\n\ngr\u{fc}n\n";
    sandbox.write("/tmp/explained", message);
    let output = sandbox.sh("root", "dkimctl explain --user www-data --json /tmp/explained", b"");
    let told = result(stdout(&output));
    assert_eq!(told["decision"], "sign", "{told}");
    assert_eq!(told["domain"], "explain.test");
    assert!(told["user"].as_str().unwrap().starts_with("www-data"), "{told}");
    let recipient = sandbox.recipient();
    stdout(&sandbox.sh("www-data", &format!("sendmail -i {recipient}"), message.as_bytes()));
    let received = sandbox.received(&recipient);
    sandbox.assert_signed(&received, "explain.test", "s1");
    let sent = String::from_utf8_lossy(&received.bytes).replace("\r\n", "\n");
    let changes = told["changes"].as_str().unwrap();
    // Dates and ids are of the moment.
    let added = changes.lines().filter_map(|line| line.strip_prefix('+')).filter(|line| {
        !line.starts_with("++") && !line.starts_with("Date:") && !line.starts_with("Message-ID:")
    });
    let added: Vec<&str> = added.collect();
    assert!(added.len() > 4, "{changes}");
    for line in added {
        assert!(sent.contains(&format!("{line}\n")), "{line:?} was not sent:\n{sent}");
    }
    let fields = told["signed_fields"].as_array().unwrap().iter();
    let h = fields.map(|field| field.as_str().unwrap()).collect::<Vec<_>>().join(":");
    let unfolded: String = sent.split_whitespace().collect();
    assert!(unfolded.contains(&format!("h={h};")), "{h}\n{sent}");
}

#[test]
#[ignore = "needs root"]
fn all_signatures_are_shown_and_none_is_a_change() {
    let sandbox = Sandbox::for_test("explain");
    sandbox.key("also.test", "s1");
    sandbox.key("provider.test", "p1");
    let file = "selectors = [\"s1\"]\nalso_sign_as = [\"provider.test\"]\n";
    sandbox.write("/etc/sendmail-dkim/domains/also.test.toml", file);
    let told = result(sandbox.root("dkimctl explain --from a@also.test --json"));
    let signatures: Vec<_> = told["signatures"].as_array().unwrap().iter().collect();
    assert_eq!(signatures.len(), 2, "{told}");
    for domain in ["also.test", "provider.test"] {
        let tag = format!(" d={domain};");
        assert!(signatures.iter().any(|one| one.as_str().unwrap().contains(&tag)), "{told}");
    }
    assert!(!told["changes"].as_str().unwrap().contains("DKIM-Signature"), "{told}");
}

#[test]
#[ignore = "needs root"]
fn a_lone_dot_is_what_config_toml_says_it_is() {
    let sandbox = Sandbox::for_test("explain");
    sandbox.root("mkdir /tmp/lone-dot; dkimctl --etc /tmp/lone-dot genkey -d dot.test -s s1");
    sandbox.write("/tmp/lone-dot/message", "From: a@dot.test\n\na\n.\ngr\u{fc}n\n");
    let changes = |more: &str| {
        let config = format!("sendmail = \"/usr/sbin/sendmail.postfix\"\n{more}");
        sandbox.write("/tmp/lone-dot/config.toml", &config);
        let told =
            sandbox.root("dkimctl --etc /tmp/lone-dot explain --json /tmp/lone-dot/message -- -t");
        let told = result(told);
        assert_eq!(told["decision"], "sign", "{told}");
        told["changes"].as_str().unwrap().to_owned()
    };
    assert!(!changes("").contains("gr=C3=BCn"));
    // Without arguments there is -i.
    let told = sandbox.root("dkimctl --etc /tmp/lone-dot explain --json /tmp/lone-dot/message");
    assert!(result(told)["changes"].as_str().unwrap().contains("gr=C3=BCn"));
    assert!(changes("lone_dot = \"text\"\n").contains("gr=C3=BCn"));
}

#[test]
#[ignore = "needs root"]
fn a_line_that_smtp_will_break_is_reported() {
    let sandbox = Sandbox::for_test("explain");
    sandbox.key("long.test", "s1");
    let head =
        "From: a@long.test\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n";
    for (line, reason) in [
        (998, "a signed or encrypted part may be altered in transit"),
        (999, "a line of more than 998 bytes will be broken in transit, and the signature with it"),
    ] {
        let message = format!("{head}{}\n--b\n\nx\n--b--\n", "x".repeat(line));
        let output = sandbox.sh("root", "dkimctl explain --json -", message.as_bytes());
        let told = result(stdout(&output));
        assert_eq!((&told["decision"], &told["reason"]["text"]), (&"sign".into(), &reason.into()));
    }
}

#[test]
#[ignore = "needs root"]
fn the_decision_of_each_sender_is_that_of_the_log() {
    let sandbox = Sandbox::for_test("explain");
    sandbox.key("decision.test", "s1");
    sandbox.write(
        "/etc/sendmail-dkim/domains/decision.test.toml",
        "selectors = [\"s1\"]\nsubdomains = true\nusers = [\"may\"]\n",
    );
    // Other tests log at the same time: these users are of this test alone.
    sandbox.root("useradd -u 4001 may; useradd -u 4002 may-not");
    for (user, from, more) in [
        ("may", "a@decision.test", ""),
        ("may", "a@www.decision.test", ""),
        ("may-not", "a@decision.test", ""),
        ("may", "a@nothing.test", ""),
        ("may", "a@decision.test, b@nothing.test", ""),
        ("may", "a@decision.test", "Received: from x\n"),
        ("may", "a@decision.test", "DKIM-Signature: d=decision.test\n"),
    ] {
        let message = format!("{more}From: {from}\nTo: x@sink.test\n\nx\n");
        sandbox.write("/tmp/decision", &message);
        let script = format!("dkimctl explain --json --user {user} /tmp/decision");
        let output = sandbox.sh("root", &script, b"");
        let told = result(&output.stdout);
        let mark = sandbox.mark();
        let recipient = sandbox.recipient();
        stdout(&sandbox.sh(user, &format!("sendmail -i {recipient}"), message.as_bytes()));
        let uid = if user == "may" { 4001 } else { 4002 };
        let line = sandbox.logged(mark, &format!("uid={uid} "));
        let is_signed = told["decision"] == "sign";
        assert_eq!(output.status.code(), Some(i32::from(!is_signed)), "{told}");
        assert_eq!(line.contains("result=signed"), is_signed, "{line}\n{told}");
        if let Some(reason) = told["reason"]["text"].as_str() {
            assert!(line.contains(&format!("reason={reason:?}")), "{line}\n{told}");
        }
    }
}

#[test]
fn places_of_the_domain_file_are_listed_in_their_order() {
    let stage = Stage::new();
    let places = |from: &str| -> Vec<String> {
        let (_, told) = told(&stage, &["--from", from], b"");
        let places = told["lookup"].as_array().unwrap().iter();
        let name =
            |place: &Value| place["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        places
            .map(|place| format!("{}: {}", name(place), place["found"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(places("a@sample.com"), ["sample.com.toml: used"]);
    let below = [
        "b.sample.com.toml: missing",
        "sample.com.toml: not-for-subdomains",
        "default.toml: missing",
    ];
    assert_eq!(places("a@b.sample.com"), below);
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\nsubdomains = true\n");
    assert_eq!(places("a@b.sample.com"), ["b.sample.com.toml: missing", "sample.com.toml: used"]);
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\nsubdomains = \"only\"\n");
    let only = ["sample.com.toml: only-subdomains", "default.toml: missing"];
    assert_eq!(places("a@sample.com"), only);
    // The wrapper stops at a file that it cannot use, of a parent domain, too.
    stage.write("etc/domains/sample.com.toml", "selectrs = [\"s1\"]\n");
    assert_eq!(places("a@sample.com"), ["sample.com.toml: unusable"]);
    let below = ["b.sample.com.toml: missing", "sample.com.toml: unusable"];
    assert_eq!(places("a@b.sample.com"), below);
    // Nor can it use a file in a directory that others may write to.
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\n");
    let domains = stage.path("etc/domains");
    fs::set_permissions(&domains, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(places("a@sample.com"), ["sample.com.toml: unusable"]);
}

#[test]
fn errors_are_reported_as_in_the_log() {
    let stage = Stage::new();
    stage.write("etc/domains/sample.com.toml", "selectrs = [\"s1\"]\n");
    let (code, broken) = told(&stage, &["--from", "a@sample.com"], b"");
    assert_eq!((code, broken["decision"].as_str()), (Some(1), Some("send-unsigned")));
    assert!(
        broken["reason"]["text"].as_str().unwrap().contains("unknown key `selectrs`"),
        "{broken}"
    );
    stage.config("on_error = \"refuse\"");
    let (_, broken) = told(&stage, &["--from", "a@sample.com"], b"");
    assert_eq!(broken["decision"], "refuse");
    // What the domain file says of a key that cannot be used.
    stage.config("");
    for (on_error, decision) in [("send", "send-unsigned"), ("refuse", "refuse")] {
        let file = format!("selectors = [\"none\"]\non_error = {on_error:?}\n");
        stage.write("etc/domains/sample.com.toml", &file);
        let (_, broken) = told(&stage, &["--from", "a@sample.com"], b"");
        assert_eq!(broken["decision"], decision, "{broken}");
    }
}

#[test]
fn the_keys_of_each_domain_that_signs_are_shown() {
    let stage = Stage::new();
    let file = "selectors = [\"s1\"]\nalso_sign_as = [\"provider.example\"]\n";
    stage.write("etc/domains/sample.com.toml", file);
    stage.write("etc/domains/provider.example.toml", "selectors = [\"p1\"]\n");
    stage.key("provider.example", "p1");
    let (_, told) = told(&stage, &["--from", "a@sample.com"], b"");
    let keys = told["keys"].as_array().unwrap().iter();
    let keys: Vec<_> = keys.map(|key| key["path"].as_str().unwrap()).collect();
    assert!(keys[0].ends_with("sample.com/s1.private"), "{keys:?}");
    assert!(keys[1].ends_with("provider.example/p1.private"), "{keys:?}");
}

#[test]
fn arguments_behind_two_hyphens_are_those_of_sendmail() {
    let stage = Stage::new();
    let message = b"From: a@sample.com\n\nx\n.\ny\n";
    for (args, decision, reason) in [
        (&["--", "-G", "x"][..], "send-unsigned", "given with -G"),
        (&["--", "-bp"], "pass-through", "no message, or options that are refused"),
        (&["--", "-bs"], "pass-through", "SMTP on standard input, signed inside"),
    ] {
        let (code, told) = told(&stage, args, message);
        assert_eq!((code, &told["decision"]), (Some(1), &decision.into()), "{told}");
        assert_eq!(told["reason"]["text"], reason, "{told}");
    }
}

#[test]
fn a_key_that_only_root_can_read_signs_nothing() {
    let stage = Stage::new();
    let (code, told) = told(&stage, &["--from", "a@sample.com"], b"");
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    // The key is of mode 0600: an ordinary user is the only one who can sign with it, and root never signs.
    let expected = if is_root { (Some(1), "send-unsigned") } else { (Some(0), "sign") };
    assert_eq!((code, told["decision"].as_str().unwrap()), expected, "{told}");
    let why = told["reason"]["text"].as_str().unwrap_or_default();
    assert_eq!(why.contains("the wrapper's group cannot read the key: 0600 "), is_root, "{told}");
}

#[test]
fn the_text_names_each_file_and_what_is_wrong_with_it() {
    let stage = Stage::new();
    stage.write(
        "etc/domains/sample.com.toml",
        "selectors = [\"s1\", \"s2\"]\nsubdomains = true\nalso_sign_as = [\"provider.example\"]\n",
    );
    let output = dkimctl(&stage, &["--from", "a@b.sample.com"], b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let keys = stage.path("etc/keys").display().to_string();
    let domains = stage.path("etc/domains").display().to_string();
    for line in [
        "From:       a@b.sample.com".to_owned(),
        format!("looked at:  {domains}/b.sample.com.toml: not there"),
        format!("looked at:  {domains}/sample.com.toml: used"),
        "signer:     d=sample.com s=s1,s2".to_owned(),
        "also:       d=provider.example".to_owned(),
        format!("WRONG:      {keys}/sample.com/s2.private: no such file or directory"),
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    // The mode of each component of a path, and the commands that correct it.
    assert!(text.contains("\nkey:        0600 "), "{text}");
    assert!(text.contains(&format!("; chmod 0640 {keys}/sample.com/s1.private\n")), "{text}");
}

#[test]
fn explain_refuses_what_it_can_not_take() {
    let stage = Stage::new();
    let code = |args: &[&str]| dkimctl(&stage, args, b"").status.code();
    assert_eq!(code(&["--from", "a@b.test", "file"]), Some(64));
    assert_eq!(code(&["--what"]), Some(64));
    assert_eq!(code(&["/nowhere"]), Some(66));
    assert_eq!(code(&["--user", "no-such-user", "--from", "a@b.test"]), Some(67));
}
