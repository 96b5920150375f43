//! What an operator sees of the table.

use std::collections::BinaryHeap;
use std::fmt::Write;

use ipnet::IpNet;

use super::{Fib, Phase};
use crate::retry::{Subject, Why};
use crate::table::{Flight, Row, Slot};
use crate::{FibRow, RouteState, Status};

impl Fib {
    /// How things stand. Walks the table.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = Status {
            install: self.config.install,
            permitted: self.permitted,
            nexthop_objects: self.nexthops.objects_used,
            synchronized: self.is_synchronized(),
            nexthops: self.nexthops.count(),
            changes: self.totals.changes,
            refused: self.totals.refused,
            resyncs: self.totals.resyncs,
            ..Status::default()
        };
        for (prefix, row) in self.table.iter() {
            status.wanted += usize::from(row.wanted != Slot::NOTHING);
            status.actual += usize::from(row.actual != Slot::NOTHING);
            match self.state(prefix, row) {
                RouteState::Installed => status.installed += 1,
                RouteState::Pending => status.pending += 1,
                RouteState::Failed { .. } | RouteState::Foreign { .. } => status.failed += 1,
                RouteState::Stale => status.stale += 1,
            }
        }
        status
    }

    /// At most `limit` rows after `after`, in the order of their prefixes, IPv4 first; with
    /// `diff_only` those that are not [`RouteState::Installed`]. Walks the table.
    #[must_use]
    pub fn routes(&self, after: Option<IpNet>, limit: usize, diff_only: bool) -> Vec<FibRow> {
        let mut least: BinaryHeap<IpNet> = BinaryHeap::with_capacity(limit.saturating_add(1));
        for (prefix, row) in self.table.iter() {
            let shown = !diff_only || self.state(prefix, row) != RouteState::Installed;
            if !shown || after.is_some_and(|after| prefix <= after) {
                continue;
            }
            least.push(prefix);
            if least.len() > limit {
                least.pop();
            }
        }
        let prefixes = least.into_sorted_vec();
        prefixes
            .into_iter()
            .map(|prefix| self.show(prefix, self.table.row(prefix)))
            .collect()
    }

    /// One row.
    #[must_use]
    pub fn route(&self, prefix: IpNet) -> Option<FibRow> {
        let row = self.table.row(prefix.trunc());
        let something = row.wanted != Slot::NOTHING || row.actual != Slot::NOTHING;
        something.then(|| self.show(prefix.trunc(), row))
    }

    fn state(&self, prefix: IpNet, row: Row) -> RouteState {
        if !self.retries.is_empty()
            && let Some(retry) = self.retries.get(&Subject::Row(prefix))
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
        if row.adopted && self.phase == Phase::Starting {
            return RouteState::Stale;
        }
        let same = target == Some(row.actual) && row.actual != Slot::NOTHING;
        if same && row.flight == Flight::None {
            RouteState::Installed
        } else {
            RouteState::Pending
        }
    }

    fn show(&self, prefix: IpNet, row: Row) -> FibRow {
        let state = self.state(prefix, row);
        FibRow {
            prefix,
            wanted: self.wanted_text(row.wanted),
            actual: self.actual_text(row.actual),
            state,
        }
    }

    fn wanted_text(&self, slot: Slot) -> Option<String> {
        let Some(set) = slot.index() else {
            return constant_text(slot);
        };
        let mut text = String::new();
        for (next_hop, weight) in self.nexthops.members(set)? {
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
        let mut text = String::new();
        for (path, weight) in self.nexthops.describe(object) {
            text.push_str(separator(&text));
            if let Some(gateway) = path.gateway {
                let _ = write!(text, "via {gateway} ");
            }
            let _ = write!(text, "dev {}", self.device(path.interface));
            if weight != 1 {
                let _ = write!(text, " weight {weight}");
            }
        }
        Some(text)
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
        _ => Some("other".to_owned()),
    }
}
