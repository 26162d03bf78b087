//! One part: what the survey found in it, and what is changed.

use super::encode::{Base64, Encoder, Quoted, Rows};
use crate::message::mime::Info;
use crate::message::words::{Detector, UNKNOWN};

/// How a part is changed.
#[derive(Clone, Debug)]
pub(super) struct Fix {
    /// The new Content-Transfer-Encoding.
    pub(super) encoding: &'static str,
    /// The charset to name if the part is encoded and names no type.
    pub(super) charset: Option<&'static str>,
    pub(super) encoder: Encoder,
}

impl Fix {
    /// For a part that is labelled 8bit or binary, but is 7bit or will be.
    pub(super) const LABEL: Self =
        Self { encoding: "7bit", charset: None, encoder: Encoder::Identity };
}

/// What the survey found in one part.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Part {
    pub(super) info: Info,
    pub(super) parent: usize,
    /// Whether the part, or a part that encloses it, must not be changed.
    pub(super) is_sealed: bool,
    /// Whether the text has inline PGP. The header is not protected then.
    pub(super) is_pgp: bool,
    pub(super) bytes: u64,
    /// How many bytes quoted-printable writes as three.
    pub(super) special: u64,
    pub(super) is_eight_bit: bool,
    pub(super) has_long_line: bool,
    /// Whether Postfix sees a boundary or a part header in the text.
    pub(super) is_misread: bool,
    /// Detects the charset of the text, if it is text/plain by default.
    pub(super) charset: Detector,
    /// Whether Postfix or a hop would change the header.
    pub(super) header_differs: bool,
    /// How the part is changed. `None` if its text stays as it is.
    pub(super) fix: Option<Fix>,
}

impl Part {
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
        let is_fixed = self.is_at_risk() && !self.is_sealed && !(self.is_pgp && needs);
        if !is_fixed || !self.info.is_leaf() {
            return None;
        }
        let (encoding, encoder) = match self.info.encoding.as_str() {
            "" | "7bit" | "8bit" | "binary" if !needs => return Some(Fix::LABEL),
            // Base64 only if more than a third of the bytes would be escaped, because people and filters can read
            // quoted-printable.
            "" | "7bit" | "8bit" | "binary" if self.special.saturating_mul(3) > self.bytes => {
                ("base64", Encoder::Base64(Base64::default()))
            }
            "" | "7bit" | "8bit" | "binary" => {
                ("quoted-printable", Encoder::Quoted(Quoted::default()))
            }
            "quoted-printable" => ("quoted-printable", Encoder::Quoted(Quoted::fixing())),
            "base64" => ("base64", Encoder::Rewrap(Rows::default())),
            _ => return None,
        };
        let charset = self.is_plain_by_default();
        let charset = charset.then(|| self.charset.finish().unwrap_or(UNKNOWN));
        Some(Fix { encoding, charset, encoder })
    }

    /// Whether the part is text/plain because it names no type.
    pub(super) fn is_plain_by_default(&self) -> bool {
        !self.info.is_typed && self.info.kind == "text/plain"
    }

    /// The encoder for the text.
    pub(super) fn encoder(&self) -> Encoder {
        self.fix.as_ref().map_or(Encoder::Identity, |fix| fix.encoder.clone())
    }
}
