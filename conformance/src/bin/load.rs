//! `load`: a table of routes through a daemon while idle peers keep their sessions, what it cost, and how
//! little the daemon is when it has nothing to do. Needs root.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use conformance::bench::{Daemon, PLAIN, Workload, run};
use conformance::lab;
use conformance::load::{Kept, Measured};
use serde_json::json;

/// The Hold Time of idle peers is 9 s (the daemon owes a KEEPALIVE each 3 s, RFC 4271 §10): this is late.
const LATE: f64 = 4.5;
/// A daemon at rest has this many peers, and may take this much.
const AT_REST: usize = 10;
const MOST_MIB: f64 = 15.0;

/// Routes through a daemon, while idle peers keep their sessions. Needs root.
#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    /// The daemon: windrosed, bird, frr, openbgpd or gobgp.
    #[arg(long, default_value = "windrosed")]
    daemon: Daemon,
    /// Peers that announce.
    #[arg(long, default_value_t = 1)]
    senders: usize,
    /// Routes of each of them.
    #[arg(long, default_value_t = 1_000_000)]
    routes: usize,
    /// They announce the same prefixes.
    #[arg(long)]
    overlap: bool,
    /// Peers that count.
    #[arg(long, default_value_t = 1)]
    receivers: usize,
    /// Peers that keep a session and nothing else.
    #[arg(long, default_value_t = 200)]
    idle: usize,
    /// Names the table.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
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
    let loaded = Workload {
        name: "load",
        senders: arguments.senders,
        prefixes: arguments.routes,
        overlap: arguments.overlap,
        receivers: arguments.receivers,
        idlers: arguments.idle,
        ..PLAIN
    };
    let at_rest = Workload {
        name: "at rest",
        receivers: AT_REST,
        senders: 0,
        ..PLAIN
    };
    let limit = Duration::from_secs(300);
    let rest = run(arguments.daemon, &at_rest, arguments.seed, limit)?.idle_rss_mib;
    let outcome = run(arguments.daemon, &loaded, arguments.seed, limit)?;
    let load = outcome.load.context("nothing was loaded")?;
    let program = stripped_mib(&arguments.daemon.program())?;
    if arguments.json {
        println!(
            "{}",
            json!({ "load": outcome, "rest_rss_mib": rest, "stripped_mib": program })
        );
    } else {
        show(arguments, load, outcome.idle.as_ref(), rest, program);
    }
    if let (Daemon::Windrosed, Some(idle)) = (arguments.daemon, outcome.idle) {
        let gap = idle.longest_gap_s;
        ensure!(
            idle.lost.is_empty(),
            "idle peers were lost: {:?}",
            idle.lost
        );
        ensure!(gap < LATE, "an idle peer heard nothing for {gap:.2} s");
        ensure!(rest <= MOST_MIB, "{rest:.1} MiB at rest");
        ensure!(program <= MOST_MIB, "the program has {program:.1} MiB");
    }
    Ok(())
}

fn show(arguments: &Arguments, load: Measured, idle: Option<&Kept>, rest: f64, program: f64) {
    let (senders, routes) = (arguments.senders, arguments.routes);
    println!(
        "{}: {senders} × {routes} routes to {}",
        arguments.daemon.name(),
        arguments.receivers
    );
    println!(
        "  from the first byte to the last prefix   {:>8.2} s",
        load.wall_s
    );
    println!(
        "  processor                                {:>8.2} s",
        load.cpu_s
    );
    println!(
        "  peak RSS                                 {:>8.1} MiB",
        load.peak_rss_mib
    );
    if let Some(idle) = idle {
        println!(
            "  of {:>3} idle peers, lost                     {:>8}",
            idle.peers,
            idle.lost.len()
        );
        println!(
            "  longest time without a word to them      {:>8.2} s",
            idle.longest_gap_s
        );
    }
    println!("  RSS with ten peers and no route          {rest:>8.1} MiB");
    println!("  the program, stripped                    {program:>8.1} MiB");
    println!(
        "  processor of other programs meanwhile    {:>8.2} s",
        load.others_cpu_s
    );
}

/// How large a program is without its symbols.
fn stripped_mib(program: &str) -> Result<f64> {
    let file = tempfile::NamedTempFile::new()?;
    let found = lab::run(Command::new("which").arg(program))?;
    let mut strip = Command::new("strip");
    lab::run(strip.arg("-o").arg(file.path()).arg(found.trim()))?;
    #[expect(clippy::cast_precision_loss, reason = "a size of some megabytes")]
    let size = file.path().metadata()?.len() as f64;
    Ok(size / f64::from(1 << 20))
}
