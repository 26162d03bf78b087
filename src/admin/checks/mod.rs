//! What keeps mail of this host from being signed, or breaks its signatures: one file for each place that is looked at.
//! Looks, and changes nothing.

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
