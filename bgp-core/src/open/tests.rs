//! RFC 4271 §4.2 and §6.2, RFC 5492, RFC 9072, and what each capability looks like.

use super::*;
use crate::capability::{AddPathMode, Afi, GracefulRestart, LongLived, Role};

const IPV4: Afi = Afi { afi: 1, safi: 1 };
const IPV6: Afi = Afi { afi: 2, safi: 1 };

fn open(capabilities: Vec<Capability>) -> Open {
    Open {
        asn: 65001,
        hold_time: 90,
        identifier: Ipv4Addr::new(10, 0, 0, 1),
        capabilities,
    }
}

fn round(open: &Open) -> Open {
    let bytes = open.encode();
    let frame = header::next_frame(&bytes, header::MAX).unwrap().unwrap();
    assert_eq!(frame.kind, Kind::Open);
    Open::decode(frame.body).unwrap()
}

/// An OPEN's body with these optional parameters.
fn body(parameters: &[u8]) -> Vec<u8> {
    let mut out = vec![4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 1];
    out.push(u8::try_from(parameters.len()).unwrap());
    out.extend(parameters);
    out
}

fn code(body: &[u8]) -> Code {
    Open::decode(body).unwrap_err().code
}

fn all_capabilities() -> Vec<Capability> {
    vec![
        Capability::Multiprotocol(IPV4),
        Capability::Multiprotocol(IPV6),
        Capability::RouteRefresh,
        Capability::ExtendedNextHop(vec![(IPV4, 2)]),
        Capability::ExtendedMessage,
        Capability::Role(Role::RouteServerClient),
        Capability::GracefulRestart(GracefulRestart {
            restarting: true,
            notification: true,
            restart_time: 120,
            families: vec![(IPV4, true), (IPV6, false)],
        }),
        Capability::FourOctetAs(65001),
        Capability::AddPath(vec![(IPV4, AddPathMode::Both), (IPV6, AddPathMode::Send)]),
        Capability::EnhancedRouteRefresh,
        Capability::LongLivedGracefulRestart(vec![LongLived {
            family: IPV6,
            forwarding: true,
            stale_time: 3600,
        }]),
        Capability::Fqdn {
            host: "gw1".into(),
            domain: "nyc.example".into(),
        },
        Capability::Unknown {
            code: 200,
            value: Bytes::from_static(b"???"),
        },
    ]
}

#[test]
fn every_capability_comes_back_in_order() {
    assert_eq!(round(&open(all_capabilities())), open(all_capabilities()));
    assert_eq!(round(&open(vec![])), open(vec![]));
}

// RFC 5492 §4: "a BGP speaker MUST be prepared to accept an OPEN message that contains multiple Capabilities Optional
// Parameters".
#[test]
fn several_capabilities_parameters_are_read_as_one() {
    let open = Open::decode(&body(&[2, 2, 2, 0, 2, 6, 1, 4, 0, 2, 0, 1])).unwrap();
    let expected = vec![Capability::RouteRefresh, Capability::Multiprotocol(IPV6)];
    assert_eq!(open.capabilities, expected);
}

// RFC 6793 §4.1: "carries its AS number ... in the Capability Value"; AS_TRANS stands in the "My Autonomous System" field.
#[test]
fn the_four_octet_capability_tells_the_as_number() {
    let large = Open {
        asn: 4_200_000_000,
        ..open(vec![Capability::FourOctetAs(4_200_000_000)])
    };
    assert_eq!(&large.encode()[20..22], &AS_TRANS.to_be_bytes());
    assert_eq!(round(&large), large);
}

// RFC 9072 §2: "If other than the values 0 or 255 ... " the one-octet form; with 255 in both, lengths of two octets.
#[test]
fn parameters_beyond_255_octets_take_the_extended_form() {
    let one = Capability::Unknown {
        code: 200,
        value: Bytes::from(vec![7; 100]),
    };
    for count in 1..9 {
        let many = open(vec![one.clone(); count]);
        let bytes = many.encode();
        assert_eq!(bytes[28..30] == [255, 255], count > 2, "{count}");
        assert_eq!(round(&many), many);
    }
    for len in 246..=252 {
        let value = Bytes::from(vec![7; len]);
        let edge = open(vec![Capability::Unknown { code: 200, value }]);
        assert_eq!(round(&edge), edge, "{len}");
    }
    let mut extended_but_short = body(&[255, 0, 5, 2, 0, 2, 2, 0]);
    assert_eq!(
        round(&open(vec![Capability::RouteRefresh])).capabilities,
        Open::decode(&extended_but_short).unwrap().capabilities
    );
    extended_but_short[12] = 6;
    assert_eq!(code(&extended_but_short), Code::OpenUnspecific);
}

// RFC 4271 §6.2: "The Data field is a 2-octet unsigned integer, which indicates the largest, locally-supported version
// number less than the version the remote BGP peer bid".
#[test]
fn another_version_is_told_ours() {
    for version in [0, 3, 5] {
        let mut body = body(&[]);
        body[0] = version;
        let reset = Open::decode(&body).unwrap_err();
        assert_eq!(
            (reset.code, &reset.data[..]),
            (Code::UnsupportedVersion, &[0, 4][..])
        );
    }
}

// RFC 4271 §6.2: "An implementation MUST reject Hold Time values of one or two seconds."
#[test]
fn hold_times_of_one_or_two_seconds_are_rejected() {
    for (hold, fine) in [(0, true), (1, false), (2, false), (3, true)] {
        let mut body = body(&[]);
        body[4] = hold;
        match Open::decode(&body) {
            Ok(open) => assert_eq!((open.hold_time, fine), (hold.into(), true)),
            Err(reset) => assert_eq!((reset.code, fine), (Code::UnacceptableHoldTime, false)),
        }
    }
}

// RFC 6286 §2.2: "If the BGP Identifier field of the OPEN message is zero ... the Error Subcode is set to Bad BGP Identifier".
// RFC 7607 §2: AS 0 "MUST be ... Bad Peer AS".
#[test]
fn zero_is_no_identifier_and_no_as() {
    let mut zero = body(&[]);
    zero[5..9].fill(0);
    assert_eq!(code(&zero), Code::BadBgpIdentifier);
    let mut zero = body(&[]);
    zero[1..3].fill(0);
    assert_eq!(code(&zero), Code::BadPeerAs);
    assert_eq!(code(&body(&[2, 6, 65, 4, 0, 0, 0, 0])), Code::BadPeerAs);
}

// RFC 4271 §6.2: "If one of the Optional Parameters in the OPEN message is not recognized, then the Error Subcode MUST be
// set to Unsupported Optional Parameters." "... recognized, but is malformed, then the Error Subcode MUST be set to 0".
#[test]
fn parameters_are_unknown_or_malformed() {
    assert_eq!(code(&body(&[1, 0])), Code::UnsupportedOptionalParameter);
    for malformed in [
        &[2][..],
        &[2, 5, 2, 0],
        &[2, 1, 2],
        &[2, 2, 2, 1],
        &[2, 3, 65, 4, 0],
    ] {
        assert_eq!(
            code(&body(malformed)),
            Code::OpenUnspecific,
            "{malformed:?}"
        );
    }
    let mut trailing = body(&[]);
    trailing.push(0);
    assert_eq!(code(&trailing), Code::OpenUnspecific);
    assert_eq!(code(&[4, 0]), Code::OpenUnspecific);
}

// RFC 4724 §3, RFC 9494 §3.1: reserved bits are zero where we send them, and ignored where we receive them.
#[test]
fn reserved_bits_of_graceful_restart_are_zero_and_ignored() {
    let restart = Capability::GracefulRestart(GracefulRestart {
        restarting: false,
        notification: false,
        restart_time: 120,
        families: vec![(IPV4, true)],
    });
    let long = Capability::LongLivedGracefulRestart(vec![LongLived {
        family: IPV4,
        forwarding: true,
        stale_time: 3600,
    }]);
    let parameter = |restart: [u8; 2], flags: u8| {
        let head = [2, 17, 64, 6, restart[0], restart[1], 0, 1, 1, flags];
        let tail = [71, 7, 0, 1, 1, flags, 0, 14, 16];
        body(&[&head[..], &tail[..]].concat())
    };
    for (first, flags) in [(0, 0x80), (0x30, 0xff)] {
        let open = Open::decode(&parameter([first, 120], flags)).unwrap();
        assert_eq!(open.capabilities, [restart.clone(), long.clone()]);
    }
    let bytes = open(vec![restart, long]).encode();
    let ours = parameter([0, 120], 0x80);
    assert_eq!(bytes[19 + 10..], ours[10..]);
}

// RFC 7911 §4: a mode that is neither 1, 2 nor 3 is ignored, and with it the family.
#[test]
fn a_mode_of_path_identifiers_that_nobody_knows_is_ignored() {
    let parameter = [2, 10, 69, 8, 0, 1, 1, 4, 0, 2, 1, 1];
    let open = Open::decode(&body(&parameter)).unwrap();
    let known = vec![(IPV6, AddPathMode::Receive)];
    assert_eq!(open.capabilities, [Capability::AddPath(known)]);
}

// RFC 5492 §4: what cannot be understood is ignored; it is kept to be shown.
#[test]
fn a_known_capability_with_an_odd_value_is_kept_as_unknown() {
    for (code, value) in [
        (1, &[0, 1][..]),
        (2, &[0]),
        (9, &[9]),
        (65, &[1]),
        (69, &[0, 1, 1]),
        (73, &[9, 1]),
        (64, &[0]),
    ] {
        let mut parameter = vec![
            2,
            u8::try_from(value.len() + 2).unwrap(),
            code,
            u8::try_from(value.len()).unwrap(),
        ];
        parameter.extend(value);
        let unknown = Capability::Unknown {
            code,
            value: Bytes::copy_from_slice(value),
        };
        assert_eq!(
            Open::decode(&body(&parameter)).unwrap().capabilities,
            vec![unknown]
        );
    }
}
