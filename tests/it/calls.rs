//! The system calls of one submission, against the page that says what each is for.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{Sandbox, project, stdout};

/// Calls by name and, if a call can do several things, by its operation.
fn name_of(line: &str) -> Option<String> {
    let (call, arguments) = line.split_once('(')?;
    // With debug assertions std looks at each descriptor that it closes.
    if arguments.contains("F_GETFD") && !arguments.starts_with(['0', '1', '2']) {
        return None;
    }
    let told = match call {
        "fcntl" => arguments.split([',', ')']).nth(1)?.trim(),
        "prctl" => arguments.split([',', ')']).next()?,
        // A later C library makes this call instead.
        "fstat" => return Some("newfstatat".to_owned()),
        _ => return Some(call.to_owned()),
    };
    Some(format!("{call} {told}"))
}

/// What the page allows: the sums of its tables.
fn defended() -> BTreeMap<String, usize> {
    let page = fs::read_to_string(project("docs/system-calls.md")).unwrap();
    let mut calls = BTreeMap::new();
    for row in page.lines().filter_map(|line| line.strip_prefix("| ")) {
        let mut columns = row.split('|').map(str::trim);
        let (Some(call), Some(times)) = (columns.next(), columns.next()) else { continue };
        let Ok(times) = times.parse::<usize>() else { continue };
        *calls.entry(call.to_owned()).or_default() += times;
    }
    assert!(calls.len() > 20, "{calls:?}");
    calls
}

#[test]
#[ignore = "needs root"]
fn no_call_is_made_that_this_page_does_not_defend() {
    let sandbox = Sandbox::own("calls");
    sandbox.key("sample.com", "s1");
    let recipient = sandbox.recipient();
    sandbox.write("/message", "From: a@sample.com\nSubject: x\n\nx\n");
    // A file for each process: those of the real sendmail's own are not looked at.
    let traced = "mkdir /calls; strace -ff -u www-data -o /calls/of /usr/sbin/sendmail.dkim";
    sandbox.root(&format!("{traced} -i {recipient} </message"));
    sandbox.assert_signed(&sandbox.received(&recipient), "sample.com", "s1");
    let read = |name: &str| fs::read_to_string(sandbox.path(&format!("/calls/{name}"))).unwrap();
    let names = stdout(&sandbox.sh("root", "ls -v /calls", b""));
    let reader = read(names.lines().next().unwrap());
    let end =
        reader.rfind("execve(\"/usr/sbin/sendmail.postfix\"").expect("it execs the real sendmail");
    let (reader, _) = reader.split_at(end);
    let forked = reader.lines().find(|line| line.starts_with("clone("));
    let (_, signer) = forked.and_then(|line| line.rsplit_once("= ")).expect("it forks");
    let log = [reader, &*read(&format!("of.{signer}"))].concat();
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for call in log.lines().filter_map(name_of) {
        *made.entry(call).or_default() += 1;
    }
    let defended = defended();
    // The numbers are those of Debian 12. With a later C library only the names are compared.
    let is_debian_12 = sandbox.glibc() == 36;
    let more: Vec<_> = made
        .iter()
        .filter(|(call, times)| match defended.get(*call) {
            Some(most) => is_debian_12 && most < times,
            None => true,
        })
        .collect();
    assert!(more.is_empty(), "made, and not on the page: {more:?}\n{log}");
    let never: Vec<_> = defended.keys().filter(|call| !made.contains_key(*call)).collect();
    assert!(never.is_empty(), "on the page, and not made: {never:?}");
}

#[test]
#[ignore = "needs root"]
fn a_thousand_domains_cost_what_one_costs() {
    let sandbox = Sandbox::own("calls");
    sandbox.key("one.test", "s1");
    let calls = || {
        let recipient = sandbox.recipient();
        let script =
            format!("exec strace -o /tmp/calls -u www-data /usr/sbin/sendmail.dkim -i {recipient}");
        let output = sandbox.sh("root", &script, b"From: a@one.test\n\nx\n");
        assert!(output.status.success(), "{output:?}");
        sandbox.assert_signed(&sandbox.received(&recipient), "one.test", "s1");
        // Up to the exec of the real sendmail; what a call is given may differ.
        let log = sandbox.root("cat /tmp/calls");
        let ours = log.lines().skip(1).take_while(|line| !line.starts_with("execve("));
        ours.filter_map(|line| line.split_once('('))
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    let one = calls();
    sandbox.root(
        "cd /etc/sendmail-dkim; for n in $(seq 1000); do cp -a keys/one.test keys/d$n.test
         cp -a domains/one.test.toml domains/d$n.test.toml; done",
    );
    let thousand = calls();
    assert!(one.len() > 40 && one == thousand, "{one:?}\n{thousand:?}");
}
