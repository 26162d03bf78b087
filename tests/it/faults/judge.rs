//! What became of a message: fine, or a violation.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use sendmail_dkim::dkim::{Header, Lookup, Timestamp, verify};

use super::kinds::Kind;
use super::{OUT, Tried};
use crate::support::Sandbox;

/// What is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Each message is there, and at least one is signed.
    Signed,
    /// Each message is there as it was submitted.
    Unsigned,
    /// The caller learned that a message is not accepted, and it was not delivered.
    Refused,
    /// A message of an SMTP session is there, and the word of it did not come through: so it is in SMTP.
    Unacknowledged,
}

/// Looks at what arrived.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    sandbox: &'a Sandbox,
    /// Behind a real Postfix, the bytes are those that came to the peer.
    is_sink: bool,
    record: Vec<u8>,
    /// Of each kind, the signed message without its signature, for the recipient "R".
    plain: Mutex<BTreeMap<&'static str, Vec<u8>>>,
}

/// In what form one message arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Signed,
    AsSubmitted,
}

impl<'a> Judge<'a> {
    pub(super) fn of_the_queue(sandbox: &'a Sandbox) -> Self {
        // The record as the sandbox publishes it: the strings of the file, joined.
        let file = sandbox.root("cat /etc/sendmail-dkim/keys/sample.com/s1.txt");
        let record = file.split('"').skip(1).step_by(2).collect::<String>().into_bytes();
        Self { sandbox, is_sink: false, record, plain: Mutex::default() }
    }

    pub(super) fn of_the_sink(sandbox: &'a Sandbox) -> Self {
        Self { is_sink: true, ..Self::of_the_queue(sandbox) }
    }

    /// The outcome of a run, or what is wrong with it.
    pub(super) fn of(
        &self,
        kind: &Kind,
        recipient: &str,
        output: &Output,
    ) -> Result<Outcome, String> {
        let code =
            output.status.code().or_else(|| output.status.signal().map(|signal| signal + 128));
        let said = String::from_utf8_lossy(&output.stdout);
        let mut outcomes = Vec::new();
        for (index, one) in kind.recipients(recipient).into_iter().enumerate() {
            let accepted = if !kind.is_session {
                code == Some(0)
            } else if self.is_sink {
                queued(&said).nth(index) == Some(true)
            } else {
                said.contains(&format!("250 kept {one}\r\n"))
            };
            let found = self.arrived(&one, accepted);
            let forms: Result<Vec<Form>, String> =
                found.iter().map(|found| self.form(kind, &one, found)).collect();
            outcomes.push(match (forms?.as_slice(), accepted) {
                ([Form::Signed], true) => Outcome::Signed,
                ([Form::AsSubmitted], true) => Outcome::Unsigned,
                ([], false) => Outcome::Refused,
                ([_], false) if kind.is_session => Outcome::Unacknowledged,
                (forms, _) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    return Err(format!("exit {code:?}, arrived {forms:?}; {said:?}"));
                }
            });
        }
        outcomes.into_iter().max().ok_or_else(|| "nothing to judge".to_owned())
    }

    /// What is there for a recipient. What is accepted may need its time through a real Postfix; what is not is
    /// looked at as often as it would need.
    fn arrived(&self, recipient: &str, accepted: bool) -> Vec<Vec<u8>> {
        if self.is_sink {
            let deadline = Instant::now() + Duration::from_secs(if accepted { 30 } else { 0 });
            loop {
                let arrived = self.sandbox.arrived(recipient);
                if !arrived.is_empty() || Instant::now() >= deadline {
                    return arrived.into_iter().map(|one| one.bytes).collect();
                }
                sleep(Duration::from_millis(20));
            }
        }
        let entries = fs::read_dir(self.sandbox.path(&format!("{OUT}/{recipient}")));
        let entries = entries.into_iter().flatten().flatten();
        // What was not renamed is not there.
        let whole = entries.filter(|entry| !entry.file_name().to_string_lossy().ends_with(".new"));
        whole.map(|entry| fs::read(entry.path()).unwrap()).collect()
    }

    /// In what form what there is by now is there, or what is wrong with it.
    pub(super) fn found(&self, kind: &Kind, recipient: &str) -> Result<Vec<Form>, String> {
        let found = self.arrived(recipient, false);
        found.iter().map(|found| self.form(kind, recipient, found)).collect()
    }

    /// What is wrong once the queue is empty: something came after it was refused, or twice.
    pub(super) fn settle(&self, tried: &[Tried<'_>]) -> Vec<String> {
        if !self.is_sink {
            return Vec::new();
        }
        self.sandbox.count("nobody@sink.test");
        let wrong = |one: &Tried<'_>| {
            let outcome = *one.outcome.as_ref().ok()?;
            // In an SMTP session, the word of it may not have come through.
            let most = usize::from(outcome != Outcome::Refused || one.kind.is_session);
            let recipients = one.kind.recipients(&one.recipient);
            let count = recipients.iter().map(|one| self.arrived(one, false).len()).max()?;
            let violation = || format!("{}: {outcome:?}, and arrived {count}", one.recipient);
            (count > most).then(violation)
        };
        tried.iter().filter_map(wrong).collect()
    }

    fn form(&self, kind: &Kind, recipient: &str, found: &[u8]) -> Result<Form, String> {
        let submitted = kind.message(recipient);
        if self.is_sink {
            let submitted = String::from_utf8(submitted).unwrap().replace("\r\n", "\n");
            let submitted = submitted.replace('\n', "\r\n").into_bytes();
            return if self.is_signed(found) && found.ends_with(&submitted) {
                Ok(Form::Signed)
            } else if !has_signature(found) && found.ends_with(&submitted) {
                Ok(Form::AsSubmitted)
            } else {
                Err(shown("damaged", found))
            };
        }
        let end = found.windows(2).position(|two| two == b"\0\0").ok_or("no arguments")?;
        let (arguments, text) = found.split_at(end + 2);
        let given = kind.arguments(recipient).join("\0").into_bytes();
        let with_i = [b"-i\0", given.as_slice()].concat();
        let arguments = &arguments[..end];
        if text == submitted && arguments == given {
            return Ok(Form::AsSubmitted);
        }
        let is_reported = arguments == if kind.is_session { given } else { with_i };
        if !is_reported || !self.is_signed(text) {
            return Err(shown("damaged or half-signed", found));
        }
        // For any recipient the same: that of the first run, which nothing was done to.
        let plain = without_signature(text).replace(recipient, "R").into_bytes();
        let mut all = self.plain.lock().unwrap();
        let first = all.entry(kind.name).or_insert_with(|| plain.clone());
        if *first == plain {
            Ok(Form::Signed)
        } else {
            Err(shown("not what is signed else", found))
        }
    }

    /// Whether there is one signature, and it verifies.
    pub(super) fn is_signed(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text).replace("\r\n", "\n").replace('\n', "\r\n");
        let Some(at) = text.find("\r\n\r\n") else { return false };
        let Ok(header) = Header::parse(&text.as_bytes()[..at + 2]) else { return false };
        let mut lookup = |_: &_, _: &_| Lookup::Found(self.record.clone());
        let verdicts = verify(&header, &text.as_bytes()[at + 4..], Timestamp(0), &mut lookup);
        verdicts.len() == 1 && verdicts[0].result.is_ok()
    }
}

/// Of each message in an SMTP session with Postfix that it was ready for, whether it has it.
fn queued(said: &str) -> impl Iterator<Item = bool> {
    let after = said.split("\r\n354 ").skip(1);
    after.map(|rest| {
        rest.lines().nth(1).is_some_and(|line| line.starts_with("250 2.0.0 Ok: queued"))
    })
}

fn has_signature(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains("DKIM-Signature:")
}

/// The text after the first field, which is the signature.
fn without_signature(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    assert!(text.starts_with("DKIM-Signature:"), "{text}");
    let mut lines = text.split_inclusive('\n');
    let length: usize = lines
        .by_ref()
        .enumerate()
        .take_while(|(number, line)| *number == 0 || line.starts_with([' ', '\t']))
        .map(|(_, line)| line.len())
        .sum();
    text.split_at(length).1.to_owned()
}

fn shown(words: &str, found: &[u8]) -> String {
    let text = String::from_utf8_lossy(found);
    format!("{words}: {} bytes: {:?}", found.len(), text.chars().take(900).collect::<String>())
}
