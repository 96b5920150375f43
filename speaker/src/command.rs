//! What an operator or a client of the API can ask the speaker to do, and why it may refuse.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bgp_core::{Attributes, Family};
use ipnet::IpNet;

/// An order about one peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PeerCommand {
    /// Bring it up.
    Enable,
    /// Keep it down; the message goes to the peer (RFC 9003).
    Disable(Option<String>),
    /// Down and up again; the message goes to the peer.
    Reset(Option<String>),
    /// Ask it for all its routes again, and tell it all of ours (RFC 2918).
    Refresh(Option<Family>),
}

/// A route that a client puts in.
#[derive(Clone, Debug)]
pub struct Injection {
    /// Where to.
    pub prefix: IpNet,
    /// With these; an unspecified next hop means ourselves.
    pub attributes: Attributes,
    /// Distinguishes several paths of one owner to one prefix.
    pub path_id: u32,
    /// It is to be installed in our own kernel too, by its next hop.
    pub install: bool,
    /// A mark for policies; zero: none.
    pub tag: u32,
}

impl Injection {
    /// What tells it apart among its owner's routes.
    #[must_use]
    pub const fn key(&self) -> (IpNet, u32) {
        (self.prefix, self.path_id)
    }
}

/// Several changes that are made together, or not at all.
#[derive(Clone, Debug, Default)]
pub struct InjectionBatch {
    /// Who owns the routes, 1..=64 octets.
    pub owner: String,
    /// How long the owner's routes live after it was last heard; `None`: until withdrawn.
    /// It holds for all routes of the owner.
    pub lease: Option<Duration>,
    /// Routes to put in, or to replace.
    pub announce: Vec<Injection>,
    /// Routes to take out: prefix and path_id.
    pub withdraw: Vec<(IpNet, u32)>,
    /// Take out all routes of this owner that are not in `announce`.
    pub replace_all: bool,
}

/// What a batch did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Injected {
    /// Routes put in or replaced.
    pub announced: usize,
    /// Routes taken out.
    pub withdrawn: usize,
}

/// Why an order was refused. `field` names the offending part of the request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// No such peer, route or owner.
    NotFound(String),
    /// A part of the request cannot be taken.
    Invalid {
        /// Its name, as in `announce[3].prefix`.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is there already.
    Exists(String),
    /// It does not fit the present state.
    Precondition(String),
    /// A bound would be exceeded; the text names it.
    Exhausted(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(what) => write!(f, "{what}: not found"),
            Self::Invalid { field, why } => write!(f, "{field}: {why}"),
            Self::Exists(why) | Self::Precondition(why) | Self::Exhausted(why) => f.write_str(why),
        }
    }
}

/// Names a peer: its address, and the interface where a link-local one needs it. Written as `10.0.0.2` or `fe80::2%eth0`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerName {
    /// The address.
    pub address: IpAddr,
    /// The interface, for a link-local address.
    pub interface: Option<String>,
}

impl PeerName {
    /// The name of whoever is at `address`: the interface counts only for a link-local one.
    #[must_use]
    pub fn new(address: IpAddr, interface: Option<&str>) -> Self {
        let scoped = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        Self {
            address,
            interface: interface.filter(|_| scoped).map(str::to_owned),
        }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{}%{interface}", self.address),
            None => self.address.fmt(f),
        }
    }
}
