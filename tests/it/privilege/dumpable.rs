//! Each stage of a submission under each `fs.suid_dumpable`: no process of it shows anything to its own user, and none leaves a
//! core.
//!
//! The setting is one of the whole host, so these tests set it, and `kernel.core_pattern`, and restore both in the end.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use super::{EVIL, sandbox, user};
use crate::support::{Attacks, Sandbox, User, project, stdout};

/// A setting of the host; restored when it is dropped.
struct Sysctl {
    path: &'static str,
    before: String,
}

impl Sysctl {
    fn set(path: &'static str, value: &str) -> Self {
        let before = fs::read_to_string(path).unwrap();
        fs::write(path, value).unwrap();
        let said = format!("{path} is {value} for the time of this test, and was {before}");
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        Self { path, before }
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        fs::write(self.path, &self.before).unwrap();
    }
}

/// The host has one of each setting. Tests that depend on one hold this lock, and those that change one hold it alone.
pub(super) static OF_THE_HOST: RwLock<()> = RwLock::new(());

const SUID_DUMPABLE: &str = "/proc/sys/fs/suid_dumpable";
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// A moment at which the processes are looked into.
struct Stage {
    name: &'static str,
    program: &'static str,
    /// printf(1) makes a text of it; `TO_WHOM` is the recipient.
    input: &'static str,
    /// strace(1) makes a process wait here.
    wait: Option<&'static str>,
    /// So many processes have something to hide.
    processes: usize,
}

const ALONE_INPUT: &str = "From: a@privilege.test\\n\\nx\\n";
const SIGNING_INPUT: &str = "From: a@small-key.test\\n\\nx\\n";
const SMTP_SIGNING_INPUT: &str = "EHLO x\\r\\nMAIL FROM:<a@small-key.test>\\r\\nRCPT TO:<TO_WHOM>\\r\\nDATA\\r\\nFrom: a@small-key.test\\r\\n\\r\\nx\\r\\n";
const SMTP_INPUT: &str = "EHLO x\\r\\nMAIL FROM:<a@privilege.test>\\r\\nRCPT TO:<TO_WHOM>\\r\\nDATA\\r\\nFrom: a@privilege.test\\r\\n\\r\\nx\\r\\n";

/// A domain with a key of 1024 bits, which signs by the crate `rsa` on any processor: the other one makes no system call.
const SMALL: &str = "small-key.test";

/// In the middle of the private-key operation, which draws random bytes several times.
const SIGNING: Option<&str> = Some("getrandom:delay_enter=4000000:when=2");

/// The line in the log is written when the signature is there.
const SIGNED: Option<&str> = Some("sendto:delay_enter=4000000:when=1");

const STAGES: [Stage; 7] = [
    Stage {
        name: "waiting in the header",
        program: "sendmail -i TO_WHOM",
        input: "From: a@privilege.test\\nSubj",
        wait: None,
        processes: 2,
    },
    Stage {
        name: "waiting in the body",
        program: "sendmail -i TO_WHOM",
        input: ALONE_INPUT,
        wait: None,
        processes: 2,
    },
    Stage {
        name: "signing",
        program: "sendmail -i TO_WHOM",
        input: SIGNING_INPUT,
        wait: SIGNING,
        processes: 2,
    },
    Stage {
        name: "before the exec",
        program: "sendmail -i TO_WHOM",
        input: ALONE_INPUT,
        wait: SIGNED,
        processes: 1,
    },
    Stage {
        name: "-bs, waiting for a command",
        program: "sendmail -bs",
        input: "EHLO x\\r\\n",
        wait: None,
        processes: 2,
    },
    Stage {
        name: "-bs, waiting in the mail data",
        program: "sendmail -bs",
        input: SMTP_INPUT,
        wait: None,
        processes: 2,
    },
    Stage {
        name: "-bs, signing",
        program: "sendmail -bs",
        input: SMTP_SIGNING_INPUT,
        wait: SIGNING,
        processes: 2,
    },
];

/// Starts the program, brings it to the stage, lets its user look into its processes, and sends them a signal whose action is
/// to dump core. Gives what worked, a line each, and the names of the cores.
fn attacked(sandbox: &Sandbox, user: &User, stage: &Stage, signal: &str) -> (String, Vec<String>) {
    let User { name, uid } = user;
    let recipient = sandbox.recipient();
    let own = format!("{EVIL}/dump.{}", recipient.split('@').next().unwrap());
    let program = stage.program.replace("TO_WHOM", &recipient);
    let comm = program.split(' ').next().unwrap();
    let end = if program.ends_with("-bs") { "printf '.\\r\\n' >&9" } else { "exec 9>&-" };
    // Where strace holds a process, it holds it for seconds.
    let (program, arrive) = match stage.wait {
        Some(wait) => (
            format!("strace -f -o /dev/null -e inject={wait} -u {name} {program}"),
            format!(
                "{end}; for try in $(seq 200); do held && sleep 0.2 && held && break; sleep 0.05; done"
            ),
        ),
        None => (
            format!("setpriv --reuid={name} --regid={name} --clear-groups {program}"),
            format!(
                "for try in $(seq 200); do [ $(ones | wc -l) = {} ] && break; sleep 0.05; done; sleep 0.3",
                stage.processes
            ),
        ),
    };
    // A core is written to the file of its process, by the kernel, with the rights of that.
    let script = format!(
        "mkdir -m 1777 {own}; cd {own}; mkfifo -m 666 in; ulimit -c unlimited
         ones() {{ pgrep -U {uid} -x {comm}; }}
         held() {{ for one in $(ones); do case $(cut -d' ' -f3 /proc/$one/stat) in t) return 0; esac; done; return 1; }}
         {program} <in >out 2>err & exec 9>in; printf '{input}' >&9; {arrive}
         setpriv --reuid={name} --regid={name} --clear-groups python3 /opt/look.py {comm}
         setpriv --reuid={name} --regid={name} --clear-groups kill -{signal} $(ones)
         for try in $(seq 100); do [ -z \"$(ones)\" ] && break; sleep 0.1; done
         pkill -KILL -U {uid}; wait; cat err",
        input = stage.input.replace("TO_WHOM", &recipient),
    );
    let looked = stdout(&sandbox.sh("root", &script, b""));
    let cores = stdout(&sandbox.sh("root", &format!("ls {own} | grep core || :"), b""));
    (looked, cores.lines().map(str::to_owned).collect())
}

#[test]
#[ignore = "needs root"]
fn at_no_stage_and_under_no_setting_a_process_is_looked_into_or_dumped() {
    let sandbox = sandbox();
    let _alone = OF_THE_HOST.write().unwrap_or_else(PoisonError::into_inner);
    let attacks = Attacks::of(at_no_stage_and_under_no_setting_a_process_is_looked_into_or_dumped);
    let look = fs::read_to_string(project("tests/it/privilege/look.py")).unwrap();
    sandbox.write("/opt/look.py", &look);
    sandbox.root(&format!("dkimctl genkey -d {SMALL} -s s1 -b 1024 2>&1"));
    // Since glibc 2.41 random bytes are drawn without a system call, so strace(1) cannot stop a process in the operation.
    let is_held = |stage: &&Stage| stage.wait != SIGNING || sandbox.glibc() < 41;
    let stages: Vec<&Stage> = STAGES.iter().filter(is_held).collect();
    // In the working directory, by a path that fs.suid_dumpable = 2 asks for, too.
    let _pattern = Sysctl::set(CORE_PATTERN, "core.%p");
    for value in ["0", "1", "2"] {
        let _dumpable = Sysctl::set(SUID_DUMPABLE, value);
        std::thread::scope(|scope| {
            for (stage, signal) in stages.iter().zip(["ABRT", "QUIT", "SEGV"].into_iter().cycle()) {
                scope.spawn(move || {
                    let (looked, cores) = attacked(sandbox, &user(), stage, signal);
                    let what = format!("fs.suid_dumpable = {value}: {}", stage.name);
                    assert_eq!(looked.trim(), format!("{} processes", stage.processes), "{what}");
                    assert_eq!(cores, [""; 0], "{what}");
                    attacks.row(
                        &format!("{what}: 23 ways to look into each process, then SIG{signal}"),
                        &format!("of {}, none worked; no core", looked.trim()),
                    );
                });
            }
        });
    }
    // The same on a program without the bit shows that the ways work, and the signal.
    let cat = Stage { name: "cat", program: "cat", input: "x\\n", wait: None, processes: 1 };
    let (looked, cores) = attacked(sandbox, &user(), &cat, "ABRT");
    assert!(looked.lines().count() > 20, "{looked}");
    assert_eq!(cores.len(), 1, "{cores:?}");
    assert!(Path::new(SUID_DUMPABLE).exists());
    attacks
        .row("the same, on cat(1)", &format!("{} ways worked; a core", looked.lines().count() - 1));
}
