//! `domains/DOMAIN.gone`: the selectors whose records no server has, as `dkimctl watch` found. The wrapper reads it if
//! `on_missing_record = "skip"` is set, and does not sign with these keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::domains;
use super::folder::Readers;
use super::write::Store;
use crate::admin::input;
use crate::admin::output::Failure;
use crate::dkim::Selector;
use crate::policy::{GONE, gone_selectors};

const HEAD: &str = "\
# Written by `dkimctl watch`: no server of the zone has the records of these keys, so they sign nothing until a record is back
# (on_missing_record = \"skip\" in config.toml or the domain file).
";

/// The keys that do not sign, by their domain files.
pub(crate) type Gone = BTreeMap<PathBuf, BTreeSet<Selector>>;

/// The selectors whose keys do not sign mail by a domain file.
pub(crate) fn read(file: &Path) -> BTreeSet<Selector> {
    let text = input::text(&file.with_extension(GONE), input::CONFIGURATION).unwrap_or_default();
    gone_selectors(&text).into_iter().collect()
}

/// Stores the selectors whose keys must not sign mail by a domain file.
fn write(store: &Store, file: &Path, selectors: &BTreeSet<Selector>) -> Result<(), Failure> {
    let path = file.with_extension(GONE);
    if selectors.is_empty() {
        let is_there = path.symlink_metadata().is_ok();
        return if is_there { store.remove(&path) } else { Ok(()) };
    }
    if read(file) == *selectors {
        return Ok(());
    }
    let lines: String = selectors.iter().map(|selector| format!("{selector}\n")).collect();
    store.replace(&path, &format!("{HEAD}{lines}"), Readers::All)
}

/// Removes a selector, because a new key of this name signs from now on.
///
/// # Errors
/// The caller may not write to the tree.
pub(crate) fn forget(store: &Store, file: &Path, selector: &Selector) -> Result<(), Failure> {
    let mut selectors = read(file);
    if selectors.remove(selector) { write(store, file, &selectors) } else { Ok(()) }
}

/// Writes the files of these domain files, and removes all others.
///
/// # Errors
/// The caller may not write to the tree.
pub(crate) fn write_all(store: &Store, etc: &Path, all: &Gone) -> Result<(), Failure> {
    all.iter().try_for_each(|(file, selectors)| write(store, file, selectors))?;
    let folder = etc.join("domains");
    for name in input::optional_names(&folder)? {
        let of = name.strip_suffix(&format!(".{GONE}"));
        if of.is_some_and(|of| !all.contains_key(&domains::file(etc, of))) {
            store.remove(&folder.join(&name))?;
        }
    }
    Ok(())
}
