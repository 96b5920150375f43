//! The whole program without I/O: it glues the engines. The daemon is one driver of it, the simulator
//! another, a program that embeds us the third: `examples/embed.rs` is the smallest one.
//!
//! A driver calls [`Speaker::start`], then [`Speaker::handle`] with each [`Event`] and [`Speaker::accept`] for each
//! connection that comes in, and does what the [`Effect`]s say, in their order. After each of these it asks
//! [`Speaker::ready`] and [`Speaker::transmit`] what there is to say where the socket takes bytes, and it wakes the
//! speaker with [`Event::Timeout`] at [`Speaker::deadline`]. Orders and questions are methods of [`Speaker`].

pub mod bmp;
pub mod check;
pub mod command;
pub mod config;
pub mod drain;
pub mod dump;
pub mod event;
mod fib;
mod foreign;
pub mod inject;
pub mod links;
pub mod liveness;
pub mod notice;
mod originate;
mod peer;
mod peers;
pub mod policy;
pub mod query;
mod reconfigure;
pub mod record;
mod redistribute;
mod restart;
mod session;
mod sessions;
mod speaker;
pub mod view;

pub use config::Config;
pub use dump::TableDump;
pub use event::{Effect, Event};
/// What WireGuard devices have.
pub use fib_netlink::wireguard;
pub use notice::{Notice, PeerChange};
pub use query::RouteWatcher;
pub use reconfigure::Changes;
pub use record::Recorder;
pub use speaker::Speaker;
/// What reports and views of BFD and of links are made of.
pub use {bfd, path_score};
