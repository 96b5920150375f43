//! What the kernel tells: links, addresses, routes and nexthop objects, as plain values.

use std::net::IpAddr;

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::op::Path;

/// One thing the kernel told. The same values describe a dump and a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fact {
    /// A dump begins: what is not told until [`Fact::DumpEnd`] does not exist.
    DumpBegin,
    /// The dump is complete.
    DumpEnd,
    /// What the kernel can do and lets us do.
    Abilities {
        /// Routes may be changed (CAP_NET_ADMIN).
        permitted: bool,
        /// It has nexthop objects.
        nexthop_objects: bool,
        /// `net.ipv4.nexthop_compat_mode` was on and was turned off.
        compat_mode_off: bool,
    },
    /// A link exists.
    Link {
        /// Its index.
        index: u32,
        /// Its name.
        name: String,
        /// It can carry packets: up and running.
        up: bool,
    },
    /// A link exists no more.
    LinkGone {
        /// Its index.
        index: u32,
    },
    /// A link has an address.
    Address {
        /// The link's index.
        index: u32,
        /// The address.
        address: IpAddr,
        /// What is on the link: the address's network, or the other end of a point-to-point link.
        prefix: IpNet,
    },
    /// A link has an address no more.
    AddressGone {
        /// The link's index.
        index: u32,
        /// The address.
        address: IpAddr,
        /// What was on the link.
        prefix: IpNet,
    },
    /// A nexthop object exists, and this is what it is.
    Nexthop(KernelNexthop),
    /// A nexthop object exists no more.
    NexthopGone {
        /// `NHA_ID`.
        id: u32,
    },
    /// A route exists, and this is what it is. It has taken the place of the first one that had its prefix, table and
    /// metric, if there was one.
    Route(KernelRoute),
    /// A route exists, and those that have its prefix, table and metric do too (`ip route append`): the kernel takes the
    /// first of them.
    RouteBeside(KernelRoute, Rank),
    /// A route exists no more.
    RouteGone(KernelRoute),
}

/// Where a route is among those that have its prefix, table and metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rank {
    /// Before all others.
    First,
    /// Behind all others.
    Last,
}

/// `RTPROT_RA`: of router advertisements.
const PROTOCOL_RA: u8 = 9;

/// A route in the kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelRoute {
    /// Where to.
    pub prefix: IpNet,
    /// `RTA_TABLE`.
    pub table: u32,
    /// `RTA_PRIORITY`; 0 when absent.
    pub metric: u32,
    /// `rtm_protocol`.
    pub protocol: u8,
    /// `rtm_tos`.
    pub tos: u8,
    /// What happens to packets.
    pub kind: RouteKind,
    /// `RTA_PREFSRC`.
    pub prefsrc: Option<IpAddr>,
}

impl KernelRoute {
    /// Whether the two, which lead to the same prefix, have the same place: of those that do, the kernel takes the first.
    #[must_use]
    pub fn has_place_of(&self, other: &Self) -> bool {
        self.table == other.table && self.metric == other.metric
    }

    /// Whether the two, which lead to the same prefix and have the same place, are one route: the kernel has room for only
    /// one of them.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match self.prefix {
            IpNet::V4(_) => {
                let who = |route: &Self| (route.protocol, route.prefsrc);
                who(self) == who(other) && self.kind == other.kind
            }
            IpNet::V6(_) => self.kind == other.kind || self.shares() && other.shares(),
        }
    }

    /// Whether an IPv6 route becomes one with others in its place: those through gateways share the traffic.
    pub(crate) fn shares(&self) -> bool {
        let through_gateway = |(path, _): &(Path, u8)| path.gateway.is_some();
        match &self.kind {
            RouteKind::Unicast(RouteVia::Paths(paths)) => {
                self.prefix.addr().is_ipv6()
                    && self.protocol != PROTOCOL_RA
                    && paths.first().is_some_and(through_gateway)
            }
            RouteKind::Unicast(RouteVia::Nexthop(_))
            | RouteKind::Blackhole
            | RouteKind::Unreachable
            | RouteKind::Prohibit
            | RouteKind::Other => false,
        }
    }

    /// Takes from it what is `gone`, and says whether nothing is left: of an IPv6 route, the kernel may tell of one next
    /// hop alone.
    pub fn lose(&mut self, gone: &Self) -> bool {
        match (&mut self.kind, &gone.kind) {
            (
                RouteKind::Unicast(RouteVia::Paths(paths)),
                RouteKind::Unicast(RouteVia::Paths(gone)),
            ) => {
                paths.retain(|(path, _)| !gone.iter().any(|(other, _)| other == path));
                paths.is_empty()
            }
            _ => true,
        }
    }
}

/// What a route does with packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouteKind {
    /// Sends them on.
    Unicast(RouteVia),
    /// Drops them.
    Blackhole,
    /// Refuses them.
    Unreachable,
    /// Refuses them as forbidden.
    Prohibit,
    /// Local, broadcast, multicast, throw and the like.
    Other,
}

/// Which way a route sends packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouteVia {
    /// `RTA_NH_ID`.
    Nexthop(u32),
    /// Its own next hops with their weights, 1..=255.
    Paths(SmallVec<[(Path, u8); 1]>),
}

/// A nexthop object in the kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelNexthop {
    /// `NHA_ID`.
    pub id: u32,
    /// `nh_protocol`.
    pub protocol: u8,
    /// What it is.
    pub kind: NexthopKind,
}

/// What a nexthop object is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NexthopKind {
    /// A way out.
    Path(Path),
    /// A group of others, by their ids, with weights 1..=255, in the order of their ids.
    Group(SmallVec<[(u32, u8); 4]>),
    /// Blackholes, and what we know nothing about.
    Other,
}
