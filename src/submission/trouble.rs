//! All that may keep a message from being signed, our own bugs included.

use std::error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::etc::EtcError;
use super::intake::IntakeError;
use super::signing::Failed;
use crate::config::OnError;
use crate::dkim::{RecipeError, SignError};
use crate::wrapper::keyring::KeyringError;

/// Why a message that should be signed is not.
#[derive(Debug)]
pub(crate) enum Trouble {
    Etc(EtcError),
    Intake(IntakeError),
    Key(KeyringError),
    Recipe(RecipeError),
    Sign(SignError),
    /// With its signature, or encoded, the message would be refused.
    TooLarge,
    /// A panic, and where it was.
    Bug(String),
}

impl Trouble {
    fn inner(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(match self {
            Self::Etc(error) => error,
            Self::Intake(error) => error,
            Self::Key(error) => error,
            Self::Recipe(error) => error,
            Self::Sign(error) => error,
            Self::TooLarge | Self::Bug(_) => return None,
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Bug(place) = self {
            return write!(f, "internal error at {place}, please report it");
        }
        if matches!(self, Self::TooLarge) {
            return f.write_str("signed, it would be larger than message_size_limit");
        }
        self.inner().map_or(Ok(()), |error| fmt::Display::fmt(error, f))
    }
}

impl error::Error for Trouble {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.inner().and_then(error::Error::source)
    }
}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {
        $(impl From<$error> for Trouble {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from!(Etc(EtcError), Intake(IntakeError), Key(KeyringError), Recipe(RecipeError), Sign(SignError));

static PLACE: Mutex<String> = Mutex::new(String::new());

/// A panic must write nothing to stderr: some callers take that for a failure. Its place is kept.
pub(crate) fn keep_quiet() {
    std::panic::set_hook(Box::new(|info| {
        if let Some(place) = info.location() {
            *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place.to_string();
        }
    }));
}

/// Does something; a panic in it is one more error, with what is to be done about it, and no mail is lost by it.
pub(crate) fn guarded<T>(
    on_error: OnError,
    act: impl FnOnce() -> Result<T, Failed>,
) -> Result<T, Failed> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| Err((panicked(), on_error)))
}

/// What was caught: a panic, and where it was.
pub(crate) fn panicked() -> Trouble {
    Trouble::Bug(PLACE.lock().unwrap_or_else(PoisonError::into_inner).clone())
}
