//! What was seen of one part, and what is done with it.

use super::encode::{Base64, Encoder, Quoted, Rows};
use crate::message::mime::Info;
use crate::message::words::{Detector, UNKNOWN};

/// How a part is written that is not kept as it is.
#[derive(Clone, Debug)]
pub(super) struct Fix {
    /// The Content-Transfer-Encoding to name.
    pub(super) encoding: &'static str,
    /// The charset to name where the part is encoded and names no type.
    pub(super) charset: Option<&'static str>,
    pub(super) encoder: Encoder,
}

impl Fix {
    /// For a part that says 8bit or binary, and is not, or will not be.
    pub(super) const LABEL: Self =
        Self { encoding: "7bit", charset: None, encoder: Encoder::Identity };
}

/// What was seen of one part.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Part {
    pub(super) info: Info,
    pub(super) parent: usize,
    /// It, or what encloses it, must not be changed.
    pub(super) is_sealed: bool,
    /// Its text is signed or encrypted in line; its header is not.
    pub(super) is_pgp: bool,
    pub(super) bytes: u64,
    /// Bytes that quoted-printable writes as three.
    pub(super) special: u64,
    pub(super) is_eight_bit: bool,
    pub(super) has_long_line: bool,
    /// Postfix sees a boundary or a part header in its text.
    pub(super) is_misread: bool,
    /// Of its text, where it is text/plain by default.
    pub(super) charset: Detector,
    /// Its header is not sent as it is.
    pub(super) header_differs: bool,
    /// `None`: its text is kept as it is.
    pub(super) fix: Option<Fix>,
}

impl Part {
    /// Whether a hop could change it, if its text is kept as it is.
    pub(super) fn is_at_risk(&self) -> bool {
        self.needs_encoding() || self.info.says_eight_bit
    }

    fn needs_encoding(&self) -> bool {
        self.is_eight_bit || self.has_long_line || self.is_misread
    }

    /// What is done with its text, if it is a leaf.
    pub(super) fn leaf_fix(&self) -> Option<Fix> {
        let needs = self.needs_encoding();
        let is_fixed = self.is_at_risk() && !self.is_sealed && !(self.is_pgp && needs);
        if !is_fixed || !self.info.is_leaf() {
            return None;
        }
        let (encoding, encoder) = match self.info.encoding.as_str() {
            "" | "7bit" | "8bit" | "binary" if !needs => return Some(Fix::LABEL),
            // Base64 where more than a third of the bytes would be escaped: people and filters read quoted-printable.
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

    /// Whether it is text/plain, and does not say so.
    pub(super) fn is_plain_by_default(&self) -> bool {
        !self.info.is_typed && self.info.kind == "text/plain"
    }

    /// What its text is written by.
    pub(super) fn encoder(&self) -> Encoder {
        self.fix.as_ref().map_or(Encoder::Identity, |fix| fix.encoder.clone())
    }
}
