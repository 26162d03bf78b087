//! DNS lookups: the TXT records of a name, and the servers of its zone. A lookup blocks its thread. Many lookups run at once on
//! as many threads (see `parallel`), which share what they know about each server.

mod error;
mod exchange;
mod server;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, TXT};
use hickory_proto::rr::{Name, RecordData, RecordType};
use resolv_conf::{Config, ScopedIp};

use super::input;
use super::output::{Failure, Progress};
use super::parallel;
use crate::report::plain;
pub(super) use error::LookupError;
use error::MOST_ALIASES;
use exchange::{Bounds, Question, Wait};
use server::Servers;

/// The port of DNS servers.
const PORT: u16 = 53;

/// The limit of the C library on `attempts` of resolv.conf(5).
const MOST_ATTEMPTS: u32 = 5;

/// The time limit for all lookups of a run: a fixed part, and a part for each lookup.
const LONGEST: Duration = Duration::from_secs(15);
const LONGEST_FOR_EACH: Duration = Duration::from_millis(50);

/// The DNS servers to query.
#[derive(Debug)]
pub(super) struct Dns {
    /// The servers in their order; the first answer is used.
    resolvers: Vec<SocketAddr>,
    /// The port of the servers of zones.
    port: u16,
    bounds: Bounds,
    /// The addresses of name servers by their names: many zones have the same servers.
    addresses: Mutex<HashMap<Name, Vec<IpAddr>>>,
}

/// The answer to a lookup of TXT records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The chain of aliases (CNAME) of the name; usually empty.
    pub(super) aliases: Vec<String>,
    /// Whether the server has authenticated the whole answer (DNSSEC; the AD bit).
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
struct Authority {
    /// The server's name.
    server: String,
    /// Its addresses; empty if they could not be looked up.
    addresses: Vec<IpAddr>,
}

impl Dns {
    /// The servers and timeouts of resolv.conf(5). Its search list does not apply, because all names are complete.
    fn system() -> Result<Self, Failure> {
        let text = input::read(Path::new("/etc/resolv.conf"), input::CONFIGURATION);
        Self::of_resolv_conf(&text.map_err(|error| no_server(&plain(&error)))?)
    }

    fn of_resolv_conf(text: &[u8]) -> Result<Self, Failure> {
        let mut config = Config::parse(text).map_err(|error| no_server(&error))?;
        config.glibc_normalize();
        let resolvers: Vec<_> = config.nameservers.iter().flat_map(address).collect();
        if resolvers.is_empty() {
            return Err(no_server(&"it names no server"));
        }
        let timeout = Duration::from_secs(u64::from(config.timeout.max(1)));
        let attempts = config.attempts.clamp(1, MOST_ATTEMPTS);
        Ok(Self::new(resolvers, Wait { timeout, attempts }))
    }

    fn new(resolvers: Vec<SocketAddr>, wait: Wait) -> Self {
        let bounds = Bounds { wait, deadline: Mutex::default(), servers: Servers::default() };
        Self { resolvers, port: PORT, bounds, addresses: Mutex::default() }
    }

    /// Sets the time limit of all lookups, which depends on the number of names.
    pub(super) fn for_names(&self, count: usize) {
        let each = LONGEST_FOR_EACH.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        *self.deadline() = Instant::now().checked_add(LONGEST.saturating_add(each));
    }

    /// Moves that end by what was spent on something else.
    pub(super) fn extend(&self, spent: Duration) {
        let mut deadline = self.deadline();
        *deadline = deadline.and_then(|deadline| deadline.checked_add(spent));
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.bounds.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a DNS server of the system is silent.
    ///
    /// # Errors
    ///
    /// No server has answered, and why.
    pub(super) fn answers(&self) -> Result<(), LookupError> {
        match self.ask(&Name::root(), RecordType::NS) {
            // An answer that refuses is one.
            Ok(_)
            | Err(LookupError::Refused(..) | LookupError::Bogus(_) | LookupError::Lame(_)) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The server of the option `--server`, or the servers of the system.
    ///
    /// # Errors
    ///
    /// The option is not an address, or the system has no DNS server.
    pub(super) fn asked_for(server: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = server else { return Self::system() };
        let server = server_address(text).map_err(|_| {
            Failure::usage(format_args!("expected ADDRESS or ADDRESS:PORT, found {text:?}"))
        })?;
        Ok(Self::new(vec![server], Wait::DEFAULT))
    }

    /// The TXT records of a name.
    pub(super) fn txt(&self, name: &str) -> Answer {
        self.answer(name, &self.resolvers, true)
    }

    /// The TXT records of a name from one server of its zone, without caches.
    fn txt_at(&self, authority: &Authority, name: &str) -> Answer {
        if authority.addresses.is_empty() {
            return Answer::unknown(LookupError::NoAddress(authority.server.clone()));
        }
        let addresses: Vec<_> = authority
            .addresses
            .iter()
            .map(|address| SocketAddr::new(*address, self.port))
            .collect();
        self.answer(name, &addresses, false)
    }

    /// The TXT records of a name as each server of its zone has them, past every cache, with the names of the servers. Where the
    /// name is an alias, the servers of the zone that it leads to are asked instead. Never empty.
    ///
    /// # Errors
    ///
    /// The servers could not be looked up.
    pub(super) fn everywhere(&self, name: &str) -> Result<Vec<(String, Answer)>, LookupError> {
        let (mut names, mut all) = (vec![name.to_owned()], Vec::new());
        let mut at = 0_usize;
        while let Some(name) = names.get(at).cloned() {
            at = at.saturating_add(1);
            let servers = self.authorities(&name)?;
            let ask = |server: &Authority| self.txt_at(server, &name);
            let answers = parallel::all(&servers, servers.len(), Progress::none(), ask);
            for (server, answer) in servers.into_iter().zip(answers) {
                match answer.aliases.last() {
                    Some(end) if names.contains(end) => {}
                    Some(_) if names.len() > MOST_ALIASES => return Err(LookupError::Aliases),
                    Some(end) => names.push(end.clone()),
                    None => all.push((server.server, answer)),
                }
            }
        }
        if all.is_empty() { Err(LookupError::Aliases) } else { Ok(all) }
    }

    /// The name that a name leads to: its own, or that at the end of a chain of aliases.
    ///
    /// # Errors
    ///
    /// It could not be looked up.
    pub(super) fn end_of(&self, name: &str) -> Result<String, LookupError> {
        let answer = self.txt(name);
        match (answer.found, answer.aliases.into_iter().next_back()) {
            (Found::Unknown(error), _) => Err(error),
            (_, end) => Ok(end.unwrap_or_else(|| name.to_owned())),
        }
    }

    /// The servers of the zone that a name is in.
    ///
    /// # Errors
    ///
    /// They could not be looked up.
    fn authorities(&self, name: &str) -> Result<Vec<Authority>, LookupError> {
        let mut zone = parse(name)?;
        let servers = loop {
            let reply = self.ask(&zone, RecordType::NS)?;
            let servers = data(&reply, &zone, |server: &NS| server.0.clone());
            if !servers.is_empty() {
                break servers;
            }
            if zone.is_root() {
                return Err(LookupError::NoZone(name.to_owned()));
            }
            zone = zone.base_name();
        };
        let authority =
            |server: &Name| Authority { server: text(server), addresses: self.addresses(server) };
        Ok(servers.iter().map(authority).collect())
    }

    fn addresses(&self, server: &Name) -> Vec<IpAddr> {
        let known = || self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let name = server.to_lowercase();
        if let Some(addresses) = known().get(&name) {
            return addresses.clone();
        }
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            let Ok(reply) = self.ask(server, kind) else { continue };
            addresses.extend(reply.answers.iter().filter_map(|record| record.data.ip_addr()));
        }
        known().insert(name, addresses.clone());
        addresses
    }

    /// Queries the resolvers.
    fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, LookupError> {
        Question::new(name, kind, true).ask(&self.bounds, &self.resolvers)
    }

    /// Queries `servers`. If the answer ends in an alias, the resolvers are queried for the rest of the chain.
    fn answer(&self, name: &str, servers: &[SocketAddr], recursive: bool) -> Answer {
        let (mut servers, mut recursive) = (servers, recursive);
        Answer::of(name, |name| {
            let reply = Question::new(name, RecordType::TXT, recursive).ask(&self.bounds, servers);
            (servers, recursive) = (self.resolvers.as_slice(), true);
            reply
        })
    }
}

impl Answer {
    /// The answer from replies to queries for TXT records: one for the name, and one for each alias that the previous reply ends
    /// with.
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

    /// The answer for a failed lookup.
    pub(super) fn unknown(error: LookupError) -> Self {
        Self { aliases: Vec::new(), authenticated: false, found: Found::Unknown(error) }
    }

    /// Adds a reply about `name`, which becomes the last alias in the reply. `None` if the reply ends with this alias, which must
    /// be queried next.
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

fn no_server(why: &dyn fmt::Display) -> Failure {
    Failure::system(format_args!("no DNS server in /etc/resolv.conf: {why}"))
}

/// Parses `ADDR[:PORT]`. An IPv6 address with a port is in brackets.
fn server_address(text: &str) -> io::Result<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<ScopedIp>() {
        Ok(ip) => address(&ip),
        Err(_) => text.parse().map_err(io::Error::other),
    }
}

/// The address with its scope (RFC 4007 §11); getaddrinfo(3) finds the number of the interface.
fn address(ip: &ScopedIp) -> io::Result<SocketAddr> {
    let mut addresses = (ip.to_string(), PORT).to_socket_addrs()?;
    addresses.next().ok_or(io::ErrorKind::AddrNotAvailable.into())
}

fn parse(name: &str) -> Result<Name, LookupError> {
    let mut parsed = Name::from_ascii(name).map_err(|_| LookupError::Name(name.to_owned()))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

/// A name in lower case, without the trailing dot.
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
pub(super) mod tests;
