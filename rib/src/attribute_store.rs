//! Attribute sets, interned by content: a route has a number, the set is kept once, encoded, beside the few
//! facts that the decision and most exports need. Nothing here decodes unless somebody asks for all attributes.

use std::hash::BuildHasher;
use std::net::Ipv4Addr;

use bgp_core::Attributes;
use bgp_core::attributes::{Community, NextHop, Origin};
use bgp_core::update::{decode_attributes, encode_attributes};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use ipnet::IpNet;

use crate::next_hop::{HopId, NextHops, Over};
use crate::slab::Slab;

/// LOCAL_PREF of a route that has none (RFC 4271 §9.1.1 leaves it to us; all implementations take 100).
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

/// Refers to an attribute set. Whoever keeps one holds a reference.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct AttrId(pub(crate) u32);

/// What the decision and the export rules read of an attribute set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// AIGP; only if [`Facts::has`] says so.
    pub(crate) aigp: u64,
    pub(crate) local_pref: u32,
    /// MULTI_EXIT_DISC; zero if absent (RFC 4271 §9.1.2.2 c).
    pub(crate) med: u32,
    /// Zero: none.
    pub(crate) neighbor_as: u32,
    /// ORIGINATOR_ID; zero: none.
    pub(crate) originator: u32,
    pub(crate) next_hop: HopId,
    /// A mark of policies; zero: none. Sets that differ in nothing else are two sets.
    pub(crate) tag: u32,
    /// Link Bandwidth, in octets a second; zero: none.
    pub(crate) bandwidth: f32,
    pub(crate) as_path_len: u16,
    pub(crate) cluster_list_len: u16,
    pub(crate) origin: Origin,
    flags: u8,
}

/// What [`Facts::has`] can be asked.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Has {
    NoExport = 1,
    NoAdvertise = 2,
    NoExportSubconfed = 4,
    OnlyToCustomer = 8,
    Aigp = 16,
    LlgrStale = 32,
}

impl Facts {
    fn of(attributes: &Attributes, next_hop: HopId, tag: u32) -> Self {
        let mut flags = 0;
        let mut set = |has: Has, whether: bool| flags |= if whether { has as u8 } else { 0 };
        let has = |community| attributes.communities.contains(&community);
        set(Has::NoExport, has(Community::NO_EXPORT));
        set(Has::NoAdvertise, has(Community::NO_ADVERTISE));
        set(Has::NoExportSubconfed, has(Community::NO_EXPORT_SUBCONFED));
        set(Has::OnlyToCustomer, attributes.only_to_customer.is_some());
        set(Has::Aigp, attributes.aigp.is_some());
        set(Has::LlgrStale, has(Community::LLGR_STALE));
        let short = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        Self {
            aigp: attributes.aigp.unwrap_or_default(),
            local_pref: attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF),
            med: attributes.med.unwrap_or_default(),
            neighbor_as: attributes.as_path.neighbor_as().unwrap_or_default(),
            originator: attributes.originator_id.map_or(0, u32::from),
            next_hop,
            tag,
            bandwidth: attributes
                .ext_communities
                .iter()
                .find_map(|community| community.as_link_bandwidth())
                .map_or(0.0, |(_, rate)| rate),
            as_path_len: short(attributes.as_path.len_for_decision()),
            cluster_list_len: short(attributes.cluster_list.len()),
            origin: attributes.origin,
            flags,
        }
    }

    pub(crate) const fn has(&self, what: Has) -> bool {
        self.flags & what as u8 != 0
    }
}

#[derive(Debug)]
struct Slot {
    facts: Facts,
    refs: u32,
    hash: u32,
    /// As [`encode_attributes`] writes it with AS numbers of four octets.
    block: Box<[u8]>,
}

/// The store.
#[derive(Debug)]
pub(crate) struct AttributeStore {
    pub(crate) next_hops: NextHops,
    slots: Slab<Slot>,
    index: HashTable<u32>,
    hasher: FixedState,
    scratch: Vec<u8>,
    block_octets: usize,
}

impl AttributeStore {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            next_hops: NextHops::default(),
            slots: Slab::default(),
            index: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            scratch: Vec::new(),
            block_octets: 0,
        }
    }

    /// The number of a set as it was heard `over` a session, with a policy's `tag`. Counts a reference for the caller.
    pub(crate) fn intern(&mut self, attributes: &Attributes, over: Over, tag: u32) -> AttrId {
        let mut block = std::mem::take(&mut self.scratch);
        block.clear();
        encode_attributes(attributes, true, &mut block);
        let next_hop = self.next_hops.intern(attributes.next_hop, over);
        let hash = self.hash(&block, next_hop, tag);
        let slots = &self.slots;
        let same = |id: &u32| {
            let facts = |s: &Slot| (s.facts.next_hop, s.facts.tag) == (next_hop, tag);
            slots
                .get(*id)
                .is_some_and(|s| facts(s) && *s.block == *block)
        };
        let id = if let Some(&id) = self.index.find(widen(hash), same) {
            self.next_hops.release(next_hop);
            self.acquire(AttrId(id));
            id
        } else {
            self.block_octets += block.len();
            let id = self.slots.insert(Slot {
                facts: Facts::of(attributes, next_hop, tag),
                refs: 1,
                hash,
                block: block.as_slice().into(),
            });
            let slots = &self.slots;
            self.index.insert_unique(widen(hash), id, |id| {
                slots.get(*id).map_or(0, |s| widen(s.hash))
            });
            id
        };
        self.scratch = block;
        AttrId(id)
    }

    /// The number of a set with one more community. Counts a reference for the caller.
    pub(crate) fn intern_with(&mut self, id: AttrId, community: Community) -> AttrId {
        let facts = self.facts(id).map(|facts| (facts.next_hop, facts.tag));
        let attributes = self.attributes(id);
        match (attributes, facts) {
            (Some(mut attributes), Some((hop, tag)))
                if !attributes.communities.contains(&community) =>
            {
                attributes.communities.push(community);
                let over = self.next_hops.over(hop);
                self.intern(&attributes, over, tag)
            }
            (Some(_) | None, _) => {
                self.acquire(id);
                id
            }
        }
    }

    #[inline]
    pub(crate) fn acquire(&mut self, id: AttrId) {
        if let Some(slot) = self.slots.get_mut(id.0) {
            slot.refs += 1;
        }
    }

    #[inline]
    pub(crate) fn release(&mut self, id: AttrId) {
        let Some(slot) = self.slots.get_mut(id.0) else {
            return;
        };
        slot.refs -= 1;
        if slot.refs > 0 {
            return;
        }
        let block = std::mem::take(&mut slot.block);
        self.block_octets -= block.len();
        let (hash, next_hop) = (slot.hash, slot.facts.next_hop);
        if let Ok(entry) = self.index.find_entry(widen(hash), |other| *other == id.0) {
            entry.remove();
        }
        self.slots.free(id.0);
        self.next_hops.release(next_hop);
    }

    /// How many paths, and others, hold them.
    pub(crate) fn references(&self, id: AttrId) -> usize {
        self.slots.get(id.0).map_or(0, |slot| slot.refs as usize)
    }

    #[inline]
    pub(crate) fn facts(&self, id: AttrId) -> Option<&Facts> {
        self.slots.get(id.0).map(|slot| &slot.facts)
    }

    /// The interior cost of its next hop, for a path to `prefix`; `None`: it cannot be reached.
    #[inline]
    pub(crate) fn cost(&self, id: AttrId, prefix: impl Into<IpNet>) -> Option<u64> {
        self.next_hops.cost(self.facts(id)?.next_hop, prefix)
    }

    /// The same where the prefix would have to be looked up.
    #[inline]
    pub(crate) fn cost_of(
        &self,
        id: AttrId,
        prefix: impl FnOnce() -> Option<IpNet>,
    ) -> Option<u64> {
        self.next_hops.cost_of(self.facts(id)?.next_hop, prefix)
    }

    /// What arrives over the links to the next hop, see [`NextHops::rate`].
    pub(crate) fn rate(&self, id: AttrId) -> Option<u64> {
        self.next_hops.rate(self.facts(id)?.next_hop)
    }

    /// Whether it has AIGP to which each prefix adds another cost.
    pub(crate) fn aigp_depends(&self, id: AttrId) -> bool {
        let facts = self.facts(id).filter(|facts| facts.has(Has::Aigp));
        facts.is_some_and(|facts| self.next_hops.depends(facts.next_hop))
    }

    /// The set as it is kept, and its next hop.
    pub(crate) fn encoded(&self, id: AttrId) -> Option<(&[u8], NextHop)> {
        let slot = self.slots.get(id.0)?;
        Some((&slot.block, self.next_hops.wire(slot.facts.next_hop)))
    }

    /// All attributes. `None` only for a number nobody holds.
    pub(crate) fn attributes(&self, id: AttrId) -> Option<Attributes> {
        let slot = self.slots.get(id.0)?;
        let next_hop = self.next_hops.wire(slot.facts.next_hop);
        decode_attributes(&slot.block, next_hop).ok()
    }

    /// All numbers, those that are free too.
    pub(crate) const fn ids(&self) -> std::ops::Range<u32> {
        self.slots.indices()
    }

    pub(crate) fn used(&self) -> usize {
        self.slots.used()
    }

    /// Octets held, the allocator's share not counted.
    pub(crate) fn memory(&self) -> usize {
        self.slots.memory() + self.block_octets + self.index.allocation_size()
    }

    fn hash(&self, block: &[u8], next_hop: HopId, tag: u32) -> u32 {
        let hash = self.hasher.hash_one((block, next_hop.0, tag));
        // What is kept for growing the index is half of it: see `widen`.
        (hash >> 32) as u32
    }
}

/// The index takes its buckets from the low bits and its tags from the high ones.
const fn widen(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

/// ORIGINATOR_ID of a set as a number of the decision, if it has one.
pub(crate) fn originator(facts: &Facts) -> Option<Ipv4Addr> {
    (facts.originator != 0).then(|| Ipv4Addr::from(facts.originator))
}
