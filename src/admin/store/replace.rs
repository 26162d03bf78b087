//! Replaces selectors in the text of a domain file without changing anything else.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, TableLike, TomlError, Value};

use super::domains::{self, DomainConfig};
use crate::admin::output::Failure;
use crate::dkim::Selector;

impl DomainConfig {
    /// The text with these selectors instead of those that sign all mail, and with the directory `shared` for their keys, if that
    /// is given. Rules stay as they are.
    ///
    /// # Errors
    /// The new text is not valid.
    pub(crate) fn with_all(
        &self,
        etc: &Path,
        selectors: &[Selector],
        shared: Option<&str>,
    ) -> Result<String, Failure> {
        let text = with_all(&self.text, selectors, shared).map_err(Failure::software)?;
        let replaced = Self::parse(&self.path, text, &domains::inherited(etc)?);
        replaced.map(|replaced| replaced.text).map_err(Failure::data)
    }

    /// The text with one selector replaced by another, wherever it signs. If both sign, the other one remains.
    ///
    /// # Errors
    /// The new text is not valid. This is a bug.
    pub(crate) fn with(
        &self,
        etc: &Path,
        old: &Selector,
        new: &Selector,
    ) -> Result<String, Failure> {
        let text = with(&self.text, old, new).map_err(Failure::software)?;
        let replaced = Self::parse(&self.path, text, &domains::inherited(etc)?);
        replaced.map(|replaced| replaced.text).map_err(Failure::software)
    }
}

fn with_all(text: &str, selectors: &[Selector], shared: Option<&str>) -> Result<String, TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let names: Array = selectors.iter().map(Selector::as_str).collect();
    // A comment above the old key stays above the new one.
    let above = document.key("selector").map(|key| key.leaf_decor().clone());
    document.remove("selector");
    set(&mut document, "selectors", Value::Array(names));
    if let (Some(above), Some(mut key)) = (above, document.key_mut("selectors")) {
        *key.leaf_decor_mut() = above;
    }
    if let Some(name) = shared {
        set(&mut document, "keys", name.into());
    }
    Ok(document.to_string())
}

/// Sets a key: in its place, or behind the others.
fn set(document: &mut DocumentMut, key: &str, to: Value) {
    match document.get_mut(key).and_then(Item::as_value_mut) {
        Some(value) => replace(value, to),
        None => drop(document.insert(key, Item::Value(to))),
    }
}

/// Replaces a value, and keeps the spaces and the comment around it.
pub(crate) fn replace(value: &mut Value, to: Value) {
    let around = value.decor().clone();
    *value = to;
    *value.decor_mut() = around;
}

fn with(text: &str, old: &Selector, new: &Selector) -> Result<String, TomlError> {
    let mut document: DocumentMut = text.parse()?;
    replace_in(document.as_table_mut(), old, new);
    match document.get_mut("sign") {
        Some(Item::ArrayOfTables(rules)) => {
            rules.iter_mut().for_each(|rule| replace_in(rule, old, new));
        }
        Some(Item::Value(Value::Array(rules))) => {
            let rules = rules.iter_mut().filter_map(Value::as_inline_table_mut);
            rules.for_each(|rule| replace_in(rule, old, new));
        }
        Some(_) | None => {}
    }
    Ok(document.to_string())
}

fn replace_in(table: &mut dyn TableLike, old: &Selector, new: &Selector) {
    // A selector may be written in capital letters.
    let is = |value: &Value, one: &Selector| {
        value.as_str().is_some_and(|text| Selector::parse(text).as_ref() == Ok(one))
    };
    let one = |value: &mut Value| {
        if is(value, old) {
            replace(value, Value::from(new.as_str()));
        }
    };
    if let Some(value) = table.get_mut("selector").and_then(Item::as_value_mut) {
        one(value);
    }
    if let Some(many) = table.get_mut("selectors").and_then(Item::as_array_mut) {
        many.iter_mut().for_each(one);
        // No selector may be listed twice.
        let mut is_listed = false;
        many.retain(|value| !is(value, new) || !std::mem::replace(&mut is_listed, true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str) -> String {
        let selector = |text| Selector::parse(text).unwrap();
        with(text, &selector("old"), &selector("new")).unwrap()
    }

    #[test]
    fn the_selectors_of_all_mail_are_replaced_and_nothing_else_is() {
        let selectors = ["a", "b"].map(|text| Selector::parse(text).unwrap());
        for (text, expected) in [
            (
                "selectors = [\"x\"] # why\nusers = [\"u\"]\n",
                "selectors = [\"a\", \"b\"] # why\nusers = [\"u\"]\n",
            ),
            ("# c\nselector = 'x'\n", "# c\nselectors = [\"a\", \"b\"]\n"),
            (
                "[[sign]]\nfrom = \"a@x.test\"\nselector = \"x\"\n",
                "selectors = [\"a\", \"b\"]\n[[sign]]\nfrom = \"a@x.test\"\nselector = \"x\"\n",
            ),
        ] {
            assert_eq!(with_all(text, &selectors, None).unwrap(), expected);
        }
        for (text, expected) in [
            ("selectors = [\"x\"]\n", "selectors = [\"a\", \"b\"]\nkeys = \"shared\"\n"),
            (
                "keys = 'other' # why\nselectors = [\"x\"]\n",
                "keys = \"shared\" # why\nselectors = [\"a\", \"b\"]\n",
            ),
        ] {
            assert_eq!(with_all(text, &selectors, Some("shared")).unwrap(), expected);
        }
    }

    #[test]
    fn a_selector_is_replaced_wherever_it_signs_and_nothing_else_is() {
        for (text, expected) in [
            ("selector = 'old' # why\n", "selector = \"new\" # why\n"),
            (
                "# old\nselectors = [ \"ed\",\n  \"OLD\", # the first\n]\nusers = [\"old\"]\n",
                "# old\nselectors = [ \"ed\",\n  \"new\", # the first\n]\nusers = [\"old\"]\n",
            ),
            (
                "selectors = [\"x\"]\n[[sign]]\nfrom = \"old@x.test\"\nselector = \"old\"\n",
                "selectors = [\"x\"]\n[[sign]]\nfrom = \"old@x.test\"\nselector = \"new\"\n",
            ),
            // An administrator may have let both sign.
            ("selectors = [\"old\", \"new\"] # why\n", "selectors = [\"new\"] # why\n"),
            ("selectors = [\"new\", \"x\", \"OLD\"]\n", "selectors = [\"new\", \"x\"]\n"),
            (
                "selectors = [\"x\"]\nsign = [{ from = \"a@x.test\", selectors = [\"old\"] }]\n",
                "selectors = [\"x\"]\nsign = [{ from = \"a@x.test\", selectors = [\"new\"] }]\n",
            ),
        ] {
            assert_eq!(replaced(text), expected);
        }
    }
}
