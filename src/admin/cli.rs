//! The command line of `dkimctl`: one table for each subcommand. From the tables come the parser, `--help`, the completions
//! and, in dkimctl(8), the synopsis and the options; a test compares them all.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use lexopt::{Arg, Parser};
use serde::Serialize;
use similar::get_close_matches;

use super::checks::finding::{Finding, numbered};
use super::input;
use super::output::{Failure, Text, printable_json, say};
use super::store::keys::selector;
use crate::dkim::{Domain, Selector};

/// The syntax of an option, such as `-d, --domain DOMAIN`, and its help text. `rsa|ed25519` means one of these words. An option
/// with a value is accepted once, one without a value any number of times. `--smtp[=off]` means an optional value.
#[derive(Debug)]
pub(super) struct Opt(pub(super) &'static str, pub(super) &'static str);

/// The options of `dkimctl` itself, before or after the subcommand.
pub(super) const COMMON: &[Opt] = &[
    Opt("--etc DIR", "configuration directory"),
    Opt("-h, --help", "print this help, or the help of a subcommand"),
    Opt("--json", "print the result as JSON"),
    Opt("-q, --quiet", "print only what is wrong"),
    Opt("-V, --version", "print the version"),
];

/// The last line of the help of each subcommand.
const COMMON_HELP: &str =
    "\nSee dkimctl --help for options of all subcommands, such as --json and --quiet.\n";

pub(super) const DOMAIN: Opt =
    Opt("-d, --domain DOMAIN", "another way to write the operand DOMAIN");
pub(super) const SELECTOR: Opt =
    Opt("-s, --selector SELECTOR", "another way to write the operand SELECTOR");
pub(super) const SELECTOR_ONLY: Opt =
    Opt("-s, --selector SELECTOR", "leave out all other selectors");
pub(super) const DRY_RUN: Opt = Opt("--dry-run", "print what would change, and change nothing");
pub(super) const SERVER: Opt =
    Opt("--server ADDR[:PORT]", "query this DNS server, not those in /etc/resolv.conf");

/// A subcommand.
pub(super) struct Subcommand {
    pub(super) options: &'static [Opt],
    /// Its `--help` without the options. The first paragraph is the synopsis: `[DOMAIN]` is one operand, `[DOMAIN...]` is any
    /// number, and what follows `[-- ` is for another program. The second says in one line what the subcommand does. The
    /// others are details; the last one has the exit codes.
    pub(super) help: &'static str,
    pub(super) run: fn(&Args) -> Result<ExitCode, Failure>,
}

/// The command line of a subcommand.
pub(super) struct Args {
    /// The configuration directory.
    pub(super) etc: PathBuf,
    pub(super) command: &'static Subcommand,
    options: Vec<(&'static str, OsString)>,
    pub(super) operands: Vec<OsString>,
    /// The arguments after `--`, if the subcommand accepts them.
    pub(super) rest: Vec<OsString>,
    /// Whether JSON was printed. There is only one document.
    is_printed: AtomicBool,
}

impl Opt {
    /// Its long name, such as `--domain`, and the placeholder of its value, empty if it has none.
    fn parts(&self) -> (&'static str, &'static str) {
        let long = self.0.find("--").and_then(|at| self.0.get(at..)).unwrap_or_default();
        let long = long.split("[=").next().unwrap_or(long);
        long.split_once(' ').unwrap_or((long, ""))
    }

    /// The optional value of the option.
    fn optional(&self) -> Option<&'static str> {
        self.0.strip_suffix(']')?.split_once("[=").map(|(_, value)| value)
    }
}

impl Subcommand {
    /// The first line of its `--help`, which is also printed after a usage error.
    pub(super) fn synopsis(&self) -> &'static str {
        self.help.lines().next().unwrap_or_default()
    }

    /// Its name; empty for `dkimctl` itself.
    pub(super) fn name(&self) -> &'static str {
        let word = self.synopsis().split(' ').nth(2);
        word.filter(|word| !word.starts_with('[')).unwrap_or_default()
    }

    /// Its operands, and the options that are required or exclude each other.
    fn usage(&self) -> &'static str {
        self.synopsis().split_once("[OPTION...]").unwrap_or_default().1.trim_start()
    }

    /// What it does, in one line.
    fn summary(&self) -> &'static str {
        self.help.lines().nth(2).unwrap_or_default().trim_end_matches('.')
    }

    /// Its `--help`, with a list of subcommands above the options.
    pub(super) fn help(&self, subcommands: &[Self]) -> String {
        let subcommands = subcommands.iter().map(|command| (command.name(), command.summary()));
        let options = self.options.iter().map(|Opt(spelled, help)| (*spelled, *help));
        let lists = [rows(subcommands), rows(options)].join("\n");
        let details = self.help.splitn(3, "\n\n").nth(2).unwrap_or_default();
        let (synopsis, summary) = (self.synopsis(), self.summary());
        let lists = match lists.trim_start_matches('\n') {
            "" => String::new(),
            lists => format!("{lists}\n"),
        };
        let common = if self.name().is_empty() { "" } else { COMMON_HELP };
        format!("{synopsis}\n\n{summary}.\n\n{lists}{details}{common}")
    }

    fn most_operands(&self) -> usize {
        let own = self.usage().split("[-- ").next().unwrap_or_default();
        if own.contains("...") {
            return usize::MAX;
        }
        let words: Vec<&str> = own.split([' ', '[', ']']).filter(|word| !word.is_empty()).collect();
        let is_operand = |at: usize, word: &str| {
            let before = at.checked_sub(1).and_then(|before| words.get(before));
            word.starts_with(char::is_uppercase)
                && !before.is_some_and(|word| word.starts_with('-'))
        };
        words.iter().enumerate().filter(|(at, word)| is_operand(*at, word)).count()
    }
}

/// Formats two columns. A left text that is too long gets a line of its own.
fn rows(rows: impl Iterator<Item = (&'static str, &'static str)> + Clone) -> String {
    let widths = rows.clone().map(|(left, _)| left.len());
    let width = widths.filter(|width| *width < 30).max().unwrap_or_default();
    let row = |(left, right): (&str, &str)| match left.len() > width {
        true => format!("  {left}\n  {:width$}  {right}\n", ""),
        false => format!("  {left:width$}  {right}\n"),
    };
    rows.map(row).collect()
}

impl Args {
    /// An empty command line.
    pub(super) fn new(command: &'static Subcommand, etc: PathBuf) -> Self {
        let (options, operands, rest) = Default::default();
        Self { etc, command, options, operands, rest, is_printed: AtomicBool::new(false) }
    }

    /// Reads the command line, up to `--help` or `--version`.
    pub(super) fn parse(
        &mut self,
        line: Vec<OsString>,
        commands: &'static [Subcommand],
    ) -> Result<(), Failure> {
        let mut parser = Parser::from_args(line);
        loop {
            // lexopt does not report the `--` before the arguments of sendmail.
            if self.command.usage().contains("[-- ")
                && let Some(mut raw) = parser.try_raw_args()
                && raw.next_if(|arg| arg == "--").is_some()
            {
                self.rest = raw.collect();
            }
            let word = match parser.next()? {
                None => return Ok(()),
                Some(Arg::Value(word)) => {
                    self.operand(word, commands)?;
                    continue;
                }
                Some(Arg::Long(name)) => format!("--{name}"),
                Some(Arg::Short(letter)) => format!("-{letter}"),
            };
            let options = self.command.options.iter().chain(COMMON);
            let is_meant = |option: &&Opt| option.0.split([',', ' ', '[']).any(|one| one == word);
            let Some(option) = options.clone().find(is_meant) else {
                return Err(unknown("option", &word, options.map(|option| option.parts().0)));
            };
            let (name, placeholder) = option.parts();
            let value = match option.optional() {
                Some(_) => parser.optional_value().unwrap_or_default(),
                None if placeholder.is_empty() => OsString::new(),
                None => parser.value()?,
            };
            if let Some(only) = option.optional().filter(|only| !value.is_empty() && value != *only)
            {
                return Err(Failure::usage(format_args!(
                    "{name}={value:?}: expected {name} or {name}={only}"
                )));
            }
            let mut words = placeholder.split('|');
            if placeholder.contains('|') && !words.any(|word| value == word) {
                let what = format!("{name} {value:?}: expected one of {placeholder}");
                return Err(Failure::usage(what));
            }
            match name {
                "--etc" => self.etc = value.into(),
                _ if !placeholder.is_empty() && self.has(name) => {
                    return Err(Failure::usage(format_args!("{name} is given twice")));
                }
                _ => self.options.push((name, value)),
            }
            if ["--help", "--version"].contains(&name) {
                return Ok(());
            }
        }
    }

    /// Handles a word that is not an option: the subcommand or an operand.
    fn operand(&mut self, word: OsString, commands: &'static [Subcommand]) -> Result<(), Failure> {
        let is_first = self.operands.is_empty() && self.options.is_empty();
        let is_top = self.command.name().is_empty();
        if is_top && word == "help" && !self.has("--help") {
            self.options.push(("--help", OsString::new()));
        } else if is_top || is_first && self.command.name() == "rotate" && word == "status" {
            let found = commands.iter().find(|command| word == command.name());
            let names = commands.iter().map(Subcommand::name).chain(["help"]);
            let word = word.to_string_lossy();
            self.command = found.ok_or_else(|| unknown("subcommand", &word, names))?;
        } else if self.operands.len() >= self.command.most_operands() {
            return Err(Failure::usage(format_args!("unexpected argument {word:?}")));
        } else {
            self.operands.push(word);
        }
        Ok(())
    }

    fn raw(&self, name: &str) -> Option<&OsStr> {
        let mut known = self.command.options.iter().chain(COMMON);
        debug_assert!(known.any(|option| option.parts().0 == name), "{name}");
        self.option(name)
    }

    /// Whether an option is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The value of an option that is a path.
    pub(super) fn path(&self, name: &str) -> Option<&Path> {
        self.raw(name).map(Path::new)
    }

    /// The value of an option as text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let not_text = || Failure::usage(format_args!("{name} {value:?}: not UTF-8 text"));
        value.to_str().map(Some).ok_or_else(not_text)
    }

    /// The value of an option as `parse` reads it.
    pub(super) fn value<T, E: Display>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let failed = |error| Failure::usage(format_args!("{name} {text:?}: {error}"));
        parse(text).map(Some).map_err(failed)
    }

    /// The first operand as a path.
    pub(super) fn file(&self) -> Option<&Path> {
        self.operands.first().map(Path::new)
    }

    /// The domains in all operands and in `--domain`. The operand `-` means domains on standard input, separated by whitespace;
    /// text after `#` is ignored.
    pub(super) fn domains(&self) -> Result<Vec<Domain>, Failure> {
        let mut domains = Vec::new();
        for operand in self.operands.iter().map(OsString::as_os_str).chain(self.option("--domain"))
        {
            if operand != "-" {
                domains.push(domain(&operand.to_string_lossy())?);
                continue;
            }
            let failed = |error| Failure::reading(Path::new("-"), &error);
            let bytes = input::stdin(input::FOREIGN).map_err(failed)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
            for word in lines.flat_map(str::split_whitespace) {
                domains.push(domain(word)?);
            }
        }
        Ok(domains)
    }

    /// The domain (the first operand, unless `--domain` is given) and the selectors (the other operands and `--selector`).
    pub(super) fn domain_and_selectors(&self) -> Result<(Domain, Vec<Selector>), Failure> {
        let mut operands = self.operands.iter().map(OsString::as_os_str);
        let named = self.option("--domain").or_else(|| operands.next());
        let named = named.ok_or_else(|| Failure::usage("no domain: use -d DOMAIN"))?;
        let domain = domain(&named.to_string_lossy())?;
        let parse = |text: &OsStr| {
            let text = text.to_string_lossy();
            let failed = |error| Failure::usage(format_args!("selector {text:?}: {error}"));
            selector(&text).map_err(failed)
        };
        let selectors = operands.chain(self.option("--selector")).map(parse);
        Ok((domain, selectors.collect::<Result<_, Failure>>()?))
    }

    /// The value of an option that not every subcommand has.
    fn option(&self, name: &str) -> Option<&OsStr> {
        self.options.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_os_str())
    }

    /// Whether only errors are printed.
    pub(super) fn is_quiet(&self) -> bool {
        self.has("--quiet")
    }

    /// Whether the result is printed as JSON.
    pub(super) fn is_json(&self) -> bool {
        self.has("--json")
    }

    /// Prints a result and the findings: as JSON with `--json`, only what is wrong with `--quiet`, else as text.
    pub(super) fn report(
        &self,
        result: &(impl Serialize + ?Sized),
        findings: &[Finding],
        text: impl Into<Text>,
    ) -> Result<ExitCode, Failure> {
        match () {
            () if self.is_json() => self.envelope(Some(result), findings),
            () if self.is_quiet() => say(numbered(findings.iter().filter(|one| one.is_wrong()))),
            () => say(text),
        }
    }

    /// Prints a failure as JSON, unless there is a result already.
    pub(super) fn fail(&self, failure: &Failure) -> Result<ExitCode, Failure> {
        self.envelope::<()>(None, &[failure.into()])
    }

    fn envelope<T: Serialize + ?Sized>(
        &self,
        result: Option<&T>,
        findings: &[Finding],
    ) -> Result<ExitCode, Failure> {
        if self.is_printed.swap(true, Ordering::Relaxed) {
            return Ok(ExitCode::SUCCESS);
        }
        let command = self.command.name();
        let envelope = Envelope { version: VERSION, command, result, findings };
        let text = serde_json::to_string_pretty(&envelope).map_err(Failure::software)?;
        say(format!("{}\n", printable_json(&text)))
    }
}

/// What `--json` prints, of every subcommand: docs/dkimctl.schema.json describes it.
#[derive(Serialize)]
struct Envelope<'a, R: ?Sized> {
    version: u8,
    /// The subcommand.
    command: &'a str,
    /// `None`: the command failed.
    result: Option<&'a R>,
    findings: &'a [Finding],
}

/// The version of the envelope: a number that changes when scripts have to.
const VERSION: u8 = 1;

/// The value of an option that is a number.
pub(super) fn number(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "expected a whole number")
}

fn domain(text: &str) -> Result<Domain, Failure> {
    Domain::parse(text).map_err(|error| Failure::usage(format_args!("domain {text:?}: {error}")))
}

fn unknown(what: &str, word: &str, known: impl Iterator<Item = &'static str>) -> Failure {
    let closest = get_close_matches(word, &known.collect::<Vec<_>>(), 1, 0.6);
    let meant = closest.first().map(|closest| format!("did you mean {closest}?"));
    let hint = meant.unwrap_or_else(|| "see --help".to_owned());
    Failure::usage(format_args!("unknown {what} {word:?}; {hint}"))
}

#[cfg(test)]
mod tests;
