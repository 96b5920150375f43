//! Nexthop objects: what each is in the kernel, what it should be, and the changes between.

mod adopt;
mod hear;

use smallvec::SmallVec;

use super::{Members, Nexthops, Paths};
use crate::op::{Op, Path, Target};

/// Our objects' ids begin here, so that they are easily told from those of others.
pub(super) const FIRST_ID: u32 = 0x5744_0000;

/// What an object is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    Path(Path),
    Group(Members),
    /// No object of the kernel: what a route carries.
    Inline(Paths),
    /// Something that is never wanted.
    Other,
}

/// What the kernel has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Presence {
    Absent,
    /// Perhaps there, perhaps not.
    Doubtful,
    There(Content),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owner {
    /// A next hop, and which of its paths.
    Hop(usize, usize),
    Set(usize),
    Nobody,
}

#[derive(Debug)]
pub(super) struct Object {
    id: u32,
    owner: Owner,
    pub(super) presence: Presence,
    /// Rows whose actual is this object, groups in the kernel that contain it, and sets that aim at a list of paths.
    uses: u32,
    /// The dump that is under way told of it.
    seen: bool,
    /// Changes of it that are with the kernel. Until they are answered, nothing more is sent, except that
    /// what is being removed may be made again: the kernel takes changes in their order.
    in_flight: u32,
    /// It is of an earlier life, and nobody owned it so far.
    adopted: bool,
    /// It went, and with it the routes that pointed to it.
    pub(super) lost: bool,
    /// Routes point to it that are to point elsewhere, and wait.
    pub(super) leaned_on: bool,
}

impl Object {
    pub(super) const fn id(&self) -> u32 {
        self.id
    }
}

/// One change to an object.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) object: usize,
    pub(crate) op: Op,
}

impl Nexthops {
    /// One more row's actual is this object.
    pub(crate) fn hold(&mut self, index: usize) {
        if let Some(object) = self.objects.get_mut(index) {
            object.uses += 1;
        }
    }

    /// One less.
    pub(crate) fn release(&mut self, index: usize) {
        let Some(object) = self.objects.get_mut(index) else {
            return;
        };
        object.uses = object.uses.saturating_sub(1);
        if object.uses > 0 {
            return;
        }
        if let Presence::There(Content::Inline(paths)) = &object.presence {
            self.by_paths.remove(paths);
            self.objects.remove(index);
        } else {
            self.touch(index);
        }
    }

    /// What a route that points to the object says.
    pub(crate) fn route_target(&self, index: usize) -> Option<Target> {
        let object = self.objects.get(index)?;
        Some(match &object.presence {
            Presence::There(Content::Inline(paths)) => Target::Paths(paths.clone()),
            Presence::There(_) | Presence::Absent | Presence::Doubtful => {
                Target::Nexthop(object.id)
            }
        })
    }

    pub(crate) fn by_id(&self, id: u32) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// The object for paths that a route carries itself.
    pub(crate) fn inline(&mut self, paths: Paths) -> usize {
        let paths = canonical(paths);
        if let Some(&index) = self.by_paths.get(&paths) {
            return index;
        }
        let presence = Presence::There(Content::Inline(paths.clone()));
        let index = self.objects.insert(Object {
            id: 0,
            owner: Owner::Nobody,
            presence,
            uses: 0,
            seen: true,
            in_flight: 0,
            adopted: false,
            lost: false,
            leaned_on: false,
        });
        self.by_paths.insert(paths, index);
        index
    }

    pub(crate) fn is_inline(&self, index: usize) -> bool {
        self.objects
            .get(index)
            .is_some_and(|o| matches!(o.presence, Presence::There(Content::Inline(_))))
    }

    pub(crate) fn is_lost(&self, index: usize) -> bool {
        self.objects.get(index).is_some_and(|object| object.lost)
    }

    /// The kernel's objects of ours.
    pub(crate) fn count(&self) -> usize {
        self.by_id
            .values()
            .filter(|i| {
                self.objects
                    .get(**i)
                    .is_some_and(|o| o.presence != Presence::Absent)
            })
            .count()
    }

    /// The paths of an object with their weights, for those who read.
    pub(crate) fn describe(&self, index: usize) -> Paths {
        match self.objects.get(index).map(|object| &object.presence) {
            Some(Presence::There(Content::Path(path))) => SmallVec::from_elem((*path, 1), 1),
            Some(Presence::There(Content::Inline(paths))) => paths.clone(),
            Some(Presence::There(Content::Group(members))) => members
                .iter()
                .filter_map(|(id, weight)| Some((self.path_of(self.by_id(*id)?)?, *weight)))
                .collect(),
            Some(Presence::There(Content::Other) | Presence::Absent | Presence::Doubtful)
            | None => Paths::new(),
        }
    }

    /// The next change that makes or changes an object.
    pub(crate) fn next_put(&mut self) -> Option<Step> {
        while let Some(index) = self.paths.pop_first().or_else(|| self.groups.pop_first()) {
            let Some(object) = self.objects.get(index) else {
                continue;
            };
            if object.in_flight > 0 && object.presence != Presence::Absent {
                continue;
            }
            let (id, before) = (object.id, object.presence.clone());
            let Some(content) = self.should_be(index) else {
                self.consider_leaving(index);
                continue;
            };
            let op = match (&before, &content) {
                (Presence::There(is), should) if is == should => continue,
                (Presence::Doubtful, _) => {
                    // Routes and groups may point to it by now. It is made anew right after.
                    self.lose(index, &Presence::Absent);
                    self.send(index, Presence::Absent);
                    self.touch(index);
                    return Some(Step {
                        object: index,
                        op: Op::RemoveNexthop { id },
                    });
                }
                (Presence::There(Content::Path(_)) | Presence::Absent, Content::Path(path)) => {
                    Op::PutPath {
                        id,
                        path: *path,
                        replace: before != Presence::Absent,
                    }
                }
                (
                    Presence::There(Content::Group(_)) | Presence::Absent,
                    Content::Group(members),
                ) => Op::PutGroup {
                    id,
                    members: members.clone(),
                    replace: before != Presence::Absent,
                },
                (Presence::There(_) | Presence::Absent, _) => {
                    // Somebody made something else of it; whatever points to it comes anew.
                    self.gone(id, &Presence::Doubtful);
                    continue;
                }
            };
            self.send(index, Presence::There(content));
            return Some(Step { object: index, op });
        }
        None
    }

    /// The next object that goes, when nothing points to it any more.
    pub(crate) fn next_removal(&mut self) -> Option<Step> {
        while let Some(index) = self
            .leaving_groups
            .pop_first()
            .or_else(|| self.leaving_paths.pop_first())
        {
            if !self.may_go(index) {
                continue;
            }
            let Some(object) = self.objects.get(index) else {
                continue;
            };
            let id = object.id;
            if object.presence == Presence::Absent {
                self.drop_if_idle(index);
                continue;
            }
            self.send(index, Presence::Absent);
            return Some(Step {
                object: index,
                op: Op::RemoveNexthop { id },
            });
        }
        None
    }

    /// Objects of an earlier life that nobody wants may go now.
    pub(crate) fn started(&mut self) {
        self.may_remove = true;
        let all: Vec<usize> = self.by_id.values().copied().collect();
        for index in all {
            self.touch(index);
        }
    }

    pub(super) fn touch(&mut self, index: usize) {
        let Some(object) = self.objects.get(index) else {
            return;
        };
        let queue = if is_group(object) {
            &mut self.groups
        } else {
            &mut self.paths
        };
        if object.id != 0 {
            queue.insert(index);
        }
    }

    pub(super) fn own(&mut self, index: usize, owner: Owner) {
        if let Some(object) = self.objects.get_mut(index) {
            object.owner = owner;
            object.adopted &= owner == Owner::Nobody;
        }
    }

    pub(super) fn disown(&mut self, index: usize) {
        self.own(index, Owner::Nobody);
        self.touch(index);
    }

    fn insert(&mut self, id: u32) -> usize {
        let object = Object {
            id,
            owner: Owner::Nobody,
            presence: Presence::Absent,
            uses: 0,
            seen: true,
            in_flight: 0,
            adopted: false,
            lost: false,
            leaned_on: false,
        };
        let index = self.objects.insert(object);
        self.by_id.insert(id, index);
        index
    }

    fn path_of(&self, index: usize) -> Option<Path> {
        match &self.objects.get(index)?.presence {
            Presence::There(Content::Path(path)) => Some(*path),
            Presence::There(Content::Group(_) | Content::Inline(_) | Content::Other)
            | Presence::Absent
            | Presence::Doubtful => None,
        }
    }

    pub(super) fn should_be(&self, index: usize) -> Option<Content> {
        match self.objects.get(index)?.owner {
            Owner::Hop(hop, at) => {
                let (path, _) = self.hops.get(hop)?.usable().get(at)?;
                Some(Content::Path(*path))
            }
            Owner::Set(set) => {
                let set = self.sets.get(set)?;
                let object = |hop: usize, at: usize| *self.hops.get(hop)?.objects.get(at)?;
                let usable = self.usable(&set.hops);
                let mut members: Members = usable
                    .iter()
                    .filter_map(|usable| {
                        let object = object(usable.hop, usable.at)?;
                        Some((self.objects.get(object)?.id, usable.weight))
                    })
                    .collect();
                members.sort_unstable();
                (!members.is_empty() && !set.refused).then_some(Content::Group(members))
            }
            Owner::Nobody => None,
        }
    }

    fn consider_leaving(&mut self, index: usize) {
        let Some(object) = self.objects.get(index) else {
            return;
        };
        let queue = if is_group(object) {
            &mut self.leaving_groups
        } else {
            &mut self.leaving_paths
        };
        queue.insert(index);
    }

    fn may_go(&self, index: usize) -> bool {
        let Some(object) = self.objects.get(index) else {
            return false;
        };
        let adopted = object.adopted && !self.may_remove;
        object.uses == 0
            && object.in_flight == 0
            && self.should_be(index).is_none()
            && (!adopted || object.presence == Presence::Absent)
    }

    /// A change is on its way to the kernel.
    fn send(&mut self, index: usize, presence: Presence) {
        self.set_presence(index, presence);
        if let Some(object) = self.objects.get_mut(index) {
            object.in_flight += 1;
        }
    }

    fn drop_if_idle(&mut self, index: usize) {
        let Some(object) = self.objects.get(index) else {
            return;
        };
        if object.owner == Owner::Nobody && object.uses == 0 && object.presence == Presence::Absent
        {
            self.by_id.remove(&object.id);
            self.objects.remove(index);
        }
    }

    /// Groups in the kernel keep their members alive.
    fn set_presence(&mut self, index: usize, presence: Presence) {
        for id in group_members(&presence) {
            let member = match self.by_id.get(&id) {
                Some(&member) => member,
                None => self.insert(id),
            };
            self.hold(member);
        }
        let Some(object) = self.objects.get_mut(index) else {
            return;
        };
        let before = std::mem::replace(&mut object.presence, presence);
        for id in group_members(&before) {
            if let Some(member) = self.by_id(id) {
                self.release(member);
            }
        }
    }
}

fn group_members(presence: &Presence) -> SmallVec<[u32; 4]> {
    match presence {
        Presence::There(Content::Group(members)) => members.iter().map(|(id, _)| *id).collect(),
        Presence::There(Content::Path(_) | Content::Inline(_) | Content::Other)
        | Presence::Absent
        | Presence::Doubtful => SmallVec::new(),
    }
}

/// An object is one of the two from its beginning to its end.
fn is_group(object: &Object) -> bool {
    matches!(object.owner, Owner::Set(_))
        || matches!(object.presence, Presence::There(Content::Group(_)))
}

/// Sorted, each path once, weights added up.
fn canonical(mut paths: Paths) -> Paths {
    paths.sort_unstable();
    paths.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    paths
}
