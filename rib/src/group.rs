//! An update group: the peers that share a [`View`], what they have been told, and the bytes that said it.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::attribute_store::{AttrId, AttributeStore};
use crate::export::View;
use crate::journal::Version;
use crate::peer::PeerId;
use crate::plane::each::for_member;
use crate::several::{Several, ToldPath};
use crate::slab::Chunks;
use crate::tally::Spoken;

/// Octets of encoded UPDATEs that a group keeps for members that are behind. Who is further behind gets an encoding
/// of its own.
const CACHE_MAX: usize = if cfg!(test) { 2000 } else { 4 << 20 };

/// Octets that a kept batch counts beside those it says.
const BATCH_COST: usize = 128;

/// What the group was told about a net: which attributes of the Loc-RIB, and whose they were. It holds a reference to
/// the attributes, so that their number means the same as long as it stands here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    attrs: AttrId,
    source: u32,
}

impl Told {
    /// Nothing, or it was withdrawn.
    pub(crate) const NOTHING: Self = Self {
        attrs: AttrId(u32::MAX),
        source: u32::MAX,
    };
    /// Who knows: whatever holds now must be said, be it a withdrawal.
    pub(crate) const UNSET: Self = Self {
        attrs: AttrId(u32::MAX),
        source: u32::MAX - 1,
    };

    pub(crate) const fn route(attrs: AttrId, source: PeerId) -> Self {
        Self {
            attrs,
            source: source.0,
        }
    }

    /// The attributes and the source, if a route was told.
    #[inline]
    pub(crate) const fn get(self) -> Option<(AttrId, PeerId)> {
        if self.attrs.0 == u32::MAX {
            None
        } else {
            Some((self.attrs, PeerId(self.source)))
        }
    }
}

/// Some UPDATEs, whole messages.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) bytes: Bytes,
    /// Not for this member, whose own routes these are.
    pub(crate) except: Option<PeerId>,
    /// What it gets instead: withdrawals of what others had told before.
    pub(crate) instead: Bytes,
    /// How many routes both are about.
    pub(crate) spoken: Spoken,
    pub(crate) spoken_instead: Spoken,
}

impl Segment {
    /// How many routes a member hears of.
    pub(crate) fn to(&self, member: PeerId) -> Spoken {
        if self.except == Some(member) {
            self.spoken_instead
        } else {
            self.spoken
        }
    }
}

/// What was said about a stretch of the journal.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) from: Version,
    pub(crate) to: Version,
    pub(crate) segments: Vec<Segment>,
    octets: usize,
    /// Members that have yet to take it, as far as known.
    takers: usize,
}

/// What was said by members that walk over the whole table, for others that walk at the same time.
#[derive(Debug)]
pub(crate) struct Wave {
    /// Who is told this hears the journal from here on.
    pub(crate) start: Version,
    /// Stretches of nets, from the first on, each by the net where it ends.
    batches: Vec<(u32, Vec<Segment>)>,
    octets: usize,
}

impl Wave {
    pub(crate) const fn new(start: Version) -> Self {
        Self {
            start,
            batches: Vec::new(),
            octets: 0,
        }
    }

    /// What was said from net `at` on, and up to where.
    pub(crate) fn get(&self, at: u32) -> Option<(u32, Vec<Segment>)> {
        let after = self.batches.partition_point(|(end, _)| *end <= at);
        let begins = after
            .checked_sub(1)
            .map_or(Some(0), |last| self.batches.get(last).map(|(end, _)| *end));
        self.batches
            .get(after)
            .filter(|_| begins == Some(at))
            .cloned()
    }

    /// Keeps what was said from net `at` up to `end`, if it goes on where the last one ended and there is room.
    pub(crate) fn keep(&mut self, at: u32, end: u32, segments: &[Segment]) {
        let next = self.batches.last().map_or(0, |(end, _)| *end);
        if next == at && end > at && self.octets < CACHE_MAX {
            self.octets += segments.iter().map(|s| s.bytes.len()).sum::<usize>() + BATCH_COST;
            self.batches.push((end, segments.to_vec()));
        }
    }
}

/// The group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) view: View,
    /// The version that [`Group::told`] has yet to hear. No member is ahead of it.
    pub(crate) head: Version,
    pub(crate) members: usize,
    /// While members walk.
    pub(crate) wave: Option<Wave>,
    told: Chunks<Told>,
    /// In its place, where several paths a prefix are told, or one of several.
    pub(crate) several: Option<Several>,
    /// Routes told, all and by source.
    routes: u32,
    by_source: Vec<u32>,
    /// Where each member is told one of several: second paths, and by source the nets that have none.
    seconds: u32,
    lacking: Vec<u32>,
    cache: VecDeque<Batch>,
    cached: usize,
}

impl Group {
    /// A group to which nothing has been told of a table of `nets`.
    pub(crate) fn new(view: View, head: Version, nets: u32) -> Self {
        let mut told = Chunks::default();
        let several = view.paths.map(|_| Several::new(nets));
        // Who is told nothing has been told nothing.
        if several.is_none() && !view.is_silent() {
            told.grow(nets, Told::UNSET);
        }
        Self {
            view,
            head,
            members: 0,
            wave: None,
            told,
            several,
            routes: 0,
            by_source: Vec::new(),
            seconds: 0,
            lacking: Vec::new(),
            cache: VecDeque::new(),
            cached: 0,
        }
    }

    #[inline]
    pub(crate) fn told(&self, net: u32) -> Told {
        self.told.get(net).copied().unwrap_or(Told::NOTHING)
    }

    /// Notes what is told from now on. References and counts follow.
    pub(crate) fn tell(&mut self, net: u32, told: Told, store: &mut AttributeStore) {
        self.told.grow(net + 1, Told::NOTHING);
        let Some(slot) = self.told.get_mut(net) else {
            return;
        };
        let old = std::mem::replace(slot, told);
        if let Some((attrs, source)) = told.get() {
            store.acquire(attrs);
            self.count(source, 1);
        }
        if let Some((attrs, source)) = old.get() {
            store.release(attrs);
            self.count(source, -1);
        }
    }

    /// The same for several paths, in the order of the decision.
    pub(crate) fn tell_paths(&mut self, net: u32, told: &[ToldPath], store: &mut AttributeStore) {
        let Some(several) = &mut self.several else {
            return;
        };
        let old = several.replace(net, told);
        for (attrs, _) in told.iter().filter_map(|path| path.get()) {
            store.acquire(attrs);
        }
        for (attrs, _) in old.iter().filter_map(|path| path.get()) {
            store.release(attrs);
        }
        self.count_paths(told, 1);
        self.count_paths(&old, -1);
    }

    fn count_paths(&mut self, told: &[ToldPath], by: i32) {
        let known = || told.iter().filter_map(|path| path.get());
        for (_, source) in known() {
            self.count(source, by);
        }
        if !self.view.is_for_each() {
            return;
        }
        let mut sources = known().map(|(_, source)| source);
        match (sources.next(), sources.next()) {
            (Some(alone), None) => add(&mut self.lacking, alone, by),
            (_, Some(_)) => self.seconds = self.seconds.saturating_add_signed(by),
            (None, None) => {}
        }
    }

    /// What was told of a net must be said again, or withdrawn.
    pub(crate) fn say_again(&mut self, net: u32, store: &mut AttributeStore) {
        match &self.several {
            None if self.told(net) == Told::NOTHING => {}
            None => self.tell(net, Told::UNSET, store),
            Some(several) if several.is_new(net) => {}
            Some(several) => {
                let mut told = several.told(net);
                told.iter_mut().for_each(|path| *path = path.unknown());
                self.tell_paths(net, &told, store);
            }
        }
    }

    /// How many routes `member` has been told, once it has heard all that the group has.
    pub(crate) fn advertised_to(&self, member: PeerId) -> u32 {
        if self.view.is_for_each() {
            let alone = self.lacking.get(member.0 as usize).copied();
            return self.routes - self.seconds - alone.unwrap_or_default();
        }
        self.routes - self.by_source(member)
    }

    /// The route that `member` was told of a net, where it is told one.
    pub(crate) fn told_to(&self, net: u32, member: PeerId) -> Option<(AttrId, PeerId)> {
        match &self.several {
            None => self.told(net).get().filter(|(_, source)| *source != member),
            Some(several) => for_member(&several.told(net), member)?.get(),
        }
    }

    /// How many routes of `source` are told.
    pub(crate) fn by_source(&self, source: PeerId) -> u32 {
        self.by_source
            .get(source.0 as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The nets of which something was told that `wanted` holds of.
    pub(crate) fn nets(&self, wanted: impl Fn(AttrId, PeerId) -> bool) -> Vec<u32> {
        let holds = |route: Option<(AttrId, PeerId)>| route.is_some_and(|(a, s)| wanted(a, s));
        let all = self.told.indices().zip(self.told.iter());
        let one = all.filter(|(_, told)| holds(told.get()));
        let several = self.several.iter().flat_map(Several::all);
        let several = several.filter(|(_, told)| holds(told.get()));
        one.map(|(net, _)| net)
            .chain(several.map(|(net, _)| net))
            .collect()
    }

    /// Gives all references back.
    pub(crate) fn release(self, store: &mut AttributeStore) {
        let several = self.several.iter().flat_map(Several::all);
        let several = several.filter_map(|(_, told)| told.get());
        let all = self.told.iter().filter_map(|told| told.get());
        for (attrs, _) in all.chain(several) {
            store.release(attrs);
        }
    }

    /// Keeps what was said about the journal from [`Group::head`] to `to`, for members that are still there.
    pub(crate) fn keep(&mut self, to: Version, segments: Vec<Segment>, takers: usize) {
        let said: usize = segments
            .iter()
            .map(|s| s.bytes.len() + s.instead.len())
            .sum();
        let octets = said + BATCH_COST;
        self.cached += octets;
        self.cache.push_back(Batch {
            from: self.head,
            to,
            segments,
            octets,
            takers,
        });
        self.head = to;
        while self.cached > CACHE_MAX && self.cache.len() > 1 {
            self.drop_oldest();
        }
    }

    /// What was said from `from` on, if it is still kept. Counts one that takes it.
    pub(crate) fn take(&mut self, from: Version) -> Option<(Version, Vec<Segment>)> {
        let at = self.cache.partition_point(|batch| batch.from < from);
        let batch = self.cache.get_mut(at).filter(|batch| batch.from == from)?;
        batch.takers = batch.takers.saturating_sub(1);
        let is_last = batch.takers == 0;
        let to = batch.to;
        let segments = if is_last && at == 0 {
            std::mem::take(&mut batch.segments)
        } else {
            batch.segments.clone()
        };
        if is_last && at == 0 {
            self.drop_oldest();
        }
        Some((to, segments))
    }

    /// Where the first kept batch after `from` begins, or the head.
    pub(crate) fn next_kept(&self, from: Version) -> Version {
        let at = self.cache.partition_point(|batch| batch.from <= from);
        self.cache.get(at).map_or(self.head, |batch| batch.from)
    }

    /// Forgets the bytes: versions are numbered anew, or all have been told by other means.
    pub(crate) fn forget_bytes(&mut self) {
        self.cache.clear();
        self.cached = 0;
        self.wave = None;
    }

    pub(crate) fn memory(&self) -> usize {
        let walked = self.wave.as_ref().map_or(0, |wave| wave.octets);
        let several = self.several.as_ref().map_or(0, Several::memory);
        self.told.memory()
            + several
            + self.cached
            + walked
            + self.by_source.capacity() * size_of::<u32>()
    }

    fn drop_oldest(&mut self) {
        if let Some(batch) = self.cache.pop_front() {
            self.cached -= batch.octets;
        }
    }

    fn count(&mut self, source: PeerId, by: i32) {
        self.routes = self.routes.saturating_add_signed(by);
        add(&mut self.by_source, source, by);
    }
}

/// Counts one more or less of a peer, by its number.
pub(crate) fn add(counts: &mut Vec<u32>, source: PeerId, by: i32) {
    let at = source.0 as usize;
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    if let Some(count) = counts.get_mut(at) {
        *count = count.saturating_add_signed(by);
    }
}
