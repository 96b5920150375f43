//! What two OPENs make, and which are refused.

use bgp_core::refresh::Subtype;

use super::*;
use crate::config::PeerAs;

const IPV4: Afi = Afi { afi: 1, safi: 1 };
const IPV6: Afi = Afi { afi: 2, safi: 1 };

fn config(capabilities: Vec<Capability>) -> Config {
    Config {
        local_asn: 65001,
        identifier: Ipv4Addr::new(10, 0, 0, 1),
        peer_asn: PeerAs::Any,
        hold_time: Duration::from_secs(90),
        keepalive: None,
        connect_retry: Duration::from_secs(5),
        idle_hold: Duration::from_secs(1),
        idle_hold_max: Duration::from_secs(60),
        send_hold: None,
        passive: false,
        capabilities,
        families: PerFamily {
            ipv4: true,
            ipv6: true,
        },
        strict_role: false,
    }
}

fn open(asn: u32, capabilities: Vec<Capability>) -> Open {
    Open {
        asn,
        hold_time: 90,
        identifier: Ipv4Addr::new(10, 0, 0, 2),
        capabilities,
    }
}

fn agreed(ours: Vec<Capability>, theirs: Vec<Capability>) -> Result<Session, Reset> {
    agree(&config(ours), open(65002, theirs), Side::Incoming)
}

fn code(result: Result<Session, Reset>) -> Option<Code> {
    result.err().map(|reset| reset.code)
}

/// RFC 4271 §6.2: "If the Autonomous System field of the OPEN message is unacceptable, then the Error Subcode MUST be set
/// to Bad Peer AS." AS_TRANS is nobody's.
#[test]
fn an_unacceptable_as_is_bad_peer_as() {
    for (peer_asn, asn, fits) in [
        (PeerAs::Exactly(65002), 65002, true),
        (PeerAs::Exactly(65002), 65003, false),
        (PeerAs::OneOf(vec![1, 2]), 2, true),
        (PeerAs::OneOf(vec![1, 2]), 3, false),
        (PeerAs::Any, 4_200_000_000, true),
        (PeerAs::Any, u32::from(AS_TRANS), false),
    ] {
        let config = Config {
            peer_asn,
            ..config(Vec::new())
        };
        let got = code(agree(&config, open(asn, Vec::new()), Side::Outgoing));
        assert_eq!(got, (!fits).then_some(Code::BadPeerAs), "AS {asn}");
    }
}

/// RFC 6286 §2.2: "if the BGP Identifier of the peer is the same as the local one and the message is from an internal
/// peer, then the Error Subcode is set to Bad BGP Identifier".
#[test]
fn our_own_identifier_is_bad_from_an_internal_peer_only() {
    for (asn, expected) in [(65001, Some(Code::BadBgpIdentifier)), (65002, None)] {
        let open = Open {
            identifier: Ipv4Addr::new(10, 0, 0, 1),
            ..open(asn, Vec::new())
        };
        let got = code(agree(&config(Vec::new()), open, Side::Outgoing));
        assert_eq!(got, expected);
    }
}

/// RFC 4271 §4.2: "MUST calculate the value of the Hold Timer by using the smaller of its configured Hold Time and the
/// Hold Time received in the OPEN message." §4.4: a third of it between KEEPALIVEs.
#[test]
fn the_smaller_hold_time_counts_and_a_third_of_it_is_keepalive_time() {
    let secs = Duration::from_secs;
    for (ours, theirs, keepalive, expected) in [
        (90, 30, None, Some((30, 10))),
        (30, 90, None, Some((30, 10))),
        (30, 30, Some(2), Some((30, 2))),
        (30, 30, Some(29), Some((30, 10))),
        (0, 30, None, None),
        (30, 0, None, None),
    ] {
        let config = Config {
            hold_time: secs(ours),
            keepalive: keepalive.map(secs),
            ..config(Vec::new())
        };
        let open = Open {
            hold_time: theirs,
            ..open(65002, Vec::new())
        };
        let session = agree(&config, open, Side::Outgoing).unwrap();
        let got = session.hold_time.zip(session.keepalive);
        assert_eq!(got, expected.map(|(h, k)| (secs(h), secs(k))));
    }
}

/// RFC 4760 §8: a family is exchanged if both name it; a peer that names none has IPv4 unicast. RFC 5492 §5: without one
/// in common, Unsupported Capability lists those that are missing.
#[test]
fn families_are_those_that_both_name() {
    let both = [IPV4, IPV6].map(Capability::Multiprotocol);
    for (theirs, ipv4, ipv6) in [
        (&both[..], true, true),
        (&both[..1], true, false),
        (&both[1..], false, true),
        (&[], true, false),
    ] {
        let session = agreed(both.to_vec(), theirs.to_vec()).unwrap();
        assert_eq!(session.families, PerFamily { ipv4, ipv6 });
    }
    let vpn = Capability::Multiprotocol(Afi { afi: 1, safi: 128 });
    let reset = agreed(both.to_vec(), vec![vpn]).unwrap_err();
    assert_eq!(reset.code, Code::UnsupportedCapability);
    assert_eq!(reset.data[..], [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1]);
}

/// RFC 9234 §4.2, table 2: the allowed pairs of roles; all others, and several that differ, are Role Mismatch.
#[test]
fn roles_fit_in_the_allowed_pairs_only() {
    use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
    let all = [Provider, RouteServer, RouteServerClient, Customer, Peer];
    let role = |roles: &[Role]| {
        roles
            .iter()
            .copied()
            .map(Capability::Role)
            .collect::<Vec<_>>()
    };
    for ours in all {
        for theirs in all {
            let fits = matches!(
                (ours, theirs),
                (Provider, Customer)
                    | (Customer, Provider)
                    | (RouteServer, RouteServerClient)
                    | (RouteServerClient, RouteServer)
                    | (Peer, Peer)
            );
            let got = code(agreed(role(&[ours]), role(&[theirs])));
            assert_eq!(got, (!fits).then_some(Code::RoleMismatch));
        }
    }
    assert_eq!(code(agreed(role(&[Peer]), role(&[Peer, Peer]))), None);
    for ours in [vec![], role(&[Peer])] {
        let got = code(agreed(ours, role(&[Peer, Customer])));
        assert_eq!(got, Some(Code::RoleMismatch));
    }
    // "In strict mode, [...] the BGP Role Capability is missing: the connection is rejected".
    assert_eq!(code(agreed(role(&[Peer]), Vec::new())), None);
    let strict = Config {
        strict_role: true,
        ..config(role(&[Peer]))
    };
    let got = code(agree(&strict, open(65002, Vec::new()), Side::Outgoing));
    assert_eq!(got, Some(Code::RoleMismatch));
    // Roles are a matter of external sessions.
    let internal = agree(&strict, open(65001, role(&[Customer])), Side::Outgoing);
    assert_eq!(internal.unwrap().role, None);
}

/// RFC 7911 §4: one way each: Path Identifiers come where the peer sends and we receive.
#[test]
fn path_identifiers_flow_where_one_sends_and_the_other_receives() {
    use AddPathMode::{Both, Receive, Send};
    let row = |mode| vec![Capability::AddPath(vec![(IPV6, mode)])];
    for (ours, theirs, receive, send) in [
        (Receive, Send, true, false),
        (Send, Receive, false, true),
        (Both, Both, true, true),
        (Receive, Receive, false, false),
        (Send, Both, false, true),
    ] {
        let session = agreed(row(ours), row(theirs)).unwrap();
        assert_eq!(session.add_path_receive.ipv6, receive);
        assert_eq!(session.add_path_send.ipv6, send);
        assert!(!session.add_path_receive.ipv4 && !session.add_path_send.ipv4);
    }
}

/// RFC 6793 §4.1, RFC 8654 §3, RFC 7313 §4.1, RFC 8950 §4: only what both offer is used.
#[test]
fn a_capability_is_used_where_both_have_it() {
    let all = vec![
        Capability::FourOctetAs(65001),
        Capability::ExtendedMessage,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedNextHop(vec![(IPV4, AFI_IPV6)]),
    ];
    let used = |ours: &[Capability], theirs: &[Capability]| {
        let s = agreed(ours.to_vec(), theirs.to_vec()).unwrap();
        [
            s.four_octet_as,
            s.extended_message,
            s.enhanced_refresh,
            s.extended_next_hop,
        ]
    };
    assert_eq!(used(&all, &all), [true; 4]);
    assert_eq!(used(&all, &[]), [false; 4]);
    assert_eq!(used(&[], &all), [false; 4]);
}

/// RFC 7313 §4: BoRR and EoRR where both have offered them; RFC 2918 §4: families that were not are ignored.
#[test]
fn refreshes_are_covered_by_what_was_agreed_on() {
    let session = agreed(Vec::new(), Vec::new()).unwrap();
    let covers =
        |session: &Session, family, subtype| session.covers(&RouteRefresh { family, subtype });
    assert!(covers(&session, IPV4, Subtype::Request));
    assert!(!covers(&session, IPV6, Subtype::Request));
    assert!(!covers(&session, IPV4, Subtype::Begin));
    let enhanced = || vec![Capability::EnhancedRouteRefresh];
    let session = agreed(enhanced(), enhanced()).unwrap();
    assert!(covers(&session, IPV4, Subtype::Begin) && covers(&session, IPV4, Subtype::End));
    assert!(!covers(&session, IPV4, Subtype::Unknown(9)));
}
