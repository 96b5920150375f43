//! What the kernel is to do with packets: the best paths and those that share their traffic, as next hops.

use bgp_core::Prefix;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::local::{LocalForwarding, LocalSource};
use crate::next_hop::NextHopKey;
use crate::peer::Kind;
use crate::plane::Plane;
use crate::rib::Core;
use crate::table::{Flags, Path};

/// What is to happen to packets for a prefix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Forwarding {
    /// They go by these next hops, with their weights; sorted, none twice, at least one.
    Via(SmallVec<[(NextHopKey, u8); 2]>),
    /// They are dropped silently.
    Blackhole,
    /// They are refused with ICMP.
    Unreachable,
    /// They are refused with ICMP, as forbidden.
    Prohibit,
}

impl<P: Prefix> Plane<P> {
    /// Gives the FIB what changed, over at most `max` prefixes. Says whether there is more.
    pub(crate) fn fib_next(
        &mut self,
        core: &Core,
        max: usize,
        wanted: &mut dyn FnMut(IpNet, Option<Forwarding>),
    ) -> bool {
        let Some(mut reader) = self.fib.take() else {
            return false;
        };
        let more = self.read(&mut reader, max, |net| {
            if let Some(prefix) = self.table.net(net).map(|n| n.prefix.into()) {
                wanted(prefix, self.forwarding(core, net));
            }
        });
        self.fib = Some(reader);
        self.trim();
        more
    }

    /// What the kernel is to do for a net; `None`: it is not the kernel's.
    pub(crate) fn forwarding(&self, core: &Core, net: u32) -> Option<Forwarding> {
        let prefix: IpNet = self.table.net(net)?.prefix.into();
        let best = self.table.best(net)?;
        let paths = self.table.paths_of(net).filter_map(|p| self.table.path(p));
        let shared = paths.filter(|p| p.flags().has(Flags::MULTIPATH));
        let mut hops = SmallVec::new();
        for path in std::iter::once(best).chain(shared) {
            match of_path(core, prefix, path) {
                None => {}
                Some(Forwarding::Via(via)) => hops.extend(via),
                Some(
                    drop @ (Forwarding::Blackhole | Forwarding::Unreachable | Forwarding::Prohibit),
                ) => {
                    return Some(drop);
                }
            }
        }
        hops.sort_unstable();
        hops.dedup_by_key(|(key, _)| *key);
        (!hops.is_empty()).then_some(Forwarding::Via(hops))
    }
}

fn of_path(core: &Core, prefix: IpNet, path: &Path) -> Option<Forwarding> {
    if core.peers.get(path.peer())?.source.kind == Kind::Local {
        let source = LocalSource {
            peer: path.peer(),
            path_id: path.path_id,
        };
        return Some(match core.local.get(prefix, source)? {
            LocalForwarding::Via(hops) => Forwarding::Via(hops.clone()),
            LocalForwarding::Blackhole => Forwarding::Blackhole,
            LocalForwarding::Unreachable => Forwarding::Unreachable,
            LocalForwarding::Prohibit => Forwarding::Prohibit,
        });
    }
    let hop = core.store.facts(path.attrs)?.next_hop;
    let key = core.store.next_hops.key(hop)?;
    Some(Forwarding::Via(SmallVec::from_slice(&[(key, 1)])))
}
