//! Timestamps and error estimates as STAMP writes them (RFC 8762 §4.2.1).

use std::time::Duration;

/// Seconds from 1900, where NTP's era begins, to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;
const NANOS: u64 = 1_000_000_000;

/// How a timestamp is written: the Z bit of the error estimate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// 32 bits of seconds since 1900, 32 bits of their fraction (RFC 5905). The default.
    #[default]
    Ntp,
    /// 32 bits of seconds since 1970, 32 bits of nanoseconds (IEEE 1588v2, truncated).
    Ptp,
}

/// Eight octets whose meaning a [`Format`] says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Writes the time since 1970.
    #[must_use]
    pub fn new(since_unix: Duration, format: Format) -> Self {
        let nanos = u64::from(since_unix.subsec_nanos());
        let (seconds, rest) = match format {
            Format::Ntp => (
                since_unix.as_secs().wrapping_add(NTP_TO_UNIX),
                (nanos << 32) / NANOS,
            ),
            Format::Ptp => (since_unix.as_secs(), nanos),
        };
        Self(seconds << 32 | rest)
    }

    /// From `self` to `later`, two readings of one clock. `None` when the clock was set back meanwhile. Survives the
    /// end of an era.
    #[must_use]
    pub fn until(self, later: Self, format: Format) -> Option<Duration> {
        let nanos = match format {
            Format::Ntp => {
                let units = later.0.wrapping_sub(self.0);
                if units >> 63 == 1 {
                    return None;
                }
                (u128::from(units) * u128::from(NANOS)) >> 32
            }
            Format::Ptp => {
                let seconds = (later.0 >> 32).wrapping_sub(self.0 >> 32) & 0xffff_ffff;
                let there = u128::from(seconds * NANOS + (later.0 & 0xffff_ffff));
                if seconds >> 31 == 1 {
                    return None;
                }
                there.checked_sub(u128::from(self.0 & 0xffff_ffff))?
            }
        };
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}

/// How good a clock is (RFC 4656 §4.1.2, with the Z bit of RFC 8186 §2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ErrorEstimate(u16);

impl ErrorEstimate {
    const SYNCHRONIZED: u16 = 0x8000;
    const Z: u16 = 0x4000;

    /// Of a clock that is at most `error` off; `synchronized` to UTC by an external source.
    #[must_use]
    pub fn new(error: Duration, synchronized: bool, format: Format) -> Self {
        let units = (error.as_nanos() << 32).div_ceil(u128::from(NANOS));
        let mut multiplier = units.max(1);
        let mut scale = 0_u16;
        while multiplier > 0xff {
            multiplier = multiplier.div_ceil(2);
            scale += 1;
        }
        let multiplier = u16::try_from(multiplier).unwrap_or(0xff);
        let s = if synchronized { Self::SYNCHRONIZED } else { 0 };
        let z = match format {
            Format::Ntp => 0,
            Format::Ptp => Self::Z,
        };
        Self(s | z | (scale & 0x3f) << 8 | multiplier)
    }

    /// Reads two octets. `None` when the multiplier is zero: the packet is corrupt.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits & 0xff == 0 {
            return None;
        }
        Some(Self(bits))
    }

    /// As it is on the wire.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether the clock is synchronized to UTC.
    #[must_use]
    pub const fn synchronized(self) -> bool {
        self.0 & Self::SYNCHRONIZED != 0
    }

    /// How the timestamps beside it are written.
    #[must_use]
    pub const fn format(self) -> Format {
        if self.0 & Self::Z == 0 {
            Format::Ntp
        } else {
            Format::Ptp
        }
    }

    /// The error in seconds: multiplier · 2^(scale − 32).
    #[must_use]
    pub fn seconds(self) -> f64 {
        let scale = i32::from(self.0 >> 8 & 0x3f) - 32;
        f64::from(self.0 & 0xff) * 2_f64.powi(scale)
    }
}
