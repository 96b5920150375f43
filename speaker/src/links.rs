//! Links that are measured: which ones, for which peers, and what their cost does to routes.
//!
//! The probes themselves live where a full table cannot delay them: the driver keeps a [`path_score::Node`], opens and
//! closes its links as [`Effect::Link`] says, and reports with [`Event::Link`](crate::Event::Link).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use fib_netlink::{Input, LinkQuality, Resolution, Way};
use path_score::judge::Change;
use path_score::{Direction, LinkId, Method};
use rib::{NextHopKey, PeerId, Resolved};
use smallvec::SmallVec;

use crate::command::PeerName;
use crate::config::Secret;
use crate::event::Effect;
use crate::fib::next_hop;
use crate::{Notice, Speaker};

/// Where a link's neighbor is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LinkPath {
    /// Its address.
    pub remote: IpAddr,
    /// Ours, if it matters.
    pub local: Option<IpAddr>,
    /// The device over which it must be reached.
    pub interface: Option<String>,
}

impl LinkPath {
    /// Whether BFD watches the same way: to the same neighbor, over the same device if both name one.
    #[must_use]
    pub fn is_watched_by(&self, path: &bfd::Path) -> bool {
        let (ours, theirs) = (self.interface.as_ref(), path.interface.as_ref());
        self.remote == path.remote && (ours.is_none() || theirs.is_none() || ours == theirs)
    }
}

/// Whether a link is to be measured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkOrder {
    /// Its name from now on.
    pub link: LinkId,
    /// `None`: nobody wants it any more. An order for a link that is there changes its key.
    pub path: Option<LinkPath>,
    /// The secret of the authenticated mode (RFC 8762 §4.4).
    pub key: Option<Secret>,
}

/// Whose link it is.
#[derive(Clone, Debug, Default)]
pub struct LinkUse {
    /// The peers behind it.
    pub peers: Vec<PeerName>,
    /// What it can carry, in bit/s, as configured.
    pub capacity: Option<u64>,
}

/// What the driver reports of links.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkReport {
    /// A cost changed.
    Cost(Change),
    /// What an operator wants to know.
    Notice(path_score::judge::Notice),
    /// A link is measured by this from now on.
    Measured(LinkId, Method),
    /// The system gives no socket for ICMP echo, for this reason: neighbors without STAMP are not measured.
    NoEcho(String),
}

/// All links that are measured.
#[derive(Debug, Default)]
pub(crate) struct Links {
    by_path: BTreeMap<LinkPath, LinkId>,
    measured: BTreeMap<LinkId, Measured>,
    last: u32,
    /// How each next hop that routes have is reached.
    ways: BTreeMap<NextHopKey, Reached>,
    /// See [`Probe::symmetric`](crate::config::Probe).
    symmetric: bool,
}

#[derive(Debug)]
struct Measured {
    path: LinkPath,
    key: Option<Secret>,
    peers: Vec<PeerId>,
    /// What it can carry, in bit/s.
    capacity: Option<u64>,
    /// From us to the neighbor.
    there: Direct,
    /// From the neighbor to us.
    back: Direct,
}

/// One direction of a link.
#[derive(Clone, Copy, Debug)]
struct Direct {
    /// In microseconds.
    cost: u64,
    /// The packets that arrive, in percent.
    delivered: u8,
}

impl Direct {
    /// As it was judged last.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 100"
    )]
    fn of(change: &Change) -> Self {
        let lost = (change.loss * 100.0).clamp(0.0, 100.0).round() as u8;
        Self {
            cost: u64::from(change.cost.micros()),
            delivered: 100 - lost,
        }
    }

    fn worse(self, other: Self) -> Self {
        Self {
            cost: self.cost.max(other.cost),
            delivered: self.delivered.min(other.delivered),
        }
    }
}

/// How a next hop is reached, and what the FIB knows of the links on the way.
#[derive(Debug)]
struct Reached {
    way: Resolution,
    links: Qualities,
}

type Qualities = SmallVec<[(fib_netlink::Path, LinkQuality); 1]>;

/// What follows from how a next hop is reached.
#[derive(Debug, Default)]
struct Followed {
    resolved: Resolved,
    links: Qualities,
}

impl Links {
    /// The measured link that a way to a next hop takes.
    fn on(&self, key: NextHopKey, way: Way, device: Option<&str>) -> Option<&Measured> {
        let near = way.path.gateway.unwrap_or(key.address);
        let is_there = |link: &&Measured| {
            let named = link.path.interface.as_deref();
            link.path.remote == near && named.is_none_or(|named| device == Some(named))
        };
        self.measured.values().find(is_there).or_else(|| {
            // A device that only one peer names is the link to it, as a tunnel is, whatever the next hop's address is.
            let same = |link: &&Measured| {
                let named = link.path.interface.as_deref();
                named.is_some() && named == device
            };
            let mut here = self.measured.values().filter(same);
            here.next().filter(|_| here.next().is_none())
        })
    }

    /// What a way over a link is like.
    fn there(&self, link: &Measured) -> Direct {
        match self.symmetric {
            true => link.there.worse(link.back),
            false => link.there,
        }
    }

    /// Notes how a next hop is reached. What the FIB is to know of its links, if that is news.
    fn reached(
        &mut self,
        key: NextHopKey,
        way: Option<Resolution>,
        links: Qualities,
    ) -> Option<Input> {
        let told = match way {
            Some(way) => {
                let links = links.clone();
                self.ways.insert(key, Reached { way, links })
            }
            None => self.ways.remove(&key),
        };
        let told = told.map(|told| told.links).unwrap_or_default();
        let next_hop = next_hop(key);
        (told != links).then_some(Input::Links { next_hop, links })
    }
}

/// What peers want of a link.
#[derive(Debug, Default)]
struct Asked {
    peers: Vec<PeerId>,
    key: Option<Secret>,
    capacity: Option<u64>,
}

impl Speaker {
    fn asked_links(&self) -> BTreeMap<LinkPath, Asked> {
        let mut wanted: BTreeMap<LinkPath, Asked> = BTreeMap::new();
        for peer in self.peers.iter().filter(|p| p.enabled && p.options.probe) {
            let path = LinkPath {
                remote: peer.name.address,
                local: peer.options.local_address,
                interface: peer.interface().map(str::to_owned),
            };
            let asked = wanted.entry(path).or_default();
            asked.peers.push(peer.id);
            asked.key = asked.key.take().or_else(|| peer.options.probe_key.clone());
            asked.capacity = asked.capacity.or(peer.options.capacity);
        }
        wanted
    }

    /// Orders the links that peers want measured, and gives up those that none does any more.
    pub(crate) fn measure_links(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let wanted = self.asked_links();
        let links = &mut self.links;
        links.symmetric = self.config.probe.symmetric;
        links.by_path.retain(|path, link| {
            let stays = wanted.contains_key(path);
            if !stays {
                links.measured.remove(link);
                out.push(Effect::Link(LinkOrder {
                    link: *link,
                    path: None,
                    key: None,
                }));
            }
            stays
        });
        let unmeasured = u64::from(self.config.probe.node.judge.weights.unmeasured.micros());
        for (path, asked) in wanted {
            let Asked {
                peers,
                key,
                capacity,
            } = asked;
            if let Some(link) = links.by_path.get(&path) {
                if let Some(measured) = links.measured.get_mut(link) {
                    measured.peers = peers;
                    measured.capacity = capacity;
                    if measured.key != key {
                        measured.key.clone_from(&key);
                        out.push(Effect::Link(LinkOrder {
                            link: *link,
                            path: Some(path),
                            key,
                        }));
                    }
                }
                continue;
            }
            links.last += 1;
            let link = LinkId(links.last);
            out.push(Effect::Link(LinkOrder {
                link,
                path: Some(path.clone()),
                key: key.clone(),
            }));
            links.by_path.insert(path.clone(), link);
            let unknown = Direct {
                cost: unmeasured,
                delivered: 100,
            };
            let measured = Measured {
                path,
                key,
                peers,
                capacity,
                there: unknown,
                back: unknown,
            };
            links.measured.insert(link, measured);
        }
        self.cost_next_hops(now, out);
    }

    /// A link costs something else, or there is something to know.
    pub(crate) fn link_report(&mut self, now: Instant, report: &LinkReport, out: &mut Vec<Effect>) {
        out.push(Effect::Notice(Notice::Link(report.clone())));
        let LinkReport::Cost(change) = report else {
            return;
        };
        let Some(measured) = self.links.measured.get_mut(&change.link) else {
            return;
        };
        match change.direction {
            Direction::Forward => measured.there = Direct::of(change),
            Direction::Reverse => measured.back = Direct::of(change),
        }
        if change.direction == Direction::Forward || self.links.symmetric {
            self.cost_next_hops(now, out);
        }
    }

    /// The resolver says how a next hop is reached, or that it is not: what that costs. What the FIB is to know of the links
    /// goes to `tell`.
    pub(crate) fn way_cost(
        &mut self,
        key: NextHopKey,
        way: Option<Resolution>,
        tell: &mut Vec<Input>,
    ) -> Resolved {
        let followed = way.as_ref().map(|way| self.what_follows(key, way));
        let Followed { resolved, links } = followed.unwrap_or_default();
        tell.extend(self.links.reached(key, way, links));
        resolved
    }

    /// No route has this next hop any more.
    pub(crate) fn forget_way(&mut self, key: NextHopKey) {
        self.links.ways.remove(&key);
    }

    /// Of several ways that share the traffic, the dearest counts: packets take that one too. What they carry adds up.
    fn what_follows(&self, key: NextHopKey, way: &Resolution) -> Followed {
        let link = |way: &Way| {
            let device = self.fib.interface_name(way.path.interface);
            self.links.on(key, *way, device)
        };
        let cost = |way: &Way| {
            let cost = link(way).map_or(0, |link| self.links.there(link).cost);
            u64::from(way.metric) + cost
        };
        let quality = |way: &Way| {
            let link = link(way)?;
            let quality = LinkQuality {
                capacity: link.capacity,
                delivered: self.links.there(link).delivered,
            };
            Some((way.path, quality))
        };
        let links: Qualities = way.ways.iter().filter_map(quality).collect();
        let rate = |(_, link): &(fib_netlink::Path, LinkQuality)| {
            Some(link.capacity? / 100 * u64::from(link.delivered))
        };
        let mut rates = links.iter().map(rate);
        let rate = rates.try_fold(0_u64, |sum, rate| Some(sum.saturating_add(rate?)));
        let dearest = |ways: &[Way]| ways.iter().map(cost).max();
        let without = |ways: &Option<fib_netlink::Ways>| ways.as_deref().and_then(dearest);
        let through = way.through.iter();
        let resolved = Resolved {
            cost: dearest(&way.ways),
            without: through.map(|t| (t.prefix, without(&t.without))).collect(),
            rate: Option::filter(rate, |_| links.len() == way.ways.len()),
        };
        Followed { resolved, links }
    }

    /// All at once: the tables are looked through once, however many next hops a link has.
    fn cost_next_hops(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let ways = self.links.ways.iter();
        let all = ways.map(|(key, reached)| (*key, self.what_follows(*key, &reached.way)));
        let all: Vec<(NextHopKey, Followed)> = all.collect();
        let mut tell = Vec::new();
        for (key, followed) in &all {
            let Some(reached) = self.links.ways.get_mut(key) else {
                continue;
            };
            if reached.links != followed.links {
                reached.links.clone_from(&followed.links);
                tell.push(Input::Links {
                    next_hop: next_hop(*key),
                    links: followed.links.clone(),
                });
            }
        }
        // Who shares traffic shares it anew before the tables are looked through.
        self.fib_inputs(now, tell, out);
        let resolved = all.into_iter().map(|(key, all)| (key, all.resolved));
        self.rib.set_next_hops(resolved);
    }

    /// Whose link it is, for whoever shows it.
    #[must_use]
    pub fn link_use(&self, link: LinkId) -> LinkUse {
        let name = |id: &PeerId| Some(self.peers.get(*id)?.name.clone());
        let measured = self.links.measured.get(&link);
        measured.map_or_else(LinkUse::default, |measured| LinkUse {
            peers: measured.peers.iter().filter_map(name).collect(),
            capacity: measured.capacity,
        })
    }

    /// The link to a peer, if it is measured.
    #[must_use]
    pub fn link_of(&self, peer: &PeerName) -> Option<LinkId> {
        let id = self.peers.id_of(peer)?;
        let mut links = self.links.measured.iter();
        let (link, _) = links.find(|(_, measured)| measured.peers.contains(&id))?;
        Some(*link)
    }
}

/// What the planner calls a next hop.
pub(crate) const fn key_of(next_hop: fib_netlink::NextHop) -> NextHopKey {
    NextHopKey {
        address: next_hop.address,
        interface: next_hop.interface,
        direct: next_hop.direct,
    }
}
