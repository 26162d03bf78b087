//! Replies of DNS servers, with any bytes: the key record that is taken from them is one of those in a TXT record, its strings
//! joined, and no more aliases are followed than the limit says. The record of a reply as servers make it is read byte for byte,
//! however it is cut into strings.
#![no_main]

use sendmail_dkim::admin::fuzzing::answered;
use sendmail_dkim::dkim::{Lookup, Record};
use sendmail_dkim_fuzz::pieces;

const NAME: &str = "s1._domainkey.sample.com";

/// A name as it is in a message (RFC 1035 §3.1).
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).expect("a label");
        std::iter::once(length).chain(label.bytes())
    });
    labels.chain([0]).collect()
}

/// A record of the class IN (RFC 1035 §4.1.3).
fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("a record").to_be_bytes();
    [&name(owner), &kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 60], &length, data].concat()
}

/// A reply with these answers (RFC 1035 §4.1.1).
fn reply(answers: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(answers.len()).expect("few").to_be_bytes();
    let header = [0, 1, 0x81, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0];
    [&header, &name(NAME)[..], &[0, 16, 0, 1], &answers.concat()].concat()
}

/// A text in strings of lengths that follow from it.
fn strings(text: &[u8]) -> Vec<u8> {
    let strings = pieces(text).into_iter().filter(|piece| !piece.is_empty());
    let strings = strings.flat_map(|piece| [&[piece.len() as u8], piece].concat());
    Some(strings.collect::<Vec<u8>>()).filter(|all| !all.is_empty()).unwrap_or_else(|| vec![0])
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // Any bytes, several replies with 0xff 0xff between them.
    let mut replies = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(2).position(|pair| pair == [0xff, 0xff]) {
        replies.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    replies.push(rest);
    let (aliases, _) = answered(NAME, &replies);
    assert!(aliases.len() <= 8);
    for alias in &aliases {
        assert!(!alias.contains(|char: char| char.is_control() || !char.is_ascii()), "{alias:?}");
    }
    // A reply in which the input is one record, or one for each line.
    let text = &input[..input.len().min(2000)];
    let one = record(NAME, 16, &strings(text));
    let (aliases, found) = answered(NAME, &[&reply(&[one])]);
    assert_eq!((aliases, found), (Vec::new(), Lookup::Found(text.to_vec())));
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').take(5).collect();
    let records: Vec<_> = lines.iter().map(|line| record(NAME, 16, &strings(line))).collect();
    let (_, found) = answered(NAME, &[&reply(&records)]);
    let key = lines.iter().find(|line| Record::parse(line).is_ok()).unwrap_or(&lines[0]);
    assert_eq!(found, Lookup::Found(key.to_vec()));
    // An alias, its record in the same reply or in the next one.
    let alias = record(NAME, 5, &name("key.b.example"));
    let there = record("key.b.example", 16, &strings(text));
    let wanted = (vec!["key.b.example".to_owned()], Lookup::Found(text.to_vec()));
    assert_eq!(answered(NAME, &[&reply(&[alias.clone(), there.clone()])]), wanted);
    assert_eq!(answered(NAME, &[&reply(&[alias]), &reply(&[there])]), wanted);
});
