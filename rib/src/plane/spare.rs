//! What the kernel is to fall back to when a next hop is lost: that of the path that would be chosen without it.

use std::collections::VecDeque;

use bgp_core::Prefix;
use smallvec::SmallVec;

use crate::decision::{self, Candidate, Multipath};
use crate::next_hop::NextHopKey;
use crate::plane::Plane;
use crate::rib::{Core, Rib};
use crate::table::NONE;

/// Nets of which the FIB has to hear what is spare, though their choice is as it was.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    /// The FIB wants to hear it.
    wanted: bool,
    /// Each at most once.
    due: VecDeque<u32>,
}

impl Spares {
    pub(crate) fn has_news(&self) -> bool {
        !self.due.is_empty()
    }
}

impl Rib {
    /// Whether the FIB is told what is spare beside a next hop that is alone. What it was told before stands until
    /// [`Rib::fib_resync`].
    pub fn tell_spares(&mut self, wanted: bool) {
        self.ipv4.tell_spares(wanted);
        self.ipv6.tell_spares(wanted);
    }
}

impl<P: Prefix> Plane<P> {
    fn tell_spares(&mut self, wanted: bool) {
        self.spares.wanted = wanted;
        if !wanted {
            self.forget_spares();
        }
    }

    /// The FIB hears of all nets anyway, or of none.
    pub(crate) fn forget_spares(&mut self) {
        while let Some(net) = self.next_spare() {
            self.free_if_forgotten(net);
        }
    }

    /// A path that is not chosen came, went or changed: it may be what is spare.
    #[inline]
    pub(crate) fn note_spare(&mut self, net: u32) {
        let fib = self.fib.as_ref().filter(|_| self.spares.wanted);
        // What is spare is looked up when a net is told: who has yet to hear of it will hear that too.
        if fib.is_none_or(|fib| self.will_hear(fib, net)) {
            return;
        }
        if let Some(slot) = self.table.net_mut(net)
            && !slot.is_spare_due()
            && slot.best != NONE
        {
            slot.set_spare_due(true);
            self.spares.due.push_back(net);
        }
    }

    /// The next net of which to tell.
    pub(crate) fn next_spare(&mut self) -> Option<u32> {
        let net = self.spares.due.pop_front()?;
        if self.spares.due.is_empty() {
            self.spares.due = VecDeque::new();
        }
        if let Some(slot) = self.table.net_mut(net) {
            slot.set_spare_due(false);
        }
        Some(net)
    }

    /// What is spare beside a next hop: that of the path which would be chosen if no path had it.
    pub(crate) fn spare(&self, core: &Core, net: u32, beside: NextHopKey) -> Option<NextHopKey> {
        if !self.spares.wanted {
            return None;
        }
        let slot = self.table.net(net)?;
        if self.table.path(slot.first)?.next == NONE {
            return None;
        }
        let prefix = slot.prefix;
        let mut keys: SmallVec<[NextHopKey; 4]> = SmallVec::new();
        let mut candidates: SmallVec<[Candidate; 4]> = SmallVec::new();
        for path in self.table.paths_of(net) {
            let Some(path) = self.table.path(path) else {
                continue;
            };
            // Of our own that have several, or none, nothing is spare.
            let key = Self::only_next_hop(core, prefix, path);
            let Some(key) = key.filter(|key| *key != beside) else {
                continue;
            };
            if let Some(candidate) = Self::candidate(core, prefix, path) {
                keys.push(key);
                candidates.push(candidate);
            }
        }
        let best = decision::decide(&candidates, Multipath::NONE)?.best;
        keys.get(best).copied()
    }
}
