//! The keys of `config.toml` that apply to the host.

use std::path::PathBuf;

use super::{Keys, Text};
use crate::config::error::ConfigError;
use crate::config::publish::Publish;
use crate::config::signing::is_recipient_field;

impl Keys<'_> {
    /// An absolute path.
    pub(in crate::config) fn absolute(
        &self,
        key: &str,
        value: &Text,
    ) -> Result<Option<PathBuf>, ConfigError> {
        self.parsed(key, value, |text| {
            let path = PathBuf::from(text);
            let usable = path.is_absolute() && !text.contains('\0');
            usable.then_some(path).ok_or_else(|| format!("{text:?} is not an absolute path"))
        })
    }

    /// How records are published.
    pub(in crate::config) fn publish(&self) -> Result<Option<Publish>, ConfigError> {
        let key = self.absolute("nsupdate_key", &self.values.nsupdate_key)?;
        let server = self.parsed("nsupdate_server", &self.values.nsupdate_server, |text| {
            // The value becomes a line of nsupdate's input.
            let is_word = |char: char| char.is_ascii_alphanumeric() || " .:%-_".contains(char);
            let is_usable = !text.trim().is_empty() && text.chars().all(is_word);
            is_usable.then(|| text.to_owned()).ok_or_else(|| {
                format!(
                    "expected a host name or an address, optionally with a port, found {text:?}"
                )
            })
        })?;
        let Some(value) = &self.values.publish else { return Ok(None) };
        let publish = Publish::of(value.get_ref(), key, server);
        publish.map(Some).map_err(|error| self.error("publish", &value.span(), error))
    }

    pub(in crate::config) fn undisclosed_recipients_header(
        &self,
    ) -> Result<Option<String>, ConfigError> {
        let key = "undisclosed_recipients_header";
        self.parsed(key, &self.values.undisclosed_recipients_header, |text| {
            let fits = text.is_empty() || is_recipient_field(text);
            fits.then(|| text.to_owned()).ok_or_else(|| {
                format!("expected an empty text or a To or Cc field on one line of ASCII, found {text:?}")
            })
        })
    }
}
