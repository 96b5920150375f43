//! windrose.v1 over gRPC: translation at the border; owns no state.
//!
//! [`serve`] answers on listeners that the daemon bound. Whatever a client asks is a [`Job`] for the core's
//! thread, through a bounded queue; what it answers is translated in `convert.rs` and nowhere else. A stream
//! is pulled: it asks the core when its client can take more, so a slow client costs nothing.

mod bfd;
mod convert;
mod core;
mod dump;
mod fib;
mod injections;
mod links;
mod listener;
mod page;
mod peers;
mod policies;
mod record;
mod routes;
mod server;
mod system;

pub use crate::core::{
    BfdSession, BoxFuture, ConfigControl, Core, JOBS_MAX, Job, LinkChecks, LinkView, Liveness,
    NOTICES_MAX, PeerDone, PeerOrder,
};
pub use crate::listener::{Listener, Tls, bind_unix};
pub use crate::server::serve;

#[cfg(test)]
mod tests;
