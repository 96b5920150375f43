//! How the next hops of a set share its traffic: by the weights that routes give them, and by what their links carry.

use smallvec::SmallVec;

use super::{MEMBERS_MAX, Nexthops, Usable};
use crate::op::Path;
use crate::resolve::{Resolver, gcd, weights};
use crate::{LinkQuality, NextHop};

/// Divisible by what paths mostly are many.
const FINE: u64 = 2_520;
/// No capacity counts as more, in the units of all of them: the least weight is a 255th of the greatest in any case.
const CAPACITY_MAX: u64 = 10_000;
/// Percent.
const ALL: u8 = 100;

/// The ways to a next hop whose links are measured.
pub(crate) type Qualities = SmallVec<[(Path, LinkQuality); 1]>;

impl Nexthops {
    /// What the links carry by which a next hop is reached.
    pub(crate) fn qualities(
        &mut self,
        next_hop: NextHop,
        qualities: Qualities,
        resolver: &Resolver,
    ) {
        let before = self.qualities.get(&next_hop).map(AsRef::as_ref);
        if before.unwrap_or_default() == qualities.as_slice() {
            return;
        }
        if qualities.is_empty() {
            self.qualities.remove(&next_hop);
        } else {
            self.qualities.insert(next_hop, qualities);
        }
        if let Some(&hop) = self.by_next_hop.get(&next_hop) {
            self.hop_changed(hop, resolver);
        }
    }

    /// The paths of next hops. The share of a next hop is shared by its paths.
    pub(super) fn usable_of(
        &self,
        hops: impl Iterator<Item = (usize, u8)>,
    ) -> SmallVec<[Usable; 4]> {
        let each = hops.filter_map(|(index, weight)| {
            let hop = self.hops.get(index)?;
            Some((index, weight, hop))
        });
        let mut usable: SmallVec<[Usable; 4]> = SmallVec::new();
        let mut shares: SmallVec<[u64; 4]> = SmallVec::new();
        let mut links: SmallVec<[Option<LinkQuality>; 4]> = SmallVec::new();
        let mut several = false;
        for (hop, weight, of) in each {
            let paths = of.usable();
            several |= paths.len() > 1;
            let whole: u64 = paths.iter().map(|(_, weight)| u64::from(*weight)).sum();
            for (at, (path, share)) in paths.iter().enumerate() {
                let path = *path;
                usable.push(Usable {
                    hop,
                    at,
                    path,
                    weight,
                });
                shares.push(FINE * u64::from(weight) * u64::from(*share) / whole.max(1));
                links.push(self.quality(of.next_hop, path));
            }
        }
        if usable.len() > 1 && carry_differently(&usable, &links, &mut shares) || several {
            let weights = weights(shares.iter().copied());
            for (usable, weight) in usable.iter_mut().zip(weights) {
                usable.weight = weight;
            }
            usable.truncate(MEMBERS_MAX);
        }
        usable
    }

    fn quality(&self, next_hop: NextHop, path: Path) -> Option<LinkQuality> {
        if self.qualities.is_empty() {
            return None;
        }
        let mut of = self.qualities.get(&next_hop)?.iter();
        of.find_map(|(way, quality)| (*way == path).then_some(*quality))
    }
}

/// Multiplies shares by what links carry: the packets that arrive and, if each has one and the routes do not say
/// themselves how they share, their capacities. False: that makes no difference.
fn carry_differently(usable: &[Usable], links: &[Option<LinkQuality>], shares: &mut [u64]) -> bool {
    if links.iter().all(Option::is_none) {
        return false;
    }
    let mut routes = usable.iter().map(|usable| usable.weight);
    let first = routes.next();
    let told = routes.any(|weight| Some(weight) != first);
    let capacity = |link: &Option<LinkQuality>| link.and_then(|link| link.capacity);
    let capacities: Option<SmallVec<[u64; 4]>> = links.iter().map(capacity).collect();
    let capacities = capacities.filter(|_| !told).map(in_units);
    let carried = |at: usize| {
        let delivered = links.get(at).copied().flatten();
        let delivered = delivered.map_or(ALL, |link| link.delivered.min(ALL));
        let capacity = capacities.as_ref().and_then(|all| all.get(at)).copied();
        // What loses all still has some share: whether it is used at all is not decided here.
        u64::from(delivered.max(1)) * capacity.unwrap_or(1)
    };
    let all: SmallVec<[u64; 4]> = (0..links.len()).map(carried).collect();
    let differ = all.iter().any(|one| Some(one) != all.first());
    for (share, carried) in shares.iter_mut().zip(&all).filter(|_| differ) {
        *share = share.saturating_mul(*carried);
    }
    differ
}

/// As small numbers in the same proportions, as far as they fit.
fn in_units(capacities: SmallVec<[u64; 4]>) -> SmallVec<[u64; 4]> {
    let unit = capacities.iter().copied().fold(0, gcd).max(1);
    let most = capacities.iter().max().map_or(1, |most| most / unit).max(1);
    let scale = |capacity: u64| {
        let units = u128::from(capacity / unit);
        let scaled = match most {
            ..=CAPACITY_MAX => units,
            _ => units * u128::from(CAPACITY_MAX) / u128::from(most),
        };
        u64::try_from(scaled).unwrap_or(CAPACITY_MAX).max(1)
    };
    capacities.into_iter().map(scale).collect()
}
