//! MRT records (RFC 6396, RFC 8050): tables of routes, and messages as they come, as files that others read. Encoders only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::attributes::table::{MP_REACH_NLRI, NEXT_HOP};
use crate::attributes::{NextHop, offset_of};
use crate::open::AS_TRANS;
use crate::update::network_address;
use crate::wire::length16;
use crate::{Family, Prefix};

/// TABLE_DUMP_V2 (RFC 6396 §4.3).
const TABLE_DUMP_V2: u16 = 13;
/// PEER_INDEX_TABLE (§4.3.1).
const PEER_INDEX_TABLE: u16 = 1;
/// BGP4MP_ET (§3, §4.4): a timestamp with microseconds.
const BGP4MP_ET: u16 = 17;
/// BGP4MP_STATE_CHANGE_AS4 (§4.4.4).
const STATE_CHANGE_AS4: u16 = 5;
/// Octets of a record's header (§2).
const HEADER: usize = 12;
/// Peer Type: AS numbers take four octets (§4.3.1).
const AS4: u8 = 2;
/// Peer Type: the address is IPv6.
const IPV6: u8 = 1;
/// Most peers of a PEER_INDEX_TABLE, and most entries of a RIB record: both are counted in two octets.
pub const COUNT_MAX: usize = u16::MAX as usize;

/// A peer of the PEER_INDEX_TABLE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TablePeer {
    /// BGP Identifier.
    pub identifier: Ipv4Addr,
    /// Its address.
    pub address: IpAddr,
    /// Its AS number.
    pub asn: u32,
}

/// A path of a RIB record.
#[derive(Clone, Copy, Debug)]
pub struct RibEntry<'a> {
    /// Its peer's place in the PEER_INDEX_TABLE.
    pub peer: u16,
    /// When it was heard, in seconds since 1970.
    pub originated: u32,
    /// Path Identifier, where the record has them.
    pub path_id: u32,
    /// As [`crate::update::encode_attributes`] writes them, AS numbers with four octets (§4.3.4).
    pub block: &'a [u8],
    /// The next hop, which the block lacks.
    pub next_hop: NextHop,
}

/// Appends the PEER_INDEX_TABLE, which comes before all RIB records (§4.3.1). Peers beyond [`COUNT_MAX`] are left out.
pub fn peer_index_table(
    now: Duration,
    collector: Ipv4Addr,
    view: &str,
    peers: &[TablePeer],
    out: &mut BytesMut,
) {
    let start = begin(now, (TABLE_DUMP_V2, PEER_INDEX_TABLE), out);
    let peers = peers.get(..COUNT_MAX).unwrap_or(peers);
    out.put_slice(&collector.octets());
    out.put_slice(&length16(view.len()));
    out.put_slice(view.as_bytes());
    out.put_slice(&length16(peers.len()));
    for peer in peers {
        match peer.address {
            IpAddr::V4(address) => {
                out.put_u8(AS4);
                out.put_slice(&peer.identifier.octets());
                out.put_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                out.put_u8(AS4 | IPV6);
                out.put_slice(&peer.identifier.octets());
                out.put_slice(&address.octets());
            }
        }
        out.put_u32(peer.asn);
    }
    end(start, out);
}

/// Appends a RIB record: a prefix and its paths (§4.3.2; with `add_path`, RFC 8050 §4). Nothing without paths; those
/// beyond [`COUNT_MAX`] are left out.
pub fn rib<P: Prefix>(
    now: Duration,
    sequence: u32,
    prefix: P,
    add_path: bool,
    entries: &[RibEntry<'_>],
    out: &mut BytesMut,
) {
    let entries = entries.get(..COUNT_MAX).unwrap_or(entries);
    if entries.is_empty() {
        return;
    }
    let start = begin(now, (TABLE_DUMP_V2, rib_subtype(P::FAMILY, add_path)), out);
    out.put_u32(sequence);
    out.put_u8(prefix.len());
    let octets = usize::from(prefix.len().div_ceil(8));
    out.put_slice(prefix.octets().get(..octets).unwrap_or_default());
    out.put_slice(&length16(entries.len()));
    for entry in entries {
        out.put_u16(entry.peer);
        out.put_u32(entry.originated);
        if add_path {
            out.put_u32(entry.path_id);
        }
        attributes(P::FAMILY, entry.block, entry.next_hop, out);
    }
    end(start, out);
}

/// The two ends of a session, as a BGP4MP record names them (§4.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ends {
    /// The peer's AS number.
    pub peer_asn: u32,
    /// Ours towards it.
    pub local_asn: u32,
    /// The peer's address.
    pub peer: IpAddr,
    /// Ours.
    pub local: IpAddr,
}

/// How the message of a BGP4MP record is to be read: what the session agreed on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Encoding {
    /// AS numbers take four octets.
    pub four_octet_as: bool,
    /// Prefixes have Path Identifiers.
    pub add_path: bool,
}

/// The states of a session (RFC 4271 §8.2.2), as they are numbered here (§4.4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionState {
    /// Idle.
    Idle = 1,
    /// Established.
    Established = 6,
}

/// Appends a whole message as it came from a peer (§4.4.2, §4.4.3; with Path Identifiers RFC 8050 §3).
pub fn message(now: Duration, ends: &Ends, encoding: Encoding, message: &[u8], out: &mut BytesMut) {
    let subtype = match (encoding.four_octet_as, encoding.add_path) {
        (false, false) => 1,
        (true, false) => 4,
        (false, true) => 8,
        (true, true) => 9,
    };
    let start = begin_with_microseconds(now, subtype, out);
    put_ends(ends, encoding.four_octet_as, out);
    out.put_slice(message);
    end(start, out);
}

/// Appends that a session changed its state (§4.4.4).
pub fn state_change(
    now: Duration,
    ends: &Ends,
    old: SessionState,
    new: SessionState,
    out: &mut BytesMut,
) {
    let start = begin_with_microseconds(now, STATE_CHANGE_AS4, out);
    put_ends(ends, true, out);
    out.put_u16(old as u16);
    out.put_u16(new as u16);
    end(start, out);
}

fn put_ends(ends: &Ends, four_octet_as: bool, out: &mut BytesMut) {
    for asn in [ends.peer_asn, ends.local_asn] {
        if four_octet_as {
            out.put_u32(asn);
        } else {
            out.put_u16(u16::try_from(asn).unwrap_or(AS_TRANS));
        }
    }
    // The index of an interface means nothing elsewhere.
    out.put_u16(0);
    match (ends.peer, ends.local) {
        (IpAddr::V4(peer), local) => {
            out.put_u16(1);
            out.put_slice(&peer.octets());
            let local = match local {
                IpAddr::V4(local) => local,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            };
            out.put_slice(&local.octets());
        }
        (IpAddr::V6(peer), local) => {
            out.put_u16(2);
            out.put_slice(&peer.octets());
            let local = match local {
                IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
                IpAddr::V6(local) => local,
            };
            out.put_slice(&local.octets());
        }
    }
}

/// The header of a record whose timestamp goes on with microseconds, which the length counts (§3).
fn begin_with_microseconds(now: Duration, subtype: u16, out: &mut BytesMut) -> usize {
    let start = begin(now, (BGP4MP_ET, subtype), out);
    out.put_u32(now.subsec_micros());
    start
}

/// RFC 6396 §4.3.2 and RFC 8050 §4.
const fn rib_subtype(family: Family, add_path: bool) -> u16 {
    match (family, add_path) {
        (Family::Ipv4Unicast, false) => 2,
        (Family::Ipv6Unicast, false) => 4,
        (Family::Ipv4Unicast, true) => 8,
        (Family::Ipv6Unicast, true) => 10,
    }
}

/// The attributes with their length, in the order of their types. Of MP_REACH_NLRI only the next hop stands there
/// (§4.3.4): family and prefix are the record's.
fn attributes(family: Family, block: &[u8], next_hop: NextHop, out: &mut BytesMut) {
    let (kind, flags) = match (family, next_hop) {
        (Family::Ipv4Unicast, NextHop::V4(_)) => (NEXT_HOP, 0x40),
        (Family::Ipv4Unicast | Family::Ipv6Unicast, _) => (MP_REACH_NLRI, 0x80),
    };
    let address = network_address(family, next_hop);
    let mut value = Vec::with_capacity(33);
    if kind == MP_REACH_NLRI {
        value.push(u8::try_from(address.len()).unwrap_or(u8::MAX));
    }
    value.extend_from_slice(&address);
    let (before, after) = block.split_at(offset_of(kind, block));
    out.put_slice(&length16(block.len() + 3 + value.len()));
    out.put_slice(before);
    out.put_slice(&[flags, kind, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
    out.put_slice(&value);
    out.put_slice(after);
}

/// The header (§2), its length to be filled in by [`end`]. Returns where the record starts.
fn begin(now: Duration, (kind, subtype): (u16, u16), out: &mut BytesMut) -> usize {
    let start = out.len();
    out.put_u32(u32::try_from(now.as_secs()).unwrap_or(u32::MAX));
    out.put_u16(kind);
    out.put_u16(subtype);
    out.put_u32(0);
    start
}

fn end(start: usize, out: &mut BytesMut) {
    let len = u32::try_from(out.len() - start - HEADER).unwrap_or(u32::MAX);
    let field = start + HEADER - 4..start + HEADER;
    if let Some(field) = out.get_mut(field) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}
