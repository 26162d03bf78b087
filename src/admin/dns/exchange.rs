//! One question to DNS servers: by UDP and, where the answer is too long for that, by TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsRequestSender as _, FirstAnswer as _};
use hickory_resolver::net::{DnsHandle as _, NetError};
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, Edns, Message, Query, ResponseCode,
};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::runtime::{Builder, Runtime};

use super::Trouble;

/// How long a server is waited for, by UDP and again by TCP.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question is sent anew by UDP after this time.
const AGAIN: Duration = Duration::from_millis(1_500);

/// What waits for answers.
#[derive(Debug)]
pub(super) struct Exchange {
    runtime: Runtime,
    /// See [`PATIENCE`].
    pub(super) patience: Duration,
}

impl Exchange {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, patience: PATIENCE })
    }

    /// The reply of the first server that has one: records, or that there are none.
    ///
    /// Without `recursive`, servers answer for zones of their own only.
    pub(super) fn ask(
        &self,
        servers: &[SocketAddr],
        name: &Name,
        kind: RecordType,
        recursive: bool,
    ) -> Result<Message, Trouble> {
        let question = question(name, kind, recursive);
        let mut trouble = Trouble::NoAddress(name.to_ascii());
        for &server in servers {
            let reply = match self.runtime.block_on(ask_one(server, &question, self.patience)) {
                Ok(reply) => reply,
                Err(NetError::Timeout) => {
                    trouble = Trouble::Timeout(server);
                    continue;
                }
                Err(error) => {
                    trouble = Trouble::Broken(server, error.to_string());
                    continue;
                }
            };
            let code = reply.metadata.response_code;
            trouble = if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
                Trouble::Refused(server, mnemonic(code))
            } else if recursive || reply.metadata.authoritative {
                return Ok(reply);
            } else {
                Trouble::Lame(server)
            };
        }
        Err(trouble)
    }
}

/// The code as dig(1) and everybody else writes it, where it is one of the frequent.
fn mnemonic(code: ResponseCode) -> String {
    let names = [
        (ResponseCode::FormErr, "FORMERR"),
        (ResponseCode::ServFail, "SERVFAIL"),
        (ResponseCode::NotImp, "NOTIMP"),
        (ResponseCode::Refused, "REFUSED"),
    ];
    let found = names.iter().find(|(known, _)| *known == code);
    found.map_or_else(|| code.to_string(), |(_, name)| (*name).to_owned())
}

fn question(name: &Name, kind: RecordType, recursive: bool) -> Message {
    let mut question = Message::query();
    question.add_query(Query::query(name.clone(), kind));
    question.metadata.recursion_desired = recursive;
    // Asks for that bit in the answer, and for no signatures (RFC 6840 §5.7).
    question.metadata.authentic_data = true;
    let mut edns = Edns::new();
    // What fits into one packet anywhere (RFC 9715).
    edns.set_max_payload(1232);
    question.set_edns(edns);
    question
}

async fn ask_one(
    server: SocketAddr,
    question: &Message,
    patience: Duration,
) -> Result<Message, NetError> {
    let request = || {
        let mut options = DnsRequestOptions::default();
        options.retry_interval = AGAIN;
        DnsRequest::new(question.clone(), options)
    };
    let provider = TokioRuntimeProvider::new();
    let udp = UdpClientStream::builder(server, provider.clone()).with_timeout(Some(patience));
    let reply = udp.build().send_message(request()).first_answer().await?;
    if !reply.metadata.truncation {
        return Ok(reply.into_message());
    }
    // What reads and writes the connection lives as long as the provider does.
    let tcp = TcpClientStream::exchange(server, None, patience, None, provider.clone()).await?;
    Ok(tcp.send(request()).first_answer().await?.into_message())
}
