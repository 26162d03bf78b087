//! `dkimctl check`: whether configuration, keys and wrapper are in order, for deployment tools.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::json;

use super::checks::configuration::Configuration;
use super::checks::finding::numbered;
use super::checks::{install, keys, obstacles};
use super::cli::{Args, DOMAIN, Opt};
use super::output::{Failure, Text, Tone};
use super::store::domains;
use super::store::keys::KeyFolder;
use crate::dkim::Domain;

pub(super) const OPTIONS: &[Opt] = &[DOMAIN];

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
    let named: BTreeSet<Domain> = args.domains()?.into_iter().collect();
    // A caller without permission gets an error, not findings about keys.
    KeyFolder::chosen(etc, &[])?;
    let has_none = |domain: &&Domain| domains::file(etc, domain).symlink_metadata().is_err();
    if let Some(domain) = named.iter().find(has_none) {
        return Err(Failure::no_domain_file(domain));
    }
    let stems: BTreeSet<&str> = named.iter().map(Domain::as_str).collect();
    let asked = |stem: &str| stems.is_empty() || stems.contains(stem);
    let (configuration, mut findings) = Configuration::read(etc, asked);
    if obstacles::is_installed(etc) {
        findings.extend(install::before_choice(configuration.host.as_ref()));
    }
    findings.extend(keys::findings(etc, &configuration));
    // A host without domains is in order.
    let steps = obstacles::steps(findings.clone());
    let count = configuration.files.len();
    let text = match steps.as_slice() {
        [] => {
            let files = if count == 1 { "file with its" } else { "files with their" };
            let text = format!("{count} domain {files} keys and all permissions: in order");
            let mut text = Text::toned(Tone::Good, &text);
            text.push("\n");
            text
        }
        steps => numbered(steps).into(),
    };
    let result = json!({"in_order": steps.is_empty(), "domain_files": count});
    args.report(&result, &findings, text)?;
    Ok(if steps.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
