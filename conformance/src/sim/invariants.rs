//! What must hold of the paths that a host has, whatever the model thinks of them.

use bgp_core::attributes::Community;
use ipnet::IpNet;
use speaker::Config;
use speaker::view::{PathView, Source};

use super::model::{Linked, paths, received};
use super::world::World;

/// At any moment: no path that is used leads through its host, and none was reflected into a cluster twice.
pub(super) fn check_loops(world: &mut World, host: usize, config: &Config) {
    let router = &config.router;
    for (prefix, path) in paths(world, host, false) {
        let attributes = &path.attributes;
        let looped = attributes.as_path.contains(router.asn)
            || attributes.originator_id == Some(router.router_id)
            || attributes.cluster_list.contains(&router.cluster_id);
        if path.best && looped {
            world.blame(host, &format!("the route to {prefix} leads through itself"));
        }
        let mut clusters = attributes.cluster_list.to_vec();
        clusters.sort_unstable();
        clusters.dedup();
        if clusters.len() < attributes.cluster_list.len() {
            world.blame(host, &format!("the route to {prefix} runs in circles"));
        }
    }
    if let Err(fault) = check_stale(world, host) {
        world.blame(host, &fault);
    }
}

fn carries(path: &PathView, community: Community) -> bool {
    path.attributes.communities.contains(&community)
}

/// The best path of each prefix, with the others that might have been chosen.
fn chosen(world: &mut World, host: usize) -> Vec<(IpNet, PathView, Vec<PathView>)> {
    let all = paths(world, host, false);
    let best = all.iter().filter(|(_, path)| path.best);
    best.map(|(prefix, best)| {
        let others = all
            .iter()
            .filter(|(p, path)| p == prefix && path.valid && !path.best);
        let others = others.map(|(_, path)| path.clone()).collect();
        (*prefix, best.clone(), others)
    })
    .collect()
}

/// RFC 9494 §4.3: anything is preferred to what is stale for long.
fn check_stale(world: &mut World, host: usize) -> Result<(), String> {
    let marked = |path: &PathView| carries(path, Community::LLGR_STALE);
    for (prefix, best, others) in chosen(world, host) {
        if marked(&best) && !others.iter().all(marked) {
            return Err(format!(
                "{prefix} is stale for long, and there is another path"
            ));
        }
    }
    Ok(())
}

/// At rest.
pub(super) fn check_host(world: &mut World, host: usize, linked: &[Linked]) -> Result<(), String> {
    for linked in linked.iter().filter(|linked| !linked.is_held()) {
        check_reflection(world, host, linked)?;
    }
    check_drained(world, host)
}

/// RFC 4456 §6: what a host reflects to one that is no client came from a client; §6 with clients that tell each other:
/// what it reflects to a client came from one that is none.
fn check_reflection(world: &mut World, host: usize, to: &Linked) -> Result<(), String> {
    let config = world.hosts.get(host).ok_or("no host")?.config.clone();
    let router = &config.router;
    let client = to.neighbor.peer.options.rr_client;
    let may_come = |from_client: bool| match client {
        true => !from_client || router.client_to_client,
        false => from_client,
    };
    let ours = paths(world, host, false);
    for ((prefix, _), told) in received(world, to.neighbor.host, &to.back.name()) {
        let Some(originator) = told.originator_id else {
            continue;
        };
        let from = ours.iter().filter(|(p, path)| *p == prefix && path.valid);
        let mut from = from.filter(|(_, path)| {
            let Source::Peer(name) = &path.source else {
                return false;
            };
            let other = world
                .at(name.address)
                .and_then(|other| world.hosts.get(other));
            let id = path.attributes.originator_id;
            let id = id.or(other.map(|other| other.config.router.router_id));
            let peer = config
                .peers
                .iter()
                .find(|peer| peer.address == name.address);
            let from_client = peer.is_some_and(|peer| peer.options.rr_client);
            id == Some(originator) && may_come(from_client)
        });
        if from.next().is_none() {
            let whom = to.neighbor.peer.address;
            return Err(format!("{prefix} of {originator} is not for {whom}"));
        }
    }
    Ok(())
}

/// RFC 8326 §4: nobody sends packets to one that is about to leave, if there is another way; unless policy wants it so.
fn check_drained(world: &mut World, host: usize) -> Result<(), String> {
    let marked = |path: &PathView| carries(path, Community::GRACEFUL_SHUTDOWN);
    for (prefix, best, others) in chosen(world, host) {
        let stays = |path: &PathView| !marked(path) && !carries(path, Community::LLGR_STALE);
        let told = matches!(best.source, Source::Peer(_));
        if told && marked(&best) && others.iter().any(stays) && !is_shaped(world, prefix) {
            return Err(format!(
                "{prefix} is about to go, and there is another path"
            ));
        }
    }
    Ok(())
}

/// Whether somebody's policy gives a LOCAL_PREF to a prefix.
fn is_shaped(world: &World, prefix: IpNet) -> bool {
    let policies = world.hosts.iter().flat_map(|h| &h.config.policies);
    let mut rules = policies.flat_map(|policy| &policy.rules);
    let prefix = prefix.to_string();
    rules.any(|rule| rule.set.local_pref.is_some() && rule.matches.prefixes.contains(&prefix))
}
