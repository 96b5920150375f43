//! What follows from links, addresses and foreign routes; and when routes of an earlier life go.

use fib_netlink::{Op, Output};

use super::*;
use crate::config::{Static, StaticNextHop, StaticVia};

fn originate_when(prefix: &str, when: When) -> Originate {
    Originate {
        when,
        ..originate(prefix)
    }
}

#[test]
fn an_address_makes_a_route() {
    let vip: IpAddr = "192.0.2.200".parse().unwrap();
    let mut ours = config(0, &[]);
    ours.originate
        .push(originate_when("198.51.100.0/24", When::AddressPresent(vip)));
    let mut net = Net::new(vec![ours]);
    net.facts(0, dump(address(0)));
    assert!(net.routes(0).is_empty());
    net.facts(
        0,
        vec![Fact::Address {
            index: 2,
            address: vip,
            prefix: vip.into(),
        }],
    );
    assert_eq!(net.routes(0), ["198.51.100.0/24"]);
    net.facts(
        0,
        vec![Fact::AddressGone {
            index: 2,
            address: vip,
            prefix: vip.into(),
        }],
    );
    assert!(net.routes(0).is_empty());
}

/// Once it is announced, the route of our own is the best one to its prefix. It must neither keep itself alive nor
/// make its own condition fail.
#[test]
fn a_condition_on_its_own_prefix_follows_what_others_say() {
    let mut ours = config(0, &[1]);
    let prefix = "198.51.100.0/24";
    ours.originate
        .push(originate_when(prefix, When::RoutePresent(net_of(prefix))));
    let mut net = Net::new(vec![ours, config(1, &[0])]);
    net.run(10);
    assert!(net.routes(0).is_empty());
    let mut theirs = config(1, &[0]);
    theirs.originate.push(originate(prefix));
    net.configure(1, theirs);
    let query = RouteQuery::default();
    let paths = |net: &mut Net| {
        let page = net.speakers[0].routes(&query, None, 9).unwrap();
        page.routes
            .iter()
            .map(|route| route.paths.len())
            .sum::<usize>()
    };
    assert_eq!(paths(&mut net), 2);
    let version = net.speakers[0].routes_version();
    net.run(60);
    assert_eq!(net.speakers[0].routes_version(), version);
    net.configure(1, config(1, &[0]));
    assert_eq!(paths(&mut net), 0);
}

#[test]
fn a_static_route_waits_for_its_interface() {
    let mut ours = config(0, &[]);
    ours.fib.install = true;
    ours.statics.push(Static {
        tag: 0,
        prefix: net_of("198.51.100.0/24"),
        via: StaticVia::NextHops(vec![StaticNextHop {
            address: address(4),
            interface: Some("eth1".to_owned()),
            weight: 1,
        }]),
        originate: true,
    });
    let mut net = Net::new(vec![ours]);
    net.facts(0, dump(address(0)));
    net.run(1);
    assert!(net.routes(0).is_empty());
    net.facts(0, vec![link(3, "eth1")]);
    net.run(1);
    assert_eq!(net.routes(0), ["198.51.100.0/24"]);
    let put = |op: &Op| matches!(op, Op::PutPath { path, .. } if path.interface == 3);
    let found = net.done.iter().any(|(_, effect)| {
        matches!(effect, Effect::Kernel(Output::Send(batch)) if batch.ops.iter().any(put))
    });
    assert!(found, "{:?}", net.done);
}

/// The first dump may come after the first session: only then is it known which IPv6 address goes with it.
#[test]
fn next_hops_of_a_session_follow_its_link() {
    let mut first = config(0, &[1]);
    let mut second = config(1, &[0]);
    first.originate.push(originate("2001:db8::/32"));
    first.peers[0].options.families.ipv6 = true;
    second.peers[0].options.families.ipv6 = true;
    let mut net = Net::new(vec![first, second]);
    net.run(10);
    net.assert_up(0, 1);
    assert!(net.routes(1).is_empty());
    let mut facts = dump(address(0));
    let global = "fd00::1".parse().unwrap();
    facts.insert(
        3,
        Fact::Address {
            index: 2,
            address: global,
            prefix: net_of("fd00::/64"),
        },
    );
    net.facts(0, facts);
    assert_eq!(net.routes(1), ["2001:db8::/32"]);
    assert_eq!(net.peer(0, 1).established_count, 1);
}

/// A route of an earlier life, in a kernel that tells of it after start.
fn with_stale(ours: Config, more: Vec<Config>) -> Net {
    let mut net = Net::new([vec![ours], more].concat());
    let mut facts = dump(address(0));
    let Some(Fact::Route(on_link)) = facts.get(4).cloned() else {
        panic!("{facts:?}")
    };
    let stale = KernelRoute {
        prefix: net_of("198.51.100.0/24"),
        metric: 20,
        protocol: 186,
        ..on_link
    };
    facts.insert(5, Fact::Route(stale));
    net.facts(0, facts);
    net
}

fn removed(net: &Net) -> bool {
    net.done.iter().any(|(_, effect)| match effect {
        Effect::Kernel(Output::Send(batch)) => batch
            .ops
            .iter()
            .any(|op| matches!(op, Op::RemoveRoute { .. })),
        _ => false,
    })
}

#[test]
fn stale_routes_go_when_all_peers_have_told_all() {
    let mut ours = config(0, &[1]);
    ours.fib.install = true;
    let mut net = with_stale(ours, vec![config(1, &[0])]);
    net.run(2);
    net.assert_up(0, 1);
    assert!(removed(&net));
}

#[test]
fn a_peer_that_does_not_come_holds_stale_routes_for_a_known_time() {
    let mut ours = config(0, &[1]);
    ours.fib.install = true;
    ours.peers[0].options.passive = true;
    let mut net = with_stale(ours, Vec::new());
    net.run(STARTUP_MAX.as_secs() - 1);
    assert!(!removed(&net));
    net.run(2);
    assert!(removed(&net));
}
