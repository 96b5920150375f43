//! Which path a session watches.

use std::fmt;
use std::net::IpAddr;

/// What one session is about: two peers to the same address over the same hops share it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Path {
    /// The neighbor's address.
    pub remote: IpAddr,
    /// Our address: part of what tells sessions over several hops apart (RFC 5883 §3), else what we send from.
    pub local: Option<IpAddr>,
    /// The device over which it must be reached; needed for a link-local address.
    pub interface: Option<String>,
    /// How far it is.
    pub hops: Hops,
}

/// RFC 5881 or RFC 5883.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Hops {
    /// On the same link: UDP port 3784; what comes with a TTL other than 255 crossed a router and is no neighbor's
    /// (RFC 5881 §5).
    Single,
    /// Across routers: UDP port 4784.
    Several,
}

impl Hops {
    /// The UDP port to send to (RFC 5881 §4, RFC 5883 §5).
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Single => 3784,
            Self::Several => 4784,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.remote)?;
        if let Some(interface) = &self.interface {
            write!(f, "%{interface}")?;
        }
        Ok(())
    }
}
