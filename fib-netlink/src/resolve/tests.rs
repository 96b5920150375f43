//! Next hops against a picture of a kernel.

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn hop(address: &str) -> NextHop {
    NextHop {
        address: address.parse().unwrap(),
        interface: None,
        direct: false,
    }
}

fn path(gateway: Option<&str>, interface: u32) -> Path {
    Path {
        gateway: gateway.map(|g| g.parse().unwrap()),
        interface,
        onlink: false,
    }
}

fn route(prefix: &str, metric: u32, paths: &[Path]) -> KernelRoute {
    let paths = paths.iter().map(|path| (*path, 1)).collect();
    KernelRoute {
        prefix: net(prefix),
        table: 254,
        metric,
        protocol: 4,
        tos: 0,
        kind: RouteKind::Unicast(RouteVia::Paths(paths)),
        prefsrc: None,
    }
}

fn up(index: u32) -> Fact {
    Fact::Link {
        index,
        name: format!("eth{index}"),
        up: true,
    }
}

fn down(index: u32) -> Fact {
    Fact::Link {
        index,
        name: format!("eth{index}"),
        up: false,
    }
}

/// Links 1 and 2, connected 10.0.1.0/24 and 10.0.2.0/24, fd00:1::/64 and fd00:2::/64.
fn resolver() -> Resolver {
    let mut resolver = Resolver::new(vec![254], true);
    for index in [1, 2] {
        resolver.learn(up(index));
        resolver.learn(Fact::Address {
            index,
            address: format!("10.0.{index}.1").parse().unwrap(),
            prefix: format!("10.0.{index}.0/24").parse().unwrap(),
        });
        for prefix in [format!("10.0.{index}.0/24"), format!("fd00:{index}::/64")] {
            resolver.learn(Fact::Route(KernelRoute {
                protocol: PROTOCOL_KERNEL,
                ..route(&prefix, 256, &[path(None, index)])
            }));
        }
    }
    resolver
}

fn lookup(resolver: &Resolver, next_hop: NextHop) -> Option<Way> {
    let ways = resolver.answer(next_hop)?.ways;
    assert_eq!(ways.len(), 1, "of others, one way counts");
    ways.first().copied()
}

fn way(resolver: &Resolver, address: &str) -> Option<(String, u32, u32)> {
    let answer = lookup(resolver, hop(address))?;
    Some((
        answer.path.gateway?.to_string(),
        answer.path.interface,
        answer.metric,
    ))
}

#[test]
fn a_connected_next_hop_is_its_own_gateway_at_no_cost() {
    let resolver = resolver();
    assert_eq!(way(&resolver, "10.0.1.9"), Some(("10.0.1.9".into(), 1, 0)));
    assert_eq!(
        way(&resolver, "fd00:2::9"),
        Some(("fd00:2::9".into(), 2, 0))
    );
}

/// RFC 4271 §9.1.2.1: "the BGP speaker MUST perform a resolvability check" with the longest match, and
/// §5.1.3: the immediate next hop is that of the route used to reach the NEXT_HOP.
#[test]
fn the_longest_match_gives_the_immediate_next_hop_and_the_cost() {
    let mut resolver = resolver();
    resolver.learn(Fact::Route(route(
        "172.16.0.0/12",
        100,
        &[path(Some("10.0.1.2"), 1)],
    )));
    resolver.learn(Fact::Route(route(
        "172.16.0.0/16",
        30,
        &[path(Some("10.0.2.2"), 2)],
    )));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.2.2".into(), 2, 30))
    );
    assert_eq!(
        way(&resolver, "172.17.0.1"),
        Some(("10.0.1.2".into(), 1, 100))
    );
    assert_eq!(way(&resolver, "192.0.2.1"), None);
}

#[test]
fn the_least_metric_whose_link_is_up_rules() {
    let mut resolver = resolver();
    resolver.learn(Fact::Route(route(
        "172.16.0.0/16",
        10,
        &[path(Some("10.0.1.2"), 1)],
    )));
    resolver.learn(Fact::Route(route(
        "172.16.0.0/16",
        20,
        &[path(Some("10.0.2.2"), 2)],
    )));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.1.2".into(), 1, 10))
    );
    resolver.learn(down(1));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.2.2".into(), 2, 20))
    );
}

/// `ip route append`: of several with the same metric, the kernel takes the first, and when that one goes the next.
#[test]
fn of_twins_the_first_whose_link_is_up_is_taken() {
    let mut resolver = resolver();
    let first = route("172.16.0.0/16", 10, &[path(Some("10.0.1.2"), 1)]);
    let second = route("172.16.0.0/16", 10, &[path(Some("10.0.2.2"), 2)]);
    resolver.learn(Fact::Route(first.clone()));
    resolver.learn(Fact::RouteBeside(second.clone(), Rank::Last));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.1.2".into(), 1, 10))
    );
    resolver.learn(down(1));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.2.2".into(), 2, 10))
    );
    resolver.learn(up(1));
    resolver.learn(Fact::RouteGone(first.clone()));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.2.2".into(), 2, 10))
    );
    resolver.learn(Fact::RouteBeside(first, Rank::First));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.1.2".into(), 1, 10))
    );
    resolver.learn(Fact::RouteGone(second));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.1.2".into(), 1, 10))
    );
}

#[test]
fn of_several_ways_the_first_that_is_up_is_taken() {
    let mut resolver = resolver();
    resolver.learn(Fact::Route(route(
        "172.16.0.0/16",
        10,
        &[path(Some("10.0.1.2"), 1), path(Some("10.0.2.2"), 2)],
    )));
    resolver.learn(down(1));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.2.2".into(), 2, 10))
    );
}

#[test]
fn a_blackhole_hides_what_is_behind_it() {
    let mut resolver = resolver();
    resolver.learn(Fact::Route(route(
        "0.0.0.0/0",
        0,
        &[path(Some("10.0.1.2"), 1)],
    )));
    resolver.learn(Fact::Route(KernelRoute {
        kind: RouteKind::Blackhole,
        ..route("172.16.0.0/16", 0, &[])
    }));
    assert_eq!(way(&resolver, "172.16.0.1"), None);
    assert!(way(&resolver, "172.17.0.1").is_some());
}

#[test]
fn the_default_route_counts_if_it_is_to() {
    for via_default in [true, false] {
        let mut resolver = Resolver {
            via_default,
            ..resolver()
        };
        resolver.learn(Fact::Route(route(
            "0.0.0.0/0",
            0,
            &[path(Some("10.0.1.2"), 1)],
        )));
        assert_eq!(way(&resolver, "192.0.2.1").is_some(), via_default);
        assert!(way(&resolver, "10.0.2.7").is_some());
    }
}

#[test]
fn our_own_addresses_and_those_of_nobody_are_no_next_hops() {
    let resolver = resolver();
    for address in [
        "10.0.1.1",
        "0.0.0.0",
        "224.0.0.5",
        "fe80::1",
        "ff02::1",
        "::",
    ] {
        assert_eq!(lookup(&resolver, hop(address)), None, "{address}");
    }
}

#[test]
fn a_link_local_next_hop_needs_its_link_and_no_route() {
    let mut resolver = resolver();
    let scoped = NextHop {
        address: "fe80::2".parse().unwrap(),
        interface: Some(2),
        direct: false,
    };
    assert_eq!(
        lookup(&resolver, scoped).map(|a| a.path),
        Some(path(Some("fe80::2"), 2))
    );
    resolver.learn(down(2));
    assert_eq!(lookup(&resolver, scoped), None);
}

#[test]
fn a_forced_device_is_on_link_when_no_route_says_so() {
    let resolver = resolver();
    let forced = |address: &str| {
        let next_hop = NextHop {
            address: address.parse().unwrap(),
            interface: Some(1),
            direct: false,
        };
        lookup(&resolver, next_hop)
    };
    assert_eq!(forced("10.0.1.5").map(|a| a.path.onlink), Some(false));
    assert_eq!(forced("10.0.2.5").map(|a| a.path.onlink), Some(true));
}

#[test]
fn routes_by_nexthop_objects_of_others_are_followed() {
    let mut resolver = resolver();
    let object = |id, kind| {
        Fact::Nexthop(KernelNexthop {
            id,
            protocol: 4,
            kind,
        })
    };
    resolver.learn(object(7, NexthopKind::Path(path(Some("10.0.1.2"), 1))));
    resolver.learn(object(8, NexthopKind::Path(path(Some("10.0.2.2"), 2))));
    resolver.learn(object(
        9,
        NexthopKind::Group(SmallVec::from_slice(&[(7, 1), (8, 1)])),
    ));
    resolver.learn(Fact::Route(KernelRoute {
        kind: RouteKind::Unicast(RouteVia::Nexthop(9)),
        ..route("172.16.0.0/16", 5, &[])
    }));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.1.2".into(), 1, 5))
    );
    resolver.learn(down(1));
    assert_eq!(
        way(&resolver, "172.16.0.1"),
        Some(("10.0.2.2".into(), 2, 5))
    );
}

#[test]
fn one_next_hop_of_an_ipv6_route_goes_alone() {
    let mut resolver = resolver();
    let (first, second) = (path(Some("fd00:1::2"), 1), path(Some("fd00:2::2"), 2));
    resolver.learn(Fact::Route(route("2001:db8::/32", 1024, &[first, second])));
    resolver.learn(Fact::RouteGone(route("2001:db8::/32", 1024, &[first])));
    assert_eq!(
        way(&resolver, "2001:db8::1"),
        Some(("fd00:2::2".into(), 2, 1024))
    );
    resolver.learn(Fact::RouteGone(route("2001:db8::/32", 1024, &[second])));
    assert_eq!(way(&resolver, "2001:db8::1"), None);
}

#[test]
fn other_tables_and_tos_do_not_count() {
    let mut resolver = resolver();
    resolver.learn(Fact::Route(KernelRoute {
        table: 100,
        ..route("172.16.0.0/16", 5, &[path(Some("10.0.1.2"), 1)])
    }));
    resolver.learn(Fact::Route(KernelRoute {
        tos: 8,
        ..route("172.16.0.0/16", 5, &[path(Some("10.0.1.2"), 1)])
    }));
    assert_eq!(way(&resolver, "172.16.0.1"), None);
}

#[test]
fn only_what_changed_is_told_and_only_while_used() {
    let mut resolver = resolver();
    resolver.refresh();
    assert!(resolver.using(hop("10.0.1.2")).is_some());
    assert!(resolver.using(hop("10.0.2.2")).is_some());
    assert_eq!(resolver.using(hop("172.16.0.1")), None);
    resolver.learn(Fact::Route(route(
        "172.16.0.0/16",
        10,
        &[path(Some("10.0.1.2"), 1)],
    )));
    let changed: Vec<_> = resolver
        .refresh()
        .into_iter()
        .map(|changed| changed.next_hop)
        .collect();
    assert_eq!(changed, [hop("172.16.0.1")]);
    resolver.learn(down(1));
    let changed: Vec<_> = resolver
        .refresh()
        .into_iter()
        .map(|changed| (changed.next_hop, changed.answer.is_some()))
        .collect();
    assert_eq!(
        changed,
        [(hop("10.0.1.2"), false), (hop("172.16.0.1"), false)]
    );
    resolver.used_no_more(hop("10.0.1.2"));
    resolver.learn(up(1));
    assert_eq!(resolver.refresh().len(), 1);
    assert!(resolver.refresh().is_empty());
}
