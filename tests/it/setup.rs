use std::fs;
use std::process::Command;

use crate::support::{Sandbox, Stage, reported, stdout};

/// Runs `dkimctl setup` with a folder of its own and a Postfix that is set up by `postconf -e` so.
fn setup(sandbox: &Sandbox, name: &str, settings: &str, args: &str) -> String {
    sandbox.root(&format!(
        "rm -rf /tmp/{name}-postfix; cp -r /etc/postfix /tmp/{name}-postfix; cd /tmp
         [ -z '{settings}' ] || postconf -c /tmp/{name}-postfix -e {settings}
         MAIL_CONFIG=/tmp/{name}-postfix dkimctl --etc /tmp/{name} setup {args}"
    ))
}

fn file(sandbox: &Sandbox, name: &str) -> String {
    sandbox.root(&format!("cat /tmp/{name}/config.toml"))
}

/// Lines that are no comment.
fn settings(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

const SENDMAIL: &str = "sendmail = \"/usr/sbin/sendmail.postfix\"";
/// Postfix's default.
const LIMIT: &str = "message_size_limit = 10240000";
const NO_TO: &str = "undisclosed_recipients_header = \"\"";

#[test]
#[ignore = "needs root"]
fn a_host_without_config_toml_gets_one_with_its_comments() {
    let sandbox = Sandbox::for_test("setup");
    let shown = setup(sandbox, "setup-new", "", "");
    assert!(
        shown.contains("config.toml:\n") && shown.contains("\norigin = \"origin.example\"\n"),
        "{shown}"
    );
    let text = file(sandbox, "setup-new");
    assert_eq!(settings(&text), [SENDMAIL, "origin = \"origin.example\"", LIMIT, NO_TO]);
    // In the place where the example has it commented out.
    assert!(text.contains(" is not signed.\norigin = \"origin.example\"\n\n#"), "{text}");
    assert!(text.contains("\n#append_dot_domain = "), "{text}");
    // Nothing is to be done twice.
    let again = setup(sandbox, "setup-new", "", "");
    assert!(again.ends_with("config.toml: nothing to change\n"), "{again}");
    assert_eq!(file(sandbox, "setup-new"), text);
}

#[test]
#[ignore = "needs root"]
fn the_domain_is_what_postfix_completes_with() {
    let sandbox = Sandbox::for_test("setup");
    for (postfix, lines) in [
        ("myorigin=\\$myhostname", &["origin = \"host.example.test\""][..]),
        ("myorigin=/etc/mailname", &["origin = \"host.example.test\""]),
        ("append_at_myorigin=no", &[]),
        (
            "append_dot_mydomain=yes",
            &["origin = \"origin.example\"", "append_dot_domain = \"example.test\""],
        ),
        ("message_size_limit=0", &["origin = \"origin.example\"", "message_size_limit = 0"]),
        // On by itself before Postfix 3.0.
        (
            "compatibility_level=0",
            &["origin = \"origin.example\"", "append_dot_domain = \"example.test\""],
        ),
    ] {
        sandbox.root("rm -rf /tmp/setup-domain; [ -s /etc/mailname ]");
        let shown = setup(sandbox, "setup-domain", postfix, "");
        let text = file(sandbox, "setup-domain");
        let limit = if postfix.contains("size") { &[][..] } else { &[LIMIT] };
        let expected = [&[SENDMAIL], lines, limit, &[NO_TO]].concat();
        assert_eq!(settings(&text), expected, "{postfix}: {shown}");
        assert_eq!(shown.contains("leaves bare addresses as they are"), lines.is_empty());
    }
}

#[test]
#[ignore = "needs root"]
fn values_of_the_administrator_are_kept_and_reported() {
    let sandbox = Sandbox::for_test("setup");
    let mine = "# mine\nlog_success = false # quiet\n\norigin = \"mine.example\" # on purpose\n";
    let write = |text: &str| {
        sandbox.root("mkdir -p /tmp/setup-mine");
        sandbox.write("/tmp/setup-mine/config.toml", text);
    };
    write(mine);
    let shown = setup(sandbox, "setup-mine", "", "");
    assert!(
        shown.contains(
            "note: origin = \"mine.example\" was left as it is; the host says \"origin.example\""
        ),
        "{shown}"
    );
    assert_eq!(file(sandbox, "setup-mine"), format!("{mine}{SENDMAIL}\n{LIMIT}\n{NO_TO}\n"));
    // Unless the host is to have its way; comments stay even so.
    let shown = setup(sandbox, "setup-mine", "", "--replace");
    assert!(shown.contains("origin = \"origin.example\" # was \"mine.example\"\n"), "{shown}");
    let expected = mine.replace("mine.example", "origin.example");
    assert_eq!(file(sandbox, "setup-mine"), format!("{expected}{SENDMAIL}\n{LIMIT}\n{NO_TO}\n"));
}

#[test]
#[ignore = "needs root"]
fn a_dry_run_changes_nothing_and_shows_a_diff() {
    let sandbox = Sandbox::for_test("setup");
    let shown = setup(sandbox, "setup-dry", "", "--dry-run");
    assert!(
        shown.starts_with("--- ") && shown.contains("\n+origin = \"origin.example\"\n"),
        "{shown}"
    );
    sandbox.root("! [ -e /tmp/setup-dry ]");
    // The diff is one that patch(1) would take: applied by hand, it is what is written.
    let text = "sendmail = \"/usr/sbin/sendmail.postfix\"\n#origin = \"host.example.com\"\nexpire = \"14d\"\n";
    sandbox.root("mkdir /tmp/setup-dry");
    sandbox.write("/tmp/setup-dry/config.toml", text);
    let shown = setup(sandbox, "setup-dry", "", "--dry-run");
    assert!(
        shown.ends_with(
            "@@ -1,3 +1,5 @@\n sendmail = \"/usr/sbin/sendmail.postfix\"\n-#origin = \"host.example.com\"\n\
             +origin = \"origin.example\"\n expire = \"14d\"\n+message_size_limit = 10240000\n\
             +undisclosed_recipients_header = \"\"\n"
        ),
        "{shown}"
    );
    assert_eq!(file(sandbox, "setup-dry"), text);
}

#[test]
#[ignore = "needs root"]
fn the_wrapper_is_never_taken_for_the_real_sendmail() {
    let sandbox = Sandbox::for_test("setup");
    for (path, prepare) in [
        ("/usr/sbin/sendmail", ""),
        ("/usr/lib/sendmail", ""),
        ("/tmp/setup-ours/other-name", "cp /usr/sbin/sendmail.dkim /tmp/setup-ours/other-name"),
        ("/nowhere/sendmail", ""),
        ("/etc/passwd", ""),
    ] {
        sandbox.root(&format!("mkdir -p /tmp/setup-ours; {prepare}"));
        sandbox.write("/tmp/setup-ours/config.toml", &format!("sendmail = \"{path}\"\n"));
        let shown = setup(sandbox, "setup-ours", "", "");
        assert!(shown.contains(&format!("{SENDMAIL} # was \"{path}\"")), "{shown}");
        assert_eq!(settings(&file(sandbox, "setup-ours"))[0], SENDMAIL);
    }
    // Another one that is real is the administrator's choice.
    sandbox.root("cp /usr/sbin/sendmail.postfix /tmp/setup-ours/real");
    sandbox.write("/tmp/setup-ours/config.toml", "sendmail = \"/tmp/setup-ours/real\"\n");
    setup(sandbox, "setup-ours", "", "");
    assert!(file(sandbox, "setup-ours").starts_with("sendmail = \"/tmp/setup-ours/real\"\n"));
}

#[test]
#[ignore = "needs root"]
fn a_sendmail_that_was_not_diverted_is_reported() {
    let sandbox = Sandbox::own("setup");
    sandbox.root("rm /usr/sbin/sendmail; mv /usr/sbin/sendmail.postfix /usr/sbin/sendmail");
    let shown = setup(&sandbox, "setup-aside", "", "");
    // As `register` does it.
    let place = "`dkimctl enable` moves it to /usr/sbin/sendmail.real";
    assert!(shown.contains(place), "{shown}");
    let real = "sendmail = \"/usr/sbin/sendmail.real\"";
    assert_eq!(settings(&file(&sandbox, "setup-aside"))[0], real);
    // A link may lead to the wrapper tomorrow.
    sandbox.root("rm -rf /tmp/setup-aside; ln -s /usr/sbin/sendmail /opt/link");
    let shown = setup(&sandbox, "setup-aside", "sendmail_path=/opt/link", "");
    assert!(shown.contains(place), "{shown}");
    assert_eq!(settings(&file(&sandbox, "setup-aside"))[0], real);
    // After that it is found, under any name.
    sandbox.root(
        "dpkg-divert --local --rename --divert /usr/sbin/sendmail.aside --add /usr/sbin/sendmail
         rm -rf /tmp/setup-aside",
    );
    setup(&sandbox, "setup-aside", "", "");
    let text = file(&sandbox, "setup-aside");
    assert_eq!(settings(&text)[0], "sendmail = \"/usr/sbin/sendmail.aside\"");
    // And without any, nothing is written.
    sandbox.root("rm -rf /tmp/setup-aside /usr/sbin/sendmail.aside");
    let output = sandbox.sh("root", "dkimctl --etc /tmp/setup-aside setup", b"");
    assert_eq!(output.status.code(), Some(66), "{output:?}");
    sandbox.root("! [ -e /tmp/setup-aside ]");
}

#[test]
#[ignore = "needs root"]
fn a_file_with_an_error_is_left_alone_and_the_line_named() {
    let sandbox = Sandbox::for_test("setup");
    for (text, said) in [
        ("sendmail = \"/usr/sbin/sendmail.postfix\"\norigin = x\n", "config.toml: line 2: "),
        ("\n\norigni = \"x\"\n", "config.toml: line 3: unknown key `origni`"),
    ] {
        sandbox.root("mkdir -p /tmp/setup-error");
        sandbox.write("/tmp/setup-error/config.toml", text);
        let output = sandbox.sh("root", "dkimctl --etc /tmp/setup-error setup", b"");
        assert_eq!(output.status.code(), Some(65), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{output:?}");
        assert_eq!(file(sandbox, "setup-error"), text);
    }
}

#[test]
#[ignore = "needs root"]
fn what_setup_shows_can_be_copied_into_config_toml() {
    use sendmail_dkim::config::Host;
    let sandbox = Sandbox::for_test("setup");
    // A path that TOML has to escape, and an origin that is no number though it looks like one.
    let odd = "/tmp/setup-copied/odd \"\\name";
    sandbox.root(&format!("mkdir -p /tmp/setup-copied; cp /usr/sbin/sendmail.postfix '{odd}'"));
    for (postfix, before, args, expected) in [
        ("", "", "", "message_size_limit = 10240000"),
        ("message_size_limit=0", "", "", "message_size_limit = 0"),
        ("message_size_limit=5000000000", "", "", "message_size_limit = 5000000000"),
        ("", "", "", "undisclosed_recipients_header = \"\"\n"),
        (
            "undisclosed_recipients_header=To:undisclosed-recipients:\\;",
            "undisclosed_recipients_header = \"\"\n",
            "--replace",
            "undisclosed_recipients_header = \"To:undisclosed-recipients:;\" # was \"\"\n",
        ),
        ("myorigin=1234", "", "", "origin = \"1234\""),
        (
            "message_size_limit=20480000",
            "message_size_limit = 1\norigin = \"x.test\"\n",
            "--replace",
            "message_size_limit = 20480000 # was 1",
        ),
        ("", "message_size_limit = \"10240000\"\n", "--replace", " = 10240000 # was \"10240000\""),
        ("append_at_myorigin=no", "origin = \"x.test\"\n", "--replace", "# origin was removed; it"),
    ] {
        sandbox.write("/tmp/setup-copied/config.toml", before);
        let shown = setup(sandbox, "setup-copied", postfix, args);
        assert!(shown.contains(expected), "{postfix}: {shown}");
        let copied: String =
            shown.split_inclusive('\n').filter(|line| !line.starts_with("note: ")).collect();
        let written = Host::parse(&file(sandbox, "setup-copied")).unwrap();
        assert_eq!(Host::parse(&copied).unwrap(), written, "{postfix}: {shown}");
        for line in copied.lines().filter(|line| !line.starts_with("sendmail")) {
            let alone = Host::parse(&format!("{SENDMAIL}\n{line}\n"));
            assert!(alone.is_ok(), "{line}: {alone:?}");
        }
    }
    // What is kept is shown in the same form.
    let kept = format!("sendmail = {}\nmessage_size_limit = 1\n", toml_edit::Value::from(odd));
    sandbox.write("/tmp/setup-copied/config.toml", &kept);
    let shown = setup(sandbox, "setup-copied", "", "");
    assert!(
        shown.contains("note: message_size_limit = 1 was left as it is; the host says 10240000"),
        "{shown}"
    );
    assert_eq!(Host::parse(&file(sandbox, "setup-copied")).unwrap().sendmail.to_str(), Some(odd));
}

#[test]
#[ignore = "needs root"]
fn json_says_what_was_set_and_what_was_kept() {
    let sandbox = Sandbox::for_test("setup");
    sandbox.root("mkdir -p /tmp/setup-json");
    sandbox.write("/tmp/setup-json/config.toml", "origin = \"mine.example\"\n");
    let shown = setup(sandbox, "setup-json", "append_dot_mydomain=yes", "--json");
    let (shown, findings) = reported(shown);
    let keys = shown["keys"].as_array().unwrap().iter();
    let keys: Vec<_> =
        keys.map(|key| (key["value"].clone(), key["set"].as_bool().unwrap())).collect();
    let expected = [
        ("/usr/sbin/sendmail.postfix".into(), true),
        ("mine.example".into(), false),
        ("example.test".into(), true),
        (10_240_000.into(), true),
        ("".into(), true),
    ];
    assert_eq!(keys, expected);
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
#[ignore = "needs root"]
fn mail_from_a_bare_address_is_signed_by_what_setup_wrote() {
    let sandbox = Sandbox::own("setup");
    sandbox.root(
        "postconf -e 'myorigin = $myhostname'; rm /etc/sendmail-dkim/config.toml; dkimctl setup",
    );
    sandbox.key("host.example.test", "cron");
    let recipient = sandbox.recipient();
    let script = format!("sendmail {recipient}");
    stdout(&sandbox.sh("alice", &script, b"From: root (Cron Daemon)\nSubject: x\n\nx\n"));
    sandbox.assert_signed(&sandbox.received(&recipient), "host.example.test", "cron");
}

#[test]
#[ignore = "needs root"]
fn scripts_can_set_only_the_real_sendmail_if_it_is_missing() {
    let sandbox = Sandbox::for_test("setup");
    sandbox.root("mkdir -p /tmp/setup-script");
    sandbox.write("/tmp/setup-script/config.toml", "sendmail = \"/nowhere\"\n");
    let run = |path: &str| setup(sandbox, "setup-script", "", &format!("--sendmail {path}"));
    assert!(run("/usr/sbin/sendmail.postfix").contains(SENDMAIL));
    // Neither origin nor limit: Postfix was not asked.
    assert_eq!(file(sandbox, "setup-script"), format!("{SENDMAIL}\n"));
    assert_eq!(run("/usr/sbin/sendmail.postfix"), "");
    assert_eq!(run("/bin/true"), "");
    assert_eq!(file(sandbox, "setup-script"), format!("{SENDMAIL}\n"));
    let command = "dkimctl --etc /tmp/setup-script setup --sendmail /usr/sbin/sendmail.dkim";
    assert_eq!(sandbox.sh("root", command, b"").status.code(), Some(66));
}

#[test]
fn the_way_of_publishing_is_set_changed_and_taken_out() {
    let stage = Stage::new();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
        command.arg("--etc").arg(stage.path("etc")).args(["setup", "--publish"]).args(args);
        let shown = stdout(&command.output().unwrap());
        let lines = shown.lines().filter(|line| !line.starts_with("# /"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let config = || fs::read_to_string(stage.path("etc/config.toml")).unwrap();
    let before = format!("sendmail = {:?}\n", stage.path("sendmail"));
    stage.write("etc/config.toml", &before);
    let [first, second] = ["[\"/bin/true\", \"a\"]", "[\"/bin/true\", \"b\"]"];
    assert!(run(&["/bin/true a", "--dry-run"]).contains(&format!("+publish = {first}")));
    assert_eq!(config(), before);
    assert_eq!(run(&["/bin/true a"]), [format!("publish = {first}")]);
    assert_eq!(run(&["/bin/true a"]), [""; 0]);
    assert_eq!(run(&["/bin/true b"]), [format!("publish = {second} # was {first}")]);
    assert_eq!(config(), format!("{before}publish = {second}\n"));
    let by_nsupdate =
        "publish = \"nsupdate\"\nnsupdate_key = \"/k\"\nnsupdate_server = \"192.0.2.1\"\n";
    stage.write("etc/config.toml", &format!("{before}{by_nsupdate}"));
    assert_eq!(run(&["off"]).len(), 3);
    assert_eq!(config(), before);
}

#[test]
#[ignore = "needs root"]
fn keys_that_a_purge_left_are_given_to_the_group_again() {
    let sandbox = Sandbox::for_test("setup");
    sandbox.root(
        "mkdir -p /tmp/setup-directories/keys/x.test; cd /tmp/setup-directories/keys
         touch x.test/s1.private x.test/s1.txt; chmod 600 x.test/s1.private; chmod 700 . x.test
         chgrp 12345 . x.test x.test/s1.private; dkimctl --etc .. setup --directories",
    );
    let found = sandbox.root(
        "cd /tmp/setup-directories; stat -c '%a %G' domains keys keys/x.test keys/x.test/s1.private",
    );
    let own = ["750 sendmail-dkim\n"; 2].concat();
    assert_eq!(found, format!("755 root\n{own}640 sendmail-dkim\n"));
}
