//! The simulator. Nothing here sleeps: time jumps to whatever happens next, and one seed names a run.

mod calm;
mod draw;
mod invariants;
mod kernel;
mod mesh;
mod model;
mod net;
mod policy;
mod rest;
mod restarts;
mod scenario;
mod world;

pub use mesh::{Figures, MeshOutcome, run_large, run_mesh};
pub use net::{Arrival, Chance, Pipe};
pub use scenario::{GRACEFUL_FROM, MESH_FROM, Outcome, RICH_FROM, run};
pub use world::{Dead, Host, World};
