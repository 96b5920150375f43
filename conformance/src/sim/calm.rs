//! What is done to a world that is at rest: a host leaves, politely or not, and comes back. After each step all is to be
//! as the model says again.

use std::time::Duration;

use super::draw;
use super::model::{check_always, check_at_rest};
use super::scenario::configure;
use super::world::World;

/// How many things are done.
const ACTS: usize = 2;
/// Until all have heard.
const SOON: Duration = Duration::from_secs(20);
/// Until all sessions are back.
const BACK: Duration = Duration::from_secs(240);

/// One after the other.
pub(super) fn acts(world: &mut World) {
    for _ in 0..ACTS {
        if world.fault.is_some() {
            return;
        }
        let host = world.chance.below(world.hosts.len());
        match world.chance.below(4) {
            0 => drain(world, host),
            1 | 2 => die(world, host),
            _ => reload(world, host),
        }
    }
}

/// Lets `span` go by, and looks.
fn look(world: &mut World, span: Duration) {
    world.rest(span);
    if world.fault.is_none() {
        check_always(world);
        check_at_rest(world);
    }
}

/// RFC 8326: it says that it will go, it goes, and it stays after all.
fn drain(world: &mut World, host: usize) {
    world.undrain(host);
    look(world, SOON);
    // Should the world not come to rest at once, it does in this time.
    world.drain(host, SOON * 3);
    look(world, SOON);
    if world.chance.one_in(2) {
        look(world, SOON * 3);
    }
    world.undrain(host);
    look(world, SOON);
}

/// It is gone for longer than anybody waits for it, or not quite, and comes back.
fn die(world: &mut World, host: usize) {
    let options = world.hosts.get(host).and_then(|h| {
        let peers = h.config.peers.iter().map(|peer| &peer.options);
        let ranges = h.config.ranges.iter().map(|range| &range.options);
        peers.chain(ranges).next().cloned()
    });
    let graceful = options.and_then(|options| options.graceful_restart);
    let time = graceful.map_or(Duration::ZERO, |graceful| graceful.restart_time);
    let long = graceful.and_then(|graceful| graceful.long_lived);
    world.kill(host);
    let started = world.now;
    let moments = [
        time / 2,
        time + long.unwrap_or_default() / 2,
        time + long.unwrap_or_default() + SOON,
    ];
    let last = world.chance.below(4);
    for moment in moments.into_iter().take(last + 1) {
        // All have heard a second after something happened.
        let at = started + moment.max(Duration::from_secs(1));
        look(world, at.saturating_duration_since(world.now));
    }
    world.boot(host);
    look(world, BACK);
}

/// Aggregates or what is redistributed are others, or a reflector minds its clients otherwise.
fn reload(world: &mut World, host: usize) {
    let Some(mut config) = world.hosts.get(host).map(|h| h.config.clone()) else {
        return;
    };
    config.aggregates = draw::aggregates(&mut world.chance);
    config.redistribute = draw::redistribute(&mut world.chance);
    if world.chance.one_in(2) {
        config.router.client_to_client = !config.router.client_to_client;
    }
    configure(world, host, config);
    look(world, SOON);
}
