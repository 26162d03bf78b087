//! `dkimctl remove`: stops signing for a domain, or with one of its keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::checks::finding::{Finding, numbered};
use super::cli::{Args, DOMAIN, Opt, SELECTOR};
use super::dns::Dns;
use super::format::TxtRecord;
use super::look::{Has, all, others};
use super::output::{Failure, Note};
use super::publisher::Change;
use super::publishing::{Published, Publishing, WAIT, WAITED};
use super::store::domains::{self, DomainConfig, Index};
use super::store::keys::{KeyFolder, REVOKED, revoked_entry};
use super::store::rotation::State;
use super::store::{Readers, Store, waiting};
use crate::dkim::{Domain, Selector};

pub(super) const OPTIONS: &[Opt] = &[
    DOMAIN,
    SELECTOR,
    Opt("--wipe", "overwrite and remove the keys, too"),
    Opt("--unpublish", "remove the records from DNS"),
    Opt("--revoke", "publish records with an empty p= in their place"),
    WAIT,
];

pub(super) const HELP: &str = "\
usage: dkimctl remove [OPTION...] DOMAIN [SELECTOR...]

Stop signing for a domain, or with one of its keys.

Without SELECTOR, removes the domain file: mail From the domain is not signed
any more. With SELECTOR, takes it out of the domain file; the last selector is
refused. Prints the records that revoke the keys, to be published when mail that
they signed has arrived, after a week or so.

With publish in config.toml, the same command with --unpublish removes the
records from DNS, then or later; --revoke publishes the revoking ones at once,
for a key that another user may have. Both wait until every server of the zone
shows the change; after a failure, the next call continues.

The keys are kept, unless --wipe is given; nothing could make them again.
A key that another domain file names is neither wiped nor withdrawn.

Exits with 66 if there is nothing of that name, 69 if a record could not be
changed or DNS still has it, 78 if config.toml does not set publish.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let etc = args.etc.as_path();
    let (domain, named) = args.domain_and_selectors()?;
    let change = Withdrawal::asked_for(args)?;
    let waiting = waiting::path(etc, &domain);
    let config = domains::own(etc, &domain)?;
    let future = waiting::read(etc, &domain)?;
    let folder = KeyFolder::of_own(etc, &domain, config.as_ref().or(future.as_ref()));
    let mut gone = meant(&domain, &named, &folder.selectors()?, config.as_ref(), future.as_ref())?;
    let (is_wiped, file) = (args.has("--wipe"), domains::file(etc, &domain));
    refuse_shared_keys(&domain, &folder, is_wiped)?;
    let others = of_others(etc, &folder, &file)?;
    if is_wiped || change.is_some() {
        refuse_others_keys(&domain, &gone, &others)?;
    }
    if !others.is_empty() {
        // Of the keys of another domain, only those that are named here.
        let own = config.as_ref().map(DomainConfig::selectors).unwrap_or_default();
        gone.retain(|one| !others.contains_key(one) && (named.contains(one) || own.contains(one)));
    }
    let store = Store::open(etc)?;
    let busy = format_args!("another dkimctl is at work on {domain}");
    let is_there = folder.path.is_dir();
    let _lock = is_there.then(|| store.lock(&folder.path, busy)).transpose()?;
    let mut done = Vec::new();
    if named.is_empty() && waiting.symlink_metadata().is_ok() {
        store.remove(&waiting)?;
        let text = format!("{domain} does not wait for its record any more");
        done.push(Note::new("not-waiting", text));
    }
    if let Some(config) = &config {
        done.extend(stop(&store, etc, config, &domain, &named)?);
    }
    let state = State::path(&folder.path);
    let is_own = folder.name() == folder.domain.as_str() && others.is_empty();
    if named.is_empty() && is_own && state.symlink_metadata().is_ok() {
        // A rotation that was in progress is over.
        store.remove(&state)?;
    }
    for selector in gone.iter().filter(|_| is_wiped) {
        wipe(&store, &folder, selector)?;
        done.push(Note::new("wiped", format!("the key {selector} was wiped")));
    }
    let Some(change) = &change else {
        return show(args, &folder, &gone, &done, &[], is_wiped, &file);
    };
    let mut left = Vec::new();
    for selector in &gone {
        let (has, text) = change.make(&folder, selector);
        if has && is_wiped && change.is_removal {
            store.remove(&folder.key(selector).record)?;
        }
        if has {
            done.push(Note::new("withdrawn", text));
        } else {
            let finding = Finding::error("not-withdrawn", text, "run the same command again");
            left.push(finding.about(&selector.record_name(&folder.domain)));
        }
    }
    show(args, &folder, &[], &done, &left, is_wiped, &file)?;
    Ok(if left.is_empty() { ExitCode::SUCCESS } else { Failure::UNAVAILABLE.into() })
}

/// The keys that are meant: those that are named, or all. `future` is what is to be the domain file.
///
/// # Errors
/// There is nothing of that name, or the domain waits for the record of a key that is named.
fn meant(
    domain: &Domain,
    named: &[Selector],
    known: &BTreeSet<Selector>,
    config: Option<&DomainConfig>,
    future: Option<&DomainConfig>,
) -> Result<Vec<Selector>, Failure> {
    if named.is_empty() {
        let is_nothing = config.or(future).is_none() && known.is_empty();
        let nothing = || Failure::missing(format_args!("there are no files of {domain}"));
        return if is_nothing { Err(nothing()) } else { Ok(known.iter().cloned().collect()) };
    }
    let names = |config: Option<&DomainConfig>, selector| {
        config.is_some_and(|config| config.selectors().contains(selector))
    };
    for selector in named {
        if names(future, selector) {
            let what = format_args!("{domain} waits for the record of {selector}");
            let remedy = format_args!("dkimctl remove {domain} ends that");
            return Err(Failure::data(what).fixed_by(remedy));
        }
        if !known.contains(selector) && !names(config, selector) {
            return Err(Failure::missing(format_args!("{domain} has no key {selector}")));
        }
    }
    Ok(named.to_vec())
}

/// Removes the named keys from the domain file, or the file itself. Returns what was done.
fn stop(
    store: &Store,
    etc: &Path,
    config: &DomainConfig,
    domain: &Domain,
    named: &[Selector],
) -> Result<Option<Note>, Failure> {
    let file = &config.path;
    let shown = file.display();
    if named.is_empty() {
        store.remove(file)?;
        let text = format!("{shown} is removed: mail From {domain} is not signed any more");
        return Ok(Some(Note::new("removed", text)));
    }
    if !named.iter().any(|one| config.selectors().contains(one)) {
        return Ok(None);
    }
    let is_left = |one: &&Selector| !named.contains(one);
    let left: Vec<Selector> = config.file.selectors.iter().filter(is_left).cloned().collect();
    let mut of_rules = config.file.rules.iter().flat_map(|rule| &rule.selectors);
    if left.is_empty() || of_rules.any(|one| named.contains(one)) {
        return Err(Failure::data(format_args!(
            "{shown} needs that key: dkimctl use {domain} with another selector first, or dkimctl remove {domain}"
        )));
    }
    store.replace(file, &config.with_all(etc, &left, None)?, Readers::All)?;
    Ok(Some(Note::new("not-named", format!("{shown} does not name it any more"))))
}

/// How to withdraw the records of keys that no longer sign.
struct Withdrawal {
    publishing: Publishing,
    /// Whether the records are removed. Otherwise they are revoked.
    is_removal: bool,
}

impl Withdrawal {
    /// Reads the options.
    fn asked_for(args: &Args) -> Result<Option<Self>, Failure> {
        let (is_removal, is_revocation) = (args.has("--unpublish"), args.has("--revoke"));
        if is_removal && is_revocation {
            return Err(Failure::usage("--unpublish and --revoke exclude each other"));
        }
        if !is_removal && !is_revocation {
            return Ok(None);
        }
        let publishing = Publishing::of(args, Dns::asked_for(None)?, WAITED)?;
        if publishing.publisher.is_none() {
            return Err(Failure::configuration(
                "config.toml does not say how records are published: dkimctl setup --publish",
            ));
        }
        Ok(Some(Self { publishing, is_removal }))
    }

    /// Withdraws the record of a key. Returns whether every server of the zone shows the change, and a report.
    fn make(&self, folder: &KeyFolder, selector: &Selector) -> (bool, String) {
        let record = TxtRecord::of_key(&folder.domain, selector, REVOKED.to_owned());
        let (change, has, what) = match self.is_removal {
            true => (Change::Remove, Has::Nothing, "removed"),
            false => (Change::Set, Has::Revoked, "revoked"),
        };
        let Published { by, servers, .. } = self.publishing.change(change, &record, None, &has);
        let (is_done, name) = (all(&servers, &has), record.name);
        let text = match by {
            None if is_done => format!("DNS has the record {name} {what}"),
            Some((by, _)) if is_done => format!("{by} has {what} the record {name}"),
            Some((_, Err(why))) => format!("the record {name} was not {what}: {why}"),
            _ => {
                let others = others(&servers, &has);
                format!("the record {name} is not {what} everywhere: {others}")
            }
        };
        (is_done, text)
    }
}

/// Keys that other domains may sign with are not wiped.
fn refuse_shared_keys(domain: &Domain, folder: &KeyFolder, is_wiped: bool) -> Result<(), Failure> {
    if !is_wiped || !folder.is_shared() {
        return Ok(());
    }
    let keys = folder.path.display();
    let what = format_args!("other domains may sign with the keys in {keys}");
    Err(Failure::usage(what).fixed_by(format_args!("remove {domain} without --wipe")))
}

/// The selectors with which other domain files sign for the same d=, and one file of each.
fn of_others(
    etc: &Path,
    folder: &KeyFolder,
    file: &Path,
) -> Result<BTreeMap<Selector, PathBuf>, Failure> {
    let index = Index::read(etc)?;
    let others = index.of(&folder.domain)?.iter().filter(|config| config.path != file);
    let named = others.flat_map(|config| {
        config.selectors().into_iter().map(|one| (one.clone(), config.path.clone()))
    });
    Ok(named.collect())
}

/// Keys that other domain files name are neither wiped nor withdrawn.
fn refuse_others_keys(
    domain: &Domain,
    gone: &[Selector],
    others: &BTreeMap<Selector, PathBuf>,
) -> Result<(), Failure> {
    let used = gone.iter().find_map(|selector| others.get_key_value(selector));
    used.map_or(Ok(()), |(selector, file)| {
        let what = format_args!("{} signs with {selector}, too", file.display());
        let remedy = format_args!("remove {domain} without --wipe, --unpublish and --revoke");
        Err(Failure::usage(what).about(domain).fixed_by(remedy))
    })
}

/// Overwrites and removes a key. After that, `record` shows its revoked record.
fn wipe(store: &Store, folder: &KeyFolder, selector: &Selector) -> Result<(), Failure> {
    let files = folder.key(selector);
    if files.private.symlink_metadata().is_ok() {
        store.wipe(&files.private)?;
    }
    store.replace(&files.record, &revoked_entry(selector, &folder.domain), Readers::All)
}

fn show(
    args: &Args,
    folder: &KeyFolder,
    gone: &[Selector],
    done: &[Note],
    left: &[Finding],
    is_wiped: bool,
    file: &Path,
) -> Result<ExitCode, Failure> {
    let mut text: String = done.iter().map(|done| format!("{done}\n")).collect();
    if !left.is_empty() {
        text.push_str(&format!("Not all records are withdrawn:\n\n{}", numbered(left)));
    }
    if !is_wiped && !gone.is_empty() {
        let keys = folder.path.display();
        text.push_str(&format!("The keys stay in {keys}; --wipe removes them permanently.\n"));
    }
    let names: Vec<String> = gone.iter().map(|one| one.record_name(&folder.domain)).collect();
    if !names.is_empty() {
        text.push_str("\nWhen the mail that they signed has arrived, after about a week, replace their records by these or delete them:\n\n");
    }
    for name in &names {
        text.push_str(&format!("  name   {name}\n  type   TXT\n  value  {REVOKED}\n\n"));
    }
    let json = json!({
        "domain": folder.domain.as_str(),
        "file": file,
        "done": done,
        "wiped": is_wiped,
        "revoke": names.iter().map(|name| json!({"name": name, "value": REVOKED})).collect::<Vec<_>>(),
    });
    args.report(&json, left, text)
}
