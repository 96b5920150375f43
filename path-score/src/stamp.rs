//! The Simple Two-Way Active Measurement Protocol (RFC 8762), with the session id of RFC 8972.

mod key;
mod packet;
mod reflector;
mod sender;
mod time;

pub use key::Key;
pub(crate) use key::TAG;
pub use packet::{Fault, Probe, Reflection};
pub use reflector::{Answer, Datagram, Reflector};
pub use sender::{Config, Input, Output, Sender};
pub use time::{ErrorEstimate, Format, Timestamp};

/// The UDP port of Session-Reflectors unless it is configured (RFC 8762 §4.1).
pub const PORT: u16 = 862;

#[cfg(test)]
mod tests;
