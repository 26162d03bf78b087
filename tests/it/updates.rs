//! Records that this host publishes by itself, on a real DNS server that takes updates with a TSIG key.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Sandbox, project, stdout};

const SERVER: &str = "10.9.0.53";

/// A sandbox whose only DNS server is Knot DNS with these zones, and more records for each; it takes updates of the key `dkim`.
pub(crate) fn sandbox_with_zones(test: &str, zones: &[(String, &str)]) -> Sandbox {
    let sandbox = Sandbox::own(test);
    let mut ip = std::process::Command::new("nsenter");
    ip.args(["--net", "--target", &sandbox.pid().to_string()]);
    let address = format!("{SERVER}/32");
    stdout(&ip.args(["ip", "address", "add", &address, "dev", "lo"]).output().unwrap());
    let mut configuration = format!(
        "log:\n  - target: /tmp/knot/log\n    any: info\nserver:\n    rundir: /tmp/knot\n    listen: {SERVER}\n    user: root\ndatabase:\n    storage: /tmp/knot\n\
         key:\n  - id: dkim\n    algorithm: hmac-sha256\n    secret: c2FtcGxlIHNlY3JldCBvZiBhIHRlc3Qh\n\
         acl:\n  - id: dkim\n    key: dkim\n    action: update\n\
         template:\n  - id: default\n    storage: /tmp/knot\n    acl: dkim\nzone:\n"
    );
    let mut files = String::from("mkdir -p /tmp/knot; cd /tmp/knot\n");
    for (zone, more) in zones {
        configuration.push_str(&format!("  - domain: {zone}\n"));
        files.push_str(&format!(
            "printf '$ORIGIN {zone}.\\n$TTL 1\\n@ SOA ns root 1 1 1 1 1\\n@ NS ns\\nns A {SERVER}\\n{more}' >{zone}.zone\n"
        ));
    }
    sandbox.write("/tmp/zones.sh", &files);
    sandbox.root("sh /tmp/zones.sh");
    sandbox.write("/tmp/knot/knot.conf", &configuration);
    sandbox.root(&format!(
        "echo nameserver {SERVER} >/etc/resolv.conf
         echo 'key \"dkim\" {{ algorithm hmac-sha256; secret \"c2FtcGxlIHNlY3JldCBvZiBhIHRlc3Qh\"; }};' >/etc/dkim.tsig
         chmod 600 /etc/dkim.tsig"
    ));
    start_server(&sandbox, &zones.last().unwrap().0);
    sandbox
}

/// Starts the server, and waits until it has loaded its last zone.
fn start_server(sandbox: &Sandbox, last: &str) {
    sandbox.root("knotd -c /tmp/knot/knot.conf -d >/dev/null");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !sandbox
        .root(&format!("knotc -c /tmp/knot/knot.conf zone-status {last} 2>&1; true"))
        .contains("serial")
    {
        assert!(Instant::now() < deadline, "the server does not load its zones");
        sleep(Duration::from_millis(100));
    }
}

/// Stops the server with this folder, and waits for its end, which knotc(8) does not.
pub(crate) fn stop_server(sandbox: &Sandbox, folder: &str) {
    sandbox.root(&format!(
        "server=$(cat {folder}/knot.pid); knotc -c {folder}/knot.conf stop >/dev/null
         timeout 20 sh -c \"while kill -0 $server 2>/dev/null; do sleep 0.05; done\""
    ));
}

/// Lets dkimctl publish by nsupdate.
fn publishes(sandbox: &Sandbox) {
    let shown = sandbox.root("dkimctl setup --publish nsupdate --tsig-key /etc/dkim.tsig");
    assert!(
        shown.contains("publish = \"nsupdate\"\nnsupdate_key = \"/etc/dkim.tsig\"\n"),
        "{shown}"
    );
}

/// All that a command prints, and its exit code.
fn run(sandbox: &Sandbox, command: &str) -> String {
    sandbox.root(&format!("{command} 2>&1; echo \"code $?\""))
}

/// The names of the records of keys in a zone.
fn published(sandbox: &Sandbox, zone: &str) -> String {
    sandbox.root(&format!(
        "knotc -c /tmp/knot/knot.conf zone-read {zone} | awk '$4 == \"TXT\" {{ print $2 }}' | sort | xargs"
    ))
}

/// Sends a message: the selector by which three verifiers find it signed; empty if it is not signed.
fn signed_by(sandbox: &Sandbox, domain: &str) -> String {
    let recipient = sandbox.recipient();
    let message = format!("From: a@{domain}\nSubject: gr\u{fc}n\n\n\u{fc}\n");
    stdout(&sandbox.sh("alice", &format!("sendmail -i {recipient}"), message.as_bytes()));
    let verdicts = sandbox.verify(&sandbox.received(&recipient));
    assert!(verdicts.all("pass") || verdicts.all("none"), "{verdicts}");
    verdicts.selector()
}

/// The same by `dkimctl verify`, which asks for the end of an alias itself: the three verifiers need a resolver for that, and the
/// server of the test is none.
fn signed_by_alias(sandbox: &Sandbox, domain: &str) -> String {
    let recipient = sandbox.recipient();
    let message = format!("From: a@{domain}\n\nx\n");
    stdout(&sandbox.sh("alice", &format!("sendmail -i {recipient}"), message.as_bytes()));
    let received = sandbox.received(&recipient);
    stdout(&sandbox.sh("root", "dkimctl verify", &received.bytes));
    let text = String::from_utf8_lossy(&received.bytes).into_owned();
    text.split_once("; s=").unwrap().1.split(';').next().unwrap().to_owned()
}

fn end(sandbox: &Sandbox, domain: &str) {
    sandbox.root(&format!(
        "sed -i 's/^until = .*/until = 2020-01-01/' /etc/sendmail-dkim/keys/{domain}/rotation.toml"
    ));
}

/// If b.test waits and there is no other domain, `list` and `testkey` name it.
fn is_not_the_empty_state(sandbox: &Sandbox) {
    sandbox.root("mv /etc/sendmail-dkim/domains/a.test.toml /etc/");
    for command in ["list", "testkey"] {
        let shown = run(sandbox, &format!("dkimctl {command}"));
        let said = "dkimctl: no domain signs yet: b.test waits for its record: dkimctl add b.test";
        assert_eq!(shown, format!("{said}\ncode 66\n"));
    }
    // Its key does not count as unused.
    let shown = run(sandbox, "dkimctl doctor --offline");
    assert!(shown.contains("keys/a.test has keys, but no domain file names them"), "{shown}");
    assert!(!shown.contains("keys/b.test has keys"), "{shown}");
    sandbox.root("mv /etc/a.test.toml /etc/sendmail-dkim/domains/");
}

/// As long as the server refuses the record of b.test, each call says so, and none lets it be signed.
fn goes_on_waiting(sandbox: &Sandbox) {
    for (command, code, said) in [
        ("dkimctl add b.test -s s2", 73, "waits for the record of s1"),
        ("dkimctl add b.test --users root", 73, "other `users`"),
        ("dkimctl add b.test", 69, "s1._domainkey.b.test"),
        ("dkimctl add -q b.test", 69, "DNS does not have the record yet: nsupdate: exit code "),
        ("dkimctl add --json b.test", 69, "\"code\": \"not-published\""),
        ("dkimctl genkey b.test s1", 69, "s1._domainkey.b.test"),
        ("dkimctl rotate --all --older 180d", 69, "b.test is not signed yet"),
    ] {
        let shown = run(sandbox, command);
        assert!(
            shown.ends_with(&format!("code {code}\n")) && shown.contains(said),
            "{command}: {shown}"
        );
        assert_eq!(
            sandbox.root("ls /etc/sendmail-dkim/domains | xargs"),
            "a.test.toml b.test.waiting\n"
        );
    }
}

#[test]
#[ignore = "needs root"]
fn a_domain_is_signed_once_its_record_is_published_and_not_before() {
    let zones = [("a.test".to_owned(), ""), ("b.test".to_owned(), ""), ("c.test".to_owned(), "")];
    let sandbox = &sandbox_with_zones("updates", &zones);
    publishes(sandbox);
    let shown = run(sandbox, "dkimctl add a.test -s s1");
    let said = "nsupdate has published the record s1._domainkey.a.test.\nThe server of the zone (ns.a.test) has it.\n";
    assert!(shown.starts_with(said) && shown.ends_with("code 0\n"), "{shown}");
    assert!(shown.contains("Nothing is left to do."), "{shown}");
    assert_eq!(signed_by(sandbox, "a.test"), "s1");
    // A server that refuses: the domain waits, with all that was said of it, and is not signed.
    sandbox.root("cp /etc/dkim.tsig /etc/good; sed -i s/c2Ft/AAAA/ /etc/dkim.tsig");
    let shown = run(sandbox, "dkimctl add b.test -s s1 --users alice");
    assert!(shown.contains("DNS does not have the record yet: nsupdate: exit code "), "{shown}");
    assert!(
        shown.contains("Mail From b.test is not signed") && shown.ends_with("code 69\n"),
        "{shown}"
    );
    assert_eq!(signed_by(sandbox, "b.test"), "");
    let status = run(sandbox, "dkimctl status b.test");
    assert!(status.contains("b.test\ts1\tpending\t"), "{status}");
    goes_on_waiting(sandbox);
    is_not_the_empty_state(sandbox);
    // The next call goes on, with any command; a key that a crash kept from being made is made. Of an earlier key of this name,
    // watch had found no record.
    sandbox.root(
        "cp /etc/good /etc/dkim.tsig; rm /etc/sendmail-dkim/keys/b.test/s1.*
         echo s1 >/etc/sendmail-dkim/domains/b.test.gone",
    );
    let shown = run(sandbox, "dkimctl add b.test");
    assert!(shown.contains("Nothing is left to do.") && shown.ends_with("code 0\n"), "{shown}");
    let file = sandbox
        .root("cat /etc/sendmail-dkim/domains/b.test.toml; ls /etc/sendmail-dkim/domains | xargs");
    assert_eq!(file, "selectors = [\"s1\"]\nusers = [\"alice\"]\na.test.toml b.test.toml\n");
    assert_eq!(signed_by(sandbox, "b.test"), "s1");
    // The timer does, too; without an option the key signs at once, and nothing is published.
    sandbox.root("sed -i s/c2Ft/AAAA/ /etc/dkim.tsig; dkimctl add c.test -s s1 || true; cp /etc/good /etc/dkim.tsig");
    let shown = run(sandbox, "dkimctl rotate --all --older 180d");
    assert!(
        shown.contains("c.test: s1 signs from now on\n") && shown.ends_with("code 0\n"),
        "{shown}"
    );
    assert!(shown.contains("3 domains: 1 went on, 2 had nothing to do, "), "{shown}");
    assert_eq!(signed_by(sandbox, "c.test"), "s1");
    let shown = run(sandbox, "dkimctl add d.test -s s1 --no-publish");
    assert!(
        shown.contains("Publish this record in the zone of d.test") && shown.ends_with("code 0\n"),
        "{shown}"
    );
    assert_eq!(
        sandbox.root("cat /etc/sendmail-dkim/domains/d.test.toml"),
        "selectors = [\"s1\"]\n"
    );
}

#[test]
#[ignore = "needs root"]
fn domains_that_share_a_key_wait_each_for_its_own_record() {
    let zones = [("b.test".to_owned(), ""), ("c.test".to_owned(), "")];
    let sandbox = &sandbox_with_zones("updates", &zones);
    publishes(sandbox);
    sandbox.root("cp /etc/dkim.tsig /etc/good; sed -i s/c2Ft/AAAA/ /etc/dkim.tsig");
    let shown = run(sandbox, "dkimctl add b.test c.test --keys shared -s s9");
    assert!(shown.ends_with("code 69\n"), "{shown}");
    let status = run(sandbox, "dkimctl status b.test");
    assert!(status.contains("b.test\ts9\tpending\t"), "{status}");
    let step = "dkimctl add b.test -s s9, which continues";
    assert!(status.contains(step) && status.ends_with("code 1\n"), "{status}");
    // A directory of its own, of earlier keys, does not hide the one that it shares.
    sandbox.root("mkdir /etc/sendmail-dkim/keys/b.test /etc/sendmail-dkim/keys/c.test");
    sandbox.root("cp /etc/good /etc/dkim.tsig");
    let shown = run(sandbox, "dkimctl add b.test -s s9");
    assert!(shown.contains("Nothing is left to do.") && shown.ends_with("code 0\n"), "{shown}");
    let shown = run(sandbox, "dkimctl rotate --all --older 180d");
    assert!(shown.contains("c.test: s9 signs from now on\n"), "{shown}");
    assert_eq!(["b.test", "c.test"].map(|domain| signed_by(sandbox, domain)), ["s9", "s9"]);
    // A key that is shared is not replaced, and that is no failure.
    let shown = run(sandbox, "dkimctl rotate --all");
    assert!(shown.ends_with("code 0\n") && !shown.contains("pending"), "{shown}");
}

#[test]
#[ignore = "needs root"]
fn what_is_removed_is_taken_out_of_dns_or_revoked() {
    let zones = [("a.test".to_owned(), "")];
    let sandbox = &sandbox_with_zones("updates", &zones);
    sandbox.root("dkimctl genkey away.test s1");
    let shown = run(sandbox, "dkimctl remove away.test --unpublish");
    assert!(shown.contains("dkimctl setup --publish") && shown.ends_with("code 78\n"), "{shown}");
    publishes(sandbox);
    sandbox.root("dkimctl add a.test -s s1; dkimctl add a.test -s s2");
    assert_eq!(published(sandbox, "a.test"), "s1._domainkey.a.test. s2._domainkey.a.test.\n");
    let shown = run(sandbox, "dkimctl remove a.test s2 --revoke --wipe");
    assert!(
        shown.contains("nsupdate has revoked the record s2._domainkey.a.test")
            && shown.ends_with("code 0\n"),
        "{shown}"
    );
    // The record stays known, so that it can be removed from DNS later.
    let shown = run(sandbox, "dkimctl record a.test -s s2 --format plain");
    assert_eq!(shown, "s2._domainkey.a.test\tv=DKIM1; p=\ncode 0\n");
    // A server that refuses leaves a state from which the same command goes on.
    sandbox.root("cp /etc/dkim.tsig /etc/good; sed -i s/c2Ft/AAAA/ /etc/dkim.tsig");
    let shown = run(sandbox, "dkimctl remove a.test --unpublish");
    assert!(
        shown.contains("the record s1._domainkey.a.test was not removed: nsupdate: ")
            && shown.ends_with("code 69\n"),
        "{shown}"
    );
    assert_eq!(signed_by(sandbox, "a.test"), "");
    sandbox.root("cp /etc/good /etc/dkim.tsig");
    let shown = run(sandbox, "dkimctl remove a.test --unpublish");
    assert!(
        shown.contains("nsupdate has removed the record s2._domainkey.a.test")
            && shown.ends_with("code 0\n"),
        "{shown}"
    );
    assert_eq!(published(sandbox, "a.test"), "\n");
    // What DNS shows already is not changed again.
    let shown = run(sandbox, "dkimctl remove a.test --unpublish --wipe");
    assert!(
        shown.contains("DNS has the record s2._domainkey.a.test removed")
            && shown.ends_with("code 0\n"),
        "{shown}"
    );
    assert_eq!(sandbox.root("ls /etc/sendmail-dkim/keys/a.test"), "");
    let shown = run(sandbox, "dkimctl remove a.test --unpublish --revoke");
    assert!(shown.ends_with("code 64\n"), "{shown}");
}

/// For how many seconds the key of customer.test settles.
const WAIT: &str = "moment() { date -d \"$(sed -n \"s/^$1 = //p\" /etc/sendmail-dkim/keys/customer.test/rotation.toml)\" +%s; }; \
     echo $(($(moment until) - $(moment since)))";

/// While a key settles, a server that does not answer for a while changes nothing.
fn a_silent_server_does_not_restart_the_day(sandbox: &Sandbox) {
    stop_server(sandbox, "/tmp/knot");
    let shown = run(sandbox, "dkimctl rotate customer.test");
    assert!(shown.contains("s1 -> s2: settling") && shown.ends_with("code 69\n"), "{shown}");
    start_server(sandbox, "provider.test");
}

/// While a key settles, its record vanishes: caches learn of the new one later.
fn a_record_that_vanishes_restarts_the_day(sandbox: &Sandbox) {
    end(sandbox, "customer.test");
    sandbox.root(&format!(
        "printf 'server {SERVER}\\nupdate delete s2.customer.provider.test TXT\\nsend\\n' |
         nsupdate -k /etc/dkim.tsig"
    ));
    let shown = run(sandbox, "dkimctl rotate customer.test");
    assert!(shown.contains("s1 -> s2: pending") && shown.ends_with("code 0\n"), "{shown}");
    let shown = run(sandbox, "dkimctl rotate customer.test --keep 2h");
    assert!(shown.contains("s1 -> s2: settling") && shown.ends_with("code 0\n"), "{shown}");
    assert_eq!(sandbox.root(WAIT), "7200\n", "--keep if that is shorter");
    assert_eq!(signed_by_alias(sandbox, "customer.test"), "s1");
}

#[test]
#[ignore = "needs root"]
fn fixed_selectors_take_turns_where_dns_delegates_them_by_aliases() {
    let aliases = "s1._domainkey CNAME s1.customer.provider.test.\\ns2._domainkey CNAME s2.customer.provider.test.\\n";
    let zones = [("customer.test".to_owned(), aliases), ("provider.test".to_owned(), "")];
    let sandbox = &sandbox_with_zones("updates", &zones);
    publishes(sandbox);
    let shown = run(sandbox, "dkimctl add customer.test -s s1");
    assert!(
        shown.contains("The server of the zone (ns.provider.test) has it.")
            && shown.ends_with("code 0\n"),
        "{shown}"
    );
    assert_eq!(published(sandbox, "provider.test"), "s1.customer.provider.test.\n");
    assert_eq!(signed_by_alias(sandbox, "customer.test"), "s1");
    // A cache may have another record of the name: the key signs later.
    let shown = run(sandbox, "dkimctl rotate customer.test --selectors s1,s2");
    assert!(shown.contains("s1 -> s2: settling") && shown.ends_with("code 0\n"), "{shown}");
    assert_eq!(signed_by_alias(sandbox, "customer.test"), "s1");
    let status = run(sandbox, "dkimctl status customer.test");
    assert!(
        status.contains("\ts2\tsettling\t") && status.contains("replaces s1, signs from 2"),
        "{status}"
    );
    assert_eq!(sandbox.root(WAIT), "86400\n", "a day, as dkimctl(8) says");
    assert!(run(sandbox, "dkimctl rotate customer.test").contains("s1 -> s2: settling"));
    a_silent_server_does_not_restart_the_day(sandbox);
    a_record_that_vanishes_restarts_the_day(sandbox);
    end(sandbox, "customer.test");
    // The timer knows the names.
    let timer = "dkimctl rotate --all --older 180d";
    assert!(run(sandbox, timer).contains("s1 -> s2: retiring"));
    assert_eq!(signed_by_alias(sandbox, "customer.test"), "s2");
    end(sandbox, "customer.test");
    let shown = run(sandbox, timer);
    assert!(
        shown.contains("completed the rotation: the record of s1 was removed")
            && shown.ends_with("code 0\n"),
        "{shown}"
    );
    assert_eq!(published(sandbox, "provider.test"), "s2.customer.provider.test.\n");
    // And back, when it is old enough; with nothing kept there is nothing to wait for.
    assert!(run(sandbox, timer).contains("customer.test: nothing to do"));
    sandbox.root("touch -d '181 days ago' /etc/sendmail-dkim/keys/customer.test/s2.private");
    assert!(run(sandbox, &format!("{timer} --keep 0s")).contains("s2 -> s1: retiring"));
    assert_eq!(signed_by_alias(sandbox, "customer.test"), "s1");
    sandbox.root("touch -d '181 days ago' /etc/sendmail-dkim/keys/customer.test/s1.private");
    let shown = run(sandbox, timer);
    assert!(
        shown.contains("completed the rotation: the record of s2 was removed")
            && shown.ends_with("code 0\n"),
        "{shown}"
    );
    for (options, said) in [
        ("--selectors s1", "expected two selectors"),
        ("--selectors s1,s1", "is listed twice"),
        ("--selectors s1,-x", "-x"),
        ("--selectors s1,s2 --selector x", "exclude each other"),
    ] {
        let shown = run(sandbox, &format!("dkimctl rotate customer.test {options}"));
        assert!(shown.contains(said) && shown.contains("code 64\n"), "{options}: {shown}");
    }
}

/// Mail of many domains, sent and verified one by one.
#[derive(Default)]
struct Flow {
    over: AtomicBool,
    /// Read from the submission of a message to its verdict.
    under_way: RwLock<()>,
    next: AtomicUsize,
    /// Verdicts that were asked for again.
    unanswered: AtomicUsize,
    selectors: Mutex<Vec<String>>,
    failures: Mutex<Vec<String>>,
}

impl Flow {
    /// Waits until all messages that are under way have been verified.
    fn drain(&self) {
        drop(self.under_way.write().unwrap());
    }

    fn run(&self, sandbox: &Sandbox, domains: &[String]) {
        while !self.over.load(Ordering::Relaxed) {
            let _under_way = self.under_way.read().unwrap();
            // Far from each other, so that all stages are met.
            let at = self.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(37) % domains.len();
            let domain = &domains[at];
            let recipient = sandbox.recipient();
            let message = format!("From: a@{domain}\nSubject: gr\u{fc}n\n\n\u{fc}\n");
            stdout(&sandbox.sh("alice", &format!("sendmail -i {recipient}"), message.as_bytes()));
            let received = sandbox.received(&recipient);
            let mut verdicts = sandbox.verify(&received);
            if verdicts.to_string().contains("DNS query failed") {
                // The server gave no answer, which a receiver asks for again.
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(1));
                verdicts = sandbox.verify(&received);
            }
            if !verdicts.all("pass") {
                let log = sandbox.root("tail -n 40 /tmp/knot/log");
                self.failures.lock().unwrap().push(format!("{domain}: {verdicts}{log}"));
            }
            self.selectors.lock().unwrap().push(verdicts.selector());
        }
    }
}

/// The timer's command: what it prints, and how long it takes.
fn timer(sandbox: &Sandbox, options: &str) -> (String, Duration) {
    let unit = std::fs::read_to_string(project("packaging/systemd/sendmail-dkim-rotate.service"));
    let unit = unit.unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let begun = Instant::now();
    let shown = run(sandbox, &format!("{command} {options}"));
    (shown, begun.elapsed())
}

fn last_lines(text: &str) -> Vec<&str> {
    text.lines().rev().take(2).collect()
}

/// All keys of many domains are replaced by the timer, while their mail flows.
fn all_keys_are_replaced(count: usize) {
    let domains: Vec<String> = (0..count).map(|number| format!("d{number}.many.test")).collect();
    let zones: Vec<(String, &str)> = domains.iter().map(|domain| (domain.clone(), "")).collect();
    let sandbox = &sandbox_with_zones("updates", &zones);
    publishes(sandbox);
    sandbox.write("/tmp/domains", &domains.join("\n"));
    let begun = Instant::now();
    let shown = run(sandbox, "dkimctl add - -s old --wait 5m </tmp/domains | tail -3");
    assert!(shown.contains("Nothing is left to do."), "{shown}");
    let added = begun.elapsed();
    sandbox
        .root("find /etc/sendmail-dkim/keys -name '*.private' -exec touch -d '181 days ago' {} +");
    // A domain that cannot be rotated, and one whose zone is gone, keep no other one from it.
    sandbox.root("dkimctl genkey broken.many.test old --no-publish; dkimctl genkey lost.test old --no-publish
         cd /etc/sendmail-dkim/keys; touch -d '181 days ago' broken.many.test/old.private lost.test/old.private
         echo x >broken.many.test/rotation.toml");
    let flow = Flow::default();
    let times = std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(|| flow.run(sandbox, &domains))));
        // One message at least is to be signed by an old key.
        let deadline = Instant::now() + Duration::from_secs(60);
        while flow.selectors.lock().unwrap().is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
        }
        let life = std::panic::AssertUnwindSafe(|| whole_rotation(sandbox, count, &flow));
        let outcome = std::panic::catch_unwind(life);
        sleep(Duration::from_secs(3));
        flow.over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let failures = flow.failures.lock().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    let selectors = flow.selectors.lock().unwrap();
    let by_old = selectors.iter().filter(|selector| *selector == "old").count();
    assert!(by_old > 0 && by_old < selectors.len(), "{selectors:?}");
    let figures = format!(
        "{count} domains: added in {added:.1?}; {times}; {} messages, {by_old} by the old keys, 0 failures, {} asked for again",
        selectors.len(),
        flow.unanswered.load(Ordering::Relaxed)
    );
    show(&figures);
}

/// Figures that are shown with --nocapture.
#[expect(clippy::print_stderr, reason = "the report of a make target")]
fn show(text: &str) {
    eprintln!("{text}");
}

fn whole_rotation(sandbox: &Sandbox, count: usize, flow: &Flow) -> String {
    let (shown, first) = timer(sandbox, "");
    let summary = format!("{} domains: {count} went on, 0 had nothing to do, ", count + 2);
    assert!(shown.contains(&summary) && shown.contains(" 1 failed\n"), "{:?}", last_lines(&shown));
    // The domain that cannot be read has the last word.
    assert!(shown.contains("code 65\n"), "{:?}", last_lines(&shown));
    let new = sandbox.root("grep -h old.many /dev/null; cat /etc/sendmail-dkim/domains/d*.many.test.toml | sort | uniq -c");
    assert!(new.trim().starts_with(&format!("{count} selectors = [\"host-")), "{new}");
    sandbox.root("rm -r /etc/sendmail-dkim/keys/broken.many.test /etc/sendmail-dkim/domains/broken.many.test.toml
         rm -r /etc/sendmail-dkim/keys/lost.test /etc/sendmail-dkim/domains/lost.test.toml
         sed -i 's/^until = .*/until = 2020-01-01/' /etc/sendmail-dkim/keys/*/rotation.toml");
    // Outside the test, messages that were signed before arrive within the week that old records are kept.
    flow.drain();
    let (shown, second) = timer(sandbox, "");
    let summary = format!("{count} domains: {count} went on, ");
    assert!(shown.contains(&summary) && shown.ends_with("code 0\n"), "{:?}", last_lines(&shown));
    let old = sandbox.root("find /etc/sendmail-dkim/keys -name 'old.*' | wc -l");
    assert_eq!(old, "0\n");
    let records = published(sandbox, "--");
    assert_eq!((records.split(' ').count(), records.contains("old.")), (count, false));
    let (shown, third) = timer(sandbox, "");
    let summary = format!("{count} domains: 0 went on, {count} had nothing to do, ");
    assert!(shown.contains(&summary) && shown.ends_with("code 0\n"), "{:?}", last_lines(&shown));
    format!(
        "replaced in {first:.1?}, old ones removed in {second:.1?}, nothing to do in {third:.1?}"
    )
}

#[test]
#[ignore = "needs root"]
fn the_timer_replaces_the_keys_of_many_domains_and_every_message_verifies() {
    let count = std::env::var("DOMAINS").ok().and_then(|text| text.parse().ok());
    all_keys_are_replaced(count.unwrap_or(12));
}

#[test]
#[ignore = "needs root"]
fn a_timer_with_nothing_to_do_notices_a_dead_dns_server() {
    let sandbox = Sandbox::own("updates");
    sandbox.root(
        "dkimctl genkey idle.test s1; echo nameserver 127.0.0.9 >/etc/resolv.conf
         echo 'options timeout:1 attempts:1' >>/etc/resolv.conf",
    );
    let shown = run(&sandbox, "dkimctl rotate --all --older 180d");
    assert!(
        shown.contains("nothing was due, and DNS does not answer: ")
            && shown.ends_with("code 69\n"),
        "{shown}"
    );
}

#[test]
#[ignore = "needs root"]
fn how_records_are_published_is_set_without_an_editor() {
    let sandbox = Sandbox::own("updates");
    let lines =
        || sandbox.root("grep -E '^(publish|nsupdate)' /etc/sendmail-dkim/config.toml; true");
    sandbox.root("echo x >/tmp/key; chmod 644 /tmp/key");
    let shown = run(
        &sandbox,
        "cd /tmp; dkimctl setup --publish nsupdate --tsig-key key --server '192.0.2.1 5353'",
    );
    assert!(shown.contains("chmod 600 /tmp/key") && shown.ends_with("code 0\n"), "{shown}");
    let expected = "publish = \"nsupdate\"\nnsupdate_key = \"/tmp/key\"\nnsupdate_server = \"192.0.2.1 5353\"\n";
    assert_eq!(lines(), expected);
    for (words, code) in [
        ("--publish nsupdate --tsig-key /none", 66),
        ("--publish nsupdate --server 'a\nb'", 65),
        ("--publish bind", 64),
        ("--publish ''", 64),
        ("--publish /none", 66),
        ("--publish /etc/passwd", 65),
        ("--publish off --tsig-key /tmp/key", 64),
        ("--tsig-key /tmp/key", 64),
        ("--publish off --directories", 64),
    ] {
        let shown = run(&sandbox, &format!("dkimctl setup {words}"));
        assert!(shown.ends_with(&format!("code {code}\n")), "{words}: {shown}");
        assert_eq!(lines(), expected);
    }
    run(&sandbox, "dkimctl setup --publish '/bin/true a b'");
    assert_eq!(lines(), "publish = [\"/bin/true\", \"a\", \"b\"]\n");
    let shown = sandbox.root("dkimctl setup --publish off --json");
    let keys: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(keys["result"]["keys"][0]["before"][2], "b", "{shown}");
    assert_eq!(lines(), "");
}
