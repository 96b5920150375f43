//! What we heard, what we chose, what we say. Never sees a socket.
//!
//! ```text
//!  UPDATE ─▶ import (loop checks, policy) ─▶ table (Adj-RIB-In: paths) ─▶ decision ─▶ journal: which prefixes changed
//!                                                                                        │ cursors
//!                     group (View): export once, encode once ─▶ members ◀────────────────┼──▶ fib, watchers
//! ```

mod aggregate;
mod attribute_store;
pub mod decision;
mod dump;
mod export;
mod forwarding;
mod group;
mod import;
mod journal;
mod local;
mod monitor;
pub mod next_hop;
mod packer;
pub mod peer;
mod plane;
pub mod policy;
pub mod query;
mod rib;
mod several;
mod slab;
mod stale;
mod table;
mod tally;
mod watch;

pub use aggregate::{AGGREGATES_MAX, Aggregate};
pub use decision::{Multipath, Step};
pub use dump::{DumpCursor, DumpPath, DumpSink};
pub use forwarding::Forwarding;
pub use local::{LocalForwarding, LocalSource};
pub use monitor::{HEARD_MAX, HeardUpdates, Monitor, Stage, Stages};
pub use next_hop::{NextHopChange, NextHopKey, Reach, Resolved};
pub use peer::{Drain, PeerId, PeerSession};
pub use query::{CandidateView, Explanation, PathRow, Reason, RoutePage, RouteQuery, RouteRow};
pub use rib::{Config, Counts, MALFORMED_SHOWN, OURSELVES, Received, Rib};
pub use tally::{ChangeCounts, PeerCounts};
pub use watch::{WATCHERS_MAX, Watcher};
