//! A stateful Session-Reflector (RFC 8762 §4.3). It has no timer: it speaks only when spoken to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::key::Key;
use super::packet::{Probe, Reflection};
use super::time::{ErrorEstimate, Format, Timestamp};

/// Sessions of one peer. The one that was silent the longest makes room for another.
const SESSIONS: usize = 4;
/// Answers to one peer in a second, on average: four sessions at the fastest pace.
const RATE: u32 = 200;
/// Answers to one peer at once.
const BURST: u32 = 100;

/// A datagram that came to the reflector's port.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Its TTL or Hop Limit.
    pub ttl: u8,
    /// When it came, since 1970: the kernel's timestamp, if there is one.
    pub received: Duration,
    /// Now, since 1970, by the same clock.
    pub clock: Duration,
    /// The payload.
    pub payload: &'a [u8],
}

/// What to send back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// To whom.
    pub to: SocketAddr,
    /// The datagram.
    pub packet: Vec<u8>,
}

/// Answers the probes of known peers, and counts its answers a session.
#[derive(Debug)]
pub struct Reflector {
    format: Format,
    error: ErrorEstimate,
    peers: BTreeMap<IpAddr, Peer>,
    refused: u64,
}

#[derive(Debug)]
struct Peer {
    key: Option<Key>,
    /// Answers that may still be given, as of a moment.
    allowance: u32,
    since: Option<Instant>,
    sessions: Vec<Session>,
}

#[derive(Debug)]
struct Session {
    port: u16,
    ssid: u16,
    answered: u32,
    last: Instant,
}

impl Reflector {
    /// One that answers nobody yet, with a clock that may be `clock_error` off UTC.
    #[must_use]
    pub fn new(format: Format, clock_error: Duration) -> Self {
        let synchronized = clock_error < Duration::from_secs(1);
        Self {
            format,
            error: ErrorEstimate::new(clock_error, synchronized, format),
            peers: BTreeMap::new(),
            refused: 0,
        }
    }

    /// Answers `peer` from now on; its probes must be authentic if there is a key.
    pub fn allow(&mut self, peer: IpAddr, key: Option<Key>) {
        let sessions = self.peers.remove(&peer).map(|peer| peer.sessions);
        let peer_state = Peer {
            key,
            allowance: BURST,
            since: None,
            sessions: sessions.unwrap_or_default(),
        };
        self.peers.insert(peer, peer_state);
    }

    /// Answers `peer` no more.
    pub fn forget(&mut self, peer: IpAddr) {
        self.peers.remove(&peer);
    }

    /// Takes in a datagram that came at `now`, and pushes the answer, if it deserves one.
    pub fn handle(&mut self, now: Instant, datagram: Datagram<'_>, out: &mut Vec<Answer>) {
        match self.answer(now, datagram) {
            Some(answer) => out.push(answer),
            None => self.refused = self.refused.saturating_add(1),
        }
    }

    /// Datagrams that got no answer: of strangers, malformed, unauthentic, or too many.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn answer(&mut self, now: Instant, datagram: Datagram<'_>) -> Option<Answer> {
        let peer = self.peers.get_mut(&datagram.from.ip())?;
        let probe = Probe::decode(datagram.payload, peer.key.as_ref()).ok()?;
        if !peer.may_have_another(now) {
            return None;
        }
        let reflection = Reflection {
            sequence: peer.count(now, datagram.from.port(), probe.ssid),
            timestamp: Timestamp::new(datagram.clock, self.format),
            error: self.error,
            received: Timestamp::new(datagram.received, self.format),
            probe,
            ttl: datagram.ttl,
        };
        Some(Answer {
            to: datagram.from,
            packet: reflection.encode(peer.key.as_ref(), datagram.payload),
        })
    }
}

impl Peer {
    fn may_have_another(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let each = Duration::from_secs(1) / RATE;
        let earned = now.saturating_duration_since(since).as_micros() / each.as_micros();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned > 0 {
            self.allowance = self.allowance.saturating_add(earned).min(BURST);
            self.since = Some(if earned < BURST {
                since + each * earned
            } else {
                now
            });
        }
        let may = self.allowance > 0;
        self.allowance = self.allowance.saturating_sub(1);
        may
    }

    /// How many answers the session got before this one.
    fn count(&mut self, now: Instant, port: u16, ssid: u16) -> u32 {
        let known = self
            .sessions
            .iter_mut()
            .find(|s| (s.port, s.ssid) == (port, ssid));
        if let Some(session) = known {
            session.answered = session.answered.wrapping_add(1);
            session.last = now;
            return session.answered;
        }
        if self.sessions.len() >= SESSIONS {
            let oldest = self.sessions.iter().enumerate().min_by_key(|(_, s)| s.last);
            if let Some((at, _)) = oldest {
                self.sessions.swap_remove(at);
            }
        }
        self.sessions.push(Session {
            port,
            ssid,
            answered: 0,
            last: now,
        });
        0
    }
}
