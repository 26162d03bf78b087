//! The domain files that sign with the keys of a folder.

use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, TableLike, Value};

use super::domains;
use crate::admin::input;
use crate::admin::output::Failure;
use crate::config::{DomainFile, Signing};
use crate::dkim::{Domain, Selector};

/// A domain file whose keys are those of the domain.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    file: DomainFile,
    /// What the file inherits.
    host: Signing,
}

/// The domain files that sign for a domain, by their names.
///
/// # Errors
/// The folder or `config.toml` can't be read, or the file of the domain's own name has an error.
pub(crate) fn signers(etc: &Path, domain: &Domain) -> Result<Vec<Signer>, Failure> {
    let host = domains::inherited(etc)?;
    let mut signers = Vec::new();
    for path in domains::paths(etc)? {
        let name = domains::named_after(&path);
        let text = input::text(&path, input::CONFIGURATION)
            .map_err(|error| Failure::reading(&path, &error))?;
        match domains::parse(&path, &text, &host) {
            Ok(file) if file.domain.as_ref().or(name.as_ref()) == Some(domain) => {
                signers.push(Signer { path, text, file, host: host.clone() });
            }
            // Whose it is can't be told; testkey and doctor tell of it.
            Err(error) if name.as_ref() == Some(domain) => {
                return Err(Failure::data(format_args!("{}: {error}", path.display())));
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(signers)
}

impl Signer {
    /// The selectors that sign, those of rules included.
    pub(crate) fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.file.all_selectors()
    }

    /// Bits of the smallest RSA key that it takes.
    pub(crate) fn minimum_key_bits(&self) -> u32 {
        self.file.signing.minimum_key_bits
    }

    /// The text with one selector in the place of another, all else as it is.
    ///
    /// # Errors
    /// The text would not be taken; our bug.
    pub(crate) fn with(&self, old: &Selector, new: &Selector) -> Result<String, Failure> {
        let mut document: DocumentMut = self.text.parse().map_err(Failure::software)?;
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
        let text = document.to_string();
        domains::parse(&self.path, &text, &self.host)
            .map_err(|error| Failure::software(format_args!("{}: {error}", self.path.display())))?;
        Ok(text)
    }
}

fn replace_in(table: &mut dyn TableLike, old: &Selector, new: &Selector) {
    let one = |value: &mut Value| {
        // A selector may be written in capitals.
        if value.as_str().is_some_and(|text| Selector::parse(text).as_ref() == Ok(old)) {
            let blanks = value.decor().clone();
            *value = Value::from(new.as_str());
            *value.decor_mut() = blanks;
        }
    };
    if let Some(value) = table.get_mut("selector").and_then(Item::as_value_mut) {
        one(value);
    }
    let many = table.get_mut("selectors").and_then(Item::as_array_mut);
    many.into_iter().flat_map(Array::iter_mut).for_each(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> String {
        let (path, host) = (PathBuf::from("x.test.toml"), Signing::default());
        let file = domains::parse(&path, text, &host).unwrap();
        let signer = Signer { path, text: text.to_owned(), file, host };
        let selector = |text| Selector::parse(text).unwrap();
        signer.with(&selector("old"), &selector("new")).unwrap()
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
            (
                "selectors = [\"x\"]\nsign = [{ from = \"a@x.test\", selectors = [\"old\"] }]\n",
                "selectors = [\"x\"]\nsign = [{ from = \"a@x.test\", selectors = [\"new\"] }]\n",
            ),
        ] {
            assert_eq!(with(text), expected);
        }
    }
}
