//! What proptest draws: any message that this crate can write.

#![allow(clippy::unwrap_used, reason = "lengths are drawn to fit")]

use std::net::{Ipv4Addr, Ipv6Addr};

use bgp_core::attributes::as_path::SegmentKind;
use bgp_core::attributes::{
    Aggregator, AsPath, Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity,
    NextHop, Origin, UnknownAttribute,
};
use bgp_core::{Attributes, Ipv4Prefix, Ipv6Prefix};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// AS numbers of two and of four octets; never zero (RFC 7607).
pub(crate) fn asn() -> impl Strategy<Value = u32> {
    prop_oneof![1..=65535_u32, 65536..=u32::MAX]
}

/// Paths of sequences and sets, with confederation segments in front if `confederation`.
pub(crate) fn as_path(confederation: bool) -> impl Strategy<Value = AsPath> {
    let kind = prop_oneof![3 => Just(SegmentKind::Sequence), 1 => Just(SegmentKind::Set)];
    // AS4_PATH cannot tell an old speaker of larger Member ASes (RFC 6793 §3).
    let members = vec(1..=65535_u32, 0..if confederation { 4 } else { 1 });
    (members, vec((kind, vec(asn(), 1..6)), 0..4)).prop_map(|(members, segments)| {
        let mut path = AsPath::default();
        path.push(SegmentKind::ConfedSequence, &members);
        for (kind, asns) in segments {
            path.push(kind, &asns);
        }
        path
    })
}

pub(crate) fn host_v6() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(|low| Ipv6Addr::from(low >> 3 | 1 << 125))
}

pub(crate) fn next_hop_v6() -> impl Strategy<Value = NextHop> {
    let link_local = any::<u64>().prop_map(|low| Ipv6Addr::from(0xfe80 << 112 | u128::from(low)));
    prop_oneof![
        host_v6().prop_map(NextHop::V6),
        link_local.clone().prop_map(NextHop::V6),
        (host_v6(), link_local).prop_map(|(global, local)| NextHop::V6WithLinkLocal(global, local)),
    ]
}

pub(crate) fn ipv4() -> impl Strategy<Value = Ipv4Prefix> {
    (any::<u32>(), 0..=32_u8).prop_map(|(addr, len)| Ipv4Prefix::new(addr.into(), len).unwrap())
}

pub(crate) fn ipv6() -> impl Strategy<Value = Ipv6Prefix> {
    (any::<u128>(), 0..=128_u8).prop_map(|(addr, len)| Ipv6Prefix::new(addr.into(), len).unwrap())
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Igp),
        Just(Origin::Egp),
        Just(Origin::Incomplete)
    ]
}

fn large_community() -> impl Strategy<Value = LargeCommunity> {
    any::<[u32; 3]>().prop_map(|[global, local1, local2]| LargeCommunity {
        global,
        local1,
        local2,
    })
}

fn unknown() -> impl Strategy<Value = Vec<UnknownAttribute>> {
    let value = prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 250..300)];
    proptest::collection::btree_map(36..=255_u8, value, 0..3).prop_map(|map| {
        let attribute = |(kind, value): (u8, Vec<u8>)| UnknownAttribute {
            flags: 0xe0,
            kind,
            value: value.into(),
        };
        map.into_iter().map(attribute).collect()
    })
}

/// Attributes of any shape; `next_hop` is 192.0.2.1.
pub(crate) fn attributes(confederation: bool) -> impl Strategy<Value = Attributes> {
    let aggregator = (asn(), any::<u32>()).prop_map(|(asn, id)| Aggregator {
        asn,
        identifier: id.into(),
    });
    let plain = (
        origin(),
        as_path(confederation),
        of(any::<u32>()),
        of(any::<u32>()),
        any::<bool>(),
        of(aggregator),
        of(any::<u64>()),
        of(any::<u32>()),
    );
    let lists = (
        vec(any::<u32>().prop_map(Community), 0..100),
        of(any::<u32>()),
        vec(any::<u32>(), 0..4),
        vec(any::<[u8; 8]>().prop_map(ExtendedCommunity), 0..4),
        vec(any::<[u8; 20]>().prop_map(Ipv6ExtendedCommunity), 0..3),
        vec(large_community(), 0..4),
        unknown(),
    );
    (plain, lists).prop_map(|(plain, lists)| {
        let (origin, as_path, med, local_pref, atomic_aggregate, aggregator, aigp, otc) = plain;
        let (communities, originator_id, clusters, ext, ipv6_ext, large, unknown) = lists;
        let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
        Attributes {
            med,
            local_pref,
            atomic_aggregate,
            aggregator,
            aigp,
            only_to_customer: otc,
            communities: communities.into(),
            originator_id: originator_id.map(Into::into),
            cluster_list: clusters.into_iter().map(Into::into).collect(),
            ext_communities: ext.into(),
            ipv6_ext_communities: ipv6_ext.into(),
            large_communities: large.into(),
            unknown: unknown.into(),
            ..Attributes::new(origin, as_path, next_hop)
        }
    })
}
