//! How to sign: the settings of the host that a domain file may override.

use crate::dkim::{Canon, Canonicalization, Domain, FieldName, Recipe};
use crate::message::limits::LONGEST_LINE;

/// What to do with a message that should be signed but cannot be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Send it as it was submitted.
    #[default]
    Send,
    /// Reject it with exit code 75.
    Refuse,
}

impl OnError {
    pub(super) const WORDS: [(&str, Self); 2] = [("send", Self::Send), ("refuse", Self::Refuse)];
}

/// What becomes of mail whose key has no record in DNS any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissingRecord {
    /// The key signs all the same.
    #[default]
    Sign,
    /// The key does not sign once `dkimctl watch` has found that for `missing_record_after`.
    Skip,
}

impl OnMissingRecord {
    pub(super) const WORDS: [(&str, Self); 2] = [("sign", Self::Sign), ("skip", Self::Skip)];
}

/// The settings that a domain file may override.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct Signing {
    /// `on_error`
    pub on_error: OnError,
    /// `on_missing_record`
    pub on_missing_record: OnMissingRecord,
    /// How long a record has to be gone before its key does not sign; in seconds.
    pub missing_record_after: u64,
    /// c=
    pub canonicalization: Canonicalization,
    /// The smallest RSA key that may sign, in bits.
    pub minimum_key_bits: u32,
    /// Fields to sign if they are present, including From.
    pub headers: Vec<FieldName>,
    /// Fields to oversign, so that adding one in transit breaks the signature. Each is also in `headers`.
    pub oversign: Vec<FieldName>,
    /// x= − t=, in seconds.
    pub expire: Option<u64>,
    /// Whether the body is made 7-bit before it is signed.
    pub seven_bit: bool,
    /// Domains that sign in addition to the author domain.
    pub also_sign_as: Vec<Domain>,
    /// Whether the message stays unsigned if any key fails.
    pub strict_selectors: bool,
    /// Whether forwarded mail (`Received:`, `-G`) is signed.
    pub sign_forwarded: bool,
    /// Whether mail that Postfix accepted by SMTP and passed to the content filter is signed.
    pub smtp: bool,
}

/// Fields that are signed and oversigned: mail readers act on them, and neither Postfix, another hop nor a mailing list that
/// keeps signatures adds one. `docs/signed-fields.md` has the reason for each.
pub(super) const ONE_OF_EACH: [&str; 16] = [
    "From",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "To",
    "Cc",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "Content-Base",
    "Content-Location",
    "Autocrypt",
];

/// Fields that are signed only if present, because mailing lists add them: the rest of §5.4.1, and those that RFC 8058 §4
/// requires.
pub(super) const OTHERS: [&str; 8] = [
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
];

fn names(names: &[&str]) -> Vec<FieldName> {
    names.iter().filter_map(|name| FieldName::parse(name).ok()).collect()
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            on_error: OnError::Send,
            on_missing_record: OnMissingRecord::Sign,
            missing_record_after: 2 * 86_400,
            canonicalization: Canonicalization { header: Canon::Relaxed, body: Canon::Relaxed },
            minimum_key_bits: 1024,
            headers: names(&[ONE_OF_EACH.as_slice(), &OTHERS].concat()),
            oversign: names(&ONE_OF_EACH),
            expire: None,
            seven_bit: true,
            also_sign_as: Vec::new(),
            strict_selectors: false,
            sign_forwarded: false,
            smtp: false,
        }
    }
}

/// Checks the names by making a recipe, which knows the names that h= may have.
pub(super) fn try_names(headers: &[FieldName], oversign: &[FieldName]) -> Result<(), String> {
    let Ok(domain) = Domain::parse("example.com") else { return Ok(()) };
    Recipe::new(domain, headers.to_vec(), oversign.to_vec())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Whether the text is a complete To or Cc field.
#[must_use]
pub fn is_recipient_field(text: &str) -> bool {
    let name = text.split(':').next().unwrap_or_default();
    let is_one_line =
        text.len() <= LONGEST_LINE && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_one_line && text.contains(':') && ["To", "Cc"].iter().any(|to| name.eq_ignore_ascii_case(to))
}
