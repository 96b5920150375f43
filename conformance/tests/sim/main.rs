//! The committed seeds: each is a world of speakers, a network that misbehaves, and the naive model's verdict.
//! `cargo xtask sim SEED` tells the story of one.
#![allow(clippy::disallowed_methods, missing_docs)]

mod half_open;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use conformance::sim;

/// Seeds that once showed a fault, and plain ones to find the next.
const SEEDS: std::ops::Range<u64> = 0..400;
/// A run that takes its time is told again, to see that it is the same.
const TOLD_TWICE: [u64; 4] = [3, 77, 150, 301];

#[test]
fn every_seed_ends_as_the_model_says() {
    let next = AtomicU64::new(SEEDS.start);
    let work = || {
        let mut faults = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS.end {
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
