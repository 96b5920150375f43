//! Preferred source addresses (`RTA_PREFSRC`) by number: a route says which in one octet.

use std::net::IpAddr;

/// Refers to an address, or to none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct SourceId(u8);

impl SourceId {
    /// The kernel chooses.
    pub(crate) const NONE: Self = Self(0);
    /// One that nobody wants (only of what is there).
    pub(crate) const OTHER: Self = Self(u8::MAX);

    fn at(index: usize) -> Self {
        u8::try_from(index + 1).map_or(Self::OTHER, Self)
    }

    fn index(self) -> Option<usize> {
        let index = usize::from(self.0).checked_sub(1)?;
        (self != Self::OTHER).then_some(index)
    }
}

/// Addresses that are wanted, at most. The configuration names fewer.
const SOURCES_MAX: usize = 254;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Option<Source>>);

#[derive(Clone, Copy, Debug)]
struct Source {
    address: IpAddr,
    /// It is on this machine: the kernel refuses routes with one that it does not have.
    here: bool,
}

impl Sources {
    /// The number of an address, and whether it is new. `None`: there is no room; see [`Sources::keep`].
    pub(crate) fn want(
        &mut self,
        address: IpAddr,
        here: impl FnOnce() -> bool,
    ) -> Option<(SourceId, bool)> {
        if let Some(id) = self.find(address) {
            return Some((id, false));
        }
        let here = here();
        let source = Some(Source { address, here });
        let full = self.0.len() >= SOURCES_MAX;
        match self.0.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = source,
            None if full => return None,
            None => self.0.push(source),
        }
        Some((self.find(address)?, true))
    }

    /// The number of an address that is wanted.
    pub(crate) fn find(&self, address: IpAddr) -> Option<SourceId> {
        let is_it = |source: &Option<Source>| source.is_some_and(|s| s.address == address);
        self.0.iter().position(is_it).map(SourceId::at)
    }

    /// The number of what a route in the kernel has.
    pub(crate) fn found(&self, address: Option<IpAddr>) -> SourceId {
        address.map_or(SourceId::NONE, |address| {
            self.find(address).unwrap_or(SourceId::OTHER)
        })
    }

    pub(crate) fn address(&self, id: SourceId) -> Option<IpAddr> {
        self.get(id).map(|source| source.address)
    }

    /// What can be had of it: it itself, or none while it is not on this machine.
    pub(crate) fn at_hand(&self, id: SourceId) -> SourceId {
        if self.get(id).is_some_and(|source| source.here) {
            id
        } else {
            SourceId::NONE
        }
    }

    /// Looks which are there. Says which came and which went.
    pub(crate) fn look(&mut self, here: impl Fn(IpAddr) -> bool) -> Vec<(SourceId, bool)> {
        let mut changed = Vec::new();
        for (index, source) in self.0.iter_mut().enumerate() {
            if let Some(source) = source
                && source.here != here(source.address)
            {
                source.here = !source.here;
                changed.push((SourceId::at(index), source.here));
            }
        }
        changed
    }

    /// Forgets those that are not in use.
    pub(crate) fn keep(&mut self, used: impl Fn(SourceId) -> bool) {
        for (index, source) in self.0.iter_mut().enumerate() {
            if !used(SourceId::at(index)) {
                *source = None;
            }
        }
    }

    /// Those that are not on this machine.
    pub(crate) fn missing(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let sources = self.0.iter().flatten().filter(|source| !source.here);
        sources.map(|source| source.address)
    }

    fn get(&self, id: SourceId) -> Option<Source> {
        self.0.get(id.index()?).copied().flatten()
    }
}
