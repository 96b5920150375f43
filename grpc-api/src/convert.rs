//! The one place that translates: what clients say into what the core takes, and what the core has into what they read.

mod answers;
mod links;
mod liveness;
mod policies;
mod requests;

pub(crate) use answers::*;
pub(crate) use links::*;
pub(crate) use liveness::*;
pub(crate) use policies::*;
pub(crate) use requests::*;

#[cfg(test)]
mod tests;
