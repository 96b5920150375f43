//! BFD as its client sees it (RFC 5882).

use std::num::NonZeroU8;

use bfd::{Hops, Path as BfdPath, Reason};

use super::*;
use crate::command::PeerCommand;
use crate::config::Bfd;
use crate::liveness::{BfdOrder, BfdReport};

const MS: Duration = Duration::from_millis(1);

fn bfd(interval: Duration, strict: bool) -> Bfd {
    Bfd {
        profile: "fast".to_owned(),
        session: bfd::Config {
            transmit: interval,
            receive: interval,
            multiplier: NonZeroU8::new(3).unwrap(),
            passive: false,
            spares_lossy: true,
            authentication: None,
        },
        strict,
    }
}

/// `host` with these peers, each of which is watched.
fn watching(host: usize, peers: &[usize], strict: bool) -> Config {
    let mut config = config(host, peers);
    for peer in &mut config.peers {
        peer.options.bfd = Some(bfd(50 * MS, strict));
    }
    config
}

fn pair(strict: bool) -> Net {
    let mut net = Net::new(vec![watching(0, &[1], strict), config(1, &[0])]);
    net.run(10);
    net
}

fn path(peer: usize) -> BfdPath {
    BfdPath {
        remote: address(peer),
        local: None,
        interface: None,
        hops: Hops::Single,
    }
}

/// What was ordered since the last time this was asked.
fn orders(net: &mut Net) -> Vec<BfdOrder> {
    let orders = net.done.iter().filter_map(|(_, effect)| match effect {
        Effect::Bfd(order) => Some(order.clone()),
        _ => None,
    });
    let orders = orders.collect();
    net.done.clear();
    orders
}

fn report(net: &mut Net, peer: usize, state: bfd::State, failed: Option<Reason>) {
    let report = BfdReport {
        path: path(peer),
        state,
        failed,
    };
    net.with(0, |s, now, out| s.handle(now, Event::Bfd(report), out));
    net.settle();
}

#[test]
fn the_path_to_a_peer_is_watched_while_the_peer_is_wanted() {
    let mut net = pair(false);
    let config = Some(bfd(50 * MS, false).session);
    let opened = BfdOrder {
        path: path(1),
        config,
    };
    assert_eq!(orders(&mut net), std::slice::from_ref(&opened));
    let order = |net: &mut Net, command| {
        net.with(0, |s, now, out| s.peer_command(now, &name(1), command, out))
            .unwrap();
    };
    order(&mut net, PeerCommand::Disable(None));
    let closed = BfdOrder {
        path: path(1),
        config: None,
    };
    assert_eq!(orders(&mut net), std::slice::from_ref(&closed));
    order(&mut net, PeerCommand::Enable);
    assert_eq!(orders(&mut net), [opened]);
    // Another profile changes the session that is there; none ends it.
    let mut new = watching(0, &[1], false);
    new.peers[0].options.bfd = Some(bfd(300 * MS, false));
    net.configure(0, new);
    let config = Some(bfd(300 * MS, false).session);
    assert_eq!(
        orders(&mut net),
        [BfdOrder {
            path: path(1),
            config
        }]
    );
    net.configure(0, super::config(0, &[1]));
    assert_eq!(orders(&mut net), [closed]);
}

/// A change of BFD disturbs no BGP session.
#[test]
fn a_profile_changes_in_place() {
    let mut net = pair(false);
    let mut new = watching(0, &[1], false);
    new.peers[0].options.bfd = Some(bfd(300 * MS, false));
    let changes = net.configure(0, new);
    assert_eq!((changes.restarted, changes.updated), (0, 1));
    net.assert_up(0, 1);
}

/// RFC 9384 §3: "When a BGP connection is terminated due to a BFD session going into the Down state, [...] the BGP
/// speaker SHOULD use the Cease NOTIFICATION with the subcode BFD Down".
#[test]
fn a_path_that_fails_ends_the_session_with_bfd_down() {
    let mut net = pair(false);
    net.assert_up(0, 1);
    report(&mut net, 1, bfd::State::Up, None);
    report(
        &mut net,
        1,
        bfd::State::Down,
        Some(Reason::DetectionTimeExpired),
    );
    assert_ne!(net.peer(0, 1).state, State::Established);
    assert!(net.peer(1, 0).last_error.unwrap().contains("6/10"));
    let view = &net.speakers[0].watches()[0];
    assert_eq!((view.failures, view.peers.clone()), (1, vec![name(1)]));
    net.run(30);
    net.assert_up(0, 1);
}

/// A path that failed and was up again before anybody looked had failed all the same.
#[test]
fn a_failure_is_not_undone_by_what_came_after() {
    let mut net = pair(false);
    report(&mut net, 1, bfd::State::Up, Some(Reason::NeighborDown));
    assert_ne!(net.peer(0, 1).state, State::Established);
}

/// RFC 5882 §3.2: AdminDown says nothing of the path; §4.1: nor does a session that never was up.
#[test]
fn what_is_no_failure_ends_nothing() {
    let mut net = pair(false);
    for state in [
        bfd::State::Init,
        bfd::State::Up,
        bfd::State::Down,
        bfd::State::AdminDown,
    ] {
        report(&mut net, 1, state, None);
        net.assert_up(0, 1);
    }
    assert_eq!(net.peer(0, 1).bfd, Some(bfd::State::AdminDown));
    assert_eq!(net.peer(1, 0).bfd, None);
}

#[test]
fn strict_waits_for_the_path() {
    let mut net = pair(true);
    net.run(60);
    assert_ne!(net.peer(0, 1).state, State::Established);
    assert_eq!(
        net.peer(0, 1).last_error.as_deref(),
        Some("cannot connect: BFD is not up")
    );
    report(&mut net, 1, bfd::State::Up, None);
    net.run(30);
    net.assert_up(0, 1);
    report(
        &mut net,
        1,
        bfd::State::Down,
        Some(Reason::DetectionTimeExpired),
    );
    net.run(60);
    assert_ne!(net.peer(0, 1).state, State::Established);
}

#[test]
fn a_shutdown_tells_the_neighbors() {
    let mut net = pair(false);
    orders(&mut net);
    net.with(0, |s, now, out| s.handle(now, Event::Shutdown, out));
    assert_eq!(
        orders(&mut net),
        [BfdOrder {
            path: path(1),
            config: None
        }]
    );
    // What the thread still reports is of no path any more.
    report(&mut net, 1, bfd::State::AdminDown, None);
    assert!(orders(&mut net).is_empty());
}

/// RFC 5883: over several hops, with our own address if it is given.
#[test]
fn several_hops_are_watched_as_such() {
    let mut config = watching(0, &[1], false);
    config.peers[0].options.multihop = Some(3);
    config.peers[0].options.local_address = Some(address(0));
    let mut net = Net::new(vec![config]);
    let expected = BfdPath {
        local: Some(address(0)),
        hops: Hops::Several,
        ..path(1)
    };
    assert_eq!(orders(&mut net)[0].path, expected);
}

/// What the kernel was asked for, by the names of the changes and what groups got; forgets the rest.
fn changes(net: &mut Net) -> Vec<String> {
    let mut changes = Vec::new();
    for (_, effect) in net.done.drain(..) {
        let Effect::Kernel(fib_netlink::Output::Send(batch)) = effect else {
            continue;
        };
        let name = |op: fib_netlink::Op| match op {
            fib_netlink::Op::PutPath { path, .. } => format!("path {}", path.gateway.unwrap()),
            fib_netlink::Op::PutGroup {
                members, replace, ..
            } => format!("group of {} {replace}", members.len()),
            fib_netlink::Op::RemoveNexthop { .. } => "remove".to_owned(),
            fib_netlink::Op::PutRoute {
                prefix, replace, ..
            } => format!("route {prefix} {replace}"),
            fib_netlink::Op::RemoveRoute { prefix, .. } => format!("no route {prefix}"),
        };
        changes.extend(batch.ops.into_iter().map(name));
    }
    changes
}

/// Whatever a failure leads to, the kernel's next hops come first, in a batch of their own: routes, however many, follow.
#[test]
fn the_kernel_leaves_a_path_that_fails_before_anything_follows_from_it() {
    let mut ours = watching(0, &[1, 2], false);
    ours.fib.install = true;
    let theirs = |host| Config {
        originate: vec![originate("198.51.100.0/24")],
        ..config(host, &[0])
    };
    let mut net = Net::new(vec![ours, theirs(1), theirs(2)]);
    net.facts(0, dump(address(0)));
    net.run(30);
    net.assert_up(0, 1);
    net.assert_up(0, 2);
    changes(&mut net);
    let report = BfdReport {
        path: path(1),
        state: bfd::State::Down,
        failed: Some(Reason::DetectionTimeExpired),
    };
    net.with(0, |s, now, out| s.handle(now, Event::Bfd(report), out));
    let done = changes(&mut net);
    assert_eq!(done.last().map(String::as_str), Some("group of 1 true"));
    assert!(
        !done.iter().any(|change| change.contains("route")),
        "{done:?}"
    );
    assert_eq!(net.peer(0, 1).state, State::Established);
    // The session ends with whatever comes next, at once.
    assert!(net.speakers[0].deadline().unwrap() <= net.now);
    net.settle();
    assert_ne!(net.peer(0, 1).state, State::Established);
    let mut done = changes(&mut net);
    // Nobody relies on it: nothing is to be done.
    let report = BfdReport {
        path: path(1),
        state: bfd::State::Down,
        failed: Some(Reason::NeighborDown),
    };
    net.with(0, |s, now, out| s.handle(now, Event::Bfd(report), out));
    assert!(changes(&mut net).is_empty());
    net.run(1);
    done.extend(changes(&mut net));
    done.retain(|change| change != "remove");
    // The session is back by now, and its next hop with it.
    let back = done.iter().position(|change| change.starts_with("path"));
    let before = done.split_at(back.unwrap()).0;
    assert_eq!(before, ["route 198.51.100.0/24 true"]);
}
