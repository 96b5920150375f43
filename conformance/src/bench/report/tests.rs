//! Medians and ratios.

use anyhow::anyhow;

use super::super::workload::PLAIN;
use super::*;
use crate::load::Measured;

fn outcome(wall_s: f64) -> anyhow::Result<Outcome> {
    Ok(Outcome {
        load: Measured {
            wall_s,
            ..Measured::default()
        },
        ..Outcome::default()
    })
}

#[test]
fn medians_of_what_was_measured() {
    assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
    assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    assert_eq!(median([].into_iter()), None);
}

#[test]
fn a_table_has_ratios_to_the_first_daemon_and_says_what_failed() {
    let mut report = Report::default();
    report.add(&PLAIN, Daemon::Windrosed, outcome(2.0));
    report.add(&PLAIN, Daemon::Bird, outcome(4.0));
    report.add(&PLAIN, Daemon::Frr, Err(anyhow!("it fell over")));
    let table = report.table(&PLAIN, &[Daemon::Windrosed, Daemon::Bird, Daemon::Frr]);
    assert!(table.contains("4.000   ×2.00"), "{table}");
    assert!(table.contains("it fell over"), "{table}");
    assert!(!table.contains("p99"), "{table}");
}
