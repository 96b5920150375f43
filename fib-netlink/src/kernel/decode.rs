//! Netlink messages as facts. What is malformed or of no interest is skipped: the kernel is trusted,
//! but it speaks of more than we know.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel's enums are not ours, and grow with it"
)]

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::DefaultNla;
use netlink_packet_core::{
    NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkDeserializable, NetlinkHeader, Nla, NlasIterator, Parseable,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteType, RouteVia as Via,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use smallvec::SmallVec;

use super::encode::{
    AF_INET6, HEADER, NHA_GATEWAY, NHA_GROUP, NHA_ID, NHA_OIF, RTM_DELNEXTHOP, RTM_NEWNEXTHOP,
    RTNH_F_ONLINK,
};
use crate::fact::{Fact, KernelNexthop, KernelRoute, NexthopKind, Rank, RouteKind, RouteVia};
use crate::op::Path;

/// `RT_TABLE_LOCAL`: the kernel's own.
const TABLE_LOCAL: u32 = 255;
/// `struct nhmsg`.
const NEXTHOP_HEADER: usize = 8;
/// `struct nexthop_grp`.
const GROUP_MEMBER: usize = 8;

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// To whom it answers; not ours if it is news.
    pub(super) port: u32,
    /// Of an answer, positive; 0 is success.
    pub(super) errno: i32,
    pub(super) fact: Option<Fact>,
}

/// The messages of a datagram.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message> + '_ {
    std::iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(datagram).ok()?;
        let header = NetlinkHeader::parse(&NetlinkBuffer::new(&datagram)).ok()?;
        let length = usize::try_from(buffer.length()).ok()?;
        let payload = datagram.get(HEADER..length)?;
        let message = message(header, payload);
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(message)
    })
}

fn message(header: NetlinkHeader, payload: &[u8]) -> Message {
    let kind = header.message_type;
    let (errno, fact) = match kind {
        // Both begin with an error number, negative.
        NLMSG_ERROR | NLMSG_DONE => (
            u32_at(payload, 0).map_or(0, |errno| errno.cast_signed().wrapping_neg()),
            None,
        ),
        RTM_NEWNEXTHOP => (0, nexthop(payload).map(Fact::Nexthop)),
        RTM_DELNEXTHOP => (
            0,
            nexthop(payload).map(|nexthop| Fact::NexthopGone { id: nexthop.id }),
        ),
        _ => (
            0,
            RouteNetlinkMessage::deserialize(&header, payload)
                .ok()
                .and_then(|message| fact(message, header.flags)),
        ),
    };
    Message {
        kind,
        flags: header.flags,
        sequence: header.sequence_number,
        port: header.port_number,
        errno,
        fact,
    }
}

fn fact(message: RouteNetlinkMessage, flags: u16) -> Option<Fact> {
    match message {
        RouteNetlinkMessage::NewLink(message) => link(message),
        RouteNetlinkMessage::DelLink(message) => {
            // A bridge's ports are told of in the bridge's family too; those links stay.
            (message.header.interface_family == AddressFamily::Unspec).then_some(Fact::LinkGone {
                index: message.header.index,
            })
        }
        RouteNetlinkMessage::NewAddress(message) => {
            address(&message).map(|(address, prefix)| Fact::Address {
                index: message.header.index,
                address,
                prefix,
            })
        }
        RouteNetlinkMessage::DelAddress(message) => {
            address(&message).map(|(address, prefix)| Fact::AddressGone {
                index: message.header.index,
                address,
                prefix,
            })
        }
        RouteNetlinkMessage::NewRoute(message) => {
            route(message).map(|route| new_route(route, flags))
        }
        RouteNetlinkMessage::DelRoute(message) => route(message).map(Fact::RouteGone),
        _ => None,
    }
}

/// A dump tells routes of one place in their order. An IPv4 route that is made goes to their head, unless it is appended; an
/// IPv6 route goes to their end.
fn new_route(route: KernelRoute, flags: u16) -> Fact {
    let made = flags & NLM_F_CREATE != 0 && flags & NLM_F_APPEND == 0;
    if flags & NLM_F_REPLACE != 0 {
        Fact::Route(route)
    } else if made && route.prefix.addr().is_ipv4() {
        Fact::RouteBeside(route, Rank::First)
    } else {
        Fact::RouteBeside(route, Rank::Last)
    }
}

fn link(message: LinkMessage) -> Option<Fact> {
    let flags = message.header.flags;
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let name = message
        .attributes
        .into_iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        })?;
    Some(Fact::Link {
        index: message.header.index,
        name,
        up: flags.contains(LinkFlags::Up | LinkFlags::Running),
    })
}

/// Our own address, and the prefix on the link; on point-to-point links, `IFA_ADDRESS` is the other end's.
fn address(message: &AddressMessage) -> Option<(IpAddr, IpNet)> {
    let find = |local: bool| {
        message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Local(address) if local => Some(*address),
                AddressAttribute::Address(address) if !local => Some(*address),
                _ => None,
            })
    };
    let (local, on_link) = (find(true), find(false));
    let prefix = IpNet::new(on_link.or(local)?, message.header.prefix_len).ok()?;
    Some((local.or(on_link)?, prefix.trunc()))
}

fn route(message: RouteMessage) -> Option<KernelRoute> {
    let header = message.header;
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    if header.flags.contains(RouteFlags::Cloned) || header.source_prefix_length != 0 {
        return None;
    }
    let mut table = u32::from(header.table);
    let (mut destination, mut metric, mut prefsrc, mut nexthop) = (unspecified, 0, None, None);
    let mut path = Path {
        gateway: None,
        interface: 0,
        onlink: header.flags.contains(RouteFlags::Onlink),
    };
    let mut paths = SmallVec::new();
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Table(value) => table = value,
            RouteAttribute::Destination(value) => destination = ip(&value)?,
            RouteAttribute::Priority(value) => metric = value,
            RouteAttribute::PrefSource(value) => prefsrc = ip(&value),
            RouteAttribute::NhId(id) => nexthop = Some(id),
            RouteAttribute::Gateway(value) => path.gateway = ip(&value),
            RouteAttribute::Via(value) => path.gateway = via(&value),
            RouteAttribute::Oif(index) => path.interface = index,
            RouteAttribute::MultiPath(hops) => paths = hops.iter().map(hop).collect(),
            _ => {}
        }
    }
    if table == TABLE_LOCAL {
        return None;
    }
    if paths.is_empty() {
        paths.push((path, 1));
    }
    let kind = match header.kind {
        RouteType::Unicast => {
            RouteKind::Unicast(nexthop.map_or(RouteVia::Paths(paths), RouteVia::Nexthop))
        }
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        _ => RouteKind::Other,
    };
    let prefix = IpNet::new(destination, header.destination_prefix_length)
        .ok()?
        .trunc();
    Some(KernelRoute {
        prefix,
        table,
        metric,
        protocol: header.protocol.into(),
        tos: header.tos,
        kind,
        prefsrc,
    })
}

fn hop(hop: &RouteNextHop) -> (Path, u8) {
    let gateway = hop.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(value) => ip(value),
        RouteAttribute::Via(value) => via(value),
        _ => None,
    });
    let onlink = hop.flags.contains(RouteNextHopFlags::Onlink);
    (
        Path {
            gateway,
            interface: hop.interface_index,
            onlink,
        },
        hop.hops.saturating_add(1),
    )
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn via(via: &Via) -> Option<IpAddr> {
    match via {
        Via::Inet(address) => Some(IpAddr::V4(*address)),
        Via::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn nexthop(payload: &[u8]) -> Option<KernelNexthop> {
    let protocol = *payload.get(2)?;
    let family = *payload.first()?;
    let flags = u32_at(payload, 4)?;
    let (mut id, mut interface, mut gateway, mut group) = (None, None, None, None);
    for attribute in NlasIterator::new(payload.get(NEXTHOP_HEADER..)?) {
        let attribute = DefaultNla::parse(&attribute.ok()?).ok()?;
        let mut value = vec![0; attribute.value_len()];
        attribute.emit_value(&mut value);
        match attribute.kind() {
            NHA_ID => id = u32_at(&value, 0),
            NHA_OIF => interface = u32_at(&value, 0),
            NHA_GATEWAY if family == AF_INET6 => {
                gateway = Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?))
            }
            NHA_GATEWAY => gateway = Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
            NHA_GROUP => group = Some(value),
            _ => {}
        }
    }
    let kind = match (group, interface) {
        (Some(group), _) => NexthopKind::Group(members(&group)),
        (None, Some(interface)) => NexthopKind::Path(Path {
            gateway,
            interface,
            onlink: flags & RTNH_F_ONLINK != 0,
        }),
        (None, None) => NexthopKind::Other,
    };
    Some(KernelNexthop {
        id: id?,
        protocol,
        kind,
    })
}

fn members(group: &[u8]) -> SmallVec<[(u32, u8); 4]> {
    let member = |octets: &[u8]| Some((u32_at(octets, 0)?, octets.get(4)?.saturating_add(1)));
    let mut members: SmallVec<_> = group
        .chunks_exact(GROUP_MEMBER)
        .filter_map(member)
        .collect();
    members.sort_unstable();
    members
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    let octets = octets.get(at..at.checked_add(4)?)?;
    octets.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests;
