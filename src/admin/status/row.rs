//! What is known of one key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use crate::admin::checks::finding::{Finding, Severity};
use crate::admin::checks::keys::{self, Proof};
use crate::admin::output::{Failure, Text, Tone};
use crate::admin::store::domains::{self, DomainConfig};
use crate::admin::store::keys::KeyFolder;
use crate::admin::store::rights::Tree;
use crate::admin::store::rotation::{Stage, State};
use crate::admin::store::seen::{Seen, Sight};
use crate::admin::store::time::UtcTime;
use crate::admin::store::waiting;
use crate::config::DEFAULT;
use crate::dkim::{Domain, PublicKey, Record, Selector};

/// The key signs once its record is published.
const PENDING: &str = "pending";
/// No domain file names the key.
const UNUSED: &str = "unused";

/// One key.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Row {
    domain: String,
    pub(super) selector: String,
    /// Whether a domain file names it and it can be used.
    pub(super) signing: bool,
    /// One of the words that the manual page lists.
    state: &'static str,
    /// The stage of its rotation, if it is in one.
    stage: Option<&'static str>,
    since: Option<String>,
    until: Option<String>,
    replaces: Option<String>,
    #[serde(rename = "type")]
    key_type: Option<&'static str>,
    bits: Option<u32>,
    /// The day, in UTC.
    made: Option<String>,
    /// When its record was last seen in DNS.
    seen: Option<String>,
    /// The codes of what is wrong with it.
    wrong: Vec<&'static str>,
    #[serde(skip)]
    pub(super) found: Vec<Finding>,
}

/// The domain files by d= and the directory of their keys. Without d=, as in `default.toml`: `default`.
pub(super) type Files<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a DomainConfig>>;

/// What holds for all keys.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) tree: &'a Tree<'a>,
    pub(super) etc: &'a Path,
    pub(super) files: &'a Files<'a>,
    pub(super) seen: &'a Seen,
}

impl Work<'_> {
    /// The keys of a domain.
    pub(super) fn rows(self, folder: &KeyFolder) -> Result<Vec<Row>, Failure> {
        let is_default = folder.name() == DEFAULT && !folder.is_shared();
        let name = if is_default { DEFAULT } else { folder.domain.as_str() };
        let files = self.files.get(&(name, folder.name())).map_or(&[][..], Vec::as_slice);
        let signing: BTreeSet<&Selector> = files.iter().flat_map(|file| file.selectors()).collect();
        let mut selectors = folder.selectors()?;
        selectors.extend(signing.iter().copied().cloned());
        let state = State::read(&folder.path)?;
        // One that the wrapper does not take; what is wrong with it is said above all keys.
        let file = domains::file(self.etc, name);
        let is_blocked = files.is_empty() && file.symlink_metadata().is_ok();
        let waiting = waiting::read(self.etc, &folder.domain)?;
        let mut wrong = keys::folder(self.tree, folder.name());
        let row = |selector: &Selector| {
            let mut row = Row::of(folder, selector);
            row.rotation(&state, selector);
            // What is wrong with the directory is said once.
            let mut found: Vec<Finding> = wrong.take().into_iter().collect();
            for file in files.iter().filter(|file| file.selectors().contains(selector)) {
                found.extend(keys::key(self.tree, &folder.path, selector, file, Proof::Public));
            }
            let is_named = signing.contains(selector) || is_blocked && row.stage.is_none();
            let is_gone = files.iter().any(|file| keys::is_gone(file, selector));
            let is_broken = is_blocked || found.iter().any(Finding::is_error);
            row.found = found;
            row.signing = is_named && !is_broken;
            let waits =
                waiting.as_ref().is_some_and(|config| config.selectors().contains(selector));
            row.state = match (is_named, is_broken, row.stage) {
                (true, false, _) => "signs",
                (true, true, _) if is_gone => "gone",
                (true, true, _) => "broken",
                (false, _, Some(stage)) => stage,
                (false, _, None) if waits => PENDING,
                (false, _, None) => UNUSED,
            };
            let name = selector.record_name(&folder.domain);
            row.sight(self.seen.of(&name), &name, &folder.domain);
            if row.state == PENDING && row.stage.is_none() {
                row.found.push(Finding::waiting(&name, &folder.domain, selector));
            }
            row.wrong = row.found.iter().map(|finding| finding.code).collect();
            row
        };
        Ok(selectors.iter().map(row).collect())
    }
}

impl Row {
    fn of(folder: &KeyFolder, selector: &Selector) -> Self {
        let files = folder.key(selector);
        // Of a key that was wiped there is the record alone.
        let of_record =
            || Record::parse(&files.record_text().ok()?).ok().map(|one| one.key().clone());
        let public = files.public().ok().or_else(of_record);
        Self {
            domain: folder.domain.to_string(),
            selector: selector.to_string(),
            key_type: public.as_ref().map(|key| key.algorithm().key_type()),
            bits: public.as_ref().map(PublicKey::bits),
            made: files.made().ok().map(UtcTime::date),
            ..Self::default()
        }
    }

    /// A key may have come in by one rotation and go out by another: the latest counts.
    fn rotation(&mut self, state: &State, selector: &Selector) {
        for rotation in &state.rotations {
            let (is_old, is_new) = (rotation.old == *selector, rotation.new == *selector);
            let concerns = match rotation.stage {
                Stage::Pending | Stage::Settling { .. } => is_new,
                Stage::Retiring { .. } | Stage::Revoked => is_old,
            };
            if concerns {
                self.stage = Some(rotation.stage.name());
                self.since = Some(rotation.since.to_string());
                if let Some(until) = rotation.stage.until() {
                    self.until = Some(until.to_string());
                }
            }
            if is_new && rotation.stage != Stage::Revoked {
                self.replaces = Some(rotation.old.to_string());
            }
        }
    }

    /// Whether the DNS had its record.
    fn sight(&mut self, sight: Sight, name: &str, domain: &Domain) {
        self.seen = sight.last.map(UtcTime::date);
        if !self.signing || sight.is_there {
            return;
        }
        self.found.push(Finding::record(name, domain, self.seen.as_deref()));
    }

    /// What is missing if no domain file names any key. `None` if the key must not sign, or was wiped.
    pub(super) fn unnamed(&self) -> Option<Finding> {
        let Self { domain, selector, .. } = self;
        self.made.as_ref()?;
        let evidence = format!("{domain} has keys, but no domain file: no mail is signed");
        let step =
            Finding::error("unused_keys", evidence, format!("dkimctl use {domain} {selector}"));
        self.stage.is_none().then_some(step).filter(|_| self.state == UNUSED)
    }

    /// The columns of the table.
    pub(super) fn columns(&self) -> Vec<Text> {
        let worst = self.found.iter().map(|finding| finding.severity).max();
        let good = self.signing.then_some(Tone::Good);
        let state = Text::toned(worst.map_or(good, Severity::tone), self.state);
        let kind = self.key_type.zip(self.bits).map(|(kind, bits)| format!("{kind} {bits}"));
        let made = self.made.as_ref().map(|made| format!("made {made}"));
        let seen = match &self.seen {
            Some(day) => format!("in DNS {day}"),
            None => "not seen in DNS".to_owned(),
        };
        let mut notes: Vec<String> = Vec::new();
        notes.extend(self.replaces.as_ref().map(|old| format!("replaces {old}")));
        let what = if self.state == "settling" { "signs from" } else { "stays published until" };
        notes.extend(self.until.as_ref().map(|until| format!("{what} {until}")));
        vec![
            self.domain.as_str().into(),
            self.selector.as_str().into(),
            state,
            kind.unwrap_or_else(|| "-".to_owned()).into(),
            made.unwrap_or_else(|| "-".to_owned()).into(),
            seen.into(),
            notes.join(", ").into(),
        ]
    }
}
