//! Every subcommand on every kind of bad input: the exit code, and a text that names what is wrong in plain words.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};

use crate::support::Stage;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// An option that does not exist.
    Option,
    /// An argument that is no domain, or too many.
    Argument,
    /// No tree at that place.
    NoTree,
    /// config.toml is not TOML.
    BrokenHost,
    /// The domain file has a key of the wrong type.
    BrokenFile,
    /// The key is gone, its record is there.
    NoKey,
    /// The key is no key.
    Garbage,
    /// A directory instead of the key.
    KeyFolder,
    /// A FIFO instead of the domain file.
    FileFifo,
    /// No directory of domain files.
    NoDomains,
    /// Keys, and no domain file: a purge of the package.
    Purged,
    /// A user who may read no key.
    NoPermission,
    /// The DNS server is dead: nothing listens at its port.
    NoDns,
}

use Bad::{
    Argument, BrokenFile, BrokenHost, FileFifo, Garbage, KeyFolder, NoDns, NoDomains, NoKey,
    NoPermission, NoTree, Option, Purged,
};

/// A command, what is wrong, the exit code and what is said, on stdout or on stderr. SERVER is a dead one.
type Case = (&'static str, Bad, i32, &'static str);

pub(crate) const CASES: &[Case] = &[
    ("add --nothing x.test", Option, 64, "unknown option \"--nothing\""),
    ("add", Argument, 64, "expected DOMAIN..."),
    ("add ../x", Argument, 64, "domain \"../x\""),
    ("add good.test web1", Argument, 64, "only this host knows web1"),
    ("add localhost.localdomain", Argument, 64, "only this host knows localhost.localdomain"),
    ("add x.test -b many", Argument, 64, "--bits \"many\": expected a whole number"),
    ("add x.test --type dsa", Argument, 64, "--type \"dsa\": expected one of rsa|ed25519"),
    ("add new.test", BrokenHost, 0, "config.toml: line 1"),
    ("add new.test", NoPermission, 77, "permission denied"),
    ("check --jsn", Option, 64, "did you mean --json?"),
    ("check none.test", Argument, 66, "no domain file of none.test: dkimctl add none.test"),
    ("check", NoTree, 1, "config.toml: no such file or directory"),
    ("check", BrokenHost, 1, "config.toml: line 1"),
    (
        "check",
        BrokenFile,
        1,
        "sample.com.toml: line 1: selectors: expected a list, found integer `1`",
    ),
    ("check", NoKey, 1, "s1.private does not exist"),
    ("check", Garbage, 1, "s1.private: no private key"),
    ("check", NoPermission, 77, "permission denied"),
    ("disable x", Argument, 64, "unexpected argument \"x\""),
    ("disable", NoPermission, 77, "only root can"),
    ("doctor --of", Option, 64, "unknown option \"--of\""),
    ("doctor x", Argument, 64, "unexpected argument \"x\""),
    ("doctor", NoPermission, 77, "only root can"),
    ("enable --x", Option, 64, "unknown option \"--x\""),
    ("enable", NoPermission, 77, "only root can"),
    ("explain --form a@x.test", Option, 64, "did you mean --from?"),
    ("explain /nowhere", Argument, 66, "cannot read \"/nowhere\": no such file or directory"),
    ("explain --from a@sample.com --user nobody-at-all", Argument, 67, "no user \"nobody-at-all\""),
    ("explain --from a@sample.com", NoTree, 1, "no such file or directory"),
    ("explain --from a@sample.com", BrokenHost, 1, "config.toml: line 1"),
    ("explain --from a@sample.com", BrokenFile, 1, "sample.com.toml: line 1"),
    ("explain --from a@sample.com", NoKey, 1, "s1.private: no such file or directory"),
    (
        "explain --from a@sample.com",
        NoPermission,
        1,
        "permission denied (run as root to check keys)",
    ),
    ("genkey", Argument, 64, "no domain: use -d DOMAIN"),
    ("genkey x.test", Argument, 64, "no selector: use -s SELECTOR"),
    ("genkey x.test s -b 100", Argument, 64, "100 bits: a key has 1024 to 4096"),
    ("genkey x.test s --lenght 1", Option, 64, "unknown option \"--lenght\""),
    (
        "genkey sample.com s1",
        NoKey,
        73,
        "already exists, though its key does not; choose another selector",
    ),
    ("genkey sample.com s1", Garbage, 73, "already exists; run dkimctl use to sign with this key"),
    ("import --dry", Option, 64, "did you mean --dry-run?"),
    ("import /nowhere", Argument, 66, "/nowhere"),
    ("list --nothing", Option, 64, "unknown option"),
    ("list none.test", Argument, 66, "no domain file of none.test: dkimctl add none.test"),
    ("list", NoTree, 66, "no such file or directory"),
    ("list", BrokenHost, 65, "config.toml: line 1"),
    ("list", BrokenFile, 65, "sample.com.toml: line 1"),
    ("log --sinc 1d", Option, 64, "did you mean --since?"),
    ("log --since soon", Argument, 64, "--since \"soon\": expected a length of time"),
    ("record", Argument, 64, "expected one of DOMAIN..., --all, --merge FILE..."),
    (
        "record --all --format bind",
        Argument,
        64,
        "expected one of zone|plain|route53|cloudflare|nsupdate|octodns",
    ),
    ("record --all --ttl long", Argument, 64, "--ttl \"long\": expected a whole number"),
    ("record --frmat zone --all", Option, 64, "did you mean --format?"),
    ("record --all", NoTree, 66, "no domains yet: dkimctl add DOMAIN"),
    ("record sample.com", BrokenHost, 65, "config.toml: line 1"),
    ("record sample.com", BrokenFile, 65, "sample.com.toml: line 1"),
    ("record sample.com", Garbage, 65, "s1.private: no private key"),
    ("record sample.com", NoPermission, 77, "permission denied"),
    ("record --all", NoPermission, 77, "permission denied"),
    ("remove", Argument, 64, "no domain: use -d DOMAIN"),
    ("remove none.test", Argument, 66, "there are no files of none.test"),
    ("remove sample.com none", Argument, 66, "sample.com has no key none"),
    ("remove sample.com --wpe", Option, 64, "did you mean --wipe?"),
    ("remove sample.com", BrokenHost, 65, "config.toml: line 1"),
    ("remove sample.com", NoPermission, 77, "permission denied"),
    ("rotate", Argument, 64, "expected either DOMAIN... or --all"),
    ("rotate --all --older 180", Argument, 64, "--older \"180\": expected a number and its unit"),
    ("rotate --alll", Option, 64, "did you mean --all?"),
    ("rotate none.test --server SERVER", Argument, 66, "there are no keys of none.test"),
    ("rotate sample.com --server SERVER", NoTree, 66, "no such file or directory"),
    ("rotate sample.com --server SERVER", BrokenHost, 65, "config.toml: line 1"),
    ("rotate sample.com --server SERVER", BrokenFile, 65, "sample.com.toml: line 1"),
    ("rotate sample.com --server SERVER", NoKey, 66, "s1.private"),
    ("rotate sample.com --server SERVER", Garbage, 65, "s1.private: no private key"),
    ("rotate sample.com --server SERVER", NoPermission, 77, "permission denied"),
    ("rotate sample.com --server SERVER", NoDns, 69, "SERVER"),
    ("setup --replac", Option, 64, "did you mean --replace?"),
    ("setup --sendmail /nowhere", Argument, 66, "\"/nowhere\" is not a sendmail program"),
    ("setup --yes", Argument, 64, "--yes is for --smtp"),
    ("setup --smtp --yes", NoPermission, 77, "only root can change the settings of Postfix"),
    ("setup --smtp=off --yes", NoPermission, 77, "only root can change the settings of Postfix"),
    ("setup --server 192.0.2.1", Argument, 64, "are for --publish nsupdate"),
    ("setup --sendmail /bin/true --directories", Argument, 64, "--directories and --sendmail"),
    ("setup --sendmail /bin/true --replace", Argument, 64, "--sendmail and --replace exclude"),
    ("setup --dry-run --directories", Argument, 64, "exclude each other"),
    ("setup --directories --replace", Argument, 64, "exclude each other"),
    ("setup --smtp --sendmail /bin/true", Argument, 64, "--smtp and --sendmail exclude each other"),
    ("setup --smtp --directories", Argument, 64, "exclude each other"),
    ("setup --smtp --publish off", Argument, 64, "exclude each other"),
    ("setup --smtp --replace", Argument, 64, "exclude each other"),
    ("setup --smtp --tsig-key /k", Argument, 64, "exclude each other"),
    ("setup --smtp=off --server 192.0.2.1", Argument, 64, "exclude each other"),
    ("setup --publish off --replace", Argument, 64, "--publish and --replace exclude each other"),
    ("setup --publish off --yes", Argument, 64, "exclude each other"),
    ("setup --publish off --directories", Argument, 64, "exclude each other"),
    ("setup --smtp=on", Argument, 64, "expected --smtp or --smtp=off"),
    ("setup --publish off --sendmail /bin/true", Argument, 64, "exclude each other"),
    ("status --jsno", Option, 64, "did you mean --json?"),
    ("status a..b", Argument, 64, "domain \"a..b\""),
    ("status none.test", Argument, 66, "there are no keys of none.test"),
    ("status", NoTree, 1, "config.toml: no such file or directory"),
    ("status", BrokenHost, 1, "config.toml: line 1"),
    (
        "status",
        BrokenFile,
        1,
        "sample.com.toml: line 1: selectors: expected a list, found integer `1`",
    ),
    ("status", NoKey, 1, "sample.com\ts1\tbroken"),
    ("status", Garbage, 1, "sample.com\ts1\tbroken"),
    ("status", NoPermission, 77, "permission denied"),
    ("testkey --sever x", Option, 64, "did you mean --server?"),
    (
        "testkey --server localhost",
        Argument,
        64,
        "expected ADDRESS or ADDRESS:PORT, found \"localhost\"",
    ),
    (
        "testkey none.test --server SERVER",
        Argument,
        66,
        "no domain file of none.test: dkimctl add none.test",
    ),
    ("testkey --server SERVER", NoTree, 66, "no such file or directory"),
    ("testkey --server SERVER", BrokenHost, 65, "config.toml: line 1"),
    ("testkey --server SERVER", BrokenFile, 71, "sample.com.toml: unreadable"),
    ("testkey --server SERVER", NoKey, 71, "s1.private"),
    ("testkey --server SERVER", Garbage, 71, "s1.private: no private key"),
    ("testkey --server SERVER", NoPermission, 71, "permission denied"),
    (
        "testkey --server SERVER",
        NoDns,
        69,
        "s1._domainkey.sample.com: unavailable: the DNS server SERVER",
    ),
    ("try --wraper /x", Option, 64, "did you mean --wrapper?"),
    ("try /nowhere", Argument, 66, "cannot read \"/nowhere\": no such file or directory"),
    ("try --wrapper /nowhere", Argument, 66, "cannot read \"/nowhere\": no such file or directory"),
    ("use sample.com", Argument, 64, "no selector: expected DOMAIN SELECTOR..."),
    ("use sample.com s1._domainkey.sample.com", Argument, 64, "the selector is \"s1\""),
    ("use sample.com s1 --slector s2", Option, 64, "did you mean --selector?"),
    ("use sample.com s1", BrokenHost, 65, "config.toml: line 1"),
    ("use sample.com s1", BrokenFile, 65, "sample.com.toml: line 1"),
    ("use sample.com s1", NoKey, 66, "s1.private"),
    ("use sample.com s1", Garbage, 65, "s1.private: no private key"),
    ("use sample.com s1", NoPermission, 77, "permission denied"),
    (
        "verify --record /nowhere",
        Argument,
        66,
        "cannot read \"/nowhere\": no such file or directory",
    ),
    (
        "verify /nowhere --keys /",
        Argument,
        66,
        "cannot read \"/nowhere\": no such file or directory",
    ),
    ("verify --keys / --server SERVER", Argument, 64, "exclude each other"),
    ("verify --recrod x", Option, 64, "did you mean --record?"),
    ("verify MESSAGE --server SERVER", NoDns, 69, "the DNS server SERVER"),
    ("watch --mial x", Option, 64, "did you mean --mail?"),
    ("watch x.test", Argument, 64, "unexpected argument \"x.test\""),
    ("watch --server SERVER", NoTree, 66, "no such file or directory"),
    ("watch --server SERVER", BrokenHost, 65, "config.toml: line 1"),
    ("genkey new.test s", NoPermission, 77, "permission denied"),
    ("genkey new.test s", BrokenHost, 0, "config.toml: line 1"),
    ("import /dev/null", Argument, 66, "not a regular file; name the opendkim.conf"),
    ("import /dev/null", BrokenHost, 65, "config.toml: line 1"),
    ("list", NoPermission, 0, "sample.com"),
    ("log --file /nowhere", Argument, 66, "cannot read \"/nowhere\": no such file or directory"),
    ("log --json --prometheus", Argument, 64, "--json and --prometheus exclude each other"),
    ("record --all --json --format zone", Argument, 64, "--json excludes --format and --ttl"),
    ("record sample.com", NoTree, 66, "there are no keys of sample.com"),
    ("remove sample.com", BrokenFile, 65, "sample.com.toml: line 1"),
    ("remove sample.com", NoTree, 66, "there are no files of sample.com"),
    ("rotate --all --server SERVER", NoPermission, 77, "permission denied"),
    ("rotate --all --server SERVER", NoTree, 66, "no such file or directory"),
    ("setup", BrokenHost, 65, "config.toml: line 1"),
    ("status sample.com", NoTree, 66, "there are no keys of sample.com"),
    ("status -s none", Argument, 66, "there are no keys named none"),
    ("testkey -s none --server SERVER", Argument, 66, "no domain file names none"),
    ("testkey sample.com none.test --server SERVER", Argument, 66, "no domain file of none.test"),
    ("try --quiet --wrapper /nowhere", Argument, 66, "cannot read \"/nowhere\""),
    ("use sample.com s1", NoTree, 66, "s1.private"),
    ("watch --server SERVER", BrokenFile, 71, "sample.com.toml: line 1"),
    ("watch --server SERVER", NoKey, 71, "s1.private"),
    ("watch --server SERVER", Garbage, 71, "s1.private: no private key"),
    ("watch --server SERVER", NoPermission, 77, "permission denied"),
    ("watch --server SERVER", NoDns, 69, "the DNS server SERVER"),
    ("check", KeyFolder, 1, "s1.private away, and put a file in its place"),
    ("status", KeyFolder, 1, "s1.private away, and put a file in its place"),
    ("record sample.com", KeyFolder, 66, "s1.private\": not a regular file"),
    ("testkey --server SERVER", KeyFolder, 71, "s1.private\": not a regular file"),
    ("check", FileFifo, 1, "put a file that every user can read in its place"),
    ("status", FileFifo, 1, "sample.com.toml: not a regular file: the domain is not signed"),
    ("list", FileFifo, 65, "sample.com.toml\": not a regular file"),
    ("list", NoDomains, 66, "no domains yet: dkimctl add DOMAIN"),
    ("testkey --server SERVER", NoDomains, 66, "no domains yet: dkimctl add DOMAIN"),
    ("watch --server SERVER", NoDomains, 0, "no domains yet: dkimctl add DOMAIN"),
    ("status", NoDomains, 1, "dkimctl use sample.com s1"),
    ("status", Purged, 1, "dkimctl use sample.com s1"),
    ("add sample.com", Purged, 73, "dkimctl use sample.com s1"),
    ("add x.test --keys a/b", Argument, 64, "--keys \"a/b\": "),
    ("add x.test --keys shared -s s1._domainkey.x.test", Argument, 64, "the selector is \"s1\""),
    ("add x.test --keys shared", NoPermission, 77, "permission denied"),
    ("nothing", Argument, 64, "unknown subcommand \"nothing\""),
    ("", Argument, 64, "no subcommand; see dkimctl --help"),
];

/// What no text for people has in it.
const NEVER: [&str; 9] = [
    "os error",
    "ENOENT",
    "EACCES",
    "invalid type",
    "unknown field",
    "missing field",
    "Some(",
    "Err(",
    "invalid digit",
];

fn spoil(stage: &Stage, bad: Bad) {
    let key = stage.path("etc/keys/sample.com/s1.private");
    match bad {
        NoTree => fs::remove_dir_all(stage.path("etc")).unwrap(),
        BrokenHost => stage.write("etc/config.toml", "sendmail = \n"),
        BrokenFile => stage.write("etc/domains/sample.com.toml", "selectors = 1\n"),
        NoKey => {
            fs::remove_file(key).unwrap();
            stage.write("etc/keys/sample.com/s1.txt", "s1._domainkey IN TXT ( \"v=DKIM1; p=\" )\n");
        }
        Garbage => stage.write("etc/keys/sample.com/s1.private", "nothing\n"),
        NoPermission => {
            for folder in ["etc/keys", "etc/domains"] {
                let mode = if folder == "etc/keys" { 0o000 } else { 0o555 };
                fs::set_permissions(stage.path(folder), fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        KeyFolder => {
            fs::remove_file(&key).unwrap();
            fs::create_dir(&key).unwrap();
        }
        FileFifo => {
            let file = stage.path("etc/domains/sample.com.toml");
            fs::remove_file(&file).unwrap();
            nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).unwrap();
        }
        NoDomains => fs::remove_dir_all(stage.path("etc/domains")).unwrap(),
        Purged => fs::remove_file(stage.path("etc/domains/sample.com.toml")).unwrap(),
        Option | Argument | NoDns => {}
    }
}

/// A port that nothing listens at.
pub(crate) fn dead_server() -> String {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Runs the command of a case, with further options.
pub(crate) fn run((line, bad, ..): &Case, server: &str, options: &[&str]) -> Output {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let stage = Stage::new();
    stage.write(
        "message",
        &fs::read_to_string(crate::support::project("tests/vectors/rfc6376-a2.eml")).unwrap(),
    );
    spoil(&stage, *bad);
    let message = stage.path("message").display().to_string();
    let words = line.replace("SERVER", server).replace("MESSAGE", &message);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.arg("--etc").arg(stage.path("etc")).args(words.split_whitespace()).args(options);
    if *bad == NoPermission && is_root {
        command.uid(65_534).gid(65_534);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    if *bad == NoPermission {
        for folder in ["etc/keys", "etc/domains"] {
            fs::set_permissions(stage.path(folder), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    output
}

#[test]
fn every_subcommand_names_what_is_wrong_and_has_its_exit_code() {
    let server = dead_server();
    let mut wrong = Vec::new();
    for case in CASES {
        let (line, bad, code, says) = case;
        let output = run(case, &server, &[]);
        let texts =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        let text = texts.concat();
        // A command line that is wrong is followed by the usage.
        let has_usage = *code != 64 || texts[1].contains("dkimctl: usage: dkimctl");
        let never = NEVER.iter().find(|never| text.contains(**never));
        if output.status.code() != Some(*code)
            || !text.contains(&says.replace("SERVER", &server))
            || !has_usage
            || never.is_some()
        {
            wrong.push(format!(
                "{line} ({bad:?}): {code} and {says:?}; found {:?} {never:?}: {text}",
                output.status.code()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_fails_says_so_in_json_with_the_same_exit_code() {
    let server = dead_server();
    for case in CASES {
        let (line, bad, code, _) = case;
        let output = run(case, &server, &["--json"]);
        assert_eq!(output.status.code(), Some(*code), "{line} ({bad:?}): {output:?}");
        let (result, findings) = crate::support::reported(&output.stdout);
        let has_error = findings.iter().any(|one| one["severity"] != "info");
        assert!(has_error || *code == 0, "{line} ({bad:?}): {result} {findings:?}");
        let texts = String::from_utf8_lossy(&output.stdout);
        assert!(!NEVER.iter().any(|never| texts.contains(never)), "{line} ({bad:?}): {texts}");
    }
}

#[test]
fn every_subcommand_is_in_the_table() {
    let help = Command::new(env!("CARGO_BIN_EXE_dkimctl")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let names = help.lines().filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| line.starts_with(|char: char| char.is_ascii_lowercase()));
    for name in names.map(|line| line.split(' ').next().unwrap()) {
        let is_there = CASES.iter().any(|(line, ..)| line.split(' ').next() == Some(name));
        assert!(is_there, "{name}");
    }
}
