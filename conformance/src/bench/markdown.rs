//! The table of the README: a row a load, a column a daemon, in each cell the figures that its row names.

use std::fmt::Write as _;

use super::report::Report;

/// What stands for a figure that is not there.
const NONE: &str = "–";

/// A row: a workload, its words, and the figures of its cells.
struct Row {
    workload: &'static str,
    what: &'static str,
    figures: &'static [&'static str],
}

const fn row(workload: &'static str, what: &'static str, figures: &'static [&'static str]) -> Row {
    Row {
        workload,
        what,
        figures,
    }
}

const LOAD: &[&str] = &["wall s", "CPU s", "peak MiB"];
const OUT: &[&str] = &["out wall s", "out CPU s"];
const CHURN: &[&str] = &["p50 ms", "p99 ms", "all p99 ms", "churn CPU s"];

const ROWS: [Row; 18] = [
    row("W1", "1,000,000 routes from one peer to another", LOAD),
    row("W1", "their sender leaves", OUT),
    row(
        "internet",
        "1,000,000 routes with the Internet's paths",
        LOAD,
    ),
    row("v6", "1,000,000 IPv6 routes", LOAD),
    row("W2", "10 peers tell the same 100,000 routes", LOAD),
    row("W3", "100 peers tell 2,000 routes each", LOAD),
    row("W4", "100,000 routes to 100 clients of a reflector", LOAD),
    row(
        "W5",
        "200 clients of a reflector, 200 changes a second",
        CHURN,
    ),
    row("W6", "200,000 routes into the kernel", LOAD),
    row("W6", "and out again", OUT),
    row(
        "paths16",
        "20,000 routes with 16 ways each into the kernel",
        LOAD,
    ),
    row("tiny", "10 peers tell 10 routes each", LOAD),
    row(
        "failover",
        "a link dies under 1 / 1,000 / 100,000 routes: ms to the last one",
        &["1 route ms", "1,000 ms", "100,000 ms"],
    ),
    row(
        "guard",
        "1,000,000 routes beside 50 BFD sessions, 20 probed links: false downs / false alarms / longest gap ms",
        &["false downs", "false alarms", "BFD gap ms"],
    ),
    row(
        "keep",
        "1,000,000 routes beside 200 idle peers: lost / longest silence s",
        &["idle lost", "longest gap s"],
    ),
    row("bad", "300,000 routes: wall s alone", &["wall s"]),
    row(
        "bad",
        "beside a slow reader / one that stopped / an UPDATE without end / flapping peers: wall s",
        &[
            "slow wall s",
            "stopped wall s",
            "unended wall s",
            "flaps wall s",
        ],
    ),
    row(
        "bad",
        "the most memory that one of these costs: MiB",
        &["most more MiB"],
    ),
];

/// The medians of a report as a table in Markdown. Workloads that were not measured have no row.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let daemons = report.daemons();
    let mut text = String::from("| load |");
    for daemon in &daemons {
        let _ = write!(text, " {daemon} |");
    }
    let _ = write!(text, "\n|---|{}", "---:|".repeat(daemons.len()));
    for row in &ROWS {
        if !report.workloads().contains(&row.workload) {
            continue;
        }
        let units = match row.figures {
            LOAD => ": wall s / CPU s / peak MiB",
            OUT => ": wall s / CPU s",
            CHURN => ": median ms / p99 ms of the oldest client / p99 ms of all / CPU s",
            _ => "",
        };
        let _ = write!(text, "\n| {}{units} |", row.what);
        for daemon in &daemons {
            let figures: Vec<_> = row
                .figures
                .iter()
                .map(|figure| report.median(row.workload, daemon, figure))
                .collect();
            let _ = write!(text, " {} |", cell(&figures));
        }
    }
    text.push('\n');
    text
}

fn cell(figures: &[Option<f64>]) -> String {
    if figures.iter().all(Option::is_none) {
        return NONE.to_owned();
    }
    let words: Vec<_> = figures
        .iter()
        .map(|figure| figure.map_or_else(|| NONE.to_owned(), short))
        .collect();
    words.join(" / ")
}

/// As many digits as mean something: `0.058`, `0.61`, `7.6`, `105`.
pub(super) fn short(figure: f64) -> String {
    let size = figure.abs();
    let places = match size {
        _ if size >= 100.0 || size == 0.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 0.1 => 2,
        _ => 3,
    };
    format!("{figure:.places$}")
}

#[cfg(test)]
mod tests;
