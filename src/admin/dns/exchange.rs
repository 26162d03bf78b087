//! One question to DNS servers: by UDP and, where the answer does not fit, by TCP (RFC 7766).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RecordType};

use super::LookupError;

/// How long a server is waited for, by UDP and again by TCP; and how often it is sent the question meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

impl Wait {
    pub(super) const DEFAULT: Self = Self { timeout: Duration::from_secs(5), attempts: 3 };
}

/// What fits into one packet anywhere (RFC 9715). Bytes.
const PAYLOAD: u16 = 1232;

/// The reply of the first server that has one: records, or that there are none.
///
/// Without `recursive`, servers answer for zones of their own only.
pub(super) fn ask(
    servers: &[SocketAddr],
    name: &Name,
    kind: RecordType,
    recursive: bool,
    wait: Wait,
) -> Result<Message, LookupError> {
    let question = question(name, kind, recursive);
    let mut failure = LookupError::NoAddress(name.to_ascii());
    for &server in servers {
        failure = match ask_one(server, &question, wait) {
            Err(error) if is_timeout(&error) => LookupError::Timeout(server),
            Err(error) if error.raw_os_error().is_some() => {
                LookupError::Broken(server, error.kind().to_string())
            }
            Err(error) => LookupError::Broken(server, error.to_string()),
            Ok(reply) => match reply.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain
                    if recursive || reply.metadata.authoritative =>
                {
                    return Ok(reply);
                }
                ResponseCode::NoError | ResponseCode::NXDomain => LookupError::Lame(server),
                _ if is_bogus(&reply) => LookupError::Bogus(server),
                // As dig(1) writes it: SERVFAIL.
                code => LookupError::Refused(server, format!("{code:?}").to_uppercase()),
            },
        };
    }
    Err(failure)
}

/// Whether the server says that the records fail DNSSEC validation (extended errors 5 to 12, RFC 8914 §4).
fn is_bogus(reply: &Message) -> bool {
    const EXTENDED_ERROR: u16 = 15;
    let edns = reply.edns.as_ref();
    let option = edns.and_then(|edns| edns.options().get(EdnsCode::Unknown(EXTENDED_ERROR)));
    matches!(option, Some(EdnsOption::Unknown(_, data)) if matches!(data.as_slice(), [0, 5..=12, ..]))
}

fn question(name: &Name, kind: RecordType, recursive: bool) -> Message {
    let mut question = Message::query();
    question.add_query(Query::query(name.clone(), kind));
    question.metadata.recursion_desired = recursive;
    // Asks for that bit in the answer, and for no signatures (RFC 6840 §5.7).
    question.metadata.authentic_data = true;
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    question.set_edns(edns);
    question
}

fn ask_one(server: SocketAddr, question: &Message, wait: Wait) -> io::Result<Message> {
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let reply = by_udp(server, question, &bytes, wait)?;
    if reply.metadata.truncation { by_tcp(server, question, &bytes, wait) } else { Ok(reply) }
}

fn by_udp(server: SocketAddr, question: &Message, bytes: &[u8], wait: Wait) -> io::Result<Message> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // The kernel passes on what comes from the server, and nothing else.
    socket.connect(server)?;
    let attempts = wait.attempts.max(1);
    let interval = wait.timeout.checked_div(attempts).unwrap_or(wait.timeout);
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..attempts {
        socket.send(bytes)?;
        let sent = Instant::now();
        while let Ok(left) = left(sent, interval) {
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let reply = reply(question, buffer.get(..length).unwrap_or_default());
                    if let Some(reply) = reply.transpose() {
                        return reply;
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn by_tcp(server: SocketAddr, question: &Message, bytes: &[u8], wait: Wait) -> io::Result<Message> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&server, wait.timeout)?;
    stream.set_write_timeout(Some(wait.timeout))?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat())?;
    let mut receive = |buffer: &mut [u8]| -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            stream.set_read_timeout(Some(left(begun, wait.timeout)?))?;
            let length = match stream.read(rest)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                length => length,
            };
            rest = rest.get_mut(length..).unwrap_or_default();
        }
        Ok(())
    };
    let mut length = [0; 2];
    receive(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    receive(&mut bytes)?;
    reply(question, &bytes)?.ok_or_else(|| io::Error::other("it answers another question"))
}

/// Reads the reply to a question; `None` for anything else that arrived.
fn reply(question: &Message, bytes: &[u8]) -> io::Result<Option<Message>> {
    if !bytes.starts_with(&question.metadata.id.to_be_bytes()) {
        return Ok(None);
    }
    let reply = Message::from_vec(bytes).map_err(io::Error::other)?;
    // A server that cannot read the question does not repeat it.
    let is_reply = reply.queries.is_empty() || reply.queries == question.queries;
    Ok(Some(reply).filter(|_| is_reply))
}

/// What is left of a time.
fn left(begun: Instant, timeout: Duration) -> io::Result<Duration> {
    let left = timeout.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
    left.ok_or(ErrorKind::TimedOut.into())
}

fn is_timeout(error: &io::Error) -> bool {
    // Linux has the first for a read, the second for a connect.
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
