//! One part: what the survey found in it, and what is changed.

use super::encode::{Base64, Encoder, Quoted, Rows};
use crate::message::mime::{Info, Seal};
use crate::message::words::{Detector, UNKNOWN};

/// How a part is changed.
#[derive(Clone, Debug)]
pub(super) struct Fix {
    /// The new Content-Transfer-Encoding.
    pub(super) encoding: &'static str,
    /// The charset to name if the part is encoded and names no type.
    pub(super) charset: Option<String>,
    pub(super) encoder: Encoder,
}

impl Fix {
    /// For a part that is labelled 8bit or binary, but is 7bit or will be.
    pub(super) const LABEL: Self =
        Self { encoding: "7bit", charset: None, encoder: Encoder::Identity };
}

/// What a hop may do to text that is sent unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nothing.
    #[default]
    None,
    /// A hop without 8BITMIME, or with a stricter limit, changes the text.
    May,
    /// Each hop breaks a line, because SMTP limits its length (RFC 5321 §4.5.3.1.6).
    Will,
}

/// Whether a part must stay as it is, and when it need not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hold {
    /// The part may be changed.
    #[default]
    Free,
    /// The part must stay, unless one of its own lines will be broken.
    Alone,
    /// The part must stay, unless a line under the same signature will be broken, and that signature with it.
    Together,
    /// The part must stay in any case.
    Always,
}

/// What the survey found in one part.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Part {
    pub(super) info: Info,
    pub(super) parent: usize,
    pub(super) hold: Hold,
    /// The part whose signature covers the text of this one: this part or one that encloses it.
    pub(super) root: Option<usize>,
    /// The part whose signature covers the header of this one.
    pub(super) header_root: Option<usize>,
    /// Whether a hop will break the signature of this part.
    pub(super) is_broken: bool,
    /// Whether the survey found a part in this one.
    pub(super) has_parts: bool,
    /// Whether the part stays as it is.
    pub(super) is_sealed: bool,
    /// Whether the text has inline PGP. The header is not protected then.
    pub(super) is_pgp: bool,
    pub(super) bytes: u64,
    /// How many bytes quoted-printable writes as three.
    pub(super) special: u64,
    pub(super) is_eight_bit: bool,
    pub(super) has_long_line: bool,
    /// Whether a line of the text is so long that SMTP breaks it.
    pub(super) breaks: bool,
    /// Whether Postfix sees a boundary or a part header in the text.
    pub(super) is_misread: bool,
    /// Detects the charset of the text, if it is text/plain by default.
    pub(super) charset: Detector,
    /// Whether Postfix or a hop would change the header.
    pub(super) header_differs: bool,
    /// What a hop may do to the header as it was submitted, and as it is fixed.
    pub(super) header_risk: Risk,
    pub(super) fixed_risk: Risk,
    /// The charset that encoded-words name in the header of this part or of one that encloses it.
    pub(super) hint: Option<String>,
    /// How the part is changed. `None` if its text stays as it is.
    pub(super) fix: Option<Fix>,
}

impl Part {
    /// The part with a number, enclosed in `outer`, which has the number given with it.
    pub(super) fn within(outer: Option<(usize, &mut Self)>, number: usize, info: Info) -> Self {
        let seal = info.seal();
        let (mut hold, mut root) = (Hold::Free, None);
        if let Some((parent, outer)) = outer {
            (hold, root) = (outer.hold, outer.root);
            // The signature covers the first part, not itself.
            if outer.info.seal() == Some(Seal::FirstPart) && outer.hold != Hold::Always {
                (hold, root) = match outer.has_parts {
                    false => (Hold::Together, Some(parent)),
                    true => (Hold::Alone, outer.header_root),
                };
            }
            outer.has_parts = true;
        }
        let header_root = root;
        match seal {
            _ if hold == Hold::Always => {}
            None => {}
            Some(Seal::Unknown) => hold = Hold::Always,
            Some(Seal::Content) => hold = Hold::Alone,
            Some(Seal::Whole | Seal::FirstPart) => (hold, root) = (Hold::Together, Some(number)),
        }
        Self { info, hold, root, header_root, ..Self::default() }
    }

    /// Stores the charset that encoded-words name, for text without a declared charset.
    pub(super) fn set_hint(&mut self, hint: Option<String>) {
        if self.needs_charset() {
            self.charset = Detector::with_hint(hint.as_deref());
        }
        self.hint = hint;
    }

    /// What a hop may do to the part as it will be sent.
    pub(super) fn risk(&self) -> Risk {
        let header = if self.is_sealed { self.header_risk } else { self.fixed_risk };
        let is_at_risk = match &self.fix {
            None => self.is_at_risk(),
            // Only the label changes: no message/partial or message/external-body may be encoded (RFC 2046 §5.2).
            Some(Fix { encoder: Encoder::Identity, .. }) => self.needs_encoding(),
            Some(_) => false,
        };
        let text = match is_at_risk {
            true if self.breaks => Risk::Will,
            true => Risk::May,
            false => Risk::None,
        };
        header.max(text)
    }

    /// Whether a hop could change the part if its text stays as it is.
    pub(super) fn is_at_risk(&self) -> bool {
        self.needs_encoding() || self.info.says_eight_bit
    }

    fn needs_encoding(&self) -> bool {
        self.is_eight_bit || self.has_long_line || self.is_misread
    }

    /// How to change the text of a leaf.
    pub(super) fn leaf_fix(&self) -> Option<Fix> {
        let needs = self.needs_encoding();
        let is_held = self.is_sealed || self.is_pgp && needs && !self.breaks;
        let is_fixed = self.is_at_risk() && !is_held;
        if !is_fixed || !self.info.is_leaf() {
            return None;
        }
        let is_raw = matches!(self.info.encoding.as_str(), "" | "7bit" | "8bit" | "binary");
        let (encoding, encoder) = match self.info.encoding.as_str() {
            _ if is_raw && !needs => return Some(Fix::LABEL),
            // Base64 only if more than a third of the bytes would be escaped, because people and filters can read
            // quoted-printable.
            _ if is_raw && self.special.saturating_mul(3) > self.bytes => {
                ("base64", Encoder::Base64(Base64::default()))
            }
            _ if is_raw => ("quoted-printable", Encoder::Quoted(Quoted::default())),
            "quoted-printable" => ("quoted-printable", Encoder::Quoted(Quoted::fixing())),
            "base64" => ("base64", Encoder::Rewrap(Rows::default())),
            _ => return None,
        };
        // The detector has read the encoded text of a part that is encoded already.
        let unknown = (!self.info.is_typed).then_some(UNKNOWN);
        let charset = self.charset.finish().or(unknown).filter(|_| is_raw && self.needs_charset());
        let charset = charset.map(str::to_owned);
        Some(Fix { encoding, charset, encoder })
    }

    /// Whether it is text/plain without a charset.
    pub(super) fn needs_charset(&self) -> bool {
        self.info.kind == "text/plain" && (!self.info.is_typed || self.info.takes_charset)
    }

    /// The encoder for the text.
    pub(super) fn encoder(&self) -> Encoder {
        self.fix.as_ref().map_or(Encoder::Identity, |fix| fix.encoder.clone())
    }
}
