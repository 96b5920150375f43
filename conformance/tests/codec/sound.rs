//! Sound UPDATEs, drawn by proptest, written by us, read by bgpkit-parser and rustbgpd-wire.

use bgp_core::attributes::{Attributes, NextHop};
use bgp_core::header;
use bgp_core::update::{self, EncodeContext};
use bgp_core::{Ipv6Prefix, Prefix};
use bgpkit_parser::models::{
    AsnLength, AttributeValue, Attributes as Theirs, BgpMessage, BgpUpdateMessage, MetaCommunity,
    NextHopAddress,
};
use bytes::{Bytes, BytesMut};
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::strategies::{attributes, ipv4, ipv6, next_hop_v6};

/// Without default routes: bgpkit-parser takes the zero of their length for a Path Identifier's.
pub(crate) fn routed<P: Prefix>(prefixes: impl Strategy<Value = P>) -> impl Strategy<Value = P> {
    prefixes.prop_filter("a default route", |prefix| prefix.len() > 0)
}

/// An UPDATE as a stream of octets.
fn written<P: Prefix>(attributes: &Attributes, prefixes: &[P]) -> Bytes {
    let context = EncodeContext {
        four_octet_as: true,
        add_path: false,
        max_message: header::MAX,
    };
    let mut block = Vec::new();
    update::encode_attributes(attributes, true, &mut block);
    let mut out = BytesMut::new();
    let prefixes = prefixes.iter().map(|prefix| (0, *prefix));
    update::announce(&block, attributes.next_hop, prefixes, &context, &mut out).unwrap();
    out.freeze()
}

fn bgpkit(bytes: &Bytes) -> BgpUpdateMessage {
    let message = bgpkit_parser::parser::bgp::parse_bgp_message(
        &mut bytes.clone(),
        false,
        &AsnLength::Bits32,
    );
    match message.unwrap() {
        BgpMessage::Update(update) => update,
        other => panic!("{other:?}"),
    }
}

/// What bgpkit-parser reads is what we wrote.
pub(crate) fn agrees(theirs: &Theirs, ours: &Attributes) {
    assert_eq!(theirs.origin() as u8, ours.origin.number());
    let path = theirs
        .as_path()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert_eq!(path, ours.as_path.to_string());
    assert_eq!(theirs.multi_exit_discriminator(), ours.med);
    assert_eq!(theirs.local_preference(), ours.local_pref);
    assert_eq!(theirs.atomic_aggregate(), ours.atomic_aggregate);
    let aggregator = theirs.aggregator().map(|(asn, id)| (asn.to_u32(), id));
    assert_eq!(aggregator, ours.aggregator.map(|a| (a.asn, a.identifier)));
    assert_eq!(theirs.origin_id(), ours.originator_id);
    let clusters: Vec<u32> = ours.cluster_list.iter().map(|id| (*id).into()).collect();
    assert_eq!(theirs.clusters().unwrap_or_default(), clusters);
    assert_eq!(
        theirs.only_to_customer().map(|asn| asn.to_u32()),
        ours.only_to_customer
    );
    let aigp = theirs.iter().find_map(|value| match value {
        AttributeValue::Aigp(aigp) => aigp.accumulated_metric(),
        _ => None,
    });
    assert_eq!(aigp, ours.aigp);
    let ipv6 = theirs.iter().find_map(|value| match value {
        AttributeValue::Ipv6AddressSpecificExtendedCommunities(list) => Some(list.len()),
        _ => None,
    });
    let (mut large, mut ext, mut plain) = (Vec::new(), 0, 0);
    for community in theirs.iter_communities() {
        match community {
            MetaCommunity::Large(c) => large.push(c.to_string()),
            MetaCommunity::Extended(_) => ext += 1,
            MetaCommunity::Plain(_) => plain += 1,
            MetaCommunity::Ipv6Extended(other) => panic!("{other:?} has an attribute of its own"),
        }
    }
    let ours_large: Vec<String> = ours
        .large_communities
        .iter()
        .map(|c| c.to_string())
        .collect();
    assert_eq!(large, ours_large);
    assert_eq!(plain, ours.communities.len());
    assert_eq!(ext, ours.ext_communities.len());
    assert_eq!(ipv6.unwrap_or(0), ours.ipv6_ext_communities.len());
}

fn rustbgpd(bytes: &Bytes) -> rustbgpd_wire::update::RevisedParsedUpdate {
    let mut body = bytes.slice(header::LEN..);
    let len = body.len();
    let raw = rustbgpd_wire::UpdateMessage::decode(&mut body, len).unwrap();
    raw.parse_revised(true, true, false, &[]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn ipv4_updates_say_the_same_to_all(attributes in attributes(false), prefixes in vec(routed(ipv4()), 1..50)) {
        let bytes = written(&attributes, &prefixes);
        let nets: Vec<IpNet> = prefixes.iter().map(|p| (*p).into()).collect();
        let theirs = bgpkit(&bytes);
        agrees(&theirs.attributes, &attributes);
        prop_assert_eq!(theirs.announced_prefixes.iter().map(|p| p.prefix).collect::<Vec<_>>(), nets);
        prop_assert_eq!(theirs.attributes.next_hop(), Some(attributes.next_hop.addr()));
        let theirs = rustbgpd(&bytes);
        prop_assert_eq!(theirs.update.announced.len(), prefixes.len());
    }

    #[test]
    fn ipv6_updates_say_the_same_to_all(attributes in attributes(false), next_hop in next_hop_v6(), prefixes in vec(routed(ipv6()), 1..50)) {
        let attributes = Attributes { next_hop, ..attributes };
        let theirs = bgpkit(&written(&attributes, &prefixes));
        agrees(&theirs.attributes, &attributes);
        let reach = theirs.attributes.get_reachable_nlri().unwrap();
        let told: Vec<Ipv6Prefix> = reach.prefixes.iter().filter_map(|p| Ipv6Prefix::from_net(p.prefix)).collect();
        prop_assert_eq!(told, prefixes);
        let hop = match reach.next_hop.unwrap() {
            NextHopAddress::Ipv4(address) => NextHop::V4(address),
            NextHopAddress::Ipv6(address) => NextHop::V6(address),
            NextHopAddress::Ipv6LinkLocal(global, local) => NextHop::V6WithLinkLocal(global, local),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(hop, next_hop);
    }
}
