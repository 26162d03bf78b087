//! The keys of both kinds of files with their places in the text.

mod callers;
mod host;
mod how;

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::error::ConfigError;
use super::publish::Value as PublishValue;
use crate::dkim::{Domain, Identity, Selector};

pub(super) type Text = Option<Spanned<String>>;
pub(super) type List = Option<Spanned<Vec<String>>>;

/// All keys. Whether a key is allowed in this kind of file is checked later, for a better message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Values {
    pub(super) sendmail: Text,
    pub(super) origin: Text,
    pub(super) append_dot_domain: Text,
    pub(super) undisclosed_recipients_header: Text,
    pub(super) message_size_limit: Option<Spanned<u64>>,
    pub(super) lone_dot: Text,
    pub(super) log_success: Option<Spanned<bool>>,
    pub(super) log_destination: Text,
    pub(super) publish: Option<Spanned<PublishValue>>,
    pub(super) nsupdate_key: Text,
    pub(super) nsupdate_server: Text,
    pub(super) filter_user: Text,

    pub(super) selector: Text,
    pub(super) selectors: List,
    pub(super) domain: Text,
    pub(super) keys: Text,
    pub(super) subdomains: Option<Spanned<SubdomainsValue>>,
    pub(super) identity: Text,
    pub(super) users: List,
    pub(super) groups: List,
    pub(super) logins: List,
    pub(super) clients: List,
    pub(super) sign: Option<Spanned<Vec<RuleKeys>>>,

    pub(super) on_error: Text,
    pub(super) on_missing_record: Text,
    pub(super) missing_record_after: Option<Spanned<Lifetime>>,
    pub(super) canonicalization: Text,
    pub(super) minimum_key_bits: Option<Spanned<u32>>,
    pub(super) headers: List,
    pub(super) oversign: List,
    pub(super) expire: Option<Spanned<Lifetime>>,
    pub(super) seven_bit: Option<bool>,
    pub(super) also_sign_as: List,
    pub(super) strict_selectors: Option<bool>,
    pub(super) sign_forwarded: Option<bool>,
    pub(super) smtp: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected seconds, or a number with s, m, h or d, such as \"14d\"")]
pub(super) enum Lifetime {
    Seconds(u64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected true, false or \"only\"")]
pub(super) enum SubdomainsValue {
    Flag(bool),
    Text(String),
}

/// Whose mail a domain file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subdomains {
    /// Mail From the domain.
    #[default]
    No,
    /// Mail From the domain, and from subdomains without a file of their own.
    Yes,
    /// Mail From subdomains only. For mail From the domain, the file does not exist.
    Only,
}

/// A `[[sign]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleKeys {
    pub(super) from: Spanned<String>,
    pub(super) selector: Text,
    pub(super) selectors: List,
    pub(super) identity: Text,
}

/// The most entries of `selectors`; each makes a signature.
const MOST_SELECTORS: usize = 10;
/// The most entries of `users`, `groups`, `logins` and `clients`.
const MOST_LOGINS: usize = 1_000;
/// The most `[[sign]]` tables.
const MOST_RULES: usize = 1_000;

/// A parsed file and its text, for line numbers.
pub(super) struct Keys<'a> {
    text: &'a str,
    pub(super) values: Values,
}

impl<'a> Keys<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, ConfigError> {
        let values = toml::from_str(text).map_err(|error| ConfigError::of(text, &error))?;
        Ok(Self { text, values })
    }

    pub(super) fn refuse_domain_keys(&self) -> Result<(), ConfigError> {
        let values = &self.values;
        self.refuse(
            "belongs in a file of domains/",
            &[
                ("selector", span(&values.selector)),
                ("selectors", span(&values.selectors)),
                ("domain", span(&values.domain)),
                ("keys", span(&values.keys)),
                ("subdomains", span(&values.subdomains)),
                ("identity", span(&values.identity)),
                ("users", span(&values.users)),
                ("groups", span(&values.groups)),
                ("logins", span(&values.logins)),
                ("clients", span(&values.clients)),
                ("sign", span(&values.sign)),
            ],
        )
    }

    pub(super) fn refuse_host_keys(&self) -> Result<(), ConfigError> {
        let values = &self.values;
        self.refuse(
            "belongs in config.toml",
            &[
                ("sendmail", span(&values.sendmail)),
                ("origin", span(&values.origin)),
                ("append_dot_domain", span(&values.append_dot_domain)),
                ("undisclosed_recipients_header", span(&values.undisclosed_recipients_header)),
                ("message_size_limit", span(&values.message_size_limit)),
                ("lone_dot", span(&values.lone_dot)),
                ("log_success", span(&values.log_success)),
                ("log_destination", span(&values.log_destination)),
                ("publish", span(&values.publish)),
                ("nsupdate_key", span(&values.nsupdate_key)),
                ("nsupdate_server", span(&values.nsupdate_server)),
                ("filter_user", span(&values.filter_user)),
            ],
        )
    }

    fn refuse(&self, why: &str, keys: &[(&str, Option<Range<usize>>)]) -> Result<(), ConfigError> {
        let found = keys.iter().find_map(|(key, span)| span.clone().map(|span| (key, span)));
        found.map_or(Ok(()), |(key, span)| {
            Err(ConfigError::at(self.text, span.start, format!("key `{key}` {why}")))
        })
    }

    pub(super) fn error(
        &self,
        key: &str,
        span: &Range<usize>,
        what: impl std::fmt::Display,
    ) -> ConfigError {
        ConfigError::at(self.text, span.start, format!("{key}: {what}"))
    }

    /// Parses the value of a text key. The error has the place of the value.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &str,
        value: &Text,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = value else { return Ok(None) };
        let text: &str = value.as_ref();
        parse(text).map(Some).map_err(|error| self.error(key, &value.span(), error))
    }

    /// The meaning of a text key whose value is one of a few words.
    pub(super) fn chosen<T: Copy>(
        &self,
        key: &str,
        value: &Text,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ConfigError> {
        self.parsed(key, value, |text| meaning(text, words))
    }

    /// Of the file that is named after a domain, or after none.
    pub(super) fn subdomains(&self, name: Option<&Domain>) -> Result<Subdomains, ConfigError> {
        let Some(value) = &self.values.subdomains else { return Ok(Subdomains::No) };
        let error = |what: &str| Err(self.error("subdomains", &value.span(), what));
        match value.as_ref() {
            SubdomainsValue::Flag(false) => Ok(Subdomains::No),
            SubdomainsValue::Flag(true) => Ok(Subdomains::Yes),
            SubdomainsValue::Text(text) if text == "only" && name.is_some() => Ok(Subdomains::Only),
            SubdomainsValue::Text(text) if text == "only" => {
                error("default.toml is named after no domain that others could be below")
            }
            SubdomainsValue::Text(text) => {
                error(&format!("expected true, false or \"only\", found {text:?}"))
            }
        }
    }

    pub(super) fn identity_of(
        &self,
        value: &Text,
        d: Option<&Domain>,
    ) -> Result<Option<Identity>, ConfigError> {
        self.parsed("identity", value, |text| {
            let identity = Identity::parse(text).map_err(|error| error.to_string())?;
            let d = d.ok_or_else(|| "requires key `domain` in default.toml".to_owned())?;
            if !identity.domain().is_within(d) {
                return Err(format!("{text:?} is not within {}", d.as_str()));
            }
            Ok(identity)
        })
    }

    pub(super) fn rules(&self) -> Result<&[RuleKeys], ConfigError> {
        self.most("sign", &self.values.sign, MOST_RULES)?;
        Ok(self.values.sign.as_ref().map_or(&[], |rules| rules.as_ref()))
    }

    /// An error if the list has more entries than `most`.
    fn most<T>(
        &self,
        key: &str,
        list: &Option<Spanned<Vec<T>>>,
        most: usize,
    ) -> Result<(), ConfigError> {
        let Some(list) = list.as_ref().filter(|list| list.as_ref().len() > most) else {
            return Ok(());
        };
        let what = format!("{} entries, more than {most}", list.as_ref().len());
        Err(self.error(key, &list.span(), what))
    }

    /// The selectors of `selector` or `selectors`.
    pub(super) fn selectors_of(
        &self,
        one: &Text,
        many: &List,
    ) -> Result<Option<Vec<Selector>>, ConfigError> {
        self.most("selectors", many, MOST_SELECTORS)?;
        let Some(many) = many else {
            let one = self.parsed("selector", one, Selector::parse)?;
            return Ok(one.map(|selector| vec![selector]));
        };
        let error = |what: &str| self.error("selectors", &many.span(), what);
        if one.is_some() {
            return Err(error("use either `selector` or `selectors`, not both"));
        }
        if many.as_ref().is_empty() {
            return Err(error("the list is empty"));
        }
        self.distinct("selectors", many, Selector::parse).map(Some)
    }

    /// Parses the entries of a list. Each may be listed once.
    fn distinct<T: PartialEq, E: std::fmt::Display>(
        &self,
        key: &str,
        list: &Spanned<Vec<String>>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ConfigError> {
        let mut entries = Vec::new();
        for text in list.as_ref() {
            let entry = parse(text).map_err(|why| self.error(key, &list.span(), why))?;
            if entries.contains(&entry) {
                let what = format!("{text:?} is listed twice");
                return Err(self.error(key, &list.span(), what));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// The meaning of a text that must be one of these words.
pub(super) fn meaning<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let expected: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = expected.join(", ");
        // The last comma becomes an "or".
        let (others, last) = expected.rsplit_once(", ").unwrap_or_default();
        format!("expected {others} or {last}, found {text:?}")
    })
}

/// The name of a directory of keys that several domains share. It has no dot, so that it is not the one of a domain's own keys.
///
/// # Errors
/// The name has other characters, or is too long.
pub fn shared_folder(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = text.starts_with(|first| is_plain(u8::try_from(first).unwrap_or_default()))
        && text.bytes().all(|byte| is_plain(byte) || b"-_".contains(&byte))
        && text.len() <= LONGEST_NAME;
    let what =
        "expected the name of a directory below keys/: lower-case letters, digits, - and _, no dot";
    is_name.then(|| text.to_owned()).ok_or_else(|| format!("{text:?}: {what}"))
}

/// Bytes of the name of a directory.
const LONGEST_NAME: usize = 63;

fn span<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
    value.as_ref().map(Spanned::span)
}
