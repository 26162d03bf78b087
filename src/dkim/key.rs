//! Keys (§3.3, §3.6.1): the private key that signs, and the public key in the record.

mod fast;

use std::fmt;

use base64::prelude::*;
use ed25519_dalek::Signer as _;
use rsa::BoxedUint;
use rsa::pkcs1::{DecodeRsaPublicKey, EncodeRsaPrivateKey, RsaPrivateKeyRef, UintRef};
use rsa::pkcs8::{
    DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding, ObjectIdentifier,
    PrivateKeyInfoRef,
};
use rsa::rand_core::TryCryptoRng;
use rsa::traits::PublicKeyParts;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::dkim::key_error::LONGEST_EXPONENT;
pub use crate::dkim::key_error::{KeyError, LARGEST, SMALLEST};
use crate::dkim::pem::{Blocks, is_passed_over, named, of_algorithm, sequence, without_block};

/// A signing algorithm (a=, §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA with PKCS #1 v1.5 padding over SHA-256 (§3.3.2).
    RsaSha256,
    /// `PureEdDSA` on edwards25519 over SHA-256 (RFC 8463 §3).
    Ed25519Sha256,
}

impl Algorithm {
    /// All algorithms. Every verifier supports the first one.
    pub const ALL: [Self; 2] = [Self::RsaSha256, Self::Ed25519Sha256];

    /// The key type of the algorithm (k=, §3.6.1, RFC 8463 §4).
    pub fn key_type(self) -> &'static str {
        self.of(["rsa", "ed25519"])
    }

    /// The algorithm of a key type.
    pub fn of_key_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.key_type() == name)
    }

    /// The name in a=.
    fn name(self) -> &'static str {
        self.of(["rsa-sha256", "ed25519-sha256"])
    }

    /// Picks the value for this algorithm from an array with a value for each, in the order of [`Self::ALL`].
    pub(super) fn of<T>(self, [rsa, ed25519]: [T; 2]) -> T {
        match self {
            Self::RsaSha256 => rsa,
            Self::Ed25519Sha256 => ed25519,
        }
    }

    /// Parses a=. `None` for an unknown algorithm and for rsa-sha1 (RFC 8301 §3.1).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| name.eq_ignore_ascii_case(algorithm.name()))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A private key, wiped from memory when it is dropped.
pub struct SigningKey(Private);

enum Private {
    Rsa(Box<rsa::PrivateKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl SigningKey {
    /// Parses the PEM text of an unencrypted key, as OpenSSL does: any line ends, a byte order mark, and any text or other blocks
    /// around it are accepted. The content of the block decides, not its label: RSA in PKCS#1 or PKCS#8, of `minimum_bits` to
    /// 4096 bits, or Ed25519 in PKCS#8.
    ///
    /// # Errors
    ///
    /// The text is something else, or the key has too few or too many bits. The operator causes all of these errors.
    #[inline(never)] // a stack frame of its own, so that profiles show its cost separately
    pub fn from_pem(pem: impl AsRef<[u8]>, minimum_bits: u32) -> Result<Self, KeyError> {
        first_key(pem.as_ref(), |der| Self::from_der(der, minimum_bits))
    }

    /// Parses the DER of an unencrypted key, as [`Self::from_pem`] does, but without the PEM text around it.
    ///
    /// # Errors
    ///
    /// The same as for [`Self::from_pem`].
    pub fn from_der(der: &[u8], minimum_bits: u32) -> Result<Self, KeyError> {
        match private_key(der)? {
            (Algorithm::RsaSha256, key) => Self::from_pkcs1(key, minimum_bits),
            (Algorithm::Ed25519Sha256, key) => Self::from_curve_private_key(key),
        }
    }

    fn from_pkcs1(pkcs1: &[u8], minimum_bits: u32) -> Result<Self, KeyError> {
        let key = RsaPrivateKeyRef::try_from(pkcs1).map_err(|_| named(pkcs1))?;
        if key.other_prime_infos.is_some() {
            return Err(named(pkcs1));
        }
        let length = |number: UintRef<'_>| bit_length(number.as_bytes());
        let bits = length(key.modulus);
        fits_size(bits, minimum_bits)?;
        if length(key.public_exponent) > LONGEST_EXPONENT {
            return Err(KeyError::Exponent);
        }
        let uint = |number: UintRef<'_>, bits: u32| {
            BoxedUint::from_be_slice(number.as_bytes(), bits.next_multiple_of(8))
                .map_err(|_| KeyError::Malformed)
        };
        let (n, d) = (uint(key.modulus, bits)?, uint(key.private_exponent, bits)?);
        let e = uint(key.public_exponent, length(key.public_exponent))?;
        let mut primes = vec![uint(key.prime1, bits)?, uint(key.prime2, bits)?];
        // The larger prime first, as OpenSSL writes them: see `fast`.
        primes.sort_by(|one, other| other.cmp(one));
        // Both functions also verify that the numbers belong together. The first one is faster; it needs primes of half the bits,
        // which nearly all keys have.
        let key = if primes.iter().all(|prime| prime.bit_width() <= bits.div_ceil(2)) {
            rsa::PrivateKey::from_components(n, e, d, primes)
        } else {
            rsa::PrivateKey::from_components_with_wide_primes(n, e, d, primes)
        };
        let key = key.map_err(|_| named(pkcs1))?;
        Ok(Self(Private::Rsa(Box::new(key))))
    }

    /// Parses a `CurvePrivateKey`: an OCTET STRING of 32 bytes (RFC 8410 §7).
    fn from_curve_private_key(der: &[u8]) -> Result<Self, KeyError> {
        let seed = der.strip_prefix(&[0x04, 0x20]).ok_or(KeyError::Malformed)?;
        let seed: &[u8; 32] = seed.try_into().map_err(|_| KeyError::Malformed)?;
        Ok(Self(Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed)))))
    }

    /// Generates an RSA key of 1024 to 4096 bits. Used by `dkimctl` only.
    ///
    /// # Errors
    ///
    /// The size is out of range, or the source of randomness fails.
    pub fn generate(bits: u32, random: &mut impl TryCryptoRng) -> Result<Self, KeyError> {
        fits_size(bits, SMALLEST)?;
        let size = usize::try_from(bits).map_err(|_| KeyError::TooLarge { bits })?;
        let key = rsa::PrivateKey::new(random, size).map_err(|_| KeyError::NotGenerated)?;
        let der = key.to_pkcs1_der().map_err(|_| KeyError::NotGenerated)?;
        Self::from_pkcs1(der.as_bytes(), SMALLEST)
    }

    /// Generates an Ed25519 key. Used by `dkimctl` only.
    ///
    /// # Errors
    ///
    /// The source of randomness fails.
    pub fn generate_ed25519(random: &mut impl TryCryptoRng) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        random.try_fill_bytes(&mut *seed).map_err(|_| KeyError::NotGenerated)?;
        Ok(Self(Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&seed)))))
    }

    /// The size of the key.
    pub fn bits(&self) -> u32 {
        self.public().bits()
    }

    /// The algorithm that the key signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Private::Rsa(_) => Algorithm::RsaSha256,
            Private::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Private::Rsa(key) => PublicKey(Public::Rsa(key.to_public_key())),
            Private::Ed25519(key) => PublicKey(Public::Ed25519(key.verifying_key())),
        }
    }

    /// The PEM text in PKCS#8, as openssl(1) writes it.
    ///
    /// # Errors
    ///
    /// None for a key that [`SigningKey::from_pem`] accepts.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        match &self.0 {
            Private::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Malformed),
            Private::Ed25519(key) => {
                let der = Zeroizing::new([ED25519_PKCS8.as_slice(), key.as_bytes()].concat());
                let mut pem = Zeroizing::new(String::with_capacity(128));
                pem.push_str("-----BEGIN PRIVATE KEY-----\n");
                BASE64_STANDARD.encode_string(&*der, &mut pem);
                pem.push_str("\n-----END PRIVATE KEY-----\n");
                Ok(pem)
            }
        }
    }

    /// Signs a text (§3.3.2, RFC 8463 §3). Each signature is verified before it is returned: a wrong one would reveal the key.
    ///
    /// # Errors
    ///
    /// See [`SigningKey::sign_hash`].
    #[inline(never)] // as above
    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, rsa::Error> {
        let fast = match &self.0 {
            Private::Rsa(key) => fast::sign(key, text),
            Private::Ed25519(_) => None,
        };
        fast.map_or_else(|| self.sign_hash(&Sha256::digest(text).into()), Ok)
    }

    /// Signs the SHA-256 hash of a text. RSA keys sign with the `rsa` crate.
    ///
    /// # Errors
    ///
    /// The system has no random bytes to blind the operation with, the key is broken, or the signature is wrong.
    pub fn sign_hash(&self, hash: &[u8; 32]) -> Result<Vec<u8>, rsa::Error> {
        match &self.0 {
            // The crate verifies the signature itself.
            Private::Rsa(key) => key.pkcs1v15_sign_prehash::<Sha256>(hash),
            Private::Ed25519(key) => {
                let signature = key.sign(hash);
                let verified = key.verify(hash, &signature);
                verified
                    .map(|()| signature.to_bytes().to_vec())
                    .map_err(|_| rsa::Error::Verification)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {} bits)", self.algorithm(), self.bits())
    }
}

/// A public key (p=, §3.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Public);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    Rsa(rsa::PublicKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Parses the value of p=. RSA: a SubjectPublicKeyInfo, as in most records, or a bare RSAPublicKey, as in §3.6.1 (erratum
    /// 3017). Ed25519: the 32 bytes of the key (RFC 8463 §4.2). `None` if it is something else, or has fewer than 1024 bits (RFC
    /// 8301 §3.2).
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::RsaSha256 => {
                let spki = rsa::PublicKey::from_public_key_der(bytes).ok();
                let key = spki.or_else(|| rsa::PublicKey::from_pkcs1_der(bytes).ok())?;
                Some(Self(Public::Rsa(key)))
            }
            Algorithm::Ed25519Sha256 => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
                Some(Self(Public::Ed25519(key)))
            }
        }
    }

    /// The public half of the private key in a PEM text, read as [`SigningKey::from_pem`] does. It is not checked whether the
    /// numbers of an RSA key belong together, because that takes a hundred times as long.
    ///
    /// # Errors
    ///
    /// The same as for [`SigningKey::from_pem`], for a key of any size that may sign.
    pub fn of_private_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        first_key(pem.as_ref(), |der| match private_key(der)? {
            (Algorithm::RsaSha256, key) => {
                let private = RsaPrivateKeyRef::try_from(key).map_err(|_| named(key))?;
                fits_size(bit_length(private.modulus.as_bytes()), SMALLEST)?;
                let public = rsa::PublicKey::try_from(private.public_key());
                Ok(Self(Public::Rsa(public.map_err(|_| named(key))?)))
            }
            (Algorithm::Ed25519Sha256, key) => {
                SigningKey::from_curve_private_key(key).map(|key| key.public())
            }
        })
    }

    /// The value of p=, in base64.
    ///
    /// # Errors
    ///
    /// None for a key of a supported size.
    pub fn to_base64(&self) -> Result<String, KeyError> {
        match &self.0 {
            Public::Rsa(key) => {
                let der = key.to_public_key_der().map_err(|_| KeyError::Malformed)?;
                Ok(BASE64_STANDARD.encode(der.as_bytes()))
            }
            Public::Ed25519(key) => Ok(BASE64_STANDARD.encode(key.as_bytes())),
        }
    }

    /// The size of the key.
    pub fn bits(&self) -> u32 {
        match &self.0 {
            Public::Rsa(key) => key.n().bit_width_vartime(),
            Public::Ed25519(_) => ED25519_BITS,
        }
    }

    /// The algorithm whose signatures the key verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Public::Rsa(_) => Algorithm::RsaSha256,
            Public::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// Whether the private half of this key made `signature` over `hash`.
    pub fn verifies(&self, hash: &[u8; 32], signature: &[u8]) -> bool {
        match &self.0 {
            Public::Rsa(key) => key.pkcs1v15_verify_prehash::<Sha256>(hash, signature).is_ok(),
            Public::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(hash, &signature).is_ok()),
        }
    }
}

/// Parses the first private key in a PEM text with `parse`.
fn first_key<T>(text: &[u8], parse: impl Fn(&[u8]) -> Result<T, KeyError>) -> Result<T, KeyError> {
    let mut instead = None;
    let mut blocks = Blocks(text);
    while let Some(block) = blocks.next_block() {
        match block.and_then(|der| parse(&der)) {
            Err(error) if is_passed_over(error) => {
                instead = instead.filter(|known| *known != KeyError::NotPem).or(Some(error));
            }
            result => return result,
        }
    }
    Err(instead.unwrap_or_else(|| without_block(text, |der| parse(der).err())))
}

/// The type of the private key in a DER text, and its `RSAPrivateKey` or `CurvePrivateKey`.
fn private_key(der: &[u8]) -> Result<(Algorithm, &[u8]), KeyError> {
    let Some((whole, _)) = sequence(der) else { return Err(KeyError::Malformed) };
    let Ok(pkcs8) = PrivateKeyInfoRef::try_from(whole) else {
        return Ok((Algorithm::RsaSha256, whole));
    };
    let algorithm = match pkcs8.algorithm.oid {
        rsa::pkcs1::ALGORITHM_OID => Algorithm::RsaSha256,
        ED25519_OID => Algorithm::Ed25519Sha256,
        other => return Err(of_algorithm(other)),
    };
    Ok((algorithm, pkcs8.private_key.as_bytes()))
}

/// Whether an RSA key of this size may sign.
fn fits_size(bits: u32, minimum_bits: u32) -> Result<(), KeyError> {
    let minimum = minimum_bits.max(SMALLEST);
    match bits {
        _ if bits < minimum => Err(KeyError::TooSmall { bits, minimum }),
        _ if bits > LARGEST => Err(KeyError::TooLarge { bits }),
        _ => Ok(()),
    }
}

/// The number of bits of a number in big-endian bytes.
fn bit_length(number: &[u8]) -> u32 {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let significant = number.get(zeros..).unwrap_or_default();
    let bytes = u32::try_from(significant.len()).unwrap_or(u32::MAX);
    let unused = significant.first().map_or(0, |byte| byte.leading_zeros());
    bytes.saturating_mul(8).saturating_sub(unused)
}

/// The object identifier of Ed25519 (RFC 8410 §3).
const ED25519_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// The bytes before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410 §10.3).
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// Bits of every Ed25519 key (RFC 8032 §5.1).
const ED25519_BITS: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const RFC6376: &str = include_str!("../../tests/vectors/rfc6376-c.private");

    const ED25519: &str = include_str!("../../tests/vectors/rfc8463-a-brisbane.private");

    fn error(pem: &str) -> KeyError {
        SigningKey::from_pem(pem, 1024).unwrap_err()
    }

    fn pkcs8() -> String {
        SigningKey::from_pem(RFC6376, 1024).unwrap().to_pkcs8_pem().unwrap().to_string()
    }

    #[test]
    fn pkcs1_and_pkcs8_give_the_same_key() {
        let first = SigningKey::from_pem(RFC6376, 1024).unwrap();
        let second = SigningKey::from_pem(pkcs8(), 1024).unwrap();
        assert_eq!(first.public(), second.public());
        assert_eq!((first.bits(), first.algorithm()), (1024, Algorithm::RsaSha256));
        assert!(pkcs8().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }

    #[test]
    fn the_public_half_is_read_alone_too() {
        for pem in [RFC6376.to_owned(), pkcs8(), ED25519.to_owned()] {
            let whole = SigningKey::from_pem(&pem, 1024).unwrap().public();
            assert_eq!(PublicKey::of_private_pem(&pem).unwrap(), whole);
        }
        let empty = "-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n";
        for pem in ["", empty, &pkcs8().replace("MII", "MIA")] {
            let whole = SigningKey::from_pem(pem, 1024).unwrap_err();
            assert_eq!(PublicKey::of_private_pem(pem).unwrap_err(), whole, "{pem}");
        }
    }

    #[test]
    fn line_ends_and_text_around_the_key_do_not_matter() {
        assert!(SigningKey::from_pem(RFC6376.replace('\n', "\r\n"), 1024).is_ok());
        let around = format!("-----BEGIN X-----\nAA==\n-----END X-----\nkey \n{RFC6376}\nend");
        assert!(SigningKey::from_pem(&around, 1024).is_ok());
        let latin1 = [b"Schl\xfcssel\n".as_slice(), RFC6376.as_bytes()].concat();
        assert!(SigningKey::from_pem(latin1, 1024).is_ok());
    }

    #[test]
    fn a_key_below_the_minimum_is_refused_with_its_bits() {
        let error = SigningKey::from_pem(RFC6376, 2048).unwrap_err();
        assert_eq!(error, KeyError::TooSmall { bits: 1024, minimum: 2048 });
        assert_eq!(error.to_string(), "the key has 1024 bits, fewer than 2048");
    }

    #[test]
    fn the_der_decides_and_not_the_label() {
        for text in [
            pkcs8().replace("PRIVATE", "RSA PRIVATE"),
            pkcs8().replace("PRIVATE", "EC PRIVATE"),
            pkcs8().replace("PRIVATE", "PUBLIC"),
            RFC6376.replace("RSA ", ""),
        ] {
            assert_eq!(SigningKey::from_pem(&text, 1024).unwrap().bits(), 1024, "{text}");
        }
        let text = ED25519.replace("PRIVATE", "RSA PRIVATE");
        assert_eq!(SigningKey::from_pem(text, 1024).unwrap().bits(), 256);
    }

    #[test]
    fn of_blocks_without_a_private_key_the_first_that_is_known_is_named() {
        let record = include_str!("../../tests/vectors/rfc6376-a2.txt");
        let der = record.split_once("p=").unwrap().1.trim_end();
        let public = &format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n";
        let parameters = "-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n";
        assert_eq!(error(parameters), KeyError::NotPem);
        assert_ne!(error(certificate), error(public));
        for known in [certificate, public] {
            let expected = error(known);
            assert_eq!(error(&format!("{known}{parameters}")), expected);
            assert_eq!(error(&format!("{parameters}{known}")), expected);
        }
        assert_eq!(error(&format!("{certificate}{public}")), error(certificate));
        assert_eq!(error(&format!("{public}{certificate}")), error(public));
    }

    #[test]
    fn a_private_key_that_cannot_sign_hides_a_later_one() {
        let encrypted = "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
        for unusable in [
            RFC6376.replacen("KEY-----\n", encrypted, 1),
            RFC6376.replace("RSA PRIVATE", "OPENSSH PRIVATE"),
            RFC6376.replacen("MII", "MI", 1),
        ] {
            assert_eq!(error(&format!("{unusable}{RFC6376}")), error(&unusable), "{unusable}");
        }
    }

    #[test]
    fn text_that_openssl_skips_is_skipped() {
        let (begin, base64) = ("-----BEGIN RSA PRIVATE KEY-----\n", RFC6376.replace('\n', ""));
        let base64 = base64.split("-----").nth(2).unwrap();
        let block = |text: &str| format!("{begin}{text}\n-----END RSA PRIVATE KEY-----\n");
        let parameters =
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n";
        for text in [
            format!("\u{feff}{RFC6376}"),
            format!("Bag Attributes\r\n    localKeyID: 01\r\nKey Attributes: <none>\r\n{RFC6376}"),
            format!("{parameters}{certificate}{RFC6376}"),
            RFC6376.replace('\n', "  \n"),
            RFC6376.replace('\n', "\r"),
            block(base64),
            block(&base64.replace('A', " A")),
        ] {
            assert_eq!(SigningKey::from_pem(&text, 1024).unwrap().bits(), 1024, "{text}");
        }
    }

    #[test]
    fn rfc8463_a_the_ed25519_key_is_read_and_written_as_openssl_does() {
        let key = SigningKey::from_pem(ED25519, 4096).unwrap();
        assert_eq!((key.bits(), key.algorithm()), (256, Algorithm::Ed25519Sha256));
        assert_eq!(*key.to_pkcs8_pem().unwrap(), ED25519);
        // RFC 8032 §7.1, test 1.
        assert_eq!(
            key.public().to_base64().unwrap(),
            "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        );
        assert_eq!(format!("{key:?}"), "SigningKey(ed25519-sha256, 256 bits)");
    }

    #[test]
    fn an_ed25519_key_verifies_its_own_signatures_only() {
        let key = SigningKey::from_pem(ED25519, 1024).unwrap();
        let other = SigningKey::generate_ed25519(&mut getrandom::SysRng).unwrap();
        let signature = key.sign_hash(&[7; 32]).unwrap();
        assert_eq!(signature.len(), 64);
        assert!(key.public().verifies(&[7; 32], &signature));
        assert!(!key.public().verifies(&[8; 32], &signature));
        assert!(!key.public().verifies(&[7; 32], &signature[1..]));
        assert!(!other.public().verifies(&[7; 32], &signature));
    }

    #[test]
    fn an_ed25519_public_key_is_32_bytes_of_a_point() {
        let algorithm = Algorithm::Ed25519Sha256;
        let public = SigningKey::from_pem(ED25519, 1024).unwrap().public();
        let bytes = BASE64_STANDARD.decode(public.to_base64().unwrap()).unwrap();
        assert_eq!(PublicKey::from_bytes(algorithm, &bytes), Some(public));
        assert_eq!(PublicKey::from_bytes(algorithm, &bytes[1..]), None);
        assert_eq!(PublicKey::from_bytes(Algorithm::RsaSha256, &bytes), None);
        // No point of the curve has this y coordinate.
        let mut off = [0; 32];
        off[0] = 2;
        assert_eq!(PublicKey::from_bytes(algorithm, &off), None);
    }

    #[test]
    fn a_damaged_key_is_refused() {
        assert_eq!(error(&ED25519.replacen("BCIEI", "BCIFI", 1)), KeyError::Malformed);
        assert_eq!(error(&RFC6376.replacen("MII", "MI", 1)), KeyError::Malformed);
        assert_eq!(error(&RFC6376.replacen("jxOCKG9v", "jxOCKG9w", 1)), KeyError::Malformed);
        // A number is missing, but the rest is valid DER.
        assert_eq!(
            SigningKey::from_der(b"\x30\x03\x02\x01\x00", 1024).unwrap_err(),
            KeyError::Malformed
        );
    }

    #[test]
    fn debug_output_reveals_no_secret() {
        let key = SigningKey::from_pem(RFC6376, 1024).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(rsa-sha256, 1024 bits)");
    }

    #[test]
    fn a_public_key_may_be_a_bare_rsa_public_key() {
        use rsa::pkcs1::EncodeRsaPublicKey;

        let public = SigningKey::from_pem(RFC6376, 1024).unwrap().public();
        let Public::Rsa(rsa) = &public.0 else { panic!("{public:?}") };
        let bare = rsa.to_pkcs1_der().unwrap();
        assert_eq!(PublicKey::from_bytes(Algorithm::RsaSha256, bare.as_bytes()).unwrap(), public);
        let spki = BASE64_STANDARD.decode(public.to_base64().unwrap()).unwrap();
        assert_eq!(PublicKey::from_bytes(Algorithm::RsaSha256, &spki).unwrap(), public);
        assert_eq!(PublicKey::from_bytes(Algorithm::RsaSha256, b"\x30\x00"), None);
    }

    #[test]
    fn keys_are_generated_between_1024_and_4096_bits_only() {
        let random = &mut getrandom::SysRng;
        let small = SigningKey::generate(1023, random).unwrap_err();
        assert_eq!(small, KeyError::TooSmall { bits: 1023, minimum: 1024 });
        let large = SigningKey::generate(4097, random).unwrap_err();
        assert_eq!(large, KeyError::TooLarge { bits: 4097 });
        assert_eq!(SigningKey::generate(1024, random).unwrap().bits(), 1024);
    }
}
