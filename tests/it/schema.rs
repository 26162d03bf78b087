use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::support::{Sandbox, feed, project};
use crate::{bad_input, life};

/// Commands on a host with a DNS server, in their order: each subcommand with each form of its result. What does not begin with
/// `dkimctl` prepares the next one.
const COMMANDS: &[&str] = &[
    "dkimctl list",
    "dkimctl status",
    "dkimctl check",
    "dkimctl setup --dry-run",
    "dkimctl setup --sendmail /usr/sbin/sendmail.postfix",
    "dkimctl setup --directories",
    "dkimctl setup --smtp",
    "dkimctl setup",
    "dkimctl add one.test -b 1024 -s s1",
    "dkimctl add one.test two.test three.test --type ed25519",
    "dkimctl genkey four.test s1 --users root --groups root,root",
    "mkdir /tmp/elsewhere",
    "dkimctl genkey five.test s1 -D /tmp/elsewhere",
    "dkimctl list",
    "dkimctl list -d four.test",
    "dkimctl record --all",
    "dkimctl record one.test -s s1",
    "dkimctl record --all --json >/tmp/all",
    "dkimctl record --merge /tmp/all",
    "dkimctl use four.test s1",
    "/opt/sandbox/publish.py four.test /etc/sendmail-dkim/keys/four.test/s1.txt",
    "dkimctl testkey",
    "dkimctl testkey four.test -s s1 --authoritative",
    "dkimctl testkey --server 127.0.0.1:9",
    "dkimctl status four.test",
    "dkimctl check one.test four.test",
    "printf 'From: a@four.test\\nSubject: gr\\303\\274n\\n\\nx\\n' >/tmp/message",
    "dkimctl explain /tmp/message",
    "dkimctl explain --user root --from a@four.test",
    "dkimctl explain --user www-data --from a@four.test",
    "dkimctl explain --from a@below.four.test",
    "dkimctl explain --from '\"a\" <b@c@d>'",
    "dkimctl explain --from a@four.test -- -bs",
    "dkimctl explain --from a@four.test -- -bp",
    "dkimctl try --json /tmp/message | tee /tmp/tried",
    "python3 -c 'import json; print(json.load(open(\"/tmp/tried\"))[\"result\"][\"message\"], end=\"\")' >/tmp/signed",
    "cp /tmp/signed /tmp/changed; echo more >>/tmp/changed",
    "dkimctl verify --keys /etc/sendmail-dkim/keys /tmp/signed",
    "dkimctl verify --keys /etc/sendmail-dkim/keys /tmp/changed",
    "dkimctl verify --server 127.0.0.1:9 /tmp/signed",
    "dkimctl verify /tmp/message",
    "dkimctl rotate four.test --dry-run",
    "dkimctl rotate four.test --selector k",
    "/opt/sandbox/publish.py four.test '/etc/sendmail-dkim/keys/four.test/*.txt'",
    "dkimctl rotate --all --selector k",
    "dkimctl rotate status",
    "dkimctl rotate four.test --selector k --keep 0s",
    "sed -i 's/^until.*/until = 2020-01-01T00:00:00Z/' /etc/sendmail-dkim/keys/four.test/rotation.toml",
    "dkimctl rotate four.test --selector k",
    "dkimctl status",
    "dkimctl watch",
    "/opt/sandbox/publish.py four.test",
    "dkimctl watch",
    "dkimctl watch --mail nobody@nowhere.invalid",
    "dkimctl doctor",
    "dkimctl doctor --offline",
    "chmod 644 /etc/sendmail-dkim/keys/one.test/s1.private; chmod g-s /usr/sbin/sendmail.dkim; postconf -e message_size_limit=1000",
    "dkimctl doctor --offline",
    "dkimctl status",
    "dkimctl explain --from a@one.test",
    "dkimctl doctor --offline --fix",
    "echo 'selectors = 1' >/etc/sendmail-dkim/domains/broken.test.toml",
    "dkimctl list",
    "dkimctl check",
    "dkimctl testkey broken.test",
    "dkimctl rotate --all",
    "dkimctl add broken.test six.test",
    "rm /etc/sendmail-dkim/domains/broken.test.toml",
    "cp /etc/sendmail-dkim/config.toml /etc/resolv.conf /tmp",
    "echo 'publish = [\"/bin/false\"]' >>/etc/sendmail-dkim/config.toml",
    "dkimctl add six.test --wait 1s",
    "dkimctl genkey nine.test s1 --wait 1s",
    "dkimctl rotate --all --wait 1s",
    "dkimctl remove two.test --unpublish --wait 1s",
    "dkimctl remove one.test --revoke --wait 1s",
    "cp /tmp/config.toml /etc/sendmail-dkim; echo nameserver 127.0.0.9 >/etc/resolv.conf",
    "dkimctl rotate four.test --selector z",
    "dkimctl rotate --all --older 180d",
    "dkimctl testkey",
    "dkimctl watch",
    "cp /tmp/resolv.conf /etc",
    "dkimctl disable",
    "dkimctl status",
    "dkimctl enable",
    "printf 'Domain seven.test\\nSelector s\\nKeyFile /tmp/elsewhere/s1.private\\nSyslogSuccess yes\\nDontSignMailTo x@y\\n' >/tmp/conf",
    "dkimctl import --dry-run /tmp/conf",
    "dkimctl import /tmp/conf",
    "printf '%s h sendmail-dkim[1]: uid=0 author=<a@x.test> d=x.test s=s result=signed\\n' \"$(date -u +%FT%TZ)\" >/tmp/log",
    "printf '%s h sendmail-dkim[1]: uid=33 author=<a@y.test> result=unsigned reason=\"no domain file\"\\n' \"$(date -u +%FT%TZ)\" >>/tmp/log",
    "printf '%s h sendmail-dkim[1]: fatal: no real sendmail at \"/x\"\\n' \"$(date -u +%FT%TZ)\" >>/tmp/log",
    "dkimctl log --file /tmp/log",
    "dkimctl log --since 2026-01-01 --file /tmp/log",
    "dkimctl remove four.test k",
    "dkimctl remove one.test s1 --wipe",
    "dkimctl remove two.test",
    "dkimctl remove two.test --wipe",
    "dkimctl",
    "dkimctl nothing",
    "dkimctl list --nothing",
    "dkimctl list none.test",
];

#[test]
#[ignore = "needs root"]
fn a_validator_accepts_every_json() {
    let sandbox = Sandbox::on("schema", "tests/it/sandbox/layer.sh schema");
    life::install_scripts(&sandbox);
    sandbox.root(life::GROUP);
    let mut outputs = Vec::new();
    for command in COMMANDS {
        let Some(rest) = command.strip_prefix("dkimctl") else {
            sandbox.root(command);
            continue;
        };
        let is_json = rest.contains("--json");
        let script = if is_json { (*command).to_owned() } else { format!("{command} --json") };
        let script = script.replace(" -- ", " --json -- ").replace(" -- -bs --json", " -- -bs");
        let output = sandbox.sh("root", &script.replace(" -- -bp --json", " -- -bp"), b"");
        let text = String::from_utf8(output.stdout).unwrap();
        if !text.is_empty() || !rest.contains('>') {
            // A script must be able to tell why.
            let has_reason = text.contains("\"severity\": \"");
            assert!(output.status.success() || has_reason, "{script}: {}: {text}", output.status);
            outputs.push(text);
        }
    }
    let server = bad_input::dead_server();
    for case in bad_input::CASES {
        let output = bad_input::run(case, &server, &["--json"]);
        outputs.push(String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(mistakes(&sandbox, &outputs), "");
    // Each subcommand has reported a result, and a failure.
    let (mut results, mut failures) = (BTreeSet::new(), BTreeSet::new());
    for text in &outputs {
        let all: Value = serde_json::from_str(text).unwrap();
        let name = all["command"].as_str().unwrap().to_owned();
        if all["result"].is_null() {
            failures.insert(name)
        } else {
            results.insert(name)
        };
    }
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(project("docs/dkimctl.schema.json")).unwrap())
            .unwrap();
    let names = schema["properties"]["command"]["enum"].as_array().unwrap().iter();
    let mut names: BTreeSet<String> = names.map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(failures, names);
    names.remove("");
    assert_eq!(results, names);
    // It finds what is missing, unknown, or of another type.
    for (path, value) in [
        ("/version", json!(2)),
        ("/findings", json!({})),
        ("/result", json!({"domain": "x"})),
        ("/result/0/outcome", json!("fine")),
        ("/result/0/more", json!(1)),
        ("/findings/0/code", json!("Some prose")),
        ("/findings/0/fix", json!("rm -rf /")),
    ] {
        let is_testkey = |text: &&String| text.contains("\"command\": \"testkey\"");
        let text = outputs.iter().filter(is_testkey).find(|text| text.contains("no-record"));
        let mut changed: Value = serde_json::from_str(text.unwrap()).unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[key] = value;
        assert_ne!(mistakes(&sandbox, &[changed.to_string()]), "", "{path}");
    }
}

/// What the validator says of texts.
fn mistakes(sandbox: &Sandbox, texts: &[String]) -> String {
    for (name, file) in [
        ("schema.json", "docs/dkimctl.schema.json"),
        ("validate.py", "tests/it/schema/validate.py"),
    ] {
        sandbox.write(&format!("/tmp/{name}"), &fs::read_to_string(project(file)).unwrap());
    }
    let input: String = texts.iter().map(|text| format!("{}\n", json!(text))).collect();
    let mut python = sandbox.command("root", "python3");
    python.args(["/tmp/validate.py", "/tmp/schema.json"]);
    crate::support::stdout(&feed(&mut python, input.as_bytes()))
}
