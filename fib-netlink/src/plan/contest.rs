//! What keeps changing: a fight about a route of ours, or a next hop that routes of ours lead to and do not, is slowed
//! down once it is one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Changes are counted over so long.
const WINDOW: Duration = Duration::from_secs(10);
/// So many times in a window, a change is followed at once.
const CHANGES_FREE: u32 = 10;
/// What is counted in a window, at most; changes of others are followed at once.
const COUNTED_MAX: usize = 4096;

/// Changes in this window.
#[derive(Debug)]
pub(super) struct Contests<K> {
    ends: Option<Instant>,
    counts: BTreeMap<K, u32>,
}

impl<K> Default for Contests<K> {
    fn default() -> Self {
        Self {
            ends: None,
            counts: BTreeMap::new(),
        }
    }
}

/// What to do about a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Follow it at once; a route is put back.
    Restore,
    /// Leave it until then; `first`: it is the first time in this window that we do.
    Rest { until: Instant, first: bool },
}

impl<K: Ord> Contests<K> {
    /// Somebody changed our route, or a next hop is reached by others of ours.
    pub(super) fn changed(&mut self, now: Instant, key: K) -> Verdict {
        let ends = match self.ends {
            Some(ends) if ends > now => ends,
            _ => {
                self.counts.clear();
                now + WINDOW
            }
        };
        self.ends = Some(ends);
        if self.counts.len() >= COUNTED_MAX && !self.counts.contains_key(&key) {
            return Verdict::Restore;
        }
        let count = self.counts.entry(key).or_default();
        *count = count.saturating_add(1);
        match *count {
            0..=CHANGES_FREE => Verdict::Restore,
            count => Verdict::Rest {
                until: ends,
                first: count == CHANGES_FREE + 1,
            },
        }
    }
}
