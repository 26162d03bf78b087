//! What lies below the configuration folder: domain files, keys, their records, and how far rotations are. The one place
//! that reads it, and the one that writes it.

mod error;
mod folder;

pub(super) mod domains;
pub(super) mod keys;
pub(super) mod replace;
pub(super) mod rights;
pub(super) mod rotation;
pub(super) mod seen;
pub(super) mod time;
mod write;

pub(super) use error::FileError;
pub(super) use folder::Readers;
pub(super) use write::{NewFile, Store};
