//! How many changes of cost a minute may bring.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// A bucket of moves that fills evenly.
#[derive(Debug)]
pub(super) struct Moves {
    most: u32,
    left: u32,
    since: Instant,
    said: bool,
}

impl Moves {
    pub(super) const fn new(now: Instant, a_minute: u32) -> Self {
        Self {
            most: a_minute,
            left: a_minute,
            since: now,
            said: false,
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let each = MINUTE / self.most.max(1);
        while self.left < self.most && now.saturating_duration_since(self.since) >= each {
            self.left += 1;
            self.since += each;
        }
        if self.left == self.most {
            self.since = now;
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.said = false;
        true
    }

    /// Whether it is time to say that there is none: once, until there was one again.
    pub(super) const fn say_exhausted(&mut self) -> bool {
        !std::mem::replace(&mut self.said, true)
    }
}
