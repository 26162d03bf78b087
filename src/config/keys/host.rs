//! The keys of `config.toml` that apply to the host.

use std::path::PathBuf;

use super::{Keys, Text};
use crate::argv::LoneDot;
use crate::config::error::ConfigError;
use crate::config::log::LogDestination;
use crate::config::publish::Publish;
use crate::config::signing::is_recipient_field;
use crate::dkim::Domain;

impl Keys<'_> {
    pub(in crate::config) fn sendmail(&self) -> Result<Option<PathBuf>, ConfigError> {
        self.absolute("sendmail", &self.values.sendmail)
    }

    fn absolute(&self, key: &str, value: &Text) -> Result<Option<PathBuf>, ConfigError> {
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

    pub(in crate::config) fn origin(&self) -> Result<Option<Domain>, ConfigError> {
        self.parsed("origin", &self.values.origin, Domain::parse)
    }

    pub(in crate::config) fn append_dot_domain(&self) -> Result<Option<Domain>, ConfigError> {
        self.parsed("append_dot_domain", &self.values.append_dot_domain, Domain::parse)
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

    /// As in Postfix, 0 means no limit.
    pub(in crate::config) fn message_size_limit(&self) -> Option<u64> {
        self.values
            .message_size_limit
            .as_ref()
            .map(|limit| *limit.get_ref())
            .filter(|limit| *limit > 0)
    }

    pub(in crate::config) fn lone_dot(&self) -> Result<Option<LoneDot>, ConfigError> {
        self.parsed("lone_dot", &self.values.lone_dot, |text| match text {
            "ends" => Ok(LoneDot::Ends),
            "text" => Ok(LoneDot::IsText),
            _ => Err(format!("expected \"ends\" or \"text\", found {text:?}")),
        })
    }

    pub(in crate::config) fn log_success(&self) -> Option<bool> {
        self.values.log_success.as_ref().map(|value| *value.as_ref())
    }

    pub(in crate::config) fn log_destination(&self) -> Result<Option<LogDestination>, ConfigError> {
        self.parsed("log_destination", &self.values.log_destination, LogDestination::named)
    }
}
