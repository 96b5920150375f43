//! Benchmarks: the same workloads for windrosed and for others, one after the other in one run.

mod daemons;
pub mod failover;
mod figures;
mod measure;
mod report;
mod topology;
mod workload;

pub use daemons::{Daemon, Running};
pub use measure::{Guarded, Outcome, run};
pub use report::Report;
pub use topology::{Neighbor, Topology};
pub use workload::{PLAIN, WORKLOADS, Workload};
