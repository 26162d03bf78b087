//! What a line before the body is: of an mbox, a field, or the empty line that ends the header.

use crate::message::limits::LINE_PIECE;

/// The line without its LF and all CRs before that in the same piece (`sendmail_fix_line_endings = always`).
/// CRs at the end of an incomplete line are the first half of a line end and go too.
pub(super) fn without_line_end(line: &[u8]) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let before = text.len().saturating_sub(text.len() % LINE_PIECE);
    let end =
        text.iter().rposition(|octet| *octet != b'\r').map_or(0, |last| last.saturating_add(1));
    text.get(..end.max(before)).unwrap_or_default()
}

/// `From ` after any number of `>`: the line that an mbox puts before a message.
pub(super) fn is_from_line(line: &[u8]) -> bool {
    let quoted = line.iter().take_while(|octet| **octet == b'>').count();
    line.get(quoted..).is_some_and(|rest| rest.starts_with(b"From "))
}

/// Whether a line of a header, without its end, continues the field before it: it begins with WSP, or, to Postfix, with a
/// bare CR. What a CR becomes on the way is not certain, so [`crate::message::complete::fields`] reads no such header.
pub(super) fn continues(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t' | b'\r'))
}
