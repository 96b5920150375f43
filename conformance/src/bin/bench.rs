//! `bench`: the same workloads for several daemons, one after the other, several rounds; `bench scale`: how their cost
//! grows. Needs root.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use conformance::bench::{
    Daemon, Growth, Report, SERIES, Series, WORKLOADS, Workload, markdown, run, svg,
};
use conformance::lab::many_files;

/// The same workloads for several daemons: medians, and ratios to the first. Needs root.
#[derive(Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    loads: Loads,
}

#[derive(Subcommand)]
enum Task {
    /// How cost grows: 10,000 to 1,000,000 routes, 1 to 1,000 peers, 1 to 16 paths a route, 1 to 500 reflected clients.
    Scale(Scale),
}

#[derive(clap::Args)]
struct Loads {
    /// The daemons.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "windrosed,bird,frr,openbgpd,gobgp"
    )]
    daemons: Vec<Daemon>,
    /// The workloads, by name.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "W1,W2,W3,W4,W5,W6,v6,internet,paths16,tiny,keep,guard,failover,bad"
    )]
    workloads: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    #[command(flatten)]
    how: How,
    /// Measure nothing: read what was written as JSON, in one run or in several.
    #[arg(long, value_delimiter = ',', conflicts_with = "json")]
    from: Vec<PathBuf>,
    /// Where to draw the medians, as SVG.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Print the medians as the README's table.
    #[arg(long)]
    markdown: bool,
    /// Print the configurations instead.
    #[arg(long)]
    configurations: bool,
}

#[derive(clap::Args)]
struct Scale {
    /// The daemons.
    #[arg(long, value_delimiter = ',', default_value = "windrosed,bird")]
    daemons: Vec<Daemon>,
    /// What grows, by name.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "routes,peers,paths,clients"
    )]
    series: Vec<String>,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    #[command(flatten)]
    how: How,
}

/// What both have.
#[derive(clap::Args)]
struct How {
    /// Divides the number of prefixes.
    #[arg(long, default_value_t = 1)]
    shrink: usize,
    /// How many seconds a phase may take.
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// Where to write every measurement as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl How {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    many_files();
    let done = match &arguments.task {
        Some(Task::Scale(scale)) => scale.run(),
        None => arguments.loads.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

impl Loads {
    fn run(&self) -> Result<()> {
        let report = if self.from.is_empty() {
            let workloads = self.workloads()?;
            if self.configurations {
                self.print_configurations(&workloads);
                return Ok(());
            }
            self.measure(&workloads)?
        } else {
            self.read()?
        };
        if self.markdown {
            println!("{}", markdown(&report));
        }
        if let Some(path) = &self.svg {
            std::fs::write(path, svg(&report))?;
        }
        Ok(())
    }

    fn read(&self) -> Result<Report> {
        let mut joined = Report::default();
        for path in &self.from {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| path.display().to_string())?;
            joined.join(serde_json::from_str(&text)?);
        }
        for workload in joined.workloads() {
            println!("{}", joined.table(workload));
        }
        Ok(joined)
    }

    fn workloads(&self) -> Result<Vec<Workload>> {
        let named = self.workloads.iter().map(|name| {
            let mut workloads = WORKLOADS.into_iter();
            let found = workloads.find(|workload| workload.name == name);
            let mut workload = found.with_context(|| format!("no workload {name:?}"))?;
            workload.prefixes = workload.prefixes.div_ceil(self.how.shrink.max(1));
            Ok(workload)
        });
        named.collect()
    }

    fn measure(&self, workloads: &[Workload]) -> Result<Report> {
        let (mut report, limit) = (Report::default(), self.how.limit());
        report.versions = versions(&self.daemons)?;
        for workload in workloads {
            let daemons = self.daemons.iter().copied();
            let able: Vec<_> = daemons.filter(|&daemon| workload.is_for(daemon)).collect();
            for round in 1..=self.rounds {
                for &daemon in &able {
                    eprintln!("{} {} {round}", workload.name, daemon.name());
                    report.add(workload, daemon, run(daemon, workload, round, limit));
                }
            }
            println!("\n{}", report.table(workload.name));
            write_json(self.how.json.as_deref(), &report)?;
        }
        Ok(report)
    }

    /// What each daemon is told, with no more than two peers of a kind.
    fn print_configurations(&self, workloads: &[Workload]) {
        for workload in workloads {
            let able = self.daemons.iter();
            for &daemon in able.filter(|&&daemon| workload.is_for(daemon)) {
                let text = workload.configuration(daemon, 2);
                println!("# {} for {}\n{text}", daemon.name(), workload.name);
            }
        }
    }
}

impl Scale {
    fn run(&self) -> Result<()> {
        let named = self.series.iter().map(|name| {
            let found = SERIES.into_iter().find(|series| series.name == name);
            found.with_context(|| format!("no series {name:?}"))
        });
        let series = named.collect::<Result<Vec<Series>>>()?;
        versions(&self.daemons)?;
        let (mut growth, limit) = (Growth::default(), self.how.limit());
        for series in &series {
            for &size in series.sizes {
                let workload = series.workload(size, self.how.shrink);
                for round in 1..=self.rounds {
                    for &daemon in &self.daemons {
                        eprintln!("{} {size} {} {round}", series.name, daemon.name());
                        let outcome = run(daemon, &workload, round, limit);
                        growth.add(series, size, daemon, outcome);
                    }
                }
            }
            println!("\n{}", growth.table(series));
            write_json(self.how.json.as_deref(), &growth)?;
        }
        Ok(())
    }
}

fn versions(daemons: &[Daemon]) -> Result<Vec<(String, String)>> {
    let said = daemons.iter().map(|daemon| {
        let version = daemon.version()?;
        println!("{:<12}{version}", daemon.name());
        Ok((daemon.name().to_owned(), version))
    });
    said.collect()
}

fn write_json(path: Option<&Path>, value: &impl serde::Serialize) -> Result<()> {
    if let Some(path) = path {
        std::fs::write(path, serde_json::to_string_pretty(value)?)?;
    }
    Ok(())
}
