//! The limits of Postfix and the RFCs that a message is kept within, and the sizes above which a message is left unchanged, each
//! with its source. The unit is bytes unless another is named.

/// Postfix reads a line in pieces of this many bytes (`line_length_limit`). It looks for a field name, an mbox `From ` line or a
/// boundary in the first piece only.
pub const LINE_PIECE: usize = 2048;

/// The longest line that no SMTP client breaks. RFC 5322 §2.1.1 allows 998, but `smtp_line_length_limit` was 990 before Postfix
/// 2.9.
pub const LONGEST_LINE: usize = 990;

/// The longest line that the SMTP client of Postfix does not break (`smtp_line_length_limit`, since Postfix 2.9).
pub const LONGEST_SENT: usize = 998;

/// The longest field that Postfix does not cut if a milter is active. Without a milter the limit is 102,400
/// (`header_size_limit`).
pub const LONGEST_FIELD: usize = 60_000;

/// The most tokens of an address field that are examined. Postfix stops after 10,240 (`header_address_token_limit`), and also
/// counts tokens that are not counted here.
pub const MOST_TOKENS: usize = 10_000;

/// The most multiparts that may be open at a time: `mime_nesting_limit` plus one.
pub const MOST_OPEN: usize = 101;

/// The longest encoded-word (RFC 2047 §2).
pub const LONGEST_WORD: usize = 75;

/// The longest line with an encoded-word (RFC 2047 §2), and the longest line of an encoded body (RFC 2045 §6.7, §6.8).
pub const ENCODED_LINE: usize = 76;

/// The longest name of a charset (RFC 2978 §2.3).
pub const LONGEST_CHARSET: usize = 40;

/// The largest header that is examined. Postfix cuts a single field at 102,400 (`header_size_limit`).
pub const HEADER_LIMIT: usize = 512 << 10;

/// The most fields that are examined.
pub const MOST_FIELDS: usize = 5_000;

/// How much longer all fields together may become when addresses are completed and text is encoded. A field for which there is no
/// room is not changed and not signed.
pub const MOST_ADDED: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_page_names_the_limits() {
        for text in [
            format!("more than {} KiB, or of more than {MOST_FIELDS} fields", HEADER_LIMIT >> 10),
            format!("A header field of more than {LONGEST_FIELD} bytes"),
            format!("would grow by more than {} KiB in total", MOST_ADDED >> 10),
            format!("More than {MOST_OPEN} nested boundaries"),
            format!("a line of more than {LONGEST_SENT} bytes"),
        ] {
            crate::assert_documented("packaging/man/sendmail.dkim.8", &text);
        }
    }
}
