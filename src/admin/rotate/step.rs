//! Advances one rotation as far as DNS and its dates allow.
//!
//! Each step can be repeated, so that the next run completes what a crash interrupted. The domain files are changed before the
//! state, and a key is wiped after the state was changed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::report::{NOT_CHANGED, Report};
use crate::admin::format::TxtRecord;
use crate::admin::look::{Has, Sight, all, look, some_lack, some_unknown};
use crate::admin::output::{Failure, Note};
use crate::admin::publisher::Change;
use crate::admin::publishing::{Published, Publishing};
use crate::admin::store::domains::{DomainConfig, Index};
use crate::admin::store::gone;
use crate::admin::store::keys::{KeyFolder, NewKey, REVOKED, RSA_BITS, revoked_entry};
use crate::admin::store::rotation::{Rotation, Stage, State};
use crate::admin::store::seen::Seen;
use crate::admin::store::time::UtcTime;
use crate::admin::store::{NewFile, Readers, Store};
use crate::admin::template::Template;
use crate::dkim::record::Owner;
use crate::dkim::{PublicKey, Selector};

/// The settings for all domains of one call.
pub(super) struct Run {
    pub(super) etc: PathBuf,
    pub(super) store: Store,
    pub(super) publishing: Publishing,
    pub(super) index: Index,
    /// The records that every server of their zones has.
    pub(super) seen: Mutex<Seen>,
    pub(super) now: UtcTime,
    pub(super) host: String,
    pub(super) template: Template,
    /// The value of `--selectors`. `None` keeps the earlier value.
    pub(super) selectors: Option<Vec<Selector>>,
    pub(super) older: u64,
    pub(super) keep: u64,
    pub(super) is_dry: bool,
}

/// One rotation and its context.
pub(super) struct Step<'a> {
    pub(super) run: &'a Run,
    pub(super) folder: &'a KeyFolder,
    pub(super) report: Report,
    /// Whether the new key has a name that an earlier one had.
    pub(super) is_in_turn: bool,
}

/// How long a resolver may remember a record of a name, as far as zones are usually written. Seconds.
const CACHED: u64 = 86_400;

impl Run {
    /// Replaces a file, unless this is a dry run.
    fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        if self.is_dry { Ok(()) } else { self.store.replace(path, text, Readers::All) }
    }
}

impl Step<'_> {
    /// Advances the rotation at this index of the state.
    pub(super) fn go(mut self, state: &mut State, at: usize) -> Result<Report, Failure> {
        let rotation = self.report.rotation.clone();
        // A domain file that is put back later must find the key that it names.
        if rotation.stage != Stage::Revoked && self.run.index.of(&self.folder.domain)?.is_empty() {
            let text = "the rotation continues when a domain file signs for the domain again";
            self.report.next = Note::new("wait", text);
            return Ok(self.report);
        }
        let next = match rotation.stage {
            Stage::Pending => self.pending(&rotation)?,
            Stage::Settling { until } => self.settling(&rotation, until)?,
            Stage::Retiring { until } => self.retiring(&rotation, until)?,
            Stage::Revoked => None,
        };
        if let Some(stage) = next {
            self.report.rotation = Rotation { stage, since: self.run.now, ..rotation };
            if let Some(place) = state.rotations.get_mut(at) {
                place.clone_from(&self.report.rotation);
            }
            if !self.run.is_dry {
                state.write(&self.run.store)?;
            }
        }
        if self.report.rotation.stage == Stage::Revoked {
            self.revoked(state, at)?;
        }
        Ok(self.report)
    }

    fn pending(&mut self, rotation: &Rotation) -> Result<Option<Stage>, Failure> {
        let configs = self.configs()?;
        if !self.folder.key(&rotation.new).private.exists() {
            self.make_key(rotation, &configs)?;
            if self.run.is_dry {
                self.report.next = Note::new("publish", "publish its record");
                return Ok(None);
            }
        }
        self.publish(&rotation.new)?;
        if !self.has_all(rotation) {
            return Ok(None);
        }
        let cached = self.run.keep.min(CACHED);
        if self.is_in_turn && cached > 0 {
            let until = self.run.now.after(cached);
            self.settles(rotation, until);
            return Ok(Some(Stage::Settling { until }));
        }
        self.sign(rotation, &configs).map(Some)
    }

    /// Every server has the record, and caches may have another one of that name.
    fn settling(&mut self, rotation: &Rotation, until: UtcTime) -> Result<Option<Stage>, Failure> {
        self.look_for_key(&rotation.new)?;
        if !self.has_all(rotation) {
            // A server that does not answer is no reason to start again.
            return Ok(some_lack(&self.report.servers).then_some(Stage::Pending));
        }
        if self.run.now < until {
            self.settles(rotation, until);
            return Ok(None);
        }
        self.sign(rotation, &self.configs()?).map(Some)
    }

    fn settles(&mut self, rotation: &Rotation, until: UtcTime) {
        let new = &rotation.new;
        let text = format!(
            "{new} signs at the first run after {until}, when no cache has an earlier record of the name"
        );
        self.report.next = Note::new("settle", text);
    }

    /// Whether every server has the record of the new key. If not, sets the next step.
    fn has_all(&mut self, rotation: &Rotation) -> bool {
        if all(&self.report.servers, &Has::Key) {
            let name = rotation.new.record_name(&self.folder.domain);
            let mut seen = self.run.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.note(&name, true, self.run.now);
            return true;
        }
        self.report.next = match &self.report.publish {
            Some(_) => Note::new(
                "publish",
                "publish this record; once every server of the zone has it, the key signs after the next run",
            ),
            None => Note::new(
                "wait",
                "once every server of the zone has the record, the key signs after the next run",
            ),
        };
        false
    }

    /// Lets the new key sign.
    fn sign(&mut self, rotation: &Rotation, configs: &[DomainConfig]) -> Result<Stage, Failure> {
        self.replace(configs, &rotation.old, &rotation.new)?;
        let until = self.run.now.after(self.run.keep);
        let text = format!("switched to {}: every server has its key", rotation.new);
        self.done("signs", text);
        self.stays_published(rotation, until);
        Ok(Stage::Retiring { until })
    }

    fn retiring(&mut self, rotation: &Rotation, until: UtcTime) -> Result<Option<Stage>, Failure> {
        self.look_for_key(&rotation.new)?;
        if some_lack(&self.report.servers) {
            return self.fall_back(rotation);
        }
        // A crash may have happened between the two changes.
        self.replace(&self.configs()?, &rotation.old, &rotation.new)?;
        if !all(&self.report.servers, &Has::Key) || self.run.now < until {
            self.stays_published(rotation, until);
            return Ok(None);
        }
        let text = revoked_entry(&rotation.old, &self.folder.domain);
        let done = format!("ended the retirement of {}: its mail has arrived", rotation.old);
        self.done("delivered", done);
        self.run.write(&self.folder.key(&rotation.old).record, &text)?;
        Ok(Some(Stage::Revoked))
    }

    fn stays_published(&mut self, rotation: &Rotation, until: UtcTime) {
        let old = &rotation.old;
        let text = format!("keep the record of {old} published until {until}");
        self.report.next = Note::new("keep", text);
    }

    /// The record of the signing key has vanished from DNS, so the old key signs again.
    fn fall_back(&mut self, rotation: &Rotation) -> Result<Option<Stage>, Failure> {
        let (new, old) = (&rotation.new, &rotation.old);
        self.publish(new)?;
        if all(&self.report.servers, &Has::Key) {
            self.report.next = Note::new("none", format!("{new} still signs"));
            return Ok(None);
        }
        let key = self.public_key(old)?;
        if !all(&self.look(old, Some(&key)), &Has::Key) {
            self.report.unanswered = true;
            let text = format!(
                "publish this record: {new} signs, but some servers have neither its key nor that of {old}"
            );
            self.report.next = Note::new("publish", text);
            return Ok(None);
        }
        self.replace(&self.configs()?, new, old)?;
        let text = format!("switched back to {old}: not every server has the key {new}");
        self.done("fell-back", text);
        self.report.next = Note::new("publish", "publish this record");
        Ok(Some(Stage::Pending))
    }

    fn revoked(&mut self, state: &mut State, at: usize) -> Result<(), Failure> {
        let old = &self.report.rotation.old.clone();
        let paths = self.folder.key(old);
        if paths.private.symlink_metadata().is_ok() {
            self.done("wiped", format!("wiped the key {old}"));
            if !self.run.is_dry {
                self.run.store.wipe(&paths.private)?;
            }
        }
        let record = TxtRecord::of_key(&self.folder.domain, old, REVOKED.to_owned());
        self.change(Change::Remove, &record, None, &Has::Nothing);
        if all(&self.report.servers, &Has::Nothing) {
            self.done("ended", format!("completed the rotation: the record of {old} was removed"));
            self.report.next = Note::new("none", "nothing");
            if !self.run.is_dry {
                self.run.store.remove(&paths.record)?;
                drop(state.rotations.remove(at));
                state.write(&self.run.store)?;
            }
        } else if all(&self.report.servers, &Has::Revoked) {
            let text = format!("the record of {old} may be deleted");
            self.report.next = Note::new("delete", text);
        } else {
            self.report.publish = Some(record);
            let text = "replace the old record by this one, or delete it";
            self.report.next = Note::new("revoke", text);
        }
        Ok(())
    }

    /// Records what was done.
    fn done(&mut self, code: &'static str, text: String) {
        self.report.done.push(Note::new(code, text));
    }

    /// The domain files that sign for the domain.
    fn configs(&self) -> Result<Vec<DomainConfig>, Failure> {
        self.run.index.again(&self.folder.domain)
    }

    /// Creates the new key, of the type of the old one and with the other tags of its record.
    fn make_key(&mut self, rotation: &Rotation, configs: &[DomainConfig]) -> Result<(), Failure> {
        let algorithm = self.public_key(&rotation.old)?.algorithm();
        self.done("made", format!("created the key {} ({algorithm})", rotation.new));
        if self.run.is_dry {
            return Ok(());
        }
        let minimum = configs.iter().map(|config| config.file.signing.minimum_key_bits).max();
        let bits = minimum.unwrap_or_default().max(RSA_BITS);
        let terms = self.folder.key(&rotation.old).terms();
        let begun = Instant::now();
        let key = NewKey::generate(algorithm, bits, terms)?;
        // This does not count for the lookups: on a slow host, a large key takes longer than all of them.
        self.run.publishing.dns.extend(begun.elapsed());
        let entry = key.record.zone_entry(&rotation.new, &self.folder.domain, Owner::Relative)?;
        let files = self.folder.key(&rotation.new);
        // A crash may have left the record of a key that was not created; the name belongs to this rotation.
        self.run.write(&files.record, &entry)?;
        let (path, pem) = (&files.private, key.key.to_pkcs8_pem()?);
        self.run.store.files(&[NewFile { path, text: pem.as_bytes(), readers: Readers::Group }])
    }

    fn public_key(&self, selector: &Selector) -> Result<PublicKey, Failure> {
        let files = self.folder.key(selector);
        files.public().map_err(|error| error.at(&files.private))
    }

    /// Asks all servers for the record of a key.
    fn look_for_key(&mut self, selector: &Selector) -> Result<(), Failure> {
        let key = self.public_key(selector)?;
        self.report.servers = self.look(selector, Some(&key));
        Ok(())
    }

    fn look(&mut self, selector: &Selector, key: Option<&PublicKey>) -> Vec<Sight> {
        let sights =
            look(&self.run.publishing.dns, &selector.record_name(&self.folder.domain), key);
        self.report.unanswered |= some_unknown(&sights);
        sights
    }

    /// Publishes the record of a key and waits for it, or reports that the administrator has to publish it.
    fn publish(&mut self, selector: &Selector) -> Result<(), Failure> {
        let (key, value) = (self.public_key(selector)?, self.folder.key(selector).to_publish()?);
        let record = TxtRecord::of_key(&self.folder.domain, selector, value);
        let is_changed = self.change(Change::Set, &record, Some(&key), &Has::Key);
        if !is_changed && !all(&self.report.servers, &Has::Key) {
            self.report.publish = Some(record);
        }
        Ok(())
    }

    /// Changes a record with the configured command, if there is one and if that is necessary. Returns whether it has done so.
    fn change(
        &mut self,
        change: Change,
        record: &TxtRecord,
        key: Option<&PublicKey>,
        has: &Has,
    ) -> bool {
        let Published { by, servers, .. } = self.run.publishing.change(change, record, key, has);
        self.report.unanswered |= some_unknown(&servers);
        self.report.servers = servers;
        let Some((by, done)) = by else { return false };
        let name = &record.name;
        self.report.unanswered |= done.is_err();
        let (code, text) = match (&done, change) {
            (Ok(()), Change::Set) => ("published", format!("{by} has published the record {name}")),
            (Ok(()), Change::Remove) => ("removed", format!("{by} has removed the record {name}")),
            (Err(why), _) => (NOT_CHANGED, format!("the record {name} was not changed: {why}")),
        };
        self.done(code, text);
        done.is_ok()
    }

    /// Replaces a selector in the domain files.
    fn replace(
        &mut self,
        configs: &[DomainConfig],
        from: &Selector,
        to: &Selector,
    ) -> Result<(), Failure> {
        for config in configs.iter().filter(|config| config.selectors().contains(from)) {
            let text = config.with(&self.run.etc, from, to)?;
            if !self.run.is_dry {
                // An earlier key may have had the same name.
                gone::forget(&self.run.store, &config.path, to)?;
            }
            self.run.write(&config.path, &text)?;
            self.done("replaced", format!("replaced {from} by {to} in {}", config.path.display()));
        }
        Ok(())
    }
}
