//! How cost grows: the same load in several sizes.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::daemons::Daemon;
use super::figures::{count, median};
use super::measure::Outcome;
use super::report::distinct;
use super::workload::{PLAIN, Workload};
use crate::load::Measured;

/// Routes of all peers together, where peers become more.
const SHARED: usize = 200_000;
/// Prefixes, where each has more and more paths.
const OVERLAPPING: usize = 50_000;
/// Routes that each client of a reflector is told.
const REFLECTED: usize = 20_000;

/// Something that grows.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The sizes.
    pub sizes: &'static [usize],
    make: fn(usize) -> Workload,
}

/// All of them.
pub const SERIES: [Series; 4] = [
    Series {
        name: "routes",
        about: "routes from one peer to another",
        sizes: &[10_000, 30_000, 100_000, 300_000, 1_000_000],
        make: |size| Workload {
            prefixes: size,
            ..PLAIN
        },
    },
    Series {
        name: "peers",
        about: "peers that tell 200,000 routes together, to one more",
        sizes: &[1, 10, 100, 1_000],
        make: |size| Workload {
            senders: size,
            prefixes: SHARED / size,
            ..PLAIN
        },
    },
    Series {
        name: "paths",
        about: "peers that tell the same 50,000 routes, to one more",
        sizes: &[1, 2, 4, 8, 16],
        make: |size| Workload {
            senders: size,
            prefixes: OVERLAPPING,
            overlap: true,
            ..PLAIN
        },
    },
    Series {
        name: "clients",
        about: "clients of a reflector that are told 20,000 routes",
        sizes: &[1, 10, 100, 500],
        make: |size| Workload {
            prefixes: REFLECTED,
            receivers: size,
            reflects: true,
            ..PLAIN
        },
    },
];

impl Series {
    /// The load of a size, for a device with up to `shrink` times fewer routes.
    #[must_use]
    pub fn workload(&self, size: usize, shrink: usize) -> Workload {
        let made = (self.make)(size);
        Workload {
            name: self.name,
            about: self.about,
            prefixes: made.prefixes.div_ceil(shrink.max(1)),
            ..made
        }
    }
}

/// What all daemons did in all sizes and rounds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Growth {
    points: Vec<Point>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Point {
    series: String,
    size: usize,
    daemon: String,
    outcome: Result<Outcome, String>,
}

/// A cost, and how it is read.
type Cost = (&'static str, fn(&Measured) -> f64);

const COSTS: [Cost; 3] = [
    ("wall s", |load| load.wall_s),
    ("CPU s", |load| load.cpu_s),
    ("peak MiB", |load| load.peak_rss_mib),
];

impl Growth {
    /// Adds what came of a measurement.
    pub fn add(
        &mut self,
        series: &Series,
        size: usize,
        daemon: Daemon,
        outcome: anyhow::Result<Outcome>,
    ) {
        self.points.push(Point {
            series: series.name.to_owned(),
            size,
            daemon: daemon.name().to_owned(),
            outcome: outcome.map_err(|e| format!("{e:#}")),
        });
    }

    /// A series: a line a size, and below with which power of the size each cost grows, between the two largest sizes.
    #[must_use]
    pub fn table(&self, series: &Series) -> String {
        let points = self.points.iter().filter(|p| p.series == series.name);
        let daemons = distinct(points.map(|p| p.daemon.as_str()));
        let mut text = format!("{}: {}\n{:>10}", series.name, series.about, "");
        for daemon in &daemons {
            for (name, _) in COSTS {
                let _ = write!(text, "{:>20}", format!("{daemon} {name}"));
            }
        }
        for size in series.sizes {
            let _ = write!(text, "\n{size:>10}");
            for cost in self.costs(series, *size, &daemons) {
                let cell = cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.3}"));
                let _ = write!(text, "{cell:>20}");
            }
        }
        if let [.., (before, fewer), (last, more)] = &self.lines(series, &daemons)[..] {
            let _ = write!(text, "\n{:>10}", "grows as");
            for (fewer, more) in fewer.iter().zip(more) {
                let power = power(count(*before), *fewer, count(*last), *more);
                let cell = power.map_or_else(|| "-".to_owned(), |power| format!("n^{power:.2}"));
                let _ = write!(text, "{cell:>20}");
            }
        }
        for point in self.points.iter().filter(|p| p.series == series.name) {
            if let Err(why) = &point.outcome {
                let _ = write!(text, "\n    {} at {}: {why}", point.daemon, point.size);
            }
        }
        text.push('\n');
        text
    }

    fn lines(&self, series: &Series, daemons: &[&str]) -> Vec<(usize, Vec<Option<f64>>)> {
        let sizes = series.sizes.iter();
        sizes
            .map(|&size| (size, self.costs(series, size, daemons)))
            .collect()
    }

    /// The medians of a size: all costs of the first daemon, then those of the next one.
    fn costs(&self, series: &Series, size: usize, daemons: &[&str]) -> Vec<Option<f64>> {
        let each = daemons.iter().flat_map(|daemon| {
            COSTS.iter().map(move |(_, read)| {
                let points = self
                    .points
                    .iter()
                    .filter(|p| p.series == series.name && p.size == size && p.daemon == *daemon);
                median(points.filter_map(|p| Some(read(&p.outcome.as_ref().ok()?.load?))))
            })
        });
        each.collect()
    }
}

/// With which power of the size a cost grows.
fn power(size: f64, cost: Option<f64>, larger: f64, more: Option<f64>) -> Option<f64> {
    let (cost, more) = (cost?, more?);
    (cost > 0.0 && more > 0.0).then(|| (more / cost).ln() / (larger / size).ln())
}

#[cfg(test)]
mod tests;
