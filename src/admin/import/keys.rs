//! Reads keys of OpenDKIM: in a file or in the table itself, as PEM or as base64 of DER.

use std::path::Path;

use base64::prelude::*;
use zeroize::Zeroizing;

use crate::admin::input;
use crate::dkim::record::Owner;
use crate::dkim::{Algorithm, Domain, KeyError, Record, Selector, SigningKey};
use crate::report::plain;

/// A usable key.
pub(super) struct ImportedKey {
    key: SigningKey,
    /// The unchanged file, or the key in PKCS#8.
    pub(super) pem: Zeroizing<Vec<u8>>,
    /// A description of the key and where it was.
    pub(super) description: String,
    /// The size of an RSA key.
    pub(super) rsa_bits: Option<u32>,
}

/// Verifiers refuse smaller keys (RFC 8301 §3.2).
const SMALLEST: u32 = 1024;

impl ImportedKey {
    /// Reads the third column of a `KeyTable`, or `KeyFile`.
    ///
    /// # Errors
    /// The key and why it cannot be used.
    pub(super) fn read(source: &str, base: Option<&str>) -> Result<Self, String> {
        let is_path = ["/", "./", "../"].iter().any(|begin| source.starts_with(begin));
        let (bytes, origin) = if is_path {
            let path = base.map_or_else(|| source.into(), |base| Path::new(base).join(source));
            let bytes =
                input::key(&path).map_err(|error| format!("{path:?}: {}", plain(&error)))?;
            (bytes, path.display().to_string())
        } else {
            (Zeroizing::new(source.as_bytes().to_vec()), "the KeyTable".to_owned())
        };
        Self::of(bytes, &origin)
    }

    fn of(bytes: Zeroizing<Vec<u8>>, origin: &str) -> Result<Self, String> {
        let (key, pem) = match SigningKey::from_pem(&bytes, SMALLEST) {
            Ok(key) => (key, bytes),
            Err(why) => {
                let of_size =
                    |error| matches!(error, KeyError::TooSmall { .. } | KeyError::TooLarge { .. });
                let key = of_der(&bytes).map_err(|error| if of_size(error) { error } else { why });
                let key = key.map_err(|error| format!("in {origin}: {error}"))?;
                let pem = key.to_pkcs8_pem().map_err(|error| error.to_string())?;
                (key, Zeroizing::new(pem.as_bytes().to_vec()))
            }
        };
        let bits = key.bits();
        let algorithm = key.algorithm();
        let rsa_bits = (algorithm == Algorithm::RsaSha256).then_some(bits);
        let description = format!("{} key of {bits} bits from {origin}", algorithm.key_type());
        Ok(Self { key, pem, description, rsa_bits })
    }

    /// The record of the key, in the format of a zone file.
    ///
    /// # Errors
    /// The names are not valid in DNS.
    pub(super) fn record(&self, folder: &str, selector: &str) -> Result<String, String> {
        let domain = Domain::parse(folder).map_err(|error| error.to_string())?;
        let selector = Selector::parse(selector).map_err(|error| error.to_string())?;
        let record = Record::new(self.key.public());
        let owner = if folder == "default" { Owner::Relative } else { Owner::Absolute };
        record.zone_entry(&selector, &domain, owner).map_err(|error| error.to_string())
    }
}

/// A key without PEM, which OpenDKIM also accepts: DER in a file, base64 of DER in a table.
fn of_der(bytes: &[u8]) -> Result<SigningKey, KeyError> {
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
    text.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; text.len()]);
    match BASE64_STANDARD.decode_slice(&*text, &mut der) {
        Ok(length) => SigningKey::from_der(der.get(..length).unwrap_or_default(), SMALLEST),
        Err(_) => SigningKey::from_der(bytes, SMALLEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../../../tests/vectors/rfc6376-c.private");

    fn lines() -> impl Iterator<Item = &'static str> {
        PEM.lines().filter(|line| !line.starts_with('-'))
    }

    fn bare() -> String {
        lines().collect()
    }

    #[test]
    fn a_key_in_a_file_is_kept_as_it_is() {
        let key = ImportedKey::of(Zeroizing::new(PEM.as_bytes().to_vec()), "/k").unwrap();
        assert_eq!((key.pem.as_slice(), key.rsa_bits), (PEM.as_bytes(), Some(1024)));
        assert_eq!(key.description, "rsa key of 1024 bits from /k");
    }

    #[test]
    fn an_ed25519_key_is_not_taken_for_a_small_rsa_key() {
        let pem = include_bytes!("../../../tests/vectors/rfc8463-a-brisbane.private");
        let key = ImportedKey::of(Zeroizing::new(pem.to_vec()), "/k").unwrap();
        assert_eq!(key.rsa_bits, None);
    }

    #[test]
    fn a_bare_key_gets_its_pem_lines() {
        let key = ImportedKey::read(&bare(), None).unwrap();
        assert!(key.pem.starts_with(b"-----BEGIN PRIVATE KEY-----\n"));
        let same = SigningKey::from_pem(PEM, 1024).unwrap().public();
        assert_eq!(SigningKey::from_pem(&key.pem, 1024).unwrap().public(), same);
        let der = Zeroizing::new(BASE64_STANDARD.decode(bare()).unwrap());
        assert_eq!(ImportedKey::of(der, "/k").unwrap().pem, key.pem);
        // In a file it may be on several lines.
        let lines: String = lines().flat_map(|line| [line, "\n"]).collect();
        let lines = Zeroizing::new(lines.into_bytes());
        assert_eq!(ImportedKey::of(lines, "/k").unwrap().pem, key.pem);
    }

    #[test]
    fn the_record_of_a_key_for_every_domain_has_no_domain_in_its_name() {
        let key = ImportedKey::read(&bare(), None).unwrap();
        let record = |folder, selector| key.record(folder, selector);
        assert!(record("x.test", "s").unwrap().starts_with("s._domainkey.x.test.\tIN\tTXT\t( "));
        assert!(record("default", "s").unwrap().starts_with("s._domainkey\tIN\tTXT\t( "));
        assert!(record("x.test", "a b").is_err());
    }

    #[test]
    fn a_path_with_dots_is_a_path_and_begins_at_the_base() {
        for source in ["./k", "../k", "/k"] {
            let error = ImportedKey::read(source, Some("/nowhere/base")).err().unwrap();
            let path = if source == "/k" { "\"/k\": " } else { "\"/nowhere/base/" };
            assert!(error.starts_with(path), "{error}");
        }
        assert!(ImportedKey::read("k/s.private", None).err().unwrap().contains("the KeyTable"));
    }

    #[test]
    fn a_file_without_a_key_is_reported() {
        for text in ["", "MIIabc", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(ImportedKey::read(text, None).is_err(), "{text}");
        }
        let error = ImportedKey::read("/nowhere/key", None).err().unwrap();
        assert!(error.starts_with("\"/nowhere/key\": "), "{error}");
    }
}
