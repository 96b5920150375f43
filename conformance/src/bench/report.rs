//! Rounds of measurements as medians and ratios: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::daemons::Daemon;
use super::figures::{FIGURES, median, ratio};
use super::measure::Outcome;
use super::workload::Workload;

/// What all daemons did in all workloads and rounds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// What each said its version is, in the order in which they were measured.
    pub versions: Vec<(String, String)>,
    measurements: Vec<Measurement>,
}

/// One daemon in one workload in one round.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Measurement {
    workload: String,
    about: String,
    daemon: String,
    outcome: Result<Outcome, String>,
}

impl Report {
    /// Adds what came of a measurement.
    pub fn add(&mut self, workload: &Workload, daemon: Daemon, outcome: anyhow::Result<Outcome>) {
        self.measurements.push(Measurement {
            workload: workload.name.to_owned(),
            about: workload.about.to_owned(),
            daemon: daemon.name().to_owned(),
            outcome: outcome.map_err(|e| format!("{e:#}")),
        });
    }

    /// Adds what another run measured.
    pub fn join(&mut self, other: Self) {
        for (daemon, version) in other.versions {
            if self.versions.iter().all(|(known, _)| *known != daemon) {
                self.versions.push((daemon, version));
            }
        }
        self.measurements.extend(other.measurements);
    }

    /// The names of its workloads, in order.
    #[must_use]
    pub fn workloads(&self) -> Vec<&str> {
        distinct(self.measurements.iter().map(|m| m.workload.as_str()))
    }

    /// The daemons of all workloads, in order.
    #[must_use]
    pub fn daemons(&self) -> Vec<&str> {
        distinct(self.measurements.iter().map(|m| m.daemon.as_str()))
    }

    /// The median of a figure, as the table names it. `None` where there is none.
    #[must_use]
    pub fn median(&self, workload: &str, daemon: &str, figure: &str) -> Option<f64> {
        let (_, read) = FIGURES.iter().find(|(name, _)| *name == figure)?;
        let outcomes = self.of(workload, daemon);
        median(outcomes.filter_map(|m| read(m.outcome.as_ref().ok()?)))
    }

    /// The medians of a workload, a line a daemon, and how many times the first daemon's they are.
    #[must_use]
    pub fn table(&self, workload: &str) -> String {
        let all = self.measurements.iter();
        let mine: Vec<_> = all.filter(|m| m.workload == workload).collect();
        let daemons = distinct(mine.iter().map(|m| m.daemon.as_str()));
        let about = mine.first().map_or("", |m| &m.about);
        let first = daemons.first().copied().unwrap_or_default();
        let columns: Vec<_> = FIGURES
            .iter()
            .map(|(name, _)| (*name, self.median(workload, first, name)))
            .filter(|(name, _)| {
                let mut all = daemons.iter();
                all.any(|daemon| self.median(workload, daemon, name).is_some())
            })
            .collect();
        let mut text = format!("{workload}: {about}\n{:<12}", "");
        for (name, _) in &columns {
            let _ = write!(text, "{name:>18}");
        }
        for daemon in daemons {
            let _ = write!(text, "\n{daemon:<12}");
            for (name, first) in &columns {
                let cell = self.median(workload, daemon, name).map_or_else(
                    || "-".to_owned(),
                    |median| {
                        format!(
                            "{median:.3} {:>7}",
                            ratio(median, first.unwrap_or_default())
                        )
                    },
                );
                let _ = write!(text, "{cell:>18}");
            }
            for why in self.trouble(workload, daemon) {
                let _ = write!(text, "\n    {why}");
            }
        }
        text.push('\n');
        text
    }

    fn trouble(&self, workload: &str, daemon: &str) -> impl Iterator<Item = &String> {
        let outcomes = self.of(workload, daemon);
        outcomes.flat_map(|m| match &m.outcome {
            Ok(outcome) => outcome.trouble.iter().collect(),
            Err(why) => vec![why],
        })
    }

    fn of(&self, workload: &str, daemon: &str) -> impl Iterator<Item = &Measurement> {
        let all = self.measurements.iter();
        all.filter(move |m| m.workload == workload && m.daemon == daemon)
    }
}

/// Each of them once, where it stands first.
pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests;
