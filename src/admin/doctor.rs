//! `dkimctl doctor`: what on this host would break signatures or lose mail, and what to do about it.
//! Looks, and changes nothing.

use std::path::Path;
use std::process::ExitCode;

use lexopt::Arg;
use nix::unistd::geteuid;

use super::Args;
use super::checks::configuration::Configuration;
use super::checks::finding::{Finding, Severity};
use super::checks::{install, keys, log, php, settings, signatures, units};
use super::output::{Failure, say, say_json};
use super::postconf::Postfix;

pub(super) const HELP: &str = "\
usage: dkimctl doctor [--offline] [--json]

Looks for what would break signatures or lose mail on this host: the wrapper
and whether it is the host's sendmail, configuration and keys, settings of
Postfix, units of services that send mail, PHP; then signs a trial message for
each domain. Each finding has its evidence and a remedy. Changes nothing.

  --offline  asks no DNS
  --json     the findings as JSON

Exits with 0 if there is nothing but remarks, with 1 for warnings, with 2 for
errors.
";

struct Request {
    is_offline: bool,
    is_json: bool,
}

pub(super) fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let request = Request::parse(&mut args)?;
    if !geteuid().is_root() {
        return Err(Failure::permission("only root can look at the keys and at all of Postfix"));
    }
    let findings = findings(&args.etc, &request);
    let worst = findings.iter().map(|finding| finding.severity).max();
    if request.is_json {
        say_json(&findings)?;
    } else {
        say(&text(&findings))?;
    }
    Ok(match worst {
        None | Some(Severity::Info) => ExitCode::SUCCESS,
        Some(Severity::Warning) => ExitCode::from(1),
        Some(Severity::Error) => ExitCode::from(2),
    })
}

impl Request {
    fn parse(args: &mut Args) -> Result<Self, Failure> {
        let mut request = Self { is_offline: false, is_json: false };
        while let Some(arg) = args.parser.next()? {
            match arg {
                Arg::Long("offline") => request.is_offline = true,
                Arg::Long("json") => request.is_json = true,
                Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => {
                    return Err(arg.unexpected().into());
                }
            }
        }
        Ok(request)
    }
}

fn findings(etc: &Path, request: &Request) -> Vec<Finding> {
    let mut findings = Vec::new();
    let configuration = Configuration::read(etc, |_| true, &mut findings);
    let postfix = Postfix::ask();
    findings.extend(install::findings(configuration.host.as_ref(), postfix.as_ref().ok()));
    match &postfix {
        Ok(postfix) => {
            let ours = configuration.ours();
            findings.extend(settings::findings(postfix, &ours));
        }
        Err(why) => findings.push(Finding::warning(
            "postconf",
            format!("{why}: the settings of Postfix are not known"),
            "install Postfix, or call dkimctl with its postconf in PATH",
        )),
    }
    findings.extend(keys::findings(etc, &configuration));
    let broken = |finding: &Finding| {
        finding.severity == Severity::Error
            && ["configuration", "key", "key_rights"].contains(&finding.check)
    };
    // With those the trial would say the same once more.
    let is_broken = findings.iter().any(broken);
    findings.extend(units::findings());
    findings.extend(php::findings());
    findings.extend(log::findings(postfix.as_ref().ok()));
    if !request.is_offline {
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
