//! `dkimctl disable`: makes the mail agent's own sendmail the active one again.

use std::process::ExitCode;

use serde_json::json;

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
    let text = match &active {
        _ if is_active => format!("{done}sendmail.dkim is still the active sendmail.\n"),
        Ok(path) => {
            let path = path.display();
            format!("{path} is the active sendmail; mail is no longer signed.\n")
        }
        Err(why) => format!("There is no active sendmail: {why}\n"),
    };
    let result = json!({"active": is_active, "sendmail": active.ok()});
    args.report(&result, &[], text)?;
    Ok(if is_active { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
