//! What the process that reads a message and the one that signs say to each other. Bytes that are read as a request are those
//! that are written for it, byte for byte; names in it are domains and selectors in their one form; and if a reply holds, reading
//! it gives no more than its bytes.
#![no_main]

use sendmail_dkim::dkim::{Algorithm, Domain, HashInput, Selector};
use sendmail_dkim::wrapper::protocol::{
    HEAD, MOST, REPLY, Request, length_of_rest, read_reply, read_request, write_reply,
};

fn filled<const LENGTH: usize>(input: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes.iter_mut().zip(input).for_each(|(to, byte)| *to = *byte);
    bytes
}

/// The first bytes of a request whose names come from the input, with their lengths where they belong, so that more than
/// chance is read; and a text of the length that is announced.
fn shaped(input: &[u8]) -> ([u8; HEAD], Vec<u8>) {
    let mut head = [0; HEAD];
    let mut parts = input.split(|byte| *byte == b' ');
    for place in [0, 256] {
        let name = parts.next().unwrap_or_default();
        let name = &name[..name.len().min(255)];
        head[place] = u8::try_from(name.len()).expect("cut");
        head[place + 1..place + 1 + name.len()].copy_from_slice(name);
    }
    let mut rest = Vec::new();
    for place in [512, 516, 520] {
        let part = parts.next().unwrap_or_default();
        head[place..place + 4]
            .copy_from_slice(&u32::try_from(part.len()).expect("short").to_le_bytes());
        rest.extend_from_slice(part);
    }
    (head, rest)
}

fn input_of(text: &[u8]) -> HashInput {
    let (fields, signatures) = text.split_at(text.len() / 3);
    let (one, other) = signatures.split_at(signatures.len() / 2);
    HashInput { fields: fields.to_vec(), signatures: [one.to_vec(), other.to_vec()] }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let rest = input.get(HEAD..).unwrap_or_default().to_vec();
    for (head, rest) in [(filled::<HEAD>(input), rest), shaped(input)] {
        let announced = length_of_rest(&head);
        assert!(announced.is_none_or(|length| length <= MOST));
        let Some((author, selector, text)) = read_request(&head, rest.clone()) else { continue };
        assert_eq!(announced, Some(rest.len()));
        assert_eq!(Domain::parse(author.as_str()).as_ref(), Ok(&author));
        assert_eq!(Selector::parse(selector.as_str()).as_ref(), Ok(&selector));
        for name in [author.as_str(), selector.as_str()] {
            assert!(!name.contains(['/', '\0']) && !name.starts_with('.') && !name.contains(".."));
        }
        let asked = Request { author: author.as_str(), selector: selector.as_str(), input: &text };
        assert_eq!(asked.to_bytes(), Some([head.as_slice(), &rest].concat()));
        // Only of this pair, if of any.
        let others = Selector::parse("other.than.any").expect("a selector");
        assert!(
            selector == others || !text.is_of(&author, &selector) || !text.is_of(&author, &others)
        );
    }
    // A domain that can be an author's is asked for as it is.
    let text = String::from_utf8_lossy(input);
    if let (Ok(author), Ok(selector)) = (Domain::parse(&text), Selector::parse(&text)) {
        let input = input_of(input);
        let asked = Request { author: author.as_str(), selector: selector.as_str(), input: &input };
        let bytes = asked.to_bytes().expect("short");
        let (head, rest) = bytes.split_first_chunk().expect("longer than its head");
        assert_eq!(read_request(head, rest.to_vec()), Some((author, selector, input)));
    }
    let reply = filled::<REPLY>(input);
    match read_reply(&reply) {
        Ok((_, signature)) => assert!(signature.len() <= REPLY - 3),
        Err(said) => assert!(said.chars().count() <= REPLY - 3),
    }
    let signature = input[..input.len().min(512)].to_vec();
    for answer in [
        Ok((Algorithm::RsaSha256, signature.clone())),
        Ok((Algorithm::Ed25519Sha256, signature)),
        Err(text.chars().take(200).collect::<String>()),
    ] {
        assert_eq!(read_reply(&write_reply(&answer)), answer);
    }
});
