//! Routes through routes of ours (RFC 4271 §9.1.2.1), from the session to the kernel.

use fib_netlink::{Op, Output};

use super::*;
use crate::config::{NextHopMode, Static, StaticNextHop, StaticVia};

fn static_route(prefix: &str, via: &[&str]) -> Static {
    let hop = |address: &&str| StaticNextHop {
        address: address.parse().unwrap(),
        interface: None,
        weight: 1,
    };
    Static {
        tag: 0,
        prefix: net_of(prefix),
        via: StaticVia::NextHops(via.iter().map(hop).collect()),
        originate: false,
    }
}

/// A speaker that writes to its kernel, with these static routes.
fn ours(peers: &[usize], statics: &[(&str, &[&str])]) -> Config {
    let mut ours = config(0, peers);
    ours.fib.install = true;
    let statics = statics.iter();
    ours.statics = statics.map(|(p, via)| static_route(p, via)).collect();
    for peer in &mut ours.peers {
        peer.options.multihop = Some(2);
    }
    ours
}

/// A neighbor that tells prefixes with a next hop.
fn theirs(host: usize, prefixes: &[&str], next_hop: &str) -> Config {
    let mut theirs = config(host, &[0]);
    let next_hop = NextHopMode::Address(next_hop.parse().unwrap());
    theirs.peers[0].options.next_hop = next_hop;
    theirs.peers[0].options.multihop = Some(2);
    theirs.originate = prefixes.iter().map(|prefix| originate(prefix)).collect();
    theirs
}

fn started(configs: Vec<Config>) -> Net {
    let mut net = Net::new(configs);
    net.facts(0, dump(address(0)));
    net.run(10);
    net
}

/// The way of the only next hop of a prefix, and what leads to it.
fn way(net: &Net, prefix: &str) -> (Option<String>, Vec<String>) {
    let explanation = net.speakers[0].explain(net_of(prefix)).unwrap();
    let [hop] = explanation.next_hops.as_slice() else {
        panic!("{explanation:?}")
    };
    let gateway = hop.gateway.map(|gateway| gateway.to_string());
    let through = hop.through.iter().map(ToString::to_string);
    (gateway, through.collect())
}

fn through(gateway: &str, prefixes: &[&str]) -> (Option<String>, Vec<String>) {
    let prefixes = prefixes.iter().map(ToString::to_string);
    (Some(gateway.to_owned()), prefixes.collect())
}

#[test]
fn a_static_route_waits_for_the_one_that_leads_to_its_next_hop_and_goes_with_it() {
    let far: (&str, &[&str]) = ("198.51.100.0/24", &["10.7.0.1"]);
    let near: (&str, &[&str]) = ("10.7.0.0/16", &["192.0.2.5"]);
    let mut net = started(vec![ours(&[], &[far])]);
    assert!(net.routes(0).is_empty());
    net.configure(0, ours(&[], &[far, near]));
    net.run(1);
    assert_eq!(net.routes(0), ["10.7.0.0/16", "198.51.100.0/24"]);
    assert_eq!(
        way(&net, "198.51.100.0/24"),
        through("192.0.2.5", &["10.7.0.0/16"])
    );
    net.configure(0, ours(&[], &[far]));
    net.run(1);
    assert!(net.routes(0).is_empty());
}

#[test]
fn a_route_of_bgp_is_reached_through_a_static_one_and_one_of_bgp_through_that() {
    let mut net = started(vec![
        ours(&[1, 2], &[("10.7.0.0/16", &["192.0.2.5"])]),
        theirs(1, &["10.8.0.0/16"], "10.7.0.1"),
        theirs(2, &["198.51.100.0/24"], "10.8.0.1"),
    ]);
    assert_eq!(
        net.routes(0),
        ["10.7.0.0/16", "10.8.0.0/16", "198.51.100.0/24"]
    );
    assert_eq!(
        way(&net, "198.51.100.0/24"),
        through("192.0.2.5", &["10.8.0.0/16", "10.7.0.0/16"])
    );
    let last = net.done.iter().rev().find_map(|(_, effect)| match effect {
        Effect::Kernel(Output::Send(batch)) => batch.ops.iter().find_map(|op| match op {
            Op::PutPath { path, .. } => Some(path.gateway),
            _ => None,
        }),
        _ => None,
    });
    assert_eq!(last, Some(Some("192.0.2.5".parse().unwrap())));
    // The one in the middle goes.
    net.configure(1, theirs(1, &[], "10.7.0.1"));
    net.run(1);
    assert_eq!(net.routes(0), ["10.7.0.0/16"]);
}

/// RFC 4271 §5.1.3: the next hop of an external peer one hop away is on the link.
#[test]
fn what_a_peer_one_hop_away_tells_is_not_reached_through_ours() {
    let statics: &[(&str, &[&str])] = &[("10.7.0.0/16", &["192.0.2.5"])];
    let mut direct = ours(&[1], statics);
    direct.peers[0].options.multihop = None;
    let mut them = theirs(1, &["198.51.100.0/24"], "10.7.0.1");
    them.peers[0].options.multihop = None;
    let mut net = started(vec![direct, them]);
    net.assert_up(0, 1);
    assert_eq!(net.routes(0), ["10.7.0.0/16"]);
}

/// RFC 4271 §9.1.2: a route must not be resolved through itself, directly or in a circle.
#[test]
fn what_leads_to_itself_is_unreachable_and_nothing_turns_in_a_circle() {
    let mut net = started(vec![
        ours(&[1, 2], &[]),
        theirs(1, &["10.8.0.0/16", "10.9.0.0/16"], "10.7.0.1"),
        theirs(2, &["10.7.0.0/16", "10.9.0.0/16"], "10.8.0.1"),
    ]);
    assert!(net.routes(0).is_empty());
    // What is beneath makes both reachable, and neither through the other's.
    let beneath: (&str, &[&str]) = ("10.0.0.0/8", &["192.0.2.5"]);
    net.configure(0, ours(&[1, 2], &[beneath]));
    net.run(1);
    assert_eq!(net.routes(0).len(), 4);
    let version = net.speakers[0].routes_version();
    let done = net.done.len();
    net.run(60);
    assert_eq!(net.speakers[0].routes_version(), version);
    assert_eq!(net.done.len(), done, "{:?}", &net.done[done..]);
    net.configure(0, ours(&[1, 2], &[]));
    net.run(1);
    assert!(net.routes(0).is_empty());
}

/// Whichever of two paths came first: the one that leads to its own next hop is judged without the route to its prefix.
#[test]
fn order_of_arrival_does_not_matter() {
    let beneath: (&str, &[&str]) = ("10.0.0.0/8", &["192.0.2.5"]);
    let better = || theirs(1, &["10.8.0.0/16"], "10.8.0.1");
    let worse = || {
        let mut worse = theirs(2, &["10.8.0.0/16"], "192.0.2.6");
        worse.originate[0].attributes.origin = Origin::Incomplete;
        worse
    };
    let nothing = |host| theirs(host, &[], "192.0.2.6");
    for first in [1, 2] {
        let early = if first == 1 { better() } else { nothing(1) };
        let late = if first == 2 { worse() } else { nothing(2) };
        let mut net = started(vec![ours(&[1, 2], &[beneath]), early, late]);
        net.configure(1, better());
        net.configure(2, worse());
        net.run(2);
        let best = &net.speakers[0].explain(net_of("10.8.0.0/16")).unwrap();
        let best = best.route.paths.iter().find(|path| path.best).unwrap();
        assert_eq!(best.attributes.next_hop.addr(), address_of("10.8.0.1"));
    }
}

fn address_of(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A restart must not take away what is yet to be found through routes of ours.
#[test]
fn routes_of_an_earlier_life_stay_until_all_was_found_that_ours_lead_to() {
    let mut net = Net::new(vec![
        ours(&[1], &[("10.7.0.0/16", &["192.0.2.5"])]),
        theirs(1, &["198.51.100.0/24"], "10.7.0.1"),
    ]);
    let mut facts = dump(address(0));
    let Some(Fact::Route(on_link)) = facts.get(4).cloned() else {
        panic!("{facts:?}")
    };
    let kept = KernelRoute {
        prefix: net_of("198.51.100.0/24"),
        metric: 20,
        protocol: 186,
        ..on_link
    };
    facts.insert(5, Fact::Route(kept));
    net.facts(0, facts);
    net.run(30);
    let removed = net.done.iter().any(|(_, effect)| match effect {
        Effect::Kernel(Output::Send(batch)) => {
            let gone = |op: &Op| matches!(op, Op::RemoveRoute { .. });
            batch.ops.iter().any(gone)
        }
        _ => false,
    });
    assert!(!removed);
    assert_eq!(net.routes(0), ["10.7.0.0/16", "198.51.100.0/24"]);
}
