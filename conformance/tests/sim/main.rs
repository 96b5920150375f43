//! The committed seeds: each is a world of speakers, a network that misbehaves, and the naive model's verdict.
//! `cargo xtask sim SEED` tells the story of one.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, missing_docs)]

mod half_open;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use conformance::sim;

/// Seeds that once showed a fault, and plain ones to find the next.
const SEEDS: std::ops::Range<u64> = 0..400;
/// A run that takes its time is told again, to see that it is the same.
const TOLD_TWICE: [u64; 7] = [
    3,
    77,
    150,
    301,
    sim::GRACEFUL_FROM + 5,
    sim::RICH_FROM + 7,
    sim::MESH_FROM + 5,
];

/// The same with hosts that restart gracefully, and crash all the time.
const GRACEFUL: std::ops::Range<u64> = sim::GRACEFUL_FROM..sim::GRACEFUL_FROM + 150;

/// Hosts have all there is, and once the world is at rest they leave and come back.
const RICH: std::ops::Range<u64> = sim::RICH_FROM..sim::RICH_FROM + 150;

/// Gateways with BFD and probes: packets are lost, late, out of order, in bursts; links are cut, clocks set.
const MESH: std::ops::Range<u64> = sim::MESH_FROM..sim::MESH_FROM + 40;

/// In these, routes oscillate without end: by MED (RFC 3345), or by LOCAL_PREF. One tells so much within an instant that
/// what is chosen is always the same after it.
const OSCILLATING: [u64; 3] = [828, 1003, 1069];

#[test]
fn every_seed_ends_as_the_model_says() {
    all_end_well(SEEDS);
}

#[test]
fn every_seed_with_graceful_restart_ends_as_the_model_says() {
    all_end_well(GRACEFUL);
}

#[test]
fn every_seed_with_all_there_is_ends_as_the_model_says() {
    all_end_well(RICH);
}

#[test]
fn gateways_on_bad_links_move_for_a_reason_only_and_come_to_rest_on_the_best_ways() {
    all_end_well(MESH);
}

/// The same with route reflectors, regions of two, and more links. A thousand: `cargo xtask sim --gateways 1000 1`.
#[test]
fn eighty_gateways_come_to_rest_on_the_best_ways() {
    let outcome = sim::run_large(1, 80, Instant::now());
    assert_eq!(outcome.fault, None, "{}", outcome.summary);
    // What was to go wrong did, and was seen.
    let figures = &outcome.figures;
    assert!(figures.regions > 3 && figures.alarms > 100, "{figures:?}");
}

/// Worlds that cannot come to rest are seen to be such, and do once nobody prefers anything.
#[test]
fn routes_that_oscillate_come_to_rest_without_preferences() {
    for seed in OSCILLATING {
        let outcome = sim::run(seed, Instant::now());
        assert!(outcome.oscillated, "seed {seed}");
        assert_eq!(outcome.fault, None, "seed {seed}");
    }
}

fn all_end_well(seeds: std::ops::Range<u64>) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut faults = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return faults;
            }
            let outcome = sim::run(seed, Instant::now());
            faults.extend(outcome.fault.map(|fault| format!("seed {seed}: {fault}")));
        }
    };
    let faults: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Any run can be told again from its seed.
#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in TOLD_TWICE {
        let (first, second) = (
            sim::run(seed, Instant::now()),
            sim::run(seed, Instant::now()),
        );
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
}
