//! Several paths a prefix (RFC 7911): which are told, and under which Path Identifiers.

use super::*;
use crate::query::RouteQuery;

const PREFIX: &str = "10.1.0.0/16";

/// External peers 0..3 tell, the client 9 hears up to `limit` paths.
fn hub(limit: u8) -> (Rib, Listener) {
    let mut rib = Rib::new(config());
    for peer in 0..3 {
        rib.peer_up(PeerId(peer), session(peer, Sort::External));
    }
    rib.peer_up(PeerId(9), several(9, Sort::Client, limit));
    let listener = Listener {
        add_path: true,
        ..Listener::of(Sort::Client)
    };
    (rib, listener)
}

fn several(peer: u32, sort: Sort, limit: u8) -> PeerSession {
    PeerSession {
        add_path_send: PerFamily {
            ipv4: Some(limit),
            ipv6: None,
        },
        ..session(peer, sort)
    }
}

/// A path of `len` ASes.
fn tell(rib: &mut Rib, peer: u32, len: usize) {
    let attributes = route(vec![65000 + peer; len]);
    rib.receive(PeerId(peer), &update(PREFIX, Some(&attributes)))
        .unwrap();
}

fn withdraw(rib: &mut Rib, peer: u32) {
    rib.receive(PeerId(peer), &update(PREFIX, None)).unwrap();
}

/// The paths known, by the AS they came from, with their identifiers.
fn known(listener: &Listener) -> BTreeMap<u32, u32> {
    let path = |((_, id), attributes): (&(IpNet, u32), &Attributes)| {
        (attributes.as_path.neighbor_as().unwrap(), *id)
    };
    listener.paths.iter().map(path).collect()
}

/// RFC 7911 §3: the identifier tells a path apart; when another path becomes the best, nothing is said.
#[test]
fn identifiers_stay_when_the_order_changes() {
    let (mut rib, mut listener) = hub(8);
    for peer in 0..3 {
        tell(&mut rib, peer, 2 + peer as usize);
    }
    drain(&mut rib, 9, &mut listener);
    let before = known(&listener);
    assert_eq!(before.len(), 3);
    tell(&mut rib, 2, 1);
    drain(&mut rib, 9, &mut listener);
    assert_eq!(known(&listener), before);
    assert_eq!(listener.withdrawals, 0);
}

/// A path that leaves the best ones is withdrawn by its identifier, and comes back under it.
#[test]
fn a_path_that_leaves_is_withdrawn_by_its_identifier() {
    let (mut rib, mut listener) = hub(2);
    tell(&mut rib, 0, 2);
    tell(&mut rib, 1, 3);
    drain(&mut rib, 9, &mut listener);
    let before = known(&listener);
    assert_eq!(before.keys().copied().collect::<Vec<_>>(), [65000, 65001]);
    tell(&mut rib, 2, 1);
    drain(&mut rib, 9, &mut listener);
    let during = known(&listener);
    assert_eq!(during.keys().copied().collect::<Vec<_>>(), [65000, 65002]);
    assert_ne!(during[&65002], before[&65001]);
    assert_eq!(listener.withdrawals, 1);
    withdraw(&mut rib, 2);
    drain(&mut rib, 9, &mut listener);
    assert_eq!(known(&listener), before);
}

/// Two paths of one peer are two paths, and are never told back to it.
#[test]
fn paths_of_one_peer_are_told_apart_and_not_told_back() {
    let (mut rib, mut listener) = hub(8);
    let mut both = several(3, Sort::Client, 8);
    both.decode.add_path.ipv4 = true;
    rib.peer_up(PeerId(3), both);
    let context = EncodeContext {
        add_path: true,
        ..CONTEXT
    };
    let prefix = Ipv4Prefix::from_net(PREFIX.parse().unwrap()).unwrap();
    for id in [7, 8] {
        let attributes = route([64000 + id]);
        let (mut block, mut out) = (Vec::new(), BytesMut::new());
        encode_attributes(&attributes, true, &mut block);
        let prefixes = std::iter::once((id, prefix));
        announce(&block, attributes.next_hop, prefixes, &context, &mut out).unwrap();
        rib.receive(PeerId(3), &bodies(&out)[0]).unwrap();
    }
    drain(&mut rib, 9, &mut listener);
    let ids = known(&listener);
    assert_eq!(ids.keys().copied().collect::<Vec<_>>(), [64007, 64008]);
    let mut own = Listener {
        add_path: true,
        ..Listener::of(Sort::Client)
    };
    drain(&mut rib, 3, &mut own);
    assert!(own.paths.is_empty());
    let query = RouteQuery {
        advertised_to: Some(PeerId(9)),
        ..RouteQuery::default()
    };
    let page = rib.routes(&query, None, 10);
    let shown: Vec<u32> = page.rows[0].paths.iter().map(|path| path.path_id).collect();
    assert_eq!(shown.len(), 2);
    assert!(ids.values().all(|id| shown.contains(id)));
    assert_eq!(rib.peer_counts(PeerId(9)).ipv4.advertised, 2);
}

/// RFC 7911 §5: a withdrawal of a path that nobody told is ignored, and one of a path takes no other away.
#[test]
fn a_withdrawal_of_an_unknown_identifier_is_ignored() {
    let (mut rib, mut listener) = hub(8);
    let mut sender = several(3, Sort::Client, 8);
    sender.decode.add_path.ipv4 = true;
    rib.peer_up(PeerId(3), sender);
    let context = EncodeContext {
        add_path: true,
        ..CONTEXT
    };
    let prefix = Ipv4Prefix::from_net(PREFIX.parse().unwrap()).unwrap();
    let (mut block, mut out) = (Vec::new(), BytesMut::new());
    let attributes = route([64007]);
    encode_attributes(&attributes, true, &mut block);
    let prefixes = std::iter::once((7, prefix));
    announce(&block, attributes.next_hop, prefixes, &context, &mut out).unwrap();
    rib.receive(PeerId(3), &bodies(&out)[0]).unwrap();
    for (id, left) in [(8, 1), (7, 0), (7, 0)] {
        let mut out = BytesMut::new();
        bgp_core::update::withdraw(std::iter::once((id, prefix)), &context, &mut out);
        rib.receive(PeerId(3), &bodies(&out)[0]).unwrap();
        drain(&mut rib, 9, &mut listener);
        assert_eq!(known(&listener).len(), left, "{id}");
    }
}

/// Whoever is told one path neither hears of the others nor is told a Path Identifier.
#[test]
fn others_are_told_the_best_path_alone() {
    let (mut rib, mut listener) = hub(8);
    rib.peer_up(PeerId(8), session(8, Sort::Client));
    let mut plain = Listener::of(Sort::Client);
    for peer in 0..3 {
        tell(&mut rib, peer, 1 + peer as usize);
    }
    drain(&mut rib, 9, &mut listener);
    drain(&mut rib, 8, &mut plain);
    assert_eq!((listener.paths.len(), plain.paths.len()), (3, 1));
    tell(&mut rib, 2, 4);
    let mut out = Vec::new();
    while rib.transmit(PeerId(8), 100, &mut out) {}
    assert!(out.is_empty());
}

/// Whoever follows the best routes hears of them alone, also where others are told several paths: once for each change, and
/// none is lost that was not heard yet.
#[test]
fn who_watches_the_best_routes_is_told_nothing_of_others() {
    let (mut rib, _) = hub(8);
    let mut watcher = rib.watch(false).unwrap();
    tell(&mut rib, 0, 2);
    let mut heard = |rib: &mut Rib| {
        let mut count = 0;
        while rib.changes(&mut watcher, 10, &mut |_| count += 1) {}
        count
    };
    let fib = |rib: &mut Rib| {
        let mut count = 0;
        while rib.fib_next(10, &mut |_, _| count += 1) {}
        count
    };
    assert_eq!((heard(&mut rib), fib(&mut rib)), (1, 1));
    // Another path comes, changes and goes.
    tell(&mut rib, 1, 5);
    tell(&mut rib, 1, 6);
    assert_eq!((heard(&mut rib), fib(&mut rib)), (0, 0));
    withdraw(&mut rib, 1);
    assert_eq!((heard(&mut rib), fib(&mut rib)), (0, 0));
    // The best one changes, then another does, before anybody hears of it.
    tell(&mut rib, 0, 1);
    tell(&mut rib, 1, 5);
    tell(&mut rib, 1, 6);
    assert_eq!(fib(&mut rib), 1);
    tell(&mut rib, 1, 7);
    assert_eq!((heard(&mut rib), fib(&mut rib)), (1, 1));
    tell(&mut rib, 1, 8);
    assert_eq!((heard(&mut rib), fib(&mut rib)), (0, 0));
}

/// Numbers are kept for nobody.
#[test]
fn without_such_a_peer_no_path_has_an_identifier() {
    let (mut rib, _) = hub(8);
    tell(&mut rib, 0, 1);
    assert!(rib.ipv4.table.is_numbered());
    rib.peer_down(PeerId(9));
    assert!(!rib.ipv4.table.is_numbered());
}

/// Who does not read for a while knows of no path that is gone once it does.
#[test]
fn whoever_is_behind_is_rid_of_what_is_gone() {
    let (mut rib, mut listener) = hub(8);
    rib.peer_up(PeerId(8), several(8, Sort::Client, 8));
    let mut other = listener.clone();
    for peer in 0..3 {
        tell(&mut rib, peer, 1);
    }
    drain(&mut rib, 9, &mut listener);
    drain(&mut rib, 8, &mut other);
    // The other one hears each of these, so that the group has moved on.
    for round in 2..40 {
        tell(&mut rib, 0, round);
        withdraw(&mut rib, 1);
        drain(&mut rib, 8, &mut other);
        tell(&mut rib, 1, round);
        drain(&mut rib, 8, &mut other);
    }
    withdraw(&mut rib, 2);
    drain(&mut rib, 8, &mut other);
    drain(&mut rib, 9, &mut listener);
    assert_eq!(listener.paths, other.paths);
    assert_eq!(
        known(&listener).keys().collect::<Vec<_>>(),
        [&65000, &65001]
    );
}
