//! However a message is cut, the reader gives the same; and header and body together are what was read, the line ends
//! aside.
#![no_main]

use sendmail_dkim::argv::LoneDot;
use sendmail_dkim::message::reader::{Reader, Step};
use sendmail_dkim_fuzz::pieces;

/// All that can be seen of a reader.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    header: Vec<u8>,
    body: Vec<u8>,
    place: Option<(u64, u64)>,
    /// Where the message ended, if that is before the input does.
    end: Option<usize>,
}

fn read(mut reader: Reader, pieces: &[&[u8]]) -> Option<Read> {
    let mut body = Vec::new();
    let mut taken = 0;
    let mut end = None;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && end.is_none() {
            let (length, step) = reader.feed(rest, &mut body);
            taken += length;
            rest = &rest[length..];
            match step {
                Step::HeaderTooLarge => return None,
                Step::MessageEnds => end = Some(taken),
                Step::HeaderEnds | Step::More => {}
            }
        }
    }
    reader.finish(&mut body);
    Some(Read { header: reader.header().to_vec(), body, place: reader.body_in_input(), end })
}

/// Each line with an LF at its end, and without CRs before that in the last piece of it.
fn lines(input: &[u8]) -> Vec<Vec<u8>> {
    let lines = input.split_inclusive(|byte| *byte == b'\n');
    let line = |line: &[u8]| {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let length = text.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
        [&text[..length.max(text.len() - text.len() % 2048)], b"\n"].concat()
    };
    lines.map(line).collect()
}

/// A whole line that an mbox puts before a message, and that Postfix sees as one.
fn is_from_line(line: &[u8]) -> bool {
    let quoted = line.iter().take_while(|byte| **byte == b'>').count();
    line[quoted..].starts_with(b"From ") && line.ends_with(b"\n") && line.len() <= 2048
}

/// What was read is what was there.
fn check(input: &[u8], lone_dot: LoneDot, read: &Read) {
    let mut input = &input[..read.end.unwrap_or(input.len())];
    while let Some(line) = input.split_inclusive(|byte| *byte == b'\n').next()
        && is_from_line(line)
    {
        input = &input[line.len()..];
    }
    let mut lines = lines(input);
    // A dot and nothing else behind the last line end is a line containing a single dot, too.
    let is_dot = input == b"." || input.ends_with(b"\n.");
    if read.end.is_some() || (is_dot && lone_dot == LoneDot::Ends) {
        assert_eq!(lines.pop().as_deref(), Some(b".\n".as_slice()));
    }
    let header = read.header.iter().filter(|byte| **byte == b'\n').count();
    let body = lines.split_off(header);
    assert_eq!(lines.concat(), read.header);
    let body = body.concat();
    let is_body =
        [body.as_slice(), body.strip_prefix(b"\n").unwrap_or(&body)].contains(&&*read.body);
    assert!(is_body, "{} {}", body.escape_ascii(), read.body.escape_ascii());
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let readers = [|| Reader::new(LoneDot::IsText), || Reader::new(LoneDot::Ends), Reader::of_data];
    let single: Vec<&[u8]> = input.chunks(1).collect();
    for (kind, reader) in readers.into_iter().enumerate() {
        let Some(whole) = read(reader(), &[input]) else { return };
        for cut in [&pieces(input), &single] {
            let mut other = read(reader(), cut).expect("no larger in pieces");
            // Where the body stands may be known for one way of cutting only; it is the same place then.
            if let (Some(one), Some(two)) = (whole.place, other.place) {
                assert_eq!(one, two);
            }
            other.place = whole.place;
            assert_eq!(whole, other);
        }
        if let Some((from, to)) = whole.place {
            let body = &input[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
            let ended = body.is_empty() || body.ends_with(b"\n");
            let end: &[u8] = if ended { b"" } else { b"\n" };
            assert_eq!([body, end].concat(), whole.body);
        }
        if let Some(lone_dot) = [LoneDot::IsText, LoneDot::Ends].get(kind) {
            check(input, *lone_dot, &whole);
        }
    }
});
