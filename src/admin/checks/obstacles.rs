//! Lists what keeps the mail of some domains from being signed on this host, for commands that have just created keys.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::configuration::Configuration;
use super::finding::Finding;
use super::{install, keys};
use crate::dkim::Domain;
use crate::submission::configuration::FOLDER;

/// A step that is required before mail is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    /// What to do.
    pub(crate) remedy: String,
    /// Why the step is required.
    pub(crate) evidence: String,
}

impl From<Finding> for Missing {
    fn from(Finding { remedy, evidence, .. }: Finding) -> Self {
        Self { remedy, evidence }
    }
}

impl Missing {
    pub(crate) fn new(remedy: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), evidence: evidence.into() }
    }

    /// The step for a key whose record `name` is not in DNS. `day` is the last day on which it was there.
    pub(crate) fn record(name: &str, domain: &Domain, day: Option<&str>) -> Self {
        let evidence = match day {
            Some(day) => format!("{name} is no longer in DNS; it was last seen on {day}"),
            None => format!("{name} was not found in DNS yet"),
        };
        let remedy =
            format!("publish the record (dkimctl record {domain}), then dkimctl testkey {domain}");
        Self { remedy, evidence }
    }

    /// The numbered steps, with the reason below each one.
    pub(crate) fn list(steps: &[Self]) -> String {
        let lines = steps.iter().zip(1..).map(|(Self { remedy, evidence }, number)| {
            format!("{number:>3}. {remedy}\n     ({evidence})\n")
        });
        lines.collect()
    }
}

/// Whether an installed wrapper reads this configuration directory.
pub(crate) fn is_installed(etc: &Path) -> bool {
    fs::canonicalize(etc).is_ok_and(|etc| etc == Path::new(FOLDER))
}

/// The steps that are missing according to the files of this host. Checks the domain files that `asked` selects by their names
/// without `.toml`, and their keys. Does not query DNS.
pub(crate) fn missing(etc: &Path, asked: impl Fn(&str) -> bool) -> Vec<Missing> {
    let mut findings = Vec::new();
    let configuration = Configuration::read(etc, asked, &mut findings);
    findings.extend(keys::findings(etc, &configuration));
    if is_installed(etc) {
        findings.extend(install::obstacles(configuration.host.as_ref()));
        return steps(findings);
    }
    let elsewhere = Missing::new(
        format!("move the files to {FOLDER}"),
        format!("an installed sendmail.dkim does not read {}", etc.display()),
    );
    [steps(findings), vec![elsewhere]].concat()
}

/// A step for each error.
pub(crate) fn steps(findings: Vec<Finding>) -> Vec<Missing> {
    findings.into_iter().filter(Finding::is_error).map(Missing::from).collect()
}
