//! Update groups: what members share, and what those that do not read cost.

use super::*;

fn filled(clients: u32, routes: u32) -> Rib {
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(0), session(0, Sort::External));
    for client in 1..=clients {
        rib.peer_up(PeerId(client), session(client, Sort::Client));
    }
    tell(&mut rib, 0..routes, 65000);
    rib
}

fn tell(rib: &mut Rib, routes: std::ops::Range<u32>, asn: u32) {
    for n in routes {
        let prefix = format!("10.{}.{}.0/24", n >> 8, n & 255);
        let attributes = route([asn, 1 + n / 6]);
        rib.receive(PeerId(0), &update(&prefix, Some(&attributes)))
            .unwrap();
    }
}

/// Whole messages that a peer gets, End-of-RIB left out.
fn said(rib: &mut Rib, peer: u32) -> Vec<Bytes> {
    let mut out = Vec::new();
    while rib.transmit(PeerId(peer), 1 << 16, &mut out) {}
    out.retain(|bytes| bytes.len() > 30);
    out
}

fn are_shared(a: &[Bytes], b: &[Bytes]) -> bool {
    let same = |(a, b): (&Bytes, &Bytes)| a.as_ptr() == b.as_ptr();
    !a.is_empty() && a.len() == b.len() && a.iter().zip(b).all(same)
}

#[test]
fn members_at_the_same_place_share_bytes() {
    let mut rib = filled(3, 20);
    let first = said(&mut rib, 1);
    assert!(are_shared(&first, &said(&mut rib, 2)));
    assert!(are_shared(&first, &said(&mut rib, 3)));
    assert_eq!(
        rib.counts().groups,
        4,
        "external and client, each in two families"
    );
}

/// One encoding for all members of a group at the same place, however many they are: of the table as of what changes.
#[test]
fn a_thousand_members_cost_the_encodings_of_one() {
    let encodings = |clients: u32| {
        let mut rib = filled(clients, 20);
        let all = |rib: &mut Rib| {
            let before = rib.ipv4.packer.encodings;
            let told: usize = (1..=clients).map(|client| said(rib, client).len()).sum();
            (rib.ipv4.packer.encodings - before, told / clients as usize)
        };
        let table = all(&mut rib);
        tell(&mut rib, 5..9, 64000);
        (table, all(&mut rib))
    };
    let alone = encodings(1);
    let ((table, _), (change, _)) = alone;
    assert!(table > 0 && change > 0);
    for clients in [2, 30, 1000] {
        assert_eq!(encodings(clients), alone, "{clients} clients");
    }
}

#[test]
fn members_that_walk_at_the_same_time_share_bytes() {
    let mut rib = filled(0, 20);
    for client in 1..=3 {
        rib.peer_up(PeerId(client), session(client, Sort::Client));
    }
    let first = said(&mut rib, 1);
    assert!(are_shared(&first, &said(&mut rib, 2)));
    assert!(are_shared(&first, &said(&mut rib, 3)));
}

/// One UPDATE holds all prefixes that share attributes, though each was told in its own.
#[test]
fn prefixes_with_equal_attributes_share_an_update() {
    let mut rib = filled(1, 3);
    for n in 0..3 {
        let prefix = format!("10.0.{n}.0/24");
        rib.receive(PeerId(0), &update(&prefix, Some(&route([65000]))))
            .unwrap();
    }
    let messages = said(&mut rib, 1);
    assert_eq!(messages.iter().flat_map(|bytes| bodies(bytes)).count(), 1);
}

/// A peer that never reads costs a place in the journal, and bytes up to a bound; the others do not notice.
#[test]
fn a_peer_that_does_not_read_costs_nothing_that_grows() {
    let mut rib = filled(2, 50);
    let mut listener = Listener::of(Sort::Client);
    let mut churn = |rib: &mut Rib, rounds| {
        for round in 0..rounds {
            tell(rib, 0..50, 64000 + round % 7);
            drain(rib, 1, &mut listener);
        }
        rib.counts().memory
    };
    let before = churn(&mut rib, 20);
    let after = churn(&mut rib, 200);
    assert!(after < before + 5000, "{before} {after}");
    assert!(rib.ipv4.journal.len() < 2 * 50 + 10);
    let mut late = Listener::of(Sort::Client);
    drain(&mut rib, 2, &mut late);
    assert_eq!(late.routes, listener.routes);
    assert_eq!((late.routes.len(), late.withdrawals), (50, 0));
}

/// The records of a route. Prints what a route of a full table takes, an attribute set shared by six.
#[test]
fn a_route_takes_few_octets() {
    use crate::table::{Net, Path};
    assert_eq!((size_of::<Net<Ipv4Prefix>>(), size_of::<Path>()), (20, 20));
    assert_eq!(size_of::<crate::group::Told>(), 8);
    let routes = 60_000;
    let rib = filled(1, routes);
    let each = rib.counts().memory / routes as usize;
    println!("{each} octets a route");
    assert!(each < 100, "{each}");
}

/// Who is told nothing, for want of an export policy, keeps nothing from being forgotten, whether it comes before the routes
/// or after them.
#[test]
fn who_is_told_nothing_holds_nothing() {
    let mut rib = Rib::new(Config {
        fib: false,
        ..config()
    });
    let silent = |peer| PeerSession {
        export: None,
        ..session(peer, Sort::External)
    };
    rib.peer_up(PeerId(0), silent(0));
    rib.peer_up(PeerId(1), session(1, Sort::Client));
    for round in 0..20 {
        if round == 10 {
            rib.peer_up(PeerId(2), silent(2));
        }
        let routes = round * 50..(round + 1) * 50;
        tell(&mut rib, routes.clone(), 65000);
        assert!(!said(&mut rib, 1).is_empty());
        if round == 15 {
            rib.peer_up(PeerId(3), silent(3));
        }
        for n in routes {
            let prefix = format!("10.{}.{}.0/24", n >> 8, n & 255);
            rib.receive(PeerId(0), &update(&prefix, None)).unwrap();
        }
        assert!(!said(&mut rib, 1).is_empty());
        for peer in [0, 2, 3] {
            assert_eq!(said(&mut rib, peer), Vec::<Bytes>::new(), "{peer}");
        }
        let used = rib.ipv4.table.nets_used();
        assert!(used <= 50, "{used} in round {round}");
    }
    assert_eq!(rib.ipv4.groups.iter().flatten().count(), 2);
}
