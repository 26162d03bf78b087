//! Finds out why a signature does not verify, or which weaknesses a valid one has. Pure.

use super::decode::encoded_words;
use super::finding::Finding;
use super::{body, header};
use crate::admin::published::repair;
use crate::dkim::tag::TagList;
use crate::dkim::verify::others;
use crate::dkim::{Claims, Fault, Field, Header, Record, SignatureError, Timestamp};

/// A signature and the message it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) header: &'a Header,
    pub(super) body: &'a [u8],
    pub(super) field: &'a Field,
    /// The text of the key record, if there is one.
    pub(super) record: Option<&'a [u8]>,
    pub(super) now: Timestamp,
}

/// The findings in addition to the verdict.
pub(super) fn diagnose(case: &Case<'_>, result: &Result<(), Fault>) -> Vec<Finding> {
    let Ok(claims) = Claims::parse(case.field) else { return unreadable(case, result) };
    let record = case.record.and_then(|text| Record::parse(text).ok());
    match (result, &record) {
        (Err(Fault::Body), Some(record)) => altered_body(case, &claims, record),
        (Err(Fault::Header), Some(record)) => {
            header::find(&claims, &others(case.header, case.field), case.field, record.key())
        }
        (Err(Fault::Expired), _) => expired(case, &claims),
        (Err(Fault::BodyTooShort), _) => cut(case, &claims),
        (Err(Fault::Record(_)), _) => mistakes(case),
        (Ok(()), Some(record)) => reservations(case, &claims, record),
        _ => Vec::new(),
    }
}

/// Findings about a changed body. The header is also examined, because one hop may have changed both.
fn altered_body(case: &Case<'_>, claims: &Claims, record: &Record) -> Vec<Finding> {
    let unknown = || Finding::hint("unknown", "no known kind of change was found in the body");
    let mut found = vec![body::find(claims, case.header, case.body).unwrap_or_else(unknown)];
    let others = others(case.header, case.field);
    if claims.fits_header(&others, case.field, record.key()) {
        let intact = "the signed header fields are intact: only the body was changed";
        found.push(Finding::proven("header-intact", intact));
    } else {
        found.extend(header::find(claims, &others, case.field, record.key()));
    }
    found
}

/// The finding about a field that cannot be parsed.
fn unreadable(case: &Case<'_>, result: &Result<(), Fault>) -> Vec<Finding> {
    let is_signature = |value: &Vec<u8>| {
        let field = Field::parse(&[b"DKIM-Signature:", value.as_slice()].concat());
        field.is_ok_and(|field| Claims::parse(&field).is_ok())
    };
    if encoded_words(case.field.value()).is_some_and(|value| is_signature(&value)) {
        let message = "the field was converted to encoded-words (RFC 2047), which verifiers do not decode here; \
            after decoding, it is a signature";
        return vec![Finding::proven("encoded-words", message)];
    }
    let Ok(tags) = TagList::parse(case.field.value()) else { return Vec::new() };
    match (result, tags.get("a")) {
        (Err(Fault::Signature(SignatureError::Algorithm)), Some(algorithm)) => {
            let is_old = algorithm.eq_ignore_ascii_case("rsa-sha1");
            let rule = if is_old { ", which RFC 8301 does not allow" } else { "" };
            vec![Finding::proven("algorithm", format!("a={algorithm}{rule}"))]
        }
        _ => Vec::new(),
    }
}

/// Mistakes in the text of the record.
fn mistakes(case: &Case<'_>) -> Vec<Finding> {
    let text = String::from_utf8_lossy(case.record.unwrap_or_default());
    let (repaired, typos) = repair(&text);
    // The repaired text may still be wrong.
    let is_all = Record::parse(repaired.as_bytes()).is_ok();
    let findings = typos.iter().map(|typo| Finding {
        code: typo.name(),
        text: format!("in the key record: {typo}"),
        proven: is_all,
    });
    findings.collect()
}

fn expired(case: &Case<'_>, claims: &Claims) -> Vec<Finding> {
    let Some(expiration) = claims.expiration else { return Vec::new() };
    let ago = case.now.0.saturating_sub(expiration);
    let message = match ago / 86_400 {
        0 => format!("the signature expired {ago} seconds ago (x=)"),
        days => format!("the signature expired {days} days ago (x=)"),
    };
    vec![Finding::proven("expired", message)]
}

/// Findings about a body that is shorter than l=.
fn cut(case: &Case<'_>, claims: &Claims) -> Vec<Finding> {
    let Some(length) = claims.length else { return Vec::new() };
    let there = claims.hash_body(case.body).length();
    let lost = length.saturating_sub(there);
    let message = format!(
        "{length} bytes of the body are signed (l={length}), but it has only {there}: at least {lost} were removed"
    );
    vec![Finding::proven("body-cut", message)]
}

/// The weaknesses of a valid signature.
fn reservations(case: &Case<'_>, claims: &Claims, record: &Record) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(length) = claims.length {
        let whole = Claims { length: None, ..claims.clone() }.hash_body(case.body).length();
        let open = whole.saturating_sub(length);
        let message = if open > 0 {
            format!("the last {open} bytes of the body are not signed (l={length})")
        } else {
            format!(
                "anyone may append to the body: only {length} bytes of it are signed (l={length})"
            )
        };
        found.push(Finding::proven("body-open", message));
    }
    if record.terms().testing {
        found.push(Finding::proven("testing", "the domain is only testing DKIM (t=y)"));
    }
    found
}

#[cfg(test)]
mod tests;
