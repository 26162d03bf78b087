//! In the sandbox: a peer that takes mail, keeps none of it, and tells the agent of each message as it has got it. A peer of
//! few instructions, so that it does not take the processors from what is measured.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::thread;

use super::agent::ARRIVALS;

/// Where Postfix sends everything.
pub(crate) const ADDRESS: &str = "127.0.0.1:2600";

const END: &[u8] = b"\r\n.\r\n";
/// Postfix does not wait for the answer before it says goodbye.
const END_AND_QUIT: &[u8] = b"\r\n.\r\nQUIT\r\n";
const FIELD: &[u8] = b"DKIM-Signature:";

pub(crate) fn main() {
    let listener = TcpListener::bind(ADDRESS).unwrap();
    println!("ready");
    for stream in listener.incoming() {
        thread::spawn(move || stream.and_then(|stream| serve(&stream)));
    }
}

fn serve(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let (mut writer, mut line) = (stream, Vec::new());
    let mut number = String::new();
    writer.write_all(b"220 sink.test ESMTP\r\n")?;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let verb: String = line.iter().take(4).map(|&byte| char::from(byte)).collect();
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-sink.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n",
            "DATA" => {
                writer.write_all(b"354 go ahead\r\n")?;
                let taken = take(&mut reader)?;
                let word = format!("{}{number}", if taken.is_signed { "s" } else { "-" });
                UnixDatagram::unbound()?.send_to(word.as_bytes(), ARRIVALS)?;
                if taken.is_last {
                    return writer.write_all(b"250 2.0.0 taken\r\n221 2.0.0 bye\r\n");
                }
                "250 2.0.0 taken\r\n"
            }
            "QUIT" => return writer.write_all(b"221 2.0.0 bye\r\n"),
            "RCPT" => {
                // The recipient says which message it is.
                let digits = line.iter().filter(|byte| byte.is_ascii_digit());
                number = digits.map(|&byte| char::from(byte)).collect();
                "250 2.0.0 ok\r\n"
            }
            _ => "250 2.0.0 ok\r\n",
        };
        writer.write_all(answer.as_bytes())?;
    }
}

/// What a message was.
struct Taken {
    is_signed: bool,
    is_last: bool,
}

/// Reads a message to its end. A signature is in its first part, if anywhere.
fn take(reader: &mut BufReader<&TcpStream>) -> io::Result<Taken> {
    let (mut part, mut kept) = (vec![0; 256 << 10], 0);
    let (mut is_signed, mut is_first) = (false, true);
    loop {
        let read = reader.read(&mut part[kept..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let filled = kept + read;
        if is_first && !is_signed {
            let top = &part[..filled.min(16 << 10)];
            is_signed = top.windows(FIELD.len()).any(|window| window == FIELD);
        }
        let is_last = part[..filled].ends_with(END_AND_QUIT);
        if is_last || part[..filled].ends_with(END) {
            return Ok(Taken { is_signed, is_last });
        }
        // What the end may begin in stays for the next part.
        if filled > 128 << 10 {
            part.copy_within(filled - END_AND_QUIT.len()..filled, 0);
            kept = END_AND_QUIT.len();
            is_first = false;
        } else {
            kept = filled;
        }
    }
}
