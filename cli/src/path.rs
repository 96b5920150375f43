//! Routes and their paths as rows.

use proto::v1::source::{Local, Source};
use proto::v1::{Path, Route, UnknownAttribute};
use serde::Serialize;

use crate::output::{Column, Row, Tone, Word};
use crate::text;

/// A route, as JSON has it.
#[derive(Debug, Serialize)]
pub(crate) struct RouteRow {
    pub(crate) prefix: String,
    /// The `peer` of the best path.
    pub(crate) best: Option<String>,
    pub(crate) paths: Vec<PathRow>,
}

/// A path, as JSON has it.
#[derive(Debug, Serialize)]
pub(crate) struct PathRow {
    /// An address, or `originate`, `static`, `connected`, `kernel`, `aggregate`, `api:OWNER`.
    pub(crate) peer: String,
    next_hop: Option<String>,
    as_path: String,
    origin: &'static str,
    med: Option<u32>,
    local_pref: Option<u32>,
    aigp: Option<u64>,
    cost: Option<u64>,
    communities: Vec<String>,
    large_communities: Vec<String>,
    ext_communities: Vec<String>,
    originator_id: Option<String>,
    cluster_list: Vec<String>,
    path_id: Option<u32>,
    valid: bool,
    stale: bool,
    pub(crate) best: bool,
    pub(crate) reason: String,
    /// It shares the traffic with the best one.
    multipath: bool,
    link_local_next_hop: Option<String>,
    ipv6_ext_communities: Vec<String>,
    atomic_aggregate: bool,
    aggregator: Option<Aggregator>,
    only_to_customer: Option<u32>,
    /// A mark of policies; 0: none.
    tag: u32,
    unknown: Vec<Unknown>,
}

#[derive(Debug, Serialize)]
struct Aggregator {
    asn: u32,
    identifier: String,
}

#[derive(Debug, Serialize)]
struct Unknown {
    r#type: u32,
    flags: u32,
    /// In hexadecimal digits.
    value: String,
}

impl From<Route> for RouteRow {
    fn from(route: Route) -> Self {
        let paths: Vec<PathRow> = route.paths.into_iter().map(PathRow::from).collect();
        let best = paths.iter().find(|path| path.best);
        Self {
            prefix: route.prefix,
            best: best.map(|path| path.peer.clone()),
            paths,
        }
    }
}

impl From<Path> for PathRow {
    fn from(path: Path) -> Self {
        let a = path.attributes.unwrap_or_default();
        Self {
            peer: source(path.source.and_then(|source| source.source)),
            as_path: text::as_path(&a.as_path),
            origin: text::origin(a.origin()),
            next_hop: a.next_hop,
            med: a.med,
            local_pref: a.local_pref,
            aigp: a.aigp,
            cost: path.cost,
            communities: a.communities,
            large_communities: a.large_communities,
            ext_communities: a.ext_communities,
            originator_id: a.originator_id,
            cluster_list: a.cluster_list,
            path_id: path.path_id,
            valid: path.valid,
            stale: path.stale,
            best: path.best,
            reason: path.reason,
            multipath: path.multipath,
            link_local_next_hop: a.link_local_next_hop,
            ipv6_ext_communities: a.ipv6_ext_communities,
            atomic_aggregate: a.atomic_aggregate,
            aggregator: a.aggregator.map(|a| Aggregator {
                asn: a.asn,
                identifier: a.identifier,
            }),
            only_to_customer: a.only_to_customer,
            tag: path.tag,
            unknown: a.unknown.into_iter().map(Unknown::from).collect(),
        }
    }
}

impl From<UnknownAttribute> for Unknown {
    fn from(attribute: UnknownAttribute) -> Self {
        Self {
            r#type: attribute.r#type,
            flags: attribute.flags,
            value: attribute
                .value
                .iter()
                .map(|octet| format!("{octet:02x}"))
                .collect(),
        }
    }
}

fn source(source: Option<Source>) -> String {
    match source {
        Some(Source::Peer(address)) => address,
        Some(Source::Owner(owner)) => format!("api:{owner}"),
        Some(Source::Local(local)) => match Local::try_from(local) {
            Ok(Local::Originate) => "originate".into(),
            Ok(Local::Static) => "static".into(),
            Ok(Local::Connected) => "connected".into(),
            Ok(Local::Kernel) => "kernel".into(),
            Ok(Local::Aggregate) => "aggregate".into(),
            Ok(Local::Unspecified) | Err(_) => "local".into(),
        },
        None => "unknown".into(),
    }
}

impl Row for RouteRow {
    const COLUMNS: &'static [Column] = &[
        Column::text(""),
        Column::text("PREFIX"),
        Column::text("NEXT HOP"),
        Column::text("FROM"),
        Column::number("LOCAL PREF"),
        Column::number("MED"),
        Column::number("AIGP").wide(),
        Column::number("COST").wide(),
        Column::text("AS PATH"),
        Column::text("ORIGIN"),
        Column::text("COMMUNITIES"),
        Column::text("ORIGINATOR").wide(),
        Column::text("CLUSTERS").wide(),
        Column::number("ID").wide(),
        Column::text("REASON").wide(),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        // The prefix stands at its first path alone, so that the eye sees where a route begins.
        let prefixes = std::iter::once(self.prefix.as_str()).chain(std::iter::repeat(""));
        let lines = self.paths.iter().zip(prefixes);
        lines.map(|(path, prefix)| path.words(prefix)).collect()
    }
}

impl RouteRow {
    /// The route in one line: its best path.
    pub(crate) fn line(&self) -> String {
        match self.paths.iter().find(|path| path.best) {
            Some(best) => format!("{}  {}", self.prefix, best.line()),
            None => format!("{}  no path is valid", self.prefix),
        }
    }
}

impl PathRow {
    /// `>` the best, `=` shares the traffic with it, `*` valid, `s` stale.
    pub(crate) const fn mark(&self) -> &'static str {
        match self {
            Self { best: true, .. } => ">",
            Self {
                multipath: true, ..
            } => "=",
            Self { stale: true, .. } => "s",
            Self { valid: true, .. } => "*",
            Self { .. } => " ",
        }
    }

    /// Where it leads and where it came from.
    pub(crate) fn line(&self) -> String {
        let cost = self
            .cost
            .map(|cost| format!(", cost {cost}"))
            .unwrap_or_default();
        let next_hop = self.next_hop.as_deref().unwrap_or("self");
        format!("next hop {next_hop} from {}{cost}", self.peer)
    }

    /// The attributes that are there, in words.
    pub(crate) fn attributes(&self) -> String {
        let path = if self.as_path.is_empty() {
            "empty"
        } else {
            &self.as_path
        };
        let mut words = vec![format!("AS path {path}"), format!("origin {}", self.origin)];
        let numbers = [
            ("local pref", self.local_pref.map(u64::from)),
            ("MED", self.med.map(u64::from)),
            ("AIGP", self.aigp),
            ("path id", self.path_id.map(u64::from)),
            ("only to customer", self.only_to_customer.map(u64::from)),
            ("tag", Some(self.tag).filter(|tag| *tag != 0).map(u64::from)),
        ];
        let present = numbers
            .iter()
            .filter_map(|(name, value)| Some((name, (*value)?)));
        words.extend(present.map(|(name, value)| format!("{name} {value}")));
        let communities = self.all_communities();
        if !communities.is_empty() {
            words.push(format!("communities {communities}"));
        }
        words.extend(
            self.originator_id
                .iter()
                .map(|id| format!("originator {id}")),
        );
        if !self.cluster_list.is_empty() {
            words.push(format!("clusters {}", self.cluster_list.join(" ")));
        }
        words.join(", ")
    }

    fn all_communities(&self) -> String {
        let kinds = [
            &self.communities,
            &self.large_communities,
            &self.ext_communities,
            &self.ipv6_ext_communities,
        ];
        kinds
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn words(&self, prefix: &str) -> Vec<Word> {
        let tone = if self.best || self.multipath {
            Tone::Good
        } else {
            Tone::Plain
        };
        vec![
            Word::new(self.mark(), tone),
            prefix.into(),
            self.next_hop.clone().into(),
            self.peer.as_str().into(),
            self.local_pref.into(),
            self.med.into(),
            self.aigp.into(),
            self.cost.into(),
            self.as_path.as_str().into(),
            self.origin.into(),
            self.all_communities().into(),
            self.originator_id.clone().into(),
            self.cluster_list.join(" ").into(),
            self.path_id.into(),
            self.reason.as_str().into(),
        ]
    }
}
