//! Sets of communities of all three kinds, with wildcards. A look-up costs one probe for each *shape* among the patterns
//! (which parts are fixed), of which there are at most a dozen, however many patterns there are.

use std::fmt::Display;
use std::hash::Hash;
use std::marker::PhantomData;
use std::str::FromStr;

use bgp_core::attributes::{Community, ExtendedCommunity, LargeCommunity};
use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::sets::Set;

/// A kind of communities.
pub(super) trait Kind: Copy + Display + Eq + FromStr<Err = String> + Hash {
    /// The community as one number.
    fn bits(self) -> u128;
    /// Reads a pattern that has a `*` in it; `None` if it makes no sense.
    fn parse_wildcard(text: &str) -> Option<Vec<Pattern>>;
}

/// The communities whose `mask` bits are those of `bits`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pattern {
    mask: u128,
    bits: u128,
}

/// A set of patterns, grouped by their masks.
#[derive(Debug)]
pub(super) struct CommunitySet<K> {
    shapes: Vec<(u128, HashSet<u128, FixedState>)>,
    kind: PhantomData<K>,
}

impl<K: Kind> CommunitySet<K> {
    pub(super) fn contains(&self, community: K) -> bool {
        self.probes(community).any(|found| found)
    }

    /// Each place where `community` may be found, and whether it is there.
    pub(super) fn probes(&self, community: K) -> impl Iterator<Item = bool> {
        let bits = community.bits();
        let shapes = self.shapes.iter();
        shapes.map(move |(mask, patterns)| patterns.contains(&(bits & mask)))
    }
}

impl<K: Kind> Set for CommunitySet<K> {
    type Item = Pattern;

    fn parse(text: &str, items: &mut Vec<Pattern>) -> Result<(), String> {
        if !text.contains('*') {
            let bits = text.parse::<K>()?.bits();
            items.push(Pattern {
                mask: u128::MAX,
                bits,
            });
            return Ok(());
        }
        items.extend(K::parse_wildcard(text).ok_or_else(|| {
            format!("`{text}` is no pattern: each part is a number or `*`, as in `65001:*`, `65001:*:1` or `rt:65001:*`")
        })?);
        Ok(())
    }

    fn build(items: Vec<Pattern>) -> Result<Self, String> {
        let mut shapes: Vec<(u128, HashSet<u128, FixedState>)> = Vec::new();
        for Pattern { mask, bits } in items {
            match shapes.iter_mut().find(|(known, _)| *known == mask) {
                Some((_, patterns)) => {
                    patterns.insert(bits & mask);
                }
                None => shapes.push((mask, HashSet::from_iter([bits & mask]))),
            }
        }
        Ok(Self {
            shapes,
            kind: PhantomData,
        })
    }
}

impl Kind for Community {
    fn bits(self) -> u128 {
        self.0.into()
    }

    fn parse_wildcard(text: &str) -> Option<Vec<Pattern>> {
        let (asn, value) = text.split_once(':')?;
        Some(vec![parts([(asn, 16), (value, 16)])?])
    }
}

impl Kind for LargeCommunity {
    fn bits(self) -> u128 {
        let parts = [self.global, self.local1, self.local2];
        parts
            .into_iter()
            .fold(0, |bits, part| bits << 32 | u128::from(part))
    }

    fn parse_wildcard(text: &str) -> Option<Vec<Pattern>> {
        let (global, rest) = text.split_once(':')?;
        let (local1, local2) = rest.split_once(':')?;
        Some(vec![parts([(global, 32), (local1, 32), (local2, 32)])?])
    }
}

impl Kind for ExtendedCommunity {
    fn bits(self) -> u128 {
        u64::from_be_bytes(self.0).into()
    }

    /// `rt:65001:*`, `rt:*:5`, `rt:*:*`, and the same for `soo` and `lb`. A `*` for the administrator stands for AS
    /// numbers of both sizes and for addresses.
    fn parse_wildcard(text: &str) -> Option<Vec<Pattern>> {
        let (name, rest) = text.split_once(':')?;
        let (administrator, value) = rest.split_once(':')?;
        let any_administrator = administrator == "*";
        let sample = if value == "*" { "0" } else { value };
        let administrators: &[&str] = match any_administrator {
            true => &["0", "0.0.0.0", "0.0"],
            false => &[administrator],
        };
        let samples = administrators
            .iter()
            .filter_map(|administrator| format!("{name}:{administrator}:{sample}").parse().ok());
        let patterns: Vec<Pattern> = samples
            .map(|community: Self| {
                let [kind, ..] = community.0;
                // RFC 4360 §3.1, §3.2 and RFC 5668 §2: the administrator has two octets with an AS number of two, else four.
                let value_bits = if kind & 0x3f == 0 { 32 } else { 16 };
                let value_mask = (1 << value_bits) - 1;
                let mut mask: u128 = 0xffff << 48;
                if !any_administrator {
                    mask |= 0xffff_ffff_ffff & !value_mask;
                }
                if value != "*" {
                    mask |= value_mask;
                }
                let bits = community.bits();
                Pattern { mask, bits }
            })
            .collect();
        (!patterns.is_empty()).then_some(patterns)
    }
}

/// Parts of so many bits each, every one a number or `*`.
fn parts<const N: usize>(parts: [(&str, u32); N]) -> Option<Pattern> {
    let mut pattern = Pattern { mask: 0, bits: 0 };
    for (text, width) in parts {
        let all = (1 << width) - 1;
        let (mask, bits) = match text {
            "*" => (0, 0),
            number => (all, number.parse().ok().filter(|number| *number <= all)?),
        };
        pattern.mask = pattern.mask << width | mask;
        pattern.bits = pattern.bits << width | bits;
    }
    Some(pattern)
}
