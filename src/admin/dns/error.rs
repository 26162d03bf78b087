//! Why a DNS lookup failed.

use std::net::SocketAddr;
use std::{error, fmt};

/// The most aliases (CNAME) that are followed; resolvers follow 8 to 16.
pub(super) const MOST_ALIASES: usize = 8;

/// Why a lookup failed. The operators of DNS or the network cause these errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The text is not a DNS name.
    Name(String),
    /// The server answers with an error such as SERVFAIL or REFUSED.
    Refused(SocketAddr, String),
    /// The records fail DNSSEC validation.
    Bogus(SocketAddr),
    /// No answer in time.
    Timeout(SocketAddr),
    /// The server did not answer earlier queries, so this one was not sent.
    Silent(SocketAddr),
    /// The time limit for all lookups has passed.
    Late,
    /// The server could not be reached, or its answer could not be parsed.
    Broken(SocketAddr, String),
    /// The server is a name server of the zone, but does not serve it.
    Lame(SocketAddr),
    /// A server of a zone has no address.
    NoAddress(String),
    /// No zone above the name has servers.
    NoZone(String),
    /// The chain of aliases is too long or a loop.
    Aliases,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} is not a DNS name"),
            Self::Refused(server, code) => write!(f, "the DNS server {server} answers {code}"),
            Self::Bogus(server) => {
                write!(f, "the DNS server {server} answers that the records fail DNSSEC validation")
            }
            Self::Timeout(server) => write!(f, "no answer from the DNS server {server} in time"),
            Self::Silent(server) => write!(f, "the DNS server {server} does not answer"),
            Self::Late => f.write_str("not queried: earlier lookups took too long"),
            Self::Broken(server, why) => write!(f, "the DNS server {server}: {why}"),
            Self::Lame(server) => write!(f, "the DNS server {server} does not serve the zone"),
            Self::NoAddress(server) => write!(f, "the DNS server {server} has no address"),
            Self::NoZone(name) => write!(f, "no zone above {name} has servers"),
            Self::Aliases => write!(f, "more than {MOST_ALIASES} aliases (CNAME) in a row"),
        }
    }
}

impl error::Error for LookupError {}
