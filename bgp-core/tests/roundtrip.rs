//! What is written is read back as it was, and noise is answered, never fatal.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

mod strategies;

use bgp_core::attributes::NextHop;
use bgp_core::capability::{AddPathMode, Afi, GracefulRestart, LongLived, Role};
use bgp_core::family::PerFamily;
use bgp_core::header::{self, MAX, MAX_EXTENDED};
use bgp_core::notification::Notification;
use bgp_core::refresh::{RouteRefresh, Subtype};
use bgp_core::update::{self, DecodeContext, EncodeContext, Update};
use bgp_core::{Attributes, Capability, Kind, Open, Prefix, next_frame};
use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use strategies::{asn, attributes, ipv4, ipv6, next_hop_v6};

const BOTH: PerFamily<bool> = PerFamily {
    ipv4: true,
    ipv6: true,
};

fn context(four_octet_as: bool, add_path: bool) -> DecodeContext {
    DecodeContext {
        four_octet_as,
        aigp: true,
        families: BOTH,
        add_path: PerFamily {
            ipv4: add_path,
            ipv6: add_path,
        },
        extended_next_hop: true,
        ..DecodeContext::default()
    }
}

fn afi() -> impl Strategy<Value = Afi> {
    (any::<u16>(), any::<u8>()).prop_map(|(afi, safi)| Afi { afi, safi })
}

fn capability() -> impl Strategy<Value = Capability> {
    let role = prop_oneof![
        Just(Role::Provider),
        Just(Role::RouteServer),
        Just(Role::Customer),
        Just(Role::Peer)
    ];
    let mode = prop_oneof![
        Just(AddPathMode::Receive),
        Just(AddPathMode::Send),
        Just(AddPathMode::Both)
    ];
    let restart = (
        any::<bool>(),
        any::<bool>(),
        0..4096_u16,
        vec((afi(), any::<bool>()), 0..5),
    );
    let long_lived = (afi(), any::<bool>(), 0..0x0100_0000_u32);
    prop_oneof![
        afi().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        (any::<u16>(), any::<u8>(), any::<u16>()).prop_map(|(afi, safi, hop)| {
            Capability::ExtendedNextHop(vec![(Afi { afi, safi }, hop)])
        }),
        Just(Capability::ExtendedMessage),
        role.prop_map(Capability::Role),
        restart.prop_map(|(restarting, notification, restart_time, families)| {
            Capability::GracefulRestart(GracefulRestart {
                restarting,
                notification,
                restart_time,
                families,
            })
        }),
        asn().prop_map(Capability::FourOctetAs),
        vec((afi(), mode), 0..5).prop_map(Capability::AddPath),
        Just(Capability::EnhancedRouteRefresh),
        vec(
            long_lived.prop_map(|(family, forwarding, stale_time)| LongLived {
                family,
                forwarding,
                stale_time
            }),
            0..5
        )
        .prop_map(Capability::LongLivedGracefulRestart),
        ("[a-z]{0,20}", "[a-z.]{0,20}")
            .prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        (128..=255_u8, vec(any::<u8>(), 0..100)).prop_map(|(code, value)| Capability::Unknown {
            code,
            value: value.into()
        }),
    ]
}

fn body(bytes: &Bytes, kind: Kind) -> &[u8] {
    let frame = next_frame(bytes, MAX_EXTENDED).unwrap().unwrap();
    assert_eq!((frame.kind, frame.len), (kind, bytes.len()));
    frame.body
}

type Routes<P> = Vec<(u32, P)>;

/// What a stream of UPDATEs announced and withdrew, with the attributes of each.
fn read<P: Prefix>(
    mut stream: &[u8],
    context: &DecodeContext,
) -> (Routes<P>, Routes<P>, Vec<Attributes>) {
    let (mut told, mut gone, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(frame) = next_frame(stream, MAX).unwrap() {
        stream = &stream[frame.len..];
        let update: Update<'_> = update::decode(frame.body, context).unwrap();
        assert!(update.faults.is_empty(), "{update:?}");
        // RFC 7606 §5.1: no more than one of the four places for prefixes is used in a message.
        assert_eq!(update.announced.len() + update.withdrawn.len(), 1);
        told.extend(
            update
                .announced
                .iter()
                .flat_map(|(_, part)| part.iter::<P>()),
        );
        gone.extend(update.withdrawn.iter().flat_map(|part| part.iter::<P>()));
        attributes.extend(update.attributes);
    }
    assert!(stream.is_empty());
    (told, gone, attributes)
}

fn travels<P: Prefix>(
    attributes: &Attributes,
    prefixes: &[(u32, P)],
    four_octet_as: bool,
    add_path: bool,
) {
    let prefixes: Vec<(u32, P)> = prefixes
        .iter()
        .map(|(id, p)| (if add_path { *id } else { 0 }, *p))
        .collect();
    let writing = EncodeContext {
        four_octet_as,
        add_path,
        max_message: MAX,
    };
    let mut block = Vec::new();
    update::encode_attributes(attributes, four_octet_as, &mut block);
    let mut out = BytesMut::new();
    update::announce(
        &block,
        attributes.next_hop,
        prefixes.iter().copied(),
        &writing,
        &mut out,
    )
    .unwrap();
    update::withdraw(prefixes.iter().copied(), &writing, &mut out);
    let (told, gone, read) = read::<P>(&out, &context(four_octet_as, add_path));
    assert_eq!((&told, &gone), (&prefixes, &prefixes));
    assert!(
        read.iter().all(|read| same(read, attributes)),
        "{read:?}\n{attributes:?}"
    );
}

/// Equal, but for segments that a path of AS_TRANS and its AS4_PATH may have joined.
fn same(a: &Attributes, b: &Attributes) -> bool {
    let joined = a.as_path.to_string() == b.as_path.to_string();
    let b = Attributes {
        as_path: a.as_path.clone(),
        ..b.clone()
    };
    joined && *a == b
}

proptest! {
    #[test]
    fn opens(asn in asn(), hold in prop_oneof![Just(0), 3..=u16::MAX], id in 1..=u32::MAX, mut capabilities in vec(capability(), 0..12)) {
        capabilities.retain(|c| !matches!(c, Capability::FourOctetAs(_)));
        capabilities.push(Capability::FourOctetAs(asn));
        let open = Open { asn, hold_time: hold, identifier: id.into(), capabilities };
        prop_assert_eq!(Open::decode(body(&open.encode(), Kind::Open)), Ok(open));
    }

    #[test]
    fn notifications(code: u8, subcode: u8, data in vec(any::<u8>(), 0..300)) {
        let notification = Notification { code, subcode, data: data.into() };
        prop_assert_eq!(Notification::decode(body(&notification.encode(), Kind::Notification)), Ok(notification.clone()));
        let _ = (notification.to_string(), notification.shutdown_communication());
    }

    #[test]
    fn refreshes(family in afi(), subtype in prop_oneof![Just(Subtype::Request), Just(Subtype::Begin), Just(Subtype::End), (3..=255_u8).prop_map(Subtype::Unknown)]) {
        let refresh = RouteRefresh { family, subtype };
        prop_assert_eq!(RouteRefresh::decode(body(&refresh.encode(), Kind::RouteRefresh)), Ok(refresh));
    }

    #[test]
    fn attributes_in_a_table(attributes in attributes(true)) {
        let mut block = Vec::new();
        update::encode_attributes(&attributes, true, &mut block);
        prop_assert_eq!(update::decode_attributes(&block, attributes.next_hop), Ok(attributes));
    }

    #[test]
    fn ipv4_updates(attributes in attributes(true), prefixes in vec((any::<u32>(), ipv4()), 0..1000), four: bool, add_path: bool) {
        travels(&attributes, &prefixes, four, add_path);
    }

    #[test]
    fn ipv4_updates_with_ipv6_next_hops(attributes in attributes(false), next_hop in next_hop_v6(), prefixes in vec((any::<u32>(), ipv4()), 0..100)) {
        travels(&Attributes { next_hop, ..attributes }, &prefixes, true, false);
    }

    #[test]
    fn ipv6_updates(attributes in attributes(true), next_hop in next_hop_v6(), prefixes in vec((any::<u32>(), ipv6()), 0..500), four: bool, add_path: bool) {
        travels(&Attributes { next_hop, ..attributes }, &prefixes, four, add_path);
    }

    #[test]
    fn paths_are_spelled_both_ways(path in strategies::as_path(true)) {
        prop_assert_eq!(path.to_string().parse::<bgp_core::attributes::AsPath>().map(|p| p.to_string()), Ok(path.to_string()));
    }

    #[test]
    fn noise_is_answered(bytes in vec(any::<u8>(), 0..300), four: bool, external: bool, add_path: bool) {
        let _ = next_frame(&bytes, MAX);
        let _ = (Open::decode(&bytes), Notification::decode(&bytes), RouteRefresh::decode(&bytes));
        let _ = update::decode(&bytes, &DecodeContext { external, ..context(four, add_path) });
        let _ = update::decode_attributes(&bytes, NextHop::V4([10, 0, 0, 1].into()));
    }

    #[test]
    fn a_flipped_octet_is_answered(attributes in attributes(true), at: prop::sample::Index, to: u8, four: bool) {
        let mut block = Vec::new();
        update::encode_attributes(&attributes, true, &mut block);
        let mut out = BytesMut::new();
        let writing = EncodeContext { four_octet_as: true, add_path: false, max_message: MAX };
        let prefix = bgp_core::Ipv4Prefix::new([10, 0, 0, 0].into(), 8).unwrap();
        update::announce(&block, attributes.next_hop, [(0, prefix)].into_iter(), &writing, &mut out).unwrap();
        let mut body = out[header::LEN..].to_vec();
        *at.get_mut(&mut body) = to;
        if let Ok(update) = update::decode(&body, &context(four, false)) {
            prop_assert_eq!(update.treat_as_withdraw && !update.announced.is_empty(), false);
            prop_assert_eq!(update.attributes.is_some(), !update.announced.is_empty());
        }
    }
}
