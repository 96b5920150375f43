//! BMP (RFC 7854), with Adj-RIB-Out (RFC 8671) and Loc-RIB (RFC 9069): what a monitoring station is told.
//!
//! A message is a header, for most types a per-peer header, and what the type has. Encoders append to a buffer;
//! [`Message::decode`] is for whoever plays the station.

mod decode;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::capability::Afi;
use crate::wire::length16;

pub use decode::{Down, Malformed, Message, PeerUp, Statistic, Tlv, next_message};

/// The version that RFC 7854 defines.
const VERSION: u8 = 3;
/// Octets of the common header (RFC 7854 §4.1).
pub const HEADER: usize = 6;
/// Octets of the per-peer header (§4.2).
pub const PEER_HEADER: usize = 42;
/// More octets than any message has: the largest UPDATE, or two OPENs with some words.
pub const MESSAGE_MAX: usize = 256 * 1024;

/// Message types (RFC 7854 §4.1).
const ROUTE_MONITORING: u8 = 0;
const STATISTICS: u8 = 1;
const PEER_DOWN: u8 = 2;
const PEER_UP: u8 = 3;
const INITIATION: u8 = 4;
const TERMINATION: u8 = 5;
const ROUTE_MIRRORING: u8 = 6;

/// Peer types (RFC 7854 §4.2, RFC 9069 §4.1).
const GLOBAL_INSTANCE: u8 = 0;
const LOC_RIB: u8 = 3;
/// Flags of a peer (RFC 7854 §4.2, RFC 8671 §4).
const FLAG_V6: u8 = 0x80;
const FLAG_POST_POLICY: u8 = 0x40;
const FLAG_TWO_OCTET_AS: u8 = 0x20;
const FLAG_OUT: u8 = 0x10;

/// Information TLVs: free text (RFC 7854 §4.4).
pub const INFO_STRING: u16 = 0;
/// sysDescr in an Initiation (§4.4); in a Termination, the reason (§4.5).
pub const INFO_SYS_DESCR: u16 = 1;
/// sysName (§4.4).
pub const INFO_SYS_NAME: u16 = 2;
/// VRF/Table Name in Peer Up and Peer Down of a Loc-RIB (RFC 9069 §5.2.1).
pub const INFO_TABLE_NAME: u16 = 3;
/// The name of the one Loc-RIB that is nobody's VRF (RFC 9069 §5.2.1).
pub const TABLE_GLOBAL: &str = "global";

/// Which of a router's tables a message speaks of.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rib {
    /// Adj-RIB-In before import policy.
    AdjRibInPre,
    /// Adj-RIB-In after it: what policy and the RFC's checks let pass.
    AdjRibInPost,
    /// Adj-RIB-Out before export policy (RFC 8671 §5). Not encoded by us.
    AdjRibOutPre,
    /// Adj-RIB-Out after it: what the peer is told.
    AdjRibOutPost,
    /// Loc-RIB (RFC 9069).
    LocRib,
}

/// The per-peer header (RFC 7854 §4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerHeader {
    /// The table.
    pub rib: Rib,
    /// The peer's address; of a Loc-RIB, zero.
    pub address: IpAddr,
    /// The peer's AS number; of a Loc-RIB, ours.
    pub asn: u32,
    /// Its BGP Identifier; of a Loc-RIB, ours.
    pub identifier: Ipv4Addr,
    /// AS_PATH takes two octets an AS: the session was agreed on so.
    pub two_octet_as: bool,
    /// When it was, since 1970; zero: unknown.
    pub timestamp: Duration,
}

/// Why a peer's session ended (RFC 7854 §4.9, RFC 9069 §5.3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DownReason {
    /// 1: we ended it, with this NOTIFICATION.
    LocalNotification(bytes::Bytes),
    /// 2: we ended it without; the event of RFC 4271 §8.1 that made us.
    LocalEvent(u16),
    /// 3: the peer ended it, with this NOTIFICATION.
    RemoteNotification(bytes::Bytes),
    /// 4: the peer ended it without.
    Remote,
    /// 5: the station is told of it no more; the session may well live.
    DeConfigured,
    /// 6: a Loc-RIB is told of no more.
    LocRib,
}

/// Why a connection to a station ends (RFC 7854 §4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Termination {
    /// 0: somebody wants it so, for now.
    AdministrativelyClosed,
    /// 2: we cannot hold what it has not read.
    OutOfResources,
    /// 4: it is not configured any more.
    PermanentlyClosed,
}

/// The Initiation message, which comes first (RFC 7854 §4.3).
pub fn initiation(sys_descr: &str, sys_name: &str, out: &mut BytesMut) {
    write(INITIATION, out, |out| {
        tlv(INFO_SYS_DESCR, sys_descr.as_bytes(), out);
        tlv(INFO_SYS_NAME, sys_name.as_bytes(), out);
    });
}

/// The Termination message, which comes last (§4.5).
pub fn termination(reason: Termination, out: &mut BytesMut) {
    let number: u16 = match reason {
        Termination::AdministrativelyClosed => 0,
        Termination::OutOfResources => 2,
        Termination::PermanentlyClosed => 4,
    };
    write(TERMINATION, out, |out| {
        tlv(INFO_SYS_DESCR, &number.to_be_bytes(), out);
    });
}

/// Peer Up: the two OPENs are whole messages (§4.10). Of a Loc-RIB, with the table's name (RFC 9069 §5.2.1).
pub fn peer_up(
    peer: &PeerHeader,
    local: SocketAddr,
    remote_port: u16,
    (sent, received): (&[u8], &[u8]),
    out: &mut BytesMut,
) {
    write(PEER_UP, out, |out| {
        put_peer(peer, out);
        put_address(local.ip(), out);
        out.put_u16(local.port());
        out.put_u16(remote_port);
        out.put_slice(sent);
        out.put_slice(received);
        if peer.rib == Rib::LocRib {
            tlv(INFO_TABLE_NAME, TABLE_GLOBAL.as_bytes(), out);
        }
    });
}

/// Peer Down (§4.9).
pub fn peer_down(peer: &PeerHeader, reason: &DownReason, out: &mut BytesMut) {
    write(PEER_DOWN, out, |out| {
        put_peer(peer, out);
        match reason {
            DownReason::LocalNotification(message) => {
                out.put_u8(1);
                out.put_slice(message);
            }
            DownReason::LocalEvent(event) => {
                out.put_u8(2);
                out.put_u16(*event);
            }
            DownReason::RemoteNotification(message) => {
                out.put_u8(3);
                out.put_slice(message);
            }
            DownReason::Remote => out.put_u8(4),
            DownReason::DeConfigured => out.put_u8(5),
            DownReason::LocRib => {
                out.put_u8(6);
                tlv(INFO_TABLE_NAME, TABLE_GLOBAL.as_bytes(), out);
            }
        }
    });
}

/// Route Monitoring: one UPDATE, a whole message (§4.6).
pub fn route_monitoring(peer: &PeerHeader, update: &[u8], out: &mut BytesMut) {
    out.reserve(HEADER + PEER_HEADER + update.len());
    write(ROUTE_MONITORING, out, |out| {
        put_peer(peer, out);
        out.put_slice(update);
    });
}

/// Statistics Report (§4.8).
pub fn statistics(peer: &PeerHeader, statistics: &[Statistic], out: &mut BytesMut) {
    write(STATISTICS, out, |out| {
        put_peer(peer, out);
        out.put_u32(u32::try_from(statistics.len()).unwrap_or(u32::MAX));
        for statistic in statistics {
            match *statistic {
                Statistic::Counter(kind, value) => tlv(kind, &value.to_be_bytes(), out),
                Statistic::Gauge(kind, value) => tlv(kind, &value.to_be_bytes(), out),
                Statistic::FamilyGauge(kind, Afi { afi, safi }, value) => {
                    out.put_u16(kind);
                    out.put_u16(11);
                    out.put_u16(afi);
                    out.put_u8(safi);
                    out.put_u64(value);
                }
            }
        }
    });
}

/// The common header, its length filled in after `body` (§4.1).
fn write(kind: u8, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u8(VERSION);
    out.put_u32(0);
    out.put_u8(kind);
    body(out);
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start + 1..start + 5) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

fn put_peer(peer: &PeerHeader, out: &mut BytesMut) {
    let is_v6 = peer.address.is_ipv6();
    let (kind, table) = match peer.rib {
        Rib::AdjRibInPre => (GLOBAL_INSTANCE, 0),
        Rib::AdjRibInPost => (GLOBAL_INSTANCE, FLAG_POST_POLICY),
        Rib::AdjRibOutPre => (GLOBAL_INSTANCE, FLAG_OUT),
        Rib::AdjRibOutPost => (GLOBAL_INSTANCE, FLAG_OUT | FLAG_POST_POLICY),
        Rib::LocRib => (LOC_RIB, 0),
    };
    // RFC 9069 §4.2: the flags of peers mean nothing there.
    let peers_own = |flag, holds: bool| {
        if holds && kind != LOC_RIB { flag } else { 0 }
    };
    out.put_u8(kind);
    out.put_u8(table | peers_own(FLAG_V6, is_v6) | peers_own(FLAG_TWO_OCTET_AS, peer.two_octet_as));
    // The Peer Distinguisher: there is one instance.
    out.put_u64(0);
    put_address(peer.address, out);
    out.put_u32(peer.asn);
    out.put_slice(&peer.identifier.octets());
    out.put_u32(u32::try_from(peer.timestamp.as_secs()).unwrap_or(u32::MAX));
    out.put_u32(peer.timestamp.subsec_micros());
}

/// Sixteen octets; an IPv4 address takes the last four (§4.2).
fn put_address(address: IpAddr, out: &mut BytesMut) {
    match address {
        IpAddr::V4(address) => {
            out.put_slice(&[0; 12]);
            out.put_slice(&address.octets());
        }
        IpAddr::V6(address) => out.put_slice(&Ipv6Addr::octets(&address)),
    }
}

fn tlv(kind: u16, value: &[u8], out: &mut BytesMut) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    out.put_u16(kind);
    out.put_slice(&length16(value.len()));
    out.put_slice(value);
}

#[cfg(test)]
mod tests;
