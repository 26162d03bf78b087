//! In the sandbox, as an ordinary user: submits mail as a caller does, through a pipe, and says how long it took. It reads
//! a request from each line of stdin and answers with a line.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
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
}

/// What was asked for.
struct Request {
    program: String,
    submitters: usize,
    count: usize,
    /// The next is submitted when the one before has arrived.
    is_lockstep: bool,
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
            messages: files.map(|file| fs::read(file.as_str().unwrap()).unwrap()).collect(),
        }
    }

    /// Returns when the program has ended: how long that took.
    fn submit(&self, number: usize) -> Duration {
        let begin = Instant::now();
        let mut child = Command::new(&self.program)
            .args(["-i", "-f", "sender@origin.example", "to@sink.test"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let message = &self.messages[number % self.messages.len()];
        // A program that takes no more says so by its exit code.
        drop(child.stdin.take().unwrap().write_all(message));
        assert!(child.wait().unwrap().success(), "{}", self.program);
        begin.elapsed()
    }
}

pub(crate) fn main() {
    drop(fs::remove_file(ARRIVALS));
    let socket = UnixDatagram::bind(ARRIVALS).unwrap();
    let (sender, arrivals) = channel();
    thread::spawn(move || {
        let mut word = [0];
        while socket.recv(&mut word).is_ok() {
            drop(sender.send(Arrival { at: Instant::now(), is_signed: word == [b's'] }));
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
        arrival.at
    };
    let calls = if request.is_lockstep {
        let one = |number| {
            let begin = Instant::now();
            let call = request.submit(number);
            waits.push(nanoseconds(wait() - begin));
            nanoseconds(call)
        };
        (0..request.count).map(one).collect()
    } else {
        let calls = crowd(request);
        for _ in 0..request.count {
            wait();
        }
        calls
    };
    let wall = nanoseconds(begin.elapsed());
    json!({ "calls": calls, "waits": waits, "wall": wall, "signed": signed })
}

/// All of them, by some submitters at once.
fn crowd(request: &Request) -> Vec<u64> {
    let (next, calls) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..request.submitters {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= request.count {
                        return;
                    }
                    let call = nanoseconds(request.submit(number));
                    calls.lock().unwrap().push(call);
                }
            });
        }
    });
    calls.into_inner().unwrap()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}
