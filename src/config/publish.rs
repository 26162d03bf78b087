//! How `dkimctl` publishes records. The wrapper does not use these settings.

use std::path::PathBuf;

use serde::Deserialize;

/// A way to publish a record in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// nsupdate(1): a dynamic update (RFC 2136).
    Nsupdate {
        /// The TSIG key, for `nsupdate -k`.
        key: Option<PathBuf>,
        /// The server and its port, as in the `server` command of nsupdate(1). The default is the primary server of the zone.
        server: Option<String>,
    },
    /// The absolute path of a program, and its arguments.
    Command(Vec<String>),
}

/// The value of `publish`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected \"nsupdate\" or a list: a program and its arguments")]
pub(super) enum Value {
    Word(String),
    Command(Vec<String>),
}

impl Publish {
    pub(super) fn of(
        value: &Value,
        key: Option<PathBuf>,
        server: Option<String>,
    ) -> Result<Self, String> {
        match value {
            Value::Word(word) if word == "nsupdate" => Ok(Self::Nsupdate { key, server }),
            Value::Word(word) => Err(format!(
                "{word:?} is not \"nsupdate\"; write a command as a list, as in [\"/path/to/program\", \"argument\"]"
            )),
            Value::Command(words) => match words.first() {
                Some(program) if program.starts_with('/') && !words.concat().contains('\0') => {
                    Ok(Self::Command(words.clone()))
                }
                _ => Err("the list must begin with the absolute path of a program".to_owned()),
            },
        }
    }
}
