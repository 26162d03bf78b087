//! Files are swapped while mail is submitted.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{FORBIDDEN, message};
use crate::support::{
    Attacks, Received, Sandbox, Tied, User, assert_no_secret, logged, signing_domains,
};

/// A sandbox of its own, because no other test could copy a tree that changes at the same time; and an attacker.
fn sandbox(domain: &str) -> (Sandbox, User) {
    let sandbox = Sandbox::own("race");
    sandbox.root("useradd -u 3000 mallory");
    for domain in [FORBIDDEN, domain] {
        sandbox.key(domain, "s1");
    }
    (sandbox, User { name: "mallory".to_owned(), uid: 3000 })
}

/// Puts one after the other in the place of a name, as fast as it can: argv is the name and what takes its place. In one
/// step, renameat2(2), so that something is always there; now and then by two renames.
const SWAP: &str = "import ctypes, os, random, sys
place, *others = sys.argv[1:]
c = ctypes.CDLL(None, use_errno=True)
print('ready', flush=True)
while True:
    other = random.choice(others)
    for _ in range(2):
        if random.random() < 0.1:
            os.rename(place, 'between'); os.rename(other, place); os.rename('between', other)
        elif c.renameat2(-100, place.encode(), -100, other.encode(), 2):
            sys.exit(os.strerror(ctypes.get_errno()))
        for _ in range(random.randrange(3000)): pass
";

/// Starts it in a folder, as a user who need not be able to get there.
fn swapper(sandbox: &Sandbox, user: &str, folder: &str, names: &str) -> Tied {
    sandbox.write("/opt/swap.py", SWAP);
    let script = format!(
        "cd {folder} && exec setpriv --reuid={user} --regid={user} --clear-groups \
         python3 /opt/swap.py {names}"
    );
    let mut command = sandbox.command("root", "/bin/sh");
    let child = command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut ready = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    Tied(child)
}

/// Ends it. What nsenter has started outlives nsenter.
fn stop(sandbox: &Sandbox, swapper: Tied) {
    sandbox.root(
        "pkill -KILL -f '[s]wap.py'; while pgrep -f '[s]wap.py' >/dev/null; do sleep 0.05; done",
    );
    drop(swapper);
}

/// Submits so many messages of a domain, two at a time, and gives what arrived.
fn submit(sandbox: &Sandbox, user: &User, domain: &str, count: usize) -> Vec<Received> {
    let next = AtomicUsize::new(0);
    let submitted = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let recipient = sandbox.recipient();
                    let script = format!("exec timeout 60 sendmail -i {recipient}");
                    let from = message(&format!("a@{domain}"));
                    let output = sandbox.sh(&user.name, &script, &from);
                    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
                    submitted.lock().unwrap().push(recipient);
                }
            });
        }
    });
    let submitted = submitted.into_inner().unwrap();
    submitted.iter().map(|recipient| sandbox.received(recipient)).collect()
}

/// All arrived; what is signed verifies; nothing else is anywhere. Gives the tally.
fn judge(sandbox: &Sandbox, mark: usize, uid: u32, arrived: &[Received]) -> String {
    let lines = logged(sandbox, mark, &format!("uid={uid} "), arrived.len());
    assert_eq!(lines.len(), arrived.len());
    assert_no_secret(sandbox, lines.concat().as_bytes());
    let mut tally: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        assert!(!line.contains("TOP SECRET") && !line.contains("root:"), "{line}");
        let ending = line.split_once("result=").unwrap().1;
        let words = ending.replace("unsigned reason=", "").replace('"', "");
        let place = words.split(' ').find(|word| word.starts_with('/')).unwrap_or_default();
        *tally.entry(words.replace(place, "").replace("  ", " ")).or_default() += 1;
    }
    for mail in arrived {
        let text = String::from_utf8_lossy(&mail.bytes);
        assert!(!text.contains("TOP SECRET") && !text.contains("root:"), "{text}");
        assert_no_secret(sandbox, &mail.bytes);
    }
    let signed: Vec<&Received> =
        arrived.iter().filter(|mail| !signing_domains(mail).is_empty()).collect();
    let paths: Vec<&str> = signed.iter().map(|mail| mail.path()).collect();
    assert_eq!(sandbox.failures_in(&paths), [""; 0]);
    assert_eq!(tally.get("signed").copied().unwrap_or_default(), signed.len());
    assert!(!signed.is_empty() && signed.len() < arrived.len(), "nothing was swapped: {tally:?}");
    let tally: Vec<String> = tally.iter().map(|(what, count)| format!("{count} {what}")).collect();
    format!("all {} arrived, what is signed verifies: {}", arrived.len(), tally.join(", "))
}

#[test]
#[ignore = "needs root"]
fn a_key_that_is_swapped_while_mail_flows_is_the_right_one_or_none() {
    let domain = "race.test";
    let (sandbox, user) = sandbox(domain);
    let sandbox = &sandbox;
    let attacks = Attacks::of(a_key_that_is_swapped_while_mail_flows_is_the_right_one_or_none);
    // Links to files of the group's, to the key of another, to the key itself; a key of the user's own; a FIFO; a
    // directory. Root swaps them: in a directory that is not root's no key is used at all.
    sandbox.root(&format!(
        "cd /etc/sendmail-dkim/keys/{domain}; echo 'TOP SECRET' >/opt/secret; chgrp sendmail-dkim /opt/secret; \
         chmod 640 /opt/secret; ln -s /opt/secret secret; ln -s /etc/passwd passwd; ln -s kept itself; \
         ln -s ../{FORBIDDEN}/s1.private other; ln -s /proc/self/fd/0 stdin; mkdir folder; mkfifo -m 640 fifo; \
         cp s1.private own; chmod 600 own; chown {0} own fifo; cp -p s1.private kept",
        user.name
    ));
    let mark = sandbox.mark();
    let folder = format!("/etc/sendmail-dkim/keys/{domain}");
    let names = "s1.private secret passwd itself other stdin folder fifo own";
    let swapper = swapper(sandbox, "root", &folder, names);
    let arrived = submit(sandbox, &user, domain, 320);
    stop(sandbox, swapper);
    // The key has its name again: it is looked for in what was said, and a FIFO would be waited for.
    sandbox.root(&format!("cd {folder} && rm -rf {names} between && mv kept s1.private"));
    let outcome = judge(sandbox, mark, user.uid, &arrived);
    attacks.row("the key is swapped for 8 other things", &outcome);
}

#[test]
#[ignore = "needs root"]
fn a_folder_of_keys_that_is_swapped_leads_to_no_key_of_another() {
    let domain = "folder-race.test";
    let (sandbox, user) = sandbox(domain);
    let sandbox = &sandbox;
    let attacks = Attacks::of(a_folder_of_keys_that_is_swapped_leads_to_no_key_of_another);
    sandbox.root(&format!(
        "cd /etc/sendmail-dkim/keys; ln -s {FORBIDDEN} link; ln -s /etc link2; touch file"
    ));
    let mark = sandbox.mark();
    let names = format!("{domain} link link2 file");
    let swapper = swapper(sandbox, "root", "/etc/sendmail-dkim/keys", &names);
    let arrived = submit(sandbox, &user, domain, 100);
    stop(sandbox, swapper);
    let outcome = judge(sandbox, mark, user.uid, &arrived);
    attacks.row("the folder of the key is swapped for links and a file", &outcome);
}
