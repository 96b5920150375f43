//! What a link costs in one direction: half its round trip, and its loss as time.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Costs are multiples of this, so that noise does not show.
const QUANTUM: u32 = 500;
/// No link costs less: a way over two is never as good as one of them, and links within a city are equal.
const LEAST: f64 = 1000.0;
/// More loss than this counts as this: the cost of a link that loses all stays comparable.
const MOST_LOSS: f64 = 0.999;

/// Microseconds, additive over hops; saturates. The default is nothing.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Cost(u32);

/// What makes a cost of a measurement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Weights {
    /// K of `RTT/2 + K · (−ln(1 − p)) + admin`.
    pub loss: Duration,
    /// What a link costs that nobody has measured.
    pub unmeasured: Cost,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            loss: Duration::from_millis(1500),
            unmeasured: Cost::from_micros(100_000),
        }
    }
}

impl Weights {
    /// `RTT/2 + K · (−ln(1 − p)) + admin`. Success probabilities multiply over hops, so their logarithms add. `loss` is
    /// the share of packets lost, 0 to 1.
    #[must_use]
    pub fn cost(&self, rtt: Duration, loss: f64, admin: Cost) -> Cost {
        let loss = if loss.is_nan() { 1.0 } else { loss };
        let success = 1.0 - loss.clamp(0.0, MOST_LOSS);
        let lost = self.loss.as_secs_f64() * 1e6 * -success.ln();
        let time = ((rtt / 2).as_secs_f64() * 1e6).max(LEAST);
        Cost::quantised(time + lost) + admin
    }
}

impl Cost {
    /// The largest there is.
    pub const MAX: Self = Self(u32::MAX);

    /// A cost as configured, in microseconds.
    #[must_use]
    pub const fn from_micros(micros: u32) -> Self {
        Self(micros)
    }

    /// In microseconds.
    #[must_use]
    pub const fn micros(self) -> u32 {
        self.0
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, as a cost does"
    )]
    fn quantised(micros: f64) -> Self {
        let quanta = (micros / f64::from(QUANTUM)).round();
        Self((quanta as u32).saturating_mul(QUANTUM))
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} ms", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests;
