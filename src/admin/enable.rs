//! `dkimctl enable`: makes sendmail.dkim the active sendmail.

use std::process::ExitCode;

use serde_json::json;

use super::checks::configuration::Configuration;
use super::checks::finding::{Finding, numbered};
use super::checks::install;
use super::checks::obstacles::{missing, steps};
use super::cli::{Args, Opt};
use super::output::Failure;
use super::register::register;
use super::store::{domains, waiting};

pub(super) const OPTIONS: &[Opt] = &[];

pub(super) const HELP: &str = "\
usage: dkimctl enable [OPTION...]

Make sendmail.dkim the active sendmail of this host.

Registers sendmail.dkim with alternatives(8), by a diversion on Debian, and
chooses it: programs that call sendmail(1) get their mail signed from then on.
Refuses to do so if the real sendmail is missing or config.toml cannot be used,
since no mail would be accepted or signed. Then prints what is still missing
before mail is signed. `dkimctl disable` goes back.

Exits with 0 if sendmail.dkim is the active sendmail now, 1 if not.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut done = register(&[])?;
    let (configuration, mut findings) = Configuration::read(&args.etc, |_| false);
    findings.extend(install::before_choice(configuration.host.as_ref()));
    let obstacles = steps(findings);
    if !obstacles.is_empty() {
        let text = format!(
            "sendmail.dkim was not activated, because no mail would be signed. Required steps:\n\n{}",
            numbered(&obstacles)
        );
        let result = json!({"active": false, "sendmail": install::active().ok()});
        args.report(&result, &obstacles, text)?;
        return Ok(ExitCode::FAILURE);
    }
    done.push_str(&register(&["ours"])?);
    let left = missing(&args.etc, |_| true);
    let is_active = !install::obstacles(configuration.host.as_ref()).iter().any(Finding::is_error);
    let mut text = if is_active {
        format!(
            "sendmail.dkim is the active sendmail; the real sendmail is {}.\n",
            configuration.host.map(|host| host.sendmail.display().to_string()).unwrap_or_default()
        )
    } else {
        format!("{done}sendmail.dkim is not the active sendmail.\n")
    };
    if left.is_empty() && domains::paths(&args.etc)?.is_empty() {
        text.push_str(&format!("{}\n", waiting::no_domains(&args.etc)));
    } else if left.is_empty() {
        text.push_str("Mail From the domains of `dkimctl list` is signed.\n");
    } else {
        text.push_str(&format!(
            "\nRequired steps before all mail is signed:\n\n{}",
            numbered(&left)
        ));
    }
    let result = json!({"active": is_active, "sendmail": install::active().ok()});
    args.report(&result, &left, text)?;
    Ok(if is_active { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
