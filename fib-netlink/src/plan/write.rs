//! The difference, as batches: nexthop objects first, then routes, then what nobody points to any more.

use std::time::Instant;

use super::{BATCHES_MAX, Fib, Flight, NOTHING, OPS_MAX, Pending, Phase, UNKNOWN};
use crate::Output;
use crate::nexthops::Step;
use crate::op::{Batch, Op, Target};
use crate::retry::Subject;
use crate::source::SourceId;
use crate::table::{Flight as RowFlight, Key, Row, Slot};

/// Operations that one route needs at most.
const OPS_OF_A_ROUTE: usize = 2;

/// A batch in the making.
#[derive(Debug)]
struct Draft {
    ops: Vec<Op>,
    pending: Vec<Pending>,
}

impl Draft {
    /// With room for so many changes.
    fn with_room(changes: usize) -> Self {
        Self {
            ops: Vec::with_capacity(changes),
            pending: Vec::with_capacity(changes),
        }
    }

    fn push(&mut self, op: Op, pending: Pending) {
        self.ops.push(op);
        self.pending.push(pending);
    }

    fn has_room(&self) -> bool {
        self.ops.len() + OPS_OF_A_ROUTE <= OPS_MAX
    }
}

impl Fib {
    /// Sends what there is to send, as far as batches may be under way.
    pub(super) fn write(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.nexthops.rows_concerned {
            self.visit_rows();
        }
        while self.flights.len() < BATCHES_MAX {
            let Some(batch) = self.draft(now) else {
                self.look_at = None;
                return;
            };
            out.push(Output::Send(batch));
        }
    }

    fn draft(&mut self, now: Instant) -> Option<Batch> {
        let mut draft = Draft::with_room(self.table.queued().min(OPS_MAX));
        self.put_objects(&mut draft);
        while draft.has_room() && self.nexthops.rows_concerned {
            self.visit_rows();
            self.put_objects(&mut draft);
        }
        while draft.has_room()
            && let Some((key, row)) = self.table.next_to_look_at()
        {
            self.look(now, key, row, false, &mut draft);
        }
        self.look_at_idle(now, &mut draft);
        self.remove_objects(&mut draft);
        if draft.ops.is_empty() {
            return None;
        }
        let id = self.next_batch;
        self.next_batch += 1;
        self.totals.changes += draft.ops.len() as u64;
        self.flights.push_back(Flight {
            id,
            pending: draft.pending,
        });
        Some(Batch {
            id,
            protocol: self.config.protocol,
            ops: draft.ops,
        })
    }

    /// Queues rows whose set changed, and those whose route went with the object it pointed to.
    fn visit_rows(&mut self) {
        let nexthops = &mut self.nexthops;
        self.table.scan(|_, row| {
            let mut look = row
                .wanted
                .index()
                .is_some_and(|set| nexthops.is_changed(set));
            if let Some(object) = row
                .actual
                .index()
                .filter(|object| nexthops.is_lost(*object))
            {
                let doubtful = nexthops.is_inline(object) || row.flight != RowFlight::None;
                (row.actual, row.actual_source) = if doubtful { UNKNOWN } else { NOTHING };
                nexthops.release(object);
                look = true;
            }
            look
        });
        self.nexthops.rows_visited();
    }

    /// Says whether all of them fit.
    fn put_objects(&mut self, draft: &mut Draft) -> bool {
        while draft.has_room() {
            let Some(step) = self.nexthops.next_put() else {
                return true;
            };
            let pending = pending_step(&step);
            draft.push(step.op, pending);
        }
        false
    }

    /// Rows that go the right way already: a batch at a time, when there is nothing else to do and all is said.
    fn look_at_idle(&mut self, now: Instant, draft: &mut Draft) {
        let busy = !draft.ops.is_empty() || !self.flights.is_empty();
        let unsaid = self.suspects || self.phase == Phase::Starting;
        if busy || unsaid || !self.table.has_idle() {
            return;
        }
        while draft.has_room()
            && let Some((key, row)) = self.table.next_idle()
        {
            self.look(now, key, row, true, draft);
        }
        if !self.table.has_idle() {
            self.nexthops.upright();
        }
    }

    /// `idle`: there is nothing else to do, so what could wait need not.
    fn look(&mut self, now: Instant, key: Key, row: Row, idle: bool, draft: &mut Draft) {
        if row.flight != RowFlight::None {
            self.set_flight(key, RowFlight::SentLookAgain);
            return;
        }
        let row = self.without_strangers(key, row);
        let stale = row.is_adopted() && self.phase == Phase::Starting;
        let waits = !self.retries.is_empty() && self.retries.is_waiting(&Subject::Row(key), now);
        let actual = (row.actual, row.actual_source);
        let wanted = if stale || waits {
            actual
        } else {
            self.aim(row)
        };
        if wanted == actual {
            if row.wanted != Slot::NOTHING {
                self.settled(key);
            }
            return;
        }
        if wanted == NOTHING && self.table.is_spread() && self.is_moving(key) {
            return;
        }
        if !idle && self.can_wait(row, wanted) {
            self.table.defer(key);
            self.settled(key);
            return;
        }
        if !self.put_objects(draft) || !draft.has_room() {
            // Its object comes first, in the next batch.
            self.table.update(key, |_| true);
            return;
        }
        self.change(key, row, wanted, draft);
        self.change_row(key, wanted.0, |row| {
            (row.actual, row.actual_source) = wanted;
            row.set_seen(true);
            row.flight = RowFlight::Sent;
            false
        });
    }

    /// Whether a row goes the right way already, though it is to point to another object.
    fn can_wait(&mut self, row: Row, wanted: (Slot, SourceId)) -> bool {
        let (Some(actual), Some(target)) = (row.actual.index(), wanted.0.index()) else {
            return false;
        };
        let waits = row.actual_source == wanted.1 && self.nexthops.leans(actual, target);
        if let Some(set) = row.wanted.index().filter(|_| waits) {
            self.nexthops.lean(set, actual);
        }
        waits
    }

    /// What is in doubt and may be a stranger's counts as not there: it is not removed, and ours is made only if there is
    /// room.
    fn without_strangers(&mut self, key: Key, mut row: Row) -> Row {
        if row.actual == Slot::UNKNOWN && self.may_be_strangers(key) {
            self.set_actual(key, NOTHING, false);
            (row.actual, row.actual_source) = NOTHING;
        }
        row
    }

    /// What should be in the kernel.
    fn aim(&mut self, row: Row) -> (Slot, SourceId) {
        if !self.config.install {
            return NOTHING;
        }
        let Some(set) = row.wanted.index() else {
            return (row.wanted, SourceId::NONE);
        };
        let target = self
            .nexthops
            .target(set, row.actual.index(), &self.resolver);
        target.map_or(NOTHING, |object| {
            (Slot::at(object), self.sources.at_hand(row.wanted_source))
        })
    }

    fn change(&mut self, key: Key, row: Row, wanted: (Slot, SourceId), draft: &mut Draft) {
        let (prefix, Some(place)) = (key.prefix, self.table.place_of(key.place)) else {
            return;
        };
        let (table, metric) = (place.table, place.metric);
        let remove = Op::RemoveRoute {
            prefix,
            table,
            metric,
            tos: place.tos,
        };
        let Some(target) = self.target_of(wanted.0) else {
            draft.push(remove, Pending::Remove { key });
            return;
        };
        let swept = row.actual == Slot::UNKNOWN;
        if swept {
            draft.push(remove, Pending::Sweep);
        }
        let replace = row.actual != Slot::NOTHING && !swept;
        let pending = if replace {
            Pending::Replace { key }
        } else {
            Pending::Put { key, swept }
        };
        let put = Op::PutRoute {
            prefix,
            table,
            metric,
            prefsrc: self.sources.address(wanted.1),
            target,
            replace,
        };
        draft.push(put, pending);
    }

    /// Whether its prefix is on its way to another place: until it is there, it stays here too.
    fn is_moving(&self, key: Key) -> bool {
        let on_its_way = |row: &Row| row.is_dirty() || row.flight != RowFlight::None;
        let elsewhere = self.table.elsewhere(key);
        elsewhere
            .iter()
            .any(|(_, row)| row.wanted != Slot::NOTHING && on_its_way(row))
    }

    /// It is as it shall be, or as it can be: what waited for it in other places may go.
    #[inline]
    pub(super) fn settled(&mut self, key: Key) {
        if self.table.is_spread() {
            self.release_elsewhere(key);
        }
    }

    fn release_elsewhere(&mut self, key: Key) {
        for (other, row) in self.table.elsewhere(key) {
            if row.wanted == Slot::NOTHING && row.actual != Slot::NOTHING {
                self.table
                    .update(other, |row| row.flight == RowFlight::None);
            }
        }
    }

    fn set_flight(&mut self, key: Key, flight: RowFlight) {
        self.table.update(key, |row| {
            row.flight = flight;
            false
        });
    }

    fn target_of(&self, slot: Slot) -> Option<Target> {
        match slot {
            Slot::BLACKHOLE => Some(Target::Blackhole),
            Slot::UNREACHABLE => Some(Target::Unreachable),
            Slot::PROHIBIT => Some(Target::Prohibit),
            _ => self.nexthops.route_target(slot.index()?),
        }
    }

    /// Only when no route waits: it may yet point to one of them.
    fn remove_objects(&mut self, draft: &mut Draft) {
        while draft.has_room() && self.table.queued() == 0 {
            let Some(step) = self.nexthops.next_removal() else {
                return;
            };
            let pending = pending_step(&step);
            draft.push(step.op, pending);
        }
    }
}

fn pending_step(step: &Step) -> Pending {
    let index = step.object;
    match step.op {
        Op::PutPath { replace, .. } | Op::PutGroup { replace, .. } => {
            Pending::Object { index, replace }
        }
        Op::RemoveNexthop { id } => Pending::ObjectGone { index, id },
        Op::PutRoute { .. } | Op::RemoveRoute { .. } => Pending::Sweep,
    }
}
