//! A host of the benchmark: a sandbox with a Postfix of its own, its processor time counted, and an agent that submits.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cpu::{Group, of_namespace};
use crate::sink;
use crate::support::{Sandbox, Tied};

/// A running host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) sandbox: Sandbox,
    /// The programs of a submission, and the agent that starts them.
    callers: Group,
    /// Postfix, and the milter, if there is one.
    daemons: Group,
    /// What any host has and this benchmark is not about: the sink, the log, the DNS.
    _aside: Group,
    _helpers: [Tied; 2],
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Processor time so far, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) callers: u64,
    pub(crate) daemons: u64,
}

/// What to submit, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) program: &'a str,
    pub(crate) submitters: usize,
    pub(crate) count: usize,
    /// The next is submitted when the one before has arrived.
    pub(crate) is_lockstep: bool,
    /// Messages in each SMTP session on standard input; 0: each by a call of its own.
    pub(crate) session: usize,
    /// One after the other, and from the beginning again.
    pub(crate) files: &'a [String],
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Nanoseconds that each call of sendmail(1) took.
    pub(crate) calls: Vec<f64>,
    /// Nanoseconds until each had arrived; none for sessions.
    pub(crate) waits: Vec<f64>,
    /// Nanoseconds until all had arrived.
    pub(crate) wall: f64,
    pub(crate) signed: usize,
    /// Nanoseconds of processor time for all of them.
    pub(crate) callers: f64,
    pub(crate) daemons: f64,
}

/// Of what the sandbox starts, the processes that are no part of a mail host's work on a message.
/// A script bears its own name.
const ASIDE: [&str; 4] = ["syslog.py", "sink.py", "nsd", "sink"];

impl Host {
    pub(crate) fn start(name: &str) -> Self {
        let callers = Group::new(&format!("{name}.callers"));
        let daemons = Group::new(&format!("{name}.daemons"));
        let aside = Group::new(&format!("{name}.aside"));
        let sandbox = daemons.within(|| Sandbox::own("bench"));
        move_aside(&sandbox, &aside);
        sandbox.root("mkdir -p /bench/mail; mkdir -m 1777 /bench/run");
        for role in ["agent", "sink"] {
            let place = sandbox.path(&format!("/bench/{role}"));
            fs::copy(std::env::current_exe().unwrap(), place).unwrap();
        }
        let relay = sink::ADDRESS.replace("127.0.0.1", "[127.0.0.1]");
        sandbox.root(&format!(
            "postconf -e relayhost={relay} message_size_limit=0 mailbox_size_limit=0; \
             postfix reload"
        ));
        let (sink, _, _) = aside.within(|| helper(&sandbox, "root", "sink"));
        let (agent, requests, answers) = callers.within(|| helper(&sandbox, "www-data", "agent"));
        Self {
            sandbox,
            callers,
            daemons,
            _aside: aside,
            _helpers: [Tied(agent), Tied(sink)],
            requests,
            answers,
        }
    }

    /// Another wrapper to measure: instead of the one that was built, or in addition to it.
    pub(crate) fn install(&self, wrapper: &str, place: &str) {
        if place != "/usr/sbin/sendmail.dkim" {
            self.sandbox.root(&format!("cp -p /usr/sbin/sendmail.dkim {place}"));
        }
        let place = self.sandbox.path(place);
        let rights = fs::metadata(&place).unwrap().permissions();
        fs::write(&place, fs::read(wrapper).unwrap()).unwrap();
        fs::set_permissions(&place, rights).unwrap();
    }

    /// Runs a shell text as root, whose daemons count as Postfix's do.
    pub(crate) fn start_daemon(&self, script: &str) {
        self.daemons.within(|| self.sandbox.root(script));
    }

    /// Whether it is counted by control groups.
    pub(crate) fn is_exact(&self) -> bool {
        self.callers.is_real()
    }

    pub(crate) fn used(&self) -> Used {
        let pid = self.sandbox.pid();
        let is_caller = |name: &str| name == "agent";
        let is_daemon = |name: &str| !is_caller(name) && !ASIDE.contains(&name);
        Used {
            callers: self.callers.counted().unwrap_or_else(|| of_namespace(pid, is_caller)),
            daemons: self.daemons.counted().unwrap_or_else(|| of_namespace(pid, is_daemon)),
        }
    }

    /// Until nothing happens any more: the last daemons clear up after a message has arrived.
    fn settled(&self) -> Used {
        let mut before = self.used();
        for _ in 0..200 {
            sleep(Duration::from_millis(15));
            let now = self.used();
            let more = (now.callers + now.daemons).saturating_sub(before.callers + before.daemons);
            before = now;
            if more < 100_000 {
                break;
            }
        }
        before
    }

    pub(crate) fn send(&mut self, load: Load<'_>) -> Outcome {
        let before = self.settled();
        let request = json!({
            "program": load.program, "submitters": load.submitters, "count": load.count,
            "lockstep": load.is_lockstep, "session": load.session, "files": load.files,
        });
        writeln!(self.requests, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer)
            .unwrap_or_else(|_| panic!("no answer: {request}\n{}", self.log()));
        let after = self.settled();
        let number = |value: &Value| value.as_f64().unwrap();
        let list = |key: &str| answer[key].as_array().unwrap().iter().map(number).collect();
        Outcome {
            calls: list("calls"),
            waits: list("waits"),
            wall: number(&answer["wall"]),
            signed: usize::try_from(answer["signed"].as_u64().unwrap()).unwrap(),
            callers: (after.callers - before.callers) as f64,
            daemons: (after.daemons - before.daemons) as f64,
        }
    }

    /// The end of what Postfix and the others say.
    pub(crate) fn log(&self) -> String {
        self.sandbox.root("tail -n 20 /var/log/postfix.log /out/syslog")
    }

    /// A file in the sandbox that every user may read.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> String {
        let path = format!("/bench/mail/{name}");
        let place = self.sandbox.path(&path);
        fs::write(&place, bytes).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }
}

/// The benchmark itself, as another program inside; returns when that is ready.
fn helper(
    sandbox: &Sandbox,
    user: &str,
    role: &str,
) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut command = sandbox.command(user, &format!("/bench/{role}"));
    let command = command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let requests = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    answers.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n", "{role}");
    (child, requests, answers)
}

fn move_aside(sandbox: &Sandbox, aside: &Group) {
    // By the host's numbers.
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&sandbox.pid().to_string());
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Ok(pid) = name.parse() else { continue };
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if namespace(&name) == wanted && ASIDE.contains(&comm.trim()) {
            aside.adopt(pid);
        }
    }
}
