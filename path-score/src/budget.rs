//! How often each link may be probed, so that the node stays within its probe budget.

use std::time::Duration;

/// The shortest interval between two probes of a link.
pub const FASTEST: Duration = Duration::from_millis(20);
/// The longest, however small the budget.
pub const SLOWEST: Duration = Duration::from_secs(1);
/// The longest between probes that only ask whether somebody answers, beside those that measure.
pub const SLOWEST_ASIDE: Duration = Duration::from_secs(10);
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

/// Two kinds of probes on one link that together are as many as one each `interval`: how often those go out that measure
/// it, and how often those that only ask: one a second, and no more than a tenth of all.
#[must_use]
pub fn shared(interval: Duration) -> [Duration; 2] {
    let interval = interval.clamp(FASTEST, SLOWEST);
    let aside = (interval * 10).clamp(SLOWEST, SLOWEST_ASIDE);
    let left = aside.saturating_sub(interval).as_secs_f64();
    [interval.mul_f64(aside.as_secs_f64() / left), aside]
}

#[cfg(test)]
mod tests;
