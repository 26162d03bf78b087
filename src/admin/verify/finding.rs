//! The findings of a diagnosis.

use serde::Serialize;

/// One difference from the signed message, or a remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// A stable name for scripts.
    pub(super) code: &'static str,
    pub(super) text: String,
    /// Whether the hash or the signature matches if this change is undone.
    pub(super) proven: bool,
}

impl Finding {
    pub(super) fn proven(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), proven: true }
    }

    pub(super) fn hint(code: &'static str, text: impl Into<String>) -> Self {
        Self { proven: false, ..Self::proven(code, text) }
    }

    /// Joins two findings.
    pub(super) fn and(&self, other: &Self) -> Self {
        let text = format!("{}; and {}", self.text, other.text);
        Self { code: self.code, text, proven: self.proven && other.proven }
    }
}
