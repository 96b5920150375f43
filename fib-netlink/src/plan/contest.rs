//! Who keeps changing our routes: a fight is slowed down, once it is one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::table::Key;

/// Changes are counted over so long.
const WINDOW: Duration = Duration::from_secs(10);
/// So many times in a window, a route is put back at once.
const CHANGES_FREE: u32 = 10;
/// Routes counted in a window, at most; others are put back at once.
const COUNTED_MAX: usize = 4096;

/// Changes of others to routes of ours, in this window.
#[derive(Debug, Default)]
pub(super) struct Contests {
    ends: Option<Instant>,
    counts: BTreeMap<Key, u32>,
}

/// What to do about a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Put it back at once.
    Restore,
    /// Leave it until then; `first`: it is the first time in this window that we do.
    Rest { until: Instant, first: bool },
}

impl Contests {
    /// Somebody changed our route.
    pub(super) fn changed(&mut self, now: Instant, key: Key) -> Verdict {
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
