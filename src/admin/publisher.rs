//! Publishes records with the command in config.toml or with nsupdate(1).

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;

use super::dns::Dns;
use super::format::{Format, TxtRecord};
use super::output::Failure;
use crate::config::Publish;
use crate::report::{chain, plain};
use crate::submission::configuration::{Etc, Fault, FileError, if_present};

/// The change of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Set this record as the only TXT record of its name.
    Set,
    /// Remove all TXT records of the name.
    Remove,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Remove => "remove",
        }
    }
}

/// The way in which this host publishes records.
#[derive(Debug)]
pub(super) struct Publisher {
    how: Publish,
    /// The commands that run now.
    running: Mutex<usize>,
    ended: Condvar,
    /// How many in a row did not end in time.
    hung: AtomicUsize,
}

/// How long a command may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most commands that run at once: a service limits how often it may be called.
const AT_ONCE: usize = 4;

/// After so many commands in a row that did not end in time, no other one is tried: each of a thousand would take a minute.
const MOST_HUNG: usize = 3;

/// The most bytes of a command's standard error that are shown.
const MOST_SHOWN: usize = 4096;

impl Publisher {
    /// Reads `publish` in config.toml with the wrapper's rules, so that no command of another user is run. `None` if the
    /// administrator publishes records.
    pub(super) fn of(etc: &Path) -> Result<Option<Self>, Failure> {
        // Without config.toml nothing is set; doctor reports its errors.
        match if_present(Etc::at(etc.to_owned()).host().map_err(|broken| broken.error)) {
            Ok(host) => Ok(host.and_then(|host| host.publish).map(Self::new)),
            Err(FileError { path, fault: Fault::Unreadable(error) }) => {
                Err(Failure::reading(&path, &error))
            }
            Err(error) => Err(Failure::data(chain(&error))),
        }
    }

    fn new(how: Publish) -> Self {
        Self { how, running: Mutex::default(), ended: Condvar::new(), hung: AtomicUsize::default() }
    }

    /// Its name for people.
    pub(super) fn name(&self) -> &str {
        match &self.how {
            Publish::Nsupdate { .. } => "nsupdate",
            Publish::Command(words) => words.first().map_or("", String::as_str),
        }
    }

    /// Changes the record of a name, or of the name that it is an alias of: that is the one that can have a record. The error is for
    /// people.
    pub(super) fn change(
        &self,
        dns: &Dns,
        change: Change,
        record: &TxtRecord,
    ) -> Result<(), String> {
        let name = dns.end_of(&record.name).map_err(|error| error.to_string())?;
        let record = TxtRecord { name, ..record.clone() };
        let begun = Instant::now();
        let done = self.in_turn(change, &record);
        // The lookups that follow have as much time as before.
        dns.extend(begun.elapsed());
        done
    }

    fn in_turn(&self, change: Change, record: &TxtRecord) -> Result<(), String> {
        let lock = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |running: &mut usize| *running >= AT_ONCE;
        let lock = self.ended.wait_while(lock, is_full);
        let mut running = lock.unwrap_or_else(PoisonError::into_inner);
        *running = running.saturating_add(1);
        drop(running);
        let done = self.publish(change, record);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = running.saturating_sub(1);
        self.ended.notify_one();
        done
    }

    fn publish(&self, change: Change, record: &TxtRecord) -> Result<(), String> {
        if self.hung.load(Ordering::Relaxed) >= MOST_HUNG {
            let by = self.name();
            return Err(format!("{by}: not run: the last {MOST_HUNG} calls did not end in time"));
        }
        let (mut command, input) = self.command(change, record)?;
        command.envs(variables(change, record));
        let done = run(command, input, PATIENCE);
        self.count(&done);
        done.map_err(|ended| format!("{}: {ended}", self.name()))
    }

    /// The command, and its input.
    fn command(&self, change: Change, record: &TxtRecord) -> Result<(Command, String), String> {
        match &self.how {
            Publish::Nsupdate { key, server } => {
                let mut command = Command::new("nsupdate");
                command.args(key.iter().flat_map(|key| [Path::new("-k"), key]));
                let server = server.iter().map(|server| format!("server {server}\n"));
                let update = match change {
                    Change::Set => Format::Nsupdate.write(std::slice::from_ref(record), None),
                    Change::Remove => format!("update delete {}. TXT\nsend\n", record.name),
                };
                Ok((command, server.chain([update]).collect()))
            }
            Publish::Command(words) => {
                let (program, arguments) = words.split_first().ok_or("no command")?;
                let mut command = Command::new(program);
                command.args(arguments);
                Ok((command, format!("{}\n", wanted(change, record))))
            }
        }
    }

    /// Counts the commands in a row that did not end in time.
    fn count(&self, done: &Result<(), Ended>) {
        match done {
            Err(Ended::Hung(_)) => drop(self.hung.fetch_add(1, Ordering::Relaxed)),
            Ok(()) | Err(Ended::Failed(_)) => self.hung.store(0, Ordering::Relaxed),
        }
    }
}

/// How a command failed, for people.
#[derive(Debug)]
enum Ended {
    Failed(String),
    /// It was killed.
    Hung(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(why) | Self::Hung(why)) = self;
        f.write_str(why)
    }
}

/// The input of a command.
fn wanted(change: Change, record: &TxtRecord) -> serde_json::Value {
    json!({
        "version": 1,
        "action": change.name(),
        "domain": record.domain,
        "selector": record.selector,
        "name": record.name,
        "type": "TXT",
        "value": record.value,
    })
}

/// The environment of a command.
fn variables(change: Change, record: &TxtRecord) -> [(&'static str, &str); 5] {
    [
        ("DKIM_ACTION", change.name()),
        ("DKIM_DOMAIN", &record.domain),
        ("DKIM_SELECTOR", record.selector.as_deref().unwrap_or_default()),
        ("DKIM_NAME", &record.name),
        ("DKIM_VALUE", &record.value),
    ]
}

/// Runs a command in its own process group, so that its children can be killed with it.
fn run(mut command: Command, input: String, patience: Duration) -> Result<(), Ended> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let failed = |error| Ended::Failed(format!("cannot be run: {}", plain(&error)));
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command may use its environment and not read its input.
        thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    }
    let (status, said) = wait(&mut child, patience);
    kill(&child);
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| format!(": {}", line.trim())).unwrap_or_default();
    match status {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(Ended::Failed(match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}{last}"),
            (None, signal) => format!("ended by signal {}{last}", signal.unwrap_or_default()),
        })),
        Ok(None) => Err(Ended::Hung(format!("killed after {} seconds{last}", patience.as_secs()))),
        Err(error) => Err(Ended::Failed(format!("cannot be waited for: {}", plain(&error)))),
    }
}

/// Waits for a command, and reads what it writes to standard error. `None` if it does not end in time.
fn wait(child: &mut Child, patience: Duration) -> (io::Result<Option<ExitStatus>>, Vec<u8>) {
    let begun = Instant::now();
    let mut said = Vec::new();
    // Without waiting for its end: a process in the background, such as the master of ssh, may keep it open for hours.
    let mut stderr = child
        .stderr
        .take()
        .filter(|stderr| fcntl(stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok());
    let status = loop {
        let status = child.try_wait();
        hear(&mut stderr, &mut said);
        match status {
            Ok(None) if begun.elapsed() < patience => {}
            Ok(None) => {
                kill(child);
                break child.wait().map(|_| None);
            }
            status => break status,
        }
        thread::sleep(Duration::from_millis(10));
    };
    (status, said)
}

/// Reads at most what a pipe holds, so that the command does not block, and keeps the first bytes.
fn hear(stderr: &mut Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(stderr) = stderr else { return };
    let mut piece = [0; 4096];
    for _ in 0..16 {
        let Ok(length @ 1..) = stderr.read(&mut piece) else { return };
        let room = MOST_SHOWN.saturating_sub(said.len());
        said.extend(piece.iter().take(length.min(room)));
    }
}

fn kill(child: &Child) {
    let Ok(group) = i32::try_from(child.id()) else { return };
    // An error means that no process of the group exists any more.
    let _: nix::Result<()> = killpg(Pid::from_raw(group), Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> TxtRecord {
        TxtRecord {
            domain: "x.test".to_owned(),
            selector: Some("s1".to_owned()),
            name: "s1._domainkey.x.test".to_owned(),
            value: "v=DKIM1; p=\"".to_owned(),
        }
    }

    fn sh(script: &str) -> Result<(), String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command.envs(variables(Change::Remove, &record()));
        let done =
            run(command, wanted(Change::Set, &record()).to_string(), Duration::from_millis(500));
        done.map_err(|ended| ended.to_string())
    }

    #[test]
    fn a_command_reads_the_change_as_json_and_in_its_environment() {
        let json = r#"{"action":"set","domain":"x.test","name":"s1._domainkey.x.test","selector":"s1","type":"TXT","value":"v=DKIM1; p=\"","version":1}"#;
        assert_eq!(wanted(Change::Set, &record()).to_string(), json);
        assert_eq!(sh("grep -q '\"action\":\"set\"'"), Ok(()));
        let all = "$DKIM_ACTION $DKIM_DOMAIN $DKIM_SELECTOR $DKIM_NAME $DKIM_VALUE";
        let expected = "remove x.test s1 s1._domainkey.x.test v=DKIM1; p=\"";
        assert_eq!(sh(&format!("test \"{all}\" = '{expected}'")), Ok(()));
    }

    #[test]
    fn the_documents_say_how_long_and_how_many_commands_run() {
        let words = ["no", "one", "two", "three", "four", "five"];
        for document in ["docs/publish.md", "packaging/man/sendmail-dkim.toml.5"] {
            for text in [
                format!("The program is killed after {} seconds.", PATIENCE.as_secs()),
                format!("Up to {} changes are made at once", words[AT_ONCE]),
                format!("After {} calls in a row that took too long", words[MOST_HUNG]),
            ] {
                crate::assert_documented(document, &text);
            }
        }
    }

    #[test]
    fn what_a_command_says_of_its_failure_is_passed_on() {
        for (script, expected) in [
            ("echo one >&2; echo 'zone is locked' >&2; exit 3", "exit code 3: zone is locked"),
            ("exit 1", "exit code 1"),
            ("kill -9 $$", "ended by signal 9"),
            ("sleep 60", "killed after 0 seconds"),
            // Together with all processes that it has started, even if they ignore other signals.
            ("trap '' TERM HUP; sleep 60 & sleep 60", "killed after 0 seconds"),
        ] {
            assert_eq!(sh(script).unwrap_err(), expected, "{script}");
        }
        let missing = run(Command::new("/nonexistent"), String::new(), PATIENCE);
        assert!(missing.unwrap_err().to_string().starts_with("cannot be run: "));
    }

    #[test]
    fn no_process_of_a_command_that_is_killed_goes_on() {
        for script in ["sleep 60 & echo $! >&2; wait", "sleep 60 & echo $! >&2"] {
            let process = match sh(&format!("{script}; exit 1")) {
                Err(said) => said.rsplit(": ").next().unwrap().to_owned(),
                Ok(()) => panic!("{script}"),
            };
            // A process that has ended may be there until its parent has noticed it.
            let runs = || {
                let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
                status.is_ok_and(|status| !status.contains(") Z "))
            };
            let begun = Instant::now();
            while runs() {
                assert!(begun.elapsed() < Duration::from_secs(10), "{script}: {process}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn nsupdate_gets_the_key_and_the_server_of_config_toml() {
        let (key, server) = (Some("/etc/dkim.tsig".into()), Some("192.0.2.1 5353".to_owned()));
        let publisher = Publisher::new(Publish::Nsupdate { key, server });
        let (command, input) = publisher.command(Change::Remove, &record()).unwrap();
        assert_eq!(command.get_program(), "nsupdate");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["-k", "/etc/dkim.tsig"]);
        let delete = "update delete s1._domainkey.x.test. TXT\n";
        assert_eq!(input, format!("server 192.0.2.1 5353\n{delete}send\n"));
        let (_, input) = publisher.command(Change::Set, &record()).unwrap();
        assert!(input.starts_with("server 192.0.2.1 5353\n"), "{input}");
        assert!(input.contains(&format!("\n{delete}update add ")), "{input}");
        let publisher = Publisher::new(Publish::Nsupdate { key: None, server: None });
        let (command, input) = publisher.command(Change::Remove, &record()).unwrap();
        assert_eq!((command.get_args().count(), input), (0, format!("{delete}send\n")));
    }

    #[test]
    fn no_output_of_a_command_holds_it_up() {
        assert_eq!(sh("head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero"), Ok(()));
        // A process in the background that keeps standard error open.
        assert_eq!(sh("sleep 60 & exit 0"), Ok(()));
        // One in a session of its own is not killed; it still runs here.
        let said = sh("setsid sleep 60 & echo $! >&2; exit 1").unwrap_err();
        let process = said.strip_prefix("exit code 1: ").unwrap().parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
    }

    #[test]
    fn a_program_that_hangs_is_not_tried_for_every_record() {
        let publisher = Publisher::new(Publish::Command(vec!["/bin/false".to_owned()]));
        assert_eq!(
            publisher.in_turn(Change::Set, &record()).unwrap_err(),
            "/bin/false: exit code 1"
        );
        // One that ends in time begins the count again.
        publisher.hung.store(MOST_HUNG - 1, Ordering::Relaxed);
        assert!(publisher.in_turn(Change::Set, &record()).is_err());
        assert_eq!(publisher.hung.load(Ordering::Relaxed), 0);
        for _ in 0..MOST_HUNG {
            publisher.count(&Err(Ended::Hung(String::new())));
        }
        let said = publisher.in_turn(Change::Set, &record()).unwrap_err();
        assert!(said.contains("not run"), "{said}");
    }

    #[test]
    fn no_more_commands_run_at_once_than_a_service_allows() {
        let marks = std::env::temp_dir().join(format!("publisher-{}", std::process::id()));
        std::fs::create_dir_all(&marks).unwrap();
        let script =
            format!("cd {}; touch $$; ls | wc -l >&2; sleep 0.1; rm $$; exit 1", marks.display());
        let words = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
        let publisher = Publisher::new(Publish::Command(words));
        let counts: Vec<usize> = thread::scope(|scope| {
            let call = || publisher.in_turn(Change::Set, &record()).unwrap_err();
            let calls: Vec<_> = (0..24).map(|_| scope.spawn(call)).collect();
            let said = calls.into_iter().map(|call| call.join().unwrap());
            said.map(|said| said.rsplit(' ').next().unwrap().parse().unwrap()).collect()
        });
        std::fs::remove_dir_all(&marks).unwrap();
        assert!(counts.iter().all(|count| *count <= AT_ONCE), "{counts:?}");
    }
}
