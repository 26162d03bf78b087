//! The keys for signing, which are allowed in both kinds of files.

use toml::Spanned;

use super::{Keys, Lifetime, List};
use crate::config::error::ConfigError;
use crate::config::signing::{OnError, OnMissingRecord, Signing, try_names};
use crate::dkim::{Canonicalization, Domain, FieldName};

/// The most entries of `also_sign_as`.
const MOST_ALSO: usize = 10;
/// The most entries of `headers` and `oversign`.
const MOST_NAMES: usize = 100;

impl Keys<'_> {
    pub(in crate::config) fn signing(&self, base: &Signing) -> Result<Signing, ConfigError> {
        let values = &self.values;
        let on_error = self.chosen("on_error", &values.on_error, &OnError::WORDS)?;
        let canonicalization = self.parsed(
            "canonicalization",
            &values.canonicalization,
            str::parse::<Canonicalization>,
        )?;
        let (headers, oversign) = self.names(base)?;
        Ok(Signing {
            on_error: on_error.unwrap_or(base.on_error),
            on_missing_record: self
                .chosen("on_missing_record", &values.on_missing_record, &OnMissingRecord::WORDS)?
                .unwrap_or(base.on_missing_record),
            missing_record_after: self
                .seconds("missing_record_after", &values.missing_record_after)?
                .unwrap_or(base.missing_record_after),
            canonicalization: canonicalization.unwrap_or(base.canonicalization),
            minimum_key_bits: self.minimum_key_bits()?.unwrap_or(base.minimum_key_bits),
            headers,
            oversign,
            expire: self.seconds("expire", &values.expire)?.or(base.expire),
            seven_bit: values.seven_bit.unwrap_or(base.seven_bit),
            also_sign_as: self.also_sign_as(base)?,
            strict_selectors: values.strict_selectors.unwrap_or(base.strict_selectors),
            sign_forwarded: values.sign_forwarded.unwrap_or(base.sign_forwarded),
            smtp: values.smtp.unwrap_or(base.smtp),
        })
    }

    fn also_sign_as(&self, base: &Signing) -> Result<Vec<Domain>, ConfigError> {
        let key = "also_sign_as";
        self.most(key, &self.values.also_sign_as, MOST_ALSO)?;
        let Some(list) = &self.values.also_sign_as else { return Ok(base.also_sign_as.clone()) };
        self.distinct(key, list, |text| match Domain::parse(text) {
            Ok(domain) if domain.is_local() => Err(format!("no key can be published for {text:?}")),
            parsed => parsed.map_err(|why| why.to_string()),
        })
    }

    fn minimum_key_bits(&self) -> Result<Option<u32>, ConfigError> {
        let Some(value) = &self.values.minimum_key_bits else { return Ok(None) };
        let bits = *value.as_ref();
        if !(1024..=4096).contains(&bits) {
            let what = format!("expected 1024 to 4096, found {bits}");
            return Err(self.error("minimum_key_bits", &value.span(), what));
        }
        Ok(Some(bits))
    }

    fn seconds(
        &self,
        key: &str,
        value: &Option<Spanned<Lifetime>>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(value) = value else { return Ok(None) };
        let seconds = match value.as_ref() {
            Lifetime::Seconds(seconds) => Some(*seconds),
            Lifetime::Text(text) => parse_lifetime(text),
        };
        let what = "expected seconds, or a number with s, m, h or d, such as \"14d\"";
        let seconds = seconds.filter(|seconds| *seconds > 0);
        seconds.map(Some).ok_or_else(|| self.error(key, &value.span(), what))
    }

    /// Reads `headers` and `oversign`. If only `headers` is set, inherited names that it lacks are not oversigned.
    fn names(&self, base: &Signing) -> Result<(Vec<FieldName>, Vec<FieldName>), ConfigError> {
        let headers = self.names_of("headers", &self.values.headers, &base.headers)?;
        let mut oversign = self.names_of("oversign", &self.values.oversign, &base.oversign)?;
        if self.values.oversign.is_none() {
            oversign.retain(|name| headers.contains(name));
        }
        for (key, list) in [("headers", &self.values.headers), ("oversign", &self.values.oversign)]
        {
            let Some(list) = list else { continue };
            let oversign = if key == "headers" { [].as_slice() } else { &oversign };
            try_names(&headers, oversign).map_err(|why| self.error(key, &list.span(), why))?;
        }
        Ok((headers, oversign))
    }

    /// A whole list, or changes to `base`: `+Name` adds and `-Name` removes a name.
    fn names_of(
        &self,
        key: &str,
        list: &List,
        base: &[FieldName],
    ) -> Result<Vec<FieldName>, ConfigError> {
        self.most(key, list, MOST_NAMES)?;
        let Some(list) = list else { return Ok(base.to_vec()) };
        let texts: &Vec<String> = list.as_ref();
        let changes = texts.iter().filter(|text| text.starts_with(['+', '-'])).count();
        if changes != 0 && changes != texts.len() {
            let what = "either all names or none must begin with + or -";
            return Err(self.error(key, &list.span(), what));
        }
        let mut names = if changes == 0 { Vec::new() } else { base.to_vec() };
        for text in texts {
            let typed = text.strip_prefix(['+', '-']).unwrap_or(text);
            let name = FieldName::parse(typed).map_err(|why| self.error(key, &list.span(), why))?;
            names.retain(|other| *other != name);
            if !text.starts_with('-') {
                names.push(name);
            }
        }
        Ok(names)
    }
}

fn parse_lifetime(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let number: u64 = text.strip_suffix(unit)?.trim_ascii().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds)
}
