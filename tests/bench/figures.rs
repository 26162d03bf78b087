//! What is measured, in its order.

use std::process::Command;
use std::time::Instant;

use crate::host::Host;
use crate::measure::{Arm, Plan, Series, compare};
use crate::messages::{Kind, message};
use crate::signers::{
    BOTH, ED25519, Keys, RSA, Socket, UNSIGNED, add_to_wrapper, domain, opendkim_memory,
    set_up_dkimpy, set_up_opendkim, set_up_wrapper, widen_opendkim,
};
use crate::smtp::{self, BySmtp};
use crate::support::{feed, project, stdout};

/// How much time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Full,
    Quick,
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) extent: Extent,
    /// By control groups, and not by the ticks of the kernel.
    pub(crate) is_exact: bool,
    /// In the order of [`SMALL`].
    pub(crate) small: Vec<Series>,
    /// Plain, both milters, wrapper; so many submitters at once.
    pub(crate) crowds: Vec<(usize, Vec<Series>)>,
    /// Plain, both milters, wrapper; 100 messages in each SMTP session.
    pub(crate) session: Vec<Series>,
    pub(crate) sizes: Vec<Sized>,
    pub(crate) eight_bit: Sized,
    pub(crate) domains: Vec<Domains>,
    /// Plain, the wrapper with one domain, and with the most.
    pub(crate) one_and_many: Vec<Series>,
    /// Mail submitted by SMTP.
    pub(crate) by_smtp: Vec<BySmtp>,
    pub(crate) memory: Peaks,
    /// The same for messages that are made 7-bit.
    pub(crate) memory_eight_bit: Peaks,
    /// What it was measured on, and with.
    pub(crate) place: String,
}

impl Figures {
    /// The arms with eight submitters.
    pub(crate) fn eight_at_once(&self) -> &[Series] {
        &self.crowds.iter().find(|(submitters, _)| *submitters == EIGHT).expect("eight").1
    }
}

/// Of messages of one size: plain, both milters, wrapper.
#[derive(Debug)]
pub(crate) struct Sized {
    pub(crate) bytes: usize,
    pub(crate) series: Vec<Series>,
}

/// With this many domains: plain, milter on a Unix socket, wrapper.
#[derive(Debug)]
pub(crate) struct Domains {
    pub(crate) count: usize,
    pub(crate) series: Vec<Series>,
    /// Of the milter, in KiB.
    pub(crate) milter_memory: f64,
}

/// The arms of the small message, and their places.
pub(crate) const SMALL: [&str; 10] = [
    "Postfix alone",
    "OpenDKIM, TCP socket",
    "OpenDKIM, Unix socket",
    "sendmail.dkim",
    "OpenDKIM, Ed25519",
    "sendmail.dkim, Ed25519",
    "sendmail.dkim, RSA-2048 and Ed25519",
    "sendmail.dkim, of a domain without a key",
    "sendmail.dkim, RSA by the rsa crate",
    "dkimpy-milter, Unix socket",
];

/// How many submit at once, from few to many.
const SUBMITTERS: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// The number that messages a second are compared for.
pub(crate) const EIGHT: usize = 8;

const KB: usize = 1_000;
const MB: usize = 1_000_000;
pub(crate) const TEN_MB: usize = 10 * MB;
const SIZES: [usize; 6] = [KB, 10 * KB, 100 * KB, MB, TEN_MB, 100 * MB];

const PLAIN_PROGRAM: &str = "/usr/sbin/sendmail.postfix";
const WRAPPER: &str = "/usr/sbin/sendmail";
/// Built without the feature `fast-rsa`.
const BY_RSA: &str = "/usr/sbin/sendmail.rsa";

/// The hosts, by their places: one for plain and wrapper, and one for each milter.
const OURS: usize = 0;
const TCP: usize = 1;
const UNIX: usize = 2;
const MILTER_ED25519: usize = 3;
const DKIMPY: usize = 4;

pub(crate) fn measure(extent: Extent, wrapper: Option<&str>) -> Figures {
    let begin = Instant::now();
    let say = |what: &str| eprintln!("{:4} s: {what}", begin.elapsed().as_secs());
    say("five hosts start");
    let names = ["ours", "tcp", "unix", "ed25519", "dkimpy"];
    let mut hosts = names.map(Host::start);
    if let Some(wrapper) = wrapper {
        hosts[OURS].install(wrapper, "/usr/sbin/sendmail.dkim");
    }
    hosts[OURS].install(&by_rsa(), BY_RSA);
    let place = place(&hosts[OURS]);
    let keys = set_up(&hosts);
    let is_quick = extent == Extent::Quick;
    let by = |full, quick| if is_quick { quick } else { full };
    say("small messages");
    let arms = small_arms(&hosts);
    let small = compare(&mut hosts, &arms, Plan::one_by_one(20, by(20, 4)), |_, _| {});
    say("more and more submitters");
    let crowds = SUBMITTERS.map(|submitters| {
        let rounds = if submitters == EIGHT { by(5, 1) } else { by(2, 1) };
        let plan = Plan::crowd(submitters, by(150, 60), rounds);
        (submitters, compare(&mut hosts, &arms[..4], plan, |_, _| {}))
    });
    say("100 messages in a session");
    let session = compare(&mut hosts, &arms[..4], Plan::sessions(100, by(5, 1)), |_, _| {});
    say("larger and larger");
    let mut sizes = Vec::new();
    for bytes in SIZES.into_iter().take(by(6, 5)) {
        let (rounds, count) = match bytes {
            10_000_000 => (by(9, 2), 2),
            100_000_000 => (by(3, 1), 1),
            _ => (by(5, 2), 10),
        };
        sizes.push(sized(&mut hosts, bytes, Kind::Ascii, rounds, count));
    }
    say("to be made 7-bit");
    let eight_bit = sized(&mut hosts, 10 * MB, Kind::EightBit, by(9, 2), 2);
    say("by SMTP");
    let by_smtp = smtp::measure(&mut hosts, extent);
    say("memory");
    let (memory, memory_eight_bit) = memory(&hosts[OURS]);
    say("more and more domains");
    let (domains, one_and_many) = many_domains(&mut hosts, extent, &keys);
    say("done");
    Figures {
        extent,
        is_exact: hosts[OURS].is_exact(),
        small,
        crowds: crowds.into(),
        session,
        sizes,
        eight_bit,
        by_smtp,
        domains,
        one_and_many,
        memory,
        memory_eight_bit,
        place,
    }
}

/// Only what is submitted by SMTP, and what it was measured on.
pub(crate) fn measure_by_smtp(extent: Extent, wrapper: Option<&str>) -> (Vec<BySmtp>, String) {
    let mut hosts = ["ours", "tcp", "unix"].map(Host::start);
    if let Some(wrapper) = wrapper {
        hosts[OURS].install(wrapper, "/usr/sbin/sendmail.dkim");
    }
    let place = place(&hosts[OURS]);
    let keys = set_up_wrapper(&hosts[OURS]);
    set_up_opendkim(&hosts[TCP], Socket::Tcp, &keys, RSA);
    set_up_opendkim(&hosts[UNIX], Socket::Unix, &keys, RSA);
    (smtp::measure(&mut hosts, extent), place)
}

/// Builds the wrapper without `graviola`: the path of the program.
fn by_rsa() -> String {
    let folder = project("target/bench/by-rsa");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--locked", "--no-default-features"]);
    cargo.args(["--bin", "sendmail-dkim", "--target-dir"]).arg(&folder);
    assert!(cargo.current_dir(project("")).status().unwrap().success());
    folder.join("release/sendmail-dkim").to_str().unwrap().to_owned()
}

/// Machine, kernel and programs.
fn place(host: &Host) -> String {
    let text = host.sandbox.root(
        "sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1; nproc; uname -r
         postconf -h mail_version; opendkim -V | sed -n '1s/.* v//p'; cut -d' ' -f 1-3 /proc/loadavg",
    );
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let [model, cores, kernel, postfix, opendkim, load] = lines[..] else { panic!("{text}") };
    // Of 1 our own start is a part.
    let is_busy = load.split(' ').next().unwrap().parse::<f64>().unwrap() > 1.5;
    let note = if is_busy { ": busy with other work, so times of waiting say little" } else { "" };
    format!(
        "{model}, {cores} cores, Linux {kernel}, Postfix {postfix}, OpenDKIM {opendkim}; load average before: {load}{note}"
    )
}

fn set_up(hosts: &[Host]) -> Keys {
    let keys = set_up_wrapper(&hosts[OURS]);
    set_up_opendkim(&hosts[TCP], Socket::Tcp, &keys, RSA);
    set_up_opendkim(&hosts[UNIX], Socket::Unix, &keys, RSA);
    set_up_opendkim(&hosts[MILTER_ED25519], Socket::Unix, &keys, ED25519);
    set_up_dkimpy(&hosts[DKIMPY], &keys);
    keys
}

fn arm(
    name: &'static str,
    hosts: &[Host],
    host: usize,
    program: &'static str,
    text: &[u8],
    from: &str,
) -> Arm {
    let file = hosts[host].keep(&format!("{from}.{}", text.len()), text);
    let is_signed = host != OURS || (program != PLAIN_PROGRAM && from != UNSIGNED);
    Arm { name, host, program, files: vec![file], is_signed }
}

fn small_arms(hosts: &[Host]) -> Vec<Arm> {
    let ways = [
        (OURS, PLAIN_PROGRAM, RSA),
        (TCP, PLAIN_PROGRAM, RSA),
        (UNIX, PLAIN_PROGRAM, RSA),
        (OURS, WRAPPER, RSA),
        (MILTER_ED25519, PLAIN_PROGRAM, ED25519),
        (OURS, WRAPPER, ED25519),
        (OURS, WRAPPER, BOTH),
        (OURS, WRAPPER, UNSIGNED),
        (OURS, BY_RSA, RSA),
        (DKIMPY, PLAIN_PROGRAM, RSA),
    ];
    let arms = SMALL.into_iter().zip(ways).map(|(name, (host, program, from))| {
        arm(name, hosts, host, program, &message(from, KB, Kind::Ascii), from)
    });
    arms.collect()
}

/// Plain, both milters, wrapper.
fn sized(hosts: &mut [Host], bytes: usize, kind: Kind, rounds: usize, count: usize) -> Sized {
    let text = message(RSA, bytes, kind);
    let from = format!("{kind:?}");
    let arms = [
        arm(SMALL[0], hosts, OURS, PLAIN_PROGRAM, &text, &from),
        arm(SMALL[1], hosts, TCP, PLAIN_PROGRAM, &text, &from),
        arm(SMALL[2], hosts, UNIX, PLAIN_PROGRAM, &text, &from),
        arm(SMALL[3], hosts, OURS, WRAPPER, &text, &from),
    ];
    Sized { bytes, series: compare(hosts, &arms, Plan::one_by_one(count, rounds), |_, _| {}) }
}

/// Bytes of a message, and the most memory that the wrapper had, in KiB.
pub(crate) type Peaks = Vec<(usize, f64)>;

/// The wrapper's, with a real sendmail that says how much memory the process had.
fn memory(host: &Host) -> (Peaks, Peaks) {
    let place = host.sandbox.path("/bench/peak");
    let mut compiler = Command::new("cc");
    let compiler = compiler.arg("-O1").arg("-o").arg(place).arg(project("tests/bench/peak.c"));
    stdout(&compiler.output().unwrap());
    let config = "/etc/sendmail-dkim/config.toml";
    host.sandbox.root(&format!(
        "cp {config} /bench/config; sed -i 's|^sendmail = .*|sendmail = \"/bench/peak\"|' {config}"
    ));
    let one = |bytes, kind| {
        let file = host.keep("memory", &message(RSA, bytes, kind));
        // A shell for parent: it has less memory than any of us, before it becomes the wrapper.
        let script = format!("cat {file} | {WRAPPER} -i to@sink.test");
        let peaks = (0..3).map(|_| {
            let said = stdout(&feed(
                host.sandbox.command("www-data", "/bin/sh").args(["-c", &script]),
                b"",
            ));
            said.trim().parse::<f64>().unwrap()
        });
        (bytes, peaks.fold(0.0, f64::max))
    };
    let found = [Kind::Ascii, Kind::EightBit]
        .map(|kind| SIZES.iter().map(|&bytes| one(bytes, kind)).collect::<Vec<_>>());
    host.sandbox.root(&format!("mv /bench/config {config}; rm /bench/mail/memory"));
    found.into()
}

/// The numbers of domains, each ten times the one before; then the first and the last against one another.
fn many_domains(hosts: &mut [Host], extent: Extent, keys: &Keys) -> (Vec<Domains>, Vec<Series>) {
    let is_quick = extent == Extent::Quick;
    hosts[OURS].sandbox.root(&format!(
        "cd /etc; cp -a sendmail-dkim sendmail-dkim.one; cd sendmail-dkim.one
         rm -r domains/{ED25519}.toml domains/{BOTH}.toml keys/{ED25519} keys/{BOTH}"
    ));
    let plan = Plan::one_by_one(10, if is_quick { 2 } else { 5 });
    let (mut found, mut before) = (Vec::new(), 0);
    for count in [1, 10, 100, 1_000, 10_000, 100_000].into_iter().take(if is_quick { 5 } else { 6 })
    {
        // The one that is there already is the last.
        add_to_wrapper(&hosts[OURS], before..count - 1);
        if count == 1 {
            set_up_opendkim(&hosts[UNIX], Socket::Unix, keys, RSA);
        } else {
            widen_opendkim(&hosts[UNIX], before..count - 1);
        }
        before = count - 1;
        let arms = domain_arms(hosts, count);
        let series = compare(hosts, &arms, plan, |_, _| {});
        found.push(Domains { count, series, milter_memory: opendkim_memory(&hosts[UNIX]) });
    }
    let mut arms = domain_arms(hosts, 1);
    let one = arms.remove(2);
    arms.truncate(1);
    let many = Arm { files: domain_arms(hosts, before + 1)[2].files.clone(), ..one.clone() };
    arms.push(one);
    arms.push(many);
    let plan = Plan::one_by_one(20, if is_quick { 4 } else { 15 });
    let series = compare(hosts, &arms, plan, |hosts, arm| {
        let script = match arm {
            1 => "mv sendmail-dkim sendmail-dkim.many; mv sendmail-dkim.one sendmail-dkim",
            2 => "mv sendmail-dkim sendmail-dkim.one; mv sendmail-dkim.many sendmail-dkim",
            _ => "true",
        };
        hosts[OURS].sandbox.root(&format!("cd /etc; {script}"));
    });
    (found, series)
}

/// From domains that are spread over all there are.
fn domain_arms(hosts: &[Host], count: usize) -> Vec<Arm> {
    let wanted = count.min(10);
    let names: Vec<String> = (1..=wanted)
        .map(|part| match part * count / wanted {
            last if last == count => RSA.to_owned(),
            other => domain(other - 1),
        })
        .collect();
    let files = |host: usize| {
        let one = |name: &String| hosts[host].keep(name, &message(name, KB, Kind::Ascii));
        names.iter().map(one).collect::<Vec<_>>()
    };
    let arm =
        |name, host, program, is_signed| Arm { name, host, program, files: files(host), is_signed };
    vec![
        arm(SMALL[0], OURS, PLAIN_PROGRAM, false),
        arm(SMALL[2], UNIX, PLAIN_PROGRAM, true),
        arm(SMALL[3], OURS, WRAPPER, true),
    ]
}
