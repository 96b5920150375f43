//! The Loc-RIB's journal: which prefixes changed, in order. There is one a table, whoever reads it.
//!
//! Nobody's messages are queued: an entry is the index of a net, and a reader (a member of an update group,
//! the FIB, a watcher) is one number, the version that it hears next. An entry counts only while its net's
//! version is that of the entry, so a net that changed a hundred times is heard once, and a slow reader costs
//! nothing. [`Plane`](crate::plane::Plane) trims what all have heard, and compacts stale entries away.

use std::collections::VecDeque;

/// Marks an entry of a net whose choice is as it was: other paths changed. For those who are told them, and nobody else.
const OTHERS: u32 = 1 << 31;

/// A place in the journal. Entries have versions from 1; a net's version 0 says that nothing is to be heard.
pub(crate) type Version = u32;

/// Entries beyond twice the nets at which stale ones are compacted away. So the journal never has more than
/// `2 * nets + SLACK` entries of four octets.
const SLACK: usize = if cfg!(test) { 4 } else { 1024 };

/// The journal of a table.
#[derive(Debug)]
pub(crate) struct Journal {
    ring: VecDeque<u32>,
    first: Version,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            ring: VecDeque::new(),
            first: 1,
        }
    }
}

impl Journal {
    /// The version that the next change will have.
    #[inline]
    pub(crate) fn end(&self) -> Version {
        self.first.saturating_add(self.len32())
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Notes that `net` changed; the version is to become the net's.
    #[inline]
    pub(crate) fn push(&mut self, net: u32) -> Version {
        let version = self.end();
        self.ring.push_back(net);
        version
    }

    /// Likewise, of paths that were not chosen and are not now.
    pub(crate) fn push_others(&mut self, net: u32) -> Version {
        self.push(net | OTHERS)
    }

    /// The net of an entry.
    #[inline]
    pub(crate) fn get(&self, version: Version) -> Option<u32> {
        self.entry(version).map(|entry| entry & !OTHERS)
    }

    /// Whether an entry says no more than that paths changed that are not chosen.
    #[inline]
    pub(crate) fn is_of_others(&self, version: Version) -> bool {
        self.entry(version).is_some_and(|entry| entry & OTHERS != 0)
    }

    #[inline]
    fn entry(&self, version: Version) -> Option<u32> {
        let at = version.checked_sub(self.first)?;
        self.ring.get(at as usize).copied()
    }

    /// Takes the oldest entry out, if all have heard it, that is, if it is before `heard`.
    pub(crate) fn pop_before(&mut self, heard: Version) -> Option<(Version, u32)> {
        if self.first >= heard {
            return None;
        }
        let net = self.ring.pop_front()?;
        self.first += 1;
        if self.ring.is_empty() {
            self.ring.shrink_to(SLACK);
        }
        Some((self.first - 1, net & !OTHERS))
    }

    /// Whether there are too many stale entries for `nets`, or the versions run out.
    #[inline]
    pub(crate) fn is_due(&self, nets: usize) -> bool {
        self.ring.len() > 2 * nets + SLACK || self.first > Version::MAX / 2
    }

    /// Drops the entries for which `renumber(net, old, new)` is false, and numbers the others anew, from 1.
    /// Says how any reader's place changes.
    pub(crate) fn compact(
        &mut self,
        mut renumber: impl FnMut(u32, Version, Version) -> bool,
    ) -> Renumbered {
        let old_first = self.first;
        let mut kept = Vec::new();
        let (mut old, mut new) = (self.first, 1);
        self.ring.retain(|net| {
            let keep = renumber(*net & !OTHERS, old, new);
            kept.push(new);
            old += 1;
            new += Version::from(keep);
            keep
        });
        self.first = 1;
        Renumbered {
            old_first,
            end: new,
            new: kept,
        }
    }

    fn len32(&self) -> u32 {
        u32::try_from(self.ring.len()).unwrap_or(u32::MAX)
    }
}

/// How places changed in a compaction.
#[derive(Debug)]
pub(crate) struct Renumbered {
    old_first: Version,
    end: Version,
    new: Vec<Version>,
}

impl Renumbered {
    /// Where a reader that was at `old` is now.
    pub(crate) fn map(&self, old: Version) -> Version {
        let at = old.saturating_sub(self.old_first) as usize;
        self.new.get(at).copied().unwrap_or(self.end)
    }
}

#[cfg(test)]
mod tests;
