//! `[[aggregate]]`: a route of our own that stands for the more specific ones beneath it, as long as there are any
//! (RFC 4271 §9.2.2.2), without AS_SET (RFC 9774).
//!
//! Each family reads its own journal. What is beneath an aggregate, the best route of a prefix, counts with its path,
//! ORIGIN and ATOMIC_AGGREGATE; the sum of them is what the aggregate says. What is not told for an aggregate's sake is a
//! matter of prefixes alone, so that nobody hears of it before the aggregate is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bgp_core::attributes::{AsPath, Origin, SegmentKind};
use bgp_core::{Attributes, Prefix};
use ipnet::IpNet;

use crate::attribute_store::Has;
use crate::local::{LocalForwarding, LocalSource};
use crate::peer::PeerId;
use crate::plane::{Plane, Reader};
use crate::policy::RouteSource;
use crate::rib::{Core, Rib};

/// Aggregates, at most.
pub const AGGREGATES_MAX: usize = 1024;

/// An aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What is announced.
    pub prefix: IpNet,
    /// What is beneath it is not told.
    pub summary_only: bool,
    /// What it says, except for AS_PATH, ORIGIN and ATOMIC_AGGREGATE, which follow from what is beneath it.
    pub attributes: Attributes,
    /// A mark for policies; zero: none.
    pub tag: u32,
    /// What the kernel does with packets that nothing beneath it leads on.
    pub forwarding: Option<LocalForwarding>,
}

/// What of a route beneath an aggregate bears on it. In the order of the paths.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Part {
    /// The AS numbers with which its path begins, as far as they are in AS_SEQUENCEs.
    leading: Box<[u32]>,
    /// Others follow.
    more: bool,
    origin: Origin,
    atomic: bool,
}

/// What all of them come to.
#[derive(Debug)]
struct Sum {
    as_path: AsPath,
    origin: Origin,
    atomic: bool,
}

/// The aggregates of a family, and what is beneath them.
#[derive(Debug)]
pub(crate) struct Aggregates<P> {
    pub(crate) reader: Reader,
    by_prefix: BTreeMap<P, Beneath>,
    /// Mask lengths of the aggregates, each once, in order.
    lengths: Vec<u8>,
    /// By prefix, what is beneath at least one.
    parts: BTreeMap<P, Arc<Part>>,
}

/// What is beneath an aggregate.
#[derive(Debug)]
struct Beneath {
    of: Aggregate,
    /// How often each is there.
    parts: BTreeMap<Arc<Part>, usize>,
    /// How many have each ORIGIN.
    origins: [usize; 3],
    /// How many have ATOMIC_AGGREGATE.
    atomic: usize,
    changed: bool,
}

/// The prefixes beneath which nothing is told but other aggregates.
#[derive(Debug, Default)]
pub(crate) struct Summaries {
    prefixes: BTreeSet<IpNet>,
    /// Their mask lengths, each once, in order.
    lengths: Vec<u8>,
}

/// What is to become of an aggregate's route.
type News = (IpNet, Option<(Attributes, u32, Option<LocalForwarding>)>);

impl Rib {
    /// From now on there are these aggregates, whose routes are `source`'s, and no others. At once what they come to is
    /// announced, and what changes for the routes beneath them is said.
    pub fn set_aggregates(&mut self, source: LocalSource, aggregates: &[Aggregate]) {
        if self.core.aggregates == aggregates {
            return;
        }
        self.declare_local(source.peer, RouteSource::Aggregate);
        let old = std::mem::replace(&mut self.core.aggregates, aggregates.into());
        let summaries = Summaries::of(aggregates);
        let before = std::mem::replace(&mut self.core.summaries, summaries);
        let Self { core, ipv4, ipv6 } = self;
        ipv4.set_aggregates(core, &before);
        ipv6.set_aggregates(core, &before);
        for gone in &old {
            if !aggregates.iter().any(|new| new.prefix == gone.prefix) {
                self.withdraw_local(source, gone.prefix);
            }
        }
        self.announce_aggregates(source);
    }

    /// Aggregates follow what changed, over at most `max` prefixes of each family. Says whether there is more: what is
    /// announced may take the place of a route that another aggregate counted.
    pub fn aggregate(&mut self, source: LocalSource, max: usize) -> bool {
        let Self { core, ipv4, ipv6 } = self;
        ipv4.follow(core, max);
        ipv6.follow(core, max);
        self.announce_aggregates(source);
        self.ipv4.aggregates_have_news() || self.ipv6.aggregates_have_news()
    }

    fn announce_aggregates(&mut self, source: LocalSource) {
        let ipv4 = self.ipv4.aggregates.as_deref_mut();
        let mut news = ipv4.map(Aggregates::news).unwrap_or_default();
        let ipv6 = self.ipv6.aggregates.as_deref_mut();
        news.extend(ipv6.map(Aggregates::news).unwrap_or_default());
        for (prefix, route) in news {
            match route {
                Some((attributes, tag, forwarding)) => {
                    self.announce_tagged(source, prefix, (&attributes, tag), forwarding);
                }
                None => {
                    self.withdraw_local(source, prefix);
                }
            }
        }
    }
}

impl Core {
    /// Whether a route is not told, for the sake of an aggregate that it is beneath.
    #[inline]
    pub(crate) fn is_suppressed(&self, source: PeerId, prefix: impl Into<IpNet>) -> bool {
        !self.summaries.prefixes.is_empty()
            && self.summaries.cover(prefix.into())
            && !self.is_aggregate(source)
    }

    fn is_aggregate(&self, source: PeerId) -> bool {
        let source = self.peers.get(source).map(|peer| peer.source.route);
        source == Some(RouteSource::Aggregate)
    }
}

impl<P: Prefix> Plane<P> {
    /// The aggregates of [`Core`] that are of this family take the place of those so far; `before` is what those
    /// suppressed.
    fn set_aggregates(&mut self, core: &mut Core, before: &Summaries) {
        let of_family = core.aggregates.iter();
        let of_family = of_family.filter_map(|a| Some((P::from_net(a.prefix)?, a.clone())));
        let mut aggregates = Aggregates::new(self.follower(), of_family.collect());
        let mut memo = BTreeMap::new();
        for net in self.table.indices() {
            self.hear(core, &mut aggregates, &mut memo, net);
        }
        let some = !aggregates.by_prefix.is_empty();
        self.aggregates = some.then(|| Box::new(aggregates));
        let prefixes = self.table.indices();
        let prefixes = prefixes.filter_map(|net| Some((net, self.table.net(net)?)));
        let changes =
            |prefix: P| before.cover(prefix.into()) != core.summaries.cover(prefix.into());
        let changed = prefixes.filter(|(_, net)| net.is_live() && changes(net.prefix));
        let changed: Vec<u32> = changed.map(|(net, _)| net).collect();
        for net in changed {
            self.say_again(core, net);
        }
    }

    /// Reads on in the journal.
    fn follow(&mut self, core: &Core, max: usize) {
        let Some(mut aggregates) = self.aggregates.take() else {
            return;
        };
        let mut changed = Vec::new();
        self.read(&mut aggregates.reader, max, |net| changed.push(net));
        let mut memo = BTreeMap::new();
        for net in changed {
            self.hear(core, &mut aggregates, &mut memo, net);
        }
        self.aggregates = Some(aggregates);
        self.trim();
    }

    fn aggregates_have_news(&self) -> bool {
        let aggregates = self.aggregates.as_ref();
        aggregates.is_some_and(|aggregates| self.has_news(&aggregates.reader))
    }

    fn hear(
        &self,
        core: &Core,
        aggregates: &mut Aggregates<P>,
        memo: &mut BTreeMap<u32, Arc<Part>>,
        net: u32,
    ) {
        let Some(prefix) = self
            .table
            .net(net)
            .filter(|n| n.is_live())
            .map(|n| n.prefix)
        else {
            return;
        };
        if aggregates.are_above(prefix) {
            let part = self.part(core, memo, net);
            aggregates.put(prefix, part.as_ref());
        }
    }

    /// What the best route of a net bears; `None`: there is none, or it is not to be known outside.
    fn part(
        &self,
        core: &Core,
        memo: &mut BTreeMap<u32, Arc<Part>>,
        net: u32,
    ) -> Option<Arc<Part>> {
        let best = self.table.best(net)?;
        let facts = core.store.facts(best.attrs)?;
        if facts.has(Has::NoAdvertise) || core.is_aggregate(best.peer()) {
            return None;
        }
        if let Some(part) = memo.get(&best.attrs.0) {
            return Some(Arc::clone(part));
        }
        let part = Arc::new(Part::of(&core.store.attributes(best.attrs)?));
        memo.insert(best.attrs.0, Arc::clone(&part));
        Some(part)
    }
}

impl<P: Prefix> Aggregates<P> {
    fn new(reader: Reader, aggregates: BTreeMap<P, Aggregate>) -> Self {
        let lengths: BTreeSet<u8> = aggregates.keys().map(|prefix| prefix.len()).collect();
        let beneath = |(prefix, of)| (prefix, Beneath::new(of));
        Self {
            reader,
            by_prefix: aggregates.into_iter().map(beneath).collect(),
            lengths: lengths.into_iter().collect(),
            parts: BTreeMap::new(),
        }
    }

    fn above(lengths: &[u8], prefix: P) -> impl Iterator<Item = P> + '_ {
        let shorter = lengths.iter().take_while(move |len| **len < prefix.len());
        shorter.filter_map(move |len| P::from_octets(prefix.octets(), *len))
    }

    fn are_above(&self, prefix: P) -> bool {
        Self::above(&self.lengths, prefix).any(|above| self.by_prefix.contains_key(&above))
    }

    /// This is now beneath all aggregates that cover `prefix`.
    fn put(&mut self, prefix: P, part: Option<&Arc<Part>>) {
        let old = match part {
            Some(part) => self.parts.insert(prefix, Arc::clone(part)),
            None => self.parts.remove(&prefix),
        };
        if old.as_ref() == part {
            return;
        }
        for above in Self::above(&self.lengths, prefix) {
            if let Some(beneath) = self.by_prefix.get_mut(&above) {
                beneath.replace(old.as_ref(), part);
            }
        }
    }

    /// What aggregates come to, of those that changed.
    fn news(&mut self) -> Vec<News> {
        let all = self.by_prefix.values_mut();
        let changed = all.filter_map(|beneath| {
            let changed = std::mem::take(&mut beneath.changed);
            changed.then(|| (beneath.of.prefix, beneath.route()))
        });
        changed.collect()
    }
}

impl Beneath {
    fn new(of: Aggregate) -> Self {
        Self {
            of,
            parts: BTreeMap::new(),
            origins: [0; 3],
            atomic: 0,
            // It may be there, from another configuration.
            changed: true,
        }
    }

    fn replace(&mut self, old: Option<&Arc<Part>>, new: Option<&Arc<Part>>) {
        self.changed = true;
        if let Some(new) = new {
            *self.parts.entry(Arc::clone(new)).or_default() += 1;
            self.count(new, 1);
        }
        let Some(old) = old else { return };
        self.count(old, -1);
        if let Some(left) = self.parts.get_mut(old) {
            *left -= 1;
            if *left == 0 {
                self.parts.remove(old);
            }
        }
    }

    fn count(&mut self, part: &Part, by: isize) {
        if let Some(count) = self.origins.get_mut(usize::from(part.origin.number())) {
            *count = count.saturating_add_signed(by);
        }
        if part.atomic {
            self.atomic = self.atomic.saturating_add_signed(by);
        }
    }

    fn route(&self) -> Option<(Attributes, u32, Option<LocalForwarding>)> {
        let Sum {
            as_path,
            origin,
            atomic,
        } = self.sum()?;
        let attributes = Attributes {
            as_path,
            origin,
            atomic_aggregate: atomic,
            ..self.of.attributes.clone()
        };
        Some((attributes, self.of.tag, self.of.forwarding.clone()))
    }

    /// In time that does not depend on how much there is: the paths are in order, so that what the first and the last one
    /// have in common, all have.
    fn sum(&self) -> Option<Sum> {
        let (first, _) = self.parts.first_key_value()?;
        let (last, _) = self.parts.last_key_value()?;
        let pairs = first.leading.iter().zip(&last.leading);
        let common = pairs.take_while(|(a, b)| a == b).map(|(asn, _)| *asn);
        // RFC 4271 §5.1.6: AS numbers are left out. Where all paths begin alike, there are few distinct parts.
        let differ = first.leading != last.leading;
        let left_out = differ || self.parts.keys().any(|part| part.more);
        // RFC 4271 §9.2.2.2: INCOMPLETE before EGP before IGP, and ATOMIC_AGGREGATE if any has it.
        let [_, egp, incomplete] = self.origins;
        let origin = match (incomplete, egp) {
            (1.., _) => Origin::Incomplete,
            (0, 1..) => Origin::Egp,
            (0, 0) => Origin::Igp,
        };
        Some(Sum {
            as_path: AsPath::sequence(common),
            origin,
            atomic: left_out || self.atomic > 0,
        })
    }
}

impl Part {
    fn of(attributes: &Attributes) -> Self {
        let path = &attributes.as_path;
        let mut segments = path.segments();
        let leading = segments
            .by_ref()
            .take_while(|segment| segment.kind == SegmentKind::Sequence)
            .flat_map(|segment| segment.asns());
        let leading: Box<[u32]> = leading.collect();
        Self {
            more: leading.len() < path.asns().count(),
            leading,
            origin: attributes.origin,
            atomic: attributes.atomic_aggregate,
        }
    }
}

impl Summaries {
    fn of(aggregates: &[Aggregate]) -> Self {
        let summaries = aggregates.iter().filter(|a| a.summary_only);
        let prefixes: BTreeSet<IpNet> = summaries.map(|a| a.prefix).collect();
        let lengths: BTreeSet<u8> = prefixes.iter().map(IpNet::prefix_len).collect();
        Self {
            prefixes,
            lengths: lengths.into_iter().collect(),
        }
    }

    /// Whether one of them covers `prefix`, and more.
    fn cover(&self, prefix: IpNet) -> bool {
        let shorter = self
            .lengths
            .iter()
            .take_while(|len| **len < prefix.prefix_len());
        let mut above = shorter.filter_map(|len| IpNet::new(prefix.addr(), *len).ok());
        above.any(|above| self.prefixes.contains(&above.trunc()))
    }
}
