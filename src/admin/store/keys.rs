//! Keys and records on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use getrandom::SysRng;

use super::domains::{self, DomainConfig};
use super::error::FileError;
use super::time::UtcTime;
use super::waiting;
use crate::admin::input;
use crate::admin::output::{Failure, warn};
use crate::config::DEFAULT;
use crate::dkim::key::SMALLEST;
use crate::dkim::{
    Algorithm, Domain, KeyError, PublicKey, Record, RecordError, Selector, SigningKey, Terms,
};
use crate::report;
use crate::submission::configuration::is_absent;

/// The default size of an RSA key: every receiver accepts it, and no attacker can factor it soon.
pub(crate) const RSA_BITS: u32 = 2048;

/// A new key and its record.
pub(crate) struct NewKey {
    pub(crate) key: SigningKey,
    pub(crate) record: Record,
}

impl NewKey {
    /// Generates a key. `bits` is the size of an RSA key.
    pub(crate) fn generate(algorithm: Algorithm, bits: u32, terms: Terms) -> Result<Self, Failure> {
        let key = match algorithm {
            Algorithm::RsaSha256 => SigningKey::generate(bits, &mut SysRng),
            Algorithm::Ed25519Sha256 => SigningKey::generate_ed25519(&mut SysRng),
        }?;
        let record = Record::new(key.public()).with_terms(terms);
        Ok(Self { key, record })
    }
}

/// The files of a key.
pub(crate) struct KeyFiles {
    pub(crate) private: PathBuf,
    pub(crate) record: PathBuf,
}

impl KeyFiles {
    /// The files of a selector in the directory of a domain's keys.
    pub(crate) fn within(folder: &Path, selector: &Selector) -> Self {
        Self {
            private: folder.join(format!("{selector}.private")),
            record: folder.join(format!("{selector}.txt")),
        }
    }

    /// An error if there is already a key or record.
    pub(crate) fn refuse_existing(&self) -> Result<(), Failure> {
        let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
        let (path, hint) = if is_there(&self.private) {
            (&self.private, "; run dkimctl use to sign with this key, or choose another selector")
        } else if is_there(&self.record) {
            (&self.record, ", though its key does not; choose another selector")
        } else {
            return Ok(());
        };
        Err(Failure::exists(format_args!("{path:?} already exists{hint}")))
    }

    /// Reads the key.
    pub(crate) fn key(&self, minimum_bits: u32) -> Result<SigningKey, FileError<KeyError>> {
        let pem = input::key(&self.private).map_err(FileError::Unreadable)?;
        SigningKey::from_pem(&*pem, minimum_bits).map_err(FileError::Invalid)
    }

    /// The public half of the key. It is not checked whether the numbers of the key belong together.
    pub(crate) fn public(&self) -> Result<PublicKey, FileError<KeyError>> {
        let pem = input::key(&self.private).map_err(FileError::Unreadable)?;
        PublicKey::of_private_pem(&*pem).map_err(FileError::Invalid)
    }

    /// The algorithm and size of the key, if it may sign. With `is_proven` all its numbers are checked, else only its public
    /// half.
    pub(crate) fn size(
        &self,
        minimum_bits: u32,
        is_proven: bool,
    ) -> Result<(Algorithm, u32), FileError<KeyError>> {
        if is_proven {
            return self.key(minimum_bits).map(|key| (key.algorithm(), key.bits()));
        }
        let (key, minimum) = (self.public()?, minimum_bits.max(SMALLEST));
        let (algorithm, bits) = (key.algorithm(), key.bits());
        if algorithm == Algorithm::RsaSha256 && bits < minimum {
            return Err(FileError::Invalid(KeyError::TooSmall { bits, minimum }));
        }
        Ok((algorithm, bits))
    }

    /// When the key was created.
    pub(crate) fn made(&self) -> io::Result<UtcTime> {
        Ok(UtcTime::of(fs::metadata(&self.private)?.modified()?))
    }

    /// The text of the record file; empty if there is none.
    pub(crate) fn record_text(&self) -> Result<Vec<u8>, Failure> {
        match input::read(&self.record, input::CONFIGURATION) {
            Ok(text) => Ok(Record::text_in(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Failure::reading(&self.record, &error)),
        }
    }

    /// The tags of the record other than the key.
    pub(crate) fn terms(&self) -> Terms {
        let text = self.record_text().unwrap_or_default();
        Record::parse(&text).map(|record| record.terms().clone()).unwrap_or_default()
    }

    /// The text to publish: the record in its file, else a record with only the key. Warns about a weak key.
    pub(crate) fn to_publish(&self) -> Result<String, Failure> {
        let text = self.record_text()?;
        match self.public() {
            Ok(key) => {
                if is_weak(key.algorithm(), key.bits()) {
                    warn(format_args!(
                        "{} has {} bits, which is weak; receivers expect {RSA_BITS}; run dkimctl rotate",
                        self.private.display(),
                        key.bits()
                    ));
                }
                if text.is_empty() {
                    return Ok(Record::new(key).text()?);
                }
                if Record::parse(&text).is_ok_and(|record| *record.key() != key) {
                    return Err(Failure::data(format_args!(
                        "{} is not the record of its key; remove this file, then run the command again",
                        self.record.display()
                    )));
                }
            }
            // A revoked key only has its record. Records are not secret.
            Err(FileError::Unreadable(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) && self.record.exists() => {}
            Err(error) => return Err(error.at(&self.private)),
        }
        printable(text)
            .map_err(|what| Failure::data(format_args!("{}: {what}", self.record.display())))
    }
}

/// Parses a selector that a person typed. The name of a record is a common mistake.
///
/// # Errors
/// Why it is not a selector.
pub(crate) fn selector(text: &str) -> Result<Selector, String> {
    match text.split_once("._domainkey") {
        Some((meant, _)) => Err(format!("this is the name of a record; the selector is {meant:?}")),
        None => Selector::parse(text).map_err(|error| error.to_string()),
    }
}

/// Checks that a text may be published: it must be the record of a key or of a revoked key.
///
/// # Errors
/// Why it may not be published.
pub(crate) fn printable(text: Vec<u8>) -> Result<String, String> {
    let is_printable = |text: &String| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let text = String::from_utf8(text).ok().filter(is_printable);
    let text = text.ok_or("not printable text")?;
    match Record::parse(text.as_bytes()) {
        Ok(_) | Err(RecordError::Revoked) => Ok(text),
        Err(error) => Err(report::chain(&error)),
    }
}

/// The record of a key that was revoked (§3.6.1 p=).
pub(crate) const REVOKED: &str = "v=DKIM1; p=";

/// The content of the record file of a revoked key.
pub(crate) fn revoked_entry(selector: &Selector, domain: &Domain) -> String {
    format!(
        "{selector}._domainkey\tIN\tTXT\t( \"{REVOKED}\" )  ; ----- DKIM key {selector} for {domain}, revoked\n"
    )
}

/// Whether a key is smaller than receivers expect.
pub(crate) fn is_weak(algorithm: Algorithm, bits: u32) -> bool {
    algorithm == Algorithm::RsaSha256 && bits < RSA_BITS
}

/// The directory of a domain's keys.
pub(crate) struct KeyFolder {
    /// d=
    pub(crate) domain: Domain,
    pub(crate) path: PathBuf,
    /// If the directory is shared with other domains: the keys that this domain signs with.
    shared: Option<BTreeSet<Selector>>,
}

impl KeyFolder {
    /// The directory of a domain's keys, which may not exist.
    pub(crate) fn new(etc: &Path, domain: Domain) -> Self {
        let path = etc.join("keys").join(domain.as_str());
        Self { domain, path, shared: None }
    }

    /// The directory of a domain that signs according to a domain file.
    pub(crate) fn of_file(etc: &Path, domain: Domain, config: &DomainConfig) -> Self {
        let path = etc.join("keys").join(config.folder());
        let shared = config.file.keys.is_some();
        let shared = shared.then(|| config.selectors().into_iter().cloned().collect());
        Self { domain, path, shared }
    }

    /// The directory of a domain with this domain file, or with none.
    pub(crate) fn of_own(etc: &Path, domain: &Domain, config: Option<&DomainConfig>) -> Self {
        let signer = config.and_then(DomainConfig::domain).unwrap_or(domain).clone();
        match config {
            Some(config) => Self::of_file(etc, signer, config),
            None => Self::new(etc, signer),
        }
    }

    /// The directory `keys/NAME`, where a domain signs with one key.
    pub(crate) fn named(etc: &Path, domain: Domain, name: &str, selector: &Selector) -> Self {
        let shared = Some(BTreeSet::from([selector.clone()]));
        Self { domain, path: etc.join("keys").join(name), shared }
    }

    /// Whether other domains may sign with the keys, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// The name of the directory.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The directories of all domains that have keys, or wait for a record of a key that they share.
    fn all(etc: &Path) -> Result<Vec<Self>, Failure> {
        let keys = etc.join("keys");
        let waiting = waiting::domains(etc).into_iter().filter_map(|domain| {
            let config = waiting::read(etc, &domain).ok()??;
            config.file.keys.is_some().then_some((domain, config))
        });
        let waiting: BTreeMap<Domain, DomainConfig> = waiting.collect();
        let folder = |name: String| {
            // `default` is not a domain.
            let domain = Domain::parse(&name).ok().filter(|domain| domain.as_str() == name)?;
            let path = keys.join(&name);
            // Nor is the name of a directory that domains share, unless there is a domain file of that name.
            let is_domain = name.contains('.') || domains::file(etc, &name).exists();
            if name == DEFAULT || !is_domain || waiting.contains_key(&domain) {
                return None;
            }
            is_folder(&path).map(|is| is.then(|| Self::new(etc, domain))).transpose()
        };
        let own = input::optional_names(&keys)?.into_iter().filter_map(folder);
        let shared =
            waiting.iter().map(|(domain, config)| Ok(Self::of_file(etc, domain.clone(), config)));
        own.chain(shared).collect()
    }

    /// The directories of these domains, or of all domains that have keys if the list is empty.
    pub(crate) fn chosen(etc: &Path, domains: &[Domain]) -> Result<Vec<Self>, Failure> {
        if domains.is_empty() {
            return Self::all(etc);
        }
        domains.iter().map(|domain| Self::of(etc, domain)).collect()
    }

    /// The directories of the domains that share keys with others. Reads all domain files if any may do so.
    pub(crate) fn shared(etc: &Path) -> Result<Vec<Self>, Failure> {
        let names = input::names(&etc.join("keys")).unwrap_or_default();
        if names.iter().all(|name| name.contains('.')) {
            return Ok(Vec::new());
        }
        let sharing = domains::all(etc)?.filter_map(|(_, read)| {
            let config = read.ok().filter(|config| config.file.keys.is_some())?;
            Some(Self::of_file(etc, config.domain()?.clone(), &config))
        });
        Ok(sharing.collect())
    }

    /// The directory of the domain that signs mail From `domain`.
    pub(crate) fn of(etc: &Path, domain: &Domain) -> Result<Self, Failure> {
        let path = domains::file(etc, domain);
        let has_file = path.try_exists().unwrap_or_else(|error| !is_absent(&error));
        let config = if has_file {
            let read = DomainConfig::read(&path, &domains::inherited(etc)?);
            Some(read.map_err(|error| error.at(&path))?)
        } else {
            waiting::read(etc, domain)?
        };
        let folder = Self::of_own(etc, domain, config.as_ref());
        if is_folder(&folder.path)? {
            return Ok(folder);
        }
        let Self { domain, path: own, .. } = folder;
        let default = etc.join("keys").join(DEFAULT);
        if !has_file && etc.join("domains/default.toml").exists() && is_folder(&default)? {
            return Ok(Self { domain, path: default, shared: None });
        }
        Err(Failure::missing(format_args!(
            "there are no keys of {domain} in {own:?}; run dkimctl add {domain}"
        )))
    }

    /// The selectors of the keys and records in the directory.
    pub(crate) fn selectors(&self) -> Result<BTreeSet<Selector>, Failure> {
        let selector = |name: String| {
            let name = name.strip_suffix(".txt").or_else(|| name.strip_suffix(".private"))?;
            Selector::parse(name).ok()
        };
        let is_own = |one: &Selector| self.shared.as_ref().is_none_or(|own| own.contains(one));
        let names = input::optional_names(&self.path)?.into_iter();
        Ok(names.filter_map(selector).filter(is_own).collect())
    }

    /// The files of a key in the directory.
    pub(crate) fn key(&self, selector: &Selector) -> KeyFiles {
        KeyFiles::within(&self.path, selector)
    }
}

/// Whether there is a directory at `path`. A missing permission is an error, not an absence.
fn is_folder(path: &Path) -> Result<bool, Failure> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(false)
        }
        Err(error) => Err(Failure::reading(path, &error)),
    }
}
