//! Where the log goes.

/// Where log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogDestination {
    /// To syslog(3), by way of /dev/log.
    #[default]
    Syslog,
    /// To standard error, as in a container that has no syslog daemon.
    Stderr,
    /// Nowhere.
    None,
}

impl LogDestination {
    /// Parses the value of `log_destination`.
    pub(super) fn named(text: &str) -> Result<Self, String> {
        match text {
            "syslog" => Ok(Self::Syslog),
            "stderr" => Ok(Self::Stderr),
            "none" => Ok(Self::None),
            _ => Err(format!("expected \"syslog\", \"stderr\" or \"none\", found {text:?}")),
        }
    }
}
