//! Key files: finds the DER in a PEM text (RFC 7468), or reports what the file is instead.

use base64::prelude::*;
use rsa::pkcs8::ObjectIdentifier;
use rsa::pkcs8::der::asn1::AnyRef;
use rsa::pkcs8::der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};
use zeroize::Zeroizing;

use crate::dkim::key_error::KeyError;

/// The blocks of a PEM text (RFC 7468). Holds the text that was not read yet.
pub(super) struct Blocks<'a>(pub(super) &'a [u8]);

impl<'a> Blocks<'a> {
    /// The next line, without its line end and without whitespace around it.
    fn line(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut parts = self.0.splitn(2, |byte| matches!(byte, b'\n' | b'\r'));
        let line = parts.next()?;
        self.0 = parts.next().unwrap_or_default();
        Some(line.trim_ascii())
    }

    /// The DER of the next block, or why it has none.
    pub(super) fn next_block(&mut self) -> Option<Result<Zeroizing<Vec<u8>>, KeyError>> {
        // Text around the blocks may be in any encoding; a block is ASCII.
        let label = loop {
            let line = self.line()?;
            let line = line.strip_prefix(BOM).unwrap_or(line);
            let rest = line.strip_prefix(b"-----BEGIN ");
            let label = rest.and_then(|rest| rest.strip_suffix(b"-----"));
            if let Some(label) = label.filter(|label| !label.contains(&b'-')) {
                break label;
            }
        };
        // Allocated at its full size: a buffer that grows leaves copies that are not wiped.
        let mut text = Zeroizing::new(Vec::with_capacity(self.0.len()));
        let end = loop {
            match self.line() {
                Some(line) if line.starts_with(b"-----END ") => break Ok(()),
                Some(line) if line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED") => {
                    break Err(KeyError::Unusable(ENCRYPTED));
                }
                Some(line) if line.contains(&b':') => {} // a field (RFC 1421)
                Some(line) => text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace())),
                None => break Err(KeyError::Unusable(CUT)),
            }
        };
        let of_label = match label {
            b"OPENSSH PRIVATE KEY" => Err(KeyError::Unusable(OPENSSH)),
            _ if label.ends_with(b"CERTIFICATE") || label.ends_with(b"CERTIFICATE REQUEST") => {
                Err(KeyError::Unusable(CERTIFICATE))
            }
            _ if !label.ends_with(b"KEY") => Err(KeyError::NotPem),
            _ => Ok(()),
        };
        let der = || from_base64(&text).ok_or(KeyError::Malformed);
        Some(end.and(of_label).and_then(|()| der()))
    }
}

/// The bytes of a base64 text without whitespace.
fn from_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; text.len()]);
    let length = BASE64_STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// Names a text without a PEM block. `error` returns why DER is not a key, or `None` if it is one.
pub(super) fn without_block(text: &[u8], error: impl Fn(&[u8]) -> Option<KeyError>) -> KeyError {
    let has = |part: &[u8]| memchr::memmem::find(text, part).is_some();
    let is_public = || has(b"v=DKIM1") || text.starts_with(b"ssh-");
    let bare = || {
        let mut bare = Zeroizing::new(Vec::with_capacity(text.len()));
        let text = text.strip_prefix(BOM).unwrap_or(text).iter();
        bare.extend(text.filter(|byte| !byte.is_ascii_whitespace()));
        from_base64(&bare)
    };
    let of_der = |der: &[u8], form| match error(der) {
        Some(KeyError::Malformed) => None,
        Some(error @ KeyError::Unusable(_)) => Some(error),
        _ => Some(KeyError::Unusable(form)),
    };
    let what = match text {
        _ if text.trim_ascii().is_empty() => EMPTY,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'-', 0, ..] => UTF16,
        _ if has(b"-----BEGIN ") && has(b"\\n") => ESCAPED,
        _ if has(b"-----BEGIN ") => ONE_LINE,
        _ if is_public() => PUBLIC,
        _ if text.starts_with(b"PuTTY-User-Key-File") => PUTTY,
        _ => {
            let found = of_der(text, DER).or_else(|| of_der(&bare()?, BASE64));
            return found.unwrap_or(KeyError::NotPem);
        }
    };
    KeyError::Unusable(what)
}

/// The first SEQUENCE of the bytes, and its elements.
pub(super) fn sequence(der: &[u8]) -> Option<(&[u8], Vec<AnyRef<'_>>)> {
    let mut reader = SliceReader::new(der).ok()?;
    let outer = AnyRef::decode(&mut reader).ok().filter(|outer| outer.tag() == Tag::Sequence)?;
    let whole = der.get(..usize::try_from(reader.position()).ok()?)?;
    let mut inner = SliceReader::new(outer.value()).ok()?;
    let mut elements = Vec::new();
    while !inner.is_finished() {
        elements.push(AnyRef::decode(&mut inner).ok()?);
    }
    Some((whole, elements))
}

/// Names DER that is not a key that can sign, by the elements of its sequence.
pub(super) fn named(der: &[u8]) -> KeyError {
    let Some((_, elements)) = sequence(der) else { return KeyError::Malformed };
    let tags: Vec<Tag> = elements.iter().map(AnyRef::tag).collect();
    let version = elements.first().map(|first| first.value()).unwrap_or_default();
    KeyError::Unusable(match (tags.as_slice(), version) {
        // RFC 5208 §6
        ([Tag::Sequence, Tag::OctetString], _) => ENCRYPTED,
        // RFC 5280 §4.1.2.7; RFC 8017 A.1.1
        ([Tag::Sequence, Tag::BitString] | [Tag::Integer, Tag::Integer], _) => PUBLIC,
        // RFC 5280 §4.1, RFC 2986 §4
        ([Tag::Sequence, Tag::Sequence, Tag::BitString], _) => CERTIFICATE,
        // RFC 5915 §3
        ([Tag::Integer, Tag::OctetString, ..], [1]) => EC,
        // RFC 7292 §4
        ([Tag::Integer, Tag::Sequence, ..], [3]) => PKCS12,
        // RFC 8017 A.1.2: more than two primes.
        ([Tag::Integer, Tag::Integer, ..], [1]) => PRIMES,
        // OpenSSL's form of DSA: version, p, q, g, y, x.
        ([Tag::Integer, ..], [0]) if tags.len() == 6 => DSA,
        _ => return KeyError::Malformed,
    })
}

/// Whether the key may follow this block, which is a certificate, a public key or parameters.
pub(super) fn is_passed_over(error: KeyError) -> bool {
    matches!(error, KeyError::Unusable(PUBLIC | CERTIFICATE) | KeyError::NotPem)
}

/// Names a key in PKCS#8 whose algorithm DKIM does not use.
pub(super) fn of_algorithm(oid: ObjectIdentifier) -> KeyError {
    KeyError::Unusable(match oid {
        EC_OID => EC,
        DSA_OID => DSA,
        _ => OTHER,
    })
}

/// What a key file may hold instead of a key, and what to do then.
const ENCRYPTED: &str =
    "the key is encrypted; store it without a pass phrase: openssl pkey -in OLD -out NEW";
const PUBLIC: &str = "this is a public key; use the file with the private key";
const CERTIFICATE: &str = "this is a certificate; use the file with the private key";
const PKCS12: &str =
    "a PKCS#12 archive; extract the key: openssl pkcs12 -in OLD -nocerts -nodes -out NEW";
const EC: &str = "an EC key, which DKIM does not support; create a new key: dkimctl genkey";
const DSA: &str = "a DSA key, which DKIM does not support; create a new key: dkimctl genkey";
const OTHER: &str = "neither an RSA nor an Ed25519 key; create a new key: dkimctl genkey";
const PRIMES: &str =
    "an RSA key of more than two primes is not supported; create a new key: dkimctl genkey";
const OPENSSH: &str = "a key in OpenSSH format; if it is RSA, convert a copy: \
    ssh-keygen -p -N '' -m PKCS8 -f COPY; else create a new key: dkimctl genkey";
const PUTTY: &str = "a key in PuTTY format; if it is RSA, convert it: \
    puttygen OLD -O private-openssh -o NEW; else create a new key: dkimctl genkey";
const DER: &str =
    "the key is DER without PEM; convert it: openssl pkey -inform DER -in OLD -out NEW";
const BASE64: &str = "the key has no BEGIN and END lines; add them: \
    base64 -di OLD | openssl pkey -inform DER -out NEW";
// The log shows each backslash as two, so these commands use none.
const ONE_LINE: &str = "BEGIN and END are not on lines of their own; break the text into lines: \
    perl -pe 's,-----[A-Z ]+-----,$/$&$/,g' OLD >NEW";
const ESCAPED: &str = "the PEM text has backslashes instead of line ends; break it into lines: \
    perl -pe 's,[^ -Z^-~]+[rn],$/,g; s,-----[A-Z ]+-----,$/$&$/,g' OLD >NEW";
const UTF16: &str = "the text is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 OLD >NEW";
const CUT: &str = "the key is cut off: its END line is missing; copy it again";
const EMPTY: &str = "the file is empty";

/// The byte order mark that some editors write before UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// The object identifiers of EC (RFC 5480 §2.1.1) and DSA (RFC 3279 §2.3.2).
const EC_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const DSA_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::SigningKey;

    const RFC6376: &str = include_str!("../../tests/vectors/rfc6376-c.private");

    const ED25519: &str = include_str!("../../tests/vectors/rfc8463-a-brisbane.private");

    fn error(pem: &str) -> KeyError {
        SigningKey::from_pem(pem, 1024).unwrap_err()
    }

    #[test]
    fn an_unusable_key_is_named() {
        let unusable = KeyError::Unusable;
        let base64: String = RFC6376.lines().filter(|line| !line.starts_with('-')).collect();
        let der = BASE64_STANDARD.decode(&base64).unwrap();
        let utf16: Vec<u8> = RFC6376.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let public = SigningKey::from_pem(RFC6376, 1024).unwrap().public().to_base64().unwrap();
        let of = |bytes: &[u8]| SigningKey::from_pem(bytes, 1024).unwrap_err();
        assert_eq!(error(""), unusable(EMPTY));
        assert_eq!(error("x"), KeyError::NotPem);
        assert_eq!(error("MIICXwIBAAKBgQ"), KeyError::NotPem);
        assert_eq!(of(&der), unusable(DER));
        assert_eq!(error(&base64), unusable(BASE64));
        assert_eq!(of(&[b"\xff\xfe".as_slice(), &utf16].concat()), unusable(UTF16));
        assert_eq!(error(&RFC6376.replace('\n', "")), unusable(ONE_LINE));
        assert_eq!(error(&RFC6376.replace('\n', " ")), unusable(ONE_LINE));
        assert_eq!(error(&format!("KEY=\"{RFC6376}\"")), unusable(ONE_LINE));
        assert_eq!(error(&RFC6376.replace('\n', "\\n")), unusable(ESCAPED));
        assert_eq!(error(&public), unusable(PUBLIC));
        assert_eq!(error(&format!("s TXT \"v=DKIM1; p={public}\"")), unusable(PUBLIC));
        assert_eq!(error("ssh-rsa AAAAB3NzaC1yc2E x"), unusable(PUBLIC));
        assert_eq!(error("PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\n"), unusable(PUTTY));
        assert_eq!(error(RFC6376.split("-----END").next().unwrap()), unusable(CUT));
        let headers = "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
        assert_eq!(error(&RFC6376.replacen("KEY-----\n", headers, 1)), unusable(ENCRYPTED));
        // X25519 instead of Ed25519 (RFC 8410 §3).
        assert_eq!(error(&ED25519.replace("BQYDK2Vw", "BQYDK2Vu")), unusable(OTHER));
        let openssh = RFC6376.replace("RSA PRIVATE", "OPENSSH PRIVATE");
        assert_eq!(error(&openssh), unusable(OPENSSH));
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n";
        assert_eq!(error(certificate), unusable(CERTIFICATE));
    }

    #[test]
    fn rfc1421_4_6_1_1_only_a_proc_type_of_encrypted_marks_a_key_as_encrypted() {
        // OpenSSL refuses a key with such fields.
        for field in ["Comment: x", "Comment: not ENCRYPTED", "Proc-Type: 4,MIC-CLEAR"] {
            let pem = RFC6376.replacen("KEY-----\n", &format!("KEY-----\n{field}\n\n"), 1);
            assert!(SigningKey::from_pem(pem, 1024).is_ok(), "{field}");
        }
    }

    #[test]
    fn unusable_der_is_named_under_any_label() {
        let of = |elements: &[&[u8]]| {
            let inner = elements.concat();
            [&[0x30, u8::try_from(inner.len()).unwrap()], inner.as_slice()].concat()
        };
        let (one, bytes, bits) = (&[2_u8, 1, 1][..], &[4_u8, 1, 0][..], &[3_u8, 2, 0, 0][..]);
        let zero = &[2_u8, 1, 0][..];
        let oid = |oid: ObjectIdentifier| {
            let bytes = oid.as_bytes();
            of(&[&[6, u8::try_from(bytes.len()).unwrap()], bytes])
        };
        let (ec, dsa, nothing) = (oid(EC_OID), oid(DSA_OID), of(&[]));
        for (der, what) in [
            (of(&[zero, &ec, bytes]), EC),
            (of(&[one, bytes]), EC),
            (of(&[zero, &dsa, bytes]), DSA),
            (of(&[zero, one, one, one, one, one]), DSA),
            (of(&[one, one, one, one, one, one, one, one, one, &nothing]), PRIMES),
            (of(&[&ec, bytes]), ENCRYPTED),
            (of(&[&ec, bits]), PUBLIC),
            (of(&[one, one]), PUBLIC),
            (of(&[&nothing, &nothing, bits]), CERTIFICATE),
            (of(&[&[2, 1, 3], &nothing]), PKCS12),
        ] {
            for label in ["RSA PRIVATE KEY", "PRIVATE KEY"] {
                let base64 = BASE64_STANDARD.encode(&der);
                let pem = format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n");
                assert_eq!(error(&pem), KeyError::Unusable(what), "{der:x?}");
            }
            assert_eq!(
                SigningKey::from_pem(&der, 1024).unwrap_err(),
                KeyError::Unusable(what),
                "{der:x?}"
            );
        }
    }
}
