//! Next hops that routes of ours lead to (RFC 4271 §9.1.2.1), and a naive model of them.

use std::net::Ipv4Addr;

use super::*;
use crate::{Resolution, Ways};

fn direct(address: &str) -> NextHop {
    NextHop {
        direct: true,
        ..hop(address)
    }
}

impl World {
    /// What was told last of a next hop.
    fn told(&self, next_hop: NextHop) -> Option<&Resolution> {
        let told = self.out.iter().rev().find_map(|output| match output {
            Output::NextHop {
                next_hop: of,
                resolution,
            } if *of == next_hop => Some(resolution),
            _ => None,
        });
        told.expect("somebody asked").as_ref()
    }

    fn track(&mut self, address: &str) {
        self.input(Input::Track(hop(address)));
    }

    /// The gateways and the metrics of the ways to a next hop.
    fn gateways(&self, address: &str) -> Vec<(String, u8, u32)> {
        let told = self.told(hop(address));
        ways(told.map(|told| &told.ways))
    }

    fn through(&self, address: &str) -> Vec<String> {
        let through = self.told(hop(address)).into_iter();
        let through = through.flat_map(|told| &told.through);
        through.map(|through| through.prefix.to_string()).collect()
    }

    fn foreign_at(&mut self, prefix: &str, metric: u32, gateway: &str, link: u32) {
        let path = Path {
            gateway: Some(gateway.parse().unwrap()),
            interface: link,
            onlink: false,
        };
        let kind = RouteKind::Unicast(RouteVia::Paths(SmallVec::from_elem((path, 1), 1)));
        let route = KernelRoute {
            metric,
            kind,
            ..Self::foreign(prefix)
        };
        self.tell_foreign(route);
    }

    fn tell_foreign(&mut self, route: KernelRoute) {
        let key = (route.prefix, route.table, route.metric);
        self.kernel.routes.insert(key, route.clone());
        self.input(Input::Kernel(vec![Fact::Route(route)]));
    }
}

fn ways(ways: Option<&Ways>) -> Vec<(String, u8, u32)> {
    let ways = ways.into_iter().flatten();
    ways.map(|way| {
        let gateway = way.path.gateway.unwrap().to_string();
        (gateway, way.weight, way.metric)
    })
    .collect()
}

fn one(gateway: &str, weight: u8, metric: u32) -> (String, u8, u32) {
    (gateway.to_owned(), weight, metric)
}

/// RFC 4271 §9.1.2.1: the route that the NEXT_HOP resolves through may be one of ours; its cost is that of its own next
/// hop. Without it, there is no way.
#[test]
fn a_next_hop_is_reached_through_a_route_of_ours_and_lost_with_it() {
    let mut world = World::new();
    world.foreign_at("10.7.0.0/16", 30, "10.0.2.9", 2);
    world.track("172.16.0.1");
    assert_eq!(world.told(hop("172.16.0.1")), None);
    world.want("198.51.100.0/24", via(&[("172.16.0.1", 1)]));
    world.want("172.16.0.0/16", via(&[("10.7.0.1", 1)]));
    world.rest();
    assert_eq!(world.gateways("172.16.0.1"), [one("10.0.2.9", 1, 30)]);
    assert_eq!(world.through("172.16.0.1"), ["172.16.0.0/16"]);
    let itself = world.told(hop("172.16.0.1")).unwrap();
    assert_eq!(itself.for_prefix(net("172.16.0.0/16")), None, "not itself");
    assert_eq!(
        world.kernel.paths("198.51.100.0/24"),
        [("10.0.2.9".into(), 1)]
    );
    world.want("172.16.0.0/16", None);
    world.rest();
    assert_eq!(world.told(hop("172.16.0.1")), None);
    assert_eq!(world.kernel.ours(), 0);
}

#[test]
fn a_route_of_ours_that_was_there_before_leads_to_a_new_next_hop() {
    let mut world = World::new();
    world.want("172.16.0.0/16", via(&[("10.0.1.2", 1)]));
    world.rest();
    world.track("172.16.0.1");
    assert_eq!(world.gateways("172.16.0.1"), [one("10.0.1.2", 1, 0)]);
    world.want("198.51.100.0/24", via(&[("172.16.9.9", 1)]));
    world.rest();
    assert_eq!(
        world.kernel.paths("198.51.100.0/24"),
        [("10.0.1.2".into(), 1)]
    );
}

#[test]
fn several_ways_underneath_are_several_gateways_and_share_by_their_weights() {
    let mut world = World::new();
    world.track("172.16.0.1");
    world.want("172.16.0.0/16", via(&[("10.0.1.2", 1), ("10.0.2.2", 3)]));
    world.want("198.51.100.0/24", via(&[("172.16.0.1", 1)]));
    world.want("203.0.113.0/24", via(&[("172.16.0.1", 1), ("10.0.3.2", 1)]));
    world.rest();
    assert_eq!(
        world.gateways("172.16.0.1"),
        [one("10.0.1.2", 1, 0), one("10.0.2.2", 3, 0)]
    );
    let both = [("10.0.1.2".into(), 1), ("10.0.2.2".into(), 3)];
    assert_eq!(world.kernel.paths("198.51.100.0/24"), both);
    let three = [
        ("10.0.1.2".into(), 1),
        ("10.0.2.2".into(), 3),
        ("10.0.3.2".into(), 4),
    ];
    assert_eq!(world.kernel.paths("203.0.113.0/24"), three);
    world.link(1, false);
    world.rest();
    assert_eq!(
        world.kernel.paths("198.51.100.0/24"),
        [("10.0.2.2".into(), 1)]
    );
    world.want("172.16.0.0/16", None);
    world.want("198.51.100.0/24", None);
    world.want("203.0.113.0/24", None);
    world.input(Input::StartupDone);
    world.rest();
    assert!(world.kernel.nexthops.is_empty());
}

#[test]
fn a_change_underneath_moves_all_routes_with_one_message_a_next_hop() {
    let mut world = World::new();
    world.foreign_at("10.7.0.0/16", 30, "10.0.2.9", 2);
    world.want("172.16.0.0/16", via(&[("10.7.0.1", 1)]));
    for n in 0..=255 {
        world.want(&format!("100.64.{n}.0/24"), via(&[("172.16.0.1", 1)]));
    }
    world.rest();
    world.kernel.ops = 0;
    world.foreign_at("10.7.0.0/16", 30, "10.0.3.9", 3);
    world.rest();
    assert_eq!(
        world.kernel.paths("100.64.255.0/24"),
        [("10.0.3.9".into(), 1)]
    );
    assert_eq!(world.kernel.ops, 2, "the next hop, and the one beneath it");
}

/// RFC 4271 §9.1.2: "mutually recursive routes (routes resolving each other or themselves) also fail the resolvability
/// check".
#[test]
fn no_route_leads_to_its_own_next_hop_directly_or_in_a_circle() {
    let mut world = World::new();
    for address in ["172.16.0.1", "172.17.0.1"] {
        world.track(address);
    }
    world.want("172.16.0.0/16", via(&[("172.16.0.1", 1)]));
    world.rest();
    assert_eq!(world.told(hop("172.16.0.1")), None, "itself");
    world.want("172.16.0.0/16", via(&[("172.17.0.1", 1)]));
    world.want("172.17.0.0/16", via(&[("172.16.0.1", 1)]));
    world.rest();
    assert_eq!(world.told(hop("172.16.0.1")), None, "a circle");
    assert_eq!(world.told(hop("172.17.0.1")), None, "a circle");
    world.foreign_at("172.16.0.0/12", 30, "10.0.2.9", 2);
    world.rest();
    for address in ["172.16.0.1", "172.17.0.1"] {
        assert_eq!(world.gateways(address), [one("10.0.2.9", 1, 30)]);
    }
    // A more specific route by the same next hop: what is beneath it counts.
    world.want("172.17.0.0/16", None);
    world.want("172.16.0.0/16", via(&[("172.16.0.1", 1)]));
    world.rest();
    assert_eq!(world.gateways("172.16.0.1"), [one("10.0.2.9", 1, 30)]);
    assert!(world.through("172.16.0.1").is_empty());
}

#[test]
fn for_a_route_to_the_prefix_it_leads_through_a_next_hop_is_what_it_is_without() {
    let mut world = World::new();
    world.track("172.16.0.1");
    world.want("172.16.0.0/12", via(&[("10.0.1.2", 1)]));
    world.want("172.16.0.0/16", via(&[("10.0.2.2", 1)]));
    world.rest();
    let told = world.told(hop("172.16.0.1")).unwrap();
    assert_eq!(ways(Some(&told.ways)), [one("10.0.2.2", 1, 0)]);
    let without = told.for_prefix(net("172.16.0.0/16"));
    assert_eq!(ways(without), [one("10.0.1.2", 1, 0)]);
    let others = told.for_prefix(net("172.16.0.0/12"));
    assert_eq!(others, Some(&told.ways));
}

#[test]
fn neither_a_default_route_of_ours_nor_one_that_drops_leads_anywhere() {
    let mut world = World::new();
    world.track("172.16.0.1");
    world.want("0.0.0.0/0", via(&[("10.0.1.2", 1)]));
    world.want("172.16.0.0/16", Some(Wanted::Blackhole));
    world.rest();
    assert_eq!(world.told(hop("172.16.0.1")), None);
    world.foreign_at("0.0.0.0/0", 30, "10.0.2.9", 2);
    assert_eq!(world.gateways("172.16.0.1"), [one("10.0.2.9", 1, 30)]);
}

#[test]
fn routes_in_other_tables_lead_nowhere() {
    let mut world = World::new();
    world.track("172.16.0.1");
    let table = Placement {
        table: Some(100),
        ..Placement::default()
    };
    world.want_at("172.16.0.0/16", via(&[("10.0.1.2", 1)]), table);
    world.rest();
    assert_eq!(world.told(hop("172.16.0.1")), None);
}

/// RFC 4271 §5.1.3: what an external peer one hop away tells is on the link, or where the kernel's own routes say.
#[test]
fn the_next_hop_of_a_peer_one_hop_away_is_reached_without_ours() {
    let mut world = World::new();
    world.input(Input::Track(direct("172.16.0.1")));
    world.input(Input::Track(direct("10.0.1.2")));
    world.want("172.16.0.0/16", via(&[("10.0.1.2", 1)]));
    world.want("10.0.1.2/32", via(&[("10.0.2.2", 1)]));
    world.rest();
    assert_eq!(world.told(direct("172.16.0.1")), None);
    let told = world.told(direct("10.0.1.2")).unwrap();
    assert_eq!(ways(Some(&told.ways)), [one("10.0.1.2", 1, 0)]);
}

/// What is on the link is reached over it: nobody who tells a host route draws the traffic of a next hop.
#[test]
fn a_next_hop_on_a_link_is_reached_over_it_whatever_ours_say_unless_the_link_is_down() {
    let mut world = World::new();
    world.track("10.0.1.2");
    world.want("10.0.1.2/32", via(&[("10.0.2.2", 1)]));
    world.rest();
    assert_eq!(world.gateways("10.0.1.2"), [one("10.0.1.2", 1, 0)]);
    world.link(1, false);
    world.rest();
    assert_eq!(world.gateways("10.0.1.2"), [one("10.0.2.2", 1, 0)]);
}

#[test]
fn of_a_foreign_route_and_ours_to_one_prefix_the_kernel_s_choice_counts() {
    for (metric, expected) in [(5, "10.0.2.9"), (20, "10.0.2.9"), (30, "10.0.1.2")] {
        let mut world = World::new();
        world.track("172.16.0.1");
        world.want("172.16.0.0/16", via(&[("10.0.1.2", 1)]));
        world.foreign_at("172.16.0.0/16", metric, "10.0.2.9", 2);
        world.run_for(Duration::from_secs(1));
        let gateway = &world.gateways("172.16.0.1")[0].0;
        assert_eq!(gateway, expected, "metric {metric}");
    }
}

#[test]
fn a_next_hop_is_found_through_eight_routes_of_ours_and_not_through_nine() {
    let mut world = World::new();
    let far = |n: u32| format!("172.16.{n}.1");
    world.want("172.16.0.0/24", via(&[("10.0.1.2", 1)]));
    for n in 1..9 {
        let prefix = format!("172.16.{n}.0/24");
        world.want(&prefix, via(&[(&far(n - 1), 1)]));
    }
    for n in [7, 8] {
        world.track(&far(n));
    }
    world.rest();
    assert_eq!(world.through(&far(7)).len(), 8);
    assert_eq!(world.gateways(&far(7)), [one("10.0.1.2", 1, 0)]);
    assert_eq!(world.told(hop(&far(8))), None);
}

#[test]
fn a_next_hop_that_changes_too_often_is_left_to_the_kernel_s_routes_for_a_while() {
    let mut world = World::new();
    world.track("172.16.0.1");
    let mut changes = 0;
    for n in 0..40 {
        let way = if n % 2 == 0 { "10.0.1.2" } else { "10.0.2.2" };
        world.want("172.16.0.0/16", via(&[(way, 1)]));
        let before = world.out.len();
        world.run_for(Duration::from_millis(20));
        let news = world.out[before..].iter();
        changes += news.filter(|o| matches!(o, Output::NextHop { .. })).count();
    }
    assert_eq!(
        changes, 12,
        "eleven changes, and the last one that ends them"
    );
    let next_hop = hop("172.16.0.1");
    assert_eq!(world.notices(), [&Notice::Unsteady { next_hop }]);
    assert_eq!(world.told(next_hop), None);
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.gateways("172.16.0.1"), [one("10.0.2.2", 1, 0)]);
}

#[test]
fn what_of_ours_is_kept_in_mind_goes_with_the_next_hop() {
    let mut world = World::new();
    for n in 0..=255 {
        world.want(&format!("172.16.{n}.0/24"), via(&[("10.0.1.2", 1)]));
    }
    world.track("172.16.7.1");
    world.track("10.0.2.2");
    world.rest();
    assert_eq!(world.fib.resolver.our_prefixes(), [net("172.16.7.0/24")]);
    world.input(Input::Untrack(hop("172.16.7.1")));
    assert_eq!(world.fib.resolver.our_prefixes(), []);
}

/// Addresses of next hops: three on links, four that only routes lead to.
const ADDRESSES: [&str; 7] = [
    "10.0.1.2",
    "10.0.2.2",
    "10.0.3.2",
    "172.16.1.1",
    "172.16.1.2",
    "172.16.2.1",
    "172.17.1.1",
];
const PREFIXES: [&str; 9] = [
    "0.0.0.0/0",
    "172.16.0.0/12",
    "172.16.0.0/16",
    "172.16.1.0/24",
    "172.16.1.1/32",
    "172.16.2.0/24",
    "172.17.0.0/16",
    "10.0.0.0/8",
    "10.0.1.2/32",
];

#[derive(Clone, Debug)]
enum Act {
    Want(usize, Vec<(usize, bool)>),
    Unwant(usize),
    Foreign(usize, u32, Option<u32>),
    ForeignGone(usize, u32),
    Link(u32, bool),
    Track(usize, bool),
    Untrack(usize, bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (prefix, address) = (0..PREFIXES.len(), 0..ADDRESSES.len());
    let metric = prop_oneof![Just(5_u32), Just(30)];
    let hops = proptest::collection::vec((address.clone(), any::<bool>()), 1..4);
    let link = proptest::option::weighted(0.8, 1..=LINKS);
    let act = prop_oneof![
        6 => (prefix.clone(), hops).prop_map(|(p, hops)| Act::Want(p, hops)),
        2 => prefix.clone().prop_map(Act::Unwant),
        2 => (prefix.clone(), metric.clone(), link).prop_map(|(p, m, l)| Act::Foreign(p, m, l)),
        2 => (prefix, metric).prop_map(|(p, metric)| Act::ForeignGone(p, metric)),
        1 => (1..=LINKS, any::<bool>()).prop_map(|(link, up)| Act::Link(link, up)),
        3 => (address.clone(), any::<bool>()).prop_map(|(a, d)| Act::Track(a, d)),
        1 => (address, any::<bool>()).prop_map(|(a, d)| Act::Untrack(a, d)),
    ];
    proptest::collection::vec(act, 1..40)
}

/// All there is, and no cleverness.
#[derive(Default)]
struct Plain {
    ours: BTreeMap<IpNet, Vec<NextHop>>,
    /// `None`: packets are dropped.
    foreign: BTreeMap<(IpNet, u32), Option<u32>>,
    tracked: BTreeMap<NextHop, u32>,
}

/// Gateways and links, each with the greatest metric, and what they were found through.
type Found = (BTreeMap<(IpAddr, u32), u32>, BTreeSet<IpNet>);

fn gateway_of(link: u32) -> IpAddr {
    Ipv4Addr::new(10, 0, u8::try_from(link).unwrap(), 9).into()
}

impl Plain {
    fn find(
        &self,
        up: &BTreeMap<u32, bool>,
        next_hop: NextHop,
        without: Option<IpNet>,
        trail: &[NextHop],
    ) -> Option<Found> {
        let mut trail = trail.to_vec();
        trail.push(next_hop);
        let mut all: Vec<(u8, u32, bool, IpNet)> = Vec::new();
        let ours = self.ours.keys().map(|p| (p.prefix_len(), 20, true, *p));
        all.extend(ours);
        let foreign = self.foreign.keys();
        all.extend(foreign.map(|(p, metric)| (p.prefix_len(), *metric, false, *p)));
        let mut links = up.iter().filter(|(_, up)| **up);
        all.extend(
            links
                .clone()
                .map(|(link, _)| (24, 0, false, Kernel::connected(*link).prefix)),
        );
        let on_link =
            links.any(|(link, _)| Kernel::connected(*link).prefix.contains(&next_hop.address));
        all.retain(|(.., prefix)| prefix.contains(&next_hop.address));
        all.sort_by_key(|(length, metric, ours, _)| (255 - length, *metric, *ours));
        for (length, metric, is_ours, prefix) in all {
            if !is_ours {
                let by = |gateway, link| {
                    let ways = BTreeMap::from([((gateway, link), metric)]);
                    Some((ways, BTreeSet::new()))
                };
                match self.foreign.get(&(prefix, metric)) {
                    Some(None) => return None,
                    Some(Some(link)) if up[link] => return by(gateway_of(*link), *link),
                    Some(Some(_)) => {}
                    None => {
                        let link = (1..=LINKS).find(|l| Kernel::connected(*l).prefix == prefix);
                        return by(next_hop.address, link.unwrap());
                    }
                }
                continue;
            }
            let hops = &self.ours[&prefix];
            let circle = hops.iter().any(|hop| trail.contains(hop));
            if next_hop.direct || on_link || length == 0 || circle || without == Some(prefix) {
                continue;
            }
            let found = hops
                .iter()
                .filter_map(|h| self.find(up, *h, without, &trail));
            let (mut ways, mut through) = (BTreeMap::new(), BTreeSet::new());
            for (more, prefixes) in found {
                for (way, metric) in more {
                    let most: &mut u32 = ways.entry(way).or_default();
                    *most = metric.max(*most);
                }
                through.extend(prefixes);
            }
            if !ways.is_empty() {
                through.insert(prefix);
                return Some((ways, through));
            }
        }
        None
    }

    fn check(&self, world: &World) {
        let up = &world.kernel.up;
        let of = |ways: &Ways| -> BTreeMap<_, _> {
            let ways = ways.iter();
            ways.map(|w| ((w.path.gateway.unwrap(), w.path.interface), w.metric))
                .collect()
        };
        for next_hop in self.tracked.keys() {
            let found = self.find(up, *next_hop, None, &[]);
            let told = world.told(*next_hop);
            let (ways, through) = found.clone().unwrap_or_default();
            assert_eq!(told.map(|t| of(&t.ways)), found.map(|f| f.0), "{next_hop}");
            let told = told.map(|t| t.through.as_slice()).unwrap_or_default();
            let prefixes: BTreeSet<IpNet> = told.iter().map(|t| t.prefix).collect();
            assert_eq!(prefixes, through, "{next_hop} {ways:?}");
            for part in told {
                let hops = &self.ours[&part.prefix];
                assert!(!hops.contains(next_hop), "{next_hop} through itself");
                let found = self.find(up, *next_hop, Some(part.prefix), &[]);
                let without = part.without.as_ref().map(of);
                assert_eq!(without, found.map(|f| f.0), "{next_hop} without {part:?}");
            }
        }
        for (prefix, hops) in &self.ours {
            // A route is where its next hops are for its own prefix.
            let found = hops
                .iter()
                .filter_map(|h| self.find(up, *h, Some(*prefix), &[]));
            let expected: BTreeSet<String> = found
                .flat_map(|(ways, _)| ways.into_keys())
                .map(|(gateway, _)| gateway.to_string())
                .collect();
            let actual = world.kernel.paths(&prefix.to_string());
            let actual: BTreeSet<String> = actual.into_iter().map(|(g, _)| g).collect();
            assert_eq!(actual, expected, "{prefix} by {hops:?}");
        }
        assert_eq!(world.fib.status().nexthops, world.kernel.nexthops.len());
    }

    fn act(&mut self, world: &mut World, act: &Act) {
        let of = |(address, direct): (usize, bool)| NextHop {
            direct,
            ..hop(ADDRESSES[address])
        };
        match act {
            Act::Want(p, hops) => {
                let hops: BTreeSet<NextHop> = hops.iter().map(|h| of(*h)).collect();
                let wanted = hops.iter().map(|hop| (*hop, 1)).collect();
                world.want(PREFIXES[*p], Some(Wanted::Unicast(wanted)));
                let hops = hops.into_iter().collect();
                self.ours.insert(net(PREFIXES[*p]), hops);
            }
            Act::Unwant(p) => {
                world.want(PREFIXES[*p], None);
                self.ours.remove(&net(PREFIXES[*p]));
            }
            Act::Foreign(p, metric, link) => {
                match link {
                    Some(link) => {
                        let gateway = gateway_of(*link).to_string();
                        world.foreign_at(PREFIXES[*p], *metric, &gateway, *link);
                    }
                    None => {
                        let route = KernelRoute {
                            metric: *metric,
                            kind: RouteKind::Blackhole,
                            ..World::foreign(PREFIXES[*p])
                        };
                        world.tell_foreign(route);
                    }
                }
                self.foreign.insert((net(PREFIXES[*p]), *metric), *link);
            }
            Act::ForeignGone(p, metric) => {
                let key = (net(PREFIXES[*p]), *metric);
                if self.foreign.remove(&key).is_some() {
                    let key = (net(PREFIXES[*p]), 254, *metric);
                    let route = world.kernel.routes.remove(&key).unwrap();
                    world.input(Input::Kernel(vec![Fact::RouteGone(route)]));
                }
            }
            Act::Link(link, up) if world.kernel.up[link] != *up => {
                let of_others = |route: &KernelRoute| route.protocol == THEIRS;
                let mut stay = world.kernel.routes.clone();
                stay.retain(|_, route| of_others(route));
                world.link(*link, *up);
                // Whoever made them puts them back, and the planner knows that their link is down.
                world.kernel.routes.extend(stay);
            }
            Act::Link(..) => {}
            Act::Track(address, direct) => {
                let next_hop = of((*address, *direct));
                world.input(Input::Track(next_hop));
                *self.tracked.entry(next_hop).or_default() += 1;
            }
            Act::Untrack(address, direct) => {
                let next_hop = of((*address, *direct));
                if let Some(count) = self.tracked.get_mut(&next_hop) {
                    *count -= 1;
                    if *count == 0 {
                        self.tracked.remove(&next_hop);
                    }
                    world.input(Input::Untrack(next_hop));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn next_hops_are_reached_as_a_naive_model_says(acts in acts()) {
        let (mut world, mut plain) = (World::new(), Plain::default());
        world.input(Input::StartupDone);
        for act in acts {
            plain.act(&mut world, &act);
            // So that nothing changes too often.
            world.run_for(Duration::from_secs(3));
            plain.check(&world);
        }
    }

    /// Whatever is told in whichever order, and however fast, all that is told in the end is the same.
    #[test]
    fn next_hops_come_to_rest(acts in acts()) {
        let (mut world, mut plain) = (World::new(), Plain::default());
        world.input(Input::StartupDone);
        for act in acts {
            plain.act(&mut world, &act);
        }
        world.run_for(Duration::from_secs(600));
        plain.check(&world);
    }
}
