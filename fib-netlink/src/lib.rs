//! Routes, nexthop groups and AllowedIPs: what we want and what the kernel has, and the messages between them.
//!
//! [`Fib`] is pure: facts about the kernel, and routes that BGP wants, come in; batches of changes,
//! answers about next hops and notices go out. [`kernel`] is the only module that touches the kernel.

pub mod fact;
mod fill;
#[cfg(feature = "kernel")]
pub mod kernel;
mod nexthops;
pub mod op;
pub mod plan;
mod resolve;
mod retry;
mod source;
mod table;
pub mod view;
pub mod wireguard;

pub use fact::{Fact, KernelNexthop, KernelRoute, NexthopKind, Rank, RouteKind, RouteVia};
pub use fill::Fill;
pub use op::{Batch, Failure, Op, Path, Target};
pub use plan::{Fib, FibConfig};
pub use view::{FibRow, RouteState, Status};

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use smallvec::SmallVec;

/// Where routes point to, as BGP knows it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NextHop {
    /// The NEXT_HOP attribute's or MP_REACH_NLRI's address (RFC 4271 §5.1.3, RFC 4760 §3).
    pub address: IpAddr,
    /// The index of the device: the scope of a link-local address, or a device that is forced.
    pub interface: Option<u32>,
    /// No route of ours may lead to it: it is that of an external peer one hop away (RFC 4271 §5.1.3).
    pub direct: bool,
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interface {
            Some(index) => write!(f, "{}%{index}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// A way to a next hop over a directly connected device (RFC 4271 §5.1.3, "immediate next hop").
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Way {
    /// The neighbor that takes the packets, which is the next hop itself where it is on the link, and the device.
    pub path: Path,
    /// Its share of the traffic, 1..=255.
    pub weight: u8,
    /// The metric of the kernel's route, for BGP the interior cost (RFC 4271 §9.1.2.2 e); 0 is connected.
    pub metric: u32,
}

/// Ways that share the traffic, in the order of their paths.
pub type Ways = SmallVec<[Way; 1]>;

/// How a next hop is reached.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resolution {
    /// The ways to it, at least one.
    pub ways: Ways,
    /// Routes of ours that lead to it (RFC 4271 §9.1.2.1), in the order in which they were looked at.
    pub through: Vec<Through>,
}

impl Resolution {
    /// The ways for a route to `prefix`, which must not depend on itself.
    #[must_use]
    pub fn for_prefix(&self, prefix: IpNet) -> Option<&Ways> {
        let itself = self.through.iter().find(|through| through.prefix == prefix);
        itself.map_or(Some(&self.ways), |through| through.without.as_ref())
    }
}

/// A route of ours that leads to a next hop.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Through {
    /// Where it leads.
    pub prefix: IpNet,
    /// How the next hop would be reached without it: that is what counts for routes to the same prefix. `None`: not at all.
    pub without: Option<Ways>,
}

/// What is known of the link that a way to a next hop takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkQuality {
    /// What it can carry, in bit/s, if anybody said.
    pub capacity: Option<u64>,
    /// The packets that arrive, in percent: 0..=100.
    pub delivered: u8,
}

/// Next hops that share the traffic by weight, 1..=255. Those with the weight 0 are spare: they are used while none of the
/// others can be. Their order does not matter.
pub type NextHops = SmallVec<[(NextHop, u8); 2]>;

/// What the kernel shall do with packets to a prefix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// Send them to one of these.
    Unicast(NextHops),
    /// Drop them silently.
    Blackhole,
    /// Refuse them with ICMP.
    Unreachable,
    /// Refuse them with ICMP, as forbidden.
    Prohibit,
}

/// Where a route is to be, and from where packets are sent by it; what is absent is as [`FibConfig`] says.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Placement {
    /// `RTA_TABLE`.
    pub table: Option<u32>,
    /// `RTA_PRIORITY`.
    pub metric: Option<u32>,
    /// `RTA_PREFSRC`; of the other family, it says nothing.
    pub prefsrc: Option<IpAddr>,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// From now on, this is wanted for a prefix; `None`: nothing. Host bits must be zero. A route that moves to another
    /// table or metric is there before it leaves.
    Wanted {
        /// Where to.
        prefix: IpNet,
        /// Which way.
        route: Option<Wanted>,
        /// Where in the kernel.
        at: Placement,
    },
    /// A neighbor does not answer any more: next hops behind it are not used by routes that have a spare one, until
    /// [`Input::Settled`]. That takes a message a pair of next hops, whatever the number of routes.
    Suspect {
        /// The next hop itself, or the gateway to it.
        neighbor: IpAddr,
        /// The device through which it is a gateway; `None`: any.
        interface: Option<u32>,
    },
    /// All that follows from what [`Input::Suspect`] said has been told.
    Settled,
    /// Another configuration. What is wanted is to be told again: that is where its defaults come in. When routes begin
    /// to be installed, [`Input::StartupDone`] is waited for as at start. The protocol number stays as it is.
    Configure(FibConfig),
    /// Somebody wants to hear how this next hop is reached: [`Output::NextHop`] now and whenever it changes.
    /// Counted: as many [`Input::Untrack`]s end it.
    Track(NextHop),
    /// The opposite of [`Input::Track`].
    Untrack(NextHop),
    /// What the links carry by which a next hop is reached: all that is known of it, in place of what was said before.
    /// Forgotten when nobody tracks the next hop any more.
    ///
    /// Next hops that share traffic share it by the weights of their routes and by the packets that arrive over their links;
    /// where the weights are equal and the capacity of each link is known, by the capacities too. That takes a message a
    /// group of next hops, whatever the number of routes.
    Links {
        /// Which.
        next_hop: NextHop,
        /// The ways of its last [`Resolution`] whose links are measured.
        links: SmallVec<[(Path, LinkQuality); 1]>,
    },
    /// The kernel's facts, in the order it told them.
    Kernel(Vec<Fact>),
    /// Facts, or answers to batches, were lost: the kernel's buffer ran over.
    Overrun,
    /// The driver has something to say, which comes back as [`Output::Notice`].
    Heard(Notice),
    /// The driver wants to hear all facts again: it asks for them with [`Output::Resync`].
    Retell,
    /// A batch was carried out.
    Completed {
        /// [`Batch::id`].
        batch: u64,
        /// What failed; all else succeeded.
        failures: Vec<Failure>,
    },
    /// BGP has converged: routes from an earlier life that nobody wants now may go.
    StartupDone,
    /// We end: routes are withdrawn, unless they are to stay. [`Output::Ended`] follows.
    Shutdown,
    /// [`Fib::deadline`] passed.
    Timeout,
}

/// What the driver must do, in order.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Carry this out, and answer with [`Input::Completed`]. At most [`plan::BATCHES_MAX`] are unanswered.
    Send(Batch),
    /// Dump links, addresses, nexthops and routes: [`Fact::DumpBegin`], the facts, [`Fact::DumpEnd`].
    Resync,
    /// How a tracked next hop is reached.
    NextHop {
        /// Which.
        next_hop: NextHop,
        /// `None`: not at all.
        resolution: Option<Resolution>,
    },
    /// Links, addresses or foreign routes changed: ask [`Fib::interface`], [`Fib::has_address`] and
    /// [`Fib::has_route`] again.
    Environment,
    /// Worth knowing.
    Notice(Notice),
    /// After [`Input::Shutdown`]: the kernel is as it shall stay.
    Ended,
}

/// Something worth knowing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// The kernel lets us not change routes: CAP_NET_ADMIN is missing. Said once; nothing is installed.
    NotPermitted,
    /// The kernel has no nexthop objects; routes carry their next hops themselves.
    NoNexthopObjects,
    /// `net.ipv4.nexthop_compat_mode` was 1 and is 0 now; it is not restored.
    CompatModeOff,
    /// Routes with our protocol number were found at start.
    Adopted {
        /// How many.
        routes: usize,
    },
    /// Routes of an earlier life that nobody wanted were removed.
    StaleRemoved {
        /// How many.
        routes: usize,
    },
    /// The kernel refused routes; they are retried. Said of their first attempts only.
    InstallFailed {
        /// One of them.
        prefix: IpNet,
        /// What the kernel said.
        errno: i32,
        /// How many more failed in the same batch.
        more: usize,
    },
    /// A route with another protocol number has our prefix and metric. It is left alone and ours waits.
    ForeignInTheWay {
        /// Which.
        prefix: IpNet,
    },
    /// Another program has our protocol number: its routes point to nexthop objects that are not ours. They are left
    /// alone. Said once.
    StrangersHaveOurNumber {
        /// The number.
        protocol: u8,
    },
    /// The kernel has more routes of others than are kept in mind. What has no room leads to no next hop. Said again only
    /// after there was room.
    ForeignLeftOut {
        /// How many are kept.
        limit: usize,
    },
    /// Something keeps changing a route of ours; we put it back more slowly.
    Contested {
        /// Which.
        prefix: IpNet,
    },
    /// The preferred source address is not on this machine: routes are installed without it until it is.
    PreferredSourceMissing {
        /// Which.
        address: IpAddr,
    },
    /// The routes of ours by which a next hop is reached keep changing: for a while, it is reached by those of the kernel
    /// alone, or not at all.
    Unsteady {
        /// Which.
        next_hop: NextHop,
    },
    /// The kernel's messages came faster than we could read; its state is read anew.
    Overrun,
    /// Of WireGuard's AllowedIPs, where they follow routes.
    AllowedIps(wireguard::Notice),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => write!(f, "CAP_NET_ADMIN is missing: no route is installed"),
            Self::NoNexthopObjects => write!(
                f,
                "this kernel has no nexthop objects: routes carry their next hops"
            ),
            Self::CompatModeOff => write!(f, "net.ipv4.nexthop_compat_mode was set to 0"),
            Self::Adopted { routes } => {
                write!(f, "{routes} routes of an earlier life found in the kernel")
            }
            Self::StaleRemoved { routes } => write!(
                f,
                "{routes} routes of an earlier life removed from the kernel"
            ),
            Self::InstallFailed {
                prefix,
                errno,
                more,
            } => {
                write!(
                    f,
                    "the kernel refused {prefix}: {}",
                    view::errno_text(*errno)
                )?;
                if *more > 0 {
                    write!(f, " (and {more} more)")
                } else {
                    Ok(())
                }
            }
            Self::ForeignInTheWay { prefix } => write!(
                f,
                "another program's route to {prefix} has our metric: ours waits"
            ),
            Self::StrangersHaveOurNumber { protocol } => write!(
                f,
                "another program's routes have our protocol number {protocol}: they are left alone where they point to \
                 its own nexthop objects; give `[fib]` another `protocol`"
            ),
            Self::ForeignLeftOut { limit } => write!(
                f,
                "the kernel has more than {limit} routes of others: what is beyond leads to no next hop until some go"
            ),
            Self::Contested { prefix } => {
                write!(f, "something keeps changing our route to {prefix}")
            }
            Self::PreferredSourceMissing { address } => {
                write!(
                    f,
                    "no device has the preferred source {address}: routes go without it until one has"
                )
            }
            Self::Unsteady { next_hop } => write!(
                f,
                "the routes by which next hop {next_hop} is reached keep changing: for some seconds, those of the kernel \
                 alone count"
            ),
            Self::Overrun => write!(f, "the kernel's messages ran over: its state is read anew"),
            Self::AllowedIps(notice) => notice.fmt(f),
        }
    }
}

/// A family's addresses, where only one of them will do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PreferredSource {
    /// For IPv4 routes.
    pub ipv4: Option<Ipv4Addr>,
    /// For IPv6 routes.
    pub ipv6: Option<Ipv6Addr>,
}
