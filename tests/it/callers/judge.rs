//! What a run must have come to: the mail says what was meant, and is signed by the right domain.

use serde_json::Value;

use super::run::Run;
use crate::support::{Received, Sandbox, project};

/// What the verifiers and Python's email package say of one message.
struct Opinions {
    decoded: Value,
    verdicts: Vec<Value>,
}

/// The names of the verifiers, in the order of `Opinions::verdicts`.
pub(crate) const VERIFIERS: [&str; 3] =
    ["verify-opendkim.py", "verify-dkimpy.py", "verify-maildkim.pl"];

/// Adds to each run what is wrong with its mail.
pub(crate) fn judge(sandbox: &Sandbox, runs: &mut [Run]) {
    let messages: Vec<&Received> = runs.iter().flat_map(|run| &run.messages).collect();
    let ask = |script: &str| {
        messages.chunks(50).flat_map(|some| sandbox.lines_about(script, some)).collect::<Vec<_>>()
    };
    let mut decoded = ask("/opt/callers/decode.py").into_iter();
    let mut verdicts = VERIFIERS.map(|name| ask(&format!("/opt/sandbox/{name}")).into_iter());
    for run in runs {
        let mut faults = Vec::new();
        for message in &run.messages {
            let opinions = Opinions {
                decoded: decoded.next().unwrap(),
                verdicts: verdicts.iter_mut().map(|lines| lines.next().unwrap()).collect(),
            };
            let found = opinions.faults(run, message);
            if !found.is_empty() {
                faults.extend(found);
                faults.push(String::from_utf8_lossy(&message.bytes).chars().take(2_500).collect());
            }
        }
        if run.calls.len() != run.row.calls {
            faults.push(format!("{} calls: {:?}", run.calls.len(), run.calls.first()));
        }
        run.faults.extend(faults);
    }
}

impl Opinions {
    fn faults(&self, run: &Run, message: &Received) -> Vec<String> {
        let mut faults = self.of_the_content(run);
        faults.extend(self.of_the_signature(run));
        let row = &run.row;
        if message.mail_from != row.envelope {
            faults.push(format!("envelope sender <{}>", message.mail_from));
        }
        if let Some(file) = &row.unchanged {
            let file = project(&format!("tests/callers/{}/{file}", row.name));
            let text = std::fs::read_to_string(file).unwrap().replace("{to}", &row.to);
            if !message.bytes.ends_with(text.replace('\n', "\r\n").as_bytes()) {
                faults.push("not what was submitted, byte for byte".to_owned());
            }
        }
        faults
    }

    fn of_the_content(&self, run: &Run) -> Vec<String> {
        let (row, decoded) = (&run.row, &self.decoded);
        let mut faults = Vec::new();
        let mut expect = |what: &str, expected: Value| {
            if decoded[what] != expected {
                faults.push(format!("{what}: {}, expected {expected}", decoded[what]));
            }
        };
        if let Some(from) = &row.from {
            expect("from", Value::from(vec![from.as_str()]));
        }
        if let Some(subject) = &row.subject {
            expect("subject", Value::from(vec![subject.as_str()]));
        }
        if let Some(texts) = &row.texts {
            expect("texts", Value::from(texts.clone()));
        }
        expect("attachments", Value::from(row.attachments.clone()));
        expect("bcc", Value::Array(Vec::new()));
        expect("defects", Value::Array(Vec::new()));
        expect("dates", Value::from(1));
        expect("message_ids", Value::from(1));
        let texts = decoded["texts"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let texts: String = texts.collect();
        let missing = row.contains.iter().filter(|text| !texts.contains(text.as_str()));
        faults.extend(missing.map(|text| format!("its text lacks {text:?}")));
        faults
    }

    fn of_the_signature(&self, run: &Run) -> Vec<String> {
        let row = &run.row;
        let mut faults = Vec::new();
        let result = if row.signed.is_some() { "pass" } else { "none" };
        for verdict in &self.verdicts {
            let by = verdict["signatures"].as_array().into_iter().flatten();
            let by: Vec<&str> = by.filter_map(|one| one["d"].as_str()).collect();
            if verdict["result"] != result || by != Vec::from_iter(row.signed.as_deref()) {
                faults.push(verdict.to_string());
            }
        }
        let reason =
            row.unsigned.as_ref().map(|reason| format!("result=unsigned reason={reason:?}"));
        if reason.is_some_and(|reason| !run.log.contains(&reason)) {
            faults.push(format!("the log gives another reason: {}", run.log));
        }
        faults
    }
}
