//! Tells whether a key made a signature, without knowing the signed text. Pure.

use base64::prelude::*;
use rsa::BoxedUint;
use rsa::hazmat::rsa_encrypt;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;

use crate::dkim::PublicKey;

/// The bytes before a SHA-256 hash in a signature (RFC 8017 §9.2, note 1).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Whether the private half of an RSA key made a signature: only then the public half recovers a padded SHA-256 hash from it (RFC
/// 8017 §8.2.2). `None` for other keys, for which this is not known.
pub(super) fn made_by(key: &PublicKey, signature: &[u8]) -> Option<bool> {
    let der = BASE64_STANDARD.decode(key.to_base64().ok()?).ok()?;
    let key = rsa::PublicKey::from_public_key_der(&der).ok()?;
    if signature.len() != key.size() {
        return Some(false);
    }
    let number = BoxedUint::from_be_slice(signature, key.n_bits_precision()).ok()?;
    if number >= *key.n().as_ref() {
        return Some(false);
    }
    let padded = rsa_encrypt(&key, &number).ok()?.to_be_bytes();
    let begin = padded.len().saturating_sub(signature.len());
    Some(is_padded_hash(padded.get(begin..).unwrap_or_default()))
}

/// Whether the bytes are 00 01 ff … ff 00, followed by the hash with its identifier.
fn is_padded_hash(bytes: &[u8]) -> bool {
    let Some(bytes) = bytes.strip_prefix(&[0, 1]) else { return false };
    let filling = bytes.iter().take_while(|byte| **byte == 0xff).count();
    let rest = bytes.get(filling..).and_then(|rest| rest.strip_prefix(&[0]));
    let hash = rest.and_then(|rest| rest.strip_prefix(&DIGEST_INFO));
    filling >= 8 && hash.is_some_and(|hash| hash.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::{Claims, Field, SigningKey, signature};

    const MESSAGE: &str = include_str!("../../../tests/vectors/rfc6376-a2.eml");

    fn key(pem: &str) -> PublicKey {
        SigningKey::from_pem(pem, 1024).unwrap().public()
    }

    #[test]
    fn rfc6376_a_the_key_of_appendix_c_made_the_signature_and_no_other_did() {
        let (header, _) = MESSAGE.split_once("\n\n").unwrap();
        let header = crate::dkim::Header::parse(format!("{header}\n").as_bytes()).unwrap();
        let field: &Field = header.named(signature::NAME).next().unwrap();
        let signature = Claims::parse(field).unwrap().signature;
        let own = key(include_str!("../../../tests/vectors/rfc6376-c.private"));
        assert_eq!(made_by(&own, &signature), Some(true));
        let other = SigningKey::generate(1024, &mut getrandom::SysRng).unwrap().public();
        assert_eq!(made_by(&other, &signature), Some(false));
        let larger = SigningKey::generate(1032, &mut getrandom::SysRng).unwrap().public();
        assert_eq!(made_by(&larger, &signature), Some(false));
        let mut damaged = signature.clone();
        damaged[7] ^= 1;
        assert_eq!(made_by(&own, &damaged), Some(false));
        assert_eq!(made_by(&own, &[]), Some(false));
        assert_eq!(made_by(&own, &[0xff; 128]), Some(false));
        let ed25519 = key(include_str!("../../../tests/vectors/rfc8463-a-brisbane.private"));
        assert_eq!(made_by(&ed25519, &signature), None);
    }
}
