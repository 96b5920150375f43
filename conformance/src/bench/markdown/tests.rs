//! The README's table.

use anyhow::anyhow;

use super::super::daemons::Daemon;
use super::super::measure::Outcome;
use super::super::workload::{PLAIN, WORKLOADS, Workload};
use super::*;
use crate::load::Measured;

#[test]
fn a_cell_has_the_figures_of_its_row() {
    let mut report = Report::default();
    let outcome = Outcome {
        load: Some(Measured {
            wall_s: 0.612,
            cpu_s: 0.058_2,
            peak_rss_mib: 105.31,
            ..Measured::default()
        }),
        ..Outcome::default()
    };
    let w1 = Workload {
        name: "W1",
        ..PLAIN
    };
    report.add(&w1, Daemon::Windrosed, Ok(outcome));
    report.add(&w1, Daemon::Bird, Err(anyhow!("it fell over")));
    let table = markdown(&report);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[0], "| load | windrosed | bird |");
    assert_eq!(lines[1], "|---|---:|---:|");
    assert!(lines[2].ends_with("| 0.61 / 0.058 / 105 | – |"), "{table}");
    assert!(lines[3].ends_with("| – | – |"), "nobody left: {table}");
    assert_eq!(lines.len(), 4, "{table}");
}

#[test]
fn every_row_is_of_a_workload_and_of_figures_that_there_are() {
    use super::super::figures::FIGURES;
    for row in &ROWS {
        assert!(
            WORKLOADS.iter().any(|w| w.name == row.workload),
            "{}",
            row.workload
        );
        for figure in row.figures {
            assert!(FIGURES.iter().any(|(name, _)| name == figure), "{figure}");
        }
    }
}

#[test]
fn digits_that_mean_something() {
    for (figure, said) in [
        (0.0, "0"),
        (0.0123, "0.012"),
        (7.5, "7.50"),
        (52.04, "52.0"),
        (1949.4, "1949"),
    ] {
        assert_eq!(short(figure), said);
    }
    assert_eq!(short(-3.2), "-3.20");
}
