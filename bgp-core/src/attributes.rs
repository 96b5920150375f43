//! Path attributes: what they mean. Their one table (flags, remedy, codec) is in `attributes/table.rs`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use crate::wire::{EXTENDED_LENGTH, attribute, length16};

pub mod as_path;
pub mod community;
pub(crate) mod draft;
pub mod table;

pub use as_path::{AsPath, Segment, SegmentKind};
pub use community::{Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity};

/// All attributes of a route but its prefix. Lists keep the order in which they came.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Attributes {
    /// ORIGIN (RFC 4271 §5.1.1).
    pub origin: Origin,
    /// AS_PATH (§5.1.2), four octets an AS, AS4_PATH already merged in (RFC 6793 §4.2.3).
    pub as_path: AsPath,
    /// NEXT_HOP (§5.1.3), or that of MP_REACH_NLRI (RFC 4760 §3).
    pub next_hop: NextHop,
    /// MULTI_EXIT_DISC (§5.1.4).
    pub med: Option<u32>,
    /// LOCAL_PREF (§5.1.5).
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE (§5.1.6).
    pub atomic_aggregate: bool,
    /// AGGREGATOR (§5.1.7), AS4_AGGREGATOR already merged in.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES (RFC 1997).
    pub communities: SmallVec<[Community; 8]>,
    /// ORIGINATOR_ID (RFC 4456 §8).
    pub originator_id: Option<Ipv4Addr>,
    /// CLUSTER_LIST (RFC 4456 §8).
    pub cluster_list: SmallVec<[Ipv4Addr; 2]>,
    /// EXTENDED COMMUNITIES (RFC 4360).
    pub ext_communities: SmallVec<[ExtendedCommunity; 2]>,
    /// IPv6 Address Specific Extended Communities (RFC 5701).
    pub ipv6_ext_communities: SmallVec<[Ipv6ExtendedCommunity; 0]>,
    /// AIGP's metric (RFC 7311 §3).
    pub aigp: Option<u64>,
    /// LARGE_COMMUNITY (RFC 8092).
    pub large_communities: SmallVec<[LargeCommunity; 2]>,
    /// ONLY_TO_CUSTOMER (RFC 9234 §5).
    pub only_to_customer: Option<u32>,
    /// Which of the optional transitive ones came with the Partial bit, which nobody may clear (RFC 4271 §5).
    pub partial: Partial,
    /// Optional transitive attributes we do not know, in the order of their type (RFC 4271 §5).
    pub unknown: SmallVec<[UnknownAttribute; 0]>,
}

impl Attributes {
    /// The mandatory ones, and none of the others.
    #[must_use]
    pub fn new(origin: Origin, as_path: AsPath, next_hop: NextHop) -> Self {
        Self {
            origin,
            as_path,
            next_hop,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: SmallVec::new(),
            originator_id: None,
            cluster_list: SmallVec::new(),
            ext_communities: SmallVec::new(),
            ipv6_ext_communities: SmallVec::new(),
            aigp: None,
            large_communities: SmallVec::new(),
            only_to_customer: None,
            partial: Partial::default(),
            unknown: SmallVec::new(),
        }
    }
}

/// ORIGIN, in the order of preference (RFC 4271 §9.1.2.2 b).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// 0
    Igp,
    /// 1
    Egp,
    /// 2
    Incomplete,
}

impl Origin {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Igp => 0,
            Self::Egp => 1,
            Self::Incomplete => 2,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Igp),
            1 => Some(Self::Egp),
            2 => Some(Self::Incomplete),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Igp => "igp",
            Self::Egp => "egp",
            Self::Incomplete => "incomplete",
        })
    }
}

/// Where a route says to send packets.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NextHop {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, which may be link-local when it comes alone (RFC 8950, unnumbered peers).
    V6(Ipv6Addr),
    /// A global and a link-local IPv6 address (RFC 2545 §3).
    V6WithLinkLocal(Ipv6Addr, Ipv6Addr),
}

impl NextHop {
    /// The address, the global one if there are two.
    #[must_use]
    pub const fn addr(self) -> IpAddr {
        match self {
            Self::V4(address) => IpAddr::V4(address),
            Self::V6(address) | Self::V6WithLinkLocal(address, _) => IpAddr::V6(address),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr().fmt(f)
    }
}

/// AGGREGATOR: who aggregated.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Aggregator {
    /// Its AS.
    pub asn: u32,
    /// Its BGP Identifier.
    pub identifier: Ipv4Addr,
}

/// Attributes we know whose Partial bit was set by an AS that did not: a bit for each type below 64.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Partial(u64);

impl Partial {
    /// Whether the attribute of type `kind` is partial.
    #[must_use]
    pub fn contains(self, kind: u8) -> bool {
        1_u64
            .checked_shl(kind.into())
            .is_some_and(|bit| self.0 & bit != 0)
    }

    fn insert(&mut self, kind: u8) {
        self.0 |= 1_u64.checked_shl(kind.into()).unwrap_or(0);
    }
}

/// An optional transitive attribute we do not know. It travels on, with the Partial bit set.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UnknownAttribute {
    /// Its flags, as they will be sent.
    pub flags: u8,
    /// Its type.
    pub kind: u8,
    /// Its value.
    pub value: Box<[u8]>,
}

/// The Optional bit (RFC 4271 §4.3).
pub(crate) const OPTIONAL: u8 = 0x80;
/// The Transitive bit.
pub(crate) const TRANSITIVE: u8 = 0x40;
/// The Partial bit.
pub(crate) const PARTIAL: u8 = 0x20;

/// Appends the attributes in the order of their type, all but NEXT_HOP and MP_REACH_NLRI (packers write those).
pub(crate) fn encode(attributes: &Attributes, four_octet_as: bool, out: &mut Vec<u8>) {
    let mut unknown = attributes.unknown.as_slice();
    // Most attributes are absent: one head waits for the next that is there.
    let mut head = open(out);
    for row in table::ROWS {
        while let [next, after @ ..] = unknown
            && next.kind < row.kind
        {
            out.extend_from_slice(&next.value);
            close(head, next.flags, next.kind, out);
            head = open(out);
            unknown = after;
        }
        if (row.encode)(attributes, four_octet_as, out) {
            let partial = attributes.partial.contains(row.kind);
            let flags = row.flags | if partial { PARTIAL } else { 0 };
            close(head, flags, row.kind, out);
            head = open(out);
        }
    }
    for next in unknown {
        out.extend_from_slice(&next.value);
        close(head, next.flags, next.kind, out);
        head = open(out);
    }
    out.truncate(head);
}

/// Where in a block from [`encode`] the first attribute of at least type `kind` starts.
pub(crate) fn offset_of(kind: u8, block: &[u8]) -> usize {
    let mut rest = block;
    while let Ok((after, raw)) = attribute(rest) {
        if raw.kind >= kind {
            break;
        }
        rest = after;
    }
    block.len() - rest.len()
}

/// Octets before a value that is short: flags, type, length.
const HEAD: usize = 3;

/// Makes room for the head of an attribute whose value follows; says where.
fn open(out: &mut Vec<u8>) -> usize {
    let head = out.len();
    out.extend_from_slice(&[0; HEAD]);
    head
}

/// Writes the head of the attribute whose value ends here, with a length of two octets where one is too short. A value
/// beyond 65535 octets makes a block that no message holds, which is what packing looks at.
fn close(head: usize, flags: u8, kind: u8, out: &mut Vec<u8>) {
    let len = out.len() - head - HEAD;
    let [high, low] = length16(len);
    let long = len > usize::from(u8::MAX);
    let length = if long { EXTENDED_LENGTH } else { 0 };
    let flags = flags & !EXTENDED_LENGTH | length;
    if let Some(octets) = out.get_mut(head..).and_then(<[u8]>::first_chunk_mut) {
        *octets = [flags, kind, if long { high } else { low }];
    }
    if long {
        out.insert(head + HEAD, low);
    }
}
