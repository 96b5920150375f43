//! The UPDATEs that are read: as most are, and as bad as they may be.

use std::net::{Ipv4Addr, Ipv6Addr};

use bgp_core::attributes::{AsPath, Community, NextHop, Origin};
use bgp_core::header::{LEN, MAX, next_frame};
use bgp_core::update::{EncodeContext, announce, encode_attributes, withdraw};
use bgp_core::{Attributes, Ipv4Prefix, Ipv6Prefix, Prefix};
use bytes::{Bytes, BytesMut};

/// Sessions have four-octet AS numbers and messages of at most 4096 octets.
pub(super) const CONTEXT: EncodeContext = EncodeContext {
    four_octet_as: true,
    add_path: false,
    max_message: MAX,
};

/// Optional and transitive.
const OPTIONAL_TRANSITIVE: u8 = 0xc0;
const COMMUNITIES: u8 = 8;
/// Types that nobody has taken.
const UNKNOWN: std::ops::Range<u8> = 130..240;

/// Attributes as most routes have them: a path of `ases`, three communities, and a MED by which sets differ.
pub(super) fn attributes(ases: u32, med: u32, next_hop: NextHop) -> Attributes {
    let path = AsPath::sequence((0..ases).map(|i| 61_000 + 77 * i));
    let mut attributes = Attributes::new(Origin::Igp, path, next_hop);
    attributes.med = Some(med);
    attributes.communities = (1..=3).map(|i| Community(61_000 << 16 | i)).collect();
    attributes
}

/// The next hop of peer `n`, on the link to our kernel.
pub(super) fn next_hop(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a63_0100 + n)
}

/// The `n`th /24.
pub(super) fn prefix(n: u32) -> Option<Ipv4Prefix> {
    Ipv4Prefix::from_octets(&(0x1400_0000 + (n << 8)).to_be_bytes(), 24)
}

/// The bodies of the UPDATEs in a stream of messages.
pub(super) fn bodies(stream: &Bytes) -> Vec<Bytes> {
    let mut rest = &stream[..];
    let mut bodies = Vec::new();
    while let Ok(Some(frame)) = next_frame(rest, MAX) {
        bodies.push(stream.slice_ref(frame.body));
        rest = rest.get(frame.len..).unwrap_or_default();
    }
    bodies
}

/// UPDATEs for prefixes that share attributes.
pub(super) fn announcing<P: Prefix>(
    attributes: &Attributes,
    prefixes: impl Iterator<Item = P>,
) -> Bytes {
    let mut block = Vec::new();
    encode_attributes(attributes, true, &mut block);
    let mut out = BytesMut::new();
    let prefixes = prefixes.map(|prefix| (0, prefix));
    // There is room: see who calls.
    let _ = announce(&block, attributes.next_hop, prefixes, &CONTEXT, &mut out);
    out.freeze()
}

/// UPDATEs that withdraw.
pub(super) fn withdrawing(prefixes: impl Iterator<Item = Ipv4Prefix>) -> Bytes {
    let mut out = BytesMut::new();
    withdraw(prefixes.map(|prefix| (0, prefix)), &CONTEXT, &mut out);
    out.freeze()
}

fn first(stream: &Bytes) -> Bytes {
    bodies(stream).into_iter().next().unwrap_or_default()
}

fn usual() -> Attributes {
    attributes(4, 10, NextHop::V4(next_hop(1)))
}

pub(super) fn one() -> Bytes {
    first(&announcing(&usual(), (0..1).filter_map(prefix)))
}

/// As many prefixes as share attributes on average.
pub(super) fn six() -> Bytes {
    first(&announcing(&usual(), (0..6).filter_map(prefix)))
}

pub(super) fn six_ipv6() -> Bytes {
    let prefixes = (0..6_u128).filter_map(|n| {
        let address = 0x2001_0db8 << 96 | n << 80;
        Ipv6Prefix::from_octets(&u128::to_be_bytes(address), 48)
    });
    let next_hop = NextHop::V6(Ipv6Addr::from(0x2001_0db8_0099_0001 << 64 | 1));
    first(&announcing(&attributes(4, 10, next_hop), prefixes))
}

pub(super) fn full() -> Bytes {
    first(&announcing(&usual(), (0..2_000).filter_map(prefix)))
}

pub(super) fn withdrawals() -> Bytes {
    first(&withdrawing((0..2_000).filter_map(prefix)))
}

/// Prefixes of two octets: nothing that names another prefix each time is shorter.
pub(super) fn shortest() -> Bytes {
    let prefixes = (0..4_000_u32).filter_map(|n| {
        let [.., octet] = n.to_be_bytes();
        Ipv4Prefix::from_octets(&[octet], 8)
    });
    first(&announcing(&usual(), prefixes))
}

/// AS_PATH takes all there is.
pub(super) fn long_as_path() -> Bytes {
    let attributes = attributes(960, 10, NextHop::V4(next_hop(1)));
    first(&announcing(&attributes, prefix(0).into_iter()))
}

/// COMMUNITIES takes all there is.
pub(super) fn communities() -> Bytes {
    let mut attributes = usual();
    attributes.communities = (0..950)
        .rev()
        .map(|i| Community(61_000 << 16 | i))
        .collect();
    first(&announcing(&attributes, prefix(0).into_iter()))
}

/// As many unknown attributes as there is room for, none of which may be dropped.
pub(super) fn unknown() -> Bytes {
    let room = MAX - LEN - one().len();
    let each = room / UNKNOWN.len();
    let more = UNKNOWN.flat_map(|kind| raw(kind, each - 3));
    with_more(&one(), &more.collect::<Vec<_>>())
}

/// COMMUNITIES of a wrong length: six prefixes are treated as withdrawn (RFC 7606 §7.8).
pub(super) fn malformed() -> Bytes {
    let mut attributes = usual();
    attributes.communities.clear();
    let message = first(&announcing(&attributes, (0..6).filter_map(prefix)));
    with_more(&message, &raw(COMMUNITIES, 7))
}

/// An attribute of zeros.
fn raw(kind: u8, len: usize) -> Vec<u8> {
    let mut octets = vec![
        OPTIONAL_TRANSITIVE,
        kind,
        u8::try_from(len).unwrap_or(u8::MAX),
    ];
    octets.resize(3 + len, 0);
    octets
}

/// A body without withdrawals, and more attributes behind those that it has.
fn with_more(body: &[u8], more: &[u8]) -> Bytes {
    let Some((&[a, b, high, low], rest)) = body.split_first_chunk() else {
        return Bytes::new();
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let (attributes, nlri) = rest.split_at_checked(len).unwrap_or_default();
    let total = u16::try_from(len + more.len()).unwrap_or(u16::MAX);
    [&[a, b], &total.to_be_bytes()[..], attributes, more, nlri]
        .concat()
        .into()
}
