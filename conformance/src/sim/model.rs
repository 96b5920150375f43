//! The naive model: from what each host heard, by brute force, what it must have chosen, told and installed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgp_core::Attributes;
use bgp_core::attributes::NextHop;
use ipnet::IpNet;
use speaker::command::PeerName;
use speaker::config::{Config, Peer};
use speaker::view::{PathView, RouteQuery, Source};

use super::world::World;

/// More routes than any run has.
const ALL: usize = 1000;
/// NO_EXPORT and NO_ADVERTISE (RFC 1997).
const NO_EXPORT: u32 = 0xffff_ff01;
const NO_ADVERTISE: u32 = 0xffff_ff02;

type Table = BTreeMap<IpNet, Attributes>;

/// A path that may be chosen.
#[derive(Clone, Debug)]
struct Candidate {
    attributes: Attributes,
    /// `None`: our own.
    peer: Option<IpAddr>,
    external: bool,
    identifier: u32,
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
    for peer in &config.peers {
        let name = PeerName {
            address: peer.address,
            interface: None,
        };
        let view = world
            .with(host, |s, _, _| s.peer(&name))
            .flatten()
            .ok_or("a peer is missing")?;
        if view.state != bgp_fsm::State::Established {
            return Err(format!(
                "{} is {:?}: {:?}",
                peer.address, view.state, view.last_error
            ));
        }
    }
    let best = choose_all(world, host, &config)?;
    check_chosen(world, host, &best)?;
    for peer in &config.peers {
        let told = expected(&config, peer, &best);
        let other = world
            .hosts
            .iter()
            .position(|h| h.address == peer.address)
            .ok_or("no such host")?;
        let us = world.hosts.get(host).ok_or("no host")?.address;
        let heard = received(world, other, us);
        compare(&format!("what {} was told", peer.address), &told, &heard)?;
    }
    check_kernel(world, host, &config, &best)
}

fn received(world: &mut World, host: usize, from: IpAddr) -> Table {
    let query = RouteQuery {
        received_from: Some(PeerName::new(from, None)),
        ..RouteQuery::default()
    };
    let page = world.with(host, |s, _, _| {
        s.routes(&query, None, ALL).unwrap_or_default()
    });
    let rows = page.unwrap_or_default().routes.into_iter();
    rows.filter_map(|row| Some((row.prefix, row.paths.into_iter().next()?.attributes)))
        .collect()
}

/// All paths of a host that are its own.
fn own(world: &mut World, host: usize) -> Vec<(IpNet, PathView)> {
    let query = RouteQuery::default();
    let page = world.with(host, |s, _, _| {
        s.routes(&query, None, ALL).unwrap_or_default()
    });
    let rows = page.unwrap_or_default().routes.into_iter();
    let paths = rows.flat_map(|row| row.paths.into_iter().map(move |path| (row.prefix, path)));
    paths
        .filter(|(_, path)| !matches!(path.source, Source::Peer(_)))
        .collect()
}

fn choose_all(
    world: &mut World,
    host: usize,
    config: &Config,
) -> Result<BTreeMap<IpNet, Vec<Candidate>>, String> {
    let mut candidates: BTreeMap<IpNet, Vec<Candidate>> = BTreeMap::new();
    for (prefix, path) in own(world, host) {
        let own = Candidate {
            attributes: path.attributes,
            peer: None,
            external: false,
            identifier: 0,
        };
        candidates.entry(prefix).or_default().push(own);
    }
    for originate in &config.originate {
        if !candidates.contains_key(&originate.prefix) {
            return Err(format!("{} is not originated", originate.prefix));
        }
    }
    for peer in config
        .peers
        .iter()
        .filter(|peer| is_accept(peer.options.import.as_ref()))
    {
        for (prefix, attributes) in received(world, host, peer.address) {
            if attributes.as_path.contains(config.router.asn)
                || attributes.originator_id == Some(config.router.router_id)
            {
                continue;
            }
            let identifier = match (attributes.originator_id, peer.address) {
                (Some(id), _) | (None, IpAddr::V4(id)) => id.into(),
                (None, IpAddr::V6(_)) => 0,
            };
            candidates.entry(prefix).or_default().push(Candidate {
                attributes,
                peer: Some(peer.address),
                external: peer.asn != config.router.asn,
                identifier,
            });
        }
    }
    Ok(candidates
        .into_iter()
        .map(|(prefix, all)| (prefix, choose(&all)))
        .collect())
}

/// The best path, then those that share the traffic with it. RFC 4271 §9.1.2.2, as plainly as can be.
fn choose(all: &[Candidate]) -> Vec<Candidate> {
    let mut left = all.to_vec();
    keep_least(&mut left, |c| c.peer.is_some());
    keep_least(&mut left, |c| {
        std::cmp::Reverse(c.attributes.local_pref.unwrap_or(100))
    });
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
    let query = RouteQuery {
        best_only: true,
        ..RouteQuery::default()
    };
    let page = world.with(host, |s, _, _| {
        s.routes(&query, None, ALL).unwrap_or_default()
    });
    let mut chosen = BTreeMap::new();
    for row in page.unwrap_or_default().routes {
        let path = row
            .paths
            .iter()
            .find(|path| path.best)
            .ok_or("a route without a best path")?;
        let peer = match &path.source {
            Source::Peer(peer) => Some(peer.address),
            Source::Originate | Source::Static | Source::Api(_) => None,
        };
        chosen.insert(row.prefix, peer);
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
fn expected(config: &Config, peer: &Peer, best: &BTreeMap<IpNet, Vec<Candidate>>) -> Table {
    let mut told = Table::new();
    if !is_accept(peer.options.export.as_ref()) {
        return told;
    }
    let external = peer.asn != config.router.asn;
    for (prefix, set) in best {
        let Some(route) = set.first() else { continue };
        let carries = |value| route.attributes.communities.iter().any(|c| c.0 == value);
        let from_internal = route.peer.is_some() && !route.external;
        let kept_back = route.peer == Some(peer.address)
            || carries(NO_ADVERTISE)
            || (external && carries(NO_EXPORT))
            || (!external && from_internal);
        if kept_back {
            continue;
        }
        let mut attributes = route.attributes.clone();
        attributes.next_hop = NextHop::V4(config.router.router_id);
        if external {
            attributes.as_path.prepend(config.router.asn, 1);
            attributes.local_pref = None;
            // §5.1.4: MED of another AS goes no further.
            if route.peer.is_some() {
                attributes.med = None;
            }
        } else {
            attributes.local_pref = Some(attributes.local_pref.unwrap_or(100));
        }
        told.insert(*prefix, attributes);
    }
    told
}

fn check_kernel(
    world: &World,
    host: usize,
    config: &Config,
    best: &BTreeMap<IpNet, Vec<Candidate>>,
) -> Result<(), String> {
    let kernel = &world.hosts.get(host).ok_or("no host")?.kernel;
    let mut expected: BTreeMap<IpNet, BTreeSet<IpAddr>> = BTreeMap::new();
    for (prefix, set) in best {
        let width = usize::from(config.router.multipath).min(set.len());
        let hops: BTreeSet<_> = set.iter().take(width).filter_map(|c| c.peer).collect();
        if !hops.is_empty() {
            expected.insert(*prefix, hops);
        }
    }
    let actual = kernel.routes();
    if actual != expected {
        return Err(format!(
            "the kernel has {actual:?}, and should have {expected:?}"
        ));
    }
    Ok(())
}

fn is_accept(chain: Option<&Vec<String>>) -> bool {
    chain.is_some_and(|chain| chain.iter().all(|policy| policy == "accept"))
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
