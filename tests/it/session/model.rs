//! A client, two kinds of server, and what each has to see when the session stands between them. The servers
//! go by lines, read for themselves, and share no code with what is judged.

use sendmail_dkim::message::session::{DataEnd, Session};

/// Numbers made of bytes: the same bytes give the same numbers.
struct Chance<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>, usize);

impl<'a> Chance<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter().cycle(), 0)
    }

    fn below(&mut self, limit: usize) -> usize {
        let byte = self.0.next().copied().unwrap_or(7);
        self.1 = self.1.wrapping_mul(31).wrapping_add(usize::from(byte)).wrapping_add(1);
        (self.1 >> 3).checked_rem(limit).unwrap_or(0)
    }
}

/// What a server saw.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Command(Vec<u8>),
    Message(Vec<u8>),
    /// After STARTTLS.
    Secret,
}

#[derive(Debug, PartialEq, Eq)]
enum Mode {
    Commands,
    Data,
    /// BDAT: so many bytes.
    Chunk(usize),
    Secret,
}

struct Server<'a> {
    /// Lines end in CR LF and nothing else; otherwise as Postfix in stand-alone mode.
    strict: bool,
    chance: Chance<'a>,
    mode: Mode,
    received: Vec<u8>,
    line: Vec<u8>,
    text: Vec<u8>,
    seen: Vec<Seen>,
    /// All that it said, and how much of that was delivered.
    said: Vec<u8>,
    delivered: usize,
}

impl<'a> Server<'a> {
    fn new(strict: bool, chance: &'a [u8]) -> Self {
        Self {
            strict,
            chance: Chance::new(chance),
            mode: Mode::Commands,
            received: Vec::new(),
            line: Vec::new(),
            text: Vec::new(),
            seen: Vec::new(),
            said: b"220-x\r\n220 y\r\n".to_vec(),
            delivered: 0,
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        for byte in bytes {
            self.line.push(*byte);
            if let Mode::Chunk(size) = self.mode {
                if self.line.len() == size {
                    self.seen.push(Seen::Message(std::mem::take(&mut self.line)));
                    self.mode = Mode::Commands;
                    self.say(b"250 chunk\r\n");
                }
            } else if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.line(line);
            }
        }
    }

    fn line(&mut self, line: Vec<u8>) {
        match self.mode {
            Mode::Secret | Mode::Chunk(_) => {}
            Mode::Commands => self.command(line),
            Mode::Data => {
                let after_crlf = self.text.is_empty() || self.text.ends_with(b"\r\n");
                let mut text = line.strip_suffix(b"\n").unwrap_or(&line);
                while let Some(shorter) = text.strip_suffix(b"\r") {
                    text = shorter;
                }
                if if self.strict { after_crlf && line == b".\r\n" } else { text == b"." } {
                    self.seen.push(Seen::Message(std::mem::take(&mut self.text)));
                    self.mode = Mode::Commands;
                    self.say(b"250 queued\r\n");
                } else {
                    self.text.extend_from_slice(&line);
                }
            }
        }
    }

    fn command(&mut self, line: Vec<u8>) {
        let verb = line.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let verb = verb.to_ascii_uppercase();
        let is_bad = self.strict && !line.ends_with(b"\r\n");
        self.seen.push(Seen::Command(line));
        let chance = self.chance.below(32);
        if is_bad {
            self.say(b"500 bare LF\r\n");
        } else if verb == b"DATA" {
            if chance < 20 {
                self.mode = Mode::Data;
                self.say(b"354 go\r\n");
            } else {
                self.say(b"503-no\r\n503 no\r\n");
            }
        } else if verb == b"BDAT" && chance < 20 {
            self.mode = Mode::Chunk(6);
        } else if verb == b"STARTTLS" && chance < 8 {
            self.seen.push(Seen::Secret);
            self.mode = Mode::Secret;
            self.say(b"220 go\r\n\x16\x03CHUNKING\n\x00");
        } else if verb == b"EHLO" {
            self.say(b"250-h\r\n250-SIZE 5\r\n250-CHUNKING\r\n250 DSN\r\n");
        } else if chance == 0 {
            self.mode = Mode::Data;
            self.say(b"354 what\r\n");
        } else if chance < 8 {
            self.say(b"250-a\r\n250-354 b\r\n250 c\r\n");
        } else {
            self.say(b"500 d\n");
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
    }
}

/// What is put instead of a message.
const ANOTHER: &[u8] = b"Another: one\r\n\r\n..\r\n";

/// Lets a client say all of `script`, in pieces by chance, to a server that answers by chance. With
/// `replace`, each message whose end is clear is another.
fn talk<'a>(
    script: &[u8],
    (strict, replace): (bool, bool),
    pieces: &[u8],
    answers: &'a [u8],
) -> (Server<'a>, Vec<u8>, usize) {
    let mut session = Session::default();
    let mut server = Server::new(strict, answers);
    let mut chance = Chance::new(pieces);
    let mut script = script;
    let (mut waiting, mut message, mut to_client) = (Vec::new(), Vec::new(), Vec::new());
    let mut replaced: usize = 0;
    loop {
        let mut moved = false;
        if chance.below(2) == 0 || server.delivered == server.said.len() {
            let (piece, rest) =
                script.split_at(script.len().min(chance.below(40).saturating_add(1)));
            waiting.extend_from_slice(piece);
            script = rest;
            moved |= !piece.is_empty();
        }
        loop {
            let mut to_server = Vec::new();
            let taken = if session.is_in_data() {
                let (taken, end) = session.data(&waiting, &mut message);
                if end != DataEnd::NotYet {
                    if replace && end == DataEnd::Found {
                        replaced = replaced.saturating_add(1);
                        to_server = [ANOTHER, b".\r\n"].concat();
                    } else {
                        to_server = [message.as_slice(), session.data_end()].concat();
                    }
                    message.clear();
                    session.end_data(end);
                }
                taken
            } else {
                session.client(&waiting, &mut to_server)
            };
            waiting.drain(..taken);
            server.hear(&to_server);
            if taken == 0 {
                break;
            }
            moved = true;
        }
        let left = server.said.get(server.delivered..).unwrap_or_default();
        if !left.is_empty() {
            let piece = left.get(..chance.below(9).saturating_add(1)).unwrap_or(left);
            session.server(piece, &mut to_client);
            server.delivered = server.delivered.saturating_add(piece.len());
            moved = true;
        }
        if !moved && script.is_empty() {
            break;
        }
    }
    // The client leaves, in the middle of a message perhaps.
    server.hear(&[message.as_slice(), session.data_end()].concat());
    session.server_ended(&mut to_client);
    (server, to_client, replaced)
}

/// Lines without CHUNKING, and without what tells the last of them.
fn comparable(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.ends_with(b"CHUNKING\r\n"));
    lines
        .map(|line| {
            let mut line = line.to_vec();
            if let Some(sign) = line.get_mut(3)
                && *sign == b'-'
            {
                *sign = b' ';
            }
            line
        })
        .collect()
}

/// Whether each side sees what it would see without the wrapper, except for messages that are replaced where the server, too,
/// finds a message. Says how many those were.
pub(crate) fn judge(chance: &[u8], script: &[u8]) -> Result<usize, String> {
    let mut judged = 0;
    for strict in [false, true] {
        let (plain, heard, _) = talk(script, (strict, false), chance, chance);
        if plain.received != script {
            return Err(format!("the server got {:?}", plain.received.escape_ascii().to_string()));
        }
        if comparable(&heard) != comparable(&plain.said) {
            return Err(format!("the client got {:?}", heard.escape_ascii().to_string()));
        }
        let (other, _, replaced) = talk(script, (strict, true), chance, chance);
        judged += replaced;
        let mut left = replaced;
        let mut same = plain.seen.len() == other.seen.len();
        for (plain, other) in plain.seen.iter().zip(&other.seen) {
            same &= match (plain, other) {
                (Seen::Message(_), Seen::Message(text)) if text == ANOTHER && left > 0 => {
                    left -= 1;
                    true
                }
                (plain, other) => plain == other,
            };
        }
        if !same || left > 0 {
            return Err(format!("strict: {strict}: {:?} became {:?}", plain.seen, other.seen));
        }
    }
    Ok(judged)
}
