//! A completed header has all the fields that there were and those that have to be, and nothing is left to do to it; a text in
//! encoded words is the text that it was; and a missing From names the sender.
#![no_main]

use std::collections::BTreeSet;

use base64::prelude::*;
use sendmail_dkim::dkim::{Canon, Domain, Field, FieldName, Header};
use sendmail_dkim::message::address::addresses;
use sendmail_dkim::message::author::Author;
use sendmail_dkim::message::complete::{Submitter, complete, complete_from, fields};
use sendmail_dkim::message::date::DateTime;
use sendmail_dkim::message::limits::LONGEST_LINE;
use sendmail_dkim_fuzz::{completion, parts};

fn completed(mut header: Header, submitter: &Submitter) -> (Header, Vec<FieldName>) {
    let completion = completion();
    complete_from(&mut header, submitter, &completion);
    let domain = Domain::parse("sample.com").expect("a domain");
    let now = DateTime { seconds: 1_700_000_000, offset: 0 };
    let unstable = complete(&mut header, &completion, now, "1", &domain);
    (header, unstable.into_iter().map(|(name, _)| name).collect())
}

fn relaxed(field: &Field) -> Vec<u8> {
    let mut bytes = Vec::new();
    Canon::Relaxed.field(field.bytes(), |piece| bytes.extend_from_slice(piece));
    bytes
}

/// An encoded word (RFC 2047 §2).
fn word(text: &[u8]) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(b"=?")?.strip_suffix(b"?=")?;
    let parts: Vec<&[u8]> = inner.split(|byte| *byte == b'?').collect();
    let [_, encoding, text] = parts.as_slice() else { return None };
    match *encoding {
        b"B" => BASE64_STANDARD.decode(text).ok(),
        b"Q" => {
            let mut bytes = Vec::new();
            let mut rest = *text;
            while let Some((first, behind)) = rest.split_first() {
                let hex = behind.get(..2).filter(|_| *first == b'=');
                bytes.push(match hex {
                    Some(hex) => u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?,
                    None if *first == b'_' => b' ',
                    None => *first,
                });
                rest = &behind[if hex.is_some() { 2 } else { 0 }..];
            }
            Some(bytes)
        }
        _ => None,
    }
}

/// The text of an unstructured field without whitespace, whose places do not matter here.
fn shown(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace);
    let words = words.flat_map(|text| word(text).unwrap_or_else(|| text.to_vec()));
    words.filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// The fields that hold addresses and are completed.
const OF_ADDRESSES: [&str; 5] = ["From", "Sender", "Reply-To", "To", "Cc"];

/// The addresses that have a domain, without quotes, in A-labels. `None` where they are not certain.
fn addr_specs(value: &[u8]) -> Option<BTreeSet<(String, String)>> {
    let list = addresses(value).ok()?;
    let texts = list.iter().map(|address| Some(address.ok()?.text(value)));
    let texts = texts.collect::<Option<Vec<_>>>()?;
    // Folding inside a quoted-string is no part of it (RFC 5322 §3.2.4).
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(['"', '\n'], "");
    let spec = |(local, domain): (Vec<u8>, Option<Vec<u8>>)| {
        let domain = shown(&domain?);
        let domain = domain.strip_suffix('.').unwrap_or(&domain);
        let labels =
            Domain::parse(domain).map_or(domain.to_lowercase(), |it| it.as_str().to_owned());
        Some((shown(&local), labels))
    };
    Some(texts.into_iter().filter_map(spec).collect())
}

/// No address comes or goes, but for what is completed and what is in an encoded word.
fn check_addresses(before: &Field, after: &Field) {
    let (Some(was), Some(is)) = (addr_specs(before.value()), addr_specs(after.value())) else {
        return;
    };
    for (local, domain) in was.difference(&is) {
        let is_in_word = [local, domain].iter().any(|text| {
            // A whole one is the local part, or the domain.
            let is_whole = text.starts_with("=?") && text.ends_with("?=");
            !is_whole && (text.contains("=?") || text.contains("?="))
        });
        let is_completed = !domain.contains('.');
        assert!(is_in_word || is_completed, "{local}@{domain} is gone: {before:?} {after:?}");
    }
    for (local, domain) in is.difference(&was) {
        let is_completed = domain.ends_with(".example") || local.is_empty();
        // `host!user` and `user%host` are turned around.
        let is_turned = before.bytes().iter().any(|byte| b"!%".contains(byte));
        assert!(is_completed || is_turned, "{local}@{domain} is new: {before:?} {after:?}");
    }
}

fn check_field(before: &Field, after: &Field, is_stable: bool, is_signed: bool) {
    assert_eq!(before.name(), after.name());
    if OF_ADDRESSES.iter().any(|name| after.is(name)) {
        check_addresses(before, after);
    }
    let is_text = after.is("Subject") || after.is("Comments");
    if is_text && !is_signed {
        assert!(after.bytes().is_ascii(), "{after:?}");
        // One that was there may be torn by what is put around it.
        if !before.bytes().windows(2).any(|pair| pair == b"=?") {
            assert_eq!(shown(before.value()), shown(after.value()), "{before:?} {after:?}");
        }
        // A long one is cut; a form feed in it is no white space.
        let has_long_words = before.bytes().windows(2).any(|pair| pair == b"=?")
            && before.bytes().split(|byte| b" \t\n".contains(byte)).any(|word| word.len() > 75);
        if before.bytes().is_ascii() && !has_long_words {
            assert_eq!(relaxed(before), relaxed(after));
        }
    }
    if is_stable {
        let bytes = after.bytes();
        assert!(!bytes.iter().any(|byte| matches!(byte, 0 | b'\r' | 0x0b | 0x0c)), "{after:?}");
        assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= LONGEST_LINE));
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // Two lines behind the header are the envelope sender and the full name.
    let (section, rest) = parts(input);
    let mut lines = rest.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    let submitter = Submitter {
        envelope_sender: lines.next(),
        login: Some("www".to_owned()),
        full_name: lines.next(),
    };
    let Some(before) = fields(section) else { return };
    let (after, unstable) = completed(before.clone(), &submitter);
    let is_signed = before.count("DKIM-Signature") + before.count("ARC-Seal") > 0;
    let count = before.fields().len();
    for (one, other) in before.fields().iter().zip(after.fields()) {
        let is_stable = !unstable.iter().any(|name| one.is(name.as_str()));
        check_field(one, other, is_stable, is_signed);
    }
    let is_resent = before
        .fields()
        .iter()
        .any(|field| field.name().to_ascii_lowercase().starts_with(b"resent-"));
    let added: Vec<&[u8]> = after.fields()[count..].iter().map(Field::name).collect();
    let missing =
        |name: &&[u8]| before.fields().iter().all(|field| !field.name().eq_ignore_ascii_case(name));
    let wanted = [b"From".as_slice(), b"Message-ID", b"Date"];
    let wanted: Vec<&[u8]> =
        wanted.into_iter().filter(|name| missing(name) && !is_resent).collect();
    let without_from: Vec<&[u8]> = wanted.iter().copied().filter(|name| *name != b"From").collect();
    assert!(added == wanted || added == without_from, "{added:?}");
    if added.first() == Some(&b"From".as_slice())
        && let Ok(author) = Author::of(&after)
        && let Some(sender) = submitter.envelope_sender.as_deref()
        && let Ok(sender) = std::str::from_utf8(sender)
        && let Some((local, domain)) = sender.rsplit_once('@')
        && local.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && let Ok(domain) = Domain::parse(domain)
        && domain.as_str().contains('.')
    {
        assert_eq!(author.only(), Some((local, &domain)), "{after:?}");
    }
    let (again, still) = completed(after.clone(), &submitter);
    assert_eq!(again.bytes(), after.bytes());
    assert_eq!(unstable, still);
});
