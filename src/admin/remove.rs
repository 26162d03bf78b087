//! `dkimctl remove`: a domain is not signed any more, or not with one of its keys.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::cli::{Args, DOMAIN, Opt, SELECTOR};
use super::output::{Failure, Note};
use super::store::domains;
use super::store::keys::{KeyFolder, REVOKED, revoked_entry};
use super::store::{NewFile, Readers, Store};
use crate::dkim::Selector;

pub(super) const OPTIONS: &[Opt] =
    &[DOMAIN, SELECTOR, Opt("--wipe", "overwrite and remove the keys, too")];

pub(super) const HELP: &str = "\
usage: dkimctl remove [OPTION...] DOMAIN [SELECTOR...]

Stop signing for a domain, or with one of its keys.

Without SELECTOR, removes the domain file: mail From the domain is not signed
any more. With SELECTOR, takes it out of the domain file; the last selector is
refused. Prints the records that revoke the keys, to be published when mail that
they signed has arrived, after a week or so.

The keys are kept, unless --wipe is given; nothing could make them again.

Exits with 66 if there is nothing of that name.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let etc = args.etc.as_path();
    let (domain, named) = args.domain_and_selectors()?;
    let config = domains::own(etc, &domain)?;
    let folder = KeyFolder::of_own(etc, &domain, config.as_ref());
    let known = folder.selectors()?;
    let gone: Vec<Selector> =
        if named.is_empty() { known.iter().cloned().collect() } else { named.clone() };
    let signs = config.as_ref().map(|config| config.selectors()).unwrap_or_default();
    if let Some(unknown) = named.iter().find(|one| !known.contains(one) && !signs.contains(one)) {
        return Err(Failure::missing(format_args!("{domain} has no key {unknown}")));
    }
    if named.is_empty() && config.is_none() && known.is_empty() {
        return Err(Failure::missing(format_args!("there is nothing of {domain}")));
    }
    let is_wiped = args.has("--wipe");
    refuse_others_keys(&folder, is_wiped)?;
    let store = Store::open(etc)?;
    let file = domains::file(etc, &domain);
    let mut done = Vec::new();
    match &config {
        Some(_) if named.is_empty() => {
            store.remove(&file)?;
            let text =
                format!("{} is removed: mail From {domain} is not signed any more", file.display());
            done.push(Note::new("removed", text));
        }
        Some(config) if named.iter().any(|one| signs.contains(one)) => {
            let left: Vec<Selector> =
                config.file.selectors.iter().filter(|one| !named.contains(one)).cloned().collect();
            if left.is_empty()
                || config
                    .file
                    .rules
                    .iter()
                    .any(|rule| named.iter().any(|one| rule.selectors.contains(one)))
            {
                return Err(Failure::data(format_args!(
                    "{} needs that key: dkimctl use {domain} with another selector first, or dkimctl remove {domain}",
                    file.display()
                )));
            }
            let text = config.with_all(etc, &left, None)?;
            store.replace(&NewFile {
                path: &file,
                text: text.as_bytes(),
                readers: Readers::All,
            })?;
            let text = format!("{} does not name it any more", file.display());
            done.push(Note::new("not-named", text));
        }
        Some(_) | None => {}
    }
    for selector in gone.iter().filter(|_| is_wiped) {
        wipe(&store, &folder, selector)?;
        done.push(Note::new("wiped", format!("the key {selector} is wiped")));
    }
    show(args, &folder, &gone, &done, is_wiped, &file)
}

/// Keys that other domains may sign with are not wiped.
fn refuse_others_keys(folder: &KeyFolder, is_wiped: bool) -> Result<(), Failure> {
    if !is_wiped || !folder.is_shared() {
        return Ok(());
    }
    Err(Failure::usage(format_args!(
        "other domains may sign with the keys in {}: remove {} without --wipe",
        folder.path.display(),
        folder.domain
    )))
}

/// Overwrites and removes a key; `record` shows the revoked one from then on.
fn wipe(store: &Store, folder: &KeyFolder, selector: &Selector) -> Result<(), Failure> {
    let files = folder.key(selector);
    if files.private.symlink_metadata().is_ok() {
        store.wipe(&files.private)?;
    }
    let text = revoked_entry(selector, &folder.domain);
    store.replace(&NewFile { path: &files.record, text: text.as_bytes(), readers: Readers::All })
}

fn show(
    args: &Args,
    folder: &KeyFolder,
    gone: &[Selector],
    done: &[Note],
    is_wiped: bool,
    file: &Path,
) -> Result<ExitCode, Failure> {
    let mut text: String = done.iter().map(|done| format!("{done}\n")).collect();
    if !is_wiped && !gone.is_empty() {
        let keys = folder.path.display();
        text.push_str(&format!("The keys stay in {keys}; --wipe removes them for good.\n"));
    }
    let names: Vec<String> = gone.iter().map(|one| one.record_name(&folder.domain)).collect();
    if !names.is_empty() {
        text.push_str("\nOnce the mail that they signed has arrived, in a week or so, publish instead of their records, or delete these:\n\n");
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
    args.print(&json, &text)
}
