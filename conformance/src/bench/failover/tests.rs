//! The clock of a failover.

use super::*;

#[test]
fn the_clock_runs_both_ways() {
    let due = Instant::now();
    let (after, before) = (
        due + Duration::from_millis(7),
        due - Duration::from_millis(2),
    );
    assert!((milliseconds(after, due) - 7.0).abs() < 1e-6);
    assert!((milliseconds(before, due) + 2.0).abs() < 1e-6);
}

#[test]
fn every_route_is_another_one() {
    let all: std::collections::BTreeSet<_> = (0..100_000).map(nth).collect();
    assert_eq!(all.len(), 100_000);
    assert_eq!(nth(65_536), "21.0.0.0/24");
}
