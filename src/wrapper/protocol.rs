//! What the process that reads a message and the process that signs say to each other, see `wrapper::signer`. Pure.
//!
//! A request has [`REQUEST`] bytes and a reply [`REPLY`]. No other length exists, so the two processes can't get out of step.
//!
//! A request, byte by byte, and the reply to it (unused bytes are 0):
//!
//! ```text
//!   0        length of the author domain (a Domain: lower-case A-labels)
//!   1..256   the author domain
//! 256        length of the selector
//! 257..512   the selector
//! 512..544   the header hash for rsa-sha256 (RFC 6376 §3.7)
//! 544..576   the header hash for ed25519-sha256
//!
//!   0        'r': signed with rsa-sha256; 'e': with ed25519-sha256; '!': not signed
//!   1..3     length of what follows, little-endian
//!   3..1027  the signature, or why there is none (UTF-8)
//! ```

#![forbid(unsafe_code)]

use crate::dkim::{Algorithm, Domain, Hashes, Selector};

/// The length of a request. Bytes, fewer than `PIPE_BUF`: it is written in one piece or not at all.
pub const REQUEST: usize = 2 * NAME + 64;

/// The length of a reply. Bytes.
pub const REPLY: usize = 3 + TEXT;

/// A name and its length.
const NAME: usize = 256;

/// A signature (RSA of 4096 bits: 512), or an error.
const TEXT: usize = 1024;

/// What is to be signed, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The author domain, as a [`Domain`] is written.
    pub author: &'a str,
    /// The selector, as a [`Selector`] is written.
    pub selector: &'a str,
    /// What the key is to sign.
    pub hashes: &'a Hashes,
}

impl Request<'_> {
    /// The bytes of the request.
    #[must_use]
    pub fn to_bytes(self) -> [u8; REQUEST] {
        let [rsa, ed25519] = self.hashes.as_array();
        let mut request = [0; REQUEST];
        let mut rest = request.as_mut_slice();
        for (name, room) in [(self.author, NAME), (self.selector, NAME)] {
            let (length, name) = (u8::try_from(name.len()).unwrap_or_default(), name.as_bytes());
            put(&mut rest, room, &[&[length], name.get(..room.saturating_sub(1)).unwrap_or(name)]);
        }
        put(&mut rest, 64, &[rsa, ed25519]);
        request
    }
}

/// Puts parts, one after the other, at the start of the next `room` bytes.
fn put(rest: &mut &mut [u8], room: usize, parts: &[&[u8]]) {
    let (mut field, after) = std::mem::take(rest).split_at_mut_checked(room).unwrap_or_default();
    *rest = after;
    for part in parts {
        // All of them fit: a part that did not would be left out.
        let Some((to, next)) = field.split_at_mut_checked(part.len()) else { return };
        to.copy_from_slice(part);
        field = next;
    }
}

/// What a request asks for. `None` for anything else than what [`Request::to_bytes`] writes.
#[must_use]
pub fn read_request(request: &[u8; REQUEST]) -> Option<(Domain, Selector, Hashes)> {
    let (author, rest) = request.split_first_chunk::<NAME>()?;
    let (selector, rest) = rest.split_first_chunk::<NAME>()?;
    let (rsa, rest) = rest.split_first_chunk::<32>()?;
    let (ed25519, _) = rest.split_first_chunk::<32>()?;
    let author = Domain::parse(name(author)?).ok()?;
    let selector = Selector::parse(name(selector)?).ok()?;
    let hashes = Hashes::from_array([*rsa, *ed25519]);
    let read = Request { author: author.as_str(), selector: selector.as_str(), hashes: &hashes }
        .to_bytes();
    (read == *request).then_some((author, selector, hashes))
}

/// A name of lower-case A-labels; no other text goes to a parser.
fn name(field: &[u8; NAME]) -> Option<&str> {
    let (length, name) = field.split_first()?;
    let name = name.get(..usize::from(*length))?;
    let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.as_bytes().iter().all(is_plain))
}

/// The bytes of a reply. Of an error, what is too long is cut off.
#[must_use]
pub fn write_reply(answer: &Result<(Algorithm, Vec<u8>), String>) -> [u8; REPLY] {
    let (kind, text) = match answer {
        Ok((Algorithm::RsaSha256, signature)) => (b'r', signature.as_slice()),
        Ok((Algorithm::Ed25519Sha256, signature)) => (b'e', signature.as_slice()),
        Err(said) => (b'!', said.as_bytes()),
    };
    let text = text.get(..TEXT).unwrap_or(text);
    let length = u16::try_from(text.len()).unwrap_or_default().to_le_bytes();
    let mut reply = [0; REPLY];
    put(&mut reply.as_mut_slice(), REPLY, &[&[kind], &length, text]);
    reply
}

/// What a reply says.
///
/// # Errors
///
/// Why there is no signature.
pub fn read_reply(reply: &[u8; REPLY]) -> Result<(Algorithm, Vec<u8>), String> {
    let [kind, low, high, text @ ..] = reply;
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let text = text.get(..length).unwrap_or(text);
    match kind {
        b'r' => Ok((Algorithm::RsaSha256, text.to_vec())),
        b'e' => Ok((Algorithm::Ed25519Sha256, text.to_vec())),
        _ => Err(String::from_utf8_lossy(text).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASHES: Hashes = Hashes::from_array([[1; 32], [2; 32]]);

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let long = "a.".repeat(126) + "a";
        for (author, selector) in
            [("sample.com", "s1"), ("xn--bcher-kva.example", "a.b_c"), (&*long, &*long)]
        {
            let request = Request { author, selector, hashes: &HASHES };
            let (read_author, read_selector, read_hashes) =
                read_request(&request.to_bytes()).unwrap();
            assert_eq!((read_author.as_str(), read_selector.as_str()), (author, selector));
            assert_eq!(read_hashes, HASHES);
        }
    }

    #[test]
    fn a_name_that_is_not_in_its_one_form_is_no_request() {
        for author in [
            "",
            ".",
            "..",
            "../etc",
            "/etc",
            "a/b",
            "A.test",
            "B\u{fc}cher.test",
            "a..b",
            "-a.test",
            "a b",
            "a\0b",
        ] {
            let request = Request { author, selector: "s1", hashes: &HASHES };
            assert_eq!(read_request(&request.to_bytes()), None, "{author:?}");
            let request = Request { author: "sample.com", selector: author, hashes: &HASHES };
            assert_eq!(read_request(&request.to_bytes()), None, "{author:?}");
        }
        assert_eq!(read_request(&[0; REQUEST]), None);
        assert_eq!(read_request(&[0xff; REQUEST]), None);
        let mut padded =
            Request { author: "sample.com", selector: "s1", hashes: &HASHES }.to_bytes();
        padded[100] = b'x';
        assert_eq!(read_request(&padded), None);
    }

    #[test]
    fn a_reply_is_read_as_it_was_written() {
        for answer in [
            Ok((Algorithm::RsaSha256, vec![7; 512])),
            Ok((Algorithm::Ed25519Sha256, vec![8; 64])),
            Err("cannot open key".to_owned()),
            Err(String::new()),
        ] {
            assert_eq!(read_reply(&write_reply(&answer)), answer);
        }
        let long = Err("x".repeat(5_000));
        assert_eq!(read_reply(&write_reply(&long)), Err("x".repeat(TEXT)));
        assert_eq!(read_reply(&[0xff; REPLY]), Err("\u{fffd}".repeat(TEXT)));
    }
}
