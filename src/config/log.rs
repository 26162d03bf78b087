//! Where the log goes.

/// Where the lines of the log go.
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
    /// By its name in the file.
    pub(super) fn named(text: &str) -> Result<Self, String> {
        match text {
            "syslog" => Ok(Self::Syslog),
            "stderr" => Ok(Self::Stderr),
            "none" => Ok(Self::None),
            _ => Err(format!("{text:?} is none of \"syslog\", \"stderr\" and \"none\"")),
        }
    }
}
