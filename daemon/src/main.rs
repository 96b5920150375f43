//! windrosed, the daemon: sockets, tasks, files, the clock.

mod args;
mod config;
mod control;
mod driver;
mod gate;
mod logging;
mod metrics;
mod startup;
mod systemd;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = args::Args::parse();
    if args.check {
        return startup::check(&args);
    }
    startup::run(&args)
}
