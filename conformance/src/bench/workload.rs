//! What is measured, and the measuring of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bgp_core::Family;
use serde::Serialize;

use super::daemons::Daemon;
use super::topology::{Neighbor, Topology};
use crate::lab::{Host, Lab};
use crate::load::{Churned, Device, Idle, Kept, Load, Measured, Peer, Plan, Shape, Table};

/// How long idle peers watch a device that is at rest, before and after a load.
const WATCH: Duration = Duration::from_secs(10);

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
};

/// The workloads by name.
pub const WORKLOADS: [Workload; 7] = [
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
        name: "keep",
        about: "a full table of 1,000,000 routes while 200 idle peers keep their sessions (Hold Time 9 s)",
        prefixes: 1_000_000,
        idlers: 200,
        ..PLAIN
    },
];

/// What a daemon did in a workload.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Resident memory in MiB with all sessions up and no route.
    pub idle_rss_mib: f64,
    /// The senders announced everything.
    pub load: Measured,
    /// The senders left.
    pub leave: Option<Measured>,
    /// Routes came and went.
    pub churn: Option<Churned>,
    /// What those saw who only kept their sessions.
    pub idle: Option<Kept>,
}

impl Workload {
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
        topology.kernel = self.kernel;
        topology.family = self.family;
        topology
    }
}

/// Runs a workload against a daemon, in a lab of its own.
///
/// # Errors
/// The daemon does not start, loses a session, or takes longer than `limit` for a phase.
pub fn run(daemon: Daemon, workload: &Workload, seed: u64, limit: Duration) -> Result<Outcome> {
    let lab = Lab::new()?;
    let topology = workload.topology();
    let (device, others) = topology.build(&lab)?;
    let running = daemon.start(&lab, &device, &topology)?;
    let result = measure(&device, &others, &topology, workload, seed, limit);
    drop(running);
    result.with_context(|| format!("{} in {}", daemon.name(), workload.name))
}

fn measure(
    device: &Host,
    others: &Host,
    topology: &Topology,
    workload: &Workload,
    seed: u64,
    limit: Duration,
) -> Result<Outcome> {
    let senders = peers(&topology.senders);
    let shape = Shape {
        family: workload.family,
        prefixes: workload.prefixes,
        overlap: workload.overlap,
        internal: workload.reflects,
        seed,
    };
    let table = Table::new(shape, &senders)?;
    let plan = Plan {
        address: topology.address(),
        device: Device::new(device)?,
        family: workload.family,
        senders,
        receivers: peers(&topology.receivers),
        prepended: u8::from(!workload.reflects),
        kernel: workload.kernel,
        limit,
    };
    let usage = plan.device.clone();
    let mut load = Load::start(others, plan, table)?;
    let idle = if topology.idlers.is_empty() {
        None
    } else {
        let idlers = peers(&topology.idlers);
        let idle = Idle::start(others, topology.address(), workload.family, &idlers)?;
        load.wait(WATCH)?;
        Some(idle)
    };
    let mut outcome = Outcome {
        idle_rss_mib: usage.usage().rss_mib,
        load: load.announce()?,
        ..Outcome::default()
    };
    if let Some(idle) = idle {
        load.wait(WATCH)?;
        outcome.idle = Some(idle.finish()?);
    }
    if let Some((per_second, seconds)) = workload.churn {
        outcome.churn = Some(load.churn(per_second, Duration::from_secs(seconds))?);
    }
    if workload.leaves {
        outcome.leave = Some(load.leave()?);
    }
    Ok(outcome)
}

fn peers(neighbors: &[Neighbor]) -> Vec<Peer> {
    neighbors.iter().map(|neighbor| neighbor.peer).collect()
}
