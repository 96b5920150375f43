//! A load generator: a BGP speaker that does nothing but announce, count and keep the time.
//!
//! Everything is encoded before the clock starts, and a receiver only walks messages, so that what is
//! measured is the device. One thread drives all sessions of a [`Crowd`]; idle peers have a crowd and a
//! thread of their own, so that their clocks do not depend on the load.

mod bad;
mod crowd;
mod idle;
mod lookup;
mod phases;
mod session;
mod table;
mod tracker;
mod usage;
mod watched;
mod wire;

pub use bad::{Bad, BadPeers};
pub use idle::{Idle, Kept};
pub use phases::{Churned, Load, Measured, Plan};
pub use session::Peer;
pub use table::{Paths, Shape, Table};
pub use usage::{Device, Usage};
pub use watched::{INTERVAL, MULTIPLIER, Neighbors, Watched};
