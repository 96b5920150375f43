//! What the kernel tells becomes the actual column, and the ways to next hops.

use std::time::Instant;

use super::contest::Verdict;
use super::{Fib, Knowledge, NOTHING, Phase, UNKNOWN};
use crate::fact::{Fact, KernelNexthop, KernelRoute, NexthopKind, Rank, RouteKind, RouteVia};
use crate::nexthops::{Content, Presence};
use crate::resolve::FOREIGN_MAX;
use crate::retry::{Subject, Why};
use crate::source::SourceId;
use crate::table::{Flight, Key, Place, Slot};
use crate::{Notice, Output};

impl Fib {
    pub(super) fn observe(&mut self, now: Instant, facts: Vec<Fact>, out: &mut Vec<Output>) {
        let mut environment = false;
        for fact in facts {
            environment |= self.fact(now, fact, out);
        }
        if matches!(self.knowledge, Knowledge::Dumping { .. }) {
            return;
        }
        self.look_at_room(out);
        self.reach_next_hops(now, out);
        self.check_sources(out);
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
                if protocol == self.config.protocol && !self.shadows() =>
            {
                self.nexthops.told(id, content(kind));
            }
            Fact::NexthopGone { id } if self.nexthops.by_id(id).is_some() => {
                self.nexthops.gone(id, &Presence::Absent)
            }
            Fact::NexthopGone { id } => {
                self.strangers_gone_with(id);
                return self.resolver.learn(fact);
            }
            Fact::Nexthop(_) => return self.resolver.learn(fact),
            Fact::Route(route) => return self.route_told(now, route, None, out),
            Fact::RouteBeside(route, rank) => return self.route_told(now, route, Some(rank), out),
            Fact::RouteGone(route) => return self.route_gone(now, route, out),
        }
        false
    }

    /// Of foreign routes, there is a limit to what is kept.
    fn look_at_room(&mut self, out: &mut Vec<Output>) {
        if self.resolver.take_full() {
            let limit = FOREIGN_MAX;
            out.push(Output::Notice(Notice::ForeignLeftOut { limit }));
        }
        if self.resolver.take_room() {
            self.distrust();
        }
    }

    fn dump_begins(&mut self) {
        self.resolver.forget();
        self.foreign_before = None;
        self.strangers.forget();
        self.nexthops.unseen();
        self.table.scan(|_, row| {
            row.set_seen(false);
            false
        });
    }

    fn dump_ends(&mut self, out: &mut Vec<Output>) -> bool {
        let Knowledge::Dumping { first, again } = self.knowledge else {
            return false;
        };
        self.nexthops.seen();
        let starting = self.phase == Phase::Starting;
        let writes = !self.shadows();
        let nexthops = &mut self.nexthops;
        let mut present = 0;
        self.table.scan(|_, row| {
            if !row.is_seen() {
                row.set_adopted(false);
                if let Some(object) = row.actual.index() {
                    nexthops.release(object);
                }
                (row.actual, row.actual_source) = NOTHING;
            }
            present += usize::from(row.actual != Slot::NOTHING);
            writes && (row.wanted != Slot::NOTHING || !starting)
        });
        self.sources
            .look(|address| self.resolver.has_address(address));
        self.knowledge = if again {
            Knowledge::Lossy
        } else {
            Knowledge::Complete
        };
        if first && present > 0 {
            out.push(Output::Notice(Notice::Adopted { routes: present }));
        }
        if first {
            self.say_missing_sources(out);
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
        self.nexthop_objects = nexthop_objects;
        if self.config.nexthop_groups && !nexthop_objects && self.config.install {
            out.push(Output::Notice(Notice::NoNexthopObjects));
        }
        self.use_objects();
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

    fn route_told(
        &mut self,
        now: Instant,
        route: KernelRoute,
        rank: Option<Rank>,
        out: &mut Vec<Output>,
    ) -> bool {
        if self.is_ours(&route) {
            self.our_route(now, &route, rank, out);
            return false;
        }
        self.stranger_told(&route, out);
        self.foreign_before = Some((route.prefix, place_of(&route)));
        let mut rank = rank;
        // It may have taken the place of ours.
        if let Some(key) = self.key_of(&route)
            && self.table.row(key).actual != Slot::NOTHING
        {
            // If so, then not that of another one behind ours.
            rank = rank.or(Some(Rank::First));
            self.observed(key, UNKNOWN);
        }
        self.resolver.learn(match rank {
            Some(rank) => Fact::RouteBeside(route, rank),
            None => Fact::Route(route),
        })
    }

    /// In whatever table: an earlier life may have used another one.
    fn our_route(
        &mut self,
        now: Instant,
        route: &KernelRoute,
        rank: Option<Rank>,
        out: &mut Vec<Output>,
    ) {
        let Some(place) = self.table.place_found(place_of(route)) else {
            return;
        };
        let key = Key {
            prefix: route.prefix,
            place,
        };
        if rank.is_none() {
            // It may have taken the place of a foreign one.
            self.resolver.displaced(route);
            self.stranger_gone(route.prefix, place_of(route));
        }
        // Behind a foreign one, it is not what the kernel would replace.
        let behind = self.foreign_before == Some((route.prefix, place_of(route)));
        let actual = if behind && rank == Some(Rank::Last) {
            UNKNOWN
        } else {
            self.actual_of(route)
        };
        let row = self.table.row(key);
        let known = (row.actual, row.actual_source) == actual;
        self.observed(key, actual);
        let starting = self.phase == Phase::Starting;
        self.table.update(key, |row| {
            row.set_adopted(starting && row.wanted == Slot::NOTHING);
            false
        });
        if !known {
            self.contest(now, key, out);
        }
    }

    fn route_gone(&mut self, now: Instant, route: KernelRoute, out: &mut Vec<Output>) -> bool {
        let key = self.key_of(&route);
        if !self.is_ours(&route) {
            self.stranger_gone(route.prefix, place_of(&route));
            if let Some(key) = key
                && self.retries.forget(&Subject::Row(key))
            {
                self.table.update(key, |_| true);
            }
            return self.resolver.learn(Fact::RouteGone(route));
        }
        let Some(key) = key else {
            return false;
        };
        let actual = self.table.row(key).actual;
        let of_earlier = match &route.kind {
            RouteKind::Unicast(RouteVia::Nexthop(id)) => {
                actual.index().is_some() && self.nexthops.by_id(*id) != actual.index()
            }
            RouteKind::Unicast(RouteVia::Paths(_))
            | RouteKind::Blackhole
            | RouteKind::Unreachable
            | RouteKind::Prohibit
            | RouteKind::Other => false,
        };
        if actual == Slot::NOTHING || of_earlier {
            return false;
        }
        // Of an IPv6 route, one next hop may have gone alone.
        let partly = key.prefix.addr().is_ipv6()
            && matches!(&route.kind, RouteKind::Unicast(RouteVia::Paths(_)));
        self.observed(key, if partly { UNKNOWN } else { NOTHING });
        self.contest(now, key, out);
        false
    }

    /// The kernel told of a route of ours. While a change of ours is under way, nobody can say which was first.
    fn observed(&mut self, key: Key, actual: (Slot, SourceId)) {
        self.set_actual(key, actual, true);
        if self.table.row(key).flight != Flight::None {
            self.set_actual(key, UNKNOWN, true);
        }
    }

    /// The row whose place a route has, of whomever: the kernel has room for one.
    fn key_of(&self, route: &KernelRoute) -> Option<Key> {
        let place = self.table.find(place_of(route))?;
        Some(Key {
            prefix: route.prefix,
            place,
        })
    }

    fn actual_of(&mut self, route: &KernelRoute) -> (Slot, SourceId) {
        let slot = match &route.kind {
            RouteKind::Unicast(RouteVia::Nexthop(id)) => {
                self.nexthops.by_id(*id).map_or(Slot::OTHER, Slot::at)
            }
            RouteKind::Unicast(RouteVia::Paths(paths)) => {
                Slot::at(self.nexthops.inline(paths.clone()))
            }
            RouteKind::Blackhole => Slot::BLACKHOLE,
            RouteKind::Unreachable => Slot::UNREACHABLE,
            RouteKind::Prohibit => Slot::PROHIBIT,
            RouteKind::Other => Slot::OTHER,
        };
        match slot.index() {
            Some(_) => (slot, self.sources.found(route.prefsrc)),
            None => (slot, SourceId::NONE),
        }
    }

    fn contest(&mut self, now: Instant, key: Key, out: &mut Vec<Output>) {
        if self.knowledge != Knowledge::Complete || self.table.row(key).wanted == Slot::NOTHING {
            return;
        }
        if let Verdict::Rest { until, first } = self.contests.changed(now, key) {
            self.retries.rest(until, Subject::Row(key), Why::Contested);
            if first {
                let prefix = key.prefix;
                out.push(Output::Notice(Notice::Contested { prefix }));
            }
        }
    }

    /// The preferred sources: the kernel refuses routes with one that it does not have, and drops
    /// IPv4 routes whose own goes.
    fn check_sources(&mut self, out: &mut Vec<Output>) {
        let changed = self
            .sources
            .look(|address| self.resolver.has_address(address));
        if changed.is_empty() {
            return;
        }
        for (id, here) in &changed {
            if let Some(address) = self.sources.address(*id).filter(|_| !here) {
                out.push(Output::Notice(Notice::PreferredSourceMissing { address }));
            }
        }
        let is_changed = |id: SourceId| changed.iter().any(|(changed, _)| *changed == id);
        let writes = !self.shadows();
        let nexthops = &mut self.nexthops;
        self.table.scan(|_, row| {
            if is_changed(row.actual_source) && row.actual != Slot::UNKNOWN {
                if let Some(object) = row.actual.index() {
                    nexthops.release(object);
                }
                (row.actual, row.actual_source) = UNKNOWN;
                return true;
            }
            writes && is_changed(row.wanted_source)
        });
    }
}

pub(super) fn place_of(route: &KernelRoute) -> Place {
    Place {
        table: route.table,
        metric: route.metric,
        tos: route.tos,
    }
}

fn content(kind: NexthopKind) -> Content {
    match kind {
        NexthopKind::Path(path) => Content::Path(path),
        NexthopKind::Group(members) => Content::Group(members),
        NexthopKind::Other => Content::Other,
    }
}
