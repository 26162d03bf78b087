//! The tables against what is made of them. `UPDATE_EXPECT=1 cargo test --lib admin::cli` writes the completions and the
//! synopses of the manual page.

use std::fs;
use std::path::PathBuf;

use super::super::{DKIMCTL, SUBCOMMANDS};
use super::*;

mod completions;
mod manual;

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a file with what it should be, or writes it.
fn assert_file(path: &str, expected: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test")]
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    if update {
        fs::write(project(path), expected).unwrap();
    }
    let found = fs::read_to_string(project(path)).unwrap_or_default();
    assert!(
        found == expected,
        "{path} differs from the tables: UPDATE_EXPECT=1 writes it; expected:\n{expected}"
    );
}

/// The letter of an option.
fn letter(option: &Opt) -> Option<char> {
    option.0.strip_prefix('-')?.chars().next().filter(|letter| *letter != '-')
}

/// What completes a value or an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    Directory,
    File,
    Domain,
    /// A selector of the domain that precedes it.
    Selector,
    /// A domain, and its selectors after it.
    DomainAndSelectors,
    User,
    Words(&'static str),
}

impl Kind {
    fn of(placeholder: &'static str) -> Self {
        match placeholder {
            "DIR" => Self::Directory,
            "FILE" => Self::File,
            "DOMAIN" => Self::Domain,
            "SELECTOR" => Self::Selector,
            "USER" => Self::User,
            words if words.contains('|') => Self::Words(words),
            _ => Self::Nothing,
        }
    }

    fn of_operands(command: &Subcommand) -> Self {
        match (command.most_operands(), command.usage().contains("DOMAIN")) {
            (0, _) => Self::Nothing,
            (2.., true) if command.usage().contains("SELECTOR") => Self::DomainAndSelectors,
            (_, true) => Self::Domain,
            (_, false) => Self::File,
        }
    }
}

fn parse(line: &[&str]) -> Result<Args, String> {
    let mut args = Args::new(DKIMCTL, "/etc/sendmail-dkim".into());
    let line = line.iter().map(|word| (*word).into()).collect();
    args.parse(line, SUBCOMMANDS).map(|()| args).map_err(|failure| failure.to_string())
}

fn error(line: &[&str]) -> String {
    parse(line).err().unwrap_or_else(|| panic!("{line:?} is accepted"))
}

#[test]
fn every_option_is_one_line_in_the_help() {
    for command in SUBCOMMANDS.iter().chain([DKIMCTL]) {
        for option in command.options {
            let Opt(spelled, help) = option;
            let (name, placeholder) = option.parts();
            let letter = letter(option).map_or_else(String::new, |letter| format!("-{letter}, "));
            let value = if placeholder.is_empty() { "" } else { " " };
            let optional =
                option.optional().map_or_else(String::new, |value| format!("[={value}]"));
            assert_eq!(*spelled, format!("{letter}{name}{value}{placeholder}{optional}"));
            assert!(!name.is_empty() && !help.is_empty() && !help.ends_with('.'), "{spelled}");
        }
        let help = command.help(&[]);
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{}: {line}", command.name());
        }
        let summary = command.summary();
        assert!(help.contains(&format!("\n\n{summary}.\n\n")), "{help}");
    }
    let names: Vec<_> = SUBCOMMANDS.iter().map(Subcommand::name).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn options_of_dkimctl_may_precede_or_follow_the_subcommand() {
    for line in [["--etc", "/x", "status"], ["status", "--etc", "/x"]] {
        assert_eq!(parse(&line).unwrap().etc, Path::new("/x"));
    }
    assert_eq!(parse(&["status", "--etc=/x"]).unwrap().etc, Path::new("/x"));
    for line in [&["--help"][..], &["-h"], &["status", "-h"], &["genkey", "--help"]] {
        assert!(parse(line).unwrap().has("--help"), "{line:?}");
    }
    // In genkey the letter means the hash algorithms, as in opendkim-genkey.
    let args = parse(&["genkey", "-h", "sha256"]).unwrap();
    assert_eq!(args.text("--hash-algorithms").unwrap(), Some("sha256"));
    assert!(parse(&["-V"]).unwrap().has("--version"));
}

#[test]
fn what_most_subcommands_have_may_precede_any_of_them() {
    let args = parse(&["--json", "-q", "--etc", "/x", "status", "a.test", "-d", "b.test"]).unwrap();
    assert!(args.has("--json") && args.is_quiet());
    let domains: Vec<_> = args.domains().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(domains, ["a.test", "b.test"]);
    for line in [["help", "status"], ["status", "--help"]] {
        let args = parse(&line).unwrap();
        assert!(args.has("--help") && args.command.name() == "status");
    }
    assert!(parse(&["help"]).unwrap().command.name().is_empty());
}

#[test]
fn a_domain_and_its_selectors_are_operands_or_options() {
    for line in [
        &["use", "x.test", "a", "b"][..],
        &["use", "-d", "x.test", "a", "-s", "b"],
        &["use", "-s", "b", "x.test", "a"],
    ] {
        let (domain, selectors) = parse(line).unwrap().domain_and_selectors().unwrap();
        let selectors: Vec<_> = selectors.iter().map(Selector::as_str).collect();
        assert_eq!((domain.as_str(), selectors.as_slice()), ("x.test", &["a", "b"][..]));
    }
    assert_eq!(error(&["genkey", "x.test", "a", "b"]), "unexpected argument \"b\"");
}

#[test]
fn letters_and_values_are_written_in_any_of_the_usual_ways() {
    for line in [
        &["genkey", "-rtb", "2048"][..],
        &["genkey", "-rt", "-b2048"],
        &["genkey", "--bits=2048", "--testmode", "--restrict"],
    ] {
        let args = parse(line).unwrap();
        assert_eq!(args.value("--bits", number).unwrap(), Some(2048), "{line:?}");
        assert!(
            args.has("--restrict") && args.has("--testmode") && !args.has("--json"),
            "{line:?}"
        );
    }
}

#[test]
fn each_error_names_the_option() {
    for (line, expected) in [
        (&["status", "--jsn"][..], "unknown option \"--jsn\"; did you mean --json?"),
        (&["status", "-x"], "unknown option \"-x\"; see --help"),
        (&["--jsn", "status"], "unknown option \"--jsn\"; did you mean --json?"),
        (&["help", "stauts"], "unknown subcommand \"stauts\"; did you mean status?"),
        (&["hlep"], "unknown subcommand \"hlep\"; did you mean help?"),
        (&["stauts"], "unknown subcommand \"stauts\"; did you mean status?"),
        (&["nothing"], "unknown subcommand \"nothing\"; see --help"),
        (&["verify", "--keys"], "missing argument for option '--keys'"),
        (&["status", "--json=x"], "unexpected argument for option '--json': \"x\""),
        (&["verify", "--keys", "a", "--keys", "b"], "--keys is given twice"),
        (&["verify", "a", "b"], "unexpected argument \"b\""),
        (&["doctor", "a"], "unexpected argument \"a\""),
        (&["genkey", "--type", "dsa"], "--type \"dsa\": expected one of rsa|ed25519"),
    ] {
        assert_eq!(error(line), expected);
    }
    let args = parse(&["record", "--ttl", "long", "x.test", "b/d"]).unwrap();
    let ttl = args.value("--ttl", number).unwrap_err();
    assert_eq!(ttl.to_string(), "--ttl \"long\": expected a whole number");
    let domain = args.domains().unwrap_err().to_string();
    assert!(domain.starts_with("domain \"b/d\": "), "{domain}");
    assert!(parse(&["genkey", "-v", "-v"]).is_ok());
}

#[test]
fn two_hyphens_precede_operands_or_the_arguments_of_sendmail() {
    let args = parse(&["explain", "--json", "file", "--", "-f", "--json", "--", "x"]).unwrap();
    assert_eq!(
        (&*args.operands, &*args.rest),
        (&["file".into()][..], &["-f", "--json", "--", "x"].map(OsString::from)[..])
    );
    assert_eq!(parse(&["verify", "--", "--json"]).unwrap().file(), Some(Path::new("--json")));
}

#[test]
fn rotate_status_is_status() {
    let args = parse(&["--etc", "/x", "rotate", "status", "--json", "x.test"]).unwrap();
    assert_eq!((args.command.name(), args.operands.len()), ("status", 1));
    assert_eq!(error(&["rotate", "status", "--all"]), "unknown option \"--all\"; see --help");
    assert_eq!(parse(&["rotate", "x.test", "status"]).unwrap().command.name(), "rotate");
}
