//! The network: ordered byte pipes with latency, which can be cut, reset, or full.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Bytes a pipe takes before its writer blocks: a socket's send buffer and the peer's window.
const WINDOW: usize = 32 * 1024;

/// All randomness of a run comes from here, so a seed names a run.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The chance that `seed` names.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number in `0..below`; zero where nothing is below.
    pub fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let draw = usize::try_from(self.0 >> 33).unwrap_or(0);
        draw.checked_rem(below).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).copied()
    }
}

/// What comes out of a pipe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// Bytes, cut wherever chance liked.
    Data(Bytes),
    /// The other end closed, or reset.
    End,
}

/// One direction of a TCP connection.
#[derive(Debug, Default)]
pub struct Pipe {
    in_flight: VecDeque<(Instant, Arrival)>,
    bytes: usize,
    /// The reader takes nothing at the moment.
    pub stalled: bool,
    /// Nothing passes; TCP sends it again until something does.
    pub cut: bool,
}

impl Pipe {
    /// How many bytes it takes now.
    #[must_use]
    pub const fn room(&self) -> usize {
        WINDOW.saturating_sub(self.bytes)
    }

    /// Puts bytes in, that come out after `latency`, cut wherever chance likes.
    pub fn send(&mut self, now: Instant, latency: Duration, mut bytes: Bytes, chance: &mut Chance) {
        self.bytes += bytes.len();
        while !bytes.is_empty() {
            // Most often whole, else the rare cuts drown the run in tiny steps.
            let at = if chance.one_in(4) {
                1 + chance.below(bytes.len())
            } else {
                bytes.len()
            };
            let chunk = bytes.split_to(at.min(bytes.len()));
            self.in_flight
                .push_back((now + latency, Arrival::Data(chunk)));
        }
    }

    /// The same, whole, and without a chance.
    pub fn send_whole(&mut self, now: Instant, latency: Duration, bytes: Bytes) {
        self.bytes += bytes.len();
        self.in_flight
            .push_back((now + latency, Arrival::Data(bytes)));
    }

    /// Closes it behind what is in flight.
    pub fn finish(&mut self, now: Instant, latency: Duration) {
        self.in_flight.push_back((now + latency, Arrival::End));
    }

    /// Loses what is in flight and closes it: a reset.
    pub fn reset(&mut self, now: Instant, latency: Duration) {
        self.in_flight.clear();
        self.bytes = 0;
        self.finish(now, latency);
    }

    /// When the next arrival comes out, if the reader reads.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        let (at, _) = self.in_flight.front()?;
        (!self.stalled && !self.cut).then_some(*at)
    }

    /// Takes out what has arrived by `now`.
    pub fn arrive(&mut self, now: Instant) -> Option<Arrival> {
        if self.next_arrival()? > now {
            return None;
        }
        let (_, arrival) = self.in_flight.pop_front()?;
        if let Arrival::Data(data) = &arrival {
            self.bytes = self.bytes.saturating_sub(data.len());
        }
        Some(arrival)
    }
}
