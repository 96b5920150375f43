//! The daemon's command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The BGP speaker for gateways between clouds.
///
/// Ends with 0 when it was told to end, 1 for a bad configuration, 2 when it cannot start.
#[derive(Debug, Parser)]
#[command(name = "windrosed", version)]
pub(crate) struct Args {
    /// The configuration.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/windrose/windrose.toml"
    )]
    pub(crate) config: PathBuf,

    /// Validate the configuration, print the effective one, and exit with 0 or 1.
    #[arg(long)]
    pub(crate) check: bool,

    /// How log lines look. `RUST_LOG` says which are written; the default is `info`.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
