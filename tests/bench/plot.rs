//! Plots side by side, as SVG: what a signature costs by the size of the message and by the number of domains, and how long
//! messages are on their way by the number of submitters. All axes are logarithmic.

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::measure::Series;
use crate::statistics::{Spread, added, quantile_of};

const WIDTH: f64 = 430.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;

/// One line, from left to right.
struct Line {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

/// A plot: what its axis says, where it begins and ends, and its lines.
struct Plot {
    title: &'static str,
    axis: &'static str,
    marks: Vec<(f64, &'static str)>,
    lines: Vec<Line>,
}

pub(crate) fn svg(figures: &Figures) -> String {
    let plots = [by_size(figures), by_domains(figures), by_submitters(figures)];
    let (width, height) = (3.0 * (WIDTH + LEFT) + 60.0, HEIGHT + TOP + 155.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (number, plot) in plots.iter().enumerate() {
        draw(&mut text, plot, LEFT + number as f64 * (WIDTH + LEFT + 10.0));
    }
    text.push_str("</svg>\n");
    text
}

fn median(series: &Series) -> f64 {
    Spread::of(&series.total).median
}

/// Of one arm, more than plain, which is the first.
fn more(series: &[Series], at: usize) -> f64 {
    added(&series[at].total, &series[0].total).median
}

fn by_size(figures: &Figures) -> Plot {
    let line = |name, colour, at: usize| Line {
        name,
        colour,
        points: figures
            .sizes
            .iter()
            .map(|sized| (sized.bytes as f64, more(&sized.series, at)))
            .collect(),
    };
    let plain = |sized: &crate::figures::Sized| (sized.bytes as f64, median(&sized.series[0]));
    Plot {
        title: "CPU time added to a message, by its size (ms)",
        axis: "message size",
        marks: vec![
            (1e3, "1 kB"),
            (1e4, "10 kB"),
            (1e5, "100 kB"),
            (1e6, "1 MB"),
            (1e7, "10 MB"),
            (1e8, "100 MB"),
        ],
        lines: vec![
            line("OpenDKIM, TCP socket", "#d95f02", 1),
            line("OpenDKIM, Unix socket", "#e6ab02", 2),
            line("sendmail.dkim", "#1b7837", 3),
            Line {
                name: "for comparison: all of Postfix alone",
                colour: "#999999",
                points: figures.sizes.iter().map(plain).collect(),
            },
        ],
    }
}

fn by_domains(figures: &Figures) -> Plot {
    let line = |name, colour, at: usize| Line {
        name,
        colour,
        points: figures
            .domains
            .iter()
            .map(|domains| (domains.count as f64, more(&domains.series, at)))
            .collect(),
    };
    let plain = figures.domains.iter().map(|one| (one.count as f64, median(&one.series[0])));
    Plot {
        title: "CPU time added to a small message, by the number of domains (ms)",
        axis: "domains",
        marks: vec![
            (1.0, "1"),
            (1e1, "10"),
            (1e2, "100"),
            (1e3, "1,000"),
            (1e4, "10,000"),
            (1e5, "100,000"),
        ],
        lines: vec![
            line("OpenDKIM, Unix socket, SigningTable refile", "#e6ab02", 1),
            line("sendmail.dkim", "#1b7837", 2),
            Line {
                name: "for comparison: all of Postfix alone",
                colour: "#999999",
                points: plain.collect(),
            },
        ],
    }
}

fn by_submitters(figures: &Figures) -> Plot {
    let line = |name, colour, at: usize, part: f64| Line {
        name,
        colour,
        points: figures
            .crowds
            .iter()
            .map(|(submitters, arms)| (*submitters as f64, quantile_of(&arms[at].waits, part)))
            .collect(),
    };
    Plot {
        title: "Time until the receiver has a small message (ms)",
        axis: "concurrent submitters",
        marks: vec![(1.0, "1"), (2.0, "2"), (4.0, "4"), (8.0, "8"), (16.0, "16"), (32.0, "32")],
        lines: vec![
            line("OpenDKIM, Unix socket, 99th percentile", "#a67c00", 2, 0.99),
            line("OpenDKIM, Unix socket, median", "#e6ab02", 2, 0.5),
            line("sendmail.dkim, 99th percentile", "#00441b", 3, 0.99),
            line("sendmail.dkim, median", "#41ab5d", 3, 0.5),
            line("for comparison: Postfix alone, 99th percentile", "#666666", 0, 0.99),
            line("for comparison: Postfix alone, median", "#bbbbbb", 0, 0.5),
        ],
    }
}

/// Where a value is on the page.
struct Scale {
    first: f64,
    last: f64,
    bottom: f64,
    top: f64,
    left: f64,
}

impl Scale {
    fn of(plot: &Plot, left: f64) -> Self {
        let values = || plot.lines.iter().flat_map(|line| &line.points).map(|point| point.1);
        // What chance made less than nothing is drawn at the bottom.
        let least = values().filter(|value| *value > 0.0).fold(f64::MAX, f64::min);
        let most = values().fold(f64::MIN, f64::max);
        let (first, last) = (plot.marks[0].0, plot.marks[plot.marks.len() - 1].0);
        Self {
            first: first.log10(),
            last: last.log10(),
            bottom: least.log10().floor(),
            top: most.log10().ceil(),
            left,
        }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + (value.log10() - self.first) / (self.last - self.first) * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        let above = if value > 0.0 { (value.log10() - self.bottom).max(0.0) } else { 0.0 };
        TOP + HEIGHT - above / (self.top - self.bottom) * HEIGHT
    }
}

fn draw(text: &mut String, plot: &Plot, left: f64) {
    let scale = Scale::of(plot, left);
    axes(text, plot, &scale);
    for (number, line) in plot.lines.iter().enumerate() {
        let place = |point: &(f64, f64)| format!("{:.1},{:.1}", scale.x(point.0), scale.y(point.1));
        let points: Vec<String> = line.points.iter().map(place).collect();
        for point in &line.points {
            let (x, y) = (scale.x(point.0), scale.y(point.1));
            let colour = line.colour;
            writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")
                .unwrap();
        }
        let at = TOP + HEIGHT + 52.0 + number as f64 * 15.0;
        let Line { name, colour, .. } = line;
        writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <line x1=\"{left}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{}\" y=\"{}\">{name}</text>",
            points.join(" "),
            left + 20.0,
            left + 26.0,
            at + 4.0,
        )
        .unwrap();
    }
}

/// `10000` → `10,000`; a million milliseconds are more than any result.
fn mark(value: f64) -> String {
    if value < 1e3 { value.to_string() } else { format!("{:.0},000", value / 1e3) }
}

fn axes(text: &mut String, plot: &Plot, scale: &Scale) {
    let (left, right, foot) = (scale.left, scale.left + WIDTH, TOP + HEIGHT);
    let mut say = |x: f64, y: f64, anchor: &str, words: &str| {
        writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
            .unwrap();
    };
    say(left, TOP - 15.0, "start", plot.title);
    say(left + WIDTH / 2.0, foot + 34.0, "middle", plot.axis);
    for (value, name) in &plot.marks {
        say(scale.x(*value), foot + 17.0, "middle", name);
    }
    for power in scale.bottom as i32..=scale.top as i32 {
        let value = 10_f64.powi(power);
        say(left - 6.0, scale.y(value) + 4.0, "end", &mark(value));
    }
    for power in scale.bottom as i32..=scale.top as i32 {
        let at = scale.y(10_f64.powi(power));
        writeln!(
            text,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>"
        )
        .unwrap();
    }
}
