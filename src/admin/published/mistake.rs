//! What can be wrong with what is published, and how bad it is. Pure.

use std::fmt;

use super::typo::Typo;
use crate::dkim::RecordError;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Good to know.
    Note,
    /// Signatures verify, and yet something should be done.
    Warning,
    /// Signatures with the key do not verify, or not with everybody.
    Error,
}

impl Severity {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something about a published record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// More than one TXT record, of which this many are key records.
    SeveralRecords { count: usize, keys: usize },
    /// The pieces of one record, each published as a record.
    Pieces(usize),
    /// Something else is published under the name: what it begins with.
    NotAKey(String),
    /// The text is not the one that was meant.
    Typo(Typo),
    /// What else makes the record unusable.
    Unusable(RecordError),
    /// p= has blanks in it.
    BlankInKey,
    /// Of p= only this many octets of so many are there.
    Cut { there: usize, of: usize },
    /// p= has an end, but the middle is missing or changed.
    Damaged,
    /// p= is empty.
    Revoked,
    /// k= says one type, the key on disk is of the other.
    KeyType { says: String, is: &'static str },
    /// h= without sha256.
    Hash(String),
    /// s= without `*` and `email`.
    Service(String),
    /// It holds another key; the selector on disk that the key belongs to, if any.
    OtherKey(Option<String>),
    /// t=y
    Testing,
    /// t=s, where i= is below d=.
    Strict,
    /// t=s, where mail From below d= is signed too: harmless without i=.
    StrictAndSubdomains,
    /// Few bits.
    Weak(u32),
    /// The name is an alias.
    Alias(Vec<String>),
    /// There is no record, but one under this name.
    Elsewhere(String),
}

impl Mistake {
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Alias(names) if names.len() < 2 => Severity::Note,
            Self::StrictAndSubdomains => Severity::Note,
            Self::BlankInKey | Self::Testing | Self::Weak(_) | Self::Alias(_) => Severity::Warning,
            Self::SeveralRecords { .. }
            | Self::Pieces(_)
            | Self::NotAKey(_)
            | Self::Typo(_)
            | Self::Unusable(_)
            | Self::Cut { .. }
            | Self::Damaged
            | Self::Revoked
            | Self::KeyType { .. }
            | Self::Hash(_)
            | Self::Service(_)
            | Self::OtherKey(_)
            | Self::Strict
            | Self::Elsewhere(_) => Severity::Error,
        }
    }

    /// A name for scripts, which stays.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::SeveralRecords { .. } => "several-records",
            Self::Pieces(_) => "pieces",
            Self::NotAKey(_) => "not-a-key",
            Self::Typo(typo) => typo.name(),
            Self::Unusable(_) => "unusable",
            Self::BlankInKey => "blank-in-key",
            Self::Cut { .. } => "cut",
            Self::Damaged => "damaged",
            Self::Revoked => "revoked",
            Self::KeyType { .. } => "key-type",
            Self::Hash(_) => "hash",
            Self::Service(_) => "service",
            Self::OtherKey(_) => "other-key",
            Self::Testing => "testing",
            Self::Strict => "strict",
            Self::StrictAndSubdomains => "strict-and-subdomains",
            Self::Weak(_) => "weak",
            Self::Alias(_) => "alias",
            Self::Elsewhere(_) => "elsewhere",
        }
    }
}

const CHAIN: &str = "the name begins a chain of aliases (CNAME)";

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeveralRecords { count, keys } => write!(
                f,
                "{count} TXT records under the name, {keys} of them key records; there may be one only"
            ),
            Self::Pieces(count) => write!(
                f,
                "the record was published in {count} pieces, each a TXT record; \
                 publish one record of several strings"
            ),
            Self::NotAKey(begin) => {
                write!(f, "no key record but {begin:?}; a wildcard record, or the wrong name")
            }
            Self::Typo(typo) => typo.fmt(f),
            Self::Unusable(error) => write!(f, "{}", crate::report::chain(error)),
            Self::BlankInKey => write!(
                f,
                "a blank inside p=; allowed, but not every verifier takes it: cut the text without one"
            ),
            Self::Cut { there, of } => write!(
                f,
                "p= is cut off after {there} of {of} characters; a TXT string holds 255, \
                 a longer record needs several strings"
            ),
            Self::Damaged => write!(f, "p= is damaged: parts of it are missing or changed"),
            Self::Revoked => write!(f, "p= is empty: the key is revoked"),
            Self::KeyType { says, is } => write!(f, "k={says}, but the key on disk is {is}"),
            Self::Hash(says) => write!(f, "h={says} does not allow sha256, which signatures use"),
            Self::Service(says) => {
                write!(f, "s={says} does not allow e-mail; leave it out, or say s=email")
            }
            Self::OtherKey(None) => write!(f, "it is the record of another key"),
            Self::OtherKey(Some(selector)) => {
                write!(f, "it is the record of another key: that of selector {selector}")
            }
            Self::Testing => write!(
                f,
                "t=y: the domain is only testing, and receivers may treat its mail as unsigned"
            ),
            Self::Strict => write!(
                f,
                "t=s, but \"identity\" is of a subdomain: no signature verifies; remove one of them"
            ),
            Self::StrictAndSubdomains => write!(
                f,
                "t=s does no harm to mail From subdomains as long as \"identity\" is not set"
            ),
            Self::Weak(bits) => {
                write!(f, "the key has {bits} bits; 2048 is what receivers ask for")
            }
            Self::Alias(names) => match names.as_slice() {
                [name] => write!(f, "the name is an alias (CNAME) of {name}"),
                names => write!(f, "{CHAIN}: {}; some resolvers give up", names.join(", then ")),
            },
            Self::Elsewhere(name) => write!(
                f,
                "the record is at {name}: give the form the name without the domain, \
                 or end it with a dot in a zone file"
            ),
        }
    }
}
