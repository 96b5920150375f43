//! The whole program without I/O: it glues the engines. The daemon is one driver of it, the simulator
//! another, a program that embeds us the third.

pub mod command;
pub mod config;
pub mod notice;
pub mod view;

pub use config::Config;
pub use notice::Notice;
