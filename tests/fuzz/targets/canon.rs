//! The canonical form does not depend on how a body is cut or on its line ends, is its own canonical form, and is what
//! the sentences of RFC 6376, section 3.4, make of the text one after the other.
#![no_main]

use sendmail_dkim::dkim::canon::Body;
use sendmail_dkim::dkim::{BodyHasher, Canon, Field};
use sendmail_dkim_fuzz::{crlf, pieces};

fn body(canon: Canon, pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut body = Body::new(canon);
    let mut sink = |piece: &[u8]| bytes.extend_from_slice(piece);
    pieces.iter().for_each(|piece| body.update(piece, &mut sink));
    body.finish(&mut sink);
    bytes
}

fn field(canon: Canon, bytes: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::new();
    canon.field(bytes, |piece| canonical.extend_from_slice(piece));
    canonical
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    })
}

/// One space for each run of whitespace, and none at the end.
fn reduced(line: &[u8]) -> Vec<u8> {
    let is_wsp = |byte: &u8| matches!(byte, b' ' | b'\t');
    let words = line.split(is_wsp).enumerate();
    let words = words.filter(|(at, word)| *at == 0 || !word.is_empty());
    let words: Vec<&[u8]> = words.map(|(_, word)| word).collect();
    words.join(b" ".as_slice())
}

/// Sections 3.4.3 and 3.4.4.
fn by_the_book(canon: Canon, text: &[u8]) -> Vec<u8> {
    let reduce = |line: &[u8]| match canon {
        Canon::Relaxed => reduced(line),
        Canon::Simple => line.to_vec(),
    };
    let mut lines: Vec<Vec<u8>> = lines(text).map(reduce).collect();
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    if lines.is_empty() && canon == Canon::Simple {
        lines.push(Vec::new());
    }
    lines.iter().flat_map(|line| line.iter().chain(b"\r\n")).copied().collect()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let single: Vec<&[u8]> = input.chunks(1).collect();
    for canon in [Canon::Simple, Canon::Relaxed] {
        let whole = body(canon, &[input]);
        assert_eq!(whole, by_the_book(canon, input));
        assert_eq!(whole, body(canon, &pieces(input)));
        assert_eq!(whole, body(canon, &single));
        assert_eq!(whole, body(canon, &[&crlf(input)]));
        assert_eq!(whole, body(canon, &[&whole]));
        let mut hasher = BodyHasher::new(canon);
        hasher.update(input);
        assert_eq!(hasher.finish().length(), whole.len() as u64);
    }
    // What one form does not see, the other one, which sees less, does not see either.
    assert_eq!(
        body(Canon::Relaxed, &[input]),
        body(Canon::Relaxed, &[&body(Canon::Simple, &[input])])
    );
    if Field::parse(input).is_err() {
        return;
    }
    let relaxed = field(Canon::Relaxed, input);
    let simple = field(Canon::Simple, input);
    for (canon, canonical) in [(Canon::Relaxed, &relaxed), (Canon::Simple, &simple)] {
        assert_eq!(*canonical, field(canon, canonical));
        assert_eq!(*canonical, field(canon, &crlf(input)));
    }
    assert_eq!(relaxed, field(Canon::Relaxed, &simple));
    let unfolded = lines(input).collect::<Vec<_>>().concat();
    let colon = unfolded.iter().position(|byte| *byte == b':').expect("a field has one");
    let name = unfolded[..colon].trim_ascii_end().to_ascii_lowercase();
    let value = reduced(&unfolded[colon + 1..]);
    let value = value.strip_prefix(b" ").unwrap_or(&value);
    assert_eq!(relaxed, [name.as_slice(), b":", value].concat());
});
