//! However a body is cut, the same is made of it; where nothing is said to be at risk it is 7-bit and has short lines,
//! nothing is left to do to it, and decoded it is what it was.
#![no_main]

use base64::prelude::*;
use sendmail_dkim::dkim::Header;
use sendmail_dkim::message::complete;
use sendmail_dkim::message::limits::LONGEST_LINE;
use sendmail_dkim::message::seven_bit::{Changes, Rewrite, Risk, Survey};
use sendmail_dkim_fuzz::{message, pieces};

fn survey(header: &Header, pieces: &[&[u8]]) -> Changes {
    let mut survey = Survey::new(&header.bytes(), false);
    pieces.iter().for_each(|piece| survey.feed(piece));
    survey.finish()
}

fn rewrite(changes: &Changes, pieces: &[&[u8]]) -> Vec<u8> {
    let mut rewrite = Rewrite::new(changes);
    let mut out = Vec::new();
    pieces.iter().for_each(|piece| rewrite.feed(piece, &mut out));
    rewrite.finish(&mut out);
    out
}

/// Quoted-printable (RFC 2045 §6.7), as strict as what is written here has to be.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        assert!(line.len() <= 77, "a line of quoted-printable");
        let (mut rest, end) = match line.strip_suffix(b"=\n") {
            Some(line) => (line, b"".as_slice()),
            None => (line.strip_suffix(b"\n").expect("a line end"), b"\n".as_slice()),
        };
        assert!(!rest.ends_with(b" ") && !rest.ends_with(b"\t") || end.is_empty());
        while let Some((first, behind)) = rest.split_first() {
            let hex = behind.get(..2).filter(|_| *first == b'=');
            let digits = hex.map(|hex| std::str::from_utf8(hex).expect("hexadecimal"));
            bytes.push(
                digits.map_or(*first, |hex| u8::from_str_radix(hex, 16).expect("hexadecimal")),
            );
            rest = &behind[if hex.is_some() { 2 } else { 0 }..];
        }
        bytes.extend_from_slice(end);
    }
    bytes
}

fn decoded(encoding: &str, text: &[u8]) -> Vec<u8> {
    match encoding {
        "quoted-printable" => unquoted(text),
        "base64" => {
            assert!(text.split(|byte| *byte == b'\n').all(|line| line.len() <= 76));
            let bytes: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'\n').collect();
            let bytes = BASE64_STANDARD.decode(bytes).expect("base64");
            // A text has CR LF inside (RFC 2045 §6.8).
            let (mut lines, mut rest) = (Vec::new(), bytes.as_slice());
            while let Some((first, behind)) = rest.split_first() {
                if !rest.starts_with(b"\r\n") {
                    lines.push(*first);
                }
                rest = behind;
            }
            lines
        }
        _ => text.to_vec(),
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((mut header, body)) = message(input) else { return };
    let mut body: Vec<u8> = body.iter().copied().filter(|byte| *byte != b'\r').collect();
    if !body.is_empty() && !body.ends_with(b"\n") {
        body.push(b'\n');
    }
    let changes = survey(&header, &[&body]);
    let single: Vec<&[u8]> = body.chunks(1).collect();
    let whole = rewrite(&changes, &[&body]);
    for cut in [&pieces(&body), &single] {
        let other = survey(&header, cut);
        assert_eq!(changes.risk, other.risk);
        assert_eq!(
            (changes.keep_body(), changes.of_header()),
            (other.keep_body(), other.of_header())
        );
        assert_eq!(rewrite(&other, cut), whole);
    }
    if changes.keep_body() {
        assert_eq!(whole, body);
    }
    if changes.risk != Risk::None {
        return;
    }
    assert!(whole.iter().all(|byte| byte.is_ascii() && *byte != 0));
    assert!(whole.split(|byte| *byte == b'\n').all(|line| line.len() <= LONGEST_LINE));
    // One that says of itself that it is encoded, or two things of what it is, is not one text.
    let is_one = header.count("Content-Transfer-Encoding") == 0 && header.count("Content-Type") < 2;
    if let Some((encoding, charset)) = changes.of_header() {
        if is_one {
            assert_eq!(decoded(encoding, &whole), body, "{encoding}");
        }
        complete::label(&mut header, encoding, charset);
        assert_eq!(header.count("Content-Transfer-Encoding"), 1);
    }
    let again = survey(&header, &[&whole]);
    assert!(again.keep_body() && again.risk == Risk::None && again.of_header().is_none());
});
