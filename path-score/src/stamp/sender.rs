//! A Session-Sender: when to probe, and which answers are ours.

use std::time::{Duration, Instant};

use super::key::Key;
use super::packet::{Probe, Reflection};
use super::time::{ErrorEstimate, Format, Timestamp};
use crate::budget::{FASTEST, SLOWEST};
use crate::estimate::Answer;

/// Who is called later than this was not scheduled: what was lost meanwhile may have been lost in our own queues.
const STALL: Duration = Duration::from_millis(100);

/// What a session is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tells this session from others between the same addresses and ports, and a restarted sender from its former
    /// self: drawn by chance, not zero.
    pub ssid: u16,
    /// Between two probes; kept between [`FASTEST`] and [`SLOWEST`].
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

/// What happens to a sender.
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
    next: Instant,
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
            next: now,
            sequence: 0,
            rejected: 0,
            config,
        }
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Timeout { clock } if now >= self.next => self.probe(now, clock, out),
            Input::Timeout { .. } => {}
            Input::Received(datagram) => match self.answer(datagram) {
                Some(answer) => out.push(Output::Answered(answer)),
                None => self.rejected = self.rejected.saturating_add(1),
            },
            Input::Interval(interval) => {
                self.config.interval = interval;
                self.next = self.next.min(now + self.interval());
            }
        }
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        Some(self.next)
    }

    /// The time between two probes.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.config.interval.clamp(FASTEST, SLOWEST)
    }

    /// Datagrams that were no answers of this session.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.rejected
    }

    /// One probe, however many were missed: a burst would only measure itself.
    fn probe(&mut self, now: Instant, clock: Duration, out: &mut Vec<Output>) {
        let late = now.saturating_duration_since(self.next);
        if late > STALL {
            out.push(Output::Stalled(late));
        }
        let probe = Probe {
            sequence: self.sequence,
            timestamp: Timestamp::new(clock, self.config.format),
            error: self.error,
            ssid: self.config.ssid,
        };
        out.push(Output::Transmit {
            sequence: self.sequence,
            packet: probe.encode(self.config.key.as_ref(), self.config.padding),
        });
        self.sequence = self.sequence.wrapping_add(1);
        let on_time = self.next + self.interval();
        self.next = if on_time > now {
            on_time
        } else {
            now + self.interval()
        };
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
