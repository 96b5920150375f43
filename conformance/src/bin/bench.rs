//! `bench`: the same workloads for several daemons, one after the other, several rounds. Needs root.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use conformance::bench::{Daemon, Report, WORKLOADS, Workload, run};

/// The same workloads for several daemons: medians, and ratios to the first. Needs root.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// The daemons.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "windrosed,bird,frr,openbgpd,gobgp"
    )]
    daemons: Vec<Daemon>,
    /// The workloads, by name.
    #[arg(long, value_delimiter = ',', default_value = "W1,W2,W3,W4,W5,W6")]
    workloads: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Divides the number of prefixes.
    #[arg(long, default_value_t = 1)]
    shrink: usize,
    /// How many seconds a phase may take.
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// Where to write every measurement as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Print the configurations instead.
    #[arg(long)]
    configurations: bool,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let named = arguments.workloads.iter().map(|name| {
        let mut workloads = WORKLOADS.into_iter();
        let found = workloads.find(|workload| workload.name == name);
        let mut workload = found.with_context(|| format!("no workload {name:?}"))?;
        workload.prefixes = workload.prefixes.div_ceil(arguments.shrink);
        Ok(workload)
    });
    let workloads = named.collect::<Result<Vec<_>>>()?;
    if arguments.configurations {
        configurations(&arguments.daemons, &workloads);
        return Ok(());
    }
    let (mut report, limit) = (Report::default(), Duration::from_secs(arguments.limit));
    for daemon in &arguments.daemons {
        let version = daemon.version()?;
        println!("{:<12}{version}", daemon.name());
        report.versions.push((daemon.name().to_owned(), version));
    }
    for workload in &workloads {
        let daemons = arguments.daemons.iter().copied();
        let able: Vec<_> = daemons.filter(|&daemon| workload.is_for(daemon)).collect();
        for round in 1..=arguments.rounds {
            for &daemon in &able {
                eprintln!("{} {} {round}", workload.name, daemon.name());
                report.add(workload, daemon, run(daemon, workload, round, limit));
            }
        }
        println!("\n{}", report.table(workload.name));
        if let Some(path) = &arguments.json {
            std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
        }
    }
    Ok(())
}

/// What each daemon is told, with no more than two peers of a kind.
fn configurations(daemons: &[Daemon], workloads: &[Workload]) {
    for workload in workloads {
        for &daemon in daemons.iter().filter(|&&daemon| workload.is_for(daemon)) {
            let text = workload.configuration(daemon, 2);
            println!("# {} for {}\n{text}", daemon.name(), workload.name);
        }
    }
}
