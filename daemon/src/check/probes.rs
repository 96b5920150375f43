//! Probes of several sizes, to find out which ones a link swallows (RFC 8762 §4.2: a test packet may be padded).

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use path_score::stamp::{ErrorEstimate, Format, Probe, Reflection, Timestamp};
use speaker::check::Probes;
use speaker::links::LinkPath;

use crate::liveness::ProbeSocket;
use crate::startup::wall_clock;

/// Octets of IP and UDP around a probe.
const AROUND_V4: u32 = 28;
const AROUND_V6: u32 = 48;
/// Octets of a probe without padding.
const BASE: u32 = 44;
/// The largest payload that reflectors of ours take.
const PAYLOAD_MAX: u32 = 2048;
/// Packets between the least and what the device takes: what tunnels and PPPoE leave of 1500.
const BETWEEN: [u32; 12] = [
    1500, 1492, 1480, 1460, 1440, 1420, 1412, 1400, 1380, 1340, 1280, 576,
];
/// Each size is tried so often: where a fifth is lost each way, one in a thousand is taken for swallowed.
const ROUNDS: u32 = 7;
/// Between two rounds. A reflector of ours answers 200 a second, other probes among them.
const ROUND: Duration = Duration::from_millis(150);
/// For answers to the last round.
const LATE: Duration = Duration::from_millis(700);
/// How often the socket is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Of our clock; nothing depends on it.
const CLOCK_ERROR: Duration = Duration::from_millis(100);

/// Sends them, and waits for the answers. `None`: none could be sent.
pub(super) fn send(path: &LinkPath, port: u16, mtu: u32) -> Option<Probes> {
    let mut socket = ProbeSocket::open(path, port).ok()?;
    let sizes = sizes(path.remote, mtu);
    let mut heard = Heard::new(&sizes);
    let start = Instant::now();
    for round in 0..ROUNDS {
        for (number, size) in (0..).zip(&sizes) {
            let sequence = round * u32::try_from(sizes.len()).ok()? + number;
            let probe = Probe {
                sequence,
                timestamp: Timestamp::new(wall_clock(), Format::Ntp),
                error: ErrorEstimate::new(CLOCK_ERROR, true, Format::Ntp),
                ssid: SSID,
            };
            let padding = usize::try_from(size.payload.saturating_sub(BASE)).ok()?;
            // One that is too large for the device is as good as swallowed.
            let _ = socket.send(&probe.encode(None, padding));
        }
        let next = start
            + ROUND * (round + 1)
            + if round + 1 == ROUNDS {
                LATE
            } else {
                Duration::ZERO
            };
        while Instant::now() < next && !(round > 0 && heard.all()) {
            while let Some(answer) = socket.receive() {
                heard.hear(answer);
            }
            thread::sleep(LOOK_EVERY);
        }
        if heard.all() {
            break;
        }
    }
    Some(heard.result())
}

/// Any will do but zero: the source port tells the session from others.
const SSID: u16 = 0xC4EC;

/// A packet, and the probe in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Size {
    packet: u32,
    payload: u32,
}

/// From the least to what the device takes.
fn sizes(remote: IpAddr, mtu: u32) -> Vec<Size> {
    let around = if remote.is_ipv4() {
        AROUND_V4
    } else {
        AROUND_V6
    };
    let largest = mtu.min(PAYLOAD_MAX + around);
    let between = BETWEEN.iter().copied().filter(|packet| *packet < largest);
    let mut packets: Vec<u32> = between.chain([BASE + around, largest]).collect();
    packets.sort_unstable();
    packets.dedup();
    let size = |packet: u32| Size {
        packet,
        payload: packet.saturating_sub(around),
    };
    let all = packets.into_iter().map(size);
    all.filter(|size| size.payload >= BASE && size.packet <= largest)
        .collect()
}

struct Heard<'a> {
    sizes: &'a [Size],
    passed: u32,
    clock: Option<Duration>,
}

impl<'a> Heard<'a> {
    const fn new(sizes: &'a [Size]) -> Self {
        Self {
            sizes,
            passed: 0,
            clock: None,
        }
    }

    fn hear(&mut self, answer: &[u8]) {
        let Ok(reflection) = Reflection::decode(answer, None) else {
            return;
        };
        let count = u32::try_from(self.sizes.len()).unwrap_or(u32::MAX).max(1);
        let place = usize::try_from(reflection.probe.sequence % count).unwrap_or_default();
        if reflection.probe.ssid != SSID {
            return;
        }
        let Some(size) = self.sizes.get(place) else {
            return;
        };
        self.passed = self.passed.max(size.packet);
        if self.clock.is_none() && reflection.error.format() == Format::Ntp {
            let now = Timestamp::new(wall_clock(), Format::Ntp);
            self.clock = Some(apart(&reflection, now));
        }
    }

    /// The largest one passed: nothing more is to be learnt.
    fn all(&self) -> bool {
        self.sizes
            .last()
            .is_some_and(|largest| self.passed >= largest.packet)
    }

    fn result(&self) -> Probes {
        Probes {
            largest: self.sizes.last().map_or(0, |size| size.packet),
            passed: self.passed,
            clock: self.clock,
        }
    }
}

/// How far the neighbor's clock is from ours, if both ways take the same time (RFC 5905 §8).
fn apart(reflection: &Reflection, now: Timestamp) -> Duration {
    let seconds = |from: Timestamp, to: Timestamp| {
        let there = from.until(to, Format::Ntp).map(|time| time.as_secs_f64());
        let back = || to.until(from, Format::Ntp).map(|time| -time.as_secs_f64());
        there.or_else(back).unwrap_or_default()
    };
    let out = seconds(reflection.probe.timestamp, reflection.received);
    let back = seconds(now, reflection.timestamp);
    Duration::try_from_secs_f64(((out + back) / 2.0).abs()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
