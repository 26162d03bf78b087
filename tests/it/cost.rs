//! What an input costs: the instructions for four times as much of it, and the memory for 100 MB.

#[path = "../cost/generators.rs"]
mod generators;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Stage, assert_root, project, stdout};
use generators::{ALL, Generator, Kind};

/// Four times the input may cost so much more, in percent.
const MOST_PERCENT: u64 = 500;

/// The resident memory of the wrapper for any input, in KiB.
const MOST_MEMORY: u64 = 8 << 10;

/// Bytes of input for the second part.
const MUCH: usize = 100 << 20;

/// A row of the table.
struct Row {
    name: &'static str,
    /// n, in bytes.
    size: usize,
    /// For n and 4n, without what no unit at all costs.
    instructions: [u64; 2],
    peak: Option<u64>,
}

impl Row {
    /// How many percent of n the 4n cost.
    fn ratio(&self) -> u64 {
        let [one, four] = self.instructions;
        four * 100 / one.max(1)
    }

    fn is_right(&self) -> bool {
        self.ratio() <= MOST_PERCENT && self.peak.is_none_or(|peak| peak <= MOST_MEMORY)
    }
}

#[test]
#[ignore = "needs root, or valgrind"]
fn instructions_grow_as_the_input_does_and_memory_does_not() {
    if !has_valgrind() {
        assert_root("cost");
    }
    let counted = stdout(&Command::new(project("tests/cost/count")).output().unwrap());
    let mut lines = counted.lines();
    let meter = Meter::new();
    let mut rows = Vec::new();
    for generator in ALL {
        let (name, numbers) = lines.next().unwrap().split_once('\t').unwrap();
        assert_eq!(name, generator.name);
        let numbers: Vec<u64> = numbers.split('\t').map(|number| number.parse().unwrap()).collect();
        let [none, one, four] = numbers[..] else { panic!("{name}: {numbers:?}") };
        let instructions = [one, four].map(|count| count.saturating_sub(none));
        let Generator { name, size, .. } = *generator;
        rows.push(Row { name, size, instructions, peak: meter.peak(generator) });
    }
    let table = table(&rows);
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cost.md"), &table).unwrap();
    let wrong: Vec<_> = rows.into_iter().filter(|row| !row.is_right()).collect();
    assert!(rows_are_many() && wrong.is_empty(), "{}", self::table(&wrong));
}

/// The promise is for any input: a table of few shows little.
fn rows_are_many() -> bool {
    ALL.len() >= 60
}

fn has_valgrind() -> bool {
    Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_ok()
}

fn table(rows: &[Row]) -> String {
    let mut table = "| input | n, bytes | instructions | of 4n | ratio | memory at 100 MB, KiB |\n\
        |---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let [one, four] = row.instructions;
        let ratio = format!("{}.{:02}", row.ratio() / 100, row.ratio() % 100);
        let peak = row.peak.map_or("-".to_owned(), |peak| peak.to_string());
        let Row { name, size, .. } = row;
        writeln!(table, "| {name} | {size} | {one} | {four} | {ratio} | {peak} |").unwrap();
    }
    table
}

/// Runs the release wrapper, which the script has built, and measures it.
struct Meter {
    stage: Stage,
    peak: PathBuf,
}

impl Meter {
    fn new() -> Self {
        let stage = Stage::new();
        let compiled = |source: &str, name: &str| {
            let program = stage.path(name);
            let mut cc = Command::new("cc");
            cc.arg("-O1").arg("-o").arg(&program).arg(project(source));
            stdout(&cc.output().unwrap());
            program
        };
        let peak = compiled("tests/cost/peak.c", "peak");
        let sink = compiled("tests/bench/peak.c", "sink");
        // Larger messages are given on as they come: all of that, but the first megabytes, is cheap.
        let config = format!(
            "sendmail = {sink:?}\norigin = \"web.example\"\nappend_dot_domain = \"dot.example\"\n\
             message_size_limit = 2000000\n"
        );
        stage.write("etc/config.toml", &config);
        Self { stage, peak }
    }

    /// The peak of the wrapper with an input of 100 MB, or as much as is taken; none where it reads no such input.
    fn peak(&self, generator: &Generator) -> Option<u64> {
        let message = [b"From: a@sample.com\n\nx\n".as_slice(), b"", b""];
        match generator.kind {
            Kind::Message => {
                let [before, units, behind] = generator.pieces();
                Some(self.measure(&[], [&before, &units, &behind]))
            }
            Kind::Domain => {
                let file = "etc/domains/sample.com.toml";
                fs::write(self.stage.path(file), generator.text(60 << 10)).unwrap();
                let peak = self.measure(&[], message);
                self.stage.write(file, "selectors = [\"s1\"]\n");
                Some(peak)
            }
            Kind::Argv => {
                let text = String::from_utf8(generator.text(100 << 10)).unwrap();
                let argv: Vec<&str> = text.split('\n').skip(1).collect();
                Some(self.measure(&argv, message))
            }
            Kind::Data
            | Kind::Client
            | Kind::Server
            | Kind::Host
            | Kind::Record
            | Kind::Signature
            | Kind::Log => None,
        }
    }

    /// With the middle piece of a message as often as makes 100 MB.
    fn measure(&self, argv: &[&str], [before, units, behind]: [&[u8]; 3]) -> u64 {
        let argv = if argv.is_empty() { &["you@there.example"] } else { argv };
        let mut command = Command::new(&self.peak);
        command.arg(project("target/cost/release/sendmail-dkim")).args(argv);
        command.env_clear().env("SENDMAIL_DKIM_ETC", self.stage.path("etc"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The real sendmail may stop reading: at a lone dot.
        let times = MUCH.checked_div(units.len()).unwrap_or(0);
        let middle = std::iter::repeat_n(units, times);
        let mut pieces = std::iter::once(before).chain(middle).chain([behind]);
        let _written = pieces.try_for_each(|piece| stdin.write_all(piece));
        drop(stdin);
        let output = stdout(&child.wait_with_output().unwrap());
        let last = output.lines().last().unwrap();
        let (peak, code) = last.split_once(' ').unwrap();
        assert_eq!(code, "0", "{output}");
        peak.parse().unwrap()
    }
}
