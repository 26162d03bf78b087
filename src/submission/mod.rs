//! One message, from its bytes to its signed form: what the wrapper does with a message, and what `dkimctl` shows of that.

#![forbid(unsafe_code)]

pub(crate) mod etc;
pub(crate) mod intake;
pub(crate) mod signing;
pub(crate) mod spool;
pub(crate) mod submitter;
pub(crate) mod trouble;
