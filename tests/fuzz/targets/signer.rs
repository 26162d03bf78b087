//! What the process that reads a message and the one that signs say to each other. Bytes that are read as a request are those
//! that are written for it, byte for byte; names in it are domains and selectors in their one form; and whatever a reply
//! holds, reading it gives no more than its bytes.
#![no_main]

use sendmail_dkim::dkim::{Algorithm, Domain, Hashes, Selector};
use sendmail_dkim::wrapper::protocol::{
    REPLY, REQUEST, Request, read_reply, read_request, write_reply,
};

fn filled<const LENGTH: usize>(input: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes.iter_mut().zip(input).for_each(|(to, byte)| *to = *byte);
    bytes
}

/// A request whose names come from the input, with their lengths where they belong, so that more than chance is read.
fn shaped(input: &[u8]) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    let mut names = input.split(|byte| *byte == b' ');
    for place in [0, 256] {
        let name = names.next().unwrap_or_default();
        let name = &name[..name.len().min(255)];
        request[place] = u8::try_from(name.len()).expect("cut");
        request[place + 1..place + 1 + name.len()].copy_from_slice(name);
    }
    request
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for request in [filled::<REQUEST>(input), shaped(input)] {
        let Some((author, selector, hashes)) = read_request(&request) else { continue };
        assert_eq!(Domain::parse(author.as_str()).as_ref(), Ok(&author));
        assert_eq!(Selector::parse(selector.as_str()).as_ref(), Ok(&selector));
        for name in [author.as_str(), selector.as_str()] {
            assert!(!name.contains(['/', '\0']) && !name.starts_with('.') && !name.contains(".."));
        }
        let written =
            Request { author: author.as_str(), selector: selector.as_str(), hashes: &hashes };
        assert_eq!(written.to_bytes(), request);
    }
    // A domain that can be an author's is asked for as it is.
    let text = String::from_utf8_lossy(input);
    if let (Ok(author), Ok(selector)) = (Domain::parse(&text), Selector::parse(&text)) {
        let hashes = Hashes::from_array([filled(input), filled(input)]);
        let asked =
            Request { author: author.as_str(), selector: selector.as_str(), hashes: &hashes };
        assert_eq!(read_request(&asked.to_bytes()), Some((author, selector, hashes)));
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
