//! How many routes a peer told and is told, and how often they changed since its session came up: counts a peer, nothing a
//! prefix.

use bgp_core::Prefix;
use bgp_core::family::PerFamily;
use bytes::Bytes;

use crate::Rib;
use crate::group::{Segment, add};
use crate::packer::for_member;
use crate::peer::PeerId;
use crate::plane::Plane;
use crate::rib::Core;
use crate::table::{Flags, NONE, Path};

/// Prefixes of a peer in one family.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PeerCounts {
    /// In its Adj-RIB-In.
    pub received: u32,
    /// Of those, what policy and the RFC's checks let through.
    pub accepted: u32,
    /// Of those, the best ones.
    pub preferred: u32,
    /// In its Adj-RIB-Out, once it has heard all there is.
    pub advertised: u32,
    /// How often they changed.
    pub changes: ChangeCounts,
}

impl Rib {
    /// The counts of a peer. Costs nothing.
    #[must_use]
    pub fn peer_counts(&self, peer: PeerId) -> PerFamily<PeerCounts> {
        PerFamily {
            ipv4: self.ipv4.counts_of(&self.core, peer),
            ipv6: self.ipv6.counts_of(&self.core, peer),
        }
    }
}

impl<P: Prefix> Plane<P> {
    /// Another path is chosen; `old` is the one before, with who told it.
    pub(crate) fn set_best(&mut self, net: u32, (old, teller): (u32, Option<PeerId>), best: u32) {
        if let Some(slot) = self.table.net_mut(net) {
            slot.best = best;
        }
        let new = self.table.path(best).map(Path::peer);
        self.routes = self.routes + usize::from(best != NONE) - usize::from(old != NONE);
        for (peer, by) in [(teller, -1), (new, 1)] {
            if let Some(peer) = peer {
                add(&mut self.preferred, peer, by);
            }
        }
    }

    /// How many of a peer's routes are the best.
    fn preferred_of(&self, peer: PeerId) -> u32 {
        let count = self.preferred.get(peer.0 as usize);
        count.copied().unwrap_or_default()
    }

    fn counts_of(&self, core: &Core, peer: PeerId) -> PeerCounts {
        let heard = core.peers.get(peer).map(|p| *p.heard.get(P::FAMILY));
        let heard = heard.unwrap_or_default();
        let mut changes = heard.changes;
        changes.add(&self.spoken_to(peer));
        PeerCounts {
            received: heard.received,
            accepted: heard.accepted,
            preferred: self.preferred_of(peer),
            advertised: self.advertised_to(peer),
            changes,
        }
    }
}

/// Routes that a peer told or withdrew, one by one, and what became of them; and what it was told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChangeCounts {
    /// Routes that it told.
    pub updates: u64,
    /// Of those, ones that loop (RFC 4271 §9.1.2, RFC 4456 §8) or leak (RFC 9234 §5).
    pub rejected: u64,
    /// Of those, ones that import policy does not take.
    pub filtered: u64,
    /// Of those, ones that are as they were.
    pub ignored: u64,
    /// Routes that it withdrew.
    pub withdraws: u64,
    /// Of those, ones that it had not told.
    pub withdraws_ignored: u64,
    /// Routes that it was told.
    pub told: u64,
    /// Routes that were withdrawn from it.
    pub withdrawn: u64,
}

impl ChangeCounts {
    /// Routes that it told and that changed something.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        let others = self.rejected + self.filtered + self.ignored;
        self.updates.saturating_sub(others)
    }

    /// A route came in.
    #[inline]
    pub(crate) fn announced(&mut self, flags: Flags, changed: bool) {
        self.updates += 1;
        if flags.accepted() {
            self.ignored += u64::from(!changed);
        } else if flags.has(Flags::REJECTED) {
            self.filtered += 1;
        } else {
            self.rejected += 1;
        }
    }

    /// A route was withdrawn by the peer.
    #[inline]
    pub(crate) fn withdrew(&mut self, had: bool) {
        self.withdraws += 1;
        self.withdraws_ignored += u64::from(!had);
    }

    /// Both together.
    pub(crate) const fn add(&mut self, more: &Self) {
        self.updates += more.updates;
        self.rejected += more.rejected;
        self.filtered += more.filtered;
        self.ignored += more.ignored;
        self.withdraws += more.withdraws;
        self.withdraws_ignored += more.withdraws_ignored;
        self.told += more.told;
        self.withdrawn += more.withdrawn;
    }
}

/// How many routes some UPDATEs tell, and withdraw.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Spoken {
    pub(crate) told: u32,
    pub(crate) withdrawn: u32,
}

/// What is said to one member, and how much that is.
#[derive(Debug)]
pub(crate) struct Speech<'a> {
    pub(crate) out: &'a mut Vec<Bytes>,
    pub(crate) counts: ChangeCounts,
}

impl<'a> Speech<'a> {
    pub(crate) fn to(out: &'a mut Vec<Bytes>) -> Self {
        let counts = ChangeCounts::default();
        Self { out, counts }
    }

    /// Says to `member` what it gets of these.
    pub(crate) fn say(&mut self, segments: Vec<Segment>, member: PeerId) {
        for segment in &segments {
            let spoken = segment.to(member);
            self.counts.told += u64::from(spoken.told);
            self.counts.withdrawn += u64::from(spoken.withdrawn);
        }
        self.out.extend(for_member(segments, member));
    }
}
