//! `cargo xtask demo | test | lab | bench | tidy | sim`: the one front door.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod bench;
mod cargo;
mod count;
mod debian;
mod guest;
mod kernels;
mod micro;
mod packages;
mod test;
mod tidy;

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use cargo::{cargo, execute};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What people do with this repository.")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Three regions in network namespaces, over WireGuard: built, shown, and removed again. Needs root.
    Demo {
        /// Leave it running, to play with.
        #[arg(long, conflicts_with = "remove")]
        keep: bool,
        /// Remove what --keep left.
        #[arg(long)]
        remove: bool,
    },
    /// Everything that is tested: format, lints, units, simulator, labs, tidy, licences.
    Test,
    /// The interop labs whose names contain NAME, with all they print; `lab reroute`: how fast traffic leaves a lossy
    /// link, with windrosed, BIRD, FRR and babeld; `lab kernels`: the WireGuard of an old and a new kernel of Debian's, in
    /// virtual machines. All but the last needs root.
    Lab {
        /// Part of a name: `kernel`, `sessions::a_lost_session`; or `reroute`; or `kernels`.
        name: String,
        /// What `lab reroute --help` lists.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Windrosed beside BIRD, FRR, OpenBGPD and GoBGP, as medians and ratios; `bench scale`: how cost grows; `bench load`: a full table
    /// through windrosed alone while 200 idle peers keep their sessions. Both need root. `bench micro`: the instructions
    /// that each engine takes for a route or a message, under valgrind.
    Bench {
        /// What `bench --help`, `bench load --help` and `bench micro --help` list.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Checks that no compiler makes.
    Tidy {
        /// Write the table of RFC clauses into the README.
        #[arg(long)]
        write: bool,
    },
    /// Replays one run of the simulator.
    Sim {
        /// The seed that a failure printed.
        seed: u64,
        /// A world of so many gateways with BFD and probes, in regions of two, with route reflectors.
        #[arg(long)]
        gateways: Option<usize>,
    },
}

fn main() -> ExitCode {
    run().unwrap_or_else(|e| {
        eprintln!("{e:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    let done = match Arguments::parse().task {
        Task::Demo { remove: true, .. } => {
            build_demo()?;
            execute(cargo::lab_program("lab").arg("remove"))
        }
        Task::Demo { keep, .. } => demo(keep),
        Task::Test => return test::run(),
        Task::Lab { name, words } if name == "reroute" => reroute(&words),
        Task::Lab { name, .. } if name == "kernels" => return test::kernels(),
        Task::Lab { name, .. } => test::lab(&name),
        Task::Bench { words } if words.first().is_some_and(|word| word == "micro") => {
            micro::run(&words)
        }
        Task::Bench { words } => bench::run(&words),
        Task::Tidy { write } => tidy::run(write),
        Task::Sim { seed, gateways } => sim(seed, gateways),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn sim(seed: u64, gateways: Option<usize>) -> Result<()> {
    let mut command = cargo(["run", "-p", "conformance", "--bin", "sim"]);
    if let Some(gateways) = gateways {
        command.args([
            "--profile",
            "lab",
            "--",
            "--gateways",
            &gateways.to_string(),
        ]);
    } else {
        command.arg("--");
    }
    execute(command.arg(seed.to_string()))
}

fn demo(keep: bool) -> Result<()> {
    packages::require_root("the demonstration makes network namespaces")?;
    packages::install(packages::DEMO)?;
    build_demo()?;
    let mut command = cargo::lab_program("lab");
    command.arg("demo").args(keep.then_some("--keep"));
    execute(&mut command)
}

/// Ahead of whatever else runs: what it times is real.
fn reroute(words: &[String]) -> Result<()> {
    packages::require_root("labs make network namespaces")?;
    packages::install(packages::DEMO)?;
    packages::install(packages::REROUTE)?;
    build_demo()?;
    let lab = cargo::lab_program("lab");
    let mut nice = Command::new("nice");
    nice.args(["-n", "-10"]).arg(lab.get_program());
    cargo::with_programs(&mut nice);
    execute(nice.arg("reroute").args(words))
}

fn build_demo() -> Result<()> {
    let packages = ["-p", "daemon", "-p", "cli", "-p", "conformance"];
    let programs = ["--bin", "windrosed", "--bin", "windrose", "--bin", "lab"];
    execute(
        cargo(["build", "--profile", "lab"])
            .args(packages)
            .args(programs),
    )
}
