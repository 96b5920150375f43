//! What the kernel is asked to change, as plain values.

use std::net::IpAddr;

use ipnet::IpNet;
use smallvec::SmallVec;

/// Changes to be carried out in order, each whether or not another one fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Names it in [`Input::Completed`](crate::Input::Completed).
    pub id: u64,
    /// `rtm_protocol` and `nh_protocol` of all in it.
    pub protocol: u8,
    /// At most [`OPS_MAX`](crate::plan::OPS_MAX).
    pub ops: Vec<Op>,
}

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Op {
    /// Make a nexthop object, or change the one of that id.
    PutPath {
        /// `NHA_ID`.
        id: u32,
        /// The way out.
        path: Path,
        /// It exists and is ours.
        replace: bool,
    },
    /// Make a group of nexthop objects, or change the one of that id.
    PutGroup {
        /// `NHA_ID`.
        id: u32,
        /// Ids and weights, 1..=255.
        members: SmallVec<[(u32, u8); 4]>,
        /// It exists and is ours.
        replace: bool,
    },
    /// Remove a nexthop object of ours.
    RemoveNexthop {
        /// `NHA_ID`.
        id: u32,
    },
    /// Make a route (fails if there is one of any protocol), or change the one that is there.
    PutRoute {
        /// Where to.
        prefix: IpNet,
        /// `RTA_TABLE`.
        table: u32,
        /// `RTA_PRIORITY`.
        metric: u32,
        /// `RTA_PREFSRC`.
        prefsrc: Option<IpAddr>,
        /// What it does.
        target: Target,
        /// It exists and is ours.
        replace: bool,
    },
    /// Remove a route of our protocol.
    RemoveRoute {
        /// Where to.
        prefix: IpNet,
        /// `RTA_TABLE`.
        table: u32,
        /// `RTA_PRIORITY`.
        metric: u32,
        /// `rtm_tos`.
        tos: u8,
    },
}

/// What a route of ours does with packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// `RTA_NH_ID`.
    Nexthop(u32),
    /// Its own next hops with their weights, where the kernel has no nexthop objects.
    Paths(SmallVec<[(Path, u8); 1]>),
    /// Drops them.
    Blackhole,
    /// Refuses them.
    Unreachable,
    /// Refuses them as forbidden.
    Prohibit,
}

/// A way out of this machine.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Path {
    /// The neighbor; `None`: whoever is at the other end of the device.
    pub gateway: Option<IpAddr>,
    /// The device's index.
    pub interface: u32,
    /// The neighbor is on the link though no route says so (`RTNH_F_ONLINK`).
    pub onlink: bool,
}

/// One change that the kernel refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Its place in [`Batch::ops`].
    pub index: u32,
    /// What the kernel said, positive.
    pub errno: i32,
}
