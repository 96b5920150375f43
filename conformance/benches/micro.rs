//! The micro-benchmarks by the clock: `cargo bench -p conformance`. What they do is in `conformance::micro`.

use conformance::micro::{BENCHMARKS, Benchmark};
use divan::Bencher;
use divan::counter::ItemsCount;

/// As windrosed has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs of each, every one with what is set up for it alone.
const RUNS: u32 = 20;

fn main() {
    divan::main();
}

#[divan::bench(args = BENCHMARKS, sample_count = RUNS, sample_size = 1)]
fn engines(bencher: Bencher<'_, '_>, benchmark: &Benchmark) {
    let prepare = || {
        let prepared = benchmark.prepare();
        prepared.unwrap_or_else(|why| panic!("{benchmark}: {why:#}"))
    };
    bencher
        .with_inputs(prepare)
        .input_counter(|prepared| ItemsCount::new(prepared.count))
        .bench_values(|prepared| prepared.measured());
}
