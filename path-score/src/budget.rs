//! How often each link may be probed, so that the node stays within its probe budget.

use std::time::Duration;

/// The shortest interval between two probes of a link.
pub const FASTEST: Duration = Duration::from_millis(20);
/// The longest, however small the budget.
pub const SLOWEST: Duration = Duration::from_secs(1);
/// The budget of a node unless it is configured, in bit/s.
pub const DEFAULT_BUDGET: u64 = 1_000_000;
/// What a probe takes on the wire: 44 octets, UDP, IP, and WireGuard around them.
const PROBE_OCTETS: u64 = 140;

/// The interval between two probes of each of `links` links under a budget of `bits_per_second`: evenly slower the
/// more links there are, between [`FASTEST`] and [`SLOWEST`].
#[must_use]
pub fn interval(links: usize, bits_per_second: u64) -> Duration {
    let links = u64::try_from(links).unwrap_or(u64::MAX);
    let bits = links.saturating_mul(PROBE_OCTETS * 8);
    let micros = bits
        .saturating_mul(1_000_000)
        .div_ceil(bits_per_second.max(1));
    Duration::from_micros(micros).clamp(FASTEST, SLOWEST)
}

#[cfg(test)]
mod tests;
