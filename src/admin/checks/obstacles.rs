//! Lists what keeps the mail of some domains from being signed on this host, for commands that have just created keys.

use std::fs;
use std::path::Path;

use super::configuration::Configuration;
use super::finding::{Finding, numbered};
use super::{install, keys};
use crate::submission::configuration::FOLDER;

/// Whether an installed wrapper reads this configuration directory.
pub(crate) fn is_installed(etc: &Path) -> bool {
    let folder = Path::new(FOLDER);
    etc == folder || fs::canonicalize(etc).is_ok_and(|etc| etc == folder)
}

/// The steps that are missing according to the files of this host. Checks the domain files that `asked` selects by their names
/// without `.toml`, and their keys. Does not query DNS.
pub(crate) fn missing(etc: &Path, asked: impl Fn(&str) -> bool) -> Vec<Finding> {
    let (configuration, mut findings) = Configuration::read(etc, asked);
    let is_installed = is_installed(etc);
    if is_installed {
        // The group first: commands that give it the keys need it.
        findings.extend(install::obstacles(configuration.host.as_ref()));
    }
    findings.extend(keys::findings(etc, &configuration));
    let mut steps = steps(findings);
    if !is_installed {
        let evidence = format!("an installed sendmail.dkim does not read {}", etc.display());
        let remedy = format!("move the files to {FOLDER}");
        steps.push(Finding::warning("elsewhere", evidence, remedy).about(&etc.display()));
    }
    steps
}

/// A step for each error.
pub(crate) fn steps(findings: Vec<Finding>) -> Vec<Finding> {
    findings.into_iter().filter(Finding::is_error).collect()
}

/// What holds of the domains now, and the steps that are left.
pub(crate) fn so_far(domains: &str, is_signed: bool, steps: &[Finding]) -> String {
    let now = if is_signed {
        format!("sendmail.dkim signs mail From {domains} with the key.")
    } else {
        format!("Mail From {domains} is not signed with the key yet.")
    };
    match steps {
        [] => format!("{now} Nothing is left to do.\n"),
        steps => format!("{now} What is left to do:\n\n{}", numbered(steps)),
    }
}
