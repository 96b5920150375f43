//! What the kernel has that is not ours, as far as `[redistribute]` asks for it: the prefixes of our interfaces, and
//! routes that others made. A change is a prefix: whoever reads it looks up what holds for it now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fib_netlink::{Fact, Fill, KernelRoute, RouteKind, RouteVia};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::config::{Interfaces, Redistribute, RedistributeKernel};

/// Addresses and routes that are kept, at most: what else the kernel tells is not redistributed, and a notice says so.
pub(crate) const FOREIGN_MAX: usize = if cfg!(test) { 64 } else { 262_144 };
/// `RTPROT_BGP`: what BGP installed is never told as something else, whoever's it is.
const PROTOCOL_BGP: u8 = 186;
/// After the store was full, the kernel is asked again for what had no room once so many are left.
const ROOM_AGAIN: usize = Fill::room_again(FOREIGN_MAX);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    /// What is asked for.
    wanted: Redistribute,
    /// Routes with this protocol number are ours.
    ours: u8,
    links: BTreeMap<u32, Link>,
    /// Of each prefix, the addresses that have it.
    connected: BTreeMap<IpNet, SmallVec<[Address; 1]>>,
    routes: BTreeMap<IpNet, SmallVec<[Held; 1]>>,
    /// Addresses and routes.
    count: usize,
    /// Prefixes that nobody has looked at since they changed: at most what is kept, and what left it in one message.
    changed: BTreeSet<IpNet>,
    /// Counts the kernel's dumps: what an earlier one told, and the last one did not, is gone.
    dump: u32,
    fill: Fill,
}

#[derive(Debug)]
struct Link {
    name: String,
    up: bool,
    dump: u32,
}

#[derive(Debug)]
struct Address {
    address: IpAddr,
    link: u32,
    dump: u32,
}

#[derive(Debug)]
struct Held {
    route: KernelRoute,
    dump: u32,
}

impl Foreign {
    /// Asks for something else. Says whether the kernel has to tell everything again: we have not kept what nobody
    /// asked for.
    pub(crate) fn want(&mut self, wanted: &Redistribute, ours: u8) -> bool {
        if (&self.wanted, self.ours) == (wanted, ours) {
            return false;
        }
        self.ours = ours;
        self.wanted = wanted.clone();
        self.touch_all();
        self.fill = Fill::Room;
        // What is asked for no more is let go; what is, is told again.
        let (connected, kernel) = (wanted.connected.is_some(), wanted.kernel.as_ref());
        if !connected {
            self.connected.clear();
        }
        self.routes.retain(|_, routes| {
            routes.retain(|held| kernel.is_some_and(|kernel| is_asked_for(kernel, &held.route)));
            !routes.is_empty()
        });
        self.recount();
        wanted.is_some()
    }

    /// All that is kept is to be looked at again: policies changed.
    pub(crate) fn touch_all(&mut self) {
        let all = self.connected.keys().chain(self.routes.keys());
        self.changed.extend(all);
    }

    /// Whether anything is asked for.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether there are prefixes to look at.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The next prefix to look at.
    pub(crate) fn next_change(&mut self) -> Option<IpNet> {
        self.changed.pop_first()
    }

    /// Whether an interface that is asked for, and is up, has this prefix.
    pub(crate) fn is_connected(&self, prefix: IpNet) -> bool {
        let Some(asked) = &self.wanted.connected else {
            return false;
        };
        let addresses = self.connected.get(&prefix).into_iter().flatten();
        addresses
            .filter_map(|address| self.links.get(&address.link))
            .any(|link| link.up && asked.interfaces.contain(&link.name))
    }

    /// The kernel's route to this prefix that is asked for and leads on: of several, the one with the lowest metric.
    pub(crate) fn route(&self, prefix: IpNet) -> Option<&KernelRoute> {
        let asked = self.wanted.kernel.as_ref()?;
        let held = self.routes.get(&prefix).into_iter().flatten();
        let leads = held.map(|held| &held.route).filter(|r| self.leads_on(r));
        leads
            .filter(|route| self.is_through(route, &asked.interfaces))
            .min_by_key(|route| (route.metric, route.protocol))
    }

    /// True once after something had no room.
    pub(crate) fn take_full(&mut self) -> bool {
        self.fill.take_full()
    }

    /// True once when there is room again for what had none: the kernel is to be asked for it.
    pub(crate) fn take_room(&mut self) -> bool {
        self.fill.take_room(self.count <= ROOM_AGAIN)
    }

    /// Takes in a fact.
    pub(crate) fn hear(&mut self, fact: &Fact) {
        match fact {
            Fact::DumpBegin => self.dump = self.dump.wrapping_add(1),
            Fact::DumpEnd => self.forget_unseen(),
            Fact::Link { index, name, up } => self.link(*index, name, *up),
            Fact::LinkGone { index } => {
                self.links.remove(index);
                self.touch_link(*index);
                self.forget_addresses(|address| address.link == *index);
            }
            Fact::Address {
                index,
                address,
                prefix,
            } => self.address(*prefix, *address, *index),
            Fact::AddressGone {
                index,
                address,
                prefix,
            } => self.address_gone(*prefix, *address, *index),
            Fact::Route(route) => self.told(route, false),
            Fact::RouteBeside(route, _) => self.told(route, true),
            Fact::RouteGone(route) => self.gone(route),
            Fact::Abilities { .. } | Fact::Nexthop(_) | Fact::NexthopGone { .. } => {}
        }
    }

    fn link(&mut self, index: u32, name: &str, up: bool) {
        let link = self.links.get(&index);
        let same = link.is_some_and(|link| link.up == up && link.name == name);
        let (name, dump) = (name.to_owned(), self.dump);
        self.links.insert(index, Link { name, up, dump });
        if !same {
            self.touch_link(index);
        }
    }

    fn address(&mut self, prefix: IpNet, address: IpAddr, link: u32) {
        if self.wanted.connected.is_none() || !is_of_others(prefix) {
            return;
        }
        let is_it = |a: &Address| (a.address, a.link) == (address, link);
        let known = self.connected.get_mut(&prefix);
        if let Some(known) = known.and_then(|all| all.iter_mut().find(|a| is_it(a))) {
            known.dump = self.dump;
            return;
        }
        if self.has_room() {
            let dump = self.dump;
            let new = Address {
                address,
                link,
                dump,
            };
            self.connected.entry(prefix).or_default().push(new);
            self.count += 1;
            self.changed.insert(prefix);
        }
    }

    fn address_gone(&mut self, prefix: IpNet, address: IpAddr, link: u32) {
        if let Some(all) = self.connected.get_mut(&prefix) {
            let before = all.len();
            all.retain(|a| (a.address, a.link) != (address, link));
            self.count -= before - all.len();
            if all.is_empty() {
                self.connected.remove(&prefix);
            }
            self.changed.insert(prefix);
        }
    }

    /// A route is there: `beside` others with its metric, or instead of the one that was.
    fn told(&mut self, route: &KernelRoute, beside: bool) {
        let Some(asked) = &self.wanted.kernel else {
            return;
        };
        if route.table != asked.table || route.tos != 0 {
            return;
        }
        let ours = route.protocol == self.ours || route.protocol == PROTOCOL_BGP;
        let fits = !ours && is_asked_for(asked, route);
        let (prefix, dump) = (route.prefix, self.dump);
        let all = self.routes.get(&prefix).map_or(&[][..], SmallVec::as_slice);
        let in_place = |held: &Held| held.route.has_place_of(route);
        let same = |held: &Held| in_place(held) && held.route.is_same_as(route);
        let at = all.iter().position(same);
        let at = at.or_else(|| all.iter().position(in_place).filter(|_| !beside));
        if let Some(at) = at.filter(|_| !fits) {
            // A route of ours, or of another protocol, has taken its place.
            return self.forget(prefix, at);
        }
        let held = self.routes.get_mut(&prefix);
        if let Some(known) = at.and_then(|at| held?.get_mut(at)) {
            known.dump = dump;
            if known.route != *route {
                known.route = route.clone();
                self.changed.insert(prefix);
            }
            return;
        }
        if fits && self.has_room() {
            let route = route.clone();
            let held = Held { route, dump };
            self.routes.entry(prefix).or_default().push(held);
            self.count += 1;
            self.changed.insert(prefix);
        }
    }

    fn gone(&mut self, gone: &KernelRoute) {
        let is_it = |route: &KernelRoute| {
            let same = route.has_place_of(gone) && route.is_same_as(gone);
            route.protocol == gone.protocol && gone.tos == 0 && same
        };
        let Some(all) = self.routes.get_mut(&gone.prefix) else {
            return;
        };
        let at = all.iter().position(|held| is_it(&held.route));
        self.changed.insert(gone.prefix);
        if let Some(held) = at.and_then(|at| all.get_mut(at))
            && held.route.lose(gone)
            && let Some(at) = at
        {
            self.forget(gone.prefix, at);
        }
    }

    fn forget(&mut self, prefix: IpNet, at: usize) {
        if let Some(all) = self.routes.get_mut(&prefix) {
            all.remove(at);
            self.count -= 1;
            if all.is_empty() {
                self.routes.remove(&prefix);
            }
            self.changed.insert(prefix);
        }
    }

    /// A dump is complete: what it did not tell is not there.
    fn forget_unseen(&mut self) {
        let dump = self.dump;
        let lost: Vec<u32> = self
            .links
            .extract_if(.., |_, link| link.dump != dump)
            .map(|(index, _)| index)
            .collect();
        for index in lost {
            self.touch_link(index);
        }
        self.forget_addresses(|address| address.dump != dump);
        let changed = &mut self.changed;
        self.routes.retain(|prefix, all| {
            let before = all.len();
            all.retain(|held| held.dump == dump);
            if all.len() < before {
                changed.insert(*prefix);
            }
            !all.is_empty()
        });
        self.recount();
    }

    fn forget_addresses(&mut self, gone: impl Fn(&Address) -> bool) {
        let changed = &mut self.changed;
        self.connected.retain(|prefix, all| {
            let before = all.len();
            all.retain(|address| !gone(address));
            if all.len() < before {
                changed.insert(*prefix);
            }
            !all.is_empty()
        });
        self.recount();
    }

    /// A link came, went, or is another: whatever goes over it is to be looked at.
    fn touch_link(&mut self, index: u32) {
        let on_it = |all: &SmallVec<[Address; 1]>| all.iter().any(|a| a.link == index);
        let connected = self.connected.iter().filter(|(_, all)| on_it(all));
        self.changed.extend(connected.map(|(prefix, _)| *prefix));
        let over_it = |held: &Held| interfaces_of(&held.route).any(|i| i == index);
        let routes = self
            .routes
            .iter()
            .filter(|(_, all)| all.iter().any(over_it));
        self.changed.extend(routes.map(|(prefix, _)| *prefix));
    }

    fn has_room(&mut self) -> bool {
        let room = self.count < FOREIGN_MAX;
        if !room {
            self.fill.overflow();
        }
        room
    }

    fn recount(&mut self) {
        let connected: usize = self.connected.values().map(SmallVec::len).sum();
        self.count = connected + self.routes.values().map(SmallVec::len).sum::<usize>();
    }

    /// A route over links that are all down leads nowhere, though the kernel keeps it while a link has no carrier.
    fn leads_on(&self, route: &KernelRoute) -> bool {
        let mut interfaces = interfaces_of(route).peekable();
        interfaces.peek().is_none()
            || interfaces.any(|index| self.links.get(&index).is_some_and(|link| link.up))
    }

    fn is_through(&self, route: &KernelRoute, asked: &Interfaces) -> bool {
        let mut names = interfaces_of(route).filter_map(|index| self.links.get(&index));
        asked.is_any() || names.any(|link| asked.contain(&link.name))
    }
}

/// The devices of a route; none of one that drops packets, or whose next hops are nexthop objects.
fn interfaces_of(route: &KernelRoute) -> impl Iterator<Item = u32> + '_ {
    let paths = match &route.kind {
        RouteKind::Unicast(RouteVia::Paths(paths)) => paths.as_slice(),
        RouteKind::Unicast(RouteVia::Nexthop(_))
        | RouteKind::Blackhole
        | RouteKind::Unreachable
        | RouteKind::Prohibit
        | RouteKind::Other => &[],
    };
    paths.iter().map(|(path, _)| path.interface)
}

/// Whether a route of somebody else is one that the configuration asks for.
fn is_asked_for(asked: &RedistributeKernel, route: &KernelRoute) -> bool {
    route.table == asked.table
        && route.tos == 0
        && asked.protocols.contains(&route.protocol)
        && route.kind != RouteKind::Other
        && is_of_others(route.prefix)
}

/// Whether a prefix may mean something to other routers: not loopback (RFC 1122 §3.2.1.3), link-local (RFC 3927 §7,
/// RFC 4291 §2.5.6) or multicast.
fn is_of_others(prefix: IpNet) -> bool {
    let local = match prefix.addr() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast(),
    };
    !local || prefix.prefix_len() == 0
}

#[cfg(test)]
mod tests;
