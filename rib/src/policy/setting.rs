//! Settings: what a rule's `set` becomes. To add one: a field in [`SetConfig`], a variant, a row, and what it does.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp_core::Family;
use bgp_core::attributes::{Community, ExtendedCommunity, LargeCommunity, NextHop, Origin};
use smallvec::SmallVec;

use super::MAX_PREPEND;
use super::community_set::{CommunitySet, Kind};
use super::compile::Builder;
use super::condition::{Subject, parse_origin};
use super::config::{AsPathConfig, CommunitiesConfig, PrependConfig, SetConfig};
use super::ranges::{self, Ranges};
use super::sets::{Named, Sets};
use crate::attribute_store::DEFAULT_LOCAL_PREF;

/// RFC 6996 §5: AS numbers for private use.
const PRIVATE_ASNS: [(u64, u64); 2] = [(64_512, 65_534), (4_200_000_000, 4_294_967_294)];

/// One setting, and how it reads.
#[derive(Debug)]
pub(super) struct Setting {
    change: Change,
    pub(super) text: String,
}

#[derive(Debug)]
enum Change {
    LocalPref(Number),
    Med(Number),
    Aigp(Number),
    Communities(Edit<Community>),
    LargeCommunities(Edit<LargeCommunity>),
    ExtCommunities(Edit<ExtendedCommunity>),
    Prepend {
        asn: Option<u32>,
        count: usize,
    },
    Origin(Origin),
    AsPath(PathEdit),
    NextHop(IpAddr),
    /// Ourselves: what stands for it is written when a route is told.
    Myself,
    Tag(u32),
    Table(u32),
    Metric(u32),
    Prefsrc(IpAddr),
}

/// A change of a number.
#[derive(Clone, Copy, Debug)]
enum Number {
    Set(u64),
    Add(u64),
    Subtract(u64),
    Remove,
}

/// A change of a list of communities.
#[derive(Debug)]
struct Edit<K> {
    replace: bool,
    remove: Sets<CommunitySet<K>>,
    /// Those of `replace`, then those of `add`.
    add: Box<[K]>,
}

/// A change of AS_PATH: what is removed is not replaced.
#[derive(Debug)]
struct PathEdit {
    remove: Ranges,
    replace: Ranges,
    /// `None`: our own.
    with: Option<u32>,
}

impl Setting {
    pub(super) fn apply(&self, subject: &mut Subject<'_>) {
        let attributes = &mut *subject.attributes;
        match &self.change {
            Change::LocalPref(number) => {
                attributes.local_pref = number.of_32(attributes.local_pref, DEFAULT_LOCAL_PREF);
            }
            Change::Med(number) => attributes.med = number.of_32(attributes.med, 0),
            Change::Aigp(number) => attributes.aigp = number.of(attributes.aigp),
            Change::Communities(edit) => edit.apply(&mut attributes.communities),
            Change::LargeCommunities(edit) => edit.apply(&mut attributes.large_communities),
            Change::ExtCommunities(edit) => edit.apply(&mut attributes.ext_communities),
            Change::Prepend { asn, count } => {
                let asn = asn.unwrap_or(subject.route.local_asn);
                attributes.as_path.prepend(asn, *count);
                subject.text = None;
            }
            Change::Origin(origin) => attributes.origin = *origin,
            Change::AsPath(edit) => {
                let with = edit.with.unwrap_or(subject.route.local_asn);
                let other = |asn: u32| match u64::from(asn) {
                    asn if edit.remove.contains(asn) => None,
                    asn if edit.replace.contains(asn) => Some(with),
                    _ => Some(asn),
                };
                attributes.as_path = attributes.as_path.map(other);
                subject.text = None;
            }
            Change::Myself => attributes.next_hop = ourselves(subject.route.family),
            Change::NextHop(address) => match (subject.route.family, address) {
                (Family::Ipv4Unicast, IpAddr::V4(v4)) => attributes.next_hop = NextHop::V4(*v4),
                (Family::Ipv6Unicast, IpAddr::V6(v6)) => attributes.next_hop = NextHop::V6(*v6),
                (Family::Ipv4Unicast | Family::Ipv6Unicast, IpAddr::V4(_) | IpAddr::V6(_)) => {}
            },
            Change::Tag(tag) => subject.tag = *tag,
            Change::Table(table) => subject.placement.table = Some(*table),
            Change::Metric(metric) => subject.placement.metric = Some(*metric),
            Change::Prefsrc(address) => match (subject.route.family, address) {
                (Family::Ipv4Unicast, IpAddr::V4(_)) | (Family::Ipv6Unicast, IpAddr::V6(_)) => {
                    subject.placement.prefsrc = Some(*address);
                }
                (Family::Ipv4Unicast | Family::Ipv6Unicast, IpAddr::V4(_) | IpAddr::V6(_)) => {}
            },
        }
    }
}

impl Number {
    /// What becomes of a number; an absent one stays so unless it is set.
    fn of(self, old: Option<u64>) -> Option<u64> {
        match self {
            Self::Set(new) => Some(new),
            Self::Add(more) => old.map(|old| old.saturating_add(more)),
            Self::Subtract(less) => old.map(|old| old.saturating_sub(less)),
            Self::Remove => None,
        }
    }

    /// The same for 32 bits, where sums count from `absent` if there is none.
    fn of_32(self, old: Option<u32>, absent: u32) -> Option<u32> {
        let new = self.of(Some(old.unwrap_or(absent).into()));
        new.map(|new| u32::try_from(new).unwrap_or(u32::MAX))
    }

    fn parse(text: &str, max: u64) -> Result<Self, String> {
        let number = |digits: &str| {
            let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
            let number = digits.parse().ok();
            number.filter(|number| all_digits && *number <= max)
        };
        let parsed = match (text, text.strip_prefix('+'), text.strip_prefix('-')) {
            ("remove", ..) => Some(Self::Remove),
            (_, Some(more), _) => number(more).map(Self::Add),
            (_, _, Some(less)) => number(less).map(Self::Subtract),
            _ => number(text).map(Self::Set),
        };
        parsed.ok_or_else(|| {
            format!("`{text}` cannot be set: write a number up to {max}, `+10`, `-10` or `remove`")
        })
    }
}

impl<K: Kind> Edit<K> {
    fn apply<const N: usize>(&self, list: &mut SmallVec<[K; N]>)
    where
        [K; N]: smallvec::Array<Item = K>,
    {
        if self.replace {
            list.clear();
        }
        if !self.remove.is_empty() {
            list.retain(|one| !self.remove.iter().any(|set| set.contains(*one)));
        }
        for new in &self.add {
            if !list.contains(new) {
                list.push(*new);
            }
        }
    }
}

impl Builder<'_> {
    /// The settings of a `set`, in the order of [`SetConfig`]'s fields.
    pub(super) fn settings(&mut self, path: &str, config: &SetConfig) -> Box<[Setting]> {
        let at = |key: &str| format!("{path}.{key}");
        let (c, sets, mut all) = (config, self.sets, Vec::new());
        let mut push = |key: &str, value: String, change: Option<Change>| {
            all.extend(change.map(|change| Setting {
                change,
                text: format!("{key} {value}"),
            }));
        };
        let max = u32::MAX.into();
        for (key, value, max, change) in [
            (
                "local-pref",
                &c.local_pref,
                max,
                Change::LocalPref as fn(Number) -> Change,
            ),
            ("med", &c.med, max, Change::Med),
            ("aigp", &c.aigp, u64::MAX, Change::Aigp),
        ] {
            if let Some(text) = value {
                let number = self.check(|| at(key), Number::parse(text, max));
                push(key, text.clone(), number.map(change));
            }
        }
        let edit = self.edit(&at("communities"), &c.communities, &sets.communities);
        push(
            "communities",
            describe(&c.communities),
            edit.map(Change::Communities),
        );
        let (key, edits) = ("large-communities", &c.large_communities);
        let edit = self.edit(&at(key), edits, &sets.large_communities);
        push(key, describe(edits), edit.map(Change::LargeCommunities));
        let (key, edits) = ("ext-communities", &c.ext_communities);
        let edit = self.edit(&at(key), edits, &sets.ext_communities);
        push(key, describe(edits), edit.map(Change::ExtCommunities));
        if c.as_path != AsPathConfig::default() {
            let edit = self.path_edit(&at("as-path"), &c.as_path);
            let text = describe_path(&c.as_path);
            push("as-path", text, edit.map(Change::AsPath));
        }
        if let Some(prepend) = &c.prepend {
            let asn = prepend
                .asn
                .map_or("our own AS".to_owned(), |asn| asn.to_string());
            let count = prepend.count.unwrap_or(1);
            push(
                "prepend",
                format!("{asn} x {count}"),
                self.prepend(&at("prepend"), prepend),
            );
        }
        if let Some(text) = &c.origin {
            let origin = self.check(|| at("origin"), parse_origin(text));
            push("origin", text.clone(), origin.map(Change::Origin));
        }
        if let Some(text) = &c.next_hop {
            let hop = self.check(|| at("next-hop"), parse_next_hop(text));
            push("next-hop", text.clone(), hop);
        }
        if let Some(tag) = c.tag {
            push("tag", tag.to_string(), Some(Change::Tag(tag)));
        }
        all.extend(self.placement(path, config));
        all.into()
    }

    /// Where the route is in the kernel.
    fn placement(&mut self, path: &str, config: &SetConfig) -> Vec<Setting> {
        let at = |key: &str| format!("{path}.{key}");
        let table = config.table.and_then(|table| {
            let wrong = "0 is no table: write one from 1 on, as `254`".to_owned();
            let table = if table == 0 { Err(wrong) } else { Ok(table) };
            self.check(|| at("table"), table)
        });
        let prefsrc = config.prefsrc.as_ref().and_then(|text| {
            let wrong = format!(
                "`{text}` is no preferred source: write an address, as `10.0.0.1` or `2001:db8::1`"
            );
            self.check(|| at("prefsrc"), text.parse().map_err(|_| wrong))
        });
        let settings = [
            table.map(|table| (format!("table {table}"), Change::Table(table))),
            config
                .metric
                .map(|metric| (format!("metric {metric}"), Change::Metric(metric))),
            prefsrc.map(|address| (format!("prefsrc {address}"), Change::Prefsrc(address))),
        ];
        let settings = settings.into_iter().flatten();
        settings
            .map(|(text, change)| Setting { change, text })
            .collect()
    }

    fn path_edit(&mut self, path: &str, config: &AsPathConfig) -> Option<PathEdit> {
        let mut asns = |key: &str, texts: &[String]| {
            let parse = |text: &str| match text {
                "private" => Ok(PRIVATE_ASNS.into()),
                _ => ranges::parse(text, u32::MAX.into()).map(|range| vec![range]),
            };
            let ranges = self.items(&format!("{path}.{key}"), texts, parse);
            Ranges::new(ranges.concat())
        };
        let (remove, replace) = (
            asns("remove", &config.remove),
            asns("replace", &config.replace),
        );
        let with = match config.with {
            // RFC 7607 §2.
            Some(0) => Err(
                "AS 0 must not be in a path: write another, or leave `with` out for our own"
                    .to_owned(),
            ),
            Some(_) if config.replace.is_empty() => {
                Err("nothing is replaced with it: write which AS numbers, in `replace`".to_owned())
            }
            with => Ok(with),
        };
        let with = self.check(|| format!("{path}.with"), with)?;
        Some(PathEdit {
            remove,
            replace,
            with,
        })
    }

    fn prepend(&mut self, path: &str, config: &PrependConfig) -> Option<Change> {
        let asn = match config.asn {
            // RFC 7607 §2.
            Some(0) => Err(
                "AS 0 must not be in a path: write another, or leave `asn` out for our own"
                    .to_owned(),
            ),
            asn => Ok(asn),
        };
        let asn = self.check(|| format!("{path}.asn"), asn);
        let count = match config.count.unwrap_or(1) {
            count @ 1..=MAX_PREPEND => Ok(count),
            count => Err(format!(
                "{count} times is out of range: write 1 to {MAX_PREPEND}"
            )),
        };
        let count = self.check(|| format!("{path}.count"), count);
        let (asn, count) = asn.zip(count)?;
        Some(Change::Prepend {
            asn,
            count: count.into(),
        })
    }

    /// `None` if nothing is to be changed.
    fn edit<K: Kind>(
        &mut self,
        path: &str,
        config: &CommunitiesConfig,
        named: &Named<CommunitySet<K>>,
    ) -> Option<Edit<K>> {
        if *config == CommunitiesConfig::default() {
            return None;
        }
        let parse = |text: &str| {
            if text.contains('*') || text.starts_with('@') {
                return Err(format!(
                    "`{text}` stands for many communities: write one to add"
                ));
            }
            text.parse()
        };
        let replace = config.replace.as_deref().unwrap_or_default();
        let mut add = self.items(&format!("{path}.replace"), replace, parse);
        add.extend(self.items(&format!("{path}.add"), &config.add, parse));
        let remove = self.list(&format!("{path}.remove"), &config.remove, named);
        Some(Edit {
            replace: config.replace.is_some(),
            remove: remove.unwrap_or_default(),
            add: add.into(),
        })
    }
}

fn parse_next_hop(text: &str) -> Result<Change, String> {
    if text == "self" {
        return Ok(Change::Myself);
    }
    text.parse().map(Change::NextHop).map_err(|_| {
        format!(
            "`{text}` is no next hop: write `self` or an address, as `10.0.0.1` or `2001:db8::1`"
        )
    })
}

/// What stands for ourselves, where a next hop is chosen.
const fn ourselves(family: Family) -> NextHop {
    match family {
        Family::Ipv4Unicast => NextHop::V4(Ipv4Addr::UNSPECIFIED),
        Family::Ipv6Unicast => NextHop::V6(Ipv6Addr::UNSPECIFIED),
    }
}

fn describe_path(config: &AsPathConfig) -> String {
    let mut parts = Vec::new();
    if !config.remove.is_empty() {
        parts.push(format!("remove [{}]", config.remove.join(", ")));
    }
    if !config.replace.is_empty() {
        let with = config
            .with
            .map_or("our own AS".to_owned(), |asn| asn.to_string());
        parts.push(format!(
            "replace [{}] with {with}",
            config.replace.join(", ")
        ));
    }
    parts.join(" ")
}

fn describe(config: &CommunitiesConfig) -> String {
    let mut text = String::new();
    let lists = [
        ("replace", config.replace.as_ref()),
        (
            "remove",
            Some(&config.remove).filter(|list| !list.is_empty()),
        ),
        ("add", Some(&config.add).filter(|list| !list.is_empty())),
    ];
    for (verb, list) in lists {
        if let Some(list) = list {
            let between = if text.is_empty() { "" } else { " " };
            // Writing into memory does not fail.
            let _ = write!(text, "{between}{verb} [{}]", list.join(", "));
        }
    }
    text
}
