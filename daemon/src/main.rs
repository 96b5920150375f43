//! windrosed, the daemon: sockets, tasks, files, the clock.

mod args;
mod birdc;
mod check;
mod config;
mod control;
mod driver;
mod gate;
mod kept;
mod liveness;
mod logging;
mod metrics;
mod startup;
mod systemd;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages make tables no faster, and larger by a third; at rest they cost as much as all else.
    let _ = nix::sys::prctl::set_thp_disable(true);
    let args = args::Args::parse();
    if args.check {
        return startup::check(&args);
    }
    startup::run(&args)
}
