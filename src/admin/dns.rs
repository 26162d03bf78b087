//! The DNS as `dkimctl` asks it: the TXT records of a name, and the servers of the zone that it is in.

mod exchange;

use std::net::{IpAddr, SocketAddr};
use std::{error, fmt, io};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NS, TXT};
use hickory_resolver::proto::rr::{Name, RecordData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::output::Failure;
use exchange::Exchange;

/// Where a server listens if nobody says otherwise.
const PORT: u16 = 53;

/// No more aliases are followed; resolvers follow 8 to 16.
const MOST_ALIASES: usize = 8;

/// A way to ask the DNS.
#[derive(Debug)]
pub(super) struct Dns {
    exchange: Exchange,
    /// Those to ask, the first that answers counts.
    resolvers: Vec<SocketAddr>,
}

/// What is known of the TXT records of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What the name is an alias (CNAME) of, and that of, and so on; mostly nothing.
    pub(super) aliases: Vec<String>,
    /// Whether the server says that it has authenticated all of the answer (DNSSEC; the bit AD).
    pub(super) authenticated: bool,
    /// The records, or why there are none.
    pub(super) found: Found,
}

/// The records of a name, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// At least one.
    Records(Vec<Txt>),
    /// The name has no TXT record.
    NoRecords,
    /// There is no such name (NXDOMAIN).
    NoName,
    /// It is not known whether there are any.
    Unknown(Trouble),
}

/// One TXT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Txt {
    /// Its strings, each of 255 octets at most (RFC 1035 §3.3.14).
    pub(super) strings: Vec<Vec<u8>>,
}

impl Txt {
    /// The strings without anything between them, as DKIM wants them (§3.6.2.2).
    pub(super) fn joined(&self) -> Vec<u8> {
        self.strings.concat()
    }
}

/// A server that the zone of a name is delegated to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// The zone.
    pub(super) zone: String,
    /// The server's name.
    pub(super) server: String,
    /// Where it may be asked; nothing where that cannot be found out.
    pub(super) addresses: Vec<IpAddr>,
}

/// Why the DNS did not answer. Its operators or the network cause it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A name that the DNS has no form for.
    Name(String),
    /// The server answers with an error: SERVFAIL, REFUSED and the like.
    Refused(SocketAddr, String),
    /// Nothing came in time.
    Timeout(SocketAddr),
    /// It could not be asked, or what it sent could not be read.
    Broken(SocketAddr, String),
    /// The server is not one of the zone, though the zone names it.
    Lame(SocketAddr),
    /// A server of a zone has no address.
    NoAddress(String),
    /// No zone has the name.
    NoZone(String),
    /// One alias leads to another without an end.
    Aliases,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} is no name that the DNS could have"),
            Self::Refused(server, code) => write!(f, "the DNS server {server} answers {code}"),
            Self::Timeout(server) => write!(f, "no answer from the DNS server {server} in time"),
            Self::Broken(server, why) => write!(f, "the DNS server {server}: {why}"),
            Self::Lame(server) => write!(f, "the DNS server {server} does not serve the zone"),
            Self::NoAddress(server) => write!(f, "the DNS server {server} has no address"),
            Self::NoZone(name) => write!(f, "no zone with servers has the name {name}"),
            Self::Aliases => write!(f, "more than {MOST_ALIASES} aliases (CNAME) in a row"),
        }
    }
}

impl error::Error for Trouble {}

impl Dns {
    /// By the servers that /etc/resolv.conf names.
    fn system() -> io::Result<Self> {
        let (config, _) = read_system_conf().map_err(|error| {
            io::Error::other(format!("no DNS server in /etc/resolv.conf: {error}"))
        })?;
        // libc asks no more than three either.
        let servers = config.name_servers().iter().take(3);
        Self::by(servers.map(|server| SocketAddr::new(server.ip, PORT)).collect())
    }

    /// As the option `--server` says, else by the system's.
    ///
    /// # Errors
    ///
    /// When the option is no address, or the system has no server to ask.
    pub(super) fn asked_for(server: Option<&str>) -> Result<Self, Failure> {
        let dns = match server {
            Some(text) => {
                let server = server_address(text).map_err(|_| {
                    Failure::usage(format_args!("{text:?} is not ADDRESS or ADDRESS:PORT"))
                })?;
                Self::server(server)
            }
            None => Self::system(),
        };
        dns.map_err(Failure::system)
    }

    /// By one server.
    fn server(server: SocketAddr) -> io::Result<Self> {
        Self::by(vec![server])
    }

    fn by(resolvers: Vec<SocketAddr>) -> io::Result<Self> {
        Ok(Self { exchange: Exchange::new()?, resolvers })
    }

    /// The TXT records of a name.
    pub(super) fn txt(&self, name: &str) -> Answer {
        self.answer(name, &self.resolvers, true)
    }

    /// The same as one server of the zone has it now, whatever a resolver remembers.
    pub(super) fn txt_at(&self, authority: &Authority, name: &str) -> Answer {
        if authority.addresses.is_empty() {
            return Answer::unknown(Trouble::NoAddress(authority.server.clone()));
        }
        let addresses: Vec<_> =
            authority.addresses.iter().map(|address| SocketAddr::new(*address, PORT)).collect();
        self.answer(name, &addresses, false)
    }

    /// The servers of the zone that a name is in.
    ///
    /// # Errors
    ///
    /// When they cannot be found out.
    pub(super) fn authorities(&self, name: &str) -> Result<Vec<Authority>, Trouble> {
        let mut zone = parse(name)?;
        let servers = loop {
            let reply = self.exchange.ask(&self.resolvers, &zone, RecordType::NS, true)?;
            let servers = data(&reply, &zone, |server: &NS| server.0.clone());
            if !servers.is_empty() {
                break servers;
            }
            if zone.is_root() {
                return Err(Trouble::NoZone(name.to_owned()));
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
            let Ok(reply) = self.exchange.ask(&self.resolvers, server, kind, true) else {
                continue;
            };
            let records = reply.answers.iter().map(|record| &record.data);
            let v4 = records.clone().filter_map(A::try_borrow).map(|address| IpAddr::V4(address.0));
            let v6 = records.filter_map(AAAA::try_borrow).map(|address| IpAddr::V6(address.0));
            addresses.extend(v4.chain(v6));
        }
        addresses
    }

    /// Asks `servers`, and the resolvers for what the name is an alias of, if that is left open.
    fn answer(&self, name: &str, servers: &[SocketAddr], recursive: bool) -> Answer {
        let mut answer = Answer { aliases: Vec::new(), authenticated: true, found: Found::NoName };
        let asked = parse(name).and_then(|mut name| {
            let (mut servers, mut recursive) = (servers, recursive);
            loop {
                let reply = self.exchange.ask(servers, &name, RecordType::TXT, recursive)?;
                if let Some(found) = answer.take(&reply, &mut name)? {
                    return Ok(found);
                }
                (servers, recursive) = (self.resolvers.as_slice(), true);
            }
        });
        answer.found = asked.unwrap_or_else(Found::Unknown);
        answer
    }
}

impl Answer {
    /// None, and why.
    pub(super) fn unknown(trouble: Trouble) -> Self {
        Self { aliases: Vec::new(), authenticated: false, found: Found::Unknown(trouble) }
    }

    /// Takes one reply for `name`, which becomes the last alias in it. `None`: that one is to be asked for.
    fn take(&mut self, reply: &Message, name: &mut Name) -> Result<Option<Found>, Trouble> {
        self.authenticated &= reply.metadata.authentic_data;
        let before = self.aliases.len();
        while let Some(alias) = alias(reply, name) {
            if self.aliases.len() >= MOST_ALIASES {
                return Err(Trouble::Aliases);
            }
            self.aliases.push(text(&alias));
            *name = alias;
        }
        let records = data(reply, name, |txt: &TXT| Txt {
            strings: txt.txt_data.iter().map(|s| s.to_vec()).collect(),
        });
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

/// Takes `ADDR[:PORT]`, an IPv6 address with a port in brackets.
fn server_address(text: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, PORT)),
        Err(_) => text.parse(),
    }
}

fn parse(name: &str) -> Result<Name, Trouble> {
    let mut parsed = Name::from_ascii(name).map_err(|_| Trouble::Name(name.to_owned()))?;
    // Whatever /etc/resolv.conf would like to add.
    parsed.set_fqdn(true);
    Ok(parsed)
}

/// A name as people write it.
fn text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').filter(|text| !text.is_empty()).unwrap_or(&text).to_owned()
}

fn alias(reply: &Message, name: &Name) -> Option<Name> {
    data(reply, name, |alias: &CNAME| alias.0.clone()).into_iter().next()
}

/// What a reply holds of a name itself.
fn data<R: RecordData, T>(reply: &Message, name: &Name, take: impl Fn(&R) -> T) -> Vec<T> {
    let own = reply.answers.iter().filter(|record| record.name == *name);
    own.filter_map(|record| R::try_borrow(&record.data)).map(take).collect()
}

#[cfg(test)]
mod tests;
