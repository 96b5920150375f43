//! The BGP session state machine (RFC 4271 §8): bytes and instants in, bytes and events out.
//!
//! An [`Fsm`] is one peer: both TCP connections of a collision live in it. It owns no socket and reads no clock.
//! Whoever drives it calls [`Fsm::handle`] with what happened, acts on every [`Output`] in order, and calls again
//! with [`Input::Timeout`] once [`Fsm::deadline`] has passed.
//!
//! An UPDATE's body goes out undecoded. If the decoder finds that it ends the session, the driver feeds
//! [`Input::Fault`]; what came behind that UPDATE in the same chunk is in the outputs already, and the driver drops
//! its [`Output::Update`]s and [`Output::Refresh`]es.

mod chance;
mod config;
mod connection;
mod end;
mod event;
mod fsm;
mod negotiate;

pub use config::{Config, PeerAs};
pub use end::{End, Stop};
pub use event::{Counters, Input, Output, Side, State};
pub use fsm::Fsm;
pub use negotiate::{Opens, Session};
