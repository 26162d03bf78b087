//! Sends a query to DNS servers, by UDP and, if the answer does not fit, by TCP (RFC 7766).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};

use super::error::LookupError;
use super::server::{Server, Servers};

/// How long to wait for a server, by UDP and again by TCP, and how often to send the query in this time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

impl Wait {
    pub(super) const DEFAULT: Self = Self { timeout: Duration::from_secs(5), attempts: 3 };
}

/// The limits for all queries of a run.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) wait: Wait,
    /// No query is sent after this time.
    pub(super) deadline: Mutex<Option<Instant>>,
    pub(super) servers: Servers,
}

/// How long to wait for all servers of one lookup together.
const LONGEST: Duration = Duration::from_secs(10);

/// The largest UDP payload that needs no fragmentation (RFC 9715), in bytes.
const PAYLOAD: u16 = 1232;

/// A query.
#[derive(Debug)]
pub(super) struct Question {
    name: Name,
    message: Message,
}

impl Question {
    /// Without `recursive`, servers only answer for their own zones.
    pub(super) fn new(name: &Name, kind: RecordType, recursive: bool) -> Self {
        let mut message = Message::query();
        message.add_query(Query::query(name.clone(), kind));
        message.metadata.recursion_desired = recursive;
        // Requests the AD bit in the answer, but no signatures (RFC 6840 §5.7).
        message.metadata.authentic_data = true;
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
        Self { name: name.clone(), message }
    }

    /// The reply of the first server that answers, with or without records.
    pub(super) fn ask(
        &self,
        bounds: &Bounds,
        servers: &[SocketAddr],
    ) -> Result<Message, LookupError> {
        let mut failure = LookupError::NoAddress(self.name.to_ascii());
        let share = LONGEST.checked_div(u32::try_from(servers.len()).unwrap_or(u32::MAX));
        for &server in servers {
            let reply = self.ask_in_turn(bounds, server, share.unwrap_or(LONGEST));
            match reply.and_then(|reply| self.usable(server, reply)) {
                Ok(reply) => return Ok(reply),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn usable(&self, server: SocketAddr, reply: Message) -> Result<Message, LookupError> {
        let code = reply.metadata.response_code;
        if matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            let is_own = self.message.metadata.recursion_desired || reply.metadata.authoritative;
            return if is_own { Ok(reply) } else { Err(LookupError::Lame(server)) };
        }
        // Written as in dig(1): SERVFAIL.
        let refused = || LookupError::Refused(server, format!("{code:?}").to_uppercase());
        Err(if is_bogus(&reply) { LookupError::Bogus(server) } else { refused() })
    }

    /// Sends the query when the server has not too many others to answer, and only if it answers at all.
    fn ask_in_turn(
        &self,
        bounds: &Bounds,
        server: SocketAddr,
        longest: Duration,
    ) -> Result<Message, LookupError> {
        let state = bounds.servers.of(server);
        let _turn = state.turn().ok_or(LookupError::Silent(server))?;
        let asked = Instant::now();
        let whole = bounds.wait.timeout.min(longest);
        let deadline = *bounds.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(asked));
        let timeout = left.map_or(whole, |left| left.min(whole));
        if timeout.is_zero() {
            return Err(LookupError::Late);
        }
        let wait = Wait { timeout, ..bounds.wait };
        self.ask_one(server, &state, wait).map_err(|error| match error.raw_os_error() {
            _ if is_timeout(&error) && timeout < whole => LookupError::Late,
            _ if is_timeout(&error) => {
                state.gave_no_answer(asked);
                LookupError::Timeout(server)
            }
            Some(_) => LookupError::Broken(server, error.kind().to_string()),
            None => LookupError::Broken(server, error.to_string()),
        })
    }

    fn ask_one(&self, server: SocketAddr, state: &Server, wait: Wait) -> io::Result<Message> {
        let reply = self.by_udp(server, state, wait)?;
        if reply.metadata.truncation { self.by_tcp(server, wait.timeout) } else { Ok(reply) }
    }

    /// A query that every server answers immediately, even if only with an error. It shows whether the server answers at all: a
    /// resolver may not answer for a name whose own servers do not answer.
    fn probe() -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::root(), RecordType::NS));
        message
    }

    fn by_udp(&self, server: SocketAddr, state: &Server, wait: Wait) -> io::Result<Message> {
        let question = bytes(&self.message)?;
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        // The kernel only passes on datagrams from this server.
        socket.connect(server)?;
        let Wait { timeout, attempts } = wait;
        let interval = timeout.checked_div(attempts).unwrap_or(timeout);
        let mut buffer = vec![0; usize::from(u16::MAX)];
        for attempt in 1..=attempts {
            if state.is_silent() {
                break;
            }
            socket.send(&question)?;
            if attempt == attempts {
                socket.send(&bytes(&Self::probe())?)?;
            }
            let sent = Instant::now();
            while let Ok(left) = left(sent, interval) {
                socket.set_read_timeout(Some(left))?;
                let received = match socket.recv(&mut buffer) {
                    Err(error) if is_timeout(&error) || is_interrupted(&error) => continue,
                    received => buffer.get(..received?).unwrap_or_default(),
                };
                state.heard();
                if let Some(reply) = self.reply(received)? {
                    return Ok(reply);
                }
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    fn by_tcp(&self, server: SocketAddr, timeout: Duration) -> io::Result<Message> {
        let question = bytes(&self.message)?;
        let begun = Instant::now();
        let mut stream = TcpStream::connect_timeout(&server, timeout)?;
        stream.set_write_timeout(Some(timeout))?;
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&[length.to_be_bytes().as_slice(), &question].concat())?;
        let mut receive = |buffer: &mut [u8]| -> io::Result<()> {
            let mut rest = buffer;
            while !rest.is_empty() {
                stream.set_read_timeout(Some(left(begun, timeout)?))?;
                let length = match stream.read(rest) {
                    Err(error) if is_interrupted(&error) => continue,
                    length => length?,
                };
                rest = rest
                    .get_mut(length..)
                    .filter(|_| length > 0)
                    .ok_or(ErrorKind::UnexpectedEof)?;
            }
            Ok(())
        };
        let mut length = [0; 2];
        receive(&mut length)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        receive(&mut bytes)?;
        self.reply(&bytes)?.ok_or_else(|| io::Error::other("the reply is for another query"))
    }

    /// Parses the reply. `None` for any other datagram.
    fn reply(&self, bytes: &[u8]) -> io::Result<Option<Message>> {
        if !bytes.starts_with(&self.message.metadata.id.to_be_bytes()) {
            return Ok(None);
        }
        let reply = Message::from_vec(bytes).map_err(io::Error::other)?;
        // A server that cannot parse the query does not repeat it.
        let is_reply = reply.queries.is_empty() || reply.queries == self.message.queries;
        Ok(Some(reply).filter(|_| is_reply))
    }
}

/// Whether the server reports that the records fail DNSSEC validation (extended errors 5 to 12, RFC 8914 §4).
fn is_bogus(reply: &Message) -> bool {
    const EXTENDED_ERROR: u16 = 15;
    let edns = reply.edns.as_ref();
    let option = edns.and_then(|edns| edns.options().get(EdnsCode::Unknown(EXTENDED_ERROR)));
    matches!(option, Some(EdnsOption::Unknown(_, data)) if matches!(data.as_slice(), [0, 5..=12, ..]))
}

fn bytes(message: &Message) -> io::Result<Vec<u8>> {
    message.to_vec().map_err(io::Error::other)
}

/// The rest of a timeout.
fn left(begun: Instant, timeout: Duration) -> io::Result<Duration> {
    let left = timeout.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
    left.ok_or(ErrorKind::TimedOut.into())
}

/// Whether the call failed because the process was stopped and has continued. A call with a timeout is not restarted (signal(7)).
fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Interrupted
}

fn is_timeout(error: &io::Error) -> bool {
    // Linux uses the first for a read, the second for a connect.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
