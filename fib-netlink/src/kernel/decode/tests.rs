//! What the kernel says, and what it could never say.

use proptest::prelude::*;

use super::*;

#[test]
fn an_answer_gives_its_error_number() {
    let mut octets = vec![36, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0];
    octets.extend_from_slice(&(-17_i32).to_ne_bytes());
    octets.extend_from_slice(&[0; 16]);
    let message = messages(&octets).next().unwrap();
    assert_eq!(
        (message.kind, message.sequence, message.port, message.errno),
        (NLMSG_ERROR, 9, 7, 17)
    );
}

/// What tells twins apart is in the flags alone.
#[test]
fn flags_say_where_a_route_is_among_its_twins() {
    let told = |prefix: &str, flags: u16| {
        let prefix: IpNet = prefix.parse().unwrap();
        let route = KernelRoute {
            prefix,
            table: 254,
            metric: 0,
            protocol: 4,
            tos: 0,
            kind: RouteKind::Blackhole,
            prefsrc: None,
        };
        match new_route(route, flags) {
            Fact::Route(_) => None,
            Fact::RouteBeside(_, rank) => Some(rank),
            other => panic!("{other:?}"),
        }
    };
    let (ipv4, ipv6) = ("192.0.2.0/24", "2001:db8::/32");
    let multi = netlink_packet_core::NLM_F_MULTIPART;
    assert_eq!(told(ipv4, multi), Some(Rank::Last));
    assert_eq!(told(ipv4, NLM_F_CREATE), Some(Rank::First));
    assert_eq!(told(ipv4, NLM_F_CREATE | NLM_F_APPEND), Some(Rank::Last));
    assert_eq!(told(ipv4, NLM_F_REPLACE), None);
    assert_eq!(told(ipv6, NLM_F_CREATE), Some(Rank::Last));
    assert_eq!(told(ipv6, NLM_F_REPLACE), None);
}

proptest! {
    #[test]
    fn noise_does_not_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(messages(&octets).count() <= octets.len());
    }

    #[test]
    fn noise_in_a_nexthop_does_not_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = nexthop(&octets);
    }
}
