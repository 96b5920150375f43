//! One family: its table, its journal, and all who read it. Every change of a path ends in [`Plane::decide`],
//! every change of a decision in the journal.

use bgp_core::Prefix;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::aggregate::Aggregates;
use crate::attribute_store::{AttrId, Has};
use crate::decision::{self, Candidate, stays_best, stays_best_without};
use crate::group::Group;
use crate::journal::{Journal, Version};
use crate::monitor::HeardLog;
use crate::packer::Packer;
use crate::peer::{PeerId, heard};
use crate::query::Ahead;
use crate::rib::Core;
use crate::table::{Flags, NONE, Path, Table};

mod changed;
pub(crate) mod each;
pub(crate) mod hops;
mod known;
pub(crate) mod member;
mod reader;
mod several;
mod spare;

use member::Member;
pub(crate) use reader::Reader;
pub(crate) use spare::Spares;

/// Entries that all have heard may stay in the journal until there are so many more.
const TRIM_STEP: usize = if cfg!(test) { 4 } else { 64 };

/// A family.
#[derive(Debug)]
pub(crate) struct Plane<P> {
    pub(crate) table: Table<P>,
    pub(crate) journal: Journal,
    pub(crate) groups: Vec<Option<Group>>,
    /// By the peer's number.
    pub(crate) members: Vec<Option<Member>>,
    pub(crate) fib: Option<Reader>,
    pub(crate) spares: Spares,
    pub(crate) watchers: Vec<Option<Reader>>,
    pub(crate) aggregates: Option<Box<Aggregates<P>>>,
    pub(crate) packer: Packer<P>,
    trim_at: usize,
    pub(crate) ahead: Option<Ahead<P>>,
    /// Which paths changed; only while a monitoring station follows.
    pub(crate) heard: Option<Box<HeardLog<P>>>,
    /// Prefixes that have a best path.
    pub(crate) routes: usize,
    /// Of them, those that each peer told, by its number.
    pub(crate) preferred: Vec<u32>,
    /// Changes so far.
    pub(crate) changes: u64,
}

/// A route as it came in. Whoever made it holds references to the attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) attrs: AttrId,
    pub(crate) received: AttrId,
    pub(crate) flags: Flags,
}

impl<P: Prefix> Plane<P> {
    pub(crate) fn new(seed: u64, fib: bool) -> Self {
        Self {
            table: Table::new(seed),
            journal: Journal::default(),
            groups: Vec::new(),
            members: Vec::new(),
            fib: fib.then_some(Reader {
                next: 1,
                walk: None,
            }),
            spares: Spares::default(),
            watchers: Vec::new(),
            aggregates: None,
            packer: Packer::new(seed),
            trim_at: TRIM_STEP,
            ahead: None,
            heard: None,
            routes: 0,
            preferred: Vec::new(),
            changes: 0,
        }
    }

    /// A peer told a route. False: it is as it was.
    pub(crate) fn announce(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        path_id: u32,
        prefix: P,
        arrival: Arrival,
    ) -> bool {
        let net = self.table.find_or_insert(prefix);
        let known = self.table.find_path(net, peer, path_id);
        if let Some(path) = known {
            return self.replace(core, net, path, arrival);
        }
        self.add(core, net, peer, path_id, arrival);
        true
    }

    /// A peer withdrew a route. False: it had told none.
    pub(crate) fn withdraw(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        path_id: u32,
        prefix: P,
    ) -> bool {
        let Some(net) = self.table.find(prefix) else {
            return false;
        };
        match self.table.find_path(net, peer, path_id) {
            Some(path) => {
                self.remove(core, net, path);
                true
            }
            None => false,
        }
    }

    /// All routes of a peer go.
    pub(crate) fn withdraw_all(&mut self, core: &mut Core, peer: PeerId) {
        let told = core
            .peers
            .get(peer)
            .map(|p| p.heard.get(P::FAMILY).received);
        let mut left = told.unwrap_or_default();
        // Stations hear that the peer is gone, and need not hear it of each route.
        let heard = self.heard.take();
        for net in self.table.indices() {
            if left == 0 {
                break;
            }
            while let Some(path) = self.table.path_of(net, peer) {
                self.remove(core, net, path);
                left = left.saturating_sub(1);
            }
        }
        self.heard = heard;
    }

    /// Judges all routes of a peer again: `judge` takes what was received and says what becomes of it.
    pub(crate) fn judge_again(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        mut judge: impl FnMut(&mut Core, P, AttrId) -> Arrival,
    ) {
        for net in self.table.indices() {
            let of_peer = |path: &u32| {
                let path = self.table.path(*path);
                path.is_some_and(|p| p.peer() == peer)
            };
            let paths: SmallVec<[u32; 4]> = self.table.paths_of(net).filter(of_peer).collect();
            for path in paths {
                let prefix = self.table.net(net).map(|n| n.prefix);
                let before = self.table.path(path).map(|p| (p.received, p.flags()));
                let (Some(prefix), Some((received, flags))) = (prefix, before) else {
                    continue;
                };
                let arrival = judge(core, prefix, received);
                let long = flags.has(Flags::LONG_LIVED);
                let marked = long.then(|| core.mark_long_lived(arrival));
                self.replace(core, net, path, marked.unwrap_or(arrival));
                if let Some(marked) = marked {
                    core.done(marked);
                }
                // To judge is not to hear.
                if let Some(path) = self
                    .table
                    .path_mut(path)
                    .filter(|_| flags.has(Flags::STALE))
                {
                    let flags = path.flags().with(Flags::STALE, true);
                    path.set_flags(flags.with(Flags::LONG_LIVED, long));
                }
            }
        }
    }

    /// Decides again on one prefix: its paths cost something else, and no others do.
    pub(crate) fn decide_prefix(&mut self, core: &mut Core, prefix: P) {
        let Some(net) = self.table.find(prefix) else {
            return;
        };
        self.decide(core, net, false);
        let paths = self.table.paths_of(net);
        let mut attrs = paths.filter_map(|path| Some(self.table.path(path)?.attrs));
        let has_aigp = attrs.any(|attrs| core.store.facts(attrs).is_some_and(|f| f.has(Has::Aigp)));
        drop(attrs);
        if has_aigp {
            self.say_again(core, net);
        }
    }

    /// The routes of a source are told again to all, though their attributes are the same: the source is another.
    pub(crate) fn source_changed(&mut self, core: &mut Core, source: PeerId) {
        let mut groups = self.groups.iter().flatten();
        let told = if groups.any(|group| group.by_source(source) > 0) {
            self.nets_told(|_, teller| teller == source)
        } else {
            Vec::new()
        };
        let heard = core
            .peers
            .get(source)
            .map(|p| p.heard.get(P::FAMILY).received);
        let all = self
            .table
            .indices()
            .take_while(|_| heard.is_some_and(|heard| heard > 0));
        let is_best = |net: &u32| self.table.best(*net).is_some_and(|p| p.peer() == source);
        let several = self.table.is_numbered();
        let counts =
            |net: &u32| is_best(net) || several && self.table.path_of(*net, source).is_some();
        let mut nets: Vec<u32> = told.into_iter().chain(all.filter(counts)).collect();
        nets.sort_unstable();
        nets.dedup();
        for net in nets {
            self.say_again(core, net);
        }
    }

    /// Chooses again everywhere: the rules changed.
    pub(crate) fn decide_all(&mut self, core: &mut Core) {
        for net in self.table.indices() {
            if self.table.net(net).is_some_and(|n| n.first != NONE) {
                self.decide(core, net, false);
            }
        }
    }

    /// Something about a route changed that its attributes do not show.
    pub(crate) fn touch(&mut self, core: &mut Core, prefix: P) {
        if let Some(net) = self.table.find(prefix) {
            self.note(core, net);
        }
    }

    /// What the decision reads of a path; `None`: it is not eligible.
    pub(crate) fn candidate(core: &Core, prefix: P, path: &Path) -> Option<Candidate> {
        if !path.flags().accepted() {
            return None;
        }
        core.candidate(prefix, path)
    }

    fn add(&mut self, core: &mut Core, net: u32, peer: PeerId, path_id: u32, arrival: Arrival) {
        let Arrival {
            attrs,
            received,
            flags,
        } = arrival;
        core.store.acquire(attrs);
        if received != attrs {
            core.store.acquire(received);
        }
        if let Some(heard) = heard(&mut core.peers, peer, P::FAMILY) {
            heard.count(flags.accepted(), 1);
        }
        let new = Path::new(peer, path_id, attrs, received, flags);
        self.log_heard(net, &new);
        let path = self.table.add_path(net, new);
        let is_only = self.table.path(path).is_some_and(|p| p.next == NONE);
        if is_only {
            let cost = |core: &Core| core.store.cost_of(attrs, || self.prefix_of(net));
            if flags.accepted() && cost(core).is_some() {
                self.set_best(net, (NONE, None), path);
                self.note(core, net);
            }
            return;
        }
        let Some(prefix) = self.table.net(net).map(|n| n.prefix) else {
            return;
        };
        let Some(candidate) = Self::candidate(core, prefix, &new) else {
            return;
        };
        let best = self.table.best(net);
        let best = best.and_then(|best| Self::candidate(core, prefix, best));
        let multipath = core.config.multipath;
        if !best.is_some_and(|best| stays_best(&best, &candidate, multipath)) {
            self.decide(core, net, false);
            return;
        }
        if self.table.is_numbered() {
            self.note_others(core, net);
        }
        self.note_spare(net);
    }

    /// A path is another one from now on. False: it is as it was.
    pub(crate) fn replace(
        &mut self,
        core: &mut Core,
        net: u32,
        path: u32,
        arrival: Arrival,
    ) -> bool {
        let best = self.table.net(net).map(|n| n.best);
        let Some(old) = self.table.path_mut(path) else {
            return false;
        };
        let is_shared = old.flags().has(Flags::MULTIPATH);
        let flags = arrival.flags.with(Flags::MULTIPATH, is_shared);
        let before = *old;
        let fresh = before.flags().with(Flags::STALE, false);
        if (before.attrs, before.received, fresh) == (arrival.attrs, arrival.received, flags) {
            old.set_flags(fresh);
            return false;
        }
        old.attrs = arrival.attrs;
        old.received = arrival.received;
        old.set_flags(flags);
        core.store.acquire(arrival.attrs);
        if arrival.received != arrival.attrs {
            core.store.acquire(arrival.received);
        }
        self.log_heard(net, &before);
        Self::release(core, &before);
        if let Some(heard) = heard(&mut core.peers, before.peer(), P::FAMILY) {
            heard.count(before.flags().accepted(), -1);
            heard.count(flags.accepted(), 1);
        }
        self.decide(core, net, is_shared || best == Some(path));
        true
    }

    pub(crate) fn remove(&mut self, core: &mut Core, net: u32, path: u32) {
        let best = self.table.net(net).map(|n| n.best);
        let Some(removed) = self.table.remove_path(net, path) else {
            return;
        };
        self.log_heard(net, &removed);
        let was_best = best == Some(path);
        let matters = was_best || removed.flags().has(Flags::MULTIPATH);
        let several = self.table.is_numbered();
        let harmless = !matters && !several && self.never_mattered(core, net, &removed);
        Self::release(core, &removed);
        if let Some(heard) = heard(&mut core.peers, removed.peer(), P::FAMILY) {
            heard.count(removed.flags().accepted(), -1);
        }
        if was_best {
            self.set_best(net, (path, Some(removed.peer())), NONE);
        }
        if !harmless {
            self.decide(core, net, matters);
        }
        if !matters {
            self.note_spare(net);
        }
        self.free_if_forgotten(net);
    }

    /// Whether the choice is the same without a path that is gone, and was not chosen.
    fn never_mattered(&self, core: &Core, net: u32, gone: &Path) -> bool {
        let Some(prefix) = self.table.net(net).map(|n| n.prefix) else {
            return false;
        };
        let Some(gone) = Self::candidate(core, prefix, gone) else {
            return true;
        };
        let best = self.table.best(net);
        let best = best.and_then(|best| Self::candidate(core, prefix, best));
        let multipath = core.config.multipath;
        best.is_some_and(|best| stays_best_without(&best, &gone, multipath))
    }

    /// Chooses among the paths of a net, and notes it if the choice is another, or if `changed` says so.
    fn decide(&mut self, core: &mut Core, net: u32, mut changed: bool) {
        let Some((old, first)) = self.table.net(net).map(|n| (n.best, n.first)) else {
            return;
        };
        let only = self.table.path(first).copied().filter(|p| p.next == NONE);
        let new = if first == NONE {
            NONE
        } else if let Some(only) = only.filter(|p| !p.flags().has(Flags::MULTIPATH)) {
            let cost = || core.store.cost_of(only.attrs, || self.prefix_of(net));
            let eligible = only.flags().accepted() && cost().is_some();
            if eligible { first } else { NONE }
        } else {
            let (best, shared_changed) = self.eliminate(core, net);
            changed |= shared_changed;
            best
        };
        if new != old {
            let teller = self.table.path(old).map(Path::peer);
            self.set_best(net, (old, teller), new);
            changed = true;
        }
        if changed {
            self.note(core, net);
            return;
        }
        if self.table.is_numbered() {
            self.note_others(core, net);
        }
        if only.is_none() {
            self.note_spare(net);
        }
    }

    /// The best path, and whether those that share the traffic are others than before.
    fn eliminate(&mut self, core: &Core, net: u32) -> (u32, bool) {
        let Some(prefix) = self.table.net(net).map(|n| n.prefix) else {
            return (NONE, false);
        };
        let mut paths: SmallVec<[u32; 16]> = SmallVec::new();
        let mut candidates: SmallVec<[Candidate; 16]> = SmallVec::new();
        let mut any_shared = false;
        for index in self.table.paths_of(net) {
            let Some(path) = self.table.path(index) else {
                continue;
            };
            any_shared |= path.flags().has(Flags::MULTIPATH);
            if let Some(candidate) = Self::candidate(core, prefix, path) {
                paths.push(index);
                candidates.push(candidate);
            }
        }
        let Some(decision) = decision::decide(&candidates, core.config.multipath) else {
            return (NONE, any_shared && self.share(net, &[]));
        };
        let best = paths.get(decision.best).copied().unwrap_or(NONE);
        if decision.multipath.len() < 2 {
            return (best, any_shared && self.share(net, &[]));
        }
        let shared = decision.multipath.iter().filter_map(|at| paths.get(*at));
        let shared: SmallVec<[u32; 16]> = shared.copied().collect();
        (best, self.share(net, &shared))
    }

    /// Marks the paths that share the traffic. Says whether they are others than before.
    fn share(&mut self, net: u32, shared: &[u32]) -> bool {
        let mut changed = false;
        let paths: SmallVec<[u32; 16]> = self.table.paths_of(net).collect();
        for index in paths {
            if let Some(path) = self.table.path_mut(index) {
                let flags = path.flags();
                path.set_flags(flags.with(Flags::MULTIPATH, shared.contains(&index)));
                changed |= path.flags() != flags;
            }
        }
        changed
    }

    /// Something is to be said about a net.
    fn note(&mut self, core: &mut Core, net: u32) {
        let version = self.journal.push(net);
        self.noted(core, net, version);
    }

    /// The same, of paths that are not chosen. Whoever follows the choice need not hear it, unless it takes the place of an
    /// entry that such a one has yet to hear.
    fn note_others(&mut self, core: &mut Core, net: u32) {
        let before = self.table.net(net).map_or(0, |n| n.version);
        let readers = self.watchers.iter().flatten().chain(&self.fib);
        let heard = readers.map(|reader| reader.next).min();
        let is_heard = before == 0
            || self.journal.is_of_others(before)
            || heard.is_none_or(|heard| before < heard);
        let version = if is_heard {
            self.journal.push_others(net)
        } else {
            self.journal.push(net)
        };
        self.noted(core, net, version);
    }

    fn noted(&mut self, core: &mut Core, net: u32, version: Version) {
        self.changes += 1;
        if let Some(slot) = self.table.net_mut(net) {
            slot.version = version;
        }
        if self.journal.is_due(self.table.nets_used()) {
            self.compact(core);
        }
    }

    /// Everybody is told a net again, whatever they know.
    pub(crate) fn say_again(&mut self, core: &mut Core, net: u32) {
        for group in self.groups.iter_mut().flatten() {
            group.say_again(net, &mut core.store);
        }
        self.note(core, net);
    }

    /// Nets of which any group was told something that `wanted` holds of, each once.
    fn nets_told(&self, wanted: impl Fn(AttrId, PeerId) -> bool) -> Vec<u32> {
        let groups = self.groups.iter().flatten();
        let mut nets: Vec<u32> = groups.flat_map(|group| group.nets(&wanted)).collect();
        nets.sort_unstable();
        nets.dedup();
        nets
    }

    pub(crate) fn free_if_forgotten(&mut self, net: u32) {
        let forgotten = |n: &crate::table::Net<P>| {
            n.is_live() && n.first == NONE && n.version == 0 && !n.is_spare_due()
        };
        if self.table.net(net).is_some_and(forgotten) {
            self.table.free_net(net);
        }
    }

    /// Compacts the journal. First the groups take in all of it, so that no stale entry has a meaning for anybody:
    /// members that are behind hear the live entries, and those say what the group was told last.
    fn compact(&mut self, core: &mut Core) {
        for group in 0..self.groups.len() {
            self.catch_up(core, group);
        }
        self.trim_at = 0;
        self.trim();
        let table = &mut self.table;
        let renumbered = self.journal.compact(|net, old, new| {
            let net = table.net_mut(net).filter(|n| n.version == old);
            net.map(|n| n.version = new).is_some()
        });
        let places = self.members.iter_mut().flatten().flat_map(Member::places);
        let heads = self.groups.iter_mut().flatten().map(|g| &mut g.head);
        let readers = self.watchers.iter_mut().flatten().chain(&mut self.fib);
        let readers = readers.chain(self.aggregates.iter_mut().map(|a| &mut a.reader));
        for place in places.chain(heads).chain(readers.map(|r| &mut r.next)) {
            *place = renumbered.map(*place);
        }
        self.trim_at = 2 * self.journal.len() + TRIM_STEP;
    }

    fn prefix_of(&self, net: u32) -> Option<IpNet> {
        self.table.net(net).map(|n| n.prefix.into())
    }

    fn release(core: &mut Core, path: &Path) {
        core.store.release(path.attrs);
        if path.received != path.attrs {
            core.store.release(path.received);
        }
    }
}
