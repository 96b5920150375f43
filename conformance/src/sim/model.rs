//! The naive model: from what each host heard, by brute force, what it must have chosen, told and installed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use bgp_core::attributes::{Community, NextHop};
use bgp_core::bmp::Rib;
use bgp_core::{Attributes, Family};
use bgp_fsm::State;
use ipnet::IpNet;
use speaker::command::PeerName;
use speaker::config::{Config, MaxPrefixesAction, Peer, StaticVia, When};
use speaker::view::{PathView, PeerView, RouteQuery, Source};

use super::policy;
use super::restarts::{check_restart, may_hold};
use super::world::World;

/// More routes than any run has.
const ALL: usize = 1000;

pub(super) type Table = BTreeMap<IpNet, Attributes>;

/// A path that may be chosen.
#[derive(Clone, Debug)]
struct Candidate {
    attributes: Attributes,
    /// `None`: our own.
    peer: Option<IpAddr>,
    external: bool,
    /// It came from a client of ours.
    client: bool,
    identifier: Ipv4Addr,
}

/// Another host that a host has a session with, as its configuration has it.
pub(super) struct Neighbor {
    host: usize,
    /// For one from a range: what a peer of its own would have.
    pub(super) peer: Peer,
    identifier: Ipv4Addr,
}

impl Neighbor {
    pub(super) fn name(&self) -> PeerName {
        PeerName::new(self.peer.address, None)
    }
}

/// What must hold at any moment, whatever goes wrong.
pub(super) fn check_always(world: &mut World) {
    for host in 0..world.hosts.len() {
        let peers = world.with(host, |s, _, _| (s.config().clone(), s.peers()));
        let Some((config, peers)) = peers else {
            continue;
        };
        for peer in &peers {
            let received = peer.prefixes.ipv4.received + peer.prefixes.ipv6.received;
            if received > 0
                && peer.state != State::Established
                && let Err(why) = may_hold(world, host, peer)
            {
                let what = format!("routes of {} outlive its session: {why}", peer.address);
                world.blame(host, &what);
            }
            let limit = limit(&config, peer.address);
            if limit.is_some_and(|limit| received > u64::from(limit)) {
                world.blame(
                    host,
                    &format!("{} has more routes than it may", peer.address),
                );
            }
        }
        check_restart(world, host);
        for (prefix, path) in paths(world, host, true) {
            let looped = path.attributes.as_path.contains(config.router.asn);
            if looped || path.attributes.originator_id == Some(config.router.router_id) {
                world.blame(host, &format!("the route to {prefix} leads through itself"));
            }
        }
    }
}

/// The limit at which a peer is stopped.
fn limit(config: &Config, address: IpAddr) -> Option<u32> {
    let named = config.peers.iter().find(|peer| peer.address == address);
    let options = match named {
        Some(peer) => &peer.options,
        None => {
            &config
                .ranges
                .iter()
                .find(|r| r.prefix.contains(&address))?
                .options
        }
    };
    let max = options.max_prefixes?;
    (max.then == MaxPrefixesAction::Stop).then_some(max.limit)
}

/// Blames the world for the first thing that is not as the model has it.
pub(super) fn check_at_rest(world: &mut World) {
    for host in 0..world.hosts.len() {
        if let Err(fault) = check_host(world, host) {
            world.blame(host, &format!("at rest, {fault}"));
            return;
        }
    }
}

fn check_host(world: &mut World, host: usize) -> Result<(), String> {
    let config = world.hosts.get(host).ok_or("no host")?.config.clone();
    let mut neighbors = Vec::new();
    for other in 0..world.hosts.len() {
        let Some(neighbor) = neighbor(world, host, other) else {
            continue;
        };
        let back = self::neighbor(world, other, host).ok_or("a link with one end")?;
        let stopped = check_stopped(world, host, &neighbor)? | check_stopped(world, other, &back)?;
        if !stopped {
            let view = view(world, host, &neighbor).ok_or("a peer is missing")?;
            if view.state != State::Established {
                let (state, why) = (view.state, view.last_error);
                return Err(format!("{} is {state:?}: {why:?}", view.address));
            }
            neighbors.push((neighbor, back));
        }
    }
    if let Some((prefix, _)) = paths(world, host, false).iter().find(|(_, p)| p.stale) {
        return Err(format!("{prefix} is still stale"));
    }
    let best = choose_all(world, host, &config, &neighbors)?;
    check_chosen(world, host, &best)?;
    for (neighbor, back) in &neighbors {
        let told = expected(&config, neighbor, back, &best);
        let heard = received(world, neighbor.host, &back.name());
        compare(
            &format!("what {} was told", neighbor.peer.address),
            &told,
            &heard,
        )?;
    }
    check_station(world, host, &config, &neighbors, &best)?;
    check_kernel(world, host, &config, &best)
}

/// What the station knows is what the tables have.
fn check_station(
    world: &mut World,
    host: usize,
    config: &Config,
    neighbors: &[(Neighbor, Neighbor)],
    best: &BTreeMap<IpNet, Vec<Candidate>>,
) -> Result<(), String> {
    if config.stations.is_empty() {
        return Ok(());
    }
    let picture = world.picture(host).cloned();
    let picture = picture.ok_or("the station is not connected")?;
    let up: Vec<_> = neighbors.iter().map(|(n, _)| n.peer.address).collect();
    if let Some(gone) = picture.peers.keys().find(|peer| !up.contains(peer)) {
        return Err(format!("the station knows {gone}, who is not up"));
    }
    for (neighbor, back) in neighbors {
        let (address, name) = (neighbor.peer.address, neighbor.name());
        let known = picture.peers.get(&address);
        let known = known.ok_or_else(|| format!("the station does not know {address}"))?;
        for (rib, expected) in [
            (Rib::AdjRibInPre, received(world, host, &name)),
            (Rib::AdjRibInPost, imported(world, host, config, neighbor)),
            (
                Rib::AdjRibOutPost,
                received(world, neighbor.host, &back.name()),
            ),
        ] {
            let routes = known.routes(rib).into_iter();
            let routes = routes.map(|((prefix, _), attributes)| (prefix, attributes));
            let what = format!("{rib:?} of {address} at the station");
            compare(&what, &expected, &routes.collect())?;
            let families = neighbor.peer.options.families;
            if families.ipv4 && !known.is_complete(rib, Family::Ipv4Unicast) {
                return Err(format!("{what} lacks its End-of-RIB"));
            }
        }
    }
    let expected = best.iter().filter_map(|(prefix, set)| {
        let mut attributes = set.first()?.attributes.clone();
        if attributes.next_hop.addr().is_unspecified() {
            let ourselves = config.router.router_id;
            attributes.next_hop = match prefix {
                IpNet::V4(_) => NextHop::V4(ourselves),
                IpNet::V6(_) => NextHop::V6(ourselves.to_ipv6_mapped()),
            };
        }
        Some((*prefix, attributes))
    });
    let expected = expected.collect();
    let loc_rib = picture.loc_rib.ok_or("the station has no Loc-RIB")?;
    let routes = loc_rib.routes(Rib::LocRib).into_iter();
    let routes = routes.map(|((prefix, _), attributes)| (prefix, attributes));
    compare("the Loc-RIB at the station", &expected, &routes.collect())
}

/// What of a neighbor's routes import lets pass, as it leaves them.
fn imported(world: &mut World, host: usize, config: &Config, neighbor: &Neighbor) -> Table {
    let router = &config.router;
    let import = neighbor.peer.options.import.as_ref();
    let mut table = received(world, host, &neighbor.name());
    table.retain(|prefix, attributes| {
        let looped = attributes.as_path.contains(router.asn)
            || attributes.originator_id == Some(router.router_id)
            || attributes.cluster_list.contains(&router.cluster_id);
        !looped && policy::apply(&config.policies, import, *prefix, attributes, router.asn)
    });
    table
}

/// Whether a host keeps a peer down because it had too many routes: nothing else may.
fn check_stopped(world: &mut World, host: usize, neighbor: &Neighbor) -> Result<bool, String> {
    let stopped = view(world, host, neighbor).is_some_and(|view| !view.enabled);
    let config = &world.hosts.get(host).ok_or("no host")?.config;
    if stopped && limit(config, neighbor.peer.address).is_none() {
        return Err(format!("{} is disabled", neighbor.peer.address));
    }
    Ok(stopped)
}

pub(super) fn view(world: &mut World, host: usize, neighbor: &Neighbor) -> Option<PeerView> {
    let name = neighbor.name();
    world.with(host, |s, _, _| s.peer(&name)).flatten()
}

/// What `other` is to `host`, if they are linked.
pub(super) fn neighbor(world: &World, host: usize, other: usize) -> Option<Neighbor> {
    let (us, them) = (world.hosts.get(host)?, world.hosts.get(other)?);
    let mut named = us.config.peers.iter();
    let peer = match named.find(|peer| them.addresses.contains(&peer.address)) {
        Some(peer) => peer.clone(),
        None => {
            let mut theirs = them.config.peers.iter();
            let ours = theirs.find(|peer| us.addresses.contains(&peer.address))?;
            let same = |address: &&IpAddr| address.is_ipv4() == ours.address.is_ipv4();
            let address = *them.addresses.iter().find(same)?;
            let mut ranges = us.config.ranges.iter();
            Peer {
                address,
                asn: them.config.router.asn,
                options: ranges.find(|r| r.prefix.contains(&address))?.peer_options(),
            }
        }
    };
    Some(Neighbor {
        host: other,
        peer,
        identifier: them.config.router.router_id,
    })
}

pub(super) fn received(world: &mut World, host: usize, from: &PeerName) -> Table {
    let query = RouteQuery {
        received_from: Some(from.clone()),
        ..RouteQuery::default()
    };
    let page = world.with(host, |s, _, _| {
        s.routes(&query, None, ALL).unwrap_or_default()
    });
    let rows = page.unwrap_or_default().routes.into_iter();
    rows.filter_map(|row| Some((row.prefix, row.paths.into_iter().next()?.attributes)))
        .collect()
}

/// All paths of a host, or its best ones.
pub(super) fn paths(world: &mut World, host: usize, best_only: bool) -> Vec<(IpNet, PathView)> {
    let query = RouteQuery {
        best_only,
        ..RouteQuery::default()
    };
    let page = world.with(host, |s, _, _| {
        s.routes(&query, None, ALL).unwrap_or_default()
    });
    let rows = page.unwrap_or_default().routes.into_iter();
    let paths = rows.flat_map(|row| row.paths.into_iter().map(move |path| (row.prefix, path)));
    paths.collect()
}

/// A host's own routes; those of the configuration must be what it says.
fn own(world: &mut World, host: usize, config: &Config) -> Result<Vec<(IpNet, PathView)>, String> {
    let mut own = paths(world, host, false);
    own.retain(|(_, path)| !matches!(path.source, Source::Peer(_)));
    let of = |source: Source| {
        let found = own.iter().filter(|(_, path)| path.source == source);
        found.map(|(prefix, _)| *prefix).collect::<BTreeSet<_>>()
    };
    let kernel = &world.hosts.get(host).ok_or("no host")?.kernel;
    let holds = |when: &When| match when {
        When::Always | When::RoutePresent(_) => true,
        When::AddressPresent(address) => kernel.has_address(*address),
    };
    let originate = config.originate.iter().filter(|o| holds(&o.when));
    let expected: BTreeSet<_> = originate.map(|o| o.prefix).collect();
    if of(Source::Originate) != expected {
        return Err(format!("what is originated is not {expected:?}"));
    }
    let expected: BTreeSet<_> = config.statics.iter().map(|s| s.prefix).collect();
    if of(Source::Static) != expected {
        return Err(format!("static routes are not {expected:?}"));
    }
    Ok(own)
}

fn choose_all(
    world: &mut World,
    host: usize,
    config: &Config,
    neighbors: &[(Neighbor, Neighbor)],
) -> Result<BTreeMap<IpNet, Vec<Candidate>>, String> {
    let mut candidates: BTreeMap<IpNet, Vec<Candidate>> = BTreeMap::new();
    for (prefix, path) in own(world, host, config)? {
        let own = Candidate {
            attributes: path.attributes,
            peer: None,
            external: false,
            client: false,
            identifier: Ipv4Addr::UNSPECIFIED,
        };
        candidates.entry(prefix).or_default().push(own);
    }
    let router = &config.router;
    for (neighbor, _) in neighbors {
        let Neighbor { peer, .. } = neighbor;
        for (prefix, attributes) in imported(world, host, config, neighbor) {
            candidates.entry(prefix).or_default().push(Candidate {
                identifier: attributes.originator_id.unwrap_or(neighbor.identifier),
                attributes,
                peer: Some(peer.address),
                external: peer.asn != router.asn,
                client: peer.options.rr_client && peer.asn == router.asn,
            });
        }
    }
    Ok(candidates
        .into_iter()
        .map(|(prefix, all)| (prefix, choose(&all)))
        .filter(|(_, chosen)| !chosen.is_empty())
        .collect())
}

/// The best path, then those that share the traffic with it. RFC 4271 §9.1.2.2, as plainly as can be.
fn choose(all: &[Candidate]) -> Vec<Candidate> {
    let mut left = all.to_vec();
    keep_least(&mut left, |c| {
        std::cmp::Reverse(c.attributes.local_pref.unwrap_or(100))
    });
    keep_least(&mut left, |c| c.peer.is_some());
    keep_least(&mut left, |c| c.attributes.as_path.len_for_decision());
    keep_least(&mut left, |c| c.attributes.origin);
    let rivals = left.clone();
    left.retain(|c| {
        let neighbor = |c: &Candidate| c.peer.and(c.attributes.as_path.neighbor_as());
        let med = |c: &Candidate| c.attributes.med.unwrap_or(0);
        !rivals
            .iter()
            .any(|r| neighbor(r) == neighbor(c) && med(r) < med(c))
    });
    keep_least(&mut left, |c| !c.external);
    let equal = left.clone();
    keep_least(&mut left, |c| c.identifier);
    keep_least(&mut left, |c| c.attributes.cluster_list.len());
    keep_least(&mut left, |c| c.peer);
    let best = left.first().cloned();
    let others = equal
        .into_iter()
        .filter(|c| best.as_ref().is_some_and(|best| best.peer != c.peer));
    best.clone().into_iter().chain(others).collect()
}

fn keep_least<K: Ord>(left: &mut Vec<Candidate>, key: impl Fn(&Candidate) -> K) {
    let least = left.iter().map(&key).min();
    left.retain(|candidate| Some(key(candidate)) == least);
}

fn check_chosen(
    world: &mut World,
    host: usize,
    best: &BTreeMap<IpNet, Vec<Candidate>>,
) -> Result<(), String> {
    let mut chosen = BTreeMap::new();
    for (prefix, path) in paths(world, host, true) {
        let peer = match &path.source {
            Source::Peer(peer) => Some(peer.address),
            Source::Originate
            | Source::Static
            | Source::Connected
            | Source::Kernel
            | Source::Aggregate
            | Source::Api(_) => None,
        };
        if path.best {
            chosen.insert(prefix, peer);
        }
    }
    let expected: BTreeMap<_, _> = best
        .iter()
        .filter_map(|(prefix, set)| Some((*prefix, set.first()?.peer)))
        .collect();
    if chosen != expected {
        return Err(format!(
            "the best paths are {chosen:?}, and should be {expected:?}"
        ));
    }
    Ok(())
}

/// What a peer must have been told. All peers have `next-hop = "self"`.
fn expected(
    config: &Config,
    neighbor: &Neighbor,
    back: &Neighbor,
    best: &BTreeMap<IpNet, Vec<Candidate>>,
) -> Table {
    let (router, peer) = (&config.router, &neighbor.peer);
    let external = peer.asn != router.asn;
    let mut told = Table::new();
    for (prefix, set) in best {
        let Some(route) = set.first() else { continue };
        let family = match prefix {
            IpNet::V4(_) => Family::Ipv4Unicast,
            IpNet::V6(_) => Family::Ipv6Unicast,
        };
        let agreed = *peer.options.families.get(family) && *back.peer.options.families.get(family);
        let carries = |community| route.attributes.communities.contains(&community);
        let internal = route.peer.is_some() && !route.external;
        // RFC 4456 §6.
        let reflected = route.client || peer.options.rr_client;
        let kept_back = !agreed
            || route.peer == Some(peer.address)
            || carries(Community::NO_ADVERTISE)
            || (external && carries(Community::NO_EXPORT))
            || (!external && internal && !reflected);
        if kept_back {
            continue;
        }
        let mut attributes = route.attributes.clone();
        // RFC 4271 §5.1.4: MED of another AS goes no further.
        if external && route.peer.is_some() {
            attributes.med = None;
        }
        let export = peer.options.export.as_ref();
        if !policy::apply(
            &config.policies,
            export,
            *prefix,
            &mut attributes,
            router.asn,
        ) {
            continue;
        }
        attributes.next_hop = next_hop(neighbor, back, *prefix);
        if external {
            attributes.as_path.prepend(router.asn, 1);
            attributes.local_pref = None;
            attributes.originator_id = None;
            attributes.cluster_list.clear();
        } else {
            attributes.local_pref.get_or_insert(100);
            if internal {
                // RFC 4456 §8.
                attributes.originator_id.get_or_insert(route.identifier);
                attributes.cluster_list.insert(0, router.cluster_id);
            }
        }
        told.insert(*prefix, attributes);
    }
    told
}

/// Ourselves, as a peer sees us: IPv4 routes have an IPv6 next hop over IPv6, if both offered it (RFC 8950).
fn next_hop(neighbor: &Neighbor, back: &Neighbor, prefix: IpNet) -> NextHop {
    let [v4, v6] = super::draw::addresses(back.host);
    let extended = neighbor.peer.options.extended_next_hop && back.peer.options.extended_next_hop;
    match (v4, v6) {
        (IpAddr::V4(v4), _)
            if prefix.addr().is_ipv4() && !(extended && back.peer.address.is_ipv6()) =>
        {
            NextHop::V4(v4)
        }
        (_, IpAddr::V6(v6)) => NextHop::V6(v6),
        (_, IpAddr::V4(v4)) => NextHop::V4(v4),
    }
}

fn check_kernel(
    world: &World,
    host: usize,
    config: &Config,
    best: &BTreeMap<IpNet, Vec<Candidate>>,
) -> Result<(), String> {
    let kernel = &world.hosts.get(host).ok_or("no host")?.kernel;
    let mut expected: BTreeMap<IpNet, BTreeSet<String>> = BTreeMap::new();
    for (prefix, set) in best {
        let width = usize::from(config.router.multipath).min(set.len());
        let hops = set.iter().take(width).map(|c| c.attributes.next_hop.addr());
        let hops: BTreeSet<_> = hops
            .filter(|hop| !hop.is_unspecified())
            .map(|hop| hop.to_string())
            .collect();
        if !hops.is_empty() {
            expected.insert(*prefix, hops);
        }
    }
    // They lose to nothing.
    for route in &config.statics {
        let ways = match &route.via {
            StaticVia::Blackhole => BTreeSet::from(["blackhole".to_owned()]),
            StaticVia::Unreachable => BTreeSet::from(["unreachable".to_owned()]),
            StaticVia::Prohibit => BTreeSet::from(["prohibit".to_owned()]),
            StaticVia::NextHops(hops) => hops.iter().map(|hop| hop.address.to_string()).collect(),
        };
        expected.insert(route.prefix, ways);
    }
    let place = |prefix| policy::place(&config.policies, &config.fib, prefix);
    expected.retain(|prefix, _| place(*prefix).is_some());
    let places = expected.keys().filter_map(|prefix| {
        let (table, metric) = place(*prefix)?;
        Some((*prefix, table, metric))
    });
    let places: BTreeSet<_> = places.collect();
    if kernel.places() != places {
        return Err(format!(
            "routes are in (table, metric) {:?}, and should be in {places:?}",
            kernel.places()
        ));
    }
    let actual = kernel.routes();
    if actual != expected {
        return Err(format!(
            "the kernel has {actual:?}, and should have {expected:?}"
        ));
    }
    Ok(())
}

fn compare(what: &str, expected: &Table, actual: &Table) -> Result<(), String> {
    let prefixes: BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
    for prefix in prefixes {
        let (expected, actual) = (expected.get(prefix), actual.get(prefix));
        if expected != actual {
            return Err(format!(
                "{what} of {prefix} is {actual:?}, and should be {expected:?}"
            ));
        }
    }
    Ok(())
}
