//! Why a file of the tree can't be used.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use crate::admin::output::Failure;
use crate::report::{chain, plain};

/// A file that can't be used; the administrator causes it.
#[derive(Debug)]
pub(crate) enum FileError<E> {
    /// It can't be opened or read.
    Unreadable(io::Error),
    /// It does not hold what it should.
    Invalid(E),
}

impl<E: Error> FileError<E> {
    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Names the file.
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
