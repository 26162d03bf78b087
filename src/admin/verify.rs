//! `dkimctl verify`: all signatures of a message, against records from the DNS or from files.

mod body;
mod decode;
mod diagnose;
mod encoding;
mod finding;
mod header;
mod header_edits;
mod signer;

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::{Arg, ValueExt as _};
use serde::Serialize;

use super::Args;
use super::dns::Dns;
use super::input;
use super::output::{Failure, say, say_json};
use super::signatures::{Source, Verified, line};
use crate::dkim::verify::MOST;
use crate::dkim::{Fault, Record, Verdict, signature};
use crate::report;
use diagnose::{Case, diagnose};
use finding::Suspect;

pub(super) const HELP: &str = "\
usage: dkimctl verify [--server ADDR[:PORT] | --keys DIR | --record FILE]
                      [--json] [MESSAGE]

Verifies the signatures of a message, up to 100 of them. The message comes
from a file or stdin, its lines ending in LF or CRLF. One line for each
signature; a failure says at which step.
Then changes that hops are known for are undone, one after the other: where
the signature fits then, it is named what was changed on the way.

  --server ADDR[:PORT]  ask this DNS server, not those of /etc/resolv.conf
  --keys DIR            no DNS: records from DIR/DOMAIN/SELECTOR.txt, or else
                        the public half of SELECTOR.private
  --record FILE         no DNS: one record for all, as genkey writes it, or
                        bare (v=DKIM1; ...)
  --json                the same for a script

Exits with 0 if there is a signature and all verify; 1 if there is none or one
does not verify; 69 if the DNS did not answer, and all others verify.
";

/// What the command line asks for.
struct Request {
    source: Source,
    json: bool,
    message: Option<PathBuf>,
}

/// What there is to say of one signature.
#[derive(Debug, Serialize)]
struct Told {
    domain: Option<String>,
    selector: Option<String>,
    result: &'static str,
    /// A name for the step that failed, which stays.
    fault: Option<&'static str>,
    message: Option<String>,
    findings: Vec<Suspect>,
}

pub(super) fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let request = Request::parse(&mut args)?;
    let message = input::message(request.message.as_deref())?;
    let verified = request.source.verify(&message).map_err(Failure::data)?;
    let (verdicts, told) = (&verified.verdicts, explain(&verified));
    if request.json {
        say_json(&told)?;
    } else {
        say(&text(verdicts, &told))?;
    }
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

impl Request {
    fn parse(args: &mut Args) -> Result<Self, Failure> {
        let (mut source, mut message, mut json) = (None, None, false);
        while let Some(arg) = args.parser.next()? {
            let given = match arg {
                Arg::Long("server") => {
                    let server = args.parser.value()?.string()?;
                    Source::Dns(Dns::asked_for(Some(&server))?)
                }
                Arg::Long("keys") => Source::Keys(args.parser.value()?.into()),
                Arg::Long("record") => {
                    let file = PathBuf::from(args.parser.value()?);
                    let text = input::argument(&file, input::CONFIGURATION)
                        .map_err(|error| Failure::reading(&file, &error))?;
                    Source::Record(Record::text_in(&text))
                }
                Arg::Long("json") => {
                    json = true;
                    continue;
                }
                Arg::Value(value) if message.is_none() => {
                    message = Some(PathBuf::from(value));
                    continue;
                }
                Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => {
                    return Err(arg.unexpected().into());
                }
            };
            if source.replace(given).is_some() {
                return Err(Failure::usage("--server, --keys and --record exclude one another"));
            }
        }
        let source = match source {
            Some(source) => source,
            None => Source::Dns(Dns::asked_for(None)?),
        };
        Ok(Self { source, json, message })
    }
}

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

    fn of(verdict: &Verdict, findings: Vec<Suspect>) -> Self {
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
