//! Simulator, RFC clauses, interop labs, benchmarks.

pub mod lab;
pub mod sim;
