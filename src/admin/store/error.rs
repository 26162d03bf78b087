//! Why a file of the tree cannot be used.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use crate::admin::output::Failure;
use crate::report::{chain, plain};
use crate::submission::configuration::is_absent;

/// A file that cannot be used. The administrator causes this error.
#[derive(Debug)]
pub(crate) enum FileError<E> {
    /// It cannot be opened or read.
    Unreadable(io::Error),
    /// Its content is not valid.
    Invalid(E),
}

impl<E: Error> FileError<E> {
    /// Whether the file does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable(error) if is_absent(error))
    }

    /// The failure for the file at `path`.
    pub(crate) fn at(&self, path: &Path) -> Failure {
        match self {
            Self::Unreadable(error) => Failure::reading(path, error),
            Self::Invalid(_) => Failure::data(format_args!("{}: {self}", path.display())),
        }
    }
}

impl<E: Error> fmt::Display for FileError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => f.write_str(&plain(error)),
            Self::Invalid(error) => f.write_str(&chain(error)),
        }
    }
}
