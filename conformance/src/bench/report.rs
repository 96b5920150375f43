//! Rounds of measurements as medians and ratios: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::daemons::Daemon;
use super::workload::{Outcome, Workload};

/// What all daemons did in all workloads and rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    measurements: Vec<Measurement>,
}

/// One daemon in one workload in one round.
#[derive(Clone, Debug, Serialize)]
struct Measurement {
    workload: &'static str,
    daemon: &'static str,
    outcome: Result<Outcome, String>,
}

/// What is read from an outcome, `None` where the workload has no such thing.
type Figure = (&'static str, fn(&Outcome) -> Option<f64>);

/// The figures in the order of the table's columns.
const FIGURES: [Figure; 12] = [
    ("wall s", |o| Some(o.load.wall_s)),
    ("CPU s", |o| Some(o.load.cpu_s)),
    ("peak MiB", |o| Some(o.load.peak_rss_mib)),
    ("out wall s", |o| Some(o.leave?.wall_s)),
    ("out CPU s", |o| Some(o.leave?.cpu_s)),
    ("p50 ms", |o| Some(o.churn?.p50_ms)),
    ("p99 ms", |o| Some(o.churn?.p99_ms)),
    ("all p50 ms", |o| Some(o.churn?.all_p50_ms)),
    ("all p99 ms", |o| Some(o.churn?.all_p99_ms)),
    ("churn CPU s", |o| Some(o.churn?.cost.cpu_s)),
    ("longest gap s", |o| Some(o.idle?.longest_gap_s)),
    ("others' CPU s", |o| Some(o.load.others_cpu_s)),
];

impl Report {
    /// Adds what came of a measurement.
    pub fn add(&mut self, workload: &Workload, daemon: Daemon, outcome: anyhow::Result<Outcome>) {
        self.measurements.push(Measurement {
            workload: workload.name,
            daemon: daemon.name(),
            outcome: outcome.map_err(|e| format!("{e:#}")),
        });
    }

    /// The medians of a workload, a line a daemon, and how many times the first daemon's they are.
    #[must_use]
    pub fn table(&self, workload: &Workload, daemons: &[Daemon]) -> String {
        let rows: Vec<_> = daemons
            .iter()
            .map(|&daemon| (daemon, self.medians(workload, daemon)))
            .collect();
        let reference = rows.first().map(|(_, medians)| medians.clone());
        let reference = reference.unwrap_or_default();
        let mut text = format!("{}: {}\n{:<12}", workload.name, workload.about, "");
        for (place, (name, _)) in FIGURES.iter().enumerate() {
            if column(&reference, place).is_some() {
                let _ = write!(text, "{name:>18}");
            }
        }
        for (daemon, medians) in rows {
            let _ = write!(text, "\n{:<12}", daemon.name());
            for place in 0..FIGURES.len() {
                let Some(first) = column(&reference, place) else {
                    continue;
                };
                let cell = column(&medians, place).map_or_else(
                    || "-".to_owned(),
                    |median| format!("{median:.3} {:>7}", ratio(median, first)),
                );
                let _ = write!(text, "{cell:>18}");
            }
            for why in self.failures(workload, daemon) {
                let _ = write!(text, "\n    {why}");
            }
        }
        text.push('\n');
        text
    }

    fn medians(&self, workload: &Workload, daemon: Daemon) -> Vec<Option<f64>> {
        let figures = FIGURES.iter().map(|(_, read)| {
            let outcomes = self.of(workload, daemon);
            median(outcomes.filter_map(|m| read(m.outcome.as_ref().ok()?)))
        });
        figures.collect()
    }

    fn failures(&self, workload: &Workload, daemon: Daemon) -> impl Iterator<Item = &String> {
        let outcomes = self.of(workload, daemon);
        outcomes.filter_map(|m| m.outcome.as_ref().err())
    }

    fn of(&self, workload: &Workload, daemon: Daemon) -> impl Iterator<Item = &Measurement> {
        let (workload, daemon) = (workload.name, daemon.name());
        let all = self.measurements.iter();
        all.filter(move |m| m.workload == workload && m.daemon == daemon)
    }
}

/// How many times `first` it is, where that can be said.
fn ratio(median: f64, first: f64) -> String {
    if first > 0.0 {
        format!("×{:.2}", median / first)
    } else {
        String::new()
    }
}

fn column(medians: &[Option<f64>], place: usize) -> Option<f64> {
    medians.get(place).copied().flatten()
}

/// The middle one; of an even number, the mean of the two in the middle.
fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let above = *sorted.get(middle)?;
    let below = if sorted.len().is_multiple_of(2) {
        *sorted.get(middle - 1)?
    } else {
        above
    };
    Some(f64::midpoint(below, above))
}

#[cfg(test)]
mod tests;
