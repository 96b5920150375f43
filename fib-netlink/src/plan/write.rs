//! The difference, as batches: nexthop objects first, then routes, then what nobody points to any more.

use std::time::Instant;

use ipnet::IpNet;

use super::{BATCHES_MAX, Fib, Flight, OPS_MAX, Pending, Phase};
use crate::Output;
use crate::nexthops::Step;
use crate::op::{Batch, Frame, Op, Target};
use crate::retry::Subject;
use crate::table::{Flight as RowFlight, Row, Slot};

/// Operations that one route needs at most.
const OPS_OF_A_ROUTE: usize = 2;

/// A batch in the making.
#[derive(Debug, Default)]
struct Draft {
    ops: Vec<Op>,
    pending: Vec<Pending>,
}

impl Draft {
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
        let mut draft = Draft::default();
        self.put_objects(&mut draft);
        while draft.has_room() && self.nexthops.rows_concerned {
            self.visit_rows();
            self.put_objects(&mut draft);
        }
        while draft.has_room()
            && let Some((prefix, row)) = self.table.next_to_look_at()
        {
            self.look(now, prefix, row, &mut draft);
        }
        self.remove_strays(&mut draft);
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
        let frame = Frame {
            table: self.config.table,
            protocol: self.config.protocol,
            prefsrc: self.prefsrc,
        };
        Some(Batch {
            id,
            frame,
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
                row.actual = if doubtful {
                    Slot::UNKNOWN
                } else {
                    Slot::NOTHING
                };
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

    fn look(&mut self, now: Instant, prefix: IpNet, row: Row, draft: &mut Draft) {
        if row.flight != RowFlight::None {
            self.set_flight(prefix, RowFlight::SentLookAgain);
            return;
        }
        let stale = row.adopted && self.phase == Phase::Starting;
        if stale
            || (!self.retries.is_empty() && self.retries.is_waiting(&Subject::Row(prefix), now))
        {
            return;
        }
        let wanted = match row.wanted.index() {
            Some(set) => self
                .nexthops
                .target(set, row.actual.index(), &self.resolver)
                .map_or(Slot::NOTHING, Slot::at),
            None => row.wanted,
        };
        if wanted == row.actual {
            return;
        }
        if !self.put_objects(draft) || !draft.has_room() {
            // Its object comes first, in the next batch.
            self.table.update(prefix, |_| true);
            return;
        }
        let metric = self.metric(prefix);
        let swept = row.actual == Slot::UNKNOWN;
        if swept && wanted != Slot::NOTHING {
            draft.push(
                Op::RemoveRoute {
                    prefix,
                    metric,
                    tos: 0,
                },
                Pending::Sweep,
            );
        }
        match self.target_of(wanted) {
            None => draft.push(
                Op::RemoveRoute {
                    prefix,
                    metric,
                    tos: 0,
                },
                Pending::Remove { prefix },
            ),
            Some(target) => {
                let replace = row.actual != Slot::NOTHING && !swept;
                let pending = if replace {
                    Pending::Replace { prefix }
                } else {
                    Pending::Put { prefix, swept }
                };
                draft.push(
                    Op::PutRoute {
                        prefix,
                        metric,
                        target,
                        replace,
                    },
                    pending,
                );
            }
        }
        self.set_actual(prefix, wanted, false);
        self.set_flight(prefix, RowFlight::Sent);
    }

    fn set_flight(&mut self, prefix: IpNet, flight: RowFlight) {
        self.table.update(prefix, |row| {
            row.flight = flight;
            false
        });
    }

    fn target_of(&self, slot: Slot) -> Option<Target> {
        match slot {
            Slot::BLACKHOLE => Some(Target::Blackhole),
            Slot::UNREACHABLE => Some(Target::Unreachable),
            _ => self.nexthops.route_target(slot.index()?),
        }
    }

    fn remove_strays(&mut self, draft: &mut Draft) {
        while draft.has_room() && self.phase != Phase::Starting {
            let Some(stray) = self.strays.pop_first() else {
                return;
            };
            draft.push(
                Op::RemoveRoute {
                    prefix: stray.prefix,
                    metric: stray.metric,
                    tos: stray.tos,
                },
                Pending::Sweep,
            );
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
