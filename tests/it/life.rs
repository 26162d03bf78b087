//! The life of a domain: add, use, remove, list, check, enable, disable.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Write as _, pipe};
use std::net::UdpSocket;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use serde_json::Value;

use crate::support::{Sandbox, Stage, dkimctl, feed, project, reported, result, stderr, stdout};

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn file(stage: &Stage, domain: &str) -> String {
    fs::read_to_string(stage.path(&format!("new/domains/{domain}.toml"))).unwrap()
}

fn json(stage: &Stage, args: &[&str]) -> Value {
    result(stdout(&dkimctl(stage, &[args, &["--json"]].concat())))
}

#[test]
fn a_domain_lives_without_an_editor() {
    let stage = Stage::new();
    let shown = stdout(&dkimctl(&stage, &["add", "x.test", "-b", "1024"]));
    assert!(shown.contains("Publish this record in the zone of x.test:\n\n"), "{shown}");
    assert!(shown.contains("Every user of this host may sign mail From x.test"), "{shown}");
    assert!(
        shown.contains("\n  1. publish the record, then check it: dkimctl testkey x.test\n"),
        "{shown}"
    );
    let first = json(&stage, &["list"])[0]["selectors"][0].as_str().unwrap().to_owned();
    // Another key is created, and signs when it is named.
    let shown = stdout(&dkimctl(&stage, &["add", "-d", "x.test", "-s", "second", "-b", "1024"]));
    assert!(shown.contains("dkimctl use x.test second, once DNS has the record"), "{shown}");
    assert_eq!(file(&stage, "x.test"), format!("selectors = [\"{first}\"]\n"));
    let shown = stdout(&dkimctl(&stage, &["use", "x.test", "second"]));
    assert!(shown.starts_with("The domain file of x.test now names second.\n"), "{shown}");
    assert!(shown.contains(&format!("dkimctl remove x.test {first}")), "{shown}");
    assert!(shown.contains("second._domainkey.x.test was not found in DNS yet"), "{shown}");
    assert_eq!(file(&stage, "x.test"), "selectors = [\"second\"]\n");
    // The last key is not taken away, and another one is, when that is said.
    let output = dkimctl(&stage, &["remove", "x.test", "second"]);
    assert_eq!(code(&output), Some(65), "{output:?}");
    let private = stage.path(&format!("new/keys/x.test/{first}.private"));
    let shown = stdout(&dkimctl(&stage, &["remove", "x.test", &first]));
    assert!(
        shown.contains(&format!(
            "name   {first}._domainkey.x.test\n  type   TXT\n  value  v=DKIM1; p=\n"
        )),
        "{shown}"
    );
    assert!(private.exists(), "{shown}");
    assert!(shown.contains("The keys stay in "), "{shown}");
    let shown = stdout(&dkimctl(&stage, &["remove", "x.test", &first, "--wipe"]));
    assert!(!private.exists() && !shown.contains("The keys stay in "), "{shown}");
    let record = stdout(&dkimctl(&stage, &["record", "x.test", "-s", &first, "--format", "plain"]));
    assert_eq!(record, format!("{first}._domainkey.x.test\tv=DKIM1; p=\n"));
    // Without its file the domain is not signed; its key makes it signed again.
    stdout(&dkimctl(&stage, &["remove", "x.test"]));
    assert!(!stage.path("new/domains/x.test.toml").exists());
    let output = dkimctl(&stage, &["add", "x.test"]);
    assert_eq!(code(&output), Some(73), "{output:?}");
    assert!(
        stderr(&output).contains("run dkimctl use x.test second to sign with that key"),
        "{output:?}"
    );
    stdout(&dkimctl(&stage, &["use", "-d", "x.test", "-s", "second"]));
    assert_eq!(file(&stage, "x.test"), "selectors = [\"second\"]\n");
    // The name of the wiped key is not given to another one: a cache may still have its record.
    let shown = stdout(&dkimctl(&stage, &["add", "x.test"]));
    assert!(!private.exists() && shown.contains("._domainkey.x.test"), "{shown}");
}

#[test]
fn many_domains_come_from_standard_input() {
    let stage = Stage::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.arg("--etc").arg(stage.path("new")).args(["add", "-", "--type", "ed25519", "--json"]);
    let output = feed(&mut command, b"b.test a.test # the first\n\nc.test\n");
    let made = result(stdout(&output));
    let names: Vec<_> = made.as_array().unwrap().iter().map(|one| one["domain"].clone()).collect();
    assert_eq!(names, ["a.test", "b.test", "c.test"]);
    let listed = json(&stage, &["list"]);
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.arg("--etc").arg(stage.path("new")).args(["list", "-"]);
    let shown = stdout(&feed(&mut command, b"b.test"));
    assert!(shown.starts_with("b.test\t") && shown.lines().count() == 1, "{shown}");
}

#[test]
fn who_may_sign_is_written_and_said() {
    let stage = Stage::new();
    let args = ["genkey", "x.test", "s", "-b", "1024", "--users", "root", "--groups", "root,root"];
    let shown = stdout(&dkimctl(&stage, &args));
    assert!(!shown.contains("Every user"), "{shown}");
    let text = "selectors = [\"s\"]\nusers = [\"root\"]\ngroups = [\"root\", \"root\"]\n";
    assert_eq!(file(&stage, "x.test"), text);
    assert_eq!(stdout(&dkimctl(&stage, &["list"])), "x.test\ts\tusers root or groups root,root\n");
    stage.write("new/domains/exempt.test.toml", "selectors = [\"s\"]\nusers = []\n");
    assert_eq!(stdout(&dkimctl(&stage, &["list", "exempt.test"])), "exempt.test\ts\tno users\n");
    let output = dkimctl(&stage, &["add", "y.test", "--users", "nobody-at-all"]);
    assert_eq!(code(&output), Some(67), "{output:?}");
    let output = dkimctl(&stage, &["add", "y.test", "--groups", "no-such-group"]);
    assert_eq!(code(&output), Some(67), "{output:?}");
    let groups = ["add", "z.test", "-s", "s", "-b", "1024", "--groups", "root, root"];
    assert!(!stdout(&dkimctl(&stage, &groups)).contains("Every user"));
    assert_eq!(file(&stage, "z.test"), "selectors = [\"s\"]\ngroups = [\"root\", \"root\"]\n");
    // An existing file is not changed behind its owner's back.
    let output = dkimctl(&stage, &["add", "x.test", "-s", "t", "--users", "root"]);
    assert_eq!(code(&output), Some(73), "{output:?}");
    assert!(!stage.path("new/keys/x.test/t.private").exists());
}

#[test]
fn a_key_that_cannot_sign_is_not_used() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "-b", "1024"]));
    stage.write("new/keys/x.test/garbage.private", "no key\n");
    stage.write("new/config.toml", "sendmail = \"/x\"\nminimum_key_bits = 2048\n");
    stdout(&dkimctl(&stage, &["add", "y.test", "-s", "a", "-b", "1024"]));
    for (args, expected) in [
        (["use", "x.test", "none"], 66),
        (["use", "x.test", "garbage"], 65),
        // Too small for what config.toml asks.
        (["use", "y.test", "a"], 65),
        (["use", "z.test", "a"], 66),
        (["remove", "x.test", "none"], 66),
        (["remove", "z.test", "none"], 66),
    ] {
        let before = file(&stage, "x.test");
        let output = dkimctl(&stage, &args);
        assert_eq!(code(&output), Some(expected), "{args:?}: {output:?}");
        assert_eq!(file(&stage, "x.test"), before);
    }
    let output = dkimctl(&stage, &["check", "x.test"]);
    assert_eq!(code(&output), Some(1), "{output:?}");
}

#[test]
fn a_key_is_used_if_it_is_as_large_as_the_domain_file_requires() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "-b", "1024"]));
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    for (bits, expected) in [(1024, 0), (2048, 65)] {
        let text = format!("selectors = [\"a\"]\nminimum_key_bits = {bits}\n");
        stage.write("new/domains/x.test.toml", &text);
        let output = dkimctl(&stage, &["use", "x.test", "a"]);
        assert_eq!(code(&output), Some(expected), "{bits}: {output:?}");
        // status says the same, and reads the public half of the key only.
        let (_, found) = reported(&dkimctl(&stage, &["status", "--json"]).stdout);
        let is_wrong = found.iter().any(|one| one["code"] == "key");
        assert_eq!(is_wrong, expected == 65, "{bits}: {found:?}");
    }
}

#[test]
fn a_key_that_signs_from_now_on_is_not_taken_for_one_whose_record_is_gone() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a"]));
    stage.write("new/domains/x.test.gone", "# watch\na\nb\n");
    stdout(&dkimctl(&stage, &["use", "x.test", "a"]));
    let gone = fs::read_to_string(stage.path("new/domains/x.test.gone")).unwrap();
    assert!(gone.ends_with("\nb\n") && !gone.contains("\na\n"), "{gone}");
}

/// A domain that waits for the record of its key.
fn with_waiting_domain() -> Stage {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "--users", "root"]));
    let [signed, waiting] =
        ["toml", "waiting"].map(|kind| stage.path(&format!("new/domains/x.test.{kind}")));
    fs::rename(signed, waiting).unwrap();
    stage
}

#[test]
fn a_domain_that_is_signed_before_its_record_is_there_keeps_its_users() {
    let stage = with_waiting_domain();
    stdout(&dkimctl(&stage, &["use", "x.test", "a"]));
    assert_eq!(file(&stage, "x.test"), "selectors = [\"a\"]\nusers = [\"root\"]\n");
    assert!(!stage.path("new/domains/x.test.waiting").exists());
    let stage = with_waiting_domain();
    stdout(&dkimctl(&stage, &["add", "x.test", "--no-publish"]));
    assert_eq!(file(&stage, "x.test"), "selectors = [\"a\"]\nusers = [\"root\"]\n");
    assert!(!stage.path("new/domains/x.test.waiting").exists());
}

#[test]
fn a_domain_that_waits_gets_no_other_key_and_no_other_users() {
    let stage = with_waiting_domain();
    for args in [
        &["-s", "b"][..],
        &["--keys", "shared", "-s", "a"],
        &["-s", "a", "--users", "daemon"],
        &["-s", "a", "--users", "root", "--groups", "root"],
    ] {
        let output = dkimctl(&stage, &[&["add", "x.test", "--no-publish"], args].concat());
        assert_eq!(code(&output), Some(73), "{output:?}");
        assert!(stderr(&output).contains("dkimctl remove x.test ends that"), "{output:?}");
        assert!(!stage.path("new/domains/x.test.toml").exists());
    }
    assert!(!stage.path("new/keys/shared").exists());
    // The same users once again are no other users.
    let text = "selectors = [\"a\"]\nusers = [\"root\"]\ngroups = [\"root\"]\n";
    stage.write("new/domains/x.test.waiting", text);
    let same = ["add", "x.test", "--no-publish", "--users", "root", "--groups", "root"];
    stdout(&dkimctl(&stage, &same));
    assert_eq!(file(&stage, "x.test"), text);
}

#[test]
fn a_call_that_was_interrupted_before_the_key_keeps_users_and_the_folder_of_keys() {
    let stage = with_waiting_domain();
    let text = "selectors = [\"a\"]\nkeys = \"shared\"\nusers = [\"root\"]\n";
    stage.write("new/domains/x.test.waiting", text);
    // The first call has left the record.
    fs::rename(stage.path("new/keys/x.test"), stage.path("new/keys/shared")).unwrap();
    fs::remove_file(stage.path("new/keys/shared/a.private")).unwrap();
    let old = fs::read_to_string(stage.path("new/keys/shared/a.txt")).unwrap();
    let shown =
        stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "-b", "1024", "--no-publish"]));
    assert!(!shown.contains("Every user"), "{shown}");
    assert_eq!(file(&stage, "x.test"), text);
    assert!(!stage.path("new/domains/x.test.waiting").exists());
    assert!(stage.path("new/keys/shared/a.private").exists());
    assert_ne!(fs::read_to_string(stage.path("new/keys/shared/a.txt")).unwrap(), old);
    assert!(!stage.path("new/keys/x.test").exists());
}

#[test]
fn a_key_of_the_same_name_in_another_folder_does_not_sign() {
    let stage = Stage::new();
    let add = ["add", "x.test", "-s", "a", "-b", "1024"];
    stdout(&dkimctl(&stage, &add));
    let shown = stdout(&dkimctl(&stage, &[&add[..], &["--keys", "shared"]].concat()));
    assert!(shown.contains("dkimctl use x.test a --keys shared, once DNS has"), "{shown}");
}

#[test]
fn a_shared_key_is_as_large_as_config_toml_requires() {
    let stage = Stage::new();
    let add = |domain: &str| {
        dkimctl(&stage, &["add", domain, "--keys", "shared", "-s", "s", "-b", "1024"])
    };
    stdout(&add("first.test"));
    stage.write("new/config.toml", "sendmail = \"/x\"\nminimum_key_bits = 2048\n");
    let output = add("second.test");
    assert_eq!(code(&output), Some(65), "{output:?}");
    assert!(!stage.path("new/domains/second.test.toml").exists());
}

#[test]
fn remove_ends_the_wait_for_a_record() {
    let stage = with_waiting_domain();
    // The last key is not taken out of a domain file, and not from one to come.
    let output = dkimctl(&stage, &["remove", "x.test", "a", "--wipe"]);
    assert_eq!(code(&output), Some(65), "{output:?}");
    assert!(
        stderr(&output).ends_with("waits for the record of a: dkimctl remove x.test ends that\n")
    );
    assert!(stage.path("new/keys/x.test/a.private").exists());
    let shown = stdout(&dkimctl(&stage, &["remove", "x.test"]));
    assert!(shown.contains("x.test does not wait for its record any more"), "{shown}");
    assert!(shown.contains("name   a._domainkey.x.test\n"), "{shown}");
    assert!(!stage.path("new/domains/x.test.waiting").exists());
    assert!(stage.path("new/keys/x.test/a.private").exists());
    // A crash may have happened before there was a key.
    let stage = with_waiting_domain();
    fs::remove_dir_all(stage.path("new/keys/x.test")).unwrap();
    let shown = stdout(&dkimctl(&stage, &["remove", "x.test"]));
    assert!(shown.contains("x.test does not wait for its record any more"), "{shown}");
    assert!(!stage.path("new/domains/x.test.waiting").exists());
    assert_eq!(code(&dkimctl(&stage, &["remove", "x.test"])), Some(66));
}

#[test]
fn a_key_that_does_not_exist_is_taken_out_of_the_domain_file() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "-b", "1024"]));
    stage.write("new/domains/x.test.toml", "selectors = [\"a\", \"lost\"]\n");
    stdout(&dkimctl(&stage, &["remove", "x.test", "lost"]));
    assert_eq!(file(&stage, "x.test"), "selectors = [\"a\"]\n");
}

#[test]
fn no_command_changes_a_domain_while_another_one_does() {
    let stage = Stage::new();
    for selector in ["a", "b"] {
        stdout(&dkimctl(&stage, &["add", "x.test", "-s", selector, "-b", "1024"]));
    }
    let keys = fs::File::open(stage.path("new/keys/x.test")).unwrap();
    keys.lock().unwrap();
    for args in [&["use", "x.test", "b"][..], &["remove", "x.test"], &["remove", "x.test", "b"]] {
        let output = dkimctl(&stage, args);
        assert_eq!(code(&output), Some(75), "{args:?}: {output:?}");
        assert_eq!(file(&stage, "x.test"), "selectors = [\"a\"]\n");
    }
    keys.unlock().unwrap();
    stdout(&dkimctl(&stage, &["use", "x.test", "b"]));
}

/// Whether a running command keeps others out of a directory.
fn is_locked(stage: &Stage, folder: &str) -> bool {
    let folder = fs::File::open(stage.path(&format!("new/{folder}"))).unwrap();
    folder.try_lock().is_err()
}

/// `dkimctl`, to be started and ended by the test.
fn started(stage: &Stage, args: &[&str], stdout: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.arg("--etc").arg(stage.path("new")).args(args).env_remove("SENDMAIL_DKIM_ETC");
    command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_command_keeps_others_out_until_dns_has_answered() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "-b", "1024"]));
    stdout(&dkimctl(&stage, &["add", "wait.test", "-s", "a", "-b", "1024"]));
    let file = |end: &str| stage.path(&format!("new/domains/wait.test.{end}"));
    fs::rename(file("toml"), file("waiting")).unwrap();
    for (command, folder) in [
        ("watch", "domains"),
        ("rotate x.test", "keys/x.test"),
        ("rotate wait.test", "keys/wait.test"),
    ] {
        // A server that does not answer.
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let address = server.local_addr().unwrap().to_string();
        let args: Vec<&str> = command.split(' ').chain(["--server", &address]).collect();
        let mut child = started(&stage, &args, Stdio::null());
        let is_asked = server.recv(&mut [0; 512]);
        let is_locked = is_locked(&stage, folder);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_asked.is_ok() && is_locked, "{command}: {is_asked:?}");
    }
}

#[test]
fn a_command_keeps_others_out_until_its_changes_are_made() {
    let stage = Stage::new();
    for selector in ["a", "b"] {
        stdout(&dkimctl(&stage, &["add", "x.test", "-s", selector, "-b", "1024"]));
    }
    let domain_file = || fs::read_to_string(stage.path("new/domains/x.test.toml")).ok();
    for args in [&["use", "x.test", "b"][..], &["remove", "x.test"]] {
        // It stops when it has made its changes and says so: no more fits into the pipe.
        let (reader, mut writer) = pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        writer.write_all(&[b'\n'; 4096]).unwrap();
        let before = domain_file();
        let mut child = started(&stage, args, writer.into());
        let deadline = Instant::now() + Duration::from_secs(60);
        while domain_file() == before && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let is_locked = is_locked(&stage, "keys/x.test");
        drop(reader);
        assert!(child.wait().unwrap().success(), "{args:?}");
        assert!(domain_file() != before && is_locked, "{args:?}");
    }
}

#[test]
fn remove_ends_the_rotations_of_a_domain_and_of_no_other() {
    let stage = Stage::new();
    let state = "[[rotation]]\nold = \"a\"\nnew = \"b\"\nstage = \"pending\"\nsince = 2026-11-01\n";
    for selector in ["a", "b"] {
        stdout(&dkimctl(&stage, &["add", "x.test", "-s", selector, "-b", "1024"]));
    }
    stdout(&dkimctl(&stage, &["use", "x.test", "a", "b"]));
    stdout(&dkimctl(&stage, &["add", "y.test", "--keys", "shared", "-s", "a", "-b", "1024"]));
    for folder in ["x.test", "shared"] {
        stage.write(&format!("new/keys/{folder}/rotation.toml"), state);
    }
    let is_there = |folder: &str| stage.path(&format!("new/keys/{folder}/rotation.toml")).exists();
    stdout(&dkimctl(&stage, &["remove", "x.test", "b"]));
    stdout(&dkimctl(&stage, &["remove", "y.test"]));
    assert!(is_there("x.test") && is_there("shared"));
    stdout(&dkimctl(&stage, &["remove", "x.test"]));
    assert!(!is_there("x.test") && is_there("shared"));
}

#[test]
fn a_domain_that_another_one_signs_for_gets_no_key() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "p.test", "-s", "a", "-b", "1024"]));
    let text = "selectors = [\"a\"]\ndomain = \"p.test\"\n";
    stage.write("new/domains/x.test.toml", text);
    for command in ["add", "genkey"] {
        let output = dkimctl(&stage, &[command, "x.test", "-s", "b", "-b", "1024"]);
        let said = stderr(&output);
        assert_eq!(code(&output), Some(73), "{said}");
        assert!(
            said.ends_with("x.test.toml signs with d=p.test: dkimctl add p.test -s b\n"),
            "{said}"
        );
        assert!(!stage.path("new/keys/x.test").exists());
    }
    stdout(&dkimctl(&stage, &["add", "p.test", "-s", "b", "-b", "1024"]));
    let shown = stdout(&dkimctl(&stage, &["use", "x.test", "b"]));
    assert_eq!(file(&stage, "x.test"), text.replace("\"a\"", "\"b\""));
    assert!(shown.contains("b._domainkey.p.test was not found in DNS yet"), "{shown}");
    // DNS had the record at the last lookup.
    stage.write("new/keys/seen", "b._domainkey.p.test\t2026-11-01T00:00:00Z\tthere\n");
    let shown = stdout(&dkimctl(&stage, &["use", "x.test", "b"]));
    assert!(!shown.contains("was not found in DNS yet"), "{shown}");
}

#[test]
fn a_key_that_another_domain_file_names_is_neither_wiped_nor_withdrawn() {
    let stage = Stage::new();
    for selector in ["a", "b"] {
        stdout(&dkimctl(&stage, &["add", "p.test", "-s", selector, "-b", "1024"]));
    }
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\npublish = [\"/bin/true\"]\n");
    // Mail From x.test is signed with d=p.test.
    stage.write("new/domains/x.test.toml", "domain = \"p.test\"\nselectors = [\"a\"]\n");
    let state = "[[rotation]]\nold = \"a\"\nnew = \"c\"\nstage = \"pending\"\nsince = 2026-11-01\n";
    stage.write("new/keys/p.test/rotation.toml", state);
    let exists = |name: &str| stage.path(&format!("new/{name}")).exists();
    for args in [
        &["remove", "x.test", "--wipe"][..],
        &["remove", "x.test", "--unpublish"],
        &["remove", "p.test", "--wipe"],
        &["remove", "p.test", "a", "--wipe"],
        &["remove", "p.test", "a", "--revoke"],
    ] {
        let output = dkimctl(&stage, args);
        assert_eq!(code(&output), Some(64), "{args:?}: {output:?}");
        let other = if args.contains(&"x.test") { "p.test.toml" } else { "x.test.toml" };
        assert!(stderr(&output).contains(&format!("{other} signs with a, too: ")), "{output:?}");
        assert!(exists("domains/x.test.toml") && exists("domains/p.test.toml"), "{args:?}");
    }
    // Without these options nothing is said to be over that is not.
    let shown = stdout(&dkimctl(&stage, &["remove", "x.test"]));
    assert!(!exists("domains/x.test.toml") && exists("keys/p.test/rotation.toml"));
    assert!(!shown.contains("_domainkey.p.test"), "{shown}");
    // A key that no other file names goes with its domain.
    stdout(&dkimctl(&stage, &["remove", "p.test", "b", "--wipe"]));
    assert!(exists("keys/p.test/a.private"));
    stdout(&dkimctl(&stage, &["remove", "p.test", "--wipe"]));
    assert_eq!(["a", "b"].map(|one| exists(&format!("keys/p.test/{one}.private"))), [false; 2]);
    assert!(!exists("keys/p.test/rotation.toml"));
}

#[test]
fn use_says_that_the_next_rotate_replaces_a_key_again() {
    let stage = Stage::new();
    for selector in ["a", "b"] {
        stdout(&dkimctl(&stage, &["add", "x.test", "-s", selector, "-b", "1024"]));
    }
    for (of, keys, is_said) in [
        ("retiring", &["a"][..], true),
        ("retiring", &["b"], false),
        ("retiring", &["a", "b"], false),
        // The old key signs until DNS has the record of the new one.
        ("pending", &["a"], false),
        ("revoked", &["a"], false),
    ] {
        let until = if of == "retiring" { "until = 2099-11-08\n" } else { "" };
        let rotation = "[[rotation]]\nold = \"a\"\nnew = \"b\"\nsince = 2026-11-01\n";
        stage.write("new/keys/x.test/rotation.toml", &format!("{rotation}stage = {of:?}\n{until}"));
        let said = stdout(&dkimctl(&stage, &[&["use", "x.test"], keys].concat()));
        assert_eq!(said.contains("has replaced a by b, and does so again"), is_said, "{said}");
    }
}

#[test]
fn a_key_that_a_rule_names_is_not_removed_from_the_domain_file() {
    let stage = Stage::new();
    for selector in ["a", "b"] {
        stdout(&dkimctl(&stage, &["add", "x.test", "-s", selector, "-b", "1024"]));
    }
    let text = "selectors = [\"a\", \"b\"]\n[[sign]]\nfrom = \"x@x.test\"\nselector = \"b\"\n";
    stage.write("new/domains/x.test.toml", text);
    let output = dkimctl(&stage, &["remove", "x.test", "b", "--wipe"]);
    assert_eq!(code(&output), Some(65), "{output:?}");
    assert_eq!(file(&stage, "x.test"), text);
    assert!(stage.path("new/keys/x.test/b.private").exists());
    stdout(&dkimctl(&stage, &["remove", "x.test", "a"]));
    assert_eq!(file(&stage, "x.test"), text.replace("\"a\", ", ""));
}

#[test]
fn a_domain_that_fails_keeps_no_other_one_from_its_key() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "b.test", "-s", "s1", "-b", "1024"]));
    let output = dkimctl(&stage, &["add", "a.test", "b.test", "c.test", "-s", "s1", "-b", "1024"]);
    assert_eq!(code(&output), Some(73), "{output:?}");
    assert!(stderr(&output).contains("b.test/s1.private"), "{output:?}");
    for domain in ["a.test", "c.test"] {
        assert_eq!(file(&stage, domain), "selectors = [\"s1\"]\n");
    }
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_shown = ["a", "b", "c"].map(|one| shown.contains(&format!("s1._domainkey.{one}.test")));
    assert_eq!(is_shown, [true, false, true], "{shown}");
}

#[test]
fn a_domain_file_that_cannot_be_read_stops_each_rotation() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a"]));
    // It may be for the same domain.
    fs::create_dir(stage.path("new/domains/y.test.toml")).unwrap();
    let output = dkimctl(&stage, &["rotate", "x.test", "--dry-run"]);
    assert!(!output.status.success(), "{output:?}");
    assert!(stderr(&output).contains("y.test.toml\": not a regular file"), "{output:?}");
}

#[test]
fn a_key_replaces_another_one_until_that_is_wiped() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "b"]));
    for (stage_of_it, replaces) in [("retiring", true), ("revoked", false)] {
        let until = if replaces { "until = 2099-01-01\n" } else { "" };
        let state = format!(
            "[[rotation]]\nold = \"a\"\nnew = \"b\"\nstage = {stage_of_it:?}\nsince = 2026-11-01\n{until}"
        );
        stage.write("new/keys/x.test/rotation.toml", &state);
        let shown = dkimctl(&stage, &["status", "x.test"]);
        let shown = String::from_utf8_lossy(&shown.stdout);
        assert_eq!(shown.contains("replaces a"), replaces, "{shown}");
    }
}

#[test]
fn a_list_goes_on_after_a_broken_file_and_the_empty_state_has_one_text() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "-b", "1024"]));
    stage.write("new/domains/broken.test.toml", "selectors = 1\n");
    let output = dkimctl(&stage, &["list"]);
    assert_eq!(
        (code(&output), stderr(&output).contains("broken.test.toml: line 1")),
        (Some(65), true)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("x.test\ta\tevery user\n"));
    for (domain, expected) in [("broken.test", 65), ("x.test", 0), ("default", 66)] {
        assert_eq!(code(&dkimctl(&stage, &["list", domain])), Some(expected), "{domain}");
    }
    stage.write("new/domains/default.toml", "selectors = [\"s\"]\n");
    let output = dkimctl(&stage, &["list"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("default\ts\tevery user\n"));
    // It is for no domain of that name.
    assert_eq!(code(&dkimctl(&stage, &["list", "default"])), Some(66));
    let empty = Stage::new();
    fs::create_dir_all(empty.path("new/domains")).unwrap();
    for args in [&["list"][..], &["record", "--all"], &["testkey", "--server", "127.0.0.1:9"]] {
        let output = dkimctl(&empty, args);
        let said = (code(&output), stderr(&output));
        assert_eq!(
            said,
            (Some(66), "dkimctl: no domains yet: dkimctl add DOMAIN\n".to_owned()),
            "{args:?}"
        );
    }
}

/// The scripts where `make install` puts them.
pub(crate) fn install_scripts(sandbox: &Sandbox) {
    sandbox.root("mkdir -p /usr/libexec/sendmail-dkim");
    for (name, mode) in
        [("register", 755), ("status", 755), ("unregister", 755), ("group.sh", 644), ("mta", 644)]
    {
        let text = fs::read_to_string(project(&format!("alternatives/{name}"))).unwrap();
        let path = format!("/usr/libexec/sendmail-dkim/{name}");
        sandbox.write(&path, &text);
        sandbox.root(&format!("chmod {mode} {path}"));
    }
}

/// A host whose mail agents are entries of the group, as on Enterprise Linux, with a stand-in for alternatives(8) that
/// writes down what it is asked. Postfix has the best priority, and another one is there.
pub(crate) const GROUP: &str = "
mkdir -p /var/lib/alternatives /opt/bin; rm -f /usr/sbin/dpkg-divert /usr/bin/dpkg-divert
cp /usr/sbin/sendmail.postfix /usr/sbin/sendmail.other
for name in postfix other; do touch /usr/bin/mailq.$name; done
cat >/var/lib/alternatives/mta <<'STATE'
auto
/usr/sbin/sendmail
mta-mailq
/usr/bin/mailq
mta-sendmail
/usr/lib/sendmail

/usr/sbin/sendmail.postfix
90
/usr/bin/mailq.postfix
/usr/lib/sendmail.postfix
/usr/sbin/sendmail.other
30
/usr/bin/mailq.other
/usr/lib/sendmail.other
STATE
cat >/usr/sbin/alternatives <<'TOOL'
#!/bin/sh
[ \"$1\" = --help ] || echo \"$@\" >>/tmp/asked
[ \"$1\" = --set ] && ln -sf \"$3\" /etc/alternatives/mta
exit 0
TOOL
chmod 755 /usr/sbin/alternatives";

#[test]
#[ignore = "needs root"]
fn the_real_sendmail_is_the_one_that_the_configuration_names() {
    let sandbox = Sandbox::own("life");
    install_scripts(&sandbox);
    sandbox.root(GROUP);
    let followers = |named: &str| {
        sandbox.root(&format!("sed -i 's|^sendmail = .*|sendmail = \"{named}\"|' /etc/sendmail-dkim/config.toml; rm -f /tmp/asked"));
        sandbox.root("/usr/libexec/sendmail-dkim/register >/dev/null");
        sandbox.root("cat /tmp/asked")
    };
    let asked = followers("/usr/sbin/sendmail.other");
    assert!(asked.contains("--slave /usr/bin/mailq mta-mailq /usr/bin/mailq.other"), "{asked}");
    let asked = followers("/usr/sbin/sendmail.postfix");
    assert!(asked.contains("--slave /usr/bin/mailq mta-mailq /usr/bin/mailq.postfix"), "{asked}");
    // Ours is the entry that alternatives(8) chose by itself: it stays so, and is not fixed by hand.
    sandbox.root("ln -sf /usr/sbin/sendmail.dkim /etc/alternatives/mta");
    let asked = followers("/usr/sbin/sendmail.postfix");
    assert!(asked.contains("--auto mta") && !asked.contains("--set"), "{asked}");
    sandbox.root("sed -i 1s/auto/manual/ /var/lib/alternatives/mta");
    let asked = followers("/usr/sbin/sendmail.postfix");
    assert!(
        asked.contains("--set mta /usr/sbin/sendmail.dkim") && !asked.contains("--auto"),
        "{asked}"
    );
    // With the named one gone every mail is refused, and the script says so.
    sandbox.root("sed -i 's|^sendmail = .*|sendmail = \"/usr/sbin/sendmail.gone\"|' /etc/sendmail-dkim/config.toml");
    let output = sandbox.sh("root", "/usr/libexec/sendmail-dkim/status", b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(code(&output), Some(2), "{text}");
    assert!(text.contains("problem: /usr/sbin/sendmail.gone, which config.toml names, does not exist: no mail is accepted"), "{text}");
}

#[test]
#[ignore = "needs root"]
fn the_active_sendmail_is_chosen_and_given_back() {
    let sandbox = Sandbox::own("life");
    install_scripts(&sandbox);
    sandbox.root(GROUP);
    sandbox.root("printf '/usr/sbin/sendmail.dkim\n5\n/usr/bin/mailq.postfix\n/usr/sbin/sendmail.dkim\n' >>/var/lib/alternatives/mta");
    sandbox.root("dkimctl add enabled.test >/dev/null");
    let shown = sandbox.root("dkimctl disable");
    assert_eq!(
        shown,
        "/usr/sbin/sendmail.postfix is the active sendmail; mail is no longer signed.\n"
    );
    let output = sandbox.sh("root", "dkimctl status", b"");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("\n  1. dkimctl enable "),
        "{output:?}"
    );
    // Without its real sendmail, no mail would be accepted.
    sandbox.root("mv /usr/sbin/sendmail.postfix /tmp; sed -i '/^real/d' /usr/libexec/sendmail-dkim/mta; rm /usr/sbin/sendmail.other");
    let output = sandbox.sh("root", "dkimctl enable", b"");
    assert_eq!(code(&output), Some(1), "{output:?}");
    assert_eq!(sandbox.root("readlink /etc/alternatives/mta"), "/usr/sbin/sendmail.postfix\n");
    sandbox.root("mv /tmp/sendmail.postfix /usr/sbin");
    let shown = sandbox.root("dkimctl enable");
    assert!(shown.starts_with("sendmail.dkim is the active sendmail; the real sendmail is /usr/sbin/sendmail.postfix.\n"), "{shown}");
    assert!(shown.ends_with("Mail From the domains of `dkimctl list` is signed.\n"), "{shown}");
    // doctor does the same, if that is asked for.
    sandbox.root("dkimctl disable");
    let output = sandbox.sh("root", "dkimctl doctor --offline --fix", b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.lines().any(|line| line == "dkimctl enable"), "{text}");
    assert_eq!(sandbox.root("readlink /etc/alternatives/mta"), "/usr/sbin/sendmail.dkim\n");
    let output = sandbox.sh("alice", "dkimctl enable", b"");
    assert_eq!(code(&output), Some(77), "{output:?}");
    // The script says that it is done, and it is not.
    sandbox.root("printf '#!/bin/sh\n' >/usr/libexec/sendmail-dkim/register");
    let output = sandbox.sh("root", "dkimctl disable", b"");
    assert_eq!(code(&output), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("sendmail.dkim is still the active sendmail"), "{text}");
}

#[test]
fn check_says_what_a_missing_key_costs() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a"]));
    fs::remove_file(stage.path("new/keys/x.test/a.private")).unwrap();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "b"]));
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    let domain = "the domain is not signed";
    for (settings, costs) in [
        ("selectors = [\"a\"]", domain),
        ("selectors = [\"a\", \"b\"]", "mail is not signed with this key"),
        ("selectors = [\"a\", \"b\"]\nstrict_selectors = true", domain),
        // Members of a group may sign.
        ("selectors = [\"a\"]\nusers = []\ngroups = [\"root\"]", domain),
        // An exempt domain needs no key.
        ("selectors = [\"a\"]\nusers = []", ""),
    ] {
        stage.write("new/domains/x.test.toml", settings);
        let output = dkimctl(&stage, &["check", "x.test"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.contains("a.private"), !costs.is_empty(), "{settings}: {text}");
        assert!(text.contains(costs), "{settings}: {text}");
    }
}

/// What `check` finds: the code, the evidence and the remedy of each, in one text.
fn checked(stage: &Stage, args: &[&str]) -> Vec<String> {
    let output = dkimctl(stage, &[&["check", "--json"], args].concat());
    let (_, findings) = reported(&output.stdout);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    findings
        .iter()
        .map(|one| ["code", "evidence", "remedy", "severity"].map(|key| text(one, key)).join(": "))
        .collect()
}

#[test]
fn a_lost_key_is_replaced_under_its_name_only_if_no_record_had_that_name() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "--type", "ed25519"]));
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    fs::remove_file(stage.path("new/keys/x.test/a.private")).unwrap();
    let lost = || {
        let found = checked(&stage, &[]);
        let lost = found.into_iter().find(|text| text.contains("a.private does not exist"));
        lost.expect("a finding")
    };
    // A cache may have the record of the old key.
    let text = lost();
    assert!(text.contains("restore the key from a backup") && !text.contains("-s a"), "{text}");
    fs::remove_file(stage.path("new/keys/x.test/a.txt")).unwrap();
    let text = lost();
    assert!(text.contains(": dkimctl add x.test -s a, or remove it from `selectors`"), "{text}");
    // The keys that domains share are not made for one of them.
    stage.write("new/domains/x.test.toml", "selectors = [\"a\"]\nkeys = \"shared\"\n");
    assert!(lost().contains(": copy the key there"));
}

#[test]
fn a_domain_of_also_sign_as_needs_keys_even_if_it_is_exempt() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "--type", "ed25519"]));
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    let also = "selectors = [\"a\"]\nalso_sign_as = [\"p.test\"]\n";
    let rules = "[[sign]]\nfrom = \"a@p.test\"\nselectors = [\"p\"]\n";
    let of_another = "selectors = [\"p\"]\ndomain = \"q.test\"\n";
    let exempt = "selectors = [\"p\"]\nusers = []\n";
    for (own, provider, expected) in [
        (also, "", &["also_sign_as"][..]),
        (also, rules, &["also_sign_as", "key"]),
        (also, of_another, &["also_sign_as", "key"]),
        (&also.replace("p.test", "q.test"), of_another, &["also_sign_as", "key"]),
        (also, exempt, &["key"]),
        ("selectors = [\"a\"]\n", exempt, &[]),
    ] {
        stage.write("new/domains/x.test.toml", own);
        let path = stage.path("new/domains/p.test.toml");
        fs::write(&path, provider).unwrap();
        if provider.is_empty() {
            fs::remove_file(&path).unwrap();
        }
        let found = checked(&stage, &[]);
        let codes = found.iter().map(|text| text.split(": ").next().unwrap());
        let codes: Vec<_> = codes.filter(|code| *code != "key_rights").collect();
        assert_eq!(codes, expected, "{provider}: {found:?}");
    }
}

#[test]
fn check_looks_at_the_domains_that_are_named() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "x.test", "-s", "a", "--type", "ed25519"]));
    stage.write("new/domains/broken.test.toml", "selectors = 1\n");
    // No mail can be From a domain in upper case.
    stage.write("new/domains/Upper.test.toml", "selectors = [\"a\"]\n");
    let has =
        |args: &[&str], what: &str| checked(&stage, args).iter().any(|text| text.contains(what));
    let missing = "config.toml: no such file or directory: no mail is signed: dkimctl setup";
    assert!(has(&["x.test"], missing));
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    for what in ["broken.test.toml: line 1", "no mail can be From \"Upper.test\""] {
        assert!(has(&[], what) && !has(&["x.test"], what), "{what}");
    }
    // Its mail is not signed.
    let remedy = "name the file after the domain, in lower case and A-labels: error";
    assert!(has(&[], remedy));
    assert!(has(&["broken.test"], "broken.test.toml: line 1"));
}

#[test]
fn domains_share_keys_and_have_records_of_their_own() {
    let stage = Stage::new();
    stdout(&dkimctl(&stage, &["add", "first.test", "-s", "s1", "-b", "1024"]));
    stage.write("new/config.toml", "sendmail = \"/bin/true\"\n");
    fs::rename(stage.path("new/keys/first.test"), stage.path("new/keys/shared")).unwrap();
    for domain in ["first.test", "second.test"] {
        stdout(&dkimctl(&stage, &["use", domain, "s1", "--keys", "shared"]));
        assert_eq!(file(&stage, domain), "selectors = [\"s1\"]\nkeys = \"shared\"\n");
    }
    // A further key of the same directory.
    fs::copy(stage.path("new/keys/shared/s1.private"), stage.path("new/keys/shared/s2.private"))
        .unwrap();
    stdout(&dkimctl(&stage, &["use", "second.test", "s2"]));
    assert_eq!(file(&stage, "second.test"), "selectors = [\"s2\"]\nkeys = \"shared\"\n");
    let all = stdout(&dkimctl(&stage, &["record", "--all", "--format", "plain"]));
    let (first, second) = all.trim_end().split_once('\n').unwrap();
    let [first, second] = [first, second].map(|line| line.split_once('\t').unwrap());
    assert_eq!([first.0, second.0], ["s1._domainkey.first.test", "s2._domainkey.second.test"]);
    assert_eq!(first.1, second.1);
    let one = stdout(&dkimctl(&stage, &["record", "second.test", "--format", "plain"]));
    assert!(one.starts_with("s2._domainkey.second.test\t"), "{one}");
    let output = dkimctl(&stage, &["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = status["result"]["keys"].as_array().unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (&row["domain"], &row["selector"])).collect();
    assert_eq!(
        shown,
        [(&"first.test".into(), &"s1".into()), (&"second.test".into(), &"s2".into())]
    );
    // What would change the keys of other domains is refused.
    for args in [&["rotate", "first.test"][..], &["remove", "first.test", "--wipe"]] {
        let output = dkimctl(&stage, args);
        assert_eq!(code(&output), Some(64), "{output:?}");
        assert!(stderr(&output).contains("new/keys/shared"), "{output:?}");
    }
    let shown = stdout(&dkimctl(&stage, &["remove", "first.test"]));
    assert!(shown.contains("name   s1._domainkey.first.test\n"), "{shown}");
    assert!(!shown.contains("s2._domainkey"), "{shown}");
    assert!(stage.path("new/keys/shared/s1.private").exists());
    // A name that could be a domain's, or lead elsewhere.
    for name in ["first.test", "..", "a/b", ""] {
        let output = dkimctl(&stage, &["use", "second.test", "s2", "--keys", name]);
        assert_eq!(code(&output), Some(64), "{output:?}");
    }
}

#[test]
fn one_command_adds_domains_that_share_a_key() {
    let stage = Stage::new();
    let add = |args: &[&str]| {
        dkimctl(&stage, &[&["add", "--keys", "shared", "-b", "1024"], args].concat())
    };
    let names = |folder: &str| {
        let entries = fs::read_dir(stage.path(&format!("new/keys/{folder}"))).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // The first one creates the key, and each has a record of its own.
    let shown = stdout(&add(&["first.test", "second.test", "-s", "s1"]));
    for domain in ["first.test", "second.test"] {
        assert_eq!(file(&stage, domain), "selectors = [\"s1\"]\nkeys = \"shared\"\n");
        assert!(shown.contains(&format!("  name   s1._domainkey.{domain}\n")), "{shown}");
    }
    assert_eq!(names(""), ["shared"]);
    assert_eq!(names("shared"), ["s1.private", "s1.txt"]);
    // The only key needs no name.
    let key = fs::read(stage.path("new/keys/shared/s1.private")).unwrap();
    stdout(&add(&["third.test", "--users", "root"]));
    let text = "selectors = [\"s1\"]\nkeys = \"shared\"\nusers = [\"root\"]\n";
    assert_eq!(file(&stage, "third.test"), text);
    assert_eq!(fs::read(stage.path("new/keys/shared/s1.private")).unwrap(), key);
    let all = stdout(&dkimctl(&stage, &["record", "--all", "--format", "plain"]));
    let values: BTreeSet<_> = all.lines().map(|line| line.split_once('\t').unwrap().1).collect();
    assert_eq!((all.lines().count(), values.len()), (3, 1), "{all}");
    // A domain that shares its key gets another one in the same place; it signs once it is named.
    let shown = stdout(&dkimctl(&stage, &["add", "first.test", "-s", "s2", "-b", "1024"]));
    assert!(shown.contains("dkimctl use first.test s2 --keys shared, once DNS has"), "{shown}");
    stdout(&dkimctl(&stage, &["use", "first.test", "s2", "--keys", "shared"]));
    assert_eq!(names(""), ["shared"]);
    // Its name is one that no key there has.
    stdout(&dkimctl(&stage, &["add", "own.test", "--keys", "pool", "-b", "1024"]));
    let first = json(&stage, &["list", "own.test"])[0]["selectors"][0].as_str().unwrap().to_owned();
    stdout(&dkimctl(&stage, &["add", "own.test", "-b", "1024"]));
    assert!(names("pool").contains(&format!("{first}-2.private")), "{:?}", names("pool"));
    // Of several keys one is named; what is refused changes nothing.
    stage.write("new/keys/shared/bad.private", "nothing\n");
    for (args, expected, says) in [
        (&["fourth.test"][..], 64, "choose one of bad, s1, s2 with -s"),
        (&["fourth.test", "-s", "bad"], 65, "bad.private: no private key"),
        (&["fourth.test", "-s", "s1", "--users", "nobody-at-all"], 67, "nobody-at-all"),
        (&["third.test", "-s", "s2", "--users", "root"], 73, "exists already"),
    ] {
        let output = add(args);
        assert_eq!(code(&output), Some(expected), "{output:?}");
        assert!(stderr(&output).contains(says), "{output:?}");
    }
    assert!(!stage.path("new/domains/fourth.test.toml").exists());
    assert_eq!(file(&stage, "third.test"), text);
}
