//! What the kernel tells of its objects, and what it answers to changes.

use super::{Content, Owner, Presence};
use crate::nexthops::{Members, Nexthops};
use crate::resolve::Resolver;
use crate::retry::Subject;

impl Nexthops {
    /// A dump begins. It tells of all routes that are there, whatever was lost before.
    pub(crate) fn unseen(&mut self) {
        for (_, object) in &mut self.objects {
            object.seen = false;
            object.lost = false;
        }
    }

    /// The dump is over: what it did not tell of is gone.
    pub(crate) fn seen(&mut self) {
        let gone: Vec<u32> = self
            .by_id
            .iter()
            .filter(|(_, i)| self.objects.get(**i).is_some_and(|o| !o.seen))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.gone(id, &Presence::Absent);
        }
    }

    /// The kernel has this, with our protocol number.
    pub(crate) fn told(&mut self, id: u32, content: Content) {
        let index = match self.by_id.get(&id) {
            Some(&index) => index,
            None => self.insert(id),
        };
        if let Some(object) = self.objects.get_mut(index) {
            object.seen = true;
            object.adopted |= object.owner == Owner::Nobody && object.presence == Presence::Absent;
        }
        self.know(index, &Presence::There(content));
        self.touch(index);
    }

    /// The object is gone, and what pointed to it.
    pub(crate) fn gone(&mut self, id: u32, presence: &Presence) {
        let Some(&index) = self.by_id.get(&id) else {
            return;
        };
        self.know(index, presence);
        self.touch(index);
        self.lose(index, presence);
    }

    /// What the kernel has, as it says itself or as follows from it. While a change of ours is under way, nobody can
    /// say which was first, unless both come to the same.
    fn know(&mut self, index: usize, presence: &Presence) {
        let Some(object) = self.objects.get(index) else {
            return;
        };
        let presence = if object.in_flight > 0 && object.presence != *presence {
            &Presence::Doubtful
        } else {
            presence
        };
        self.set_presence(index, presence.clone());
    }

    /// With an object go the routes that point to it, whoever removes it, and groups have a member less. The
    /// kernel says so of neither. A group without members goes too, and is `presence` then.
    pub(super) fn lose(&mut self, index: usize, presence: &Presence) {
        let Some(id) = self.objects.get(index).map(|object| object.id) else {
            return;
        };
        let all: Vec<usize> = self.by_id.values().copied().collect();
        for group in all {
            self.lose_member(group, id, presence);
        }
        if let Some(object) = self.objects.get_mut(index) {
            object.lost |= object.uses > 0;
            self.rows_concerned |= object.lost;
        }
    }

    fn lose_member(&mut self, group: usize, id: u32, presence: &Presence) {
        let Some(object) = self.objects.get(group) else {
            return;
        };
        match without(&object.presence, id) {
            Some(rest) if rest.is_empty() => self.gone(object.id, presence),
            Some(rest) => {
                self.set_presence(group, Presence::There(Content::Group(rest)));
                self.touch(group);
            }
            None => {}
        }
    }

    /// A link went down or away: the kernel drops nexthop objects that use it, and routes, and does not say so.
    pub(crate) fn link_lost(&mut self, interface: u32) {
        let uses_it = |index: &usize| {
            self.path_of(*index)
                .is_some_and(|path| path.interface == interface)
        };
        let ids: Vec<u32> = self
            .by_id
            .iter()
            .filter(|(_, index)| uses_it(index))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.gone(id, &Presence::Doubtful);
        }
        for (_, object) in &mut self.objects {
            if let Presence::There(Content::Inline(paths)) = &object.presence
                && paths.iter().any(|(path, _)| path.interface == interface)
            {
                object.lost = true;
                self.rows_concerned = true;
            }
        }
    }

    /// The kernel refused to make an object, or to `replace` it. Whoever owns it gets another one, later; routes that
    /// point to this one stay until they point to that one. Says who waits.
    pub(crate) fn refused(
        &mut self,
        index: usize,
        replace: bool,
        errno: i32,
        resolver: &Resolver,
    ) -> Option<Subject> {
        let object = self.objects.get(index)?;
        let presence = match errno {
            libc::EEXIST if resolver.has_nexthop(object.id) => Presence::Absent,
            libc::EEXIST => Presence::Doubtful,
            libc::ENOENT => Presence::Absent,
            // What it was before, it may have been no more.
            _ if replace || object.presence == Presence::Doubtful => Presence::Doubtful,
            _ => Presence::Absent,
        };
        self.landed(index);
        self.set_presence(index, presence);
        let owner = self.objects.get(index)?.owner;
        let subject = self.subject(index);
        self.disown(index);
        match owner {
            Owner::Hop(hop, at) => {
                let refused = self.hops.get_mut(hop)?;
                refused.refused = true;
                if let Some(slot) = refused.objects.get_mut(at) {
                    *slot = None;
                }
                self.hop_changed(hop, resolver);
            }
            Owner::Set(set) => {
                let refused = self.sets.get_mut(set)?;
                refused.refused = true;
                refused.group = None;
                self.reconsider(set, resolver);
            }
            Owner::Nobody => {}
        }
        subject
    }

    /// A change of the object succeeded. What came in between is looked at now.
    pub(crate) fn answered(&mut self, index: usize) {
        self.landed(index);
        self.touch(index);
    }

    /// The kernel did not remove the object.
    pub(crate) fn still_there(&mut self, index: usize) {
        self.set_presence(index, Presence::Doubtful);
        self.landed(index);
    }

    fn landed(&mut self, index: usize) {
        if let Some(object) = self.objects.get_mut(index) {
            object.in_flight = object.in_flight.saturating_sub(1);
        }
    }

    /// Its removal is tried again.
    pub(crate) fn retry_object(&mut self, id: u32) {
        if let Some(index) = self.by_id(id) {
            self.touch(index);
        }
    }

    /// Who waits no more, now that the kernel took the object: not a next hop of which it refused another one.
    pub(crate) fn relieved(&self, index: usize) -> Option<Subject> {
        let refused = match self.objects.get(index)?.owner {
            Owner::Hop(hop, _) => self.hops.get(hop)?.refused,
            Owner::Set(_) | Owner::Nobody => false,
        };
        self.subject(index).filter(|_| !refused)
    }

    /// Who would wait if the kernel refused the object.
    pub(crate) fn subject(&self, index: usize) -> Option<Subject> {
        match self.objects.get(index)?.owner {
            Owner::Hop(hop, _) => self.hops.get(hop).map(|hop| Subject::Hop(hop.next_hop)),
            Owner::Set(set) => self
                .sets
                .get(set)
                .map(|set| Subject::Set(set.members.clone())),
            Owner::Nobody => None,
        }
    }
}

/// What is left of a group, if it has this member.
fn without(presence: &Presence, id: u32) -> Option<Members> {
    let Presence::There(Content::Group(members)) = presence else {
        return None;
    };
    if !members.iter().any(|(member, _)| *member == id) {
        return None;
    }
    let rest = members.iter().filter(|(member, _)| *member != id);
    Some(rest.copied().collect())
}
