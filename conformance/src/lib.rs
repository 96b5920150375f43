//! Simulator, RFC clauses, interop labs, benchmarks.

pub mod lab;
pub mod load;
pub mod sim;
