//! DNS lookups: the TXT records of a name, and the servers of its zone. A lookup blocks its thread; many run at once on as
//! many threads ([`at_once`]).

mod error;
mod exchange;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fmt, io, thread};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, TXT};
use hickory_proto::rr::{Name, RecordData, RecordType};
use resolv_conf::{Config, ScopedIp};

use super::input;
use super::output::Failure;
pub(super) use error::LookupError;
use error::MOST_ALIASES;
use exchange::{Question, Wait};

/// The port of DNS servers.
const PORT: u16 = 53;

/// Limits of the C library on `timeout` and `attempts` of resolv.conf(5).
const LONGEST_TIMEOUT: u32 = 30;
const MOST_ATTEMPTS: u32 = 5;

/// The most lookups at once. They wait most of the time, and a resolver should not notice them.
const AT_ONCE: usize = 32;

/// The DNS servers to ask.
#[derive(Debug)]
pub(super) struct Dns {
    /// In this order; the first answer is used.
    resolvers: Vec<SocketAddr>,
    wait: Wait,
}

/// The answer to a lookup of TXT records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The chain of aliases (CNAME) that the name leads to; usually empty.
    pub(super) aliases: Vec<String>,
    /// Whether the server says that it has authenticated all of the answer (DNSSEC; the bit AD).
    pub(super) authenticated: bool,
    /// The records, or why there are none.
    pub(super) found: Found,
}

/// The records of a name, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// At least one, each with its strings joined (§3.6.2.2).
    Records(Vec<Vec<u8>>),
    /// The name has no TXT record.
    NoRecords,
    /// There is no such name (NXDOMAIN).
    NoName,
    /// The lookup failed.
    Unknown(LookupError),
}

/// A server that the zone of a name is delegated to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// The zone.
    pub(super) zone: String,
    /// The server's name.
    pub(super) server: String,
    /// Its addresses; empty if they could not be looked up.
    pub(super) addresses: Vec<IpAddr>,
}

impl Dns {
    /// The servers of resolv.conf(5), and the wait that it sets. Its search list does not apply: names are complete.
    fn system() -> io::Result<Self> {
        let failed = |error: &dyn fmt::Display| {
            io::Error::other(format!("no DNS server in /etc/resolv.conf: {error}"))
        };
        let text = input::read(Path::new("/etc/resolv.conf"), input::CONFIGURATION);
        let config = Config::parse(text.map_err(|error| failed(&error))?);
        let mut config = config.map_err(|error| failed(&error))?;
        config.glibc_normalize();
        let resolvers: Vec<_> =
            config.nameservers.iter().flat_map(|ip| address(ip, PORT)).collect();
        if resolvers.is_empty() {
            return Err(failed(&"it names none"));
        }
        let timeout = Duration::from_secs(u64::from(config.timeout.clamp(1, LONGEST_TIMEOUT)));
        let attempts = config.attempts.clamp(1, MOST_ATTEMPTS);
        Ok(Self { resolvers, wait: Wait { timeout, attempts } })
    }

    /// The server of the option `--server`, or else those of the system.
    ///
    /// # Errors
    ///
    /// The option is not an address, or the system has no DNS server.
    pub(super) fn asked_for(server: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = server else { return Self::system().map_err(Failure::system) };
        let server = server_address(text)
            .map_err(|_| Failure::usage(format_args!("{text:?} is not ADDRESS or ADDRESS:PORT")))?;
        Ok(Self { resolvers: vec![server], wait: Wait::DEFAULT })
    }

    /// The TXT records of a name.
    pub(super) fn txt(&self, name: &str) -> Answer {
        self.answer(name, &self.resolvers, true)
    }

    /// The TXT records of a name as one server of its zone has them, past every cache.
    pub(super) fn txt_at(&self, authority: &Authority, name: &str) -> Answer {
        if authority.addresses.is_empty() {
            return Answer::unknown(LookupError::NoAddress(authority.server.clone()));
        }
        let addresses: Vec<_> =
            authority.addresses.iter().map(|address| SocketAddr::new(*address, PORT)).collect();
        self.answer(name, &addresses, false)
    }

    /// The servers of the zone that a name is in.
    ///
    /// # Errors
    ///
    /// They could not be looked up.
    pub(super) fn authorities(&self, name: &str) -> Result<Vec<Authority>, LookupError> {
        let mut zone = parse(name)?;
        let servers = loop {
            let reply =
                Question::new(&zone, RecordType::NS, true, self.wait).ask(&self.resolvers)?;
            let servers = data(&reply, &zone, |server: &NS| server.0.clone());
            if !servers.is_empty() {
                break servers;
            }
            if zone.is_root() {
                return Err(LookupError::NoZone(name.to_owned()));
            }
            zone = zone.base_name();
        };
        let authority = |server: &Name| Authority {
            zone: text(&zone),
            server: text(server),
            addresses: self.addresses(server),
        };
        Ok(servers.iter().map(authority).collect())
    }

    fn addresses(&self, server: &Name) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            let Ok(reply) = Question::new(server, kind, true, self.wait).ask(&self.resolvers)
            else {
                continue;
            };
            let records = reply.answers.iter().map(|record| &record.data);
            let v4 = records.clone().filter_map(A::try_borrow).map(|address| IpAddr::V4(address.0));
            let v6 = records.filter_map(AAAA::try_borrow).map(|address| IpAddr::V6(address.0));
            addresses.extend(v4.chain(v6));
        }
        addresses
    }

    /// Asks `servers`; then the resolvers for the end of a chain of aliases, if the answer does not have it.
    fn answer(&self, name: &str, servers: &[SocketAddr], recursive: bool) -> Answer {
        let (mut servers, mut recursive) = (servers, recursive);
        Answer::of(name, |name| {
            let question = Question::new(name, RecordType::TXT, recursive, self.wait);
            let reply = question.ask(servers);
            (servers, recursive) = (self.resolvers.as_slice(), true);
            reply
        })
    }
}

impl Answer {
    /// What the replies to questions for TXT records come to: one for the name, and one for each alias that the reply before
    /// ends with.
    pub(super) fn of(
        name: &str,
        mut ask: impl FnMut(&Name) -> Result<Message, LookupError>,
    ) -> Self {
        let mut answer = Self { aliases: Vec::new(), authenticated: true, found: Found::NoName };
        let asked = parse(name).and_then(|mut name| {
            loop {
                if let Some(found) = answer.add(&ask(&name)?, &mut name)? {
                    return Ok(found);
                }
            }
        });
        answer.found = asked.unwrap_or_else(Found::Unknown);
        answer
    }

    /// The answer of a lookup that failed.
    pub(super) fn unknown(error: LookupError) -> Self {
        Self { aliases: Vec::new(), authenticated: false, found: Found::Unknown(error) }
    }

    /// Adds a reply about `name`, which becomes the last alias in the reply. `None`: the reply ends at that alias, so ask for it.
    fn add(&mut self, reply: &Message, name: &mut Name) -> Result<Option<Found>, LookupError> {
        self.authenticated &= reply.metadata.authentic_data;
        let before = self.aliases.len();
        while let Some(alias) = alias(reply, name) {
            if self.aliases.len() >= MOST_ALIASES {
                return Err(LookupError::Aliases);
            }
            self.aliases.push(text(&alias));
            *name = alias;
        }
        let records = data(reply, name, |txt: &TXT| txt.txt_data.concat());
        Ok(if !records.is_empty() {
            Some(Found::Records(records))
        } else if reply.metadata.response_code == ResponseCode::NXDomain {
            Some(Found::NoName)
        } else if self.aliases.len() == before {
            Some(Found::NoRecords)
        } else {
            None
        })
    }
}

/// Maps `ask` over `items` on several threads; the results are in the order of the items.
pub(super) fn at_once<T: Sync, R: Send>(items: &[T], ask: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, ask(item)));
        }
    };
    let mut all: Vec<(usize, R)> = thread::scope(|scope| {
        let threads = (0..items.len().min(AT_ONCE)).map(|_| scope.spawn(work));
        let threads: Vec<_> = threads.collect();
        let ends = threads.into_iter().map(thread::ScopedJoinHandle::join);
        ends.flat_map(|end| end.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Parses `ADDR[:PORT]`, an IPv6 address with a port in brackets.
fn server_address(text: &str) -> io::Result<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<ScopedIp>() {
        Ok(ip) => address(&ip, PORT),
        Err(_) => text.parse().map_err(io::Error::other),
    }
}

/// The address with the interface of its scope (RFC 4007 §11), which getaddrinfo(3) knows the number of.
fn address(ip: &ScopedIp, port: u16) -> io::Result<SocketAddr> {
    let mut addresses = (ip.to_string(), port).to_socket_addrs()?;
    addresses.next().ok_or(io::ErrorKind::AddrNotAvailable.into())
}

fn parse(name: &str) -> Result<Name, LookupError> {
    let mut parsed = Name::from_ascii(name).map_err(|_| LookupError::Name(name.to_owned()))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

/// A name in lower case, without the dot at its end.
fn text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(&text).to_owned()
}

fn alias(reply: &Message, name: &Name) -> Option<Name> {
    data(reply, name, |alias: &CNAME| alias.0.clone()).into_iter().next()
}

/// The records of a name in a reply.
fn data<R: RecordData, T>(reply: &Message, name: &Name, take: impl Fn(&R) -> T) -> Vec<T> {
    let own = reply.answers.iter().filter(|record| record.name == *name);
    own.filter_map(|record| R::try_borrow(&record.data)).map(take).collect()
}

#[cfg(test)]
mod tests;
