//! Messages on the wire.

use bgp_core::attributes::{AsPath, NextHop, Origin, SegmentKind};
use bgp_core::update::{EncodeContext, announce, encode_attributes, withdraw};
use bgp_core::{Attributes, Ipv4Prefix, Ipv6Prefix, Prefix, Reset};
use bytes::BytesMut;

use super::*;

const CONTEXT: EncodeContext = EncodeContext {
    four_octet_as: true,
    add_path: false,
    max_message: 4096,
};

fn announced<P: Prefix>(prefixes: &[P], next_hop: NextHop) -> BytesMut {
    let mut path = AsPath::sequence([65001, 65002]);
    path.push(SegmentKind::Set, &[65003, 65004]);
    let mut block = Vec::new();
    encode_attributes(
        &Attributes::new(Origin::Igp, path, next_hop),
        true,
        &mut block,
    );
    let mut out = BytesMut::new();
    let prefixes = prefixes.iter().map(|&prefix| (0, prefix));
    announce(&block, next_hop, prefixes, &CONTEXT, &mut out).unwrap();
    out
}

/// The keys of all that is announced and of all that is withdrawn, and the length of the path.
fn walk(bytes: &[u8]) -> (Vec<u64>, Vec<u64>, u8) {
    let (kind, body, rest) = message(bytes).unwrap();
    assert_eq!((kind, rest), (2, &[][..]));
    let update = update(body).unwrap();
    let mut found = (Vec::new(), Vec::new(), update.path_length);
    for octets in update.announced {
        keys(octets, |key| found.0.push(key));
    }
    for octets in update.withdrawn {
        keys(octets, |key| found.1.push(key));
    }
    found
}

fn key_of<P: Prefix>(prefix: &P) -> u64 {
    key(prefix.octets(), prefix.len())
}

#[test]
fn what_is_announced_and_withdrawn_is_found_in_both_families() -> Result<(), Reset> {
    let four =
        ["10.0.0.0/8", "192.0.2.128/25"].map(|p| Ipv4Prefix::from_net(p.parse().unwrap()).unwrap());
    let six = ["2001:db8::/32", "2001:db8:1::/48"]
        .map(|p| Ipv6Prefix::from_net(p.parse().unwrap()).unwrap());
    let (keys_4, keys_6) = (four.map(|p| key_of(&p)), six.map(|p| key_of(&p)));
    let out = announced(&four, NextHop::V4([192, 0, 2, 1].into()));
    assert_eq!(walk(&out), (keys_4.to_vec(), Vec::new(), 3));
    let out = announced(&six, NextHop::V6("2001:db8::1".parse().unwrap()));
    assert_eq!(walk(&out), (keys_6.to_vec(), Vec::new(), 3));
    let mut out = BytesMut::new();
    withdraw(four.into_iter().map(|p| (0, p)), &CONTEXT, &mut out);
    assert_eq!(walk(&out), (Vec::new(), keys_4.to_vec(), 0));
    out.clear();
    withdraw(six.into_iter().map(|p| (0, p)), &CONTEXT, &mut out);
    assert_eq!(walk(&out), (Vec::new(), keys_6.to_vec(), 0));
    Ok(())
}

#[test]
fn a_message_is_not_there_before_its_last_octet() {
    let out = announced(
        &[Ipv4Prefix::new([10, 0, 0, 0].into(), 8).unwrap()],
        NextHop::V4([192, 0, 2, 1].into()),
    );
    for length in 0..out.len() {
        assert_eq!(message(&out[..length]), None);
    }
    assert!(message(&out).is_some());
}

#[test]
fn broken_octets_are_no_update() {
    assert_eq!(update(&[0]), None);
    assert_eq!(update(&[0, 9, 0]), None);
    assert_eq!(update(&[0, 0, 0, 4, 0x40, 2, 9, 0]), None);
}
