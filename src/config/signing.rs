//! How to sign: the settings of the host that a domain file may override.

use crate::dkim::{Canon, Canonicalization, Domain, FieldName, Recipe};

/// What to do with a message that should be signed and can't be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Send it as it was submitted.
    #[default]
    Send,
    /// Give it back to the caller: exit code 75.
    Refuse,
}

impl OnError {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "send" => Ok(Self::Send),
            "refuse" => Ok(Self::Refuse),
            _ => Err(format!("{text:?} is neither \"send\" nor \"refuse\"")),
        }
    }
}

/// The settings that a domain file may override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// `on_error`
    pub on_error: OnError,
    /// c=
    pub canonicalization: Canonicalization,
    /// Smaller RSA keys are refused; in bits.
    pub minimum_key_bits: u32,
    /// h=, where present; From among them.
    pub headers: Vec<FieldName>,
    /// Fields to oversign: adding another one in transit breaks the signature. Each is also in `headers`.
    pub oversign: Vec<FieldName>,
    /// x= − t=, in seconds.
    pub expire: Option<u64>,
    /// Whether the body is made 7-bit before it is signed.
    pub seven_bit: bool,
    /// Whether mail that passes through (`Received:`, `-G`) is signed.
    pub sign_forwarded: bool,
    /// Whether mail that Postfix accepted by SMTP and hands to the content filter is signed.
    pub smtp: bool,
}

/// Signed if present, and oversigned: readers show one such field, and an attacker may want to add another. Postfix drops none
/// of them and adds none later.
pub(super) const ONE_OF_EACH: [&str; 10] = [
    "From",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "To",
    "Cc",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Signed if present: the rest of §5.4.1, and what RFC 8058 §4 requires.
pub(super) const OTHERS: [&str; 11] = [
    "In-Reply-To",
    "References",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Autocrypt",
];

fn names(names: &[&str]) -> Vec<FieldName> {
    names.iter().filter_map(|name| FieldName::parse(name).ok()).collect()
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            on_error: OnError::Send,
            canonicalization: Canonicalization { header: Canon::Relaxed, body: Canon::Relaxed },
            minimum_key_bits: 1024,
            headers: names(&[ONE_OF_EACH.as_slice(), &OTHERS].concat()),
            oversign: names(&ONE_OF_EACH),
            expire: None,
            seven_bit: true,
            sign_forwarded: false,
            smtp: false,
        }
    }
}

/// The one place that knows which names may stand in h=: a trial recipe.
pub(super) fn try_names(headers: &[FieldName], oversign: &[FieldName]) -> Result<(), String> {
    let Ok(domain) = Domain::parse("example.com") else { return Ok(()) };
    Recipe::new(domain, headers.to_vec(), oversign.to_vec())
        .map(|_| ())
        .map_err(|error| error.to_string())
}
