//! The measuring of a workload: a lab of its own, a daemon, and what it did.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::daemons::{Daemon, Running};
use super::failover;
use super::figures::most_more;
use super::topology::{DEVICE, Neighbor, Topology};
use super::workload::Workload;
use crate::lab::{Host, Lab};
use crate::load::{
    Bad, BadPeers, Churned, Device, Idle, Kept, Load, Measured, Neighbors, Peer, Plan, Shape,
    Table, Watched,
};

/// What peers that are no good may cost a device of memory, at most, beyond what it takes without them.
const MORE_MIB: f64 = 32.0;
/// How long idle peers watch a device that is at rest, before and after a load.
const WATCH: Duration = Duration::from_secs(10);

/// What a daemon did in a workload.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Outcome {
    /// Resident memory in MiB with all sessions up and no route.
    pub idle_rss_mib: f64,
    /// The senders announced everything.
    pub load: Option<Measured>,
    /// The senders left.
    pub leave: Option<Measured>,
    /// Routes came and went.
    pub churn: Option<Churned>,
    /// What those saw who only kept their sessions.
    pub idle: Option<Kept>,
    /// The same load beside peers that are no good, in the order of [`Bad::ALL`]; `None` where it failed.
    pub bad: Option<[Option<Measured>; Bad::ALL.len()]>,
    /// Why something failed that is only part of it.
    #[serde(default)]
    pub trouble: Vec<String>,
    /// BFD sessions and probed links beside a load.
    pub guard: Option<Guarded>,
    /// Milliseconds in which routes left a dead link: 1, 1,000 and 100,000 of them.
    pub failover_ms: Option<[f64; failover::COUNTS.len()]>,
}

/// What became of BFD sessions and of probed links that nothing befell.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Guarded {
    /// As their neighbors saw it.
    pub neighbors: Watched,
    /// How often the device called a session down, where it says.
    pub failures: Option<u64>,
    /// How often it called a link worse, where it measures links.
    pub alarms: Option<usize>,
}

/// Runs a workload against a daemon, in a lab of its own.
///
/// # Errors
/// The daemon does not start, loses a session, or takes longer than `limit` for a phase.
pub fn run(daemon: Daemon, workload: &Workload, seed: u64, limit: Duration) -> Result<Outcome> {
    if workload.failover {
        return failovers(daemon);
    }
    let mut outcome = once(daemon, workload, None, seed, limit)?;
    if workload.bad {
        let mut beside = [None; Bad::ALL.len()];
        for (place, bad) in beside.iter_mut().zip(Bad::ALL) {
            match once(daemon, workload, Some(bad), seed, limit) {
                Ok(other) => *place = other.load,
                Err(why) => outcome
                    .trouble
                    .push(format!("beside {}: {why:#}", bad.name())),
            }
        }
        outcome.bad = Some(beside);
        let more = outcome.load.and_then(|alone| most_more(alone, beside));
        if let Some(more) = more.filter(|more| *more > MORE_MIB) {
            let why = format!(
                "{more:.0} MiB more than alone: {MORE_MIB} are the most that bad peers may cost"
            );
            outcome.trouble.push(why);
        }
    }
    Ok(outcome)
}

fn failovers(daemon: Daemon) -> Result<Outcome> {
    let mut took = [0.0; failover::COUNTS.len()];
    for (took, routes) in took.iter_mut().zip(failover::COUNTS) {
        *took = failover::run(daemon, routes)?;
    }
    Ok(Outcome {
        failover_ms: Some(took),
        ..Outcome::default()
    })
}

/// A daemon in a lab, loaded once.
fn once(
    daemon: Daemon,
    workload: &Workload,
    bad: Option<Bad>,
    seed: u64,
    limit: Duration,
) -> Result<Outcome> {
    let lab = Lab::new()?;
    let mut topology = workload.topology();
    if let Some(bad) = bad {
        topology = topology.beside(bad);
    }
    let (device, others) = topology.build(&lab)?;
    let mut running = daemon.start(&lab, &device, &daemon.configuration(&topology))?;
    let setting = Setting {
        device: &device,
        others: &others,
        topology: &topology,
        workload,
        bad,
    };
    let result = setting.measure(&mut running, seed, limit);
    drop(running);
    result.with_context(|| format!("{} in {}", daemon.name(), workload.name))
}

/// What is there when the daemon runs.
struct Setting<'a> {
    device: &'a Host,
    others: &'a Host,
    topology: &'a Topology,
    workload: &'a Workload,
    bad: Option<Bad>,
}

impl Setting<'_> {
    fn load(&self, seed: u64, limit: Duration) -> Result<Load> {
        let (topology, workload) = (self.topology, self.workload);
        let senders = peers(&topology.senders);
        let shape = Shape {
            family: workload.family,
            prefixes: workload.prefixes,
            overlap: workload.overlap,
            internal: workload.reflects,
            paths: workload.paths,
            seed,
        };
        let table = Table::new(shape, &senders)?;
        let several = workload.kernel && workload.multipath > 1;
        let plan = Plan {
            address: topology.address(),
            device: Device::new(self.device)?,
            family: workload.family,
            senders,
            receivers: peers(&topology.receivers),
            prepended: u8::from(!workload.reflects),
            kernel: workload.kernel.then(|| self.device.clone()),
            ways: several.then_some(workload.multipath),
            limit,
        };
        Load::start(self.others, plan, table)
    }

    fn measure(&self, running: &mut Running, seed: u64, limit: Duration) -> Result<Outcome> {
        let (topology, workload) = (self.topology, self.workload);
        let mut load = self.load(seed, limit)?;
        let idle = Bystanders::start(self.others, topology, workload)?;
        if idle.is_some() {
            load.wait(WATCH)?;
        }
        let bad = self.bad.map(|bad| {
            let strangers = peers(&topology.strangers);
            BadPeers::start(self.others, topology.address(), bad, &strangers)
        });
        let bad = bad.transpose()?;
        let mut outcome = Outcome {
            idle_rss_mib: Device::new(self.device)?.usage().rss_mib,
            load: Some(load.announce()?),
            ..Outcome::default()
        };
        if let Some(bad) = bad {
            bad.finish()?;
        }
        if let Some(idle) = idle {
            load.wait(WATCH)?;
            outcome.idle = Some(idle.peers.finish()?);
            if let Some(neighbors) = idle.neighbors {
                outcome.guard = Some(Guarded {
                    failures: running.failures()?,
                    alarms: running.alarms()?,
                    neighbors: neighbors.finish()?,
                });
            }
        }
        if let Some((per_second, seconds)) = workload.churn {
            outcome.churn = Some(load.churn(per_second, Duration::from_secs(seconds))?);
        }
        if workload.leaves {
            outcome.leave = Some(load.leave()?);
        }
        Ok(outcome)
    }
}

/// Those who have no part in the load.
struct Bystanders {
    peers: Idle,
    neighbors: Option<Neighbors>,
}

impl Bystanders {
    /// Their sessions are up; `None` where there are none.
    fn start(host: &Host, topology: &Topology, workload: &Workload) -> Result<Option<Self>> {
        let idlers = peers(&topology.idlers);
        if idlers.is_empty() {
            return Ok(None);
        }
        let neighbors = if let Some(probed) = workload.probed {
            let addresses: Vec<_> = idlers.iter().map(|peer| peer.address).collect();
            Some(Neighbors::start(host, DEVICE, &addresses, probed)?)
        } else {
            None
        };
        if let Some(neighbors) = &neighbors {
            neighbors.await_all()?;
        }
        let peers = Idle::start(host, topology.address(), workload.family, &idlers)?;
        if let Some(neighbors) = &neighbors {
            neighbors.await_all()?;
        }
        Ok(Some(Self { peers, neighbors }))
    }
}

fn peers(neighbors: &[Neighbor]) -> Vec<Peer> {
    neighbors.iter().map(|neighbor| neighbor.peer).collect()
}
