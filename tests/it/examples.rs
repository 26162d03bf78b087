use std::fs;

use crate::life;
use crate::support::{Sandbox, project};

/// The commands in the section EXAMPLES of a manual page, in their order. In a block with prompts, the other lines are output.
fn commands(page: &str) -> Vec<String> {
    let page = fs::read_to_string(project(page)).unwrap();
    let (_, section) = page.split_once("\n.Sh EXAMPLES\n").unwrap();
    let section = section.split("\n.Sh ").next().unwrap();
    let blocks = section.split(".Bd -literal\n").skip(1);
    let blocks = blocks.map(|block| block.split(".Ed").next().unwrap());
    let of_block = |block: &str| {
        let text = block.replace("\\e\n", "").replace("\\-", "-").replace("\\e", "\\");
        let has_prompt = text.starts_with("$ ");
        let lines = text.lines().filter(|line| !has_prompt || line.starts_with("$ "));
        lines.map(|line| line.trim_start_matches("$ ").to_owned()).collect::<Vec<_>>()
    };
    blocks.flat_map(of_block).collect()
}

/// What a command needs to have something to do.
const BEFORE: &[(&str, &str)] = &[
    ("dkimctl testkey", "/opt/sandbox/publish.py sample.com '/etc/sendmail-dkim/keys/sample.com/*.txt'"),
    ("dkimctl log", "echo 'Nov 29 12:00:00 h sendmail-dkim[1]: uid=0 result=signed' >/var/log/mail.log"),
    (
        "dkimctl import",
        "printf 'Domain imported.test\\nSelector s\\nKeyFile /tmp/imported.private\\n' >/etc/opendkim.conf
         [ -e /tmp/imported.private ] || { dkimctl genkey imported.test s -D /tmp && mv /tmp/s.private /tmp/imported.private
         /opt/sandbox/publish.py imported.test /tmp/s.txt; }",
    ),
];

/// Commands that end with another code than 0 where all is as documented: Postfix has not been told yet that OpenDKIM goes.
const CODES: &[(&str, &[i32])] = &[("dkimctl import", &[0, 78])];

#[test]
#[ignore = "needs root"]
fn each_command_of_the_examples_in_the_manual_pages_runs() {
    let sandbox = Sandbox::own("examples");
    life::install_scripts(&sandbox);
    sandbox.root(life::GROUP);
    // The DNS server of the sandbox accepts no update: what nsupdate(1) gets is kept.
    sandbox
        .root("rm -f /usr/bin/nsupdate; mkdir /tmp/examples; cp /dev/null /tmp/examples/dns.key");
    sandbox.write("/usr/local/bin/nsupdate", "#!/bin/sh\n[ -r \"$2\" ] && cat >/tmp/update\n");
    sandbox
        .root("chmod 755 /usr/local/bin/nsupdate; ln -s /usr/local/bin/nsupdate /usr/bin/nsupdate");
    sandbox.write("/tmp/examples/message.eml", "From: a@sample.com\nTo: root\nSubject: x\n\nx\n");
    let pages = ["packaging/man/dkimctl.8", "packaging/man/sendmail.dkim.8"];
    let commands: Vec<String> = pages.iter().flat_map(|page| commands(page)).collect();
    assert!(commands.len() > 12, "{commands:?}");
    let mut wrong = Vec::new();
    for command in &commands {
        for (begin, before) in BEFORE {
            if command.starts_with(begin) {
                sandbox.root(before);
            }
        }
        let script = format!("cd /tmp/examples && {command}");
        let output = sandbox.sh("root", &script, b"");
        let codes = CODES.iter().find(|(begin, _)| command.starts_with(begin));
        let codes = codes.map_or(&[0][..], |(_, codes)| codes);
        if !output.status.code().is_some_and(|code| codes.contains(&code)) {
            wrong.push(format!("{command}: {output:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let update = sandbox.root("cat /tmp/update");
    assert!(update.contains("update add ") && update.ends_with("send\n"), "{update}");
}

/// What is typed before the tab, and what comes of it.
const TYPED: &[(&str, &str)] = &[
    ("dkimctl ver", "verify"),
    ("dkimctl testkey sam", "sample.com"),
    ("dkimctl use sample.com dkimsel", "dkimselector"),
    ("dkimctl remove -d sample.com -s dkimsel", "dkimselector"),
    ("dkimctl record --for", "--format"),
    ("dkimctl record --format oct", "octodns"),
    ("dkimctl --etc /tmp/other list other", "other.test"),
];

#[test]
#[ignore = "needs root"]
fn zsh_and_fish_complete_subcommands_options_domains_and_selectors() {
    let sandbox = Sandbox::on("completions", "tests/it/sandbox/layer.sh schema");
    sandbox.root(
        "dkimctl genkey sample.com dkimselector; dkimctl --etc /tmp/other genkey other.test s",
    );
    for (from, to) in [
        ("packaging/completions/_dkimctl", "/usr/share/zsh/vendor-completions/_dkimctl"),
        ("packaging/completions/dkimctl.fish", "/usr/share/fish/vendor_completions.d/dkimctl.fish"),
        ("tests/it/schema/zsh.py", "/tmp/zsh.py"),
    ] {
        sandbox.root(&format!("mkdir -p $(dirname {to})"));
        sandbox.write(to, &fs::read_to_string(project(from)).unwrap());
    }
    let mut wrong = Vec::new();
    for (typed, expected) in TYPED {
        let fish = sandbox.root(&format!("HOME=/tmp fish -c \"complete -C '{typed}'\" 2>&1"));
        if !fish.lines().any(|line| line.split('\t').next() == Some(expected)) {
            wrong.push(format!("fish: {typed}: {fish}"));
        }
        let zsh = sandbox.root(&format!("python3 /tmp/zsh.py '{typed}' '{expected}' 2>&1 || true"));
        if !zsh.ends_with("found\n") {
            wrong.push(format!("zsh: {typed}: {zsh}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
