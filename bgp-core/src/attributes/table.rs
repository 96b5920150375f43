//! The one table of path attributes, in the order of their type: flags, the remedy of RFC 7606 §7, and the codec.

use std::net::{Ipv4Addr, Ipv6Addr};

use nom::Parser;

use super::community::{Community, ExtendedCommunity, Ipv6ExtendedCommunity, LargeCommunity};
use super::draft::{Draft, Reach};
use super::{Aggregator, AsPath, Attributes, NextHop, OPTIONAL, Origin, TRANSITIVE};
use crate::open::AS_TRANS;
use crate::update::{Nlri, Remedy};
use crate::wire::{Parsed, be_u8, be_u16, counted8};
use crate::{Code, Family};

/// The type of ORIGIN.
pub const ORIGIN: u8 = 1;
/// The type of AS_PATH.
pub const AS_PATH: u8 = 2;
/// The type of NEXT_HOP.
pub const NEXT_HOP: u8 = 3;
/// The type of MP_REACH_NLRI.
pub const MP_REACH_NLRI: u8 = 14;
/// The type of MP_UNREACH_NLRI.
pub const MP_UNREACH_NLRI: u8 = 15;

/// What we know about an attribute.
pub struct Row {
    /// Its type.
    pub kind: u8,
    /// Its name, as its RFC spells it.
    pub name: &'static str,
    /// Its Optional and Transitive bits.
    pub flags: u8,
    /// From which peers it is taken.
    pub(crate) accept: Accept,
    /// What to do if it is malformed.
    pub(crate) malformed: Remedy,
    /// What to do if its flags are wrong (RFC 7606 §3 c).
    pub(crate) wrong_flags: Remedy,
    /// Reads the value.
    pub(crate) decode: for<'a> fn(&mut Draft<'a>, &'a [u8]) -> Result<(), Code>,
    /// Appends the value, if the route has the attribute and it is not for the packers to write; else appends nothing.
    pub(crate) encode: fn(&Attributes, four_octet_as: bool, &mut Vec<u8>) -> bool,
}

/// From which peers an attribute is taken; from others it is discarded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Accept {
    /// All of them.
    Always,
    /// Those in our AS or confederation.
    Internal,
    /// Those that know AS numbers of two octets only.
    TwoOctetAs,
    /// Those for which AIGP is enabled.
    Aigp,
}

/// The row of an attribute that we know.
#[must_use]
pub fn row(kind: u8) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.kind == kind)
}

/// The name of an attribute, if we know it.
#[must_use]
pub fn name(kind: u8) -> Option<&'static str> {
    row(kind).map(|row| row.name)
}

const WELL_KNOWN: u8 = TRANSITIVE;
const OPTIONAL_TRANSITIVE: u8 = OPTIONAL | TRANSITIVE;

use Accept::{Aigp, Always, Internal, TwoOctetAs};
use Remedy::{AttributeDiscard as Discard, SessionReset, TreatAsWithdraw as Withdraw};

macro_rules! rows {
    ($($kind:tt $name:literal $flags:ident $accept:ident $malformed:ident $wrong_flags:ident $decode:ident $encode:ident;)*) => {
        /// All attributes we know, by type.
        pub const ROWS: &[Row] = &[$(Row {
            kind: $kind,
            name: $name,
            flags: $flags,
            accept: $accept,
            malformed: $malformed,
            wrong_flags: $wrong_flags,
            decode: $decode,
            encode: $encode,
        },)*];
    };
}

rows! {
    // RFC 4271 §5.1, RFC 7606 §7.1 to §7.7.
    1  "ORIGIN"           WELL_KNOWN          Always     Withdraw     Withdraw origin               put_origin;
    2  "AS_PATH"          WELL_KNOWN          Always     Withdraw     Withdraw as_path              put_as_path;
    3  "NEXT_HOP"         WELL_KNOWN          Always     Withdraw     Withdraw next_hop             put_nothing;
    4  "MULTI_EXIT_DISC"  OPTIONAL            Always     Withdraw     Withdraw med                  put_med;
    5  "LOCAL_PREF"       WELL_KNOWN          Internal   Withdraw     Withdraw local_pref           put_local_pref;
    6  "ATOMIC_AGGREGATE" WELL_KNOWN          Always     Discard      Withdraw atomic_aggregate     put_atomic_aggregate;
    7  "AGGREGATOR"       OPTIONAL_TRANSITIVE Always     Discard      Withdraw aggregator           put_aggregator;
    // RFC 1997, RFC 7606 §7.8.
    8  "COMMUNITIES"      OPTIONAL_TRANSITIVE Always     Withdraw     Withdraw communities          put_communities;
    // RFC 4456 §8, RFC 7606 §7.9 and §7.10.
    9  "ORIGINATOR_ID"    OPTIONAL            Internal   Withdraw     Withdraw originator_id        put_originator_id;
    10 "CLUSTER_LIST"     OPTIONAL            Internal   Withdraw     Withdraw cluster_list         put_cluster_list;
    // RFC 4760 §3 and §4, RFC 7606 §7.11 and §7.12.
    14 "MP_REACH_NLRI"    OPTIONAL            Always     SessionReset Withdraw mp_reach             put_nothing;
    15 "MP_UNREACH_NLRI"  OPTIONAL            Always     SessionReset Withdraw mp_unreach           put_nothing;
    // RFC 4360, RFC 7606 §7.14.
    16 "EXTENDED_COMMUNITIES" OPTIONAL_TRANSITIVE Always Withdraw     Withdraw ext_communities      put_ext_communities;
    // RFC 6793 §3 and §6.
    17 "AS4_PATH"         OPTIONAL_TRANSITIVE TwoOctetAs Discard      Withdraw as4_path             put_as4_path;
    18 "AS4_AGGREGATOR"   OPTIONAL_TRANSITIVE TwoOctetAs Discard      Withdraw as4_aggregator       put_as4_aggregator;
    // RFC 5701 §2, RFC 7606 §7.15.
    25 "IPV6_EXTENDED_COMMUNITIES" OPTIONAL_TRANSITIVE Always Withdraw Withdraw ipv6_ext_communities put_ipv6_ext_communities;
    // RFC 7311 §3: discarded if malformed, and if its flags are wrong.
    26 "AIGP"             OPTIONAL            Aigp       Discard      Discard  aigp                 put_aigp;
    // RFC 8092 §6.
    32 "LARGE_COMMUNITY"  OPTIONAL_TRANSITIVE Always     Withdraw     Withdraw large_communities    put_large_communities;
    // RFC 9234 §5.
    35 "ONLY_TO_CUSTOMER" OPTIONAL_TRANSITIVE Always     Withdraw     Withdraw only_to_customer     put_only_to_customer;
}

type Decoded = Result<(), Code>;

fn origin(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let [number] = fixed(value)?;
    draft.attributes.origin = Origin::from_number(number).ok_or(Code::InvalidOrigin)?;
    Ok(())
}

fn put_origin(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    out.push(attributes.origin.number());
    true
}

fn as_path(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let path = AsPath::decode(value, draft.context.four_octet_as);
    let path = path.filter(|path| draft.confederation_fits(path));
    draft.attributes.as_path = path.ok_or(Code::MalformedAsPath)?;
    Ok(())
}

fn put_as_path(attributes: &Attributes, four_octet_as: bool, out: &mut Vec<u8>) -> bool {
    if four_octet_as {
        out.extend_from_slice(attributes.as_path.octets());
    } else {
        attributes.as_path.encode_two_octets(out);
    }
    true
}

fn next_hop(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let address = Ipv4Addr::from(fixed::<4>(value)?);
    if !is_host_v4(address) {
        return Err(Code::InvalidNextHop);
    }
    draft.next_hop = Some(NextHop::V4(address));
    Ok(())
}

/// For those that packers write.
fn put_nothing(_: &Attributes, _: bool, _: &mut Vec<u8>) -> bool {
    false
}

fn med(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    draft.attributes.med = Some(number(value)?);
    Ok(())
}

fn put_med(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    put_number(attributes.med, out)
}

fn local_pref(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    draft.attributes.local_pref = Some(number(value)?);
    Ok(())
}

fn put_local_pref(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    put_number(attributes.local_pref, out)
}

fn atomic_aggregate(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let [] = fixed(value)?;
    draft.attributes.atomic_aggregate = true;
    Ok(())
}

fn put_atomic_aggregate(attributes: &Attributes, _: bool, _: &mut Vec<u8>) -> bool {
    attributes.atomic_aggregate
}

fn aggregator(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let aggregator = if draft.context.four_octet_as {
        four_octet_aggregator(value)?
    } else {
        let [a, b, octets @ ..] = fixed::<6>(value)?;
        Aggregator {
            asn: u16::from_be_bytes([a, b]).into(),
            identifier: octets.into(),
        }
    };
    draft.attributes.aggregator = Some(nonzero(aggregator)?);
    Ok(())
}

fn put_aggregator(attributes: &Attributes, four_octet_as: bool, out: &mut Vec<u8>) -> bool {
    let Some(Aggregator { asn, identifier }) = attributes.aggregator else {
        return false;
    };
    if four_octet_as {
        out.extend_from_slice(&asn.to_be_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes());
    }
    out.extend_from_slice(&identifier.octets());
    true
}

fn communities(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let list = list(value)?
        .iter()
        .map(|octets| Community(u32::from_be_bytes(*octets)));
    draft.attributes.communities = list.collect();
    Ok(())
}

fn put_communities(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    put_list(&attributes.communities, |one| one.0.to_be_bytes(), out)
}

fn originator_id(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    draft.attributes.originator_id = Some(fixed::<4>(value)?.into());
    Ok(())
}

fn put_originator_id(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    put_number(attributes.originator_id.map(u32::from), out)
}

fn cluster_list(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let list = list::<4>(value)?.iter().map(|octets| (*octets).into());
    draft.attributes.cluster_list = list.collect();
    Ok(())
}

fn put_cluster_list(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    put_list(&attributes.cluster_list, Ipv4Addr::octets, out)
}

fn mp_reach<'a>(draft: &mut Draft<'a>, value: &'a [u8]) -> Decoded {
    let malformed = Code::OptionalAttributeError;
    let (nlri, (afi, safi, address, _)) = reach_parts(value).map_err(|_| malformed)?;
    let Some(family) = agreed_family(draft, afi, safi) else {
        return Ok(());
    };
    let next_hop = match (family, address.len()) {
        (_, 16 | 32) if family == Family::Ipv6Unicast || draft.context.extended_next_hop => {
            v6_next_hop(address)
        }
        (Family::Ipv4Unicast, 4) => {
            let address = Ipv4Addr::from(fixed::<4>(address)?);
            is_host_v4(address).then_some(NextHop::V4(address))
        }
        (Family::Ipv4Unicast | Family::Ipv6Unicast, _) => return Err(malformed),
    };
    let add_path = *draft.context.add_path.get(family);
    let nlri = Nlri::parse(family, add_path, nlri).ok_or(malformed)?;
    draft.reach = Some(Reach { next_hop, nlri });
    Ok(())
}

fn mp_unreach<'a>(draft: &mut Draft<'a>, value: &'a [u8]) -> Decoded {
    let malformed = Code::OptionalAttributeError;
    let (nlri, (afi, safi)) = unreach_parts(value).map_err(|_| malformed)?;
    let Some(family) = agreed_family(draft, afi, safi) else {
        return Ok(());
    };
    let add_path = *draft.context.add_path.get(family);
    draft.unreach = Some(Nlri::parse(family, add_path, nlri).ok_or(malformed)?);
    Ok(())
}

fn ext_communities(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let list = list(value)?.iter().copied().map(ExtendedCommunity);
    draft.attributes.ext_communities = list.collect();
    Ok(())
}

fn put_ext_communities(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    put_list(&attributes.ext_communities, |one| one.0, out)
}

fn as4_path(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let path = AsPath::decode(value, true).filter(|path| !path.is_empty());
    draft.as4_path = Some(path.ok_or(Code::MalformedAsPath)?);
    Ok(())
}

/// RFC 6793 §4.2.2: only if AS_TRANS hides something, and never with confederation segments.
fn put_as4_path(attributes: &Attributes, four_octet_as: bool, out: &mut Vec<u8>) -> bool {
    if four_octet_as || !attributes.as_path.needs_four_octets() {
        return false;
    }
    let path = attributes.as_path.without_confederation();
    out.extend_from_slice(path.octets());
    !path.is_empty()
}

fn as4_aggregator(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    draft.as4_aggregator = Some(nonzero(four_octet_aggregator(value)?)?);
    Ok(())
}

fn put_as4_aggregator(attributes: &Attributes, four_octet_as: bool, out: &mut Vec<u8>) -> bool {
    let hidden = attributes
        .aggregator
        .is_some_and(|a| a.asn > u32::from(u16::MAX));
    !four_octet_as && hidden && put_aggregator(attributes, true, out)
}

fn ipv6_ext_communities(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let list = list(value)?.iter().copied().map(Ipv6ExtendedCommunity);
    draft.attributes.ipv6_ext_communities = list.collect();
    Ok(())
}

fn put_ipv6_ext_communities(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    put_list(&attributes.ipv6_ext_communities, |one| one.0, out)
}

/// The type of the one TLV that AIGP has, and its length with its type and itself (RFC 7311 §3).
const AIGP_TLV: (u8, u16) = (1, 11);

/// RFC 7311 §3: the first AIGP TLV counts; unknown ones and more of them do no harm.
fn aigp(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let malformed = Code::OptionalAttributeError;
    let mut rest = value;
    let mut metric = None;
    while !rest.is_empty() {
        let (after, (kind, len)) = (be_u8::<_, ()>, be_u16)
            .parse(rest)
            .map_err(|_| malformed)?;
        let len_of_value = usize::from(len).checked_sub(3).ok_or(malformed)?;
        let (value, after) = after.split_at_checked(len_of_value).ok_or(malformed)?;
        if kind == AIGP_TLV.0 {
            let value = u64::from_be_bytes(fixed(value)?);
            metric = metric.or(Some(value));
        }
        rest = after;
    }
    draft.attributes.aigp = Some(metric.ok_or(malformed)?);
    Ok(())
}

fn put_aigp(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    let Some(metric) = attributes.aigp else {
        return false;
    };
    let (kind, len) = AIGP_TLV;
    out.push(kind);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&metric.to_be_bytes());
    true
}

fn large_communities(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    let words = list::<12>(value)?.iter().map(|octets| {
        let mut words = octets
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_be_bytes(*word));
        let mut word = || words.next().unwrap_or(0);
        LargeCommunity {
            global: word(),
            local1: word(),
            local2: word(),
        }
    });
    draft.attributes.large_communities = LargeCommunity::distinct(words);
    Ok(())
}

fn put_large_communities(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    let words = |one: &LargeCommunity| {
        let whole =
            u128::from(one.global) << 64 | u128::from(one.local1) << 32 | u128::from(one.local2);
        let [_, _, _, _, octets @ ..] = whole.to_be_bytes();
        octets
    };
    put_list(&attributes.large_communities, words, out)
}

fn only_to_customer(draft: &mut Draft<'_>, value: &[u8]) -> Decoded {
    draft.attributes.only_to_customer = Some(number(value)?);
    Ok(())
}

fn put_only_to_customer(attributes: &Attributes, _: bool, out: &mut Vec<u8>) -> bool {
    put_number(attributes.only_to_customer, out)
}

/// A value of exactly `N` octets.
fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Code> {
    value.try_into().map_err(|_| Code::AttributeLengthError)
}

fn number(value: &[u8]) -> Result<u32, Code> {
    fixed(value).map(u32::from_be_bytes)
}

/// A value of one or more items of `N` octets.
fn list<const N: usize>(value: &[u8]) -> Result<&[[u8; N]], Code> {
    match value.as_chunks() {
        (items, []) if !items.is_empty() => Ok(items),
        _ => Err(Code::AttributeLengthError),
    }
}

fn put_number(number: Option<u32>, out: &mut Vec<u8>) -> bool {
    number.is_some_and(|number| {
        out.extend_from_slice(&number.to_be_bytes());
        true
    })
}

fn put_list<T, const N: usize>(
    list: &[T],
    octets: impl Fn(&T) -> [u8; N],
    out: &mut Vec<u8>,
) -> bool {
    for one in list {
        out.extend_from_slice(&octets(one));
    }
    !list.is_empty()
}

fn four_octet_aggregator(value: &[u8]) -> Result<Aggregator, Code> {
    let [a, b, c, d, octets @ ..] = fixed::<8>(value)?;
    Ok(Aggregator {
        asn: u32::from_be_bytes([a, b, c, d]),
        identifier: octets.into(),
    })
}

/// RFC 7607 §2: AS 0 aggregates nothing.
fn nonzero(aggregator: Aggregator) -> Result<Aggregator, Code> {
    if aggregator.asn == 0 {
        return Err(Code::OptionalAttributeError);
    }
    Ok(aggregator)
}

/// AFI, SAFI, Network Address of Next Hop, a reserved octet; the rest is NLRI (RFC 4760 §3).
fn reach_parts(value: &[u8]) -> Parsed<'_, (u16, u8, &[u8], u8)> {
    (be_u16, be_u8, counted8, be_u8).parse(value)
}

/// AFI and SAFI; the rest is Withdrawn Routes (RFC 4760 §4).
fn unreach_parts(value: &[u8]) -> Parsed<'_, (u16, u8)> {
    (be_u16, be_u8).parse(value)
}

/// The family, if it was agreed on; of others we do not know how their prefixes look.
fn agreed_family(draft: &mut Draft<'_>, afi: u16, safi: u8) -> Option<Family> {
    let family = Family::from_numbers(afi, safi).filter(|f| *draft.context.families.get(*f));
    draft.foreign |= family.is_none();
    family
}

/// RFC 2545 §3: a global address, and a link-local one behind it if the link is shared. Where only one of two makes
/// sense, that one is taken. `None` if there is no address of a host.
fn v6_next_hop(address: &[u8]) -> Option<NextHop> {
    let (first, second) = address.split_first_chunk::<16>()?;
    let first = Some(Ipv6Addr::from(*first)).filter(is_host_v6);
    let second = second
        .first_chunk::<16>()
        .map(|octets| Ipv6Addr::from(*octets));
    let second = second.filter(Ipv6Addr::is_unicast_link_local);
    match (first, second) {
        (Some(global), Some(link_local)) if !global.is_unicast_link_local() => {
            Some(NextHop::V6WithLinkLocal(global, link_local))
        }
        (Some(only), _) | (None, Some(only)) => Some(NextHop::V6(only)),
        (None, None) => None,
    }
}

/// An address that a host can have (RFC 4271 §6.3).
fn is_host_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    matches!(first, 1..=126 | 128..=223)
}

fn is_host_v6(address: &Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}
