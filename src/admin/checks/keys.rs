//! The key tree: each key that a domain file names is there, sound, and for the wrapper's group alone.

use std::path::Path;

use super::configuration::{Configuration, Signer};
use super::finding::Finding;
use crate::admin::input;
use crate::admin::store::rights::{self, Step};
use crate::dkim::{Algorithm, Selector, SigningKey};
use crate::report;

pub(crate) fn findings(etc: &Path, configuration: &Configuration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tree = etc.join("keys");
    findings.extend(rights::folder(&tree, &tree).and_then(step));
    let mut seen = Vec::new();
    for signer in &configuration.files {
        let name = signer.folder();
        let folder = tree.join(&name);
        if !seen.contains(&name) {
            findings.extend(rights::folder(&folder, &tree).and_then(step));
            seen.push(name);
        }
        // Nobody signs by a file that exempts its domain.
        if signer.file.users.as_ref().is_some_and(Vec::is_empty) && signer.file.groups.is_none() {
            continue;
        }
        for selector in signer.selectors() {
            findings.extend(key(&tree, &folder, selector, signer));
        }
    }
    findings
}

fn step(step: Step) -> Option<Finding> {
    let wanted = step.wanted?;
    let evidence = format!("{}; expected {wanted}", step.shown);
    Some(Finding::error("key_rights", evidence, step.remedy))
}

fn key(tree: &Path, folder: &Path, selector: &Selector, signer: &Signer) -> Vec<Finding> {
    let path = folder.join(format!("{selector}.private"));
    let shown = path.display();
    let Some(found) = rights::key(&path, tree) else {
        let name = signer.name.as_ref().map_or("DOMAIN", |name| name.as_str());
        return vec![Finding::error(
            "key",
            format!("{shown} is not there: the domain is not signed"),
            format!("dkimctl genkey -d {name} -s {selector}, or take it out of `selectors`"),
        )];
    };
    let mut findings: Vec<Finding> = step(found).into_iter().collect();
    let pem = input::key(&path).unwrap_or_default();
    match SigningKey::from_pem(&*pem, signer.file.signing.minimum_key_bits) {
        Ok(key) => {
            let bits = key.bits();
            if key.algorithm() == Algorithm::RsaSha256 && bits < 2048 {
                findings.push(Finding::warning(
                    "key_size",
                    format!("{shown} has {bits} bits; receivers ask for 2048"),
                    "dkimctl genkey with a new selector; publish it, then name it in `selectors`",
                ));
            }
        }
        Err(error) => findings.push(Finding::error(
            "key",
            format!("{shown}: {}: the domain is not signed", report::chain(&error)),
            "dkimctl genkey with a new selector",
        )),
    }
    findings
}
