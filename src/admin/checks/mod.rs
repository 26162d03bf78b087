//! Checks for anything that keeps mail of this host from being signed, or breaks its signatures. There is one file for each
//! subject. The checks change nothing.

pub(super) mod configuration;
pub(super) mod finding;
pub(super) mod install;
pub(super) mod keys;
pub(super) mod log;
pub(super) mod obstacles;
pub(super) mod php;
pub(super) mod settings;
pub(super) mod signatures;
pub(super) mod smtp;
pub(super) mod units;
