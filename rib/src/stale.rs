//! A peer tells all its routes again; what it does not tell is gone. Between two marks (RFC 7313 §4), or after its
//! session was lost and until its End-of-RIB (RFC 4724 §4.2), or for long (RFC 9494).

use bgp_core::attributes::Community;
use bgp_core::family::PerFamily;
use bgp_core::{Family, Prefix};
use smallvec::SmallVec;

use crate::attribute_store::AttrId;
use crate::peer::{PeerId, PeerSession};
use crate::plane::{Arrival, Plane};
use crate::rib::{Core, Rib};
use crate::table::Flags;

impl Rib {
    /// BoRR: what the peer has told of a family is stale until it tells it again.
    pub fn refresh_begun(&mut self, peer: PeerId, family: Family) {
        match family {
            Family::Ipv4Unicast => self.ipv4.mark_stale(peer),
            Family::Ipv6Unicast => self.ipv6.mark_stale(peer),
        }
    }

    /// A session was lost, and the peer is expected back: of the families in `keep`, its routes stay as they are and are
    /// stale; those of others go. The peer is told nothing more.
    pub fn peer_lost(&mut self, peer: PeerId, keep: PerFamily<bool>) {
        let Self { core, ipv4, ipv6 } = self;
        ipv4.lost(core, peer, keep.ipv4);
        ipv6.lost(core, peer, keep.ipv6);
    }

    /// The peer of a lost session is back: it will be told all, as after [`Rib::peer_up`]. Of the families in `keep`, its
    /// stale routes stay until [`Rib::refresh_ended`], those of others go. They are judged by the rules of the new session.
    pub fn peer_back(&mut self, peer: PeerId, session: PeerSession, keep: PerFamily<bool>) {
        let same = |old: &PeerSession| {
            (old.asn, old.local_asn, old.rr_client, old.interface)
                == (
                    session.asn,
                    session.local_asn,
                    session.rr_client,
                    session.interface,
                )
        };
        if !self.core.peers.session(peer).is_some_and(|old| same(&old)) {
            return self.peer_up(peer, session);
        }
        self.core.peers.up(peer, session);
        let Self { core, ipv4, ipv6 } = self;
        ipv4.back(core, peer, keep.ipv4);
        ipv6.back(core, peer, keep.ipv6);
    }

    /// A peer's Restart Time is over, and its stale routes of a family are kept for longer (RFC 9494 §4.2): they are marked,
    /// and anything else is preferred to them. Those with NO_LLGR go.
    pub fn keep_long(&mut self, peer: PeerId, family: Family) {
        match family {
            Family::Ipv4Unicast => self.ipv4.keep_long(&mut self.core, peer),
            Family::Ipv6Unicast => self.ipv6.keep_long(&mut self.core, peer),
        }
    }

    /// EoRR, or End-of-RIB after a restart: what is still stale goes.
    pub fn refresh_ended(&mut self, peer: PeerId, family: Family) {
        match family {
            Family::Ipv4Unicast => self.ipv4.sweep_stale(&mut self.core, peer),
            Family::Ipv6Unicast => self.ipv6.sweep_stale(&mut self.core, peer),
        }
    }
}

impl<P: Prefix> Plane<P> {
    fn lost(&mut self, core: &mut Core, peer: PeerId, keep: bool) {
        self.leave(core, peer);
        if keep {
            self.mark_stale(peer);
        } else {
            self.withdraw_all(core, peer);
        }
    }

    fn back(&mut self, core: &mut Core, peer: PeerId, keep: bool) {
        if keep {
            if let Some(session) = core.peers.session(peer) {
                self.import_again(core, peer, &session);
            }
        } else {
            self.withdraw_all(core, peer);
        }
        self.source_changed(core, peer);
        self.join_if_agreed(core, peer);
    }

    fn mark_stale(&mut self, peer: PeerId) {
        for net in self.table.indices() {
            for path in self.paths_from(net, peer) {
                if let Some(path) = self.table.path_mut(path) {
                    path.set_flags(path.flags().with(Flags::STALE, true));
                }
            }
        }
    }

    fn keep_long(&mut self, core: &mut Core, peer: PeerId) {
        for net in self.table.indices() {
            for index in self.paths_from(net, peer) {
                let path = self.table.path(index).copied();
                let Some(path) = path.filter(|path| path.flags().has(Flags::STALE)) else {
                    continue;
                };
                if core.is_not_kept_long(path.attrs) || core.is_not_kept_long(path.received) {
                    self.remove(core, net, index);
                    continue;
                }
                let arrival = core.mark_long_lived(Arrival {
                    attrs: path.attrs,
                    received: path.received,
                    flags: path.flags().with(Flags::LONG_LIVED, true),
                });
                self.replace(core, net, index, arrival);
                core.done(arrival);
            }
        }
    }

    fn sweep_stale(&mut self, core: &mut Core, peer: PeerId) {
        for net in self.table.indices() {
            for path in self.paths_from(net, peer) {
                if self
                    .table
                    .path(path)
                    .is_some_and(|path| path.flags().has(Flags::STALE))
                {
                    self.remove(core, net, path);
                }
            }
        }
    }

    fn paths_from(&self, net: u32, peer: PeerId) -> SmallVec<[u32; 4]> {
        let of_peer = |path: &u32| {
            self.table
                .path(*path)
                .is_some_and(|path| path.peer() == peer)
        };
        self.table.paths_of(net).filter(of_peer).collect()
    }
}

impl Core {
    /// The same with LLGR_STALE. It comes with a reference to its attributes, to be given back with [`Core::done`].
    pub(crate) fn mark_long_lived(&mut self, arrival: Arrival) -> Arrival {
        let mark = Community::LLGR_STALE;
        let attrs = self.store.intern_with(arrival.attrs, mark);
        Arrival { attrs, ..arrival }
    }

    /// RFC 9494 §4.2: who told it, or import policy, does not want it kept.
    fn is_not_kept_long(&self, attrs: AttrId) -> bool {
        let attributes = self.store.attributes(attrs);
        attributes.is_some_and(|a| a.communities.contains(&Community::NO_LLGR))
    }
}
