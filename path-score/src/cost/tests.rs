//! What a cost promises.

use super::*;

/// Half of it is what a link costs at least.
const RTT: Duration = Duration::from_millis(2);

/// What loss costs.
fn cost(loss: f64) -> u32 {
    let weights = Weights::default();
    let of = |loss| weights.cost(RTT, loss, Cost::default()).micros();
    of(loss) - of(0.0)
}

#[test]
fn a_link_costs_a_millisecond_at_least_so_that_two_are_no_better_than_one() {
    for rtt in [0, 300, 1_999, 2_000].map(Duration::from_micros) {
        let cost = Weights::default().cost(rtt, 0.0, Cost::default());
        assert_eq!(cost.micros(), 1_000);
    }
}

#[test]
fn one_percent_is_about_15_ms_and_twenty_about_335() {
    assert_eq!(cost(0.0), 0);
    assert_eq!(cost(0.01), 15_000);
    assert_eq!(cost(0.2), 334_500);
}

#[test]
fn the_loss_of_two_hops_costs_what_the_hops_cost() {
    for (a, b) in [(0.01, 0.02), (0.2, 0.2), (0.0, 0.4), (0.5, 0.05)] {
        let both = 1.0 - (1.0 - a) * (1.0 - b);
        assert!(cost(both).abs_diff(cost(a) + cost(b)) <= 2 * QUANTUM);
    }
}

#[test]
fn half_the_round_trip_and_the_admin_cost_are_added() {
    let admin = Cost::from_micros(7);
    let cost = Weights::default().cost(Duration::from_millis(80), 0.0, admin);
    assert_eq!(cost.micros(), 40_007);
    assert_eq!(cost.to_string(), "40.007 ms");
}

#[test]
fn costs_saturate_and_never_fall_with_more_loss() {
    assert_eq!(Cost::MAX + Cost::from_micros(1), Cost::MAX);
    let weights = Weights {
        loss: Duration::MAX,
        ..Weights::default()
    };
    assert_eq!(weights.cost(Duration::MAX, 1.0, Cost::MAX), Cost::MAX);
    let mut last = 0;
    for loss in 0..=1000 {
        let now = cost(f64::from(loss) / 1000.0);
        assert!(now >= last);
        last = now;
    }
    for odd in [f64::NAN, f64::INFINITY, 2.0] {
        assert_eq!(cost(odd), cost(1.0));
    }
    assert_eq!(cost(-1.0), 0);
}

#[test]
fn costs_are_multiples_of_the_quantum() {
    for loss in 0..1000 {
        assert_eq!(cost(f64::from(loss) / 1000.0) % QUANTUM, 0);
    }
}
