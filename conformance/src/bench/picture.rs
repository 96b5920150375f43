//! The medians of a report as a picture: a panel a load, a bar a daemon. It has no background of its own and follows the
//! reader's preference for light or dark.

use std::fmt::Write as _;

use super::markdown::short;
use super::report::Report;

/// A panel: a workload, its figure, and its words.
type Panel = (&'static str, &'static str, &'static str, &'static str);

const PANELS: [Panel; 16] = [
    ("W1", "wall s", "1,000,000 routes", "seconds"),
    ("W1", "CPU s", "1,000,000 routes", "processor seconds"),
    ("W1", "peak MiB", "1,000,000 routes", "peak memory, MiB"),
    ("W1", "out wall s", "their sender leaves", "seconds"),
    (
        "internet",
        "wall s",
        "1,000,000, the Internet's paths",
        "seconds",
    ),
    ("v6", "wall s", "1,000,000 IPv6 routes", "seconds"),
    ("W2", "wall s", "10 × the same 100,000 routes", "seconds"),
    ("W3", "wall s", "100 peers × 2,000 routes", "seconds"),
    ("W4", "wall s", "100,000 routes to 100 clients", "seconds"),
    (
        "W5",
        "p99 ms",
        "200 changes a second, 200 clients",
        "p99, ms",
    ),
    ("W6", "wall s", "200,000 routes into the kernel", "seconds"),
    (
        "paths16",
        "wall s",
        "20,000 routes, 16 ways each",
        "seconds",
    ),
    (
        "failover",
        "100,000 ms",
        "a link dies under 100,000 routes",
        "ms",
    ),
    (
        "failover",
        "1 route ms",
        "a link dies under one route",
        "ms",
    ),
    (
        "guard",
        "BFD gap ms",
        "BFD at 50 ms beside 1,000,000 routes",
        "longest gap, ms",
    ),
    (
        "bad",
        "stopped wall s",
        "300,000 beside a stopped reader",
        "seconds",
    ),
];

/// Panels side by side, and their measures.
const ACROSS: usize = 3;
const WIDTH: usize = 300;
const GAP: usize = 24;
const HEAD: usize = 40;
const LINE: usize = 18;
/// Where bars begin, and how long the longest is: names are left of it, figures right.
const BARS: usize = 76;
const LONGEST: f64 = 160.0;

/// Text in the reader's colours; ours stands out from the others.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#24292f}\
.t{font-weight:600}.u{fill:#57606a;font-size:11px}\
.o{fill:#8c959f}.w{fill:#0969da}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.u{fill:#9198a1}.o{fill:#6e7681}.w{fill:#4493f8}}";

/// The picture, as SVG. Panels of what was not measured are left out.
#[must_use]
pub fn svg(report: &Report) -> String {
    let daemons = report.daemons();
    let mut panels = Vec::new();
    for (workload, figure, title, unit) in PANELS {
        let bars: Vec<_> = daemons
            .iter()
            .filter_map(|daemon| Some((*daemon, report.median(workload, daemon, figure)?)))
            .collect();
        if !bars.is_empty() {
            panels.push((title, unit, bars));
        }
    }
    let height = HEAD + LINE * daemons.len() + GAP;
    let rows = panels.len().div_ceil(ACROSS);
    let (all_width, all_height) = (ACROSS * (WIDTH + GAP) - GAP, rows * height);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {all_width} {all_height}\" role=\"img\">\n\
         <title>Medians; shorter bars are better</title>\n<style>{STYLE}</style>\n"
    );
    for (place, (title, unit, bars)) in panels.iter().enumerate() {
        let (x, y) = (place % ACROSS * (WIDTH + GAP), place / ACROSS * height);
        let _ = writeln!(text, "<g transform=\"translate({x} {y})\">");
        panel(title, unit, bars, &mut text);
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    text
}

fn panel(title: &str, unit: &str, bars: &[(&str, f64)], text: &mut String) {
    let (title, unit) = (escaped(title), escaped(unit));
    let _ = writeln!(text, "<text class=\"t\" y=\"14\">{title}</text>");
    let _ = writeln!(text, "<text class=\"u\" y=\"29\">{unit}</text>");
    let most = bars.iter().map(|(_, figure)| *figure).fold(0.0, f64::max);
    for (line, (daemon, figure)) in bars.iter().enumerate() {
        let top = HEAD + line * LINE;
        let class = if *daemon == "windrosed" { "w" } else { "o" };
        let length = length(*figure, most);
        let (base, name, said) = (top + 11, escaped(daemon), short(*figure));
        #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
        let end = BARS as f64 + length + 5.0;
        let _ = writeln!(
            text,
            "<text y=\"{base}\">{name}</text>\
             <rect class=\"{class}\" x=\"{BARS}\" y=\"{top}\" width=\"{length:.1}\" height=\"13\" rx=\"2\"/>\
             <text x=\"{end:.1}\" y=\"{base}\">{said}</text>"
        );
    }
}

/// Of a bar; each can be seen.
fn length(figure: f64, most: f64) -> f64 {
    if most > 0.0 {
        (figure.max(0.0) / most * LONGEST).max(1.0)
    } else {
        1.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
