//! BMP as a station reads it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use nom::Parser;
use nom::number::complete::{be_u64, be_u128};

use super::{
    FLAG_OUT, FLAG_POST_POLICY, FLAG_TWO_OCTET_AS, FLAG_V6, HEADER, INITIATION, LOC_RIB,
    MESSAGE_MAX, PEER_DOWN, PEER_UP, PeerHeader, ROUTE_MIRRORING, ROUTE_MONITORING, Rib,
    STATISTICS, TERMINATION, VERSION,
};
use crate::capability::Afi;
use crate::header::{self, next_frame};
use crate::wire::{Parsed, be_u8, be_u16, be_u32, counted16, take};

/// A message, what it carries still in its octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// One UPDATE, a whole message.
    RouteMonitoring {
        /// Whose, and of which table.
        peer: PeerHeader,
        /// It.
        update: &'a [u8],
    },
    /// Numbers of a peer.
    Statistics {
        /// Whose.
        peer: PeerHeader,
        /// Those that we know.
        statistics: Vec<Statistic>,
    },
    /// A session ended.
    PeerDown {
        /// Whose.
        peer: PeerHeader,
        /// Why.
        reason: Down<'a>,
    },
    /// A session is up.
    PeerUp {
        /// Whose.
        peer: PeerHeader,
        /// The rest.
        up: PeerUp<'a>,
    },
    /// The first.
    Initiation(Vec<Tlv<'a>>),
    /// The last.
    Termination(Vec<Tlv<'a>>),
    /// Messages as they were on the wire: TLVs that we do not read.
    RouteMirroring {
        /// Whose.
        peer: PeerHeader,
        /// What.
        tlvs: &'a [u8],
    },
}

/// What a Peer Up says beside its header (RFC 7854 §4.10).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerUp<'a> {
    /// The router's address on the session.
    pub local: IpAddr,
    /// Its port.
    pub local_port: u16,
    /// The peer's.
    pub remote_port: u16,
    /// The OPEN that the router sent, a whole message.
    pub sent: &'a [u8],
    /// The one that it received.
    pub received: &'a [u8],
    /// More.
    pub information: Vec<Tlv<'a>>,
}

/// Why a session ended (§4.9).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Down<'a> {
    /// 1: the router sent this NOTIFICATION.
    LocalNotification(&'a [u8]),
    /// 2: the router closed it after this event.
    LocalEvent(u16),
    /// 3: the peer sent this NOTIFICATION.
    RemoteNotification(&'a [u8]),
    /// 4: the peer closed it.
    Remote,
    /// 5: the station is told no more of it.
    DeConfigured,
    /// 6: a Loc-RIB.
    LocRib(Vec<Tlv<'a>>),
}

/// A number of a Statistics Report, with its type (§4.8).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Statistic {
    /// Four octets.
    Counter(u16, u32),
    /// Eight octets.
    Gauge(u16, u64),
    /// Of one family.
    FamilyGauge(u16, Afi, u64),
}

/// A type and a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tlv<'a> {
    /// The type.
    pub kind: u16,
    /// The value.
    pub value: &'a [u8],
}

/// What came is no BMP; a station can only hang up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no BMP: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Splits the next message off the front of `bytes`: how many octets it takes; `Ok(None)` until all of it has come.
///
/// # Errors
/// Another version, or a length that no message has.
pub fn next_message(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some((&version, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if version != VERSION {
        return Err(Malformed("the version is not 3"));
    }
    let Some(len) = rest.first_chunk() else {
        return Ok(None);
    };
    let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
    if !(HEADER..=MESSAGE_MAX).contains(&len) {
        return Err(Malformed("the length is no message's"));
    }
    Ok((bytes.len() >= len).then_some(len))
}

impl<'a> Message<'a> {
    /// Reads a whole message, as [`next_message`] found it.
    ///
    /// # Errors
    /// Whatever does not fit.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if next_message(bytes)? != Some(bytes.len()) {
            return Err(Malformed("the length is not that of the message"));
        }
        let kind = bytes.get(HEADER - 1).copied().unwrap_or_default();
        let body = bytes.get(HEADER..).unwrap_or_default();
        match kind {
            INITIATION => return Ok(Self::Initiation(tlvs(body)?)),
            TERMINATION => return Ok(Self::Termination(tlvs(body)?)),
            _ => {}
        }
        let (rest, peer) = peer(body).map_err(|_| Malformed("a per-peer header is cut short"))?;
        let peer = peer?;
        match kind {
            ROUTE_MONITORING => {
                let (rest, update) = message(rest)?;
                none_left(rest)?;
                Ok(Self::RouteMonitoring { peer, update })
            }
            STATISTICS => Ok(Self::Statistics {
                peer,
                statistics: statistics(rest)?,
            }),
            PEER_DOWN => Ok(Self::PeerDown {
                peer,
                reason: down(rest)?,
            }),
            PEER_UP => {
                let is_v6 = peer.address.is_ipv6();
                Ok(Self::PeerUp {
                    peer,
                    up: up(rest, is_v6)?,
                })
            }
            ROUTE_MIRRORING => Ok(Self::RouteMirroring { peer, tlvs: rest }),
            _ => Err(Malformed("the type is unknown")),
        }
    }
}

fn peer(input: &[u8]) -> Parsed<'_, Result<PeerHeader, Malformed>> {
    let (rest, (kind, flags, _, address, asn)) =
        (be_u8, be_u8, be_u64, be_u128, be_u32).parse(input)?;
    let (rest, (identifier, seconds, micros)) = (be_u32, be_u32, be_u32).parse(rest)?;
    let rib = match (kind, flags & FLAG_OUT != 0, flags & FLAG_POST_POLICY != 0) {
        (0..=2, false, false) => Rib::AdjRibInPre,
        (0..=2, false, true) => Rib::AdjRibInPost,
        (0..=2, true, false) => Rib::AdjRibOutPre,
        (0..=2, true, true) => Rib::AdjRibOutPost,
        (LOC_RIB, ..) => Rib::LocRib,
        _ => return Ok((rest, Err(Malformed("the peer's type is unknown")))),
    };
    let is_loc_rib = rib == Rib::LocRib;
    let header = PeerHeader {
        rib,
        address: to_address(address, flags & FLAG_V6 != 0 && !is_loc_rib),
        asn,
        identifier: identifier.into(),
        two_octet_as: flags & FLAG_TWO_OCTET_AS != 0 && !is_loc_rib,
        timestamp: Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into()),
    };
    Ok((rest, Ok(header)))
}

fn to_address(bits: u128, is_v6: bool) -> IpAddr {
    if is_v6 {
        return Ipv6Addr::from_bits(bits).into();
    }
    let [.., a, b, c, d] = bits.to_be_bytes();
    Ipv4Addr::new(a, b, c, d).into()
}

fn up(input: &[u8], is_v6: bool) -> Result<PeerUp<'_>, Malformed> {
    let fixed: Parsed<'_, _> = (be_u128, be_u16, be_u16).parse(input);
    let (rest, (local, local_port, remote_port)) =
        fixed.map_err(|_| Malformed("a Peer Up is cut short"))?;
    let (rest, sent) = message(rest)?;
    let (rest, received) = message(rest)?;
    Ok(PeerUp {
        local: to_address(local, is_v6),
        local_port,
        remote_port,
        sent,
        received,
        information: tlvs(rest)?,
    })
}

fn down(input: &[u8]) -> Result<Down<'_>, Malformed> {
    let short = Malformed("a Peer Down is cut short");
    let (&reason, rest) = input.split_first().ok_or(short)?;
    match reason {
        1 | 3 => {
            let (rest, notification) = message(rest)?;
            none_left(rest)?;
            Ok(if reason == 1 {
                Down::LocalNotification(notification)
            } else {
                Down::RemoteNotification(notification)
            })
        }
        2 => {
            let event = rest.try_into().map_err(|_| short)?;
            Ok(Down::LocalEvent(u16::from_be_bytes(event)))
        }
        4 => none_left(rest).map(|()| Down::Remote),
        5 => none_left(rest).map(|()| Down::DeConfigured),
        6 => tlvs(rest).map(Down::LocRib),
        _ => Err(Malformed("a Peer Down's reason is unknown")),
    }
}

/// Those of a length that we know; others are skipped, as RFC 7854 §4.8 has it.
fn statistics(input: &[u8]) -> Result<Vec<Statistic>, Malformed> {
    let counted: Parsed<'_, _> = be_u32(input);
    let (rest, count) = counted.map_err(|_| Malformed("a Statistics Report is cut short"))?;
    let all = tlvs(rest)?;
    if usize::try_from(count) != Ok(all.len()) {
        return Err(Malformed("a Statistics Report counts wrong"));
    }
    let known = all.iter().filter_map(|tlv| {
        let family = |value: &[u8; 11]| {
            let [high, low, safi, value @ ..] = *value;
            let afi = u16::from_be_bytes([high, low]);
            Statistic::FamilyGauge(tlv.kind, Afi { afi, safi }, u64::from_be_bytes(value))
        };
        let counter = |value: &[u8; 4]| Statistic::Counter(tlv.kind, u32::from_be_bytes(*value));
        let gauge = |value: &[u8; 8]| Statistic::Gauge(tlv.kind, u64::from_be_bytes(*value));
        match tlv.value.len() {
            4 => tlv.value.first_chunk().map(counter),
            8 => tlv.value.first_chunk().map(gauge),
            11 => tlv.value.first_chunk().map(family),
            _ => None,
        }
    });
    Ok(known.collect())
}

fn tlvs(mut input: &[u8]) -> Result<Vec<Tlv<'_>>, Malformed> {
    let mut all = Vec::new();
    while !input.is_empty() {
        let one: Parsed<'_, _> = (be_u16, counted16).parse(input);
        let (rest, (kind, value)) = one.map_err(|_| Malformed("a TLV is cut short"))?;
        all.push(Tlv { kind, value });
        input = rest;
    }
    Ok(all)
}

/// A BGP message, whole.
fn message(input: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let frame = next_frame(input, header::MAX_EXTENDED);
    let frame = frame.map_err(|_| Malformed("a BGP message within has a bad header"))?;
    let frame = frame.ok_or(Malformed("a BGP message within is cut short"))?;
    let split: Parsed<'_, _> = take(frame.len)(input);
    split.map_err(|_| Malformed("a BGP message within is cut short"))
}

fn none_left(rest: &[u8]) -> Result<(), Malformed> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Malformed("something follows"))
    }
}
