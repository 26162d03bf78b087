//! Verifying (§6): judges each signature of a message with its key record.

use std::error;
use std::fmt;
use std::ptr;

use sha2::{Digest as _, Sha256};

use crate::dkim::domain::{Domain, Selector};
use crate::dkim::hash::{BodyHash, BodyHasher, SignedFields};
use crate::dkim::header::{Field, Header};
use crate::dkim::key::PublicKey;
use crate::dkim::record::{Record, RecordError};
use crate::dkim::sign::Timestamp;
use crate::dkim::signature::{Claims, NAME, SignatureError, signer, without_signature};

/// The result of looking up a key record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The text of the record, with its strings joined.
    Found(Vec<u8>),
    /// There is no record.
    NotFound,
    /// The lookup failed, so it is not known whether there is a record.
    Failed(String),
}

/// The result for one signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// d=, if it could be read.
    pub domain: Option<Domain>,
    /// s=, if it could be read.
    pub selector: Option<Selector>,
    /// Whether the signature verifies.
    pub result: Result<(), Fault>,
}

/// The step of §6.1 at which a signature failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The field is malformed or has a value that is not supported.
    Signature(SignatureError),
    /// There is no key record.
    NoKey,
    /// The key record could not be looked up.
    LookupFailed(String),
    /// The key record is malformed, revoked, or not for this use.
    Record(RecordError),
    /// The type of the key is not that of a=.
    OtherKeyType,
    /// The time of x= has passed.
    Expired,
    /// The record has t=s, and the domain of i= is not d=.
    Subdomain,
    /// l= is larger than the body.
    BodyTooShort,
    /// The body was changed after signing.
    Body,
    /// The header was changed after signing, or the signature was made with another key.
    Header,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(_) => write!(f, "bad signature field"),
            Self::NoKey => write!(f, "no key record"),
            Self::LookupFailed(why) => write!(f, "the key record could not be looked up: {why}"),
            Self::Record(_) => write!(f, "bad key record"),
            Self::OtherKeyType => write!(f, "the key is of another type than a= says"),
            Self::Expired => write!(f, "the signature has expired"),
            Self::Subdomain => write!(f, "the record has t=s, but i= is in a subdomain"),
            Self::BodyTooShort => write!(f, "the body is shorter than l= says"),
            Self::Body => write!(f, "the body was changed (body hash differs)"),
            Self::Header => {
                write!(f, "a signed header field was changed, or another key made the signature")
            }
        }
    }
}

impl error::Error for Fault {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if let Self::Signature(error) = self {
            return Some(error);
        }
        if let Self::Record(error) = self { Some(error) } else { None }
    }
}

/// The most signatures of a message that are verified. Each one costs a lookup and a public-key operation, and the author of the
/// message chooses how many there are (§6.1 allows a limit).
pub const MOST: usize = 100;

/// Verifies the first [`MOST`] signatures of a message, from the top of the header down.
pub fn verify(
    header: &Header,
    body: &[u8],
    now: Timestamp,
    lookup: &mut dyn FnMut(&Domain, &Selector) -> Lookup,
) -> Vec<Verdict> {
    let one = |field: &Field| match Claims::parse(field) {
        Err(error) => {
            let (domain, selector) = signer(field);
            Verdict { domain, selector, result: Err(Fault::Signature(error)) }
        }
        Ok(claims) => {
            let found = lookup(&claims.domain, &claims.selector);
            let result = verify_one(header, body, now, field, &claims, found);
            Verdict { domain: Some(claims.domain), selector: Some(claims.selector), result }
        }
    };
    header.named(NAME).take(MOST).map(one).collect()
}

/// d= and s= of the signatures whose keys [`verify`] looks up.
pub fn signers(header: &Header) -> impl Iterator<Item = (Domain, Selector)> {
    let claims = header.named(NAME).take(MOST).filter_map(|field| Claims::parse(field).ok());
    claims.map(|claims| (claims.domain, claims.selector))
}

fn verify_one(
    header: &Header,
    body: &[u8],
    now: Timestamp,
    field: &Field,
    claims: &Claims,
    found: Lookup,
) -> Result<(), Fault> {
    if claims.expiration.is_some_and(|expiration| expiration < now.0) {
        return Err(Fault::Expired);
    }
    let record = match found {
        Lookup::Found(text) => Record::parse(&text).map_err(Fault::Record)?,
        Lookup::NotFound => return Err(Fault::NoKey),
        Lookup::Failed(why) => return Err(Fault::LookupFailed(why)),
    };
    let key = record.key();
    if key.algorithm() != claims.algorithm {
        return Err(Fault::OtherKeyType);
    }
    if record.terms().strict && claims.subdomain {
        return Err(Fault::Subdomain);
    }
    let hash = claims.hash_body(body);
    if claims.length.is_some_and(|length| hash.length() < length) {
        return Err(Fault::BodyTooShort);
    }
    if claims.body_hash != hash.bytes() {
        return Err(Fault::Body);
    }
    claims.fits_header(&others(header, field), field, key).then_some(()).ok_or(Fault::Header)
}

/// The header without one of its signatures: a signature whose h= names DKIM-Signature signs the others only (§3.5 h=).
pub fn others(header: &Header, signature: &Field) -> Header {
    let others = header.fields().iter().filter(|other| !ptr::eq(*other, signature));
    Header::new(others.cloned().collect())
}

impl Claims {
    /// The hash of a body, as c= and l= require.
    pub fn hash_body(&self, body: &[u8]) -> BodyHash {
        let mut hasher = self.body_hasher();
        hasher.update(body);
        hasher.finish()
    }

    /// A hasher for a body in pieces, as c= and l= require.
    pub fn body_hasher(&self) -> BodyHasher {
        BodyHasher::limited(self.canonicalization.body, self.length)
    }

    /// Whether b= is a signature by this key. `field` is the field that these claims were read from, `others` the rest of the
    /// header.
    pub fn fits_header(&self, others: &Header, field: &Field, key: &PublicKey) -> bool {
        let fields = SignedFields::new(self.canonicalization.header, others, &self.signed);
        let text = fields.and(&without_signature(field));
        key.verifies(&Sha256::digest(text).into(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use base64::prelude::*;

    use crate::dkim::canon::{Canon, Canonicalization};
    use crate::dkim::header::FieldName;
    use crate::dkim::key::SigningKey;
    use crate::dkim::sign::{Recipe, SignError, sign};
    use crate::dkim::tag::TagList;

    const RFC6376: &str = include_str!("../../tests/vectors/rfc6376-a2.eml");
    const RECORD: &str = include_str!("../../tests/vectors/rfc6376-a2.txt");
    const KEY: &str = include_str!("../../tests/vectors/rfc6376-c.private");
    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn faults(message: &str, record: &str) -> Vec<Result<(), Fault>> {
        faults_at(NOW, message, record)
    }

    fn faults_at(now: Timestamp, message: &str, record: &str) -> Vec<Result<(), Fault>> {
        let (header, body) = message.split_once("\n\n").unwrap();
        let header = Header::parse(format!("{header}\n").as_bytes()).unwrap();
        let lookup = &mut |_: &Domain, _: &Selector| Lookup::Found(record.trim().into());
        verify(&header, body.as_bytes(), now, lookup).into_iter().map(|one| one.result).collect()
    }

    /// A message signed with one canonicalization; each signed field occurs twice.
    fn signed(canonicalization: Canonicalization, lifetime: Option<u64>) -> String {
        let message = "To: a\nsubject:  x \n\ty \nFrom: J <joe@football.example.com>\nTO : b\nFrom: x\n\
            Subject:z\n\nHi.  \n\n  x\ty \n\n\n";
        let (header, body) = message.split_once("\n\n").unwrap();
        let header = Header::parse(format!("{header}\n").as_bytes()).unwrap();
        let mut hasher = BodyHasher::new(canonicalization.body);
        hasher.update(body.as_bytes());
        let names = |names: &[&str]| {
            names.iter().map(|name| FieldName::parse(name).unwrap()).collect::<Vec<_>>()
        };
        let domain = Domain::parse("football.example.com").unwrap();
        let recipe =
            Recipe::new(domain, names(&["From", "To", "Subject", "Cc"]), names(&["From", "Cc"]))
                .unwrap()
                .with_canonicalization(canonicalization)
                .with_lifetime(lifetime);
        let key = SigningKey::from_pem(KEY, 1024).unwrap();
        let selector = Selector::parse("test").unwrap();
        let signature = sign(&header, &hasher.finish(), &recipe, &selector, &key, NOW).unwrap();
        let signature = std::str::from_utf8(signature.as_bytes()).unwrap();
        format!("{signature}{message}")
    }

    fn all() -> impl Iterator<Item = Canonicalization> {
        let both = [Canon::Simple, Canon::Relaxed];
        both.into_iter().flat_map(move |header| both.map(|body| Canonicalization { header, body }))
    }

    #[test]
    fn rfc6376_appendix_a_verifies() {
        assert_eq!(faults(RFC6376, RECORD), [Ok(())]);
    }

    /// The records of RFC 8463, appendix A.2.
    fn rfc8463(selector: &Selector) -> Lookup {
        Lookup::Found(match selector.as_str() {
            "brisbane" => include_str!("../../tests/vectors/rfc8463-a-brisbane.txt").trim().into(),
            _ => include_str!("../../tests/vectors/rfc8463-a-test.txt").trim().into(),
        })
    }

    #[test]
    fn rfc8463_appendix_a_verifies_with_both_algorithms() {
        let message = include_str!("../../tests/vectors/rfc8463-a.eml");
        for (from, to, result) in
            [("", "", Ok(())), ("Joe.", "Jo.", Err(Fault::Body)), ("y?", "y!", Err(Fault::Header))]
        {
            let message = message.replacen(from, to, 1);
            let (header, body) = message.split_once("\n\n").unwrap();
            let header = Header::parse(format!("{header}\n").as_bytes()).unwrap();
            let verdicts =
                verify(&header, body.as_bytes(), NOW, &mut |_, selector| rfc8463(selector));
            let results: Vec<_> = verdicts.into_iter().map(|one| one.result).collect();
            assert_eq!(results, [result.clone(), result], "{to}");
        }
    }

    #[test]
    fn rfc8463_appendix_a_is_what_its_keys_sign() {
        let message = include_str!("../../tests/vectors/rfc8463-a.eml");
        let (header, _) = message.split_once("\n\n").unwrap();
        let header = Header::parse(format!("{header}\n").as_bytes()).unwrap();
        let keys = [
            include_str!("../../tests/vectors/rfc8463-a-brisbane.private"),
            include_str!("../../tests/vectors/rfc8463-a-test.private"),
        ];
        assert_eq!(header.count(NAME), 2);
        for (field, pem) in header.named(NAME).zip(keys) {
            let claims = Claims::parse(field).unwrap();
            let text = without_signature(field);
            let text = SignedFields::new(Canon::Relaxed, &header, &claims.signed).and(&text);
            let key = SigningKey::from_pem(pem, 1024).unwrap();
            assert_eq!(key.algorithm(), claims.algorithm);
            assert_eq!(key.sign(&text).unwrap(), claims.signature);
        }
    }

    #[test]
    fn a_record_of_the_other_key_type_is_a_fault_of_its_own() {
        let message = include_str!("../../tests/vectors/rfc8463-a.eml");
        let record = include_str!("../../tests/vectors/rfc8463-a-brisbane.txt");
        assert_eq!(faults(message, record), [Ok(()), Err(Fault::OtherKeyType)]);
    }

    #[test]
    fn rfc6376_appendix_a_verifies_with_crlf_too() {
        let (header, body) = RFC6376.split_once("\n\n").unwrap();
        let header = format!("{}\r\n", header.replace('\n', "\r\n"));
        let header = Header::parse(header.as_bytes()).unwrap();
        let lookup = &mut |_: &Domain, _: &Selector| Lookup::Found(RECORD.trim().into());
        let verdicts = verify(&header, body.replace('\n', "\r\n").as_bytes(), NOW, lookup);
        assert_eq!(verdicts[0].result, Ok(()));
        assert_eq!(verdicts[0].selector.as_ref().unwrap().as_str(), "brisbane");
    }

    #[test]
    fn rfc6376_appendix_a_is_what_the_key_of_appendix_c_signs() {
        let (header, _) = RFC6376.split_once("\n\n").unwrap();
        let header = Header::parse(format!("{header}\n").as_bytes()).unwrap();
        let field = header.named(NAME).next().unwrap();
        let claims = Claims::parse(field).unwrap();
        let text = without_signature(field);
        let text = SignedFields::new(Canon::Simple, &header, &claims.signed).and(&text);
        let key = SigningKey::from_pem(KEY, 1024).unwrap();
        assert_eq!(key.sign(&text).unwrap(), claims.signature);
    }

    #[test]
    fn a_fault_names_its_cause() {
        let cause = |error: &dyn error::Error| error.source().map(ToString::to_string);
        let syntax = TagList::parse(b"=").unwrap_err();
        let (field, record) = (SignatureError::Syntax(syntax), RecordError::Syntax(syntax));
        assert_eq!(cause(&field), Some(syntax.to_string()));
        assert_eq!(cause(&record), Some(syntax.to_string()));
        assert_eq!(cause(&Fault::Signature(field)), Some(field.to_string()));
        assert_eq!(cause(&Fault::Record(record)), Some(record.to_string()));
        assert_eq!(cause(&Fault::NoKey), None);
        let key = SignError::Key(rsa::Error::Verification);
        assert_eq!(cause(&key), Some(rsa::Error::Verification.to_string()));
    }

    /// Signs a message as other signers may do: h= names DKIM-Signature.
    fn signed_with_the_signatures_below(message: &str) -> String {
        let (header, _) = message.split_once("\n\n").unwrap();
        let header = Header::parse(format!("{header}\n").as_bytes()).unwrap();
        let names = ["From", NAME].map(|name| FieldName::parse(name).unwrap());
        let bh = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let text = format!(
            "{NAME}: v=1; a=rsa-sha256; c=relaxed/relaxed; l=0; d=x.test; s=s; h=From:{NAME}; bh={bh}; b="
        );
        let signed = SignedFields::new(Canon::Relaxed, &header, &names).and(text.as_bytes());
        let signature = SigningKey::from_pem(KEY, 1024).unwrap().sign(&signed).unwrap();
        format!("{text}{}\n{message}", BASE64_STANDARD.encode(signature))
    }

    #[test]
    fn rfc6376_3_5_a_signature_may_sign_the_others_but_never_itself() {
        let relaxed = Canonicalization { header: Canon::Relaxed, body: Canon::Relaxed };
        let message = signed_with_the_signatures_below(&signed(relaxed, None));
        assert_eq!(faults(&message, RECORD), [Ok(()), Ok(())]);
        let changed = message.replacen("d=football", "d=Football", 1);
        assert_eq!(faults(&changed, RECORD), [Err(Fault::Header), Err(Fault::Header)]);
        let alone = signed_with_the_signatures_below("From: x\n\ny\n");
        assert_eq!(faults(&alone, RECORD), [Ok(())]);
    }

    #[test]
    fn what_is_signed_verifies_in_all_four_canonicalizations() {
        for canonicalization in all() {
            assert_eq!(
                faults(&signed(canonicalization, None), RECORD),
                [Ok(())],
                "{canonicalization}"
            );
        }
    }

    #[test]
    fn a_changed_field_is_a_fault_of_the_header() {
        for canonicalization in all() {
            let message = signed(canonicalization, None);
            for (from, to) in [
                ("To: a", "To: c"),
                ("TO : b", "TO : c"),
                ("Subject:z", "Subject:y"),
                ("joe@", "jo@"),
            ] {
                assert_eq!(
                    faults(&message.replacen(from, to, 1), RECORD),
                    [Err(Fault::Header)],
                    "{to}"
                );
            }
        }
    }

    #[test]
    fn an_added_field_of_an_oversigned_name_is_a_fault() {
        for canonicalization in all() {
            let message = signed(canonicalization, None);
            assert_eq!(faults(&format!("From: other\n{message}"), RECORD), [Err(Fault::Header)]);
            // The absence of a field is also signed.
            assert_eq!(faults(&format!("Cc: other\n{message}"), RECORD), [Err(Fault::Header)]);
            assert_eq!(faults(&format!("Sender: other\n{message}"), RECORD), [Ok(())]);
        }
    }

    #[test]
    fn spaces_at_line_ends_count_in_the_simple_forms_only() {
        for canonicalization in all() {
            let message = signed(canonicalization, None).replacen("Hi.  ", "Hi.", 1);
            let wanted =
                if canonicalization.body == Canon::Simple { Err(Fault::Body) } else { Ok(()) };
            assert_eq!(faults(&message, RECORD), [wanted]);
            let message = signed(canonicalization, None).replacen("Subject:z", "SUBJECT: z ", 1);
            let wanted =
                if canonicalization.header == Canon::Simple { Err(Fault::Header) } else { Ok(()) };
            assert_eq!(faults(&message, RECORD), [wanted]);
        }
    }

    #[test]
    fn an_expired_signature_fails() {
        let relaxed = Canonicalization { header: Canon::Relaxed, body: Canon::Relaxed };
        let message = signed(relaxed, Some(10));
        assert!(message.contains("x=1700000010;"));
        assert_eq!(faults(&message, RECORD), [Ok(())]);
        let expired = message.replacen("t=17", "t=16", 1).replacen("x=17", "x=16", 1);
        assert_eq!(faults(&expired, RECORD), [Err(Fault::Expired)]);
        // §3.5 x=: it fails only when the time is past.
        assert_eq!(faults_at(Timestamp(1_700_000_010), &message, RECORD), [Ok(())]);
        let past = faults_at(Timestamp(1_700_000_011), &message, RECORD);
        assert_eq!(past, [Err(Fault::Expired)]);
    }

    #[test]
    fn a_body_of_fewer_bytes_than_l_is_too_short() {
        let relaxed = Canonicalization { header: Canon::Relaxed, body: Canon::Relaxed };
        let message = signed(relaxed, None);
        // The relaxed body has 13 bytes. Adding l= changes the header.
        for (length, fault) in [(13, Fault::Header), (14, Fault::BodyTooShort)] {
            let message = message.replacen("bh=", &format!("l={length}; bh="), 1);
            assert_eq!(faults(&message, RECORD), [Err(fault)], "{length}");
        }
    }

    #[test]
    fn each_fault_of_the_record_is_reported() {
        let relaxed = Canonicalization { header: Canon::Relaxed, body: Canon::Relaxed };
        let message = signed(relaxed, None);
        assert_eq!(faults(&message, "v=DKIM1; p="), [Err(Fault::Record(RecordError::Revoked))]);
        // Of 768 bits.
        let small = "v=DKIM1; p=MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhALuMB42mU/oI9/79/s0mEPghkHlT6XiEVCRGRCPAwxvcVdd2POcKStK2wgXxPmsT1qaXCjh8nrW2UZJU4JeX+hUUol2QdUs9gI85Iphko8PApa/YF6RjW6VV8SYNegWjuwIDAQAB";
        assert_eq!(faults(&message, small), [Err(Fault::Record(RecordError::Key))]);
        let mut none = |_: &Domain, _: &Selector| Lookup::NotFound;
        let (header, body) = message.split_once("\n\n").unwrap();
        let header = Header::parse(format!("{header}\n").as_bytes()).unwrap();
        let verdicts = verify(&header, body.as_bytes(), NOW, &mut none);
        assert_eq!(verdicts[0].result, Err(Fault::NoKey));
    }

    #[test]
    fn a_message_without_signature_has_no_verdict() {
        assert_eq!(faults("From: x\n\ny\n", RECORD), []);
    }
}
