use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::support::{Stage, feed, project, stdout};

const MESSAGE: &[u8] = b"From: a@sample.com\nTo: b@y.test\n\nHi\n";

/// The stage with the log on stderr.
fn stage(domain_file: &str) -> Stage {
    let stage = Stage::new();
    stage.config("log_destination = \"stderr\"");
    stage.write("etc/domains/sample.com.toml", domain_file);
    stage
}

/// An Ed25519 key, of which no size is asked.
fn ed25519_key(stage: &Stage, domain: &str, selector: &str) {
    stage.key(domain, selector);
    let path = stage.path("etc/keys").join(domain).join(format!("{selector}.private"));
    let key = fs::read(project("tests/vectors/rfc8463-a-brisbane.private")).unwrap();
    fs::write(path, key).unwrap();
}

/// d= and s= of the signatures in what the real sendmail got, and the line in the log.
fn submitted(stage: &Stage, message: &[u8]) -> (Vec<String>, String) {
    let output = stage.submit(&["-i", "b@y.test"], message);
    assert!(output.status.success(), "{output:?}");
    let text = stage.take_captured().expect("the stand-in was called").text();
    let (header, _) = text.split_once("\n\n").unwrap();
    let header = header.replace("\n\t", " ");
    let tag = |field: &str, name: &str| {
        let value = field.split(&format!(" {name}=")).nth(1).unwrap();
        value.split(';').next().unwrap().to_owned()
    };
    let fields = header.lines().filter(|line| line.starts_with("DKIM-Signature:"));
    let signatures = fields.map(|field| format!("{}:{}", tag(field, "d"), tag(field, "s")));
    (signatures.collect(), String::from_utf8(output.stderr).unwrap())
}

/// What makes a key of a stage unusable, and what the log says of that.
type Spoil = (&'static str, fn(&Stage), &'static str);

fn key_path(stage: &Stage) -> std::path::PathBuf {
    stage.path("etc/keys/sample.com/bad.private")
}

const SPOILED: [Spoil; 7] = [
    ("missing", |stage| fs::remove_file(key_path(stage)).unwrap(), "no such file"),
    (
        "readable by all",
        |stage| fs::set_permissions(key_path(stage), fs::Permissions::from_mode(0o644)).unwrap(),
        "must not be readable by every user",
    ),
    ("damaged", |stage| fs::write(key_path(stage), "x").unwrap(), "no private key in PEM format"),
    ("too large", |stage| fs::write(key_path(stage), vec![b'x'; 20_000]).unwrap(), "is larger"),
    ("too small", |_| {}, "1024 bits"),
    (
        "a link",
        |stage| {
            fs::rename(key_path(stage), stage.path("elsewhere")).unwrap();
            symlink(stage.path("elsewhere"), key_path(stage)).unwrap();
        },
        "links are not followed",
    ),
    (
        "a directory",
        |stage| {
            fs::remove_file(key_path(stage)).unwrap();
            fs::create_dir(key_path(stage)).unwrap();
        },
        "is not a regular file",
    ),
];

#[test]
fn one_unusable_key_of_several_costs_its_own_signature() {
    for (what, spoil, said) in SPOILED {
        let selectors = "selectors = [\"bad\", \"ed\"]\nminimum_key_bits = 2048\n";
        for strict in [false, true] {
            let stage = stage(&format!("{selectors}strict_selectors = {strict}\n"));
            stage.key("sample.com", "bad");
            ed25519_key(&stage, "sample.com", "ed");
            spoil(&stage);
            let (signatures, line) = submitted(&stage, MESSAGE);
            let expected: &[&str] = if strict { &[] } else { &["sample.com:ed"] };
            assert_eq!(signatures, expected, "{what}: {line}");
            let result = if strict { "s=bad,ed result=unsigned" } else { " s=ed result=signed" };
            assert!(line.contains(result) && line.contains(said), "{what}: {line}");
        }
    }
}

#[test]
fn what_failed_is_logged_where_signed_messages_are_not() {
    let stage = stage("selectors = [\"ed\", \"bad\"]\n");
    ed25519_key(&stage, "sample.com", "ed");
    stage.config("log_destination = \"stderr\"\nlog_success = false");
    assert!(submitted(&stage, MESSAGE).1.contains("bad.private"));
    stage.key("sample.com", "bad");
    let both = ["sample.com:ed", "sample.com:bad"].map(str::to_owned).to_vec();
    assert_eq!(submitted(&stage, MESSAGE), (both, String::new()));
}

#[test]
fn without_any_usable_key_a_message_is_unsigned_or_refused() {
    let stage = stage("selectors = [\"bad\", \"worse\"]\n");
    let (signatures, line) = submitted(&stage, MESSAGE);
    assert!(signatures.is_empty() && line.contains("result=unsigned"), "{line}");
    assert!(line.contains("bad.private") && line.contains("worse.private"), "{line}");
    stage.write(
        "etc/domains/sample.com.toml",
        "selectors = [\"bad\", \"worse\"]\non_error = \"refuse\"\n",
    );
    assert_eq!(stage.submit(&["-i", "b@y.test"], MESSAGE).status.code(), Some(75));
    // Any link on the way to all of them.
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\n");
    fs::rename(stage.path("etc/keys/sample.com"), stage.path("elsewhere")).unwrap();
    symlink(stage.path("elsewhere"), stage.path("etc/keys/sample.com")).unwrap();
    let (signatures, line) = submitted(&stage, MESSAGE);
    let said = ", its directory is a link or not a directory, and links are not followed";
    assert!(signatures.is_empty() && line.contains(said), "{line}");
}

const BOTH: [&str; 2] = ["sample.com:s1", "provider.example:p1"];

/// A stage on which provider.example signs, too; its own file lets no user sign.
fn with_provider() -> Stage {
    let stage = stage("selectors = [\"s1\"]\nalso_sign_as = [\"provider.example\"]\n");
    stage.write("etc/domains/provider.example.toml", "selectors = [\"p1\"]\nusers = []\n");
    stage.key("provider.example", "p1");
    stage
}

#[test]
fn the_domain_of_the_host_signs_in_addition_and_never_alone() {
    let stage = with_provider();
    let (signatures, line) = submitted(&stage, MESSAGE);
    assert_eq!(signatures, BOTH);
    assert!(line.contains(" d=sample.com s=s1 also=provider.example:p1 result=signed"), "{line}");
    // The users of its own file are not asked; for its own mail they are.
    let (signatures, _) = submitted(&stage, b"From: a@provider.example\n\nHi\n");
    assert_eq!(signatures, [""; 0]);
    // Without one of the author there is none of the host.
    fs::remove_file(stage.path("etc/keys/sample.com/s1.private")).unwrap();
    let (signatures, line) = submitted(&stage, MESSAGE);
    assert!(signatures.is_empty() && line.contains("result=unsigned"), "{line}");
}

#[test]
fn a_key_of_the_host_whose_record_is_gone_does_not_sign_in_addition() {
    let stage = with_provider();
    stage.write("etc/domains/provider.example.gone", "# written by watch\np1\n");
    assert_eq!(submitted(&stage, MESSAGE).0, BOTH);
    let skip = "selectors = [\"p1\"]\non_missing_record = \"skip\"\n";
    stage.write("etc/domains/provider.example.toml", skip);
    let (signatures, line) = submitted(&stage, MESSAGE);
    assert_eq!(signatures, ["sample.com:s1"], "{line}");
    // It is as the administrator has decided, and no failure.
    assert!(line.ends_with(" s=s1 result=signed\n"), "{line}");
}

#[test]
fn both_signatures_verify() {
    let stage = with_provider();
    let message = stage.delivered_quietly(MESSAGE);
    let mut verify = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    let record = project("tests/vectors/rfc6376-a2.txt");
    let said = stdout(&feed(verify.args(["verify", "--record"]).arg(record), &message));
    assert_eq!(said, "d=sample.com s=s1 pass\nd=provider.example s=p1 pass\n",);
}

#[test]
fn a_host_that_cannot_sign_in_addition_costs_its_own_signature() {
    for (provider, said) in [
        (None, "also_sign_as provider.example: cannot read"),
        (Some("selectors = 1"), "provider.example.toml: line 1: "),
        (Some("selectors = [\"p2\"]"), "p2.private"),
        (Some("selectors = [\"p1\"]\nminimum_key_bits = 2048"), "1024 bits, fewer than 2048"),
        (
            Some("selectors = [\"p1\"]\ndomain = \"x.example\""),
            "names another domain, or no selectors",
        ),
        (
            Some("[[sign]]\nfrom = \"a@provider.example\"\nselector = \"p1\""),
            "names another domain, or no selectors",
        ),
    ] {
        let stage = with_provider();
        let path = stage.path("etc/domains/provider.example.toml");
        match provider {
            Some(text) => fs::write(path, text).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let (signatures, line) = submitted(&stage, MESSAGE);
        assert_eq!(signatures, ["sample.com:s1"], "{line}");
        assert!(line.contains("result=signed") && line.contains(said), "{line}");
        // Where all keys must sign, that one must, too.
        let strict = "selectors = [\"s1\"]\nalso_sign_as = [\"provider.example\"]\nstrict_selectors = true\n";
        stage.write("etc/domains/sample.com.toml", strict);
        let (signatures, line) = submitted(&stage, MESSAGE);
        assert_eq!(signatures, [""; 0], "{line}");
        assert!(line.contains("result=unsigned") && line.contains(said), "{line}");
    }
}

#[test]
fn also_sign_as_holds_for_the_host_or_for_a_domain() {
    let stage = with_provider();
    let host = "log_destination = \"stderr\"\nalso_sign_as = [\"provider.example\"]";
    stage.config(host);
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\n");
    assert_eq!(submitted(&stage, MESSAGE).0, BOTH);
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\nalso_sign_as = []\n");
    assert_eq!(submitted(&stage, MESSAGE).0, ["sample.com:s1"]);
    // Its own mail it signs once, and what it has signed not again.
    stage.write("etc/domains/provider.example.toml", "selectors = [\"p1\"]\n");
    let (signatures, _) = submitted(&stage, b"From: a@provider.example\n\nHi\n");
    assert_eq!(signatures, ["provider.example:p1"]);
    stage.write("etc/domains/sample.com.toml", "selectors = [\"s1\"]\n");
    let signed = [b"DKIM-Signature: v=1; s=x; d=provider.example; b=x\n", MESSAGE].concat();
    let (signatures, _) = submitted(&stage, &signed);
    assert_eq!(signatures, ["sample.com:s1", "provider.example:x"]);
}

#[test]
fn domains_that_share_a_key_each_sign_as_themselves() {
    let stage = stage("selectors = [\"s1\"]\nkeys = \"shared\"\n");
    stage.write("etc/domains/other.test.toml", "selectors = [\"s1\"]\nkeys = \"shared\"\n");
    stage.key("shared", "s1");
    for domain in ["sample.com", "other.test"] {
        let message = format!("From: a@{domain}\nTo: b@y.test\n\nHi\n");
        let (signatures, line) = submitted(&stage, message.as_bytes());
        assert_eq!(signatures, [format!("{domain}:s1")], "{line}");
    }
}

#[test]
fn a_file_for_the_domains_below_leaves_its_own_unsigned() {
    let stage = stage("selectors = [\"s1\"]\nsubdomains = \"only\"\n");
    stage.key("sample.com", "s1");
    let (signatures, line) = submitted(&stage, MESSAGE);
    assert!(signatures.is_empty() && line.contains("no domain file"), "{line}");
    let (signatures, line) = submitted(&stage, b"From: a@news.sample.com\nTo: b@y.test\n\nHi\n");
    assert_eq!(signatures, ["sample.com:s1"], "{line}");
}

#[test]
fn a_file_that_does_not_apply_is_passed_over_and_one_with_an_error_is_not() {
    let stage = stage("selectors = [\"s1\"]\n");
    stage.write("etc/domains/default.toml", "selectors = [\"s1\"]\n");
    stage.key("default", "s1");
    for (file, own, below) in [
        ("", "sample.com:s1", "news.sample.com:s1"),
        ("subdomains = true\n", "sample.com:s1", "sample.com:s1"),
        ("subdomains = \"only\"\n", "sample.com:s1", "sample.com:s1"),
        // Without its settings, it is not known whether it would apply.
        ("x = 1\n", "", ""),
    ] {
        stage.write("etc/domains/sample.com.toml", &format!("selectors = [\"s1\"]\n{file}"));
        for (from, signature) in [("a@sample.com", own), ("a@news.sample.com", below)] {
            let message = format!("From: {from}\nTo: b@y.test\n\nHi\n");
            let (signatures, line) = submitted(&stage, message.as_bytes());
            assert_eq!(signatures.join(" "), signature, "{file} {line}");
            let is_named = line.contains("sample.com.toml: line 2: unknown key");
            assert_eq!(is_named, signature.is_empty(), "{line}");
        }
    }
}

#[test]
fn the_first_rule_that_fits_says_which_key_signs() {
    let rule =
        |from: &str, key: &str| format!("[[sign]]\nfrom = \"{from}\"\nselector = \"{key}\"\n");
    let rules = [
        rule("news+vip@sample.com", "vip"),
        rule("news+*@sample.com", "news"),
        rule("\\\"jane doe\\\"@sample.com", "vip"),
        rule("john doe@sample.com", "news"),
    ]
    .concat();
    let stage = stage(&format!("selectors = [\"s1\"]\n{rules}"));
    for selector in ["s1", "vip", "news"] {
        ed25519_key(&stage, "sample.com", selector);
    }
    for (from, selector) in [
        ("news+vip", "vip"),
        ("News+EU", "news"),
        ("\"news+eu\"", "news"),
        ("\"Jane Doe\"", "vip"),
        ("\"john doe\"", "news"),
        ("news", "s1"),
        ("x", "s1"),
    ] {
        let message = format!("From: <{from}@sample.com>\nTo: b@y.test\n\nHi\n");
        let (signatures, line) = submitted(&stage, message.as_bytes());
        assert_eq!(signatures, [format!("sample.com:{selector}")], "{line}");
    }
}
