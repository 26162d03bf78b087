use crate::support::{Sandbox, project, stdout};

#[test]
#[ignore = "needs root"]
fn a_record_that_goes_is_mailed_and_logged_once_and_so_is_its_return() {
    let sandbox = Sandbox::own("watch");
    for domain in ["stays.test", "goes.test"] {
        sandbox.key(domain, "s1");
    }
    let recipient = sandbox.recipient();
    let unit = std::fs::read_to_string(project("packaging/systemd/sendmail-dkim-watch.service"));
    let unit = unit.unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let command = command.replace("--mail root", &format!("--mail {recipient}"));
    let allowed = unit.lines().find_map(|line| line.strip_prefix("SuccessExitStatus=")).unwrap();
    let watch = |code: &str, count: usize| {
        let mark = sandbox.mark();
        let shown = sandbox.root(&format!("{command} 2>&1; echo code $?"));
        let (shown, found) = shown.trim_end().rsplit_once("\ncode ").unwrap();
        assert_eq!(found, code, "{shown}");
        assert!(code == "0" || allowed.split(' ').any(|one| one == code), "{allowed}");
        let logged = crate::support::logged(&sandbox, mark, "watch: s1._domainkey", count);
        assert_eq!(logged.len(), count, "{logged:?}");
        (shown.to_owned(), logged)
    };
    let mails = || sandbox.root("mailq >/dev/null; true").len() + sandbox.count(&recipient);
    let (shown, _) = watch("0", 0);
    assert_eq!(shown, "All records are as they should be.");

    sandbox.publish("goes.test", "");
    let (shown, logged) = watch("69", 1);
    assert!(
        shown.starts_with("New problems:\n  s1._domainkey.goes.test: there is no record"),
        "{shown}"
    );
    assert!(!shown.contains("stays.test") && logged[0].contains("<20>"), "{shown}{logged:?}");
    let mailed = sandbox.received(&recipient).split();
    assert!(mailed.0.contains("\r\nSubject: DKIM records on host"), "{mailed:?}");
    assert!(mailed.1.contains("s1._domainkey.goes.test: there is no record"), "{mailed:?}");
    // Again, and nothing is new.
    let (shown, _) = watch("69", 0);
    assert!(shown.starts_with("Still there:\n"), "{shown}");
    assert_eq!(mails(), 1);

    // A message that cannot be mailed is news at the next run, too.
    sandbox.publish("goes.test", "/etc/sendmail-dkim/keys/goes.test/s1.txt");
    let alternatives = "/etc/alternatives/mta";
    sandbox.root(&format!("mv {alternatives} {alternatives}.away"));
    let (shown, _) = watch("71", 1);
    assert!(shown.contains("cannot mail to"), "{shown}");
    sandbox.root(&format!("mv {alternatives}.away {alternatives}"));
    let (shown, logged) = watch("0", 1);
    assert!(shown.starts_with("Ended:\n  s1._domainkey.goes.test: "), "{shown}");
    assert!(logged[0].contains("<22>") && logged[0].ends_with(": ok"), "{logged:?}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while mails() < 2 {
        assert!(std::time::Instant::now() < deadline, "the second message does not arrive");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(watch("0", 0).0, "All records are as they should be.");
}

#[test]
fn a_state_of_another_form_is_named() {
    let etc = std::env::temp_dir().join(format!("watch-{}", std::process::id()));
    std::fs::create_dir_all(etc.join("domains")).unwrap();
    std::fs::write(etc.join("watch.json"), "{\"problem\": 1}").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dkimctl"))
        .args(["watch", "--server", "127.0.0.1:1", "--etc"])
        .arg(&etc)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("watch.json") && said.contains("remove the file"), "{said}");
    std::fs::remove_dir_all(&etc).unwrap();
    let mut help = std::process::Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    assert!(stdout(&help.args(["watch", "--help"]).output().unwrap()).contains("--mail ADDRESS"));
}
