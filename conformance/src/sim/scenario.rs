//! What happens in a run: a few speakers, a network that misbehaves, then peace, and a look at what is left.

use std::time::{Duration, Instant};

use speaker::command::{PeerCommand, PeerName, Refusal};
use speaker::config::Config;

use super::calm;
use super::draw::{self, Topology};
use super::mesh::{MeshOutcome, run_mesh};
use super::model;
use super::net::Chance;
use super::restarts;
use super::world::World;

/// How long the network misbehaves.
const TROUBLE: Duration = Duration::from_secs(120);
/// How long it then has to come to rest: idle hold and connect retry included.
const PEACE: Duration = Duration::from_secs(240);

/// Seeds from here on have hosts with graceful restart, that crash more often.
pub const GRACEFUL_FROM: u64 = 10_000;

/// Seeds from here on have all there is: reflectors among others, several paths, aggregates, redistribution, drains.
pub const RICH_FROM: u64 = 20_000;

/// Seeds from here on have gateways with BFD and probes, on links that lose packets.
pub const MESH_FROM: u64 = 1_000_000;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The first thing that was not as it must be; `None` is a pass.
    pub fault: Option<String>,
    /// Routes oscillated until nobody had a preference any more (RFC 3345).
    pub oscillated: bool,
    /// All that happened.
    pub trace: String,
}

/// Runs the world that `seed` names.
#[must_use]
pub fn run(seed: u64, start: Instant) -> Outcome {
    if seed >= MESH_FROM {
        let MeshOutcome {
            fault,
            trace,
            summary,
            ..
        } = run_mesh(seed, start);
        return Outcome {
            fault,
            oscillated: false,
            trace: format!("{trace}{summary}\n"),
        };
    }
    let mut world = World::new(seed, start);
    let rich = seed >= RICH_FROM;
    let mut topology = match rich {
        true => Topology::draw_rich(&mut world.chance),
        false => Topology::draw(&mut world.chance),
    };
    let graceful = !rich && seed >= GRACEFUL_FROM;
    if graceful {
        topology.draw_graceful(&mut world.chance, &mut Chance::new(seed ^ 0x9494));
    }
    // What is drawn about the station is drawn apart: worlds stay what they were before there was one.
    let mut watching = Chance::new(seed ^ 0xB3);
    let watched = watching.below(topology.count());
    for host in 0..topology.count() {
        let mut config = draw::config(host, &topology, &mut world.chance);
        if host == watched {
            config.stations.push(draw::station());
        }
        world.add(&format!("r{host}"), draw::addresses(host), config);
    }
    let end = world.now + TROUBLE;
    while world.now < end && world.fault.is_none() {
        let pause = Duration::from_millis(world.chance.below(4000) as u64);
        world.go_on(pause);
        if graceful && world.chance.one_in(4) {
            let host = world.chance.below(world.hosts.len());
            crash(&mut world, host);
        } else if rich && world.chance.one_in(3) {
            let host = world.chance.below(world.hosts.len());
            more_trouble(&mut world, host);
        } else {
            trouble(&mut world);
        }
        match watching.below(12) {
            0 | 1 => world.stall_station(true),
            2 => world.stall_station(false),
            3 => world.hang_up_station(),
            _ => {}
        }
        model::check_always(&mut world);
    }
    peace(&mut world);
    world.rest(PEACE);
    if world.fault.is_none() {
        model::check_at_rest(&mut world);
    }
    if rich {
        calm::acts(&mut world);
    }
    Outcome {
        oscillated: world.oscillated,
        fault: world.fault.take(),
        trace: world.trace().to_owned(),
    }
}

/// One bad thing, or one that is just life.
fn trouble(world: &mut World) {
    let count = world.hosts.len();
    let (a, b) = (world.chance.below(count), world.chance.below(count));
    match world.chance.below(20) {
        0 if a != b => world.cut(a, b),
        1 => world.mend(),
        2 | 3 if a != b => world.reset(a, b),
        4 => world.stall(a, true),
        5 => world.stall(a, false),
        6 => crash(world, a),
        7 => peer_command(world, a, b),
        8..11 => reconfigure(world, a),
        11..14 => kernel_trouble(world, a),
        14 => change_as(world, a),
        _ => inject(world, a),
    }
}

/// What befalls hosts that have all there is.
fn more_trouble(world: &mut World, host: usize) {
    match world.chance.below(7) {
        0 => {
            let grace = Duration::from_secs(world.chance.below(30) as u64);
            world.drain(host, grace);
        }
        1 => world.undrain(host),
        2 | 3 => {
            let prefix = draw::foreign(&mut world.chance);
            let (now, there) = (world.now, !world.chance.one_in(3));
            world.note(
                host,
                &format!("has a route of somebody to {prefix}: {there}"),
            );
            if let Some(h) = world.hosts.get_mut(host) {
                h.kernel
                    .set_foreign(now, prefix, draw::REDISTRIBUTED, there);
            }
        }
        what => {
            let Some(mut config) = world.hosts.get(host).map(|h| h.config.clone()) else {
                return;
            };
            match what {
                4 => config.aggregates = draw::aggregates(&mut world.chance),
                5 => config.redistribute = draw::redistribute(&mut world.chance),
                _ => config.router.client_to_client = !config.router.client_to_client,
            }
            configure(world, host, config);
        }
    }
}

/// kill -9, and a new start in a while. Who helps keeps what was told meanwhile.
fn crash(world: &mut World, host: usize) {
    let before = restarts::told_to_helpers(world, host);
    world.crash(host);
    let pause = Duration::from_millis(world.chance.below(5000) as u64);
    world.run(pause);
    if world.fault.is_none() {
        restarts::check_helpers(world, host, pause, &before);
    }
    world.boot(host);
}

fn kernel_trouble(world: &mut World, host: usize) {
    let (now, what) = (world.now, world.chance.below(9));
    world.note(host, &format!("has trouble {what} in its kernel"));
    let Some(h) = world.hosts.get_mut(host) else {
        return;
    };
    match what {
        0 | 1 => h.kernel.lose_routes(now, &mut world.chance),
        2 => h.kernel.overrun(now),
        3 => h.kernel.set_link(now, false),
        4 => h.kernel.set_link(now, true),
        5 | 6 => {
            let there = !h.kernel.has_address(draw::VIP);
            h.kernel.set_address(now, draw::VIP, there);
        }
        _ => {
            let prefix = draw::prefix(&mut world.chance);
            h.kernel
                .set_foreign(now, prefix, h.config.fib.metric, world.chance.one_in(2));
        }
    }
}

fn peer_command(world: &mut World, a: usize, b: usize) {
    let command = match world.chance.below(4) {
        0 => PeerCommand::Disable(Some("maintenance".to_owned())),
        1 => PeerCommand::Reset(None),
        2 => PeerCommand::Refresh(None),
        _ => PeerCommand::Enable,
    };
    world.note(a, &format!("{command:?} {b}"));
    for address in draw::addresses(b) {
        let name = PeerName::new(address, None);
        let known = world.with(a, |s, _, _| s.peer(&name).is_some());
        let command = command.clone();
        let answer = world.with(a, |s, now, out| s.peer_command(now, &name, command, out));
        let unknown = answer.map(|answer| matches!(answer, Err(Refusal::NotFound(_))));
        if unknown == known && known.is_some() {
            world.blame(a, "an order was not answered as it must be");
        }
    }
}

fn inject(world: &mut World, host: usize) {
    let batch = draw::batch(host, world.hosts.len(), &mut world.chance);
    let (announced, withdrawn) = (batch.announce.len(), batch.withdraw.len());
    world.note(
        host,
        &format!("injects {announced} and withdraws {withdrawn}"),
    );
    world.with(host, |s, now, out| {
        // Withdrawing what is not there is refused, and then nothing of the batch happens.
        let _ = s.inject(now, batch, out);
    });
}

/// Changes what a host exports to or imports from one of its peers, what it originates, or where its routes are.
fn reconfigure(world: &mut World, host: usize) {
    let Some(mut config) = world.hosts.get(host).map(|h| h.config.clone()) else {
        return;
    };
    if world.chance.one_in(4) {
        config.fib.table = world.chance.pick(&[254, 100]).unwrap_or(254);
        config.fib.metric = world.chance.pick(&draw::METRICS).unwrap_or(20);
        let mut aside = world.chance.clone();
        config.fib.policy = aside.one_in(2).then(draw::kernel_chain);
        let to_kernel = draw::to_kernel(&mut aside);
        config
            .policies
            .retain(|policy| policy.name != to_kernel.name);
        config.policies.push(to_kernel);
    } else if world.chance.one_in(2) {
        let originate = draw::originate(&mut world.chance);
        config
            .originate
            .retain(|other| other.prefix != originate.prefix);
        config.originate.push(originate);
    } else {
        let which = world.chance.below(config.peers.len());
        let policy = world.chance.pick(&["reject", "accept"]).unwrap_or("accept");
        let import = world.chance.one_in(2);
        if let Some(peer) = config.peers.get_mut(which) {
            let chain = if import {
                &mut peer.options.import
            } else {
                &mut peer.options.export
            };
            *chain = Some(vec![policy.to_owned()]);
        }
    }
    configure(world, host, config);
}

/// A host that has an AS of its own gets another one, and all the others are told.
fn change_as(world: &mut World, host: usize) {
    let Some(old) = world.hosts.get(host).map(|h| h.config.router.asn) else {
        return;
    };
    let shared = world.hosts.iter().filter(|h| h.config.router.asn == old);
    if shared.count() > 1 {
        return;
    }
    for other in 0..world.hosts.len() {
        let Some(h) = world.hosts.get(other) else {
            continue;
        };
        let mut config = h.config.clone();
        if other == host {
            config.router.asn = old + 100;
        }
        for peer in config.peers.iter_mut().filter(|peer| peer.asn == old) {
            peer.asn = old + 100;
        }
        configure(world, other, config);
    }
}

pub(super) fn configure(world: &mut World, host: usize, config: Config) {
    world.note(host, "is configured anew");
    if let Some(h) = world.hosts.get_mut(host) {
        h.config = config.clone();
    }
    let result = world.with(host, |s, now, out| s.configure(now, config, out).map(drop));
    if let Some(Err(error)) = result {
        world.blame(host, &format!("a good configuration is refused: {error}"));
    }
}

/// All is well again: cuts mended, readers reading, links up, nothing in the way, peers enabled.
fn peace(world: &mut World) {
    world.mend();
    let now = world.now;
    for host in 0..world.hosts.len() {
        if let Some(h) = world.hosts.get_mut(host) {
            h.kernel.set_link(now, true);
            for metric in draw::METRICS {
                h.kernel.remove_foreign(now, metric);
            }
        }
        for other in 0..world.hosts.len() {
            for address in draw::addresses(other) {
                let name = PeerName::new(address, None);
                let enable = PeerCommand::Enable;
                world.with(host, |s, now, out| {
                    s.peer_command(now, &name, enable, out).ok()
                });
            }
        }
    }
}
