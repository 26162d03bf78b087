//! Changes to a signed header: each change that hops are known to make is undone; one that makes the signature verify was
//! made. Pure.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::header_edits::{Edit, edits};
use super::signer::made_by;
use crate::dkim::tag::TagList;
use crate::dkim::{Claims, Field, FieldName, Header, PublicKey};

/// Two changes are tried together where there are no more single ones than this.
const FEW: usize = 120;

/// Bytes of headers that are hashed in the search for a change.
const MOST_HASHED: usize = 256 << 20;

/// Copies in z= that are looked at.
const MOST_COPIES: usize = 100;

/// The change that was made, if it is one that can be undone; and what is known of it otherwise.
///
/// `others` is the header without the signature `field`.
pub(super) fn find(
    claims: &Claims,
    others: &Header,
    field: &Field,
    key: &PublicKey,
) -> Vec<Finding> {
    let made = made_by(key, &claims.signature);
    if made == Some(false) {
        let message = "the signature was not made by the key that is published, or b= was changed; \
            what it says of the header cannot be seen";
        return vec![Finding::proven("other-key", message)];
    }
    let edits = edits(others, &claims.signed);
    let most = MOST_HASHED.checked_div(others.bytes().len().max(1_000)).unwrap_or_default();
    let pairs =
        edits.iter().enumerate().filter(|_| edits.len() <= FEW).flat_map(|(index, first)| {
            let rest = edits.iter().skip(index.saturating_add(1));
            let rest = rest.filter(|second| second.index != first.index);
            rest.map(move |second| vec![first, second])
        });
    let mut trials = edits.iter().map(|edit| vec![edit]).chain(pairs).take(most);
    let fits = |edits: &Vec<&Edit>| claims.fits_header(&applied(others, edits), field, key);
    if let Some(made) = trials.find(fits) {
        return made.into_iter().map(|edit| edit.finding.clone()).collect();
    }
    let mut hints = copied(others, field);
    if hints.is_empty() {
        hints = missing(claims, others);
    }
    let or_key = if made == Some(true) { "" } else { ", or the key is another one" };
    let message = format!(
        "no change of a kind that is known here was found; it is in one of these fields{or_key}: {}",
        claims.signed.iter().map(FieldName::as_str).collect::<Vec<_>>().join(", ")
    );
    hints.push(Finding::hint("unknown", message));
    hints
}

fn applied(header: &Header, edits: &[&Edit]) -> Header {
    let edit_of = |index| edits.iter().find(|edit| edit.index == index);
    let fields = header.fields().iter().enumerate().filter_map(|(index, field)| {
        edit_of(index).map_or_else(|| Some(field.clone()), |edit| edit.field.clone())
    });
    // A dropped field is put back at the end.
    let added = edits.iter().filter(|edit| edit.index == header.fields().len());
    Header::new(fields.chain(added.filter_map(|edit| edit.field.clone())).collect())
}

/// What z= says of the signed fields (§3.5 z=), against those that are there.
fn copied(others: &Header, field: &Field) -> Vec<Finding> {
    let Ok(tags) = TagList::parse(field.value()) else { return Vec::new() };
    let copies = tags.get("z").unwrap_or_default().split('|').filter_map(|copy| {
        let (name, value) = copy.split_once(':')?;
        let value = value.split_ascii_whitespace().collect::<String>();
        Some((name.trim().to_owned(), super::decode::quoted_printable(value.as_bytes())))
    });
    let words = |value: &[u8]| {
        let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    copies
        .take(MOST_COPIES)
        .filter(|(name, value)| !others.named(name).any(|one| words(one.value()) == words(value)))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(&value).into_owned();
            Finding::hint("copy", format!("by the copy in z=, {name} was {:?}", value.trim()))
        })
        .collect()
}

/// Names in h= that there is no field for: signed as absent, or taken out since.
fn missing(claims: &Claims, others: &Header) -> Vec<Finding> {
    let lower = |name: &[u8]| name.to_ascii_lowercase();
    let mut known: BTreeSet<_> = others.fields().iter().map(|field| lower(field.name())).collect();
    let names = claims.signed.iter().map(FieldName::as_str);
    let names: Vec<&str> = names.filter(|name| known.insert(lower(name.as_bytes()))).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let names = names.join(", ");
    vec![Finding::hint("missing", format!("h= names fields that are not there: {names}"))]
}
