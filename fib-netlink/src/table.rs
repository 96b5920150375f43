//! Wanted and actual, a row a prefix and place: 20 bytes for IPv4, key and all. Most routes are in one place, so a
//! place has rows of its own, and a row does not say where it is.

use std::collections::VecDeque;
use std::hash::Hash;

use bgp_core::{Ipv4Prefix, Ipv6Prefix, Prefix};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::source::SourceId;

/// Places of an earlier life that are kept in mind, at most; routes in others are left alone. Of what is wanted, the
/// configuration bounds them.
const PLACES_FOUND_MAX: usize = 256;

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
    /// Packets are refused as forbidden.
    pub(crate) const PROHIBIT: Self = Self(3);
    /// Perhaps something of ours is there, perhaps not (only actual).
    pub(crate) const UNKNOWN: Self = Self(4);
    /// Something of ours is there that nobody could want (only actual).
    pub(crate) const OTHER: Self = Self(5);
    const FIRST: u32 = 6;

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

/// Where in the kernel a route is, beside its prefix: there is room for one route a prefix and place.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) table: u32,
    pub(crate) metric: u32,
    pub(crate) tos: u8,
}

/// Refers to a place.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PlaceId(u16);

/// Names a row.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    pub(crate) prefix: IpNet,
    pub(crate) place: PlaceId,
}

/// One prefix in one place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    /// A set of next hops, or a constant.
    pub(crate) wanted: Slot,
    /// An object, or a constant. Says what it will be once all that was sent is carried out.
    pub(crate) actual: Slot,
    pub(crate) flight: Flight,
    /// The preferred source of what is wanted, whether this machine has it or not.
    pub(crate) wanted_source: SourceId,
    /// That of what is there.
    pub(crate) actual_source: SourceId,
    marks: Marks,
}

/// What else is to be known of a row, in one octet.
#[derive(Clone, Copy, Debug, Default)]
struct Marks(u8);

impl Marks {
    /// It is in one of the queues.
    const DIRTY: u8 = 1;
    /// The dump that is under way told of it.
    const SEEN: u8 = 2;
    /// It was found in the kernel at start, and was not wanted so far.
    const ADOPTED: u8 = 4;
    /// It is among those that can wait.
    const IDLE: u8 = 8;

    const fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    const fn set(&mut self, mark: u8, whether: bool) {
        if whether {
            self.0 |= mark;
        } else {
            self.0 &= !mark;
        }
    }
}

impl Row {
    /// It waits to be looked at.
    pub(crate) const fn is_dirty(&self) -> bool {
        self.marks.has(Marks::DIRTY)
    }

    /// The dump that is under way told of it.
    pub(crate) const fn is_seen(&self) -> bool {
        self.marks.has(Marks::SEEN)
    }

    pub(crate) const fn set_seen(&mut self, seen: bool) {
        self.marks.set(Marks::SEEN, seen);
    }

    /// It was found in the kernel at start, and was not wanted so far.
    pub(crate) const fn is_adopted(&self) -> bool {
        self.marks.has(Marks::ADOPTED)
    }

    pub(crate) const fn set_adopted(&mut self, adopted: bool) {
        self.marks.set(Marks::ADOPTED, adopted);
    }
}

/// All rows, and which of them need a look.
#[derive(Debug, Default)]
pub(crate) struct Table {
    places: Vec<Rooms>,
}

/// The rows of a place.
#[derive(Debug)]
struct Rooms {
    place: Place,
    ipv4: Rows<Ipv4Prefix>,
    ipv6: Rows<Ipv6Prefix>,
}

impl Rooms {
    fn row(&self, prefix: IpNet) -> Row {
        match prefix {
            IpNet::V4(_) => self.ipv4.row(prefix),
            IpNet::V6(_) => self.ipv6.row(prefix),
        }
    }

    fn is_empty(&self) -> bool {
        self.ipv4.rows.is_empty() && self.ipv6.rows.is_empty() && self.queued() == 0
    }

    fn queued(&self) -> usize {
        self.ipv4.queued() + self.ipv6.queued()
    }
}

impl Table {
    /// The number of a place, for a row that is wanted there.
    pub(crate) fn place(&mut self, place: Place) -> PlaceId {
        if let Some(id) = self.find(place) {
            return id;
        }
        let rooms = Rooms {
            place,
            ipv4: Rows::default(),
            ipv6: Rows::default(),
        };
        match self.places.iter().position(Rooms::is_empty) {
            Some(index) => {
                if let Some(empty) = self.places.get_mut(index) {
                    *empty = rooms;
                }
                place_id(index)
            }
            None => {
                self.places.push(rooms);
                place_id(self.places.len() - 1)
            }
        }
    }

    /// Likewise, for a row that was found in the kernel. `None`: there are too many.
    pub(crate) fn place_found(&mut self, place: Place) -> Option<PlaceId> {
        let full = self.places.len() >= PLACES_FOUND_MAX;
        self.find(place)
            .or_else(|| (!full).then(|| self.place(place)))
    }

    /// The number of a place that has one.
    pub(crate) fn find(&self, place: Place) -> Option<PlaceId> {
        let index = self.places.iter().position(|rooms| rooms.place == place);
        index.map(place_id)
    }

    /// Where that is.
    pub(crate) fn place_of(&self, id: PlaceId) -> Option<Place> {
        self.places.get(usize::from(id.0)).map(|rooms| rooms.place)
    }

    /// Whether something is wanted, or there, in a table.
    pub(crate) fn has_table(&self, table: u32) -> bool {
        let mut rooms = self.places.iter();
        rooms.any(|rooms| rooms.place.table == table && !rooms.is_empty())
    }

    /// Whether there are several places.
    pub(crate) const fn is_spread(&self) -> bool {
        self.places.len() > 1
    }

    /// The rows of the same prefix in other places.
    pub(crate) fn elsewhere(&self, key: Key) -> SmallVec<[(Key, Row); 2]> {
        self.rows_of(key.prefix)
            .filter(|(other, _)| other.place != key.place)
            .collect()
    }

    /// The place, if there is but one.
    pub(crate) const fn only_place(&self) -> Option<PlaceId> {
        match self.places.as_slice() {
            [_] => Some(PlaceId(0)),
            _ => None,
        }
    }

    /// The rows of a prefix that are not empty.
    pub(crate) fn rows_of(&self, prefix: IpNet) -> impl Iterator<Item = (Key, Row)> + '_ {
        let rows = self.places.iter().enumerate().map(move |(i, rooms)| {
            let place = place_id(i);
            (Key { prefix, place }, rooms.row(prefix))
        });
        rows.filter(|(_, row)| !is_empty(row))
    }

    /// A row; an empty one if there is none.
    pub(crate) fn row(&self, key: Key) -> Row {
        let rooms = self.places.get(usize::from(key.place.0));
        rooms.map(|rooms| rooms.row(key.prefix)).unwrap_or_default()
    }

    /// Changes a row, makes it if need be, and drops it when nothing is left in it. When `change`
    /// says so, it is queued to be looked at.
    pub(crate) fn update(&mut self, key: Key, change: impl FnOnce(&mut Row) -> bool) {
        let Some(rooms) = self.places.get_mut(usize::from(key.place.0)) else {
            return;
        };
        match key.prefix {
            IpNet::V4(_) => rooms.ipv4.update(key.prefix, change),
            IpNet::V6(_) => rooms.ipv6.update(key.prefix, change),
        }
    }

    /// Takes a row out of the queues. Rows that want a route come first, in the order in which they
    /// were queued; the others in a pseudo-random one, because removing routes from the kernel's trie
    /// in ascending order takes it quadratic time.
    pub(crate) fn next_to_look_at(&mut self) -> Option<(Key, Row)> {
        for (index, rooms) in self.places.iter_mut().enumerate() {
            let change = rooms.ipv4.next_change();
            if let Some((prefix, row)) = change.or_else(|| rooms.ipv6.next_change()) {
                let place = place_id(index);
                return Some((Key { prefix, place }, row));
            }
        }
        for (index, rooms) in self.places.iter_mut().enumerate() {
            let removal = rooms.ipv4.next_removal();
            if let Some((prefix, row)) = removal.or_else(|| rooms.ipv6.next_removal()) {
                let place = place_id(index);
                return Some((Key { prefix, place }, row));
            }
        }
        None
    }

    /// The row goes the right way, though not as it shall: it is looked at when nothing else is to be done.
    pub(crate) fn defer(&mut self, key: Key) {
        let Some(rooms) = self.places.get_mut(usize::from(key.place.0)) else {
            return;
        };
        match key.prefix {
            IpNet::V4(_) => rooms.ipv4.defer(key.prefix),
            IpNet::V6(_) => rooms.ipv6.defer(key.prefix),
        }
    }

    /// Takes out a row of those that can wait.
    pub(crate) fn next_idle(&mut self) -> Option<(Key, Row)> {
        for (index, rooms) in self.places.iter_mut().enumerate() {
            let idle = rooms.ipv4.next_idle();
            if let Some((prefix, row)) = idle.or_else(|| rooms.ipv6.next_idle()) {
                let place = place_id(index);
                return Some((Key { prefix, place }, row));
            }
        }
        None
    }

    /// Whether rows are there that can wait.
    pub(crate) fn has_idle(&self) -> bool {
        let mut rooms = self.places.iter();
        rooms.any(|rooms| !rooms.ipv4.idle.is_empty() || !rooms.ipv6.idle.is_empty())
    }

    /// How many rows wait to be looked at.
    pub(crate) fn queued(&self) -> usize {
        self.places.iter().map(Rooms::queued).sum()
    }

    /// Visits all rows, changes them, and queues those for which `visit` says so. In no useful
    /// order, but in the same one in each run: the hash has no seed.
    pub(crate) fn scan(&mut self, mut visit: impl FnMut(IpNet, &mut Row) -> bool) {
        for rooms in &mut self.places {
            rooms.ipv4.scan(&mut visit);
            rooms.ipv6.scan(&mut visit);
        }
    }

    /// All rows, likewise.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, Row)> + '_ {
        self.places.iter().enumerate().flat_map(|(i, rooms)| {
            let place = place_id(i);
            let ipv4 = rooms.ipv4.rows.iter().map(|(p, row)| ((*p).into(), *row));
            let ipv6 = rooms.ipv6.rows.iter().map(|(p, row)| ((*p).into(), *row));
            ipv4.chain(ipv6)
                .map(move |(prefix, row)| (Key { prefix, place }, row))
        })
    }
}

fn place_id(index: usize) -> PlaceId {
    PlaceId(u16::try_from(index).unwrap_or(u16::MAX))
}

#[derive(Debug)]
struct Rows<P> {
    rows: HashMap<P, Row, FixedState>,
    changes: VecDeque<P>,
    removals: Vec<P>,
    /// Each at most once.
    idle: VecDeque<P>,
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
        if change(row) && !row.is_dirty() {
            row.marks.set(Marks::DIRTY, true);
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

    fn defer(&mut self, prefix: IpNet) {
        let Some(prefix) = P::from_net(prefix) else {
            return;
        };
        if let Some(row) = self.rows.get_mut(&prefix)
            && !row.marks.has(Marks::IDLE)
        {
            row.marks.set(Marks::IDLE, true);
            self.idle.push_back(prefix);
        }
    }

    /// What waits in another queue too is looked at from there.
    fn next_idle(&mut self) -> Option<(IpNet, Row)> {
        let prefix = self.idle.pop_front()?;
        if self.idle.is_empty() {
            self.idle = VecDeque::new();
        }
        let row = self.rows.get_mut(&prefix)?;
        row.marks.set(Marks::IDLE, false);
        let taken = *row;
        if is_empty(row) {
            self.rows.remove(&prefix);
        }
        Some((prefix.into(), taken))
    }

    fn taken(&mut self, prefix: P) -> Option<(IpNet, Row)> {
        let row = self.rows.get_mut(&prefix)?;
        row.marks.set(Marks::DIRTY, false);
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
            if visit((*prefix).into(), row) && !row.is_dirty() {
                row.marks.set(Marks::DIRTY, true);
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
            idle: VecDeque::new(),
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
        && !row.is_dirty()
        && !row.marks.has(Marks::IDLE)
        && row.flight == Flight::None
}

#[cfg(test)]
mod tests;
