//! Benchmarks: the same workloads for windrosed and for others, one after the other in one run.

mod daemons;
pub mod failover;
mod figures;
mod markdown;
mod measure;
mod picture;
mod report;
mod scale;
mod topology;
mod workload;

pub use daemons::{Daemon, Running};
pub use markdown::markdown;
pub use measure::{Guarded, Outcome, run};
pub use picture::svg;
pub use report::Report;
pub use scale::{Growth, SERIES, Series};
pub use topology::{Neighbor, Topology};
pub use workload::{PLAIN, WORKLOADS, Workload};
