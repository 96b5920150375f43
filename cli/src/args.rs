//! What may be typed: commands, arguments, and their help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use proto::v1;

use crate::client::Address;
use crate::inject::{BATCH_HELP, RouteSpec};
use crate::output::Format;
use crate::policy::PolicyTest;

/// Looks after windrosed, the BGP speaker of this gateway.
#[derive(Debug, Parser)]
#[command(
    name = "windrose",
    version,
    infer_subcommands = true,
    after_help = "Exit codes: 0 done, 1 refused, 2 windrosed is not reachable, 3 not all of it could be imported."
)]
pub(crate) struct Windrose {
    /// Where windrosed listens: unix:/PATH, a plain path, or tcp://HOST:PORT
    #[arg(
        short,
        long,
        global = true,
        env = "WINDROSE_API",
        value_name = "ADDRESS",
        default_value = "unix:/run/windrose/api.sock"
    )]
    pub(crate) server: Address,
    /// How to print
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) tls: Tls,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Files in PEM for TLS over TCP; any of them turns it on.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "TLS, with tcp://")]
pub(crate) struct Tls {
    /// Certificates of the authorities that may have signed the server's
    #[arg(
        long = "tls-ca",
        global = true,
        hide_short_help = true,
        env = "WINDROSE_TLS_CA",
        value_name = "FILE"
    )]
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate
    #[arg(
        long = "tls-cert",
        global = true,
        hide_short_help = true,
        env = "WINDROSE_TLS_CERT",
        value_name = "FILE"
    )]
    pub(crate) cert: Option<PathBuf>,
    /// Its key
    #[arg(
        long = "tls-key",
        global = true,
        hide_short_help = true,
        env = "WINDROSE_TLS_KEY",
        value_name = "FILE"
    )]
    pub(crate) key: Option<PathBuf>,
}

/// What to write, and where.
#[derive(Args, Debug)]
pub(crate) struct Dump {
    /// The file; in its name, the moment at which it begins (UTC) can take the place of %Y, %m, %d, %H, %M, %S, %s
    pub(crate) file: PathBuf,
    /// Write what peers send from now on, until interrupted
    #[arg(long)]
    pub(crate) updates: bool,
    /// Begin another file each time so long has passed, as counted from midnight, until interrupted
    #[arg(long, value_name = "DURATION", value_parser = crate::text::parse_duration)]
    pub(crate) every: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How the daemon is: version, uptime, router, counts, health
    Status,
    /// Peers: who they are, how they are, and orders to them
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Routes: what there is, why, and routes of our own
    #[command(subcommand)]
    Route(RouteCommand),
    /// The kernel's routes
    #[command(subcommand)]
    Fib(FibCommand),
    /// Links: what probes say of the way to peers, and what it costs
    #[command(subcommand)]
    Link(LinkCommand),
    /// BFD: whether packets come through to neighbors
    #[command(subcommand)]
    Bfd(BfdCommand),
    /// Write all accepted paths, or what peers send, into a file, in MRT (RFC 6396)
    Dump(Dump),
    /// Leave without loss (RFC 8326): peers are told to move away, and after a while that all routes are gone
    ///
    /// Sessions stay, and what peers send is forwarded on. `status` shows how far it is. A restart of windrosed ends it.
    Drain {
        /// How long peers have to move away before routes are withdrawn
        #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = crate::text::parse_duration)]
        grace: Duration,
        /// Wait until routes are withdrawn and all peers have been told
        #[arg(long)]
        wait: bool,
    },
    /// Come back: peers are told all routes as they are
    Undrain,
    /// Policies, and what they would do
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The daemon's configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write windrose.toml from another program's configuration
    #[command(subcommand)]
    Import(ImportCommand),
    /// Print completions for a shell
    Completion { shell: Shell },
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man { dir: PathBuf },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PeerCommand {
    /// All peers
    List,
    /// All about one peer
    Show { peer: String },
    /// Bring a peer up that was disabled
    Enable { peer: String },
    /// Take a peer down and keep it down
    Disable {
        peer: String,
        /// Told to the peer (RFC 9003)
        #[arg(long)]
        message: Option<String>,
    },
    /// Take a peer down; it comes up again by itself
    Reset {
        peer: String,
        /// Told to the peer (RFC 9003)
        #[arg(long)]
        message: Option<String>,
    },
    /// Ask a peer for all its routes again, and tell it all of ours (RFC 2918)
    Refresh {
        peer: String,
        #[arg(long)]
        family: Option<Family>,
    },
    /// Add a peer to those of the configuration's file, at once
    ///
    /// It is checked as the file is. A reload of the file leaves it alone.
    Add(PeerSpec),
    /// Configure a peer anew that was added: all that is to hold must be said again
    Update(PeerSpec),
    /// Remove a peer that was added
    Delete {
        peer: String,
        /// Only until the next restart, if it was kept
        #[arg(long)]
        keep: bool,
    },
    /// Each peer as it is now, then each as it changes state
    Watch { peer: Option<String> },
}

/// A peer, as words or as a file.
#[derive(Args, Debug)]
pub(crate) struct PeerSpec {
    /// Its address, as 10.0.0.2 or fe80::2%eth0
    #[arg(required_unless_present = "file")]
    pub(crate) peer: Option<String>,
    #[arg(long)]
    pub(crate) asn: Option<u32>,
    /// A peer group of the configuration's file
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// A policy; once for each, in order
    #[arg(long, value_name = "POLICY")]
    pub(crate) import: Vec<String>,
    /// Likewise
    #[arg(long, value_name = "POLICY")]
    pub(crate) export: Vec<String>,
    /// Any other key of `[[peer]]`, as hold-time=30s or multihop=2
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The keys of `[[peer]]` in TOML; `-` reads standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["peer", "asn", "group", "import", "export", "set"])]
    pub(crate) file: Option<PathBuf>,
    /// Keep it over restarts of windrosed
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Routes and their paths
    ///
    /// The mark before a path: `>` the best, `=` shares the traffic with it, `*` may be chosen, `s` stale,
    /// blank: not valid. In JSON, `best` of a row is the `peer` of its best path, or null; `peer` is an address,
    /// or `originate`, `static`, `connected`, `kernel`, `aggregate`, `api:OWNER` for routes of our own.
    List(RouteList),
    /// Why a route is as it is: each path and the step that settled it
    Explain { prefix: String },
    /// The routes, then each as it changes
    Watch {
        /// Go on behind this `resume_token` of an earlier watch
        #[arg(long, value_name = "TOKEN")]
        resume: Option<String>,
    },
    /// Put a route in, or a batch of them
    #[command(after_long_help = BATCH_HELP)]
    Inject(Inject),
    /// Take a route out that was put in
    Withdraw {
        prefix: String,
        /// Its owner; absent: whatever `inject` without --owner put in
        #[arg(long, value_name = "NAME")]
        owner: Option<String>,
        #[arg(long, value_name = "NUMBER", default_value_t)]
        path_id: u32,
    },
    /// Who has put in how many routes
    Owners,
}

#[derive(Args, Debug, Default)]
pub(crate) struct RouteList {
    /// This prefix alone
    pub(crate) prefix: Option<String>,
    /// Only the best path of each
    #[arg(long)]
    pub(crate) best: bool,
    /// As this peer sent them, before import policy
    #[arg(long, value_name = "PEER", conflicts_with = "advertised")]
    pub(crate) received: Option<String>,
    /// As this peer is told them
    #[arg(long, value_name = "PEER")]
    pub(crate) advertised: Option<String>,
    /// All prefixes within PREFIX
    #[arg(long, requires = "prefix")]
    pub(crate) longer: bool,
    #[arg(long)]
    pub(crate) family: Option<Family>,
}

#[derive(Args, Debug)]
pub(crate) struct Inject {
    #[command(flatten)]
    pub(crate) route: RouteSpec,
    /// A batch in TOML or JSON, all or none; `-` reads standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "prefix")]
    pub(crate) file: Option<PathBuf>,
    /// Who owns the route: it can be renewed and withdrawn under this name
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,
    /// The owner's routes go when it was not heard for so long, as in 30s
    #[arg(long, value_name = "DURATION", value_parser = crate::text::parse_duration)]
    pub(crate) lease: Option<Duration>,
    /// Stay, and renew the lease until interrupted
    #[arg(long)]
    pub(crate) hold: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// All links that are measured
    List,
    /// One link, with the history of its cost
    Show { peer: String },
    /// How a link's cost changed, and why
    History { peer: String },
    /// Every link, and then each whose state or cost changes
    Watch,
    /// What no session tells: AllowedIPs, MTU, reverse path filters, forwarding and the like; 1 if packets are dropped
    Check {
        /// One peer; without it, all
        peer: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BfdCommand {
    /// All sessions
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FibCommand {
    /// What we want in the kernel, and what is there
    List {
        /// Only where the two differ
        #[arg(long)]
        diff: bool,
    },
    /// Where what we want in the kernel and what is there differ; in shadow mode, where another program did otherwise
    Diff,
    /// One prefix: table, metric and source, what policy said, how its next hops are reached
    Show { prefix: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// All policies of the configuration, and who uses them
    List,
    /// A policy as it is in force
    Show { name: String },
    /// Send one route through a policy: what it decides, which rules spoke and what they set; nothing changes
    Test(Box<PolicyTest>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Whether the daemon could take this file: all mistakes at once
    Check { file: PathBuf },
    /// What would change with this file; absent: with the daemon's own as it is now
    Diff { file: Option<PathBuf> },
    /// Take the daemon's own file anew: all of it or nothing
    Reload,
    /// The configuration in force, defaults filled in
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// From bird.conf, of BIRD 2 or 1.6; no daemon is needed
    ///
    /// windrose.toml goes to standard output, with comments that point to lines of bird.conf. What has no translation is
    /// listed on standard error, by file and line, and so is what is worth knowing. The exit code is 0 if all was
    /// translated, 3 if something was not, 1 if the file cannot be read.
    Bird {
        file: PathBuf,
        /// Write windrose.toml here
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

impl From<Family> for v1::Family {
    fn from(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Ipv4,
            Family::Ipv6 => Self::Ipv6,
        }
    }
}

#[cfg(test)]
mod tests;
