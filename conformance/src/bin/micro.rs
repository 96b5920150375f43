//! `micro`: lists the micro-benchmarks. `micro NAME`: runs one of them once, and says of how many. `cargo xtask bench micro`
//! runs it under valgrind.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use conformance::micro::BENCHMARKS;

/// As windrosed has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(std::env::args().nth(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: Option<String>) -> Result<()> {
    let Some(name) = name else {
        for benchmark in &BENCHMARKS {
            println!("{benchmark} {}", benchmark.unit);
        }
        return Ok(());
    };
    let mut all = BENCHMARKS.iter();
    let benchmark = all.find(|benchmark| benchmark.name == name);
    let benchmark = benchmark.with_context(|| format!("no benchmark {name:?}"))?;
    let prepared = benchmark.prepare()?;
    println!("{}", prepared.count);
    let rest = prepared.measured();
    // What is left has nothing to say; the program ends sooner without its being taken apart.
    std::mem::forget(rest);
    Ok(())
}
