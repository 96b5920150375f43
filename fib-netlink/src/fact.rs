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
    /// A route exists, and this is what it is.
    Route(KernelRoute),
    /// A route exists no more.
    RouteGone(KernelRoute),
}

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
    /// Whether the kernel has room for but one of the two, which lead to the same prefix. IPv6 has several device routes
    /// to one prefix with one metric.
    #[must_use]
    pub fn has_place_of(&self, other: &Self) -> bool {
        let device = |route: &Self| match (&route.prefix, &route.kind) {
            (IpNet::V6(_), RouteKind::Unicast(RouteVia::Paths(paths))) => paths
                .first()
                .filter(|(path, _)| path.gateway.is_none())
                .map(|(path, _)| path.interface),
            _ => None,
        };
        self.table == other.table && self.metric == other.metric && device(self) == device(other)
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
