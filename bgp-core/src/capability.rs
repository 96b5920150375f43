//! Capabilities (RFC 5492), kept in the order in which they were sent.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use nom::Parser;
use nom::combinator::all_consuming;
use nom::multi::many0;

use crate::Family;
use crate::wire::{Parsed, be_u8, be_u16, be_u32, counted8, put_counted8};

/// What a speaker says it can do. A family is given by its numbers, as it may be one we do not route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Capability {
    /// Code 1, RFC 4760 §8.
    Multiprotocol(Afi),
    /// Code 2, RFC 2918.
    RouteRefresh,
    /// Code 5, RFC 8950 §4: NLRI of a family with next hops of an AFI.
    ExtendedNextHop(Vec<(Afi, u16)>),
    /// Code 6, RFC 8654.
    ExtendedMessage,
    /// Code 9, RFC 9234 §4.1.
    Role(Role),
    /// Code 64, RFC 4724 §3.
    GracefulRestart(GracefulRestart),
    /// Code 65, RFC 6793 §3: the sender's AS number.
    FourOctetAs(u32),
    /// Code 69, RFC 7911 §4.
    AddPath(Vec<(Afi, AddPathMode)>),
    /// Code 70, RFC 7313 §3.1.
    EnhancedRouteRefresh,
    /// Code 71, RFC 9494 §4.2: families with their flags and stale times in seconds.
    LongLivedGracefulRestart(Vec<LongLived>),
    /// Code 73: host and domain name.
    Fqdn {
        /// The host's name.
        host: String,
        /// The domain's name.
        domain: String,
    },
    /// One we do not know, or a known one whose value nobody can read (RFC 5492 §4 has us ignore it).
    Unknown {
        /// The capability code.
        code: u8,
        /// Its value.
        value: Bytes,
    },
}

/// The numbers of an address family.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Afi {
    /// Address Family Identifier.
    pub afi: u16,
    /// Subsequent Address Family Identifier.
    pub safi: u8,
}

impl From<Family> for Afi {
    fn from(family: Family) -> Self {
        let (afi, safi) = family.numbers();
        Self { afi, safi }
    }
}

/// RFC 9234 §4.1: what the sender is to its neighbor.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// 0
    Provider,
    /// 1
    RouteServer,
    /// 2
    RouteServerClient,
    /// 3
    Customer,
    /// 4
    Peer,
}

/// RFC 7911 §4: what the sender does for a family.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AddPathMode {
    /// 1
    Receive,
    /// 2
    Send,
    /// 3
    Both,
}

/// RFC 4724 §3, with the N bit of RFC 8538 §2.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GracefulRestart {
    /// The R bit: the sender has just restarted.
    pub restarting: bool,
    /// The N bit: NOTIFICATION keeps the routes too.
    pub notification: bool,
    /// Seconds until the session should be back; 12 bits.
    pub restart_time: u16,
    /// Families, each with its F bit: forwarding state was kept.
    pub families: Vec<(Afi, bool)>,
}

/// RFC 9494 §4.2: one family of long-lived graceful restart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LongLived {
    /// The family.
    pub family: Afi,
    /// The F bit: forwarding state was kept.
    pub forwarding: bool,
    /// Seconds that stale routes may live; 24 bits.
    pub stale_time: u32,
}

impl Capability {
    /// The capability code (RFC 5492 §4).
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol(_) => 1,
            Self::RouteRefresh => 2,
            Self::ExtendedNextHop(_) => 5,
            Self::ExtendedMessage => 6,
            Self::Role(_) => 9,
            Self::GracefulRestart(_) => 64,
            Self::FourOctetAs(_) => 65,
            Self::AddPath(_) => 69,
            Self::EnhancedRouteRefresh => 70,
            Self::LongLivedGracefulRestart(_) => 71,
            Self::Fqdn { .. } => 73,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// The AS number that capability 65 carries.
    pub(crate) const fn as_number(&self) -> Option<u32> {
        if let Self::FourOctetAs(asn) = self {
            Some(*asn)
        } else {
            None
        }
    }

    /// Reads one capability. A known one whose value cannot be read is kept as unknown.
    pub(crate) fn decode(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, (code, value)) = (be_u8, counted8).parse(input)?;
        let known = decode_value(code, value);
        let capability = known.unwrap_or_else(|| Self::Unknown {
            code,
            value: Bytes::copy_from_slice(value),
        });
        Ok((rest, capability))
    }

    /// Appends code, length and value; nothing if the value is longer than 255 octets.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let mut value = BytesMut::new();
        self.encode_value(&mut value);
        if value.len() <= usize::from(u8::MAX) {
            out.put_u8(self.code());
            put_counted8(&value, out);
        }
    }

    fn encode_value(&self, out: &mut BytesMut) {
        match self {
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::Multiprotocol(family) => {
                out.put_u16(family.afi);
                out.put_slice(&[0, family.safi]);
            }
            Self::ExtendedNextHop(list) => {
                for (family, next_hop) in list {
                    out.put_u16(family.afi);
                    out.put_u16(family.safi.into());
                    out.put_u16(*next_hop);
                }
            }
            Self::Role(role) => out.put_u8(role.number()),
            Self::GracefulRestart(restart) => {
                let flags =
                    u16::from(restart.restarting) << 15 | u16::from(restart.notification) << 14;
                out.put_u16(flags | restart.restart_time & RESTART_TIME);
                for (family, forwarding) in &restart.families {
                    put_family(*family, out);
                    out.put_u8(u8::from(*forwarding) << 7);
                }
            }
            Self::FourOctetAs(asn) => out.put_u32(*asn),
            Self::AddPath(list) => {
                for (family, mode) in list {
                    put_family(*family, out);
                    out.put_u8(mode.number());
                }
            }
            Self::LongLivedGracefulRestart(list) => {
                for one in list {
                    put_family(one.family, out);
                    let flags = u32::from(one.forwarding) << 31;
                    out.put_u32(flags | one.stale_time & STALE_TIME);
                }
            }
            Self::Fqdn { host, domain } => {
                put_counted8(host.as_bytes(), out);
                put_counted8(domain.as_bytes(), out);
            }
            Self::Unknown { value, .. } => out.put_slice(value),
        }
    }
}

impl Role {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Provider => 0,
            Self::RouteServer => 1,
            Self::RouteServerClient => 2,
            Self::Customer => 3,
            Self::Peer => 4,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Provider),
            1 => Some(Self::RouteServer),
            2 => Some(Self::RouteServerClient),
            3 => Some(Self::Customer),
            4 => Some(Self::Peer),
            _ => None,
        }
    }
}

impl AddPathMode {
    const fn number(self) -> u8 {
        match self {
            Self::Receive => 1,
            Self::Send => 2,
            Self::Both => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Receive),
            2 => Some(Self::Send),
            3 => Some(Self::Both),
            _ => None,
        }
    }
}

/// The twelve bits of a restart time.
const RESTART_TIME: u16 = 0x0fff;
/// The 24 bits of a long-lived stale time.
const STALE_TIME: u32 = 0x00ff_ffff;

fn decode_value(code: u8, value: &[u8]) -> Option<Capability> {
    let empty = value.is_empty();
    match code {
        1 => {
            let (afi, _, safi) = whole((be_u16, be_u8, be_u8), value)?;
            Some(Capability::Multiprotocol(Afi { afi, safi }))
        }
        2 => empty.then_some(Capability::RouteRefresh),
        5 => whole(many0(next_hop_row), value).map(Capability::ExtendedNextHop),
        6 => empty.then_some(Capability::ExtendedMessage),
        9 => Role::from_number(whole(be_u8, value)?).map(Capability::Role),
        64 => whole(graceful_restart, value).map(Capability::GracefulRestart),
        65 => whole(be_u32, value).map(Capability::FourOctetAs),
        69 => {
            let rows = whole(many0((family, be_u8)), value)?;
            // RFC 7911 §4: a row with any other value is ignored.
            let modes = rows.into_iter();
            let known = modes.filter_map(|(f, mode)| Some((f, AddPathMode::from_number(mode)?)));
            Some(Capability::AddPath(known.collect()))
        }
        70 => empty.then_some(Capability::EnhancedRouteRefresh),
        71 => whole(many0(long_lived), value).map(Capability::LongLivedGracefulRestart),
        73 => {
            let (host, domain) = whole((counted8, counted8), value)?;
            Some(Capability::Fqdn {
                host: std::str::from_utf8(host).ok()?.to_owned(),
                domain: std::str::from_utf8(domain).ok()?.to_owned(),
            })
        }
        _ => None,
    }
}

/// Runs a parser that must use up the value.
fn whole<'a, P>(parser: P, value: &'a [u8]) -> Option<P::Output>
where
    P: Parser<&'a [u8], Error = ()>,
{
    all_consuming(parser).parse(value).ok().map(|(_, out)| out)
}

fn family(input: &[u8]) -> Parsed<'_, Afi> {
    let (rest, (afi, safi)) = (be_u16, be_u8).parse(input)?;
    Ok((rest, Afi { afi, safi }))
}

fn put_family(family: Afi, out: &mut BytesMut) {
    out.put_u16(family.afi);
    out.put_u8(family.safi);
}

/// RFC 8950 §4: here a SAFI takes two octets.
fn next_hop_row(input: &[u8]) -> Parsed<'_, (Afi, u16)> {
    let (rest, (afi, _, safi, next_hop)) = (be_u16, be_u8, be_u8, be_u16).parse(input)?;
    Ok((rest, (Afi { afi, safi }, next_hop)))
}

fn graceful_restart(input: &[u8]) -> Parsed<'_, GracefulRestart> {
    let (rest, (bits, rows)) = (be_u16, many0((family, be_u8))).parse(input)?;
    let rows = rows.into_iter();
    let restart = GracefulRestart {
        restarting: bits & 0x8000 != 0,
        notification: bits & 0x4000 != 0,
        restart_time: bits & RESTART_TIME,
        families: rows.map(|(f, flags)| (f, flags & 0x80 != 0)).collect(),
    };
    Ok((rest, restart))
}

fn long_lived(input: &[u8]) -> Parsed<'_, LongLived> {
    let (rest, (family, bits)) = (family, be_u32).parse(input)?;
    let one = LongLived {
        family,
        forwarding: bits & 0x8000_0000 != 0,
        stale_time: bits & STALE_TIME,
    };
    Ok((rest, one))
}

/// As an operator reads it.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiprotocol(family) => write!(f, "multiprotocol {family}"),
            Self::RouteRefresh => f.write_str("route refresh"),
            Self::ExtendedNextHop(_) => f.write_str("extended next hop"),
            Self::ExtendedMessage => f.write_str("extended message"),
            Self::Role(role) => write!(f, "role {role:?}"),
            Self::GracefulRestart(restart) => {
                write!(f, "graceful restart {} s", restart.restart_time)
            }
            Self::FourOctetAs(asn) => write!(f, "4-octet AS {asn}"),
            Self::AddPath(families) => {
                f.write_str("add-path")?;
                families
                    .iter()
                    .try_for_each(|(family, mode)| write!(f, " {family} {mode:?}"))
            }
            Self::EnhancedRouteRefresh => f.write_str("enhanced route refresh"),
            Self::LongLivedGracefulRestart(_) => f.write_str("long-lived graceful restart"),
            Self::Fqdn { host, .. } => write!(f, "fqdn {host}"),
            Self::Unknown { code, .. } => write!(f, "capability {code}"),
        }
    }
}

impl fmt::Display for Afi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Family::from_numbers(self.afi, self.safi) {
            Some(family) => family.fmt(f),
            None => write!(f, "{}/{}", self.afi, self.safi),
        }
    }
}
