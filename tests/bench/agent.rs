//! In the sandbox, as an ordinary user: submits mail as a caller does, through a pipe, and says how long it took. It reads
//! a request from each line of stdin and answers with a line.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Where the sink tells of each message that it has got.
pub(crate) const ARRIVALS: &str = "/bench/run/arrivals";

/// How long a message may be on its way.
const PATIENCE: Duration = Duration::from_secs(120);

/// One message that the sink has got.
struct Arrival {
    at: Instant,
    is_signed: bool,
    /// Which of those that were submitted.
    number: usize,
}

impl Arrival {
    fn read(word: &str) -> Option<Self> {
        let (is_signed, number) = word.split_at_checked(1)?;
        Some(Self { at: Instant::now(), is_signed: is_signed == "s", number: number.parse().ok()? })
    }
}

/// What was asked for.
struct Request {
    program: String,
    submitters: usize,
    count: usize,
    /// The next is submitted when the one before has arrived.
    is_lockstep: bool,
    /// Messages in each SMTP session on standard input; 0: each by a call of its own.
    session: usize,
    messages: Vec<Vec<u8>>,
}

impl Request {
    fn read(line: &str) -> Self {
        let asked: Value = serde_json::from_str(line).unwrap();
        let number = |key: &str| usize::try_from(asked[key].as_u64().unwrap()).unwrap();
        let files = asked["files"].as_array().unwrap().iter();
        Self {
            program: asked["program"].as_str().unwrap().to_owned(),
            submitters: number("submitters"),
            count: number("count"),
            is_lockstep: asked["lockstep"].as_bool().unwrap(),
            session: number("session"),
            messages: files.map(|file| fs::read(file.as_str().unwrap()).unwrap()).collect(),
        }
    }

    /// Returns when the program has ended, or the SMTP session: how long that took.
    fn submit(&self, number: usize) -> Duration {
        let begin = Instant::now();
        if let Some(port) = self.program.strip_prefix("smtp:") {
            self.submit_by_smtp(port, number).unwrap();
            return begin.elapsed();
        }
        let mut child = Command::new(&self.program)
            .args(["-i", "-f", SENDER, &recipient(number)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let message = self.message(number);
        // A program that takes no more says so by its exit code.
        drop(child.stdin.take().unwrap().write_all(message));
        assert!(child.wait().unwrap().success(), "{}", self.program);
        begin.elapsed()
    }

    /// In an SMTP session of its own.
    fn submit_by_smtp(&self, port: &str, number: usize) -> io::Result<()> {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
        stream.set_nodelay(true)?;
        let (mut replies, mut commands) = (BufReader::new(&stream), &stream);
        let text = String::from_utf8_lossy(self.message(number)).replace('\n', "\r\n");
        for command in [
            "",
            "EHLO client.example\r\n",
            &format!("MAIL FROM:<{SENDER}>\r\n"),
            &format!("RCPT TO:<{}>\r\n", recipient(number)),
            "DATA\r\n",
            &format!("{text}.\r\n"),
            "QUIT\r\n",
        ] {
            commands.write_all(command.as_bytes())?;
            let mut reply = String::new();
            while !reply.starts_with(['2', '3']) || reply.as_bytes()[3] == b'-' {
                reply.clear();
                assert!(replies.read_line(&mut reply)? > 0, "the session ends");
                assert!(!reply.starts_with(['4', '5']), "{reply}");
            }
        }
        Ok(())
    }

    fn message(&self, number: usize) -> &[u8] {
        &self.messages[number % self.messages.len()]
    }

    /// All messages, by sessions one after the other: how long each session took.
    fn sessions(&self) -> Vec<u64> {
        let numbers: Vec<usize> = (0..self.count).collect();
        let one = |numbers: &[usize]| {
            let begin = Instant::now();
            let mut child = Command::new(&self.program)
                .arg("-bs")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut replies = BufReader::new(child.stdout.take().unwrap());
            let mut commands = child.stdin.take().unwrap();
            let mut say = |bytes: &[u8]| {
                commands.write_all(bytes).unwrap();
                let mut reply = String::new();
                while !reply.starts_with(['2', '3']) || reply.as_bytes()[3] == b'-' {
                    reply.clear();
                    assert!(replies.read_line(&mut reply).unwrap() > 0, "the session ends");
                    assert!(!reply.starts_with(['4', '5']), "{reply}");
                }
            };
            // The first reply is the greeting.
            say(b"");
            say(b"EHLO client.example\r\n");
            for &number in numbers {
                let text = String::from_utf8_lossy(self.message(number)).replace('\n', "\r\n");
                say(format!("MAIL FROM:<{SENDER}>\r\n").as_bytes());
                say(format!("RCPT TO:<{}>\r\n", recipient(number)).as_bytes());
                say(b"DATA\r\n");
                say(format!("{text}.\r\n").as_bytes());
            }
            say(b"QUIT\r\n");
            drop(commands);
            assert!(child.wait().unwrap().success(), "{}", self.program);
            nanoseconds(begin.elapsed())
        };
        numbers.chunks(self.session).map(one).collect()
    }
}

const SENDER: &str = "sender@origin.example";

/// Where a message goes, so that the sink can say which it was.
fn recipient(number: usize) -> String {
    format!("to+{number}@sink.test")
}

pub(crate) fn main() {
    drop(fs::remove_file(ARRIVALS));
    let socket = UnixDatagram::bind(ARRIVALS).unwrap();
    let (sender, arrivals) = channel();
    thread::spawn(move || {
        let mut word = [0; 32];
        while let Ok(length) = socket.recv(&mut word) {
            let arrival = Arrival::read(&String::from_utf8_lossy(&word[..length]));
            drop(sender.send(arrival.expect("a word of the sink")));
        }
    });
    println!("ready");
    for line in io::stdin().lock().lines() {
        let request = Request::read(&line.unwrap());
        println!("{}", serve(&request, &arrivals));
    }
}

fn serve(request: &Request, arrivals: &Receiver<Arrival>) -> Value {
    let begin = Instant::now();
    let (mut waits, mut signed) = (Vec::new(), 0);
    let mut wait = || {
        let arrival = arrivals.recv_timeout(PATIENCE).expect("the message arrives");
        signed += usize::from(arrival.is_signed);
        arrival
    };
    let calls = if request.is_lockstep {
        let one = |number| {
            let begin = Instant::now();
            let call = request.submit(number);
            waits.push(nanoseconds(wait().at - begin));
            nanoseconds(call)
        };
        (0..request.count).map(one).collect()
    } else if request.session > 0 {
        let calls = request.sessions();
        for _ in 0..request.count {
            wait();
        }
        calls
    } else {
        let submitted = crowd(request);
        for _ in 0..request.count {
            let arrival = wait();
            waits.push(nanoseconds(arrival.at - submitted[&arrival.number].0));
        }
        submitted.into_values().map(|(_, call)| nanoseconds(call)).collect()
    };
    let wall = nanoseconds(begin.elapsed());
    json!({ "calls": calls, "waits": waits, "wall": wall, "signed": signed })
}

/// All of them, by some submitters at once: when each began, and how long the call took.
fn crowd(request: &Request) -> BTreeMap<usize, (Instant, Duration)> {
    let (next, calls) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..request.submitters {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= request.count {
                        return;
                    }
                    let begin = Instant::now();
                    let call = request.submit(number);
                    calls.lock().unwrap().insert(number, (begin, call));
                }
            });
        }
    });
    calls.into_inner().unwrap()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}
