//! Turns a submitted text into a message that no hop will change. Pure: bytes in, values out.
//!
//! Everything that Postfix would add, rewrite or drop is done here first, so that the signature covers what will be sent.

#![forbid(unsafe_code)]

pub mod address;
pub mod author;
pub mod body;
pub mod complete;
pub mod date;
pub mod fold;
pub mod limits;
pub mod mime;
pub mod reader;
pub mod received;
pub mod session;
pub mod seven_bit;
pub(crate) mod syntax;
pub mod words;

pub use reader::Reader;
pub use session::Session;
