//! The two hashes of a signature (§3.7): that of the body (bh=) and that of the header (under b=).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::dkim::canon::{Body, Canon};
use crate::dkim::header::{FieldName, Header, Picker};

/// Hashes a body that comes in pieces of any size.
#[derive(Clone)]
pub struct BodyHasher {
    body: Body,
    hashed: Hashed,
    canon: Canon,
}

impl BodyHasher {
    /// Starts at the first octet after the empty line.
    pub fn new(canon: Canon) -> Self {
        Self::limited(canon, None)
    }

    /// Hashes no more than `limit` octets of the canonical form (l=, §3.5). For verifying only.
    pub fn limited(canon: Canon, limit: Option<u64>) -> Self {
        let hashed = Hashed { sha256: Sha256::new(), length: 0, limit: limit.unwrap_or(u64::MAX) };
        Self { body: Body::new(canon), hashed, canon }
    }

    /// Takes the next piece of the body.
    pub fn update(&mut self, octets: &[u8]) {
        let hashed = &mut self.hashed;
        self.body.update(octets, &mut |piece| hashed.add(piece));
    }

    /// Ends the body.
    pub fn finish(self) -> BodyHash {
        let mut hashed = self.hashed;
        self.body.finish(&mut |piece| hashed.add(piece));
        BodyHash {
            octets: hashed.sha256.finalize().into(),
            canon: self.canon,
            length: hashed.length,
        }
    }
}

impl fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyHasher").field("canon", &self.canon).finish_non_exhaustive()
    }
}

/// The canonical octets so far.
#[derive(Clone)]
struct Hashed {
    sha256: Sha256,
    length: u64,
    limit: u64,
}

impl Hashed {
    fn add(&mut self, octets: &[u8]) {
        let room = usize::try_from(self.limit.saturating_sub(self.length)).unwrap_or(usize::MAX);
        let octets = octets.get(..room).unwrap_or(octets);
        self.sha256.update(octets);
        self.length = self.length.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
    }
}

/// The hash of a body in one canonical form (bh=, §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHash {
    octets: [u8; 32],
    canon: Canon,
    length: u64,
}

impl BodyHash {
    /// The SHA-256 hash.
    pub fn octets(&self) -> &[u8; 32] {
        &self.octets
    }

    /// The canonicalization of the body that was hashed.
    pub fn canon(&self) -> Canon {
        self.canon
    }

    /// How many octets of the canonical form were hashed.
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// Hashes the fields that h= names, each with its line end, and then the DKIM-Signature field
/// itself, its b= empty and without a line end (§3.7).
///
/// `signed` has a name once for each instance that is signed.
pub fn header_hash<'a, Names>(
    canon: Canon,
    header: &Header,
    signed: Names,
    signature: &[u8],
) -> [u8; 32]
where
    Names: IntoIterator<Item = &'a FieldName>,
{
    SignedFields::new(canon, header, signed).hash(signature)
}

/// The fields that h= names, hashed: what signatures with the same h= and c= share.
pub(super) struct SignedFields {
    canon: Canon,
    sha256: Sha256,
}

impl SignedFields {
    pub(super) fn new<'a, Names>(canon: Canon, header: &Header, signed: Names) -> Self
    where
        Names: IntoIterator<Item = &'a FieldName>,
    {
        let mut picker = Picker::new(header);
        let mut sha256 = Sha256::new();
        for name in signed {
            if let Some(field) = picker.pick(name) {
                canon.field(field.octets(), |piece| sha256.update(piece));
                sha256.update(b"\r\n");
            }
        }
        Self { canon, sha256 }
    }

    /// The hash with the DKIM-Signature field.
    pub(super) fn hash(&self, signature: &[u8]) -> [u8; 32] {
        let mut sha256 = self.sha256.clone();
        self.canon.field(signature, |piece| sha256.update(piece));
        sha256.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use base64::prelude::*;

    fn hash(canon: Canon, octets: &[u8]) -> String {
        let mut hasher = BodyHasher::new(canon);
        hasher.update(octets);
        BASE64_STANDARD.encode(hasher.finish().octets())
    }

    #[test]
    fn rfc6376_3_4_3_and_3_4_4_hashes_of_an_empty_body() {
        assert_eq!(hash(Canon::Simple, b""), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
        assert_eq!(hash(Canon::Relaxed, b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn the_limit_counts_octets_of_the_canonical_form() {
        let mut whole = BodyHasher::new(Canon::Relaxed);
        whole.update(b"a b\n");
        let mut limited = BodyHasher::limited(Canon::Relaxed, Some(5));
        limited.update(b"a \t b \nmore\n");
        assert_eq!(limited.finish(), whole.finish());
        let mut short = BodyHasher::limited(Canon::Relaxed, Some(9));
        short.update(b"a\n");
        assert_eq!(short.finish().length(), 3);
    }
}
