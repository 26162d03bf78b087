//! A sendmail-compatible wrapper that signs each message with DKIM and becomes the real sendmail.
//!
//! In this crate a bare `§` is a section of RFC 6376; sections of other texts carry their number.

