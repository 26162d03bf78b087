//! The right to sign: by no form of From, no option and no variable does a user get a signature of a domain that is not his.

mod forms;

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{FORBIDDEN, OWN, message, oscar, sandbox, user};
use crate::support::{
    Attacks, Observed, Received, Sandbox, User, assert_no_secret, signing_domains,
};
pub(super) use forms::FORMS;

/// How a message is submitted.
const WAYS: [&str; 4] = ["plain", "-t", "-f", "-bs"];

/// One submission: of a form, by a user, in a way.
struct Shot<'a> {
    form: &'a str,
    way: &'static str,
    user: &'a User,
    recipient: String,
    /// What it said, the first line of stdout its process id.
    output: Option<Output>,
    arrived: Option<Received>,
}

impl<'a> Shot<'a> {
    fn new(sandbox: &Sandbox, form: &'a str, way: &'static str, user: &'a User) -> Self {
        Self { form, way, user, recipient: sandbox.recipient(), output: None, arrived: None }
    }

    fn text(&self) -> String {
        let to = format!("To: {}\n", self.recipient);
        // What must be the first line is.
        let header = if self.form.starts_with("From ") || self.form.starts_with(' ') {
            format!("{}\n{to}", self.form)
        } else {
            format!("{to}{}\n", self.form)
        };
        format!("{header}Subject: x\n\nx\n")
    }

    fn submit(&self, sandbox: &Sandbox, program: &str) -> Output {
        let recipient = &self.recipient;
        let (arguments, input) = match self.way {
            "plain" => (format!("-i {recipient}"), self.text()),
            "-t" => ("-i -t".to_owned(), self.text()),
            "-f" => (format!("-i -f alice@{FORBIDDEN} -F Alice {recipient}"), self.text()),
            _ => {
                let text = self.text().replace('\n', "\r\n");
                let commands = format!(
                    "EHLO x\r\nMAIL FROM:<alice@{FORBIDDEN}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n{text}.\r\nQUIT\r\n"
                );
                ("-bs".to_owned(), commands)
            }
        };
        let script = format!("echo $$; exec /usr/sbin/{program} {arguments}");
        sandbox.sh(&self.user.name, &script, input.as_bytes())
    }

    fn is_accepted(&self) -> bool {
        let output = self.output.as_ref().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        output.status.success() && (self.way != "-bs" || said.contains("\r\n250 2.0.0 Ok: queued"))
    }

    /// Waits for the mail. What is not accepted, Postfix alone does not accept either.
    fn collect(&mut self, sandbox: &Sandbox) {
        if self.is_accepted() {
            self.arrived = Some(sandbox.received(&self.recipient));
            return;
        }
        let theirs = self.submit(sandbox, "sendmail.postfix");
        let ours = self.output.as_ref().unwrap();
        assert_eq!(ours.status, theirs.status, "{} {}: {ours:?} {theirs:?}", self.form, self.way);
        assert!(sandbox.arrived(&self.recipient).is_empty());
    }

    fn outcome(&self) -> String {
        let Some(arrived) = &self.arrived else { return "refused, as Postfix alone".to_owned() };
        match signing_domains(arrived).as_slice() {
            [] => "unsigned".to_owned(),
            domains => format!("d={}", domains.join(",")),
        }
    }
}

/// As many at a time as there are processors.
fn submit_all(sandbox: &Sandbox, shots: &mut [Shot<'_>]) {
    let next = AtomicUsize::new(0);
    let outputs = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(shot) = shots.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let output = shot.submit(sandbox, "sendmail");
                    outputs.lock().unwrap().push((shot.recipient.clone(), output));
                }
            });
        }
    });
    let mut outputs: BTreeMap<String, Output> = outputs.into_inner().unwrap().into_iter().collect();
    for shot in shots {
        shot.output = outputs.remove(&shot.recipient);
        shot.collect(sandbox);
    }
}

/// One line for each message that was submitted.
fn assert_one_line_each(sandbox: &Sandbox, mark: usize, shots: &[Shot<'_>]) {
    let log = fs::read(sandbox.path("/out/syslog")).unwrap();
    let log = String::from_utf8_lossy(&log[mark..]).into_owned();
    assert_no_secret(sandbox, log.as_bytes());
    for shot in shots {
        let said = String::from_utf8_lossy(&shot.output.as_ref().unwrap().stdout).into_owned();
        let pid = said.lines().next().unwrap();
        let ours = format!("sendmail-dkim[{pid}]: uid={} ", shot.user.uid);
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&ours)).collect();
        assert_eq!(lines.len(), 1, "{:?} {}: {lines:?}", shot.form, shot.way);
    }
}

/// What came of a form for one user: `-t d=own.test, else unsigned`.
fn summary(shots: &[&Shot<'_>]) -> String {
    let mut ways: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for shot in shots {
        ways.entry(shot.outcome()).or_default().push(shot.way);
    }
    if let [(outcome, _)] = ways.iter().collect::<Vec<_>>().as_slice() {
        return (*outcome).clone();
    }
    let all = ways.iter().map(|(outcome, ways)| format!("{} {outcome}", ways.join(" ")));
    all.collect::<Vec<_>>().join(", ")
}

#[test]
#[ignore = "needs root"]
fn no_form_of_from_gets_a_signature_of_a_domain_of_others() {
    let sandbox = sandbox();
    let attacks = Attacks::of(no_form_of_from_gets_a_signature_of_a_domain_of_others);
    let (mallory, oscar) = (user(), oscar());
    let uid = sandbox.root("id -u alice").trim().parse().unwrap();
    let alice = User { name: "alice".to_owned(), uid };
    let mark = sandbox.mark();
    let mut shots = Vec::new();
    for form in FORMS {
        for way in WAYS {
            for user in [&mallory, &oscar] {
                shots.push(Shot::new(sandbox, form, way, user));
            }
        }
        // Who may gets one, so that it is no empty promise.
        shots.push(Shot::new(sandbox, form, "plain", &alice));
    }
    for way in ["-t", "-f", "-bs"] {
        shots.push(Shot::new(sandbox, FORMS[0], way, &alice));
    }
    submit_all(sandbox, &mut shots);
    let of = |user: &User, form: &str| {
        let shots = shots.iter().filter(|shot| shot.user.name == user.name && shot.form == form);
        summary(&shots.collect::<Vec<_>>())
    };
    for form in FORMS {
        let (mallory, oscar, alice) = (of(&mallory, form), of(&oscar, form), of(&alice, form));
        assert!(!mallory.contains("d="), "{form:?}: {mallory}");
        assert!(!oscar.contains(&format!("d={FORBIDDEN}")), "{form:?}: {oscar}");
        let shown: String = form.escape_debug().take(110).collect();
        attacks.row(&shown, &format!("none: {mallory}; {OWN}: {oscar}; {FORBIDDEN}: {alice}"));
    }
    assert_eq!(of(&alice, FORMS[0]), format!("d={FORBIDDEN}"));
    let alices = FORMS.iter().filter(|form| of(&alice, form).contains(&format!("d={FORBIDDEN}")));
    assert!(alices.count() > 20, "these forms are about nothing");
    assert_one_line_each(sandbox, mark, &shots);
    // Every signed message verifies.
    let signed = shots.into_iter().filter_map(|shot| shot.arrived);
    let signed: Vec<Received> = signed.filter(|mail| !signing_domains(mail).is_empty()).collect();
    let paths: Vec<&str> = signed.iter().map(Received::path).collect();
    assert_eq!(sandbox.failures_in(&paths), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn users_and_groups_ask_for_the_real_user_alone() {
    let sandbox = sandbox();
    let attacks = Attacks::of(users_and_groups_ask_for_the_real_user_alone);
    let (mallory, from) = (user(), format!("alice@{FORBIDDEN}"));
    let name = &mallory.name;
    let file =
        |text: &str| format!("printf 'selectors = [\"s1\"]\\n{text}\\n' >domains/{FORBIDDEN}.toml");
    let alone = file("users = [\"alice\"]");
    let ours = file("users = [\"alice\"]\\ngroups = [\"sendmail-dkim\"]");
    let no_user = file("users = []");
    let number = file(&format!("users = [\"{}\"]", mallory.uid));
    let pattern =
        file("users = [\"*\", \"ALICE\", \"\", \" \", \"u\"]\\ngroups = [\"\", \"*\", \"root\"]");
    let second = format!(
        "{alone}; sed 's/^alice:x:[0-9]*/alice:x:{}/' /etc/passwd >etc.passwd; sed -n 1,999p etc.passwd >own; \
         mount --bind own /etc/passwd",
        mallory.uid
    );
    for (what, changes, script) in [
        ("-f", &alone, format!("exec sendmail -f {from} RCPT")),
        ("-r", &alone, format!("exec sendmail -r {from} RCPT")),
        ("USER, LOGNAME, NAME, HOME of alice", &alone,
            "USER=alice LOGNAME=alice USERNAME=alice NAME=alice HOME=/home/alice SUDO_USER=alice exec sendmail RCPT".to_owned()),
        ("-F, -oA, -N, -V of alice", &alone, "exec sendmail -F alice -N never -V x RCPT".to_owned()),
        ("the group of the set-gid bit is in groups", &ours, "exec sendmail RCPT".to_owned()),
        ("newgrp and sg to another group", &alone, "exec setpriv --regid=$(id -g) --keep-groups sendmail RCPT".to_owned()),
        ("no user may", &no_user, "exec sendmail RCPT".to_owned()),
        ("his uid instead of a name", &number, "exec sendmail RCPT".to_owned()),
        ("names that look like patterns", &pattern, "exec sendmail RCPT".to_owned()),
        ("the terminal of alice", &alone, "exec script -qec 'sendmail RCPT <msg' /dev/null </dev/null".replace("<msg", "</tmp/evil/right")),
    ] {
        fs::write(sandbox.path("/tmp/evil/right"), message(&from)).unwrap();
        let observed = super::observed_apart(sandbox, &mallory, changes, &script, &message(&from));
        assert_eq!(observed.signed_by(), None, "{what}: {observed:?}");
        assert_eq!(observed.reason(), "the user may not sign for the domain", "{what}");
        attacks.row(what, &observed.outcome());
    }
    // Two names of one uid are one user, and the first in passwd is its name: that is root's doing.
    let observed =
        super::observed_apart(sandbox, &mallory, &second, "exec sendmail RCPT", &message(&from));
    attacks.row("his uid has the name alice, too", &observed.outcome());
    // A uid without a name is no user; a user may sign because of a group.
    let unknown = User { name: "root".to_owned(), uid: 54321 };
    let script = "exec setpriv --reuid=54321 --regid=54321 --clear-groups sendmail RCPT";
    let observed = Observed::of(sandbox, &unknown, script, &message(&from));
    assert_eq!(observed.signed_by(), None);
    attacks.row("a uid without a name", &observed.outcome());
    let groups = file(&format!("groups = [\"{name}\"]"));
    let observed =
        super::observed_apart(sandbox, &mallory, &groups, "exec sendmail RCPT", &message(&from));
    assert_eq!(observed.signed_by().as_deref(), Some(FORBIDDEN));
    attacks.row("his own group is in groups, which is his right", &observed.outcome());
}
