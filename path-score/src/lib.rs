//! Probes, what they say of a link, and what the link therefore costs. No I/O, no clock.
//!
//! A [`Link`] is one neighbor that is measured: a STAMP Session-Sender ([`stamp::Sender`]), or ICMP echo
//! ([`icmp::Pinger`]) where the neighbor has no STAMP, the bookkeeping of the probes ([`Estimate`]) and an [`Alarm`] for
//! each direction. Its [`Report`]s go to the node's one [`Judge`], which
//! decides when a [`Cost`] changes and says why. The peer's probes are answered by a [`stamp::Reflector`]. How often
//! all links may be probed is [`budget::interval`]. A [`Node`] holds all of these together.

pub mod alarm;
pub mod budget;
pub mod cost;
pub mod estimate;
pub mod icmp;
pub mod judge;
pub mod link;
pub mod node;
mod pace;
pub mod stamp;

pub use alarm::Alarm;
pub use cost::Cost;
pub use estimate::{Direction, Estimate};
pub use judge::{Judge, LinkId};
pub use link::{Link, Method, Report};
pub use node::Node;

#[cfg(test)]
mod tests;
