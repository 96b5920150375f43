//! What the kernel is to do with packets: the best paths and those that share their traffic, as next hops.

use std::sync::Arc;

use bgp_core::{Attributes, Ipv4Prefix, Ipv6Prefix, Prefix};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::attribute_store::AttrId;
use crate::local::{LocalForwarding, LocalSource};
use crate::next_hop::NextHopKey;
use crate::peer::{Kind, PeerId, PeerSession};
use crate::plane::Plane;
use crate::policy::{Chain, Placement, RouteContext, Trace, Verdict};
use crate::query::family_of;
use crate::rib::{Core, Rib};
use crate::table::{Flags, Path};

/// What is to happen to packets for a prefix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Forwarding {
    /// They go by these next hops, with their weights; sorted, none twice, at least one. The weight 0: it is spare, for when
    /// the other one is lost; only where there is but one other ([`Rib::tell_spares`]).
    Via(SmallVec<[(NextHopKey, u8); 2]>),
    /// They are dropped silently.
    Blackhole,
    /// They are refused with ICMP.
    Unreachable,
    /// They are refused with ICMP, as forbidden.
    Prohibit,
}

/// The steps in which traffic is divided by Link Bandwidth: few, so that many routes have the same weights, and share
/// their nexthop objects.
const SHARES: f32 = 32.0;

/// The Link Bandwidth of the paths that share the traffic (draft-ietf-idr-link-bandwidth): it divides the traffic if all of
/// them have one.
#[derive(Debug, Default)]
struct Shares {
    /// In the order of the paths, the best one first; it may come twice.
    of: SmallVec<[f32; 4]>,
    missing: bool,
}

impl Shares {
    /// A path, by its next hops. One of our own that has several says itself how they share.
    fn note(&mut self, core: &Core, path: &Path, via: &[(NextHopKey, u8)]) {
        let bandwidth = core.store.facts(path.attrs).map_or(0.0, |f| f.bandwidth);
        self.missing |= bandwidth <= 0.0 || via.len() != 1;
        self.of.push(bandwidth);
    }

    /// The largest, if each path has one and they differ.
    fn most(&self) -> Option<f32> {
        let most = self.of.iter().copied().fold(0.0, f32::max);
        let differ = self.of.iter().any(|bandwidth| *bandwidth < most);
        (!self.missing && differ).then_some(most)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to SHARES"
    )]
    fn weigh(&self, most: f32, hops: &mut [(NextHopKey, u8)]) {
        // A next hop for each path.
        for ((_, weight), bandwidth) in hops.iter_mut().zip(&self.of) {
            *weight = (bandwidth / most * SHARES).ceil().clamp(1.0, SHARES) as u8;
        }
    }
}

/// What `[fib]`'s policy said last: most routes in a row have the attributes of the one before.
#[derive(Debug, Default)]
struct Said {
    of: Option<(AttrId, PeerId)>,
    placement: Option<Placement>,
}

impl Rib {
    /// The policy of `[fib]`. What the FIB was given by another one stands until [`Rib::fib_resync`]. False: it is the same.
    pub fn set_fib_policy(&mut self, chain: Chain) -> bool {
        let before = std::mem::replace(&mut self.core.fib, chain);
        before != self.core.fib
    }

    /// The next hops by which packets to exactly `prefix` go, if it is the kernel's.
    #[must_use]
    pub fn next_hops_of(&self, prefix: IpNet) -> Vec<NextHopKey> {
        let forwarding = match Ipv4Prefix::from_net(prefix) {
            Some(prefix) => self.ipv4.forwarding_of(&self.core, prefix),
            None => Ipv6Prefix::from_net(prefix)
                .and_then(|prefix| self.ipv6.forwarding_of(&self.core, prefix)),
        };
        match forwarding {
            Some(Forwarding::Via(hops)) => hops.into_iter().map(|(key, _)| key).collect(),
            Some(Forwarding::Blackhole | Forwarding::Unreachable | Forwarding::Prohibit) | None => {
                Vec::new()
            }
        }
    }

    /// What the policy of `[fib]` does with the best route to exactly `prefix`.
    #[must_use]
    pub fn explain_fib(&self, prefix: IpNet) -> Option<(Verdict, Trace)> {
        if let Some(prefix) = Ipv4Prefix::from_net(prefix) {
            return self.ipv4.explain_fib(&self.core, prefix);
        }
        self.ipv6
            .explain_fib(&self.core, Ipv6Prefix::from_net(prefix)?)
    }
}

impl<P: Prefix> Plane<P> {
    /// Gives the FIB what changed, over at most `max` prefixes. Says whether there is more.
    pub(crate) fn fib_next(
        &mut self,
        core: &Core,
        max: usize,
        wanted: &mut dyn FnMut(IpNet, Option<(Forwarding, Placement)>),
    ) -> bool {
        let mut said = Said::default();
        let mut left = max;
        let Some(mut reader) = self.fib.take() else {
            return false;
        };
        let mut tell = |plane: &Self, net| {
            if let Some(prefix) = plane.table.net(net).map(|n| n.prefix.into()) {
                let forwarding = plane.with_spare(core, net);
                let placed = forwarding.and_then(|forwarding| {
                    let placement = plane.placement(core, net, &mut said)?;
                    Some((forwarding, placement))
                });
                wanted(prefix, placed);
            }
        };
        let more = self.read(&mut reader, max, |net| {
            left = left.saturating_sub(1);
            tell(self, net);
        });
        self.fib = Some(reader);
        // What changes the way comes first.
        while !more && left > 0 {
            let Some(net) = self.next_spare() else { break };
            left -= 1;
            tell(self, net);
            self.free_if_forgotten(net);
        }
        self.trim();
        more || self.spares.has_news()
    }

    /// The same as [`Plane::forwarding`], with what is spare.
    fn with_spare(&self, core: &Core, net: u32) -> Option<Forwarding> {
        let mut forwarding = self.forwarding(core, net)?;
        if let Forwarding::Via(hops) = &mut forwarding
            && let [(only, _)] = hops.as_slice()
            && let Some(spare) = self.spare(core, net, *only)
        {
            hops.push((spare, 0));
            hops.sort_unstable();
        }
        Some(forwarding)
    }

    /// The next hop of a path that has one, and drops nothing.
    pub(crate) fn only_next_hop(core: &Core, prefix: P, path: &Path) -> Option<NextHopKey> {
        if let Some(key) = core.told_next_hop(path) {
            return Some(key);
        }
        match of_path(core, prefix.into(), path)? {
            Forwarding::Via(hops) => match hops.as_slice() {
                [(key, _)] => Some(*key),
                _ => None,
            },
            Forwarding::Blackhole | Forwarding::Unreachable | Forwarding::Prohibit => None,
        }
    }

    /// What the kernel is to do for a net; `None`: it is not the kernel's.
    pub(crate) fn forwarding(&self, core: &Core, net: u32) -> Option<Forwarding> {
        let prefix: IpNet = self.table.net(net)?.prefix.into();
        let best = self.table.best(net)?;
        if !best.flags().has(Flags::MULTIPATH)
            && let Some(key) = core.told_next_hop(best)
        {
            return Some(via(key));
        }
        let paths = self.table.paths_of(net).filter_map(|p| self.table.path(p));
        let shared = paths.filter(|p| p.flags().has(Flags::MULTIPATH));
        let mut hops = SmallVec::new();
        let mut shares = Shares::default();
        for path in std::iter::once(best).chain(shared) {
            match of_path(core, prefix, path) {
                None => {}
                Some(Forwarding::Via(via)) => {
                    shares.note(core, path, &via);
                    hops.extend(via);
                }
                Some(
                    drop @ (Forwarding::Blackhole | Forwarding::Unreachable | Forwarding::Prohibit),
                ) => {
                    return Some(drop);
                }
            }
        }
        if let Some(most) = shares.most() {
            shares.weigh(most, &mut hops);
        }
        hops.sort_unstable();
        hops.dedup_by_key(|(key, _)| *key);
        (!hops.is_empty()).then_some(Forwarding::Via(hops))
    }

    /// The same for a prefix, whatever the policy of `[fib]` says of it.
    pub(crate) fn forwarding_of(&self, core: &Core, prefix: P) -> Option<Forwarding> {
        self.forwarding(core, self.table.find(prefix)?)
    }

    /// Where in the kernel the route is to be, by the policy of `[fib]`; `None`: nowhere.
    fn placement(&self, core: &Core, net: u32, said: &mut Said) -> Option<Placement> {
        if core.fib.is_accept_all() {
            return Some(Placement::default());
        }
        let best = self.table.best(net)?;
        let of = Some((best.attrs, best.peer()));
        if said.of == of && !core.fib.looks_at_prefix() {
            return said.placement;
        }
        let prefix = self.table.net(net)?.prefix.into();
        let placement = core.on_the_way_to_the_kernel(prefix, best, |route, attributes| {
            core.policies.place(&core.fib, route, attributes)
        });
        *said = Said {
            of,
            placement: placement.flatten(),
        };
        said.placement
    }

    /// What the policy of `[fib]` does with the best route to a prefix.
    pub(crate) fn explain_fib(&self, core: &Core, prefix: P) -> Option<(Verdict, Trace)> {
        let best = self.table.best(self.table.find(prefix)?)?;
        core.on_the_way_to_the_kernel(prefix.into(), best, |route, attributes| {
            core.policies.explain(&core.fib, route, attributes)
        })
    }
}

impl Core {
    /// The next hop of a path that a peer told; `None` of one of our own.
    #[inline]
    fn told_next_hop(&self, path: &Path) -> Option<NextHopKey> {
        let is_told = self.peers.get(path.peer())?.source.kind != Kind::Local;
        let hop = self.store.facts(path.attrs).filter(|_| is_told)?.next_hop;
        self.store.next_hops.key(hop)
    }

    /// What the policy of `[fib]` sees of a route: the one who told it counts as its peer.
    fn on_the_way_to_the_kernel<T>(
        &self,
        prefix: IpNet,
        path: &Path,
        look: impl FnOnce(&RouteContext<'_>, &mut Attributes) -> T,
    ) -> Option<T> {
        let peer = self.peers.get(path.peer())?;
        let session: Option<&Arc<PeerSession>> = peer.session.as_ref();
        let route = RouteContext {
            prefix,
            peer: session.map(|session| session.address),
            group: session.and_then(|session| session.group.as_deref()),
            source: peer.source.route,
            family: family_of(prefix),
            local_asn: self.config.local_asn,
            tag: self.store.facts(path.attrs)?.tag,
        };
        Some(look(&route, &mut self.store.attributes(path.attrs)?))
    }
}

fn of_path(core: &Core, prefix: IpNet, path: &Path) -> Option<Forwarding> {
    if let Some(key) = core.told_next_hop(path) {
        return Some(via(key));
    }
    let source = LocalSource {
        peer: path.peer(),
        path_id: path.path_id,
    };
    Some(match core.local.get(prefix, source)? {
        LocalForwarding::Via(hops) => Forwarding::Via(hops.clone()),
        LocalForwarding::Blackhole => Forwarding::Blackhole,
        LocalForwarding::Unreachable => Forwarding::Unreachable,
        LocalForwarding::Prohibit => Forwarding::Prohibit,
    })
}

fn via(key: NextHopKey) -> Forwarding {
    Forwarding::Via(SmallVec::from_slice(&[(key, 1)]))
}
