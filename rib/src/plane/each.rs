//! Groups of a route server's clients (RFC 7947 §2.3): each member is told the best path that may be told to it. For the
//! one who told the best that is the best of the others, as if each had a Loc-RIB of its own.

use std::ops::Range;

use bgp_core::Prefix;

use crate::group::Segment;
use crate::journal::Version;
use crate::packer::Packer;
use crate::peer::PeerId;
use crate::plane::Plane;
use crate::plane::changed::changed;
use crate::plane::known::Known;
use crate::plane::member::{is_member, walks};
use crate::plane::several::{Ranked, catch_up, rank, told};
use crate::rib::Core;
use crate::several::{ToldPath, ToldPaths};

impl<P: Prefix> Plane<P> {
    /// See [`Plane::tell`].
    pub(super) fn tell_each(&mut self, core: &mut Core, id: usize, to: Version) -> Vec<Segment> {
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
            say(packer, &old, &new, net.prefix, is_member);
            let new: ToldPaths = new.iter().map(|(path, _)| *path).collect();
            if old != new {
                group.tell_paths(at, &new, &mut core.store);
            }
        }
        packer.finish(&group.view)
    }

    /// See [`Plane::tell_stretch`].
    pub(super) fn tell_stretch_each(
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
            let mut hears = false;
            let mut best = None;
            for path in &mut paths {
                let Some(route) = path.get() else { continue };
                let block = packer.export(core, &group.view, route, net.prefix);
                match (block, best) {
                    (Some(block), None) => {
                        packer.announce(Some(path.source), block, (0, net.prefix), false);
                        best = Some(path.source);
                        hears |= path.source != peer;
                    }
                    (Some(block), Some(source)) => {
                        packer.tell_only(source, Some(block), (0, net.prefix));
                        hears |= source == peer;
                    }
                    // Its source is gone; the change is on its way.
                    (None, _) => *path = path.unknown(),
                }
            }
            if paths.iter().any(|path| path.get().is_none()) {
                group.tell_paths(at, &paths, &mut core.store);
            }
            if known.of(at) > 0 && !hears {
                packer.withdraw(None, (0, net.prefix));
            }
        }
        packer.finish(&group.view)
    }
}

/// What is to be said where `old` was told and `new` holds. Of each the first is for all but its source, which hears the
/// second, if there is one.
fn say<P: Prefix>(
    packer: &mut Packer<P>,
    old: &[ToldPath],
    new: &Ranked,
    prefix: P,
    is_member: impl Fn(&PeerId) -> bool,
) {
    let heard = |peer: PeerId| for_member(old, peer);
    let in_doubt = old.iter().any(|path| path.of().is_none());
    let Some((best, block)) = new.first() else {
        if let Some(gone) = old.first() {
            let source = gone.of().filter(|of| !in_doubt && heard(*of).is_none());
            packer.withdraw(source.filter(is_member), (0, prefix));
        }
        return;
    };
    let except = Some(best.source).filter(is_member);
    if old.first() != Some(best) {
        packer.announce(except, *block, (0, prefix), false);
    }
    let Some(source) = except else { return };
    match (heard(source), new.get(1)) {
        (before, Some((path, block))) if in_doubt || before != Some(*path) => {
            packer.tell_only(source, Some(*block), (0, prefix));
        }
        (before, None) if in_doubt || before.is_some() => {
            packer.tell_only(source, None, (0, prefix));
        }
        (_, Some(_) | None) => {}
    }
}

/// Which of the paths a member is told.
pub(crate) fn for_member(told: &[ToldPath], member: PeerId) -> Option<ToldPath> {
    let mut others = told.iter().filter(|path| path.source != member);
    others.next().copied()
}
