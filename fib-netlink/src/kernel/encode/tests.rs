//! What is written is read back by independent decoders.

use netlink_packet_core::NetlinkPayload;
use smallvec::SmallVec;

use super::*;
use crate::fact::{Fact, KernelNexthop, NexthopKind, RouteKind, RouteVia};
use crate::kernel::decode;

fn path(gateway: &str) -> Path {
    Path {
        gateway: Some(gateway.parse().unwrap()),
        interface: 3,
        onlink: false,
    }
}

fn put(prefix: &str, target: Target) -> Op {
    Op::PutRoute {
        prefix: prefix.parse().unwrap(),
        table: 1000,
        metric: 20,
        prefsrc: (!prefix.contains(':')).then_some([10, 100, 0, 1].into()),
        target,
        replace: false,
    }
}

fn encoded(ops: Vec<Op>) -> Vec<u8> {
    let mut octets = Vec::new();
    batch(
        &Batch {
            id: 0,
            protocol: 186,
            ops,
        },
        100,
        &mut octets,
    );
    octets
}

#[test]
fn only_the_last_message_of_a_batch_asks_for_an_acknowledgement() {
    let octets = encoded(vec![
        Op::RemoveNexthop { id: 1 },
        Op::RemoveNexthop { id: 2 },
        put("10.0.0.0/8", Target::Blackhole),
    ]);
    let messages: Vec<_> = decode::messages(&octets)
        .map(|m| (m.sequence, m.flags & NLM_F_ACK != 0))
        .collect();
    assert_eq!(messages, [(100, false), (101, false), (102, true)]);
}

#[test]
fn a_full_batch_is_small() {
    let op = put("2001:db8:ffff:ffff::/64", Target::Nexthop(u32::MAX));
    let full = |op| encoded(vec![op; crate::plan::OPS_MAX]).len();
    assert!(full(op) <= 96 * 1024);
    let paths = SmallVec::from_elem((path("fe80::1"), 1), 128);
    let op = put("2001:db8:ffff:ffff::/64", Target::Paths(paths));
    assert!(full(op) <= crate::kernel::socket::SEND_BUFFER);
}

#[test]
fn routes_are_what_they_were() {
    let paths: SmallVec<[(Path, u8); 1]> =
        SmallVec::from_slice(&[(path("10.0.0.1"), 1), (path("fe80::1"), 255)]);
    for (target, kind) in [
        (
            Target::Nexthop(77),
            RouteKind::Unicast(RouteVia::Nexthop(77)),
        ),
        (
            Target::Paths(paths.clone()),
            RouteKind::Unicast(RouteVia::Paths(paths)),
        ),
        (Target::Blackhole, RouteKind::Blackhole),
        (Target::Unreachable, RouteKind::Unreachable),
    ] {
        let octets = encoded(vec![put("192.0.2.0/24", target)]);
        let told = decode::messages(&octets).next().and_then(|m| m.fact);
        let Some(Fact::RouteBeside(route, _)) = told else {
            panic!("{kind:?}")
        };
        assert_eq!(
            (route.prefix, route.table, route.metric, route.protocol),
            ("192.0.2.0/24".parse().unwrap(), 1000, 20, 186)
        );
        assert_eq!(
            route.prefsrc.is_some(),
            matches!(kind, RouteKind::Unicast(_))
        );
        assert_eq!(route.kind, kind);
    }
}

#[test]
fn the_octets_of_a_route_are_those_of_a_typed_message() {
    let octets = encoded(vec![put("192.0.2.0/24", Target::Nexthop(77))]);
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&octets).unwrap();
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) = message.payload else {
        panic!()
    };
    assert_eq!(route.header.kind, RouteType::Unicast);
    assert_eq!(message.header.flags, CREATE | NLM_F_ACK);
    assert_eq!(message.header.length as usize, octets.len());
}

#[test]
fn nexthop_objects_are_what_they_were() {
    let members = SmallVec::from_slice(&[(5, 1), (6, 255)]);
    let ops = vec![
        Op::PutPath {
            id: 5,
            path: path("10.0.0.1"),
            replace: false,
        },
        Op::PutPath {
            id: 6,
            path: Path {
                onlink: true,
                ..path("fe80::1")
            },
            replace: true,
        },
        Op::PutGroup {
            id: 7,
            members: members.clone(),
            replace: false,
        },
    ];
    let octets = encoded(ops);
    let told: Vec<_> = decode::messages(&octets).filter_map(|m| m.fact).collect();
    let nexthop = |id, kind| {
        Fact::Nexthop(KernelNexthop {
            id,
            protocol: 186,
            kind,
        })
    };
    assert_eq!(
        told,
        [
            nexthop(5, NexthopKind::Path(path("10.0.0.1"))),
            nexthop(
                6,
                NexthopKind::Path(Path {
                    onlink: true,
                    ..path("fe80::1")
                })
            ),
            nexthop(7, NexthopKind::Group(members)),
        ]
    );
}
