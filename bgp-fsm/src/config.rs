//! What a session is configured with.

use std::net::Ipv4Addr;
use std::time::Duration;

use bgp_core::Capability;
use bgp_core::family::PerFamily;

/// What a session is configured with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Our AS number towards this peer.
    pub local_asn: u32,
    /// Our BGP Identifier, not zero.
    pub identifier: Ipv4Addr,
    /// Who the peer may be.
    pub peer_asn: PeerAs,
    /// The Hold Time we propose: zero, or at least three seconds; less than 65536 seconds.
    pub hold_time: Duration,
    /// Time between KEEPALIVEs; `None` is a third of the agreed hold time (RFC 4271 §4.4).
    pub keepalive: Option<Duration>,
    /// ConnectRetryTime. The first retries come sooner.
    pub connect_retry: Duration,
    /// IdleHoldTime after the first error.
    pub idle_hold: Duration,
    /// To where it doubles.
    pub idle_hold_max: Duration,
    /// SendHoldTime (RFC 9687 §3); `None`: never.
    pub send_hold: Option<Duration>,
    /// PassiveTcpEstablishment (§8.1.1): the peer connects.
    pub passive: bool,
    /// What our OPEN offers, in this order.
    pub capabilities: Vec<Capability>,
    /// The families among them.
    pub families: PerFamily<bool>,
    /// The peer must send a role (RFC 9234 §4.2).
    pub strict_role: bool,
}

/// Which AS numbers a peer may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PeerAs {
    /// This one.
    Exactly(u32),
    /// One of these.
    OneOf(Vec<u32>),
    /// Any.
    Any,
}

impl PeerAs {
    /// Whether `asn` is taken.
    #[must_use]
    pub fn takes(&self, asn: u32) -> bool {
        match self {
            Self::Exactly(one) => *one == asn,
            Self::OneOf(some) => some.contains(&asn),
            Self::Any => true,
        }
    }
}
