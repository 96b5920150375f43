//! Groups that are told several paths a prefix (RFC 7911): the best ones that may be told, in the order of the
//! decision, each under the Path Identifier that the table gave it. A path that is no more among them is withdrawn by it.

use std::ops::Range;

use bgp_core::Prefix;
use smallvec::SmallVec;

use crate::decision::{Candidate, Ranking};
use crate::export::View;
use crate::group::{Group, Segment};
use crate::journal::Version;
use crate::packer::{BlockId, Packer};
use crate::peer::PeerId;
use crate::plane::Plane;
use crate::plane::changed::{changed, changed_or_stale};
use crate::plane::known::Known;
use crate::plane::member::{is_member, walks};
use crate::rib::Core;
use crate::several::{ToldPath, ToldPaths};
use crate::table::Table;

/// In place of Path Identifiers, where none are told.
const THE_ONE: u32 = 1;

/// Most paths of a prefix that are looked at, for those that may be told.
const RANKED_MAX: usize = 1024;

pub(super) type Ranked = SmallVec<[(ToldPath, BlockId); 8]>;

impl<P: Prefix> Plane<P> {
    /// Whether the group is told several paths a prefix.
    pub(super) fn tells_several(&self, id: usize) -> bool {
        let group = self.group(id);
        group.is_some_and(|group| group.several.is_some() && !group.view.is_for_each())
    }

    /// Whether each member of the group is told the best path that may be told to it.
    pub(super) fn tells_each(&self, id: usize) -> bool {
        self.group(id).is_some_and(|group| group.view.is_for_each())
    }

    /// See [`Plane::tell`].
    pub(super) fn tell_several(&mut self, core: &mut Core, id: usize, to: Version) -> Vec<Segment> {
        let Self {
            table,
            journal,
            groups,
            members,
            packer,
            ..
        } = self;
        let Some(group) = groups.get_mut(id).and_then(Option::as_mut) else {
            return Vec::new();
        };
        let may_join = walks(members, id);
        let is_member = |peer: &PeerId| may_join || is_member(members, *peer, id);
        for (at, net) in changed(journal, table, group.head..to) {
            let (old, new) = (told(group, at), rank(table, packer, core, &group.view, at));
            for (path, block) in &new {
                let before = old.iter().find(|before| before.number == path.number);
                if before != Some(path) {
                    // Its number was another's, which this source had been told, or who knows.
                    let instead = before.is_some_and(|before| before.of() != Some(path.source));
                    let except = Some(path.source).filter(is_member);
                    packer.announce(except, *block, (path.number, net.prefix), instead);
                }
            }
            for before in &old {
                if new.iter().all(|(path, _)| path.number != before.number) {
                    let except = before.of().filter(is_member);
                    packer.withdraw(except, (before.number, net.prefix));
                }
            }
            let new: ToldPaths = new.iter().map(|(path, _)| *path).collect();
            group.tell_paths(at, &new, &mut core.store);
        }
        packer.finish(&group.view)
    }

    /// See [`Plane::tell_late`]. What it may know besides is withdrawn: numbers up to the largest that was ever told.
    pub(super) fn tell_late_several(
        &mut self,
        core: &Core,
        peer: PeerId,
        id: usize,
        stretch: Range<Version>,
    ) -> Vec<Segment> {
        let Some(group) = self.groups.get(id).and_then(Option::as_ref) else {
            return Vec::new();
        };
        for (at, net) in changed_or_stale(&self.journal, &self.table, stretch) {
            let highest = group.several.as_ref().map_or(0, |told| told.highest(at));
            let mut kept: SmallVec<[u32; 8]> = SmallVec::new();
            for path in told(group, at).iter().filter(|path| path.source != peer) {
                let route = path.get();
                let block = route.map(|r| self.packer.export(core, &group.view, r, net.prefix));
                match block {
                    Some(Some(block)) => {
                        let prefix = (path.number, net.prefix);
                        self.packer.announce(None, block, prefix, false);
                    }
                    // Its source is gone.
                    Some(None) => continue,
                    // It will be said again.
                    None => {}
                }
                kept.push(path.number);
            }
            for number in (1..=highest).filter(|number| !kept.contains(number)) {
                self.packer.withdraw(None, (number, net.prefix));
            }
        }
        self.packer.finish(&group.view)
    }

    /// See [`Plane::tell_stretch`].
    pub(super) fn tell_stretch_several(
        &mut self,
        core: &mut Core,
        id: usize,
        stretch: Range<u32>,
        known: &Known,
        peer: PeerId,
    ) -> Vec<Segment> {
        let Self {
            table,
            groups,
            packer,
            ..
        } = self;
        let Some(group) = groups.get_mut(id).and_then(Option::as_mut) else {
            return Vec::new();
        };
        for at in stretch {
            let Some(net) = table.net(at).filter(|n| n.is_live()) else {
                continue;
            };
            catch_up(table, packer, core, group, at);
            let mut paths = told(group, at);
            let mut kept: SmallVec<[u32; 8]> = SmallVec::new();
            let mut gone = false;
            for path in &mut paths {
                let Some(route) = path.get() else { continue };
                match packer.export(core, &group.view, route, net.prefix) {
                    Some(block) => {
                        let prefix = (path.number, net.prefix);
                        packer.announce(Some(path.source), block, prefix, false);
                        kept.extend((path.source != peer).then_some(path.number));
                    }
                    None => {
                        // Its source is gone; the change is on its way.
                        *path = path.unknown();
                        gone = true;
                    }
                }
            }
            if gone {
                group.tell_paths(at, &paths, &mut core.store);
            }
            for number in (1..=known.of(at)).filter(|number| !kept.contains(number)) {
                packer.withdraw(None, (number, net.prefix));
            }
        }
        packer.finish(&group.view)
    }
}

/// A net that came to the table of several paths after the group had heard of its last change: what the group was told
/// of it is what holds.
pub(super) fn catch_up<P: Prefix>(
    table: &Table<P>,
    packer: &mut Packer<P>,
    core: &mut Core,
    group: &mut Group,
    at: u32,
) {
    let is_new = group.several.as_ref().is_some_and(|told| told.is_new(at));
    let heard = table.net(at).is_some_and(|net| net.version < group.head);
    if is_new && heard {
        let now = rank(table, packer, core, &group.view, at);
        let now: ToldPaths = now.iter().map(|(path, _)| *path).collect();
        group.tell_paths(at, &now, &mut core.store);
    }
}

/// What the group was told of a net.
pub(super) fn told(group: &Group, net: u32) -> ToldPaths {
    let several = group.several.as_ref();
    several.map(|told| told.told(net)).unwrap_or_default()
}

/// The best paths of a net that may be told. The first one is the Loc-RIB's, if it may. Where members are told one each,
/// it is that one, and the best that has another source.
pub(super) fn rank<P: Prefix>(
    table: &Table<P>,
    packer: &mut Packer<P>,
    core: &Core,
    view: &View,
    net: u32,
) -> Ranked {
    let mut paths: SmallVec<[u32; 16]> = SmallVec::new();
    let mut candidates: SmallVec<[Candidate; 16]> = SmallVec::new();
    let Some(prefix) = table.net(net).map(|net| net.prefix) else {
        return Ranked::new();
    };
    for index in table.paths_of(net) {
        let path = table.path(index);
        if let Some(candidate) = path.and_then(|path| Plane::<P>::candidate(core, prefix, path)) {
            paths.push(index);
            candidates.push(candidate);
        }
    }
    let ranking = Ranking::of(&candidates).take(RANKED_MAX);
    let mut ranked = ranking.filter_map(|at| {
        let index = *paths.get(at)?;
        let path = table.path(index)?;
        let block = packer.export(core, view, (path.attrs, path.peer()), prefix)?;
        let number = match view.is_for_each() {
            true => THE_ONE,
            false => table.number_of(index),
        };
        Some((ToldPath::new(number, path.attrs, path.peer()), block))
    });
    if !view.is_for_each() {
        return ranked.take(view.paths.unwrap_or(1).into()).collect();
    }
    let Some(first) = ranked.next() else {
        return Ranked::new();
    };
    let second = ranked.find(|(path, _)| path.source != first.0.source);
    std::iter::once(first).chain(second).collect()
}
