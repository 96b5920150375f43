//! What an operator sees of the table.

use std::collections::BTreeSet;
use std::fmt::Write;

use ipnet::IpNet;

use super::{Fib, Phase};
use crate::op::Path;
use crate::retry::{Subject, Why};
use crate::source::SourceId;
use crate::table::{Flight, Key, Row, Slot};
use crate::{FibRow, RouteState, Status};

impl Fib {
    /// How things stand. Walks the table.
    #[must_use]
    pub fn status(&self) -> Status {
        let (foreign, foreign_left_out) = self.resolver.foreign_counts();
        let mut status = Status {
            install: self.config.install,
            shadow: self.config.shadow,
            permitted: self.permitted,
            nexthop_objects: self.nexthops.objects_used,
            synchronized: self.is_synchronized(),
            strangers: self.strangers.len(),
            foreign,
            foreign_left_out,
            nexthops: self.nexthops.count(),
            changes: self.totals.changes,
            refused: self.totals.refused,
            resyncs: self.totals.resyncs,
            ..Status::default()
        };
        for (key, row) in self.table.iter() {
            status.wanted += usize::from(row.wanted != Slot::NOTHING);
            status.actual += usize::from(row.actual != Slot::NOTHING);
            match self.state(key, row) {
                RouteState::Installed => status.installed += 1,
                RouteState::Pending => status.pending += 1,
                RouteState::Failed { .. } | RouteState::Foreign { .. } => status.failed += 1,
                RouteState::Stale => status.stale += 1,
                RouteState::Different => status.different += 1,
                RouteState::Missing => status.missing += 1,
                RouteState::Extra => status.extra += 1,
            }
        }
        if self.shadows() {
            status.extra = self.extras().count();
        }
        status
    }

    /// The rows of at most `limit` prefixes after `after`, in their order, IPv4 first; with
    /// `diff_only` those that are not [`RouteState::Installed`]. A prefix has several rows while it moves. Walks the table.
    #[must_use]
    pub fn routes(&self, after: Option<IpNet>, limit: usize, diff_only: bool) -> Vec<FibRow> {
        let mut least = BTreeSet::new();
        let shown =
            |key: Key, row: Row| !diff_only || self.state(key, row) != RouteState::Installed;
        let ours = self.table.iter().filter(|(key, row)| shown(*key, *row));
        let ours = ours.map(|(key, _)| key.prefix);
        let extras = self.shadows().then(|| self.extras()).into_iter().flatten();
        for prefix in ours.chain(extras.map(|route| route.prefix)) {
            if after.is_some_and(|after| prefix <= after) {
                continue;
            }
            least.insert(prefix);
            if least.len() > limit {
                least.pop_last();
            }
        }
        let mut all = Vec::new();
        for prefix in least {
            let rows = self.table.rows_of(prefix);
            let rows = rows.filter(|(key, row)| shown(*key, *row));
            all.extend(rows.map(|(key, row)| self.show(key, row)));
            if self.shadows() {
                all.extend(self.extra_rows(prefix));
            }
        }
        all
    }

    /// The row of a prefix: where it is wanted, else where it is.
    #[must_use]
    pub fn route(&self, prefix: IpNet) -> Option<FibRow> {
        let rows = self.table.rows_of(prefix.trunc());
        let something = |row: &Row| row.wanted != Slot::NOTHING || row.actual != Slot::NOTHING;
        let row = rows
            .filter(|(_, row)| something(row))
            .max_by_key(|(_, row)| row.wanted != Slot::NOTHING);
        row.map(|(key, row)| self.show(key, row))
    }

    /// The rows of a prefix: several while it moves.
    #[must_use]
    pub fn rows_of(&self, prefix: IpNet) -> Vec<FibRow> {
        let rows = self.table.rows_of(prefix.trunc());
        let something = |row: &Row| row.wanted != Slot::NOTHING || row.actual != Slot::NOTHING;
        rows.filter(|(_, row)| something(row))
            .map(|(key, row)| self.show(key, row))
            .collect()
    }

    fn state(&self, key: Key, row: Row) -> RouteState {
        if self.shadows() {
            return self.shadow_state(key, row);
        }
        if !self.retries.is_empty()
            && let Some(retry) = self.retries.get(&Subject::Row(key))
        {
            return match retry.why {
                Why::Refused(errno) => RouteState::Failed {
                    errno,
                    attempts: retry.attempts,
                    retry: retry.next,
                },
                Why::Foreign => RouteState::Foreign { retry: retry.next },
                Why::Contested => RouteState::Pending,
            };
        }
        let target = match row.wanted.index() {
            Some(set) => self.nexthops.aim_of(set).map(Slot::at),
            None => Some(row.wanted),
        };
        if row.is_adopted() && self.phase == Phase::Starting {
            return RouteState::Stale;
        }
        let source = row.wanted.index().map(|_| row.wanted_source);
        let source = source.map_or(SourceId::NONE, |id| self.sources.at_hand(id));
        let leans = || {
            let objects = target.and_then(Slot::index).zip(row.actual.index());
            objects.is_some_and(|(target, actual)| self.nexthops.leans(actual, target))
        };
        let same = (target == Some(row.actual) || leans())
            && row.actual != Slot::NOTHING
            && source == row.actual_source;
        if same && row.flight == Flight::None {
            RouteState::Installed
        } else {
            RouteState::Pending
        }
    }

    fn show(&self, key: Key, row: Row) -> FibRow {
        let state = self.state(key, row);
        let place = self.table.place_of(key.place);
        let source = [row.wanted_source, row.actual_source]
            .into_iter()
            .find_map(|id| self.sources.address(id));
        FibRow {
            prefix: key.prefix,
            table: place.map_or(0, |place| place.table),
            metric: place.map_or(0, |place| place.metric),
            prefsrc: source,
            wanted: self.wanted_text(row.wanted),
            actual: if self.shadows() {
                self.shadow_actual(key)
            } else {
                self.actual_text(row.actual)
            },
            state,
        }
    }

    fn wanted_text(&self, slot: Slot) -> Option<String> {
        let Some(set) = slot.index() else {
            return constant_text(slot);
        };
        let mut text = String::new();
        let used = self.nexthops.members(set)?.iter();
        for (next_hop, weight) in used.filter(|(_, weight)| *weight > 0) {
            let _ = write!(text, "{}via {}", separator(&text), next_hop.address);
            if let Some(index) = next_hop.interface {
                let _ = write!(text, " dev {}", self.device(index));
            }
            if *weight != 1 {
                let _ = write!(text, " weight {weight}");
            }
        }
        Some(text)
    }

    fn actual_text(&self, slot: Slot) -> Option<String> {
        let Some(object) = slot.index() else {
            return constant_text(slot);
        };
        Some(self.ways_text(&self.nexthops.describe(object)))
    }

    pub(super) fn ways_text(&self, ways: &[(Path, u8)]) -> String {
        let mut text = String::new();
        for (path, weight) in ways {
            text.push_str(separator(&text));
            if let Some(gateway) = path.gateway {
                let _ = write!(text, "via {gateway} ");
            }
            let _ = write!(text, "dev {}", self.device(path.interface));
            if *weight != 1 {
                let _ = write!(text, " weight {weight}");
            }
        }
        text
    }

    fn device(&self, index: u32) -> String {
        self.resolver
            .interface_name(index)
            .map_or_else(|| index.to_string(), str::to_owned)
    }
}

fn separator(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ", " }
}

fn constant_text(slot: Slot) -> Option<String> {
    match slot {
        Slot::NOTHING => None,
        Slot::BLACKHOLE => Some("blackhole".to_owned()),
        Slot::UNREACHABLE => Some("unreachable".to_owned()),
        Slot::PROHIBIT => Some("prohibit".to_owned()),
        _ => Some("other".to_owned()),
    }
}
