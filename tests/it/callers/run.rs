//! One run of one caller in the sandbox, towards one hop, and what came of it.

use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::row::Row;
use crate::support::{Received, Sandbox};

/// How long a caller may take; cron waits for the next full minute.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long its mail may be on the way when the caller has ended.
const DELIVERY: Duration = Duration::from_secs(60);

/// How sendmail was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// What stdin, stdout and stderr were.
    pub(crate) descriptors: String,
    pub(crate) argv: Vec<String>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) row: Row,
    pub(crate) hop: &'static str,
    pub(crate) calls: Vec<Call>,
    pub(crate) messages: Vec<Received>,
    /// The log of the wrapper.
    pub(crate) log: String,
    /// What is wrong with it so far.
    pub(crate) faults: Vec<String>,
}

/// A stage in the sandbox, removed when it is dropped.
struct OnStage(Child);

impl Drop for OnStage {
    fn drop(&mut self) {
        // Its process 1 lives until its stdin ends, and everything there ends with it.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

impl Run {
    /// Has the caller send, waits for its mail, and ends what it left behind.
    pub(crate) fn of(sandbox: &Sandbox, row: &Row, hop: &'static str) -> Self {
        let row = row.through(hop);
        let folder = format!("/out/runs/{}.{hop}", row.name);
        let mut stage = sandbox.enter();
        stage.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        stage.args(["/opt/callers/stage.sh", &row.name, hop, &row.user, &row.to]);
        stage.stdin(Stdio::piped()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let stage = OnStage(stage.spawn().unwrap());
        let text = |name: &str| {
            let bytes = fs::read(sandbox.path(&format!("{folder}/{name}"))).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut faults = Vec::new();
        let mut deadline = Instant::now() + PATIENCE;
        let mut end = None;
        let messages = loop {
            let status = text("status");
            let ended = row.daemon || !status.is_empty();
            let messages: Vec<_> =
                row.recipients().into_iter().flat_map(|one| sandbox.arrived(one)).collect();
            if ended && messages.len() >= row.messages * row.recipients().len() {
                break messages;
            }
            if !status.is_empty() {
                deadline = deadline.min(*end.get_or_insert_with(|| Instant::now() + DELIVERY));
            }
            if !["", "0\n"].contains(&status.as_str()) || Instant::now() > deadline {
                faults.push(format!("no mail came of it, exit status {status:?}"));
                break messages;
            }
            sleep(Duration::from_millis(100));
        };
        drop(stage);
        let (said, complained) = (text("stdout"), text("stderr"));
        if said != row.says.as_deref().unwrap_or_default() {
            faults.push(format!("stdout: {said:?}"));
        }
        if !complained.is_empty() {
            faults.push(format!("stderr: {complained}"));
        }
        let log = text("log");
        Self { calls: calls(sandbox, &folder), row, hop, messages, log, faults }
    }
}

/// The notes of the recorder, in the order of the calls.
fn calls(sandbox: &Sandbox, folder: &str) -> Vec<Call> {
    let notes = fs::read_dir(sandbox.path(&format!("{folder}/calls"))).into_iter().flatten();
    let mut notes: Vec<_> = notes.map(|note| note.unwrap().path()).collect();
    notes.sort();
    let calls = notes.iter().map(|note| {
        let note = fs::read(note).unwrap();
        let note = String::from_utf8_lossy(&note).into_owned();
        let mut words = note.split_terminator('\0').map(str::to_owned);
        let descriptors = words.next().unwrap_or_default();
        Call { descriptors, argv: words.collect() }
    });
    calls.collect()
}
