//! What is worth knowing of AllowedIPs.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::view::errno_text;

/// Something about the AllowedIPs of a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// AllowedIPs that an earlier life made were found at start.
    Adopted {
        /// The device.
        device: String,
        /// How many.
        prefixes: usize,
    },
    /// A next hop is behind no peer: what routes lead to it goes nowhere.
    NoPeer {
        /// The device.
        device: String,
        /// The next hop; `None`: whoever is at the other end, and there are several peers.
        gateway: Option<IpAddr>,
    },
    /// Somebody else gave a prefix to another peer than BGP wants. It is left alone.
    Foreign {
        /// The device.
        device: String,
        /// One such prefix.
        prefix: IpNet,
    },
    /// Traffic to a prefix is to be shared between peers of one device: WireGuard sends it to one.
    SeveralPeers {
        /// The device.
        device: String,
        /// One such prefix.
        prefix: IpNet,
    },
    /// A change was refused, or was accepted and is not there; it is tried again.
    NotTaken {
        /// The device.
        device: String,
        /// A prefix of it.
        prefix: IpNet,
        /// What was said; `None`: nothing.
        errno: Option<i32>,
    },
    /// Something else took prefixes of ours away or gave them to others. They are put back.
    Contested {
        /// The device.
        device: String,
        /// How many.
        prefixes: usize,
    },
    /// The device cannot take a single prefix from a peer: those that are not wanted stay until they move.
    CannotRemove {
        /// The device.
        device: String,
    },
    /// Which prefixes are ours cannot be written down.
    NotKept {
        /// Why.
        errno: i32,
    },
    /// A device does not answer. It is asked again.
    Unreadable {
        /// The device.
        device: String,
        /// Why.
        errno: i32,
    },
    /// It answers again.
    Readable {
        /// The device.
        device: String,
    },
    /// A device is gone, with the AllowedIPs that were ours.
    Gone {
        /// The device.
        device: String,
        /// How many.
        prefixes: usize,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept { errno } => write!(
                f,
                "which AllowedIPs are ours cannot be kept in `[api] state-dir`: {}; after a restart they count as another's",
                errno_text(*errno)
            ),
            Self::Adopted { device, prefixes } => {
                write!(
                    f,
                    "{device}: {prefixes} AllowedIPs of an earlier life found"
                )
            }
            Self::Contested { device, prefixes } => write!(
                f,
                "{device}: something else changed {prefixes} AllowedIPs of ours; they are put back"
            ),
            Self::CannotRemove { device } => write!(
                f,
                "{device}: a single one of its AllowedIPs cannot be removed: what is not wanted stays until it moves"
            ),
            Self::Unreadable { device, errno } => {
                write!(
                    f,
                    "{device}: its peers cannot be read: {}",
                    errno_text(*errno)
                )
            }
            Self::Readable { device } => write!(f, "{device}: its peers can be read again"),
            Self::Gone { device, prefixes } => {
                write!(f, "{device} is gone, with {prefixes} AllowedIPs of ours")
            }
            Self::NoPeer { .. }
            | Self::Foreign { .. }
            | Self::SeveralPeers { .. }
            | Self::NotTaken { .. } => self.fmt_misplaced(f),
        }
    }
}

impl Notice {
    /// Of prefixes that are not where they should be.
    fn fmt_misplaced(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPeer {
                device,
                gateway: Some(gateway),
            } => write!(
                f,
                "{device}: no peer has {gateway} among its AllowedIPs: what is routed to it goes nowhere"
            ),
            Self::NoPeer {
                device,
                gateway: None,
            } => write!(
                f,
                "{device}: routes over it name no next hop, and it has more than one peer, or none"
            ),
            Self::Foreign { device, prefix } => write!(
                f,
                "{device}: {prefix} is among the AllowedIPs of another peer than BGP wants, and not by us: it is left alone; \
                 take it out of the device's configuration"
            ),
            Self::SeveralPeers { device, prefix } => write!(
                f,
                "{device}: traffic to {prefix} is to be shared between peers of one device, and WireGuard sends it to one: \
                 set `multipath = 1`, or give each peer a device"
            ),
            Self::NotTaken {
                device,
                prefix,
                errno: Some(errno),
            } => write!(
                f,
                "{device}: AllowedIPs with {prefix} were refused: {}",
                errno_text(*errno)
            ),
            Self::NotTaken {
                device,
                prefix,
                errno: None,
            } => write!(
                f,
                "{device}: {prefix} was given to a peer that does not have it now"
            ),
            Self::NotKept { .. }
            | Self::Adopted { .. }
            | Self::Contested { .. }
            | Self::CannotRemove { .. }
            | Self::Unreadable { .. }
            | Self::Readable { .. }
            | Self::Gone { .. } => Ok(()),
        }
    }
}
