//! Headers of parts, as they are sent.

use std::mem;

use crate::message::fold::folded;
use crate::message::limits::LONGEST_FIELD;
use crate::message::syntax::{cleaned, split_field, split_fields};
use crate::message::words;

/// A part header that would be larger than this once it is mended is left as it is, in bytes.
const LARGEST_MENDED: usize = 512 << 10;

/// A part header as Postfix and the next hop will have it: no blanks before a colon, no NUL, a space
/// for each bare CR, short lines, no 8-bit octets. `None` where that can't be had.
pub(super) fn mended_header(section: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(section.len());
    let types = split_fields(section).map(split_field);
    let mut types = types.filter(|(name, _)| name.eq_ignore_ascii_case(b"Content-Type"));
    let declared = types.next().and_then(|(_, value)| words::declared_charset(value));
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
        let short = Some(&value).filter(|value| value.len() <= LONGEST_FIELD);
        let ascii = short.and_then(|value| words::ascii_value(name, value, declared.as_deref()));
        let value = ascii.unwrap_or(value);
        text.extend_from_slice(&folded(&[name, b":", value.as_slice()].concat()));
        if text.len() > LARGEST_MENDED {
            return None;
        }
    }
    Some(text)
}

/// The section with another Content-Transfer-Encoding, in its place or last, and a line that ends it.
pub(super) fn write_header(
    section: &[u8],
    encoding: &str,
    charset: Option<&str>,
    out: &mut Vec<u8>,
) {
    let encoding = format!("Content-Transfer-Encoding: {encoding}\n");
    let mut is_said = false;
    for field in split_fields(section).filter(|field| *field != b"\n") {
        let (name, _) = split_field(field);
        if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
            // Another one after it would count instead.
            if !mem::replace(&mut is_said, true) {
                out.extend_from_slice(encoding.as_bytes());
            }
        } else {
            out.extend_from_slice(field);
        }
    }
    if let Some(charset) = charset {
        out.extend_from_slice(format!("Content-Type: text/plain; charset={charset}\n").as_bytes());
    }
    if !is_said {
        out.extend_from_slice(encoding.as_bytes());
    }
    out.push(b'\n');
}
