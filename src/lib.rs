//! A sendmail-compatible wrapper that signs each message with DKIM and becomes the real sendmail.
//!
//! ```text
//! argv ─ argv::Mode::parse ─► Mode ── PassThrough ─► exec, standard input untouched
//!         │ Submit             └─ Smtp ─► wrapper::smtp: the real sendmail as a child, and on the way to it
//!         │                               message::Session ─► each message ─► the same, written back
//!         ▼
//! stdin ─ message::Reader ─► header ─ message::complete, message::author ─► author domain
//!         │                           policy::Policy::decide ─► Decision ── Skip ─► the original octets
//!         │                           wrapper: Held::with(open the keys), then Held::give_up
//!         ├─► Spool (memory, or an unlinked file)
//!         └─► body ─ dkim::BodyHasher ─► dkim::sign ─► the signature, just before the header
//! exec(real sendmail, argv, the signed message as standard input)
//! ```
//!
//! Dependencies point downward only: `wrapper`, `admin` → `policy`, `config`, `argv`, `message` → `dkim`.
//! All but `wrapper`, `admin` and `report` are pure: octets in, values out.
//!
//! In this crate a bare `§` is a section of RFC 6376; sections of other texts carry their number.

#[cfg(feature = "admin")]
pub mod admin;
pub mod argv;
pub mod config;
pub mod dkim;
pub mod message;
pub mod policy;
pub mod report;
mod rights;
mod submission;
pub mod wrapper;
