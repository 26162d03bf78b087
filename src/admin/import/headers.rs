//! Converts `SignHeaders`, `OmitHeaders` and `OversignHeaders` to `headers` and `oversign`.

use std::collections::BTreeSet;

use super::data_set::{LIVE, Table};
use super::opendkim_conf::{Files, Settings};
use crate::config::Signing;
use crate::dkim::{Domain, FieldName, Recipe};

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
        let read = |name: &str| -> Vec<String> {
            let table = Table::of(settings, name, files).ok().flatten();
            table.into_iter().flat_map(|table| table.rows).map(|row| row.key).collect()
        };
        let (sign, lost) = (read("SignHeaders"), &mut BTreeSet::new());
        let mut signed: Vec<FieldName> = if is_list(&sign) {
            Vec::new()
        } else {
            USUAL.iter().filter_map(|name| FieldName::parse(name).ok()).collect()
        };
        for item in &sign {
            change(&mut signed, item, "", lost);
        }
        for item in read("OmitHeaders") {
            signed.retain(|name| !name.is(item.trim_start_matches(['+', '-'])));
        }
        let mut oversigned = Vec::new();
        for item in read("OversignHeaders") {
            change(&mut oversigned, &item, "", lost);
        }
        Self { signed, oversigned }
    }
}

/// Whether the items replace the default list.
fn is_list(items: &[String]) -> bool {
    !items.is_empty() && !items.iter().all(|item| item == "*" || item.starts_with(['+', '-']))
}

/// The lines for a domain file, and what is not supported.
pub(super) fn headers(
    settings: &Settings,
    host: &Signing,
    files: &dyn Files,
) -> (String, Vec<String>) {
    let mut lost = BTreeSet::new();
    let mut read = |name: &str| -> Vec<String> {
        let table = Table::of(settings, name, files).unwrap_or_else(|why| {
            lost.insert(why);
            None
        });
        table.into_iter().flat_map(|table| table.rows).map(|row| row.key).collect()
    };
    let (sign, omit, oversign) =
        (read("SignHeaders"), read("OmitHeaders"), read("OversignHeaders"));
    let mut headers = if is_list(&sign) { Vec::new() } else { host.headers.clone() };
    for item in &sign {
        change(&mut headers, item, "SignHeaders", &mut lost);
    }
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
    } else if !may_be_signed(&name) {
        lost.insert(format!("{setting}: {typed} does not survive delivery, so it is not signed"));
    } else if !names.contains(&name) {
        names.push(name);
    }
}

pub(super) fn may_be_signed(name: &FieldName) -> bool {
    let names = |names: &[&str]| -> Vec<FieldName> {
        names.iter().filter_map(|name| FieldName::parse(name).ok()).collect()
    };
    let mut signed = names(&["From"]);
    if !name.is("From") {
        signed.push(name.clone());
    }
    Domain::parse("example.com").is_ok_and(|d| Recipe::new(d, signed, Vec::new()).is_ok())
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
