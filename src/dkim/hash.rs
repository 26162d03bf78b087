//! The two hashes of a signature (§3.7): the body hash (bh=) and the header hash, which b= signs.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::dkim::canon::{Body, Canon};
use crate::dkim::header::{FieldName, Header, Picker};
use crate::dkim::key::Algorithm;

/// Hashes a body that is read in pieces of any size (bh=).
#[derive(Clone)]
pub struct BodyHasher {
    body: Body,
    hashed: Hashed,
}

impl BodyHasher {
    /// Starts at the first byte after the empty line.
    pub fn new(canon: Canon) -> Self {
        Self::limited(canon, None)
    }

    /// A hasher of at most `limit` bytes of the canonical form (l=, §3.5). Used only to verify.
    pub fn limited(canon: Canon, limit: Option<u64>) -> Self {
        let hashed = Hashed { sha256: Sha256::new(), length: 0, limit: limit.unwrap_or(u64::MAX) };
        Self { body: Body::new(canon), hashed }
    }

    /// Reads the next piece of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        let hashed = &mut self.hashed;
        self.body.update(bytes, &mut |piece| hashed.add(piece));
    }

    /// Ends the body.
    pub fn finish(self) -> BodyHash {
        let (canon, mut hashed) = (self.body.canon, self.hashed);
        self.body.finish(&mut |piece| hashed.add(piece));
        BodyHash { bytes: hashed.sha256.finalize().into(), canon, length: hashed.length }
    }
}

impl fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyHasher").field("canon", &self.body.canon).finish_non_exhaustive()
    }
}

/// The hash of the canonical bytes so far.
#[derive(Clone)]
struct Hashed {
    sha256: Sha256,
    length: u64,
    limit: u64,
}

impl Hashed {
    fn add(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.limit.saturating_sub(self.length)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.sha256.update(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
    }
}

/// The hash of a body in one canonical form (bh=, §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHash {
    bytes: [u8; 32],
    canon: Canon,
    length: u64,
}

impl BodyHash {
    /// The SHA-256 hash.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The canonicalization of the body that was hashed.
    pub fn canon(&self) -> Canon {
        self.canon
    }

    /// How many bytes of the canonical form were hashed.
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// The canonical text of the fields that h= names, each with its line end (§3.7).
pub(super) struct SignedFields {
    canon: Canon,
    text: Vec<u8>,
}

impl SignedFields {
    /// `signed` has each name once for each instance that is signed.
    pub(super) fn new<'a, Names: IntoIterator<Item = &'a FieldName>>(
        canon: Canon,
        header: &Header,
        signed: Names,
    ) -> Self {
        let mut picker = Picker::new(header);
        // Large enough for most headers.
        let mut text = Vec::with_capacity(2048);
        for name in signed {
            if let Some(field) = picker.pick(name) {
                canon.field(field.bytes(), |piece| text.extend_from_slice(piece));
                text.extend_from_slice(b"\r\n");
            }
        }
        Self { canon, text }
    }

    /// The text that is signed: these fields, then the DKIM-Signature field with an empty b= and without its line end (§3.7).
    pub(super) fn and(mut self, signature: &[u8]) -> Vec<u8> {
        self.canon.field(signature, |piece| self.text.extend_from_slice(piece));
        self.text
    }

    /// The texts that are signed, with a DKIM-Signature field for each algorithm.
    pub(super) fn and_each(self, signatures: [&[u8]; Algorithm::ALL.len()]) -> HashInput {
        let signatures = signatures.map(|field| {
            let mut text = Vec::with_capacity(field.len().saturating_mul(2));
            self.canon.field(field, |piece| text.extend_from_slice(piece));
            text
        });
        HashInput { fields: self.text, signatures }
    }
}

/// The texts whose hash a private key may sign (§3.7). They differ at the end, because a= names the algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashInput {
    /// The canonical fields that h= names, each with its line end.
    pub fields: Vec<u8>,
    /// The canonical DKIM-Signature fields, in the order of [`Algorithm::ALL`].
    pub signatures: [Vec<u8>; Algorithm::ALL.len()],
}

impl HashInput {
    /// The text to sign with this algorithm.
    #[must_use]
    pub fn text(&self, algorithm: Algorithm) -> Vec<u8> {
        [self.fields.as_slice(), algorithm.of(self.signatures.each_ref().map(Vec::as_slice))]
            .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use base64::prelude::*;

    fn hash(canon: Canon, bytes: &[u8]) -> String {
        let mut hasher = BodyHasher::new(canon);
        hasher.update(bytes);
        BASE64_STANDARD.encode(hasher.finish().bytes())
    }

    #[test]
    fn rfc6376_3_4_3_and_3_4_4_hashes_of_an_empty_body() {
        assert_eq!(hash(Canon::Simple, b""), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
        assert_eq!(hash(Canon::Relaxed, b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn the_limit_counts_bytes_of_the_canonical_form() {
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
