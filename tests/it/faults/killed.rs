//! SIGKILL at a random moment of a submission through a real Postfix. Nothing arrives damaged or twice, and
//! what was accepted arrives. `make kill` does it 2,000 times; KILLS in the environment says how often.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;

use super::judge::Judge;
use super::kinds::{Kind, kinds};
use super::{sandbox, show};
use crate::support::{Sandbox, stdout};

/// How often in `make test`.
const FEW: usize = 120;

/// Within which time a signal comes; a submission under the load of this test needs about half of it. Milliseconds.
const LATEST: usize = 160;

/// One submission: number, delay, and the arguments of sendmail. Only the one process is killed, not what it has started.
const ONE: &str = "#!/bin/sh
number=$1 delay=$2; shift 2
cat /faults/in/$number | timeout --foreground -s KILL $delay sendmail \"$@\" >/faults/said/$number 2>&1
echo \"$number $?\" >>/faults/codes
";

/// What was killed when; every twentieth message is a large one.
fn kind_of(kinds: &[Kind], number: usize) -> &Kind {
    let name = match number {
        _ if number.is_multiple_of(20) => "large",
        _ if number.is_multiple_of(4) => "session",
        _ if number.is_multiple_of(3) => "crlf",
        _ => "small",
    };
    kinds.iter().find(|kind| kind.name == name).unwrap()
}

fn recipient(number: usize) -> String {
    format!("k{number}@sink.test")
}

/// Lays out what the submissions need, and gives a line for each.
fn prepare(sandbox: &Sandbox, kinds: &[Kind], count: usize) -> String {
    sandbox.root("mkdir -p /faults/in /faults/said; chmod 1777 /faults /faults/said");
    sandbox.write("/faults/one", ONE);
    sandbox.root("chmod 755 /faults/one");
    let mut lines = String::new();
    let mut chance = 88_172_645_463_325_252_u64;
    for number in 0..count {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let delay = 1 + usize::try_from(chance % LATEST as u64).unwrap();
        let (kind, recipient) = (kind_of(kinds, number), recipient(number));
        fs::write(sandbox.path(&format!("/faults/in/{number}")), kind.input(&recipient)).unwrap();
        let arguments = kind.arguments(&recipient).join(" ");
        lines.push_str(&format!("{number} 0.{delay:03} {arguments}\n"));
    }
    lines
}

/// Whether Postfix has said that it has the message.
fn is_accepted(said: &str, kind: &Kind, recipient: &str, index: usize, code: i32) -> bool {
    if !kind.is_session {
        return code == 0;
    }
    assert!(!recipient.is_empty());
    said.matches("250 2.0.0 Ok: queued as").count() > index
}

#[test]
#[ignore = "needs root"]
fn killing_any_process_loses_no_accepted_mail_and_damages_none() {
    let sandbox = sandbox("killed", false);
    let count = env::var("KILLS").map_or(FEW, |count| count.parse().unwrap());
    let kinds = kinds();
    let lines = prepare(&sandbox, &kinds, count);
    stdout(&sandbox.sh("www-data", "xargs -P 4 -L 1 /faults/one", lines.as_bytes()));
    // Waits for the queue to be empty.
    sandbox.count("nobody@sink.test");
    let judge = Judge::of_the_sink(&sandbox);
    let codes = fs::read_to_string(sandbox.path("/faults/codes")).unwrap();
    let mut figures: BTreeMap<String, usize> = BTreeMap::new();
    let mut violations = Vec::new();
    assert_eq!(codes.lines().count(), count);
    for line in codes.lines() {
        let (number, code) = line.split_once(' ').unwrap();
        let (number, code): (usize, i32) = (number.parse().unwrap(), code.parse().unwrap());
        let kind = kind_of(&kinds, number);
        let said = fs::read(sandbox.path(&format!("/faults/said/{number}"))).unwrap();
        let said = String::from_utf8_lossy(&said);
        for (index, recipient) in kind.recipients(&recipient(number)).iter().enumerate() {
            let accepted = is_accepted(&said, kind, recipient, index, code);
            let found = judge.found(kind, recipient);
            let figure = match &found {
                Ok(forms) if forms.len() == 1 || (forms.is_empty() && !accepted) => {
                    let forms: Vec<_> = forms.iter().map(|form| format!("{form:?}")).collect();
                    format!("accepted {accepted}, arrived {}", forms.join(" "))
                }
                _ => {
                    violations.push(format!("{} {line}: {found:?}; {said}", kind.name));
                    "violation".to_owned()
                }
            };
            *figures.entry(figure).or_default() += 1;
        }
    }
    let killed = codes.lines().filter(|line| line.ends_with(" 137")).count();
    show(&format!("killed: {killed} of {count} submissions; {figures:#?}"));
    assert!(killed * 20 > count, "of {count} only {killed} were killed");
    assert!(violations.is_empty(), "{violations:#?}");
    let left = leftovers(&sandbox);
    assert!(left.is_empty(), "{left}");
}

/// What must not remain: processes of a submission, and their files.
pub(super) fn leftovers(sandbox: &Sandbox) -> String {
    assert!(sandbox.path("/var/tmp").is_dir() && Path::new("/proc").is_dir());
    sandbox.root(
        "for try in 1 2 3 4 5 6 7 8 9 10; do
           left=$(ps -e -o stat=,args= | grep -E '(sendmail|postdrop)' | grep -v grep; ls -A /var/tmp /tmp | grep dkim)
           [ -n \"$left\" ] || break; sleep 1; done; printf %s \"$left\"",
    )
}
