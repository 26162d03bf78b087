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
    /// The values of `log_destination`.
    pub(super) const WORDS: [(&str, Self); 3] =
        [("syslog", Self::Syslog), ("stderr", Self::Stderr), ("none", Self::None)];
}
