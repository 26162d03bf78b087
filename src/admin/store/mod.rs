//! The configuration folder: domain files, keys, records and the state of rotations. Only this module reads and writes them.

mod error;
mod folder;

pub(super) mod domains;
pub(super) mod gone;
pub(super) mod keys;
pub(super) mod replace;
pub(super) mod rights;
pub(super) mod rotation;
pub(super) mod seen;
pub(super) mod time;
pub(super) mod waiting;
mod write;

pub(super) use error::FileError;
pub(super) use folder::Readers;
pub(super) use write::{NewFile, Store};
