//! STAMP test packets and their octets (RFC 8762 §4.2, §4.3; RFC 8972 §3).

use super::key::{Key, TAG};
use super::time::{ErrorEstimate, Timestamp};

/// Octets of a base packet in the unauthenticated mode, both ways.
pub(super) const BASE: usize = 44;
/// Octets of a base packet in the authenticated mode, both ways.
pub(super) const BASE_AUTHENTICATED: usize = 112;
/// The shortest packet of a TWAMP Light Session-Sender (RFC 8762 §4.6): up to the end of its error estimate.
const LEAST: usize = 14;

/// Where the fields are. What is between them must be zero, and is ignored on receipt.
struct Layout {
    len: usize,
    timestamp: usize,
    error: usize,
    ssid: usize,
    received: usize,
    probe_sequence: usize,
    probe_timestamp: usize,
    probe_error: usize,
    ttl: usize,
}

const OPEN: Layout = Layout {
    len: BASE,
    timestamp: 4,
    error: 12,
    ssid: 14,
    received: 16,
    probe_sequence: 24,
    probe_timestamp: 28,
    probe_error: 36,
    ttl: 40,
};

const AUTHENTICATED: Layout = Layout {
    len: BASE_AUTHENTICATED,
    timestamp: 16,
    error: 24,
    ssid: 26,
    received: 32,
    probe_sequence: 48,
    probe_timestamp: 64,
    probe_error: 72,
    ttl: 80,
};

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Shorter than it can be.
    Short,
    /// The HMAC is not that of the key.
    Unauthentic,
    /// An error estimate with a multiplier of zero.
    Corrupt,
}

/// What a Session-Sender sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probe {
    /// Starts at zero in each session, one more for each packet.
    pub sequence: u32,
    /// T1: when it was sent, by the sender's clock.
    pub timestamp: Timestamp,
    /// How good that clock is.
    pub error: ErrorEstimate,
    /// The session, with the addresses and ports (RFC 8972 §3); zero from those who know none.
    pub ssid: u16,
}

impl Probe {
    /// Reads a probe. With a key, it must be authentic.
    ///
    /// # Errors
    /// The packet is to be dropped.
    pub fn decode(bytes: &[u8], key: Option<&Key>) -> Result<Self, Fault> {
        let layout = verify(bytes, key)?;
        Ok(Self {
            sequence: u32::from_be_bytes(get(bytes, 0)?),
            timestamp: Timestamp(u64::from_be_bytes(get(bytes, layout.timestamp)?)),
            error: error(bytes, layout.error)?,
            // A TWAMP Light sender's packet may end before it.
            ssid: u16::from_be_bytes(get(bytes, layout.ssid).unwrap_or_default()),
        })
    }

    /// Writes the packet; `padding` zeros follow the base packet.
    #[must_use]
    pub fn encode(&self, key: Option<&Key>, padding: usize) -> Vec<u8> {
        let layout = layout(key);
        let mut packet = vec![0; layout.len + padding];
        put(&mut packet, 0, self.sequence.to_be_bytes());
        put(
            &mut packet,
            layout.timestamp,
            self.timestamp.0.to_be_bytes(),
        );
        put(&mut packet, layout.error, self.error.bits().to_be_bytes());
        put(&mut packet, layout.ssid, self.ssid.to_be_bytes());
        seal(&mut packet, key);
        packet
    }
}

/// What a Session-Reflector answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reflection {
    /// Of a stateful reflector: how many packets of the session it answered before. Else the probe's own.
    pub sequence: u32,
    /// T3: when it was sent, by the reflector's clock.
    pub timestamp: Timestamp,
    /// How good that clock is; says how T2 and T3 are written.
    pub error: ErrorEstimate,
    /// T2: when the probe came.
    pub received: Timestamp,
    /// The probe: its sequence number, T1, error estimate and session id.
    pub probe: Probe,
    /// The TTL or Hop Limit that the probe came with.
    pub ttl: u8,
}

impl Reflection {
    /// Reads an answer. With a key, it must be authentic.
    ///
    /// # Errors
    /// The packet is to be dropped.
    pub fn decode(bytes: &[u8], key: Option<&Key>) -> Result<Self, Fault> {
        if bytes.len() < layout(key).len {
            return Err(Fault::Short);
        }
        let layout = verify(bytes, key)?;
        let [ttl] = get(bytes, layout.ttl)?;
        Ok(Self {
            sequence: u32::from_be_bytes(get(bytes, 0)?),
            timestamp: Timestamp(u64::from_be_bytes(get(bytes, layout.timestamp)?)),
            error: error(bytes, layout.error)?,
            received: Timestamp(u64::from_be_bytes(get(bytes, layout.received)?)),
            probe: Probe {
                sequence: u32::from_be_bytes(get(bytes, layout.probe_sequence)?),
                timestamp: Timestamp(u64::from_be_bytes(get(bytes, layout.probe_timestamp)?)),
                error: error(bytes, layout.probe_error)?,
                ssid: u16::from_be_bytes(get(bytes, layout.ssid)?),
            },
            ttl,
        })
    }

    /// Writes the answer to `probe`, the packet that is reflected: what that has beyond its base is copied
    /// (RFC 8762 §4.3).
    #[must_use]
    pub fn encode(&self, key: Option<&Key>, probe: &[u8]) -> Vec<u8> {
        let layout = layout(key);
        let mut packet = vec![0; layout.len];
        put(&mut packet, 0, self.sequence.to_be_bytes());
        put(
            &mut packet,
            layout.timestamp,
            self.timestamp.0.to_be_bytes(),
        );
        put(&mut packet, layout.error, self.error.bits().to_be_bytes());
        put(&mut packet, layout.ssid, self.probe.ssid.to_be_bytes());
        put(&mut packet, layout.received, self.received.0.to_be_bytes());
        put(
            &mut packet,
            layout.probe_sequence,
            self.probe.sequence.to_be_bytes(),
        );
        put(
            &mut packet,
            layout.probe_timestamp,
            self.probe.timestamp.0.to_be_bytes(),
        );
        put(
            &mut packet,
            layout.probe_error,
            self.probe.error.bits().to_be_bytes(),
        );
        put(&mut packet, layout.ttl, [self.ttl]);
        seal(&mut packet, key);
        packet.extend_from_slice(probe.get(layout.len..).unwrap_or_default());
        packet
    }
}

const fn layout(key: Option<&Key>) -> &'static Layout {
    match key {
        None => &OPEN,
        Some(_) => &AUTHENTICATED,
    }
}

/// RFC 8762 §4.4: verified as early as possible. The tag covers all of the base packet before it.
fn verify(bytes: &[u8], key: Option<&Key>) -> Result<&'static Layout, Fault> {
    let layout = layout(key);
    let Some(key) = key else {
        return if bytes.len() < LEAST {
            Err(Fault::Short)
        } else {
            Ok(layout)
        };
    };
    let covered = bytes.get(..layout.len - TAG).ok_or(Fault::Short)?;
    let tag = get(bytes, layout.len - TAG)?;
    if key.verifies(covered, &tag) {
        Ok(layout)
    } else {
        Err(Fault::Unauthentic)
    }
}

fn seal(packet: &mut [u8], key: Option<&Key>) {
    let end = BASE_AUTHENTICATED - TAG;
    if let (Some(key), Some(covered)) = (key, packet.get(..end)) {
        let tag = key.tag(covered);
        put(packet, end, tag);
    }
}

fn error(bytes: &[u8], at: usize) -> Result<ErrorEstimate, Fault> {
    let bits = u16::from_be_bytes(get(bytes, at)?);
    ErrorEstimate::from_bits(bits).ok_or(Fault::Corrupt)
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Fault> {
    let rest = bytes.get(at..).ok_or(Fault::Short)?;
    rest.first_chunk().copied().ok_or(Fault::Short)
}

fn put<const N: usize>(packet: &mut [u8], at: usize, field: [u8; N]) {
    if let Some(place) = packet.get_mut(at..at + N) {
        place.copy_from_slice(&field);
    }
}
