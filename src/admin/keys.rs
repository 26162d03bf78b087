//! Keys and their records as they lie on the disk.

use std::path::{Path, PathBuf};

use getrandom::SysRng;

use super::output::Failure;
use crate::dkim::{Algorithm, Domain, Selector, SigningKey};

/// A key of that type and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Rsa(u32),
    Ed25519,
}

impl Wanted {
    /// Those of a key that every receiver takes and nobody breaks soon.
    pub(super) const DEFAULT: Self = Self::Rsa(2048);

    pub(super) fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RsaSha256 => Self::DEFAULT,
            Algorithm::Ed25519Sha256 => Self::Ed25519,
        }
    }

    pub(super) fn generate(self) -> Result<SigningKey, Failure> {
        match self {
            Self::Rsa(bits) => SigningKey::generate(bits, &mut SysRng),
            Self::Ed25519 => SigningKey::generate_ed25519(&mut SysRng),
        }
        .map_err(Failure::software)
    }
}

/// Where a key and its record are.
pub(super) struct KeyPaths {
    pub(super) private: PathBuf,
    pub(super) record: PathBuf,
}

impl KeyPaths {
    /// In the tree.
    pub(super) fn of(etc: &Path, domain: &Domain, selector: &Selector) -> Self {
        Self::within(&etc.join("keys").join(domain.as_str()), selector)
    }

    pub(super) fn within(folder: &Path, selector: &Selector) -> Self {
        Self {
            private: folder.join(format!("{selector}.private")),
            record: folder.join(format!("{selector}.txt")),
        }
    }

    pub(super) fn refuse_existing(&self) -> Result<(), Failure> {
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
