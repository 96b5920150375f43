//! New objects, and those of an earlier life that say the same.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::{Content, FIRST_ID, Owner, Presence};
use crate::nexthops::Nexthops;
use crate::op::Path;
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

    /// A next hop's object: its own, else an equal one of an earlier life, else a new one.
    pub(in crate::nexthops) fn hop_object(
        &mut self,
        hop: usize,
        present: Option<usize>,
        resolver: &Resolver,
    ) -> usize {
        if let Some(object) = self.hops.get(hop).and_then(|hop| hop.object) {
            return object;
        }
        let path = self.hops.get(hop).and_then(|hop| hop.path);
        let fits =
            |index: &usize| path.is_some() && self.path_of(*index) == path && self.is_free(*index);
        let adopted = self.candidates(present).into_iter().find(fits);
        let index = adopted.unwrap_or_else(|| self.create(resolver));
        self.give(index, hop);
        index
    }

    /// A group of an earlier life that says the same; its members become the next hops' objects.
    pub(in crate::nexthops) fn adopt_group(
        &mut self,
        hops: &[(usize, Path, u8)],
        present: Option<usize>,
    ) -> Option<usize> {
        for group in self.candidates(present) {
            if let Some(pairs) = self.match_group(group, hops) {
                for (hop, object) in pairs {
                    self.give(object, hop);
                }
                return Some(group);
            }
        }
        None
    }

    fn match_group(
        &self,
        group: usize,
        hops: &[(usize, Path, u8)],
    ) -> Option<SmallVec<[(usize, usize); 4]>> {
        let Presence::There(Content::Group(members)) = &self.objects.get(group)?.presence else {
            return None;
        };
        if !self.is_free(group) || members.len() != hops.len() {
            return None;
        }
        let mut taken = BTreeSet::new();
        let mut pairs = SmallVec::new();
        for (hop, path, weight) in hops {
            let own = self.hops.get(*hop)?.object;
            let fits = |object: usize| match own {
                Some(own) => own == object,
                None => self.is_free(object) && self.path_of(object) == Some(*path),
            };
            let mut objects = members
                .iter()
                .filter(|(_, w)| w == weight)
                .filter_map(|(id, _)| self.by_id(*id));
            let object = objects.find(|object| !taken.contains(object) && fits(*object))?;
            taken.insert(object);
            pairs.push((*hop, object));
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

    fn give(&mut self, index: usize, hop: usize) {
        self.own(index, Owner::Hop(hop));
        if let Some(hop) = self.hops.get_mut(hop) {
            hop.object = Some(index);
        }
        self.paths.insert(index);
    }
}
