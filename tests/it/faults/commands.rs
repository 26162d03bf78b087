//! The commands of dkimctl that write, with each of their calls failing, or killed there. In each case there is all that the
//! command makes or nothing of it, and one that was killed has left no key without its record, and nothing that signs without its
//! key.

use std::fs;

use std::process::Output;

use super::calls::{Site, faults_of, sites};
use super::{each, happened, is_chosen, sandbox, show, stride};
use crate::support::{Sandbox, sample, stderr};

/// A command, and the folder that it begins with.
struct Command {
    name: &'static str,
    args: &'static str,
    /// What makes the folder, as root; `$ETC` is its path.
    before: &'static str,
    /// Its exit code, if nothing fails.
    code: i32,
    /// If it works in threads: only these calls fail, because the number of the others differs from run to run.
    calls: Option<&'static [&'static str]>,
    judge: fn(&Left<'_>) -> Result<(), String>,
}

/// The calls that read and write files.
const FILES: &[&str] = &[
    "openat", "read", "write", "fsync", "linkat", "renameat", "unlinkat", "mkdirat", "fchmod",
    "fchown", "flock",
];

const COMMANDS: [Command; 7] = [
    Command {
        name: "genkey",
        args: "genkey -d x.test -s a --type ed25519",
        before: "true",
        code: 0,
        calls: None,
        judge: a_whole_key_or_none,
    },
    Command {
        name: "setup",
        args: "setup",
        before: "mkdir $ETC && echo '#log_success = true' >$ETC/config.toml",
        code: 0,
        calls: None,
        judge: the_file_before_or_after,
    },
    Command {
        name: "rotate",
        args: "rotate sample.com --selector b",
        before: KEY,
        code: 0,
        calls: Some(FILES),
        judge: |left| one_that_goes_on(left, "b-ed"),
    },
    Command {
        name: "turns",
        args: "rotate sample.com --selectors s1,s2",
        before: KEY,
        code: 0,
        calls: Some(FILES),
        judge: |left| one_that_goes_on(left, "s2"),
    },
    Command {
        name: "waits",
        args: "add waits.test -s a --type ed25519 --wait 0s",
        before: "mkdir $ETC && cp /faults/publishes.toml $ETC/config.toml",
        code: 69,
        calls: Some(FILES),
        judge: a_domain_that_waits,
    },
    Command {
        name: "begins",
        args: "add begins.test -s a --wait 0s",
        before: "cp -a /faults/begins.tree $ETC",
        code: 0,
        calls: Some(FILES),
        judge: a_domain_that_begins,
    },
    Command {
        name: "gone",
        args: "watch",
        before: "cp -a /faults/gone.tree $ETC",
        code: 69,
        calls: Some(FILES),
        judge: a_key_that_stops,
    },
];

const KEY: &str = "dkimctl --etc $ETC genkey -d sample.com -s s1 --type ed25519 >/dev/null";

/// Trees that are made once: of a domain whose first record is in DNS by now, and of one whose record is not there, as an earlier
/// `watch` has found.
const TREES: &str = "
printf 'sendmail = \"/bin/true\"\npublish = [\"/bin/true\"]\n' >/faults/publishes.toml
mkdir /faults/begins.tree /faults/gone.tree
cp /faults/publishes.toml /faults/begins.tree/config.toml
dkimctl --etc /faults/begins.tree add begins.test -s a --type ed25519 --wait 0s >/dev/null || [ $? = 69 ]
/opt/sandbox/publish.py begins.test /faults/begins.tree/keys/begins.test/a.txt
printf 'sendmail = \"/bin/true\"\non_missing_record = \"skip\"\nmissing_record_after = \"1s\"\n' >/faults/gone.tree/config.toml
dkimctl --etc /faults/gone.tree genkey -d gone.test -s s1 --type ed25519 >/dev/null
/opt/sandbox/publish.py gone.test
dkimctl --etc /faults/gone.tree watch >/dev/null || [ $? = 69 ]
sleep 1.1";

/// What a command has left behind.
struct Left<'a> {
    sandbox: &'a Sandbox,
    command: &'a Command,
    etc: &'a str,
    /// `None`: it was killed, or ended itself because there was no memory.
    code: Option<i32>,
    /// The call that failed.
    call: &'a str,
    /// What config.toml was, and is after a run that nothing is done to.
    texts: &'a [String; 2],
}

fn run(sandbox: &Sandbox, command: &Command, etc: &str, strace: &[&str]) -> Output {
    let program = ["dkimctl", "--etc", etc];
    let mut words = strace.to_vec();
    words.extend(program);
    words.extend(command.args.split(' '));
    sandbox.command("root", "timeout").args(["-s", "KILL", "60"]).args(words).output().unwrap()
}

impl Command {
    /// What runs it with a log of its calls: those of its threads, but not those of other programs.
    fn strace<'a>(&self, log: &'a str) -> Vec<&'a str> {
        let follow: &[&str] = if self.calls.is_some() { &["-f", "-b", "execve"] } else { &[] };
        [&["strace", "-o", log], follow].concat()
    }
}

impl Left<'_> {
    fn has(&self, file: &str) -> bool {
        self.sandbox.path(&format!("{}/{file}", self.etc)).exists()
    }

    fn again(&self) -> Output {
        run(self.sandbox, self.command, self.etc, &[])
    }

    fn config(&self) -> String {
        self.text("config.toml").unwrap()
    }

    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.sandbox.path(&format!("{}/{file}", self.etc))).ok()
    }
}

fn a_whole_key_or_none(left: &Left<'_>) -> Result<(), String> {
    let there = || {
        ["keys/x.test/a.txt", "keys/x.test/a.private", "domains/x.test.toml"]
            .map(|file| left.has(file))
    };
    let found = there();
    let is_right = match (left.code, found) {
        (Some(0), _) => found == [true; 3],
        (Some(_), _) => found == [true; 3] || found == [false; 3],
        (None, [record, private, domain]) => record >= private && private >= domain,
    };
    if !is_right {
        return Err(format!("record, key and domain file: {found:?}"));
    }
    let again = left.again();
    let wanted = if found == [false; 3] { 0 } else { 73 };
    let whole = found == [false; 3] || found == there();
    if again.status.code() != Some(wanted) || !whole {
        return Err(format!("{found:?}, and again: {again:?}"));
    }
    if wanted == 73 && !stderr(&again).contains("already exists") {
        return Err(stderr(&again));
    }
    Ok(())
}

fn the_file_before_or_after(left: &Left<'_>) -> Result<(), String> {
    let [before, after] = left.texts;
    let found = left.config();
    let may_be_unchanged = left.code != Some(0);
    if (may_be_unchanged && found == *before) || found == *after {
        return Ok(());
    }
    // What of the host could not be asked, the next run does.
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let again = left.again();
    if again.status.success() && sorted(&left.config()) == sorted(after) {
        return Ok(());
    }
    Err(format!("config.toml: {found:?}; again: {again:?}"))
}

/// A domain without a record in DNS is never signed, and the next call continues.
fn a_domain_that_waits(left: &Left<'_>) -> Result<(), String> {
    let files =
        ["domains/waits.test.waiting", "keys/waits.test/a.txt", "keys/waits.test/a.private"];
    let found = files.map(|file| left.has(file));
    let is_right = match (left.code, found) {
        (Some(0), _) => false,
        (Some(_), _) => found == [true; 3] || found == [false; 3],
        (None, [waiting, record, private]) => waiting >= record && record >= private,
    };
    let again = left.again();
    let is_signed = left.has("domains/waits.test.toml");
    if !is_right
        || is_signed
        || again.status.code() != Some(69)
        || !files.iter().all(|file| left.has(file))
    {
        return Err(format!(
            "waiting file, record and key: {found:?}; signed: {is_signed}; again: {again:?}"
        ));
    }
    Ok(())
}

/// A domain whose record is in DNS is signed as the waiting file says, or still waits.
fn a_domain_that_begins(left: &Left<'_>) -> Result<(), String> {
    let [waiting, signs] =
        ["waiting", "toml"].map(|kind| left.text(&format!("domains/begins.test.{kind}")));
    let is_whole =
        |text: &Option<String>| text.as_ref().is_none_or(|text| text == "selectors = [\"a\"]\n");
    let is_right = match left.code {
        Some(0) => waiting.is_none() && signs.is_some(),
        Some(_) | None => waiting.is_some() || signs.is_some(),
    };
    if !is_right || !is_whole(&waiting) || !is_whole(&signs) {
        return Err(format!("waiting: {waiting:?}; domain file: {signs:?}"));
    }
    if signs.is_none() {
        let again = left.again();
        if !again.status.success()
            || !left.has("domains/begins.test.toml")
            || left.has("domains/begins.test.waiting")
        {
            return Err(format!("again: {again:?}"));
        }
    }
    Ok(())
}

/// The list of keys without a record is whole or not there, and the next run writes it.
fn a_key_that_stops(left: &Left<'_>) -> Result<(), String> {
    let is_whole = || {
        left.text("domains/gone.test.gone")
            .is_none_or(|text| text.starts_with("# Written") && text.ends_with(").\ns1\n"))
    };
    let watched = left.text("watch.json");
    let is_json = serde_json::from_str::<serde_json::Value>(&watched.unwrap_or_default()).is_ok();
    let signs = left.text("domains/gone.test.toml");
    if left.code == Some(0)
        || !is_whole()
        || !is_json
        || signs.as_deref() != Some("selectors = [\"s1\"]\n")
    {
        return Err(format!("whole: {}; JSON: {is_json}; domain file: {signs:?}", is_whole()));
    }
    let again = left.again();
    if again.status.code() != Some(69) || !left.has("domains/gone.test.gone") || !is_whole() {
        return Err(format!("again: {again:?}"));
    }
    Ok(())
}

fn one_that_goes_on(left: &Left<'_>, new: &str) -> Result<(), String> {
    let signs = left.text("domains/sample.com.toml").unwrap();
    if signs != "selectors = [\"s1\"]\n" {
        return Err(format!("the domain file: {signs}"));
    }
    let again = left.again();
    let found = [&format!("{new}.txt"), &format!("{new}.private"), "rotation.toml"]
        .map(|file| left.has(&format!("keys/sample.com/{file}")));
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    if !again.status.success()
        || found != [true; 3]
        || !said.contains(&format!("s1 -> {new}: pending"))
    {
        return Err(format!("{found:?}, and again: {again:?}"));
    }
    let record = format!("dkimctl --etc {} record sample.com | grep -q {new}._domainkey", left.etc);
    let shown = left.sandbox.sh("root", &record, b"");
    if shown.status.success() { Ok(()) } else { Err(format!("the record: {shown:?}")) }
}

/// Files that only a process which was killed leaves behind, and one that may not remove them.
fn drafts(left: &Left<'_>) -> Result<(), String> {
    let found = left.sandbox.root(&format!("find {} -name '*.new' 2>/dev/null || true", left.etc));
    if found.is_empty() || left.code.is_none() || left.call.starts_with("unlink") {
        return Ok(());
    }
    Err(format!("left behind: {found}"))
}

fn begin(sandbox: &Sandbox, command: &Command, etc: &str) {
    sandbox.root(&format!("ETC={etc}; {}", command.before));
}

/// One fault of one command.
struct Fault<'a> {
    command: &'a Command,
    site: Site,
    fault: &'static str,
    texts: &'a [String; 2],
}

impl Fault<'_> {
    /// Whether it happened, or what is wrong then.
    fn try_out(&self, sandbox: &Sandbox, number: usize) -> Result<bool, String> {
        let Self { command, site: Site { call, nth }, fault, texts } = self;
        let etc = format!("/faults/{}-{number}", command.name);
        let log = format!("{etc}.log");
        begin(sandbox, command, &etc);
        let (trace, inject) =
            (format!("trace={call}"), format!("inject={call}:{fault}:when={nth}"));
        let mut strace = command.strace(&log);
        strace.extend(["-e", &trace, "-e", &inject]);
        let output = run(sandbox, command, &etc, &strace);
        let code = output.status.code().filter(|code| *code < 128);
        let left = Left { sandbox, command, etc: &etc, code, call, texts };
        let wrong = drafts(&left).and_then(|()| (command.judge)(&left)).err();
        let happened = happened(sandbox, &log);
        sandbox.root(&format!("rm -rf {etc}"));
        match wrong {
            None => Ok(happened),
            Some(wrong) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(format!(
                    "{} {call} {nth} {fault}: exit {code:?}, {said:?}: {wrong}",
                    command.name
                ))
            }
        }
    }
}

/// What a plain run calls, and what config.toml is before and after it.
fn plain(sandbox: &Sandbox, command: &Command) -> (Vec<Site>, [String; 2]) {
    let etc = format!("/faults/{}", command.name);
    let log = format!("{etc}.log");
    let config = || fs::read_to_string(sandbox.path(&format!("{etc}/config.toml")));
    begin(sandbox, command, &etc);
    let before = config().unwrap_or_default();
    let output = run(sandbox, command, &etc, &command.strace(&log));
    assert_eq!(output.status.code(), Some(command.code), "{output:?}");
    let log = fs::read_to_string(sandbox.path(&log)).unwrap();
    let mut sites = sites(&log, false);
    sites.retain(|site| command.calls.is_none_or(|calls| calls.contains(&&*site.call)));
    assert!(sites.len() > 10, "{}: {log}", command.name);
    (sites, [before, config().unwrap_or_default()])
}

#[test]
#[ignore = "needs root"]
fn no_failing_call_leaves_half_of_a_key_or_of_a_file() {
    let sandbox = sandbox("faults_commands", false);
    sandbox.root(TREES);
    let wanted = COMMANDS.iter().filter(|command| is_chosen(command.name));
    let plain: Vec<_> = wanted.map(|command| (command, plain(&sandbox, command))).collect();
    let mut faults = Vec::new();
    for (command, (sites, texts)) in &plain {
        let of_site = |site: &Site| {
            let site = site.clone();
            // To a file that is not there is no wrong answer.
            let is_fault = |fault: &&str| *fault != "error=ENOENT";
            faults_of(&site.call).into_iter().filter(is_fault).map(move |fault| Fault {
                command,
                site: site.clone(),
                fault,
                texts,
            })
        };
        let of_command: Vec<_> = sites.iter().flat_map(of_site).collect();
        show(&format!("commands: {}: {} calls × errors", command.name, of_command.len()));
        faults.extend(of_command);
    }
    let chosen: Vec<_> = faults.iter().skip(sample(stride())).step_by(stride()).collect();
    let tried = each(&chosen, |number, fault| {
        fault.try_out(&sandbox, number).inspect_err(|violation| show(violation))
    });
    let happened = tried.iter().filter(|one| **one == Ok(true)).count();
    let violations: Vec<_> = tried.iter().filter_map(|one| one.as_ref().err()).collect();
    show(&format!(
        "commands: {} faults tried, {happened} happened, {} violations",
        tried.len(),
        violations.len()
    ));
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(happened * 10 >= tried.len() * 9, "of {} only {happened} happened", tried.len());
}
