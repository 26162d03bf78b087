//! Keys and their records as they lie on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::domains;
use crate::admin::input;
use crate::admin::output::{Failure, warn};
use crate::dkim::key::SMALLEST;
use crate::dkim::{Algorithm, Domain, PublicKey, Record, RecordError, Selector, SigningKey};
use crate::report;
use getrandom::SysRng;

/// A key of that type and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Rsa(u32),
    Ed25519,
}

impl Wanted {
    /// Those of a key that every receiver takes and nobody breaks soon.
    pub(crate) const DEFAULT: Self = Self::Rsa(2048);

    pub(crate) fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RsaSha256 => Self::DEFAULT,
            Algorithm::Ed25519Sha256 => Self::Ed25519,
        }
    }

    pub(crate) fn generate(self) -> Result<SigningKey, Failure> {
        match self {
            Self::Rsa(bits) => SigningKey::generate(bits, &mut SysRng),
            Self::Ed25519 => SigningKey::generate_ed25519(&mut SysRng),
        }
        .map_err(Failure::software)
    }
}

/// Where a key and its record are.
pub(crate) struct KeyPaths {
    pub(crate) private: PathBuf,
    pub(crate) record: PathBuf,
}

impl KeyPaths {
    /// In the tree.
    pub(crate) fn of(etc: &Path, domain: &Domain, selector: &Selector) -> Self {
        Self::within(&etc.join("keys").join(domain.as_str()), selector)
    }

    pub(crate) fn within(folder: &Path, selector: &Selector) -> Self {
        Self {
            private: folder.join(format!("{selector}.private")),
            record: folder.join(format!("{selector}.txt")),
        }
    }

    pub(crate) fn refuse_existing(&self) -> Result<(), Failure> {
        for path in [&self.private, &self.record] {
            if path.symlink_metadata().is_ok() {
                return Err(Failure::exists(format_args!(
                    "{path:?} is there already; choose another selector, or remove it yourself"
                )));
            }
        }
        Ok(())
    }
}

/// The domains that have a folder of keys, and those folders.
pub(crate) fn folders(etc: &Path) -> Result<Vec<(Domain, PathBuf)>, Failure> {
    let mut folders = Vec::new();
    for name in names(&etc.join("keys"))? {
        let path = etc.join("keys").join(&name);
        // `default` is no domain.
        if let Ok(domain) = Domain::parse(&name)
            && domain.as_str() == name
            && path.is_dir()
            && name != DEFAULT
        {
            folders.push((domain, path));
        }
    }
    Ok(folders)
}

/// The signing domain of mail From a domain, and the folder of its keys.
pub(crate) fn folder(etc: &Path, domain: &Domain) -> Result<(Domain, PathBuf), Failure> {
    let path = etc.join("domains").join(format!("{domain}.toml"));
    let file = match input::text(&path, input::CONFIGURATION) {
        Ok(text) => Some(
            domains::parse(&path, &text, &domains::inherited(etc)?)
                .map_err(|error| Failure::data(format_args!("{}: {error}", path.display())))?,
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::reading(&path, &error)),
    };
    let has_file = file.is_some();
    let domain = file.and_then(|file| file.domain).unwrap_or_else(|| domain.clone());
    let keys = etc.join("keys");
    let (own, default) = (keys.join(domain.as_str()), keys.join(DEFAULT));
    if own.is_dir() {
        return Ok((domain, own));
    }
    if !has_file && etc.join("domains/default.toml").exists() && default.is_dir() {
        return Ok((domain, default));
    }
    Err(Failure::missing(format_args!(
        "there are no keys of {domain} in {own:?}; dkimctl genkey makes one"
    )))
}

/// The selectors of the keys and records in a folder.
pub(crate) fn selectors(folder: &Path) -> Result<Vec<Selector>, Failure> {
    let names = names(folder)?;
    let selectors: BTreeSet<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".txt").or_else(|| name.strip_suffix(".private")))
        .collect();
    Ok(selectors.into_iter().filter_map(|name| Selector::parse(name).ok()).collect())
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error| Failure::reading(folder, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// The text of a key's record: what SELECTOR.txt says, else the key alone.
pub(crate) fn record_value(folder: &Path, selector: &Selector) -> Result<String, Failure> {
    let paths = KeyPaths::within(folder, selector);
    let private = match input::key(&paths.private) {
        Ok(pem) => Some(read_key(&paths.private, &pem)?),
        // Of a revoked key there is the record alone; and records are not secret.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) && paths.record.exists() =>
        {
            None
        }
        Err(error) => return Err(Failure::reading(&paths.private, &error)),
    };
    let text = match input::read(&paths.record, input::CONFIGURATION) {
        Ok(text) => Record::text_in(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Failure::reading(&paths.record, &error)),
    };
    let Some(key) = private else { return usable(&paths.record, text) };
    if text.is_empty() {
        return Record::new(key.public()).text().map_err(Failure::software);
    }
    if Record::parse(&text).is_ok_and(|record| *record.key() != key.public()) {
        return Err(Failure::data(format_args!(
            "{} is not the record of the key beside it; remove it, and this shows the right one",
            paths.record.display()
        )));
    }
    usable(&paths.record, text)
}

fn usable(path: &Path, text: Vec<u8>) -> Result<String, Failure> {
    let failed = |what: &str| Failure::data(format_args!("{}: {what}", path.display()));
    let text = String::from_utf8(text).map_err(|_| failed("not printable text"))?;
    usable_value(&text).map_err(|what| failed(&what))?;
    Ok(text)
}

/// Whether that is the text of a key record, or of one that was revoked.
pub(crate) fn usable_value(text: &str) -> Result<(), String> {
    if !text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return Err("not printable text".to_owned());
    }
    match Record::parse(text.as_bytes()) {
        Ok(_) | Err(RecordError::Revoked) => Ok(()),
        Err(error) => Err(report::chain(&error)),
    }
}

/// The public half of the key in a file.
pub(crate) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    let pem = input::key(path).map_err(|error| Failure::reading(path, &error))?;
    let key = SigningKey::from_pem(&*pem, SMALLEST);
    let key = key.map_err(|error| Failure::data(format_args!("{}: {error}", path.display())))?;
    Ok(key.public())
}

/// Reads a private key of any size that may sign, and says so where it is weak.
fn read_key(path: &Path, pem: &[u8]) -> Result<SigningKey, Failure> {
    let key = SigningKey::from_pem(pem, SMALLEST)
        .map_err(|error| Failure::data(format_args!("{}: {error}", path.display())))?;
    if key.algorithm() == Algorithm::RsaSha256 && key.bits() < 2048 {
        warn(format_args!(
            "{} has {} bits, which is weak; receivers ask for 2048: dkimctl rotate",
            path.display(),
            key.bits()
        ));
    }
    Ok(key)
}

/// The folder of the keys of `default.toml`.
const DEFAULT: &str = "default";
