//! A Session-Sender: when to probe, and which answers are ours.

use std::time::{Duration, Instant};

use super::key::Key;
use super::packet::{Probe, Reflection};
use super::time::{ErrorEstimate, Format, Timestamp};
use crate::budget::SLOWEST;
use crate::estimate::Answer;
use crate::pace::Pace;

/// What a session is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells this session from others between the same addresses and ports, and a restarted sender from its former
    /// self: drawn by chance, not zero.
    pub ssid: u16,
    /// Between two probes; kept between [`FASTEST`](crate::budget::FASTEST) and
    /// [`SLOWEST_ASIDE`](crate::budget::SLOWEST_ASIDE).
    pub interval: Duration,
    /// How our timestamps are written.
    pub format: Format,
    /// How far our clock may be off UTC. Nothing we compute depends on it.
    pub clock_error: Duration,
    /// For the authenticated mode.
    pub key: Option<Key>,
    /// Zeros after the base packet.
    pub padding: usize,
    /// The reflector counts its answers for itself (RFC 8762 §4, stateful). Of one that does not, only the loss of the
    /// round trip can be known.
    pub stateful: bool,
}

/// What happens to a sender of probes.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The deadline has come; `clock` is the time since 1970.
    Timeout {
        /// For T1.
        clock: Duration,
    },
    /// A datagram came from the peer, at the time of the call.
    Received(&'a [u8]),
    /// The budget asks for another pace.
    Interval(Duration),
}

/// What a sender asks for, or says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send this now.
    Transmit {
        /// The sequence number.
        sequence: u32,
        /// The datagram.
        packet: Vec<u8>,
    },
    /// An answer of this session.
    Answered(Answer),
    /// We were not scheduled for so long. Comes before the probe that ends the gap.
    Stalled(Duration),
}

/// One STAMP session, the sending side.
#[derive(Debug)]
pub struct Sender {
    config: Config,
    error: ErrorEstimate,
    pace: Pace,
    sequence: u32,
    rejected: u64,
}

impl Sender {
    /// A session whose first probe is due at `now`.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let synchronized = config.clock_error < SLOWEST;
        Self {
            error: ErrorEstimate::new(config.clock_error, synchronized, config.format),
            pace: Pace::new(now, config.interval),
            sequence: 0,
            rejected: 0,
            config,
        }
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Timeout { clock } => {
                if let Some(due) = self.pace.take(now) {
                    out.extend(due.stalled.map(Output::Stalled));
                    out.push(self.probe(clock));
                }
            }
            Input::Received(datagram) => match self.answer(datagram) {
                Some(answer) => out.push(Output::Answered(answer)),
                None => self.rejected = self.rejected.saturating_add(1),
            },
            Input::Interval(interval) => self.pace.set(now, interval),
        }
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        Some(self.pace.deadline())
    }

    /// The time between two probes.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.pace.interval()
    }

    /// Datagrams that were no answers of this session.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.rejected
    }

    fn probe(&mut self, clock: Duration) -> Output {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let probe = Probe {
            sequence,
            timestamp: Timestamp::new(clock, self.config.format),
            error: self.error,
            ssid: self.config.ssid,
        };
        Output::Transmit {
            sequence,
            packet: probe.encode(self.config.key.as_ref(), self.config.padding),
        }
    }

    fn answer(&self, datagram: &[u8]) -> Option<Answer> {
        let reflection = Reflection::decode(datagram, self.config.key.as_ref()).ok()?;
        // RFC 8972 §3: a reflector without session ids leaves zeros there.
        let ssid = reflection.probe.ssid;
        if ssid != self.config.ssid && ssid != 0 {
            return None;
        }
        let (came, format) = (reflection.received, reflection.error.format());
        Some(Answer {
            sequence: reflection.probe.sequence,
            reflected: self.config.stateful.then_some(reflection.sequence),
            residence: came.until(reflection.timestamp, format),
        })
    }
}
