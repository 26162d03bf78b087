//! Two spam filters, `SpamAssassin` and rspamd, judge each message as it arrives with the wrapper and without it. No message may get a
//! worse score. `tests/survive/run` with `JUDGES=1` does the same for any folder of messages.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{Received, Sandbox, project, stdout};

/// The layer of the sandbox with both filters.
const BUILDER: &str = "tests/it/sandbox/layer.sh judges";

const JUDGES: [&str; 2] = ["SpamAssassin", "rspamd"];

/// A tenth of a point for any text in base64. Text of which more than a third is not ASCII is base64 in spite of it, because
/// quoted-printable would be three times as long.
const ACCEPTED: &str = "MIME_BASE64_TEXT";

const HEAD: &str = "From: Ann Smith <ann@judged.test>\nTo: Bob <bob@example.com>\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n";

/// Messages in which the wrapper changes something, with what spam filters look at: charsets, encodings, missing fields.
fn samples() -> Vec<Vec<u8>> {
    let mime = "MIME-Version: 1.0\nSubject: Your order 4711\nMessage-ID: <4711@judged.test>\n";
    let typed = |kind: &str| format!("{HEAD}{mime}Content-Type: {kind}\n");
    let long = "This is a sentence of a long paragraph in one line. ".repeat(40);
    let koi8 = b"\xf0\xd2\xc9\xd7\xc5\xd4, \xcd\xc9\xd2\n";
    let mut samples: Vec<Vec<u8>> = [
        // Header text: mostly ASCII, and not.
        format!("{HEAD}Subject: Your caf\u{e9} order is on its way\n\nHello\n"),
        format!("{HEAD}Subject: \u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}\n\nHello\n"),
        format!("{}Subject: x\n\nHello\n", HEAD.replace("Ann Smith", "Caf\u{e9}, Inc.")),
        format!("{}Subject: x\n\nHello\n", HEAD.replace("Ann Smith", "=?UTF-8?Q?Caf=C3=A9, Inc.?=")),
        format!("{}Subject: x\n\nHello\n", HEAD.replace("Ann Smith", "CORP\\ann")),
        format!("{}Subject: x\n\nHello\n", HEAD.replace("Bob", "B\u{f6}b")),
        // Nothing is said of the body, or no charset.
        format!("{HEAD}Subject: x\n\nh\u{e9}llo, how are you today?\n"),
        format!("{HEAD}Subject: x\n\n{long}\n"),
        typed("text/plain") + "\nh\u{e9}llo, how are you today?\n",
        typed("text/plain") + &format!("\n{long}\n"),
        typed("text/plain; format=flowed") + "\n--b is no boundary, h\u{e9}llo\n",
        typed("text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit") + "\nGr\u{fc}\u{df}e aus K\u{f6}ln\n",
        typed("text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit") + "\n\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}\n",
        typed("text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit") + "\nOnly ASCII.\n",
        typed("text/html; charset=utf-8") + &format!("\n<html><body><p>Gr\u{fc}\u{df}e. {long}</p></body></html>\n"),
        typed("multipart/alternative; boundary=b")
            + "\n--b\nContent-Type: text/plain; charset=utf-8\n\nGr\u{fc}\u{df}e\n--b\nContent-Type: text/html; charset=utf-8\n\n\
               <html><body><p>Gr\u{fc}\u{df}e</p></body></html>\n--b--\n",
        typed("multipart/mixed; boundary=b")
            + "\n--b\nContent-Type: text/plain\n\nGr\u{fc}\u{df}e\n--b\nContent-Type: application/pdf; name=\"Pr\u{fc}fung.pdf\"\n\
               Content-Disposition: attachment; filename=\"Pr\u{fc}fung.pdf\"\nContent-Transfer-Encoding: base64\n\nJVBERi0xLjQK\n--b--\n",
        // Fields that are missing.
        "From: ann@judged.test\nSubject: x\n\nHello\n".to_owned(),
        "Subject: x\nTo: bob@example.com\n\nHello\n".to_owned(),
        "From: ann@judged.test\nTo: undisclosed-recipients:;\n\nHello\n".to_owned(),
    ]
    .map(String::into_bytes)
    .into();
    // Text that is not UTF-8.
    let raw =
        |fields: &str, body: &[u8]| [HEAD.as_bytes(), fields.as_bytes(), b"\n", body].concat();
    samples.push(raw("Subject: x\n", b"Gr\xfc\xdfe aus K\xf6ln\n"));
    samples.push(raw("Subject: =?koi8-r?B?8NLJ18XU?=\n", koi8));
    samples.push(raw("Subject: x\n", koi8));
    samples
}

/// The points of each message by each judge: of each rule.
fn points(
    sandbox: &Sandbox,
    messages: &[&Received],
) -> Vec<BTreeMap<String, BTreeMap<String, f64>>> {
    let read = |line: &Value| {
        let rules = |judge: &str| {
            let rules = line[judge].as_object().unwrap_or_else(|| panic!("{judge}: {line}"));
            rules.iter().map(|(rule, points)| (rule.clone(), points.as_f64().unwrap())).collect()
        };
        JUDGES.iter().map(|judge| ((*judge).to_owned(), rules(judge))).collect()
    };
    sandbox.lines_about("/survive/judge.py", messages).iter().map(read).collect()
}

fn sum(rules: &BTreeMap<String, f64>) -> f64 {
    rules.iter().filter(|(rule, _)| *rule != ACCEPTED).map(|(_, points)| points).sum()
}

#[test]
#[ignore = "needs root"]
fn no_message_is_scored_worse_than_without_the_wrapper() {
    let sandbox = Sandbox::on("judges", BUILDER);
    sandbox.key("judged.test", "s1");
    sandbox.root("mkdir /survive");
    for file in ["judge.py", "judge-spamassassin.pl"] {
        let to = format!("/survive/{file}");
        sandbox.write(&to, &fs::read_to_string(project(&format!("tests/survive/{file}"))).unwrap());
        sandbox.root(&format!("chmod 755 {to}"));
    }
    let send = |program: &str, message: &[u8]| {
        let recipient = sandbox.recipient();
        let script = format!("{program} -i -f ann@judged.test {recipient}");
        stdout(&sandbox.sh("www-data", &script, message));
        sandbox.received(&recipient)
    };
    let mut samples = samples();
    // The judges see what they are asked about: ASCII text in base64, and a missing field.
    let base64 = format!(
        "{}Subject: =?utf-8?B?SGVsbG8gdG8gYWxsIG9mIHlvdQ==?=\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: base64\n\nSGVsbG8gdG8gYWxsIG9mIHlvdQo=\n",
        HEAD.replace("To: ", "X: ")
    );
    let plain = format!("{HEAD}Subject: Hello to all of you\n\nHello to all of you\n");
    let controls = [base64, plain].map(|text| send("sendmail.postfix", text.as_bytes()));
    let mut without: Vec<_> =
        samples.iter().map(|message| send("sendmail.postfix", message)).collect();
    // rspamd gives points for letters outside ASCII, and cannot read raw Latin 1: the score without the wrapper is that of UTF-8.
    let utf8 = "Subject: =?utf-8?Q?Viele_Gr=C3=BC=C3=9Fe_an_alle?=\n\nHello\n";
    samples.push([HEAD.as_bytes(), b"Subject: Viele Gr\xfc\xdfe an alle\n\nHello\n"].concat());
    without.push(send("sendmail.postfix", [HEAD, utf8].concat().as_bytes()));
    let with: Vec<_> = samples.iter().map(|message| send("sendmail", message)).collect();
    let failures = sandbox.failures(&with);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let all: Vec<&Received> = controls.iter().chain(&without).chain(&with).collect();
    let points = points(&sandbox, &all);
    let (controls, judged) = points.split_at(controls.len());
    for judge in JUDGES {
        assert!(sum(&controls[0][judge]) > sum(&controls[1][judge]) + 0.5, "{judge}: {controls:?}");
    }
    let (without, with) = judged.split_at(samples.len());
    let mut worse = Vec::new();
    for ((sample, before), after) in samples.iter().zip(without).zip(with) {
        for judge in JUDGES {
            let (before, after) = (&before[judge], &after[judge]);
            if sum(after) > sum(before) + 0.005 {
                let text = String::from_utf8_lossy(sample);
                worse.push(format!("{judge}: {after:?}\nwithout: {before:?}\n{text}"));
            }
        }
    }
    assert!(worse.is_empty(), "{}", worse.join("\n"));
}
