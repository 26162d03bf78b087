//! Keys and their records on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use getrandom::SysRng;

use super::domains;
use super::domains::DomainConfig;
use super::error::FileError;
use super::time::UtcTime;
use crate::admin::input;
use crate::admin::output::{Failure, warn};
use crate::dkim::key::SMALLEST;
use crate::dkim::{
    Algorithm, Domain, KeyError, PublicKey, Record, RecordError, Selector, SigningKey, Terms,
};
use crate::policy::DEFAULT;
use crate::report;

/// Bits of an RSA key that every receiver accepts and no attacker factors soon.
pub(crate) const RSA_BITS: u32 = 2048;

/// A key that was just made, and its record.
pub(crate) struct NewKey {
    pub(crate) key: SigningKey,
    pub(crate) record: Record,
}

impl NewKey {
    /// Makes a key; `bits` are those of an RSA key.
    pub(crate) fn generate(algorithm: Algorithm, bits: u32, terms: Terms) -> Result<Self, Failure> {
        let key = match algorithm {
            Algorithm::RsaSha256 => SigningKey::generate(bits, &mut SysRng),
            Algorithm::Ed25519Sha256 => SigningKey::generate_ed25519(&mut SysRng),
        };
        let key = key?;
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
    /// Those of a selector in the directory of a domain's keys.
    pub(crate) fn within(folder: &Path, selector: &Selector) -> Self {
        Self {
            private: folder.join(format!("{selector}.private")),
            record: folder.join(format!("{selector}.txt")),
        }
    }

    /// Refuses to make a key where there is one.
    pub(crate) fn refuse_existing(&self) -> Result<(), Failure> {
        let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
        if is_there(&self.private) {
            return Err(Failure::exists(format_args!(
                "{:?} is there already; dkimctl use lets that key sign, another selector makes another key",
                self.private
            )));
        }
        if is_there(&self.record) {
            return Err(Failure::exists(format_args!(
                "{:?} is there already, of a key that is gone; choose another selector",
                self.record
            )));
        }
        Ok(())
    }

    /// Reads the key.
    pub(crate) fn key(&self, minimum_bits: u32) -> Result<SigningKey, FileError<KeyError>> {
        let pem = input::key(&self.private).map_err(FileError::Unreadable)?;
        SigningKey::from_pem(&*pem, minimum_bits).map_err(FileError::Invalid)
    }

    /// The public half of the key. That the numbers of the key belong together is not looked at.
    pub(crate) fn public(&self) -> Result<PublicKey, FileError<KeyError>> {
        let pem = input::key(&self.private).map_err(FileError::Unreadable)?;
        PublicKey::of_private_pem(&*pem).map_err(FileError::Invalid)
    }

    /// Algorithm and size of the key, if it may sign: of all its numbers, where it `is_proven`, else by its public half.
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

    /// When the key was made.
    pub(crate) fn made(&self) -> io::Result<UtcTime> {
        Ok(UtcTime::of(fs::metadata(&self.private)?.modified()?))
    }

    /// The text of the record's file; empty where there is none.
    pub(crate) fn record_text(&self) -> Result<Vec<u8>, Failure> {
        match input::read(&self.record, input::CONFIGURATION) {
            Ok(text) => Ok(Record::text_in(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Failure::reading(&self.record, &error)),
        }
    }

    /// What the record says beside the key.
    pub(crate) fn terms(&self) -> Terms {
        let text = self.record_text().unwrap_or_default();
        Record::parse(&text).map(|record| record.terms().clone()).unwrap_or_default()
    }

    /// The text to publish: what the record's file says, else the key alone. Warns of a weak key.
    pub(crate) fn to_publish(&self) -> Result<String, Failure> {
        let text = self.record_text()?;
        match self.public() {
            Ok(key) => {
                if is_weak(key.algorithm(), key.bits()) {
                    warn(format_args!(
                        "{} has {} bits, which is weak; receivers ask for {RSA_BITS}: dkimctl rotate",
                        self.private.display(),
                        key.bits()
                    ));
                }
                if text.is_empty() {
                    return Ok(Record::new(key).text()?);
                }
                if Record::parse(&text).is_ok_and(|record| *record.key() != key) {
                    return Err(Failure::data(format_args!(
                        "{} is not the record of the key beside it; remove it, and this shows the right one",
                        self.record.display()
                    )));
                }
            }
            // Of a revoked key there is the record alone; and records are not secret.
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

/// A selector as people name it: the name of its record is a mistake.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn selector(text: &str) -> Result<Selector, String> {
    match text.split_once("._domainkey") {
        Some((meant, _)) => Err(format!("this is the name of a record; the selector is {meant:?}")),
        None => Selector::parse(text).map_err(|error| error.to_string()),
    }
}

/// A text that may be published: the record of a key, or of one that was revoked.
///
/// # Errors
/// Why it may not.
pub(crate) fn printable(text: Vec<u8>) -> Result<String, String> {
    let Ok(text) = String::from_utf8(text) else { return Err("not printable text".to_owned()) };
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err("not printable text".to_owned());
    }
    match Record::parse(text.as_bytes()) {
        Ok(_) | Err(RecordError::Revoked) => Ok(text),
        Err(error) => Err(report::chain(&error)),
    }
}

/// The record of a key that was revoked (§3.6.1 p=).
pub(crate) const REVOKED: &str = "v=DKIM1; p=";

/// The text of the record's file of a key that was revoked.
pub(crate) fn revoked_entry(selector: &Selector, domain: &Domain) -> String {
    format!(
        "{selector}._domainkey\tIN\tTXT\t( \"{REVOKED}\" )  ; ----- DKIM key {selector} for {domain}, revoked\n"
    )
}

/// Whether a key is smaller than receivers like it.
pub(crate) fn is_weak(algorithm: Algorithm, bits: u32) -> bool {
    algorithm == Algorithm::RsaSha256 && bits < RSA_BITS
}

/// The directory of a domain's keys.
pub(crate) struct KeyFolder {
    pub(crate) domain: Domain,
    pub(crate) path: PathBuf,
}

impl KeyFolder {
    /// That of a domain, whether or not it is there.
    pub(crate) fn new(etc: &Path, domain: Domain) -> Self {
        let path = etc.join("keys").join(domain.as_str());
        Self { domain, path }
    }

    /// The name of the directory.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Those of all domains that have keys.
    fn all(etc: &Path) -> Result<Vec<Self>, Failure> {
        let keys = etc.join("keys");
        let folder = |name: String| {
            // `default` is no domain.
            let domain = Domain::parse(&name).ok().filter(|domain| domain.as_str() == name)?;
            let path = keys.join(&name);
            if name == DEFAULT {
                return None;
            }
            is_folder(&path).map(|is| is.then_some(Self { domain, path })).transpose()
        };
        let names = match input::names(&keys) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| Failure::reading(&keys, &error))?,
        };
        names.into_iter().filter_map(folder).collect()
    }

    /// Those of some domains, or without any of all that have keys.
    pub(crate) fn chosen(etc: &Path, domains: &[Domain]) -> Result<Vec<Self>, Failure> {
        if domains.is_empty() {
            return Self::all(etc);
        }
        domains.iter().map(|domain| Self::of(etc, domain)).collect()
    }

    /// That of the signing domain of mail From a domain.
    pub(crate) fn of(etc: &Path, domain: &Domain) -> Result<Self, Failure> {
        let path = domains::file(etc, domain);
        let has_file = !matches!(path.try_exists(), Ok(false));
        let config = has_file.then(|| {
            let read = DomainConfig::read(&path, &domains::inherited(etc)?);
            read.map_err(|error| error.at(&path))
        });
        let own = config.transpose()?.and_then(|config| config.file.domain);
        let domain = own.unwrap_or_else(|| domain.clone());
        let keys = etc.join("keys");
        let (own, default) = (keys.join(domain.as_str()), keys.join(DEFAULT));
        if is_folder(&own)? {
            return Ok(Self { domain, path: own });
        }
        if !has_file && etc.join("domains/default.toml").exists() && is_folder(&default)? {
            return Ok(Self { domain, path: default });
        }
        Err(Failure::missing(format_args!(
            "there are no keys of {domain} in {own:?}: dkimctl add {domain}"
        )))
    }

    /// The selectors of the keys and records in it.
    pub(crate) fn selectors(&self) -> Result<BTreeSet<Selector>, Failure> {
        let selector = |name: String| {
            let name = name.strip_suffix(".txt").or_else(|| name.strip_suffix(".private"))?;
            Selector::parse(name).ok()
        };
        match input::names(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(Failure::reading(&self.path, &error)),
            Ok(names) => Ok(names.into_iter().filter_map(selector).collect()),
        }
    }

    /// The files of a key in it.
    pub(crate) fn key(&self, selector: &Selector) -> KeyFiles {
        KeyFiles::within(&self.path, selector)
    }
}

/// Whether there is a directory of that name. That the caller may not look is not the same as that there is none.
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
