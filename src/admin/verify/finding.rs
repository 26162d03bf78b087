//! What a diagnosis finds.

use serde::Serialize;

/// One difference from what was signed, or something to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// A name for scripts that never changes.
    pub(super) what: &'static str,
    pub(super) message: String,
    /// With this undone, the hash or the signature matches.
    pub(super) proven: bool,
}

impl Finding {
    pub(super) fn proven(what: &'static str, message: impl Into<String>) -> Self {
        Self { what, message: message.into(), proven: true }
    }

    pub(super) fn hint(what: &'static str, message: impl Into<String>) -> Self {
        Self { proven: false, ..Self::proven(what, message) }
    }

    /// This and another one.
    pub(super) fn and(&self, other: &Self) -> Self {
        let message = format!("{}; and {}", self.message, other.message);
        Self { what: self.what, message, proven: self.proven && other.proven }
    }
}
