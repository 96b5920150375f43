//! Packing: as few UPDATEs as will hold the prefixes, written straight into the output, lengths patched after.

use std::fmt;
use std::net::Ipv6Addr;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::attributes::{NextHop, offset_of};
use crate::header::{self, Kind};
use crate::wire::length16;
use crate::{Family, Prefix};

const NEXT_HOP: u8 = 3;
const MP_REACH_NLRI: u8 = 14;
const MP_UNREACH_NLRI: u8 = 15;
const WELL_KNOWN: u8 = 0x40;
/// Optional, not transitive, with a length of two octets.
const OPTIONAL_LONG: u8 = 0x90;

/// What decides how an UPDATE of a session is written.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EncodeContext {
    /// AS numbers take four octets; else AS4_PATH and AS4_AGGREGATOR carry what AS_TRANS hides (RFC 6793 §4.2.2).
    pub four_octet_as: bool,
    /// Path Identifiers precede the prefixes of the family.
    pub add_path: bool,
    /// Most octets of a message: 4096, or 65535 (RFC 8654).
    pub max_message: usize,
}

/// The attributes leave no room for a prefix: the route must not be announced (RFC 8654 §5; RFC 4271 §9.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the attributes leave no room for a prefix in a message")
    }
}

impl std::error::Error for TooLarge {}

/// Writes UPDATEs that announce `prefixes`, which share `block` (from [`super::encode_attributes`]) and the next hop:
/// as few messages as fit. IPv4 with an IPv4 next hop goes into NLRI, all else into MP_REACH_NLRI, which comes first
/// (RFC 7606 §5.1).
///
/// # Errors
/// [`TooLarge`] if a message cannot hold `block` and a prefix of any length; then nothing is written.
pub fn announce<P: Prefix>(
    block: &[u8],
    next_hop: NextHop,
    prefixes: impl Iterator<Item = (u32, P)>,
    context: &EncodeContext,
    out: &mut BytesMut,
) -> Result<(), TooLarge> {
    let mut before: Octets = SmallVec::new();
    match (P::FAMILY, next_hop) {
        (Family::Ipv4Unicast, NextHop::V4(address)) => {
            // In the order of the types (RFC 4271 §5), so behind ORIGIN and AS_PATH.
            let (head, tail) = block.split_at(offset_of(NEXT_HOP, block));
            before.extend_from_slice(&[0, 0]);
            before.extend_from_slice(&length16(block.len() + 7));
            before.extend_from_slice(head);
            before.extend_from_slice(&[WELL_KNOWN, NEXT_HOP, 4]);
            before.extend_from_slice(&address.octets());
            before.extend_from_slice(tail);
            let template = Template {
                before: &before,
                after: &[],
                counts: &[],
            };
            template.pack(prefixes, context, out)
        }
        (family, next_hop) => {
            let (afi, safi) = family.numbers();
            let address = network_address(family, next_hop);
            let fixed = 5 + address.len();
            before.extend_from_slice(&[0, 0]);
            before.extend_from_slice(&length16(4 + fixed + block.len()));
            before.extend_from_slice(&[OPTIONAL_LONG, MP_REACH_NLRI]);
            before.extend_from_slice(&length16(fixed));
            before.extend_from_slice(&afi.to_be_bytes());
            before.extend_from_slice(&[safi, u8::try_from(address.len()).unwrap_or(u8::MAX)]);
            before.extend_from_slice(&address);
            before.push(0);
            let template = Template {
                before: &before,
                after: block,
                counts: &[2, 6],
            };
            template.pack(prefixes, context, out)
        }
    }
}

/// Writes UPDATEs that withdraw `prefixes`: IPv4 in WITHDRAWN ROUTES, others in MP_UNREACH_NLRI.
pub fn withdraw<P: Prefix>(
    prefixes: impl Iterator<Item = (u32, P)>,
    context: &EncodeContext,
    out: &mut BytesMut,
) {
    let unreach = unreach(P::FAMILY);
    let template = match P::FAMILY {
        Family::Ipv4Unicast => Template {
            before: &[0, 0],
            after: &[0, 0],
            counts: &[0],
        },
        Family::Ipv6Unicast => Template {
            before: &unreach,
            after: &[],
            counts: &[2, 6],
        },
    };
    // A message without attributes has room for prefixes.
    let _ = template.pack(prefixes, context, out);
}

/// The End-of-RIB marker of a family (RFC 4724 §2).
#[must_use]
pub fn end_of_rib(family: Family) -> Bytes {
    match family {
        Family::Ipv4Unicast => header::message(Kind::Update, &[0; 4]),
        Family::Ipv6Unicast => header::message(Kind::Update, &unreach(family)),
    }
}

type Octets = SmallVec<[u8; 256]>;

/// A body up to its prefixes, in which an MP_UNREACH_NLRI is the only attribute.
fn unreach(family: Family) -> [u8; 11] {
    let (afi, safi) = family.numbers();
    let [high, low] = afi.to_be_bytes();
    [
        0,
        0,
        0,
        7,
        OPTIONAL_LONG,
        MP_UNREACH_NLRI,
        0,
        3,
        high,
        low,
        safi,
    ]
}

/// Network Address of Next Hop (RFC 4760 §3, RFC 2545 §3, RFC 8950 §3).
pub(crate) fn network_address(family: Family, next_hop: NextHop) -> SmallVec<[u8; 32]> {
    match (next_hop, family) {
        (NextHop::V4(address), Family::Ipv4Unicast) => SmallVec::from_slice(&address.octets()),
        // RFC 4798 §2: over an IPv4 session it is written as an IPv4-mapped address.
        (NextHop::V4(address), Family::Ipv6Unicast) => {
            SmallVec::from_slice(&address.to_ipv6_mapped().octets())
        }
        (NextHop::V6(address), _) => SmallVec::from_slice(&address.octets()),
        (NextHop::V6WithLinkLocal(global, link_local), _) => [global, link_local]
            .iter()
            .flat_map(Ipv6Addr::octets)
            .collect(),
    }
}

/// An UPDATE's body around its prefixes.
struct Template<'a> {
    before: &'a [u8],
    after: &'a [u8],
    /// Where in `before` two octets count what follows them, to be raised by the octets of the prefixes.
    counts: &'a [usize],
}

impl Template<'_> {
    fn pack<P: Prefix>(
        &self,
        prefixes: impl Iterator<Item = (u32, P)>,
        context: &EncodeContext,
        out: &mut BytesMut,
    ) -> Result<(), TooLarge> {
        let fixed = header::LEN + self.before.len() + self.after.len();
        let one = usize::from(P::BITS / 8) + if context.add_path { 5 } else { 1 };
        let max = context.max_message.min(header::MAX_EXTENDED);
        let room = max
            .checked_sub(fixed)
            .filter(|room| *room >= one)
            .ok_or(TooLarge)?;
        let mut prefixes = prefixes.peekable();
        while prefixes.peek().is_some() {
            out.reserve(fixed + room.min(prefixes.size_hint().0.saturating_mul(one)));
            header::write(Kind::Update, out, |out| {
                let start = out.len();
                out.put_slice(self.before);
                let first = out.len();
                while out.len() - first + one <= room
                    && let Some((id, prefix)) = prefixes.next()
                {
                    put_prefix(context.add_path.then_some(id), prefix, out);
                }
                let len = out.len() - first;
                self.raise(out.get_mut(start..).unwrap_or_default(), len);
                out.put_slice(self.after);
            });
        }
        Ok(())
    }

    fn raise(&self, body: &mut [u8], by: usize) {
        let by = u16::try_from(by).unwrap_or(u16::MAX);
        for at in self.counts {
            if let Some(count) = body.get_mut(*at..).and_then(<[u8]>::first_chunk_mut::<2>) {
                *count = u16::from_be_bytes(*count).saturating_add(by).to_be_bytes();
            }
        }
    }
}

fn put_prefix<P: Prefix>(id: Option<u32>, prefix: P, out: &mut BytesMut) {
    if let Some(id) = id {
        out.put_u32(id);
    }
    out.put_u8(prefix.len());
    let octets = prefix.octets();
    let len = usize::from(prefix.len().div_ceil(8));
    out.put_slice(octets.get(..len).unwrap_or(octets));
}
