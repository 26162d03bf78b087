//! The mistakes in published records, and their severities. Pure.

use std::fmt;

use crate::admin::checks::finding::{Finding, Severity};
use crate::dkim::RecordError;
use crate::report::chain;

/// A mistake in a published record, or a remark about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// More than one TXT record, of which this many are key records.
    SeveralRecords { count: usize, keys: usize },
    /// The pieces of one record, each published as a record.
    Pieces(usize),
    /// Another record is published under the name; holds its beginning.
    NotAKey(String),
    /// Another kind of record, and the name where it belongs.
    Misplaced { what: &'static str, place: &'static str },
    /// The target of a CNAME record as text.
    Target(String),
    /// p= is the private key.
    PrivateKey,
    /// A mistake in the text that `repair` can correct.
    Typo(Typo),
    /// Another error that makes the record unusable.
    Unusable(RecordError),
    /// p= contains WSP.
    BlankInKey,
    /// Only the first bytes of p= are published.
    Cut { there: usize, of: usize },
    /// p= has its end, but the middle is missing or changed.
    Damaged,
    /// p= is empty.
    Revoked,
    /// k= is one type, the key on disk is of the other.
    KeyType { says: String, is: &'static str },
    /// h= lacks sha256.
    Hash(String),
    /// s= without `*` and `email`.
    Service(String),
    /// The record holds another key; holds the selector on disk to which that key belongs, if any.
    OtherKey(Option<String>),
    /// t=y
    Testing,
    /// t=s, where i= is below d=.
    Strict,
    /// t=s, where mail From below d= is signed too: harmless without i=.
    StrictAndSubdomains,
    /// The key has too few bits.
    Weak(u32),
    /// The name is an alias.
    Alias(Vec<String>),
    /// The record is under this name, to which the zone was appended twice.
    Elsewhere(String),
    /// The record is under another name.
    Misnamed { found: String, name: String },
}

/// A mistake made when the text of a record was copied into a form or a zone file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typo {
    /// A character that no record may contain.
    Character(char),
    /// `\;` or `\"`.
    Backslash(&'static str),
    /// Quotes that are part of the record.
    Quotes,
    /// A tag without its name; the name by its value.
    LostName { value: String, name: Option<&'static str> },
    /// No `;` before this tag.
    NoSeparator { before: &'static str },
    /// Letters of the wrong case.
    Letters { typed: String, right: String },
    /// A key without `p=` before it.
    BareKey,
    /// BEGIN and END lines.
    Armor,
    /// Those of a private key.
    PrivateKey,
}

impl From<&Mistake> for Finding {
    fn from(mistake: &Mistake) -> Self {
        let (severity, code) = mistake.kind();
        Self::new(severity, code, mistake.to_string(), "")
    }
}

impl Mistake {
    pub(crate) fn severity(&self) -> Severity {
        self.kind().0
    }

    /// The severity, and a stable name for scripts.
    fn kind(&self) -> (Severity, &'static str) {
        match self {
            Self::SeveralRecords { .. } => (Severity::Error, "several-records"),
            Self::Pieces(_) => (Severity::Error, "pieces"),
            Self::NotAKey(_) => (Severity::Error, "not-a-key"),
            Self::Misplaced { .. } => (Severity::Error, "misplaced"),
            Self::Target(_) => (Severity::Error, "cname-target"),
            Self::PrivateKey => (Severity::Error, "private-key"),
            Self::Typo(typo) => (Severity::Error, typo.name()),
            Self::Unusable(_) => (Severity::Error, "unusable"),
            Self::BlankInKey => (Severity::Warning, "blank-in-key"),
            Self::Cut { .. } => (Severity::Error, "cut"),
            Self::Damaged => (Severity::Error, "damaged"),
            Self::Revoked => (Severity::Error, "revoked"),
            Self::KeyType { .. } => (Severity::Error, "key-type"),
            Self::Hash(_) => (Severity::Error, "hash"),
            Self::Service(_) => (Severity::Error, "service"),
            Self::OtherKey(_) => (Severity::Error, "other-key"),
            Self::Testing => (Severity::Warning, "testing"),
            Self::Strict => (Severity::Error, "strict"),
            Self::StrictAndSubdomains => (Severity::Info, "strict-and-subdomains"),
            Self::Weak(_) => (Severity::Warning, "weak"),
            Self::Alias(names) if names.len() < 2 => (Severity::Info, "alias"),
            Self::Alias(_) => (Severity::Warning, "alias"),
            Self::Elsewhere(_) | Self::Misnamed { .. } => (Severity::Error, "elsewhere"),
        }
    }
}

impl Typo {
    /// See [`Mistake::kind`].
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Character(_) => "character",
            Self::Backslash(_) => "backslash",
            Self::Quotes => "quotes",
            Self::LostName { .. } => "lost-name",
            Self::NoSeparator { .. } => "no-separator",
            Self::Letters { .. } => "letters",
            Self::BareKey => "bare-key",
            Self::Armor => "pem",
            Self::PrivateKey => "private-key",
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::SeveralRecords { count, keys } => format!(
                "{count} TXT records under the name, {keys} of them key records; publish only one"
            ),
            Self::Pieces(count) => format!(
                "the record was published as {count} separate TXT records; \
                 publish one record of several strings"
            ),
            Self::NotAKey(begin) => {
                format!("not a key record but {begin:?}; a wildcard record, or the wrong name")
            }
            Self::Misplaced { what, place } => format!(
                "{what} instead of a key record; move it to {place}, and publish the key record here"
            ),
            Self::Target(name) => format!(
                "the text {name:?} is the target of an alias: delete the TXT record, and publish it as a CNAME record"
            ),
            Self::PrivateKey => PRIVATE.to_owned(),
            Self::Typo(typo) => typo.to_string(),
            Self::Unusable(error) => chain(error),
            Self::BlankInKey => SPACE_IN_KEY.to_owned(),
            Self::Cut { there, of } => format!(
                "p= is cut off after {there} of {of} characters; a TXT string holds 255, \
                 a longer record needs several strings"
            ),
            Self::Damaged => "p= is damaged: parts of it are missing or changed".to_owned(),
            Self::Revoked => "p= is empty: the key is revoked".to_owned(),
            Self::KeyType { says, is } => format!("k={says}, but the key on disk is {is}"),
            Self::Hash(says) => format!("h={says} does not allow sha256, which signatures use"),
            Self::Service(says) => {
                format!("s={says} does not allow e-mail; remove it, or set s=email")
            }
            Self::OtherKey(None) => "the record is for another key".to_owned(),
            Self::OtherKey(Some(selector)) => {
                format!("the record is for another key: that of selector {selector}")
            }
            Self::Testing => {
                "t=y: the domain is only testing DKIM; receivers may treat its mail as unsigned"
                    .to_owned()
            }
            Self::Strict => STRICT.to_owned(),
            Self::StrictAndSubdomains => HARMLESS.to_owned(),
            Self::Weak(bits) => format!("the key has {bits} bits; receivers expect at least 2048"),
            Self::Alias(names) => match names.as_slice() {
                [name] => format!("the name is an alias (CNAME) of {name}"),
                names => format!(
                    "the name begins a chain of aliases (CNAME): {}; some resolvers give up",
                    names.join(", then ")
                ),
            },
            Self::Elsewhere(name) => format!(
                "the record is at {name}: enter the name without the domain, \
                 or end it with a dot in a zone file"
            ),
            Self::Misnamed { found, name } => {
                format!("the record is at {found}: publish it at {name} instead")
            }
        })
    }
}

const SPACE_IN_KEY: &str = "a space inside p=; allowed, but not every verifier accepts it: \
    split the text into strings without adding spaces";
const STRICT: &str =
    "t=s, but \"identity\" is of a subdomain: no signature verifies; remove one of them";
const HARMLESS: &str = "t=s is harmless to mail From subdomains as long as \"identity\" is not set";
/// A published private key is no longer secret.
const PRIVATE: &str = "the record has the PRIVATE key: anyone can sign for the domain; remove the record, \
    and create a new key with dkimctl genkey";

impl fmt::Display for Typo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(char) => write!(
                f,
                "the character U+{:04X} in the record, as in text copied from a web page",
                u32::from(*char)
            ),
            Self::Backslash(escaped) => write!(
                f,
                "{escaped} in the record; the backslash belongs in a zone file, not in a form"
            ),
            Self::Quotes => {
                write!(f, "quotes in the record; they belong in a zone file, not in a form")
            }
            Self::LostName { value, name } => {
                write!(f, "\"={value}\" without the name of its tag")?;
                let Some(name) = name else { return Ok(()) };
                write!(f, "; it should be {name}={value}")
            }
            Self::NoSeparator { before } => write!(f, "no \";\" before {before}="),
            Self::Letters { typed, right } => {
                write!(f, "{typed} in the record should be {right}: upper and lower case differ")
            }
            Self::BareKey => write!(f, "the key has no \"p=\" before it; write p= and the key"),
            Self::Armor => write!(
                f,
                "BEGIN and END lines of a PEM file in p=; publish only the text between them"
            ),
            Self::PrivateKey => f.write_str(PRIVATE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every mistake that makes signatures fail, or receivers find no record.
    fn serious() -> Vec<Mistake> {
        let text = || "x".to_owned();
        let lost = Typo::LostName { value: text(), name: None };
        let mut all: Vec<Mistake> = [
            Typo::Character('x'),
            Typo::Backslash("x"),
            Typo::Quotes,
            lost,
            Typo::NoSeparator { before: "k" },
            Typo::Letters { typed: text(), right: text() },
            Typo::BareKey,
            Typo::Armor,
            Typo::PrivateKey,
        ]
        .map(Mistake::Typo)
        .into();
        all.extend([
            Mistake::SeveralRecords { count: 2, keys: 1 },
            Mistake::Pieces(2),
            Mistake::NotAKey(text()),
            Mistake::Misplaced { what: "x", place: "x" },
            Mistake::Target(text()),
            Mistake::PrivateKey,
            Mistake::Unusable(RecordError::NoKey),
            Mistake::Cut { there: 1, of: 2 },
            Mistake::Damaged,
            Mistake::Revoked,
            Mistake::KeyType { says: text(), is: "rsa" },
            Mistake::Hash(text()),
            Mistake::Service(text()),
            Mistake::OtherKey(None),
            Mistake::Strict,
            Mistake::Elsewhere(text()),
            Mistake::Misnamed { found: text(), name: text() },
        ]);
        all
    }

    #[test]
    fn the_severity_of_a_mistake_is_what_receivers_make_of_it() {
        for mistake in serious() {
            assert_eq!(mistake.severity(), Severity::Error, "{mistake:?}");
        }
        let aliases = |count| Mistake::Alias(vec!["x".to_owned(); count]);
        for (mistake, severity) in [
            (Mistake::BlankInKey, Severity::Warning),
            (Mistake::Testing, Severity::Warning),
            (Mistake::Weak(1024), Severity::Warning),
            (aliases(2), Severity::Warning),
            (aliases(1), Severity::Info),
            (Mistake::StrictAndSubdomains, Severity::Info),
        ] {
            assert_eq!(mistake.severity(), severity, "{mistake:?}");
        }
    }

    #[test]
    fn scripts_find_each_mistake_under_the_same_name() {
        let names: Vec<&str> =
            serious().iter().map(|mistake| Finding::from(mistake).code).collect();
        let wanted = "character backslash quotes lost-name no-separator letters bare-key pem private-key \
            several-records pieces not-a-key misplaced cname-target private-key unusable cut damaged \
            revoked key-type hash service other-key strict elsewhere elsewhere";
        assert_eq!(names.join(" "), wanted);
    }

    #[test]
    fn a_published_private_key_is_to_be_replaced() {
        for mistake in [Mistake::PrivateKey, Mistake::Typo(Typo::PrivateKey)] {
            let text = mistake.to_string();
            assert!(text.contains("remove the record") && text.contains("dkimctl genkey"));
        }
    }
}
