//! What the targets share: messages, and ways to cut an input.

use sendmail_dkim::dkim::Header;
use sendmail_dkim::dkim::domain::Domain;
use sendmail_dkim::message::address::Completion;

/// Cuts a text into pieces whose lengths follow from the text itself.
pub fn pieces(text: &[u8]) -> Vec<&[u8]> {
    let mut lengths = text.iter().rev().map(|byte| usize::from(*byte) % 37 + 1);
    let mut rest = text;
    let mut pieces = Vec::new();
    while let Some((piece, behind)) = rest.split_at_checked(lengths.next().unwrap_or(1)) {
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

/// A header section and what follows the empty line behind it.
pub fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    let empty_line = input.windows(2).position(|pair| pair == b"\n\n");
    match empty_line.and_then(|at| input.split_at_checked(at + 1)) {
        Some((section, rest)) => (section, &rest[1..]),
        None => (input, b""),
    }
}

/// A message whose header can be read.
pub fn message(input: &[u8]) -> Option<(Header, &[u8])> {
    let (section, body) = parts(input);
    Some((Header::parse(section).ok()?, body))
}

/// The text with CR LF at the end of each line.
pub fn crlf(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        bytes.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        if line.ends_with(b"\n") {
            bytes.extend_from_slice(if line.ends_with(b"\r\n") { b"\n" } else { b"\r\n" });
        }
    }
    bytes
}

/// How a host completes addresses.
pub fn completion() -> Completion {
    let domain = |text| Domain::parse(text).ok();
    Completion { origin: domain("origin.example"), dot_domain: domain("dot.example") }
}
