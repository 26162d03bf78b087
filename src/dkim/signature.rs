//! The DKIM-Signature field (§3.5): its tags, its writer and its parser.

use std::error;
use std::fmt;

use base64::prelude::*;

use crate::dkim::canon::{Canon, Canonicalization, without_line_end};
use crate::dkim::domain::{Domain, Identity, Selector};
use crate::dkim::header::{Field, FieldName};
use crate::dkim::key::Algorithm;
use crate::dkim::tag::{TagError, TagList, base64, words};

/// The name of the field.
pub const NAME: &str = "DKIM-Signature";

/// A whole DKIM-Signature field, to be put before a header. Its lines end in LF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(String);

impl Signature {
    /// The field, including its name and its last line end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The tags of a signature, except b=.
#[derive(Clone, Debug)]
pub(super) struct Unsigned<'a> {
    /// a=
    pub(super) algorithm: Algorithm,
    /// c=
    pub(super) canonicalization: Canonicalization,
    /// d=
    pub(super) domain: &'a Domain,
    /// s=
    pub(super) selector: &'a Selector,
    /// t=, in seconds since 1970.
    pub(super) timestamp: u64,
    /// x=
    pub(super) expiration: Option<u64>,
    /// i=
    pub(super) identity: Option<&'a Identity>,
    /// h=: each name once for each instance that is signed.
    pub(super) signed: &'a [&'a FieldName],
    /// bh=
    pub(super) body_hash: &'a [u8; 32],
}

impl Unsigned<'_> {
    /// Writes the field up to and including `b=`. This one text is both hashed and sent.
    pub(super) fn write(&self) -> Folded {
        let mut text = Folded::default();
        text.word(&format!("{NAME}: v=1;"));
        text.word(&format!("a={};", self.algorithm));
        text.word(&format!("c={};", self.canonicalization));
        text.word(&format!("d={};", self.domain));
        text.word(&format!("s={};", self.selector));
        text.word(&format!("t={};", self.timestamp));
        if let Some(expiration) = self.expiration {
            text.word(&format!("x={expiration};"));
        }
        if let Some(identity) = self.identity {
            text.identity(identity);
        }
        text.fold();
        text.part("h=");
        for (index, name) in self.signed.iter().enumerate() {
            let is_last = index.saturating_add(1) == self.signed.len();
            let end = if is_last { ';' } else { ':' };
            text.part(&format!("{}{end}", name.as_str()));
        }
        text.word(&format!("bh={};", BASE64_STANDARD.encode(self.body_hash)));
        text.fold();
        text.part("b=");
        text
    }
}

/// Text whose lines are no longer than [`LINE`] where they can be folded.
#[derive(Clone, Debug, Default)]
pub(super) struct Folded {
    text: String,
    column: usize,
}

/// Bytes of a line without its line end (RFC 5322 §2.1.1 recommends at most 78).
const LINE: usize = 77;

impl Folded {
    /// Adds a word, after a space or on the next line.
    fn word(&mut self, word: &str) {
        if self.column.saturating_add(1).saturating_add(word.len()) > LINE {
            self.fold();
        } else if self.column > 0 {
            self.push(" ");
        }
        self.push(word);
    }

    /// Adds a part of a value; the line may be folded before it.
    fn part(&mut self, part: &str) {
        if self.column.saturating_add(part.len()) > LINE {
            self.fold();
        }
        self.push(part);
    }

    /// Adds i= in dkim-quoted-printable, which may be folded between two characters (§2.11).
    fn identity(&mut self, identity: &Identity) {
        let mut parts = vec!["i=".to_owned()];
        parts.extend(identity.local().bytes().map(|byte| match byte {
            b'!'..=b':' | b'<' | b'>'..=b'~' => char::from(byte).to_string(),
            _ => format!("={byte:02X}"),
        }));
        parts.push(format!("@{};", identity.domain()));
        let whole = parts.concat();
        // Keep it in one piece if possible: some verifiers do not expect a folded i=.
        if whole.len() < LINE {
            return self.word(&whole);
        }
        self.fold();
        for part in &parts {
            self.part(part);
        }
    }

    /// Adds base64, which may be folded anywhere.
    pub(super) fn base64(&mut self, bytes: &[u8]) {
        let text = BASE64_STANDARD.encode(bytes);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            if self.column >= LINE {
                self.fold();
            }
            let room = LINE.saturating_sub(self.column).min(rest.len());
            let Some((piece, after)) = rest.split_at_checked(room) else { break };
            self.push(piece);
            rest = after;
        }
    }

    fn fold(&mut self) {
        if self.column > 1 {
            self.text.push_str("\n\t");
            self.column = 1;
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column = self.column.saturating_add(text.len());
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The field with the value of b=.
    pub(super) fn sign(mut self, signature: &[u8]) -> Signature {
        self.base64(signature);
        self.text.push('\n');
        Signature(self.text)
    }
}

/// The tags of a received signature. None of them is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// a=
    pub algorithm: Algorithm,
    /// c=
    pub canonicalization: Canonicalization,
    /// d=
    pub domain: Domain,
    /// s=
    pub selector: Selector,
    /// t=, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// x=, in seconds since 1970.
    pub expiration: Option<u64>,
    /// Whether the domain of i= is below d=.
    pub subdomain: bool,
    /// l=, in bytes of the canonical body.
    pub length: Option<u64>,
    /// h=, in the order of the field.
    pub signed: Vec<FieldName>,
    /// bh=
    pub body_hash: Vec<u8>,
    /// b=
    pub signature: Vec<u8>,
}

/// Why a field is not a signature that can be verified. The signer causes all of these errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// The field is not a tag list.
    Syntax(TagError),
    /// A required tag is missing.
    Missing(&'static str),
    /// The value of a tag is malformed.
    Value(&'static str),
    /// v= is not 1.
    Version,
    /// a= is unknown, or rsa-sha1 (RFC 8301 §3.1).
    Algorithm,
    /// q= names no supported method.
    QueryMethod,
    /// The domain of i= is neither d= nor below it.
    Identity,
    /// h= does not name From.
    FromNotSigned,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(_) => write!(f, "the field is not a tag list"),
            Self::Missing(tag) => write!(f, "tag {tag}= is missing"),
            Self::Value(tag) => write!(f, "tag {tag}= has a malformed value"),
            Self::Version => write!(f, "tag v= is not 1"),
            Self::Algorithm => write!(f, "the algorithm of tag a= is not supported"),
            Self::QueryMethod => write!(f, "tag q= names no supported method"),
            Self::Identity => write!(f, "the domain of tag i= is not within that of d="),
            Self::FromNotSigned => write!(f, "tag h= does not name From"),
        }
    }
}

impl error::Error for SignatureError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if let Self::Syntax(error) = self { Some(error) } else { None }
    }
}

impl Claims {
    /// Reads a DKIM-Signature field.
    ///
    /// # Errors
    ///
    /// See [`SignatureError`].
    pub fn parse(field: &Field) -> Result<Self, SignatureError> {
        let tags = TagList::parse(field.value()).map_err(SignatureError::Syntax)?;
        let required = |name| tags.get(name).ok_or(SignatureError::Missing(name));
        let value = |name| move |_| SignatureError::Value(name);
        if required("v")? != "1" {
            return Err(SignatureError::Version);
        }
        let algorithm = Algorithm::parse(required("a")?).ok_or(SignatureError::Algorithm)?;
        let domain = Domain::parse(required("d")?).map_err(value("d"))?;
        let signed = words(required("h")?).map(FieldName::parse).collect::<Result<Vec<_>, _>>();
        let identity = identity_domain(&tags)?;
        let claims = Self {
            algorithm,
            subdomain: identity.as_ref().is_some_and(|identity| *identity != domain),
            canonicalization: canonicalization(tags.get("c"))?,
            selector: Selector::parse(required("s")?).map_err(value("s"))?,
            timestamp: number(&tags, "t")?,
            expiration: number(&tags, "x")?,
            length: number(&tags, "l")?,
            signed: signed.map_err(|_| SignatureError::Value("h"))?,
            body_hash: base64(required("bh")?).ok_or(SignatureError::Value("bh"))?,
            signature: base64(required("b")?).ok_or(SignatureError::Value("b"))?,
            domain,
        };
        claims.refuse(&tags, identity)?;
        Ok(claims)
    }

    /// Rejects a well-formed field that is not a valid signature.
    fn refuse(&self, tags: &TagList<'_>, identity: Option<Domain>) -> Result<(), SignatureError> {
        if !self.signed.iter().any(|name| name.is("From")) {
            return Err(SignatureError::FromNotSigned);
        }
        if self.timestamp.zip(self.expiration).is_some_and(|(made, ends)| ends <= made) {
            return Err(SignatureError::Value("x"));
        }
        let mut methods = words(tags.get("q").unwrap_or("dns/txt"));
        if !methods.any(|method| method.eq_ignore_ascii_case("dns/txt")) {
            return Err(SignatureError::QueryMethod);
        }
        let is_within = identity.is_none_or(|domain| domain.is_within(&self.domain));
        is_within.then_some(()).ok_or(SignatureError::Identity)
    }
}

/// The domain and the selector that a field names, even where the rest of it is invalid.
pub(super) fn signer(field: &Field) -> (Option<Domain>, Option<Selector>) {
    let Ok(tags) = TagList::parse(field.value()) else { return (None, None) };
    let domain = tags.get("d").and_then(|text| Domain::parse(text).ok());
    let selector = tags.get("s").and_then(|text| Selector::parse(text).ok());
    (domain, selector)
}

fn identity_domain(tags: &TagList<'_>) -> Result<Option<Domain>, SignatureError> {
    let Some(identity) = tags.get("i") else { return Ok(None) };
    let domain = identity.rsplit_once('@').and_then(|(_, domain)| Domain::parse(domain).ok());
    domain.map(Some).ok_or(SignatureError::Value("i"))
}

fn canonicalization(text: Option<&str>) -> Result<Canonicalization, SignatureError> {
    let simple = Canonicalization { header: Canon::Simple, body: Canon::Simple };
    let Some(text) = text else { return Ok(simple) };
    text.to_ascii_lowercase().parse().map_err(|_| SignatureError::Value("c"))
}

fn number(tags: &TagList<'_>, name: &'static str) -> Result<Option<u64>, SignatureError> {
    let Some(text) = tags.get(name) else { return Ok(None) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    // §3.5 allows up to 76 digits. A number that does not fit is a time that never comes.
    let number = if text.len() > 19 { Ok(u64::MAX) } else { text.parse() };
    number.ok().filter(|_| digits).map(Some).ok_or(SignatureError::Value(name))
}

/// The field without the value of b=, and without its last line end (§3.7).
pub(super) fn without_signature(field: &Field) -> Vec<u8> {
    let tags = TagList::parse(field.value());
    let place = tags.ok().and_then(|tags| Some(tags.tag("b")?.place.clone())).unwrap_or_default();
    let mut text = field.bytes().to_vec();
    let begin = text.len().saturating_sub(field.value().len());
    text.drain(begin.saturating_add(place.start)..begin.saturating_add(place.end));
    text.truncate(without_line_end(&text).len());
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_in_result, reason = "a test sets this up")]
mod tests {
    use super::*;

    const FIELD: &str = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed; d=Sample.com; s=s1;\r\n\
        \th=From : To:from; bh=\r\n\t frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=AA\r\n BB; t=5;\r\n";

    fn parse(field: &str) -> Result<Claims, SignatureError> {
        Claims::parse(&Field::parse(field.as_bytes()).unwrap())
    }

    #[test]
    fn a_signature_is_read_with_its_white_space() {
        let claims = parse(FIELD).unwrap();
        assert_eq!(claims.domain.as_str(), "sample.com");
        assert_eq!(claims.canonicalization.to_string(), "relaxed/simple");
        assert_eq!(claims.signed.len(), 3);
        assert_eq!(claims.signature, [0, 0, 0x41]);
        assert_eq!((claims.timestamp, claims.expiration, claims.length), (Some(5), None, None));
    }

    #[test]
    fn the_domain_of_the_identity_may_be_a_subdomain() {
        for (identity, expected) in [
            ("", false),
            (" i=a@sample.com;", false),
            (" i=@SAMPLE.com;", false),
            (" i=@a.sample.com;", true),
        ] {
            let claims = parse(&FIELD.replace(" t=5;", &format!(" t=5;{identity}"))).unwrap();
            assert_eq!(claims.subdomain, expected, "{identity}");
        }
    }

    #[test]
    fn rfc6376_3_5_a_number_may_have_76_digits() {
        for (digits, number) in [
            ("9".repeat(19), 9_999_999_999_999_999_999),
            ("9".repeat(20), u64::MAX),
            ("9".repeat(76), u64::MAX),
        ] {
            let claims = parse(&FIELD.replace("t=5", &format!("t=5; x={digits}"))).unwrap();
            assert_eq!(claims.expiration, Some(number), "{digits}");
        }
    }

    #[test]
    fn each_rule_of_the_tags_has_its_error() {
        for (from, to, wanted) in [
            ("v=1", "v=2", SignatureError::Version),
            ("v=1; ", "", SignatureError::Missing("v")),
            ("rsa-sha256", "rsa-sha1", SignatureError::Algorithm),
            ("d=Sample.com", "d=..", SignatureError::Value("d")),
            ("From : To:from", "To", SignatureError::FromNotSigned),
            ("t=5", "t=x", SignatureError::Value("t")),
            ("t=5", "t=5; x=5", SignatureError::Value("x")),
            ("t=5", "i=@other.com", SignatureError::Identity),
            ("t=5", "i=other.com", SignatureError::Value("i")),
            ("t=5", "q=dns", SignatureError::QueryMethod),
            ("c=relaxed", "c=loose", SignatureError::Value("c")),
            ("b=AA", "b=?A", SignatureError::Value("b")),
            ("t=5", "t=5; t=6", SignatureError::Syntax(TagError::Twice)),
        ] {
            assert_eq!(parse(&FIELD.replace(from, to)), Err(wanted), "{to}");
        }
    }

    #[test]
    fn only_the_value_of_b_is_removed() {
        let field = Field::parse(FIELD.as_bytes()).unwrap();
        let text = String::from_utf8(without_signature(&field)).unwrap();
        assert_eq!(text, FIELD.replace("AA\r\n BB", "").trim_end_matches("\r\n"));
        let field = Field::parse(b"DKIM-Signature: a=b=c; b=AA\r\n").unwrap();
        assert_eq!(without_signature(&field), b"DKIM-Signature: a=b=c; b=");
    }

    #[test]
    fn a_long_identity_is_folded_and_means_the_same() {
        let identity = Identity::parse(&format!("{}@x.example", "a=b;".repeat(300))).unwrap();
        let mut text = Folded::default();
        text.identity(&identity);
        assert!(text.text.lines().all(|line| line.len() <= 78), "{}", text.text);
        assert!(!text.text.contains("=\n") && !text.text.contains("=3\n"), "{}", text.text);
        for length in 50..80 {
            let mut text = Folded::default();
            text.word("t=1;");
            text.identity(&Identity::parse(&format!("{}@x.example", "a".repeat(length))).unwrap());
            assert!(text.text.lines().all(|line| line.len() <= LINE), "{}", text.text);
        }
        let unfolded = text.text.replace("\n\t", "").replace("=3D", "=").replace("=3B", ";");
        assert_eq!(unfolded, format!("i={identity};"));
    }

    #[test]
    fn a_line_is_folded_before_what_would_make_it_longer_than_77_bytes() {
        let text = |length: usize| "x".repeat(length);
        let [word, part]: [fn(&mut Folded, &str); 2] = [Folded::word, Folded::part];
        for (add, length, between) in
            [(word, 36, " "), (word, 37, "\n\t"), (part, 37, ""), (part, 38, "\n\t")]
        {
            let mut folded = Folded::default();
            folded.word(&text(40));
            add(&mut folded, &text(length));
            assert_eq!(folded.text, format!("{}{between}{}", text(40), text(length)));
        }
    }

    #[test]
    fn no_line_is_longer_than_78_bytes() {
        let names: Vec<FieldName> =
            (0..40).map(|n| FieldName::parse(&"X".repeat(1 + n)).unwrap()).collect();
        let from = FieldName::parse("From").unwrap();
        let signed: Vec<&FieldName> = names.iter().chain([&from]).collect();
        for length in 1..60 {
            let domain = Domain::parse(&format!("{}.example", "a".repeat(length))).unwrap();
            let selector = Selector::parse("dkimselector").unwrap();
            let unsigned = Unsigned {
                algorithm: Algorithm::RsaSha256,
                canonicalization: "relaxed/relaxed".parse().unwrap(),
                domain: &domain,
                selector: &selector,
                timestamp: 1_700_000_000,
                expiration: Some(1_800_000_000),
                identity: Some(&Identity::parse("a=b;c@x.example").unwrap()),
                signed: &signed,
                body_hash: &[0xff; 32],
            };
            let signature = unsigned.write().sign(&[0xee; 256]);
            let text = std::str::from_utf8(signature.as_bytes()).unwrap();
            assert!(text.lines().all(|line| line.len() <= 78), "{text}");
            assert!(text.lines().all(|line| !line.ends_with(NAME) && !line.ends_with(": ")));
            assert!(text.starts_with("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;"));
            assert!(text.contains("i=a=3Db=3Bc@x.example;"));
        }
    }
}
