//! Micro-benchmarks: each engine on the way of a route by itself, then the whole way through a speaker.
//!
//! No socket, no clock, no chance is in them: a benchmark does the same work each time. `cargo bench` measures how long it takes,
//! `cargo xtask bench micro` how many instructions. What is set up, and what is left behind, counts for neither.

mod planner;
mod rib;
mod updates;
mod way;
mod wire;

use std::any::Any;
use std::fmt;

use anyhow::Result;

/// What is left when a benchmark has run. Whoever measures drops it afterwards.
pub type Rest = Box<dyn Any>;

/// A benchmark.
#[derive(Clone, Copy)]
pub struct Benchmark {
    /// `engine/case`.
    pub name: &'static str,
    /// What is counted.
    pub unit: Unit,
    prepare: fn() -> Result<Prepared>,
}

/// Of what a benchmark does many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// A message that is read or written.
    Message,
    /// A route that is heard, chosen, told or planned.
    Route,
}

/// A benchmark that is set up, and runs once.
pub struct Prepared {
    /// How many of its [`Unit`] it does.
    pub count: usize,
    run: Box<dyn FnOnce() -> Rest>,
}

impl Benchmark {
    /// Sets it up.
    ///
    /// # Errors
    /// Its table cannot be drawn, or a peer's session does not come up.
    pub fn prepare(&self) -> Result<Prepared> {
        (self.prepare)()
    }
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "message",
            Self::Route => "route",
        })
    }
}

impl Prepared {
    fn new<T: 'static>(count: usize, run: impl FnOnce() -> T + 'static) -> Self {
        Self {
            count,
            run: Box::new(|| Box::new(run())),
        }
    }

    /// Runs it. It stays a function of its own: `cargo xtask bench micro` counts what is executed between its beginning and
    /// its end.
    #[inline(never)]
    #[must_use]
    pub fn measured(self) -> Rest {
        std::hint::black_box((self.run)())
    }
}

const fn message(name: &'static str, prepare: fn() -> Result<Prepared>) -> Benchmark {
    Benchmark {
        name,
        unit: Unit::Message,
        prepare,
    }
}

const fn route(name: &'static str, prepare: fn() -> Result<Prepared>) -> Benchmark {
    Benchmark {
        name,
        unit: Unit::Route,
        prepare,
    }
}

/// All of them, in the order of a route's way.
pub const BENCHMARKS: [Benchmark; 43] = [
    message("decode/one-prefix", || wire::decoding(updates::one)),
    message("decode/six-prefixes", || wire::decoding(updates::six)),
    message("decode/six-ipv6", || wire::decoding(updates::six_ipv6)),
    message("decode/full", || wire::decoding(updates::full)),
    message("decode/withdrawals", || {
        wire::decoding(updates::withdrawals)
    }),
    message("decode/shortest-prefixes", || {
        wire::decoding(updates::shortest)
    }),
    message("decode/long-as-path", || {
        wire::decoding(updates::long_as_path)
    }),
    message("decode/communities", || {
        wire::decoding(updates::communities)
    }),
    message("decode/unknown-attributes", || {
        wire::decoding(updates::unknown)
    }),
    message("decode/malformed", || wire::decoding(updates::malformed)),
    message("encode/attributes", wire::encoding),
    message("encode/attributes-read-back", wire::reading_back),
    route("encode/pack", wire::packing),
    route("encode/pack-one-by-one", wire::packing_one_by_one),
    route("intern/new-set", || rib::interning(true)),
    route("intern/known-set", || rib::interning(false)),
    route("intern/same-again", rib::again),
    route("decide/1-path", || rib::announcing(1, rib::Rank::Worse)),
    route("decide/2-paths-worse", || {
        rib::announcing(2, rib::Rank::Worse)
    }),
    route("decide/2-paths-better", || {
        rib::announcing(2, rib::Rank::Better)
    }),
    route("decide/2-paths-shared", || {
        rib::announcing(2, rib::Rank::Equal)
    }),
    route("decide/16-paths-worse", || {
        rib::announcing(16, rib::Rank::Worse)
    }),
    route("decide/16-paths-better", || {
        rib::announcing(16, rib::Rank::Better)
    }),
    route("decide/16-paths-shared", || {
        rib::announcing(16, rib::Rank::Equal)
    }),
    route("decide/best-of-1-goes", || rib::withdrawing(1)),
    route("decide/best-of-2-goes", || rib::withdrawing(2)),
    route("decide/best-of-16-goes", || rib::withdrawing(16)),
    route("export/1-member", || rib::exporting(1)),
    route("export/100-members", || rib::exporting(100)),
    route("export/who-joins", rib::joining),
    route("forward/1-path", || rib::forwarding(1, false)),
    route("forward/2-paths", || rib::forwarding(2, false)),
    route("forward/2-paths-spare", || rib::forwarding(2, true)),
    route("plan/new", || planner::adding(false)),
    route("plan/new-with-spare", || planner::adding(true)),
    route("plan/same-again", planner::again),
    route("plan/other-next-hop", planner::moving),
    route("plan/gone", planner::removing),
    route("way/one-sender", || way::load(way::Load::ONE_SENDER)),
    route("way/ten-senders", || way::load(way::Load::TEN_SENDERS)),
    route("way/hundred-senders", || {
        way::load(way::Load::HUNDRED_SENDERS)
    }),
    route("way/kernel", || way::load(way::Load::KERNEL)),
    route("way/kernel-two-senders", || {
        way::load(way::Load::KERNEL_TWO_SENDERS)
    }),
];

#[cfg(test)]
mod tests;
