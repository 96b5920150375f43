//! What monitoring stations follow (RFC 7854): Adj-RIBs-In before and after policy, here; Adj-RIB-Out and Loc-RIB as
//! members of update groups, each from a seat of its own.
//!
//! While somebody follows, and only then, a log says which paths changed. It has no messages: a station is a place in
//! it, and is told how the path is now, however often it changed.

use std::collections::VecDeque;

use bgp_core::Prefix;
use bgp_core::family::PerFamily;
use bgp_core::header::{MAX, MAX_EXTENDED};
use bgp_core::update::{EncodeContext, announce, withdraw};
use bytes::{Bytes, BytesMut};

use crate::attribute_store::AttrId;
use crate::dump::DumpCursor;
use crate::export::View;
use crate::packer::{MESSAGE_OVERHEAD, as_station_reads};
use crate::peer::PeerId;
use crate::plane::Plane;
use crate::plane::member::Member;
use crate::rib::{Core, Rib};
use crate::table::Path;

/// Changes of a family that are kept for stations that are behind. Who is further behind has lost some, and must start
/// over.
pub const HEARD_MAX: usize = if cfg!(test) { 16 } else { 1 << 20 };

/// A place in the logs. Give it back with [`Rib::unmonitor`].
#[derive(Debug, Eq, PartialEq)]
pub struct Monitor(usize);

/// Which Adj-RIB-In.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// What the peer told.
    PrePolicy,
    /// What policy and the RFC's checks let pass, as policy left it.
    PostPolicy,
}

/// Which of them are wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stages {
    /// [`Stage::PrePolicy`].
    pub pre: bool,
    /// [`Stage::PostPolicy`].
    pub post: bool,
}

/// What is new of a peer's Adj-RIB-In.
#[derive(Clone, Debug)]
pub struct HeardUpdates {
    /// Whose.
    pub peer: PeerId,
    /// Which.
    pub stage: Stage,
    /// Whole UPDATEs, AS numbers with four octets, Path Identifiers where the peer sends them.
    pub updates: Bytes,
}

/// Which paths of a family changed.
#[derive(Debug)]
pub(crate) struct HeardLog<P> {
    ring: VecDeque<Change<P>>,
    /// Changes before the ring.
    first: u64,
    /// By the station's number, what it hears next.
    readers: Vec<Option<u64>>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Change<P> {
    peer: u32,
    path_id: u32,
    prefix: P,
}

/// How a path is now.
struct Item<P> {
    peer: u32,
    stage: Stage,
    /// [`GONE`], or its attributes.
    attrs: u32,
    path_id: u32,
    prefix: P,
}

/// In place of attributes: there is no such path.
const GONE: u32 = u32::MAX;

impl Rib {
    /// Follows what changes of Adj-RIBs-In from now on; what there is already, [`Rib::monitor_walk`] tells.
    pub fn monitor(&mut self) -> Monitor {
        let ids = (self.ipv4.follow_heard(), self.ipv6.follow_heard());
        // Both have the same numbers, as each is taken and given back with the other.
        Monitor(ids.0.max(ids.1))
    }

    /// Follows no more.
    #[expect(clippy::needless_pass_by_value, reason = "it is gone afterwards")]
    pub fn unmonitor(&mut self, monitor: Monitor) {
        self.ipv4.forget_heard(monitor.0);
        self.ipv6.forget_heard(monitor.0);
    }

    /// Whether [`Rib::monitor_next`] would give anything.
    #[must_use]
    pub fn monitor_has_news(&self, monitor: &Monitor) -> bool {
        self.ipv4.heard_ahead(monitor.0) > 0 || self.ipv6.heard_ahead(monitor.0) > 0
    }

    /// Whether changes were lost, more than [`HEARD_MAX`] behind.
    #[must_use]
    pub fn monitor_has_lost(&self, monitor: &Monitor) -> bool {
        self.ipv4.heard_lost(monitor.0) || self.ipv6.heard_lost(monitor.0)
    }

    /// Tells at most `max` changes of each family. Says whether there is more.
    pub fn monitor_next(
        &mut self,
        monitor: &Monitor,
        max: usize,
        stages: Stages,
        out: &mut Vec<HeardUpdates>,
    ) -> bool {
        let Self { core, ipv4, ipv6 } = self;
        let v4 = ipv4.heard_next(core, monitor.0, max, stages, out);
        ipv6.heard_next(core, monitor.0, max, stages, out) || v4
    }

    /// Tells what there is of the peers that are `wanted`, over at most `max` places of the tables. False: that was
    /// the end.
    pub fn monitor_walk(
        &self,
        cursor: &mut DumpCursor,
        max: u32,
        stages: Stages,
        wanted: impl Fn(PeerId) -> bool,
        out: &mut Vec<HeardUpdates>,
    ) -> bool {
        if !cursor.ipv6 {
            let (v4, core) = (&self.ipv4, &self.core);
            if !v4.heard_walk(core, &mut cursor.net, max, stages, wanted, out) {
                *cursor = DumpCursor { ipv6: true, net: 0 };
            }
            return true;
        }
        let (v6, core) = (&self.ipv6, &self.core);
        v6.heard_walk(core, &mut cursor.net, max, stages, wanted, out)
    }

    /// From `seat`, a number that no peer has, hears what a peer is told: all there is, End-of-RIB, then what changes,
    /// by [`Rib::transmit`], until [`Rib::leave_seat`] or the end of its session.
    pub fn seat_beside(&mut self, seat: PeerId, peer: PeerId) {
        let Self { core, ipv4, ipv6 } = self;
        ipv4.seat_beside(core, seat, peer);
        ipv6.seat_beside(core, seat, peer);
    }

    /// From `seat`, hears the Loc-RIB (RFC 9069).
    pub fn seat_at_loc_rib(&mut self, seat: PeerId) {
        let Self { core, ipv4, ipv6 } = self;
        ipv4.seat_at_loc_rib(core, seat);
        ipv6.seat_at_loc_rib(core, seat);
    }

    /// Hears no more.
    pub fn leave_seat(&mut self, seat: PeerId) {
        let Self { core, ipv4, ipv6 } = self;
        ipv4.leave(core, seat);
        ipv6.leave(core, seat);
    }

    /// How many changes who sits there has yet to hear, of the family of which it is more.
    #[must_use]
    pub fn behind(&self, seat: PeerId) -> u32 {
        self.ipv4.behind(seat).max(self.ipv6.behind(seat))
    }

    /// Whether AS numbers take two octets in what a peer is told.
    #[must_use]
    pub fn tells_two_octet_as(&self, peer: PeerId) -> bool {
        let session = self.core.peers.session(peer);
        session.is_some_and(|session| !session.four_octet_as)
    }

    /// Of which families a peer has told anything.
    #[must_use]
    pub fn has_heard(&self, peer: PeerId) -> PerFamily<bool> {
        let heard = self.core.peers.get(peer).map(|p| p.heard);
        let heard = heard.unwrap_or_default();
        PerFamily {
            ipv4: heard.ipv4.received > 0,
            ipv6: heard.ipv6.received > 0,
        }
    }
}

impl<P: Prefix> Plane<P> {
    /// A path is new, another, or gone.
    #[inline]
    pub(crate) fn log_heard(&mut self, net: u32, path: &Path) {
        if let Some(log) = &mut self.heard
            && let Some(net) = self.table.net(net)
        {
            log.push(Change {
                peer: path.peer().0,
                path_id: path.path_id,
                prefix: net.prefix,
            });
        }
    }

    fn follow_heard(&mut self) -> usize {
        let log = self.heard.get_or_insert_with(|| {
            Box::new(HeardLog {
                ring: VecDeque::new(),
                first: 0,
                readers: Vec::new(),
            })
        });
        let end = Some(log.end());
        if let Some(id) = log.readers.iter().position(Option::is_none) {
            if let Some(slot) = log.readers.get_mut(id) {
                *slot = end;
            }
            return id;
        }
        log.readers.push(end);
        log.readers.len() - 1
    }

    fn forget_heard(&mut self, id: usize) {
        let Some(log) = &mut self.heard else { return };
        if let Some(slot) = log.readers.get_mut(id) {
            *slot = None;
        }
        if log.readers.iter().all(Option::is_none) {
            self.heard = None;
        } else {
            log.trim();
        }
    }

    fn heard_ahead(&self, id: usize) -> u64 {
        let log = self.heard.as_ref();
        let ahead = log.and_then(|log| log.end().checked_sub(log.reader(id)?));
        ahead.unwrap_or_default()
    }

    fn heard_lost(&self, id: usize) -> bool {
        let log = self.heard.as_ref();
        log.is_some_and(|log| log.reader(id).is_some_and(|at| at < log.first))
    }

    fn heard_next(
        &mut self,
        core: &Core,
        id: usize,
        max: usize,
        stages: Stages,
        out: &mut Vec<HeardUpdates>,
    ) -> bool {
        let Some(log) = &mut self.heard else {
            return false;
        };
        let mut changes = log.take(id, max);
        changes.sort_unstable();
        changes.dedup();
        let mut items = Vec::with_capacity(changes.len());
        for change in changes {
            let net = self.table.find(change.prefix);
            let path = net.and_then(|net| {
                let path = self
                    .table
                    .find_path(net, PeerId(change.peer), change.path_id)?;
                self.table.path(path)
            });
            say(path, change, stages, &mut items);
        }
        write_all(core, items, out);
        self.heard_ahead(id) > 0
    }

    fn heard_walk(
        &self,
        core: &Core,
        at: &mut u32,
        max: u32,
        stages: Stages,
        wanted: impl Fn(PeerId) -> bool,
        out: &mut Vec<HeardUpdates>,
    ) -> bool {
        let all = self.table.indices().end;
        let to = all.min(at.saturating_add(max));
        let mut items = Vec::new();
        for index in *at..to {
            let Some(net) = self.table.net(index).filter(|net| net.is_live()) else {
                continue;
            };
            let paths = self.table.paths_of(index);
            for path in paths.filter_map(|path| self.table.path(path)) {
                if wanted(path.peer()) {
                    let change = Change {
                        peer: path.peer().0,
                        path_id: path.path_id,
                        prefix: net.prefix,
                    };
                    say(Some(path), change, stages, &mut items);
                }
            }
        }
        // What is not there was not told either.
        items.retain(|item| item.attrs != GONE);
        write_all(core, items, out);
        *at = to;
        to < all
    }

    /// The seats from which somebody is told what a peer is told, its own first.
    pub(crate) fn seats_of(&self, peer: PeerId) -> Vec<PeerId> {
        let is_of = |member: &Option<Member>| member.as_ref().is_some_and(|m| m.peer == peer);
        let all = (0..).map(PeerId).zip(&self.members);
        let others = all.filter(|(seat, member)| *seat != peer && is_of(member));
        std::iter::once(peer)
            .chain(others.map(|(seat, _)| seat))
            .collect()
    }

    /// What a peer is told, as a member of its group.
    fn view_of(&self, peer: PeerId) -> Option<&View> {
        let member = self.member(peer)?;
        Some(&self.group(member.group)?.view)
    }

    /// How many changes a member has yet to hear.
    fn behind(&self, seat: PeerId) -> u32 {
        let member = self.member(seat);
        member.map_or(0, |m| self.journal.end().saturating_sub(m.hold()))
    }

    fn seat_beside(&mut self, core: &mut Core, seat: PeerId, peer: PeerId) {
        if let Some(view) = self.view_of(peer).cloned() {
            self.join_as(core, seat, peer, view);
        }
    }

    fn seat_at_loc_rib(&mut self, core: &mut Core, seat: PeerId) {
        let view = View::of_loc_rib(P::FAMILY, &core.config);
        self.join_as(core, seat, seat, view);
    }
}

impl<P: Copy> HeardLog<P> {
    fn end(&self) -> u64 {
        self.first + self.ring.len() as u64
    }

    fn reader(&self, id: usize) -> Option<u64> {
        self.readers.get(id).copied().flatten()
    }

    fn push(&mut self, change: Change<P>) {
        if self.ring.len() >= HEARD_MAX {
            self.ring.pop_front();
            self.first += 1;
        }
        self.ring.push_back(change);
    }

    fn take(&mut self, id: usize, max: usize) -> Vec<Change<P>> {
        let Some(at) = self.reader(id) else {
            return Vec::new();
        };
        let skip = usize::try_from(at.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let taken: Vec<_> = self.ring.iter().skip(skip).take(max).copied().collect();
        let next = at.max(self.first) + taken.len() as u64;
        if let Some(slot) = self.readers.get_mut(id) {
            *slot = Some(next);
        }
        self.trim();
        taken
    }

    /// Lets go of what all have heard.
    fn trim(&mut self) {
        let heard = self.readers.iter().flatten().min().copied();
        let heard = heard.unwrap_or_else(|| self.end());
        let gone = usize::try_from(heard.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let gone = gone.min(self.ring.len());
        self.ring.drain(..gone);
        self.first += gone as u64;
        if self.ring.is_empty() {
            self.ring.shrink_to(1024);
        }
    }
}

/// How a path is now, to whoever follows these stages.
fn say<P>(path: Option<&Path>, change: Change<P>, stages: Stages, items: &mut Vec<Item<P>>)
where
    P: Copy,
{
    let Change {
        peer,
        path_id,
        prefix,
    } = change;
    let item = |stage, attrs: Option<AttrId>| Item {
        peer,
        stage,
        attrs: attrs.map_or(GONE, |attrs| attrs.0),
        path_id,
        prefix,
    };
    if stages.pre {
        items.push(item(Stage::PrePolicy, path.map(|path| path.received)));
    }
    if stages.post {
        let passed = path.filter(|path| path.flags().accepted());
        items.push(item(Stage::PostPolicy, passed.map(|path| path.attrs)));
    }
}

/// Packs: prefixes of a peer that share attributes share messages.
fn write_all<P: Prefix>(core: &Core, mut items: Vec<Item<P>>, out: &mut Vec<HeardUpdates>) {
    items.sort_by_key(|item| (item.peer, item.stage, item.attrs != GONE, item.attrs));
    let mut octets = BytesMut::new();
    for of_peer in items.chunk_by(|a, b| (a.peer, a.stage) == (b.peer, b.stage)) {
        let Some(first) = of_peer.first() else {
            continue;
        };
        let (peer, stage) = (PeerId(first.peer), first.stage);
        // Sources of our own have no session, and no Adj-RIB-In.
        let Some(session) = core.peers.session(peer) else {
            continue;
        };
        let add_path = *session.decode.add_path.get(P::FAMILY);
        for shared in of_peer.chunk_by(|a, b| a.attrs == b.attrs) {
            write(core, shared, add_path, &mut octets);
        }
        if !octets.is_empty() {
            let updates = octets.split().freeze();
            out.push(HeardUpdates {
                peer,
                stage,
                updates,
            });
        }
    }
}

fn write<P: Prefix>(core: &Core, shared: &[Item<P>], add_path: bool, out: &mut BytesMut) {
    let mut context = EncodeContext {
        four_octet_as: true,
        add_path,
        max_message: MAX,
    };
    let prefixes = shared.iter().map(|item| (item.path_id, item.prefix));
    let attrs = shared.first().map_or(GONE, |item| item.attrs);
    match core.store.encoded(AttrId(attrs)).filter(|_| attrs != GONE) {
        Some((block, next_hop)) => {
            if block.len() + MESSAGE_OVERHEAD > context.max_message {
                context.max_message = MAX_EXTENDED;
            }
            let next_hop = as_station_reads(next_hop, core.config.identifier);
            // It came in a message, so it fits into one.
            let _ = announce(block, next_hop, prefixes, &context, out);
        }
        None => withdraw(prefixes, &context, out),
    }
}
