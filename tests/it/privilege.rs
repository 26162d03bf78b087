//! Each test is an attack of a local user, and a row of the table in the end says what was seen to come of it. All have one
//! sandbox, with users of their own, so that a line of the log is known by its uid.

mod dumpable;
mod environment;
mod filter;
mod logs;
mod place;
mod process;
mod race;
mod right;
mod signals;
mod signer;
mod tree;
mod writes;

use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{Attacks, Observed, Sandbox, User, project, stdout};

/// Every user may sign for it.
const DOMAIN: &str = "privilege.test";
/// Alice alone may sign for it.
const FORBIDDEN: &str = "forbidden.test";
/// Oscar alone may sign for it.
const OWN: &str = "own.test";
const KEY: &str = "/etc/sendmail-dkim/keys/privilege.test/s1.private";

/// Users of no right but their own.
const USERS: u32 = 80;
const FIRST_UID: u32 = 3000;

/// Where an attacker keeps what he attacks with.
const EVIL: &str = "/tmp/evil";

/// The sandbox of all these tests.
fn sandbox() -> &'static Sandbox {
    static OWN_ONE: OnceLock<Sandbox> = OnceLock::new();
    OWN_ONE.get_or_init(|| {
        let sandbox = Sandbox::own("privilege");
        set_up(&sandbox);
        sandbox
    })
}

fn set_up(sandbox: &Sandbox) {
    let users: String = (0..USERS)
        .map(|number| format!("u{number}:x:{0}:{0}::/tmp:/bin/sh\n", FIRST_UID + number))
        .collect();
    let groups: String =
        (0..USERS).map(|number| format!("u{number}:x:{}:\n", FIRST_UID + number)).collect();
    sandbox.write("/tmp/users", &users);
    sandbox.write("/tmp/groups", &groups);
    sandbox.root("cat /tmp/users >>/etc/passwd; cat /tmp/groups >>/etc/group");
    sandbox.root(
        "useradd --system --no-create-home --gid nogroup --shell /usr/sbin/nologin sendmail-dkim; \
         echo 'filter_user = \"sendmail-dkim\"' >>/etc/sendmail-dkim/config.toml",
    );
    for domain in [DOMAIN, FORBIDDEN, OWN] {
        sandbox.key(domain, "s1");
    }
    let file = |user: &str| format!("selectors = [\"s1\"]\nusers = [\"{user}\"]\n");
    sandbox.write("/etc/sendmail-dkim/domains/forbidden.test.toml", &file("alice"));
    sandbox.write("/etc/sendmail-dkim/domains/own.test.toml", &file(&oscar().name));
    // What an attacker would have the loader load. It tries to read the key, and leaves word of where it ran.
    sandbox.root(&format!("mkdir -m 1777 -p {EVIL} {EVIL}/lib {EVIL}/out"));
    let library = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", &format!("-DKEY=\"{KEY}\""), "-o"])
        .arg(sandbox.path(&format!("{EVIL}/steal.so")))
        .arg(project("tests/it/privilege/steal.c"))
        .output();
    stdout(&library.unwrap());
    sandbox.root(&format!(
        "cd {EVIL}; for name in libc.so.6 libgcc_s.so.1; do cp steal.so lib/$name; done"
    ));
}

/// A user that no other test has.
fn user() -> User {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < USERS, "there are no more users");
    User { name: format!("u{number}"), uid: FIRST_UID + number }
}

/// May sign for `own.test`.
fn oscar() -> User {
    User { name: "u0".to_owned(), uid: FIRST_UID }
}

/// A message of an author.
fn message(from: &str) -> Vec<u8> {
    format!("From: {from}\nSubject: x\n\nx\n").into_bytes()
}

/// Runs a script as a user in a mount namespace of its own, where `changes`, made by root, are not visible to other users;
/// /etc/sendmail-dkim is a copy there.
fn apart(sandbox: &Sandbox, user: &User, changes: &str, script: &str, input: &[u8]) -> Output {
    let own = format!("/opt/apart.{}", sandbox.recipient());
    let name = &user.name;
    let outer = format!(
        "set -e; mkdir -p {own}; cp -a /etc/sendmail-dkim {own}/etc; \
         mount --bind {own}/etc /etc/sendmail-dkim; cd /etc/sendmail-dkim; {changes}; cd /; \
         exec setpriv --reuid={name} --regid={name} --clear-groups sh -c \"$SCRIPT\""
    );
    let mut command = sandbox.command("root", "env");
    command.arg(format!("SCRIPT={script}")).args(["unshare", "-m", "sh", "-c", &outer]);
    crate::support::feed(&mut command, input)
}

/// The same for a submission, and what came of it.
fn observed_apart(
    sandbox: &Sandbox,
    user: &User,
    changes: &str,
    script: &str,
    input: &[u8],
) -> Observed {
    let (recipient, mark) = (sandbox.recipient(), sandbox.mark());
    let output = apart(sandbox, user, changes, &script.replace("RCPT", &recipient), input);
    Observed::after(sandbox, &format!("uid={} ", user.uid), mark, &recipient, output)
}

#[test]
#[ignore = "needs root"]
fn the_caller_can_use_the_key_and_not_read_it() {
    let sandbox = sandbox();
    let attacks = Attacks::of(the_caller_can_use_the_key_and_not_read_it);
    let user = user();
    for how in ["cat KEY", "cp KEY /tmp/x", "ls /etc/sendmail-dkim/keys", "ln KEY /tmp/hard.$$"] {
        let output = sandbox.sh(&user.name, &how.replace("KEY", KEY), b"");
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        attacks.row(how, &String::from_utf8_lossy(&output.stderr));
    }
    let from = format!("a@{DOMAIN}");
    let observed = Observed::of(sandbox, &user, "sendmail RCPT", &message(&from));
    assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN));
    sandbox.assert_signed(&observed.arrived.unwrap(), DOMAIN, "s1");
}

/// A stand-in for the real sendmail that shows the process it is: its ids, open files and what it reads.
const SHOW: &str = "#!/bin/sh\ngrep -E '^(Uid|Gid|Groups|Sig...|CapEff):' /proc/self/status\n\
    cd /proc/$$/fd; for fd in *; do echo \"fd $fd $(readlink $fd)\"; done\n\
    stat -L -c 'stdin mode %a links %h' /proc/$$/fd/0\ncat | head -c 100\n";

/// As what `SHOW` says tells, instead of the real sendmail.
fn shown(sandbox: &Sandbox, user: &User, script: &str, message: &[u8]) -> String {
    let changes = format!(
        "printf '%s' '{}' >show; chmod 755 show; echo 'sendmail = \"/etc/sendmail-dkim/show\"' >config.toml",
        SHOW.replace('\'', "'\\''")
    );
    stdout(&apart(sandbox, user, &changes, script, message))
}

#[test]
#[ignore = "needs root"]
fn nothing_of_the_privilege_is_left_to_the_real_sendmail() {
    let sandbox = sandbox();
    let attacks = Attacks::of(nothing_of_the_privilege_is_left_to_the_real_sendmail);
    let user = user();
    let shown =
        shown(sandbox, &user, "exec sendmail -i x@sink.test", &message(&format!("a@{DOMAIN}")));
    let ids = |name: &str| format!("{name}:\t{0}\t{0}\t{0}\t{0}\n", user.uid);
    assert!(shown.contains(&ids("Gid")) && shown.contains(&ids("Uid")), "{shown}");
    assert!(shown.contains("Groups:\t \n"), "{shown}");
    assert!(!shown.contains(".private") && shown.contains("DKIM-Signature:"), "{shown}");
    let gid = shown.lines().find(|line| line.starts_with("Gid")).unwrap();
    attacks.row("keep the group in the program behind", gid);
}
