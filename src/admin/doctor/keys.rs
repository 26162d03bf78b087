//! The key tree: each key that a domain file names is there, sound, and for the wrapper's group alone.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::Group;

use super::Finding;
use super::configuration::{Configuration, Signer};
use super::install::GROUP;
use crate::dkim::{Algorithm, Selector, SigningKey};
use crate::report;

pub(super) fn findings(etc: &Path, configuration: &Configuration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tree = etc.join("keys");
    findings.extend(folder(&tree));
    let mut seen = Vec::new();
    for signer in &configuration.files {
        let name = signer.folder();
        let path = tree.join(&name);
        if !seen.contains(&name) {
            findings.extend(folder(&path));
            seen.push(name);
        }
        for selector in signer.selectors() {
            findings.extend(key(&tree, &path, selector, signer));
        }
    }
    findings
}

fn gid() -> Option<u32> {
    Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw())
}

/// The wrapper's group gets in, others do not.
fn folder(path: &Path) -> Option<Finding> {
    let shown = path.display();
    let found = match fs::symlink_metadata(path) {
        // What is missing below is told of each key.
        Err(_) => return None,
        Ok(found) => found,
    };
    let mode = found.mode() & 0o7777;
    let is_ours = Some(found.gid()) == gid() && mode & 0o010 != 0;
    if found.is_dir() && is_ours && mode & 0o027 == 0 && found.uid() == 0 {
        return None;
    }
    let (uid, gid) = (found.uid(), found.gid());
    Some(Finding::error(
        "key_rights",
        format!("{shown} is of {uid}:{gid} with mode {mode:03o}; wanted root:{GROUP}, 750"),
        format!("chown root:{GROUP} {shown}; chmod 750 {shown}"),
    ))
}

fn key(tree: &Path, folder: &Path, selector: &Selector, signer: &Signer) -> Vec<Finding> {
    let path = folder.join(format!("{selector}.private"));
    let shown = path.display();
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(error) => {
            let name = signer.name.as_ref().map_or("DOMAIN", |name| name.as_str());
            return vec![Finding::error(
                "key",
                format!("{shown}: {error}: the domain is not signed"),
                format!("dkimctl genkey -d {name} -s {selector}, or take it out of `selectors`"),
            )];
        }
    };
    let mut findings = Vec::new();
    let mode = found.mode() & 0o7777;
    let owners = [0, fs::metadata(tree).map_or(0, |found| found.uid())];
    let is_readable = Some(found.gid()) == gid() && mode & 0o040 != 0;
    if !found.is_file() || !is_readable || mode & 0o026 != 0 || !owners.contains(&found.uid()) {
        findings.push(Finding::error(
            "key_rights",
            format!(
                "{shown} is of {}:{} with mode {mode:03o}; wanted a file, root:{GROUP}, 640",
                found.uid(),
                found.gid()
            ),
            format!("chown root:{GROUP} {shown}; chmod 640 {shown}"),
        ));
    }
    let pem = fs::read(&path).map(zeroize::Zeroizing::new).unwrap_or_default();
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
