use std::fs;

use serde_json::Value;

use crate::support::{Sandbox, result, stdout};

const KEY: &str = "/etc/sendmail-dkim/keys/sample.com/s.private";

/// What is signed, where it is sent, and what is found out of what Postfix did to it.
struct Case {
    header: String,
    body: String,
    peer: &'static str,
    found: &'static [&'static str],
}

fn case(header: &str, body: &str, peer: &'static str, found: &'static [&'static str]) -> Case {
    // What Postfix adds where it is missing would be a change too.
    let complete = "Date: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <a@b.test>\n";
    let from = if header.contains("From: ") { "" } else { "From: a@sample.com\n" };
    let header = format!("{complete}{from}{header}");
    Case { header, body: body.to_owned(), peer, found }
}

fn cases() -> Vec<Case> {
    let eight_bit = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
        Content-Transfer-Encoding: 8bit\n";
    let multipart = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n";
    let part =
        "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ngrün\n";
    let turned =
        "--b\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain; charset=utf-8\n\ngrün\n";
    let ascii = "--b\nContent-Type: text/plain\n\na=b\n";
    let long = "word ".repeat(400);
    let solid = "word_".repeat(400);
    let around = format!("{multipart}Content-Transfer-Encoding: 8bit\n");
    vec![
        case(eight_bit, "grün  \n\nx=y\n", "7bit.test", &["encoded", "encoding-changed"]),
        case(
            multipart,
            &format!("{part}{ascii}--b--\n"),
            "7bit.test",
            &["encoded", "header-intact"],
        ),
        case(
            multipart,
            &format!("{ascii}{part}{turned}--b--\n"),
            "7bit.test",
            &["encoded", "header-intact"],
        ),
        case("", &format!("{long}end\nnext\n"), "sink.test", &["lines-broken", "header-intact"]),
        case("", &format!("{solid}end\nnext\n"), "sink.test", &["lines-broken", "header-intact"]),
        case(&format!("Subject: {long}end\n"), "x\n", "sink.test", &["lines-broken"]),
        case("To: root, b@y.test\n", "x\n", "sink.test", &["domain-added"]),
        case("From: Company, Inc. <a@sample.com>\n", "x\n", "sink.test", &["domain-added"]),
        case("Subject: x\n", "x\n", "sink.test", &[]),
        case(&around, &format!("{part}--b--\n"), "7bit.test", &["encoded", "encoding-changed"]),
    ]
}

/// Signs by dkimpy, which takes a message as it is, sends by the real sendmail, and asks what was found.
fn found(sandbox: &Sandbox, case: &Case, canonicalization: &str) -> Value {
    let recipient = match case.peer {
        "7bit.test" => sandbox.recipient_7bit(),
        _ => sandbox.recipient(),
    };
    let script = format!(
        "dkimsign --hcanon {canonicalization} --bcanon {canonicalization} s sample.com {KEY} | \
         tr -d '\\r' | sendmail.postfix -i -f a@sample.com {recipient}"
    );
    let message = format!("{}\n{}", case.header, case.body);
    stdout(&sandbox.sh("root", &script, message.as_bytes()));
    let received = sandbox.received(&recipient);
    let output = sandbox.sh("alice", "dkimctl verify --json", &received.bytes);
    let told = result(&output.stdout);
    assert_eq!(told.as_array().unwrap().len(), 1, "{output:?}");
    told[0].clone()
}

#[test]
#[ignore = "needs root"]
fn what_a_real_postfix_did_to_a_message_is_named() {
    let sandbox = Sandbox::own("diagnosis");
    sandbox.key("sample.com", "s");
    for case in cases() {
        for canonicalization in ["relaxed", "simple"] {
            let told = found(&sandbox, &case, canonicalization);
            let findings = told["diagnosis"].as_array().unwrap();
            let names: Vec<_> = findings.iter().map(|one| one["code"].as_str().unwrap()).collect();
            assert_eq!(names, case.found, "{canonicalization} {}\n{told:#}", case.header);
            assert!(findings.iter().all(|one| one["proven"] == true), "{told:#}");
            assert_eq!(told["result"] == "pass", case.found.is_empty(), "{told:#}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_large_message_is_judged_and_explained() {
    let sandbox = Sandbox::own("diagnosis");
    sandbox.key("sample.com", "s");
    let lines =
        "0123456789012345678901234567890123456789012345678901234567890123456\n".repeat(150_000);
    let header = "From: a@sample.com\nSubject: large\n";
    sandbox.write("/tmp/large", &format!("{header}\n{lines}"));
    let signed = format!("dkimsign s sample.com {KEY} </tmp/large >/tmp/signed");
    sandbox.root(&signed);
    let mut message = fs::read(sandbox.path("/tmp/signed")).unwrap();
    let verify = |message: &[u8]| {
        let output = sandbox.sh("alice", "dkimctl verify", message);
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(verify(&message), "d=sample.com s=s pass\n");
    message.extend_from_slice(b"footer\r\n");
    assert!(verify(&message).contains("line 150001 of the body was added: \"footer\""));
}
