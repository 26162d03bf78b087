//! `dkimctl doctor`: what on this host would break signatures or lose mail, and what to do about it.
//! Looks, and changes nothing.

use std::path::Path;
use std::process::ExitCode;

use nix::unistd::geteuid;

use super::checks::configuration::Configuration;
use super::checks::finding::{Finding, Severity};
use super::checks::{install, keys, log, php, settings, signatures, units};
use super::cli::{Args, JSON, Opt};
use super::output::Failure;
use super::postconf::Postfix;

pub(super) const OPTIONS: &[Opt] = &[Opt("--offline", "do not query DNS"), JSON];

pub(super) const HELP: &str = "\
usage: dkimctl doctor [OPTION...]

Find what breaks signatures or loses mail on this host.

Checks the wrapper and whether it is the active sendmail, the configuration and
the keys, the settings of Postfix, the units of services that send mail, and
PHP. Then signs a trial message for each domain. Each finding has its evidence
and a remedy. Changes nothing. Only root can run it.

Exits with 0 if there are only remarks, 1 for warnings, 2 for errors.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if !geteuid().is_root() {
        return Err(Failure::permission("only root can look at the keys and at all of Postfix"));
    }
    let findings = findings(&args.etc, args.has("--offline"));
    let worst = findings.iter().map(|finding| finding.severity).max();
    args.print(&findings, &text(&findings))?;
    Ok(match worst {
        None | Some(Severity::Info) => ExitCode::SUCCESS,
        Some(Severity::Warning) => ExitCode::from(1),
        Some(Severity::Error) => ExitCode::from(2),
    })
}

fn findings(etc: &Path, is_offline: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let configuration = Configuration::read(etc, |_| true, &mut findings);
    let keys = keys::findings(etc, &configuration);
    // With errors in those the trial would report the same again.
    let is_broken = findings.iter().chain(&keys).any(Finding::is_error);
    let postfix = Postfix::ask();
    findings.extend(install::findings(configuration.host.as_ref(), postfix.as_ref().ok()));
    match &postfix {
        Ok(postfix) => {
            findings.extend(settings::findings(postfix, &configuration));
        }
        Err(why) => findings.push(Finding::warning(
            "postconf",
            format!("{why}: the settings of Postfix are not known"),
            "install Postfix, or call dkimctl with its postconf in PATH",
        )),
    }
    findings.extend(keys);
    findings.extend(units::findings());
    findings.extend(php::findings());
    findings.extend(log::findings(postfix.as_ref().ok()));
    if !is_offline {
        findings.extend(signatures::published(etc));
    }
    if !is_broken {
        findings.extend(signatures::findings(etc, &configuration));
    }
    // The worst first; what was looked at first stays first among equals.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "ERROR",
        };
        let Finding { check, evidence, remedy, .. } = finding;
        text.push_str(&format!("{word}: {check}\n  {evidence}\n  remedy: {remedy}\n\n"));
    }
    if findings.is_empty() {
        text.push_str("nothing found\n");
    }
    text
}
