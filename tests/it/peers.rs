use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Sandbox, built, feed, stdout};

/// One signature of a test message, as its field says.
struct Signature {
    tags: BTreeMap<String, String>,
    /// What we say, and what we call the step that failed.
    ours: Value,
    dkimpy: Value,
    maildkim: Value,
}

/// The fields of a message, unfolded.
fn signature_fields(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message);
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    let header = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let is_signature = |line: &&str| line.to_ascii_lowercase().starts_with("dkim-signature");
    header.split("\r\n").filter(is_signature).map(str::to_owned).collect()
}

/// The tags of a field; `None` where it is no list of tags.
fn tags(field: &str) -> Option<BTreeMap<String, String>> {
    let (_, list) = field.split_once(':')?;
    let specs = list.split(';').map(str::trim).filter(|spec| !spec.is_empty());
    specs
        .map(|spec| {
            let (name, value) = spec.split_once('=')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// Puts the corpora into DNS and the file system of a sandbox.
fn set_up(sandbox: &Sandbox) {
    let folder = built("tests/it/sandbox/corpora.sh");
    let copied = Command::new("cp").args(["-r", &folder]).arg(sandbox.path("/corpora")).output();
    stdout(&copied.unwrap());
    sandbox.root(
        "/opt/sandbox/corpora.py /corpora /out/corpora && cd /out/corpora/zones && \
         for zone in *; do /opt/sandbox/publish.py $zone $zone || exit 1; done",
    );
}

/// What a verifier says of all messages, by file and signature.
fn verdicts(sandbox: &Sandbox, command: &str) -> BTreeMap<String, Vec<Value>> {
    let text = sandbox.root(&format!("cd /out/corpora/messages && {command}"));
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let pair = |value: Value| {
        let file = value["file"].as_str().unwrap().to_owned();
        // `dkimctl verify --json` has them in its envelope.
        let signatures = value["signatures"].get("result").unwrap_or(&value["signatures"]);
        (file, signatures.as_array().unwrap().clone())
    };
    values.map(|value| pair(value.unwrap())).collect()
}

/// All signatures of the corpora, and what the three verifiers say, by the file of the message.
fn signatures(sandbox: &Sandbox) -> Vec<(String, Signature)> {
    let dkimpy = verdicts(sandbox, "/opt/sandbox/verify-dkimpy.py *");
    // That of Debian 12 does not know Ed25519 yet; that of the corpus does.
    let library = "PERL5LIB=/corpora/libmail-dkim-perl/lib";
    let maildkim = verdicts(sandbox, &format!("{library} /opt/sandbox/verify-maildkim.pl *"));
    let ours = "for file in *; do printf '{\"file\": \"%s\", \"signatures\": ' $file; \
        dkimctl verify --json $file || test $? = 1 || exit; printf '}\\n'; done";
    let mut all = Vec::new();
    for (file, ours) in verdicts(sandbox, ours) {
        let message = fs::read(sandbox.path(&format!("/out/corpora/messages/{file}"))).unwrap();
        let fields = signature_fields(&message);
        assert_eq!(fields.len(), ours.len(), "{file}");
        let (python, perl) = (&dkimpy[&file], &maildkim[&file]);
        assert_eq!(python.len(), ours.len(), "{file}");
        // Mail::DKIM leaves out what is no list of tags.
        let lists = fields.iter().filter(|field| tags(field).is_some()).count();
        assert_eq!(perl.len(), lists, "{file}: {perl:?}");
        let mut perl = perl.iter();
        for ((field, ours), dkimpy) in fields.iter().zip(ours).zip(python) {
            let Some(tags) = tags(field) else {
                assert_eq!(ours["result"], "fail", "{file}");
                continue;
            };
            let (dkimpy, maildkim) = (dkimpy.clone(), perl.next().unwrap().clone());
            all.push((file.clone(), Signature { tags, ours, dkimpy, maildkim }));
        }
    }
    all
}

impl Signature {
    fn tag(&self, name: &str) -> &str {
        self.tags.get(name).map_or("", String::as_str)
    }

    /// RFC 8301 §3.1 leaves rsa-sha256, RFC 8463 adds Ed25519.
    fn is_of_a_supported_algorithm(&self) -> bool {
        ["rsa-sha256", "ed25519-sha256"].contains(&self.tag("a"))
    }

    /// v= was 0.5 in the drafts before RFC 4871, and nothing in the first of them. RFC 6376 §3.5 requires 1.
    fn is_of_a_draft(&self) -> bool {
        self.tag("v") != "1"
    }
}

#[test]
#[ignore = "needs root"]
fn verify_agrees_with_dkimpy_and_mail_dkim_on_their_own_messages() {
    let sandbox = Sandbox::own("peers");
    set_up(&sandbox);
    let all = signatures(&sandbox);
    let mut compared = BTreeMap::new();
    for (file, signature) in &all {
        if !signature.is_of_a_supported_algorithm() {
            assert_eq!(signature.ours["fault"], "signature", "{file}");
            continue;
        }
        let ours = &signature.ours["result"];
        let theirs = &signature.dkimpy;
        assert_eq!(ours, &theirs["result"], "{file}: {:#} {theirs}", signature.ours);
        let theirs = &signature.maildkim;
        if signature.is_of_a_draft() {
            assert_eq!(ours, "fail", "{file}");
        } else {
            assert_eq!(ours, &theirs["result"], "{file}: {:#} {theirs}", signature.ours);
        }
        let corpus = file.split('-').next().unwrap();
        *compared.entry((corpus, ours.as_str().unwrap())).or_insert(0) += 1;
    }
    // Not an empty agreement.
    let at_least = [
        ("altered", "fail", 100),
        ("signed", "pass", 100),
        ("dkimpy", "pass", 5),
        ("dkimpy", "fail", 3),
        ("maildkim", "pass", 1),
        ("maildkim", "fail", 15),
    ];
    for (corpus, result, count) in at_least {
        let found = compared.get(&(corpus, result)).copied().unwrap_or_default();
        assert!(found >= count, "{corpus} {result}: {compared:?}");
    }
    // What was done to these is known, and found out.
    for (file, signature) in all.iter().filter(|(file, _)| file.starts_with("altered")) {
        let found = &signature.ours["diagnosis"][0];
        assert_eq!((&found["code"], &found["proven"]), (&"banner".into(), &true.into()), "{file}");
    }
}

#[test]
#[ignore = "needs root"]
fn opendkim_and_dkimpy_take_our_keys_records_and_messages() {
    let sandbox = Sandbox::own("peers");
    let selectors =
        [("rsa", "-b 2048"), ("small", "-b 1024"), ("noted", "-n 'a note' -h sha256 -r")];
    for (selector, options) in selectors {
        sandbox.root(&format!("dkimctl genkey -d sample.com -s {selector} {options}"));
    }
    let keys = "/etc/sendmail-dkim/keys/sample.com";
    sandbox.publish("sample.com", &format!("{keys}/*.txt"));
    // Its resolver asks no server on loopback, and accepts no answer without recursion, unless it is configured to.
    sandbox.write(
        "/tmp/unbound.conf",
        "server:\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n\
         stub-zone:\n  name: \"sample.com\"\n  stub-addr: 127.0.0.1\n",
    );
    sandbox.write("/tmp/opendkim.conf", "ResolverConfiguration /tmp/unbound.conf\n");
    let testkey = |selector: &str, key: &str| {
        let script = format!(
            "opendkim-testkey -x /tmp/opendkim.conf -vvv -d sample.com -s {selector} -k {keys}/{key}.private"
        );
        let output = sandbox.sh("root", &script, b"");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    for (selector, _) in selectors {
        let (code, said) = testkey(selector, selector);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("key OK"), "{said}");
        // It would say so.
        let (code, said) = testkey(selector, if selector == "rsa" { "small" } else { "rsa" });
        assert_eq!(code, Some(65), "{said}");
        let names = format!("selectors = [\"{selector}\"]\n");
        sandbox.write("/etc/sendmail-dkim/domains/sample.com.toml", &names);
        let recipient = sandbox.recipient();
        let message = b"From: a@sample.com\nSubject: x\n\nHello\n";
        stdout(&sandbox.sh("alice", &format!("sendmail {recipient}"), message));
        let received = sandbox.received(&recipient).bytes;
        let altered = String::from_utf8_lossy(&received).replace("Hello", "Bye");
        for verifier in ["opendkim-testmsg", "dkimverify", "dkimctl verify"] {
            let verify = |message: &[u8]| {
                feed(sandbox.command("alice", "sh").args(["-c", verifier]), message)
            };
            let output = verify(&received);
            assert!(output.status.success(), "{verifier}: {output:?}");
            let output = verify(altered.as_bytes());
            assert!(!output.status.success(), "{verifier}: {output:?}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn verify_distinguishes_a_bad_signature_from_a_failed_lookup() {
    let sandbox = Sandbox::own("peers");
    sandbox.key("verify.test", "s");
    let recipient = sandbox.recipient();
    let message = b"From: a@verify.test\n\nHello\n";
    stdout(&sandbox.sh("alice", &format!("sendmail {recipient}"), message));
    let received = sandbox.received(&recipient).bytes;
    let verify = |options: &str, message: &[u8]| {
        let output = sandbox.sh("alice", &format!("dkimctl verify {options}"), message);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let pass = (Some(0), "d=verify.test s=s pass\n".to_owned());
    assert_eq!(verify("", &received), pass);
    assert_eq!(verify("--server 127.0.0.1:53", &received), pass);
    let (code, said) = verify("--server 127.0.0.1:9", &received);
    assert_eq!(code, Some(69), "{said}");
    let unknown = String::from_utf8_lossy(&received).replace("s=s;", "s=t;");
    let none = (Some(1), "d=verify.test s=t fail: no key record\n".to_owned());
    assert_eq!(verify("", unknown.as_bytes()), none);
}
