//! Makes the name of a new selector from a template.

use super::notify::host_name;
use super::store::time::UtcTime;
use crate::dkim::{Algorithm, Selector};

/// A template with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(String);

/// The default template: a different name for each host and month.
const DEFAULT: &str = "{host}-{yyyymm}";

impl Default for Template {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl Template {
    /// Takes a text with `{host}`, `{type}`, `{yyyy}`, `{yyyymm}` and `{yyyymmdd}` in it.
    ///
    /// # Errors
    /// The result is not a selector.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let template = Self(text.to_owned());
        template.names("host", UtcTime(0), Algorithm::RsaSha256).map(|_| template)
    }

    /// The names for a key of that type, the best first: for the second key of a domain there has to be
    /// another one. Those of an Ed25519 key are other ones in any case.
    ///
    /// # Errors
    /// The result is not a selector.
    pub(super) fn names(
        &self,
        host: &str,
        now: UtcTime,
        algorithm: Algorithm,
    ) -> Result<Vec<Selector>, String> {
        let date = now.compact();
        let date = |digits| date.get(..digits).unwrap_or_default();
        let mut name = self.0.replace("{host}", host).replace("{type}", algorithm.key_type());
        for (part, digits) in [("{yyyymmdd}", 8), ("{yyyymm}", 6), ("{yyyy}", 4)] {
            name = name.replace(part, date(digits));
        }
        if algorithm == Algorithm::Ed25519Sha256 && !self.0.contains("{type}") {
            name.push_str("-ed");
        }
        let numbered = (2..10).map(|number| format!("{name}-{number}"));
        let names = std::iter::once(name.clone()).chain(numbered);
        let parse = |name: String| {
            Selector::parse(&name).map_err(|error| format!("selector {name:?}: {error}"))
        };
        names.map(parse).collect()
    }
}

/// The label of this host.
pub(super) fn host() -> String {
    host_label(&host_name())
}

/// The first label of a host's name, in characters that a selector may have.
fn host_label(name: &str) -> String {
    let label = name.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
    let fit = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    let label: String = label.chars().map(fit).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "host".to_owned() } else { label.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(template: &str, algorithm: Algorithm) -> Result<String, String> {
        // 2026-11-25
        let names = Template::parse(template)?.names("web1", UtcTime(1_795_622_400), algorithm)?;
        assert_eq!(names[8].to_string(), format!("{}-9", names[0]));
        Ok(names[0].to_string())
    }

    #[test]
    fn parts_are_filled_in() {
        for (template, expected) in [
            (DEFAULT, "web1-202611"),
            ("{yyyy}.{host}", "2026.web1"),
            ("k{yyyymmdd}-{type}", "k20261125-rsa"),
        ] {
            assert_eq!(name(template, Algorithm::RsaSha256).unwrap(), expected);
        }
    }

    #[test]
    fn an_ed25519_key_and_an_rsa_key_get_different_names() {
        assert_eq!(name(DEFAULT, Algorithm::Ed25519Sha256).unwrap(), "web1-202611-ed");
        assert_eq!(name("{type}", Algorithm::Ed25519Sha256).unwrap(), "ed25519");
    }

    #[test]
    fn what_makes_no_selector_is_refused() {
        for template in ["", "{month}", "a b", "../x", "{host}."] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }

    #[test]
    fn a_host_name_is_cut_to_a_label() {
        for (host, label) in
            [("Web1.example.com\n", "web1"), ("my_host", "my-host"), ("", "host"), ("-x-", "x")]
        {
            assert_eq!(host_label(host), label);
        }
    }
}
