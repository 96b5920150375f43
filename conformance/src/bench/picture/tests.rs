//! The picture.

use super::super::daemons::Daemon;
use super::super::figures::FIGURES;
use super::super::measure::Outcome;
use super::super::workload::{PLAIN, WORKLOADS, Workload};
use super::*;
use crate::load::Measured;

fn report() -> Report {
    let mut report = Report::default();
    let w2 = Workload {
        name: "W2",
        ..PLAIN
    };
    for (daemon, wall_s) in [(Daemon::Windrosed, 0.5), (Daemon::Bird, 2.0)] {
        let load = Some(Measured {
            wall_s,
            ..Measured::default()
        });
        let outcome = Outcome {
            load,
            ..Outcome::default()
        };
        report.add(&w2, daemon, Ok(outcome));
    }
    report
}

#[test]
fn a_bar_is_as_long_as_its_figure_says() {
    let picture = svg(&report());
    assert!(picture.contains("width=\"160.0\""), "{picture}");
    assert!(picture.contains("width=\"40.0\""), "{picture}");
    assert_eq!(picture.matches("<g ").count(), 1, "one panel: {picture}");
    assert_eq!(picture.matches("class=\"w\"").count(), 1, "{picture}");
}

#[test]
fn every_element_is_closed() {
    let picture = svg(&report());
    for name in ["svg", "g", "text", "title", "style"] {
        let opened = picture.matches(&format!("<{name}>")).count()
            + picture.matches(&format!("<{name} ")).count();
        let closed = picture.matches(&format!("</{name}>")).count();
        assert_eq!(opened, closed, "{name}");
    }
    assert!(picture.contains("prefers-color-scheme:dark"));
}

#[test]
fn a_report_of_nothing_is_an_empty_picture() {
    let picture = svg(&Report::default());
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    assert_eq!(picture.matches("<g ").count(), 0);
}

#[test]
fn bars_can_be_seen_and_words_are_no_markup() {
    assert_eq!(
        [length(0.0, 0.0), length(0.0, 9.0), length(-1.0, 9.0)],
        [1.0; 3]
    );
    assert_eq!(escaped("a < b & c"), "a &lt; b &amp; c");
}

#[test]
fn every_panel_is_of_a_workload_and_of_a_figure_that_there_are() {
    for (workload, figure, _, _) in PANELS {
        assert!(WORKLOADS.iter().any(|w| w.name == workload), "{workload}");
        assert!(FIGURES.iter().any(|(name, _)| *name == figure), "{figure}");
    }
}
