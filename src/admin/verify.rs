//! `dkimctl verify`: all signatures of a message, against records from the DNS or from files.

mod body;
mod decode;
mod diagnose;
mod encoding;
mod finding;
mod header;
mod header_edits;
mod signer;

use std::process::ExitCode;

use serde::Serialize;

use super::cli::{Args, JSON, Opt, SERVER, Subcommand};
use super::dns::Dns;
use super::input;
use super::output::Failure;
use super::signatures::{Source, Verified, line};
use crate::dkim::verify::MOST;
use crate::dkim::{Fault, Record, Verdict, signature};
use crate::report;
use diagnose::{Case, diagnose};
use finding::Finding;

pub(super) const COMMAND: Subcommand = Subcommand {
    name: "verify",
    usage: "[MESSAGE]",
    options: &[
        SERVER,
        Opt("--keys DIR", "no DNS: read DIR/DOMAIN/SELECTOR.txt or SELECTOR.private"),
        Opt("--record FILE", "no DNS: use this record, as genkey writes it or bare"),
        JSON,
    ],
    about: "\
Verify the signatures of a message.

Verifies the first 100 signatures of MESSAGE or stdin; lines may end with LF or
CRLF. Prints one line for each signature; a failure names the step that failed.
Then undoes the changes that mail systems are known to make, one after the other
and in pairs, and reports those after which the signature verifies.
--server, --keys and --record exclude each other.

Exits with 0 if there is a signature and all verify; 1 if there is none or one
does not verify; 69 if DNS does not answer and all others verify.
",
    run,
};

/// What there is to say of one signature.
#[derive(Debug, Serialize)]
struct Told {
    domain: Option<String>,
    selector: Option<String>,
    result: &'static str,
    /// A name for the step that failed, which stays.
    fault: Option<&'static str>,
    message: Option<String>,
    findings: Vec<Finding>,
}

fn run(args: &Args) -> Result<ExitCode, Failure> {
    let source = match (args.text("--server")?, args.path("--keys"), args.path("--record")) {
        (None, Some(folder), None) => Source::Keys(folder.to_owned()),
        (None, None, Some(file)) => {
            let text = input::argument(file, input::CONFIGURATION);
            let text = text.map_err(|error| Failure::reading(file, &error))?;
            Source::Record(Record::text_in(&text))
        }
        (server, None, None) => Source::Dns(Dns::asked_for(server)?),
        _ => return Err(Failure::usage("--server, --keys and --record exclude each other")),
    };
    let message = input::message(args.file())?;
    let verified = source.verify(&message).map_err(Failure::data)?;
    let (verdicts, told) = (&verified.verdicts, explain(&verified));
    args.print(&told, &text(verdicts, &told))?;
    let is_open = |verdict: &Verdict| matches!(verdict.result, Err(Fault::LookupFailed(_)));
    let failed = verdicts.iter().any(|verdict| verdict.result.is_err() && !is_open(verdict))
        || told.len() > verdicts.len();
    Ok(if failed || verdicts.is_empty() {
        ExitCode::FAILURE
    } else if verdicts.iter().any(is_open) {
        ExitCode::from(UNAVAILABLE)
    } else {
        ExitCode::SUCCESS
    })
}

/// `EX_UNAVAILABLE`
const UNAVAILABLE: u8 = 69;

fn text(verdicts: &[Verdict], told: &[Told]) -> String {
    let mut text = String::new();
    for (verdict, told) in verdicts.iter().zip(told) {
        text.push_str(&format!("{}\n", line(verdict)));
        for finding in &told.findings {
            text.push_str(&format!("  {}\n", finding.message));
        }
    }
    for further in told.iter().skip(verdicts.len()).filter_map(|told| told.message.as_ref()) {
        text.push_str(&format!("fail: {further}\n"));
    }
    if verdicts.is_empty() {
        text.push_str("no signature\n");
    }
    text
}

/// What is to be said of each signature.
fn explain(verified: &Verified<'_>) -> Vec<Told> {
    let Verified { header, body, now, verdicts, .. } = verified;
    let mut told = Vec::new();
    for (verdict, field) in verdicts.iter().zip(header.named(signature::NAME)) {
        let case = Case { header, body, field, record: verified.record(verdict), now: *now };
        told.push(Told::of(verdict, diagnose(&case, &verdict.result)));
    }
    told.extend(Told::further(header.count(signature::NAME).saturating_sub(MOST)));
    told
}

impl Told {
    /// Of so many signatures that are not looked at.
    fn further(count: usize) -> Option<Self> {
        let message = format!("{count} further signatures are not verified, only the first {MOST}");
        (count > 0).then(|| Self {
            domain: None,
            selector: None,
            result: "fail",
            fault: Some("too-many"),
            message: Some(message),
            findings: Vec::new(),
        })
    }

    fn of(verdict: &Verdict, findings: Vec<Finding>) -> Self {
        let fault = verdict.result.as_ref().err();
        Self {
            domain: verdict.domain.as_ref().map(ToString::to_string),
            selector: verdict.selector.as_ref().map(ToString::to_string),
            result: if fault.is_some() { "fail" } else { "pass" },
            fault: fault.map(name),
            message: fault.map(|fault| report::chain(fault)),
            findings,
        }
    }
}

fn name(fault: &Fault) -> &'static str {
    match fault {
        Fault::Signature(_) => "signature",
        Fault::NoKey => "no-key",
        Fault::LookupFailed(_) => "lookup",
        Fault::Record(_) => "record",
        Fault::OtherKeyType => "key-type",
        Fault::KeyTooSmall(_) => "key-too-small",
        Fault::Expired => "expired",
        Fault::Subdomain => "subdomain",
        Fault::BodyTooShort => "body-too-short",
        Fault::Body => "body",
        Fault::Header => "header",
    }
}
