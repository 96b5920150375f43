//! The naive model: from what each host heard, by brute force, what it must have chosen, told and installed.

mod choice;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use bgp_core::attributes::NextHop;
use bgp_core::bmp::Rib;
use bgp_core::{Attributes, Family};
use bgp_fsm::State;
use ipnet::IpNet;
use speaker::command::PeerName;
use speaker::config::{Config, MaxPrefixesAction, Peer, StaticVia};
use speaker::view::{PathView, PeerView, RouteQuery, Source};

use super::restarts::{check_restart, held_of, may_hold};
use super::world::World;
use super::{invariants, policy};
use choice::{Choice, Choices, choose_all, imported_of};
use told::{Told, expected};

/// More routes than any run has.
const ALL: usize = 1000;

/// Paths by prefix and Path Identifier; zero: none.
pub(super) type Table = BTreeMap<(IpNet, u32), Attributes>;

/// Another host that a host has a session with, as its configuration has it.
pub(super) struct Neighbor {
    pub(super) host: usize,
    /// For one from a range: what a peer of its own would have.
    pub(super) peer: Peer,
    identifier: Ipv4Addr,
}

impl Neighbor {
    pub(super) fn name(&self) -> PeerName {
        PeerName::new(self.peer.address, None)
    }
}

/// A host and a neighbor of its, as each has the other.
pub(super) struct Linked {
    pub(super) neighbor: Neighbor,
    pub(super) back: Neighbor,
    /// The neighbor is dead: what of its routes is kept, and whether its Restart Time is over (RFC 9494).
    held: Option<(Table, bool)>,
}

impl Linked {
    /// The neighbor is dead.
    pub(super) const fn is_held(&self) -> bool {
        self.held.is_some()
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
        invariants::check_loops(world, host, &config);
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

/// Those with whom a host has a session, and those that it waits for.
pub(super) fn linked(world: &mut World, host: usize) -> Result<Vec<Linked>, String> {
    let mut all = Vec::new();
    for other in 0..world.hosts.len() {
        let Some(neighbor) = neighbor(world, host, other) else {
            continue;
        };
        let back = self::neighbor(world, other, host).ok_or("a link with one end")?;
        let stopped = check_stopped(world, host, &neighbor)? | check_stopped(world, other, &back)?;
        if stopped {
            continue;
        }
        let is_dead = world.hosts.get(other).is_some_and(|h| h.dead.is_some());
        let held = match is_dead {
            true => Some(held_of(world, host, &neighbor)?),
            false => None,
        };
        if !is_dead {
            let view = view(world, host, &neighbor).ok_or("a peer is missing")?;
            if view.state != State::Established {
                let (state, why) = (view.state, view.last_error);
                return Err(format!("{} is {state:?}: {why:?}", view.address));
            }
        }
        all.push(Linked {
            neighbor,
            back,
            held,
        });
    }
    Ok(all)
}

fn check_host(world: &mut World, host: usize) -> Result<(), String> {
    let h = world.hosts.get(host).ok_or("no host")?;
    if h.dead.is_some() {
        return Ok(());
    }
    let (config, stage) = (h.config.clone(), h.stage(world.now));
    let linked = linked(world, host)?;
    let is_held = |path: &PathView| {
        let mut held = linked.iter().filter(|linked| linked.is_held());
        held.any(|linked| path.source == Source::Peer(linked.neighbor.name()))
    };
    let mut stale = paths(world, host, false).into_iter();
    if let Some((prefix, _)) = stale.find(|(_, path)| path.stale != is_held(path)) {
        return Err(format!("{prefix} is stale, or should be"));
    }
    let choices = choose_all(world, host, &config, &linked)?;
    check_chosen(world, host, &choices)?;
    for linked in linked.iter().filter(|linked| !linked.is_held()) {
        let told = expected(&config, stage, linked, &choices);
        let heard = received(world, linked.neighbor.host, &linked.back.name());
        let what = format!("what {} was told", linked.neighbor.peer.address);
        compare_told(&what, told, heard)?;
    }
    invariants::check_host(world, host, &linked)?;
    check_station(world, host, &config, &linked, &choices)?;
    check_kernel(world, host, &config, &choices)
}

/// What the station knows is what the tables have.
fn check_station(
    world: &mut World,
    host: usize,
    config: &Config,
    neighbors: &[Linked],
    choices: &Choices,
) -> Result<(), String> {
    if config.stations.is_empty() {
        return Ok(());
    }
    let picture = world.picture(host).cloned();
    let picture = picture.ok_or("the station is not connected")?;
    let neighbors = neighbors.iter().filter(|linked| !linked.is_held());
    let neighbors = neighbors.map(|linked| (&linked.neighbor, &linked.back));
    let up: Vec<_> = neighbors.clone().map(|(n, _)| n.peer.address).collect();
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
            let what = format!("{rib:?} of {address} at the station");
            compare(&what, &expected, &known.routes(rib))?;
            let families = neighbor.peer.options.families;
            if families.ipv4 && !known.is_complete(rib, Family::Ipv4Unicast) {
                return Err(format!("{what} lacks its End-of-RIB"));
            }
        }
    }
    let expected = choices.iter().filter_map(|(prefix, choice)| {
        let mut attributes = choice.set.first()?.attributes.clone();
        if attributes.next_hop.addr().is_unspecified() {
            let ourselves = config.router.router_id;
            attributes.next_hop = match prefix {
                IpNet::V4(_) => NextHop::V4(ourselves),
                IpNet::V6(_) => NextHop::V6(ourselves.to_ipv6_mapped()),
            };
        }
        Some(((*prefix, 0), attributes))
    });
    let expected = expected.collect();
    let loc_rib = picture.loc_rib.ok_or("the station has no Loc-RIB")?;
    let routes = loc_rib.routes(Rib::LocRib);
    compare("the Loc-RIB at the station", &expected, &routes)
}

/// What of a neighbor's routes import lets pass, as it leaves them.
fn imported(world: &mut World, host: usize, config: &Config, neighbor: &Neighbor) -> Table {
    let table = received(world, host, &neighbor.name());
    imported_of(config, neighbor, table)
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
    let paths = rows.flat_map(|row| row.paths.into_iter().map(move |path| (row.prefix, path)));
    paths
        .map(|(prefix, path)| ((prefix, path.path_id.unwrap_or(0)), path.attributes))
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

fn check_chosen(world: &mut World, host: usize, choices: &Choices) -> Result<(), String> {
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
            chosen.insert(prefix, (peer, path.path_id.unwrap_or(0)));
        }
    }
    let best = choices.iter();
    let expected: BTreeMap<_, _> = best
        .filter_map(|(prefix, choice)| Some((*prefix, choice.set.first()?.key())))
        .collect();
    if chosen != expected {
        return Err(format!(
            "the best paths are {chosen:?}, and should be {expected:?}"
        ));
    }
    Ok(())
}

fn check_kernel(
    world: &World,
    host: usize,
    config: &Config,
    choices: &Choices,
) -> Result<(), String> {
    let kernel = &world.hosts.get(host).ok_or("no host")?.kernel;
    let mut expected: BTreeMap<IpNet, BTreeSet<String>> = BTreeMap::new();
    for (prefix, Choice { set, .. }) in choices {
        let width = usize::from(config.router.multipath).min(set.len());
        let hops = set.iter().take(width).map(|c| c.attributes.next_hop.addr());
        let hops: BTreeSet<_> = hops
            .filter(|hop| !hop.is_unspecified())
            .map(|hop| hop.to_string())
            .collect();
        let mut discarding = config.aggregates.iter().filter(|a| a.discard);
        let best = set.first();
        if !hops.is_empty() {
            expected.insert(*prefix, hops);
        } else if best.is_some_and(|best| best.aggregate)
            && discarding.any(|aggregate| aggregate.prefix == *prefix)
        {
            // RFC 4632 §5.1.
            expected.insert(*prefix, BTreeSet::from(["blackhole".to_owned()]));
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
    for key in prefixes {
        let (expected, actual) = (expected.get(key), actual.get(key));
        if expected != actual {
            let (prefix, _) = key;
            return Err(format!(
                "{what} of {prefix} is {actual:?}, and should be {expected:?}"
            ));
        }
    }
    Ok(())
}

/// Path Identifiers are for the one who tells to choose: those of one prefix are compared as a whole.
fn compare_told(what: &str, mut expected: Told, heard: Table) -> Result<(), String> {
    let mut actual = Told::new();
    for ((prefix, _), attributes) in heard {
        actual.entry(prefix).or_default().push(attributes);
    }
    for paths in expected.values_mut().chain(actual.values_mut()) {
        paths.sort_by_cached_key(|path| format!("{path:?}"));
    }
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
