//! `[probe]` and `[score]`: how links are measured, and what makes a cost of that.

use std::time::Duration;

use path_score::budget::{FASTEST, SLOWEST};
use path_score::judge;
use path_score::node::Config;
use speaker::config::Probe;

use super::reader::{Reader, Wrong};
use super::tree::Node;
use super::values::{self, Parsed, duration, text};

/// A link that loses everything costs about seven times as much: below an hour, sums of many stay far from the end.
const LOSS_WEIGHT_MAX: Duration = Duration::from_secs(60);
const HOLD_DOWN_MIN: Duration = Duration::from_secs(1);
const UNITS: [(&str, u64); 4] = [
    ("bit", 1),
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
];

/// Both sections.
pub(super) fn read(root: &Reader<'_>) -> Probe {
    let mut probe = Probe::default();
    if let Some(reader) = root.table("probe") {
        probe.port = reader.read("port", values::port).unwrap_or(probe.port);
        let pace = duration(FASTEST..=SLOWEST);
        let node = &mut probe.node;
        node.interval = reader.read("interval", pace).unwrap_or(node.interval);
        node.budget = reader.read("budget", rate).unwrap_or(node.budget);
        reader.finish();
    }
    if let Some(reader) = root.table("score") {
        score(&reader, &mut probe.node);
        reader.finish();
    }
    probe
}

fn score(reader: &Reader<'_>, node: &mut Config) {
    let judge::Config {
        weights,
        hold_down,
        hold_down_max,
        margin,
        ..
    } = &mut node.judge;
    let weight = duration(Duration::ZERO..=LOSS_WEIGHT_MAX);
    weights.loss = reader.read("loss-weight", weight).unwrap_or(weights.loss);
    let held = duration(HOLD_DOWN_MIN..=*hold_down_max);
    *hold_down = reader.read("hold-down", held).unwrap_or(*hold_down);
    let percent = reader.read("margin", values::percent);
    *margin = percent.map_or(*margin, |percent| f64::from(percent) / 100.0);
}

/// `"1mbit"`, in bit/s.
pub(super) fn rate(node: &Node) -> Parsed<u64> {
    let text = text(node)?;
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text
        .strip_suffix(unit)
        .and_then(|digits| digits.parse::<u64>().ok());
    let factor = UNITS.iter().find(|(name, _)| *name == unit);
    let rate = number
        .zip(factor)
        .and_then(|(number, (_, factor))| number.checked_mul(*factor));
    rate.filter(|rate| *rate > 0).ok_or_else(|| {
        Wrong::new(
            format!("`{text}` is no rate"),
            "write a number and a unit (bit, kbit, mbit, gbit), as in `\"1mbit\"`",
        )
    })
}

/// A rate as it is written.
pub(super) fn show_rate(rate: u64) -> String {
    let mut units = UNITS.iter().rev();
    let (unit, factor) = units
        .find(|(_, factor)| rate.is_multiple_of(*factor))
        .unwrap_or(&("bit", 1));
    format!("{}{unit}", rate / factor)
}
