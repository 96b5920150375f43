//! The table, and the way to JSON and back.

use anyhow::anyhow;

use super::super::workload::PLAIN;
use super::*;
use crate::load::Measured;

fn outcome(wall_s: f64) -> anyhow::Result<Outcome> {
    Ok(Outcome {
        load: Some(Measured {
            wall_s,
            ..Measured::default()
        }),
        ..Outcome::default()
    })
}

fn report() -> Report {
    let mut report = Report::default();
    report.add(&PLAIN, Daemon::Windrosed, outcome(2.0));
    report.add(&PLAIN, Daemon::Bird, outcome(4.0));
    report.add(&PLAIN, Daemon::Frr, Err(anyhow!("it fell over")));
    report
}

#[test]
fn a_table_has_ratios_to_the_first_daemon_and_says_what_failed() {
    let table = report().table(PLAIN.name);
    assert!(table.contains("4.000   ×2.00"), "{table}");
    assert!(table.contains("it fell over"), "{table}");
    assert!(!table.contains("p99"), "{table}");
}

#[test]
fn json_has_all_of_it() {
    let report = report();
    let text = serde_json::to_string(&report).unwrap();
    let read: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(read.table(PLAIN.name), report.table(PLAIN.name));
    assert_eq!(read.daemons(), ["windrosed", "bird", "frr"]);
    assert_eq!(read.median(PLAIN.name, "bird", "wall s"), Some(4.0));
    assert_eq!(read.median(PLAIN.name, "frr", "wall s"), None);
}

#[test]
fn trouble_with_a_part_is_told_beside_the_rest() {
    let mut report = Report::default();
    let mut partly = outcome(1.0).unwrap();
    partly.trouble.push("one part fell over".to_owned());
    report.add(&PLAIN, Daemon::Windrosed, Ok(partly));
    let table = report.table(PLAIN.name);
    assert!(
        table.contains("1.000") && table.contains("one part fell over"),
        "{table}"
    );
}

#[test]
fn what_several_runs_measured_is_joined() {
    let mut joined = Report::default();
    let versions = |daemon: &str| vec![(daemon.to_owned(), "1.0".to_owned())];
    joined.join(Report {
        versions: versions("windrosed"),
        ..report()
    });
    let mut other = Report {
        versions: [versions("windrosed"), versions("bird")].concat(),
        ..Report::default()
    };
    other.add(&PLAIN, Daemon::Bird, outcome(6.0));
    joined.join(other);
    assert_eq!(joined.daemons(), ["windrosed", "bird", "frr"]);
    assert_eq!(joined.median(PLAIN.name, "bird", "wall s"), Some(5.0));
    assert_eq!(
        joined.versions,
        [versions("windrosed"), versions("bird")].concat()
    );
}
