//! The whole program without I/O: it glues the engines. The daemon is one driver of it, the simulator
//! another, a program that embeds us the third.

pub mod command;
pub mod config;
pub mod event;
mod fib;
pub mod inject;
pub mod notice;
mod originate;
mod peer;
mod peers;
pub mod query;
mod reconfigure;
mod session;
mod sessions;
mod speaker;
pub mod view;

pub use config::Config;
pub use event::{Effect, Event};
pub use notice::Notice;
pub use query::RouteWatcher;
pub use reconfigure::Changes;
pub use speaker::Speaker;
