//! Route refresh (RFC 2918, RFC 7313), both ways.

use super::*;
use crate::query::RouteQuery;

/// What a peer gets, a letter a message: an update, a withdrawal, an End-of-RIB, the mark of a beginning, that of an end.
fn told(rib: &mut Rib, peer: u32, octets: usize) -> String {
    let mut out = Vec::new();
    while rib.transmit(PeerId(peer), octets, &mut out) {}
    letters(&out)
}

fn letters(out: &[Bytes]) -> String {
    let mut said = String::new();
    for bytes in out {
        let mut bytes = &bytes[..];
        while let Some(frame) = next_frame(bytes, 65535).unwrap() {
            bytes = &bytes[frame.len..];
            said.push(match (frame.kind, frame.body) {
                (bgp_core::Kind::Update, [0, 0, 0, 0]) => 'R',
                (bgp_core::Kind::Update, [0, 0, ..]) => 'U',
                (bgp_core::Kind::Update, _) => 'W',
                (_, [_, _, 1, _]) => 'B',
                (_, [_, _, 2, _]) => 'E',
                (kind, body) => panic!("{kind:?} {body:?}"),
            });
        }
    }
    said
}

/// IPv4 alone, so that messages are of one family.
fn listener(peer: u32) -> PeerSession {
    let mut session = session(peer, Sort::Client);
    session.decode.families.ipv6 = false;
    session
}

/// Peer 0 tells routes with `paths` different attribute sets; peer 1 listens.
fn filled(paths: u32) -> Rib {
    let mut rib = Rib::new(config());
    rib.peer_up(PeerId(0), session(0, Sort::External));
    for n in 0..paths {
        let prefix = format!("10.{n}.0.0/16");
        rib.receive(PeerId(0), &update(&prefix, Some(&route([65000, n + 1]))))
            .unwrap();
    }
    rib.peer_up(PeerId(1), listener(1));
    rib
}

/// RFC 7313 §4: "MUST send a BoRR message" before, "MUST send an EoRR message" after "the re-advertisement of the entire
/// Adj-RIB-Out"; RFC 2918 §3 has neither.
#[test]
fn all_is_told_again_between_marks_if_these_were_agreed_on() {
    let mut rib = filled(3);
    assert_eq!(told(&mut rib, 1, 100), "UUUR");
    rib.refresh_requested(PeerId(1), Family::Ipv4Unicast, true);
    assert_eq!(told(&mut rib, 1, 100), "BUUUE");
    rib.refresh_requested(PeerId(1), Family::Ipv4Unicast, false);
    assert_eq!(told(&mut rib, 1, 100), "UUU");
    rib.refresh_requested(PeerId(1), Family::Ipv6Unicast, true);
    assert_eq!(told(&mut rib, 1, 100), "");
}

/// RFC 7313 §4: "MUST NOT send a BoRR for an <AFI, SAFI> to a neighbor before it sends the EoR".
#[test]
fn a_refresh_waits_for_the_end_of_rib() {
    for before in [0, 1] {
        let mut rib = filled(9);
        let mut out = Vec::new();
        for _ in 0..before {
            rib.transmit(PeerId(1), 1, &mut out);
        }
        rib.refresh_requested(PeerId(1), Family::Ipv4Unicast, true);
        let said = letters(&out) + &told(&mut rib, 1, 1);
        assert_eq!(said, "UUUUUUUUURBUUUUUUUUUE");
    }
}

/// Who is told by other rules while a refresh is under way is told its end all the same, else the peer would wait for it.
#[test]
fn a_refresh_ends_though_the_rules_change_meanwhile() {
    for steps in 0..4 {
        let mut rib = filled(9);
        assert_eq!(told(&mut rib, 1, 100), "UUUUUUUUUR");
        rib.refresh_requested(PeerId(1), Family::Ipv4Unicast, true);
        let mut out = Vec::new();
        for _ in 0..steps {
            rib.transmit(PeerId(1), 1, &mut out);
        }
        let next_hop = NextHopRule::Myself;
        let session = PeerSession {
            next_hop,
            ..listener(1)
        };
        rib.update_peer(PeerId(1), session);
        let said = letters(&out) + &told(&mut rib, 1, 100);
        let marks: String = said.chars().filter(|c| "BER".contains(*c)).collect();
        let from_the_end = said.rsplit_once('B').unwrap().1;
        assert_eq!(marks, "BE", "{said}");
        assert!(said.ends_with("UUUUUUUUUE"), "{said}");
        assert!(from_the_end.len() > 9);
    }
}

/// RFC 7313 §4: BoRR "MUST mark all the routes" of the family "as stale", EoRR "MUST immediately remove any routes from the
/// peer that are still marked as stale".
#[test]
fn what_is_not_told_again_goes_at_the_end() {
    let mut rib = filled(4);
    rib.receive(
        PeerId(0),
        &update("2001:db8::/32", Some(&v6_route([65000]))),
    )
    .unwrap();
    let states = |rib: &mut Rib| -> Vec<(String, bool)> {
        let page = rib.routes(&RouteQuery::default(), None, 100);
        let state = |row: crate::query::RouteRow| (row.prefix.to_string(), row.paths[0].stale);
        page.rows.into_iter().map(state).collect()
    };
    let fresh = states(&mut rib);
    assert!(fresh.len() == 5 && fresh.iter().all(|(_, stale)| !stale));
    rib.refresh_begun(PeerId(0), Family::Ipv4Unicast);
    let stale: Vec<bool> = states(&mut rib)
        .into_iter()
        .map(|(_, stale)| stale)
        .collect();
    assert_eq!(stale, [true, true, true, true, false]);
    // Told again as it was, told again as another, told for the first time.
    for (n, way) in [(1, 2), (2, 77), (9, 9)] {
        let prefix = format!("10.{n}.0.0/16");
        rib.receive(PeerId(0), &update(&prefix, Some(&route([65000, way]))))
            .unwrap();
    }
    rib.refresh_ended(PeerId(0), Family::Ipv4Unicast);
    let left = ["10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16", "2001:db8::/32"];
    let left = left.map(|prefix| (prefix.to_owned(), false));
    assert_eq!(states(&mut rib), left);
    assert_eq!(rib.peer_counts(PeerId(0)).ipv4.received, 3);
}

fn v6_route(path: impl IntoIterator<Item = u32>) -> Attributes {
    Attributes {
        next_hop: NextHop::V6("2001:db8::9".parse().unwrap()),
        ..route(path)
    }
}
