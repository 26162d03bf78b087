//! Prints the figures and the targets: as a table, as JSON, and in the documentation.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::figures::{Extent, Figures, SMALL, Sized};
use crate::measure::Series;
use crate::smtp;
use crate::statistics::{Spread, added, longer, quantile_of, ratio};
use crate::support::project;

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    theirs: String,
    ours: String,
    /// Usually the ratio of the two; not a number where there is none.
    figure: f64,
    target: Option<Target>,
}

impl Row {
    pub(crate) fn is_missed(&self) -> bool {
        self.target.is_some_and(|target| match target {
            Target::AtMost(most) => self.figure > most || self.figure.is_nan(),
            Target::AtLeast(least) => self.figure < least || self.figure.is_nan(),
        })
    }

    fn verdict(&self) -> &'static str {
        match self.target {
            None => "",
            Some(_) if self.is_missed() => "**missed**",
            Some(_) => "met",
        }
    }
}

/// What `make bench-gate` counted, if it was run.
pub(crate) fn gate() -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(project("target/bench/gate.json")).ok()?).ok()
}

/// A median, and the quartiles around it.
pub(crate) fn milliseconds(spread: Spread) -> String {
    let digits = if spread.median.abs() < 100.0 { 2 } else { 0 };
    format!("{:.digits$} ms ({:.digits$}–{:.digits$})", spread.median, spread.low, spread.high)
}

fn compared(what: &str, theirs: Spread, ours: Spread, target: Option<f64>) -> Row {
    Row {
        what: what.to_owned(),
        theirs: milliseconds(theirs),
        ours: milliseconds(ours),
        figure: ratio(ours, theirs),
        target: target.map(Target::AtMost),
    }
}

/// Added processor time against each of the sockets, and the targets of both. That on a Unix socket is the one to believe: over TCP
/// the milter waits for delayed acknowledgements.
fn against_both(
    rows: &mut Vec<Row>,
    what: &str,
    series: &[Series],
    ours: &Series,
    targets: [f64; 2],
) {
    let plain = &series[0].total;
    let cost = |series: &Series| added(&series.total, plain);
    let (tcp, unix, ours) = (cost(&series[1]), cost(&series[2]), cost(ours));
    for ((socket, theirs), target) in [("TCP", tcp), ("Unix", unix)].into_iter().zip(targets) {
        let target = Some(target).filter(|target| target.is_finite());
        rows.push(compared(&format!("{what}, milter on a {socket} socket"), theirs, ours, target));
    }
}

/// Instead of a target.
const NONE: f64 = f64::INFINITY;

pub(crate) fn rows(figures: &Figures, gate: Option<&Value>) -> Vec<Row> {
    let mut rows = Vec::new();
    let small = &figures.small;
    let what = "added CPU, small message, RSA-2048";
    against_both(&mut rows, what, small, &small[3], [0.40, 0.70]);
    let what = "added CPU, small message, RSA-2048 by the rsa crate";
    against_both(&mut rows, what, small, &small[8], [NONE, NONE]);
    let what = "added CPU, small message, Ed25519 against the milter's RSA-2048";
    against_both(&mut rows, what, small, &small[5], [NONE, NONE]);
    let cost = |at: usize| added(&small[at].total, &small[0].total);
    let what = "added CPU, small message, RSA-2048, dkimpy-milter on a Unix socket";
    rows.push(compared(what, cost(9), cost(3), None));
    // The milter signs with Ed25519 on a Unix socket, and never with both keys.
    rows.push(compared("added CPU, small message, Ed25519 both", cost(4), cost(5), Some(0.60)));
    let what = "added CPU, small message, two signatures against the milter's one";
    against_both(&mut rows, what, small, &small[6], [0.50, 0.80]);
    let what = "added CPU, a message of 100 in an SMTP session";
    against_both(&mut rows, what, &figures.session, &figures.session[3], [NONE, NONE]);
    let wait = |at: usize| longer(small[at].wait(), small[0].wait());
    let what = "added waiting until the peer has it";
    rows.push(compared(&format!("{what}, TCP socket"), wait(1), wait(3), Some(0.06)));
    rows.push(compared(&format!("{what}, Unix socket"), wait(2), wait(3), Some(0.80)));
    let call = |at: usize| longer(small[at].call(), small[0].call());
    let own = compared("added to the call of sendmail(1) itself", call(2), call(3), None);
    // The milter comes after the call: there is nothing to divide by.
    rows.push(Row { figure: f64::NAN, ..own });
    let large = figures.sizes.iter().find(|sized| sized.bytes == crate::figures::TEN_MB).unwrap();
    against_both(&mut rows, "added CPU, 10 MB", &large.series, &large.series[3], [0.17, 0.15]);
    let large = &figures.eight_bit;
    let what = "added CPU, 10 MB, to be made 7-bit";
    against_both(&mut rows, what, &large.series, &large.series[3], [0.90, 0.90]);
    rates(&mut rows, figures);
    rows.push(memory(figures));
    rows.push(domains(figures));
    rows.extend(gate.into_iter().flat_map(instructions));
    rows
}

fn rates(rows: &mut Vec<Row>, figures: &Figures) {
    let rate = |at: usize| Spread::of(&figures.eight_at_once()[at].rates);
    for (place, target) in [(1, Some(Target::AtLeast(5.0))), (2, Some(Target::AtLeast(1.10)))] {
        let text = |rate: Spread| format!("{:.0} ({:.0}–{:.0})", rate.median, rate.low, rate.high);
        let socket = ["", "TCP", "Unix"][place];
        rows.push(Row {
            what: format!("messages a second, 8 submitters, milter on a {socket} socket"),
            theirs: text(rate(place)),
            ours: text(rate(3)),
            figure: ratio(rate(3), rate(place)),
            target,
        });
    }
}

fn memory(figures: &Figures) -> Row {
    let all = || figures.memory.iter().chain(&figures.memory_eight_bit).map(|&(_, kib)| kib);
    let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max));
    let daemon = figures.domains.iter().map(|domains| domains.milter_memory / 1024.0);
    let daemon: Vec<f64> = daemon.collect();
    Row {
        what: "memory of the wrapper, 1 kB to 100 MB, in MiB".to_owned(),
        theirs: format!("{:.1} always", daemon[0]),
        ours: format!("{:.1}–{:.1} for a moment", least / 1024.0, most / 1024.0),
        figure: most / 1024.0,
        target: Some(Target::AtMost(6.0)),
    }
}

fn domains(figures: &Figures) -> Row {
    let [_, one, many] = &figures.one_and_many[..] else { panic!("three arms") };
    let milter = |at: usize| Spread::of(&figures.domains[at].series[1].total).median;
    let last = figures.domains.len() - 1;
    let before = Spread::of(&one.callers).median;
    // Both are measured in each round, one after the other.
    let after = before + added(&many.callers, &one.callers).median;
    let count = thousands(figures.domains[last].count);
    Row {
        what: format!("CPU of the call, {count} domains against 1 (of everything with OpenDKIM)"),
        theirs: format!("{:.2} → {:.2} ms", milter(0), milter(last)),
        ours: format!("{before:.2} → {after:.2} ms"),
        figure: after / before,
        target: Some(Target::AtMost(1.03)),
    }
}

fn instructions(gate: &Value) -> Vec<Row> {
    let row = |what: &str, key: &str, most: f64| {
        let count = gate[key].as_f64().unwrap_or(f64::NAN);
        Row {
            what: what.to_owned(),
            theirs: String::new(),
            ours: format!("{count:.0}"),
            figure: count / 1e6,
            target: Some(Target::AtMost(most)),
        }
    };
    vec![
        row(
            "million instructions, small message, without the key's operation",
            "small_without_key",
            1.5,
        ),
        row("of these, of our own code", "small_own", 0.3),
    ]
}

/// As Markdown.
pub(crate) fn table(figures: &Figures, rows: &[Row], seconds: u64) -> String {
    let mut text = String::from(
        "| | OpenDKIM, or the milter that is named | sendmail.dkim | ratio | target | |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let target = match row.target {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("≤ {most}"),
            Some(Target::AtLeast(least)) => format!("≥ {least}"),
        };
        let Row { what, theirs, ours, figure, .. } = row;
        let verdict = row.verdict();
        let figure = if figure.is_nan() { String::new() } else { format!("{figure:.3}") };
        writeln!(text, "| {what} | {theirs} | {ours} | {figure} | {target} | {verdict} |").unwrap();
    }
    text.push_str(
        "\nA small message, for each way; medians, and the quartiles in parentheses:\n\n",
    );
    text.push_str(
        "| | CPU of everything | of the call | sendmail(1) returns | the peer has it |\n",
    );
    text.push_str("|---|---|---|---|---|\n");
    for (name, series) in SMALL.iter().zip(&figures.small) {
        let times =
            [Spread::of(&series.total), Spread::of(&series.callers), series.call(), series.wait()];
        let times = times.map(milliseconds).join(" | ");
        writeln!(text, "| {name} | {times} |").unwrap();
    }
    text.push_str("\nAdded CPU by size:\n\n| bytes | Postfix alone | OpenDKIM, TCP | OpenDKIM, Unix | sendmail.dkim |\n|---|---|---|---|---|\n");
    for sized in &figures.sizes {
        size_row(&mut text, &thousands(sized.bytes), sized);
    }
    size_row(&mut text, "10,000,000, to be made 7-bit", &figures.eight_bit);
    text.push_str("\nAdded CPU of a small message by the number of domains:\n\n| domains | OpenDKIM, Unix | its memory | sendmail.dkim |\n|---|---|---|---|\n");
    for domains in &figures.domains {
        let cost =
            |at: usize| milliseconds(added(&domains.series[at].total, &domains.series[0].total));
        let (count, memory) = (thousands(domains.count), domains.milter_memory / 1024.0);
        writeln!(text, "| {count} | {} | {memory:.0} MiB | {} |", cost(1), cost(2)).unwrap();
    }
    text.push_str("\nMemory of the wrapper at its most, in MiB:\n\n| bytes | ASCII | to be made 7-bit |\n|---|---|---|\n");
    for ((bytes, ascii), (_, eight_bit)) in figures.memory.iter().zip(&figures.memory_eight_bit) {
        let bytes = thousands(*bytes);
        writeln!(text, "| {bytes} | {:.1} | {:.1} |", ascii / 1024.0, eight_bit / 1024.0).unwrap();
    }
    latencies(&mut text, figures);
    let rate = |at: usize| Spread::of(&figures.eight_at_once()[at].rates).median;
    let (plain, tcp, unix, ours) = (rate(0), rate(1), rate(2), rate(3));
    let by = if figures.is_exact { "control groups" } else { "the kernel's ticks" };
    let extent = if figures.extent == Extent::Quick { "quick run" } else { "run" };
    writeln!(
        text,
        "\nMessages a second, 8 submitters: {plain:.0} by Postfix alone, {tcp:.0} and {unix:.0} with OpenDKIM \
         (TCP, Unix), {ours:.0} with sendmail.dkim.\n\nA {extent} of {seconds} s; CPU counted by {by}.\n{}.",
        figures.place
    )
    .unwrap();
    text
}

/// How long messages are on their way when many submit at once.
fn latencies(text: &mut String, figures: &Figures) {
    text.push_str(
        "\nFrom the start of sendmail(1) until the peer has the message, half of the messages and 99 of 100, in ms:\n\n\
         | submitters | Postfix alone | OpenDKIM, TCP | OpenDKIM, Unix | sendmail.dkim |\n|---|---|---|---|---|\n",
    );
    for (submitters, series) in &figures.crowds {
        let cells = series.iter().map(|series| {
            let [half, most] = [0.5, 0.99].map(|part| quantile_of(&series.waits, part));
            format!("{half:.1} / {most:.1}")
        });
        writeln!(text, "| {submitters} | {} |", cells.collect::<Vec<_>>().join(" | ")).unwrap();
    }
}

fn size_row(text: &mut String, what: &str, sized: &Sized) {
    let series = &sized.series;
    let plain = milliseconds(Spread::of(&series[0].total));
    let cost = |at: usize| milliseconds(added(&series[at].total, &series[0].total));
    writeln!(text, "| {what} | {plain} | {} | {} | {} |", cost(1), cost(2), cost(3)).unwrap();
}

/// `12345` → `12,345`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All that was measured.
pub(crate) fn json(figures: &Figures, rows: &[Row], seconds: u64) -> Value {
    let rows = rows.iter().map(|row| {
        let (kind, limit) = match row.target {
            None => (None, None),
            Some(Target::AtMost(most)) => (Some("at_most"), Some(most)),
            Some(Target::AtLeast(least)) => (Some("at_least"), Some(least)),
        };
        json!({
            "what": row.what, "opendkim": row.theirs, "wrapper": row.ours, "figure": row.figure,
            "target": kind, "limit": limit, "missed": row.is_missed(),
        })
    });
    let all = |series: &[Series]| series.iter().map(raw).collect::<Vec<_>>();
    let sized = |sized: &Sized| json!({ "bytes": sized.bytes, "series": all(&sized.series) });
    let named = SMALL.iter().zip(&figures.small).map(|(name, series)| (*name, raw(series)));
    json!({
        "seconds": seconds,
        "quick": figures.extent == Extent::Quick,
        "control_groups": figures.is_exact,
        "place": figures.place,
        "rows": rows.collect::<Vec<_>>(),
        "small": named.collect::<std::collections::BTreeMap<_, _>>(),
        "crowds": figures.crowds.iter().map(|(submitters, series)| json!({
            "submitters": submitters, "series": all(series),
        })).collect::<Vec<_>>(),
        "session": all(&figures.session),
        "sizes": figures.sizes.iter().map(sized).collect::<Vec<_>>(),
        "eight_bit": sized(&figures.eight_bit),
        "domains": figures.domains.iter().map(|domains| json!({
            "count": domains.count, "series": all(&domains.series),
            "milter_memory_kib": domains.milter_memory,
        })).collect::<Vec<_>>(),
        "one_and_many": all(&figures.one_and_many),
        "by_smtp": smtp::json(&figures.by_smtp),
        "memory_kib": figures.memory,
        "memory_eight_bit_kib": figures.memory_eight_bit,
    })
}

pub(crate) fn raw(series: &Series) -> Value {
    json!({
        "cpu_ms": series.total, "call_cpu_ms": series.callers, "call_ms": series.calls,
        "wait_ms": series.waits, "per_second": series.rates,
    })
}

const BEGIN: &str = "<!-- figures: written by make bench -->\n";
const END: &str = "<!-- end of the figures -->\n";

/// Puts the table between the marks of the document.
pub(crate) fn write_into(path: &Path, table: &str) {
    write_between(path, [BEGIN, END], table);
}

/// The same between other marks.
pub(crate) fn write_between(path: &Path, [begin, end]: [&str; 2], table: &str) {
    let text = fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(begin).expect("the mark before the figures");
    let (_, after) = rest.split_once(end).expect("the mark after the figures");
    fs::write(path, format!("{before}{begin}{table}{end}{after}")).unwrap();
}
