//! Attributes while a message is read: what came, what was wrong, and the sum of it (RFC 7606).

use smallvec::SmallVec;

use super::table::{self, Accept, Row};
use super::{Aggregator, AsPath, Attributes, NextHop, OPTIONAL, Origin, PARTIAL, TRANSITIVE};
use super::{UnknownAttribute, as_path::SegmentKind};
use crate::open::AS_TRANS;
use crate::update::{AttributeFault, DecodeContext, Nlri, Remedy, Update};
use crate::wire::{RawAttribute, attribute};
use crate::{Code, Family, Reset};

/// The attributes of one message as far as they were read.
pub(crate) struct Draft<'a> {
    pub(super) context: DecodeContext,
    /// What was read; mandatory ones hold a placeholder until then.
    pub(super) attributes: Attributes,
    pub(super) next_hop: Option<NextHop>,
    pub(super) as4_path: Option<AsPath>,
    pub(super) as4_aggregator: Option<Aggregator>,
    pub(super) reach: Option<Reach<'a>>,
    pub(super) unreach: Option<Nlri<'a>>,
    /// An MP_REACH_NLRI or MP_UNREACH_NLRI was of a family that was not agreed on.
    pub(super) foreign: bool,
    seen: Types,
    faults: SmallVec<[AttributeFault; 1]>,
    /// The first fault that costs the routes, as a NOTIFICATION.
    serious: Option<(Code, &'a [u8])>,
}

/// What an MP_REACH_NLRI said; no next hop if it cannot be one.
pub(super) struct Reach<'a> {
    pub(super) next_hop: Option<NextHop>,
    pub(super) nlri: Nlri<'a>,
}

impl<'a> Draft<'a> {
    /// Nothing read yet.
    pub(crate) fn new(context: DecodeContext) -> Self {
        let nowhere = NextHop::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Self {
            context,
            attributes: Attributes::new(Origin::Incomplete, AsPath::default(), nowhere),
            next_hop: None,
            as4_path: None,
            as4_aggregator: None,
            reach: None,
            unreach: None,
            foreign: false,
            seen: Types::default(),
            faults: SmallVec::new(),
            serious: None,
        }
    }

    /// Reads a list of attributes.
    pub(crate) fn read(&mut self, list: &'a [u8]) -> Result<(), Reset> {
        let mut rest = list;
        while !rest.is_empty() {
            let Ok((after, raw)) = attribute(rest) else {
                // RFC 7606 §4: the rest is lost, but the NLRI field is where the total length says.
                let kind = rest.get(1).copied().unwrap_or(0);
                self.fault(
                    kind,
                    Code::AttributeLengthError,
                    Remedy::TreatAsWithdraw,
                    rest,
                );
                break;
            };
            rest = after;
            self.read_one(&raw)?;
        }
        if !self.context.four_octet_as {
            self.merge_as4();
        }
        Ok(())
    }

    fn read_one(&mut self, raw: &RawAttribute<'a>) -> Result<(), Reset> {
        let row = table::row(raw.kind);
        if !self.seen.insert(raw.kind) {
            // RFC 7606 §3 g.
            if row.is_some_and(|row| row.malformed == Remedy::SessionReset) {
                return Err(reset(Code::MalformedAttributeList, raw.octets));
            }
            let code = Code::MalformedAttributeList;
            self.fault(raw.kind, code, Remedy::AttributeDiscard, raw.octets);
            return Ok(());
        }
        match row {
            Some(row) => self.read_known(row, raw),
            None => self.read_unknown(raw),
        }
    }

    fn read_known(&mut self, row: &Row, raw: &RawAttribute<'a>) -> Result<(), Reset> {
        match row.accept {
            Accept::Always => {}
            Accept::Internal if self.context.external && !self.context.confederation => {
                let code = Code::OptionalAttributeError;
                self.fault(row.kind, code, Remedy::AttributeDiscard, raw.octets);
                return Ok(());
            }
            // Neither is worth a word: RFC 6793 §4.1, RFC 7311 §3.1.
            Accept::TwoOctetAs if self.context.four_octet_as => return Ok(()),
            Accept::Aigp if !self.context.aigp => return Ok(()),
            Accept::Internal | Accept::TwoOctetAs | Accept::Aigp => {}
        }
        if (raw.flags ^ row.flags) & (OPTIONAL | TRANSITIVE) != 0 {
            let code = Code::AttributeFlagsError;
            self.fault(row.kind, code, row.wrong_flags, raw.octets);
            // Prefixes are read all the same: treat-as-withdraw has to know them (RFC 7606 §3 j).
            if row.malformed != Remedy::SessionReset {
                return Ok(());
            }
        }
        match (row.decode)(self, raw.value) {
            Err(code) if row.malformed == Remedy::SessionReset => {
                return Err(reset(code, raw.octets));
            }
            Err(code) => self.fault(row.kind, code, row.malformed, raw.octets),
            // AS4_PATH and AS4_AGGREGATOR do not travel on, they are merged.
            Ok(())
                if raw.flags & PARTIAL != 0
                    && row.flags == OPTIONAL | TRANSITIVE
                    && row.accept == Accept::Always =>
            {
                self.attributes.partial.insert(row.kind);
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// RFC 4271 §5: optional transitive ones travel on with the Partial bit, others that are optional are ignored.
    fn read_unknown(&mut self, raw: &RawAttribute<'a>) -> Result<(), Reset> {
        if raw.flags & OPTIONAL == 0 {
            return Err(reset(Code::UnrecognizedWellKnownAttribute, raw.octets));
        }
        if raw.flags & TRANSITIVE != 0 {
            let unknown = &mut self.attributes.unknown;
            let at = unknown.partition_point(|other| other.kind < raw.kind);
            let attribute = UnknownAttribute {
                flags: OPTIONAL | TRANSITIVE | PARTIAL,
                kind: raw.kind,
                value: raw.value.into(),
            };
            unknown.insert(at, attribute);
        }
        Ok(())
    }

    fn fault(&mut self, kind: u8, code: Code, remedy: Remedy, octets: &'a [u8]) {
        if remedy >= Remedy::TreatAsWithdraw && self.serious.is_none() {
            self.serious = Some((code, octets));
        }
        self.faults.push(AttributeFault { kind, code, remedy });
    }

    /// RFC 6793 §4.2.3: a peer of two octets hides AS numbers behind AS_TRANS.
    fn merge_as4(&mut self) {
        if let (Some(aggregator), Some(as4)) =
            (&mut self.attributes.aggregator, self.as4_aggregator)
        {
            if aggregator.asn != u32::from(AS_TRANS) {
                return;
            }
            *aggregator = as4;
        }
        if let Some(as4) = self.as4_path.take() {
            let path = std::mem::take(&mut self.attributes.as_path);
            self.attributes.as_path = path.merge(&as4);
        }
    }

    /// The mandatory attributes (RFC 4271 §5, RFC 7606 §3 d).
    fn require(&mut self, next_hop: bool) {
        let mandatory = [
            (table::ORIGIN, true),
            (table::AS_PATH, true),
            (table::NEXT_HOP, next_hop),
        ];
        for (kind, needed) in mandatory {
            if needed && !self.seen.contains(kind) {
                let code = Code::MissingWellKnownAttribute;
                self.fault(kind, code, Remedy::TreatAsWithdraw, &[]);
            }
        }
        // RFC 4271 §6.3, as RFC 7606 §7.2 revises. Not where AS_PATH is missing or could not be read.
        let first = || self.attributes.as_path.first_as();
        let wrong = |wanted: &u32| self.serious.is_none() && first() != Some(*wanted);
        if self.context.first_as.as_ref().is_some_and(wrong) {
            let (kind, code) = (table::AS_PATH, Code::MalformedAsPath);
            self.fault(kind, code, Remedy::TreatAsWithdraw, &[]);
        }
        if matches!(self.reach, Some(Reach { next_hop: None, .. })) {
            let (kind, code) = (table::MP_REACH_NLRI, Code::InvalidNextHop);
            self.fault(kind, code, Remedy::TreatAsWithdraw, &[]);
        }
    }

    /// The attributes alone, all of them sound.
    pub(crate) fn into_attributes(mut self, next_hop: NextHop) -> Result<Attributes, Reset> {
        self.require(false);
        match self.faults.first() {
            Some(fault) => Err(fault.code.into()),
            None => Ok(Attributes {
                next_hop,
                ..self.attributes
            }),
        }
    }

    /// The message as a whole, with its IPv4 prefixes.
    pub(crate) fn finish(
        mut self,
        withdrawn: Nlri<'a>,
        nlri: Nlri<'a>,
    ) -> Result<Update<'a>, Reset> {
        let end_of_rib = self.end_of_rib(withdrawn, nlri);
        let reach = self.reach.as_ref().map(|reach| reach.nlri);
        let parts = [Some(nlri), reach].into_iter().flatten();
        if parts.clone().any(|part| !part.is_empty()) {
            self.require(!nlri.is_empty());
            if self.context.no_sets && self.attributes.as_path.has_set() {
                // RFC 9774 §3. What AS4_PATH had is in it by now.
                let code = Code::MalformedAsPath;
                self.fault(table::AS_PATH, code, Remedy::TreatAsWithdraw, &[]);
            }
        } else if let Some((code, octets)) = self.serious
            && !self.foreign
        {
            // RFC 7606 §5.2: where nothing is announced, prefixes may be hidden in what could not be read.
            return Err(reset(code, octets));
        }
        let agreed = self.context.families;
        let agreed = |part: &Nlri<'_>| !part.is_empty() && *agreed.get(part.family);
        let gone = [Some(withdrawn), self.unreach].into_iter().flatten();
        let mut update = Update {
            withdrawn: gone.filter(agreed).collect(),
            announced: SmallVec::new(),
            attributes: None,
            treat_as_withdraw: self.serious.is_some(),
            faults: self.faults,
            end_of_rib,
        };
        if update.treat_as_withdraw {
            update.withdrawn.extend(parts.filter(agreed));
            return Ok(update);
        }
        let of_reach = self
            .reach
            .and_then(|reach| Some((reach.next_hop?, reach.nlri)));
        let of_nlri = self.next_hop.map(|next_hop| (next_hop, nlri));
        let announced = [of_nlri, of_reach].into_iter().flatten();
        update.announced = announced.filter(|(_, part)| agreed(part)).collect();
        update.attributes = update.announced.first().map(|(next_hop, _)| Attributes {
            next_hop: *next_hop,
            ..self.attributes
        });
        Ok(update)
    }

    /// RFC 4724 §2: nothing at all, or an MP_UNREACH_NLRI with no prefixes and nothing else.
    fn end_of_rib(&self, withdrawn: Nlri<'a>, nlri: Nlri<'a>) -> Option<Family> {
        let others = !withdrawn.is_empty() || !nlri.is_empty();
        match self.unreach {
            Some(unreach) if unreach.is_empty() && !others && self.seen.len() == 1 => {
                Some(unreach.family)
            }
            None if !others && self.seen.len() == 0 && self.faults.is_empty() => {
                Some(Family::Ipv4Unicast)
            }
            Some(_) | None => None,
        }
    }

    /// Whether RFC 5065 §5 lets `path` come over this session: no confederation segments from outside,
    /// an AS_CONFED_SEQUENCE first from another Member AS.
    pub(super) fn confederation_fits(&self, path: &AsPath) -> bool {
        if !self.context.external {
            return true;
        }
        let first = path.segments().next().map(|segment| segment.kind);
        if self.context.confederation {
            first == Some(SegmentKind::ConfedSequence)
        } else {
            first.is_none() || !path.has_confederation()
        }
    }
}

fn reset(code: Code, octets: &[u8]) -> Reset {
    Reset {
        code,
        data: bytes::Bytes::copy_from_slice(octets),
    }
}

/// A set of attribute types.
#[derive(Default)]
struct Types([u64; 4]);

impl Types {
    /// Adds one; `false` if it was there.
    fn insert(&mut self, kind: u8) -> bool {
        let bit = 1 << (kind % 64);
        let Some(word) = self.0.get_mut(usize::from(kind / 64)) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    fn contains(&self, kind: u8) -> bool {
        let word = self.0.get(usize::from(kind / 64));
        word.is_some_and(|word| word & 1 << (kind % 64) != 0)
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}
