//! Links that are measured: which ones, for which peers, and what their cost does to routes.
//!
//! The probes themselves live where a full table cannot delay them: the driver keeps a [`path_score::Node`], opens and
//! closes its links as [`Effect::Link`] says, and reports with [`Event::Link`](crate::Event::Link).

use std::collections::BTreeMap;
use std::net::IpAddr;

use fib_netlink::{Resolution, Way};
use path_score::judge::Change;
use path_score::{Direction, LinkId, Method};
use rib::{NextHopKey, PeerId, Resolved};

use crate::command::PeerName;
use crate::config::Secret;
use crate::event::Effect;
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
    ways: BTreeMap<NextHopKey, Resolution>,
    /// See [`Probe::symmetric`](crate::config::Probe).
    symmetric: bool,
}

#[derive(Debug)]
struct Measured {
    path: LinkPath,
    key: Option<Secret>,
    peers: Vec<PeerId>,
    /// From us to the neighbor, in microseconds.
    cost: u64,
    /// From the neighbor to us.
    back: u64,
}

impl Links {
    /// What a way to a next hop costs: the kernel's metric and, where a measured link is on it, the link's cost.
    fn cost(&self, key: NextHopKey, way: Way, device: Option<&str>) -> u64 {
        let near = way.path.gateway.unwrap_or(key.address);
        let is_there = |link: &&Measured| {
            let named = link.path.interface.as_deref();
            link.path.remote == near && named.is_none_or(|named| device == Some(named))
        };
        let link = self.measured.values().find(is_there).or_else(|| {
            // A device that only one peer names is the link to it, as a tunnel is, whatever the next hop's address is.
            let same = |link: &&Measured| {
                let named = link.path.interface.as_deref();
                named.is_some() && named == device
            };
            let mut here = self.measured.values().filter(same);
            here.next().filter(|_| here.next().is_none())
        });
        let cost = |link: &Measured| match self.symmetric {
            true => link.cost.max(link.back),
            false => link.cost,
        };
        u64::from(way.metric) + link.map_or(0, cost)
    }
}

impl Speaker {
    /// Orders the links that peers want measured, and gives up those that none does any more.
    pub(crate) fn measure_links(&mut self, out: &mut Vec<Effect>) {
        let mut wanted: BTreeMap<LinkPath, (Vec<PeerId>, Option<Secret>)> = BTreeMap::new();
        for peer in self.peers.iter().filter(|p| p.enabled && p.options.probe) {
            let path = LinkPath {
                remote: peer.name.address,
                local: peer.options.local_address,
                interface: peer.interface().map(str::to_owned),
            };
            let (peers, key) = wanted.entry(path).or_default();
            peers.push(peer.id);
            *key = key.take().or_else(|| peer.options.probe_key.clone());
        }
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
        for (path, (peers, key)) in wanted {
            if let Some(link) = links.by_path.get(&path) {
                if let Some(measured) = links.measured.get_mut(link) {
                    measured.peers = peers;
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
            let (cost, back) = (unmeasured, unmeasured);
            let measured = Measured {
                path,
                key,
                peers,
                cost,
                back,
            };
            links.measured.insert(link, measured);
        }
        self.cost_next_hops();
    }

    /// A link costs something else, or there is something to know.
    pub(crate) fn link_report(&mut self, report: &LinkReport, out: &mut Vec<Effect>) {
        out.push(Effect::Notice(Notice::Link(report.clone())));
        let LinkReport::Cost(change) = report else {
            return;
        };
        let Some(measured) = self.links.measured.get_mut(&change.link) else {
            return;
        };
        let cost = u64::from(change.cost.micros());
        match change.direction {
            Direction::Forward => measured.cost = cost,
            Direction::Reverse => measured.back = cost,
        }
        if change.direction == Direction::Forward || self.links.symmetric {
            self.cost_next_hops();
        }
    }

    /// The resolver says how a next hop is reached, or that it is not: what that costs.
    pub(crate) fn way_cost(&mut self, key: NextHopKey, way: Option<Resolution>) -> Resolved {
        match way {
            Some(way) => {
                let cost = self.cost_of(key, &way);
                self.links.ways.insert(key, way);
                cost
            }
            None => {
                self.links.ways.remove(&key);
                Resolved::default()
            }
        }
    }

    /// No route has this next hop any more.
    pub(crate) fn forget_way(&mut self, key: NextHopKey) {
        self.links.ways.remove(&key);
    }

    /// Of several ways that share the traffic, the dearest counts: packets take that one too.
    fn cost_of(&self, key: NextHopKey, way: &Resolution) -> Resolved {
        let cost = |way: &Way| {
            let device = self.fib.interface_name(way.path.interface);
            self.links.cost(key, *way, device)
        };
        let dearest = |ways: &[Way]| ways.iter().map(cost).max();
        let without = |ways: &Option<fib_netlink::Ways>| ways.as_deref().and_then(dearest);
        let through = way.through.iter();
        Resolved {
            cost: dearest(&way.ways),
            without: through.map(|t| (t.prefix, without(&t.without))).collect(),
        }
    }

    /// All at once: the tables are looked through once, however many next hops a link has.
    fn cost_next_hops(&mut self) {
        let ways = self.links.ways.iter();
        let costs: Vec<_> = ways
            .map(|(key, way)| (*key, self.cost_of(*key, way)))
            .collect();
        self.rib.set_next_hops(costs);
    }

    /// The names of the peers behind a link, for whoever shows it.
    #[must_use]
    pub fn link_peers(&self, link: LinkId) -> Vec<PeerName> {
        let name = |id: &PeerId| Some(self.peers.get(*id)?.name.clone());
        let measured = self.links.measured.get(&link);
        measured.map_or(Vec::new(), |measured| {
            measured.peers.iter().filter_map(name).collect()
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
