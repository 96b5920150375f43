//! Operations as netlink messages. Routes that point to a nexthop object are the many, and objects are
//! unknown to `netlink-packet-route`: both are written octet by octet. The rest are typed messages.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteMessage, RouteProtocol, RouteType};
use rtnetlink::{RouteMessageBuilder, RouteNextHopBuilder};

use crate::op::{Batch, Op, Path, Target};

pub(super) const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
pub(super) const RTM_NEWNEXTHOP: u16 = 104;
pub(super) const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEXTHOP: u16 = 106;

const AF_UNSPEC: u8 = 0;
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

const RTA_DST: u16 = 1;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RTA_NH_ID: u16 = 30;

pub(super) const NHA_ID: u16 = 1;
pub(super) const NHA_GROUP: u16 = 2;
pub(super) const NHA_OIF: u16 = 5;
pub(super) const NHA_GATEWAY: u16 = 6;

pub(super) const RTNH_F_ONLINK: u32 = 4;
const RTN_UNSPEC: u8 = 0;
const RTN_UNICAST: u8 = 1;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_NOWHERE: u8 = 255;

const CREATE: u16 = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
const CHANGE: u16 = NLM_F_REQUEST | NLM_F_REPLACE;
/// `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;

/// What is asked for in a dump.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dump {
    kind: u16,
    family: u8,
    /// The length of the fixed part that the request has.
    body: usize,
}

impl Dump {
    pub(super) const fn is_nexthops(&self) -> bool {
        self.kind == RTM_GETNEXTHOP
    }
}

/// All dumps, in an order in which what is referred to comes first.
pub(super) const DUMPS: [Dump; 5] = [
    Dump {
        kind: RTM_GETLINK,
        family: AF_UNSPEC,
        body: 16,
    },
    Dump {
        kind: RTM_GETADDR,
        family: AF_UNSPEC,
        body: 8,
    },
    Dump {
        kind: RTM_GETNEXTHOP,
        family: AF_UNSPEC,
        body: 8,
    },
    Dump {
        kind: RTM_GETROUTE,
        family: AF_INET,
        body: 12,
    },
    Dump {
        kind: RTM_GETROUTE,
        family: AF_INET6,
        body: 12,
    },
];

pub(super) fn dump(dump: Dump, sequence: u32, out: &mut Vec<u8>) {
    let start = begin(dump.kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, out);
    out.push(dump.family);
    out.resize(start + HEADER + dump.body, 0);
    end(start, out);
}

/// Removes the nexthop object 0, which cannot be: EINVAL to those who may, EPERM to others.
pub(super) fn probe(sequence: u32, out: &mut Vec<u8>) {
    nexthop(
        RTM_DELNEXTHOP,
        NLM_F_REQUEST | NLM_F_ACK,
        sequence,
        Header::default(),
        out,
        |out| attribute_u32(NHA_ID, 0, out),
    );
}

/// All of a batch, numbered from `first`; only the last one is acknowledged.
pub(super) fn batch(batch: &Batch, first: u32, out: &mut Vec<u8>) {
    let last = batch.ops.len().saturating_sub(1);
    for ((index, op), sequence) in batch.ops.iter().enumerate().zip(first..) {
        let ack = if index == last { NLM_F_ACK } else { 0 };
        operation(op, batch.protocol, ack, sequence, out);
    }
}

fn operation(op: &Op, protocol: u8, ack: u16, sequence: u32, out: &mut Vec<u8>) {
    let flags = |replace: bool| ack | if replace { CHANGE } else { CREATE };
    match op {
        Op::PutPath { id, path, replace } => {
            put_path(*id, *path, protocol, flags(*replace), sequence, out)
        }
        Op::PutGroup {
            id,
            members,
            replace,
        } => put_group(*id, members, protocol, flags(*replace), sequence, out),
        Op::RemoveNexthop { id } => {
            nexthop(
                RTM_DELNEXTHOP,
                NLM_F_REQUEST | ack,
                sequence,
                Header::default(),
                out,
                |out| {
                    attribute_u32(NHA_ID, *id, out);
                },
            );
        }
        Op::PutRoute {
            prefix,
            table,
            metric,
            prefsrc,
            target,
            replace,
        } => {
            let header = RouteHeader {
                prefix: *prefix,
                tos: 0,
                scope: RT_SCOPE_UNIVERSE,
                kind: RTN_UNICAST,
                table: *table,
                metric: *metric,
                protocol,
            };
            put_route(header, *prefsrc, target, flags(*replace), sequence, out);
        }
        Op::RemoveRoute {
            prefix,
            table,
            metric,
            tos,
        } => {
            let header = RouteHeader {
                prefix: *prefix,
                tos: *tos,
                scope: RT_SCOPE_NOWHERE,
                kind: RTN_UNSPEC,
                table: *table,
                metric: *metric,
                protocol,
            };
            let flags = NLM_F_REQUEST | ack;
            route(RTM_DELROUTE, flags, sequence, header, out, |_| {});
        }
    }
}

fn put_route(
    header: RouteHeader,
    prefsrc: Option<IpAddr>,
    target: &Target,
    flags: u16,
    sequence: u32,
    out: &mut Vec<u8>,
) {
    if let Target::Nexthop(id) = target {
        route(RTM_NEWROUTE, flags, sequence, header, out, |out| {
            if let Some(source) = prefsrc {
                attribute_address(RTA_PREFSRC, source, out);
            }
            attribute_u32(RTA_NH_ID, *id, out);
        });
    } else if let Some(message) = typed_route(header, prefsrc, target) {
        typed(RouteNetlinkMessage::NewRoute(message), flags, sequence, out);
    }
}

fn put_path(id: u32, path: Path, protocol: u8, flags: u16, sequence: u32, out: &mut Vec<u8>) {
    // The family is the gateway's, not that of the routes.
    let family = if path.gateway.is_some_and(|gateway| gateway.is_ipv6()) {
        AF_INET6
    } else {
        AF_INET
    };
    let header = Header {
        family,
        protocol,
        flags: if path.onlink { RTNH_F_ONLINK } else { 0 },
    };
    nexthop(RTM_NEWNEXTHOP, flags, sequence, header, out, |out| {
        attribute_u32(NHA_ID, id, out);
        attribute_u32(NHA_OIF, path.interface, out);
        if let Some(gateway) = path.gateway {
            attribute_address(NHA_GATEWAY, gateway, out);
        }
    });
}

fn put_group(
    id: u32,
    members: &[(u32, u8)],
    protocol: u8,
    flags: u16,
    sequence: u32,
    out: &mut Vec<u8>,
) {
    let header = Header {
        family: AF_UNSPEC,
        protocol,
        flags: 0,
    };
    nexthop(RTM_NEWNEXTHOP, flags, sequence, header, out, |out| {
        attribute_u32(NHA_ID, id, out);
        let start = begin_attribute(NHA_GROUP, out);
        for (member, weight) in members {
            // `struct nexthop_grp`: the weight is one less.
            out.extend_from_slice(&member.to_ne_bytes());
            out.extend_from_slice(&[weight.saturating_sub(1), 0, 0, 0]);
        }
        end_attribute(start, out);
    });
}

/// A route that carries its next hops itself, or has none. `None` cannot be: all prefixes are valid.
fn typed_route(
    header: RouteHeader,
    prefsrc: Option<IpAddr>,
    target: &Target,
) -> Option<RouteMessage> {
    let prefix = header.prefix;
    let builder = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(prefix.addr(), prefix.prefix_len())
        .ok()?;
    let mut builder = builder
        .table_id(header.table)
        .priority(header.metric)
        .protocol(RouteProtocol::from(header.protocol));
    match target {
        Target::Blackhole => return Some(builder.kind(RouteType::BlackHole).build()),
        Target::Unreachable => return Some(builder.kind(RouteType::Unreachable).build()),
        Target::Prohibit => return Some(builder.kind(RouteType::Prohibit).build()),
        Target::Nexthop(id) => builder = builder.nhid(*id),
        Target::Paths(paths) => {
            let paths = paths
                .iter()
                .map(|(path, weight)| next_hop(prefix, *path, *weight));
            builder = builder.multipath(paths.collect::<Option<_>>()?);
        }
    }
    if let Some(source) = prefsrc {
        builder = builder.pref_source(source).ok()?;
    }
    Some(builder.build())
}

fn next_hop(
    prefix: IpNet,
    path: Path,
    weight: u8,
) -> Option<netlink_packet_route::route::RouteNextHop> {
    let builder = if prefix.addr().is_ipv4() {
        RouteNextHopBuilder::new_ipv4()
    } else {
        RouteNextHopBuilder::new_ipv6()
    };
    let mut builder = builder
        .interface(path.interface)
        .weight(weight.saturating_sub(1));
    if let Some(gateway) = path.gateway {
        builder = builder.via(gateway).ok()?;
    }
    if path.onlink {
        builder = builder.onlink();
    }
    Some(builder.build())
}

fn typed(message: RouteNetlinkMessage, flags: u16, sequence: u32, out: &mut Vec<u8>) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let start = out.len();
    out.resize(start + message.buffer_len(), 0);
    if let Some(place) = out.get_mut(start..) {
        message.serialize(place);
    }
}

/// `struct nhmsg`.
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    family: u8,
    protocol: u8,
    flags: u32,
}

fn nexthop(
    kind: u16,
    flags: u16,
    sequence: u32,
    header: Header,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = begin(kind, flags, sequence, out);
    out.extend_from_slice(&[header.family, 0, header.protocol, 0]);
    out.extend_from_slice(&header.flags.to_ne_bytes());
    body(out);
    end(start, out);
}

/// What varies in `struct rtmsg`.
#[derive(Clone, Copy, Debug)]
struct RouteHeader {
    prefix: IpNet,
    tos: u8,
    scope: u8,
    kind: u8,
    table: u32,
    metric: u32,
    protocol: u8,
}

fn route(
    kind: u16,
    flags: u16,
    sequence: u32,
    header: RouteHeader,
    out: &mut Vec<u8>,
    rest: impl FnOnce(&mut Vec<u8>),
) {
    let RouteHeader {
        prefix,
        tos,
        scope,
        kind: route_kind,
        table,
        metric,
        protocol,
    } = header;
    let family = if prefix.addr().is_ipv4() {
        AF_INET
    } else {
        AF_INET6
    };
    let start = begin(kind, flags, sequence, out);
    // The table is told in its attribute, which has room for it.
    out.extend_from_slice(&[
        family,
        prefix.prefix_len(),
        0,
        tos,
        0,
        protocol,
        scope,
        route_kind,
        0,
        0,
        0,
        0,
    ]);
    attribute_address(RTA_DST, prefix.network(), out);
    attribute_u32(RTA_TABLE, table, out);
    attribute_u32(RTA_PRIORITY, metric, out);
    rest(out);
    end(start, out);
}

fn begin(kind: u16, flags: u16, sequence: u32, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    start
}

/// All our messages and attributes are multiples of four octets long.
fn end(start: usize, out: &mut [u8]) {
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
}

fn attribute_u32(kind: u16, value: u32, out: &mut Vec<u8>) {
    let start = begin_attribute(kind, out);
    out.extend_from_slice(&value.to_ne_bytes());
    end_attribute(start, out);
}

fn attribute_address(kind: u16, address: IpAddr, out: &mut Vec<u8>) {
    let start = begin_attribute(kind, out);
    match address {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
    end_attribute(start, out);
}

fn begin_attribute(kind: u16, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&kind.to_ne_bytes());
    start
}

fn end_attribute(start: usize, out: &mut [u8]) {
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    if let Some(place) = out.get_mut(start..start + 2) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests;
