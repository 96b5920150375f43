//! What is drawn of a path: plain ones, and such as a full table of the Internet has.

use bgp_core::Attributes;
use bgp_core::attributes::{Aggregator, AsPath, Community, LargeCommunity, NextHop, Origin};

use crate::sim::Chance;

/// AS numbers that transit networks and origins have, and those of four octets.
const TRANSIT: (usize, usize) = (1_000, 300);
const ORIGINS: (usize, usize) = (10_000, 50_000);
const ORIGINS_4: (usize, usize) = (200_000, 200_000);
/// ASes of transit in paths of the Internet, each as likely: with the sender's and the origin's, five on average.
const BETWEEN: [usize; 12] = [1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6];
/// How many communities they have: a third has none or few, a tenth many.
const COMMUNITIES: [usize; 9] = [0, 1, 2, 3, 5, 8, 10, 16, 36];

/// One to four ASes of transit, or as many as said, before the origin; up to seven communities.
pub(super) fn plain(
    own: Option<u32>,
    next_hop: NextHop,
    between: Option<usize>,
    way: &mut Chance,
    origins: &mut Chance,
) -> Attributes {
    let between = between.unwrap_or_else(|| way.below(4) + 1);
    let mut path: Vec<u32> = own.into_iter().collect();
    path.extend((0..between).map(|_| asn(TRANSIT, way)));
    path.push(asn(ORIGINS, origins));
    let mut attributes = Attributes::new(Origin::Igp, AsPath::sequence(path), next_hop);
    attributes.communities = communities(way.below(8), way).collect();
    attributes
}

/// One to six ASes of transit, a third of the origins with four octets, a fifth of them prepended; up to 36 communities,
/// nine on average; large communities on a fifth, MED on a quarter, AGGREGATOR on a twentieth, half of these with
/// ATOMIC_AGGREGATE; ORIGIN incomplete on a tenth.
pub(super) fn internet(
    own: Option<u32>,
    next_hop: NextHop,
    way: &mut Chance,
    origins: &mut Chance,
) -> Attributes {
    let mut path: Vec<u32> = own.into_iter().collect();
    let between = way.pick(&BETWEEN).unwrap_or(1);
    path.extend((0..between).map(|_| asn(TRANSIT, way)));
    let range = if origins.one_in(3) {
        ORIGINS_4
    } else {
        ORIGINS
    };
    let origin_as = asn(range, origins);
    let times = if way.one_in(5) { 2 + way.below(4) } else { 1 };
    path.extend(std::iter::repeat_n(origin_as, times));
    let origin = if origins.one_in(10) {
        Origin::Incomplete
    } else {
        Origin::Igp
    };
    let mut attributes = Attributes::new(origin, AsPath::sequence(path), next_hop);
    let count = way.pick(&COMMUNITIES).unwrap_or(0);
    attributes.communities = communities(count, way).collect();
    if way.one_in(5) {
        let large = (0..=way.below(4)).map(|_| LargeCommunity {
            global: asn(TRANSIT, way),
            local1: asn((0, 500), way),
            local2: asn((0, 500), way),
        });
        attributes.large_communities = large.collect();
    }
    attributes.med = way.one_in(4).then(|| asn((0, 1_000), way));
    if origins.one_in(20) {
        attributes.aggregator = Some(Aggregator {
            asn: origin_as,
            identifier: std::net::Ipv4Addr::from(0xc000_0201),
        });
        attributes.atomic_aggregate = origins.one_in(2);
    }
    attributes
}

fn communities(count: usize, way: &mut Chance) -> impl Iterator<Item = Community> {
    (0..count).map(|_| Community(asn(TRANSIT, way) << 16 | asn((0, 500), way)))
}

fn asn((first, count): (usize, usize), chance: &mut Chance) -> u32 {
    u32::try_from(first + chance.below(count)).unwrap_or(1)
}
