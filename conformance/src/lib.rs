//! Simulator, RFC clauses, interop labs, benchmarks.

pub mod lab;
