//! The findings of a diagnosis.

use serde::Serialize;

/// One difference from the signed message, or a remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// A stable name for scripts.
    pub(super) what: &'static str,
    pub(super) message: String,
    /// Whether the hash or the signature matches if this change is undone.
    pub(super) proven: bool,
}

impl Finding {
    pub(super) fn proven(what: &'static str, message: impl Into<String>) -> Self {
        Self { what, message: message.into(), proven: true }
    }

    pub(super) fn hint(what: &'static str, message: impl Into<String>) -> Self {
        Self { proven: false, ..Self::proven(what, message) }
    }

    /// Joins two findings.
    pub(super) fn and(&self, other: &Self) -> Self {
        let message = format!("{}; and {}", self.message, other.message);
        Self { what: self.what, message, proven: self.proven && other.proven }
    }
}
