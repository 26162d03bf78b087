//! What was seen of one part, and what is done with it.

use std::mem;

use super::encode::{Base64, Encoder, Quoted, Rewrap};
use crate::message::mime::Info;

/// What is done with one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fix {
    /// Nothing.
    Keep,
    /// It says 8bit or binary, and is not, or will not be.
    Label,
    Quote,
    Base64,
    /// It says quoted-printable, and has other octets or long lines.
    MendQuoted,
    /// It says base64, and has long lines.
    Rewrap,
}

impl Fix {
    /// The Content-Transfer-Encoding to say; `None`: what is there.
    pub(super) fn encoding(self) -> Option<&'static str> {
        match self {
            Self::Keep => None,
            Self::Label => Some("7bit"),
            Self::Quote | Self::MendQuoted => Some("quoted-printable"),
            Self::Base64 | Self::Rewrap => Some("base64"),
        }
    }

    pub(super) fn encoder(self) -> Encoder {
        match self {
            Self::Keep | Self::Label => Encoder::Identity,
            Self::Quote => Encoder::Quoted(Quoted::new()),
            Self::MendQuoted => Encoder::Quoted(Quoted::mending()),
            Self::Base64 => Encoder::Base64(Base64::default()),
            Self::Rewrap => Encoder::Rewrap(Rewrap::default()),
        }
    }
}

/// What was seen of one part.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Part {
    pub(super) info: Info,
    pub(super) parent: usize,
    /// It, or what it is in, is not to be touched.
    pub(super) is_sealed: bool,
    /// Its text is signed or encrypted in line; its header is not.
    pub(super) is_pgp: bool,
    pub(super) octets: u64,
    /// Octets that quoted-printable writes as three.
    pub(super) special: u64,
    pub(super) is_eight_bit: bool,
    pub(super) has_long_line: bool,
    /// One of its lines would divide it, to Postfix.
    pub(super) has_false_boundary: bool,
    pub(super) utf8: Utf8,
    /// Its header has to be written anew.
    pub(super) header_differs: bool,
}

/// Whether octets that come in pieces are UTF-8.
#[derive(Clone, Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character.
    begun: Vec<u8>,
    is_broken: bool,
}

impl Utf8 {
    pub(super) fn feed(&mut self, octets: &[u8]) {
        if self.is_broken {
            return;
        }
        if self.begun.is_empty() {
            self.look(octets);
        } else {
            let mut begun = mem::take(&mut self.begun);
            begun.extend_from_slice(octets);
            self.look(&begun);
        }
    }

    fn look(&mut self, text: &[u8]) {
        let Err(error) = std::str::from_utf8(text) else { return };
        self.is_broken = error.error_len().is_some();
        if !self.is_broken {
            self.begun.extend_from_slice(text.get(error.valid_up_to()..).unwrap_or_default());
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        !self.is_broken && self.begun.is_empty()
    }
}

impl Part {
    pub(super) fn new(info: Info, parent: usize, is_sealed: bool, header_differs: bool) -> Self {
        Self {
            info,
            parent,
            is_sealed,
            is_pgp: false,
            octets: 0,
            special: 0,
            is_eight_bit: false,
            has_long_line: false,
            has_false_boundary: false,
            utf8: Utf8::default(),
            header_differs,
        }
    }

    /// Whether a hop could change it, if it is left as it is.
    pub(super) fn is_at_risk(&self) -> bool {
        self.is_eight_bit
            || self.has_long_line
            || self.has_false_boundary
            || self.info.says_eight_bit
    }

    /// What is done with it.
    pub(super) fn fix(&self) -> Fix {
        if self.is_sealed || !self.info.is_leaf() {
            return Fix::Keep;
        }
        let needs = self.is_eight_bit || self.has_long_line || self.has_false_boundary;
        let says = self.info.says_eight_bit;
        if self.is_pgp && needs {
            return Fix::Keep;
        }
        match self.info.encoding.as_str() {
            "" | "7bit" | "8bit" | "binary" if needs => self.denser(),
            "" | "7bit" | "8bit" | "binary" if says => Fix::Label,
            "quoted-printable" if needs || says => Fix::MendQuoted,
            "base64" if needs || says => Fix::Rewrap,
            _ => Fix::Keep,
        }
    }

    /// Whether it is text/plain, and does not say so.
    pub(super) fn is_plain_by_default(&self) -> bool {
        !self.info.is_typed && self.info.kind == "text/plain"
    }

    /// The charset to say where no type is said and the text is encoded.
    pub(super) fn charset(&self, fix: Fix) -> Option<&'static str> {
        let is_encoded = !matches!(fix, Fix::Keep | Fix::Label);
        if !is_encoded || !self.is_plain_by_default() {
            return None;
        }
        Some(match (self.is_eight_bit, self.utf8.is_valid()) {
            (false, _) => "us-ascii",
            (true, true) => "utf-8",
            (true, false) => "unknown-8bit",
        })
    }

    /// Base64 where every fifth octet would take three.
    pub(super) fn denser(&self) -> Fix {
        if self.special.saturating_mul(5) > self.octets { Fix::Base64 } else { Fix::Quote }
    }
}
