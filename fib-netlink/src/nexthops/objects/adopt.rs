//! New objects, and those of an earlier life that say the same.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::{Content, FIRST_ID, Owner, Presence};
use crate::nexthops::{Nexthops, Usable};
use crate::resolve::Resolver;

impl Nexthops {
    /// A new object with an id that nobody has.
    pub(in crate::nexthops) fn create(&mut self, resolver: &Resolver) -> usize {
        let mut id = self.next_id;
        while self.by_id.contains_key(&id) || resolver.has_nexthop(id) {
            id = id.checked_add(1).unwrap_or(FIRST_ID);
        }
        self.next_id = id.checked_add(1).unwrap_or(FIRST_ID);
        self.insert(id)
    }

    /// The object of a next hop's path: its own, else an equal one of an earlier life, else a new one.
    pub(in crate::nexthops) fn path_object(
        &mut self,
        hop: usize,
        at: usize,
        present: Option<usize>,
        resolver: &Resolver,
    ) -> usize {
        if let Some(object) = self.object_of(hop, at) {
            return object;
        }
        let paths = self.hops.get(hop).map(|hop| &hop.paths);
        let path = paths.and_then(|paths| paths.get(at)).map(|(path, _)| *path);
        let fits =
            |index: &usize| path.is_some() && self.path_of(*index) == path && self.is_free(*index);
        let adopted = self.candidates(present).into_iter().find(fits);
        let index = adopted.unwrap_or_else(|| self.create(resolver));
        self.give(index, hop, at);
        index
    }

    fn object_of(&self, hop: usize, at: usize) -> Option<usize> {
        self.hops.get(hop)?.objects.get(at).copied().flatten()
    }

    /// A group of an earlier life that says the same; its members become the next hops' objects.
    pub(in crate::nexthops) fn adopt_group(
        &mut self,
        wanted: &[Usable],
        present: Option<usize>,
    ) -> Option<usize> {
        for group in self.candidates(present) {
            if let Some(pairs) = self.match_group(group, wanted) {
                for (usable, object) in pairs {
                    self.give(object, usable.hop, usable.at);
                }
                return Some(group);
            }
        }
        None
    }

    fn match_group(
        &self,
        group: usize,
        wanted: &[Usable],
    ) -> Option<SmallVec<[(Usable, usize); 4]>> {
        let Presence::There(Content::Group(members)) = &self.objects.get(group)?.presence else {
            return None;
        };
        if !self.is_free(group) || members.len() != wanted.len() {
            return None;
        }
        let mut taken = BTreeSet::new();
        let mut pairs = SmallVec::new();
        for usable in wanted {
            let own = self.object_of(usable.hop, usable.at);
            let fits = |object: usize| match own {
                Some(own) => own == object,
                None => self.is_free(object) && self.path_of(object) == Some(usable.path),
            };
            let mut objects = members
                .iter()
                .filter(|(_, weight)| *weight == usable.weight)
                .filter_map(|(id, _)| self.by_id(*id));
            let object = objects.find(|object| !taken.contains(object) && fits(*object))?;
            taken.insert(object);
            pairs.push((*usable, object));
        }
        Some(pairs)
    }

    /// Which objects may be taken over: after start-up, only the one at hand.
    fn candidates(&self, present: Option<usize>) -> Vec<usize> {
        let others = self.by_id.values().copied().filter(|_| !self.may_remove);
        present.into_iter().chain(others).collect()
    }

    fn is_free(&self, index: usize) -> bool {
        self.objects
            .get(index)
            .is_some_and(|object| object.owner == Owner::Nobody)
    }

    fn give(&mut self, index: usize, hop: usize, at: usize) {
        self.own(index, Owner::Hop(hop, at));
        if let Some(hop) = self.hops.get_mut(hop) {
            if hop.objects.len() <= at {
                hop.objects.resize(at + 1, None);
            }
            if let Some(slot) = hop.objects.get_mut(at) {
                *slot = Some(index);
            }
        }
        self.paths.insert(index);
    }
}
