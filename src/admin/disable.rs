//! `dkimctl disable`: makes the mail agent's own sendmail the active one again.

use std::process::ExitCode;

use serde_json::json;

use super::checks::finding::{Finding, numbered};
use super::checks::install;
use super::cli::{Args, Opt};
use super::output::Failure;
use super::register::register;

pub(super) const OPTIONS: &[Opt] = &[];

pub(super) const HELP: &str = "\
usage: dkimctl disable [OPTION...]

Make the real sendmail the active sendmail again.

Mail is not signed from then on. sendmail.dkim stays registered with
alternatives(8), and keys and configuration stay: `dkimctl enable` goes back.

Exits with 0 if the real sendmail is the active sendmail now, 1 if not.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let done = register(&["theirs"])?;
    let is_active = install::is_active();
    let active = install::active();
    let wrong = match &active {
        _ if is_active => Some("sendmail.dkim is still the active sendmail".to_owned()),
        Ok(_) => None,
        Err(why) => Some(format!("there is no active sendmail: {why}")),
    };
    let remedy = "correct what /usr/libexec/sendmail-dkim/status shows, then: dkimctl disable";
    let wrong = wrong.map(|evidence| Finding::error("active", evidence, remedy));
    let text = match &active {
        Ok(path) if wrong.is_none() => {
            format!("{} is the active sendmail; mail is no longer signed.\n", path.display())
        }
        _ => format!("{done}{}", numbered(&wrong)),
    };
    let findings: Vec<Finding> = wrong.into_iter().collect();
    let result = json!({"active": is_active, "sendmail": active.ok()});
    args.report(&result, &findings, text)?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
