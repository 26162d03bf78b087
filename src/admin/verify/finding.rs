//! What a diagnosis says.

use serde::Serialize;

/// One thing that differs from what was signed, or that should be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::admin) struct Finding {
    /// A name for scripts, which stays.
    pub(super) what: &'static str,
    pub(super) message: String,
    /// With this undone, the hash or the signature fits.
    pub(super) proven: bool,
}

impl Finding {
    pub(super) fn proven(what: &'static str, message: &str) -> Self {
        Self { what, message: message.to_owned(), proven: true }
    }

    pub(super) fn hint(what: &'static str, message: &str) -> Self {
        Self { what, message: message.to_owned(), proven: false }
    }

    /// This and another one.
    pub(super) fn and(&self, other: &Self) -> Self {
        let message = format!("{}; and {}", self.message, other.message);
        Self { what: self.what, message, proven: self.proven && other.proven }
    }
}
