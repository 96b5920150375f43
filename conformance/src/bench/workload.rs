//! What is measured: the workloads by name.

use bgp_core::Family;

use super::daemons::Daemon;
use super::failover;
use super::topology::Topology;
use crate::load::Paths;

/// Who announces what to whom.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its short name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// How many announce.
    pub senders: usize,
    /// How many prefixes each of them.
    pub prefixes: usize,
    /// All announce the same ones.
    pub overlap: bool,
    /// How many count.
    pub receivers: usize,
    /// How many only keep a session.
    pub idlers: usize,
    /// All are clients of a route reflector; those who announce are told, too.
    pub reflects: bool,
    /// The device installs routes.
    pub kernel: bool,
    /// The senders leave in the end.
    pub leaves: bool,
    /// Changes a second afterwards, and for how many seconds.
    pub churn: Option<(u32, u64)>,
    /// Of the prefixes.
    pub family: Family,
    /// What paths are like.
    pub paths: Paths,
    /// Equal paths that share traffic.
    pub multipath: usize,
    /// It is loaded again beside peers that are no good.
    pub bad: bool,
    /// Those who idle have BFD sessions, and so many links are probed.
    pub probed: Option<usize>,
    /// All of that does not matter: a link dies.
    pub failover: bool,
}

/// One of everything; the others say where they differ.
pub const PLAIN: Workload = Workload {
    name: "",
    about: "",
    senders: 1,
    prefixes: 0,
    overlap: false,
    receivers: 1,
    idlers: 0,
    reflects: false,
    kernel: false,
    leaves: false,
    churn: None,
    family: Family::Ipv4Unicast,
    paths: Paths::Plain,
    multipath: 1,
    bad: false,
    probed: None,
    failover: false,
};

/// The workloads by name.
pub const WORKLOADS: [Workload; 14] = [
    Workload {
        name: "W1",
        about: "a full table: 1 sender, 1,000,000 routes, 1 receiver; then (W7) the sender leaves",
        prefixes: 1_000_000,
        leaves: true,
        ..PLAIN
    },
    Workload {
        name: "W2",
        about: "overlap: 10 senders, the same 100,000 routes by other paths, 1 receiver",
        senders: 10,
        prefixes: 100_000,
        overlap: true,
        ..PLAIN
    },
    Workload {
        name: "W3",
        about: "many peers: 100 senders with 2,000 routes each, 1 receiver",
        senders: 100,
        prefixes: 2_000,
        ..PLAIN
    },
    Workload {
        name: "W4",
        about: "a route reflector: 100,000 routes to 100 clients",
        prefixes: 100_000,
        receivers: 100,
        reflects: true,
        ..PLAIN
    },
    Workload {
        name: "W5",
        about: "churn: 200 clients of a route reflector, 200 changes a second for 20 s",
        senders: 200,
        prefixes: 4,
        reflects: true,
        churn: Some((200, 20)),
        ..PLAIN
    },
    Workload {
        name: "W6",
        about: "the kernel: 200,000 routes in, and out again",
        prefixes: 200_000,
        kernel: true,
        leaves: true,
        ..PLAIN
    },
    Workload {
        name: "v6",
        about: "a full table of IPv6: 1 sender, 1,000,000 routes of the lengths that the Internet has, 1 receiver; the sender leaves",
        prefixes: 1_000_000,
        family: Family::Ipv6Unicast,
        leaves: true,
        ..PLAIN
    },
    Workload {
        name: "internet",
        about: "W1 with the paths of the Internet: longer, with more communities, large ones, MEDs and aggregators",
        prefixes: 1_000_000,
        paths: Paths::Internet,
        ..PLAIN
    },
    Workload {
        name: "paths16",
        about: "16 senders, the same 20,000 routes by paths as good, all 16 of them in the kernel",
        senders: 16,
        prefixes: 20_000,
        overlap: true,
        paths: Paths::Equal,
        multipath: 16,
        kernel: true,
        ..PLAIN
    },
    Workload {
        name: "tiny",
        about: "10 senders with 10 routes each, 1 receiver",
        senders: 10,
        prefixes: 10,
        ..PLAIN
    },
    Workload {
        name: "bad",
        about: "300,000 routes to 1 receiver, by itself, then beside a slow reader, one that stopped, an UPDATE that never ends, ten peers that flap",
        prefixes: 300_000,
        bad: true,
        ..PLAIN
    },
    Workload {
        name: "keep",
        about: "a full table of 1,000,000 routes while 200 idle peers keep their sessions (Hold Time 9 s)",
        prefixes: 1_000_000,
        idlers: 200,
        ..PLAIN
    },
    Workload {
        name: "guard",
        about: "a full table of 1,000,000 routes beside 50 BFD sessions at 50 ms × 3 and 20 probed links: how many fail",
        prefixes: 1_000_000,
        idlers: 50,
        probed: Some(20),
        ..PLAIN
    },
    Workload {
        name: "failover",
        about: "a link dies under 1, 1,000 and 100,000 routes: from when BFD must say so to the last route in the kernel",
        failover: true,
        ..PLAIN
    },
];

impl Workload {
    /// Whether a daemon can be measured with it.
    #[must_use]
    pub const fn is_for(&self, daemon: Daemon) -> bool {
        (!self.kernel || daemon.installs())
            && ((!self.failover && self.probed.is_none()) || daemon.has_bfd())
    }

    /// What a daemon is told, with no more than `most` peers of a kind.
    #[must_use]
    pub fn configuration(&self, daemon: Daemon, most: usize) -> String {
        if self.failover {
            return failover::configuration(daemon);
        }
        let mut topology = self.topology();
        topology.senders.truncate(most);
        topology.receivers.truncate(most);
        topology.idlers.truncate(most);
        daemon.configuration(&topology)
    }

    /// The device and its peers.
    #[must_use]
    pub fn topology(&self) -> Topology {
        let mut topology = Topology::new(self.senders, self.receivers, self.idlers);
        if self.reflects {
            topology = topology.reflecting();
            // A mesh's members hear of each other; a table's only source need not hear of itself.
            let is_told = self.senders > 1;
            topology
                .senders
                .iter_mut()
                .for_each(|s| s.is_told = is_told);
        }
        if let Some(probed) = self.probed {
            topology = topology.watched(probed);
        }
        topology.kernel = self.kernel;
        topology.multipath = self.multipath;
        topology.family = self.family;
        topology
    }
}
