//! Checks that each key in a domain file exists, is valid, and can be read only by the wrapper's group.

use std::collections::BTreeSet;
use std::path::Path;

use super::configuration::Configuration;
use super::finding::{Finding, Fix, Severity};
use crate::admin::output::Progress;
use crate::admin::parallel;
use crate::admin::store::Readers;
use crate::admin::store::domains::{self, DomainConfig};
use crate::admin::store::keys::{KeyFiles, KeyFolder, RSA_BITS, is_weak};
use crate::admin::store::rights::{Step, Tree, Wrong};
use crate::admin::store::{gone, waiting};
use crate::config::OnMissingRecord;
use crate::dkim::{Domain, Selector};

pub(crate) fn findings(etc: &Path, configuration: &Configuration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let keys = etc.join("keys");
    let tree = Tree::new(&keys);
    findings.extend(all(&tree));
    let named = configuration.files.iter().flat_map(|config| &config.file.signing.also_sign_as);
    let named: BTreeSet<&Domain> = named.collect();
    findings.extend(also_sign_as(etc, &configuration.files, &named));
    let folders: BTreeSet<&str> = configuration.files.iter().map(DomainConfig::folder).collect();
    findings.extend(folders.iter().filter_map(|name| folder(&tree, name)));
    let of_file = |config: &DomainConfig| {
        // The keys of a domain that is exempt only sign mail of other domains.
        if is_exempt(config) && !config.domain().is_some_and(|domain| named.contains(domain)) {
            return Vec::new();
        }
        let folder = keys.join(config.folder());
        let key = |selector| key(&tree, &folder, selector, config, Proof::Whole);
        config.selectors().into_iter().flat_map(key).collect::<Vec<_>>()
    };
    let files = &configuration.files;
    let progress = Progress::of("domains with their keys checked");
    findings.extend(parallel::all(files, parallel::cores(), progress, of_file).concat());
    findings
}

/// Reports domains with keys but without a domain file: a purge removes the files but keeps the keys.
pub(crate) fn unused(etc: &Path, configuration: &Configuration) -> Vec<Finding> {
    let used: BTreeSet<&str> = configuration.files.iter().map(DomainConfig::folder).collect();
    let folders = KeyFolder::chosen(etc, &[]).unwrap_or_default();
    let unused = folders.iter().filter(|folder| {
        let file = domains::file(etc, folder.name());
        !used.contains(folder.name())
            && file.symlink_metadata().is_err()
            && !waiting::path(etc, &folder.domain).exists()
    });
    let finding = |folder: &KeyFolder| {
        let selectors = folder.selectors().ok()?;
        let first =
            selectors.iter().find(|one| folder.key(one).private.symlink_metadata().is_ok())?;
        let domain = &folder.domain;
        Some(Finding::new(
            Severity::Info,
            "unused_keys",
            format!("{} has keys, but no domain file names them", folder.path.display()),
            format!("dkimctl use {domain} {first}, or dkimctl remove {domain} --wipe"),
        ))
    };
    unused.filter_map(finding).collect()
}

/// Whether no user may sign for the domain.
fn is_exempt(config: &DomainConfig) -> bool {
    config.file.users.as_ref().is_some_and(Vec::is_empty) && config.file.groups.is_none()
}

/// Checks the permissions of the directory of all keys.
pub(crate) fn all(tree: &Tree<'_>) -> Option<Finding> {
    wrong_rights(&tree.folder(tree.keys)?)
}

/// Checks the permissions of the directory of a domain's keys.
pub(crate) fn folder(tree: &Tree<'_>, name: &str) -> Option<Finding> {
    wrong_rights(&tree.folder(&tree.keys.join(name))?)
}

/// Checks that each domain named in `also_sign_as` has its own domain file with its own keys.
fn also_sign_as(etc: &Path, files: &[DomainConfig], named: &BTreeSet<&Domain>) -> Vec<Finding> {
    let with_keys = files.iter().filter(|config| !config.file.selectors.is_empty());
    let own = with_keys.filter(|config| config.name.as_ref() == config.domain());
    let usable: BTreeSet<&Domain> = own.filter_map(DomainConfig::domain).collect();
    let found = named.difference(&usable).map(|domain| {
        let file = domains::file(etc, domain);
        Finding::error(
            "also_sign_as",
            format!(
                "{domain} is listed in also_sign_as, but {} names no keys of it",
                file.display()
            ),
            format!("dkimctl add {domain}, or remove it from `also_sign_as`"),
        )
    });
    found.collect()
}

/// The consequence of a key that cannot be used.
fn lost(config: &DomainConfig) -> &'static str {
    if config.selectors().len() > 1 && !config.file.signing.strict_selectors {
        "mail is not signed with this key"
    } else {
        "the domain is not signed"
    }
}

/// How much of a key is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Only that its public half can be read.
    Public,
    /// That all its numbers belong together. This is slow for thousands of RSA keys.
    Whole,
}

/// What is wrong with the permissions of a component of a key's path.
pub(crate) fn wrong_rights(step: &Step) -> Option<Finding> {
    let finding = Finding::error("key_rights", step.fault()?, step.remedy());
    let fix = step.is_owned.then(|| Fix::Rights(step.path.clone(), Readers::Group));
    Some(finding.about(&step.path.display()).fixed_by(fix))
}

/// Checks a key that a domain file names.
pub(crate) fn key(
    tree: &Tree<'_>,
    folder: &Path,
    selector: &Selector,
    config: &DomainConfig,
    proof: Proof,
) -> Vec<Finding> {
    let files = KeyFiles::within(folder, selector);
    let shown = files.private.display();
    let Some(found) = tree.key(&files.private) else {
        let remedy = match files.record.symlink_metadata() {
            // Never suggest a new key with the same name: the old record may still be in a cache.
            Ok(_) => format!("restore the key from a backup; or {}", replace(config)),
            Err(_) => match config.domain() {
                Some(domain) if config.file.keys.is_none() => {
                    format!("dkimctl add {domain} -s {selector}, or remove it from `selectors`")
                }
                Some(_) | None => "copy the key there, or remove it from `selectors`".to_owned(),
            },
        };
        let evidence = format!("{shown} does not exist: {}", lost(config));
        return vec![Finding::error("key", evidence, remedy)];
    };
    let mut findings: Vec<Finding> = wrong_rights(&found).into_iter().collect();
    if found.wrong == Some(Wrong::Kind) {
        return findings;
    }
    match files.size(config.file.signing.minimum_key_bits, proof == Proof::Whole) {
        Ok((algorithm, bits)) if is_weak(algorithm, bits) => findings.push(Finding::warning(
            "key_size",
            format!("{shown} has {bits} bits; receivers expect {RSA_BITS}"),
            replace(config),
        )),
        Ok(_) => {}
        Err(error) => findings.push(Finding::error(
            "key",
            format!("{shown}: {error}: {}", lost(config)),
            replace(config),
        )),
    }
    if let Some(domain) = config.domain().filter(|_| is_gone(config, selector)) {
        let name = selector.record_name(domain);
        findings.push(Finding::error(
            "record_gone",
            format!(
                "no server has {name}, so the key does not sign (on_missing_record = \"skip\")"
            ),
            format!("publish the record (dkimctl record {domain}), then dkimctl watch"),
        ));
    }
    findings
}

/// Whether a key does not sign because `dkimctl watch` found its record gone.
pub(crate) fn is_gone(config: &DomainConfig, selector: &Selector) -> bool {
    config.file.signing.on_missing_record == OnMissingRecord::Skip
        && gone::read(&config.path).contains(selector)
}

/// How to replace a key that no longer signs, or should not.
fn replace(config: &DomainConfig) -> String {
    match config.domain() {
        Some(domain) => format!(
            "dkimctl add {domain}; publish the record that it prints; then dkimctl use {domain} with the \
             selector of the new key"
        ),
        None => {
            "create a key with another selector, publish it, then add it to `selectors`".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::admin::temporary::Temporary;
    use crate::config::Host;

    #[test]
    fn a_key_whose_record_is_gone_does_not_sign_if_the_settings_say_so() {
        let folder = Temporary::new("checks-gone").unwrap();
        let path = folder.path.join("x.test.toml");
        fs::write(path.with_extension("gone"), "s1\n").unwrap();
        for (host, own, expected) in [
            ("", "", false),
            ("", "on_missing_record = \"skip\"", true),
            ("on_missing_record = \"skip\"", "", true),
            ("on_missing_record = \"skip\"", "on_missing_record = \"sign\"", false),
        ] {
            let host = Host::parse(&format!("sendmail = \"/x\"\n{host}")).unwrap();
            let text = format!("selectors = [\"s1\", \"s2\"]\n{own}");
            let config = DomainConfig::parse(&path, text, &host.signing).unwrap();
            let found = ["s1", "s2"].map(|one| is_gone(&config, &Selector::parse(one).unwrap()));
            assert_eq!(found, [expected, false], "{own}");
        }
    }

    #[test]
    fn keys_are_unused_if_no_file_could_name_them() {
        let etc = Temporary::new("checks-unused").unwrap();
        for folder in
            ["domains", "keys/own.test", "keys/wiped.test", "keys/waits.test", "keys/broken.test"]
        {
            fs::create_dir_all(etc.path.join(folder)).unwrap();
        }
        for file in [
            "keys/own.test/s1.txt",
            "keys/own.test/s2.private",
            // Of a wiped key the record is kept.
            "keys/wiped.test/s1.txt",
            "keys/waits.test/s1.private",
            "domains/waits.test.waiting",
            "keys/broken.test/s1.private",
            "domains/broken.test.toml",
        ] {
            fs::write(etc.path.join(file), "selectors = 1\n").unwrap();
        }
        let found = unused(&etc.path, &Configuration::default());
        let remedies: Vec<&str> = found.iter().map(|one| one.remedy.as_str()).collect();
        assert_eq!(remedies, ["dkimctl use own.test s2, or dkimctl remove own.test --wipe"]);
    }
}
