//! The routes of others: to each prefix in the kernel's order, and not more than there is room for.

use std::collections::BTreeMap;

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::fact::{KernelRoute, Rank};
use crate::fill::Fill;

/// Routes of others that are kept, at most: two full tables. What else there is leads to no next hop, and a notice says so.
pub(crate) const FOREIGN_MAX: usize = if cfg!(test) { 64 } else { 2_000_000 };
/// Beyond those, for routes that matter most.
const RESERVE: usize = if cfg!(test) { 8 } else { 65_536 };
/// After the store was full, the kernel is asked again for what had no room once so many are left.
const ROOM_AGAIN: usize = Fill::room_again(FOREIGN_MAX);
/// Routes to one prefix with the same table and metric that are kept, at most. When one of so many goes, the kernel is asked
/// for those behind.
pub(crate) const TWINS_MAX: usize = if cfg!(test) { 4 } else { 64 };

type Routes = SmallVec<[KernelRoute; 1]>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    by_prefix: BTreeMap<IpNet, Routes>,
    kept: usize,
    /// Those without room, as far as they can be counted.
    left_out: usize,
    fill: Fill,
    /// There may be twins behind those that are kept.
    twins_behind: bool,
}

impl Foreign {
    pub(super) fn to(&self, prefix: IpNet) -> &[KernelRoute] {
        self.by_prefix.get(&prefix).map_or(&[], SmallVec::as_slice)
    }

    pub(super) fn has(&self, prefix: IpNet) -> bool {
        self.by_prefix.contains_key(&prefix)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &KernelRoute> {
        self.by_prefix.values().flatten()
    }

    pub(super) const fn kept(&self) -> usize {
        self.kept
    }

    pub(super) const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether there is room only for those that matter most.
    pub(super) const fn is_full(&self) -> bool {
        self.kept >= FOREIGN_MAX
    }

    /// A dump tells of all that are there.
    pub(super) fn forget(&mut self) {
        self.by_prefix.clear();
        (self.kept, self.left_out) = (0, 0);
        self.twins_behind = false;
    }

    /// A route is there, without a rank in the place of the first one that has its place. It is left out if there is no
    /// room; one that `matters` has more.
    pub(super) fn enter(&mut self, route: KernelRoute, rank: Option<Rank>, matters: bool) {
        let room = !self.is_full() || matters && self.kept < FOREIGN_MAX + RESERVE;
        let known = self.by_prefix.get_mut(&route.prefix);
        if known.is_some_and(|routes| put(routes, &route, rank)) {
            return;
        }
        if !room {
            // One without a rank may be known to be left out.
            self.left_out = match rank {
                Some(_) => self.left_out.saturating_add(1),
                None => self.left_out.max(1),
            };
            self.fill.overflow();
            return;
        }
        let routes = self.by_prefix.entry(route.prefix).or_default();
        let twins = |routes: &Routes| routes.iter().filter(|r| r.has_place_of(&route)).count();
        let full = twins(routes) >= TWINS_MAX;
        match rank {
            Some(Rank::First) => {
                let last = routes.iter().rposition(|r| r.has_place_of(&route));
                if let Some(last) = last.filter(|_| full) {
                    routes.remove(last);
                    self.kept -= 1;
                }
                let first = routes.iter().position(|r| r.has_place_of(&route));
                routes.insert(first.unwrap_or(routes.len()), route);
            }
            Some(Rank::Last) | None if full => return,
            Some(Rank::Last) | None => routes.push(route),
        }
        self.kept += 1;
    }

    /// A route is gone, or of an IPv6 route one way. Says whether it was known.
    pub(super) fn leave(&mut self, gone: &KernelRoute) -> bool {
        let known = self.take(gone, |routes| {
            let is_it = |route: &KernelRoute| route.has_place_of(gone) && route.is_same_as(gone);
            let at = routes.iter().position(is_it)?;
            let empty = routes.get_mut(at)?.lose(gone);
            Some(empty.then_some(at))
        });
        self.left_out -= usize::from(!known && self.left_out > 0);
        known
    }

    /// A route of ours has taken the place of the first one, if there is one.
    pub(super) fn displace(&mut self, ours: &KernelRoute) -> bool {
        self.take(ours, |routes| Some(Some(replaced(routes, ours)?)))
    }

    /// Takes out the route that `which` says. `None`: it is not known; `Some(None)`: it stays.
    fn take(
        &mut self,
        route: &KernelRoute,
        which: impl FnOnce(&mut Routes) -> Option<Option<usize>>,
    ) -> bool {
        let routes = self.by_prefix.get_mut(&route.prefix);
        let Some((at, routes)) = routes.and_then(|routes| Some((which(routes)?, routes))) else {
            return false;
        };
        if let Some(at) = at {
            let twins = routes.iter().filter(|r| r.has_place_of(route)).count();
            self.twins_behind |= twins >= TWINS_MAX;
            routes.remove(at);
            self.kept -= 1;
        }
        if routes.is_empty() {
            self.by_prefix.remove(&route.prefix);
        }
        true
    }

    /// True once after something had no room.
    pub(super) fn take_full(&mut self) -> bool {
        self.fill.take_full()
    }

    /// True once when there is room again for what had none: the kernel is to be asked for it.
    pub(super) fn take_room(&mut self) -> bool {
        let room = self.fill.take_room(self.kept <= ROOM_AGAIN);
        std::mem::take(&mut self.twins_behind) || room && self.left_out > 0
    }
}

/// Puts a route where one is already. False: there is none.
fn put(routes: &mut Routes, route: &KernelRoute, rank: Option<Rank>) -> bool {
    let is_it = |r: &KernelRoute| r.has_place_of(route) && r.is_same_as(route);
    let same = routes.iter().position(is_it);
    let at = same.or_else(|| replaced(routes, route).filter(|_| rank.is_none()));
    match at.and_then(|at| routes.get_mut(at)) {
        Some(place) => *place = route.clone(),
        None => return false,
    }
    true
}

/// The one whose place the kernel gives to a route that replaces: the first one; of IPv6, rather one that shares the traffic
/// as it does.
fn replaced(routes: &Routes, by: &KernelRoute) -> Option<usize> {
    let in_place = |route: &KernelRoute| route.has_place_of(by);
    let alike = |route: &KernelRoute| in_place(route) && route.shares() == by.shares();
    let mut all = routes.iter();
    all.position(alike)
        .or_else(|| routes.iter().position(in_place))
}

#[cfg(test)]
mod tests;
