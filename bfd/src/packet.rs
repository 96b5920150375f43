//! The Control packet (RFC 5880 §4.1), and the checks of its reception that need no session (§6.8.6).

use std::time::Duration;

/// Octets of a Control packet without an authentication section.
pub const LEN: usize = 24;
/// Octets of the longest one: with a SHA1 digest (§4.4).
pub const LEN_MAX: usize = LEN + 28;
/// §4.1: this document's version.
const VERSION: u8 = 1;

/// A BFD Control packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Why the sender last left Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// The P bit: the sender wants an answer with the F bit.
    pub poll: bool,
    /// The F bit: this is such an answer.
    pub is_final: bool,
    /// The C bit: the sender's BFD does not share fate with its control plane.
    pub control_plane_independent: bool,
    /// The D bit: the sender wants no periodic packets.
    pub demand: bool,
    /// Detection time multiplier, not zero.
    pub multiplier: u8,
    /// The sender's discriminator, not zero.
    pub my_discriminator: u32,
    /// Ours, as the sender knows it; zero if it does not.
    pub your_discriminator: u32,
    /// How often the sender would like to send; whole microseconds, below 2³².
    pub desired_min_tx: Duration,
    /// How often the sender can receive; zero: never. Whole microseconds, below 2³².
    pub required_min_rx: Duration,
    /// How often it can receive Echo packets; zero: never. Whole microseconds, below 2³².
    pub required_min_echo_rx: Duration,
}

/// §4.1, the sender's session state.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// 0
    AdminDown,
    /// 1
    Down,
    /// 2
    Init,
    /// 3
    Up,
}

/// §4.1, the reason for the last change of state. Numbers without a name are kept.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// 0
    pub const NONE: Self = Self(0);
    /// 1
    pub const CONTROL_DETECTION_TIME_EXPIRED: Self = Self(1);
    /// 3
    pub const NEIGHBOR_SIGNALED_SESSION_DOWN: Self = Self(3);
    /// 5
    pub const PATH_DOWN: Self = Self(5);
    /// 7
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);

    /// The number, `0..32`.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Why a packet is discarded, in the order of §6.8.6.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// The version is not 1.
    Version,
    /// The length is below the least one, or beyond what came.
    Length,
    /// Detect Mult is zero.
    Multiplier,
    /// The M bit is set.
    Multipoint,
    /// My Discriminator is zero.
    MyDiscriminator,
    /// Your Discriminator is zero, and the state is neither Down nor AdminDown.
    YourDiscriminator,
    /// It crossed a router on its way to a session over one hop (RFC 5881 §5).
    Ttl,
    /// It belongs to no session of ours.
    NoSession,
    /// It is authenticated, which nobody agreed on.
    Authenticated,
    /// It is not authenticated, or not with the key that was agreed on.
    Unauthenticated,
    /// Its sequence number was used before, or is too far ahead.
    Replayed,
    /// The session is administratively down here.
    AdminDown,
}

/// A packet that was read, and its octets, for whom must authenticate them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decoded<'a> {
    /// What it says.
    pub packet: Packet,
    /// The A bit: there is an authentication section.
    pub authenticated: bool,
    /// All of its octets, as its length has it.
    pub octets: &'a [u8],
}

/// A packet to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Octets {
    octets: [u8; LEN_MAX],
    len: usize,
}

impl Octets {
    /// One without an authentication section.
    pub(crate) fn new(head: &[u8; LEN]) -> Self {
        let mut octets = Self {
            octets: [0; LEN_MAX],
            len: 0,
        };
        octets.extend(head);
        octets
    }

    /// Adds what fits.
    pub(crate) fn extend(&mut self, more: &[u8]) {
        self.replace(self.len, more);
        self.len = (self.len + more.len()).min(LEN_MAX);
        if let Some(length) = self.octets.get_mut(3) {
            *length = u8::try_from(self.len).unwrap_or(u8::MAX);
        }
    }

    /// Writes over what is at `at`.
    pub(crate) fn replace(&mut self, at: usize, with: &[u8]) {
        for (to, from) in self.octets.iter_mut().skip(at).zip(with) {
            *to = *from;
        }
    }
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl Packet {
    /// Whether the sender does not know our discriminator yet, so that where the packet came from decides whose it is
    /// (§6.3). What is no packet is of nobody.
    #[must_use]
    pub fn is_of_stranger(octets: &[u8]) -> bool {
        Self::decode(octets).is_ok_and(|decoded| decoded.packet.your_discriminator == 0)
    }

    /// Reads a packet, by the checks of §6.8.6 that need no session, in their order.
    ///
    /// # Errors
    /// The first check that fails: the packet must be discarded.
    pub fn decode(octets: &[u8]) -> Result<Decoded<'_>, Fault> {
        let header: &[u8; LEN] = octets.first_chunk().ok_or(Fault::Length)?;
        let [first, flags, multiplier, length, rest @ ..] = *header;
        if first >> 5 != VERSION {
            return Err(Fault::Version);
        }
        let bit = |place: u8| flags & (1 << place) != 0;
        let least = if bit(2) { LEN + 2 } else { LEN };
        let octets = octets.get(..usize::from(length)).ok_or(Fault::Length)?;
        if octets.len() < least {
            return Err(Fault::Length);
        }
        let word = |at: usize| {
            let octets = rest.get(at..).and_then(<[u8]>::first_chunk);
            octets.copied().map_or(0, u32::from_be_bytes)
        };
        let micros = |at| Duration::from_micros(word(at).into());
        let packet = Self {
            diagnostic: Diagnostic(first & 0x1f),
            state: match flags >> 6 {
                0 => State::AdminDown,
                1 => State::Down,
                2 => State::Init,
                _ => State::Up,
            },
            poll: bit(5),
            is_final: bit(4),
            control_plane_independent: bit(3),
            demand: bit(1),
            multiplier,
            my_discriminator: word(0),
            your_discriminator: word(4),
            desired_min_tx: micros(8),
            required_min_rx: micros(12),
            required_min_echo_rx: micros(16),
        };
        let knows_us = packet.your_discriminator != 0 || packet.state <= State::Down;
        let checks = [
            (multiplier != 0, Fault::Multiplier),
            (!bit(0), Fault::Multipoint),
            (packet.my_discriminator != 0, Fault::MyDiscriminator),
            (knows_us, Fault::YourDiscriminator),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, fault)) => Err(fault),
            None => Ok(Decoded {
                packet,
                authenticated: bit(2),
                octets,
            }),
        }
    }

    /// The packet's octets up to the authentication section, which follows where `authenticated`.
    #[must_use]
    pub fn encode(&self, authenticated: bool) -> [u8; LEN] {
        let state = match self.state {
            State::AdminDown => 0,
            State::Down => 1 << 6,
            State::Init => 2 << 6,
            State::Up => 3 << 6,
        };
        let bits = [
            (self.poll, 5),
            (self.is_final, 4),
            (self.control_plane_independent, 3),
            (authenticated, 2),
            (self.demand, 1),
        ];
        let flags = bits
            .iter()
            .fold(state, |flags, (set, place)| flags | u8::from(*set) << place);
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let head = [VERSION << 5 | self.diagnostic.0, flags, self.multiplier, 24];
        let words = [
            self.my_discriminator,
            self.your_discriminator,
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            micros(self.required_min_echo_rx),
        ];
        let mut octets = [0; LEN];
        let all = head
            .into_iter()
            .chain(words.into_iter().flat_map(u32::to_be_bytes));
        for (to, from) in octets.iter_mut().zip(all) {
            *to = from;
        }
        octets
    }
}

#[cfg(test)]
mod tests;
