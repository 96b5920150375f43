//! Members of update groups: a place in the journal each, and what is said from there.

use bgp_core::Prefix;
use bgp_core::capability::Afi;
use bgp_core::refresh::{RouteRefresh, Subtype};
use bgp_core::update::end_of_rib;
use bytes::Bytes;

use crate::export::View;
use crate::group::{Group, Segment, Told};
use crate::journal::Version;
use crate::peer::PeerId;
use crate::plane::Plane;
use crate::plane::changed::{changed, changed_or_stale};
use crate::plane::known::Known;
use crate::rib::Core;
use crate::tally::{ChangeCounts, Speech};

mod walk;

/// Nets or journal entries of one batch. Small in tests, so that members lag.
const BATCH: u32 = if cfg!(test) { 3 } else { 4096 };

/// A peer that is told the routes of a family; or a monitoring station, which is told what a peer is told, from a seat of
/// its own.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) group: usize,
    /// Whose own routes are left out.
    pub(crate) peer: PeerId,
    /// The version it hears next, once it has walked.
    next: Version,
    /// Nets that changed from here on must not be forgotten yet; at most [`Member::next`].
    hold: Version,
    walk: Option<Walk>,
    /// End-of-RIB is due (RFC 4724 §2), as soon as it has heard all before [`Member::end_at`].
    end_of_rib: bool,
    /// Likewise the end of a route refresh (RFC 7313 §4).
    end_of_refresh: bool,
    /// It wants all again after End-of-RIB, between marks or not: no mark goes before that (RFC 7313 §4).
    again: Option<bool>,
    end_at: Version,
    /// What it was told.
    pub(crate) counts: ChangeCounts,
}

/// A walk over the whole table.
#[derive(Debug)]
struct Walk {
    at: u32,
    /// The beginning of a route refresh is to be said first.
    begin: bool,
    known: Known,
}

impl Member {
    pub(crate) fn hold(&self) -> Version {
        self.hold.min(self.next)
    }

    pub(crate) fn places(&mut self) -> [&mut Version; 3] {
        [&mut self.next, &mut self.hold, &mut self.end_at]
    }

    fn has_pending(&self, end: Version) -> bool {
        self.walk.is_some() || self.next < end || self.end_of_rib || self.end_of_refresh
    }
}

impl<P: Prefix> Plane<P> {
    /// A peer's session is up: it is to be told all.
    pub(crate) fn join(&mut self, core: &mut Core, peer: PeerId, view: View) {
        self.join_as(core, peer, peer, view);
    }

    /// The same from `seat`, if that is not the peer's.
    pub(crate) fn join_as(&mut self, core: &mut Core, seat: PeerId, peer: PeerId, view: View) {
        self.leave(core, seat);
        self.enter((seat, peer), view, Known::Nothing, None);
        if let Some(member) = self.member_mut(seat) {
            member.end_of_rib = true;
        }
    }

    /// Its session is down.
    pub(crate) fn leave(&mut self, core: &mut Core, peer: PeerId) {
        let slot = self.members.get_mut(peer.0 as usize);
        if let Some(member) = slot.and_then(Option::take) {
            self.leave_group(core, member.group);
        }
    }

    /// It is to be told by other rules. What it was told by the old ones and not by the new ones is withdrawn.
    pub(crate) fn change_view(&mut self, core: &mut Core, seat: PeerId, view: View) {
        let Some(member) = self.member(seat) else {
            return;
        };
        let peer = member.peer;
        let Some(group) = self.group(member.group) else {
            return;
        };
        if group.view == view {
            return;
        }
        let known = self.known_to(peer, member, group);
        let hold = member.hold();
        let due = (member.end_of_rib, member.end_of_refresh, member.again);
        let counts = member.counts;
        let begins = member.walk.as_ref().is_some_and(|walk| walk.begin);
        let left = member.group;
        if let Some(slot) = self.members.get_mut(seat.0 as usize) {
            *slot = None;
        }
        self.enter((seat, peer), view, known, Some(hold));
        if let Some(member) = self.member_mut(seat) {
            // A refresh that was begun is ended, by what is told now.
            (member.end_of_rib, member.end_of_refresh, member.again) = due;
            member.counts = counts;
            if let Some(walk) = &mut member.walk {
                walk.begin = begins;
            }
        }
        self.leave_group(core, left);
    }

    /// What a member may know of the routes that its group was told, or of what it had been told before.
    fn known_to(&self, peer: PeerId, member: &Member, group: &Group) -> Known {
        let before = |net: u32| member.walk.as_ref().map_or(0, |walk| walk.known.of(net));
        if let Some(several) = &group.several {
            let number = |net| several.highest(net).max(before(net));
            return Known::Paths(self.table.indices().map(number).collect());
        }
        let mut known: Vec<bool> = self.table.indices().map(|net| before(net) > 0).collect();
        let unheard = (member.next..self.journal.end()).filter_map(|v| self.journal.get(v));
        let told = group.nets(|_, source| source != peer);
        for net in told.into_iter().chain(unheard) {
            if let Some(known) = known.get_mut(net as usize) {
                *known = true;
            }
        }
        Known::Nets(known)
    }

    /// It asks to be told all again (RFC 2918 §3), between two marks if `enhanced` (RFC 7313 §4).
    pub(crate) fn refresh(&mut self, peer: PeerId, enhanced: bool) {
        if let Some(member) = self.member_mut(peer) {
            if member.end_of_rib {
                member.again = Some(enhanced);
                return;
            }
            let known = member.walk.take().map(|w| w.known).unwrap_or_default();
            member.walk = Some(Walk {
                at: 0,
                begin: enhanced,
                known,
            });
            // From here on all is told anyway; but what it has not heard of yet may be gone.
            member.hold = member.hold.min(member.next);
            member.end_of_refresh |= enhanced;
        }
    }

    /// Whether there is something to say to a peer.
    pub(crate) fn has_pending(&self, peer: PeerId) -> bool {
        let member = self.member(peer);
        member.is_some_and(|m| m.has_pending(self.journal.end()))
    }

    /// How many routes a peer is told.
    pub(crate) fn advertised_to(&self, peer: PeerId) -> u32 {
        let group = self.member(peer).and_then(|m| self.group(m.group));
        group.map_or(0, |group| group.advertised_to(peer))
    }

    /// How often routes were told to it, and withdrawn.
    pub(crate) fn spoken_to(&self, peer: PeerId) -> ChangeCounts {
        self.member(peer).map(|m| m.counts).unwrap_or_default()
    }

    /// Says what there is to say, until `out` has `max_octets` more than `octets`. Whole messages, and whole batches:
    /// it may be more, by what a batch of [`BATCH`] nets takes.
    pub(crate) fn transmit(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        max_octets: usize,
        octets: &mut usize,
        out: &mut Vec<Bytes>,
    ) {
        while *octets < max_octets && self.has_pending(peer) {
            let said = out.len();
            let mut speech = Speech::to(out);
            self.step(core, peer, &mut speech);
            let counts = speech.counts;
            if let Some(member) = self.member_mut(peer) {
                member.counts.add(&counts);
            }
            let new = out.get(said..).unwrap_or_default();
            *octets += new.iter().map(Bytes::len).sum::<usize>();
        }
        self.trim();
    }

    fn step(&mut self, core: &mut Core, seat: PeerId, out: &mut Speech<'_>) {
        let end = self.journal.end();
        let Some(member) = self.member(seat) else {
            return;
        };
        let (id, next, peer) = (member.group, member.next, member.peer);
        if member.walk.is_some() {
            return self.walk(core, seat, out);
        }
        if next >= member.end_at && (member.end_of_rib || member.end_of_refresh) {
            return self.say_end(seat, out.out);
        }
        let Some(group) = self.groups.get_mut(id).and_then(Option::as_mut) else {
            return;
        };
        let to = if next < group.head {
            if let Some((to, segments)) = group.take(next) {
                out.say(segments, peer);
                to
            } else {
                let to = group.next_kept(next).min(next.saturating_add(BATCH));
                self.tell_late(core, peer, id, next..to, out);
                to
            }
        } else {
            let to = end.min(next.saturating_add(BATCH));
            let segments = self.tell(core, id, to);
            self.keep(id, to, &segments);
            out.say(segments, peer);
            to
        };
        if let Some(member) = self.member_mut(seat) {
            member.next = to;
            member.hold = to;
        }
    }

    /// The group hears the journal from its head up to `to`; returns what is to be said to its members.
    fn tell(&mut self, core: &mut Core, id: usize, to: Version) -> Vec<Segment> {
        if self.tells_several(id) {
            return self.tell_several(core, id, to);
        }
        if self.tells_each(id) {
            return self.tell_each(core, id, to);
        }
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
        if group.view.is_silent() {
            return Vec::new();
        }
        let may_join = walks(members, id);
        let is_member = |peer: &PeerId| may_join || is_member(members, *peer, id);
        for (at, net) in changed(journal, table, group.head..to) {
            let best = table.best(at).map(|best| (best.attrs, best.peer()));
            let old = group.told(at);
            if best.is_some() && old.get() == best || best.is_none() && old == Told::NOTHING {
                continue;
            }
            let route = best.and_then(|best| {
                let block = packer.export(core, &group.view, best, net.prefix)?;
                Some((best, block))
            });
            let old_source = old.get().map(|(_, source)| source);
            let new = match route {
                Some(((attrs, source), block)) => {
                    let instead = old == Told::UNSET || old_source.is_some_and(|s| s != source);
                    let except = Some(source).filter(is_member);
                    packer.announce(except, block, (0, net.prefix), instead);
                    Told::route(attrs, source)
                }
                None => {
                    if old != Told::NOTHING {
                        packer.withdraw(old_source.filter(is_member), (0, net.prefix));
                    }
                    Told::NOTHING
                }
            };
            group.tell(at, new, &mut core.store);
        }
        packer.finish(&group.view)
    }

    fn keep(&mut self, id: usize, to: Version, segments: &[Segment]) {
        if let Some(group) = self.groups.get_mut(id).and_then(Option::as_mut) {
            match group.members.saturating_sub(1) {
                0 => group.head = to,
                others => group.keep(to, segments.to_vec(), others),
            }
        }
    }

    /// A member that is behind hears, for all nets that changed in a stretch of the journal, what the group was told last.
    /// A stale entry counts too, unless its net comes again within the stretch: the group may have nothing new to say
    /// about it later.
    fn tell_late(
        &mut self,
        core: &Core,
        peer: PeerId,
        id: usize,
        stretch: std::ops::Range<Version>,
        out: &mut Speech<'_>,
    ) {
        if self.tells_several(id) {
            let segments = self.tell_late_several(core, peer, id, stretch);
            out.say(segments, peer);
            return;
        }
        let Some(group) = self.groups.get(id).and_then(Option::as_ref) else {
            return;
        };
        // What it knew from before its walk takes back.
        if group.view.is_silent() {
            return;
        }
        for (at, net) in changed_or_stale(&self.journal, &self.table, stretch) {
            let told = group.told_to(at, peer);
            let block = told.and_then(|t| self.packer.export(core, &group.view, t, net.prefix));
            match block {
                Some(block) => self.packer.announce(None, block, (0, net.prefix), false),
                None => self.packer.withdraw(None, (0, net.prefix)),
            }
        }
        out.say(self.packer.finish(&group.view), peer);
    }

    /// The group hears all of the journal, without a word said: its members will be told late.
    pub(crate) fn catch_up(&mut self, core: &mut Core, id: usize) {
        let end = self.journal.end();
        loop {
            let head = self.group(id).map(|group| group.head);
            let Some(head) = head.filter(|head| *head < end) else {
                break;
            };
            let to = end.min(head.saturating_add(BATCH));
            self.tell(core, id, to);
            if let Some(group) = self.groups.get_mut(id).and_then(Option::as_mut) {
                group.head = to;
            }
        }
        if let Some(group) = self.groups.get_mut(id).and_then(Option::as_mut) {
            group.forget_bytes();
        }
    }

    fn say_end(&mut self, peer: PeerId, out: &mut Vec<Bytes>) {
        let Some(member) = self.member_mut(peer) else {
            return;
        };
        if std::mem::take(&mut member.end_of_rib) {
            out.push(end_of_rib(P::FAMILY));
        }
        if std::mem::take(&mut member.end_of_refresh) {
            out.push(mark::<P>(Subtype::End));
        }
        if let Some(enhanced) = member.again.take() {
            self.refresh(peer, enhanced);
        }
    }

    fn enter(
        &mut self,
        (seat, peer): (PeerId, PeerId),
        view: View,
        known: Known,
        hold: Option<Version>,
    ) {
        let id = self.find_or_make_group(view);
        let Some(group) = self.groups.get_mut(id).and_then(Option::as_mut) else {
            return;
        };
        group.members += 1;
        // Who joins others that walk already is told what they were told; so it hears the journal from where they do.
        let wave = group.wave.as_ref().filter(|_| known.is_nothing());
        let next = wave.map_or(group.head, |wave| wave.start);
        let member = Member {
            group: id,
            peer,
            next,
            hold: hold.unwrap_or(next).min(next),
            walk: Some(Walk {
                at: 0,
                begin: false,
                known,
            }),
            end_of_rib: false,
            end_of_refresh: false,
            again: None,
            end_at: next,
            counts: ChangeCounts::default(),
        };
        let at = seat.0 as usize;
        if self.members.len() <= at {
            self.members.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.members.get_mut(at) {
            *slot = Some(member);
        }
    }

    fn find_or_make_group(&mut self, view: View) -> usize {
        let same = |group: &Option<Group>| group.as_ref().is_some_and(|g| g.view == view);
        if let Some(id) = self.groups.iter().position(same) {
            return id;
        }
        if view.paths.is_some() {
            self.table.number_all();
        }
        let group = Group::new(view, self.journal.end(), self.table.indices().end);
        match self.groups.iter().position(Option::is_none) {
            Some(id) => {
                if let Some(slot) = self.groups.get_mut(id) {
                    *slot = Some(group);
                }
                id
            }
            None => {
                self.groups.push(Some(group));
                self.groups.len() - 1
            }
        }
    }

    fn leave_group(&mut self, core: &mut Core, id: usize) {
        let Some(slot) = self.groups.get_mut(id) else {
            return;
        };
        if let Some(group) = slot {
            group.members -= 1;
            if group.members == 0
                && let Some(group) = slot.take()
            {
                group.release(&mut core.store);
            }
        }
        let mut groups = self.groups.iter().flatten();
        if self.table.is_numbered() && groups.all(|group| group.several.is_none()) {
            self.table.forget_numbers();
        }
        self.trim();
    }

    pub(crate) fn member(&self, peer: PeerId) -> Option<&Member> {
        self.members.get(peer.0 as usize)?.as_ref()
    }

    pub(crate) fn group(&self, id: usize) -> Option<&Group> {
        self.groups.get(id)?.as_ref()
    }

    fn member_mut(&mut self, peer: PeerId) -> Option<&mut Member> {
        self.members.get_mut(peer.0 as usize)?.as_mut()
    }
}

/// Whether a peer is told what the group is told.
pub(super) fn is_member(members: &[Option<Member>], peer: PeerId, group: usize) -> bool {
    let member = members.get(peer.0 as usize).and_then(Option::as_ref);
    member.is_some_and(|m| m.group == group)
}

/// Whether somebody of a group walks. Then others may join it, and be told what was said before they came: of their own
/// routes, too.
pub(super) fn walks(members: &[Option<Member>], group: usize) -> bool {
    let mut members = members.iter().flatten();
    members.any(|m| m.group == group && m.walk.is_some())
}

fn mark<P: Prefix>(subtype: Subtype) -> Bytes {
    let family = Afi::from(P::FAMILY);
    RouteRefresh { family, subtype }.encode()
}
