//! ICMP echo (RFC 792; RFC 4443 §4), for neighbors that have no STAMP: a prober, and which replies are its own.
//!
//! A reply tells the loss and the time of the round trip, and nothing of either way by itself. It is known by a tag that
//! only we can make, so that nobody answers for the neighbor who has not seen the request, and no reply to somebody
//! else's is taken for ours. The identifier is not looked at: the kernel has its own for a socket that needs no
//! privilege. When a request was sent is in our own books, not in the packet.

use std::time::{Duration, Instant};

use crate::estimate::Answer;
use crate::pace::Pace;
use crate::stamp::{Input, Key, Output, TAG};

/// Types of messages: echo reply and echo (RFC 792), echo request and echo reply (RFC 4443 §4.1, §4.2).
const REPLY: u8 = 0;
const REQUEST: u8 = 8;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;
/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
/// The session and the sequence number, which the tag after them covers.
const COVERED: usize = 8;
/// Octets of a request: as many as those of a STAMP probe with its UDP header, so that a budget counts both alike.
pub const PACKET: usize = 52;
/// The least IPv4 header.
const IPV4_HEADER: usize = 20;
/// ICMP's number in it.
const IPV4_ICMP: u8 = 1;

/// What a session is.
#[derive(Clone, Debug)]
pub struct Config {
    /// ICMP, not ICMPv6.
    pub ipv4: bool,
    /// For the header; the kernel may write another one.
    pub identifier: u16,
    /// Makes the tags. Drawn by chance, and told nobody.
    pub key: Key,
    /// Tells this session from earlier ones with the same key.
    pub session: u32,
    /// Between two requests.
    pub interval: Duration,
}

/// The requests of one session, and the replies to them.
#[derive(Debug)]
pub struct Pinger {
    config: Config,
    pace: Pace,
    sequence: u32,
}

impl Pinger {
    /// A session whose first request is due at `now`.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        Self {
            pace: Pace::new(now, config.interval),
            sequence: 0,
            config,
        }
    }

    /// Takes in what happened at `now`, and pushes what follows from it. Whatever else came than a reply to a request of
    /// this session is ignored, errors among it: they are no word of the neighbor's.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Timeout { .. } => {
                if let Some(due) = self.pace.take(now) {
                    out.extend(due.stalled.map(Output::Stalled));
                    out.push(self.request());
                }
            }
            Input::Received(message) => out.extend(self.answer(message).map(Output::Answered)),
            Input::Interval(interval) => self.pace.set(now, interval),
        }
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.pace.deadline()
    }

    fn request(&mut self) -> Output {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let covered = self.covered(sequence);
        let kind = if self.config.ipv4 {
            REQUEST
        } else {
            REQUEST_V6
        };
        let [.., high, low] = sequence.to_be_bytes();
        let [id_high, id_low] = self.config.identifier.to_be_bytes();
        let mut packet = Vec::with_capacity(PACKET);
        packet.extend([kind, 0, 0, 0, id_high, id_low, high, low]);
        packet.extend(covered);
        packet.extend(self.config.key.tag(&covered));
        packet.resize(PACKET, 0);
        // That of ICMPv6 covers addresses as well: the kernel makes it.
        if self.config.ipv4 {
            let sum = checksum(&packet).to_be_bytes();
            if let Some(place) = packet.get_mut(2..4) {
                place.copy_from_slice(&sum);
            }
        }
        Output::Transmit { sequence, packet }
    }

    fn answer(&self, message: &[u8]) -> Option<Answer> {
        let (header, payload) = message.split_first_chunk::<HEADER>()?;
        let kind = if self.config.ipv4 { REPLY } else { REPLY_V6 };
        let ([had, code, ..], [.., high, low]) = (header, header);
        if (*had, *code) != (kind, 0) {
            return None;
        }
        let (covered, rest) = payload.split_first_chunk::<COVERED>()?;
        let tag = rest.first_chunk::<TAG>()?;
        let sequence = u32::from_be_bytes(*covered.last_chunk()?);
        let is_ours = *covered == self.covered(sequence)
            && sequence.to_be_bytes().ends_with(&[*high, *low])
            && self.config.key.verifies(covered, tag);
        is_ours.then_some(Answer {
            sequence,
            reflected: None,
            residence: Some(Duration::ZERO),
        })
    }

    fn covered(&self, sequence: u32) -> [u8; COVERED] {
        let both = u64::from(self.config.session) << 32 | u64::from(sequence);
        both.to_be_bytes()
    }
}

/// The ICMP message in an IPv4 packet, which is what a raw socket hears; `None`: there is none, or it is not whole.
#[must_use]
pub fn in_ipv4(packet: &[u8]) -> Option<&[u8]> {
    let header = packet.first_chunk::<IPV4_HEADER>()?;
    let [
        version_and_length,
        ..,
        protocol,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
    ] = header;
    let len = usize::from(version_and_length & 0xf) * 4;
    let is_icmp = version_and_length >> 4 == 4 && *protocol == IPV4_ICMP && len >= IPV4_HEADER;
    packet.get(len..).filter(|_| is_icmp)
}

/// RFC 1071, of a message whose own checksum is zero.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| {
        let [high, low] = [pair.first(), pair.get(1)].map(|octet| octet.copied().unwrap_or(0));
        u32::from(u16::from_be_bytes([high, low]))
    });
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
