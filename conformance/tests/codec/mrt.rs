//! MRT tables of ours, read by bgpkit-parser.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bgp_core::attributes::{Attributes, NextHop};
use bgp_core::mrt::{self, RibEntry, TablePeer};
use bgp_core::{Ipv4Prefix, Ipv6Prefix, Prefix, update};
use bgpkit_parser::models::{
    MrtMessage, NextHopAddress, RibAfiEntries, TableDumpV2Message, TableDumpV2Type,
};
use bgpkit_parser::parser::mrt::mrt_record::parse_mrt_record;
use bytes::BytesMut;
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::sound::agrees;
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
}
