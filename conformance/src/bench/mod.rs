//! Benchmarks: the same workloads for windrosed and for others, one after the other in one run.

mod daemons;
mod report;
mod topology;
mod workload;

pub use daemons::{Daemon, Running};
pub use report::Report;
pub use topology::{Neighbor, Topology};
pub use workload::{Outcome, PLAIN, WORKLOADS, Workload, run};
