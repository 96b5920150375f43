//! Bidirectional Forwarding Detection (RFC 5880): its Control packet, and what of one is refused.
//!
//! Sessions are not here yet; nothing depends on this crate so far.

mod packet;

pub use packet::{Diagnostic, Fault, LEN, Packet, State};
