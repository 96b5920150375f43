//! MRT records (RFC 6396, RFC 8050): tables of routes as files that others read. Encoders only.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::attributes::table::{MP_REACH_NLRI, NEXT_HOP};
use crate::attributes::{NextHop, offset_of};
use crate::update::network_address;
use crate::wire::length16;
use crate::{Family, Prefix};

/// TABLE_DUMP_V2 (RFC 6396 §4.3).
const TABLE_DUMP_V2: u16 = 13;
/// PEER_INDEX_TABLE (§4.3.1).
const PEER_INDEX_TABLE: u16 = 1;
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
    let start = begin(now, PEER_INDEX_TABLE, out);
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
    let start = begin(now, rib_subtype(P::FAMILY, add_path), out);
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
fn begin(now: Duration, subtype: u16, out: &mut BytesMut) -> usize {
    let start = out.len();
    out.put_u32(u32::try_from(now.as_secs()).unwrap_or(u32::MAX));
    out.put_u16(TABLE_DUMP_V2);
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
