use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::project;

mod imports;
mod words;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The text of a module without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap().to_owned()
}

#[test]
fn pure_modules_name_no_file_environment_process_or_clock() {
    let src = project("src");
    for path in sources(&src) {
        let place = path.strip_prefix(&src).unwrap().display().to_string();
        let pure = ["dkim", "message", "network", "argv", "config", "policy"];
        if !pure.iter().any(|module| place.starts_with(module)) {
            continue;
        }
        let text = code(&path);
        let words = [
            "std::fs",
            "std::env",
            "std::process",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "ToSocketAddrs",
            " nix::",
            "SystemTime",
            "std::io",
            "println!",
        ];
        for word in words {
            let named = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let found: Vec<_> = named.filter(|line| line.contains(word)).collect();
            assert!(found.is_empty(), "{place} names {word}: {found:?}");
        }
    }
}

/// The lines of a source with the word in the code itself.
fn lines_with(text: &str, word: &str) -> Vec<usize> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.enumerate().filter(|(_, line)| line.contains(word)).map(|(number, _)| number).collect()
}

#[test]
fn unsafe_code_is_in_two_places_and_forbidden_wherever_it_can_be() {
    let src = project("src");
    let mut places = Vec::new();
    for path in sources(&src) {
        let place = path.strip_prefix(&src).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let forbids = lines_with(&text, "#![forbid(unsafe_code)]").len() == 1;
        let is_top = place.split('/').nth(1).is_none_or(|rest| rest == "mod.rs");
        let above = ["lib.rs", "wrapper/mod.rs"].contains(&place.as_str());
        assert!(!is_top || above || forbids, "{place} does not forbid unsafe code");
        let blocks = lines_with(&text, "unsafe {");
        if blocks.is_empty() {
            assert_eq!(lines_with(&text, "unsafe").len(), usize::from(forbids), "{place}");
            continue;
        }
        assert_eq!(blocks.len(), 1, "{place}");
        let before: Vec<&str> = text.lines().take(blocks[0]).collect();
        let comment = before.iter().rev().take_while(|line| line.trim_start().starts_with("//"));
        assert!(comment.last().unwrap().contains("// SAFETY: "), "{place}");
        assert_eq!(lines_with(&text, "expect(unsafe_code, reason = ").len(), 1, "{place}");
        places.push(place);
    }
    places.sort();
    assert_eq!(places, ["bin/sendmail-dkim.rs", "wrapper/signer.rs"]);
    let manifest = fs::read_to_string(project("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
}

#[test]
fn dkimctl_reads_domain_files_in_one_place() {
    let admin = project("src/admin");
    let calls = |call: &str| {
        let callers = sources(&admin).into_iter().filter(|path| code(path).contains(call));
        let callers = callers.map(|path| path.strip_prefix(&admin).unwrap().display().to_string());
        callers.collect::<BTreeSet<_>>()
    };
    assert_eq!(calls("DomainFile::parse("), BTreeSet::from(["store/domains.rs".to_owned()]));
    // `setup` looks at what it is about to write.
    let hosts = ["store/domains.rs", "setup/editing.rs"].map(str::to_owned);
    assert_eq!(calls("Host::parse("), BTreeSet::from(hosts));
}

#[test]
fn dkimctl_reads_and_writes_files_in_one_place_each() {
    let admin = project("src/admin");
    let reads = ["fs::read(", "read_to_string(", "File::open(", "OpenOptions"];
    let writes = [
        "fs::write(",
        "fs::copy(",
        "fs::rename(",
        "fs::remove",
        "fs::hard_link(",
        "set_permissions(",
        "chown(",
        "symlink(",
        "create_dir",
        "DirBuilder",
        "File::create",
        "unlink(",
        "renameat(",
        "mkdirat(",
    ];
    for path in sources(&admin) {
        let place = path.strip_prefix(&admin).unwrap().display().to_string();
        if place.contains("/tests") {
            continue;
        }
        let text = code(&path);
        let names = |words: &[&str]| {
            let found = words.iter().filter(|word| text.contains(**word));
            found.map(|word| (*word).to_owned()).collect::<Vec<_>>()
        };
        // `try` and `setup --smtp` write to a temporary folder; where `postfix check` finds a mistake, the latter writes main.cf
        // and master.cf as they were.
        if place != "input.rs" {
            assert_eq!(names(&reads), [""; 0], "{place}");
        }
        let others = ["trial.rs", "setup/smtp.rs", "temporary.rs"];
        if !place.starts_with("store") && !others.contains(&&*place) {
            assert_eq!(names(&writes), [""; 0], "{place}");
        }
    }
    // Nor does a script write to the tree by itself.
    for script in ["alternatives/register", "alternatives/unregister", "packaging/deb/postinst"] {
        let text = fs::read_to_string(project(script)).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let is_tree = line.contains("/etc/sendmail-dkim") || line.contains("$etc");
            let only_looks = ["dkimctl", "etc=", "[ -e ", "echo ", "grep "];
            assert!(
                !is_tree || only_looks.iter().any(|word| line.contains(word)),
                "{script}: {line}"
            );
        }
    }
}

/// The names right below `prefix` in the paths of a text, those of groups too.
#[expect(clippy::string_slice, reason = "the places are those of ASCII characters")]
fn names_below(text: &str, prefix: &str) -> Vec<String> {
    let text: String = text.split_whitespace().collect();
    let first = |path: &str| {
        let mut words = path.split(|char: char| !char.is_alphanumeric() && char != '_');
        words.next().unwrap().to_owned()
    };
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let rest = &text[at + prefix.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.push(first(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, char) in group.char_indices() {
            match char {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                '}' => {
                    names.push(first(&group[start..at]));
                    break;
                }
                ',' if depth == 0 => {
                    names.push(first(&group[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn what_subcommands_share_is_below_them() {
    assert_eq!(
        names_below("use super::{a::b, c::{d, e},\n f}; use super::g::{h};", "super::"),
        ["a", "c", "f", "g"]
    );
    let admin = project("src/admin");
    let place = |path: &Path| path.strip_prefix(&admin).unwrap().display().to_string();
    let module = |path: &Path| place(path).split(['/', '.']).next().unwrap().to_owned();
    let files = sources(&admin);
    let offers = files.iter().filter(|path| code(path).contains("pub(super) fn run(args: &Args)"));
    let commands: BTreeSet<String> = offers.map(|path| module(path)).collect();
    assert_eq!(commands.len(), subcommands().len(), "{commands:?}");
    // The table of subcommands; and what shows their pure parts to the fuzz targets, which no other code uses.
    let is_above = |place: String| ["mod.rs", "fuzzing.rs"].contains(&place.as_str());
    for path in files.iter().filter(|path| !is_above(place(path))) {
        assert!(!code(path).contains("fuzzing::"), "{}", place(path));
        let depth = place(path).trim_end_matches("/mod.rs").matches('/').count() + 1;
        let code = code(path);
        let mut names = names_below(&code, "crate::admin::");
        names.extend(names_below(&code, &"super::".repeat(depth)));
        names.retain(|name| commands.contains(name) && *name != module(path));
        assert!(names.is_empty(), "{} imports {names:?}", place(path));
    }
}

#[test]
fn dependencies_point_downward() {
    let order = ["dkim", "message", "network", "argv", "config", "policy"];
    for path in sources(&project("src")) {
        let place = path.strip_prefix(project("src")).unwrap().display().to_string();
        for (index, module) in order.iter().enumerate() {
            if !place.starts_with(module) {
                continue;
            }
            // argv's one type for what a lone dot is serves the reader.
            for above in order.iter().skip(index + 1).filter(|above| **above != "argv") {
                assert!(!code(&path).contains(&format!("crate::{above}")), "{place} uses {above}");
            }
            for impure in ["wrapper", "admin", "submission", "report"] {
                assert!(
                    !code(&path).contains(&format!("crate::{impure}")),
                    "{place} uses {impure}"
                );
            }
        }
    }
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    for path in sources(&project("src")) {
        let lines = code(&path).lines().count();
        assert!(lines <= 400, "{path:?} has {lines} lines before its tests");
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !["util", "utils", "common", "helpers", "misc"].contains(&name.as_str()),
            "{path:?}"
        );
    }
}

/// The keys that the code knows, read from the struct that serde fills.
fn config_keys() -> Vec<String> {
    let text = fs::read_to_string(project("src/config/keys.rs")).unwrap();
    let body =
        text.split("struct Values {").nth(1).unwrap().split("\n}").next().unwrap().to_owned();
    let name = |line: &str| Some(line.split_once(": ")?.0.rsplit(' ').next()?.to_owned());
    body.lines().filter_map(name).collect()
}

#[test]
fn the_manual_page_and_the_example_name_every_key() {
    let manual = fs::read_to_string(project("packaging/man/sendmail-dkim.toml.5")).unwrap();
    let example = fs::read_to_string(project("packaging/etc/config.toml")).unwrap();
    let keys = config_keys();
    assert!(keys.len() > 15, "{keys:?}");
    for key in &keys {
        assert!(manual.contains(&format!(".It Cm {key}")), "the manual page lacks {key}");
    }
    for line in manual.lines().filter_map(|line| line.strip_prefix(".It Cm ")) {
        let known = keys.iter().any(|key| key == line.split(' ').next().unwrap())
            || line.starts_with("from");
        assert!(known, "the manual page has {line}, the code has not");
    }
    let host = [
        "sendmail",
        "origin",
        "append_dot_domain",
        "undisclosed_recipients_header",
        "message_size_limit",
        "lone_dot",
        "log_success",
        "log_destination",
        "publish",
        "nsupdate_key",
        "nsupdate_server",
        "filter_user",
        "on_error",
        "canonicalization",
        "minimum_key_bits",
        "headers",
        "oversign",
        "expire",
        "seven_bit",
        "also_sign_as",
        "strict_selectors",
        "sign_forwarded",
        "smtp",
    ];
    for key in host {
        assert!(example.contains(&format!("{key} = ")), "the example lacks {key}");
    }
    // All that the example has commented out is right, too.
    let all = example.replace("\n#", "\n");
    let values: String = all
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with(' ') && !line.contains("  "))
        .map(|line| format!("{line}\n"))
        .collect();
    sendmail_dkim::config::Host::parse(&values).unwrap_or_else(|error| panic!("{error}\n{values}"));
}

/// What `dkimctl` or a subcommand of it says of itself.
fn help(words: &[&str]) -> String {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_dkimctl"))
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    String::from_utf8(help.stdout).unwrap()
}

/// The options that a text names.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '-');
    let options = words.filter_map(|word| word.strip_prefix("--"));
    options.filter(|option| !option.is_empty()).map(str::to_owned).collect()
}

fn subcommands() -> Vec<String> {
    let help = help(&[]);
    let rows = help.lines().filter_map(|line| line.strip_prefix("  "));
    let names = rows.filter(|row| row.starts_with(|char: char| char.is_ascii_lowercase()));
    names.map(|row| row.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn the_manual_page_has_each_subcommand_with_its_options_and_no_other() {
    let manual = fs::read_to_string(project("packaging/man/dkimctl.8")).unwrap();
    let sections: BTreeMap<&str, &str> =
        manual.split("\n.S").filter_map(|part| part.strip_prefix("s ")?.split_once('\n')).collect();
    let names = subcommands();
    assert!(names.len() > 10, "{names:?}");
    assert_eq!(
        sections.keys().copied().collect::<BTreeSet<_>>(),
        names.iter().map(String::as_str).collect()
    );
    let named = |text: &str| -> BTreeSet<String> {
        let parts = text.split("Fl -").skip(1).map(|part| part.split([' ', '\n']).next().unwrap());
        // `--` itself is before what belongs to another program.
        parts.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let (common, _) = manual.split_once("\n.Ss ").unwrap();
    let common = named(common);
    for name in &names {
        let help: BTreeSet<String> = options(&help(&[name])).difference(&common).cloned().collect();
        // Each option is in the synopsis of its own subcommand and is explained there, and no other is.
        let section = sections[name.as_str()];
        let (synopsis, text) = section.split_once("\n.Pp\n").unwrap();
        let items: Vec<_> = text.lines().filter(|line| line.starts_with(".It Fl ")).collect();
        assert!(named(synopsis).is_subset(&help), "the synopsis of {name}: {synopsis}");
        let letters: String = synopsis
            .split("Fl ")
            .skip(1)
            .filter_map(|part| part.split([' ', '\n']).next())
            .filter(|word| !word.starts_with('-'))
            .collect();
        for item in &items {
            let letter = item.strip_prefix(".It Fl ").unwrap().split(' ').next().unwrap();
            let is_there = !named(synopsis).is_disjoint(&named(item))
                || letter.len() == 1 && letters.contains(letter);
            assert!(is_there, "the synopsis of {name} lacks {item}");
        }
        assert_eq!(named(&items.join("\n")), help, "the options of {name}");
    }
}

#[test]
fn completions_have_every_subcommand() {
    for shell in ["_dkimctl", "dkimctl.bash", "dkimctl.fish"] {
        let text = fs::read_to_string(project(&format!("packaging/completions/{shell}"))).unwrap();
        // They ask the program itself, or name each.
        let asks = text.contains("--help");
        for name in subcommands() {
            assert!(asks || text.contains(&name), "{shell} lacks {name}");
        }
    }
}

#[test]
fn each_command_that_a_readme_shows_exists() {
    let makefile = fs::read_to_string(project("Makefile")).unwrap();
    let targets = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).unwrap();
    let targets: Vec<&str> = targets.split(' ').collect();
    let names = subcommands();
    for readme in ["README.md", "README.ja.md"] {
        let text = fs::read_to_string(project(readme)).unwrap();
        // Blocks of commands, and what is between backquotes.
        let blocks = text.lines().filter_map(|line| line.strip_prefix("    "));
        let blocks = blocks.map(|line| line.split('#').next().unwrap());
        let quoted = text.lines().filter(|line| !line.starts_with("    "));
        let quoted = quoted.flat_map(|line| line.split('`').skip(1).step_by(2));
        let mut seen = BTreeSet::new();
        for command in blocks.chain(quoted).flat_map(|line| line.split("&&")) {
            let command = command.trim().trim_start_matches("sudo ");
            let mut words = command.split_whitespace();
            let first = words.next();
            let words: Vec<&str> = words.collect();
            match (first, words.first()) {
                (Some("dkimctl"), Some(name)) => {
                    assert!(names.iter().any(|known| known == name), "{readme}: {command}");
                    let help = options(&help(&[name]));
                    for option in options(command) {
                        assert!(help.contains(&option), "{readme}: {command}: --{option}");
                    }
                    seen.insert((*name).to_owned());
                }
                (Some("make"), Some(target)) => {
                    assert!(targets.contains(target), "{readme}: {command}");
                }
                _ => {}
            }
        }
        // `try` is behind `make try`.
        let missing: Vec<_> =
            names.iter().filter(|name| !seen.contains(*name) && *name != "try").collect();
        assert!(missing.is_empty(), "{readme} does not show {missing:?}");
    }
}

#[test]
fn without_a_readable_configuration_the_real_sendmail_is_found() {
    let code = fs::read_to_string(project("src/wrapper/handoff.rs")).unwrap();
    let usual = code.split("const USUAL").nth(1).unwrap().split(';').nth(1).unwrap();
    let table = fs::read_to_string(project("alternatives/mta")).unwrap();
    // Where Postfix puts its own, and where `register` and the package put Debian's.
    let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let places = words.filter_map(|words| match words.as_slice() {
        ["real", path] if path.ends_with(".postfix") => Some((*path).to_owned()),
        ["debian", "real", path] => Some((*path).to_owned()),
        _ => None,
    });
    let places: Vec<String> = places.collect();
    assert_eq!(places.len(), 3, "{places:?}");
    for place in places {
        assert!(usual.contains(&format!("\"{place}\"")), "{place}");
    }
}

#[test]
fn the_manual_says_what_to_do_about_each_reason_in_the_log() {
    let manual = fs::read_to_string(project("packaging/man/sendmail.dkim.8")).unwrap();
    let items = manual.lines().filter_map(|line| line.strip_prefix(".It Li \""));
    let items: Vec<&str> = items.map(|item| item.trim_end_matches('"')).collect();
    for (path, name) in [
        ("src/policy.rs", "Reason"),
        ("src/message/author.rs", "NoAuthor"),
        ("src/message/session.rs", "NotFollowed"),
    ] {
        let code = fs::read_to_string(project(path)).unwrap();
        let display = code.split(&format!("impl fmt::Display for {name} {{")).nth(1).unwrap();
        let texts = display.split("\n}\n").next().unwrap().split('"').skip(1).step_by(2);
        // What has a hole in it is another one's text.
        let texts: Vec<&str> = texts.filter(|text| !text.contains('{')).collect();
        assert!(texts.len() > 4, "{name}: {texts:?}");
        for text in &texts {
            let is_listed = items.iter().any(|item| text.starts_with(item));
            assert!(is_listed, "sendmail.dkim(8) lacks {text:?}: src/admin/remedies.rs");
        }
    }
}

/// The commands in the blocks of a page, without remarks.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(project(page)).unwrap();
    let blocks = text.lines().filter_map(|line| line.strip_prefix("    "));
    let commands = blocks.map(|line| line.split('#').next().unwrap().trim().to_owned());
    commands.filter(|command| command.is_ascii() && !command.is_empty()).collect()
}

#[test]
fn both_readmes_show_the_same_commands() {
    let english = commands("README.md");
    assert!(english.len() > 20, "{english:?}");
    assert_eq!(english, commands("README.ja.md"));
}

/// The documents in Markdown that people read.
fn documents() -> Vec<PathBuf> {
    let folders = [project("."), project("docs")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn each_link_of_a_document_leads_to_a_file_or_a_heading() {
    let mut count = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let anchor = |line: &str| {
            let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words.replace(|char: char| !char.is_alphanumeric() && char != '-', "")
        };
        let anchors: BTreeSet<String> = headings.map(anchor).collect();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_there = match link.strip_prefix('#') {
                Some(anchor) => anchors.contains(anchor),
                None => link.contains("://") || path.with_file_name(link).exists(),
            };
            assert!(is_there, "{}: {link}", path.display());
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn the_readmes_compare_by_the_figures_of_the_documents() {
    let performance = fs::read_to_string(project("docs/performance.md")).unwrap();
    let name = "| added CPU, small message, RSA-2048, milter on a Unix socket | ";
    let row = performance.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let figures = row.split(" | ").take(2).map(|cell| cell.split(' ').next().unwrap());
    let figures: Vec<String> =
        figures.map(|figure| format!("{:.1} ms", figure.parse::<f64>().unwrap())).collect();
    let cost = format!(" | {} | {} | ", figures[1], figures[0]);
    // What verifies after a server without 8BITMIME, of how many.
    let survival = fs::read_to_string(project("docs/survival.md")).unwrap();
    let verified = |signer: &str| {
        let mut rows = survival.lines().skip_while(|line| !line.starts_with(signer));
        let row = rows.find(|line| line.starts_with("| | without |")).unwrap();
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        [cells[3].clone(), cells[5].clone()]
    };
    let signers =
        [("| sendmail.dkim, `-i`", 2), ("| OpenDKIM milter", 3), ("| plain pre-signing", 6)];
    for readme in ["README.md", "README.ja.md"] {
        let text = fs::read_to_string(project(readme)).unwrap();
        assert!(text.contains(&cost), "{readme} lacks {cost}");
        let mut rows = text.lines().filter(|line| line.starts_with('|'));
        let cells: Vec<&str> =
            rows.find(|row| row.contains("8BITMIME")).unwrap().split('|').collect();
        for (signer, column) in signers {
            for figure in verified(signer) {
                assert!(cells[column].contains(&figure), "{readme}: {signer}: {figure}");
            }
        }
    }
}

#[test]
fn the_readme_names_what_there_is() {
    let readme = fs::read_to_string(project("README.md")).unwrap();
    for text in [
        "make try",
        "make test",
        "make callers",
        "dkimctl genkey",
        "/etc/sendmail-dkim",
        "CHANGELOG.md",
        "tests/survive/run",
    ] {
        assert!(readme.contains(text), "{text}");
    }
    let changelog = fs::read_to_string(project("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn each_path_that_architecture_names_exists() {
    let text = fs::read_to_string(project("ARCHITECTURE.md")).unwrap();
    let quoted = text.split('`').skip(1).step_by(2).filter(|word| !word.contains(' '));
    let in_folders = |word: &str| {
        ["src/", "tests/", "docs/", "packaging/"].iter().any(|folder| word.starts_with(folder))
    };
    let paths: Vec<&str> = quoted.filter(|word| in_folders(word)).collect();
    assert!(paths.len() > 40, "{paths:?}");
    for path in paths {
        let module = project(&format!("{path}.rs"));
        assert!(project(path).exists() || module.exists(), "ARCHITECTURE.md names {path}");
    }
}
