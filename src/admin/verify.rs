//! `dkimctl verify`: verifies all signatures of a message with records from DNS or from files.

mod body;
mod decode;
mod diagnose;
mod encoding;
mod finding;
mod header;
mod header_edits;
mod signer;

use std::process::ExitCode;
use std::slice;

use serde::Serialize;

use super::checks;
use super::cli::{Args, Opt, SERVER};
use super::dns::Dns;
use super::input;
use super::output::{Failure, Text, Tone};
use super::signatures::{Source, Verified};
use crate::dkim::verify::MOST;
use crate::dkim::{Fault, Record, Verdict, signature};
use crate::report;
use diagnose::{Case, diagnose};
use finding::Finding;

pub(super) const OPTIONS: &[Opt] = &[
    SERVER,
    Opt("--keys DIR", "no DNS: read DIR/DOMAIN/SELECTOR.txt or SELECTOR.private"),
    Opt("--record FILE", "no DNS: use this record, as genkey writes it or bare"),
];

pub(super) const HELP: &str = "\
usage: dkimctl verify [OPTION...] [MESSAGE]

Verify the signatures of a message.

Verifies the first 100 signatures of MESSAGE or stdin; lines may end with LF or
CRLF. Prints one line for each signature; a failure names the step that failed.
Then undoes the changes that mail systems are known to make, one after the other
and in pairs, and reports those after which the signature verifies.
--server, --keys and --record exclude each other.

Exits with 0 if there is a signature and all verify; 1 if there is none or one
does not verify; 69 if DNS does not answer and all others verify.
";

/// The report on one signature.
#[derive(Debug, Default, Serialize)]
struct Report {
    domain: Option<String>,
    selector: Option<String>,
    result: &'static str,
    /// A stable name for the step that failed.
    fault: Option<&'static str>,
    text: Option<String>,
    /// What was changed since the message was signed, and what else is to be known.
    diagnosis: Vec<Finding>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
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
    let (verdicts, reports) = (&verified.verdicts, reports(&verified));
    let no_signature = Report {
        fault: Some("no-signature"),
        text: Some("the message has no signature".to_owned()),
        ..Report::default()
    };
    let wrong = if reports.is_empty() { slice::from_ref(&no_signature) } else { &reports };
    let findings: Vec<_> = wrong.iter().filter_map(Report::finding).collect();
    args.report(&reports, &findings, text(&reports))?;
    let is_open = |verdict: &Verdict| matches!(verdict.result, Err(Fault::LookupFailed(_)));
    let failed = verdicts.iter().any(|verdict| verdict.result.is_err() && !is_open(verdict))
        || reports.len() > verdicts.len();
    Ok(if failed || verdicts.is_empty() {
        ExitCode::FAILURE
    } else if verdicts.iter().any(is_open) {
        ExitCode::from(Failure::UNAVAILABLE)
    } else {
        ExitCode::SUCCESS
    })
}

impl Report {
    /// A signature that does not verify.
    fn finding(&self) -> Option<checks::finding::Finding> {
        let finding = checks::finding::Finding::error(self.fault?, self.text.clone()?, "");
        let name = self.selector.as_ref().zip(self.domain.as_ref());
        let subject = name.map(|(selector, domain)| format!("{selector}._domainkey.{domain}"));
        Some(checks::finding::Finding { subject, ..finding })
    }
}

fn text(reports: &[Report]) -> Text {
    let mut text = Text::default();
    for report in reports {
        if let (Some(domain), Some(selector)) = (&report.domain, &report.selector) {
            text.push(format!("d={domain} s={selector} "));
        }
        let tone = if report.fault.is_none() { Tone::Good } else { Tone::Bad };
        text.push(Text::toned(tone, report.result));
        let why = report.text.as_ref().map(|why| format!(": {why}"));
        text.push(format!("{}\n", why.unwrap_or_default()));
        for finding in &report.diagnosis {
            // Quoted text may be folded.
            let lines: Vec<&str> = finding.text.lines().map(str::trim).collect();
            text.push(format!("  {}\n", lines.join(" ")));
        }
    }
    if reports.is_empty() { "no signature\n".into() } else { text }
}

/// The report on a message.
pub(super) fn report_on(verified: &Verified<'_>) -> Text {
    text(&reports(verified))
}

/// The reports on all signatures.
fn reports(verified: &Verified<'_>) -> Vec<Report> {
    let Verified { header, body, now, verdicts, .. } = verified;
    let mut reports = Vec::new();
    for (verdict, field) in verdicts.iter().zip(header.named(signature::NAME)) {
        let case = Case { header, body, field, record: verified.record(verdict), now: *now };
        let fault = verdict.result.as_ref().err();
        reports.push(Report {
            domain: verdict.domain.as_ref().map(ToString::to_string),
            selector: verdict.selector.as_ref().map(ToString::to_string),
            result: if fault.is_some() { "fail" } else { "pass" },
            fault: fault.map(name),
            text: fault.map(|fault| report::chain(fault)),
            diagnosis: diagnose(&case, &verdict.result),
        });
    }
    let further = header.count(signature::NAME).saturating_sub(MOST);
    if further > 0 {
        let message =
            format!("{further} further signatures are not verified, only the first {MOST}");
        reports.push(Report {
            result: "fail",
            fault: Some("too-many"),
            text: Some(message),
            ..Report::default()
        });
    }
    reports
}

fn name(fault: &Fault) -> &'static str {
    match fault {
        Fault::Signature(_) => "signature",
        Fault::NoKey => "no-key",
        Fault::LookupFailed(_) => "lookup",
        Fault::Record(_) => "record",
        Fault::OtherKeyType => "key-type",
        Fault::Expired => "expired",
        Fault::Subdomain => "subdomain",
        Fault::BodyTooShort => "body-too-short",
        Fault::Body => "body",
        Fault::Header => "header",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::{RecordError, SignatureError};

    #[test]
    fn scripts_find_each_fault_under_the_same_name() {
        let faults = [
            Fault::Signature(SignatureError::Algorithm),
            Fault::NoKey,
            Fault::LookupFailed(String::new()),
            Fault::Record(RecordError::Revoked),
            Fault::OtherKeyType,
            Fault::Expired,
            Fault::Subdomain,
            Fault::BodyTooShort,
            Fault::Body,
            Fault::Header,
        ];
        let wanted = "signature no-key lookup record key-type expired subdomain body-too-short \
            body header";
        assert_eq!(faults.each_ref().map(name).join(" "), wanted);
    }
}
