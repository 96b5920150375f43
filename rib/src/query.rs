//! What an operator asks: pages of routes in the order of their prefixes, and why a path was or was not chosen.
//!
//! The table is a hash table, so an ordered page is found by looking at every prefix once: the smallest
//! [`AHEAD`] prefixes behind the last page are chosen, sorted and kept, and further pages of the same query are
//! taken from them. A page costs O(n) at worst, one in [`AHEAD`] / limit does, and no index takes memory when nobody
//! asks. A prefix that comes between two pages may be missing; one that goes is.

use std::fmt;

use bgp_core::{Attributes, Family, Ipv4Prefix, Ipv6Prefix, Prefix};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::decision::{self, Candidate, Step};
use crate::next_hop::{NextHopKey, Reach};
use crate::packer::exported;
use crate::peer::PeerId;
use crate::plane::Plane;
use crate::plane::each::for_member;
use crate::rib::{Core, Rib};
use crate::several::{ToldPath, ToldPaths};
use crate::table::{Flags, Path};

/// Most rows of a page.
pub const PAGE_MAX: usize = 1000;

/// Prefixes that are sorted at once, for this page and those after it.
const AHEAD: usize = 64 * PAGE_MAX;

/// Which routes are asked for. What is absent does not restrict.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RouteQuery {
    /// This prefix.
    pub prefix: Option<IpNet>,
    /// All within it too.
    pub longer: bool,
    /// Only best paths.
    pub best_only: bool,
    /// As this peer told them, before policy.
    pub received_from: Option<PeerId>,
    /// As this peer is told them.
    pub advertised_to: Option<PeerId>,
    /// Of this family.
    pub family: Option<Family>,
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutePage {
    /// Sorted by prefix, IPv4 first.
    pub rows: Vec<RouteRow>,
    /// Ask for the page after this; `None`: that was all.
    pub next: Option<IpNet>,
}

/// A prefix with its paths.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRow {
    /// Where to.
    pub prefix: IpNet,
    /// The best one first, then in the order of their peers' numbers.
    pub paths: Vec<PathRow>,
}

/// One path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathRow {
    /// Who told it.
    pub peer: PeerId,
    /// Its Path Identifier (RFC 7911), or what tells apart paths of a local owner.
    pub path_id: u32,
    /// All its attributes.
    pub attributes: Attributes,
    /// A mark of policies; zero: none.
    pub tag: u32,
    /// It is the best one.
    pub best: bool,
    /// It shares the traffic with the best one.
    pub multipath: bool,
    /// Its peer has not told it since it began to tell its routes again, or lost its session.
    pub stale: bool,
    /// The interior cost to its next hop; `None`: it cannot be reached.
    pub cost: Option<u64>,
    /// Why it is what it is.
    pub reason: Reason,
}

/// Why a path was chosen, or not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// It was eligible. For the best one: the step that left it alone; for others: the step that removed it.
    Step(Step),
    /// Import policy rejected it, or there is none (RFC 8212).
    Rejected,
    /// Our AS is in AS_PATH (RFC 4271 §9.1.2).
    AsLoop,
    /// We are its originator (RFC 4456 §8).
    OriginatorLoop,
    /// Our cluster is in CLUSTER_LIST (RFC 4456 §8).
    ClusterLoop,
    /// It was leaked (RFC 9234 §5).
    Leak,
    /// Its next hop is not resolved yet.
    NextHopUnknown,
    /// Its next hop cannot be reached (RFC 4271 §9.1.2.1).
    NextHopUnreachable,
}

impl Reason {
    /// Whether it may be chosen at all.
    #[must_use]
    pub const fn is_eligible(self) -> bool {
        matches!(self, Self::Step(_))
    }

    /// Whether policy and the RFC's checks let it through.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(
            self,
            Self::Step(_) | Self::NextHopUnknown | Self::NextHopUnreachable
        )
    }
}

/// A prefix, and what decided among its paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The prefix.
    pub prefix: IpNet,
    /// In the order of [`RouteRow::paths`].
    pub candidates: Vec<CandidateView>,
    /// Who is told the best one.
    pub advertised_to: Vec<PeerId>,
}

/// A path, and what is behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateView {
    /// The path.
    pub path: PathRow,
    /// What has to be resolved for it.
    pub next_hop: Option<NextHopKey>,
    /// What is known about that.
    pub reach: Reach,
    /// What import policy did, a line a rule that spoke.
    pub policy: Vec<String>,
}

/// Prefixes chosen and sorted, smallest last.
#[derive(Debug)]
pub(crate) struct Ahead<P> {
    query: RouteQuery,
    /// The page that was given last ended here.
    after: Option<P>,
    prefixes: Vec<P>,
    /// There are more behind them.
    more: bool,
}

impl Rib {
    /// A page of at most `limit` (and [`PAGE_MAX`]) routes behind `after`, which is the last page's [`RoutePage::next`].
    pub fn routes(&mut self, query: &RouteQuery, after: Option<IpNet>, limit: usize) -> RoutePage {
        let mut page = RoutePage::default();
        let limit = limit.clamp(1, PAGE_MAX);
        let wants = |family: Family| {
            query.family.is_none_or(|f| f == family)
                && query.prefix.is_none_or(|p| family_of(p) == family)
        };
        let Self { core, ipv4, ipv6 } = self;
        let in_ipv6 = after.is_some_and(|after| family_of(after) == Family::Ipv6Unicast);
        if wants(Family::Ipv4Unicast) && !in_ipv6 {
            let after = after.and_then(Ipv4Prefix::from_net);
            ipv4.page(core, query, after, limit, &mut page);
        }
        if wants(Family::Ipv6Unicast) && page.rows.len() < limit {
            let after = after.and_then(Ipv6Prefix::from_net);
            ipv6.page(core, query, after, limit, &mut page);
        }
        page
    }

    /// The route to exactly `prefix`.
    #[must_use]
    pub fn route(&self, prefix: IpNet) -> Option<RouteRow> {
        let query = RouteQuery::default();
        if let Some(prefix) = Ipv4Prefix::from_net(prefix) {
            return self.ipv4.row(&self.core, &query, prefix);
        }
        let prefix = Ipv6Prefix::from_net(prefix)?;
        self.ipv6.row(&self.core, &query, prefix)
    }

    /// Why the route to exactly `prefix` is what it is.
    #[must_use]
    pub fn explain(&self, prefix: IpNet) -> Option<Explanation> {
        if let Some(prefix) = Ipv4Prefix::from_net(prefix) {
            return self.ipv4.explain(&self.core, prefix);
        }
        self.ipv6.explain(&self.core, Ipv6Prefix::from_net(prefix)?)
    }
}

impl<P: Prefix> Plane<P> {
    fn page(
        &mut self,
        core: &Core,
        query: &RouteQuery,
        after: Option<P>,
        limit: usize,
        page: &mut RoutePage,
    ) {
        if let Some(prefix) = query.prefix.filter(|_| !query.longer) {
            let prefix = P::from_net(prefix).filter(|p| after.is_none_or(|after| *p > after));
            let row = prefix.and_then(|prefix| self.row(core, query, prefix));
            page.rows.extend(row);
            return;
        }
        let fits = |a: &Ahead<P>| after.is_some() && a.after == after && a.query == *query;
        let mut ahead = self
            .ahead
            .take()
            .filter(fits)
            .unwrap_or_else(|| self.look_ahead(query, after));
        loop {
            let Some(prefix) = ahead.prefixes.pop() else {
                if !ahead.more {
                    page.next = None;
                    return;
                }
                ahead = self.look_ahead(query, ahead.after);
                continue;
            };
            ahead.after = Some(prefix);
            page.rows.extend(self.row(core, query, prefix));
            if page.rows.len() >= limit {
                break;
            }
        }
        page.next = ahead.after.map(Into::into);
        self.ahead = Some(ahead);
    }

    /// The smallest prefixes behind `after` that the query may want.
    fn look_ahead(&self, query: &RouteQuery, after: Option<P>) -> Ahead<P> {
        let within = query.prefix.and_then(P::from_net);
        let wanted = |prefix: &P| {
            after.is_none_or(|after| *prefix > after) && within.is_none_or(|w| w.covers(*prefix))
        };
        let nets = self.table.indices().filter_map(|net| self.table.net(net));
        let nets = nets.filter(|net| net.is_live()).map(|net| net.prefix);
        let mut prefixes: Vec<P> = Vec::new();
        let mut more = false;
        for prefix in nets.filter(wanted) {
            prefixes.push(prefix);
            if prefixes.len() == 2 * AHEAD {
                prefixes.select_nth_unstable(AHEAD);
                prefixes.truncate(AHEAD);
                more = true;
            }
        }
        prefixes.sort_unstable();
        more |= prefixes.len() > AHEAD;
        prefixes.truncate(AHEAD);
        prefixes.reverse();
        Ahead {
            query: query.clone(),
            after,
            prefixes,
            more,
        }
    }

    fn row(&self, core: &Core, query: &RouteQuery, prefix: P) -> Option<RouteRow> {
        let net = self.table.find(prefix)?;
        let mut paths = match query.advertised_to {
            Some(peer) => self.advertised(core, net, peer),
            None => self.paths(core, net, query.received_from),
        };
        paths.retain(|path| {
            (!query.best_only || path.best)
                && query.received_from.is_none_or(|peer| path.peer == peer)
        });
        (!paths.is_empty()).then(|| RouteRow {
            prefix: prefix.into(),
            paths,
        })
    }

    /// All paths of a net, the best one first. Those of `received_from` with their attributes before policy.
    fn paths(&self, core: &Core, net: u32, received_from: Option<PeerId>) -> Vec<PathRow> {
        let Some((best, prefix)) = self.table.net(net).map(|n| (n.best, n.prefix)) else {
            return Vec::new();
        };
        let mut eligible: SmallVec<[u32; 16]> = SmallVec::new();
        let mut candidates: SmallVec<[Candidate; 16]> = SmallVec::new();
        let all: Vec<(u32, &Path)> = self
            .table
            .paths_of(net)
            .filter_map(|path| Some((path, self.table.path(path)?)))
            .collect();
        for (index, path) in &all {
            if let Some(candidate) = Self::candidate(core, prefix, path) {
                eligible.push(*index);
                candidates.push(candidate);
            }
        }
        let steps = decision::explain(&candidates, core.config.multipath);
        let steps = steps.map(|(_, steps)| steps).unwrap_or_default();
        let mut rows: Vec<PathRow> = all
            .iter()
            .filter_map(|(index, path)| {
                let at = eligible.iter().position(|e| e == index);
                let step = at.and_then(|at| steps.get(at)).copied();
                let is_received = received_from == Some(path.peer());
                let attrs = if is_received {
                    path.received
                } else {
                    path.attrs
                };
                Some(PathRow {
                    peer: path.peer(),
                    path_id: path.path_id,
                    attributes: core.store.attributes(attrs)?,
                    tag: core.store.facts(path.attrs)?.tag,
                    best: best == *index,
                    multipath: path.flags().has(Flags::MULTIPATH),
                    stale: path.flags().has(Flags::STALE),
                    cost: core.store.cost(path.attrs, prefix),
                    reason: step
                        .map_or_else(|| ineligible(core, prefix.into(), path), Reason::Step),
                })
            })
            .collect();
        rows.sort_by_key(|row| (!row.best, row.peer, row.path_id));
        rows
    }

    /// What a peer is told of a net, as far as its group has heard, with the Path Identifiers that it is told.
    fn advertised(&self, core: &Core, net: u32, peer: PeerId) -> Vec<PathRow> {
        let group = self
            .member(peer)
            .and_then(|member| self.group(member.group));
        let (Some(group), Some(prefix)) = (group, self.table.net(net).map(|net| net.prefix)) else {
            return Vec::new();
        };
        let told: ToldPaths = match &group.several {
            Some(several) if group.view.is_for_each() => {
                for_member(&several.told(net), peer).into_iter().collect()
            }
            Some(several) => several.told(net),
            None => {
                let told = group.told(net).get().into_iter();
                told.map(|(attrs, source)| ToldPath::new(0, attrs, source))
                    .collect()
            }
        };
        let rows = self.paths(core, net, None);
        let is_it = |row: &PathRow, told: ToldPath| {
            let numbered = || {
                let path = self.table.find_path(net, row.peer, row.path_id);
                path.is_some_and(|path| self.table.number_of(path) == told.number)
            };
            let has_attributes = || {
                let path = self.table.find_path(net, row.peer, row.path_id);
                let attrs = path.and_then(|path| Some(self.table.path(path)?.attrs));
                attrs == told.get().map(|(attrs, _)| attrs)
            };
            let right = if group.view.is_for_each() {
                has_attributes()
            } else if told.number == 0 {
                row.best
            } else {
                numbered()
            };
            row.peer == told.source && right
        };
        let others = told.into_iter().filter(|told| {
            let suppressed = core.is_suppressed(told.source, prefix);
            told.source != peer && !suppressed
        });
        let row = |told: ToldPath| {
            let attributes = exported(core, &group.view, told.get()?, prefix)?;
            Some(PathRow {
                attributes,
                path_id: if group.view.encode.add_path {
                    told.number
                } else {
                    0
                },
                ..rows.iter().find(|row| is_it(row, told))?.clone()
            })
        };
        others.filter_map(row).collect()
    }

    fn explain(&self, core: &Core, prefix: P) -> Option<Explanation> {
        let net = self.table.find(prefix)?;
        let view = |path: PathRow| {
            let found = self.table.find_path(net, path.peer, path.path_id);
            let found = found.and_then(|found| self.table.path(found));
            let facts = found.and_then(|found| core.store.facts(found.attrs));
            let hop = facts.map(|facts| facts.next_hop);
            let received = found.and_then(|found| core.store.attributes(found.received));
            CandidateView {
                next_hop: hop.and_then(|hop| core.store.next_hops.key(hop)),
                reach: hop.map_or(Reach::Unknown, |hop| {
                    core.store.next_hops.reach(hop, prefix)
                }),
                policy: core.import_trace(path.peer, prefix.into(), received),
                path,
            }
        };
        let paths = self.paths(core, net, None);
        if paths.is_empty() {
            return None;
        }
        let told = |peer: &PeerId| self.advertised(core, net, *peer).iter().any(|row| row.best);
        Some(Explanation {
            prefix: prefix.into(),
            candidates: paths.into_iter().map(view).collect(),
            advertised_to: core.peers.iter().map(|(id, _)| id).filter(told).collect(),
        })
    }
}

/// Why a path that is no candidate is none.
fn ineligible(core: &Core, prefix: IpNet, path: &Path) -> Reason {
    let why = [
        (Flags::AS_LOOP, Reason::AsLoop),
        (Flags::ORIGINATOR_LOOP, Reason::OriginatorLoop),
        (Flags::CLUSTER_LOOP, Reason::ClusterLoop),
        (Flags::LEAK, Reason::Leak),
        (Flags::REJECTED, Reason::Rejected),
    ];
    let flagged = why.iter().find(|(flag, _)| path.flags().has(*flag));
    if let Some((_, reason)) = flagged {
        return *reason;
    }
    let hop = core.store.facts(path.attrs).map(|facts| facts.next_hop);
    match hop.map(|hop| core.store.next_hops.reach(hop, prefix)) {
        Some(Reach::Unreachable) => Reason::NextHopUnreachable,
        Some(Reach::Unknown | Reach::Reachable(_)) | None => Reason::NextHopUnknown,
    }
}

/// The family of a prefix.
pub(crate) const fn family_of(prefix: IpNet) -> Family {
    match prefix {
        IpNet::V4(_) => Family::Ipv4Unicast,
        IpNet::V6(_) => Family::Ipv6Unicast,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Step(step) => return step.fmt(f),
            Self::Rejected => "rejected by import policy",
            Self::AsLoop => "our AS is in AS_PATH",
            Self::OriginatorLoop => "ORIGINATOR_ID is ours",
            Self::ClusterLoop => "our cluster is in CLUSTER_LIST",
            Self::Leak => "a route leak (ONLY_TO_CUSTOMER)",
            Self::NextHopUnknown => "the next hop is not resolved yet",
            Self::NextHopUnreachable => "the next hop is unreachable",
        })
    }
}
