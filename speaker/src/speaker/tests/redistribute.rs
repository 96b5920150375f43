//! `[redistribute]`: what the kernel has is told as long as it is there.

use fib_netlink::{Input, Output};
use rib::policy::{Action, MatchConfig, PolicyConfig, RuleConfig, SetConfig, Then};

use super::*;
use crate::Notice;
use crate::config::{Interfaces, Redistribute, RedistributeConnected, RedistributeKernel};
use crate::foreign::FOREIGN_MAX;
use crate::view::Source;

fn interfaces(patterns: &[&str]) -> Interfaces {
    Interfaces(patterns.iter().map(|text| (*text).to_owned()).collect())
}

fn both(patterns: &[&str]) -> Redistribute {
    Redistribute {
        connected: Some(RedistributeConnected {
            interfaces: interfaces(patterns),
            policy: "accept".to_owned(),
        }),
        kernel: Some(RedistributeKernel {
            protocols: vec![3, 4],
            table: 254,
            interfaces: interfaces(&[]),
            policy: "accept".to_owned(),
        }),
    }
}

/// A first speaker that redistributes, and a second one that hears.
fn redistributing(redistribute: Redistribute) -> Net {
    let mut ours = config(0, &[1]);
    ours.redistribute = redistribute;
    let mut net = Net::new(vec![ours, config(1, &[0])]);
    net.run(10);
    net.assert_up(0, 1);
    net
}

fn has_address(index: u32, text: &str) -> Fact {
    let prefix: IpNet = text.parse().unwrap();
    Fact::Address {
        index,
        address: prefix.addr(),
        prefix: prefix.trunc(),
    }
}

fn lost_address(index: u32, text: &str) -> Fact {
    let prefix: IpNet = text.parse().unwrap();
    Fact::AddressGone {
        index,
        address: prefix.addr(),
        prefix: prefix.trunc(),
    }
}

fn route(prefix: &str, protocol: u8) -> KernelRoute {
    KernelRoute {
        prefix: net_of(prefix),
        table: 254,
        metric: 0,
        protocol,
        tos: 0,
        kind: RouteKind::Blackhole,
        prefsrc: None,
    }
}

fn over(index: u32, route: &KernelRoute) -> KernelRoute {
    let path = Path {
        gateway: None,
        interface: index,
        onlink: false,
    };
    KernelRoute {
        kind: RouteKind::Unicast(RouteVia::Paths([(path, 1)].into_iter().collect())),
        ..route.clone()
    }
}

#[test]
fn connected_prefixes_come_and_go_with_addresses_and_links() {
    let mut net = redistributing(both(&["br-*", "wg*", "!wg-ext"]));
    net.facts(0, dump(address(0)));
    assert!(net.routes(1).is_empty(), "eth0 is not asked for");
    net.facts(
        0,
        vec![
            has_address(3, "10.1.0.1/16"),
            has_address(3, "2001:db8:1::1/64"),
            has_address(3, "fe80::1/64"),
            has_address(4, "10.2.0.1/16"),
            link(3, "br-pod"),
            link(4, "wg-ext"),
        ],
    );
    // IPv6 is not agreed on with the second speaker.
    assert_eq!(net.routes(1), ["10.1.0.0/16"]);
    assert_eq!(net.routes(0), ["10.1.0.0/16", "2001:db8:1::/64"]);
    let down = Fact::Link {
        index: 3,
        name: "br-pod".to_owned(),
        up: false,
    };
    net.facts(0, vec![down]);
    assert!(net.routes(1).is_empty());
    net.facts(0, vec![link(3, "br-pod"), link(4, "wg0")]);
    assert_eq!(net.routes(1), ["10.1.0.0/16", "10.2.0.0/16"]);
    // The prefix stays while any address has it.
    net.facts(
        0,
        vec![
            has_address(4, "10.1.0.2/16"),
            lost_address(3, "10.1.0.1/16"),
        ],
    );
    assert_eq!(net.routes(1), ["10.1.0.0/16", "10.2.0.0/16"]);
    net.facts(
        0,
        vec![lost_address(4, "10.1.0.2/16"), Fact::LinkGone { index: 4 }],
    );
    assert!(net.routes(1).is_empty());
}

#[test]
fn routes_of_the_protocols_and_the_table_asked_for_are_told() {
    let mut redistribute = both(&["none"]);
    redistribute.kernel.as_mut().unwrap().interfaces = interfaces(&["!eth*"]);
    let mut net = redistributing(redistribute.clone());
    net.facts(0, dump(address(0)));
    let other_table = KernelRoute {
        table: 100,
        ..route("10.2.0.0/16", 4)
    };
    let other_service = KernelRoute {
        tos: 16,
        ..route("10.3.0.0/16", 4)
    };
    let told = [
        link(3, "wg0"),
        Fact::Route(over(3, &route("10.1.0.0/16", 4))),
        Fact::Route(other_table),
        Fact::Route(other_service),
        Fact::Route(over(3, &route("10.4.0.0/16", 2))),
        Fact::Route(over(2, &route("10.5.0.0/16", 4))),
        Fact::Route(over(3, &route("10.6.0.0/16", 3))),
        Fact::Route(over(3, &route("169.254.0.0/16", 3))),
        Fact::Route(route("10.7.0.0/16", 4)),
    ];
    net.facts(0, told.into());
    assert_eq!(net.routes(1), ["10.1.0.0/16", "10.6.0.0/16"]);
    redistribute.kernel.as_mut().unwrap().interfaces = interfaces(&[]);
    let mut ours = config(0, &[1]);
    ours.redistribute = redistribute;
    net.configure(0, ours);
    let all = ["10.1.0.0/16", "10.5.0.0/16", "10.6.0.0/16", "10.7.0.0/16"];
    assert_eq!(net.routes(1), all);
    let gone = Fact::RouteGone(over(3, &route("10.1.0.0/16", 4)));
    net.facts(0, vec![gone, Fact::RouteGone(route("10.7.0.0/16", 4))]);
    assert_eq!(net.routes(1), ["10.5.0.0/16", "10.6.0.0/16"]);
}

/// What BGP installed, here or in another program, would come back as a route of our own, and stay for good.
#[test]
fn what_bgp_installed_is_never_redistributed() {
    let mut redistribute = both(&[]);
    redistribute.kernel.as_mut().unwrap().protocols = (0..=u8::MAX).collect();
    let mut ours = config(0, &[1]);
    ours.redistribute = redistribute;
    ours.fib.protocol = 77;
    let mut net = Net::new(vec![ours, config(1, &[0])]);
    net.run(10);
    let told =
        [77, 186].map(|protocol| Fact::Route(route(&format!("10.{protocol}.0.0/16"), protocol)));
    net.facts(0, dump(address(0)));
    net.facts(0, told.into());
    assert_eq!(net.routes(1), ["192.0.2.0/24"]);
    // A route of ours takes the place of theirs, and theirs of ours.
    net.facts(0, vec![Fact::Route(route("10.1.0.0/16", 4))]);
    assert_eq!(net.routes(1), ["10.1.0.0/16", "192.0.2.0/24"]);
    net.facts(0, vec![Fact::Route(route("10.1.0.0/16", 77))]);
    assert_eq!(net.routes(1), ["192.0.2.0/24"]);
    net.facts(0, vec![Fact::Route(route("10.1.0.0/16", 4))]);
    assert_eq!(net.routes(1), ["10.1.0.0/16", "192.0.2.0/24"]);
    net.facts(0, vec![Fact::RouteGone(route("10.1.0.0/16", 77))]);
    assert_eq!(net.routes(1), ["10.1.0.0/16", "192.0.2.0/24"]);
}

#[test]
fn policy_says_what_is_redistributed_and_how() {
    let rule = |prefix: &str, med: &str| RuleConfig {
        matches: MatchConfig {
            prefixes: vec![prefix.to_owned()],
            source: vec!["connected".to_owned()],
            ..MatchConfig::default()
        },
        set: SetConfig {
            med: Some(med.to_owned()),
            tag: Some(9),
            ..SetConfig::default()
        },
        then: Then::Decide(Action::Accept),
    };
    let with = |prefix: &str, med: &str| {
        let mut ours = config(0, &[1]);
        ours.redistribute = both(&[]);
        ours.redistribute.connected.as_mut().unwrap().policy = "shape".to_owned();
        ours.redistribute.kernel.as_mut().unwrap().policy = "shape".to_owned();
        ours.policies = vec![PolicyConfig {
            name: "shape".to_owned(),
            default: Some(Action::Reject),
            rules: vec![rule(prefix, med)],
        }];
        ours
    };
    let mut net = Net::new(vec![with("10.0.0.0/8 le 32", "5"), config(1, &[0])]);
    net.run(10);
    net.facts(0, dump(address(0)));
    let kernel = Fact::Route(route("10.2.0.0/16", 4));
    net.facts(0, vec![link(3, "a"), has_address(3, "10.1.0.1/16"), kernel]);
    assert_eq!(net.routes(1), ["10.1.0.0/16"]);
    let page = net.speakers[0].routes(&RouteQuery::default(), None, 9);
    let path = page.unwrap().routes[0].paths[0].clone();
    assert_eq!((path.source, path.tag), (Source::Connected, 9));
    assert_eq!(path.attributes.med, Some(5));
    assert_eq!(path.attributes.origin, Origin::Incomplete);
    // A reload judges again.
    net.configure(0, with("192.0.2.0/24", "6"));
    assert_eq!(net.routes(1), ["192.0.2.0/24"]);
    net.configure(0, config(0, &[1]));
    assert!(net.routes(1).is_empty());
}

fn resyncs(net: &Net) -> usize {
    let is_one = |effect: &Effect| matches!(effect, Effect::Kernel(Output::Resync));
    net.done.iter().filter(|(_, effect)| is_one(effect)).count()
}

#[test]
fn what_begins_to_be_asked_for_is_told_by_another_dump() {
    let mut net = redistributing(Redistribute::default());
    net.facts(0, dump(address(0)));
    assert_eq!(resyncs(&net), 0);
    let mut ours = config(0, &[1]);
    ours.redistribute = both(&[]);
    net.configure(0, ours.clone());
    assert_eq!(resyncs(&net), 1);
    net.facts(0, dump(address(0)));
    assert_eq!(net.routes(1), ["192.0.2.0/24"]);
    // What does not change asks for nothing.
    net.configure(0, ours);
    assert_eq!(resyncs(&net), 1);
}

/// After an overrun all is told again. Who was told of a route hears nothing of that.
#[test]
fn a_dump_takes_away_what_it_does_not_tell_and_touches_nothing_else() {
    let mut net = redistributing(both(&[]));
    net.facts(0, dump(address(0)));
    net.facts(
        0,
        vec![
            Fact::Route(route("10.1.0.0/16", 4)),
            link(5, "x"),
            has_address(5, "10.5.0.1/16"),
        ],
    );
    assert_eq!(
        net.routes(1),
        ["10.1.0.0/16", "10.5.0.0/16", "192.0.2.0/24"]
    );
    net.with(0, |s, now, out| {
        s.handle(now, Event::Kernel(Input::Overrun), out)
    });
    let version = net.speakers[0].routes_version();
    let mut facts = dump(address(0));
    facts.insert(5, Fact::Route(route("10.1.0.0/16", 4)));
    let end = facts.pop().unwrap();
    net.facts(0, facts);
    assert_eq!(net.speakers[0].routes_version(), version);
    net.facts(0, vec![end]);
    assert_eq!(net.routes(1), ["10.1.0.0/16", "192.0.2.0/24"]);
    assert_eq!(net.speakers[0].routes_version(), version + 1);
}

#[test]
fn a_full_store_says_so_once_and_asks_again_when_there_is_room() {
    let mut net = redistributing(both(&["none"]));
    net.facts(0, dump(address(0)));
    let all: Vec<_> = (0..FOREIGN_MAX + 8)
        .map(|n| route(&format!("10.{}.{}.0/24", n / 256, n % 256), 4))
        .collect();
    let told = all.iter().cloned().map(Fact::Route);
    net.facts(0, told.collect());
    net.run(1);
    let full = |net: &Net| {
        let is_one =
            |effect: &Effect| matches!(effect, Effect::Notice(Notice::RedistributeFull { .. }));
        net.done.iter().filter(|(_, effect)| is_one(effect)).count()
    };
    // One place is that of eth0's address.
    assert_eq!((net.routes(1).len(), full(&net)), (FOREIGN_MAX - 1, 1));
    let gone = all.iter().take(16).cloned().map(Fact::RouteGone);
    net.facts(0, gone.collect());
    assert_eq!(resyncs(&net), 1);
    let mut facts = dump(address(0));
    let end = facts.pop().unwrap();
    facts.extend(all.iter().skip(16).cloned().map(Fact::Route));
    facts.push(end);
    net.facts(0, facts);
    net.run(1);
    assert_eq!((net.routes(1).len(), full(&net)), (FOREIGN_MAX - 8, 1));
}
