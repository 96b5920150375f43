//! How many probes were lost, and the least round trip, over the last second, ten seconds, minute.

use std::time::{Duration, Instant};

use super::Direction;

/// The grain of time.
const BUCKET: Duration = Duration::from_millis(200);
/// A minute of them.
const BUCKETS: usize = 300;

/// What a level is taken over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Span {
    /// A second.
    Short,
    /// Ten seconds.
    Long,
    /// A minute.
    Minute,
}

impl Span {
    const fn buckets(self) -> usize {
        match self {
            Self::Short => 5,
            Self::Long => 50,
            Self::Minute => BUCKETS,
        }
    }
}

/// Of so many probes in one direction, so many were lost: never more than there were.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Loss {
    /// That were lost.
    pub lost: u32,
    /// Whose fate is known.
    pub probes: u32,
}

impl Loss {
    /// From 0 to 1; 0 when nothing is known.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.lost) / f64::from(self.probes.max(1))
    }

    /// What the true loss is at least, four standard deviations below what was seen: of the arcsine of its root, whose
    /// deviation does not depend on the loss, so that a few losses of a few probes do not prove much (Anscombe).
    #[must_use]
    pub fn at_least(self) -> f64 {
        const Z: f64 = 4.0;
        let seen = self.ratio().clamp(0.0, 1.0).sqrt().asin();
        let deviation = 0.5 / f64::from(self.probes.max(1)).sqrt();
        (seen - Z * deviation).max(0.0).sin().powi(2)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    passed: [u16; 2],
    lost: [u16; 2],
    rtt: Option<Duration>,
}

/// The last minute in a ring.
#[derive(Debug)]
pub(super) struct Windows {
    ring: Box<[Bucket]>,
    start: Instant,
    /// The newest bucket, counted from `start`.
    newest: usize,
}

impl Windows {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ring: vec![Bucket::default(); BUCKETS].into(),
            start: now,
            newest: 0,
        }
    }

    /// Makes the newest bucket that of `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.start).as_micros() / BUCKET.as_micros();
        let at = usize::try_from(since).unwrap_or(usize::MAX);
        for stale in (self.newest + 1..=at).take(BUCKETS) {
            self.place(stale, |bucket| *bucket = Bucket::default());
        }
        if at.saturating_sub(self.newest) > BUCKETS {
            self.ring.fill(Bucket::default());
        }
        self.newest = self.newest.max(at);
    }

    pub(super) fn passed(&mut self, direction: Direction) {
        let d = direction as usize;
        self.place(self.newest, |bucket| add(&mut bucket.passed, d));
    }

    pub(super) fn lost(&mut self, direction: Direction) {
        let d = direction as usize;
        self.place(self.newest, |bucket| add(&mut bucket.lost, d));
    }

    /// Makes the last loss one that passed.
    pub(super) fn forgive(&mut self, direction: Direction) {
        let d = direction as usize;
        for back in 0..BUCKETS.min(self.newest + 1) {
            let mut done = false;
            self.place(self.newest - back, |bucket| {
                if let Some(lost) = bucket.lost.get_mut(d).filter(|lost| **lost > 0) {
                    *lost -= 1;
                    add(&mut bucket.passed, d);
                    done = true;
                }
            });
            if done {
                return;
            }
        }
    }

    /// Nothing has been lost, nor has it passed.
    pub(super) fn forget_losses(&mut self) {
        for bucket in &mut self.ring {
            bucket.passed = [0; 2];
            bucket.lost = [0; 2];
        }
    }

    pub(super) fn rtt(&mut self, rtt: Duration) {
        self.place(self.newest, |bucket| {
            bucket.rtt = Some(bucket.rtt.map_or(rtt, |least| least.min(rtt)));
        });
    }

    /// The loss of one direction.
    pub(super) fn loss(&self, direction: Direction, span: Span) -> Loss {
        let d = direction as usize;
        self.last(span).fold(Loss::default(), |sum, bucket| {
            let of = |counts: &[u16; 2]| u32::from(counts.get(d).copied().unwrap_or(0));
            let lost = of(&bucket.lost);
            Loss {
                lost: sum.lost + lost,
                probes: sum.probes + lost + of(&bucket.passed),
            }
        })
    }

    /// The least round trip.
    pub(super) fn least_rtt(&self, span: Span) -> Option<Duration> {
        self.last(span).filter_map(|bucket| bucket.rtt).min()
    }

    fn last(&self, span: Span) -> impl Iterator<Item = &Bucket> {
        let count = span.buckets().min(self.newest + 1);
        let end = self.newest % BUCKETS + 1;
        // The newest ones up to the start of the ring, and the rest at its end.
        let near = self.ring.get(end.saturating_sub(count)..end);
        let far = self.ring.get(BUCKETS - count.saturating_sub(end)..);
        near.into_iter().chain(far).flatten()
    }

    fn place(&mut self, at: usize, change: impl FnOnce(&mut Bucket)) {
        if let Some(bucket) = self.ring.get_mut(at % BUCKETS) {
            change(bucket);
        }
    }
}

fn add(counts: &mut [u16; 2], at: usize) {
    if let Some(count) = counts.get_mut(at) {
        *count = count.saturating_add(1);
    }
}
