//! What must hold while hosts restart gracefully (RFC 4724).

use std::net::IpAddr;
use std::time::Duration;

use bgp_core::attributes::Community;
use bgp_fsm::State;
use speaker::command::PeerName;
use speaker::event::Effect;
use speaker::view::{PeerView, RestartStage, Source};
use speaker::{Notice, Speaker};

use super::model::{Neighbor, Table, neighbor, paths, received, view};
use super::world::World;

/// The kernel is asked, and peers are awaited, no longer than this after a start.
const RESTART_MAX: Duration = Duration::from_secs(63);
impl World {
    /// RFC 4724 §4.1: who defers the choice of routes after a restart changes nothing in its kernel.
    pub(super) fn check_deferral(&mut self, host: usize, effects: &[Effect]) {
        let speaker = self.hosts.get(host).and_then(|h| h.speaker.as_ref());
        let defers = |s: &Speaker| s.status().restart.stage == RestartStage::Deferring;
        let change = |e: &Effect| matches!(e, Effect::Kernel(fib_netlink::Output::Send(_)));
        if effects.iter().any(change) && speaker.is_some_and(defers) {
            self.blame(host, "changes its kernel before it has heard its peers");
        }
    }

    pub(super) fn note_session(&mut self, host: usize, notice: &Notice) {
        let now = self.now;
        let (Some(h), Notice::PeerState { peer, from, to }) = (self.hosts.get_mut(host), notice)
        else {
            return;
        };
        if *to == State::Established {
            h.lost.remove(peer);
        } else if *from == State::Established {
            h.lost.insert(peer.clone(), now);
        }
    }
}

/// The Restart Time that the peer at `address` offered to `host`, if both have graceful restart.
fn restart_time(world: &World, host: usize, address: IpAddr) -> Option<Duration> {
    let other = world.at(address)?;
    neighbor(world, host, other)?
        .peer
        .options
        .graceful_restart?;
    let theirs = neighbor(world, other, host)?;
    Some(theirs.peer.options.graceful_restart?.restart_time)
}

/// How long they are kept after that (RFC 9494 §4.2), if both offered it.
fn stale_time(world: &World, host: usize, address: IpAddr) -> Option<Duration> {
    let other = world.at(address)?;
    let ours = neighbor(world, host, other)?.peer.options;
    ours.graceful_restart?.long_lived?;
    let theirs = neighbor(world, other, host)?.peer.options;
    theirs.graceful_restart?.long_lived
}

/// RFC 4724 §4.2: routes outlive the session of a peer that restarts gracefully, as stale ones, for its Restart Time.
pub(super) fn may_hold(world: &mut World, host: usize, peer: &PeerView) -> Result<(), String> {
    let time = restart_time(world, host, peer.address).ok_or("it does not restart gracefully")?;
    let long = stale_time(world, host, peer.address).unwrap_or_default();
    let time = time + long;
    if !peer.enabled {
        return Err("it is disabled".to_owned());
    }
    let name = PeerName::new(peer.address, None);
    let h = world.hosts.get(host).ok_or("no host")?;
    let lost = h.lost.get(&name).ok_or("it never had one")?;
    let ago = world.now - *lost;
    if ago >= time {
        return Err(format!("it is gone for {ago:?} of {time:?}"));
    }
    let mut paths = paths(world, host, false).into_iter();
    let fresh = paths.find(|(_, path)| path.source == Source::Peer(name.clone()) && !path.stale);
    fresh.map_or(Ok(()), |(prefix, _)| Err(format!("{prefix} is not stale")))
}

/// RFC 4724 §4.1: a restart comes to an end, whoever does not come.
pub(super) fn check_restart(world: &mut World, host: usize) {
    let view = world.with(host, |s, _, _| s.status().restart);
    let Some(h) = world.hosts.get(host) else {
        return;
    };
    let since = world.now - h.booted;
    let over = view.is_none_or(|view| view.stage == RestartStage::None);
    if !over && since > RESTART_MAX {
        world.blame(host, "a restart takes too long");
    }
}

/// What the helpers of `host` heard of it and must keep if it crashes now: by helper, and as whom it knows it.
pub(super) fn told_to_helpers(world: &mut World, host: usize) -> Vec<(usize, PeerName, Table)> {
    let mut all = Vec::new();
    for helper in 0..world.hosts.len() {
        let Some(us) = neighbor(world, helper, host) else {
            continue;
        };
        let up = view(world, helper, &us).is_some_and(|v| v.state == State::Established);
        if up && restart_time(world, helper, us.peer.address).is_some() {
            // RFC 4724 §4.2: what is stale already is not kept for another restart.
            let mut told = received(world, helper, &us.name());
            for (prefix, path) in paths(world, helper, false) {
                if path.stale && path.source == Source::Peer(us.name()) {
                    told.remove(&(prefix, path.path_id.unwrap_or(0)));
                }
            }
            all.push((helper, us.name(), told));
        }
    }
    all
}

/// Whether they did, while it was away for so long.
pub(super) fn check_helpers(
    world: &mut World,
    host: usize,
    away: Duration,
    before: &[(usize, PeerName, Table)],
) {
    for (helper, us, told) in before {
        let time = restart_time(world, *helper, us.address);
        if time.is_some_and(|time| away < time) {
            let kept = received(world, *helper, us);
            if let Some(((prefix, _), _)) = told.iter().find(|(p, a)| kept.get(p) != Some(a)) {
                let name = world.hosts.get(host).map(|h| h.name.clone());
                let name = name.unwrap_or_default();
                world.blame(
                    *helper,
                    &format!("{prefix} is not kept while {name} restarts"),
                );
            }
        }
    }
}

/// What a host must have of a neighbor that is dead, and whether it is marked as stale for long; that it has it.
pub(super) fn held_of(
    world: &mut World,
    host: usize,
    neighbor: &Neighbor,
) -> Result<(Table, bool), String> {
    let (address, now) = (neighbor.peer.address, world.now);
    let dead = world.hosts.get(neighbor.host).and_then(|h| h.dead.as_ref());
    let dead = dead.ok_or("it is not dead")?;
    let (ago, mut kept) = (
        now - dead.at,
        dead.told.get(&host).cloned().unwrap_or_default(),
    );
    let time = restart_time(world, host, address);
    let long = time.and_then(|time| Some(time + stale_time(world, host, address)?));
    let is_long = time.is_some_and(|time| ago >= time);
    if is_long {
        // RFC 9494 §4.2.
        kept.retain(|_, attributes| !attributes.communities.contains(&Community::NO_LLGR));
    }
    if long.or(time).is_none_or(|end| ago >= end) {
        kept.clear();
    }
    let actual = received(world, host, &neighbor.name());
    if actual != kept {
        return Err(format!(
            "of {address}, which is gone for {ago:?}, {actual:?} is kept, and should be {kept:?}"
        ));
    }
    Ok((kept, is_long))
}
