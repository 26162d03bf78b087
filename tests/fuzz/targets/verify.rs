//! Mail of any kind gets the verdicts of another implementation. Signatures in which the values of bh= and b= are a single
//! `@` are made by that implementation, with the keys of the RFCs; a copy of the message with another byte somewhere is
//! verified, too. The text of the key record is a field of the message, for those signatures that have the selector `x`.
#![no_main]

use std::sync::LazyLock;

use base64::prelude::*;
use sendmail_dkim::admin::fuzzing::verified;
use sendmail_dkim::dkim::{
    Claims, Domain, Fault, Field, Header, Lookup, Record, Selector, SigningKey,
};
use sendmail_dkim_fuzz::message;
use viadkim::message_hash::{BodyHasherBuilder, body_hasher_key, compute_data_hash};
use viadkim::signature::DkimSignature;
use viadkim::{VerificationError, VerificationStatus};

#[path = "../peer.rs"]
mod peer;

const NAME: &str = "DKIM-Signature";

/// The field that holds a key record.
const RECORD: &str = "Record";

/// A key of RFC 8463, appendix A, and the one of RFC 6376, appendix C, with their records.
static KEYS: LazyLock<[(SigningKey, Vec<u8>); 2]> = LazyLock::new(|| {
    let pems = [
        include_str!("../../vectors/rfc8463-a-brisbane.private"),
        include_str!("../../vectors/rfc6376-c.private"),
    ];
    pems.map(|pem| {
        let key = SigningKey::from_pem(pem, 1024).expect("a key");
        let record = Record::new(key.public()).text().expect("a record");
        (key, record.into_bytes())
    })
});

/// The record of a selector: that of the message, of an RSA key or of an Ed25519 key.
fn record(own: &[u8], selector: &str) -> Vec<u8> {
    match selector {
        "x" => own.to_vec(),
        "r" => KEYS[1].1.clone(),
        _ => KEYS[0].1.clone(),
    }
}

/// Whether the value has that tag, and between tags.
fn has_tag(value: &str, tag: &str) -> bool {
    let before = value.split_once(tag).map(|(before, _)| before);
    before.is_some_and(|before| before.ends_with([';', ' ', '\n', '\t']))
}

/// The field with its `@` replaced by what the peer computes.
fn made(header: &Header, field: &Field, body: &[u8]) -> Option<Field> {
    let value = std::str::from_utf8(field.value()).ok()?;
    let value = value.strip_suffix('\n').unwrap_or(value);
    let value = value.replace("\r\n", "\n").replace('\n', "\r\n");
    let claimed: DkimSignature = value.replace("=@", "=AAAA").parse().ok()?;
    usize::try_from(claimed.body_length.unwrap_or(0)).ok()?;
    let mut hasher = BodyHasherBuilder::new(false);
    let key = body_hasher_key(&claimed);
    hasher.register_canonicalization(key.0, key.1, key.2);
    let mut hasher = hasher.build();
    let _ = hasher.hash_chunk(&sendmail_dkim_fuzz::crlf(body));
    let (hash, _) = hasher.finish().get(&key)?.clone().ok()?;
    let value = value.replace("bh=@", &format!("bh={}", BASE64_STANDARD.encode(hash)));
    let name = std::str::from_utf8(field.name()).ok()?;
    let hash = compute_data_hash(
        claimed.algorithm.hash_algorithm(),
        claimed.canonicalization.header,
        &peer::fields(header)?,
        &claimed.signed_headers,
        name,
        &value.replace("b=@", "b="),
    );
    let hash = hash.as_ref().try_into().ok()?;
    let selector = claimed.selector.to_ascii();
    let key = &KEYS[usize::from(selector == "r")].0;
    let signature = key.sign_hash(&hash).ok()?;
    let value = value.replace("b=@", &format!("b={}", BASE64_STANDARD.encode(signature)));
    Field::parse(format!("{name}:{value}\n").replace("\r\n", "\n").as_bytes()).ok()
}

/// What is shown has a line for each signature, and the verdicts are those of the peer, where both can read the signature and
/// the record.
fn compare(header: &Header, body: &[u8]) -> Vec<Result<(), Fault>> {
    let own = header.named(RECORD).next().map_or(b"".as_slice(), |field| field.value());
    let own = own.trim_ascii().to_vec();
    let find = |_: &Domain, selector: &Selector| Lookup::Found(record(&own, selector.as_str()));
    let text = [header.bytes().as_slice(), b"\n", body].concat();
    let (verdicts, shown) = verified(&text, find).expect("a header");
    assert!(!shown.contains(|char: char| char.is_control() && !"\n\t".contains(char)), "{shown:?}");
    let lines = shown.lines().filter(|line| !line.starts_with("  ")).count();
    // One more says how many are not looked at.
    let further = usize::from(header.count(NAME) > verdicts.len());
    assert_eq!(lines, (verdicts.len() + further).max(1), "{shown}");
    let ours = verdicts.iter().map(|verdict| verdict.result.clone()).collect();
    let Some(fields) = peer::fields(header) else { return ours };
    let theirs = peer::verify(&fields, body, {
        let own = own.clone();
        move |selector| record(&own, selector)
    });
    for ((ours, theirs), field) in verdicts.iter().zip(&theirs).zip(header.named(NAME)) {
        // The peer lets a signature sign itself, which §3.5 forbids.
        let signs_itself =
            Claims::parse(field).is_ok_and(|claims| claims.signed.iter().any(|name| name.is(NAME)));
        if signs_itself {
            continue;
        }
        let agrees = match (&ours.result, theirs) {
            (Ok(()), VerificationStatus::Success)
            | (Err(_), VerificationStatus::Failure(_))
            | (Err(Fault::Expired | Fault::Signature(_) | Fault::Record(_)), _) => true,
            (Err(_), VerificationStatus::Success) => false,
            (Ok(()), VerificationStatus::Failure(error)) => matches!(
                error,
                VerificationError::DkimSignatureFormat(_)
                    | VerificationError::KeyRecordFormat(_)
                    | VerificationError::Overflow
            ),
        };
        let text = String::from_utf8_lossy(field.bytes()).into_owned();
        assert!(agrees, "{:?}, the peer: {theirs:?}\n{text}", ours.result);
    }
    ours
}

/// It has an empty line that ends in CRLF, where the targets look for one that ends in LF alone.
fn ends_early(header: &Header) -> bool {
    let bytes = header.bytes();
    bytes.starts_with(b"\r\n") || bytes.windows(3).any(|bytes| bytes == b"\n\r\n")
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((mut header, body)) = message(input) else { return };
    // dkimctl takes a first line that begins with `From ` for an mbox `From ` line.
    if ends_early(&header) || header.bytes().starts_with(b"From ") {
        return;
    }
    let mut is_made = Vec::new();
    for at in (0..header.fields().len()).rev() {
        let field = &header.fields()[at];
        if !field.is(NAME) {
            continue;
        }
        // Those with the record of the message may be of any key, and one that signs others is made before these are.
        let value = String::from_utf8_lossy(field.value()).into_owned();
        let is_whole = has_tag(&value, "bh=@") && has_tag(&value, "b=@");
        let is_whole = is_whole && value.matches("=@").count() == 2;
        let made = made(&header, field, body);
        is_made.push(made.as_ref().is_some_and(|made| {
            Claims::parse(made).is_ok_and(|claims| {
                is_whole
                    && claims.selector.as_str() != "x"
                    && !claims.signed.iter().any(|name| name.is(NAME))
            })
        }));
        if let Some(made) = made {
            header.fields_mut()[at] = made;
        }
    }
    let verdicts = compare(&header, body);
    for (verdict, is_made) in verdicts.iter().zip(is_made.iter().rev()) {
        let is_good = matches!(
            verdict,
            Ok(()) | Err(Fault::Expired | Fault::BodyTooShort | Fault::OtherKeyType)
        );
        assert!(is_good || !is_made, "{verdict:?}");
    }
    // Another byte, where chance says.
    let chance = input.iter().fold(0_usize, |sum, byte| sum * 7 % 9973 + usize::from(*byte));
    let mut text = [header.bytes().as_slice(), b"\n", body].concat();
    let place = chance % text.len();
    text[place] = if chance & 1 > 0 { text[place] ^ 0x20 } else { b' ' };
    if let Some((header, body)) = message(&text).filter(|(header, _)| !ends_early(header)) {
        drop(compare(&header, body));
    }
});
