//! Finds changes to a signed header: each known change of a hop is undone, and if the signature verifies then, that change was
//! made. Pure.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::header_edits::{Edit, edits};
use super::signer::made_by;
use crate::dkim::header::Picker;
use crate::dkim::tag::TagList;
use crate::dkim::{Claims, Field, FieldName, Header, PublicKey};

/// Two changes are tried together only if there are no more single ones.
const FEW: usize = 120;

/// The most bytes of headers that are hashed in the search for a change.
const MOST_HASHED: usize = 256 << 20;

/// The most copies in z= that are examined.
const MOST_COPIES: usize = 100;

/// The change that was made, if it can be undone, else hints about it.
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
        let message = "the signature was not made with the published key, or b= was changed; \
            so it is not known whether the header was changed";
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
    let signed = signed_fields(claims, others);
    let missing: Vec<_> =
        signed.iter().filter(|(_, there)| *there == 0).map(|(name, _)| *name).collect();
    if hints.is_empty() && !missing.is_empty() {
        let message = format!("h= names fields that are missing: {}", missing.join(", "));
        hints.push(Finding::hint("missing", message));
    }
    let or_key = if made == Some(true) { "" } else { ", or another key made the signature" };
    let message = format!(
        "no known kind of change was found; one of these fields was changed{or_key}: {}",
        signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    );
    hints.push(Finding::hint("unknown", message));
    hints
}

fn applied(header: &Header, edits: &[&Edit]) -> Header {
    let edit_of = |index| edits.iter().find(|edit| edit.index == index);
    let fields = header.fields().iter().enumerate().filter_map(|(index, field)| {
        edit_of(index).map_or_else(|| Some(field.clone()), |edit| edit.field.clone())
    });
    // A dropped field is added again at the end.
    let added = edits.iter().filter(|edit| edit.index == header.fields().len());
    Header::new(fields.chain(added.filter_map(|edit| edit.field.clone())).collect())
}

/// Compares the copies in z= with the current fields (§3.5 z=).
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
            Finding::hint(
                "copy",
                format!("according to the copy in z=, {name} was {:?}", value.trim()),
            )
        })
        .collect()
}

/// The names in h= of fields that were there, each once, with how many there are now. A signer that names From twice signs that
/// no further field is added; then a name without a field only counts if it is named twice, too.
fn signed_fields<'a>(claims: &'a Claims, others: &Header) -> Vec<(&'a str, usize)> {
    let there = Picker::new(others);
    let mut named = BTreeMap::<&FieldName, usize>::new();
    for name in &claims.signed {
        let count = named.entry(name).or_default();
        *count = count.saturating_add(1);
    }
    let is_oversigned =
        |(name, count): (&&FieldName, &usize)| (1..*count).contains(&there.left(name));
    let least = if named.iter().any(is_oversigned) { 2 } else { 1 };
    let fields = claims.signed.iter().filter_map(|name| {
        let (named, there) = (named.remove(name)?, there.left(name));
        (there > 0 || named >= least).then_some((name.as_str(), there))
    });
    fields.collect()
}
