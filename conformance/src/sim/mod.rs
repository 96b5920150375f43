//! The simulator. Nothing here sleeps: time jumps to whatever happens next, and one seed names a run.

mod draw;
mod kernel;
mod model;
mod net;
mod policy;
mod restarts;
mod scenario;
mod world;

pub use net::{Arrival, Chance, Pipe};
pub use scenario::{GRACEFUL_FROM, Outcome, run};
pub use world::{Host, World};
