//! Prefixes as a message lists them (RFC 4271 §4.3, RFC 7911 §3): checked once, then read where they lie.

use std::marker::PhantomData;

use crate::{Family, Prefix};

/// Prefixes of one family, still in their message. All of them were checked.
#[derive(Clone, Copy, Debug)]
pub struct Nlri<'a> {
    /// Their family.
    pub family: Family,
    add_path: bool,
    octets: &'a [u8],
}

impl<'a> Nlri<'a> {
    /// Checks a list of prefixes: each length fits the family, and the last prefix ends where the list does
    /// (RFC 7606 §5.3). Bits beyond a prefix's length do not matter (RFC 4271 §4.3).
    pub(crate) fn parse(family: Family, add_path: bool, octets: &'a [u8]) -> Option<Self> {
        let most = match family {
            Family::Ipv4Unicast => 32,
            Family::Ipv6Unicast => 128,
        };
        let mut rest = octets;
        while !rest.is_empty() {
            if add_path {
                rest = rest.get(4..)?;
            }
            let (&len, after) = rest.split_first()?;
            if len > most {
                return None;
            }
            rest = after.get(usize::from(len.div_ceil(8))..)?;
        }
        Some(Self {
            family,
            add_path,
            octets,
        })
    }

    /// The prefixes with their Path Identifiers (zero without add-path).
    /// `P` must be of the [`Nlri::family`]; else nothing comes.
    #[must_use]
    pub fn iter<P: Prefix>(self) -> Prefixes<'a, P> {
        let fits = P::FAMILY == self.family;
        Prefixes {
            rest: if fits { self.octets } else { &[] },
            add_path: self.add_path,
            prefix: PhantomData,
        }
    }

    /// Whether there are no prefixes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.octets.is_empty()
    }
}

/// The prefixes of an [`Nlri`] with their Path Identifiers.
#[derive(Clone, Debug)]
pub struct Prefixes<'a, P> {
    rest: &'a [u8],
    add_path: bool,
    prefix: PhantomData<P>,
}

impl<P: Prefix> Iterator for Prefixes<'_, P> {
    type Item = (u32, P);

    #[inline]
    fn next(&mut self) -> Option<(u32, P)> {
        let mut rest = self.rest;
        let mut id = 0;
        if self.add_path {
            let (octets, after) = rest.split_first_chunk()?;
            (id, rest) = (u32::from_be_bytes(*octets), after);
        }
        let (&len, after) = rest.split_first()?;
        let prefix = P::from_octets(after, len)?;
        self.rest = after.get(usize::from(len.div_ceil(8))..)?;
        Some((id, prefix))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let least = if self.add_path { 5 } else { 1 };
        let longest = least + usize::from(P::BITS / 8);
        (self.rest.len() / longest, Some(self.rest.len() / least))
    }
}
