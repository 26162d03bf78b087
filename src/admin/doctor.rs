//! `dkimctl doctor`: finds what would break signatures or lose mail on this host, and what to do about it. Changes nothing
//! without --fix.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use nix::unistd::geteuid;
use serde::Serialize;

use super::checks::configuration::Configuration;
use super::checks::finding::{Finding, Fix, Severity};
use super::checks::{install, keys, log, php, settings, signatures, smtp, units};
use super::cli::{Args, Opt};
use super::output::{Failure, Text, Tone, say};
use super::postconf::Postfix;
use super::program::output;
use super::register::register;
use super::store::Store;

pub(super) const OPTIONS: &[Opt] = &[
    Opt("--offline", "do not query DNS"),
    Opt("--fix", "carry out the remedies that are safe, and check again"),
    Opt("--yes", "with --fix, change settings of Postfix and services, too"),
];

pub(super) const HELP: &str = "\
usage: dkimctl doctor [OPTION...]

Find what breaks signatures or loses mail on this host.

Checks the wrapper and whether it is the active sendmail, the configuration and
the keys, the settings of Postfix and its content filter, the units of services
that send mail, and PHP. Then signs a trial message for each domain. Each
finding has its evidence and a remedy. Changes nothing without --fix. Only root
can run it.

Exits with 0 if there are only remarks, 1 for warnings, 2 for errors.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if !geteuid().is_root() {
        return Err(Failure::permission(
            "only root can check the keys and all settings of Postfix",
        ));
    }
    let is_offline = args.has("--offline");
    let mut findings = findings(&args.etc, is_offline);
    // Fixing one problem may reveal another one.
    let mut tried = BTreeSet::new();
    while args.has("--fix") && fix(args, &findings, &mut tried)? {
        findings = self::findings(&args.etc, is_offline);
    }
    let worst = findings.iter().map(|finding| finding.severity).max();
    args.report(&Counts::of(&findings), &findings, text(&findings))?;
    Ok(match worst {
        None | Some(Severity::Info) => ExitCode::SUCCESS,
        Some(Severity::Warning) => ExitCode::from(1),
        Some(Severity::Error) => ExitCode::from(2),
    })
}

/// Carries out remedies that were not tried yet, and prints each one first. Returns false if there was none.
fn fix(args: &Args, findings: &[Finding], tried: &mut BTreeSet<String>) -> Result<bool, Failure> {
    let mut is_done = false;
    let tell = |text: &str| if args.is_json() { Ok(()) } else { say(text).map(drop) };
    for finding in findings {
        let Some(fix) = &finding.fix else { continue };
        if !tried.insert(finding.evidence.clone()) {
            continue;
        }
        let command = match fix {
            Fix::Rights(..) | Fix::Command => &finding.remedy,
            Fix::Postfix(command) => command,
            Fix::Enable => "dkimctl enable",
        };
        if matches!(fix, Fix::Postfix(_)) && !args.has("--yes") {
            tell(&format!("not done without --yes: {command}\n"))?;
            continue;
        }
        tell(&format!("{command}\n"))?;
        let done = match fix {
            Fix::Rights(path, readers) => Store::repair(&args.etc, path, *readers),
            Fix::Command | Fix::Postfix(_) => {
                output("/bin/sh", &["-c", command]).map(drop).map_err(Failure::system)
            }
            Fix::Enable => register(&["ours"]).map(drop),
        };
        is_done = true;
        if let Err(failure) = done {
            failure.report();
        }
    }
    Ok(is_done)
}

fn findings(etc: &Path, is_offline: bool) -> Vec<Finding> {
    let (configuration, mut findings) = Configuration::read(etc, |_| true);
    let keys = keys::findings(etc, &configuration);
    // With errors in these, the trial would only repeat them.
    let is_broken = findings.iter().chain(&keys).any(Finding::is_error);
    let postfix = Postfix::ask();
    findings.extend(install::findings(configuration.host.as_ref(), postfix.as_ref().ok()));
    match &postfix {
        Ok(postfix) => {
            findings.extend(settings::findings(postfix, &configuration));
            findings.extend(smtp::findings(postfix, &configuration, etc));
        }
        Err(why) => findings.push(Finding::warning(
            "postconf",
            format!("{why}: the settings of Postfix are not known"),
            "install Postfix, or run dkimctl with postconf in PATH",
        )),
    }
    findings.extend(keys);
    findings.extend(keys::unused(etc, &configuration));
    findings.extend(units::findings());
    findings.extend(php::findings());
    findings.extend(log::findings(postfix.as_ref().ok()));
    if !is_offline {
        findings.extend(signatures::published(etc));
    }
    if !is_broken {
        findings.extend(signatures::findings(etc, &configuration));
    }
    // The most severe findings first; the sort is stable.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// How many findings of each kind there are.
#[derive(Serialize)]
struct Counts {
    errors: usize,
    warnings: usize,
    remarks: usize,
}

impl Counts {
    fn of(findings: &[Finding]) -> Self {
        let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
        Self {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            remarks: count(Severity::Info),
        }
    }
}

fn text(findings: &[Finding]) -> Text {
    let mut text = Text::default();
    if findings.is_empty() {
        text.push(Text::toned(Tone::Good, "nothing found"));
        text.push("\n");
        return text;
    }
    for finding in findings {
        let word = match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "ERROR",
        };
        let Finding { code, evidence, remedy, .. } = finding;
        text.push(Text::toned(finding.severity.tone(), word));
        text.push(format!(": {code}\n  {evidence}\n  remedy: {remedy}\n\n"));
    }
    let Counts { errors, warnings, remarks } = Counts::of(findings);
    let count =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let counts = [count(errors, "error"), count(warnings, "warning"), count(remarks, "remark")];
    text.push(format!("{}\n", counts.join(", ")));
    text
}
