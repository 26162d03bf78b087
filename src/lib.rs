//! A sendmail-compatible wrapper that signs each message with DKIM, then execs the real sendmail.
//!
//! ```text
//! argv ─ argv::Mode::parse ─► Mode ── PassThrough ─► exec, standard input untouched
//!         │ Submit             └─ Smtp ─► wrapper::smtp: the real sendmail as a child, and on the way to it
//!         │                               message::Session ─► each message ─► the same, written back
//!         ▼
//! wrapper::start ─ fork ─► wrapper::signer: waits for a hash, Held::with(open the key), signs
//!         │ Held::give_up                                                  ▲ submission::Keys
//!         ▼                                                                │
//! submission::Run ─ Source ─► message::Reader ─► header ─ message::complete, message::author ─► author domain
//!         │                                               policy::Policy::decide ─► Decision ── Skip ─► the original bytes
//!         ├─► Spool (memory, or an unlinked file)
//!         └─► body ─ dkim::BodyHasher ─► dkim::Draft ─► Keys ─► the signature, just before the header
//! exec(real sendmail, argv, the signed message as standard input)
//! ```
//!
//! Dependencies point downward only: `wrapper`, `admin` → `submission` → `policy`, `config`, `argv`, `message` → `dkim`, and no
//! files import each other in a circle. `submission` has no privilege and starts no process; `dkimctl explain` uses it, too. All
//! modules except `wrapper`, `admin`, `submission` and `report` are pure: bytes in, values out.
//!
//! In this crate a bare `§` is a section of RFC 6376; sections of other texts carry their number.

#[cfg(feature = "admin")]
pub mod admin;
pub mod argv;
pub mod config;
pub mod dkim;
pub mod message;
pub mod network;
pub mod policy;
pub mod report;
mod rights;
pub mod submission;
pub mod wrapper;

/// Fails unless a document of the project has this text. A number that users rely on is compared in this way where it is defined.
/// In the text, numbers have no comma for thousands.
#[cfg(test)]
pub(crate) fn assert_documented(document: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let page = std::fs::read_to_string(path).unwrap().replace(",000", "000");
    let words: Vec<&str> = page.split_whitespace().collect();
    assert!(words.join(" ").contains(text), "{document} does not say {text:?}");
}
