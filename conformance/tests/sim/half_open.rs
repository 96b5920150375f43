//! A peer that connects again while the connection that it had is half-open.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bgp_core::family::PerFamily;
use bgp_core::{Capability, Family, Open, header};
use speaker::config::{Config, Fib, Peer, PeerOptions, Router};
use speaker::event::{ConnId, Effect, Event};
use speaker::{Notice, Speaker};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn config() -> Config {
    let id = Ipv4Addr::new(10, 0, 0, 1);
    Config {
        router: Router {
            asn: 65001,
            router_id: id,
            listen: Vec::new(),
            cluster_id: id,
            client_to_client: true,
            multipath: 1,
            multipath_cost_tolerance: 0,
        },
        peers: vec![Peer {
            address: PEER,
            asn: 65002,
            options: PeerOptions {
                passive: true,
                families: PerFamily {
                    ipv4: true,
                    ipv6: false,
                },
                ..PeerOptions::default()
            },
        }],
        ranges: Vec::new(),
        originate: Vec::new(),
        statics: Vec::new(),
        aggregates: Vec::new(),
        redistribute: Default::default(),
        probe: Default::default(),
        fib: Fib::default(),
        policies: Vec::new(),
        sets: Default::default(),
        stations: Vec::new(),
    }
}

fn accept(speaker: &mut Speaker, now: Instant, out: &mut Vec<Effect>) -> Option<ConnId> {
    let local = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 1).into(), 179);
    let accepted = speaker.accept(now, local, SocketAddr::new(PEER, 40_000), None, out);
    accepted.map(|(conn, _)| conn)
}

/// RFC 4271 §6.8 has only an Established connection win against a new one: a peer that lost its state and calls again
/// is let in at once where it has no session, and its half-open connection is closed.
#[test]
fn a_half_open_connection_does_not_keep_its_peer_out() {
    let now = Instant::now();
    let mut speaker = Speaker::new(config(), now, 1).unwrap();
    let mut out = Vec::new();
    speaker.start(now, &mut out);
    let first = accept(&mut speaker, now, &mut out).unwrap();
    out.clear();
    let second = accept(&mut speaker, now, &mut out).unwrap();
    let closes = |out: &[Effect], id| {
        out.iter()
            .any(|e| matches!(e, Effect::Close { conn } if *conn == id))
    };
    assert!(closes(&out, first) && !closes(&out, second));
    let open = Open {
        asn: 65002,
        hold_time: 90,
        identifier: Ipv4Addr::new(10, 0, 0, 2),
        capabilities: vec![Capability::Multiprotocol(Family::Ipv4Unicast.into())],
    };
    for data in [open.encode(), header::keepalive()] {
        let conn = second;
        speaker.handle(now, Event::Received { conn, data }, &mut out);
    }
    out.clear();
    // Beside the session a third one loses, and the session stays.
    assert_eq!(accept(&mut speaker, now, &mut out), None);
    assert!(!closes(&out, second));
    assert!(
        out.iter()
            .any(|e| matches!(e, Effect::Notice(Notice::Refused { .. })))
    );
}
