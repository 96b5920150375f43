//! A peer tells all its routes again between two marks; what it does not tell is gone (RFC 7313 §4).

use bgp_core::{Family, Prefix};
use smallvec::SmallVec;

use crate::peer::PeerId;
use crate::plane::Plane;
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

    /// EoRR: what is still stale goes.
    pub fn refresh_ended(&mut self, peer: PeerId, family: Family) {
        match family {
            Family::Ipv4Unicast => self.ipv4.sweep_stale(&mut self.core, peer),
            Family::Ipv6Unicast => self.ipv6.sweep_stale(&mut self.core, peer),
        }
    }
}

impl<P: Prefix> Plane<P> {
    fn mark_stale(&mut self, peer: PeerId) {
        for net in self.table.indices() {
            for path in self.paths_from(net, peer) {
                if let Some(path) = self.table.path_mut(path) {
                    path.set_flags(path.flags().with(Flags::STALE, true));
                }
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
