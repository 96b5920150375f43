//! The outcomes as a table, and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::{Contestant, Impairment, Sessions, Verdict};

/// All outcomes, in the order in which they came.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// See above.
    pub entries: Vec<Entry>,
}

/// An outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    contestant: &'static str,
    impairment: &'static str,
    /// Why there is none.
    failed: Option<String>,
    settled_s: Option<f64>,
    outage_s: f64,
    lost: f64,
    slowest_s: f64,
    overtaken: u32,
    changes: u32,
    needless: bool,
    returned_s: Option<f64>,
    lost_then: u32,
    changes_then: u32,
    bfd_downs: u64,
    bgp_lost: u64,
}

impl Entry {
    pub(super) fn new(
        who: Contestant,
        how: &Impairment,
        outcome: Result<(Verdict, Sessions)>,
    ) -> Self {
        let (failed, (verdict, sessions)) = match outcome {
            Ok(outcome) => (None, outcome),
            Err(error) => (Some(format!("{error:#}")), Default::default()),
        };
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        Self {
            contestant: who.name(),
            impairment: how.name,
            failed,
            settled_s: seconds(verdict.settled),
            outage_s: verdict.outage.as_secs_f64(),
            lost: verdict.lost,
            slowest_s: verdict.slowest.as_secs_f64(),
            overtaken: verdict.overtaken,
            changes: verdict.changes,
            needless: verdict.needless,
            returned_s: seconds(verdict.returned),
            lost_then: verdict.lost_then,
            changes_then: verdict.changes_then,
            bfd_downs: sessions.bfd_downs,
            bgp_lost: sessions.bgp_lost,
        }
    }
}

impl Report {
    /// Puts the outcomes into the order of these losses, and within one of these contestants.
    pub fn sort(&mut self, losses: &[Impairment], contestants: &[Contestant]) {
        let place = |entry: &Entry| {
            let loss = losses.iter().position(|loss| loss.name == entry.impairment);
            let who = contestants
                .iter()
                .position(|who| who.name() == entry.contestant);
            (loss, who)
        };
        self.entries.sort_by_key(place);
    }

    /// Whether no run failed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.entries.iter().all(|entry| entry.failed.is_none())
    }

    /// The outcomes as a table in Markdown: a row for each impairment and contestant.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| loss | who | runs | clean after, median (worst) | longest outage | lost meanwhile | path changes | BFD downs | \
             BGP sessions lost | back after, median (worst) | lost on return |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let mut rows: Vec<(&str, &str)> = Vec::new();
        for entry in &self.entries {
            let row = (entry.impairment, entry.contestant);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        for (impairment, contestant) in rows {
            let all = self.entries.iter();
            let all: Vec<&Entry> = all
                .filter(|e| (e.impairment, e.contestant) == (impairment, contestant))
                .collect();
            let done: Vec<&Entry> = all.iter().copied().filter(|e| e.failed.is_none()).collect();
            let settled = times(done.iter().map(|e| e.settled_s));
            let returned = times(done.iter().map(|e| e.returned_s));
            let outage = Spread::of(done.iter().map(|e| e.outage_s)).seconds();
            let lost = Spread::of(done.iter().map(|e| e.lost * 100.0));
            let of = |number: fn(&Entry) -> f64| Spread::of(done.iter().map(|e| number(e)));
            let changes = of(|e| e.changes.into()).counts();
            #[allow(clippy::cast_precision_loss, reason = "counts of a minute")]
            let (bfd, bgp) = (
                of(|e| e.bfd_downs as f64).counts(),
                of(|e| e.bgp_lost as f64).counts(),
            );
            let then = of(|e| e.lost_then.into()).counts();
            let needless = match done.iter().filter(|e| e.needless).count() {
                0 => String::new(),
                count => format!(", {count} needless"),
            };
            let runs = match all.len() - done.len() {
                0 => done.len().to_string(),
                failed => format!("{}, {failed} failed", done.len()),
            };
            let _ = writeln!(
                text,
                "| {impairment} | {contestant} | {runs} | {settled} | {outage} | {:.1} % ({:.1} %) | {changes}{needless} | {bfd} | {bgp} | {returned} | {then} |",
                lost.median, lost.worst
            );
        }
        text
    }
}

struct Spread {
    median: f64,
    worst: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        Self {
            median: at(values.len().saturating_sub(1) / 2),
            worst: at(values.len().saturating_sub(1)),
        }
    }

    fn seconds(&self) -> String {
        format!("{:.2} s ({:.2} s)", self.median, self.worst)
    }

    fn counts(&self) -> String {
        format!("{:.0} ({:.0})", self.median, self.worst)
    }
}

/// Times of which some never came.
fn times(all: impl Iterator<Item = Option<f64>>) -> String {
    let all: Vec<Option<f64>> = all.collect();
    let came: Vec<f64> = all.iter().copied().flatten().collect();
    let never = all.len() - came.len();
    if came.is_empty() {
        return "never".to_owned();
    }
    let spread = Spread::of(came.iter().copied()).seconds();
    match never {
        0 => spread,
        never => format!("{spread}, never in {never}"),
    }
}
