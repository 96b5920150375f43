//! Messages as they stand in the RFCs, written and read back.

use bytes::Bytes;

use super::*;
use crate::{Capability, Code, Family, Open, Reset, update};

fn header(rib: Rib, address: &str) -> PeerHeader {
    PeerHeader {
        rib,
        address: address.parse().unwrap(),
        asn: 4_200_000_001,
        identifier: Ipv4Addr::new(192, 0, 2, 7),
        two_octet_as: false,
        timestamp: Duration::from_micros(1_700_000_000_000_123),
    }
}

fn open() -> Bytes {
    Open {
        asn: 4_200_000_001,
        hold_time: 90,
        identifier: Ipv4Addr::new(192, 0, 2, 7),
        capabilities: vec![Capability::FourOctetAs(4_200_000_001)],
    }
    .encode()
}

/// What `write` wrote is one message, which reads as given.
#[track_caller]
fn reads(write: impl FnOnce(&mut BytesMut), check: impl FnOnce(Message<'_>)) {
    let mut out = BytesMut::new();
    write(&mut out);
    assert_eq!(next_message(&out), Ok(Some(out.len())));
    for cut in 0..out.len() {
        assert_eq!(next_message(&out[..cut]), Ok(None), "{cut}");
    }
    check(Message::decode(&out).unwrap());
}

#[test]
fn rfc7854_4_2_the_per_peer_header_stands_as_drawn() {
    let mut out = BytesMut::new();
    let peer = PeerHeader {
        two_octet_as: true,
        ..header(Rib::AdjRibInPost, "2001:db8::5")
    };
    route_monitoring(&peer, &update::end_of_rib(Family::Ipv4Unicast), &mut out);
    assert_eq!(out.len(), 6 + 42 + 23);
    assert_eq!(&out[..6], [3, 0, 0, 0, 71, 0]);
    // V, L and A; an empty distinguisher.
    assert_eq!(&out[6..16], [0, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let address: Ipv6Addr = "2001:db8::5".parse().unwrap();
    assert_eq!(&out[16..32], address.octets());
    assert_eq!(&out[32..36], 4_200_000_001_u32.to_be_bytes());
    assert_eq!(&out[36..40], [192, 0, 2, 7]);
    assert_eq!(&out[40..44], 1_700_000_000_u32.to_be_bytes());
    assert_eq!(&out[44..48], 123_u32.to_be_bytes());
}

#[test]
fn every_table_is_told_apart_by_its_flags() {
    let flags = |rib| {
        let mut out = BytesMut::new();
        peer_down(&header(rib, "192.0.2.7"), &DownReason::Remote, &mut out);
        (out[6], out[7])
    };
    assert_eq!(flags(Rib::AdjRibInPre), (0, 0));
    assert_eq!(flags(Rib::AdjRibInPost), (0, 0x40));
    assert_eq!(flags(Rib::AdjRibOutPre), (0, 0x10));
    assert_eq!(flags(Rib::AdjRibOutPost), (0, 0x50));
    assert_eq!(flags(Rib::LocRib), (3, 0));
    for rib in [
        Rib::AdjRibInPre,
        Rib::AdjRibInPost,
        Rib::AdjRibOutPre,
        Rib::AdjRibOutPost,
        Rib::LocRib,
    ] {
        let peer = header(rib, "192.0.2.7");
        let update = update::end_of_rib(Family::Ipv6Unicast);
        reads(
            |out| route_monitoring(&peer, &update, out),
            |read| {
                let update = &update[..];
                assert_eq!(read, Message::RouteMonitoring { peer, update });
            },
        );
    }
}

#[test]
fn rfc7854_4_10_peer_up_carries_both_opens() {
    let peer = header(Rib::AdjRibInPre, "2001:db8::5");
    let open = open();
    let local: SocketAddr = "[2001:db8::1]:179".parse().unwrap();
    reads(
        |out| peer_up(&peer, local, 40_000, (&open, &open), out),
        |read| {
            let Message::PeerUp { peer: read, up } = read else {
                panic!("{read:?}");
            };
            assert_eq!(read, peer);
            assert_eq!((up.local, up.local_port), (local.ip(), 179));
            assert_eq!(up.remote_port, 40_000);
            assert_eq!((up.sent, up.received), (&open[..], &open[..]));
            assert!(up.information.is_empty());
        },
    );
}

#[test]
fn rfc9069_5_2_a_loc_rib_says_its_name_when_it_comes_and_when_it_goes() {
    let peer = header(Rib::LocRib, "0.0.0.0");
    let name = Tlv {
        kind: 3,
        value: b"global",
    };
    let open = open();
    let local: SocketAddr = "0.0.0.0:0".parse().unwrap();
    reads(
        |out| peer_up(&peer, local, 0, (&open, &open), out),
        |read| {
            assert!(matches!(read, Message::PeerUp { up, .. } if up.information == [name]));
        },
    );
    reads(
        |out| peer_down(&peer, &DownReason::LocRib, out),
        |read| {
            let reason = Down::LocRib(vec![name]);
            assert_eq!(read, Message::PeerDown { peer, reason });
        },
    );
}

#[test]
fn rfc7854_4_9_every_reason_of_a_peer_down_is_read_as_it_was_written() {
    let told = Reset::from(Code::HoldTimerExpired).encode();
    let cases = [
        (
            DownReason::LocalNotification(told.clone()),
            Down::LocalNotification(&told),
        ),
        (DownReason::LocalEvent(29), Down::LocalEvent(29)),
        (
            DownReason::RemoteNotification(told.clone()),
            Down::RemoteNotification(&told),
        ),
        (DownReason::Remote, Down::Remote),
        (DownReason::DeConfigured, Down::DeConfigured),
    ];
    let peer = header(Rib::AdjRibInPre, "192.0.2.7");
    for (written, reason) in cases {
        reads(
            |out| peer_down(&peer, &written, out),
            |read| assert_eq!(read, Message::PeerDown { peer, reason }),
        );
    }
}

#[test]
fn rfc7854_4_8_statistics_are_counted_and_have_their_lengths() {
    let peer = header(Rib::AdjRibInPre, "192.0.2.7");
    let all = [
        Statistic::Counter(11, 3),
        Statistic::Gauge(7, 1 << 40),
        Statistic::FamilyGauge(9, Family::Ipv6Unicast.into(), 5),
    ];
    reads(
        |out| statistics(&peer, &all, out),
        |read| {
            let statistics = all.to_vec();
            assert_eq!(read, Message::Statistics { peer, statistics });
        },
    );
}

#[test]
fn rfc7854_4_3_the_first_message_says_who_speaks_and_the_last_one_why_it_ends() {
    reads(
        |out| initiation("a router", "gw1", out),
        |read| {
            let tlv = |kind, value: &'static str| Tlv {
                kind,
                value: value.as_bytes(),
            };
            assert_eq!(
                read,
                Message::Initiation(vec![tlv(1, "a router"), tlv(2, "gw1")])
            );
        },
    );
    reads(
        |out| termination(Termination::OutOfResources, out),
        |read| {
            let tlv = Tlv {
                kind: 1,
                value: &[0, 2],
            };
            assert_eq!(read, Message::Termination(vec![tlv]));
        },
    );
}

#[test]
fn what_is_no_bmp_is_refused() {
    assert!(next_message(&[4, 0, 0, 0, 6, 4]).is_err());
    assert!(next_message(&[3, 0, 0, 0, 5, 4]).is_err());
    assert!(next_message(&[3, 255, 255, 255, 255, 4]).is_err());
    assert!(Message::decode(&[3, 0, 0, 0, 6, 9]).is_err());
    assert!(Message::decode(&[3, 0, 0, 0, 6, 0]).is_err());
    assert!(Message::decode(&[3, 0, 0, 0, 8, 4, 0, 0]).is_err());
}
