//! Wanted and actual are two columns of one table; this is the difference.

use std::time::Instant;

use ipnet::IpNet;

use crate::{FibRow, Input, NextHop, Output, PreferredSource, Resolution, Status};

/// Changes in one batch, at most: under 16 KiB of netlink.
pub const OPS_MAX: usize = 250;
/// Batches sent and not yet answered, at most.
pub const BATCHES_MAX: usize = 4;

/// How routes are installed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FibConfig {
    /// False: nothing is ever written; next hops are resolved all the same.
    pub install: bool,
    /// The kernel's table for our routes.
    pub table: u32,
    /// `RTA_PRIORITY` of our routes.
    pub metric: u32,
    /// The protocol number that makes a route ours.
    pub protocol: u8,
    /// Preferred source addresses.
    pub prefsrc: PreferredSource,
    /// Nexthop objects and groups, if the kernel has them.
    pub nexthop_groups: bool,
    /// Routes stay after [`Input::Shutdown`].
    pub keep_on_exit: bool,
    /// The tables in which next hops are looked up, the first one that knows the way rules.
    pub resolve_tables: Vec<u32>,
    /// The default route is good enough to reach a next hop.
    pub resolve_via_default: bool,
}

impl Default for FibConfig {
    fn default() -> Self {
        Self {
            install: true,
            table: 254,
            metric: 20,
            protocol: 186,
            prefsrc: PreferredSource::default(),
            nexthop_groups: true,
            keep_on_exit: false,
            resolve_tables: vec![254],
            resolve_via_default: true,
        }
    }
}

/// The planner.
#[derive(Debug)]
pub struct Fib {
    config: FibConfig,
}

impl Fib {
    /// A planner that knows nothing of the kernel yet: its driver dumps the kernel's state first.
    #[must_use]
    pub fn new(config: FibConfig) -> Self {
        Self { config }
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, _now: Instant, _input: Input, _out: &mut Vec<Output>) {}

    /// When to call with [`Input::Timeout`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// How it is configured.
    #[must_use]
    pub fn config(&self) -> &FibConfig {
        &self.config
    }

    /// How things stand. Walks the table.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// At most `limit` rows after `after`, in the order of their prefixes, IPv4 first; with
    /// `diff_only` those that are not [`Installed`](crate::RouteState::Installed). Walks the table.
    #[must_use]
    pub fn routes(&self, _after: Option<IpNet>, _limit: usize, _diff_only: bool) -> Vec<FibRow> {
        Vec::new()
    }

    /// One row.
    #[must_use]
    pub fn route(&self, _prefix: IpNet) -> Option<FibRow> {
        None
    }

    /// How a next hop is reached now, tracked or not.
    #[must_use]
    pub fn resolve(&self, _next_hop: NextHop) -> Option<Resolution> {
        None
    }

    /// The index of a link.
    #[must_use]
    pub fn interface(&self, _name: &str) -> Option<u32> {
        None
    }

    /// Whether one of our links has this address.
    #[must_use]
    pub fn has_address(&self, _address: std::net::IpAddr) -> bool {
        false
    }

    /// Whether the kernel has a route to exactly this prefix that is not ours.
    #[must_use]
    pub fn has_route(&self, _prefix: IpNet) -> bool {
        false
    }
}
