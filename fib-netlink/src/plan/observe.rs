//! What the kernel tells becomes the actual column, and the ways to next hops.

use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::contest::Verdict;
use super::{Fib, Knowledge, Phase, Stray};
use crate::fact::{Fact, KernelNexthop, KernelRoute, NexthopKind, RouteKind, RouteVia};
use crate::nexthops::{Content, Presence};
use crate::retry::{Subject, Why};
use crate::table::{Flight, Slot};
use crate::{Notice, Output, PreferredSource, Resolution};

impl Fib {
    pub(super) fn observe(&mut self, now: Instant, facts: Vec<Fact>, out: &mut Vec<Output>) {
        let mut environment = false;
        for fact in facts {
            environment |= self.fact(now, fact, out);
        }
        if matches!(self.knowledge, Knowledge::Dumping { .. }) {
            return;
        }
        self.reach_next_hops(out);
        self.check_prefsrc(out);
        if environment {
            out.push(Output::Environment);
        }
        self.look_by(now);
    }

    /// Says whether links, addresses or foreign routes changed.
    fn fact(&mut self, now: Instant, fact: Fact, out: &mut Vec<Output>) -> bool {
        match fact {
            Fact::DumpBegin => self.dump_begins(),
            Fact::DumpEnd => return self.dump_ends(out),
            Fact::Abilities {
                permitted,
                nexthop_objects,
                compat_mode_off,
            } => {
                self.abilities(permitted, nexthop_objects, compat_mode_off, out);
            }
            Fact::Link { index, up, .. } => {
                let lost = self.resolver.is_up(index) && !up;
                let changed = self.resolver.learn(fact);
                self.link_lost(index, lost);
                return changed;
            }
            Fact::LinkGone { index } => {
                let lost = self.resolver.is_up(index);
                let changed = self.resolver.learn(fact);
                self.link_lost(index, lost);
                return changed;
            }
            Fact::Address { .. } | Fact::AddressGone { .. } => return self.resolver.learn(fact),
            Fact::Nexthop(KernelNexthop { id, protocol, kind })
                if protocol == self.config.protocol =>
            {
                self.nexthops.told(id, content(kind));
            }
            Fact::NexthopGone { id } if self.nexthops.by_id(id).is_some() => {
                self.nexthops.gone(id, &Presence::Absent)
            }
            Fact::Nexthop(_) | Fact::NexthopGone { .. } => return self.resolver.learn(fact),
            Fact::Route(route) => return self.route_told(now, route, out),
            Fact::RouteGone(route) => return self.route_gone(now, route, out),
        }
        false
    }

    fn dump_begins(&mut self) {
        self.resolver.forget();
        self.nexthops.unseen();
        self.strays.clear();
        self.table.scan(|_, row| {
            row.seen = false;
            false
        });
    }

    fn dump_ends(&mut self, out: &mut Vec<Output>) -> bool {
        let Knowledge::Dumping { first, again } = self.knowledge else {
            return false;
        };
        self.nexthops.seen();
        let starting = self.phase == Phase::Starting;
        let nexthops = &mut self.nexthops;
        let mut present = self.strays.len();
        self.table.scan(|_, row| {
            if !row.seen {
                row.adopted = false;
                if let Some(object) = row.actual.index() {
                    nexthops.release(object);
                }
                row.actual = Slot::NOTHING;
            }
            present += usize::from(row.actual != Slot::NOTHING);
            row.wanted != Slot::NOTHING || !starting
        });
        self.prefsrc = self.prefsrc_here();
        self.knowledge = if again {
            Knowledge::Lossy
        } else {
            Knowledge::Complete
        };
        if first && present > 0 {
            out.push(Output::Notice(Notice::Adopted { routes: present }));
        }
        if first {
            self.say_missing_prefsrc(out);
        }
        true
    }

    fn abilities(
        &mut self,
        permitted: bool,
        nexthop_objects: bool,
        compat_mode_off: bool,
        out: &mut Vec<Output>,
    ) {
        if !permitted {
            self.not_permitted(out);
        }
        if compat_mode_off {
            out.push(Output::Notice(Notice::CompatModeOff));
        }
        let used = self.config.nexthop_groups && nexthop_objects;
        if self.config.nexthop_groups && !nexthop_objects && self.config.install {
            out.push(Output::Notice(Notice::NoNexthopObjects));
        }
        if used != self.nexthops.objects_used {
            self.nexthops.objects_used = used;
            self.nexthops.reconsider_all(&self.resolver);
        }
    }

    pub(super) fn not_permitted(&mut self, out: &mut Vec<Output>) {
        if self.permitted && self.config.install {
            out.push(Output::Notice(Notice::NotPermitted));
        }
        self.permitted = false;
    }

    fn link_lost(&mut self, index: u32, lost: bool) {
        if lost {
            self.nexthops.link_lost(index);
        }
    }

    fn reach_next_hops(&mut self, out: &mut Vec<Output>) {
        for (next_hop, answer) in self.resolver.refresh() {
            self.nexthops
                .reached(next_hop, answer.map(|answer| answer.path), &self.resolver);
            if self.tracked.contains_key(&next_hop) {
                out.push(Output::NextHop {
                    next_hop,
                    resolution: answer.map(Resolution::from),
                });
            }
        }
    }

    fn route_told(&mut self, now: Instant, route: KernelRoute, out: &mut Vec<Output>) -> bool {
        let ours = route.protocol == self.config.protocol;
        if ours && route.table == self.config.table {
            self.our_route(now, &route, out);
            return false;
        }
        if ours {
            return false;
        }
        // It may have taken the place of ours.
        if self.is_our_place(&route) && self.table.row(route.prefix).actual != Slot::NOTHING {
            self.observed(route.prefix, Slot::UNKNOWN);
        }
        self.resolver.learn(Fact::Route(route))
    }

    fn our_route(&mut self, now: Instant, route: &KernelRoute, out: &mut Vec<Output>) {
        let prefix = route.prefix;
        if !self.is_our_place(route) {
            let stray = Stray {
                prefix,
                metric: route.metric,
                tos: route.tos,
            };
            self.strays.insert(stray);
            return;
        }
        // It may have taken the place of a foreign one.
        self.resolver.learn(Fact::RouteGone(route.clone()));
        let actual = self.slot_of(route);
        let known = self.table.row(prefix).actual == actual;
        self.observed(prefix, actual);
        let starting = self.phase == Phase::Starting;
        self.table.update(prefix, |row| {
            row.adopted = starting && row.wanted == Slot::NOTHING;
            false
        });
        if !known {
            self.contest(now, prefix, out);
        }
    }

    fn route_gone(&mut self, now: Instant, route: KernelRoute, out: &mut Vec<Output>) -> bool {
        let prefix = route.prefix;
        let here = self.is_our_place(&route);
        if route.protocol != self.config.protocol {
            if here && self.retries.forget(&Subject::Row(prefix)) {
                self.table.update(prefix, |_| true);
            }
            return self.resolver.learn(Fact::RouteGone(route));
        }
        if !here {
            if route.table == self.config.table {
                self.strays.remove(&Stray {
                    prefix,
                    metric: route.metric,
                    tos: route.tos,
                });
            }
            return false;
        }
        let actual = self.table.row(prefix).actual;
        let of_earlier = match &route.kind {
            RouteKind::Unicast(RouteVia::Nexthop(id)) => {
                actual.index().is_some() && self.nexthops.by_id(*id) != actual.index()
            }
            RouteKind::Unicast(RouteVia::Paths(_))
            | RouteKind::Blackhole
            | RouteKind::Unreachable
            | RouteKind::Other => false,
        };
        if actual == Slot::NOTHING || of_earlier {
            return false;
        }
        // Of an IPv6 route, one next hop may have gone alone.
        let partly = prefix.addr().is_ipv6()
            && matches!(&route.kind, RouteKind::Unicast(RouteVia::Paths(_)));
        self.observed(prefix, if partly { Slot::UNKNOWN } else { Slot::NOTHING });
        self.contest(now, prefix, out);
        false
    }

    /// The kernel told of a route of ours. While a change of ours is under way, nobody can say which was first.
    fn observed(&mut self, prefix: IpNet, actual: Slot) {
        self.set_actual(prefix, actual, true);
        if self.table.row(prefix).flight != Flight::None {
            self.set_actual(prefix, Slot::UNKNOWN, true);
        }
    }

    /// Whether a route, of whomever, is where ours would be: the kernel has room for one.
    fn is_our_place(&self, route: &KernelRoute) -> bool {
        route.table == self.config.table
            && route.tos == 0
            && route.metric == self.metric(route.prefix)
    }

    fn slot_of(&mut self, route: &KernelRoute) -> Slot {
        if route.prefsrc != of_family(self.prefsrc_here(), route.prefix)
            && matches!(route.kind, RouteKind::Unicast(_))
        {
            return Slot::OTHER;
        }
        match &route.kind {
            RouteKind::Unicast(RouteVia::Nexthop(id)) => {
                self.nexthops.by_id(*id).map_or(Slot::OTHER, Slot::at)
            }
            RouteKind::Unicast(RouteVia::Paths(paths)) => {
                Slot::at(self.nexthops.inline(paths.clone()))
            }
            RouteKind::Blackhole => Slot::BLACKHOLE,
            RouteKind::Unreachable => Slot::UNREACHABLE,
            RouteKind::Other => Slot::OTHER,
        }
    }

    fn contest(&mut self, now: Instant, prefix: IpNet, out: &mut Vec<Output>) {
        if self.knowledge != Knowledge::Complete || self.table.row(prefix).wanted == Slot::NOTHING {
            return;
        }
        if let Verdict::Rest { until, first } = self.contests.changed(now, prefix) {
            self.retries
                .rest(until, Subject::Row(prefix), Why::Contested);
            if first {
                out.push(Output::Notice(Notice::Contested { prefix }));
            }
        }
    }

    // The preferred source: the kernel refuses routes with one that it does not have, and drops
    // IPv4 routes whose own goes.

    fn prefsrc_here(&self) -> PreferredSource {
        let PreferredSource { ipv4, ipv6 } = self.config.prefsrc;
        PreferredSource {
            ipv4: ipv4.filter(|address| self.resolver.has_address(IpAddr::V4(*address))),
            ipv6: ipv6.filter(|address| self.resolver.has_address(IpAddr::V6(*address))),
        }
    }

    fn check_prefsrc(&mut self, out: &mut Vec<Output>) {
        let (before, now) = (self.prefsrc, self.prefsrc_here());
        if before == now {
            return;
        }
        self.prefsrc = now;
        self.say_missing_prefsrc(out);
        let nexthops = &mut self.nexthops;
        self.table.scan(|prefix, row| {
            let unchanged = of_family(before, prefix) == of_family(now, prefix);
            if unchanged || row.actual.index().is_none() {
                return false;
            }
            if let Some(object) = row.actual.index() {
                nexthops.release(object);
            }
            row.actual = if of_family(before, prefix).is_some() {
                Slot::UNKNOWN
            } else {
                Slot::OTHER
            };
            true
        });
    }

    fn say_missing_prefsrc(&self, out: &mut Vec<Output>) {
        let (wanted, here) = (self.config.prefsrc, self.prefsrc);
        let ipv4 = wanted.ipv4.filter(|_| here.ipv4.is_none()).map(IpAddr::V4);
        let ipv6 = wanted.ipv6.filter(|_| here.ipv6.is_none()).map(IpAddr::V6);
        for address in [ipv4, ipv6].into_iter().flatten() {
            out.push(Output::Notice(Notice::PreferredSourceMissing { address }));
        }
    }
}

fn of_family(prefsrc: PreferredSource, prefix: IpNet) -> Option<IpAddr> {
    match prefix {
        IpNet::V4(_) => prefsrc.ipv4.map(IpAddr::V4),
        IpNet::V6(_) => prefsrc.ipv6.map(IpAddr::V6),
    }
}

fn content(kind: NexthopKind) -> Content {
    match kind {
        NexthopKind::Path(path) => Content::Path(path),
        NexthopKind::Group(members) => Content::Group(members),
        NexthopKind::Other => Content::Other,
    }
}
