//! Members that walk over the whole table: those that came, or want all again.

use bgp_core::Prefix;
use bgp_core::refresh::Subtype;

use super::{BATCH, Walk, mark};
use crate::group::{Segment, Told, Wave};
use crate::journal::Version;
use crate::peer::PeerId;
use crate::plane::Plane;
use crate::plane::known::Known;
use crate::rib::Core;
use crate::tally::Speech;

impl<P: Prefix> Plane<P> {
    /// A member walks on: it is told what the group has been told. Members that walk at the same time share what is said,
    /// unless they may know of something that must be withdrawn.
    pub(super) fn walk(&mut self, core: &mut Core, seat: PeerId, out: &mut Speech<'_>) {
        let Some(member) = self.member_mut(seat) else {
            return;
        };
        let (id, next, peer) = (member.group, member.next, member.peer);
        let Some(walk) = &mut member.walk else { return };
        let (at, begin) = (walk.at, std::mem::take(&mut walk.begin));
        let known = std::mem::take(&mut walk.known);
        if begin {
            out.out.push(mark::<P>(Subtype::Begin));
        }
        let wave = self.group(id).and_then(|group| group.wave.as_ref());
        let wave = wave.filter(|wave| known.is_nothing() && wave.start >= next);
        let (to, segments) = wave.and_then(|wave| wave.get(at)).unwrap_or_else(|| {
            let to = self.table.indices().end.min(at.saturating_add(BATCH));
            (to, self.tell_stretch(core, id, at..to, &known, peer))
        });
        if known.is_nothing() {
            self.keep_stretch(id, next, at..to, &segments);
        }
        out.say(segments, peer);
        let (nets, end) = (self.table.indices().end, self.journal.end());
        if let Some(member) = self.member_mut(seat) {
            if to < nets {
                let begin = false;
                member.walk = Some(Walk {
                    at: to,
                    begin,
                    known,
                });
                return;
            }
            member.walk = None;
            member.hold = member.next;
            member.end_at = end;
        }
        let mut members = self.members.iter().flatten();
        if !members.any(|m| m.group == id && m.walk.is_some())
            && let Some(group) = self.groups.get_mut(id).and_then(Option::as_mut)
        {
            group.wave = None;
        }
    }

    /// What the group has been told of a stretch of nets; of nets that it has not looked at yet, what holds now.
    fn tell_stretch(
        &mut self,
        core: &mut Core,
        id: usize,
        stretch: std::ops::Range<u32>,
        known: &Known,
        peer: PeerId,
    ) -> Vec<Segment> {
        if self.tells_several(id) {
            return self.tell_stretch_several(core, id, stretch, known, peer);
        }
        if self.tells_each(id) {
            return self.tell_stretch_each(core, id, stretch, known, peer);
        }
        let Self {
            table,
            groups,
            packer,
            ..
        } = self;
        let Some(group) = groups.get_mut(id).and_then(Option::as_mut) else {
            return Vec::new();
        };
        if group.view.is_silent() && known.is_nothing() {
            return Vec::new();
        }
        for at in stretch {
            let Some(net) = table.net(at).filter(|n| n.is_live()) else {
                continue;
            };
            if group.told(at) == Told::UNSET && net.version < group.head {
                let best = table.best(at).map(|best| (best.attrs, best.peer()));
                let route = best.filter(|best| {
                    packer
                        .export(core, &group.view, *best, net.prefix)
                        .is_some()
                });
                let told = route.map_or(Told::NOTHING, |(a, s)| Told::route(a, s));
                group.tell(at, told, &mut core.store);
            }
            let told = group.told(at).get();
            let block = told.and_then(|t| packer.export(core, &group.view, t, net.prefix));
            if told.is_some() && block.is_none() {
                // Its source is gone; the change is on its way.
                group.tell(at, Told::UNSET, &mut core.store);
            }
            let known = known.of(at) > 0;
            let source = told.map(|(_, source)| source);
            match block {
                Some(block) => {
                    let instead = known && source == Some(peer);
                    packer.announce(source, block, (0, net.prefix), instead);
                }
                None if known => packer.withdraw(None, (0, net.prefix)),
                None => {}
            }
        }
        packer.finish(&group.view)
    }

    /// Keeps what was said in a walk, for others of the group.
    fn keep_stretch(
        &mut self,
        id: usize,
        next: Version,
        stretch: std::ops::Range<u32>,
        segments: &[Segment],
    ) {
        let group = self.groups.get_mut(id).and_then(Option::as_mut);
        let Some(group) = group.filter(|group| group.members > 1) else {
            return;
        };
        if stretch.start == 0 && group.wave.is_none() {
            group.wave = Some(Wave::new(next));
        }
        if let Some(wave) = &mut group.wave {
            wave.keep(stretch.start, stretch.end, segments);
        }
    }
}
