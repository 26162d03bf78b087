//! Headers of parts, as they will be sent.

use std::mem;

use super::part::Fix;
use crate::message::fold::folded;
use crate::message::limits::LONGEST_FIELD;
use crate::message::syntax::{cleaned, split_field, split_fields, with_charset};
use crate::message::words;

/// The largest part header that is changed, in bytes.
const LARGEST_FIXED: usize = 512 << 10;

/// A part header as Postfix and the next hop would send it: without WSP before a colon, NUL and 8-bit bytes, with a space instead
/// of each bare CR, and with short lines. `None` if a line is not a field, or the header becomes too large.
pub(super) fn fixed_header(section: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(section.len());
    let hint = words::hint(section);
    for field in split_fields(section) {
        if field == b"\n" {
            text.push(b'\n');
            continue;
        }
        let (name, value) = split_field(field);
        if name.is_empty() {
            return None;
        }
        let value = cleaned(value);
        text.extend(if value.len() <= LONGEST_FIELD {
            words::field(name, &value, hint.as_deref())
        } else {
            folded(&[name, b":", value.as_slice()].concat())
        });
        if text.len() > LARGEST_FIXED {
            return None;
        }
    }
    Some(text)
}

/// Writes a section with the Content-Transfer-Encoding of a fix, and the empty line that ends it. The field replaces an existing
/// one or is added at the end.
pub(super) fn write_header(section: &[u8], fix: &Fix, out: &mut Vec<u8>) {
    let encoding = format!("Content-Transfer-Encoding: {}\n", fix.encoding);
    let (mut is_written, mut is_typed) = (false, false);
    for field in split_fields(section).filter(|field| *field != b"\n") {
        let (name, _) = split_field(field);
        if let Some(charset) = &fix.charset
            && name.eq_ignore_ascii_case(b"Content-Type")
        {
            is_typed = true;
            out.extend_from_slice(&with_charset(field, charset));
        } else if !name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
            out.extend_from_slice(field);
        } else if !mem::replace(&mut is_written, true) {
            // Postfix and mail readers would use a second field after this one.
            out.extend_from_slice(encoding.as_bytes());
        }
    }
    if let Some(charset) = &fix.charset
        && !is_typed
    {
        out.extend_from_slice(format!("Content-Type: text/plain; charset={charset}\n").as_bytes());
    }
    if !is_written {
        out.extend_from_slice(encoding.as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_the_largest_size_is_fixed_and_a_larger_one_is_not() {
        let line = format!("X: {}\n", "y".repeat(60));
        let largest = line.repeat(LARGEST_FIXED / line.len());
        assert_eq!(largest.len(), LARGEST_FIXED);
        assert_eq!(fixed_header(largest.as_bytes()).as_deref(), Some(largest.as_bytes()));
        assert_eq!(fixed_header(largest.replacen('y', "yy", 1).as_bytes()), None);
    }
}
