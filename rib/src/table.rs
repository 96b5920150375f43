//! The prefixes of a family and their paths: Adj-RIBs-In and Loc-RIB in one, as small records linked by index.
//!
//! A path is what a peer told, and stays if policy rejects it, so that another policy needs no refresh.

use std::hash::BuildHasher;

use bgp_core::Prefix;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::attribute_store::AttrId;
use crate::journal::Version;
use crate::peer::PeerId;
use crate::slab::{Chunks, Slab};

/// No index.
pub(crate) const NONE: u32 = u32::MAX;

/// The least room of the index.
const INDEX_MIN: usize = 14;

/// A prefix with its paths. 20 octets for IPv4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Net<P> {
    pub(crate) prefix: P,
    state: u8,
    /// A bit for each peer whose number is as much modulo 16, at least while it has a path here: who has none need not be
    /// looked for among the paths.
    tellers: u16,
    pub(crate) first: u32,
    pub(crate) best: u32,
    /// Its last entry in the journal that somebody has yet to hear; zero: none.
    pub(crate) version: Version,
}

impl<P> Net<P> {
    const LIVE: u8 = 1;
    const SPARE_DUE: u8 = 2;

    /// Not a free slot.
    #[inline]
    pub(crate) const fn is_live(&self) -> bool {
        self.state & Self::LIVE != 0
    }

    /// The FIB has to hear what is spare for it.
    #[inline]
    pub(crate) const fn is_spare_due(&self) -> bool {
        self.state & Self::SPARE_DUE != 0
    }

    pub(crate) const fn set_spare_due(&mut self, due: bool) {
        self.state = if due {
            self.state | Self::SPARE_DUE
        } else {
            self.state & !Self::SPARE_DUE
        };
    }

    /// Whether a peer may have a path here; `false` is certain.
    #[inline]
    const fn may_have(&self, peer: PeerId) -> bool {
        self.tellers & teller(peer) != 0
    }
}

const fn teller(peer: PeerId) -> u16 {
    1 << (peer.0 % 16)
}

/// One path. 20 octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) next: u32,
    /// After import policy. The path holds a reference.
    pub(crate) attrs: AttrId,
    /// Before. Holds a reference too, if it is another.
    pub(crate) received: AttrId,
    peer_and_flags: u32,
    pub(crate) path_id: u32,
}

/// What is known about a path, a bit each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    /// By import policy, or because there is none (RFC 8212).
    pub(crate) const REJECTED: Self = Self(1);
    /// Our AS is in AS_PATH too often (RFC 4271 §9.1.2).
    pub(crate) const AS_LOOP: Self = Self(2);
    /// ORIGINATOR_ID is us (RFC 4456 §8).
    pub(crate) const ORIGINATOR_LOOP: Self = Self(4);
    /// Our cluster is in CLUSTER_LIST (RFC 4456 §8).
    pub(crate) const CLUSTER_LOOP: Self = Self(8);
    /// A route leak (RFC 9234 §5).
    pub(crate) const LEAK: Self = Self(16);
    /// Shares the traffic with others.
    pub(crate) const MULTIPATH: Self = Self(32);
    /// Its peer is telling its routes again, and has not come to this one (RFC 7313 §4, RFC 4724 §4.2).
    pub(crate) const STALE: Self = Self(64);

    /// Kept for longer than its peer's Restart Time: its attributes carry LLGR_STALE (RFC 9494 §4.2).
    pub(crate) const LONG_LIVED: Self = Self(128);

    /// Those that make a path ineligible.
    const INELIGIBLE: u8 = 1 | 2 | 4 | 8 | 16;

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Self, whether: bool) -> Self {
        Self(if whether {
            self.0 | other.0
        } else {
            self.0 & !other.0
        })
    }

    /// Policy and loop checks let it pass.
    pub(crate) const fn accepted(self) -> bool {
        self.0 & Self::INELIGIBLE == 0
    }
}

impl Path {
    pub(crate) const fn new(
        peer: PeerId,
        path_id: u32,
        attrs: AttrId,
        received: AttrId,
        flags: Flags,
    ) -> Self {
        Self {
            next: NONE,
            attrs,
            received,
            peer_and_flags: peer.0 << 8 | flags.0 as u32,
            path_id,
        }
    }

    #[inline]
    pub(crate) const fn peer(&self) -> PeerId {
        PeerId(self.peer_and_flags >> 8)
    }

    #[inline]
    pub(crate) const fn flags(&self) -> Flags {
        let [.., low] = self.peer_and_flags.to_be_bytes();
        Flags(low)
    }

    pub(crate) const fn set_flags(&mut self, flags: Flags) {
        self.peer_and_flags = self.peer_and_flags & !0xff | flags.0 as u32;
    }
}

/// The table of a family.
#[derive(Debug)]
pub(crate) struct Table<P> {
    nets: Slab<Net<P>>,
    paths: Slab<Path>,
    /// The Path Identifiers that we give (RFC 7911 §3), by path; only while somebody is told several paths a prefix.
    numbers: Option<Chunks<u32>>,
    index: HashTable<u32>,
    hasher: FixedState,
}

impl<P: Prefix> Table<P> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            nets: Slab::default(),
            paths: Slab::default(),
            numbers: None,
            index: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    #[inline]
    pub(crate) fn net(&self, index: u32) -> Option<&Net<P>> {
        self.nets.get(index)
    }

    #[inline]
    pub(crate) fn net_mut(&mut self, index: u32) -> Option<&mut Net<P>> {
        self.nets.get_mut(index)
    }

    #[inline]
    pub(crate) fn path(&self, index: u32) -> Option<&Path> {
        self.paths.get(index)
    }

    #[inline]
    pub(crate) fn path_mut(&mut self, index: u32) -> Option<&mut Path> {
        self.paths.get_mut(index)
    }

    /// The best path of a net.
    #[inline]
    pub(crate) fn best(&self, net: u32) -> Option<&Path> {
        self.paths.get(self.nets.get(net)?.best)
    }

    /// Indices of nets, free ones too.
    pub(crate) const fn indices(&self) -> std::ops::Range<u32> {
        self.nets.indices()
    }

    /// Nets in use, those among them that have lost their last path and are yet to be heard of.
    pub(crate) fn nets_used(&self) -> usize {
        self.nets.used()
    }

    pub(crate) fn paths_used(&self) -> usize {
        self.paths.used()
    }

    pub(crate) fn memory(&self) -> usize {
        let numbers = self.numbers.as_ref().map_or(0, Chunks::memory);
        self.nets.memory() + self.paths.memory() + self.index.allocation_size() + numbers
    }

    pub(crate) fn find(&self, prefix: P) -> Option<u32> {
        let same = |net: &u32| self.nets.get(*net).is_some_and(|n| n.prefix == prefix);
        self.index.find(hash(&self.hasher, prefix), same).copied()
    }

    pub(crate) fn find_or_insert(&mut self, prefix: P) -> u32 {
        let hash = hash(&self.hasher, prefix);
        let nets = &self.nets;
        let same = |net: &u32| nets.get(*net).is_some_and(|n| n.prefix == prefix);
        if let Some(net) = self.index.find(hash, same) {
            return *net;
        }
        if self.index.len() == self.index.capacity() {
            self.rebuild_index();
        }
        let net = self.nets.insert(Net {
            prefix,
            state: Net::<P>::LIVE,
            tellers: 0,
            first: NONE,
            best: NONE,
            version: 0,
        });
        // There is room: nothing is hashed again.
        self.index.insert_unique(hash, net, |_| 0);
        net
    }

    /// Makes room in the index, from the nets in their order: that reads memory straight through, and needs the old
    /// index no more.
    fn rebuild_index(&mut self) {
        let room = (self.nets.used() * 2).max(INDEX_MIN);
        self.index = HashTable::new();
        self.index.reserve(room, |_| 0);
        for at in self.nets.indices() {
            if let Some(net) = self.nets.get(at).filter(|net| net.is_live()) {
                let hash = hash(&self.hasher, net.prefix);
                self.index.insert_unique(hash, at, |_| 0);
            }
        }
    }

    /// Frees a net that has no path and of which nobody has to hear.
    pub(crate) fn free_net(&mut self, net: u32) {
        let Some(slot) = self.nets.get_mut(net) else {
            return;
        };
        slot.state = 0;
        let hash = hash(&self.hasher, slot.prefix);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == net) {
            entry.remove();
        }
        self.nets.free(net);
    }

    /// The indices of a net's paths.
    pub(crate) fn paths_of(&self, net: u32) -> impl Iterator<Item = u32> {
        let mut next = self.nets.get(net).map_or(NONE, |n| n.first);
        std::iter::from_fn(move || {
            let path = self.paths.get(next)?;
            Some(std::mem::replace(&mut next, path.next))
        })
    }

    /// Any path of a peer.
    pub(crate) fn path_of(&self, net: u32, peer: PeerId) -> Option<u32> {
        self.nets.get(net).filter(|net| net.may_have(peer))?;
        self.paths_of(net)
            .find(|path| self.paths.get(*path).is_some_and(|p| p.peer() == peer))
    }

    pub(crate) fn find_path(&self, net: u32, peer: PeerId, path_id: u32) -> Option<u32> {
        self.nets.get(net).filter(|net| net.may_have(peer))?;
        self.paths_of(net).find(|path| {
            let path = self.paths.get(*path);
            path.is_some_and(|p| p.peer() == peer && p.path_id == path_id)
        })
    }

    pub(crate) fn add_path(&mut self, net: u32, mut path: Path) -> u32 {
        let Some(slot) = self.nets.get_mut(net) else {
            return NONE;
        };
        path.next = slot.first;
        slot.tellers |= teller(path.peer());
        let index = self.paths.insert(path);
        slot.first = index;
        if self.numbers.is_some() {
            self.number(net, index);
        }
        index
    }

    /// Whether paths have Path Identifiers of ours.
    #[inline]
    pub(crate) const fn is_numbered(&self) -> bool {
        self.numbers.is_some()
    }

    /// Gives each path a Path Identifier, which it keeps as long as it lives and the paths are numbered.
    pub(crate) fn number_all(&mut self) {
        if self.numbers.is_some() {
            return;
        }
        let mut numbers = Chunks::default();
        numbers.grow(self.paths.indices().end, 0);
        for net in self.nets.indices() {
            for (number, path) in (1..).zip(self.paths_of(net)) {
                if let Some(slot) = numbers.get_mut(path) {
                    *slot = number;
                }
            }
        }
        self.numbers = Some(numbers);
    }

    /// Nobody is told several paths any more.
    pub(crate) fn forget_numbers(&mut self) {
        self.numbers = None;
    }

    /// The Path Identifier of a path.
    pub(crate) fn number_of(&self, path: u32) -> u32 {
        let numbers = self.numbers.as_ref();
        numbers
            .and_then(|numbers| numbers.get(path).copied())
            .unwrap_or_default()
    }

    /// The least number that no other path of the net has. So numbers are never beyond the most paths that the net
    /// had at once, and a few of them are all that it ever used.
    fn number(&mut self, net: u32, path: u32) {
        let others = self.paths_of(net).filter(|other| *other != path);
        let mut taken: SmallVec<[u32; 16]> = others.map(|p| self.number_of(p)).collect();
        taken.sort_unstable();
        let gap = (1..).zip(&taken).find(|(number, taken)| number != *taken);
        let next = u32::try_from(taken.len()).map_or(u32::MAX, |len| len + 1);
        let number = gap.map_or(next, |(number, _)| number);
        if let Some(numbers) = &mut self.numbers {
            numbers.grow(self.paths.indices().end, 0);
            if let Some(slot) = numbers.get_mut(path) {
                *slot = number;
            }
        }
    }

    /// Takes a path out of its net. References of attributes are the caller's matter.
    pub(crate) fn remove_path(&mut self, net: u32, path: u32) -> Option<Path> {
        let before = self
            .paths_of(net)
            .find(|p| self.paths.get(*p).is_some_and(|p| p.next == path));
        let removed = *self.paths.get(path)?;
        match before {
            Some(before) => self.paths.get_mut(before)?.next = removed.next,
            None => self.nets.get_mut(net)?.first = removed.next,
        }
        // Of the peers whose paths go, some are looked for in vain until there is none.
        if let Some(slot) = self.nets.get_mut(net).filter(|slot| slot.first == NONE) {
            slot.tellers = 0;
        }
        self.paths.free(path);
        Some(removed)
    }
}

#[inline]
fn hash<P: Prefix>(hasher: &FixedState, prefix: P) -> u64 {
    let mut octets = [0; 16];
    let own = prefix.octets();
    if let Some(octets) = octets.get_mut(..own.len()) {
        octets.copy_from_slice(own);
    }
    let [a, b, c, d, ..] = octets;
    let len = prefix.len();
    if P::BITS == 32 {
        hasher.hash_one(u64::from(u32::from_be_bytes([a, b, c, d])) << 8 | u64::from(len))
    } else {
        hasher.hash_one((u128::from_be_bytes(octets), len))
    }
}
