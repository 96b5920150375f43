//! Routes of ours that lead to next hops (RFC 4271 §9.1.2.1): of a full table, those few that cover one that is used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::{Doubt, Resolver, is_link_local};
use crate::{NextHop, NextHops};

/// A route of ours, as it is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OurRoute {
    pub(crate) hops: NextHops,
    /// The kernel's, which decides between it and a foreign route to the same prefix.
    pub(crate) metric: u32,
}

/// What is kept of ours, and for whom. Bounded by the next hops in use, which have as many prefixes above them as an
/// address has bits.
#[derive(Debug, Default)]
pub(super) struct Ours {
    routes: BTreeMap<IpNet, OurRoute>,
    /// The addresses of used next hops to which routes of ours may lead.
    ipv4: BTreeSet<u32>,
    ipv6: BTreeSet<u128>,
    sieve: Sieve,
    /// Those of which nobody has looked yet which of our routes cover them.
    fresh: Vec<NextHop>,
    /// Those that change too often: until then, routes of ours do not lead to them.
    held: BTreeMap<NextHop, Instant>,
}

impl Ours {
    pub(super) fn get(&self, prefix: IpNet) -> Option<&OurRoute> {
        self.routes.get(&prefix)
    }

    pub(super) fn prefixes(&self) -> Vec<IpNet> {
        self.routes.keys().copied().collect()
    }

    pub(super) fn is_held(&self, next_hop: NextHop) -> bool {
        !self.held.is_empty() && self.held.contains_key(&next_hop)
    }

    /// Whether a next hop is within a prefix. Asked for each route of a full table.
    #[inline]
    fn has_within(&self, prefix: IpNet) -> bool {
        self.sieve.may_have_within(prefix) && self.is_within(prefix)
    }

    fn is_within(&self, prefix: IpNet) -> bool {
        match prefix {
            IpNet::V4(net) => {
                let range = u32::from(net.network())..=u32::from(net.broadcast());
                self.ipv4.range(range).next().is_some()
            }
            IpNet::V6(net) => {
                let range = u128::from(net.network())..=u128::from(net.broadcast());
                self.ipv6.range(range).next().is_some()
            }
        }
    }
}

/// Says of most prefixes at once that no next hop is within them: which first bits of addresses there are.
#[derive(Debug, Default)]
struct Sieve {
    /// By the first 16 bits of IPv4 addresses, and the first 32 of IPv6 addresses, mixed.
    bits: [u64; 16],
}

impl Sieve {
    fn add(&mut self, address: IpAddr) {
        let (word, bit) = Self::place(Self::head(address));
        if let Some(word) = self.bits.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline]
    fn may_have_within(&self, prefix: IpNet) -> bool {
        let whole = match prefix {
            IpNet::V4(net) => net.prefix_len() >= 16,
            IpNet::V6(net) => net.prefix_len() >= 32,
        };
        let (word, bit) = Self::place(Self::head(prefix.addr()));
        !whole || self.bits.get(word).is_some_and(|word| word & bit != 0)
    }

    #[inline]
    fn head(address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => u32::from(address) >> 16,
            IpAddr::V6(address) => (u128::from(address) >> 96) as u32,
        }
    }

    #[inline]
    const fn place(head: u32) -> (usize, u64) {
        let mixed = head.wrapping_mul(0x9e37_79b1) >> 22;
        (mixed as usize >> 6, 1 << (mixed & 63))
    }
}

impl Resolver {
    /// Whether a route of ours to a prefix would lead to a next hop that is used. The default route does not.
    #[inline]
    pub(crate) fn concerns(&self, prefix: IpNet) -> bool {
        self.ours.has_within(prefix) && prefix.prefix_len() > 0
    }

    /// The route of ours to a prefix that concerns a next hop is this now.
    pub(crate) fn set_ours(&mut self, prefix: IpNet, route: Option<OurRoute>) {
        if self.ours.routes.get(&prefix) == route.as_ref() {
            return;
        }
        let by = i32::from(route.is_some());
        let before = match route {
            Some(route) => self.ours.routes.insert(prefix, route),
            None => self.ours.routes.remove(&prefix),
        };
        self.count(prefix, by - i32::from(before.is_some()));
        self.doubt(prefix);
    }

    #[cfg(test)]
    pub(crate) fn our_prefixes(&self) -> Vec<IpNet> {
        self.ours.prefixes()
    }

    /// Nothing of ours is wanted any more.
    pub(crate) fn forget_ours(&mut self) {
        for prefix in self.ours.prefixes() {
            self.set_ours(prefix, None);
        }
    }

    /// A next hop that came into use: which of our routes cover it is to be told with [`Resolver::set_ours`].
    pub(crate) fn next_fresh(&mut self) -> Option<NextHop> {
        self.ours.fresh.pop()
    }

    /// Until then, routes of ours do not lead to a next hop.
    pub(crate) fn hold(&mut self, next_hop: NextHop, until: Instant) {
        self.ours.held.insert(next_hop, until);
        self.doubt(next_hop.address.into());
    }

    /// When the first of those is free again.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.ours.held.values().min().copied()
    }

    /// Frees those whose time is over. Says whether there were any.
    #[inline]
    pub(crate) fn release_held(&mut self, now: Instant) -> bool {
        !self.ours.held.is_empty() && self.release_over(now)
    }

    fn release_over(&mut self, now: Instant) -> bool {
        let over = self.ours.held.iter().filter(|(_, until)| **until <= now);
        let over: Vec<NextHop> = over.map(|(next_hop, _)| *next_hop).collect();
        for next_hop in &over {
            self.ours.held.remove(next_hop);
            self.doubt(next_hop.address.into());
        }
        !over.is_empty()
    }

    pub(super) fn watch(&mut self, next_hop: NextHop) {
        if !may_recurse(next_hop) {
            return;
        }
        let is_new = match next_hop.address {
            IpAddr::V4(address) => self.ours.ipv4.insert(address.into()),
            IpAddr::V6(address) => self.ours.ipv6.insert(address.into()),
        };
        if is_new {
            self.ours.sieve.add(next_hop.address);
            self.ours.fresh.push(next_hop);
        }
    }

    pub(super) fn unwatch(&mut self, next_hop: NextHop) {
        if !may_recurse(next_hop) {
            return;
        }
        match next_hop.address {
            IpAddr::V4(address) => self.ours.ipv4.remove(&address.into()),
            IpAddr::V6(address) => self.ours.ipv6.remove(&address.into()),
        };
        if self.ours.ipv4.is_empty() && self.ours.ipv6.is_empty() {
            self.ours.sieve = Sieve::default();
        }
        self.ours.held.remove(&next_hop);
        self.ours.fresh.retain(|fresh| *fresh != next_hop);
        let above: Vec<IpNet> = self
            .covering(next_hop.address)
            .filter(|(prefix, ours)| ours.is_some() && !self.ours.has_within(*prefix))
            .map(|(prefix, _)| prefix)
            .collect();
        for prefix in above {
            self.set_ours(prefix, None);
        }
    }

    pub(super) fn doubt(&mut self, net: IpNet) {
        if let Doubt::Within(nets) = &mut self.doubt
            && !self.used.is_empty()
        {
            nets.push(net);
        }
    }
}

/// Whether routes of ours may lead to it: it is not tied to a device.
fn may_recurse(next_hop: NextHop) -> bool {
    !next_hop.direct && next_hop.interface.is_none() && !is_link_local(next_hop.address)
}
