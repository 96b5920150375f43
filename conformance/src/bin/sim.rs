//! `sim SEED…`: runs the simulator and prints what happened. `sim FIRST..LAST` runs them all and prints the faults.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use conformance::sim;

/// A run that takes longer is named.
const LONG: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let mut failed = 0_usize;
    for argument in std::env::args().skip(1) {
        let seeds = match argument.split_once("..") {
            Some((first, last)) => first
                .parse()
                .ok()
                .zip(last.parse().ok())
                .map(|(a, b): (u64, u64)| a..b),
            None => argument.parse().ok().map(|seed: u64| seed..seed + 1),
        };
        let Some(seeds) = seeds else {
            eprintln!("`{argument}` is no seed: write a number, or FIRST..LAST");
            return ExitCode::from(2);
        };
        let whole = seeds.end - seeds.start == 1;
        for seed in seeds {
            let start = Instant::now();
            let outcome = sim::run(seed, start);
            if whole {
                eprint!("{}", outcome.trace);
            }
            let took = start.elapsed();
            if took > LONG {
                eprintln!("seed {seed} took {took:?}");
            }
            if outcome.oscillated {
                eprintln!(
                    "seed {seed}: routes oscillated until nobody had a preference (RFC 3345)"
                );
            }
            if let Some(fault) = outcome.fault {
                eprintln!("seed {seed}: {fault}");
                failed += 1;
            }
        }
    }
    eprintln!("{failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
