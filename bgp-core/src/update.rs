//! UPDATE (RFC 4271 §4.3): decoding with RFC 7606's remedies, and packing.

use nom::Parser;
use smallvec::SmallVec;

use crate::attributes::draft::Draft;
use crate::attributes::table::{MP_REACH_NLRI, MP_UNREACH_NLRI};
use crate::attributes::{self, Attributes, NextHop};
use crate::family::PerFamily;
use crate::wire::{Parsed, attribute, counted16};
use crate::{Code, Family, Reset};

mod nlri;
mod pack;

pub use nlri::{Nlri, Prefixes};
pub(crate) use pack::network_address;
pub use pack::{EncodeContext, TooLarge, announce, end_of_rib, withdraw};

/// What decides how an UPDATE of a session is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DecodeContext {
    /// AS numbers take four octets (RFC 6793).
    pub four_octet_as: bool,
    /// An external session: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST are discarded (RFC 7606 §7.5, §7.9, §7.10).
    pub external: bool,
    /// An external session whose peer is in our confederation: AS_CONFED segments are right there (RFC 5065 §5).
    pub confederation: bool,
    /// The AS that AS_PATH must begin with (RFC 4271 §6.3); `None`: any.
    pub first_as: Option<u32>,
    /// AIGP is enabled on the session; else it is discarded (RFC 7311 §3.1).
    pub aigp: bool,
    /// Families that were agreed on; prefixes of others are ignored (RFC 4760 §8).
    pub families: PerFamily<bool>,
    /// Path Identifiers precede the prefixes (RFC 7911 §3).
    pub add_path: PerFamily<bool>,
    /// IPv4 NLRI may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Routes with an AS_SET or AS_CONFED_SET are treated as withdrawn (RFC 9774 §3).
    pub no_sets: bool,
}

/// A decoded UPDATE. Its prefixes stay in the message; all of them were checked.
#[derive(Debug)]
pub struct Update<'a> {
    /// Prefixes that are gone: WITHDRAWN ROUTES, then MP_UNREACH_NLRI; then, where [`Update::treat_as_withdraw`]
    /// is set, those that were announced.
    pub withdrawn: SmallVec<[Nlri<'a>; 2]>,
    /// Prefixes that are announced, with the next hop of each part: NLRI, then MP_REACH_NLRI.
    pub announced: SmallVec<[(NextHop, Nlri<'a>); 2]>,
    /// The attributes they share; `next_hop` in it is that of the first part. `None` if nothing is announced.
    pub attributes: Option<Attributes>,
    /// RFC 7606 §2: an attribute was so wrong that the routes must not be used.
    pub treat_as_withdraw: bool,
    /// What was wrong with single attributes, each with its remedy. Bounded by the attributes a message holds.
    pub faults: SmallVec<[AttributeFault; 1]>,
    /// End-of-RIB (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
}

/// One attribute that was wrong, and what was done about it (RFC 7606 §2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttributeFault {
    /// The attribute's type.
    pub kind: u8,
    /// What was wrong, as the NOTIFICATION would have said.
    pub code: Code,
    /// What was done.
    pub remedy: Remedy,
}

/// What RFC 7606 §2 has us do about a malformed attribute, weakest first. `Reset` is an `Err` of the decoder.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Remedy {
    /// The attribute is dropped, the route stays.
    AttributeDiscard,
    /// The routes are handled as if they had been withdrawn.
    TreatAsWithdraw,
    /// The session ends.
    SessionReset,
}

/// Reads an UPDATE's body, with the remedies of RFC 7606 for what is wrong in it.
///
/// # Errors
/// Faults that leave doubt about which prefixes are meant (RFC 7606 §3 j, §5.2, §5.3, §7.11), an attribute that claims
/// to be well-known and is not, and MP_REACH_NLRI or MP_UNREACH_NLRI twice.
pub fn decode<'a>(body: &'a [u8], context: &DecodeContext) -> Result<Update<'a>, Reset> {
    let Ok((nlri, (withdrawn, attributes))) = parts(body) else {
        return Err(Code::MalformedAttributeList.into());
    };
    let withdrawn = ipv4(withdrawn, context)?;
    let nlri = ipv4(nlri, context)?;
    let mut draft = Draft::new(*context);
    draft.read(attributes)?;
    draft.finish(withdrawn, nlri)
}

/// Appends the attributes in the order of their type, all but NEXT_HOP and MP_REACH_NLRI (packers write those).
pub fn encode_attributes(attributes: &Attributes, four_octet_as: bool, out: &mut Vec<u8>) {
    attributes::encode(attributes, four_octet_as, out);
}

/// Reads back what `encode_attributes(.., true, ..)` wrote; `next_hop` is given. Used to keep attributes small in tables.
///
/// # Errors
/// Any fault at all: a block of our own has none.
pub fn decode_attributes(block: &[u8], next_hop: NextHop) -> Result<Attributes, Reset> {
    let mut draft = Draft::new(DecodeContext {
        four_octet_as: true,
        aigp: true,
        ..DecodeContext::default()
    });
    draft.read(block)?;
    draft.into_attributes(next_hop)
}

/// The families that an UPDATE's body speaks of, as far as it can be read: for whoever keeps messages as they came.
#[must_use]
pub fn families(body: &[u8]) -> PerFamily<bool> {
    let mut found = PerFamily::default();
    let Ok((nlri, (withdrawn, mut rest))) = parts(body) else {
        return found;
    };
    found.ipv4 = !(nlri.is_empty() && withdrawn.is_empty());
    while let Ok((after, raw)) = attribute(rest) {
        rest = after;
        let is_multiprotocol = matches!(raw.kind, MP_REACH_NLRI | MP_UNREACH_NLRI);
        if let ([high, low, safi, ..], true) = (raw.value, is_multiprotocol) {
            let afi = u16::from_be_bytes([*high, *low]);
            if let Some(family) = Family::from_numbers(afi, *safi) {
                *found.get_mut(family) = true;
            }
        }
    }
    found
}

/// WITHDRAWN ROUTES and path attributes; the rest is NLRI.
fn parts(body: &[u8]) -> Parsed<'_, (&[u8], &[u8])> {
    (counted16, counted16).parse(body)
}

fn ipv4<'a>(octets: &'a [u8], context: &DecodeContext) -> Result<Nlri<'a>, Reset> {
    Nlri::parse(Family::Ipv4Unicast, context.add_path.ipv4, octets)
        .ok_or_else(|| Code::InvalidNetworkField.into())
}

#[cfg(test)]
mod tests;
