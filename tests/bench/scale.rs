//! `make bench-scale`: `dkimctl` on a host with 10,000 domains. Prints a table; docs/performance.md has it. As root, since only
//! root may call doctor.
//!
//! `DOMAINS=N` for another number; `UPDATE_EXPECT=1` writes the table into docs/performance.md.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that cannot go on has failed, and it shows what it found"
)]

use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{RData, Record};

/// Different keys. Each is that of many domains: what dkimctl does with a key takes the same time.
const KEYS: usize = 40;

/// How long the DNS server takes for an answer.
const DELAY: Duration = Duration::from_millis(20);

const BEGIN: &str = "<!-- scale: written by make bench-scale -->\n";
const END: &str = "<!-- end of scale -->\n";

/// A configuration directory with many domains; removed in the end.
struct Tree(PathBuf);

/// What a command took.
struct Row {
    command: String,
    seconds: f64,
    most_seconds: f64,
    mebibytes: f64,
    most_mebibytes: Option<f64>,
    exit: i32,
}

impl Row {
    fn is_missed(&self) -> bool {
        self.seconds > self.most_seconds
            || self.most_mebibytes.is_some_and(|most| self.mebibytes > most)
    }
}

impl Tree {
    fn new(name: &str, domains: usize) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let tree = Self(folder.join(format!("scale.{}.{name}", std::process::id())));
        fs::create_dir_all(tree.0.join("domains")).unwrap();
        fs::create_dir_all(tree.0.join("keys")).unwrap();
        let real = tree.0.join("sendmail");
        fs::write(&real, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!("sendmail = {real:?}\norigin = \"web.example\"\n");
        fs::write(tree.0.join("config.toml"), config).unwrap();
        let of_keys = tree.0.join("made");
        for number in 0..KEYS.min(domains) {
            let made = Command::new(env!("CARGO_BIN_EXE_dkimctl"))
                .arg("--etc")
                .arg(&of_keys)
                .args(["genkey", "-d", &domain(number), "-s", "s1"])
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        for number in 0..domains {
            let made = of_keys.join("keys").join(domain(number % KEYS));
            let keys = tree.0.join("keys").join(domain(number));
            fs::create_dir(&keys).unwrap();
            for file in ["s1.private", "s1.txt"] {
                fs::copy(made.join(file), keys.join(file)).unwrap();
            }
            let file = tree.0.join(format!("domains/{}.toml", domain(number)));
            fs::write(file, "selectors = [\"s1\"]\n").unwrap();
            give(&keys.join("s1.private"), 0o640);
            give(&keys, 0o750);
        }
        give(&tree.0.join("keys"), 0o750);
        fs::remove_dir_all(of_keys).unwrap();
        tree
    }

    /// The strings of the record of each key.
    fn records(&self, domains: usize) -> HashMap<String, Vec<String>> {
        let one = |number: usize| {
            let path = self.0.join("keys").join(domain(number)).join("s1.txt");
            let text = fs::read_to_string(path).unwrap();
            let strings = text.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            (format!("s1._domainkey.{}.", domain(number)), strings)
        };
        (0..domains).map(one).collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn domain(number: usize) -> String {
    format!("d{number:05}.example")
}

/// The number of the group in the /etc/group that dkimctl sees here.
const GROUP: u32 = 4_711;

fn give(path: &Path, mode: u32) {
    chown(path, None, Some(GROUP)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A DNS server that answers each question after [`DELAY`], however many there are.
fn serve(records: HashMap<String, Vec<String>>) -> SocketAddr {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = socket.local_addr().unwrap();
    let (replies, due) = channel::<(Instant, SocketAddr, Vec<u8>)>();
    let sender = Arc::clone(&socket);
    thread::spawn(move || {
        for (at, peer, reply) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            sender.send_to(&reply, peer).unwrap();
        }
    });
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            let at = Instant::now() + DELAY;
            let question = Message::from_vec(&bytes[..length]).unwrap();
            let name = question.queries[0].name().clone();
            let mut reply = question.into_response();
            match records.get(&name.to_string()) {
                Some(strings) => {
                    let data = RData::TXT(TXT::new(strings.clone()));
                    reply.add_answer(Record::from_rdata(name, 1, data));
                }
                None => reply.metadata.response_code = ResponseCode::NXDomain,
            }
            replies.send((at, peer, reply.to_vec().unwrap())).unwrap();
        }
    });
    address
}

/// The most memory of a process so far, in MiB.
fn peak(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// Runs a command where the group exists.
fn run(tree: &Tree, words: &str, most_seconds: f64, most_mebibytes: Option<f64>) -> Row {
    let group = tree.0.join("group");
    let text = fs::read_to_string("/etc/group").unwrap();
    fs::write(&group, format!("{text}sendmail-dkim:x:{GROUP}:\n")).unwrap();
    let script = "mount --bind \"$1\" /etc/group; shift; exec \"$@\"";
    let begun = Instant::now();
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&group)
        .arg(env!("CARGO_BIN_EXE_dkimctl"))
        .arg("--etc")
        .arg(&tree.0)
        .args(words.split(' '))
        .stdout(fs::File::create(tree.0.join("out")).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut mebibytes = 0.0;
    let status = loop {
        mebibytes = peak(child.id()).unwrap_or(0.0_f64).max(mebibytes);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(2));
    };
    let seconds = begun.elapsed().as_secs_f64();
    let exit = status.code().unwrap();
    let command = words.split(" --server").next().unwrap().to_owned();
    Row { command, seconds, most_seconds, mebibytes, most_mebibytes, exit }
}

fn table(rows: &[Row], domains: usize) -> String {
    let mut text = format!(
        "\n{domains} domains, a 2048-bit RSA key each, on {} cores:\n\n\
         | command | time | target | memory | target | |\n|---|---|---|---|---|---|\n",
        thread::available_parallelism().unwrap()
    );
    for row in rows {
        let most = row.most_mebibytes.map_or_else(String::new, |most| format!("≤ {most} MiB"));
        let verdict = if row.is_missed() { "**missed**" } else { "met" };
        let Row { command, seconds, most_seconds, mebibytes, .. } = row;
        writeln!(
            text,
            "| `dkimctl {command}` | {seconds:.2} s | ≤ {most_seconds} s | {mebibytes:.0} MiB | {most} | {verdict} |"
        )
        .unwrap();
    }
    text.push('\n');
    text
}

fn main() -> ExitCode {
    let domains = env::var("DOMAINS").map_or(10_000, |number| number.parse().unwrap());
    let tree = Tree::new("all", domains);
    let server = serve(tree.records(domains));
    // It takes every question, and answers none.
    let dead = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let few = Tree::new("few", domains.min(1_000));
    let dead_command = format!("testkey --server {}", dead.local_addr().unwrap());
    let mut rows = vec![
        run(&tree, "status", 1.0, None),
        run(&tree, "record --all", 1.0, None),
        run(&tree, &format!("testkey --server {server}"), 15.0, None),
        run(&tree, "doctor --offline", 10.0, Some(100.0)),
        run(&tree, "rotate --all --selector new --dry-run", 5.0, None),
        run(&few, &dead_command, 15.0, None),
    ];
    rows[2].command.push_str(" (a server that answers after 20 ms)");
    rows[5].command.push_str(" (1,000 domains, a server that never answers)");
    for row in &rows {
        eprintln!("exit code {}: {}", row.exit, row.command);
    }
    let table = table(&rows, domains);
    println!("{table}");
    if env::var_os("UPDATE_EXPECT").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
        let text = fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).expect("the mark before the table");
        let (_, after) = rest.split_once(END).expect("the mark after the table");
        fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    }
    if rows.iter().any(Row::is_missed) && env::var_os("BENCH_LENIENT").is_none() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
