//! MRT tables and messages of ours, read by bgpkit-parser.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bgp_core::attributes::{Attributes, NextHop};
use bgp_core::mrt::{self, Encoding, Ends, RibEntry, SessionState, TablePeer};
use bgp_core::update::EncodeContext;
use bgp_core::{Ipv4Prefix, Ipv6Prefix, Prefix, header, update};
use bgpkit_parser::models::{
    Bgp4MpEnum, BgpMessage, BgpState, MrtMessage, NextHopAddress, RibAfiEntries,
    TableDumpV2Message, TableDumpV2Type,
};
use bgpkit_parser::parser::mrt::mrt_record::parse_mrt_record;
use bytes::BytesMut;
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sound::{agrees, routed};
use crate::strategies::{asn, attributes, host_v6, ipv4, ipv6, next_hop_v6};

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn peers() -> impl Strategy<Value = Vec<TablePeer>> {
    let address = prop_oneof![
        any::<u32>().prop_map(|a| IpAddr::V4(a.into())),
        host_v6().prop_map(IpAddr::V6)
    ];
    let peer = (any::<u32>(), address, asn()).prop_map(|(id, address, asn)| TablePeer {
        identifier: id.into(),
        address,
        asn,
    });
    vec(peer, 1..6)
}

/// A path of a peer: its attributes and its Path Identifier.
type Path = (Attributes, u32);

fn paths(next_hop: impl Strategy<Value = NextHop>) -> impl Strategy<Value = Vec<Path>> {
    let with = |(attributes, next_hop, id): (Attributes, NextHop, u32)| {
        let attributes = Attributes {
            next_hop,
            ..attributes
        };
        (attributes, id)
    };
    vec(
        (attributes(false), next_hop, any::<u32>()).prop_map(with),
        1..5,
    )
}

/// Writes a record and has it read.
fn read_back<P: Prefix>(
    prefix: P,
    add_path: bool,
    paths: &[Path],
) -> (RibAfiEntries, u32, TableDumpV2Type) {
    let blocks: Vec<Vec<u8>> = paths
        .iter()
        .map(|(attributes, _)| {
            let mut block = Vec::new();
            update::encode_attributes(attributes, true, &mut block);
            block
        })
        .collect();
    let entries: Vec<RibEntry<'_>> = paths
        .iter()
        .zip(&blocks)
        .zip(0..)
        .map(|(((attributes, path_id), block), peer)| RibEntry {
            peer,
            originated: 77,
            path_id: *path_id,
            block,
            next_hop: attributes.next_hop,
        })
        .collect();
    let mut out = BytesMut::new();
    mrt::rib(NOW, 5, prefix, add_path, &entries, &mut out);
    let mut rest: &[u8] = &out;
    let record = parse_mrt_record(&mut rest).map_err(|e| e.error).unwrap();
    assert!(rest.is_empty());
    let MrtMessage::TableDumpV2Message(TableDumpV2Message::RibAfi(rib)) = record.message else {
        panic!("no RIB record");
    };
    let kind = rib.rib_type;
    (rib, record.common_header.timestamp, kind)
}

fn check<P: Prefix>(prefix: P, add_path: bool, paths: &[Path]) {
    let (rib, timestamp, kind) = read_back(prefix, add_path, paths);
    let expected = match (P::BITS, add_path) {
        (32, false) => TableDumpV2Type::RibIpv4Unicast,
        (32, true) => TableDumpV2Type::RibIpv4UnicastAddPath,
        (_, false) => TableDumpV2Type::RibIpv6Unicast,
        (_, true) => TableDumpV2Type::RibIpv6UnicastAddPath,
    };
    assert_eq!((kind, timestamp), (expected, 1_700_000_000));
    assert_eq!(rib.sequence_number, 5);
    assert_eq!(rib.prefix.prefix, Into::<IpNet>::into(prefix));
    assert_eq!(rib.rib_entries.len(), paths.len());
    for ((entry, (ours, path_id)), at) in rib.rib_entries.iter().zip(paths).zip(0..) {
        assert_eq!((entry.peer_index, entry.originated_time), (at, 77));
        assert_eq!(entry.path_id, add_path.then_some(*path_id));
        agrees(&entry.attributes, ours);
        let reach = entry.attributes.get_reachable_nlri();
        let hop = match reach.and_then(|reach| reach.next_hop) {
            Some(NextHopAddress::Ipv4(address)) => NextHop::V4(address),
            Some(NextHopAddress::Ipv6(address)) => NextHop::V6(address),
            Some(NextHopAddress::Ipv6LinkLocal(global, local)) => {
                NextHop::V6WithLinkLocal(global, local)
            }
            Some(other) => panic!("{other:?}"),
            None => match entry.attributes.next_hop() {
                Some(IpAddr::V4(address)) => NextHop::V4(address),
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(hop, ours.next_hop);
    }
}

/// An UPDATE with one prefix, its Path Identifier 7.
fn announcement(
    attributes: &Attributes,
    prefix: Ipv4Prefix,
    four_octet_as: bool,
    add_path: bool,
) -> BytesMut {
    let (mut block, mut message) = (Vec::new(), BytesMut::new());
    update::encode_attributes(attributes, four_octet_as, &mut block);
    let context = EncodeContext {
        four_octet_as,
        add_path,
        max_message: header::MAX_EXTENDED,
    };
    let prefixes = std::iter::once((7, prefix));
    update::announce(
        &block,
        attributes.next_hop,
        prefixes,
        &context,
        &mut message,
    )
    .unwrap();
    message
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn tables_are_read_as_they_were_written(peers in peers(), collector in any::<u32>()) {
        let mut out = BytesMut::new();
        mrt::peer_index_table(NOW, collector.into(), "main", &peers, &mut out);
        let mut rest: &[u8] = &out;
        let record = parse_mrt_record(&mut rest).map_err(|e| e.error).unwrap();
        prop_assert!(rest.is_empty());
        let MrtMessage::TableDumpV2Message(TableDumpV2Message::PeerIndexTable(table)) = record.message else {
            panic!("no table of peers");
        };
        prop_assert_eq!(table.collector_bgp_id, Ipv4Addr::from(collector));
        prop_assert_eq!(table.view_name, "main");
        prop_assert_eq!(table.id_peer_map.len(), peers.len());
        for (at, ours) in (0..).zip(&peers) {
            let theirs = table.id_peer_map.get(&at).unwrap();
            prop_assert_eq!(theirs.peer_bgp_id, ours.identifier);
            prop_assert_eq!(theirs.peer_ip, ours.address);
            prop_assert_eq!(theirs.peer_asn.to_u32(), ours.asn);
        }
    }

    #[test]
    fn ipv4_routes_of_a_table_say_the_same_to_all(prefix in ipv4(), add_path in any::<bool>(), paths in paths(Just(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1))))) {
        check::<Ipv4Prefix>(prefix, add_path, &paths);
    }

    #[test]
    fn ipv6_next_hops_of_a_table_say_the_same_to_all(four in ipv4(), six in ipv6(), add_path in any::<bool>(), paths in paths(next_hop_v6())) {
        check::<Ipv4Prefix>(four, add_path, &paths);
        check::<Ipv6Prefix>(six, add_path, &paths);
    }

    #[test]
    fn messages_are_read_as_they_came(
        (attributes, prefix) in (attributes(true), routed(ipv4())), add_path in any::<bool>(), four_octet_as in any::<bool>(),
        (peer_asn, local_asn) in (asn(), asn()), six in any::<bool>()
    ) {
        let (peer, local): (IpAddr, IpAddr) = if six {
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap())
        } else {
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap())
        };
        let ends = Ends { peer_asn, local_asn, peer, local };
        let attributes = Attributes { next_hop: NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)), ..attributes };
        let message = announcement(&attributes, prefix, four_octet_as, add_path);
        let mut out = BytesMut::new();
        let now = NOW + Duration::from_micros(250_001);
        mrt::message(now, &ends, Encoding { four_octet_as, add_path }, &message, &mut out);
        mrt::state_change(now, &ends, SessionState::Established, SessionState::Idle, &mut out);
        let mut rest: &[u8] = &out;
        let record = parse_mrt_record(&mut rest).map_err(|e| e.error).unwrap();
        prop_assert_eq!(record.common_header.timestamp, 1_700_000_000);
        prop_assert_eq!(record.common_header.microsecond_timestamp, Some(250_001));
        let MrtMessage::Bgp4Mp(Bgp4MpEnum::Message(theirs)) = record.message else {
            panic!("no message");
        };
        let short = |asn: u32| if four_octet_as { asn } else { u16::try_from(asn).map_or(23456, u32::from) };
        prop_assert_eq!((theirs.peer_ip, theirs.local_ip), (peer, local));
        prop_assert_eq!((theirs.peer_asn.to_u32(), theirs.local_asn.to_u32()), (short(peer_asn), short(local_asn)));
        let BgpMessage::Update(update) = theirs.bgp_message else { panic!("no UPDATE") };
        prop_assert_eq!(update.announced_prefixes.len(), 1);
        prop_assert_eq!(update.announced_prefixes[0].prefix, Into::<IpNet>::into(prefix));
        prop_assert_eq!(update.announced_prefixes[0].path_id, add_path.then_some(7));
        let record = parse_mrt_record(&mut rest).map_err(|e| e.error).unwrap();
        prop_assert!(rest.is_empty());
        let MrtMessage::Bgp4Mp(Bgp4MpEnum::StateChange(change)) = record.message else {
            panic!("no state");
        };
        prop_assert_eq!((change.old_state, change.new_state), (BgpState::Established, BgpState::Idle));
        prop_assert_eq!((change.peer_ip, change.peer_asn.to_u32()), (peer, peer_asn));
    }
}
