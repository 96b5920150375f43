//! Routes of others with our protocol number (FRR's has the same by default): told from ours by the nexthop object they
//! point to, which is not ours.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Fib;
use crate::fact::{KernelRoute, RouteKind, RouteVia};
use crate::table::{Key, Place};
use crate::{Notice, Output};

/// Strangers kept in mind, at most. When there are more, nothing that may be a stranger's is removed.
const STRANGERS_MAX: usize = 65_536;

/// Those we know of, each with the nexthop object it points to.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    objects: BTreeMap<(IpNet, Place), u32>,
    /// There are more.
    beyond: bool,
    said: bool,
}

impl Strangers {
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn is_none(&self) -> bool {
        self.objects.is_empty() && !self.beyond
    }

    /// A dump tells of all that are there.
    pub(super) fn forget(&mut self) {
        self.objects.clear();
        self.beyond = false;
    }

    fn may_have(&self, at: &(IpNet, Place)) -> bool {
        self.beyond || self.objects.contains_key(at)
    }
}

impl Fib {
    /// Whether a route is ours: it has our number, and no nexthop object that is another's.
    pub(super) fn is_ours(&self, route: &KernelRoute) -> bool {
        route.protocol == self.config.protocol
            && !self.shadows()
            && nexthop(route).is_none_or(|id| !self.resolver.has_nexthop(id))
    }

    /// A stranger's route is there.
    pub(super) fn stranger_told(&mut self, route: &KernelRoute, out: &mut Vec<Output>) {
        let has_number = route.protocol == self.config.protocol && !self.shadows();
        let Some(id) = nexthop(route).filter(|_| has_number) else {
            return;
        };
        let at = (route.prefix, super::observe::place_of(route));
        if self.strangers.len() < STRANGERS_MAX || self.strangers.may_have(&at) {
            self.strangers.objects.insert(at, id);
        } else {
            self.strangers.beyond = true;
        }
        if !std::mem::replace(&mut self.strangers.said, true) {
            out.push(Output::Notice(Notice::StrangersHaveOurNumber {
                protocol: self.config.protocol,
            }));
        }
    }

    /// There is no route any more at a place, or it is not a stranger's.
    pub(super) fn stranger_gone(&mut self, prefix: IpNet, place: Place) {
        if self.strangers.objects.remove(&(prefix, place)).is_some() {
            self.look_where_stranger_was(prefix, place);
        }
    }

    /// A nexthop object of others is gone, and with it the routes that pointed to it. The kernel says nothing of those.
    pub(super) fn strangers_gone_with(&mut self, object: u32) {
        if self.strangers.is_none() {
            return;
        }
        let with_it = |(at, id): (&(IpNet, Place), &u32)| (*id == object).then_some(*at);
        let gone: Vec<_> = self.strangers.objects.iter().filter_map(with_it).collect();
        for (prefix, place) in gone {
            self.stranger_gone(prefix, place);
        }
    }

    /// Whether what is at a row's place may be a stranger's: it must not be removed, though it has our number.
    pub(super) fn may_be_strangers(&self, key: Key) -> bool {
        !self.strangers.is_none()
            && self
                .table
                .place_of(key.place)
                .is_some_and(|place| self.strangers.may_have(&(key.prefix, place)))
    }

    fn look_where_stranger_was(&mut self, prefix: IpNet, place: Place) {
        if let Some(place) = self.table.find(place) {
            let key = Key { prefix, place };
            self.retries.forget(&crate::retry::Subject::Row(key));
            self.table
                .update(key, |row| row.wanted != crate::table::Slot::NOTHING);
        }
    }
}

fn nexthop(route: &KernelRoute) -> Option<u32> {
    match route.kind {
        RouteKind::Unicast(RouteVia::Nexthop(id)) => Some(id),
        RouteKind::Unicast(RouteVia::Paths(_))
        | RouteKind::Blackhole
        | RouteKind::Unreachable
        | RouteKind::Prohibit
        | RouteKind::Other => None,
    }
}
