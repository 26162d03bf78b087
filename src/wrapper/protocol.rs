//! The protocol between the process that reads a message and the process that signs; see `wrapper::signer`. Pure.
//!
//! A request begins with [`HEAD`] bytes, which tell how many more bytes follow, at most [`MOST`]. A reply has [`REPLY`] bytes.
//!
//! The bytes of a request, and of the reply to it (unused bytes are 0; numbers are little-endian):
//!
//! ```text
//!   0        length of the author domain (a Domain: lower-case A-labels)
//!   1..256   the author domain
//! 256        length of the selector
//! 257..512   the selector
//! 512..516   length of the canonical fields (RFC 6376 §3.7)
//! 516..520   length of the DKIM-Signature field for rsa-sha256
//! 520..524   length of the DKIM-Signature field for ed25519-sha256
//! 524..      these three
//!
//!   0        'r': signed with rsa-sha256; 'e': with ed25519-sha256; '!': not signed
//!   1..3     length of what follows, little-endian
//!   3..1027  the signature, or why there is none (UTF-8)
//! ```

#![forbid(unsafe_code)]

use crate::dkim::{Algorithm, Domain, HashInput, Selector};

/// The number of bytes that each request begins with.
pub const HEAD: usize = 2 * NAME + PARTS * LENGTH;

/// The most bytes of a text to sign. A header that is signed has at most a third of that.
pub const MOST: usize = 4 << 20;

/// The length of a reply in bytes.
pub const REPLY: usize = 3 + TEXT;

/// The bytes of a name and its length.
const NAME: usize = 256;

/// The number of parts of a text: the fields, and a DKIM-Signature field for each algorithm.
const PARTS: usize = 1 + Algorithm::ALL.len();

/// The bytes of the length of a part.
const LENGTH: usize = 4;

/// The most bytes of a signature (512 for RSA 4096) or of an error.
const TEXT: usize = 1024;

/// What to sign, and for which domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The author domain, in the form of a [`Domain`].
    pub author: &'a str,
    /// The selector, in the form of a [`Selector`].
    pub selector: &'a str,
    /// The texts that the key may sign.
    pub input: &'a HashInput,
}

impl Request<'_> {
    /// The bytes of the request. `None` if the text is longer than [`MOST`].
    #[must_use]
    pub fn to_bytes(self) -> Option<Vec<u8>> {
        let HashInput { fields, signatures: [rsa, ed25519] } = self.input;
        Some([self.head()?.as_slice(), fields, rsa, ed25519].concat())
    }

    fn head(self) -> Option<[u8; HEAD]> {
        let mut head = [0; HEAD];
        let mut rest = head.as_mut_slice();
        for (name, room) in [(self.author, NAME), (self.selector, NAME)] {
            let (length, name) = (u8::try_from(name.len()).unwrap_or_default(), name.as_bytes());
            put(&mut rest, room, &[&[length], name.get(..room.saturating_sub(1)).unwrap_or(name)]);
        }
        let HashInput { fields, signatures: [rsa, ed25519] } = self.input;
        for part in [fields, rsa, ed25519] {
            put(&mut rest, LENGTH, &[&u32::try_from(part.len()).ok()?.to_le_bytes()]);
        }
        length_of_rest(&head).map(|_| head)
    }
}

/// Writes parts, one after the other, at the start of the next `room` bytes.
fn put(rest: &mut &mut [u8], room: usize, parts: &[&[u8]]) {
    let (mut field, after) = std::mem::take(rest).split_at_mut_checked(room).unwrap_or_default();
    *rest = after;
    for part in parts {
        // All parts fit; one that did not would be omitted.
        let Some((to, next)) = field.split_at_mut_checked(part.len()) else { return };
        to.copy_from_slice(part);
        field = next;
    }
}

/// How many bytes follow the head of a request. `None` if that is more than [`MOST`].
#[must_use]
pub fn length_of_rest(head: &[u8; HEAD]) -> Option<usize> {
    let length = lengths(head)?.iter().try_fold(0_usize, |sum, part| sum.checked_add(*part))?;
    (length <= MOST).then_some(length)
}

fn lengths(head: &[u8; HEAD]) -> Option<[usize; PARTS]> {
    let (lengths, _) = head.last_chunk::<{ PARTS * LENGTH }>()?.as_chunks::<LENGTH>();
    let lengths: &[_; PARTS] = lengths.try_into().ok()?;
    Some(lengths.map(|length| usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)))
}

/// Parses a request. `None` for anything that [`Request::to_bytes`] would not write.
#[must_use]
pub fn read_request(head: &[u8; HEAD], mut rest: Vec<u8>) -> Option<(Domain, Selector, HashInput)> {
    let [fields, rsa, _] = lengths(head)?;
    let mut signatures = (fields <= rest.len()).then(|| rest.split_off(fields))?;
    let ed25519 = (rsa <= signatures.len()).then(|| signatures.split_off(rsa))?;
    let input = HashInput { fields: rest, signatures: [signatures, ed25519] };
    let (author, names) = head.split_first_chunk::<NAME>()?;
    let (selector, _) = names.split_first_chunk::<NAME>()?;
    let author = Domain::parse(name(author)?).ok()?;
    let selector = Selector::parse(name(selector)?).ok()?;
    let read = Request { author: author.as_str(), selector: selector.as_str(), input: &input };
    (read.head()? == *head).then_some((author, selector, input))
}

/// A name in lower-case A-labels. No other text is passed to a parser.
fn name(field: &[u8; NAME]) -> Option<&str> {
    let (length, name) = field.split_first()?;
    let name = name.get(..usize::from(*length))?;
    let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.as_bytes().iter().all(is_plain))
}

/// The bytes of a reply. A long error is cut.
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

/// Parses a reply.
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

    fn input() -> HashInput {
        let signatures = [b"dkim-signature:a=1".to_vec(), b"dkim-signature:a=22".to_vec()];
        HashInput { fields: b"from:a\r\n".to_vec(), signatures }
    }

    fn read(request: &[u8]) -> Option<(Domain, Selector, HashInput)> {
        let (head, rest) = request.split_first_chunk::<HEAD>()?;
        read_request(head, rest.to_vec())
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let long = "a.".repeat(126) + "a";
        let nothing = HashInput { fields: Vec::new(), signatures: Default::default() };
        for (author, selector, input) in [
            ("sample.com", "s1", input()),
            ("xn--bcher-kva.example", "a.b_c", nothing),
            (&*long, &*long, input()),
        ] {
            let request = Request { author, selector, input: &input }.to_bytes().unwrap();
            let rest = length_of_rest(request.first_chunk().unwrap()).unwrap();
            assert_eq!(HEAD + rest, request.len());
            let (read_author, read_selector, read_input) = read(&request).unwrap();
            assert_eq!((read_author.as_str(), read_selector.as_str()), (author, selector));
            assert_eq!(read_input, input);
        }
    }

    #[test]
    fn a_name_that_is_not_canonical_is_rejected() {
        let input = input();
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
            let request = Request { author, selector: "s1", input: &input }.to_bytes().unwrap();
            assert_eq!(read(&request), None, "{author:?}");
            let request = Request { author: "sample.com", selector: author, input: &input };
            assert_eq!(read(&request.to_bytes().unwrap()), None, "{author:?}");
        }
        assert_eq!(read(&[0; HEAD]), None);
        assert_eq!(read(&[0xff; HEAD]), None);
        let right = Request { author: "sample.com", selector: "s1", input: &input };
        let mut padded = right.to_bytes().unwrap();
        padded[100] = b'x';
        assert_eq!(read(&padded), None);
    }

    #[test]
    fn a_text_of_another_length_than_announced_is_rejected() {
        let input = input();
        let request = Request { author: "sample.com", selector: "s1", input: &input };
        let right = request.to_bytes().unwrap();
        assert!(read(&right).is_some());
        assert_eq!(read(&right[..right.len() - 1]), None);
        assert_eq!(read(&[right.as_slice(), b"x"].concat()), None);
        for place in 512..HEAD {
            let mut wrong = right.clone();
            wrong[place] ^= 0x81;
            assert_eq!(read(&wrong), None, "{place}");
        }
    }

    #[test]
    fn no_text_is_longer_than_the_limit() {
        let of = |length: usize| HashInput { fields: vec![b'x'; length], ..input() };
        let signatures = input().signatures.concat().len();
        let [fits, longer] = [of(MOST - signatures), of(MOST - signatures + 1)];
        let request = |input| Request { author: "sample.com", selector: "s1", input };
        assert_eq!(request(&fits).to_bytes().unwrap().len(), HEAD + MOST);
        assert_eq!(request(&longer).to_bytes(), None);
        assert_eq!(length_of_rest(&[0xff; HEAD]), None);
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
