//! `dkimctl use`: sets which keys of a domain sign.

use std::process::ExitCode;

use serde_json::json;

use super::checks::finding::{Finding, numbered};
use super::checks::obstacles::missing;
use super::cli::{Args, DOMAIN, Opt, SELECTOR};
use super::keygen::KEYS;
use super::output::Failure;
use super::store::domains::{self, DomainConfig};
use super::store::keys::KeyFolder;
use super::store::rotation::{Rotation, Stage, State};
use super::store::seen::Seen;
use super::store::{Readers, Store, gone, waiting};
use crate::config::shared_folder;
use crate::dkim::{Domain, Selector};

pub(super) const OPTIONS: &[Opt] = &[DOMAIN, SELECTOR, KEYS];

pub(super) const HELP: &str = "\
usage: dkimctl use [OPTION...] DOMAIN SELECTOR...

Set which keys of a domain sign.

Writes the selectors into the domain file, which is created if the domain has
none, and keeps the rest of the file. Each key must exist and be usable. Rules
for single addresses ([[sign]]) stay as they are. Then prints the steps that are
left before mail is signed with these keys.

With --keys, the keys are in the directory keys/NAME, which several domains may
name: one key signs for all of them, each with its own d=. Its record must be
published for each domain.

Does not query DNS. `dkimctl rotate` changes keys only when DNS has the record.

Exits with 65 or 66 if a key cannot be used or does not exist; then nothing is
changed.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let etc = args.etc.as_path();
    let (domain, selectors) = args.domain_and_selectors()?;
    if selectors.is_empty() {
        return Err(Failure::usage("no selector: expected DOMAIN SELECTOR..."));
    }
    let waiting = waiting::read(etc, &domain)?;
    let config = match domains::own(etc, &domain)? {
        // What was to be the domain file knows who may sign.
        None => waiting,
        config => config,
    };
    let shared = args.value("--keys", shared_folder)?;
    let minimum = match &config {
        Some(config) => config.file.signing.minimum_key_bits,
        None => domains::inherited(etc)?.minimum_key_bits,
    };
    let mut folder = KeyFolder::of_own(etc, &domain, config.as_ref());
    if let Some(shared) = &shared {
        folder.path = etc.join("keys").join(shared);
    }
    for selector in &selectors {
        let files = folder.key(selector);
        files.key(minimum).map_err(|error| error.at(&files.private))?;
    }
    let path = domains::file(etc, &domain);
    let text = match &config {
        Some(config) => config.with_all(etc, &selectors, shared.as_deref())?,
        None => domains::new_text(&selectors, shared.as_deref()),
    };
    let store = Store::open(etc)?;
    let busy = format_args!("a rotate is running for {domain}");
    let _lock = store.lock(&folder.path, busy)?;
    store.folder(&etc.join("domains"), Readers::All)?;
    selectors.iter().try_for_each(|selector| gone::forget(&store, &path, selector))?;
    store.replace(&path, &text, Readers::All)?;
    store.remove(&waiting::path(etc, &domain))?;
    show(args, &domain, &folder, config.as_ref(), &selectors)
}

fn show(
    args: &Args,
    domain: &Domain,
    folder: &KeyFolder,
    before: Option<&DomainConfig>,
    selectors: &[Selector],
) -> Result<ExitCode, Failure> {
    let mut steps = missing(&args.etc, |stem| stem == domain.as_str());
    let seen = Seen::read(&args.etc);
    for selector in selectors {
        let name = selector.record_name(&folder.domain);
        if !seen.of(&name).is_there {
            steps.push(Finding::record(&name, domain, None));
        }
    }
    steps.extend(replaced_again(folder, selectors));
    let old = before.map(|before| before.file.selectors.iter()).into_iter().flatten();
    let old = old.filter(|one| !selectors.contains(one));
    let old: Vec<&str> = old.map(Selector::as_str).collect();
    let names: Vec<&str> = selectors.iter().map(Selector::as_str).collect();
    let mut text = format!("The domain file of {domain} now names {}.\n", names.join(", "));
    for old in &old {
        text.push_str(&format!(
            "{old} no longer signs; its key and its record stay. To remove it: dkimctl remove {domain} {old}\n"
        ));
    }
    if !steps.is_empty() {
        text.push_str(&format!("\nRemaining steps:\n\n{}", numbered(&steps)));
    }
    let json = json!({
        "domain": domain.as_str(),
        "selectors": names,
        "unused": old,
    });
    args.report(&json, &steps, text)
}

/// The steps without which the next rotate undoes the choice: a key signs again that a rotation has replaced.
fn replaced_again(folder: &KeyFolder, selectors: &[Selector]) -> Vec<Finding> {
    // With a file that cannot be read, rotate replaces nothing.
    let Ok(state) = State::read(&folder.path) else { return Vec::new() };
    let undone = state.rotations.iter().filter(|rotation| {
        let is_over = matches!(rotation.stage, Stage::Retiring { .. });
        is_over && selectors.contains(&rotation.old) && !selectors.contains(&rotation.new)
    });
    let step = |Rotation { old, new, .. }: &Rotation| {
        let path = State::path(&folder.path).display().to_string();
        let evidence = format!("dkimctl rotate has replaced {old} by {new}, and does so again");
        let remedy = format!("remove this rotation from {path}, so that {old} stays");
        Finding::warning("rotation", evidence, remedy).about(&path)
    };
    undone.map(step).collect()
}
