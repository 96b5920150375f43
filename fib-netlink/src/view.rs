//! What an operator sees of the FIB: plain values, made when asked for.

use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

/// How things stand.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// Configured to install.
    pub install: bool,
    /// Nothing is installed, and `installed`, `different`, `missing` and `extra` compare with what others did.
    pub shadow: bool,
    /// The kernel lets us (CAP_NET_ADMIN); true until it says otherwise.
    pub permitted: bool,
    /// Routes point to nexthop objects.
    pub nexthop_objects: bool,
    /// The kernel's state is known: its first dump is complete.
    pub synchronized: bool,
    /// Prefixes for which something is wanted.
    pub wanted: usize,
    /// Routes in the kernel that are ours.
    pub actual: usize,
    /// Prefixes whose wanted and actual route are the same.
    pub installed: usize,
    /// Prefixes on their way.
    pub pending: usize,
    /// Prefixes the kernel refused, waiting for the next try; foreign routes in the way among them.
    pub failed: usize,
    /// Routes of an earlier life that nobody wants yet.
    pub stale: usize,
    /// In shadow mode: the kernel has another route than we would install.
    pub different: usize,
    /// In shadow mode: the kernel has none.
    pub missing: usize,
    /// In shadow mode: the kernel has one that we would not install.
    pub extra: usize,
    /// Routes of others that have our protocol number.
    pub strangers: usize,
    /// Routes of others that are kept in mind.
    pub foreign: usize,
    /// Routes of others for which there is no room: they lead to no next hop.
    pub foreign_left_out: usize,
    /// Nexthop objects and groups of ours in the kernel.
    pub nexthops: usize,
    /// Changes sent to the kernel since start.
    pub changes: u64,
    /// Of those, refused.
    pub refused: u64,
    /// Times the kernel's state was read anew.
    pub resyncs: u64,
}

/// How wanted and actual compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteState {
    /// They are the same.
    Installed,
    /// They are not, and the change is on its way, or waits for a next hop to be reachable.
    Pending,
    /// The kernel refused.
    Failed {
        /// What it said.
        errno: i32,
        /// How often.
        attempts: u32,
        /// When the next attempt is.
        retry: Instant,
    },
    /// Another program's route has the same prefix and metric.
    Foreign {
        /// When the next attempt is.
        retry: Instant,
    },
    /// Ours from an earlier life, and not wanted so far.
    Stale,
    /// In shadow mode: another program's route does something else.
    Different,
    /// In shadow mode: no program has a route there.
    Missing,
    /// In shadow mode: a routing daemon has a route there that we would not install.
    Extra,
}

impl RouteState {
    /// Its name in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Pending => "pending",
            Self::Failed { .. } => "failed",
            Self::Foreign { .. } => "foreign",
            Self::Stale => "stale",
            Self::Different => "different",
            Self::Missing => "missing",
            Self::Extra => "extra",
        }
    }
}

/// One prefix in one place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FibRow {
    /// Where to.
    pub prefix: IpNet,
    /// The kernel's table.
    pub table: u32,
    /// The route's metric there.
    pub metric: u32,
    /// The preferred source that is wanted, or is there.
    pub prefsrc: Option<IpAddr>,
    /// What is wanted there, in the kernel's words; `None`: nothing.
    pub wanted: Option<String>,
    /// What is there; `None`: nothing of ours.
    pub actual: Option<String>,
    /// How they compare.
    pub state: RouteState,
}

/// What the kernel means by an error number.
#[must_use]
pub fn errno_text(errno: i32) -> &'static str {
    nix::errno::Errno::from_raw(errno).desc()
}
