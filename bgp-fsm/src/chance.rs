//! Jitter (RFC 4271 §10), from a seed, so that a run can be told again.

use std::time::Duration;

/// A small generator; nothing secret hangs on it.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// §10: the time multiplied by a random value between 0.75 and 1.
    pub(crate) fn jitter(&mut self, time: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let part = u32::try_from(self.0 >> 33 & 0xff).unwrap_or(0);
        time * (768 + part) / 1024
    }
}
