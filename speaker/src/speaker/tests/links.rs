//! Links that are measured, and what their cost does to routes.

use fib_netlink::Op;
use path_score::judge::{Change, Why};
use path_score::link::Way;
use path_score::{Cost, Direction, LinkId};

use super::*;
use crate::config::Secret;
use crate::links::{LinkOrder, LinkPath, LinkReport};

/// What an unmeasured link costs.
const UNMEASURED: u64 = 100_000;

/// `host` with these peers, whose links are measured.
fn measuring(host: usize, peers: &[usize]) -> Config {
    let mut config = config(host, peers);
    for peer in &mut config.peers {
        peer.options.probe = true;
    }
    config
}

/// Host 0 measures its link to host 1, which tells it a route.
fn pair(change: impl FnOnce(&mut Config)) -> Net {
    let mut config = measuring(0, &[1]);
    change(&mut config);
    let mut teller = super::config(1, &[0]);
    teller.originate.push(originate("198.51.100.0/24"));
    let mut net = Net::new(vec![config, teller]);
    net.facts(0, dump(address(0)));
    net.run(10);
    net.assert_up(0, 1);
    net
}

fn orders(net: &mut Net) -> Vec<LinkOrder> {
    let orders = net.done.iter().filter_map(|(_, effect)| match effect {
        Effect::Link(order) => Some(order.clone()),
        _ => None,
    });
    let orders = orders.collect();
    net.done.clear();
    orders
}

fn report(net: &mut Net, link: LinkId, direction: Direction, micros: u32) {
    let change = Change {
        link,
        direction,
        before: Cost::default(),
        cost: Cost::from_micros(micros),
        loss: 0.0,
        why: Why::Alarm,
        way: Way::default(),
        rtt: None,
    };
    let report = LinkReport::Cost(change);
    net.with(0, |s, now, out| s.handle(now, Event::Link(report), out));
    net.settle();
}

/// The interior cost of the route.
fn cost(net: &mut Net) -> Option<u64> {
    let page = net.speakers[0]
        .routes(&RouteQuery::default(), None, 10)
        .unwrap();
    page.routes[0].paths[0].cost
}

/// A path over a WireGuard device that peers share moves at both ends, or packets are dropped.
#[test]
fn a_symmetric_link_costs_what_the_worse_of_its_directions_does() {
    let costs_of = |symmetric: bool| {
        let mut net = pair(|config| config.probe.symmetric = symmetric);
        let link = orders(&mut net)[0].link;
        [
            (Direction::Forward, 20_000),
            (Direction::Reverse, 30_000),
            (Direction::Forward, 40_000),
        ]
        .map(|(direction, micros)| {
            report(&mut net, link, direction, micros);
            cost(&mut net)
        })
    };
    assert_eq!(
        costs_of(true),
        [Some(UNMEASURED), Some(30_000), Some(40_000)]
    );
    assert_eq!(costs_of(false), [Some(20_000), Some(20_000), Some(40_000)]);
}

#[test]
fn a_link_is_measured_while_its_peer_is_wanted() {
    let mut net = pair(|_| {});
    let path = LinkPath {
        remote: address(1),
        local: None,
        interface: None,
    };
    let opened = orders(&mut net);
    let link = opened[0].link;
    assert_eq!(
        opened,
        [LinkOrder {
            link,
            path: Some(path.clone()),
            key: None,
        }]
    );
    assert_eq!(net.speakers[0].link_of(&name(1)), Some(link));
    assert_eq!(net.speakers[0].link_use(link).peers, [name(1)]);
    // Another secret makes no other link, but is told.
    let mut with_key = measuring(0, &[1]);
    let key = Some(Secret(b"open sesame".to_vec()));
    with_key.peers[0].options.probe_key.clone_from(&key);
    net.configure(0, with_key);
    assert_eq!(
        orders(&mut net),
        [LinkOrder {
            link,
            path: Some(path),
            key
        }]
    );
    net.configure(0, config(0, &[1]));
    assert_eq!(
        orders(&mut net),
        [LinkOrder {
            link,
            path: None,
            key: None
        }]
    );
    assert_eq!(net.speakers[0].link_of(&name(1)), None);
    // A link that comes again is another one: what was known of it is forgotten.
    net.configure(0, measuring(0, &[1]));
    assert_ne!(orders(&mut net)[0].link, link);
    net.assert_up(0, 1);
}

#[test]
fn the_cost_of_a_link_is_that_of_the_routes_over_it() {
    let mut net = pair(|_| {});
    let link = net.speakers[0].link_of(&name(1)).unwrap();
    assert_eq!(cost(&mut net), Some(UNMEASURED));
    report(&mut net, link, Direction::Forward, 335_000);
    assert_eq!(cost(&mut net), Some(335_000));
    // What the peer's packets suffer on their way to us is not for our routes to pay.
    report(&mut net, link, Direction::Reverse, 900_000);
    assert_eq!(cost(&mut net), Some(335_000));
    // Who is not asked to measure pays the kernel's metric.
    net.configure(0, config(0, &[1]));
    assert_eq!(cost(&mut net), Some(0));
    net.assert_up(0, 1);
}

#[test]
fn a_report_of_a_link_that_is_gone_changes_nothing() {
    let mut net = pair(|_| {});
    let link = net.speakers[0].link_of(&name(1)).unwrap();
    net.configure(0, config(0, &[1]));
    report(&mut net, link, Direction::Forward, 335_000);
    assert_eq!(cost(&mut net), Some(0));
}

/// A tunnel to one neighbor is its link, whatever the next hop's address is; a device that is another's is not.
#[test]
fn a_device_with_one_neighbor_is_its_link() {
    for (interface, expected) in [("eth0", 335_000), ("eth1", 0)] {
        let mut net = pair(|config| {
            // The peer that is measured is not the one that tells the route.
            let mut other = config.peers[0].clone();
            other.address = "192.0.2.77".parse().unwrap();
            other.options.interface = Some(interface.to_owned());
            other.options.passive = true;
            config.peers[0].options.probe = false;
            config.peers.push(other);
        });
        let name = net.speakers[0].config.peers[1].name();
        let link = net.speakers[0].link_of(&name).unwrap();
        report(&mut net, link, Direction::Forward, 335_000);
        assert_eq!(cost(&mut net), Some(expected), "{interface}");
    }
}

/// The groups that the kernel was told of since the last time, as the weights of their members.
fn groups(net: &mut Net) -> Vec<Vec<u8>> {
    let sent = net.done.iter().filter_map(|(_, effect)| match effect {
        Effect::Kernel(fib_netlink::Output::Send(batch)) => Some(batch.ops.clone()),
        _ => None,
    });
    let groups = sent.flatten().filter_map(|op| match op {
        Op::PutGroup { members, .. } => {
            let mut weights: Vec<u8> = members.iter().map(|(_, weight)| *weight).collect();
            weights.sort_unstable();
            Some(weights)
        }
        _ => None,
    });
    let groups = groups.collect();
    net.done.clear();
    groups
}

/// Traffic that is shared is shared by what links carry: their capacities, and the packets that arrive.
#[test]
fn paths_share_traffic_by_what_their_links_carry() {
    let mut measures = measuring(0, &[1, 2]);
    measures.fib.install = true;
    for (peer, gbits) in measures.peers.iter_mut().zip([1, 4]) {
        peer.options.capacity = Some(gbits * 1_000_000_000);
    }
    let tells = |host| {
        let mut config = config(host, &[0]);
        config.router.asn = asn(1);
        config.originate.push(originate("198.51.100.0/24"));
        config
    };
    for peer in &mut measures.peers {
        peer.asn = asn(1);
    }
    let mut net = Net::new(vec![measures, tells(1), tells(2)]);
    net.facts(0, dump(address(0)));
    net.run(10);
    assert_eq!(groups(&mut net).last(), Some(&vec![1, 4]));
    // Both in one cost, so that both are used: a quarter of the packets is lost on the wide one.
    let link = net.speakers[0].link_of(&name(2)).unwrap();
    let cost = Cost::from_micros(u32::try_from(UNMEASURED).unwrap());
    let change = Change {
        link,
        direction: Direction::Forward,
        before: cost,
        cost,
        loss: 0.25,
        why: Why::Alarm,
        way: Way::default(),
        rtt: None,
    };
    let report = LinkReport::Cost(change);
    net.with(0, |s, now, out| s.handle(now, Event::Link(report), out));
    net.run(1);
    assert_eq!(groups(&mut net), [vec![1, 3]]);
    // Nobody measures any more.
    let mut without = net.speakers[0].config.clone();
    for peer in &mut without.peers {
        peer.options.probe = false;
    }
    net.configure(0, without);
    net.run(1);
    assert_eq!(groups(&mut net).last(), Some(&vec![1, 1]));
}
