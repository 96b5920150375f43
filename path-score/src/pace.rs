//! When the next probe of a kind is due, and whether we were there in time.

use std::time::{Duration, Instant};

use crate::budget::{FASTEST, SLOWEST_ASIDE};

/// Who is called later than this was not scheduled: what was lost meanwhile may have been lost in our own queues.
const STALL: Duration = Duration::from_millis(100);

/// An interval, kept between [`FASTEST`] and [`SLOWEST_ASIDE`].
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    next: Instant,
}

/// A probe is to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Due {
    /// We were not scheduled for so long before it.
    pub(crate) stalled: Option<Duration>,
}

impl Pace {
    /// The first probe is due at `now`.
    pub(crate) fn new(now: Instant, interval: Duration) -> Self {
        Self {
            interval: interval.clamp(FASTEST, SLOWEST_ASIDE),
            next: now,
        }
    }

    pub(crate) const fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) const fn deadline(&self) -> Instant {
        self.next
    }

    pub(crate) fn set(&mut self, now: Instant, interval: Duration) {
        self.interval = interval.clamp(FASTEST, SLOWEST_ASIDE);
        self.next = self.next.min(now + self.interval);
    }

    /// Takes the probe that is due, if one is. One, however many were missed: a burst would only measure itself.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Due> {
        let late = now.checked_duration_since(self.next)?;
        let on_time = self.next + self.interval;
        self.next = if on_time > now {
            on_time
        } else {
            now + self.interval
        };
        Some(Due {
            stalled: (late > STALL).then_some(late),
        })
    }
}
