//! RSA signatures with `graviola`, on processors that have the instructions for it. It uses the assembly of s2n-bignum, which is
//! proven to be correct and to run in constant time. docs/threat-model.md compares it with the blinded arithmetic of the `rsa`
//! crate, which signs on all other processors.

#[cfg(all(feature = "fast-rsa", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use by_graviola::sign;

#[cfg(not(all(feature = "fast-rsa", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(super) fn sign(_: &rsa::PrivateKey, _: &[u8]) -> Option<Vec<u8>> {
    None
}

#[cfg(all(feature = "fast-rsa", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod by_graviola {
    use graviola::signing::rsa::SigningKey;
    use rsa::pkcs1::EncodeRsaPrivateKey;
    use rsa::traits::{PrivateKeyParts, PublicKeyParts};

    /// Signs a text and verifies the signature. `None` if the crate does not support the processor or the key.
    pub(in super::super) fn sign(key: &rsa::PrivateKey, text: &[u8]) -> Option<Vec<u8>> {
        if !(fits(key) && is_supported()) {
            return None;
        }
        let der = key.to_pkcs1_der().ok()?;
        let key = SigningKey::from_pkcs1_der(der.as_bytes()).ok()?;
        let mut signature = vec![0; key.modulus_len_bytes()];
        let length = key.sign_pkcs1_sha256(&mut signature, text).ok()?.len();
        (length == signature.len()).then_some(signature)
    }

    /// Whether the crate can sign with a key. The crate expects two primes of half the bits, the larger one first. With other
    /// primes it fails for some texts, depending on the primes; the time until then would tell about them.
    fn fits(key: &rsa::PrivateKey) -> bool {
        let [p, q] = key.primes() else { return false };
        let bits = |number: &rsa::BoxedUint| number.bit_width();
        let half = bits(key.n()) / 2;
        let is_size = bits(key.n()) >= SMALLEST && half.is_multiple_of(64) && bits(key.e()) <= 32;
        is_size && bits(p) == half && bits(q) == half && p > q
    }

    /// Bits of the smallest key that the crate signs with.
    const SMALLEST: u32 = 2048;

    /// Whether the processor has all instructions that the crate uses. Without one of them the crate panics or worse.
    pub(super) fn is_supported() -> bool {
        #[cfg(target_arch = "x86_64")]
        return is_x86_feature_detected!("adx")
            && is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("avx")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("ssse3");
        #[cfg(target_arch = "aarch64")]
        return std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("pmull")
            && std::arch::is_aarch64_feature_detected!("sha2");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use sha2::{Digest as _, Sha256};

    use crate::dkim::hash::BodyHasher;
    use crate::dkim::key::{Algorithm, KeyError, Private, PublicKey, SigningKey};
    use crate::dkim::sign::{Draft, Recipe, Timestamp};
    use crate::dkim::{Canon, Domain, FieldName, Header, Selector};

    macro_rules! key {
        ($name:literal) => {
            include_str!(concat!("../../../tests/data/keys/", $name, ".private"))
        };
    }

    /// Keys that `graviola` signs with.
    const FAST: [&str; 8] = [
        key!("2048"),
        key!("3072"),
        key!("4096"),
        key!("2176"),
        key!("2048-e3"),
        key!("2048-e17"),
        key!("2048-e32bits"),
        key!("2048-smaller-first"),
    ];

    /// Keys that only the `rsa` crate signs with.
    const OTHERS: [&str; 6] = [
        key!("1536"),
        key!("2049"),
        key!("2064"),
        key!("2048-e33bits"),
        key!("2048-unbalanced"),
        key!("2048-unbalanced-smaller-first"),
    ];

    #[cfg(all(feature = "fast-rsa", any(target_arch = "x86_64", target_arch = "aarch64")))]
    use super::by_graviola::is_supported;
    #[cfg(not(all(feature = "fast-rsa", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    fn is_supported() -> bool {
        false
    }

    fn rsa(pem: &str) -> (SigningKey, Box<rsa::PrivateKey>) {
        let key = || SigningKey::from_pem(pem, 1024).unwrap();
        let Private::Rsa(rsa) = key().0 else { panic!("{pem}") };
        (key(), rsa)
    }

    /// The text of a header with random bytes in it.
    fn random_text() -> Vec<u8> {
        let mut random = [0; 400];
        getrandom::fill(&mut random).unwrap();
        let length = usize::from(random[0]) + 40;
        let text: String = random[..length].iter().map(|&byte| char::from(byte)).collect();
        let subject = text.replace(|char: char| char.is_control(), "x");
        let header = format!("From: a@sample.com\nSubject: {subject}\n");
        let header = Header::parse(header.as_bytes()).unwrap();
        let names = ["From", "Subject"].map(|name| FieldName::parse(name).unwrap());
        let domain = Domain::parse("sample.com").unwrap();
        let recipe = Recipe::new(domain, names.to_vec(), names.to_vec()).unwrap();
        let body = BodyHasher::new(Canon::Relaxed).finish();
        let selector = Selector::parse("s1").unwrap();
        let draft = Draft::new(&header, &body, &recipe, &selector, Timestamp(1)).unwrap();
        draft.input().text(Algorithm::RsaSha256)
    }

    /// `SIGNED=10000` tests that many headers.
    #[expect(clippy::disallowed_methods, reason = "a test may read its environment")]
    #[test]
    fn both_crates_make_the_same_signature_of_any_header() {
        let count = std::env::var("SIGNED").map_or(40, |count| count.parse().unwrap());
        for (number, pem) in (0..count).zip(FAST.iter().cycle()) {
            let (key, rsa) = rsa(pem);
            let text = random_text();
            let expected = key.sign_hash(&Sha256::digest(&text).into()).unwrap();
            assert_eq!(sign(&rsa, &text), is_supported().then(|| expected.clone()), "{number}");
            assert_eq!(key.sign(&text).unwrap(), expected, "{number}");
        }
    }

    #[test]
    fn keys_that_the_fast_crate_does_not_support_sign_with_the_other() {
        for pem in OTHERS {
            let (key, rsa) = rsa(pem);
            let text = random_text();
            assert_eq!(sign(&rsa, &text), None, "{pem}");
            let signature = key.sign(&text).unwrap();
            assert!(key.public().verifies(&Sha256::digest(&text).into(), &signature), "{pem}");
        }
    }

    #[test]
    fn the_public_half_of_each_form_is_what_a_record_has() {
        for pem in [FAST.as_slice(), &OTHERS].concat() {
            let (key, _) = rsa(pem);
            let base64 = key.public().to_base64().unwrap();
            let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, base64).unwrap();
            assert_eq!(PublicKey::from_bytes(Algorithm::RsaSha256, &bytes), Some(key.public()));
            // In PKCS#8 it is the same key, the larger prime first.
            let (again, rsa) = rsa(&key.to_pkcs8_pem().unwrap());
            assert_eq!(again.public(), key.public());
            let [p, q] = rsa::traits::PrivateKeyParts::primes(&*rsa) else { panic!("{pem}") };
            assert!(p > q);
        }
    }

    /// Its numbers are computed from the primes.
    #[test]
    fn a_coefficient_of_another_key_does_no_harm() {
        let ((key, _), (wrong, _)) = (rsa(key!("2048")), rsa(key!("2048-other-coefficient")));
        assert_eq!(wrong.sign(b"text").unwrap(), key.sign(b"text").unwrap());
    }

    #[test]
    fn a_key_that_no_crate_signs_with_is_refused_with_the_reason() {
        let error = |pem| SigningKey::from_pem(pem, 1024).unwrap_err();
        let multi = error(key!("2048-three-primes"));
        assert!(multi.to_string().contains("two primes"), "{multi}");
        let long = error(key!("2048-e64bits"));
        assert_eq!(long, KeyError::Exponent);
        assert_eq!(long.to_string(), "the public exponent of the key has more than 33 bits");
    }

    #[test]
    fn a_generated_key_signs_by_the_fast_crate() {
        for _ in 0..2 {
            let key = SigningKey::generate(2048, &mut getrandom::SysRng).unwrap();
            let Private::Rsa(rsa) = &key.0 else { panic!("{key:?}") };
            assert_eq!(sign(rsa, b"text").is_some(), is_supported());
        }
    }
}
