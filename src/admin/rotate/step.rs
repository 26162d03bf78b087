//! One rotation, taken as far as the DNS and the calendar let it go.
//!
//! Each effect can be done again: what a crash cuts off, the next run does. The domain files are changed
//! before the state is, and a key is wiped after the state says so.

use std::path::Path;

use serde::Serialize;

use super::Run;
use super::look::{Has, Sight, all, look, some_lack, some_unknown};
use crate::admin::input;
use crate::admin::output::Failure;
use crate::admin::store::keys::{self, KeyPaths, Wanted};
use crate::admin::store::rotation::{Rotation, Stage, State};
use crate::admin::store::signers::{Signer, signers};
use crate::admin::store::time::UtcTime;
use crate::admin::store::{NewFile, Readers};
use crate::dkim::record::Owner;
use crate::dkim::{Algorithm, Domain, PublicKey, Record, Selector, Terms};

/// What became of one rotation.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) domain: String,
    pub(super) old: String,
    pub(super) new: String,
    pub(super) stage: &'static str,
    pub(super) since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<String>,
    /// What was done, or would be.
    pub(super) done: Vec<String>,
    /// What each server of the zone has for the name that it depends on.
    pub(super) servers: Vec<Sight>,
    /// What is to be published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publish: Option<Publish>,
    /// What it waits for.
    pub(super) next: String,
    /// Whether a server did not answer.
    pub(super) trouble: bool,
}

/// A record to be published.
#[derive(Debug, Serialize)]
pub(super) struct Publish {
    pub(super) name: String,
    pub(super) value: String,
}

/// A rotation and what it is about.
pub(super) struct Step<'a> {
    pub(super) run: &'a Run,
    pub(super) domain: &'a Domain,
    pub(super) folder: &'a Path,
    pub(super) report: Report,
}

impl Report {
    pub(super) fn new(domain: &Domain, rotation: &Rotation) -> Self {
        let mut report = Self {
            domain: domain.to_string(),
            old: rotation.old.to_string(),
            new: rotation.new.to_string(),
            stage: "",
            since: String::new(),
            until: None,
            done: Vec::new(),
            servers: Vec::new(),
            publish: None,
            next: String::new(),
            trouble: false,
        };
        report.take(rotation);
        report
    }

    fn take(&mut self, rotation: &Rotation) {
        self.stage = rotation.stage.name();
        self.since = rotation.since.to_string();
        self.until = match rotation.stage {
            Stage::Retiring { until } => Some(until.to_string()),
            Stage::Pending | Stage::Revoked => None,
        };
    }
}

impl Step<'_> {
    /// Goes on with the rotation at that place of the state.
    pub(super) fn go(mut self, state: &mut State, at: usize) -> Result<Report, Failure> {
        let Some(rotation) = state.rotations.get(at).cloned() else { return Ok(self.report) };
        let next = match rotation.stage {
            Stage::Pending => self.pending(&rotation)?,
            Stage::Retiring { until } => self.retiring(&rotation, until)?,
            Stage::Revoked => return self.revoked(state, at, &rotation),
        };
        let Some(stage) = next else { return Ok(self.report) };
        let rotation = Rotation { stage, since: self.run.now, ..rotation };
        self.report.take(&rotation);
        if let Some(place) = state.rotations.get_mut(at) {
            place.clone_from(&rotation);
        }
        if !self.run.is_dry {
            state.write(&self.run.store)?;
        }
        if stage == Stage::Revoked {
            return self.revoked(state, at, &rotation);
        }
        Ok(self.report)
    }

    fn pending(&mut self, rotation: &Rotation) -> Result<Option<Stage>, Failure> {
        let paths = KeyPaths::within(self.folder, &rotation.new);
        let signers = signers(&self.run.etc, self.domain)?;
        if !paths.private.exists() {
            self.make_key(rotation, &signers, &paths)?;
            if self.run.is_dry {
                "then its record is to be published".clone_into(&mut self.report.next);
                return Ok(None);
            }
        }
        let key = self.public_key(&rotation.new)?;
        let sights = self.look(&rotation.new, Some(&key));
        let published = all(&sights, &Has::Key);
        self.report.servers = sights;
        if !published {
            self.publish(&rotation.new)?;
            "publish this record; once every server of the zone has it, the next run lets it sign"
                .clone_into(&mut self.report.next);
            return Ok(None);
        }
        self.replace(&signers, &rotation.old, &rotation.new)?;
        let until = self.run.now.after(self.run.keep);
        self.report.done.push(format!("every server has the key, so {} signs", rotation.new));
        self.report.next =
            format!("the record of {} has to stay published until {until}", rotation.old);
        Ok(Some(Stage::Retiring { until }))
    }

    fn retiring(&mut self, rotation: &Rotation, until: UtcTime) -> Result<Option<Stage>, Failure> {
        let key = self.public_key(&rotation.new)?;
        let sights = self.look(&rotation.new, Some(&key));
        let (lack, published) = (some_lack(&sights), all(&sights, &Has::Key));
        self.report.servers = sights;
        if lack {
            return self.fall_back(rotation);
        }
        // A crash may have come between the domain files and the state.
        self.replace(&signers(&self.run.etc, self.domain)?, &rotation.old, &rotation.new)?;
        if !published || self.run.now < until {
            self.report.next =
                format!("the record of {} has to stay published until {until}", rotation.old);
            return Ok(None);
        }
        let text = format!(
            "{0}._domainkey\tIN\tTXT\t( \"{REVOKED}\" )  ; ----- DKIM key {0} for {1}, revoked\n",
            rotation.old, self.domain
        );
        self.report.done.push(format!("nothing signed by {} is on its way any more", rotation.old));
        if !self.run.is_dry {
            let path = KeyPaths::within(self.folder, &rotation.old).record;
            let file = NewFile { path: &path, text: text.as_bytes(), readers: Readers::All };
            self.run.store.replace(&file)?;
        }
        Ok(Some(Stage::Revoked))
    }

    /// The key that signs has vanished from the DNS: the old one is still there for that.
    fn fall_back(&mut self, rotation: &Rotation) -> Result<Option<Stage>, Failure> {
        self.publish(&rotation.new)?;
        let old = self.public_key(&rotation.old)?;
        if !all(&self.look(&rotation.old, Some(&old)), &Has::Key) {
            self.report.trouble = true;
            self.report.next = format!(
                "publish this record: {} signs, and not every server has its key, nor that of {}",
                rotation.new, rotation.old
            );
            return Ok(None);
        }
        let signers = signers(&self.run.etc, self.domain)?;
        self.replace(&signers, &rotation.new, &rotation.old)?;
        let (new, old) = (&rotation.new, &rotation.old);
        self.report.done.push(format!("not every server has the key {new}, so {old} signs again"));
        "publish this record".clone_into(&mut self.report.next);
        Ok(Some(Stage::Pending))
    }

    fn revoked(
        mut self,
        state: &mut State,
        at: usize,
        rotation: &Rotation,
    ) -> Result<Report, Failure> {
        let paths = KeyPaths::within(self.folder, &rotation.old);
        if paths.private.symlink_metadata().is_ok() {
            self.report.done.push(format!("the key {} is wiped", rotation.old));
            if !self.run.is_dry {
                self.run.store.wipe(&paths.private)?;
            }
        }
        let sights = self.look(&rotation.old, None);
        if all(&sights, &Has::Nothing) {
            self.report
                .done
                .push(format!("the record of {} is gone, and so is this", rotation.old));
            "nothing".clone_into(&mut self.report.next);
            if !self.run.is_dry {
                self.run.store.remove(&paths.record)?;
                drop(state.rotations.remove(at));
                state.write(&self.run.store)?;
            }
        } else if all(&sights, &Has::Revoked) {
            self.report.next = format!("the record of {} may be deleted", rotation.old);
        } else {
            self.report.publish = Some(Publish {
                name: format!("{}._domainkey.{}", rotation.old, self.domain),
                value: REVOKED.to_owned(),
            });
            "publish this record in the place of the old one, or delete that"
                .clone_into(&mut self.report.next);
        }
        self.report.servers = sights;
        Ok(self.report)
    }

    fn make_key(
        &mut self,
        rotation: &Rotation,
        signers: &[Signer],
        paths: &KeyPaths,
    ) -> Result<(), Failure> {
        let (algorithm, terms) = self.model(&rotation.old)?;
        self.report.done.push(format!("the key {} ({algorithm}) is made", rotation.new));
        if self.run.is_dry {
            return Ok(());
        }
        let minimum = signers.iter().map(Signer::minimum_key_bits).max().unwrap_or_default();
        let wanted = match Wanted::of(algorithm) {
            Wanted::Rsa(bits) => Wanted::Rsa(bits.max(minimum)),
            Wanted::Ed25519 => Wanted::Ed25519,
        };
        let key = wanted.generate()?;
        let record = Record::new(key.public()).with_terms(terms);
        let entry = record.zone_entry(&rotation.new, self.domain, Owner::Relative);
        let entry = entry.map_err(Failure::software)?;
        let pem = key.to_pkcs8_pem().map_err(Failure::software)?;
        let record = NewFile { path: &paths.record, text: entry.as_bytes(), readers: Readers::All };
        // A crash may have left that of a key which never was: the name is this rotation's.
        self.run.store.replace(&record)?;
        let key = NewFile { path: &paths.private, text: pem.as_bytes(), readers: Readers::Group };
        self.run.store.files(&[key])
    }

    /// What the new key takes from the old one: its type, and what its record says beside it.
    fn model(&self, old: &Selector) -> Result<(Algorithm, Terms), Failure> {
        let algorithm = self.public_key(old)?.algorithm();
        let text = input::read(&KeyPaths::within(self.folder, old).record, input::CONFIGURATION)
            .unwrap_or_default();
        let record = Record::parse(&Record::text_in(&text));
        Ok((algorithm, record.map(|record| record.terms().clone()).unwrap_or_default()))
    }

    fn public_key(&self, selector: &Selector) -> Result<PublicKey, Failure> {
        keys::public_key(&KeyPaths::within(self.folder, selector).private)
    }

    fn look(&mut self, selector: &Selector, key: Option<&PublicKey>) -> Vec<Sight> {
        let name = format!("{selector}._domainkey.{}", self.domain);
        let sights = look(&self.run.dns, &name, key);
        self.report.trouble |= some_unknown(&sights);
        sights
    }

    fn publish(&mut self, selector: &Selector) -> Result<(), Failure> {
        let name = format!("{selector}._domainkey.{}", self.domain);
        let value = keys::record_value(self.folder, selector)?;
        self.report.publish = Some(Publish { name, value });
        Ok(())
    }

    /// Lets one selector sign in the place of the other.
    fn replace(
        &mut self,
        signers: &[Signer],
        from: &Selector,
        to: &Selector,
    ) -> Result<(), Failure> {
        for signer in signers.iter().filter(|signer| signer.selectors().any(|one| one == from)) {
            let text = signer.with(from, to)?;
            if !self.run.is_dry {
                let (path, text) = (&signer.path, text.as_bytes());
                self.run.store.replace(&NewFile { path, text, readers: Readers::All })?;
            }
            self.report.done.push(format!("{}: {from} is {to} now", signer.path.display()));
        }
        Ok(())
    }
}

/// The record of a key that was revoked (§3.6.1 p=).
const REVOKED: &str = "v=DKIM1; p=";
