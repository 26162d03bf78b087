//! Creates a key with its record and, if the domain has none, its domain file. Shared by `genkey` and `add`. Overwrites nothing.

mod made;
mod signers;

use std::path::{Path, PathBuf};
use std::slice;

use super::cli::{Args, Opt, number};
use super::output::{Failure, warn};
use super::store::domains::{self, DomainConfig};
use super::store::keys::{KeyFiles, NewKey, RSA_BITS};
use super::store::{NewFile, Readers, Store, waiting};
use crate::dkim::record::Owner;
use crate::dkim::{Algorithm, Domain, PublicKey, Record, Selector, Terms};
pub(super) use made::{Made, note, show};
pub(super) use signers::Signers;

pub(super) const TYPE: Opt = Opt("--type rsa|ed25519", "key type (default: rsa)");
pub(super) const BITS: Opt =
    Opt("-b, --bits BITS", "size of an RSA key, 1024 to 4096 (default: 2048)");
pub(super) const USERS: Opt = Opt("--users LIST", "only these users may sign, as a,b");
pub(super) const GROUPS: Opt =
    Opt("--groups LIST", "only members of these groups may sign, as a,b");

pub(super) const KEYS: Opt =
    Opt("--keys NAME", "sign with the keys in keys/NAME, shared by domains");

/// A key to create.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) domain: Domain,
    pub(super) selector: Selector,
    pub(super) kind: Kind,
    pub(super) terms: Terms,
    pub(super) signers: Signers,
    /// Whether the record file has the full name.
    pub(super) is_full: bool,
    /// A directory outside the tree.
    pub(super) directory: Option<PathBuf>,
    /// The name of the directory of keys, if domains share it.
    pub(super) shared: Option<String>,
    /// Whether a new domain is signed only once DNS has the record.
    pub(super) waits: bool,
}

/// The type and size of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) algorithm: Algorithm,
    bits: u32,
}

impl Kind {
    /// Reads the options.
    pub(super) fn of(args: &Args) -> Result<Self, Failure> {
        let algorithm = args.text("--type")?.and_then(Algorithm::of_key_type);
        let algorithm = algorithm.unwrap_or(Algorithm::RsaSha256);
        let bits = match (algorithm, args.value("--bits", number)?) {
            (_, None) => RSA_BITS,
            (Algorithm::Ed25519Sha256, Some(_)) => {
                return Err(Failure::usage("an Ed25519 key has a fixed size: omit -b"));
            }
            (_, Some(bits)) if (1024..=4096).contains(&bits) => bits,
            (_, Some(bits)) => {
                return Err(Failure::usage(format_args!("{bits} bits: a key has 1024 to 4096")));
            }
        };
        if bits < RSA_BITS {
            warn(format_args!("a key of {bits} bits is weak; receivers expect {RSA_BITS}"));
        }
        Ok(Self { algorithm, bits })
    }
}

impl Wanted {
    /// Creates the key and its files. A key that domains share is created for the first one.
    pub(super) fn make(mut self, etc: &Path) -> Result<Made, Failure> {
        let file = domains::file(etc, &self.domain);
        if self.directory.is_none() {
            if let Some(config) = waiting::read(etc, &self.domain)? {
                return self.go_on(etc, &config);
            }
            // What is wrong with the domain file is one of the steps that are left.
            let own = domains::own(etc, &self.domain).ok().flatten();
            let signer = own.as_ref().and_then(DomainConfig::domain);
            if let Some(signer) = signer.filter(|signer| **signer != self.domain) {
                let what = format_args!("{} signs with d={signer}", file.display());
                let remedy = format_args!("dkimctl add {signer} -s {}", self.selector);
                return Err(Failure::exists(what).about(&self.domain).fixed_by(remedy));
            }
            self.shared = self.shared.or_else(|| own?.file.keys);
        }
        let files = KeyFiles::within(&self.folder(etc), &self.selector);
        let is_there = self.shared.is_some() && files.private.symlink_metadata().is_ok();
        if !is_there {
            // Checked early, before the key is generated. Creating the files cannot overwrite others anyway.
            files.refuse_existing()?;
        }
        if !self.signers.is_every_user() && file.symlink_metadata().is_ok() {
            let what = "exists already: write `users` and `groups` into it";
            return Err(Failure::exists(format_args!("{} {what}", file.display())));
        }
        if is_there {
            let key = files.key(domains::inherited(etc)?.minimum_key_bits);
            let public = key.map_err(|error| error.at(&files.private))?.public();
            self.write(etc, &files, &file, None)?;
            return Ok(self.made(files, public));
        }
        let key = self.generate()?;
        self.write(etc, &files, &file, Some(&key))?;
        Ok(Made { wanted: self, files, record: key.record, published: None })
    }

    /// With a key that exists.
    fn made(self, files: KeyFiles, key: PublicKey) -> Made {
        let record = Record::new(key).with_terms(files.terms());
        Made { wanted: self, files, record, published: None }
    }

    fn generate(&self) -> Result<NewKey, Failure> {
        NewKey::generate(self.kind.algorithm, self.kind.bits, self.terms.clone())
    }

    /// The directory of the key.
    fn folder(&self, etc: &Path) -> PathBuf {
        let name = self.shared.as_deref().unwrap_or(self.domain.as_str());
        self.directory.clone().unwrap_or_else(|| etc.join("keys").join(name))
    }

    /// Continues an earlier call that ended before DNS had the record.
    fn go_on(mut self, etc: &Path, config: &DomainConfig) -> Result<Made, Failure> {
        let domain = &self.domain;
        if self.shared.is_some() && self.shared != config.file.keys {
            return Err(Failure::exists(format_args!(
                "{domain} waits for the record of another key: dkimctl remove {domain} ends that"
            )));
        }
        self.shared.clone_from(&config.file.keys);
        let files = KeyFiles::within(&self.folder(etc), &self.selector);
        if !config.selectors().contains(&self.selector) {
            let names: Vec<&str> = config.selectors().into_iter().map(Selector::as_str).collect();
            return Err(Failure::exists(format_args!(
                "{domain} waits for the record of {0}: dkimctl add {domain} goes on with it, dkimctl remove {domain} ends that",
                names.join(", ")
            )));
        }
        if !self.signers.is_every_user() && self.signers != Signers::named_in(config) {
            return Err(Failure::exists(format_args!(
                "{domain} waits for its record with other `users` and `groups`: dkimctl remove {domain} ends that"
            )));
        }
        let store = Store::open(etc)?;
        // The waiting file has the users and groups of the earlier call.
        let waits = std::mem::replace(&mut self.waits, true);
        if files.private.symlink_metadata().is_err() {
            // The earlier call was interrupted before it wrote the key.
            store.remove(&files.record)?;
            let key = self.generate()?;
            self.write(etc, &files, &config.path, Some(&key))?;
        }
        if !waits {
            store.activate(etc, config)?;
        }
        let public = files.public().map_err(|error| error.at(&files.private))?;
        Ok(self.made(files, public))
    }

    fn write(
        &self,
        etc: &Path,
        key_files: &KeyFiles,
        file: &Path,
        key: Option<&NewKey>,
    ) -> Result<(), Failure> {
        let Self { domain, selector, signers, directory, shared, .. } = self;
        let owner = if self.is_full { Owner::Absolute } else { Owner::Relative };
        let texts = key.map(|key| {
            let entry = key.record.zone_entry(selector, domain, owner)?;
            Ok::<_, Failure>((entry, key.key.to_pkcs8_pem()?))
        });
        let texts = texts.transpose()?;
        let is_own = directory.is_none();
        let readers = if is_own { Readers::Group } else { Readers::Owner };
        let text = domains::new_text(slice::from_ref(selector), shared.as_deref());
        let text = text + &signers.toml();
        let mut files = Vec::new();
        if let Some((entry, pem)) = &texts {
            let (path, text) = (&key_files.record, entry.as_bytes());
            files.push(NewFile { path, text, readers: Readers::All });
            files.push(NewFile { path: &key_files.private, text: pem.as_bytes(), readers });
        }
        let store = match directory {
            Some(directory) => Store::open_shared(directory)?,
            None => Store::create(etc)?,
        };
        if is_own {
            store.keys_folder(shared.as_deref().unwrap_or(domain.as_str()))?;
        }
        let waiting = waiting::path(etc, domain);
        if is_own && file.symlink_metadata().is_err() {
            store.folder(&etc.join("domains"), Readers::All)?;
            let text = text.as_bytes();
            let readers = Readers::All;
            if !self.waits {
                // Written last: with a domain file without its key, mail would cause errors.
                files.push(NewFile { path: file, text, readers });
            } else if waiting.symlink_metadata().is_err() {
                // Written first, so that the next call notices an interruption.
                files.insert(0, NewFile { path: &waiting, text, readers });
            }
        }
        store.files(&files)
    }
}
