//! Pages, explanations, counts, and what readers are told.

use bgp_core::attributes::ExtendedCommunity;

use super::*;
use crate::decision::Step;
use crate::policy::{Action, MatchConfig, PolicyConfig, RuleConfig, SetConfig, Then, Verdict};
use crate::query::{PAGE_MAX, Reason, RouteQuery};

fn filled(routes: u32) -> Rib {
    let (mut rib, _) = pair(Sort::External, Sort::External);
    for n in 0..routes {
        // In no order.
        let n = n * 331 % routes;
        let prefix = format!("10.{}.{}.0/24", n >> 8, n & 255);
        rib.receive(PeerId(0), &update(&prefix, Some(&route([65000]))))
            .unwrap();
    }
    let v6 = Attributes {
        next_hop: NextHop::V6("2001:db8::9".parse().unwrap()),
        ..route([65000])
    };
    rib.receive(PeerId(0), &update("2001:db8:7::/48", Some(&v6)))
        .unwrap();
    rib
}

#[test]
fn pages_are_sorted_and_hold_every_route_once() {
    let mut rib = filled(701);
    for (limit, family, count) in [
        (1, None, 702),
        (100, None, 702),
        (701, None, 702),
        (5000, Some(Family::Ipv4Unicast), 701),
        (7, Some(Family::Ipv6Unicast), 1),
    ] {
        let query = RouteQuery {
            family,
            ..RouteQuery::default()
        };
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = rib.routes(&query, after, limit);
            assert!(page.rows.len() <= limit.min(PAGE_MAX));
            all.extend(page.rows.into_iter().map(|row| row.prefix));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(all.len(), count);
        assert!(all.is_sorted());
    }
}

#[test]
fn queries_restrict() {
    let mut rib = filled(700);
    let mut rows = |query: &RouteQuery| rib.routes(query, None, 1000).rows.len();
    let all = RouteQuery::default();
    let prefix = |text: &str, longer| RouteQuery {
        prefix: Some(text.parse().unwrap()),
        longer,
        ..RouteQuery::default()
    };
    assert_eq!(rows(&prefix("10.1.3.0/24", false)), 1);
    assert_eq!(rows(&prefix("10.1.0.0/16", false)), 0);
    assert_eq!(rows(&prefix("10.1.0.0/16", true)), 256);
    assert_eq!(rows(&prefix("2001:db8::/32", true)), 1);
    let from = |peer| RouteQuery {
        received_from: Some(PeerId(peer)),
        ..all.clone()
    };
    assert_eq!((rows(&from(0)), rows(&from(1))), (701, 0));
}

#[test]
fn what_is_advertised_is_what_was_told() {
    let mut rib = filled(3);
    let query = RouteQuery {
        advertised_to: Some(PeerId(1)),
        ..RouteQuery::default()
    };
    let mut listener = Listener::of(Sort::External);
    drain(&mut rib, 1, &mut listener);
    let page = rib.routes(&query, None, 10);
    let shown: BTreeMap<IpNet, Attributes> = page
        .rows
        .into_iter()
        .map(|mut row| (row.prefix, row.paths.remove(0).attributes))
        .collect();
    assert_eq!(shown, listener.routes);
    let own = RouteQuery {
        advertised_to: Some(PeerId(0)),
        ..RouteQuery::default()
    };
    assert!(rib.routes(&own, None, 10).rows.is_empty());
    let advertised = rib.peer_counts(PeerId(1));
    assert_eq!(
        (advertised.ipv4.advertised, advertised.ipv6.advertised),
        (3, 1)
    );
    assert_eq!(rib.peer_counts(PeerId(0)).ipv4.advertised, 0);
}

#[test]
fn an_explanation_names_the_step_that_removed_each_candidate() {
    let mut rib = Rib::new(Config {
        assume_reachable: false,
        ..config()
    });
    for peer in 0..4 {
        let mut session = session(peer, Sort::External);
        session.import = session.import.filter(|_| peer != 3);
        rib.peer_up(PeerId(peer), session);
        let length = if peer == 1 { 1 } else { 2 };
        let attributes = Attributes {
            next_hop: NextHop::V4(address(peer)),
            ..route(std::iter::repeat_n(65000 + peer, length))
        };
        rib.receive(PeerId(peer), &update("10.0.0.0/8", Some(&attributes)))
            .unwrap();
        let key = NextHopKey {
            address: address(peer).into(),
            interface: None,
            direct: false,
        };
        if peer != 2 {
            rib.set_next_hop(key, Some(3));
        }
    }
    let explanation = rib.explain("10.0.0.0/8".parse().unwrap()).unwrap();
    let reasons: Vec<_> = explanation
        .candidates
        .iter()
        .map(|c| (c.path.peer.0, c.path.best, c.path.reason, c.path.cost))
        .collect();
    let step = Reason::Step(Step::AsPathLength);
    assert_eq!(
        reasons,
        [
            (1, true, step, Some(3)),
            (0, false, step, Some(3)),
            (2, false, Reason::NextHopUnknown, None),
            (3, false, Reason::Rejected, Some(3)),
        ]
    );
}

#[test]
fn end_of_rib_comes_after_the_table_and_a_refresh_is_marked() {
    let mut rib = filled(20);
    rib.peer_up(PeerId(2), session(2, Sort::External));
    let mut listener = Listener::of(Sort::External);
    let mut out = Vec::new();
    while listener.end_of_rib.is_empty() {
        assert!(rib.has_pending(PeerId(2)));
        rib.transmit(PeerId(2), 1, &mut out);
        listener.hear(&std::mem::take(&mut out));
    }
    drain(&mut rib, 2, &mut listener);
    assert_eq!(listener.end_of_rib, Family::ALL);
    assert_eq!((listener.routes.len(), listener.marks), (21, 0));
    listener.routes.clear();
    rib.refresh_requested(PeerId(2), Family::Ipv4Unicast, true);
    drain(&mut rib, 2, &mut listener);
    assert_eq!((listener.routes.len(), listener.marks), (20, 2));
    assert_eq!((listener.end_of_rib.len(), listener.withdrawals), (2, 0));
}

/// RFC 4724 §4: also where there is nothing to tell.
#[test]
fn end_of_rib_comes_where_there_are_no_routes() {
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(2), session(2, Sort::External));
    let mut listener = Listener::of(Sort::External);
    drain(&mut rib, 2, &mut listener);
    assert_eq!(listener.end_of_rib, Family::ALL);
    assert_eq!((listener.routes.len(), listener.withdrawals), (0, 0));
}

#[test]
fn an_unchanged_route_is_not_told_again() {
    let (mut rib, mut listener) = pair(Sort::External, Sort::External);
    let body = update("10.0.0.0/8", Some(&route([65000])));
    rib.receive(PeerId(0), &body).unwrap();
    drain(&mut rib, 1, &mut listener);
    rib.receive(PeerId(0), &body).unwrap();
    assert!(!rib.has_pending(PeerId(1)));
    // It comes and goes in between: only the last word counts.
    rib.receive(PeerId(0), &update("10.0.0.0/8", None)).unwrap();
    rib.receive(PeerId(0), &body).unwrap();
    let mut out = Vec::new();
    while rib.transmit(PeerId(1), 100, &mut out) {}
    assert_eq!(out, Vec::<Bytes>::new());
}

#[test]
fn watchers_see_the_table_and_then_what_changes() {
    let mut rib = filled(5);
    let mut watcher = rib.watch(true).unwrap();
    let mut seen = Vec::new();
    assert!(rib.changes(&mut watcher, 3, &mut |prefix| seen.push(prefix)));
    while rib.changes(&mut watcher, 100, &mut |prefix| seen.push(prefix)) {}
    assert_eq!(seen.len(), 6);
    seen.clear();
    rib.receive(PeerId(0), &update("10.0.3.0/24", None))
        .unwrap();
    rib.changes(&mut watcher, 100, &mut |prefix| seen.push(prefix));
    assert_eq!(seen, ["10.0.3.0/24".parse().unwrap()]);
    assert_eq!(rib.route(seen[0]), None);
    rib.unwatch(watcher);
}

#[test]
fn the_fib_gets_next_hops_and_what_local_routes_say() {
    let mut rib = Rib::new(Config {
        multipath: Multipath {
            width: 4,
            tolerance: 0,
        },
        ..config()
    });
    for peer in 0..2 {
        rib.peer_up(PeerId(peer), session(peer, Sort::External));
        let attributes = Attributes {
            next_hop: NextHop::V4(address(peer)),
            ..route([65000 + peer])
        };
        rib.receive(PeerId(peer), &update("10.0.0.0/8", Some(&attributes)))
            .unwrap();
    }
    let source = LocalSource {
        peer: PeerId(9),
        path_id: 0,
    };
    let ours = Attributes {
        next_hop: OURSELVES,
        ..route([])
    };
    let drop = "192.0.2.0/24".parse().unwrap();
    rib.announce_local(source, drop, &ours, Some(LocalForwarding::Blackhole));
    rib.announce_local(source, "192.0.3.0/24".parse().unwrap(), &ours, None);
    let mut fib = BTreeMap::new();
    rib.fib_next(100, &mut |prefix, forwarding| {
        drop_in(
            &mut fib,
            prefix,
            forwarding.map(|(forwarding, _)| forwarding),
        )
    });
    let hop = |peer| {
        let address = address(peer).into();
        (
            NextHopKey {
                address,
                interface: None,
                direct: false,
            },
            1,
        )
    };
    let both = Forwarding::Via(SmallVec::from_slice(&[hop(0), hop(1)]));
    let wide = "10.0.0.0/8".parse().unwrap();
    assert_eq!(
        fib,
        BTreeMap::from([(wide, both), (drop, Forwarding::Blackhole)])
    );
    // One way goes: the best path stays, the FIB hears of it all the same.
    rib.peer_down(PeerId(1));
    rib.fib_next(100, &mut |prefix, forwarding| {
        drop_in(
            &mut fib,
            prefix,
            forwarding.map(|(forwarding, _)| forwarding),
        )
    });
    assert_eq!(fib[&wide], Forwarding::Via(SmallVec::from_slice(&[hop(0)])));
}

/// draft-ietf-idr-link-bandwidth §4: traffic is divided in proportion, if all paths that share it have a Link Bandwidth.
#[test]
fn link_bandwidth_divides_the_traffic_of_paths_that_all_have_one() {
    let shares = |bandwidths: &[Option<f32>]| -> Vec<u8> {
        let mut rib = Rib::new(Config {
            multipath: Multipath {
                width: 8,
                tolerance: 0,
            },
            ..config()
        });
        for (peer, bandwidth) in (0..).zip(bandwidths) {
            rib.peer_up(PeerId(peer), session(peer, Sort::Internal));
            let community = |rate| ExtendedCommunity::link_bandwidth(65000, rate);
            let attributes = Attributes {
                next_hop: NextHop::V4(address(peer)),
                ext_communities: bandwidth.map(community).into_iter().collect(),
                ..route([65009])
            };
            rib.receive(PeerId(peer), &update("10.0.0.0/8", Some(&attributes)))
                .unwrap();
        }
        let mut weights = Vec::new();
        rib.fib_next(100, &mut |_, placed| {
            if let Some((Forwarding::Via(hops), _)) = placed {
                weights = hops.iter().map(|(_, weight)| *weight).collect();
            }
        });
        weights
    };
    assert_eq!(shares(&[Some(1e6), Some(4e6), Some(2e6)]), [8, 32, 16]);
    // As good as nothing is not nothing.
    assert_eq!(shares(&[Some(1.0), Some(1e9)]), [1, 32]);
    assert_eq!(shares(&[Some(5e6), Some(5e6)]), [1, 1]);
    assert_eq!(shares(&[Some(1e6), None, Some(2e6)]), [1, 1, 1]);
    assert_eq!(shares(&[Some(0.0), Some(2e6)]), [1, 1]);
    assert_eq!(shares(&[Some(7.0)]), [1]);
}

fn drop_in(fib: &mut BTreeMap<IpNet, Forwarding>, prefix: IpNet, forwarding: Option<Forwarding>) {
    match forwarding {
        Some(forwarding) => fib.insert(prefix, forwarding),
        None => fib.remove(&prefix),
    };
}

/// The route's placement by a policy of `[fib]`; `None`: it is kept out.
fn placed(rib: &mut Rib) -> BTreeMap<IpNet, Option<Placement>> {
    let mut fib = BTreeMap::new();
    rib.fib_next(100, &mut |prefix, placed| {
        fib.insert(prefix, placed.map(|(_, placement)| placement));
    });
    fib
}

fn to_kernel() -> PolicyConfig {
    let rule = |matches, set, then| RuleConfig { matches, set, then };
    PolicyConfig {
        name: "to-kernel".to_owned(),
        default: Some(Action::Accept),
        rules: vec![
            rule(
                MatchConfig {
                    communities: vec!["65000:666".to_owned()],
                    ..MatchConfig::default()
                },
                SetConfig::default(),
                Then::Decide(Action::Reject),
            ),
            rule(
                MatchConfig {
                    group: vec!["edge".to_owned()],
                    ..MatchConfig::default()
                },
                SetConfig {
                    table: Some(1000),
                    metric: Some(7),
                    prefsrc: Some("2001:db8::1".to_owned()),
                    ..SetConfig::default()
                },
                Then::Next,
            ),
            rule(
                MatchConfig::default(),
                SetConfig {
                    prefsrc: Some("10.100.0.1".to_owned()),
                    ..SetConfig::default()
                },
                Then::Next,
            ),
        ],
    }
}

#[test]
fn a_policy_says_which_routes_the_fib_gets_and_where_they_are_to_be() {
    let policies = Policies::compile(&Default::default(), &[to_kernel()]).unwrap();
    let chain = policies.chain(&["to-kernel".to_owned()]).unwrap();
    let mut rib = Rib::new(config());
    rib.set_policies(Arc::new(policies));
    assert!(rib.set_fib_policy(chain.clone()));
    assert!(!rib.set_fib_policy(chain));
    for (peer, group) in [(0, "edge"), (1, "core")] {
        let mut session = session(peer, Sort::External);
        session.group = Some(group.into());
        rib.peer_up(PeerId(peer), session);
    }
    let tell = |rib: &mut Rib, peer: u32, prefix: &str, community: Option<u32>| {
        let mut attributes = route([65000 + peer]);
        attributes.next_hop = NextHop::V4(address(peer));
        attributes.communities.extend(community.map(Community));
        rib.receive(PeerId(peer), &update(prefix, Some(&attributes)))
            .unwrap();
    };
    // Alternating, so that what was said of one peer's route is not taken for the other's.
    for (n, peer) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
        tell(&mut rib, peer, &format!("10.{n}.0.0/16"), None);
    }
    tell(&mut rib, 0, "10.5.0.0/16", Some((65000 << 16) + 666));
    let source = Some("10.100.0.1".parse().unwrap());
    let at_edge = Placement {
        table: Some(1000),
        metric: Some(7),
        prefsrc: source,
    };
    let edge = Some(at_edge);
    let core = Some(Placement {
        prefsrc: source,
        ..Placement::default()
    });
    let prefix = |n: u32| format!("10.{n}.0.0/16").parse::<IpNet>().unwrap();
    let expected = [(1, edge), (2, core), (3, edge), (4, core), (5, None)];
    assert_eq!(
        placed(&mut rib),
        expected.map(|(n, placement)| (prefix(n), placement)).into()
    );
    // The community goes: now it is let in. Another policy, and all is told again.
    tell(&mut rib, 0, "10.5.0.0/16", None);
    assert_eq!(placed(&mut rib), BTreeMap::from([(prefix(5), edge)]));
    let (verdict, trace) = rib.explain_fib(prefix(1)).unwrap();
    assert_eq!((verdict, trace.placement), (Verdict::Accept, at_edge));
    assert!(rib.set_fib_policy(Chain::accept_all()));
    rib.fib_resync();
    let all = (1..6).map(|n| (prefix(n), Some(Placement::default())));
    assert_eq!(placed(&mut rib), all.collect());
}

#[test]
fn next_hops_are_tracked_as_long_as_routes_use_them() {
    let (mut rib, _) = pair(Sort::External, Sort::External);
    let key = NextHopKey {
        address: Ipv4Addr::new(10, 1, 0, 1).into(),
        interface: None,
        direct: false,
    };
    for prefix in ["10.0.0.0/8", "11.0.0.0/8"] {
        rib.receive(PeerId(0), &update(prefix, Some(&route([65000]))))
            .unwrap();
    }
    assert_eq!(rib.drain_next_hop_changes(), [NextHopChange::Track(key)]);
    rib.receive(PeerId(0), &update("10.0.0.0/8", None)).unwrap();
    assert_eq!(rib.drain_next_hop_changes(), []);
    rib.peer_down(PeerId(0));
    // What was told of it counts as a use until the withdrawal is said.
    rib.peer_down(PeerId(1));
    assert_eq!(rib.drain_next_hop_changes(), [NextHopChange::Untrack(key)]);
}
