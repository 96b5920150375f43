//! Jitter, discriminators and first sequence numbers, from a seed, so that a run can be told again.

use std::num::NonZeroU32;
use std::time::Duration;

/// A small generator. The daemon's seed is the system's: discriminators and sequence numbers are hard to guess from
/// off the path, and no secret hangs on them.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32).unwrap_or(0)
    }

    /// Any number.
    pub(crate) fn number(&mut self) -> u32 {
        self.next()
    }

    /// Any discriminator: "a unique, nonzero discriminator value" (RFC 5880 §4.1); that it is unique is for the caller.
    pub(crate) fn discriminator(&mut self) -> NonZeroU32 {
        NonZeroU32::new(self.next()).unwrap_or(NonZeroU32::MIN)
    }

    /// RFC 5880 §6.8.7: `interval` reduced by up to a quarter; where a single missing packet ends the session, by a
    /// tenth at least, so that the next one is never late.
    pub(crate) fn jitter(&mut self, interval: Duration, multiplier: u8) -> Duration {
        let part = self.next() >> 22; // below 1024
        let (most, range) = if multiplier == 1 {
            (921, 153) // 90 % down to 75 %
        } else {
            (1024, 256) // 100 % down to 75 %
        };
        interval * (most - part * range / 1024) / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    fn range_of(multiplier: u8) -> (Duration, Duration) {
        let mut chance = Chance::new(7);
        let all = (0..100_000).map(|_| chance.jitter(INTERVAL, multiplier));
        all.fold((Duration::MAX, Duration::ZERO), |(least, most), it| {
            (least.min(it), most.max(it))
        })
    }

    /// §6.8.7: "The periodic transmission of BFD Control packets MUST be jittered on a per-packet basis by up to 25%".
    #[test]
    fn an_interval_is_reduced_by_up_to_a_quarter() {
        let (least, most) = range_of(3);
        assert!(least >= INTERVAL * 3 / 4 && least < INTERVAL * 77 / 100);
        assert!(most <= INTERVAL && most > INTERVAL * 98 / 100);
    }

    /// §6.8.7: "If bfd.DetectMult is equal to 1, the interval between transmitted BFD Control packets MUST be no more
    /// than 90% of the negotiated transmission interval, and MUST be no less than 75%".
    #[test]
    fn with_a_multiplier_of_one_it_is_between_three_quarters_and_nine_tenths() {
        let (least, most) = range_of(1);
        assert!(least >= INTERVAL * 3 / 4 && least < INTERVAL * 77 / 100);
        assert!(most <= INTERVAL * 9 / 10 && most > INTERVAL * 88 / 100);
    }
}
