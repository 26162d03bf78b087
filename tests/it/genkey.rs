use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{Sandbox, Stage, dkimctl, reported, stderr, stdout};

fn names(stage: &Stage, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(stage.path(folder)).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_of_ones_own_gets_the_key_and_its_record_and_nothing_signs() {
    let stage = Stage::new();
    fs::create_dir(stage.path("keys")).unwrap();
    let folder = stage.path("keys").display().to_string();
    let args = ["genkey", "-d", "x.test", "-s", "a", "-b", "1024", "-D", &folder];
    let shown = stdout(&dkimctl(&stage, &args));
    assert!(shown.contains("are not used for signing"), "{shown}");
    assert_eq!(names(&stage, "keys"), ["a.private", "a.txt"]);
    assert!(!stage.path("new").exists());
    let mode = fs::metadata(stage.path("keys/a.private")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // As with opendkim-genkey, it has to be there.
    let args = ["genkey", "-d", "x.test", "-s", "b", "-D", "/nowhere"];
    assert_eq!(dkimctl(&stage, &args).status.code(), Some(73));
    // No domain file names the users.
    for option in ["--users", "--groups"] {
        let args = ["genkey", "-d", "x.test", "-s", "b", "-D", &folder, option, "root"];
        assert_eq!(dkimctl(&stage, &args).status.code(), Some(64));
    }
    assert_eq!(names(&stage, "keys"), ["a.private", "a.txt"]);
    // The domain files of this host do not matter to it, be they used or waiting.
    let text = "selectors = [\"c\"]\nkeys = \"pool\"\n";
    fs::create_dir_all(stage.path("new/domains")).unwrap();
    for (selector, file) in [("c", "x.test.waiting"), ("d", "x.test.toml")] {
        stage.write(&format!("new/domains/{file}"), text);
        let args = ["genkey", "-d", "x.test", "-s", selector, "-b", "1024", "-D", &folder];
        let shown = stdout(&dkimctl(&stage, &args));
        assert!(!shown.contains("Every user"), "{shown}");
        assert!(stage.path(&format!("keys/{selector}.private")).exists());
    }
    assert!(!stage.path("new/keys").exists());
}

#[test]
fn a_key_in_a_folder_of_ones_own_is_not_published() {
    let stage = Stage::new();
    let [etc, keys, marks] = ["new", "keys", "ran"].map(|name| stage.path(name));
    for folder in [&etc, &keys] {
        fs::create_dir(folder).unwrap();
    }
    let run = format!("[\"/bin/sh\", \"-c\", \"touch {}\"]", marks.display());
    stage.write("new/config.toml", &format!("sendmail = \"/x\"\npublish = {run}\n"));
    let folder = keys.display().to_string();
    let args = ["genkey", "-d", "x.test", "-s", "a", "--type", "ed25519", "-D", &folder];
    let shown = stdout(&dkimctl(&stage, &args));
    assert!(shown.contains("Publish this record in the zone of x.test"), "{shown}");
    assert!(!marks.exists() && names(&stage, "new") == ["config.toml"], "{shown}");
}

#[test]
fn the_name_in_the_file_is_relative_unless_the_domain_is_asked_for() {
    let stage = Stage::new();
    for (selector, option, name) in [
        ("a", None, "a._domainkey\tIN\tTXT\t( "),
        ("b", Some("-a"), "b._domainkey.x.test.\tIN\tTXT\t( "),
        ("c", Some("--append-domain"), "c._domainkey.x.test.\tIN\tTXT\t( "),
    ] {
        let args = ["genkey", "-d", "x.test", "-b", "1024", "-s", selector];
        let args: Vec<&str> = args.into_iter().chain(option).collect();
        let shown = stdout(&dkimctl(&stage, &args));
        let path = stage.path(&format!("new/keys/x.test/{selector}.txt"));
        assert!(fs::read_to_string(path).unwrap().starts_with(name));
        // What is shown can be put anywhere.
        assert!(shown.contains(&format!("\n{selector}._domainkey.x.test.\tIN\t")), "{shown}");
    }
}

#[test]
fn an_ed25519_key_is_in_the_form_that_openssl_reads() {
    let stage = Stage::new();
    let args = ["genkey", "-d", "x.test", "-s", "e", "--type", "ed25519"];
    let shown = stdout(&dkimctl(&stage, &args));
    assert!(shown.contains("\n  value  v=DKIM1; k=ed25519; p="), "{shown}");
    let private = stage.path("new/keys/x.test/e.private");
    let openssl = std::process::Command::new("openssl")
        .args(["pkey", "-pubout", "-outform", "DER", "-in"])
        .arg(&private)
        .output();
    let public = openssl.unwrap().stdout;
    use base64::prelude::*;
    let key = BASE64_STANDARD.encode(&public[public.len() - 32..]);
    assert!(shown.contains(&format!("p={key}\n")), "{shown}");
}

#[test]
fn json_says_what_was_made() {
    let stage = Stage::new();
    let args = ["genkey", "-d", "x.test", "-s", "a", "-b", "1024", "-t", "--json"];
    let (made, findings) = reported(stdout(&dkimctl(&stage, &args)));
    assert_eq!(made["name"], "a._domainkey.x.test");
    assert_eq!((&made["type"], &made["bits"]), (&Value::from("rsa"), &Value::from(1024)));
    // An installed wrapper does not read that folder.
    assert_eq!(made["signing"], false);
    let last = &findings.last().unwrap()["remedy"];
    assert_eq!(last, "move the files to /etc/sendmail-dkim", "{made}");
    let value = made["value"].as_str().unwrap();
    assert!(value.starts_with("v=DKIM1; k=rsa; t=y; p=MIGf"), "{value}");
    assert!(fs::metadata(made["private"].as_str().unwrap()).unwrap().is_file());
}

#[test]
fn subdomains_overrides_nosubdomains() {
    let stage = Stage::new();
    for (selector, options, is_strict) in
        [("a", &["-S"][..], true), ("b", &["-S", "--subdomains"], false), ("c", &[], false)]
    {
        let args = ["genkey", "-d", "x.test", "-s", selector, "--type", "ed25519"];
        let shown = stdout(&dkimctl(&stage, &[&args, options].concat()));
        assert_eq!(shown.contains("t=s"), is_strict, "{shown}");
    }
}

#[test]
fn verbose_reports_each_step_on_stderr() {
    let stage = Stage::new();
    let output = dkimctl(&stage, &["genkey", "-d", "x.test", "-s", "a", "-v", "--type", "ed25519"]);
    let said = stderr(&output);
    let told: Vec<&str> = said.lines().filter(|line| !line.contains("no group")).collect();
    assert_eq!(told.len(), 3, "{said}");
    assert!(told[1].ends_with("new/keys/x.test/a.private"), "{said}");
    assert!(told[2].ends_with("new/keys/x.test/a.txt"), "{said}");
}

#[test]
fn options_that_make_a_malformed_record_are_rejected() {
    let stage = Stage::new();
    for args in [
        &["-h", "sha1"][..],
        &["-h", "sha256; t=y"],
        &["-n", "a; b"],
        &["-n", "say \"x\""],
        &["--type", "dsa"],
        &["--type", "ed25519", "-b", "2048"],
    ] {
        let output = dkimctl(&stage, &[&["genkey", "-d", "x.test", "-s", "a"], args].concat());
        assert_eq!(output.status.code(), Some(64), "{args:?}: {output:?}");
        assert!(!stage.path("new").exists());
    }
}

/// What is wrong with a host, how that is put right, and what genkey says of it. A key is made in between.
const OBSTACLES: [(&str, &str, &str); 9] = [
    ("true", "true", ""),
    (
        "ln -sf /usr/sbin/sendmail.postfix /etc/alternatives/mta",
        "ln -sf /usr/sbin/sendmail.dkim /etc/alternatives/mta",
        "dkimctl enable",
    ),
    (
        "sed -i s/^sendmail-dkim:/other:/ /etc/group",
        "sed -i s/^other:/sendmail-dkim:/ /etc/group",
        "groupadd --system sendmail-dkim",
    ),
    (
        "chmod g-s /usr/sbin/sendmail.dkim",
        "chmod g+s /usr/sbin/sendmail.dkim",
        "chmod 2755 /usr/sbin/sendmail.dkim",
    ),
    (
        "echo 'origni = 1' >>/etc/sendmail-dkim/config.toml",
        "sed -i '$d' /etc/sendmail-dkim/config.toml",
        "unknown key `origni`",
    ),
    (
        "mv /etc/sendmail-dkim/config.toml /tmp",
        "mv /tmp/config.toml /etc/sendmail-dkim",
        "dkimctl setup",
    ),
    (
        "chmod 700 /etc/sendmail-dkim/keys",
        "chmod 750 /etc/sendmail-dkim/keys",
        "/etc/sendmail-dkim/keys",
    ),
    (
        "echo 'selectors = [\"other\"]' >/etc/sendmail-dkim/domains/DOMAIN.toml",
        "echo 'selectors = [\"s\"]' >/etc/sendmail-dkim/domains/DOMAIN.toml",
        "dkimctl use DOMAIN s, once DNS has the record",
    ),
    (
        "echo 'selectors = \"s\"' >/etc/sendmail-dkim/domains/DOMAIN.toml",
        "echo 'selectors = [\"s\"]' >/etc/sendmail-dkim/domains/DOMAIN.toml",
        "/etc/sendmail-dkim/domains/DOMAIN.toml: line 1",
    ),
];

#[test]
#[ignore = "needs root"]
fn mail_is_said_to_be_signed_only_where_it_is() {
    let sandbox = Sandbox::own("genkey");
    for (number, (break_it, fix_it, step)) in OBSTACLES.iter().enumerate() {
        let domain = format!("n{number}.obstacle.test");
        let for_domain = |text: &str| text.replace("DOMAIN", &domain);
        sandbox.root(&for_domain(break_it));
        let shown = sandbox.root(&format!("dkimctl genkey -d {domain} -s s -b 1024 2>/dev/null"));
        sandbox.publish(&domain, &format!("/etc/sendmail-dkim/keys/{domain}/*.txt"));
        let recipient = sandbox.recipient();
        let message = format!("From: a@{domain}\nSubject: x\n\nx\n");
        drop(sandbox.sh("alice", &format!("sendmail {recipient}"), message.as_bytes()));
        let is_signed = sandbox.verify(&sandbox.received(&recipient)).all("pass");
        let says = shown.contains(&format!("sendmail.dkim signs mail From {domain} with the key."));
        assert_eq!((says, is_signed), (step.is_empty(), step.is_empty()), "{break_it}: {shown}");
        assert_ne!(says, shown.contains("is not signed with the key yet"), "{shown}");
        assert!(shown.contains(&for_domain(step)), "{break_it}: {shown}");
        let publish =
            format!("\n  1. publish the record, then check it: dkimctl testkey {domain}\n");
        assert!(shown.contains(&publish), "{shown}");
        assert_eq!(shown.contains("\n  2. "), !step.is_empty(), "{shown}");
        sandbox.root(&for_domain(fix_it));
    }
    // Of another domain's file, nothing is said.
    sandbox.write("/etc/sendmail-dkim/domains/broken.test.toml", "selectors = 1\n");
    let shown = sandbox.root("dkimctl genkey -d sound.test -s s --json");
    let (made, findings) = reported(shown);
    assert_eq!((&made["signing"], findings.len()), (&true.into(), 0), "{made} {findings:?}");
}

/// The real sendmail, with an `openssl genrsa` that gives it our key.
const COMPARE: &str = "
rm -rf /tmp/genkey; mkdir -p /tmp/genkey/bin /tmp/genkey/ours /tmp/genkey/theirs
cat >/tmp/genkey/bin/openssl <<'SH'
#!/bin/sh
if [ \"$1\" = genrsa ]; then cp /tmp/genkey/ours/s1.private \"$3\"; else exec /usr/bin/openssl \"$@\"; fi
SH
chmod 755 /tmp/genkey/bin/openssl
dkimctl genkey -D /tmp/genkey/ours -d example.com -s s1 OPTIONS >/dev/null
PATH=/tmp/genkey/bin:$PATH opendkim-genkey -D /tmp/genkey/theirs -d example.com -s s1 OPTIONS
cd /tmp/genkey && cmp ours/s1.private theirs/s1.private && cmp ours/s1.txt theirs/s1.txt && cat ours/s1.txt
";

#[test]
#[ignore = "needs root"]
fn the_record_is_byte_for_byte_that_of_opendkim_genkey() {
    let sandbox = Sandbox::for_test("genkey");
    for (options, holds) in [
        // Debian's adds h= by itself.
        ("-h sha256", "\"v=DKIM1; h=sha256; k=rsa; \"\n\t  \"p="),
        ("-a -b 1024 -h sha256", "s1._domainkey.example.com.\tIN"),
        (
            "-b 1024 -r -t -S -h sha256 -n 'a note'",
            "n=\\\"a note\\\"; h=sha256; k=rsa; t=y:s; s=email; ",
        ),
        ("-b1024 -rt -h sha1:sha256", "k=rsa; t=y; s=email; "),
        ("-b 1024 -S -h sha256", "k=rsa; t=s; \""),
        (
            "--append-domain --bits=1024 --hash-algorithms=sha256 --note='x, y' --restrict --testmode",
            "n=\\\"x, y\\\";",
        ),
        ("--bits 1024 --nosubdomains --hash-algorithms sha256", "t=s; "),
        ("-b 1024 --subdomains --hash-algorithms sha256", "k=rsa; \""),
        ("-b 4096 -h sha256", ""),
        // The base64 is just two strings long.
        ("-b 2688 -h sha256", "\n\t  \"\" )  ; "),
    ] {
        let text = sandbox.root(&COMPARE.replace("OPTIONS", options));
        assert!(text.contains(holds), "{options}: {text}");
        assert!(text.ends_with(" )  ; ----- DKIM key s1 for example.com\n"), "{text}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_disk_that_fills_up_leaves_no_key_without_its_record() {
    let sandbox = Sandbox::for_test("genkey");
    // Each folder and each file takes a page: the disk is full at another place each time.
    let script = "
mkdir -p /tmp/full
for room in $(seq 1 16); do
    mount -t tmpfs -o size=$((room * 4))k full /tmp/full
    dkimctl --etc /tmp/full/etc genkey -d x.test -s a -b 1024 >/dev/null 2>/tmp/said && code=0 || code=$?
    find /tmp/full/etc -type f | sort | tr '\\n' ' '
    echo \"$code $(grep -c 'no space left' /tmp/said)\"
    umount /tmp/full
done";
    let shown = sandbox.root(script);
    let files = "/tmp/full/etc/domains/x.test.toml /tmp/full/etc/keys/x.test/a.private \
                 /tmp/full/etc/keys/x.test/a.txt ";
    for line in shown.lines() {
        assert!(line == "73 1" || line == format!("{files}0 0"), "{shown}");
    }
    assert!(shown.contains("73 1\n") && shown.contains(&format!("{files}0 0\n")), "{shown}");
}

#[test]
#[ignore = "needs root"]
fn opendkim_testkey_accepts_key_and_record() {
    let sandbox = Sandbox::for_test("genkey");
    sandbox.key("testkey.example", "s1");
    // Its resolver begins at the root of the Internet, if it is not told otherwise, and never asks for .test.
    let script = "cat >/tmp/unbound.conf <<'CONF'
server:
    module-config: iterator
    do-not-query-localhost: no
forward-zone:
    name: .
    forward-addr: 127.0.0.1
CONF
echo ResolverConfiguration /tmp/unbound.conf >/tmp/testkey.conf
opendkim-testkey -x /tmp/testkey.conf -vvv -d testkey.example -s s1 \
    -k /etc/sendmail-dkim/keys/testkey.example/s1.private 2>&1";
    let shown = sandbox.root(script);
    assert!(shown.contains("key OK"), "{shown}");
}

#[test]
#[ignore = "needs root"]
fn keys_of_other_tools_sign_and_weak_ones_are_reported() {
    let sandbox = Sandbox::for_test("genkey");
    for (selector, openssl, first_line) in [
        // As opendkim-genkey of CentOS 6 left it.
        ("old", "genrsa -traditional -out KEY 1024", "-----BEGIN RSA PRIVATE KEY-----"),
        ("rsa", "genrsa -out KEY 3072", "-----BEGIN PRIVATE KEY-----"),
        ("ed", "genpkey -algorithm ed25519 -out KEY", "-----BEGIN PRIVATE KEY-----"),
    ] {
        let domain = format!("{selector}.openssl.test");
        let key = format!("/etc/sendmail-dkim/keys/{domain}/{selector}.private");
        let shown = sandbox.root(&format!(
            "install -d -m 750 -g sendmail-dkim $(dirname {key}); openssl {} 2>/dev/null
             chgrp sendmail-dkim {key}; chmod 640 {key}; head -n 1 {key}
             dkimctl record {domain} --format zone 2>&1 >/tmp/{selector}.zone
             /opt/sandbox/publish.py {domain} /tmp/{selector}.zone",
            openssl.replace("KEY", &key)
        ));
        assert!(shown.starts_with(first_line), "{shown}");
        assert_eq!(shown.contains("has 1024 bits, which is weak"), selector == "old", "{shown}");
        let file = format!("/etc/sendmail-dkim/domains/{domain}.toml");
        sandbox.write(&file, &format!("selectors = [\"{selector}\"]\n"));
        let recipient = sandbox.recipient();
        let message = format!("From: a@{domain}\nSubject: x\n\nx\n");
        stdout(&sandbox.sh("alice", &format!("sendmail {recipient}"), message.as_bytes()));
        let verdicts = sandbox.verify(&sandbox.received(&recipient));
        for verifier in ["dkimpy", "opendkim"] {
            assert_eq!(verdicts.of(verifier, selector), "pass: ");
        }
        assert!(selector == "ed" || verdicts.all("pass"), "{verdicts}");
    }
}
