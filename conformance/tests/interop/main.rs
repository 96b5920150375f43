//! Real peers on real kernels: one binary for every interop test. Needs root; `cargo xtask test` runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::cast_possible_truncation,
    unreachable_pub,
    missing_docs
)]

mod add_path;
mod aggregates;
mod aigp;
mod as_paths;
mod attributes;
mod bad_configurations;
mod bad_peers;
mod bad_probes;
mod bfd;
mod birdc;
mod bmp;
mod containers;
mod drain;
mod failover;
mod icmp;
mod injection;
mod kernel;
mod lab_itself;
mod link_check;
mod links;
mod long_lived;
mod monitoring;
mod moving;
mod peers;
mod recursive;
mod redistribute;
mod reflection;
mod refresh;
mod restarts;
mod sessions;
mod stamp;
mod star;
mod timers;
mod vanishing;
mod weights;
mod wireguard;
