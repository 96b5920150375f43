//! Conditions: what a rule's `match` becomes. To add one: a field in [`MatchConfig`], a variant, a row, and what it asks.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use bgp_core::attributes::{AsPath, Community, ExtendedCommunity, LargeCommunity, NextHop, Origin};
use bgp_core::{Attributes, Family};
use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::as_path_set::{AsPathSet, Text};
use super::community_set::CommunitySet;
use super::compile::Builder;
use super::config::MatchConfig;
use super::prefix_set::{Pattern, PrefixSet};
use super::ranges::{self, Ranges};
use super::sets::{Set, Sets};
use super::{Placement, RouteContext, RouteSource};
use crate::attribute_store::DEFAULT_LOCAL_PREF;

/// One condition.
#[derive(Debug)]
pub(super) enum Condition {
    Prefix(Sets<PrefixSet>),
    Length(Ranges),
    Family(Box<[Family]>),
    Source(Box<[RouteSource]>),
    Tag(Ranges),
    Peer(PrefixSet),
    Group(HashSet<String, FixedState>),
    NextHop(PrefixSet),
    Med(Ranges),
    LocalPref(Ranges),
    Origin(Box<[Origin]>),
    Aigp(Ranges),
    Communities(Sets<CommunitySet<Community>>),
    LargeCommunities(Sets<CommunitySet<LargeCommunity>>),
    ExtCommunities(Sets<CommunitySet<ExtendedCommunity>>),
    AsPathContains(Ranges),
    OriginAs(Ranges),
    NeighborAs(Ranges),
    AsPathLength(Ranges),
    AsPath(Sets<AsPathSet>),
    Not(Box<[Self]>),
}

/// A route while policies look at it.
pub(super) struct Subject<'a> {
    pub(super) route: &'a RouteContext<'a>,
    pub(super) attributes: &'a mut Attributes,
    /// As rules have set it so far.
    pub(super) tag: u32,
    /// As rules have set it so far.
    pub(super) placement: Placement,
    /// AS_PATH as text, from when a rule first asked for it until one changes the path.
    pub(super) text: Option<Text>,
}

impl Subject<'_> {
    fn text(&mut self) -> &Text {
        let path: &AsPath = &self.attributes.as_path;
        self.text.get_or_insert_with(|| Text::of(path))
    }
}

impl Condition {
    pub(super) fn holds(&self, subject: &mut Subject<'_>) -> bool {
        let (route, attributes) = (subject.route, &*subject.attributes);
        let path = &attributes.as_path;
        match self {
            Self::Prefix(sets) => sets.iter().any(|set| set.contains(route.prefix)),
            Self::Length(lengths) => lengths.contains(route.prefix.prefix_len().into()),
            Self::Family(families) => families.contains(&route.family),
            Self::Source(sources) => sources.contains(&route.source),
            Self::Tag(tags) => tags.contains(subject.tag.into()),
            Self::Peer(peers) => route.peer.is_some_and(|peer| peers.contains_address(peer)),
            Self::Group(groups) => route.group.is_some_and(|group| groups.contains(group)),
            Self::NextHop(set) => match attributes.next_hop {
                NextHop::V4(address) => set.contains_address(address.into()),
                NextHop::V6(address) => set.contains_address(address.into()),
                NextHop::V6WithLinkLocal(global, local) => {
                    let mut addresses = [IpAddr::from(global), local.into()].into_iter();
                    addresses.any(|address| set.contains_address(address))
                }
            },
            Self::Med(numbers) => numbers.contains(attributes.med.unwrap_or(0).into()),
            Self::LocalPref(numbers) => {
                let local_pref = attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF);
                numbers.contains(local_pref.into())
            }
            Self::Origin(origins) => origins.contains(&attributes.origin),
            Self::Aigp(numbers) => attributes.aigp.is_some_and(|aigp| numbers.contains(aigp)),
            Self::Communities(sets) => any(sets, &attributes.communities, CommunitySet::contains),
            Self::LargeCommunities(sets) => {
                any(sets, &attributes.large_communities, CommunitySet::contains)
            }
            Self::ExtCommunities(sets) => {
                any(sets, &attributes.ext_communities, CommunitySet::contains)
            }
            Self::AsPathContains(asns) => path.asns().any(|asn| asns.contains(asn.into())),
            Self::OriginAs(asns) => path
                .origin_as()
                .is_some_and(|asn| asns.contains(asn.into())),
            Self::NeighborAs(asns) => path
                .neighbor_as()
                .is_some_and(|asn| asns.contains(asn.into())),
            Self::AsPathLength(lengths) => {
                lengths.contains(u64::try_from(path.len_for_decision()).unwrap_or(u64::MAX))
            }
            Self::AsPath(sets) => {
                let text = subject.text();
                sets.iter().any(|set| set.fits(text))
            }
            Self::Not(conditions) => !conditions.iter().all(|one| one.holds(subject)),
        }
    }
}

fn any<K: Copy, S>(sets: &Sets<S>, held: &[K], contains: impl Fn(&S, K) -> bool) -> bool {
    let in_a_set = |one: &K| sets.iter().any(|set| contains(set, *one));
    held.iter().any(in_a_set)
}

impl Builder<'_> {
    /// The conditions of a `match`, those that cost most last.
    pub(super) fn conditions(&mut self, path: &str, config: &MatchConfig) -> Box<[Condition]> {
        let at = |key: &str| format!("{path}.{key}");
        self.note_reads(config);
        let mut all = self.on_the_way(path, config);
        let c = config;
        let u32s = |b: &mut Self, key, texts| b.numbers(&at(key), texts, u32::MAX.into());
        all.extend(
            self.addresses(&at("next-hop"), &c.next_hop)
                .map(Condition::NextHop),
        );
        all.extend(u32s(self, "med", &c.med).map(Condition::Med));
        all.extend(u32s(self, "local-pref", &c.local_pref).map(Condition::LocalPref));
        all.extend(
            self.words(&at("origin"), &c.origin, parse_origin)
                .map(Condition::Origin),
        );
        all.extend(
            self.numbers(&at("aigp"), &c.aigp, u64::MAX)
                .map(Condition::Aigp),
        );
        let sets = self.sets;
        let list = self.list(&at("communities"), &c.communities, &sets.communities);
        all.extend(list.map(Condition::Communities));
        let key = at("large-communities");
        let list = self.list(&key, &c.large_communities, &sets.large_communities);
        all.extend(list.map(Condition::LargeCommunities));
        let key = at("ext-communities");
        let list = self.list(&key, &c.ext_communities, &sets.ext_communities);
        all.extend(list.map(Condition::ExtCommunities));
        let asns = u32s(self, "as-path-contains", &c.as_path_contains);
        all.extend(asns.map(Condition::AsPathContains));
        all.extend(u32s(self, "origin-as", &c.origin_as).map(Condition::OriginAs));
        all.extend(u32s(self, "neighbor-as", &c.neighbor_as).map(Condition::NeighborAs));
        let lengths = u32s(self, "as-path-length", &c.as_path_length);
        all.extend(lengths.map(Condition::AsPathLength));
        let list = self.list(&at("as-path"), &c.as_path, &sets.as_paths);
        all.extend(list.map(Condition::AsPath));
        if let Some(not) = &c.not {
            all.push(Condition::Not(self.conditions(&at("not"), not)));
        }
        all.into()
    }

    /// The conditions that do not look at attributes.
    fn on_the_way(&mut self, path: &str, config: &MatchConfig) -> Vec<Condition> {
        let at = |key: &str| format!("{path}.{key}");
        let mut all = Vec::new();
        let prefixes = self.list(&at("prefixes"), &config.prefixes, &self.sets.prefixes);
        all.extend(prefixes.map(Condition::Prefix));
        all.extend(
            self.numbers(&at("length"), &config.length, 128)
                .map(Condition::Length),
        );
        let families = self.words(&at("family"), &config.family, Family::from_str);
        all.extend(families.map(Condition::Family));
        let sources = self.words(&at("source"), &config.source, RouteSource::from_str);
        all.extend(sources.map(Condition::Source));
        let tags = self.numbers(&at("tag"), &config.tag, u32::MAX.into());
        all.extend(tags.map(Condition::Tag));
        all.extend(
            self.addresses(&at("peer"), &config.peer)
                .map(Condition::Peer),
        );
        if !config.group.is_empty() {
            all.push(Condition::Group(config.group.iter().cloned().collect()));
        }
        all
    }

    fn note_reads(&mut self, config: &MatchConfig) {
        self.reads.prefix |= !config.prefixes.is_empty() || !config.length.is_empty();
        self.reads.peer |= !config.peer.is_empty() || !config.group.is_empty();
        self.reads.source |= !config.source.is_empty() || !config.tag.is_empty();
    }

    fn numbers(&mut self, path: &str, texts: &[String], max: u64) -> Option<Ranges> {
        let ranges = self.items(path, texts, |text| ranges::parse(text, max));
        (!texts.is_empty()).then(|| Ranges::new(ranges))
    }

    fn addresses(&mut self, path: &str, texts: &[String]) -> Option<PrefixSet> {
        let patterns = self.items(path, texts, Pattern::parse_addresses);
        let set = self.check(|| path.to_owned(), PrefixSet::build(patterns));
        set.filter(|_| !texts.is_empty())
    }

    /// Words of which there are but a few.
    fn words<T>(
        &mut self,
        path: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Box<[T]>> {
        let words = self.items(path, texts, parse);
        (!texts.is_empty()).then(|| words.into())
    }
}

/// Reads an ORIGIN.
pub(super) fn parse_origin(text: &str) -> Result<Origin, String> {
    let all = [Origin::Igp, Origin::Egp, Origin::Incomplete];
    one_of("origin", all, text)
}

/// The one of `all` that is written as `text`.
pub(super) fn one_of<T: Copy + Display>(
    what: &str,
    all: impl IntoIterator<Item = T>,
    text: &str,
) -> Result<T, String> {
    let all: Vec<T> = all.into_iter().collect();
    let found = all.iter().find(|one| one.to_string() == text).copied();
    found.ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|one| format!("`{one}`")).collect();
        format!("`{text}` is no {what}: write one of {}", names.join(", "))
    })
}
