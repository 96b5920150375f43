//! What the kernel says, and which way it then sends.

use super::*;

const LEFT: Ipv4Addr = Ipv4Addr::new(192, 0, 1, 2);
const RIGHT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut octets = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    octets.extend_from_slice(value);
    octets.resize(aligned(octets.len()), 0);
    octets
}

fn told(kind: u16, fixed: usize, attributes: &[Vec<u8>]) -> Vec<u8> {
    let body = [vec![0; fixed], attributes.concat()].concat();
    let mut octets = u32::try_from(HEADER + body.len())
        .unwrap()
        .to_ne_bytes()
        .to_vec();
    octets.extend_from_slice(&kind.to_ne_bytes());
    octets.resize(HEADER, 0);
    octets.extend(body);
    octets
}

fn route(kind: u16, n: u8, more: &[Vec<u8>]) -> Vec<u8> {
    let prefix = attribute(RTA_DST, &[20, 0, n, 0]);
    told(kind, ROUTE, &[&[prefix], more].concat())
}

fn by(gateway: Ipv4Addr) -> Vec<u8> {
    attribute(RTA_GATEWAY, &gateway.octets())
}

fn object(id: u32, gateway: Ipv4Addr) -> Vec<u8> {
    let id = attribute(NHA_ID, &id.to_ne_bytes());
    told(
        NEW_NEXTHOP,
        NEXTHOP,
        &[id, attribute(NHA_GATEWAY, &gateway.octets())],
    )
}

fn group(id: u32, members: &[u32]) -> Vec<u8> {
    let members: Vec<u8> = members
        .iter()
        .flat_map(|id| [id.to_ne_bytes(), [0; 4]].concat())
        .collect();
    let id = attribute(NHA_ID, &id.to_ne_bytes());
    told(NEW_NEXTHOP, NEXTHOP, &[id, attribute(NHA_GROUP, &members)])
}

#[test]
fn routes_that_name_their_gateways_move_one_by_one() {
    let mut forwarding = Forwarding::new(LEFT, RIGHT);
    let both = [
        route(NEW_ROUTE, 1, &[by(LEFT)]),
        route(NEW_ROUTE, 2, &[by(LEFT)]),
    ];
    forwarding.take(&both.concat());
    assert_eq!(forwarding.split(), (2, 0));
    forwarding.take(&route(NEW_ROUTE, 1, &[by(RIGHT)]));
    assert_eq!(forwarding.split(), (1, 1));
    forwarding.take(&route(DEL_ROUTE, 2, &[by(LEFT)]));
    assert_eq!(forwarding.split(), (0, 1));
    forwarding.take(&told(
        NEW_ROUTE,
        ROUTE,
        &[attribute(RTA_DST, &[10, 0, 0, 0]), by(LEFT)],
    ));
    assert_eq!(forwarding.split(), (0, 1), "no route of the failover");
}

#[test]
fn a_group_that_changes_moves_all_that_point_to_it() {
    let mut forwarding = Forwarding::new(LEFT, RIGHT);
    forwarding.take(&object(1, LEFT));
    forwarding.take(&object(2, RIGHT));
    forwarding.take(&group(3, &[1]));
    for n in 0..100 {
        let id = attribute(RTA_NH_ID, &3_u32.to_ne_bytes());
        forwarding.take(&route(NEW_ROUTE, n, &[by(LEFT), id]));
    }
    assert_eq!(forwarding.split(), (100, 0));
    forwarding.take(&group(3, &[2]));
    assert_eq!(forwarding.split(), (0, 100));
    let gone = attribute(NHA_ID, &3_u32.to_ne_bytes());
    forwarding.take(&told(DEL_NEXTHOP, NEXTHOP, &[gone]));
    assert_eq!(forwarding.split(), (0, 0), "the kernel drops them with it");
}

#[test]
fn a_route_of_several_ways_goes_by_each() {
    let mut forwarding = Forwarding::new(LEFT, RIGHT);
    let way = |gateway| {
        let nested = by(gateway);
        let length = u16::try_from(WAY + nested.len()).unwrap();
        [length.to_ne_bytes().to_vec(), vec![0; 6], nested].concat()
    };
    let ways = attribute(RTA_MULTIPATH, &[way(LEFT), way(RIGHT)].concat());
    forwarding.take(&route(NEW_ROUTE, 1, &[ways]));
    assert_eq!(forwarding.split(), (1, 1));
}

#[test]
fn what_is_cut_short_is_no_message() {
    let mut forwarding = Forwarding::new(LEFT, RIGHT);
    let whole = route(NEW_ROUTE, 1, &[by(LEFT)]);
    for length in 0..whole.len() {
        forwarding.take(whole.get(..length).unwrap());
        assert_eq!(forwarding.split(), (0, 0), "{length}");
    }
}
