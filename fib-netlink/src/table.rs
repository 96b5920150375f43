//! Wanted and actual, a row a prefix: 20 bytes for IPv4, key and all.

use std::collections::VecDeque;
use std::hash::Hash;

use bgp_core::{Ipv4Prefix, Ipv6Prefix, Prefix};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;

/// What one column of a row says: nothing, one of the constants, or a place in a slab.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Slot(u32);

impl Slot {
    /// Nothing is wanted, or nothing of ours is there.
    pub(crate) const NOTHING: Self = Self(0);
    /// Packets are dropped.
    pub(crate) const BLACKHOLE: Self = Self(1);
    /// Packets are refused.
    pub(crate) const UNREACHABLE: Self = Self(2);
    /// Perhaps something of ours is there, perhaps not (only actual).
    pub(crate) const UNKNOWN: Self = Self(3);
    /// Something of ours is there that nobody could want (only actual).
    pub(crate) const OTHER: Self = Self(4);
    const FIRST: u32 = 5;

    /// The slot for a place in a slab.
    pub(crate) fn at(index: usize) -> Self {
        Self(
            u32::try_from(index)
                .unwrap_or(u32::MAX)
                .saturating_add(Self::FIRST),
        )
    }

    /// The place in the slab.
    pub(crate) fn index(self) -> Option<usize> {
        self.0.checked_sub(Self::FIRST).map(|i| i as usize)
    }
}

/// Whether a change of a row is with the kernel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Flight {
    /// No.
    #[default]
    None,
    /// Yes; until it is answered, nothing more is sent.
    Sent,
    /// Yes, and the row needs a look after the answer.
    SentLookAgain,
}

/// One prefix.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    /// A set of next hops, or a constant.
    pub(crate) wanted: Slot,
    /// An object, or a constant. Says what it will be once all that was sent is carried out.
    pub(crate) actual: Slot,
    pub(crate) flight: Flight,
    /// It is in one of the queues.
    dirty: bool,
    /// The dump that is under way told of it.
    pub(crate) seen: bool,
    /// It was found in the kernel at start, and was not wanted so far.
    pub(crate) adopted: bool,
}

/// All prefixes of both families, and which of them need a look.
#[derive(Debug, Default)]
pub(crate) struct Table {
    ipv4: Rows<Ipv4Prefix>,
    ipv6: Rows<Ipv6Prefix>,
}

impl Table {
    /// The row of a prefix; an empty one if there is none.
    pub(crate) fn row(&self, prefix: IpNet) -> Row {
        match prefix {
            IpNet::V4(_) => self.ipv4.row(prefix),
            IpNet::V6(_) => self.ipv6.row(prefix),
        }
    }

    /// Changes a row, makes it if need be, and drops it when nothing is left in it. When `change`
    /// says so, it is queued to be looked at.
    pub(crate) fn update(&mut self, prefix: IpNet, change: impl FnOnce(&mut Row) -> bool) {
        match prefix {
            IpNet::V4(_) => self.ipv4.update(prefix, change),
            IpNet::V6(_) => self.ipv6.update(prefix, change),
        }
    }

    /// Takes a row out of the queues. Rows that want a route come first, in the order in which they
    /// were queued; the others in a pseudo-random one, because removing routes from the kernel's trie
    /// in ascending order takes it quadratic time.
    pub(crate) fn next_to_look_at(&mut self) -> Option<(IpNet, Row)> {
        self.ipv4
            .next_change()
            .or_else(|| self.ipv6.next_change())
            .or_else(|| self.ipv4.next_removal())
            .or_else(|| self.ipv6.next_removal())
    }

    /// How many rows wait to be looked at.
    pub(crate) fn queued(&self) -> usize {
        self.ipv4.queued() + self.ipv6.queued()
    }

    /// Visits all rows, changes them, and queues those for which `visit` says so. In no useful
    /// order, but in the same one in each run: the hash has no seed.
    pub(crate) fn scan(&mut self, mut visit: impl FnMut(IpNet, &mut Row) -> bool) {
        self.ipv4.scan(&mut visit);
        self.ipv6.scan(&mut visit);
    }

    /// All rows, likewise.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpNet, Row)> + '_ {
        let ipv4 = self.ipv4.rows.iter().map(|(p, row)| ((*p).into(), *row));
        ipv4.chain(self.ipv6.rows.iter().map(|(p, row)| ((*p).into(), *row)))
    }
}

#[derive(Debug)]
struct Rows<P> {
    rows: HashMap<P, Row, FixedState>,
    changes: VecDeque<P>,
    removals: Vec<P>,
    /// The state of the order of removals.
    chance: u64,
}

impl<P: Prefix + Hash> Rows<P> {
    fn row(&self, prefix: IpNet) -> Row {
        P::from_net(prefix)
            .and_then(|p| self.rows.get(&p))
            .copied()
            .unwrap_or_default()
    }

    fn update(&mut self, prefix: IpNet, change: impl FnOnce(&mut Row) -> bool) {
        let Some(prefix) = P::from_net(prefix) else {
            return;
        };
        let row = self.rows.entry(prefix).or_default();
        if change(row) && !row.dirty {
            row.dirty = true;
            queue(prefix, *row, &mut self.changes, &mut self.removals);
        }
        if is_empty(row) {
            self.rows.remove(&prefix);
        }
    }

    fn next_change(&mut self) -> Option<(IpNet, Row)> {
        let prefix = self.changes.pop_front()?;
        self.taken(prefix)
    }

    fn next_removal(&mut self) -> Option<(IpNet, Row)> {
        if self.removals.is_empty() {
            return None;
        }
        // Knuth's MMIX generator: any order will do that is not sorted.
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let index = usize::try_from(self.chance >> 33).unwrap_or(0) % self.removals.len();
        let prefix = self.removals.swap_remove(index);
        self.taken(prefix)
    }

    fn taken(&mut self, prefix: P) -> Option<(IpNet, Row)> {
        let row = self.rows.get_mut(&prefix)?;
        row.dirty = false;
        let taken = *row;
        if is_empty(row) {
            self.rows.remove(&prefix);
        }
        Some((prefix.into(), taken))
    }

    fn queued(&self) -> usize {
        self.changes.len() + self.removals.len()
    }

    fn scan(&mut self, visit: &mut impl FnMut(IpNet, &mut Row) -> bool) {
        for (prefix, row) in &mut self.rows {
            if visit((*prefix).into(), row) && !row.dirty {
                row.dirty = true;
                queue(*prefix, *row, &mut self.changes, &mut self.removals);
            }
        }
        self.rows.retain(|_, row| !is_empty(row));
    }
}

impl<P> Default for Rows<P> {
    fn default() -> Self {
        Self {
            rows: HashMap::default(),
            changes: VecDeque::new(),
            removals: Vec::new(),
            chance: 0,
        }
    }
}

fn queue<P>(prefix: P, row: Row, changes: &mut VecDeque<P>, removals: &mut Vec<P>) {
    if row.wanted == Slot::NOTHING {
        removals.push(prefix);
    } else {
        changes.push_back(prefix);
    }
}

fn is_empty(row: &Row) -> bool {
    row.wanted == Slot::NOTHING
        && row.actual == Slot::NOTHING
        && !row.dirty
        && row.flight == Flight::None
}

#[cfg(test)]
mod tests;
