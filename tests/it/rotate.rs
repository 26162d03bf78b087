use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Sandbox, Stage, dkimctl, project, result, stdout};
use crate::updates::stop_server;

/// A sandbox with a key of a domain, its record published.
fn sandbox_with(domain: &str) -> &'static Sandbox {
    Sandbox::with_key("rotate", domain, "s1")
}

/// Calls `dkimctl rotate`: what became of the one rotation, if there is one.
fn rotate(sandbox: &Sandbox, args: &str) -> Value {
    let shown = sandbox.root(&format!("dkimctl rotate --selector 'k{{yyyymm}}' --json {args}"));
    let reports = result(&shown);
    assert!(reports.as_array().unwrap().len() <= 1, "{shown}");
    reports[0].clone()
}

/// Publishes the records of these selectors as the whole zone.
fn publish(sandbox: &Sandbox, domain: &str, selectors: &[&str]) {
    let keys = format!("/etc/sendmail-dkim/keys/{domain}");
    let files: Vec<String> = selectors.iter().map(|one| format!("{keys}/{one}.txt")).collect();
    sandbox.publish(domain, &files.join(" "));
}

fn domain_file(sandbox: &Sandbox, domain: &str) -> String {
    sandbox.root(&format!("cat /etc/sendmail-dkim/domains/{domain}.toml"))
}

fn files(sandbox: &Sandbox, domain: &str) -> String {
    sandbox.root(&format!("cd /etc/sendmail-dkim/keys/{domain} && echo *"))
}

/// The state's dates may be changed by hand.
fn end_retirement(sandbox: &Sandbox, domain: &str) {
    sandbox.root(&format!(
        "sed -i 's/^until = .*/until = 2020-01-01/' /etc/sendmail-dkim/keys/{domain}/rotation.toml"
    ));
}

/// Mail that is sent, received and verified one by one, from the moment on at which it is there.
#[derive(Default)]
struct Flow {
    over: AtomicBool,
    /// The selectors that signed, in order.
    selectors: Mutex<Vec<String>>,
    failures: Mutex<Vec<String>>,
}

impl Flow {
    fn run(&self, sandbox: &Sandbox, domain: &str) {
        while !self.over.load(Ordering::Relaxed) {
            let recipient = sandbox.recipient();
            let message = format!("From: a@{domain}\nSubject: gr\u{fc}n\n\n\u{fc}\n");
            let script = format!("sendmail -i {recipient}");
            stdout(&sandbox.sh("alice", &script, message.as_bytes()));
            let received = sandbox.received(&recipient);
            let verdicts = sandbox.verify(&received);
            if !verdicts.all("pass") {
                self.failures.lock().unwrap().push(verdicts.to_string());
            }
            self.selectors.lock().unwrap().push(verdicts.selector());
        }
    }

    /// Waits for two more messages: the one that is on its way, and one that is sent from now on.
    fn go_on(&self) -> String {
        let count = || self.selectors.lock().unwrap().len();
        let (before, deadline) = (count(), Instant::now() + Duration::from_secs(60));
        while count() < before + 2 {
            assert!(Instant::now() < deadline, "no mail comes");
            sleep(Duration::from_millis(20));
        }
        self.selectors.lock().unwrap().last().unwrap().clone()
    }
}

/// One rotation from its begin to its end.
fn whole_life(sandbox: &Sandbox, domain: &str, flow: &Flow) {
    assert_eq!(flow.go_on(), "s1");
    let pending = rotate(sandbox, domain);
    let new = pending["new"].as_str().unwrap().to_owned();
    assert_eq!((&pending["stage"], &pending["old"]), (&"pending".into(), &"s1".into()));
    assert_eq!(pending["publish"]["name"], format!("{new}._domainkey.{domain}"));
    assert_eq!(pending["servers"][0]["has"], "nothing");
    assert_eq!(flow.go_on(), "s1");
    // Again, and nothing changes: the same key waits.
    let again = rotate(sandbox, domain);
    assert_eq!((&again["publish"], &again["since"]), (&pending["publish"], &pending["since"]));
    assert_eq!(domain_file(sandbox, domain), "selectors = [\"s1\"]\n");

    publish(sandbox, domain, &["s1", &new]);
    assert_eq!(flow.go_on(), "s1");
    let retiring = rotate(sandbox, domain);
    assert_eq!(retiring["stage"], "retiring", "{retiring}");
    assert_eq!(domain_file(sandbox, domain), format!("selectors = [\"{new}\"]\n"));
    assert_eq!(flow.go_on(), new);
    let again = rotate(sandbox, domain);
    assert_eq!(again["until"], retiring["until"]);
    assert_eq!(files(sandbox, domain).matches(".private").count(), 2);

    end_retirement(sandbox, domain);
    let revoked = rotate(sandbox, domain);
    assert_eq!(revoked["stage"], "revoked", "{revoked}");
    assert_eq!(revoked["publish"]["value"], "v=DKIM1; p=");
    assert_eq!(files(sandbox, domain), format!("{new}.private {new}.txt rotation.toml s1.txt\n"));
    assert_eq!(flow.go_on(), new);
    publish(sandbox, domain, &["s1", &new]);
    let rests = rotate(sandbox, domain);
    assert_eq!(rests["servers"][0]["has"], "revoked", "{rests}");
    assert!(rests["publish"].is_null(), "{rests}");
    assert_eq!(flow.go_on(), new);
    publish(sandbox, domain, &[&new]);
    rotate(sandbox, domain);
    assert_eq!(files(sandbox, domain), format!("{new}.private {new}.txt rotation.toml\n"));
    assert!(rotate(sandbox, domain).is_null());
    assert_eq!(flow.go_on(), new);
}

#[test]
#[ignore = "needs root"]
fn every_message_verifies_when_it_is_received_while_a_key_is_replaced() {
    let domain = "life.test";
    let sandbox = sandbox_with(domain);
    let flow = Flow::default();
    std::thread::scope(|scope| {
        scope.spawn(|| flow.run(sandbox, domain));
        let life = std::panic::AssertUnwindSafe(|| whole_life(sandbox, domain, &flow));
        let outcome = std::panic::catch_unwind(life);
        flow.over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let failures = flow.failures.lock().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    let mut selectors = flow.selectors.lock().unwrap().clone();
    assert!(selectors.len() >= 14, "{selectors:?}");
    selectors.dedup();
    assert_eq!(selectors.len(), 2, "{selectors:?}");
}

/// Calls `dkimctl rotate x.test` on a tree of a test's own, with a DNS server that is dead: the exit code, and what is printed.
fn rotate_without_dns(stage: &Stage, args: &[&str]) -> (Option<i32>, String) {
    let output = dkimctl(stage, &[&["rotate", "x.test", "--server", "127.0.0.1:1"], args].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// The state of the rotations of x.test.
const STATE: &str = "keys/x.test/rotation.toml";

/// A tree in which x.test has these keys, and signs with the first one.
fn stage_with(selectors: &[&str]) -> Stage {
    let stage = Stage::new();
    for selector in selectors {
        let args = ["add", "x.test", "-s", selector, "--type", "ed25519"];
        stdout(&dkimctl(&stage, &args));
    }
    stage
}

#[test]
fn a_key_is_replaced_in_every_domain_file_that_signs_for_the_domain() {
    let stage = stage_with(&["a", "b"]);
    stage.write("new/domains/y.test.toml", "domain = \"x.test\"\nselectors = [\"a\"] # too\n");
    stage.write("new/domains/z.test.toml", "selectors = [\"a\"]\n");
    // An earlier key of this name had no record any more.
    stage.write("new/domains/y.test.gone", "# watch\nb\nc\n");
    let since = "since = 2026-11-01\nuntil = 2026-11-02\n";
    let state = format!("[[rotation]]\nold = \"a\"\nnew = \"b\"\nstage = \"retiring\"\n{since}");
    stage.write(&format!("new/{STATE}"), &state);
    let text = |name: &str| std::fs::read_to_string(stage.path(&format!("new/{name}"))).unwrap();
    rotate_without_dns(&stage, &["--dry-run"]);
    assert_eq!(text("domains/y.test.gone"), "# watch\nb\nc\n");
    let (code, said) = rotate_without_dns(&stage, &[]);
    assert_eq!(code, Some(69), "{said}");
    assert_eq!(text("domains/x.test.toml"), "selectors = [\"b\"]\n");
    let of_other = "domain = \"x.test\"\nselectors = [\"b\"] # too\n";
    assert_eq!(text("domains/y.test.toml"), of_other);
    assert_eq!(text("domains/z.test.toml"), "selectors = [\"a\"]\n");
    assert!(text("domains/y.test.gone").ends_with(").\nc\n"));
    // A server that does not answer ends no stage.
    assert!(stage.path("new/keys/x.test/a.private").exists());
    assert!(said.contains("a -> b: retiring"), "{said}");
}

#[test]
fn a_rotation_waits_while_no_domain_file_signs_for_the_domain() {
    let since = "since = 2026-11-01\n";
    for stage_text in [
        "stage = \"pending\"\n",
        "stage = \"settling\"\nuntil = 2026-11-02\n",
        "stage = \"retiring\"\nuntil = 2026-11-02\n",
    ] {
        let stage = stage_with(&["a", "b"]);
        let state = format!("[[rotation]]\nold = \"a\"\nnew = \"b\"\n{stage_text}{since}");
        stage.write(&format!("new/{STATE}"), &state);
        std::fs::remove_file(stage.path("new/domains/x.test.toml")).unwrap();
        let (code, said) = rotate_without_dns(&stage, &[]);
        assert_eq!(code, Some(0), "{said}");
        let next = "next: the rotation continues when a domain file signs for the domain again\n";
        assert!(said.ends_with(next), "{said}");
        let left = std::fs::read_to_string(stage.path(&format!("new/{STATE}"))).unwrap();
        assert_eq!(left, state);
        assert!(stage.path("new/keys/x.test/a.private").exists());
    }
}

#[test]
fn a_domain_that_signs_with_both_keys_goes_on_with_the_new_one() {
    let stage = stage_with(&["a", "b"]);
    let until = "stage = \"retiring\"\nsince = 2026-11-01\nuntil = 2099-11-02\n";
    stage.write(
        &format!("new/{STATE}"),
        &format!("[[rotation]]\nold = \"a\"\nnew = \"b\"\n{until}"),
    );
    stdout(&dkimctl(&stage, &["use", "x.test", "a", "b"]));
    let (code, said) = rotate_without_dns(&stage, &[]);
    assert!(code == Some(69) && said.contains("a -> b: retiring"), "{said}");
    let text = std::fs::read_to_string(stage.path("new/domains/x.test.toml")).unwrap();
    assert_eq!(text, "selectors = [\"b\"]\n");
}

#[test]
fn a_new_key_takes_the_next_name_that_is_free() {
    let stage = stage_with(&["s1", "s2", "s3", "x"]);
    let revoked =
        "[[rotation]]\nold = \"s2\"\nnew = \"s1\"\nstage = \"revoked\"\nsince = 2026-11-01\n";
    for (signs, state, expected) in [
        (&["s1"][..], "", &["s1 -> s2"][..]),
        (&["s2"], "", &["s2 -> s3"]),
        (&["s3"], "", &["s3 -> s1"]),
        (&["x"], "", &["x -> s1"]),
        // Each name is given to one key.
        (&["s1", "x"], "", &["s1 -> s2", "x -> s3"]),
        (&["s1", "s2"], "", &[]),
        // The earlier key of this name is still to be wiped.
        (&["s1"], revoked, &["s1 -> s3"]),
    ] {
        let text = format!("selectors = {signs:?}\n");
        stage.write("new/domains/x.test.toml", &text);
        stage.write(&format!("new/{STATE}"), state);
        let (code, said) = rotate_without_dns(&stage, &["--dry-run", "--selectors", "s1,s2,s3"]);
        let begun = said.lines().filter_map(|line| line.strip_prefix("x.test: "));
        let begun = begun.filter_map(|line| line.split_once(": pending"));
        let begun: Vec<&str> = begun.map(|(names, _)| names).collect();
        assert_eq!(begun, expected, "{signs:?}: {said}");
        assert_eq!(code == Some(73), expected.is_empty(), "{signs:?}: {said}");
        assert_eq!(
            said.contains("none of the selectors that take turns is free"),
            expected.is_empty()
        );
        for (name, text) in [("domains/x.test.toml", text.as_str()), (STATE, state)] {
            let file = std::fs::read_to_string(stage.path(&format!("new/{name}"))).unwrap();
            assert_eq!(file, text);
        }
    }
}

#[test]
fn the_names_that_keys_take_in_turn_are_kept_until_another_name_is_asked_for() {
    let stage = stage_with(&["s1"]);
    for (args, expected, names) in [
        (&["--selectors", "s1,s2", "--older", "1d"][..], "nothing to do", true),
        (&["--dry-run"], "s1 -> s2: pending", true),
        (&["--dry-run", "--selector", "k"], "s1 -> k-ed: pending", true),
        (&["--selector", "k", "--older", "1d"], "nothing to do", false),
        (&["--dry-run", "--selector", "k"], "s1 -> k-ed: pending", false),
    ] {
        let (_, said) = rotate_without_dns(&stage, args);
        assert!(said.contains(&format!("x.test: {expected}")), "{args:?}: {said}");
        let state = std::fs::read_to_string(stage.path(&format!("new/{STATE}"))).unwrap();
        assert_eq!(state.contains("selectors = [\"s1\", \"s2\"]"), names, "{args:?}: {state}");
    }
}

#[test]
fn a_new_key_in_turn_is_not_wiped_as_the_earlier_one_of_its_name() {
    let stage = stage_with(&["s1"]);
    let state =
        "[[rotation]]\nold = \"s2\"\nnew = \"s1\"\nstage = \"revoked\"\nsince = 2026-11-01\n";
    stage.write(&format!("new/{STATE}"), state);
    stage.write("new/keys/x.test/s2.txt", "s2._domainkey\tIN\tTXT\t( \"v=DKIM1; p=\" )\n");
    let key = || std::fs::read(stage.path("new/keys/x.test/s2.private")).ok();
    let mut first = None;
    // Each run continues from the state of the one before.
    for _ in 0..2 {
        let (code, said) = rotate_without_dns(&stage, &["--selectors", "s1,s2"]);
        assert!(code == Some(69) && said.contains("x.test: s1 -> s2: pending"), "{said}");
        let state = std::fs::read_to_string(stage.path(&format!("new/{STATE}"))).unwrap();
        assert!(state.contains("old = \"s1\"") && !state.contains("old = \"s2\""), "{state}");
        first = first.or_else(key);
        assert!(first.is_some() && first == key(), "{said}");
        // The record is that of the new key.
        let record = std::fs::read_to_string(stage.path("new/keys/x.test/s2.txt")).unwrap();
        assert!(record.contains("k=ed25519; ") && !record.contains("p=\""), "{record}");
    }
}

#[test]
fn a_name_that_a_key_had_is_not_given_to_another_one() {
    let state = |old: &str, new: &str| {
        format!(
            "[[rotation]]\nold = {old:?}\nnew = {new:?}\nstage = \"revoked\"\nsince = 2026-11-01\n"
        )
    };
    for (name, text) in [
        ("k-ed.txt", "k-ed._domainkey\tIN\tTXT\t( \"v=DKIM1; p=\" )\n".to_owned()),
        ("k-ed.private", "a key of another tool".to_owned()),
        ("rotation.toml", state("k-ed", "a")),
        ("rotation.toml", state("x", "k-ed")),
    ] {
        let stage = stage_with(&["a"]);
        stage.write(&format!("new/keys/x.test/{name}"), &text);
        let (_, said) = rotate_without_dns(&stage, &["--dry-run", "--selector", "k"]);
        let new =
            said.split_once("x.test: a -> ").and_then(|(_, rest)| rest.split_once(": pending"));
        let new = new.map(|(new, _)| new);
        assert!(new.is_some_and(|new| new.starts_with('k') && new != "k-ed"), "{name}: {said}");
    }
}

#[test]
fn a_domain_waits_for_its_first_record_only_without_a_domain_file() {
    let stage = stage_with(&["a"]);
    let [file, waiting] =
        ["toml", "waiting"].map(|kind| stage.path(&format!("new/domains/x.test.{kind}")));
    // A crash may have left both.
    std::fs::copy(&file, &waiting).unwrap();
    let args = ["--dry-run", "--selector", "k"];
    let (_, said) = rotate_without_dns(&stage, &args);
    assert!(said.contains("x.test: a -> k-ed: pending"), "{said}");
    std::fs::remove_file(&file).unwrap();
    let (code, said) = rotate_without_dns(&stage, &args);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("x.test: would look for the record of a\n"), "{said}");
}

#[test]
fn a_key_in_another_directory_is_not_replaced_with_those_of_the_domain() {
    let stage = stage_with(&["a"]);
    stdout(&dkimctl(&stage, &["add", "y.test", "--keys", "pool", "-s", "b", "--type", "ed25519"]));
    let text = "domain = \"x.test\"\nkeys = \"pool\"\nselectors = [\"b\"]\n";
    stage.write("new/domains/y.test.toml", text);
    let (code, said) = rotate_without_dns(&stage, &["--dry-run", "--selector", "k"]);
    assert!(code == Some(0) && said.contains("x.test: a -> k-ed: pending"), "{said}");
    assert!(!said.contains("x.test: b -> "), "{said}");
}

#[test]
fn a_new_key_is_as_large_as_each_domain_file_that_signs_with_it_requires() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "-b", "1024"]));
    let text = "domain = \"x.test\"\nselectors = [\"a\"]\nminimum_key_bits = 2560\n";
    stage.write("new/domains/y.test.toml", text);
    let (_, said) = rotate_without_dns(&stage, &["--selector", "k"]);
    assert!(said.contains("x.test: a -> k: pending"), "{said}");
    let record = ["record", "x.test", "-s", "k", "--format", "plain"];
    // In base64, a key of 2048 bits has 392 bytes, one of 2560 bits 480.
    let record = stdout(&dkimctl(&stage, &record));
    assert!(record.len() > 480, "{record}");
}

#[test]
fn a_key_whose_name_is_that_of_this_month_is_replaced_by_the_next_in_turn() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "--type", "ed25519"]));
    let listed = result(stdout(&dkimctl(&stage, &["list", "--json"])));
    let name = listed[0]["selectors"][0].as_str().unwrap();
    let turns = format!("{name},s2");
    let (_, said) = rotate_without_dns(&stage, &["--dry-run", "--selectors", &turns]);
    assert!(said.contains(&format!("x.test: {name} -> s2: pending")), "{said}");
}

#[test]
fn a_run_with_nothing_to_do_notices_a_dead_dns_server() {
    let stage = Stage::new();
    let rotate = |args: &[&str]| {
        let args =
            [&["rotate", "--all", "--older", "9d", "--server", "127.0.0.1:1"], args].concat();
        dkimctl(&stage, &args).status.code()
    };
    std::fs::create_dir_all(stage.path("new/domains")).unwrap();
    assert_eq!(rotate(&[]), Some(69));
    stdout(&dkimctl(&stage, &["add", "x.test", "--type", "ed25519"]));
    for args in [&[][..], &["--dry-run"], &["--quiet"], &["--json"]] {
        assert_eq!(rotate(args), Some(69), "{args:?}");
    }
}

#[test]
fn a_dry_run_changes_no_record() {
    let stage = stage_with(&["b", "a"]);
    stage.write("new/config.toml", "sendmail = \"/x\"\npublish = [\"/bin/false\"]\n");
    let state = "[[rotation]]\nold = \"a\"\nnew = \"b\"\nstage = \"revoked\"\nsince = 2026-11-01\n";
    stage.write(&format!("new/{STATE}"), state);
    let tried = "the record a._domainkey.x.test was not changed";
    let (_, said) = rotate_without_dns(&stage, &["--older", "9d", "--dry-run"]);
    assert!(said.contains("would have wiped the key a") && !said.contains(tried), "{said}");
    assert!(stage.path("new/keys/x.test/a.private").exists());
    let (_, said) = rotate_without_dns(&stage, &["--older", "9d"]);
    assert!(said.contains("wiped the key a") && said.contains(tried), "{said}");
    assert!(!stage.path("new/keys/x.test/a.private").exists());
}

#[test]
fn a_domain_file_with_an_error_stops_the_rotation_of_its_own_domain_only() {
    let stage = stage_with(&["a"]);
    stage.write("new/domains/other.test.toml", "x = 1\n");
    // A domain that is named twice is rotated once.
    let (code, said) = rotate_without_dns(&stage, &["x.test", "--dry-run", "--selector", "b"]);
    assert_eq!((code, said.matches("x.test: a -> b-ed: pending").count()), (Some(0), 1), "{said}");
    stage.write("new/domains/x.test.toml", "x = 1\n");
    let (code, said) = rotate_without_dns(&stage, &["--dry-run", "--selector", "b"]);
    assert!(code == Some(65) && said.contains("x.test.toml: line 1: "), "{said}");
}

#[test]
fn a_program_that_another_user_could_have_named_is_not_run() {
    let stage = stage_with(&["a"]);
    let marks = stage.path("ran");
    let config = format!(
        "sendmail = \"/x\"\npublish = [\"/bin/sh\", \"-c\", \"touch {}\"]\n",
        marks.display()
    );
    stage.write("new/config.toml", &config);
    let path = stage.path("new/config.toml");
    for (mode, expected, words) in
        [(0o666, 65, "config.toml must be writable by its owner only"), (0o644, 69, "")]
    {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) = rotate_without_dns(&stage, &["--selector", "b"]);
        assert_eq!(code, Some(expected), "{said}");
        assert!(said.contains(words) && !marks.exists(), "{said}");
    }
}

/// A zone of two servers: ours, and a second one at 127.0.0.2.
fn zone_text(domain: &str, serial: u8, files: &str) -> String {
    format!(
        "{{ printf '$ORIGIN {domain}.\\n$TTL 1\\n@ SOA ns.invalid. root {serial} 1 1 1 1\\n\
         @ NS ns.invalid.\\n@ NS ns2.invalid.\\n'; cd /etc/sendmail-dkim/keys/{domain}; cat {files}; }}"
    )
}

fn start_second_server(sandbox: &Sandbox, domain: &str) {
    let zone = zone_text(domain, 200, "s1.txt");
    sandbox.root(&format!(
        "mkdir -p /tmp/second; ip address add 127.0.0.2/8 dev lo 2>/dev/null || true
         {zone} >/zones/{domain}.zone; nsd-control reload {domain} >/dev/null
         {zone} >/tmp/second/{domain}.zone
         cat >/tmp/second/knot.conf <<'CONF'
server:
    rundir: /tmp/second
    listen: 127.0.0.2
    user: root
database:
    storage: /tmp/second
zone:
  - domain: {domain}
    storage: /tmp/second
CONF
         knotd -c /tmp/second/knot.conf -d >/dev/null"
    ));
}

/// Rotates until the servers have that, as they take their time to load a zone.
fn rotate_once_there_is(sandbox: &Sandbox, domain: &str, wanted: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let report = rotate(sandbox, domain);
        let of = |at: usize| report["servers"][at]["has"].as_str().unwrap_or_default();
        let mut has = [of(0), of(1)];
        has.sort_unstable();
        if has.join(" ") == wanted {
            return report;
        }
        assert!(Instant::now() < deadline, "{report}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs root"]
fn a_key_signs_when_every_server_of_the_zone_has_its_record() {
    let domain = "servers.test";
    let sandbox = sandbox_with(domain);
    start_second_server(sandbox, domain);
    assert_eq!(rotate_once_there_is(sandbox, domain, "nothing nothing")["stage"], "pending");
    let both = zone_text(domain, 201, "*.txt");
    sandbox.root(&format!("{both} >/zones/{domain}.zone; nsd-control reload {domain} >/dev/null"));
    let half = rotate_once_there_is(sandbox, domain, "key nothing");
    assert_eq!(half["stage"], "pending", "{half}");
    assert_eq!(domain_file(sandbox, domain), "selectors = [\"s1\"]\n");
    sandbox.root(&format!(
        "{both} >/tmp/second/{domain}.zone
         knotc -c /tmp/second/knot.conf zone-reload {domain} >/dev/null"
    ));
    assert_eq!(rotate_once_there_is(sandbox, domain, "key key")["stage"], "retiring");
    // One that does not answer does not make a key sign, nor one that signs already stop.
    stop_server(sandbox, "/tmp/second");
    end_retirement(sandbox, domain);
    let output = sandbox.sh("root", &format!("dkimctl rotate --json {domain}"), b"");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let silent = result(&output.stdout);
    assert_eq!(
        (&silent[0]["stage"], &silent[0]["unavailable"]),
        (&"retiring".into(), &true.into())
    );
    assert!(files(sandbox, domain).contains("s1.private"));
}

#[test]
#[ignore = "needs root"]
fn the_old_key_signs_again_when_the_new_record_vanishes() {
    let domain = "vanish.test";
    let sandbox = sandbox_with(domain);
    let new = rotate(sandbox, domain)["new"].as_str().unwrap().to_owned();
    publish(sandbox, domain, &["s1", &new]);
    assert_eq!(rotate(sandbox, domain)["stage"], "retiring");
    publish(sandbox, domain, &["s1"]);
    // Even when the time of the old one is over.
    end_retirement(sandbox, domain);
    let back = rotate(sandbox, domain);
    assert_eq!(back["stage"], "pending", "{back}");
    assert_eq!(domain_file(sandbox, domain), "selectors = [\"s1\"]\n");
    // With neither of them published there is nothing better than to tell.
    publish(sandbox, domain, &["s1", &new]);
    assert_eq!(rotate(sandbox, domain)["stage"], "retiring");
    publish(sandbox, domain, &[]);
    let output = sandbox.sh("root", &format!("dkimctl rotate {domain}"), b"");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("but some servers have neither its key nor that of s1"), "{said}");
}

#[test]
#[ignore = "needs root"]
fn a_record_of_another_key_does_not_count() {
    let domain = "other-key.test";
    let sandbox = sandbox_with(domain);
    let new = rotate(sandbox, domain)["new"].as_str().unwrap().to_owned();
    sandbox.root(&format!(
        "sed 's/^s1/{new}/' /etc/sendmail-dkim/keys/{domain}/s1.txt >/tmp/other.txt"
    ));
    // Nor does its own if there is another one: a receiver may use any of them.
    let own = format!("/etc/sendmail-dkim/keys/{domain}/{new}.txt");
    for files in ["/tmp/other.txt", &format!("{own} /tmp/other.txt")] {
        sandbox.publish(domain, files);
        let report = rotate(sandbox, domain);
        assert_eq!(report["stage"], "pending");
        assert_eq!(report["servers"][0]["has"], "other", "{report}");
    }
}

#[test]
#[ignore = "needs root"]
fn both_keys_of_a_domain_are_replaced_by_keys_of_their_type() {
    let domain = "types.test";
    let sandbox = sandbox_with(domain);
    sandbox.root(&format!("dkimctl genkey -d {domain} -s ed --type ed25519 -t"));
    let file = format!("/etc/sendmail-dkim/domains/{domain}.toml");
    let text = "# two\nselectors = [\"s1\", \"ed\"] # and more\n\n[[sign]]\nfrom = \"n@types.test\"\n\
                selector = \"s1\"\n";
    sandbox.write(&file, text);
    publish(sandbox, domain, &["s1", "ed"]);
    sandbox.root(&format!("dkimctl rotate {domain} --selector k{{yyyy}}"));
    sandbox.publish(domain, &format!("/etc/sendmail-dkim/keys/{domain}/*.txt"));
    let shown = sandbox.root(&format!("dkimctl rotate {domain} --selector k{{yyyy}} --json"));
    let reports = result(&shown);
    let new = |at: usize| reports[at]["new"].as_str().unwrap();
    let (ed, rsa) = (new(0), new(1));
    assert_eq!(ed, format!("{rsa}-ed"));
    let expected =
        text.replace("\"s1\"", &format!("\"{rsa}\"")).replace("\"ed\"", &format!("\"{ed}\""));
    assert_eq!(domain_file(sandbox, domain), expected);
    // The other tags of the record are kept.
    let record = sandbox.root(&format!("cat /etc/sendmail-dkim/keys/{domain}/{ed}.txt"));
    assert!(record.contains("k=ed25519; t=y; "), "{record}");
}

#[test]
#[ignore = "needs root"]
fn a_new_key_is_no_smaller_than_the_domain_file_allows() {
    let domain = "bits.test";
    let sandbox = sandbox_with(domain);
    let file = format!("/etc/sendmail-dkim/domains/{domain}.toml");
    sandbox.root(&format!("echo 'minimum_key_bits = 3072' >>{file}"));
    let pending = rotate(sandbox, domain);
    // In base64 a key of 2,048 bits has 392 bytes, one of 3,072 bits 564.
    let value = pending["publish"]["value"].as_str().unwrap();
    assert!(value.len() > 564, "{pending}");
}

#[test]
#[ignore = "needs root"]
fn a_dry_run_changes_nothing_and_shows_what_would_be_done() {
    let domain = "dry.test";
    let sandbox = sandbox_with(domain);
    let sum = || {
        sandbox.root(&format!(
            "cd /etc/sendmail-dkim; sha256sum keys/{domain}/* domains/{domain}.toml; ls -l keys/{domain}
             grep {domain} keys/seen; true"
        ))
    };
    let dry = |says: &str| {
        let before = sum();
        let shown = sandbox.root(&format!("dkimctl rotate --dry-run --selector k {domain}"));
        assert!(shown.contains(&format!("  would have {says}")), "{shown}");
        assert_eq!(sum(), before);
        sandbox.root(&format!("dkimctl rotate --selector k {domain}"));
        assert_ne!(sum(), before);
    };
    dry("created the key k (rsa-sha256)");
    publish(sandbox, domain, &["s1", "k"]);
    dry("replaced s1 by k in /etc/sendmail-dkim/domains/dry.test.toml");
    end_retirement(sandbox, domain);
    dry("wiped the key s1");
    publish(sandbox, domain, &["k"]);
    dry("completed the rotation: the record of s1 was removed");
}

#[test]
#[ignore = "needs root"]
fn a_key_is_replaced_when_it_is_old_enough_and_not_twice_in_a_month() {
    let domain = "older.test";
    let sandbox = sandbox_with(domain);
    assert!(rotate(sandbox, &format!("--older 180d {domain}")).is_null());
    sandbox.root(&format!("touch -d '181 days ago' /etc/sendmail-dkim/keys/{domain}/s1.private"));
    let new =
        rotate(sandbox, &format!("--older 180d {domain}"))["new"].as_str().unwrap().to_owned();
    publish(sandbox, domain, &["s1", &new]);
    rotate(sandbox, domain);
    end_retirement(sandbox, domain);
    publish(sandbox, domain, &[&new]);
    rotate(sandbox, domain);
    let again = rotate(sandbox, domain);
    // By another name it may be; the host's own is the default.
    let report = sandbox.root(&format!("dkimctl rotate --json {domain}"));
    // The month may have ended by now.
    if new.ends_with(sandbox.root("date -u +%Y%m").trim()) {
        assert!(again.is_null(), "{again}");
        let default = format!("\"new\": \"host-{}\"", new.replace('k', ""));
        assert!(report.contains(&default), "{report}");
    }
}

#[test]
#[ignore = "needs root"]
fn what_a_crash_cut_off_is_done_by_the_next_run() {
    let domain = "crash.test";
    let sandbox = sandbox_with(domain);
    let keys = format!("/etc/sendmail-dkim/keys/{domain}");
    let new = rotate(sandbox, domain)["new"].as_str().unwrap().to_owned();
    // Before the key was made.
    sandbox.root(&format!("rm {keys}/{new}.*"));
    rotate(sandbox, domain);
    publish(sandbox, domain, &["s1", &new]);
    // After the domain file was changed, before the state was.
    sandbox.root(&format!("sed -i s/s1/{new}/ /etc/sendmail-dkim/domains/{domain}.toml"));
    assert_eq!(rotate(sandbox, domain)["stage"], "retiring");
    // After the state was changed, before the key was wiped.
    sandbox.root(&format!("cp -p {keys}/s1.private /tmp/s1.private"));
    end_retirement(sandbox, domain);
    rotate(sandbox, domain);
    sandbox.root(&format!("cp -p /tmp/s1.private {keys}/s1.private"));
    assert_eq!(rotate(sandbox, domain)["stage"], "revoked");
    assert!(!files(sandbox, domain).contains("s1.private"));
}

#[test]
#[ignore = "needs root"]
fn two_runs_do_not_meet() {
    let domain = "busy.test";
    let sandbox = sandbox_with(domain);
    let keys = format!("/etc/sendmail-dkim/keys/{domain}");
    let output = sandbox.sh("root", &format!("flock {keys} dkimctl rotate {domain}"), b"");
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert_eq!(files(sandbox, domain), "s1.private s1.txt\n");
}

#[test]
#[ignore = "needs root"]
fn without_dns_a_key_waits_and_the_exit_code_says_so() {
    let domain = "nodns.test";
    let sandbox = sandbox_with(domain);
    let output = sandbox.sh("root", &format!("dkimctl rotate --server 127.0.0.9 {domain}"), b"");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert_eq!(domain_file(sandbox, domain), "selectors = [\"s1\"]\n");
    for args in [
        "",
        "--all x.test",
        "--keep 7y x.test",
        "--older 180 x.test",
        "--selector 'a b' x.test",
        "../x",
    ] {
        let output = sandbox.sh("root", &format!("dkimctl rotate {args}"), b"");
        assert_eq!(output.status.code(), Some(64), "{args}: {output:?}");
    }
    let output = sandbox.sh("root", "dkimctl rotate nowhere.test", b"");
    assert_eq!(output.status.code(), Some(66), "{output:?}");
}

#[test]
#[ignore = "needs root"]
fn status_shows_how_far_each_key_is() {
    let domain = "status.test";
    let sandbox = sandbox_with(domain);
    let status = || -> Vec<(String, bool, String)> {
        let output = sandbox.sh("root", &format!("dkimctl status --json {domain}"), b"");
        let shown = result(&output.stdout);
        assert_eq!(shown["signing"], true, "{shown}");
        let keys = &shown["keys"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = |key: &Value| {
            (text(&key["selector"]), key["signing"].as_bool().unwrap(), text(&key["stage"]))
        };
        keys.as_array().unwrap().iter().map(key).collect()
    };
    let key =
        |selector: &str, signing, stage: &str| (selector.to_owned(), signing, stage.to_owned());
    assert_eq!(status(), [key("s1", true, "")]);
    sandbox.root(&format!("dkimctl rotate --selector k {domain}"));
    assert_eq!(status(), [key("k", false, "pending"), key("s1", true, "")]);
    publish(sandbox, domain, &["s1", "k"]);
    sandbox.root(&format!("dkimctl rotate --selector k {domain}"));
    assert_eq!(status(), [key("k", true, ""), key("s1", false, "retiring")]);
    // rotate has seen the record of the key that signs, so that all is well.
    let shown = sandbox.root(&format!("dkimctl rotate status {domain}"));
    assert!(shown.starts_with("Mail is signed on this host.\n"), "{shown}");
    assert!(shown.contains("\nstatus.test\tk\tsigns\trsa 2048\tmade 2"), "{shown}");
    assert!(shown.contains("\ts1\tretiring\trsa 2048\tmade 2"), "{shown}");
    end_retirement(sandbox, domain);
    sandbox.root(&format!("dkimctl rotate --selector k {domain}"));
    assert_eq!(status(), [key("k", true, ""), key("s1", false, "revoked")]);
}

#[test]
#[ignore = "needs root"]
fn an_old_record_stays_for_a_week_or_as_long_as_the_call_says() {
    let domain = "week.test";
    let sandbox = sandbox_with(domain);
    let seconds = |report: &Value, key: &str| -> i64 {
        let date = report[key].as_str().unwrap();
        sandbox.root(&format!("date -d '{date}' +%s")).trim().parse().unwrap()
    };
    let set_until = |date: &str| {
        sandbox.root(&format!(
            "sed -i \"s/^until = .*/until = $(date -u -d '{date}' +%FT%TZ)/\" \
             /etc/sendmail-dkim/keys/{domain}/rotation.toml"
        ))
    };
    let new = rotate(sandbox, domain)["new"].as_str().unwrap().to_owned();
    publish(sandbox, domain, &["s1", &new]);
    let retiring = rotate(sandbox, domain);
    assert_eq!(retiring["stage"], "retiring", "{retiring}");
    let week = 7 * 24 * 60 * 60;
    assert_eq!(seconds(&retiring, "until") - seconds(&retiring, "since"), week, "{retiring}");
    // A minute before, it still stays, regardless of what a later call asks for.
    set_until("now + 60 seconds");
    assert_eq!(rotate(sandbox, &format!("--keep 0s {domain}"))["stage"], "retiring");
    assert!(files(sandbox, domain).contains("s1.private"));
    set_until("now - 1 second");
    assert_eq!(rotate(sandbox, domain)["stage"], "revoked");
    let domain = "days.test";
    sandbox.key(domain, "s1");
    let new = rotate(sandbox, domain)["new"].as_str().unwrap().to_owned();
    publish(sandbox, domain, &["s1", &new]);
    let retiring = rotate(sandbox, &format!("--keep 2d {domain}"));
    assert_eq!(
        seconds(&retiring, "until") - seconds(&retiring, "since"),
        2 * 24 * 60 * 60,
        "{retiring}"
    );
}

#[test]
#[ignore = "needs root"]
fn a_key_is_overwritten_before_it_goes() {
    let domain = "wiped.test";
    let sandbox = sandbox_with(domain);
    let key = format!("/etc/sendmail-dkim/keys/{domain}/s1.private");
    let length: usize = sandbox.root(&format!("stat -c %s {key}")).trim().parse().unwrap();
    assert!(length > 1_000, "{length}");
    let new = rotate(sandbox, domain)["new"].as_str().unwrap().to_owned();
    publish(sandbox, domain, &["s1", &new]);
    assert_eq!(rotate(sandbox, domain)["stage"], "retiring");
    end_retirement(sandbox, domain);
    // What was open before shows what is on the disk when the name has gone.
    let script = format!(
        "exec 3<{key}; dkimctl rotate --selector 'k{{yyyymm}}' {domain} >/dev/null; \
         [ -e {key} ] || cat <&3"
    );
    let left = sandbox.sh("root", &script, b"");
    assert!(left.status.success(), "{left:?}");
    let zeros = vec![0; length];
    assert!(left.stdout == zeros, "{} bytes: {:?}", left.stdout.len(), left.stdout.get(..64));
}

#[test]
#[ignore = "needs root"]
fn what_the_timer_calls_begins_with_old_keys_alone() {
    let sandbox = Sandbox::own("rotate");
    let unit = project("packaging/systemd/sendmail-dkim-rotate.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    let of = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    let recipient = sandbox.recipient();
    let command = of("ExecStart=").replace("--mail root", &format!("--mail {recipient}"));
    for domain in ["new.test", "old.test"] {
        sandbox.key(domain, "s1");
    }
    sandbox.root("touch -d '181 days ago' /etc/sendmail-dkim/keys/old.test/s1.private");
    // The journal and the administrator get what is to be published.
    let shown = sandbox.root(&command);
    let mailed = sandbox.received(&recipient).split();
    assert!(mailed.0.contains("\r\nSubject: DKIM records to publish for host"), "{mailed:?}");
    assert!(mailed.1.contains("\r\n    value  v=DKIM1; k=rsa; p="), "{mailed:?}");
    assert!(!mailed.1.contains("nothing to do"), "{mailed:?}");
    let begin = "new.test: nothing to do\nold.test: s1 -> host-";
    assert!(shown.starts_with(begin), "{shown}");
    assert!(shown.contains("\n    value  v=DKIM1; k=rsa; p="), "{shown}");
    let groups = sandbox.root("stat -c %G /etc/sendmail-dkim/keys/old.test/host-*.private");
    assert_eq!(groups, "sendmail-dkim\n");
    assert_eq!(files(&sandbox, "new.test"), "s1.private s1.txt\n");
    // The record is mailed once.
    assert!(sandbox.root(&command).contains("next: publish this record"));
    assert_eq!(sandbox.count(&recipient), 1);
    // The next one is mailed as well, even after a run without --mail.
    sandbox.publish("old.test", "/etc/sendmail-dkim/keys/old.test/*.txt");
    assert!(sandbox.root("dkimctl rotate old.test").contains(": retiring since"));
    end_retirement(&sandbox, "old.test");
    // What cannot be mailed is mailed by the next run.
    sandbox.root("mv /etc/alternatives/mta /etc/alternatives/away");
    let output = sandbox.sh("root", &command, b"");
    assert_eq!(output.status.code(), Some(71), "{output:?}");
    sandbox.root("mv /etc/alternatives/away /etc/alternatives/mta");
    assert!(sandbox.root(&command).contains("v=DKIM1; p=\n"));
    assert_eq!(sandbox.count(&recipient), 2);
    // A run for another domain, or a dry one, neither mails nor forgets anything.
    sandbox.root(&command.replace("--all", "new.test"));
    sandbox.root("mv /etc/sendmail-dkim/rotate.json /etc");
    sandbox.root(&format!("{command} --dry-run"));
    sandbox.root("[ ! -e /etc/sendmail-dkim/rotate.json ]; mv /etc/rotate.json /etc/sendmail-dkim");
    sandbox.root(&command);
    assert_eq!(sandbox.count(&recipient), 2);
    // So is an error, each time it begins.
    for count in [3, 4] {
        sandbox.root("echo 'x = 1' >>/etc/sendmail-dkim/domains/new.test.toml");
        for _ in 0..2 {
            let output = sandbox.sh("root", &command, b"");
            assert_eq!(output.status.code(), Some(65), "{output:?}");
            assert_eq!(sandbox.count(&recipient), count);
        }
        sandbox.root(&format!("sed -i '$d' /etc/sendmail-dkim/domains/new.test.toml; {command}"));
    }
}

/// A sandbox with a zone on a real server that takes updates with a TSIG key, and is the host's only DNS server.
fn sandbox_with_updates(domain: &str) -> Sandbox {
    let sandbox = Sandbox::own("rotate");
    let mut ip = std::process::Command::new("nsenter");
    ip.args(["--net", "--target", &sandbox.pid().to_string()]);
    stdout(&ip.args(["ip", "address", "add", "10.9.0.53/32", "dev", "lo"]).output().unwrap());
    sandbox.root(&format!(
        "mkdir /tmp/knot && cd /tmp/knot
         printf '$ORIGIN {domain}.\\n$TTL 1\\n@ SOA ns root 1 1 1 1 1\\n@ NS ns\\nns A 10.9.0.53\\n' >{domain}.zone
         cat >knot.conf <<'CONF'
server:
    rundir: /tmp/knot
    listen: 10.9.0.53
    user: root
database:
    storage: /tmp/knot
key:
  - id: dkim
    algorithm: hmac-sha256
    secret: c2FtcGxlIHNlY3JldCBvZiBhIHRlc3Qh
acl:
  - id: dkim
    key: dkim
    action: update
zone:
  - domain: {domain}
    storage: /tmp/knot
    acl: dkim
CONF
         knotd -c knot.conf -d >/dev/null
         echo nameserver 10.9.0.53 >/etc/resolv.conf
         cat >/etc/dkim.tsig <<'KEY'
key \"dkim\" {{ algorithm hmac-sha256; secret \"c2FtcGxlIHNlY3JldCBvZiBhIHRlc3Qh\"; }};
KEY
         chmod 600 /etc/dkim.tsig
         cat >>/etc/sendmail-dkim/config.toml <<'TOML'
publish = \"nsupdate\"
nsupdate_key = \"/etc/dkim.tsig\"
TOML"
    ));
    sandbox
}

#[test]
#[ignore = "needs root"]
fn with_nsupdate_a_key_is_replaced_without_a_hand_and_every_message_verifies() {
    let domain = "updates.test";
    let sandbox = &sandbox_with_updates(domain);
    let publish = format!("dkimctl record {domain} --format nsupdate | nsupdate -k /etc/dkim.tsig");
    sandbox.root(&format!("dkimctl genkey -d {domain} -s s1 && {publish} && dkimctl testkey"));
    let flow = Flow::default();
    std::thread::scope(|scope| {
        scope.spawn(|| flow.run(sandbox, domain));
        let life = std::panic::AssertUnwindSafe(|| {
            assert_eq!(flow.go_on(), "s1");
            // A dry run asks for nothing.
            let dry = rotate(sandbox, &format!("--dry-run {domain}"));
            assert_eq!(dry["stage"], "pending", "{dry}");
            let retiring = rotate(sandbox, domain);
            assert_eq!(retiring["stage"], "retiring", "{retiring}");
            assert!(retiring["publish"].is_null(), "{retiring}");
            let new = retiring["new"].as_str().unwrap().to_owned();
            assert_eq!(flow.go_on(), new);
            end_retirement(sandbox, domain);
            let revoked = rotate(sandbox, domain);
            assert_eq!(revoked["next"]["code"], "none", "{revoked}");
            assert_eq!(files(sandbox, domain), format!("{new}.private {new}.txt rotation.toml\n"));
            let zone = sandbox.root(&format!("knotc -c /tmp/knot/knot.conf zone-read {domain}"));
            assert!(
                zone.contains(&format!("{new}._domainkey")) && !zone.contains("s1._dom"),
                "{zone}"
            );
            assert_eq!(flow.go_on(), new);
        });
        let outcome = std::panic::catch_unwind(life);
        flow.over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let failures = flow.failures.lock().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
#[ignore = "needs root"]
fn a_command_that_publishes_and_fails_changes_nothing_and_is_shown() {
    let domain = "hook.test";
    let sandbox = Sandbox::own("rotate");
    sandbox.key(domain, "s1");
    sandbox.publish(domain, &format!("/etc/sendmail-dkim/keys/{domain}/s1.txt"));
    let hook = |script: &str| {
        let line = format!("publish = [\"/bin/sh\", \"-c\", {script:?}]");
        sandbox.root(&format!(
            "cd /etc/sendmail-dkim; sed -i '/^publish = /d' config.toml
             cat >>config.toml <<'TOML'\n{line}\nTOML"
        ));
        sandbox.root(&format!("dkimctl rotate -s k2 {domain} 2>&1; echo \"code $?\""))
    };
    let failed = hook("echo 'no such zone' >&2; exit 3");
    let expected = format!(
        "the record k2._domainkey.{domain} was not changed: /bin/sh: exit code 3: no such zone"
    );
    assert!(failed.contains(&expected) && failed.contains("pending"), "{failed}");
    assert!(failed.contains("v=DKIM1; k=rsa; p=") && failed.ends_with("code 69\n"), "{failed}");
    assert_eq!(domain_file(&sandbox, domain), "selectors = [\"s1\"]\n");
    // One that says it has done it is not believed: the servers are asked.
    let lies = hook("cat >/tmp/change");
    assert!(
        lies.contains("/bin/sh has published the record") && lies.contains("pending"),
        "{lies}"
    );
    assert!(lies.contains("has no record") && lies.ends_with("code 0\n"), "{lies}");
    // The administrator does not have to publish it, too.
    assert!(!lies.contains("publish this record"), "{lies}");
    let change: Value = serde_json::from_str(&sandbox.root("cat /tmp/change")).unwrap();
    assert_eq!((&change["action"], &change["selector"]), (&"set".into(), &"k2".into()));
    assert_eq!(domain_file(&sandbox, domain), "selectors = [\"s1\"]\n");
}

#[test]
#[ignore = "needs root"]
fn a_key_that_takes_long_to_make_takes_no_time_from_the_lookups() {
    let domain = "slow.test";
    let sandbox = sandbox_with(domain);
    // The second call of a thread is the first one for a key; all lookups together have 16 seconds.
    let slow =
        "strace -f -o /dev/null -e trace=getrandom -e inject=getrandom:delay_exit=17000000:when=2";
    let shown = sandbox.root(&format!("{slow} dkimctl rotate {domain}"));
    assert!(shown.contains("\n  ns.invalid has no record\n"), "{shown}");
}
