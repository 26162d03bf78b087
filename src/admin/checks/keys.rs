//! The key tree: each key that a domain file names is there, sound, and for the wrapper's group alone.

use std::path::Path;

use super::configuration::Configuration;
use super::finding::Finding;
use crate::admin::store::domains::DomainConfig;
use crate::admin::store::keys::{KeyFiles, RSA_BITS, is_weak};
use crate::admin::store::rights::{self, Step};
use crate::dkim::Selector;

pub(crate) fn findings(etc: &Path, configuration: &Configuration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tree = etc.join("keys");
    findings.extend(rights::folder(&tree, &tree).and_then(step));
    let mut seen = Vec::new();
    for config in &configuration.files {
        let name = config.folder();
        let folder = tree.join(name);
        if !seen.contains(&name) {
            findings.extend(rights::folder(&folder, &tree).and_then(step));
            seen.push(name);
        }
        // No user signs by a file that exempts its domain.
        if config.file.users.as_ref().is_some_and(Vec::is_empty) && config.file.groups.is_none() {
            continue;
        }
        for selector in config.selectors() {
            findings.extend(key(&tree, &folder, selector, config));
        }
    }
    findings
}

fn step(step: Step) -> Option<Finding> {
    let wanted = step.wanted?;
    let evidence = format!("{}; expected {wanted}", step.shown);
    Some(Finding::error("key_rights", evidence, step.remedy))
}

fn key(tree: &Path, folder: &Path, selector: &Selector, config: &DomainConfig) -> Vec<Finding> {
    let files = KeyFiles::within(folder, selector);
    let shown = files.private.display();
    let Some(found) = rights::key(&files.private, tree) else {
        let name = config.name.as_ref().map_or("DOMAIN", |name| name.as_str());
        return vec![Finding::error(
            "key",
            format!("{shown} is not there: the domain is not signed"),
            format!("dkimctl genkey -d {name} -s {selector}, or take it out of `selectors`"),
        )];
    };
    let mut findings: Vec<Finding> = step(found).into_iter().collect();
    match files.key(config.file.signing.minimum_key_bits) {
        Ok(key) if is_weak(&key) => findings.push(Finding::warning(
            "key_size",
            format!("{shown} has {} bits; receivers ask for {RSA_BITS}", key.bits()),
            "dkimctl genkey with a new selector; publish it, then name it in `selectors`",
        )),
        Ok(_) => {}
        Err(error) => findings.push(Finding::error(
            "key",
            format!("{shown}: {error}: the domain is not signed"),
            "dkimctl genkey with a new selector",
        )),
    }
    findings
}
