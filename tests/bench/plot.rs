//! Two plots side by side, as SVG: what a signature costs by the size of the message, and by the number of domains. Both
//! axes are logarithmic.

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::measure::Series;
use crate::statistics::{Spread, added};

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
    let plots = [by_size(figures), by_domains(figures)];
    let (width, height) = (2.0 * (WIDTH + LEFT) + 30.0, HEIGHT + TOP + 110.0);
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
            .map(|sized| (sized.octets as f64, more(&sized.series, at)))
            .collect(),
    };
    let plain = |sized: &crate::figures::Sized| (sized.octets as f64, median(&sized.series[0]));
    Plot {
        title: "Added CPU a message by its size, ms",
        axis: "octets of the message",
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
                name: "for comparison: Postfix alone, all of it",
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
        title: "Added CPU a small message by the number of domains, ms",
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
                name: "for comparison: Postfix alone, all of it",
                colour: "#999999",
                points: plain.collect(),
            },
        ],
    }
}

fn draw(text: &mut String, plot: &Plot, left: f64) {
    let values = || plot.lines.iter().flat_map(|line| &line.points).map(|point| point.1);
    // What chance made less than nothing is drawn at the bottom.
    let least = values().filter(|value| *value > 0.0).fold(f64::MAX, f64::min);
    let (bottom, top) = (least.log10().floor(), values().fold(f64::MIN, f64::max).log10().ceil());
    let (first, last) = (plot.marks[0].0.log10(), plot.marks[plot.marks.len() - 1].0.log10());
    let x = |value: f64| left + (value.log10() - first) / (last - first) * WIDTH;
    let y = |value: f64| {
        let share = (value.log10().max(bottom) - bottom) / (top - bottom);
        TOP + HEIGHT - if share.is_nan() { 0.0 } else { share * HEIGHT }
    };
    writeln!(
        text,
        "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{}</text>",
        TOP - 15.0,
        plot.title
    )
    .unwrap();
    let right = left + WIDTH;
    for power in bottom as i32..=top as i32 {
        let value = 10_f64.powi(power);
        let at = y(value);
        writeln!(
            text,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            left - 6.0,
            at + 4.0
        )
        .unwrap();
    }
    for (value, name) in &plot.marks {
        let at = x(*value);
        writeln!(
            text,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
            TOP + HEIGHT + 17.0
        )
        .unwrap();
    }
    writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        left + WIDTH / 2.0,
        TOP + HEIGHT + 34.0,
        plot.axis
    )
    .unwrap();
    for (number, line) in plot.lines.iter().enumerate() {
        let points: Vec<String> = line
            .points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
            .collect();
        let at = TOP + HEIGHT + 52.0 + number as f64 * 15.0;
        writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <line x1=\"{left}\" y1=\"{at}\" x2=\"{}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            points.join(" "),
            left + 20.0,
            left + 26.0,
            at + 4.0,
            line.name,
            colour = line.colour
        )
        .unwrap();
    }
}
