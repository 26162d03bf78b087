//! Why a message is not signed, including bugs in this program.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::intake::IntakeError;
use crate::policy::Reason;
use crate::report::{self, Severity};

/// Why a message is not signed.
#[derive(Debug)]
pub(crate) enum NotSigned {
    /// The message is not to be signed. All other variants are errors.
    Skipped(Reason),
    /// The message cannot be read or stored.
    Intake(IntakeError),
    /// The configuration or a key cannot be used, or the header cannot be hashed, for this reason.
    Failed(String),
    /// The signed message would be larger than the real sendmail accepts.
    TooLarge,
    /// The content filter has already read the message once.
    Loop,
    /// A panic, and its place in the source.
    Bug(String),
}

impl NotSigned {
    /// The message cannot be signed because of an error.
    pub(crate) fn because(error: impl Error) -> Self {
        Self::Failed(report::chain(&error))
    }

    /// The severity of the log line.
    pub(crate) fn severity(&self) -> Severity {
        match self {
            // Someone uses the domain without permission, the administrator forgot to allow this user, or the records are gone.
            Self::Skipped(Reason::NotAllowed | Reason::ClientNotAllowed | Reason::RecordGone) => {
                Severity::Warning
            }
            Self::Skipped(_) => Severity::Info,
            Self::Intake(_) | Self::Failed(_) | Self::TooLarge | Self::Loop | Self::Bug(_) => {
                Severity::Error
            }
        }
    }
}

impl fmt::Display for NotSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(reason) => reason.fmt(f),
            Self::Intake(error) => error.fmt(f),
            Self::Failed(why) => f.write_str(why),
            Self::TooLarge => f.write_str("signed, it would be larger than message_size_limit"),
            Self::Loop => f.write_str(
                "the message came back to the content filter: \
                 set content_filter to nothing in main.cf and for the service pickup in master.cf",
            ),
            Self::Bug(place) => write!(f, "internal error at {place}, please report it"),
        }
    }
}

impl Error for NotSigned {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Intake(error) = self { error.source() } else { None }
    }
}

impl From<Reason> for NotSigned {
    fn from(reason: Reason) -> Self {
        Self::Skipped(reason)
    }
}

impl From<IntakeError> for NotSigned {
    fn from(error: IntakeError) -> Self {
        Self::Intake(error)
    }
}

static PLACE: Mutex<String> = Mutex::new(String::new());

/// Keeps panics from writing to standard error, which some callers take for a failure. The place of the panic is kept for the
/// log.
pub(crate) fn silence_panics() {
    std::panic::set_hook(Box::new(|info| {
        if let Some(place) = info.location() {
            *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place.to_string();
        }
    }));
}

/// Calls `act`. A panic in it is returned as an error, so that no mail is lost.
pub(crate) fn guarded<T>(act: impl FnOnce() -> Result<T, NotSigned>) -> Result<T, NotSigned> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| Err(panicked()))
}

/// The panic that was caught.
pub(crate) fn panicked() -> NotSigned {
    NotSigned::Bug(PLACE.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::author::NoAuthor;

    #[test]
    fn an_error_and_a_user_without_permission_are_logged_as_more_than_a_remark() {
        let errors = [
            NotSigned::Intake(IntakeError::TooLarge),
            NotSigned::Failed("no key".to_owned()),
            NotSigned::TooLarge,
            NotSigned::Loop,
            NotSigned::Bug("src/x.rs".to_owned()),
        ];
        assert!(errors.iter().all(|error| error.severity() == Severity::Error));
        for (reason, severity) in [
            (Reason::NotAllowed, Severity::Warning),
            (Reason::ClientNotAllowed, Severity::Warning),
            (Reason::RecordGone, Severity::Warning),
            (Reason::NoAuthor(NoAuthor::NoFrom), Severity::Info),
            (Reason::NotConfigured, Severity::Info),
            (Reason::Forwarded, Severity::Info),
            (Reason::NotBySmtp, Severity::Info),
        ] {
            assert_eq!(NotSigned::from(reason.clone()).severity(), severity, "{reason}");
        }
        // As in syslog(3).
        let numbers = [Severity::Error, Severity::Warning, Severity::Info].map(|one| one as u32);
        assert_eq!(numbers, [3, 4, 6]);
    }
}
