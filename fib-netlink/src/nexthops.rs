//! Next hops, the sets of them that routes want, and the kernel's objects they become.
//!
//! A next hop is one nexthop object and a set of several is one group, whatever the number of routes:
//! when a next hop is reached another way, one message moves all routes. Where the kernel has no such
//! objects, an object here is the list of paths that a route carries itself.

mod lean;
mod objects;
mod shares;

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;

use crate::op::Path;
use crate::resolve::Resolver;
use crate::{NextHop, NextHops, Resolution};

pub(crate) use objects::{Content, Presence, Step};
use objects::{FIRST_ID, Object, Owner};
pub(crate) use shares::Qualities;

/// Ids and weights of a group, in the order of ids.
pub(crate) type Members = SmallVec<[(u32, u8); 4]>;
/// Paths and weights of a route, in their order.
pub(crate) type Paths = SmallVec<[(Path, u8); 1]>;

/// Members of a group, at most; the others take no part.
const MEMBERS_MAX: usize = 512;

#[derive(Debug)]
struct Hop {
    next_hop: NextHop,
    /// How many sets it is in.
    sets: u32,
    /// The ways to it: several only through routes of ours.
    paths: Paths,
    /// The kernel refused it; it waits.
    refused: bool,
    /// Somebody says that its neighbor is gone, and what follows from that is not known yet: where there is another way, it
    /// is not used.
    suspect: bool,
    /// The objects of its paths, as far as they have one; the first one stays when no path is left.
    objects: SmallVec<[Option<usize>; 1]>,
}

impl Hop {
    fn usable(&self) -> &[(Path, u8)] {
        if self.refused { &[] } else { &self.paths }
    }
}

/// A path of a set: of which next hop it is, and which of its paths.
#[derive(Clone, Copy, Debug)]
struct Usable {
    hop: usize,
    at: usize,
    path: Path,
    weight: u8,
}

#[derive(Debug)]
struct Set {
    members: NextHops,
    hops: SmallVec<[(usize, u8); 2]>,
    /// How many rows want it.
    rows: u32,
    /// The kernel refused the group; it waits.
    refused: bool,
    /// Its group, if it has one.
    group: Option<usize>,
    /// The object to which its routes point. `None`: nowhere, no member can be used.
    target: Option<usize>,
    /// Routes that want it need a look.
    changed: bool,
    /// Routes that want it lean on other objects: see [`Nexthops::leans`].
    leaning: bool,
}

/// All of them. Bounded by what routes want and by what the kernel has.
#[derive(Debug)]
pub(crate) struct Nexthops {
    /// Routes point to the kernel's objects.
    pub(crate) objects_used: bool,
    /// Objects of an earlier life that nobody wants may go.
    pub(crate) may_remove: bool,
    /// A set changed or an object was lost: rows need to be visited.
    pub(crate) rows_concerned: bool,
    hops: Slab<Hop>,
    by_next_hop: BTreeMap<NextHop, usize>,
    /// What is known of the links to next hops, wanted here or not.
    qualities: BTreeMap<NextHop, Qualities>,
    sets: Slab<Set>,
    by_members: HashMap<NextHops, usize, FixedState>,
    /// The set that was wanted last: most routes in a row want the same.
    last: usize,
    objects: Slab<Object>,
    by_id: BTreeMap<u32, usize>,
    by_paths: HashMap<Paths, usize, FixedState>,
    next_id: u32,
    /// Objects to compare with what they should be; the kernel needs paths before groups.
    paths: BTreeSet<usize>,
    groups: BTreeSet<usize>,
    /// Objects that may go, in the opposite order.
    leaving_groups: BTreeSet<usize>,
    leaving_paths: BTreeSet<usize>,
}

impl Nexthops {
    pub(crate) fn new(objects_used: bool) -> Self {
        Self {
            objects_used,
            may_remove: false,
            rows_concerned: false,
            hops: Slab::new(),
            by_next_hop: BTreeMap::new(),
            qualities: BTreeMap::new(),
            sets: Slab::new(),
            by_members: HashMap::default(),
            last: 0,
            objects: Slab::new(),
            by_id: BTreeMap::new(),
            by_paths: HashMap::default(),
            next_id: FIRST_ID,
            paths: BTreeSet::new(),
            groups: BTreeSet::new(),
            leaving_groups: BTreeSet::new(),
            leaving_paths: BTreeSet::new(),
        }
    }

    /// The set of these next hops, for one more row.
    pub(crate) fn want(&mut self, members: NextHops, resolver: &mut Resolver) -> usize {
        let members = canonical(members);
        if let Some(set) = self
            .sets
            .get_mut(self.last)
            .filter(|set| set.members == members)
        {
            set.rows += 1;
            return self.last;
        }
        if let Some(&index) = self.by_members.get(&members) {
            if let Some(set) = self.sets.get_mut(index) {
                set.rows += 1;
            }
            self.last = index;
            return index;
        }
        let hops = members
            .iter()
            .map(|(next_hop, weight)| (self.join_hop(*next_hop, resolver), *weight))
            .collect();
        let index = self.sets.insert(Set {
            members: members.clone(),
            hops,
            rows: 1,
            refused: false,
            group: None,
            target: None,
            changed: false,
            leaning: false,
        });
        self.by_members.insert(members, index);
        self.last = index;
        index
    }

    /// One row less wants the set. Says which set went, if it was the last one.
    pub(crate) fn unwant(&mut self, index: usize, resolver: &mut Resolver) -> Option<NextHops> {
        let set = self.sets.get_mut(index)?;
        set.rows -= 1;
        if set.rows > 0 {
            return None;
        }
        self.aim(index, None);
        let set = self.sets.try_remove(index)?;
        self.by_members.remove(&set.members);
        if let Some(group) = set.group {
            self.disown(group);
        }
        for (hop, _) in set.hops {
            self.leave_hop(hop, resolver);
        }
        Some(set.members)
    }

    pub(crate) fn members(&self, set: usize) -> Option<&NextHops> {
        self.sets.get(set).map(|set| &set.members)
    }

    /// The object to which routes that want the set point. Made if need be and possible; `present` is where
    /// such a route points to now: an equal object of an earlier life is taken over.
    pub(crate) fn target(
        &mut self,
        index: usize,
        present: Option<usize>,
        resolver: &Resolver,
    ) -> Option<usize> {
        let set = self.sets.get(index)?;
        if set.target.is_none() {
            let target = self.make_target(index, present, resolver);
            self.aim(index, target);
        }
        self.sets.get(index)?.target
    }

    /// The object to which routes that want the set point now.
    pub(crate) fn aim_of(&self, set: usize) -> Option<usize> {
        self.sets.get(set)?.target
    }

    /// A next hop is reached another way, or not any more, or again.
    pub(crate) fn reached(
        &mut self,
        next_hop: NextHop,
        answer: Option<&Resolution>,
        resolver: &Resolver,
    ) {
        let Some(&index) = self.by_next_hop.get(&next_hop) else {
            return;
        };
        let paths = paths(answer);
        let Some(hop) = self.hops.get_mut(index).filter(|hop| hop.paths != paths) else {
            return;
        };
        hop.paths = paths;
        hop.refused = false;
        let left = hop.paths.len().max(1).min(hop.objects.len());
        let idle: SmallVec<[Option<usize>; 1]> = hop.objects.drain(left..).collect();
        for object in idle.into_iter().flatten() {
            self.disown(object);
        }
        self.hop_changed(index, resolver);
    }

    /// Somebody says that neighbors are gone: the next hops that are behind them are not used where there is another way.
    pub(crate) fn suspect(
        &mut self,
        is_behind: impl Fn(NextHop, &[(Path, u8)]) -> bool,
        resolver: &Resolver,
    ) {
        let behind = |hop: &Hop| !hop.suspect && is_behind(hop.next_hop, &hop.paths);
        self.set_suspect(behind, true, resolver);
    }

    /// What followed from that is known by now.
    pub(crate) fn trust_all(&mut self, resolver: &Resolver) {
        self.set_suspect(|hop| hop.suspect, false, resolver);
    }

    fn set_suspect(&mut self, which: impl Fn(&Hop) -> bool, suspect: bool, resolver: &Resolver) {
        let hops = self.hops.iter_mut().filter(|(_, hop)| which(hop));
        let mark = |(index, hop): (usize, &mut Hop)| {
            hop.suspect = suspect;
            index
        };
        let hops: Vec<usize> = hops.map(mark).collect();
        for hop in hops {
            self.hop_changed(hop, resolver);
        }
    }

    /// A refusal's time is over: try again.
    pub(crate) fn retry_hop(&mut self, next_hop: NextHop, resolver: &Resolver) {
        let Some(&index) = self.by_next_hop.get(&next_hop) else {
            return;
        };
        if let Some(hop) = self.hops.get_mut(index) {
            hop.refused = false;
        }
        self.hop_changed(index, resolver);
    }

    /// Likewise, for a group.
    pub(crate) fn retry_set(&mut self, members: &NextHops, resolver: &Resolver) {
        let Some(&index) = self.by_members.get(members) else {
            return;
        };
        if let Some(set) = self.sets.get_mut(index) {
            set.refused = false;
        }
        self.reconsider(index, resolver);
    }

    /// All sets anew: whether the kernel's objects are used has changed.
    pub(crate) fn reconsider_all(&mut self, resolver: &Resolver) {
        let sets: Vec<usize> = self.sets.iter().map(|(index, _)| index).collect();
        for index in sets {
            self.reconsider(index, resolver);
        }
    }

    /// Routes that want the set need a look.
    pub(crate) fn is_changed(&self, set: usize) -> bool {
        self.sets.get(set).is_some_and(|set| set.changed)
    }

    /// All rows were visited.
    pub(crate) fn rows_visited(&mut self) {
        self.rows_concerned = false;
        for (_, set) in &mut self.sets {
            set.changed = false;
        }
        for (_, object) in &mut self.objects {
            object.lost = false;
        }
    }

    fn join_hop(&mut self, next_hop: NextHop, resolver: &mut Resolver) -> usize {
        if let Some(&index) = self.by_next_hop.get(&next_hop) {
            if let Some(hop) = self.hops.get_mut(index) {
                hop.sets += 1;
            }
            return index;
        }
        let paths = paths(resolver.using(next_hop).as_ref());
        let index = self.hops.insert(Hop {
            next_hop,
            sets: 1,
            paths,
            refused: false,
            suspect: false,
            objects: SmallVec::new(),
        });
        self.by_next_hop.insert(next_hop, index);
        index
    }

    fn leave_hop(&mut self, index: usize, resolver: &mut Resolver) {
        let Some(hop) = self.hops.get_mut(index) else {
            return;
        };
        hop.sets -= 1;
        if hop.sets > 0 {
            return;
        }
        let hop = self.hops.remove(index);
        self.by_next_hop.remove(&hop.next_hop);
        resolver.used_no_more(hop.next_hop);
        for object in hop.objects.into_iter().flatten() {
            self.disown(object);
        }
    }

    /// That a next hop can be used or not concerns its object, and all sets it is in.
    fn hop_changed(&mut self, index: usize, resolver: &Resolver) {
        let objects = self.hops.get(index).map(|hop| hop.objects.clone());
        for object in objects.into_iter().flatten().flatten() {
            self.touch(object);
        }
        let has_hop = |set: &Set| set.hops.iter().any(|(hop, _)| *hop == index);
        let sets: Vec<usize> = self
            .sets
            .iter()
            .filter(|(_, set)| has_hop(set))
            .map(|(i, _)| i)
            .collect();
        for set in sets {
            self.reconsider(set, resolver);
        }
    }

    /// Whether the set's routes have to point elsewhere.
    fn reconsider(&mut self, index: usize, resolver: &Resolver) {
        let target = self.make_target(index, None, resolver);
        let Some(set) = self.sets.get_mut(index) else {
            return;
        };
        let before = set.target;
        if before != target || set.leaning {
            set.changed = true;
            self.rows_concerned = true;
            self.aim(index, target);
        }
        if let Some(object) = target.or(before) {
            self.touch(object);
        }
    }

    /// Sets the target. A set's aim keeps a list of paths alive; kernel objects live by their owners.
    fn aim(&mut self, index: usize, target: Option<usize>) {
        let Some(set) = self.sets.get_mut(index) else {
            return;
        };
        let before = std::mem::replace(&mut set.target, target);
        if let Some(object) = target.filter(|object| self.is_inline(*object)) {
            self.hold(object);
        }
        if let Some(object) = before.filter(|object| self.is_inline(*object)) {
            self.release(object);
        }
    }

    fn make_target(
        &mut self,
        index: usize,
        present: Option<usize>,
        resolver: &Resolver,
    ) -> Option<usize> {
        let set = self.sets.get(index)?;
        let (hops, group) = (set.hops.clone(), set.group);
        let usable = self.usable(&hops);
        if usable.is_empty() || set.refused {
            return None;
        }
        if !self.objects_used {
            let paths = usable.iter().map(|usable| (usable.path, usable.weight));
            return Some(self.inline(paths.collect()));
        }
        if let ([(hop, _)], [_], None) = (hops.as_slice(), usable.as_slice(), group) {
            return Some(self.path_object(*hop, 0, present, resolver));
        }
        let group = self.keep_upright(index, group, &usable);
        let adopted = group.or_else(|| self.adopt_group(&usable, present));
        for usable in &usable {
            self.path_object(usable.hop, usable.at, None, resolver);
        }
        let group = adopted.unwrap_or_else(|| self.create(resolver));
        self.own(group, Owner::Set(index));
        self.groups.insert(group);
        if let Some(set) = self.sets.get_mut(index) {
            set.group = Some(group);
        }
        Some(group)
    }

    /// The paths of a set, with their weights, as far as they can be used.
    pub(crate) fn paths_of(&self, set: usize) -> Paths {
        let usable = self.sets.get(set).map(|set| self.usable(&set.hops));
        let usable = usable.into_iter().flatten();
        usable.map(|usable| (usable.path, usable.weight)).collect()
    }

    /// Of a set's next hops, the paths that can be used: of those with a weight; of the others, when there is none.
    fn usable(&self, hops: &[(usize, u8)]) -> SmallVec<[Usable; 4]> {
        let weighted = hops.iter().copied().filter(|(_, weight)| *weight > 0);
        let spare = hops.iter().filter(|(_, weight)| *weight == 0);
        let trusted = |(hop, _): &(usize, u8)| self.hops.get(*hop).is_some_and(|hop| !hop.suspect);
        let mut usable = self.usable_of(weighted.clone().filter(trusted));
        if usable.is_empty() {
            usable = self.usable_of(spare.map(|(hop, _)| (*hop, 1)).filter(trusted));
        }
        if usable.is_empty() {
            usable = self.usable_of(weighted);
        }
        usable
    }
}

/// The paths of an answer.
fn paths(answer: Option<&Resolution>) -> Paths {
    let ways = answer.into_iter().flat_map(|answer| &answer.ways);
    ways.map(|way| (way.path, way.weight)).collect()
}

/// Sorted, each next hop once, weights added up.
fn canonical(mut members: NextHops) -> NextHops {
    if members.len() < 2 {
        return members;
    }
    members.sort_unstable();
    members.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    members
}
