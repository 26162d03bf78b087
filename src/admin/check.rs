//! `dkimctl check`: whether configuration, keys and wrapper are in order, for deployment tools.

use std::collections::BTreeSet;
use std::process::ExitCode;

use super::checks::configuration::Configuration;
use super::checks::finding::Finding;
use super::checks::obstacles::{self, Missing};
use super::checks::{install, keys};
use super::cli::{Args, DOMAIN, JSON, Opt};
use super::output::Failure;
use super::store::keys::KeyFolder;

pub(super) const OPTIONS: &[Opt] = &[DOMAIN, JSON];

pub(super) const HELP: &str = "\
usage: dkimctl check [OPTION...] [DOMAIN...]

Check the configuration, the keys and their permissions.

Checks config.toml, the domain files and the keys of all domains, or of
DOMAIN..., the wrapper and the real sendmail: all that must be in order before
sendmail.dkim is made the active sendmail. Does not query DNS, and does not look
at Postfix; `dkimctl doctor` does.

Exits with 0 if all is in order, 1 if not, 77 if the caller may not read the
keys.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let etc = args.etc.as_path();
    let domains: BTreeSet<String> = args.domains()?.iter().map(ToString::to_string).collect();
    // The keys of a caller who may not look are not wrong.
    KeyFolder::chosen(etc, &[])?;
    for domain in &domains {
        if etc.join("domains").join(format!("{domain}.toml")).symlink_metadata().is_err() {
            return Err(Failure::missing(format_args!(
                "no domain file of {domain}: dkimctl add {domain}"
            )));
        }
    }
    let mut findings = Vec::new();
    let asked = |stem: &str| domains.is_empty() || domains.contains(stem);
    let configuration = Configuration::read(etc, asked, &mut findings);
    findings.extend(keys::findings(etc, &configuration));
    if obstacles::is_installed(etc) {
        findings.extend(install::before_choice(configuration.host.as_ref()));
    }
    // Of a host without domains nothing is wrong.
    let steps = obstacles::steps(findings.iter().filter(|one| one.is_error()).cloned().collect());
    let count = configuration.files.len();
    let text = match steps.as_slice() {
        [] => format!("{count} domain files, their keys and all permissions are in order\n"),
        steps => Missing::list(steps),
    };
    if !steps.is_empty() && args.is_quiet() && !args.has("--json") {
        super::output::say(&text)?;
    }
    let findings: Vec<&Finding> = findings.iter().collect();
    args.print(&findings, &text)?;
    Ok(if steps.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
