//! Converts `SignHeaders`, `OmitHeaders` and `OversignHeaders` to `headers` and `oversign`.

use std::collections::BTreeSet;

use super::data_set::{LIVE, Table};
use super::opendkim_conf::{Files, Settings};
use crate::config::Signing;
use crate::dkim::FieldName;
use crate::dkim::sign::is_unfit;

/// The fields that OpenDKIM signs and oversigns, without those that do not survive delivery.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) signed: Vec<FieldName>,
    pub(super) oversigned: Vec<FieldName>,
}

/// The fields that OpenDKIM signs by default (`dkim_should_signhdrs`), except for Resent fields: mail with these is not signed
/// here.
const USUAL: [&str; 15] = [
    "From",
    "Reply-To",
    "Subject",
    "Date",
    "To",
    "Cc",
    "In-Reply-To",
    "References",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
];

impl Fields {
    /// Reads the fields of a configuration. Unreadable names and patterns are omitted; [`headers`] reports them.
    pub(super) fn of(settings: &Settings, files: &dyn Files) -> Self {
        let mut lost = BTreeSet::new();
        let [sign, omit, oversign] = items(settings, files, &mut lost);
        let usual = USUAL.iter().filter_map(|name| FieldName::parse(name).ok()).collect();
        let mut signed = changed(usual, &sign, &mut lost);
        for item in omit.iter().filter(|item| !item.starts_with('-')) {
            signed.retain(|name| !name.is(item.trim_start_matches('+')));
        }
        Self { signed, oversigned: changed(Vec::new(), &oversign, &mut lost) }
    }
}

/// The items of `SignHeaders`, `OmitHeaders` and `OversignHeaders`.
fn items(settings: &Settings, files: &dyn Files, lost: &mut BTreeSet<String>) -> [Vec<String>; 3] {
    ["SignHeaders", "OmitHeaders", "OversignHeaders"].map(|name| {
        let table = Table::of(settings, name, files).unwrap_or_else(|why| {
            lost.insert(why);
            None
        });
        table.into_iter().flat_map(|table| table.rows).map(|row| row.key).collect()
    })
}

/// The usual fields with the changes of a list, or the list itself if it is one of names.
fn changed(usual: Vec<FieldName>, items: &[String], lost: &mut BTreeSet<String>) -> Vec<FieldName> {
    let is_change = items.iter().all(|item| item == "*" || item.starts_with(['+', '-']));
    let mut names = if is_change { usual } else { Vec::new() };
    for item in items {
        change(&mut names, item, "SignHeaders", lost);
    }
    names
}

/// The lines for a domain file, and what is not supported.
pub(super) fn headers(
    settings: &Settings,
    host: &Signing,
    files: &dyn Files,
) -> (String, Vec<String>) {
    let mut lost = BTreeSet::new();
    let [sign, omit, oversign] = items(settings, files, &mut lost);
    let mut headers = changed(host.headers.clone(), &sign, &mut lost);
    for item in &omit {
        // `*` means all fields that are never signed anyway.
        if item == "*" || item.starts_with('-') {
            continue;
        }
        let name = format!("-{}", item.trim_start_matches('+'));
        change(&mut headers, &name, "OmitHeaders", &mut lost);
    }
    let mut over: Vec<FieldName> =
        host.oversign.iter().filter(|name| headers.contains(name)).cloned().collect();
    let inherited = over.clone();
    for item in &oversign {
        change(&mut over, item, "OversignHeaders", &mut lost);
        change(&mut headers, item, "OversignHeaders", &mut lost);
    }
    // From must be signed (§5.4).
    if let Ok(from) = FieldName::parse("From")
        && !headers.contains(&from)
    {
        headers.insert(0, from);
    }
    let mut lines = change_line("headers", &host.headers, &headers);
    if over != inherited {
        lines.push_str(&change_line("oversign", &host.oversign, &over));
    }
    (lines, lost.into_iter().collect())
}

/// A line with the changes to the host's list if that is possible, else with the whole list. Empty if there is no change.
pub(super) fn change_line(key: &str, usual: &[FieldName], names: &[FieldName]) -> String {
    if names == usual {
        return String::new();
    }
    let (kept, gone): (Vec<_>, Vec<_>) = usual.iter().partition(|name| names.contains(name));
    let added = names.iter().filter(|name| !usual.contains(name));
    let is_change = names.iter().take(kept.len()).eq(kept.iter().copied()) && !kept.is_empty();
    let changes = added.map(|name| format!("+{name}"));
    let changes: Vec<String> = changes.chain(gone.iter().map(|name| format!("-{name}"))).collect();
    if is_change && changes.len() < names.len() {
        return format!("{key} = {changes:?}\n");
    }
    let names: Vec<&str> = names.iter().map(FieldName::as_str).collect();
    format!("{key} = {names:?}\n")
}

/// Adds or removes one name. A field that does not survive delivery is not added.
fn change(names: &mut Vec<FieldName>, item: &str, setting: &str, lost: &mut BTreeSet<String>) {
    let typed = item.trim_start_matches(['+', '-']);
    if item == "*" {
        return;
    }
    let name = match FieldName::parse(typed) {
        Ok(name) if !typed.contains(LIVE) && !typed.contains(['*', '.', '+']) => name,
        _ => {
            lost.insert(format!("{setting}: {item:?} is a pattern; list the fields in `headers`"));
            return;
        }
    };
    if item.starts_with('-') {
        names.retain(|other| *other != name);
    } else if is_unfit(&name) {
        lost.insert(format!("{setting}: {typed} does not survive delivery, so it is not signed"));
    } else if !names.contains(&name) {
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::super::opendkim_conf::tests::paper;
    use super::*;

    fn of(text: &str) -> (String, Vec<String>) {
        let files = paper(&[("/c", text)]);
        headers(&Settings::read("/c", &files).unwrap(), &Signing::default(), &files)
    }

    #[test]
    fn without_a_word_on_fields_the_usual_ones_are_signed() {
        assert_eq!(of("LogWhy yes\n"), (String::new(), Vec::new()));
        assert_eq!(of("OversignHeaders From\nOmitHeaders *\n"), (String::new(), Vec::new()));
    }

    #[test]
    fn a_list_replaces_the_usual_one_and_has_from_in_it() {
        let (lines, lost) = of("SignHeaders Subject,Date\n");
        assert_eq!(
            (lines.as_str(), lost.len()),
            ("headers = [\"From\", \"Subject\", \"Date\"]\n", 0)
        );
    }

    #[test]
    fn changes_and_omissions_change_the_usual_list() {
        let (lines, _) = of("SignHeaders *,+Feedback-ID,-List-Id\nOmitHeaders References\n");
        assert_eq!(lines, "headers = [\"+Feedback-ID\", \"-References\", \"-List-Id\"]\n");
        // A field that is not signed is not oversigned either; the lists are valid.
        let text = format!("selector = \"s\"\n{}", of("OmitHeaders Cc\nOversignHeaders X-A\n").0);
        crate::config::DomainFile::parse(&text, None, &Signing::default()).unwrap();
    }

    #[test]
    fn an_omission_that_is_taken_back_omits_nothing() {
        let text = "OmitHeaders *,-References\n";
        assert_eq!(of(text), (String::new(), Vec::new()));
        let files = paper(&[("/c", text)]);
        let fields = Fields::of(&Settings::read("/c", &files).unwrap(), &files);
        assert!(fields.signed.iter().any(|name| name.is("References")), "{fields:?}");
    }

    #[test]
    fn an_omission_may_begin_with_a_plus_sign() {
        let text = "OmitHeaders *,+References\n";
        assert_eq!(of(text), ("headers = [\"-References\"]\n".to_owned(), Vec::new()));
        let files = paper(&[("/c", text)]);
        let fields = Fields::of(&Settings::read("/c", &files).unwrap(), &files);
        assert!(!fields.signed.iter().any(|name| name.is("References")), "{fields:?}");
    }

    #[test]
    fn an_oversigned_field_is_signed_too() {
        let (lines, _) = of("OversignHeaders From,Feedback-ID\n");
        assert_eq!(lines, "headers = [\"+Feedback-ID\"]\noversign = [\"+Feedback-ID\"]\n");
    }

    #[test]
    fn patterns_and_fields_that_do_not_survive_are_not_supported() {
        let (_, lost) = of("SignHeaders From,X-.*,Received\n");
        assert_eq!(lost.len(), 2, "{lost:?}");
    }
}
