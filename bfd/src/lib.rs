//! Bidirectional Forwarding Detection (RFC 5880): whether packets come through to a neighbor, known within milliseconds.
//!
//! [`Bfd`] holds all sessions of a speaker, over one hop (RFC 5881) or several (RFC 5883), in asynchronous mode; a
//! neighbor's Demand mode is honored, Echo is never asked for nor answered. It owns no socket and reads no clock:
//! packets and instants go in; packets, and what became of a session, come out. Whoever drives it calls
//! [`Bfd::timeout`] once [`Bfd::deadline`] has passed, and does so in time: a driver that sleeps for longer than a
//! detection time brings its neighbors' sessions down.

mod authentication;
mod bfd;
mod chance;
mod packet;
mod path;
mod session;

pub use authentication::{Authentication, Kind, SecretLength};
pub use bfd::{Arrival, Bfd, Drops, Output, SESSIONS_MAX, Status};
pub use packet::{Decoded, Diagnostic, Fault, LEN, LEN_MAX, Octets, Packet, State};
pub use path::{Hops, Path};
pub use session::{Change, Config, Reason, Remote, Timing};
