//! Simulator, RFC clauses, interop labs, benchmarks.

pub mod bench;
pub mod lab;
pub mod load;
pub mod micro;
pub mod reroute;
pub mod sim;
pub mod station;
