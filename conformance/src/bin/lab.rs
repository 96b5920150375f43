//! Labs for people: `lab demo [--keep]`, `lab reroute`, `lab remove`. `cargo xtask` builds it and calls it.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use conformance::lab;
use conformance::reroute::{self, Contestant, IMPAIRMENTS, Report};

/// Labs for people. They need root.
#[derive(Parser)]
#[command(name = "lab")]
struct Arguments {
    #[command(subcommand)]
    lab: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Three regions, built, shown, and removed again.
    Demo {
        /// Leave it running.
        #[arg(long)]
        keep: bool,
    },
    /// A link between two regions loses packets, or holds them up: when traffic leaves it, what is lost, when it comes back.
    Reroute(Reroute),
    /// Removes labs that were kept.
    Remove,
}

#[derive(clap::Args)]
struct Reroute {
    /// Who routes.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "windrosed,bird,frr,babeld"
    )]
    contestants: Vec<Contestant>,
    /// How the link is bad: names, as the table has them.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "100,40,20,20-one-way,5,1,bursts,spikes,reordered,late"
    )]
    losses: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// How many labs at a time.
    #[arg(long, default_value_t = 4)]
    at_once: usize,
    /// Where to write every outcome as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Print the configurations instead.
    #[arg(long)]
    configurations: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().lab) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo { keep } => lab::demo::run(keep),
        Task::Reroute(reroute) => reroute.run(),
        Task::Remove => {
            println!("{} labs removed", lab::remove_kept()?);
            Ok(())
        }
    }
}

impl Reroute {
    fn run(&self) -> Result<()> {
        if self.configurations {
            for who in &self.contestants {
                for region in &lab::mesh::REGIONS {
                    let text = who.configuration(region);
                    println!("# {} in {}\n{text}", who.name(), region.name);
                }
            }
            return Ok(());
        }
        let named = self.losses.iter().map(|name| {
            let found = IMPAIRMENTS.into_iter().find(|known| known.name == name);
            found.with_context(|| format!("no loss {name:?}"))
        });
        let losses = named.collect::<Result<Vec<_>>>()?;
        for who in &self.contestants {
            println!("{:<12}{}", who.name(), who.version()?);
        }
        let mut report = Report::default();
        reroute::measure(
            &self.contestants,
            &losses,
            self.runs,
            self.at_once,
            &mut report,
        );
        report.sort(&losses, &self.contestants);
        println!("\n{}", report.table());
        if let Some(path) = &self.json {
            std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
        }
        ensure!(report.is_whole(), "not every run came to its end");
        Ok(())
    }
}
