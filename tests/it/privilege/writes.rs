//! Root writes to a tree that another user can change. Two attackers exchange a folder or a file of it for a link while root
//! writes: one who owns what holds it, whom `dkimctl` refuses, and one who is as mighty as root, whom it cannot refuse.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdout, Command, Stdio};

use crate::support::{Attacks, Sandbox, Tied, project, stderr, stdout};

/// What commands run on, created again for each row. `$E` is the tree, and what no command may touch is in `/outside`.
const TREE: &str = "
umask 022; rm -rf $E /outside; mkdir -p $(dirname $E) /outside/folder/x.test; chown root $(dirname $E)
: >/srv/empty
for name in folder/file folder/x.test/old.private folder/x.test/old.txt; do echo sentinel >/outside/$name; done
for name in file folder/config.toml; do echo 'sendmail = \"/nowhere\"' >/outside/$name; done
echo 'selectors = [\"new\"]' >/outside/folder/x.test.toml; : >/outside/state; find /outside -type f -exec chmod 600 {} +
dkimctl --etc $E genkey -d x.test -s new --type ed25519 >/dev/null
cp -p $E/keys/x.test/new.private /srv/key; cp -p $E/keys/x.test/new.txt /srv/record
echo 'sendmail = \"/nowhere\"' >/srv/config.toml; cp /srv/config.toml $E
printf '[[rotation]]\\nold = \"old\"\\nnew = \"new\"\\nstage = \"revoked\"\\nsince = 2026-01-01T00:00:00Z\\n' >/srv/revoked
printf '[[rotation]]\\nold = \"old\"\\nnew = \"new\"\\nstage = \"pending\"\\nsince = 2026-01-01T00:00:00Z\\n' >/srv/pending
for name in private txt; do cp -p $E/keys/x.test/new.$name $E/keys/x.test/old.$name; done
cp /srv/revoked $E/keys/x.test/rotation.toml
printf 'Domain x.test\\nSelector SELECTOR\\nKeyFile /srv/key\\n' >/srv/opendkim.conf
cp /srv/opendkim.conf /srv/opendkim.now
";

/// All of it: names, owners, modes, times, and what is in the files.
const OUTSIDE: &str = "{ find /outside -printf '%p %u:%g %m %s %T@ %C@\\n' | sort; find /outside -type f | sort | xargs cat; }";

/// Replaces a file without following a link that is there, as the tree is being changed. Runs in the folder, as that was before its
/// name was given to a link.
const PUT: &str = "put() { cp -pT --remove-destination $1 $2; }; ";

/// A command that writes, and what is exchanged for a link meanwhile.
struct Race {
    /// What the table says.
    attack: &'static str,
    /// Where the runs are prepared, below the tree.
    at: &'static str,
    /// Before each run.
    prepare: &'static str,
    /// Each run; `$i` is its number.
    command: &'static str,
    /// The path that is exchanged.
    target: &'static str,
    /// Where the link leads.
    to: &'static str,
}

const GENKEY: &str = "dkimctl --etc $E genkey -d x.test -s s$i --type ed25519";
const SETUP: &str = "dkimctl --etc $E setup --sendmail /usr/sbin/sendmail.postfix";
const DIRECTORIES: &str = "dkimctl --etc $E setup --directories";
const ROTATE: &str = "dkimctl --etc $E rotate x.test --older 9999d --server 127.0.0.1";
const IMPORT: &str = "dkimctl --etc $E import /srv/opendkim.now";
/// With a group of alternatives(8) that has Postfix's sendmail, and an exit code that tells whether dkimctl did it.
const REGISTER: &str = "if PATH=/opt/fake:$PATH /opt/libexec/register 2>&1 | tee -a /tmp/said | grep -q 'was not changed'; \
    then (exit 77); else (exit 0); fi";
const REVOKED: &str = "put /srv/key old.private; put /srv/revoked rotation.toml";

const RACES: &[Race] = &[
    Race {
        attack: "genkey, the folder of the domain's keys is exchanged",
        at: "",
        prepare: "",
        command: GENKEY,
        target: "$E/keys/x.test",
        to: "/outside/folder/x.test",
    },
    Race {
        attack: "genkey, the folder of all keys is exchanged",
        at: "",
        prepare: "",
        command: GENKEY,
        target: "$E/keys",
        to: "/outside/folder",
    },
    Race {
        attack: "genkey, the folder of domain files is exchanged",
        at: "domains",
        prepare: "rm -f x.test.toml",
        command: GENKEY,
        target: "$E/domains",
        to: "/outside/folder",
    },
    Race {
        attack: "genkey, the whole tree is exchanged",
        at: "",
        prepare: "",
        command: GENKEY,
        target: "$E",
        to: "/outside/folder",
    },
    Race {
        attack: "setup, config.toml is exchanged",
        at: "",
        prepare: "put /srv/config.toml config.toml",
        command: SETUP,
        target: "$E/config.toml",
        to: "/outside/file",
    },
    Race {
        attack: "alternatives/register, config.toml is exchanged",
        at: "",
        prepare: "put /srv/config.toml config.toml",
        command: REGISTER,
        target: "$E/config.toml",
        to: "/outside/file",
    },
    Race {
        attack: "setup, the whole tree is exchanged",
        at: "",
        prepare: "put /srv/config.toml config.toml",
        command: SETUP,
        target: "$E",
        to: "/outside/folder",
    },
    Race {
        attack: "setup --directories, the folder of all keys is exchanged",
        at: "keys",
        prepare: "chgrp root .",
        command: DIRECTORIES,
        target: "$E/keys",
        to: "/outside/folder",
    },
    Race {
        attack: "setup --directories, the folder of the domain's keys is exchanged",
        at: "keys",
        prepare: "chgrp root .",
        command: DIRECTORIES,
        target: "$E/keys/x.test",
        to: "/outside/folder/x.test",
    },
    Race {
        attack: "setup --directories, a key is exchanged",
        at: "keys",
        prepare: "chgrp root .",
        command: DIRECTORIES,
        target: "$E/keys/x.test/new.private",
        to: "/outside/file",
    },
    Race {
        attack: "rotate wipes a key, which is exchanged",
        at: "keys/x.test",
        prepare: REVOKED,
        command: ROTATE,
        target: "$E/keys/x.test/old.private",
        to: "/outside/file",
    },
    Race {
        attack: "rotate wipes a key, the folder of which is exchanged",
        at: "keys/x.test",
        prepare: REVOKED,
        command: ROTATE,
        target: "$E/keys/x.test",
        to: "/outside/folder/x.test",
    },
    Race {
        attack: "rotate makes a key, the folder of which is exchanged",
        at: "keys/x.test",
        prepare: "rm -f new.private; put /srv/pending rotation.toml; put /srv/key old.private",
        command: ROTATE,
        target: "$E/keys/x.test",
        to: "/outside/folder/x.test",
    },
    Race {
        attack: "rotate makes a key, the record of which is exchanged",
        at: "keys/x.test",
        prepare: "rm -f new.private; put /srv/record new.txt; put /srv/pending rotation.toml; put /srv/key old.private",
        command: ROTATE,
        target: "$E/keys/x.test/new.txt",
        to: "/outside/file",
    },
    Race {
        attack: "rotate begins, the state is exchanged",
        at: "keys/x.test",
        prepare: "put /srv/empty rotation.toml; rm -f *-2*",
        command: "dkimctl --etc $E rotate x.test --server 127.0.0.1",
        target: "$E/keys/x.test/rotation.toml",
        to: "/outside/state",
    },
    Race {
        attack: "import, the folder of the domain's keys is exchanged",
        at: "domains",
        prepare: "rm -f x.test.toml; sed s/SELECTOR/i$i/ /srv/opendkim.conf >/srv/opendkim.now",
        command: IMPORT,
        target: "$E/keys/x.test",
        to: "/outside/folder/x.test",
    },
    Race {
        attack: "import, the folder of domain files is exchanged",
        at: "domains",
        prepare: "rm -f x.test.toml; sed s/SELECTOR/i$i/ /srv/opendkim.conf >/srv/opendkim.now",
        command: IMPORT,
        target: "$E/domains",
        to: "/outside/folder",
    },
];

/// Who exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attacker {
    /// Owns the folder that holds what is exchanged, and is no more than a user.
    Owner,
    /// Root, in a folder of root's.
    Root,
}

/// A sandbox of its own, because no other test could use a tree that changes at the same time.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::own("writes");
    sandbox.root("useradd -u 3000 mallory");
    let program = Command::new("cc")
        .args(["-O1", "-o"])
        .arg(sandbox.path("/opt/swap"))
        .arg(project("tests/it/privilege/swap.c"))
        .output();
    stdout(&program.unwrap());
    sandbox.root("mkdir -p /opt/libexec /opt/fake /var/lib/alternatives");
    for name in ["register", "group.sh", "mta"] {
        let text = std::fs::read_to_string(project(&format!("alternatives/{name}"))).unwrap();
        sandbox.write(&format!("/opt/libexec/{name}"), &text);
    }
    sandbox.write("/opt/fake/alternatives", "#!/bin/sh\necho --initscript\n");
    let state = "auto\n/usr/sbin/sendmail\n\n/usr/sbin/sendmail.postfix\n60 postfix\n";
    sandbox.write("/var/lib/alternatives/mta", state);
    sandbox.root("chmod 755 /opt/libexec/register /opt/fake/alternatives");
    sandbox
}

/// What exchanges: it ends when its standard input does, and says how many times it has done so.
struct Swapper {
    child: Tied,
    stdout: BufReader<ChildStdout>,
}

fn swap(sandbox: &Sandbox, attacker: Attacker, etc: &str, race: &Race) -> Swapper {
    let target = race.target.replace("$E", etc);
    let who = if attacker == Attacker::Owner { "mallory" } else { "root" };
    let mut child = sandbox
        .command(who, "/opt/swap")
        .args([&target, race.to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    Swapper { child: Tied(child), stdout }
}

impl Swapper {
    fn stop(mut self) -> usize {
        drop(self.child.0.stdin.take());
        let count = std::io::read_to_string(self.stdout).unwrap();
        count.trim().parse().unwrap()
    }
}

/// Runs of one command, and how they ended.
fn tally(text: &str) -> BTreeMap<i32, usize> {
    let codes = text.lines().map(|line| line.parse::<i32>().unwrap());
    codes.fold(BTreeMap::new(), |mut tally, code| {
        *tally.entry(code).or_default() += 1;
        tally
    })
}

const RUNS: usize = 200;

/// Of those that are refused because of the owner, before anything is written.
const RUNS_REFUSED: usize = 50;

/// Of `register`, which takes 60 processes for the one call of dkimctl that writes.
const RUNS_OF_REGISTER: usize = 20;

/// How many sandboxes the races take place in, at the same time.
const SANDBOXES: usize = 3;

impl Race {
    fn run(&self, sandbox: &Sandbox, attacker: Attacker, etc: &str) -> String {
        sandbox.root(&TREE.replace("$E", etc));
        if attacker == Attacker::Owner {
            let target = self.target.replace("$E", etc);
            sandbox.root(&format!(
                "chmod o+x {etc}/keys {etc}/keys/x.test; chown mallory $(dirname {target})"
            ));
        }
        let before = sandbox.root(OUTSIDE);
        let name = format!("{} ({attacker:?})", self.attack);
        let is_refused = attacker == Attacker::Owner && self.target != "$E";
        let times = match self.command {
            REGISTER => RUNS_OF_REGISTER,
            _ if is_refused => RUNS_REFUSED,
            _ => RUNS,
        };
        let runs = format!(
            "cd {etc}/{}; {PUT} echo started; read -r _; for i in $(seq {times}); do {}\n\
             {} >/dev/null 2>>/tmp/said; echo $?; done",
            self.at,
            self.prepare,
            self.command.replace("$E", etc)
        );
        // In its folder first: the name of that will be a link's.
        let mut runner = sandbox
            .command("root", "/bin/sh")
            .args(["-c", &runs])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut started = BufReader::new(runner.stdout.take().unwrap());
        let mut line = String::new();
        started.read_line(&mut line).unwrap();
        assert_eq!(line, "started\n", "{name}");
        let swapper = swap(sandbox, attacker, etc, self);
        drop(runner.stdin.take());
        let codes = std::io::read_to_string(started).unwrap();
        let output = runner.wait_with_output().unwrap();
        let exchanges = swapper.stop();
        assert!(exchanges >= times, "{name}: only {exchanges} exchanges");
        let tally = tally(&codes);
        // One line of each kind.
        let said = sandbox.root("sort -u /tmp/said; rm -f /tmp/said");
        assert_eq!(tally.values().sum::<usize>(), times, "{name}: {output:?}");
        assert_eq!(sandbox.root(OUTSIDE), before, "{name}: {tally:?}\n{said}");
        // 78: import has done its work, and a step on the host is missing; 69: rotate has no answer of the DNS.
        let done = tally.iter().filter(|(code, _)| [0, 69, 78].contains(*code));
        let done: usize = done.map(|(_, count)| count).sum();
        if is_refused {
            assert_eq!(tally.get(&77), Some(&times), "{name}: {said}");
        } else {
            assert!(done > 0, "{name}: {tally:?}\n{said}");
        }
        format!(
            "nothing outside the tree was touched; {done} of {times} runs did their work, the others were refused"
        )
    }
}

#[test]
#[ignore = "needs root"]
fn what_is_exchanged_while_root_writes_leads_nowhere() {
    let attacks = Attacks::of(what_is_exchanged_while_root_writes_leads_nowhere);
    let run = |sandbox: &Sandbox, race: &Race| {
        // The script knows one tree.
        let etc = if race.command == REGISTER { "/etc/sendmail-dkim" } else { "/srv/store/etc" };
        let outcome = race.run(sandbox, Attacker::Owner, etc);
        attacks.row(&format!("{}, by who owns what holds it", race.attack), &outcome);
        // A link of root's in a folder of root's may lead to the tree.
        if race.target != "$E" {
            let outcome = race.run(sandbox, Attacker::Root, etc);
            attacks.row(&format!("{}, by root", race.attack), &outcome);
        }
    };
    // One after another they would take longer than all other tests.
    std::thread::scope(|scope| {
        for number in 0..SANDBOXES {
            scope.spawn(move || {
                let sandbox = sandbox();
                RACES.iter().skip(number).step_by(SANDBOXES).for_each(|race| run(&sandbox, race));
            });
        }
    });
}

/// What is planted before a command runs: a shell text with `$E`; the command; how it may end.
const PLANTED: &[(&str, &str, i32)] = &[
    ("ln -sfn /outside/file $E/config.toml", SETUP, 73),
    ("ln -sfn /outside/file $E/config.toml", "dkimctl --etc $E setup", 73),
    ("ln -sfn /outside/new $E/config.toml", "dkimctl --etc $E setup", 73),
    ("mkfifo $E/fifo; mv -f $E/fifo $E/config.toml", SETUP, 66),
    ("ln -s /outside/file $E/config.toml.new", SETUP, 0),
    ("ln -s /outside/file $E/config.toml.new", REGISTER, 0),
    ("ln -sfn /outside/file $E/config.toml", REGISTER, 77),
    ("rm -r $E/keys; ln -s /outside/folder $E/keys", GENKEY, 73),
    ("rm -r $E/keys/x.test; ln -s /outside/folder/x.test $E/keys/x.test", GENKEY, 73),
    ("rm -r $E/keys/x.test; ln -s /outside/no $E/keys/x.test", GENKEY, 73),
    (
        "rm -r $E/domains; ln -s /outside/folder $E/domains",
        "dkimctl --etc $E genkey -d y.test -s s --type ed25519",
        73,
    ),
    ("ln -s /outside/new $E/keys/x.test/s.private", "dkimctl --etc $E genkey -d x.test -s s", 73),
    ("ln -s /outside/new $E/keys/x.test/s.txt", "dkimctl --etc $E genkey -d x.test -s s", 73),
    // The domain file is not made: there is one, or so it looks.
    (
        "ln -s /outside/new $E/domains/y.test.toml",
        "dkimctl --etc $E genkey -d y.test -s s --type ed25519",
        0,
    ),
    ("rm -r $E/keys; ln -s /outside/folder $E/keys", DIRECTORIES, 73),
    (
        "chgrp root $E/keys; ln -s /outside/folder $E/keys/y.test; ln -s /outside/file $E/keys/x.test/y.txt",
        DIRECTORIES,
        0,
    ),
    ("rm $E/keys/x.test/old.private; ln -s /outside/file $E/keys/x.test/old.private", ROTATE, 0),
    ("ln -sf /outside/file $E/keys/x.test/rotation.toml", ROTATE, 73),
    (
        "rm $E/keys/x.test/rotation.toml; ln -s /outside/new $E/keys/x.test/rotation.toml",
        "dkimctl --etc $E rotate x.test",
        73,
    ),
    (
        "mv $E/domains/x.test.toml /srv/x.test.toml; ln -s /srv/x.test.toml $E/domains",
        "dkimctl --etc $E rotate x.test",
        73,
    ),
    (
        "rm $E/domains/x.test.toml; ln -s /outside/new $E/domains/x.test.toml",
        "sed s/SELECTOR/i/ /srv/opendkim.conf >/srv/opendkim.now; dkimctl --etc $E import /srv/opendkim.now",
        73,
    ),
    (
        "rm -r $E/keys/x.test; ln -s /outside/folder/x.test $E/keys/x.test; rm $E/domains/x.test.toml",
        "sed s/SELECTOR/i/ /srv/opendkim.conf >/srv/opendkim.now; dkimctl --etc $E import /srv/opendkim.now",
        73,
    ),
    // The names of drafts can be guessed.
    (
        "for pid in $(seq $$ $(($$ + 300))); do ln -s /outside/file $E/keys/x.test/.dkimctl.$pid.0.new; done",
        GENKEY,
        0,
    ),
];

#[test]
#[ignore = "needs root"]
fn what_is_planted_in_the_tree_is_not_written_through() {
    let sandbox = sandbox();
    let attacks = Attacks::of(what_is_planted_in_the_tree_is_not_written_through);
    for (plant, command, expected) in PLANTED {
        let etc = if *command == REGISTER { "/etc/sendmail-dkim" } else { "/srv/store/etc" };
        sandbox.root(&TREE.replace("$E", etc));
        let script = format!("E={etc}; i=1; {plant}; {OUTSIDE} >/srv/before; {command}");
        let output = sandbox.sh("root", &script, b"");
        let before = sandbox.root("cat /srv/before");
        assert_eq!(sandbox.root(OUTSIDE), before, "{plant}: {output:?}");
        assert_eq!(output.status.code(), Some(*expected), "{plant}: {command}: {output:?}");
        let said = stderr(&output);
        let said = said.lines().next().unwrap_or("done");
        let attack = format!(
            "{} before {}",
            plant.replace("$E/", ""),
            command.replace("--etc $E ", "").replace(REGISTER, "register")
        );
        attacks.row(&attack.replace("/outside", "OUTSIDE"), said);
    }
    // A second name of a file of root's: the name goes, and the file is left.
    sandbox.root(&TREE.replace("$E", "/srv/store/etc"));
    let script = format!(
        "E=/srv/store/etc; ln -f /outside/file $E/keys/x.test/old.private; {ROTATE} >/dev/null; \
         cat /outside/file; [ ! -e $E/keys/x.test/old.private ]"
    );
    assert_eq!(sandbox.root(&script), "sendmail = \"/nowhere\"\n");
    attacks.row(
        "a hard link instead of a key that rotate wipes",
        "the name is removed, the file is not overwritten",
    );
}

/// What of the tree another user has or may write, the command that would write there, and the commands that repair it.
const OF_OTHERS: &[(&str, &str)] = &[
    ("$E", GENKEY),
    ("$E", SETUP),
    ("$E", DIRECTORIES),
    ("$E", ROTATE),
    ("$E/keys", GENKEY),
    ("$E/keys", ROTATE),
    ("$E/keys/x.test", GENKEY),
    ("$E/keys/x.test", ROTATE),
    ("$E/domains", "rm -f $E/domains/*; dkimctl --etc $E genkey -d x.test -s s$i --type ed25519"),
    ("$E/config.toml", SETUP),
    ("$E/keys/x.test/old.private", ROTATE),
    ("$E/keys/x.test/rotation.toml", ROTATE),
    ("$E/domains/x.test.toml", "rm $E/keys/x.test/rotation.toml; dkimctl --etc $E rotate x.test"),
];

#[test]
#[ignore = "needs root"]
fn what_another_user_owns_or_may_write_is_refused_with_the_remedy() {
    let sandbox = sandbox();
    let attacks = Attacks::of(what_another_user_owns_or_may_write_is_refused_with_the_remedy);
    let etc = "/srv/store/etc";
    for (path, command) in OF_OTHERS {
        let path = path.replace("$E", etc);
        for (change, found) in [
            ("chown mallory", "owner mallory"),
            ("chmod g+w", "owner root, mode 0"),
            ("chmod o+w", "owner root, mode 0"),
        ] {
            sandbox.root(&TREE.replace("$E", etc));
            let listed = format!("find {etc} -printf '%p %u:%g %m %s %T@\\n' | sort");
            sandbox.root(&format!("{change} {path}"));
            let script = format!("E={etc}; i=1; {command}");
            let listing = sandbox.root(&listed);
            let output = sandbox.sh("root", &script, b"");
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(77), "{change} {path}: {output:?}");
            assert!(said.contains(&format!("{path:?}")) && said.contains(found), "{said}");
            // Commands that prepare have changed it.
            if !command.starts_with("rm ") {
                assert_eq!(sandbox.root(&listed), listing, "{change} {path}: {command}");
            }
            // What it says to do is enough.
            let (_, remedy) = said.trim().split_once("then run: ").unwrap();
            sandbox.root(remedy);
            let output = sandbox.sh("root", &script.replace("rm ", "rm -f "), b"");
            assert!(
                [0, 69].contains(&output.status.code().unwrap()),
                "{change} {path}: {output:?}"
            );
        }
        attacks.row(
            &format!(
                "{} is of another user, or another may write it; {}",
                path.replace(etc, "the tree"),
                command.replace("--etc $E ", "")
            ),
            "refused, with the commands that repair it",
        );
    }
}

#[test]
#[ignore = "needs root"]
fn an_ordinary_user_writes_to_a_tree_of_ones_own_and_to_no_other() {
    let sandbox = sandbox();
    sandbox.root("install -d -o alice -g alice /srv/alice; install -d -m 777 /srv/open; install -d -o mallory -m 777 /srv/mallory");
    let run = |args: &str| sandbox.sh("alice", &format!("dkimctl --etc {args}"), b"");
    let genkey = "genkey -d x.test -s s --type ed25519";
    stdout(&run(&format!("/srv/alice/etc {genkey}")));
    stdout(&run("/srv/alice/etc setup --sendmail /usr/sbin/sendmail.postfix"));
    let modes = sandbox
        .root("cd /srv/alice/etc; stat -c '%n %U %a' keys keys/x.test keys/x.test/* config.toml");
    assert_eq!(
        modes,
        "keys alice 700\nkeys/x.test alice 700\nkeys/x.test/s.private alice 600\nkeys/x.test/s.txt alice 644\nconfig.toml alice 644\n"
    );
    for etc in ["/srv/open", "/srv/open/etc", "/srv/mallory", "/srv/mallory/etc"] {
        let output = run(&format!("{etc} {genkey}"));
        assert_eq!(output.status.code(), Some(77), "{etc}: {output:?}");
    }
    // Root neither writes to hers.
    let output = sandbox.sh("root", "dkimctl --etc /srv/alice/etc genkey -d x.test -s t", b"");
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(stderr(&output).contains("chown root /srv/alice/etc"), "{output:?}");
}
