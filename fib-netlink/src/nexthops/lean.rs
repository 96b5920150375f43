//! Routes that point to another object than they are to, and go the same way: they may wait. So what is spare may change
//! for a whole table, or become what is used, while changes that matter go first.

use super::objects::{Content, Presence};
use super::{Members, Nexthops, Usable};

impl Nexthops {
    /// Whether routes that point to `actual` go the same way as if they pointed to `target`: by the same objects of paths,
    /// so that whatever becomes of these is the same to both.
    pub(crate) fn leans(&self, actual: usize, target: usize) -> bool {
        let is = self.objects.get(actual).map(|object| &object.presence);
        let Some(Presence::There(is)) = is else {
            return false;
        };
        let should = self.should_be(target);
        let (is, should) = (
            self.leaves(actual, Some(is)),
            self.leaves(target, should.as_ref()),
        );
        is.is_some() && is == should
    }

    /// A route that wants a set leans on an object.
    pub(crate) fn lean(&mut self, set: usize, object: usize) {
        if let Some(set) = self.sets.get_mut(set) {
            set.leaning = true;
        }
        if let Some(object) = self.objects.get_mut(object) {
            object.leaned_on = true;
        }
    }

    /// No route leans on anything any more.
    pub(crate) fn upright(&mut self) {
        for (_, set) in &mut self.sets {
            set.leaning = false;
        }
        for (_, object) in &mut self.objects {
            object.leaned_on = false;
        }
    }

    /// The group of a set, unless it has to change and others lean on it: those would go the wrong way, so the set gets
    /// another one.
    pub(super) fn keep_upright(
        &mut self,
        set: usize,
        group: Option<usize>,
        usable: &[Usable],
    ) -> Option<usize> {
        let group = group?;
        let object = self.objects.get(group)?;
        let members = match &object.presence {
            Presence::There(Content::Group(members)) if object.leaned_on => members,
            Presence::There(_) | Presence::Absent | Presence::Doubtful => return Some(group),
        };
        let id = |usable: &Usable| {
            let object = self.hops.get(usable.hop)?.objects.get(usable.at).copied()?;
            Some((self.objects.get(object?)?.id(), usable.weight))
        };
        let mut should: Members = usable.iter().filter_map(id).collect();
        should.sort_unstable();
        if should == *members && should.len() == usable.len() {
            return Some(group);
        }
        if let Some(set) = self.sets.get_mut(set) {
            set.group = None;
        }
        self.disown(group);
        None
    }

    fn leaves(&self, index: usize, content: Option<&Content>) -> Option<Members> {
        match content? {
            Content::Path(_) => {
                let id = self.objects.get(index)?.id();
                Some(Members::from_slice(&[(id, 1)]))
            }
            Content::Group(members) => Some(match members.as_slice() {
                [(only, _)] => Members::from_slice(&[(*only, 1)]),
                _ => members.clone(),
            }),
            Content::Inline(_) | Content::Other => None,
        }
    }
}
