//! How next hops are reached (RFC 4271 §5.1.3: route resolvability and the immediate next hop): the
//! kernel's links, addresses and the routes of others, routes of ours that cover a next hop, and the answer for each
//! next hop somebody uses.

mod foreign;
mod ours;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::fact::{Fact, KernelNexthop, KernelRoute, NexthopKind, Rank, RouteKind, RouteVia};
use crate::op::Path;
use crate::{NextHop, Resolution, Way};
pub(crate) use foreign::FOREIGN_MAX;
use foreign::Foreign;
pub(crate) use ours::OurRoute;
use ours::Ours;
pub(crate) use walk::{gcd, weights};

/// `RTPROT_KERNEL`: what is connected.
const PROTOCOL_KERNEL: u8 = 2;
/// How deep groups of nexthop objects may nest before we lose interest; the kernel allows one level.
const GROUP_DEPTH_MAX: u8 = 2;

/// The kernel's picture, and what of ours counts beside it.
#[derive(Debug)]
pub(crate) struct Resolver {
    tables: Vec<u32>,
    /// Routes of other tables are kept too, for those who look at them: they resolve nothing.
    pub(crate) all_tables: bool,
    via_default: bool,
    links: BTreeMap<u32, Link>,
    addresses: BTreeSet<(IpAddr, u32)>,
    foreign: Foreign,
    /// How many prefixes of each length there are, so that a lookup tries no others.
    ipv4_lengths: [u32; 33],
    ipv6_lengths: [u32; 129],
    nexthops: BTreeMap<u32, KernelNexthop>,
    ours: Ours,
    used: BTreeMap<NextHop, Used>,
    doubt: Doubt,
}

#[derive(Debug)]
struct Link {
    name: String,
    up: bool,
}

#[derive(Debug, Default)]
struct Used {
    users: u32,
    answer: Option<Resolution>,
    /// The next hops of our own routes that the answer depends on, in their order, each once.
    looked_at: Vec<NextHop>,
}

/// An answer that changed.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) next_hop: NextHop,
    pub(crate) answer: Option<Resolution>,
    /// Routes of ours lead to it, or led to it before.
    pub(crate) by_ours: bool,
}

/// Which answers may be wrong since the last [`Resolver::refresh`].
#[derive(Debug)]
enum Doubt {
    Within(Vec<IpNet>),
    All,
}

impl Resolver {
    pub(crate) fn new(tables: Vec<u32>, via_default: bool) -> Self {
        Self {
            tables,
            all_tables: false,
            via_default,
            links: BTreeMap::new(),
            addresses: BTreeSet::new(),
            foreign: Foreign::default(),
            ipv4_lengths: [0; 33],
            ipv6_lengths: [0; 129],
            nexthops: BTreeMap::new(),
            ours: Ours::default(),
            used: BTreeMap::new(),
            doubt: Doubt::Within(Vec::new()),
        }
    }

    /// Forgets the kernel, for a dump; the answers stay until [`Resolver::refresh`].
    pub(crate) fn forget(&mut self) {
        self.links.clear();
        self.addresses.clear();
        self.foreign.forget();
        self.ipv4_lengths = [0; 33];
        self.ipv6_lengths = [0; 129];
        for prefix in self.ours.prefixes() {
            self.count(prefix, 1);
        }
        self.nexthops.clear();
        self.doubt = Doubt::All;
    }

    /// Takes in a fact that is not about a route or nexthop object of ours. Says whether it changed anything.
    pub(crate) fn learn(&mut self, fact: Fact) -> bool {
        match fact {
            Fact::Link { index, name, up } => self.link(index, name, up),
            Fact::LinkGone { index } => {
                self.doubt = Doubt::All;
                self.addresses.retain(|(_, link)| *link != index);
                self.links.remove(&index).is_some()
            }
            Fact::Address { index, address, .. } => {
                self.doubt(host(address));
                self.addresses.insert((address, index))
            }
            Fact::AddressGone { index, address, .. } => {
                self.doubt(host(address));
                self.addresses.remove(&(address, index))
            }
            Fact::Nexthop(nexthop) => {
                self.doubt = Doubt::All;
                self.nexthops.insert(nexthop.id, nexthop);
                true
            }
            Fact::NexthopGone { id } => {
                self.doubt = Doubt::All;
                self.nexthops.remove(&id).is_some()
            }
            Fact::Route(route) => self.route(route, None),
            Fact::RouteBeside(route, rank) => self.route(route, Some(rank)),
            Fact::RouteGone(route) => self.route_gone(&route),
            Fact::DumpBegin | Fact::DumpEnd | Fact::Abilities { .. } => false,
        }
    }

    /// The next hop is used from now on. Counted. Of a new one, [`Resolver::next_fresh`] says so.
    pub(crate) fn using(&mut self, next_hop: NextHop) -> Option<Resolution> {
        if !self.used.contains_key(&next_hop) {
            let (answer, looked_at) = self.resolve(next_hop);
            let users = 0;
            let used = Used {
                users,
                answer,
                looked_at,
            };
            self.used.insert(next_hop, used);
            self.watch(next_hop);
        }
        let used = self.used.entry(next_hop).or_default();
        used.users += 1;
        used.answer.clone()
    }

    pub(crate) fn is_used(&self, next_hop: NextHop) -> bool {
        self.used.contains_key(&next_hop)
    }

    /// Looks anew for a next hop that has just come into use.
    pub(crate) fn again(&mut self, next_hop: NextHop) -> Option<Resolution> {
        let (answer, looked_at) = self.resolve(next_hop);
        if let Some(used) = self.used.get_mut(&next_hop) {
            used.looked_at = looked_at;
            used.answer.clone_from(&answer);
        }
        answer
    }

    /// The opposite of [`Resolver::using`].
    pub(crate) fn used_no_more(&mut self, next_hop: NextHop) {
        if let Some(used) = self.used.get_mut(&next_hop) {
            used.users -= 1;
            if used.users == 0 {
                self.used.remove(&next_hop);
                self.unwatch(next_hop);
            }
        }
    }

    /// Whether answers may be wrong.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        match &self.doubt {
            Doubt::Within(nets) => !nets.is_empty(),
            Doubt::All => true,
        }
    }

    /// Answers that changed since the last time.
    pub(crate) fn refresh(&mut self) -> Vec<Changed> {
        let mut changed = Vec::new();
        for next_hop in self.doubted() {
            let (answer, looked_at) = self.resolve(next_hop);
            let Some(used) = self.used.get_mut(&next_hop) else {
                continue;
            };
            used.looked_at = looked_at;
            if used.answer != answer {
                let before = std::mem::replace(&mut used.answer, answer.clone());
                let ours = |answer: &Option<Resolution>| {
                    answer.as_ref().is_some_and(|a| !a.through.is_empty())
                };
                changed.push(Changed {
                    next_hop,
                    by_ours: ours(&before) || ours(&answer),
                    answer,
                });
            }
        }
        changed
    }

    /// Next hops whose answers may be wrong: those in doubt, and those that were found by way of these.
    fn doubted(&mut self) -> BTreeSet<NextHop> {
        let doubt = std::mem::replace(&mut self.doubt, Doubt::Within(Vec::new()));
        let nets = match doubt {
            Doubt::All => return self.used.keys().copied().collect(),
            Doubt::Within(nets) => nets,
        };
        let mut doubted: BTreeSet<NextHop> =
            nets.iter().flat_map(|net| self.used_within(*net)).collect();
        if !doubted.is_empty() {
            let by_way_of = |used: &Used| used.looked_at.iter().any(|hop| doubted.contains(hop));
            let used = self.used.iter().filter(|(_, used)| by_way_of(used));
            let more: Vec<NextHop> = used.map(|(next_hop, _)| *next_hop).collect();
            doubted.extend(more);
        }
        doubted
    }

    /// How a next hop is reached, whether it is used or not.
    pub(crate) fn answer(&self, next_hop: NextHop) -> Option<Resolution> {
        match self.used.get(&next_hop) {
            Some(used) => used.answer.clone(),
            None => self.resolve(next_hop).0,
        }
    }

    pub(crate) fn interface(&self, name: &str) -> Option<u32> {
        self.links
            .iter()
            .find(|(_, link)| link.name == name)
            .map(|(index, _)| *index)
    }

    pub(crate) fn interface_name(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|link| link.name.as_str())
    }

    /// All links: index, name, whether it is up, and its addresses.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = (u32, &str, bool, Vec<IpAddr>)> {
        self.links.iter().map(|(index, link)| {
            let own = self.addresses.iter().filter(|(_, of)| of == index);
            let addresses = own.map(|(address, _)| *address).collect();
            (*index, link.name.as_str(), link.up, addresses)
        })
    }

    pub(crate) fn is_up(&self, index: u32) -> bool {
        self.links.get(&index).is_some_and(|link| link.up)
    }

    /// All addresses of the link that has this one.
    pub(crate) fn addresses_beside(&self, address: IpAddr) -> Vec<IpAddr> {
        let link = self
            .addresses
            .iter()
            .find(|(a, _)| *a == address)
            .map(|(_, link)| *link);
        let beside = self.addresses.iter().filter(|(_, l)| Some(*l) == link);
        beside.map(|(address, _)| *address).collect()
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.addresses
            .range((address, 0)..=(address, u32::MAX))
            .next()
            .is_some()
    }

    pub(crate) fn has_route(&self, prefix: IpNet) -> bool {
        let routes = self.routes_to(prefix);
        routes
            .iter()
            .any(|route| self.tables.contains(&route.table))
    }

    /// The routes to exactly this prefix.
    pub(crate) fn routes_to(&self, prefix: IpNet) -> &[KernelRoute] {
        self.foreign.to(prefix)
    }

    /// All routes.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &KernelRoute> {
        self.foreign.all()
    }

    /// The ways of a route, with their weights.
    pub(crate) fn ways(&self, route: &KernelRoute) -> SmallVec<[(Path, u8); 1]> {
        match &route.kind {
            RouteKind::Unicast(RouteVia::Paths(paths)) => paths.clone(),
            RouteKind::Unicast(RouteVia::Nexthop(id)) => self.ways_of(*id),
            RouteKind::Blackhole
            | RouteKind::Unreachable
            | RouteKind::Prohibit
            | RouteKind::Other => SmallVec::new(),
        }
    }

    fn ways_of(&self, id: u32) -> SmallVec<[(Path, u8); 1]> {
        let path = |id: &u32| match self.nexthops.get(id)?.kind {
            NexthopKind::Path(path) => Some(path),
            NexthopKind::Group(_) | NexthopKind::Other => None,
        };
        match self.nexthops.get(&id).map(|nexthop| &nexthop.kind) {
            Some(NexthopKind::Path(path)) => SmallVec::from_elem((*path, 1), 1),
            Some(NexthopKind::Group(members)) => members
                .iter()
                .filter_map(|(id, weight)| Some((path(id)?, *weight)))
                .collect(),
            Some(NexthopKind::Other) | None => SmallVec::new(),
        }
    }

    /// Whether somebody else's nexthop object has this id.
    pub(crate) fn has_nexthop(&self, id: u32) -> bool {
        self.nexthops.contains_key(&id)
    }

    fn link(&mut self, index: u32, name: String, up: bool) -> bool {
        let link = self.links.get(&index);
        let same = link.is_some_and(|link| link.up == up && link.name == name);
        if link.is_some_and(|link| link.up) != up {
            self.doubt = Doubt::All;
        }
        self.links.insert(index, Link { name, up });
        !same
    }

    fn route(&mut self, route: KernelRoute, rank: Option<Rank>) -> bool {
        if !self.keeps(&route) {
            return false;
        }
        let prefix = route.prefix;
        // Without those, next hops would be taken to be elsewhere, or nowhere.
        let matters = self.foreign.is_full()
            && (route.protocol == PROTOCOL_KERNEL
                || prefix.prefix_len() == 0
                || self.used_within(prefix).next().is_some());
        self.foreign_changes(prefix, |foreign| foreign.enter(route, rank, matters));
        true
    }

    fn route_gone(&mut self, gone: &KernelRoute) -> bool {
        self.keeps(gone) && self.foreign_changes(gone.prefix, |foreign| foreign.leave(gone))
    }

    /// A route of ours has taken the place of a foreign one, if there was one.
    pub(crate) fn displaced(&mut self, ours: &KernelRoute) {
        if self.foreign.has(ours.prefix) {
            self.foreign_changes(ours.prefix, |foreign| foreign.displace(ours));
        }
    }

    fn keeps(&self, route: &KernelRoute) -> bool {
        (self.all_tables || self.tables.contains(&route.table)) && route.tos == 0
    }

    fn foreign_changes<T>(&mut self, prefix: IpNet, change: impl FnOnce(&mut Foreign) -> T) -> T {
        let before = self.foreign.has(prefix);
        let done = change(&mut self.foreign);
        let by = i32::from(self.foreign.has(prefix)) - i32::from(before);
        self.count(prefix, by);
        self.doubt(prefix);
        done
    }

    /// Routes of others: how many are kept, and how many had no room.
    pub(crate) const fn foreign_counts(&self) -> (usize, usize) {
        (self.foreign.kept(), self.foreign.left_out())
    }

    /// True once after a foreign route had no room.
    pub(crate) fn take_full(&mut self) -> bool {
        self.foreign.take_full()
    }

    /// True once when there is room again: the kernel is to be asked for what had none.
    pub(crate) fn take_room(&mut self) -> bool {
        self.foreign.take_room()
    }

    fn count(&mut self, prefix: IpNet, by: i32) {
        let length = usize::from(prefix.prefix_len());
        let count = match prefix {
            IpNet::V4(_) => self.ipv4_lengths.get_mut(length),
            IpNet::V6(_) => self.ipv6_lengths.get_mut(length),
        };
        if let Some(count) = count {
            *count = count.saturating_add_signed(by);
        }
    }

    fn used_within(&self, net: IpNet) -> impl Iterator<Item = NextHop> + '_ {
        let first = NextHop {
            address: net.network(),
            interface: None,
            direct: false,
        };
        let last = NextHop {
            address: net.broadcast(),
            interface: Some(u32::MAX),
            direct: true,
        };
        self.used.range(first..=last).map(|(next_hop, _)| *next_hop)
    }

    /// A link-local address needs no route, nor does a next hop whose device is forced.
    fn on_device(&self, address: IpAddr, index: u32) -> Option<Way> {
        if !self.is_up(index) {
            return None;
        }
        let onlink = !is_link_local(address) && !self.is_on_link(address, index);
        let path = Path {
            gateway: Some(address),
            interface: index,
            onlink,
        };
        Some(one_way(path, 0))
    }

    fn is_on_link(&self, address: IpAddr, index: u32) -> bool {
        self.covering(address).any(|(prefix, _)| {
            let routes = self.routes_to(prefix).iter();
            let mut paths = routes
                .filter(|route| self.tables.contains(&route.table))
                .filter_map(|route| self.way(route, |path| path.interface == index));
            paths.any(|path| path.gateway.is_none())
        })
    }

    /// Whether an address is in the network of an interface that is up: no route of ours leads around that.
    fn is_connected(&self, address: IpAddr, table: u32) -> bool {
        self.covering(address).any(|(prefix, _)| {
            let routes = self.routes_to(prefix).iter();
            let mut connected =
                routes.filter(|r| r.table == table && r.protocol == PROTOCOL_KERNEL);
            let is_up = |path: &Path| path.gateway.is_none() && self.is_up(path.interface);
            connected.any(|route| self.way(route, is_up).is_some())
        })
    }

    /// What a route of others says of the way to `address`: `None`: nothing, its links are down; `Some(None)`: that there
    /// is no way.
    fn by_foreign(&self, route: &KernelRoute, address: IpAddr) -> Option<Option<Way>> {
        if !matches!(route.kind, RouteKind::Unicast(_)) {
            return Some(None);
        }
        let path = self.way(route, |path| self.is_up(path.interface))?;
        if route.prefix.prefix_len() == 0 && !self.via_default {
            return Some(None);
        }
        let metric = if route.protocol == PROTOCOL_KERNEL {
            0
        } else {
            route.metric
        };
        let gateway = path.gateway.or(Some(address));
        Some(Some(one_way(Path { gateway, ..path }, metric)))
    }

    /// The prefixes that cover an address and to which there are routes, of others or of ours, the longest first.
    fn covering(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, Option<&OurRoute>)> {
        let lengths: &[u32] = match address {
            IpAddr::V4(_) => &self.ipv4_lengths,
            IpAddr::V6(_) => &self.ipv6_lengths,
        };
        let present = lengths
            .iter()
            .zip(0..=u8::MAX)
            .rev()
            .filter(|(count, _)| **count > 0);
        present.filter_map(move |(_, length)| {
            let net = IpNet::new(address, length).ok()?.trunc();
            let ours = self.ours.get(net);
            (ours.is_some() || self.foreign.has(net)).then_some((net, ours))
        })
    }

    /// The first way of a route that passes.
    fn way(&self, route: &KernelRoute, pass: impl Fn(&Path) -> bool) -> Option<Path> {
        match &route.kind {
            RouteKind::Unicast(RouteVia::Paths(paths)) => {
                paths.iter().map(|(path, _)| *path).find(&pass)
            }
            RouteKind::Unicast(RouteVia::Nexthop(id)) => {
                self.nexthop_way(*id, &pass, GROUP_DEPTH_MAX)
            }
            RouteKind::Blackhole
            | RouteKind::Unreachable
            | RouteKind::Prohibit
            | RouteKind::Other => None,
        }
    }

    fn nexthop_way(&self, id: u32, pass: &dyn Fn(&Path) -> bool, depth: u8) -> Option<Path> {
        match &self.nexthops.get(&id)?.kind {
            NexthopKind::Path(path) => Some(*path).filter(pass),
            NexthopKind::Group(members) => {
                let depth = depth.checked_sub(1)?;
                members
                    .iter()
                    .find_map(|(member, _)| self.nexthop_way(*member, pass, depth))
            }
            NexthopKind::Other => None,
        }
    }
}

fn one_way(path: Path, metric: u32) -> Way {
    Way {
        path,
        weight: 1,
        metric,
    }
}

fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => is_unicast_link_local(address),
    }
}

/// RFC 4291 §2.5.6.
fn is_unicast_link_local(address: Ipv6Addr) -> bool {
    address
        .segments()
        .first()
        .is_some_and(|first| first & 0xffc0 == 0xfe80)
}

#[cfg(test)]
mod tests;
