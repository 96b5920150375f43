//! `[[aggregate]]`: what is beneath it, what it says, and who hears of what.

use bgp_core::attributes::Aggregator;

use super::*;
use crate::aggregate::Aggregate;
use crate::local::{LocalForwarding, LocalSource};
use crate::query::RouteQuery;

const AGGREGATE: LocalSource = LocalSource {
    peer: PeerId(20),
    path_id: 0,
};
const STATIC: LocalSource = LocalSource {
    peer: PeerId(21),
    path_id: 0,
};
/// External peers below it tell.
const TELLERS: u32 = 3;
/// An external peer, a client, and an external one that hears several paths.
const LISTENERS: [(u32, Sort, bool); 3] = [
    (8, Sort::External, false),
    (9, Sort::Client, false),
    (10, Sort::External, true),
];

struct World {
    rib: Rib,
    listeners: Vec<Listener>,
}

fn aggregate(prefix: &str, summary_only: bool) -> Aggregate {
    let attributes = Attributes {
        aggregator: Some(Aggregator {
            asn: OURS,
            identifier: OUR_ID,
        }),
        ..Attributes::new(Origin::Igp, AsPath::default(), OURSELVES)
    };
    Aggregate {
        prefix: prefix.parse().unwrap(),
        summary_only,
        attributes,
        tag: 0,
        forwarding: Some(LocalForwarding::Blackhole),
    }
}

impl World {
    fn new(aggregates: &[Aggregate]) -> Self {
        let mut rib = Rib::new(config());
        for peer in 0..TELLERS {
            rib.peer_up(PeerId(peer), session(peer, Sort::External));
        }
        let mut listeners = Vec::new();
        for (peer, sort, several) in LISTENERS {
            let limit = several.then_some(4);
            let session = PeerSession {
                add_path_send: PerFamily {
                    ipv4: limit,
                    ipv6: limit,
                },
                ..session(peer, sort)
            };
            rib.peer_up(PeerId(peer), session);
            listeners.push(Listener {
                add_path: several,
                ..Listener::of(sort)
            });
        }
        rib.set_aggregates(AGGREGATE, aggregates);
        Self { rib, listeners }
    }

    fn tell(&mut self, peer: u32, prefix: &str, attributes: Option<&Attributes>) {
        self.rib
            .receive(PeerId(peer), &update(prefix, attributes))
            .unwrap();
    }

    fn settle(&mut self) {
        while self.rib.aggregate(AGGREGATE, 3) {}
        for ((peer, ..), listener) in LISTENERS.iter().zip(&mut self.listeners) {
            drain(&mut self.rib, *peer, listener);
        }
    }

    /// What the external listener knows.
    fn known(&self) -> Vec<String> {
        let routes = self.listeners[0].routes.keys();
        routes.map(ToString::to_string).collect()
    }

    fn summary(&self, prefix: &str) -> Option<&Attributes> {
        self.listeners[0].routes.get(&prefix.parse().unwrap())
    }
}

/// RFC 4271 §9.2.2.2. An aggregate comes with the first route beneath it, and goes with the last.
#[test]
fn an_aggregate_lasts_as_long_as_there_is_a_route_beneath_it() {
    let mut world = World::new(&[aggregate("10.0.0.0/8", false)]);
    world.settle();
    assert!(world.known().is_empty());
    for (peer, prefix) in [(0, "10.1.0.0/16"), (1, "10.2.0.0/16"), (1, "10.2.0.0/17")] {
        world.tell(peer, prefix, Some(&route([65000 + peer])));
    }
    world.settle();
    let all = ["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.2.0.0/17"];
    assert_eq!(world.known(), all);
    world.tell(0, "10.1.0.0/16", None);
    world.tell(1, "10.2.0.0/17", None);
    world.settle();
    assert_eq!(world.known(), ["10.0.0.0/8", "10.2.0.0/16"]);
    world.rib.peer_down(PeerId(1));
    world.settle();
    assert!(world.known().is_empty());
    // A route to the same prefix, or to one that covers it, is none beneath it.
    world.tell(0, "10.0.0.0/8", Some(&route([65000])));
    world.tell(0, "0.0.0.0/0", Some(&route([65000])));
    world.settle();
    assert_eq!(world.summary("10.0.0.0/8").unwrap().aggregator, None);
}

/// What stays with us (RFC 1997) must not be known to others by an aggregate, and an aggregate is none for another one.
#[test]
fn what_nobody_may_know_and_other_aggregates_hold_up_nothing() {
    let mut world = World::new(&[
        aggregate("10.0.0.0/8", false),
        aggregate("10.1.0.0/16", false),
    ]);
    let secret = Attributes {
        communities: [Community::NO_ADVERTISE].into_iter().collect(),
        ..route([])
    };
    let prefix = "10.1.1.0/24".parse().unwrap();
    world.rib.announce_local(STATIC, prefix, &secret, None);
    world.settle();
    assert!(world.known().is_empty());
    world.rib.announce_local(STATIC, prefix, &route([]), None);
    world.settle();
    assert_eq!(world.known(), ["10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24"]);
    world.rib.withdraw_local(STATIC, prefix);
    world.settle();
    assert!(world.known().is_empty());
}

/// RFC 4271 §9.2.2.2: "If at least one of the routes to be aggregated has ORIGIN with the value INCOMPLETE, then the
/// aggregated route MUST have the ORIGIN attribute with the value INCOMPLETE. Otherwise, if at least one ... has ... EGP".
#[test]
fn the_worst_origin_beneath_is_the_aggregates() {
    let mut world = World::new(&[aggregate("10.0.0.0/8", false)]);
    let with = |origin| Attributes {
        origin,
        ..route([65000])
    };
    let origin = |world: &mut World| {
        world.settle();
        world.summary("10.0.0.0/8").map(|route| route.origin)
    };
    world.tell(0, "10.1.0.0/16", Some(&with(Origin::Igp)));
    assert_eq!(origin(&mut world), Some(Origin::Igp));
    world.tell(0, "10.2.0.0/16", Some(&with(Origin::Egp)));
    assert_eq!(origin(&mut world), Some(Origin::Egp));
    world.tell(0, "10.3.0.0/16", Some(&with(Origin::Incomplete)));
    assert_eq!(origin(&mut world), Some(Origin::Incomplete));
    world.tell(0, "10.3.0.0/16", None);
    assert_eq!(origin(&mut world), Some(Origin::Egp));
    world.tell(0, "10.2.0.0/16", Some(&with(Origin::Igp)));
    assert_eq!(origin(&mut world), Some(Origin::Igp));
}

/// RFC 9774: no AS_SET. RFC 4271 §5.1.6: "if the aggregate excludes at least some of the AS numbers present in the AS_PATH
/// of the routes ... SHOULD include the ATOMIC_AGGREGATE attribute"; §9.2.2.2: it stays if one of them has it.
#[test]
fn the_path_is_what_all_paths_begin_with() {
    let mut world = World::new(&[aggregate("10.0.0.0/8", false)]);
    let said = |world: &mut World| {
        world.settle();
        let route = world.summary("10.0.0.0/8").unwrap();
        (route.as_path.to_string(), route.atomic_aggregate)
    };
    let path = |path: &[u32]| route(path.iter().copied());
    let ours = |path: &str| [&OURS.to_string(), path].join(" ").trim().to_owned();
    world.tell(0, "10.1.0.0/16", Some(&path(&[65000, 1, 2])));
    world.tell(0, "10.2.0.0/16", Some(&path(&[65000, 1, 2])));
    assert_eq!(said(&mut world), (ours("65000 1 2"), false));
    world.tell(0, "10.3.0.0/16", Some(&path(&[65000, 1, 2, 3])));
    assert_eq!(said(&mut world), (ours("65000 1 2"), true));
    world.tell(0, "10.3.0.0/16", Some(&path(&[65000, 1, 7])));
    assert_eq!(said(&mut world), (ours("65000 1"), true));
    world.tell(1, "10.4.0.0/16", Some(&path(&[65001])));
    assert_eq!(said(&mut world), (ours(""), true));
    world.tell(1, "10.4.0.0/16", None);
    world.tell(0, "10.3.0.0/16", None);
    assert_eq!(said(&mut world), (ours("65000 1 2"), false));
    let atomic = Attributes {
        atomic_aggregate: true,
        ..path(&[65000, 1, 2])
    };
    world.tell(0, "10.2.0.0/16", Some(&atomic));
    assert_eq!(said(&mut world), (ours("65000 1 2"), true));
    let set = Attributes {
        as_path: "65000 1 {2,3}".parse().unwrap(),
        ..path(&[])
    };
    world.tell(0, "10.2.0.0/16", Some(&set));
    assert_eq!(said(&mut world), (ours("65000 1"), true));
}

/// RFC 4271 §9.2.2.2: "Any AGGREGATOR attributes from the routes to be aggregated MUST NOT be included"; NEXT_HOP "SHALL
/// identify an interface on the BGP speaker that performs the aggregation".
#[test]
fn an_aggregate_is_of_the_one_that_aggregates() {
    let mut world = World::new(&[aggregate("10.0.0.0/8", false)]);
    let theirs = Attributes {
        aggregator: Some(Aggregator {
            asn: 65000,
            identifier: address(0),
        }),
        med: Some(7),
        communities: [Community(7)].into_iter().collect(),
        ..route([65000])
    };
    world.tell(0, "10.1.0.0/16", Some(&theirs));
    world.settle();
    let route = world.summary("10.0.0.0/8").unwrap();
    assert_eq!(
        route.aggregator,
        Some(Aggregator {
            asn: OURS,
            identifier: OUR_ID
        })
    );
    assert_eq!(route.next_hop, NextHop::V4(OUR_ID));
    assert_eq!((route.med, route.communities.len()), (None, 0));
}

#[test]
fn a_summary_alone_is_told_while_it_is_configured_so() {
    let mut world = World::new(&[aggregate("10.0.0.0/8", true)]);
    world.tell(0, "10.1.0.0/16", Some(&route([65000])));
    world.tell(0, "11.0.0.0/16", Some(&route([65000])));
    world.settle();
    assert_eq!(world.known(), ["10.0.0.0/8", "11.0.0.0/16"]);
    assert_eq!(world.listeners[0].withdrawals, 0, "it was never told");
    world
        .rib
        .set_aggregates(AGGREGATE, &[aggregate("10.0.0.0/8", false)]);
    world.settle();
    assert_eq!(world.known(), ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/16"]);
    world
        .rib
        .set_aggregates(AGGREGATE, &[aggregate("10.0.0.0/8", true)]);
    world.settle();
    assert_eq!(world.known(), ["10.0.0.0/8", "11.0.0.0/16"]);
    world.rib.set_aggregates(AGGREGATE, &[]);
    world.settle();
    assert_eq!(world.known(), ["10.1.0.0/16", "11.0.0.0/16"]);
}

/// What our kernel gets: more specific routes lead on, all else is dropped (RFC 4632 §5.1).
#[test]
fn the_kernel_drops_what_nothing_beneath_leads_on() {
    let mut world = World::new(&[aggregate("10.0.0.0/8", true)]);
    world.tell(0, "10.1.0.0/16", Some(&route([65000])));
    world.settle();
    let mut wanted = BTreeMap::new();
    world.rib.fib_next(10, &mut |prefix, forwarding| {
        wanted.insert(
            prefix.to_string(),
            forwarding.map(|(f, _)| f == Forwarding::Blackhole),
        );
    });
    let expected = [("10.0.0.0/8", Some(true)), ("10.1.0.0/16", Some(false))];
    assert_eq!(wanted, expected.map(|(p, f)| (p.to_owned(), f)).into());
}

/// Draws numbers, the same ones each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let at = self.below(all.len() as u64);
        all[usize::try_from(at).unwrap()].clone()
    }
}

const PREFIXES: [&str; 10] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.0.0/17",
    "10.1.1.0/24",
    "10.2.0.0/16",
    "11.0.0.0/8",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8:1:1::/64",
];
const SUMMARIES: [&str; 5] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "0.0.0.0/0",
    "2001:db8::/32",
    "2001:db8:1::/48",
];

fn some_route(random: &mut Random, peer: u32, prefix: &str) -> Attributes {
    let mut path = vec![65000 + peer];
    path.extend((0..random.below(3)).map(|_| 1 + u32::try_from(random.0 >> 40 & 1).unwrap()));
    let attributes = route(path);
    Attributes {
        origin: random.of(&[Origin::Igp, Origin::Egp, Origin::Incomplete]),
        atomic_aggregate: random.below(6) == 0,
        communities: (random.below(8) == 0)
            .then_some(Community::NO_ADVERTISE)
            .into_iter()
            .collect(),
        next_hop: if prefix.contains(':') {
            NextHop::V6("2001:db8::9".parse().unwrap())
        } else {
            attributes.next_hop
        },
        ..attributes
    }
}

/// What the best routes come to, by brute force.
fn expected(best: &BTreeMap<IpNet, (PeerId, Attributes)>, of: &Aggregate) -> Option<Attributes> {
    let beneath = best.iter().filter(|(prefix, (peer, attributes))| {
        **prefix != of.prefix
            && of.prefix.contains(*prefix)
            && *peer != AGGREGATE.peer
            && !attributes.communities.contains(&Community::NO_ADVERTISE)
    });
    let beneath: Vec<&Attributes> = beneath.map(|(_, (_, attributes))| attributes).collect();
    let paths: Vec<Vec<u32>> = beneath.iter().map(|a| a.as_path.asns().collect()).collect();
    let mut common = paths.first()?.clone();
    while !paths.iter().all(|path| path.starts_with(&common)) {
        common.pop();
    }
    let atomic = beneath.iter().any(|a| a.atomic_aggregate);
    Some(Attributes {
        origin: beneath.iter().map(|a| a.origin).max()?,
        atomic_aggregate: atomic || paths.iter().any(|path| path.len() > common.len()),
        as_path: AsPath::sequence(common),
        ..of.attributes.clone()
    })
}

fn check(world: &mut World, aggregates: &[Aggregate], seed: u64) {
    let page = world.rib.routes(&RouteQuery::default(), None, 100);
    let paths = page
        .rows
        .iter()
        .flat_map(|row| row.paths.iter().map(|path| (row.prefix, path)));
    let (mut best, mut found) = (BTreeMap::new(), BTreeMap::new());
    for (prefix, path) in paths {
        if path.best {
            best.insert(prefix, (path.peer, path.attributes.clone()));
        }
        if path.peer == AGGREGATE.peer {
            found.insert(prefix, path.attributes.clone());
        }
    }
    let sums = aggregates
        .iter()
        .filter_map(|of| Some((of.prefix, expected(&best, of)?)));
    assert_eq!(found, sums.collect(), "seed {seed}");
    let suppressed = |prefix: &IpNet, peer: PeerId| {
        let mut above = aggregates.iter().filter(|of| of.summary_only);
        let covers = |of: &Aggregate| of.prefix != *prefix && of.prefix.contains(prefix);
        peer != AGGREGATE.peer && above.any(covers)
    };
    let told: Vec<IpNet> = best
        .iter()
        .filter(|(_, (_, a))| !a.communities.contains(&Community::NO_ADVERTISE))
        .filter(|(prefix, (peer, _))| !suppressed(prefix, *peer))
        .map(|(prefix, _)| *prefix)
        .collect();
    for listener in &world.listeners[..2] {
        let known: Vec<IpNet> = listener.routes.keys().copied().collect();
        assert_eq!(known, told, "seed {seed}");
    }
    for (peer, ..) in LISTENERS {
        let query = RouteQuery {
            advertised_to: Some(PeerId(peer)),
            ..RouteQuery::default()
        };
        let page = world.rib.routes(&query, None, 100);
        let rows = page
            .rows
            .iter()
            .filter(|row| row.paths.iter().any(|path| path.best));
        let shown: Vec<IpNet> = rows.map(|row| row.prefix).collect();
        assert_eq!(shown, told, "seed {seed}, peer {peer}");
    }
    // Who hears several paths hears of no prefix that is suppressed.
    for (prefix, _) in world.listeners[2].paths.keys() {
        let (peer, _) = best
            .get(prefix)
            .unwrap_or_else(|| panic!("{prefix}, seed {seed}"));
        assert!(!suppressed(prefix, *peer), "{prefix}, seed {seed}");
    }
}

/// Whatever peers tell and whatever is configured meanwhile: what is announced and what is held back is what a look at
/// the table would say.
#[test]
fn whatever_happens_aggregates_are_what_is_beneath_them() {
    for seed in 0..150 {
        let (mut random, mut aggregates) = (Random(seed), Vec::new());
        let mut world = World::new(&[]);
        for _ in 0..120 {
            let peer = u32::try_from(random.below(TELLERS.into())).unwrap();
            let prefix = random.of(&PREFIXES);
            match random.below(12) {
                0..=5 => {
                    let attributes = some_route(&mut random, peer, prefix);
                    world.tell(peer, prefix, Some(&attributes));
                }
                6 | 7 => world.tell(peer, prefix, None),
                8 => {
                    world.rib.peer_down(PeerId(peer));
                    world
                        .rib
                        .peer_up(PeerId(peer), session(peer, Sort::External));
                }
                9 => {
                    world.rib.aggregate(AGGREGATE, 1);
                    let mut out = Vec::new();
                    let at = usize::try_from(random.below(3)).unwrap();
                    world.rib.transmit(PeerId(LISTENERS[at].0), 1, &mut out);
                    world.listeners[at].hear(&out);
                }
                10 => {
                    let some = SUMMARIES.iter().filter(|_| random.below(2) == 0);
                    let some: Vec<&str> = some.copied().collect();
                    let each = some
                        .iter()
                        .map(|prefix| aggregate(prefix, random.below(2) == 0));
                    aggregates = each.collect();
                    world.rib.set_aggregates(AGGREGATE, &aggregates);
                }
                _ => {
                    world.settle();
                    check(&mut world, &aggregates, seed);
                }
            }
        }
        world.settle();
        world.settle();
        check(&mut world, &aggregates, seed);
    }
}
