//! A message as it was on the wire: nothing is taken from it, nothing added. Pure.

use crate::dkim::{Header, NotAHeader};

/// Header and body of a message; its lines end in CRLF or LF. The line that mbox files put before a
/// message is none of it.
///
/// # Errors
///
/// A line of the header belongs to no field.
pub(in crate::admin) fn split(message: &[u8]) -> Result<(Header, &[u8]), NotAHeader> {
    let message = match message.strip_prefix(b"From ") {
        Some(rest) => after_line(rest).unwrap_or_default(),
        None => message,
    };
    let (header, body) = message.split_at_checked(header_length(message)).unwrap_or_default();
    let body = body.strip_prefix(b"\r\n").or_else(|| body.strip_prefix(b"\n")).unwrap_or(body);
    Ok((Header::parse(header)?, body))
}

/// Up to the first empty line.
fn header_length(message: &[u8]) -> usize {
    let mut length = 0_usize;
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        length = length.saturating_add(line.len());
    }
    length
}

fn after_line(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|octet| *octet == b'\n')?;
    text.get(end.saturating_add(1)..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(message: &[u8]) -> (Vec<u8>, &[u8]) {
        let (header, body) = split(message).unwrap();
        (header.octets(), body)
    }

    #[test]
    fn the_header_ends_at_the_first_empty_line() {
        assert_eq!(parts(b"A: b\n\nc\n\nd"), (b"A: b\n".to_vec(), b"c\n\nd".as_slice()));
        assert_eq!(parts(b"A: b\r\n\r\nc\r\n"), (b"A: b\r\n".to_vec(), b"c\r\n".as_slice()));
        assert_eq!(parts(b"A: b\r\n c\r\n"), (b"A: b\r\n c\r\n".to_vec(), b"".as_slice()));
        assert_eq!(parts(b"\nA: b\n"), (vec![], b"A: b\n".as_slice()));
    }

    #[test]
    fn rfc6376_3_4_a_cr_that_is_no_line_end_is_text() {
        let message = b"A: b\r\r\n\r\nc\r\r\n\r\r\nd\r\n";
        assert_eq!(parts(message), (b"A: b\r\r\n".to_vec(), b"c\r\r\n\r\r\nd\r\n".as_slice()));
    }

    #[test]
    fn lone_dots_and_lines_that_look_like_an_envelope_are_text() {
        assert_eq!(parts(b"A: b\n\n.\nFrom c\n"), (b"A: b\n".to_vec(), b".\nFrom c\n".as_slice()));
    }

    #[test]
    fn the_envelope_line_of_an_mbox_is_no_part_of_the_message() {
        assert_eq!(parts(b"From a Mon Jan  1\nA: b\n\nc"), (b"A: b\n".to_vec(), b"c".as_slice()));
    }

    #[test]
    fn a_line_that_is_no_field_is_an_error() {
        assert!(split(b"A: b\nc\n\nd").is_err());
    }
}
