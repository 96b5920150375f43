//! `cargo xtask bench`: windrosed beside others, measured; `cargo xtask bench load`: windrosed by itself.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{cargo, execute, folder};
use crate::packages;

/// Runs `bench` with these words, or `load` if that is the first of them, built for release as the
/// daemon is.
pub(crate) fn run(words: &[String]) -> Result<()> {
    packages::require_root("benchmarks make network namespaces")?;
    let (program, words) = match words.split_first() {
        Some((first, rest)) if first == "load" => ("load", rest),
        Some(_) | None => ("bench", words),
    };
    packages::install(if program == "load" {
        packages::LOAD
    } else {
        packages::BENCH
    })?;
    let packages = ["-p", "daemon", "-p", "cli", "-p", "conformance"];
    let programs = ["--bin", "windrosed", "--bin", "windrose", "--bin", program];
    execute(cargo(["build", "--release"]).args(packages).args(programs))?;
    // It takes the windrosed that lies beside it.
    execute(Command::new(folder("release").join(program)).args(words))
}
