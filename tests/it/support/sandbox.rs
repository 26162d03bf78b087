//! The sandbox of `tests/it/sandbox/`: Debian's Postfix, a DNS server, an SMTP sink and three verifiers
//! in namespaces of their own, one for all tests of a run.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::verifier::{self, Verifier};
use super::{Tied, feed, project, stdout};

/// How long mail may take; it takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// A process in it, by the host's numbers.
    pid: u32,
    _child: Tied,
    mails: AtomicU32,
    /// For whom there must be one message and no more; the last ones.
    once: Mutex<VecDeque<String>>,
    /// Those that run; none before the first message is verified.
    verifiers: Mutex<Vec<Verifier>>,
}

/// A message as the sink got it.
#[derive(Debug)]
pub(crate) struct Received {
    /// The bytes on the wire, without dot-stuffing.
    pub(crate) bytes: Vec<u8>,
    pub(crate) mail_from: String,
    pub(crate) recipients: Vec<String>,
    /// Inside the sandbox.
    path: String,
}

/// What the three verifiers say of one message.
#[derive(Debug)]
pub(crate) struct Verdicts(Vec<Value>);

static SHARED: OnceLock<Sandbox> = OnceLock::new();

/// What builds the root file system that most tests run on.
const BASE: &str = "tests/it/sandbox/base.sh";

impl Sandbox {
    /// The sandbox that tests share. A test that needs one is marked `#[ignore = "needs root"]`; see `tests/runner`.
    pub(crate) fn for_test(test: &str) -> &'static Self {
        SHARED.get_or_init(|| Self::start(test, BASE))
    }

    /// The same, where a domain has a key, its record published.
    pub(crate) fn with_key(test: &str, domain: &str, selector: &str) -> &'static Self {
        let sandbox = Self::for_test(test);
        sandbox.key(domain, selector);
        sandbox
    }

    /// One of the test's own, whose Postfix it may set up as it likes.
    pub(crate) fn own(test: &str) -> Self {
        Self::start(test, BASE)
    }

    /// One of the test's own, with the Postfix of a release of Debian (see `SUITES` in `root.sh`).
    pub(crate) fn of_suite(test: &str, suite: &str) -> Self {
        Self::start(test, &format!("{BASE} {suite}"))
    }

    /// One of the test's own, that stands on what a script builds; its arguments follow its name.
    pub(crate) fn on(test: &str, builder: &str) -> Self {
        Self::start(test, builder)
    }

    fn start(test: &str, builder: &str) -> Self {
        assert_root(test);
        let mut child = Command::new(project("tests/it/sandbox/enter.sh"))
            .arg(env!("CARGO_BIN_EXE_sendmail-dkim"))
            .arg(env!("CARGO_BIN_EXE_dkimctl"))
            .arg(built(builder))
            // It lives until this pipe is closed: at the end of this process, however that comes.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let pid =
            ready.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("no sandbox: {ready:?}"));
        Self {
            pid: pid.parse().unwrap(),
            _child: Tied(child),
            mails: AtomicU32::new(0),
            once: Mutex::default(),
            verifiers: Mutex::default(),
        }
    }

    /// A process in it, by the host's numbers.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What runs the command that is added to it inside, as root.
    pub(crate) fn enter(&self) -> Command {
        // By its path: when PATH is set for a program without one, Rust forks this large process instead of calling posix_spawn(3).
        let mut command = Command::new("/usr/bin/nsenter");
        command.args(["--all", "--root", "--wd", "--target", &self.pid.to_string(), "--"]);
        command
    }

    /// A command to be run inside as a user, with the least of an environment.
    pub(crate) fn command(&self, user: &str, program: &str) -> Command {
        let mut command = self.enter();
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.env("USER", user).env("HOME", "/tmp");
        if user != "root" {
            let group = if user == "nobody" { "nogroup" } else { user };
            command.args(["setpriv", "--reuid", user, "--regid", group, "--init-groups"]);
        }
        command.arg(program);
        command
    }

    /// Runs a shell text inside, with `input` on its stdin.
    pub(crate) fn sh(&self, user: &str, script: &str, input: &[u8]) -> Output {
        feed(self.command(user, "/bin/sh").args(["-c", script]), input)
    }

    /// The same for what must succeed.
    pub(crate) fn root(&self, script: &str) -> String {
        stdout(&self.sh("root", script, b""))
    }

    /// The second number of the version of the C library: 36 in Debian 12, or that of this host if it is a later one.
    pub(crate) fn glibc(&self) -> u32 {
        let said = self.root("ldd --version");
        let version = said.lines().next().and_then(|line| line.rsplit_once("2."));
        version.unwrap().1.trim().parse().unwrap()
    }

    /// A file of the sandbox, as seen from here.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// An address that no other test uses, at a peer with 8BITMIME.
    pub(crate) fn recipient(&self) -> String {
        format!("u{}@sink.test", self.mails.fetch_add(1, Ordering::Relaxed))
    }

    /// The same, at a peer without 8BITMIME.
    pub(crate) fn recipient_7bit(&self) -> String {
        format!("u{}@7bit.test", self.mails.fetch_add(1, Ordering::Relaxed))
    }

    /// A key and a domain file for a domain, its record published.
    pub(crate) fn key(&self, domain: &str, selector: &str) {
        self.root(&format!("dkimctl genkey -d {domain} -s {selector}"));
        self.publish(domain, &format!("/etc/sendmail-dkim/keys/{domain}/*.txt"));
    }

    /// Puts the records of these files, patterns of the shell, and no others, into the DNS as a zone.
    pub(crate) fn publish(&self, zone: &str, files: &str) {
        self.root(&format!("set -f; /opt/sandbox/publish.py {zone} {files}"));
    }

    /// A static program for the place of the real sendmail: what it is given it keeps below a folder, by recipient. See
    /// `tests/it/faults/queue.c`.
    pub(crate) fn static_queue(&self, folder: &str) -> String {
        let program = format!("/opt/queue{}", folder.replace('/', "-"));
        self.root(&format!("mkdir -p {folder}; chmod 1777 {folder}"));
        let made = Command::new("cc")
            .args(["-O1", "-static", &format!("-DFOLDER=\"{folder}\""), "-o"])
            .arg(self.path(&program))
            .arg(project("tests/it/faults/queue.c"))
            .output();
        stdout(&made.unwrap());
        program
    }

    /// The one message for a recipient; waits for it.
    pub(crate) fn received(&self, recipient: &str) -> Received {
        let shelf = format!("/out/rcpt/{recipient}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut found = fs::read_dir(self.path(&shelf)).into_iter().flatten().flatten();
            if let Some(entry) = found.next() {
                self.expect_no_other(recipient);
                return self.read(&entry.file_name().into_string().unwrap());
            }
            assert!(Instant::now() < deadline, "no mail for {recipient}\n{}", self.mail_log());
            sleep(Duration::from_millis(20));
        }
    }

    /// What arrived once must not arrive again, now or while the next messages are waited for.
    fn expect_no_other(&self, recipient: &str) {
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        once.push_back(recipient.to_owned());
        if once.len() > 50 {
            once.pop_front();
        }
        for recipient in once.iter() {
            let count = fs::read_dir(self.path(&format!("/out/rcpt/{recipient}")))
                .map_or(0, Iterator::count);
            assert_eq!(count, 1, "messages for {recipient}");
        }
    }

    /// How many messages there are for a recipient, once the queue is empty.
    pub(crate) fn count(&self, recipient: &str) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A file without execute permission was not written to its end because its writer was killed, and Postfix ignores it.
            // Postfix moves files on while find(1) looks for them, each from a queue to one after it in this list.
            let queued = self.root(
                "cd /var/spool/postfix; find maildrop incoming active deferred -ignore_readdir_race \
                -type f -perm -u+x -ls 2>/dev/null || true",
            );
            if queued.is_empty() {
                break;
            }
            let log = || self.mail_log();
            assert!(Instant::now() < deadline, "the queue does not empty\n{queued}{}", log());
            sleep(Duration::from_millis(50));
        }
        fs::read_dir(self.path(&format!("/out/rcpt/{recipient}"))).map_or(0, Iterator::count)
    }

    /// What there is for a recipient by now.
    pub(crate) fn arrived(&self, recipient: &str) -> Vec<Received> {
        let shelf = fs::read_dir(self.path(&format!("/out/rcpt/{recipient}")));
        let entries = shelf.into_iter().flatten().flatten();
        entries.map(|entry| self.read(&entry.file_name().into_string().unwrap())).collect()
    }

    fn read(&self, name: &str) -> Received {
        let name = name.strip_suffix(".json").unwrap();
        let path = format!("/out/sink/{name}.eml");
        let envelope = fs::read(self.path(&format!("/out/sink/{name}.json"))).unwrap();
        let envelope: Value = serde_json::from_slice(&envelope).unwrap();
        let recipients = envelope["rcpt_to"].as_array().unwrap().iter();
        Received {
            bytes: fs::read(self.path(&path)).unwrap(),
            mail_from: envelope["mail_from"].as_str().unwrap().to_owned(),
            recipients: recipients.map(|one| one["address"].as_str().unwrap().to_owned()).collect(),
            path,
        }
    }

    fn mail_log(&self) -> String {
        self.root("tail -n 20 /var/log/postfix.log 2>&1; tail -n 5 /out/syslog")
    }

    /// All three verifiers, with keys from DNS.
    pub(crate) fn verify(&self, message: &Received) -> Verdicts {
        Verdicts(self.verdicts(&[&message.path]))
    }

    /// What each of them says of each file.
    fn verdicts(&self, paths: &[&str]) -> Vec<Value> {
        let mut running = self.verifiers.lock().unwrap_or_else(PoisonError::into_inner);
        // After a failure they are not put back, but started again.
        let mut verifiers = std::mem::take(&mut *running);
        if verifiers.is_empty() {
            verifiers = Verifier::all(self);
        }
        let verdicts = verifier::ask(&mut verifiers, paths);
        *running = verifiers;
        verdicts
    }

    /// What a script of the sandbox says of each message: a JSON line for each, in their order.
    pub(crate) fn lines_about(&self, script: &str, messages: &[&Received]) -> Vec<Value> {
        let paths: Vec<&str> = messages.iter().map(|message| message.path.as_str()).collect();
        self.lines_about_files(script, &paths)
    }

    /// The same for files in the sandbox.
    pub(crate) fn lines_about_files(&self, script: &str, paths: &[&str]) -> Vec<Value> {
        let lines = self.root(&format!("{script} {}", paths.join(" ")));
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), paths.len(), "{script}");
        lines
    }

    /// Those of the messages that one of the verifiers does not pass, and what it said.
    pub(crate) fn failures(&self, messages: &[Received]) -> Vec<String> {
        let paths: Vec<&str> = messages.iter().map(|message| message.path.as_str()).collect();
        self.failures_in(&paths)
    }

    /// The same for files in the sandbox.
    pub(crate) fn failures_in(&self, paths: &[&str]) -> Vec<String> {
        let verdicts = self.verdicts(paths).into_iter();
        let failed = verdicts.filter(|verdict| verdict["result"] != "pass").map(|verdict| {
            let text = fs::read(self.path(verdict["file"].as_str().unwrap())).unwrap();
            format!("{verdict}\n{}", String::from_utf8_lossy(&text))
        });
        failed.collect()
    }

    /// Those of the files that one of the verifiers passes; each as often as that happens.
    pub(crate) fn passing_in(&self, paths: &[&str]) -> Vec<String> {
        let verdicts = self.verdicts(paths).into_iter();
        let passed = verdicts.filter(|verdict| verdict["result"] == "pass");
        passed.map(|verdict| verdict["file"].as_str().unwrap().to_owned()).collect()
    }

    /// Asserts that a message has one signature, by this domain and selector, and that it verifies.
    pub(crate) fn assert_signed(&self, message: &Received, domain: &str, selector: &str) {
        let verdicts = self.verify(message);
        let text = String::from_utf8_lossy(&message.bytes);
        assert!(verdicts.all("pass"), "{verdicts}\n{text}");
        for verdict in &verdicts.0 {
            let signatures = verdict["signatures"].as_array().unwrap();
            assert_eq!(signatures.len(), 1, "{verdicts}");
            assert_eq!(signatures[0]["d"], domain, "{verdicts}");
            assert_eq!(signatures[0]["s"], selector, "{verdicts}");
        }
    }

    /// Where the log ends now.
    pub(crate) fn mark(&self) -> usize {
        fs::read(self.path("/out/syslog")).map_or(0, |log| log.len())
    }

    /// Waits until all that was logged before now is in the log.
    pub(crate) fn wait_for_log(&self) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let text = format!("<15>tests: {} so far", NEXT.fetch_add(1, Ordering::Relaxed));
        let (mark, socket) = (self.mark(), UnixDatagram::unbound().unwrap());
        socket.send_to(text.as_bytes(), self.path("/dev/log")).unwrap();
        self.line(mark, &text, |line| line.contains(&text));
    }

    /// The line of the log after `mark` that holds `needle`; waits for it. In a sandbox that tests share, the needle is an
    /// address or a uid that one test alone has: the others log at the same time.
    pub(crate) fn logged(&self, mark: usize, needle: &str) -> String {
        self.line(mark, needle, |line| line.contains("sendmail-dkim[") && line.contains(needle))
    }

    /// The first line of the log after `mark` for which `is_it` holds; waits for it.
    fn line(&self, mark: usize, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::read(self.path("/out/syslog")).unwrap_or_default();
            let log = String::from_utf8_lossy(log.get(mark..).unwrap_or_default()).into_owned();
            if let Some(line) = log.lines().find(|line| is_it(line)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "not logged: {what}\n{log}");
            sleep(Duration::from_millis(20));
        }
    }
}

/// Fails a test that needs root where it is run without: it lacks its mark, or `--ignored` asked for it.
pub(crate) fn assert_root(test: &str) {
    static IS_ROOT: OnceLock<bool> = OnceLock::new();
    let is_root = *IS_ROOT.get_or_init(|| {
        Command::new(project("tests/may-make-namespaces")).status().unwrap().success()
    });
    assert!(
        is_root,
        "{test} needs root, and the right to make namespaces; its mark is #[ignore = \"needs root\"]"
    );
}

/// The root file system, or the layers, that a script builds. Each script runs once in this process: it looks at all files
/// of what it has built, and what cannot be built now can be built no better for the next test.
pub(crate) fn built(builder: &str) -> String {
    static BUILT: Mutex<BTreeMap<String, Option<String>>> = Mutex::new(BTreeMap::new());
    let mut all = BUILT.lock().unwrap();
    let path = all.entry(builder.to_owned()).or_insert_with(|| {
        let mut words = builder.split(' ');
        let mut build = Command::new(project(words.next().unwrap()));
        let build = build.args(words).stderr(Stdio::inherit()).output().unwrap();
        build.status.success().then(|| String::from_utf8_lossy(&build.stdout).trim().to_owned())
    });
    let path = path.clone();
    drop(all);
    path.unwrap_or_else(|| panic!("{builder} failed, see the first lines of the tests' output"))
}

impl Received {
    /// In the sandbox.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The header section and the body.
    pub(crate) fn split(&self) -> (String, String) {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        // A message of header fields only may end with them.
        let (header, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        (header.to_owned(), body.to_owned())
    }

    /// The message with what differs from one delivery to the next taken out: Received, and the ids and
    /// dates that Postfix adds.
    pub(crate) fn without_trace(&self) -> String {
        let (header, body) = self.split();
        let mut kept = Vec::new();
        let mut skipping = false;
        for line in header.split("\r\n") {
            if !line.starts_with([' ', '\t']) {
                let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
                skipping = ["received", "message-id", "date"].contains(&name.as_str());
                if skipping && name != "received" {
                    kept.push(format!("{name}: …"));
                }
            }
            if !skipping {
                kept.push(line.to_owned());
            }
        }
        format!("{}\r\n\r\n{body}", kept.join("\r\n"))
    }
}

impl Verdicts {
    /// Whether all three say so: `pass`, `fail` or `none`.
    pub(crate) fn all(&self, result: &str) -> bool {
        self.0.iter().all(|verdict| verdict["result"] == result)
    }

    /// The selector of the first signature.
    pub(crate) fn selector(&self) -> String {
        self.0[0]["signatures"][0]["s"].as_str().unwrap_or_default().to_owned()
    }

    /// What one of them says of the signature by a selector: `pass` or `fail`, and the detail.
    pub(crate) fn of(&self, verifier: &str, selector: &str) -> String {
        let verdict = self.0.iter().find(|verdict| verdict["verifier"] == verifier).unwrap();
        let signatures = verdict["signatures"].as_array().unwrap();
        let found = signatures.iter().find(|signature| signature["s"] == selector).unwrap();
        let text = |key: &str| found[key].as_str().unwrap().to_owned();
        format!("{}: {}", text("result"), text("detail"))
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|verdict| writeln!(f, "{verdict}"))
    }
}
