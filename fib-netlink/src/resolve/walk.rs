//! The way to a next hop, through routes of ours if need be (RFC 4271 §9.1.2.1): a route leads to its own next hops,
//! and those are looked for in turn.

use std::net::IpAddr;

use ipnet::IpNet;
use smallvec::SmallVec;

use super::{OurRoute, Resolver, is_link_local};
use crate::fact::KernelRoute;
use crate::{NextHop, Resolution, Through, Way, Ways};

/// Routes of ours, one through the other, between a next hop and a route of the kernel, at most.
pub(super) const DEPTH_MAX: usize = 8;
/// Next hops looked for on behalf of one, at most: what is behind more is not found.
pub(super) const LOOKUPS_MAX: usize = 256;
/// Ways to a next hop, at most; the others take no part.
pub(super) const WAYS_MAX: usize = 64;

/// A search.
pub(super) struct Walk<'a> {
    resolver: &'a Resolver,
    /// The prefix for whose routes it is: they must not be found through themselves.
    without: Option<IpNet>,
    /// The next hops that are being looked for, each on behalf of the one before.
    stack: SmallVec<[NextHop; DEPTH_MAX]>,
    lookups: usize,
    through: Vec<IpNet>,
    looked_at: Vec<NextHop>,
}

impl Resolver {
    /// How a next hop is reached, and the next hops of our own routes that this depends on.
    pub(super) fn resolve(&self, next_hop: NextHop) -> (Option<Resolution>, Vec<NextHop>) {
        let mut walk = Walk::new(self, None);
        let ways = walk.ways(next_hop);
        let mut looked_at = walk.looked_at;
        let through = first_of_each(walk.through);
        let through = through.into_iter().map(|prefix| {
            let mut walk = Walk::new(self, Some(prefix));
            let ways = walk.ways(next_hop);
            looked_at.append(&mut walk.looked_at);
            let without = (!ways.is_empty()).then_some(ways);
            Through { prefix, without }
        });
        let through = through.collect();
        looked_at.sort_unstable();
        looked_at.dedup();
        let answer = (!ways.is_empty()).then_some(Resolution { ways, through });
        (answer, looked_at)
    }
}

impl<'a> Walk<'a> {
    fn new(resolver: &'a Resolver, without: Option<IpNet>) -> Self {
        Self {
            resolver,
            without,
            stack: SmallVec::new(),
            lookups: 0,
            through: Vec::new(),
            looked_at: Vec::new(),
        }
    }

    /// The ways to a next hop; none: it is not reached.
    fn ways(&mut self, next_hop: NextHop) -> Ways {
        let NextHop {
            address, interface, ..
        } = next_hop;
        let resolver = self.resolver;
        if resolver.has_address(address) || address.is_unspecified() || address.is_multicast() {
            return Ways::new();
        }
        if let Some(index) = interface {
            return resolver.on_device(address, index).into_iter().collect();
        }
        self.lookups += 1;
        if is_link_local(address) || self.lookups > LOOKUPS_MAX {
            return Ways::new();
        }
        self.stack.push(next_hop);
        let mut tables = (0..).zip(&resolver.tables);
        let found = tables.find_map(|(at, table)| self.in_table(next_hop, *table, at == 0));
        self.stack.pop();
        found.unwrap_or_default()
    }

    /// The longest match in a table, and of several the least metric. `None`: the table does not know the way; no ways: it
    /// knows that there is none.
    fn in_table(&mut self, next_hop: NextHop, table: u32, with_ours: bool) -> Option<Ways> {
        let resolver = self.resolver;
        let may_recurse = !next_hop.direct && !resolver.ours.is_held(next_hop);
        let with_ours = with_ours && may_recurse && !resolver.is_connected(next_hop.address, table);
        for (prefix, ours) in resolver.covering(next_hop.address) {
            let foreign = resolver.routes_to(prefix).iter();
            let mut here: SmallVec<[&KernelRoute; 4]> =
                foreign.filter(|r| r.table == table).collect();
            here.sort_by_key(|route| route.metric);
            let ours = ours.filter(|_| with_ours);
            // The kernel has no room for ours beside a foreign one of the same metric.
            let before = |route: &&KernelRoute| ours.is_none_or(|ours| route.metric <= ours.metric);
            let split = here.iter().take_while(|route| before(route)).count();
            let (first, last) = here.split_at_checked(split).unwrap_or_default();
            if let Some(found) = self.by_foreign(first, next_hop.address) {
                return Some(found);
            }
            if let Some(ways) = ours.and_then(|ours| self.by_ours(prefix, ours)) {
                return Some(ways);
            }
            if let Some(found) = self.by_foreign(last, next_hop.address) {
                return Some(found);
            }
        }
        None
    }

    fn by_foreign(&self, routes: &[&KernelRoute], address: IpAddr) -> Option<Ways> {
        let mut found = routes
            .iter()
            .filter_map(|route| self.resolver.by_foreign(route, address));
        Some(found.next()?.into_iter().collect())
    }

    /// The ways of a route of ours. `None`: it leads nowhere, or back to where we come from; then it is passed over.
    fn by_ours(&mut self, prefix: IpNet, route: &OurRoute) -> Option<Ways> {
        let is_circle = route.hops.iter().any(|(hop, _)| self.stack.contains(hop));
        let is_too_deep = self.stack.len() > DEPTH_MAX;
        if is_circle || is_too_deep || self.without == Some(prefix) {
            return None;
        }
        let before = self.through.len();
        self.through.push(prefix);
        let mut shares: SmallVec<[(u8, Ways); 2]> = SmallVec::new();
        for (hop, weight) in &route.hops {
            self.looked_at.push(*hop);
            let behind = self.through.len();
            let ways = self.ways(*hop);
            if ways.is_empty() {
                self.through.truncate(behind);
            } else {
                shares.push((*weight, ways));
            }
        }
        if shares.is_empty() {
            self.through.truncate(before);
        }
        (!shares.is_empty()).then(|| merge(&shares))
    }
}

/// The ways of several next hops that share the traffic by weight: each next hop's share is shared by its own ways.
fn merge(shares: &[(u8, Ways)]) -> Ways {
    let flat = shares.iter().flat_map(|(weight, ways)| {
        let whole: u64 = ways.iter().map(|way| u64::from(way.weight)).sum();
        ways.iter().map(move |way| {
            let share = FINE * u64::from(*weight) * u64::from(way.weight) / whole.max(1);
            (*way, share)
        })
    });
    let mut flat: SmallVec<[(Way, u64); 4]> = flat.collect();
    flat.sort_unstable_by_key(|(way, _)| (way.path, std::cmp::Reverse(way.metric)));
    flat.dedup_by(|next, kept| {
        let same = next.0.path == kept.0.path;
        if same {
            kept.1 += next.1;
        }
        same
    });
    flat.truncate(WAYS_MAX);
    let weights = weights(flat.iter().map(|(_, share)| *share));
    let ways = flat.iter().zip(weights);
    ways.map(|((way, _), weight)| Way { weight, ..*way })
        .collect()
}

/// Divisible by what ways mostly are many.
const FINE: u64 = 2_520;

/// Weights in the proportion of these shares, 1..=255, and as small as they can be.
pub(crate) fn weights(shares: impl Iterator<Item = u64> + Clone) -> SmallVec<[u8; 4]> {
    let common = shares.clone().fold(0, gcd).max(1);
    let most = shares.clone().max().unwrap_or_default() / common;
    let weight = |share: u64| {
        let share = share / common;
        let fits = if most > 255 {
            share * 255 / most
        } else {
            share
        };
        u8::try_from(fits.max(1)).unwrap_or(u8::MAX)
    };
    shares.map(weight).collect()
}

/// The greatest common divisor.
pub(crate) const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn first_of_each(prefixes: Vec<IpNet>) -> Vec<IpNet> {
    let mut each = Vec::new();
    for prefix in prefixes {
        if !each.contains(&prefix) {
            each.push(prefix);
        }
    }
    each
}
