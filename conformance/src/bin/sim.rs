//! `sim SEED…`: runs the simulator and prints what happened. `sim FIRST..LAST` runs them all and prints the faults.
//! `sim --gateways N SEED…` runs each seed with so many gateways, and prints what was seen.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use conformance::sim;

/// A run that takes longer is named.
const LONG: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let mut failed = 0_usize;
    let mut gateways = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--gateways" {
            gateways = arguments.next().and_then(|count| count.parse().ok());
            continue;
        }
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
            if let Some(gateways) = gateways {
                failed += usize::from(!large(seed, gateways, start));
                continue;
            }
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

/// Whether all was well.
fn large(seed: u64, gateways: usize, start: Instant) -> bool {
    let outcome = sim::run_large(seed, gateways, start);
    eprintln!("seed {seed}, in {:?}: {}", start.elapsed(), outcome.summary);
    if let Some(fault) = &outcome.fault {
        eprintln!("seed {seed}: {fault}");
    }
    outcome.fault.is_none()
}
