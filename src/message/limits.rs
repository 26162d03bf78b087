//! The limits of Postfix and of the RFCs that a message is kept within, each with its source; and the sizes
//! beyond which a message is left alone. In bytes where nothing else is said.

/// Postfix reads a line in pieces of this many bytes (`line_length_limit`): it looks for a field name, an mbox
/// `From ` line or a boundary in the first piece only.
pub const LINE_PIECE: usize = 2048;

/// The longest line that no SMTP client breaks: `smtp_line_length_limit` was 990 before Postfix 2.9. RFC 5322
/// §2.1.1 allows 998.
pub const LONGEST_LINE: usize = 990;

/// The longest field that Postfix leaves whole where a milter is active (`header_size_limit`; else 102,400).
pub const LONGEST_FIELD: usize = 60_000;

/// Tokens of an address field that are looked at. Postfix stops after 10,240 (`header_address_token_limit`), and
/// counts more than is counted here.
pub const MOST_TOKENS: usize = 10_000;

/// Multiparts that may be open at a time: one more than `mime_nesting_limit`.
pub const MOST_OPEN: usize = 101;

/// The longest encoded-word (RFC 2047 §2).
pub const LONGEST_WORD: usize = 75;

/// The longest line with an encoded-word in it (RFC 2047 §2), and of an encoded body (RFC 2045 §6.7, §6.8).
pub const ENCODED_LINE: usize = 76;

/// The longest name of a charset (RFC 2978 §2.3).
pub const LONGEST_CHARSET: usize = 40;

/// The largest header that is looked at. Postfix cuts a single field at 102,400 (`header_size_limit`).
pub const HEADER_LIMIT: usize = 512 << 10;

/// The most fields that are looked at.
pub const MOST_FIELDS: usize = 5_000;

/// Bytes that all fields together may become longer by, when addresses are completed and text is encoded. A field
/// that there is no room for stays as it is, and is not signed.
pub const MOST_ADDED: usize = 256 << 10;
