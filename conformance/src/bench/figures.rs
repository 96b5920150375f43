//! What is read from an outcome, and how many are made one.

use crate::load::Measured;

use super::measure::Outcome;

/// A name, and what is read: `None` where a workload, or a daemon, has no such thing. Less is better, of all of them.
pub(super) type Figure = (&'static str, fn(&Outcome) -> Option<f64>);

/// The figures in the order of the table's columns.
pub(super) const FIGURES: [Figure; 30] = [
    ("wall s", |o| Some(o.load?.wall_s)),
    ("CPU s", |o| Some(o.load?.cpu_s)),
    ("peak MiB", |o| Some(o.load?.peak_rss_mib)),
    ("out wall s", |o| Some(o.leave?.wall_s)),
    ("out CPU s", |o| Some(o.leave?.cpu_s)),
    ("p50 ms", |o| Some(o.churn?.p50_ms)),
    ("p99 ms", |o| Some(o.churn?.p99_ms)),
    ("all p50 ms", |o| Some(o.churn?.all_p50_ms)),
    ("all p99 ms", |o| Some(o.churn?.all_p99_ms)),
    ("churn CPU s", |o| Some(o.churn?.cost.cpu_s)),
    ("longest gap s", |o| Some(o.idle.as_ref()?.longest_gap_s)),
    ("idle lost", |o| Some(count(o.idle.as_ref()?.lost.len()))),
    ("false downs", |o| Some(count(o.guard?.neighbors.failed))),
    ("BFD gap ms", |o| Some(o.guard?.neighbors.longest_gap_ms)),
    ("false alarms", |o| Some(count(o.guard?.alarms?))),
    ("probes", |o| Some(count(o.guard?.neighbors.probes))),
    ("1 route ms", |o| Some(o.failover_ms?[0])),
    ("1,000 ms", |o| Some(o.failover_ms?[1])),
    ("100,000 ms", |o| Some(o.failover_ms?[2])),
    ("slow wall s", |o| Some(o.bad?[0]?.wall_s)),
    ("slow MiB", |o| Some(o.bad?[0]?.peak_rss_mib)),
    ("stopped wall s", |o| Some(o.bad?[1]?.wall_s)),
    ("stopped MiB", |o| Some(o.bad?[1]?.peak_rss_mib)),
    ("unended wall s", |o| Some(o.bad?[2]?.wall_s)),
    ("unended MiB", |o| Some(o.bad?[2]?.peak_rss_mib)),
    ("flaps wall s", |o| Some(o.bad?[3]?.wall_s)),
    ("flaps MiB", |o| Some(o.bad?[3]?.peak_rss_mib)),
    ("most more MiB", |o| most_more(o.load?, o.bad?)),
    ("at rest MiB", |o| {
        (o.idle_rss_mib > 0.0).then_some(o.idle_rss_mib)
    }),
    ("others' CPU s", |o| Some(o.load?.others_cpu_s)),
];

/// How much more memory it took at most beside peers that are no good.
pub(super) fn most_more<const N: usize>(
    alone: Measured,
    beside: [Option<Measured>; N],
) -> Option<f64> {
    let peaks = beside.iter().flatten().map(|other| other.peak_rss_mib);
    let most = peaks.max_by(f64::total_cmp)?;
    Some(most - alone.peak_rss_mib)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2⁵²")]
pub(super) fn count(count: usize) -> f64 {
    count as f64
}

/// The middle one; of an even number, the mean of the two in the middle.
pub(super) fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
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

/// How many times `first` it is, where that can be said.
pub(super) fn ratio(figure: f64, first: f64) -> String {
    if first > 0.0 {
        format!("×{:.2}", figure / first)
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests;
