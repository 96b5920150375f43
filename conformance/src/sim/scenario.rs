//! What happens in a run: a few speakers, a network that misbehaves, then peace, and a look at what is left.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Community, NextHop, Origin};
use bgp_core::family::PerFamily;
use ipnet::{IpNet, Ipv4Net};
use speaker::command::{Injection, InjectionBatch, PeerCommand, PeerName, Refusal};
use speaker::config::{Config, Fib, Originate, Peer, PeerOptions, Router, When};

use super::model;
use super::net::Chance;
use super::world::World;

/// How long the network misbehaves.
const TROUBLE: Duration = Duration::from_secs(120);
/// How long it then has to come to rest: idle hold and connect retry included.
const PEACE: Duration = Duration::from_secs(240);
/// Prefixes that exist.
const PREFIXES: u8 = 24;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The first thing that was not as it must be; `None` is a pass.
    pub fault: Option<String>,
    /// All that happened.
    pub trace: String,
}

/// Runs the world that `seed` names.
#[must_use]
pub fn run(seed: u64, start: Instant) -> Outcome {
    let mut world = World::new(seed, start);
    let count = 2 + world.chance.below(4);
    let asns = asns(count, &mut world.chance);
    for host in 0..count {
        let config = config(host, &asns, &mut world.chance);
        world.add(&format!("r{host}"), address(host), config);
    }
    let end = world.now + TROUBLE;
    while world.now < end && world.fault.is_none() {
        let pause = Duration::from_millis(world.chance.below(4000) as u64);
        world.run(pause);
        trouble(&mut world);
    }
    peace(&mut world);
    world.run(PEACE);
    if world.fault.is_none() {
        model::check_at_rest(&mut world);
    }
    Outcome {
        fault: world.fault.take(),
        trace: world.trace().to_owned(),
    }
}

fn address(host: usize) -> IpAddr {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, 255, 0, last).into()
}

/// Some are in one AS, with a full mesh; the others each have their own.
fn asns(count: usize, chance: &mut Chance) -> Vec<u32> {
    (0..count)
        .map(|host| {
            if chance.one_in(3) {
                65000
            } else {
                65001 + u32::try_from(host).unwrap_or(0)
            }
        })
        .collect()
}

fn config(host: usize, asns: &[u32], chance: &mut Chance) -> Config {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    let asn = asns.get(host).copied().unwrap_or(65535);
    let others = (0..asns.len()).filter(|other| *other != host);
    let peers = others
        .map(|other| Peer {
            address: address(other),
            asn: asns.get(other).copied().unwrap_or(65535),
            options: options(other < host, chance),
        })
        .collect();
    let count = 1 + chance.below(4);
    let originate: Vec<_> = (0..count)
        .map(|_| Originate {
            prefix: prefix(chance),
            attributes: attributes(chance),
            when: When::Always,
        })
        .collect();
    let mut config = Config {
        router: Router {
            asn,
            router_id: Ipv4Addr::new(10, 255, 0, last),
            listen: Vec::new(),
            cluster_id: Ipv4Addr::new(10, 255, 0, last),
            multipath: if chance.one_in(2) { 1 } else { 4 },
            multipath_cost_tolerance: 0,
        },
        peers,
        ranges: Vec::new(),
        originate,
        statics: Vec::new(),
        fib: Fib::default(),
        policies: Vec::new(),
        sets: Default::default(),
    };
    config.originate.sort_by_key(|originate| originate.prefix);
    config.originate.dedup_by_key(|originate| originate.prefix);
    config
}

fn options(may_be_passive: bool, chance: &mut Chance) -> PeerOptions {
    let all = || Some(vec!["accept".to_owned()]);
    PeerOptions {
        families: PerFamily {
            ipv4: true,
            ipv6: false,
        },
        // Of two, at least one connects.
        passive: may_be_passive && chance.one_in(4),
        import: all(),
        export: all(),
        idle_hold_max: Duration::from_secs(8),
        hold_time: Duration::from_secs([0, 9, 30, 90].get(chance.below(4)).copied().unwrap_or(90)),
        next_hop: speaker::config::NextHopMode::Myself,
        ..PeerOptions::default()
    }
}

fn prefix(chance: &mut Chance) -> IpNet {
    let third = u8::try_from(chance.below(PREFIXES.into())).unwrap_or(0);
    Ipv4Net::new(Ipv4Addr::new(10, 100, third, 0), 24)
        .unwrap_or_default()
        .into()
}

fn attributes(chance: &mut Chance) -> Attributes {
    let origin = if chance.one_in(4) {
        Origin::Incomplete
    } else {
        Origin::Igp
    };
    let mut attributes = Attributes::new(
        origin,
        AsPath::default(),
        NextHop::V4(Ipv4Addr::UNSPECIFIED),
    );
    attributes.med = chance
        .one_in(3)
        .then(|| u32::try_from(chance.below(3)).unwrap_or(0));
    if chance.one_in(3) {
        attributes.communities.push(Community(
            0xfde8_0000 + u32::try_from(chance.below(9)).unwrap_or(0),
        ));
    }
    if chance.one_in(8) {
        // NO_EXPORT (RFC 1997).
        attributes.communities.push(Community(0xffff_ff01));
    }
    attributes
}

/// One bad thing, or one that is just life.
fn trouble(world: &mut World) {
    let count = world.hosts.len();
    let (a, b) = (world.chance.below(count), world.chance.below(count));
    match world.chance.below(14) {
        0 if a != b => world.cut(a, b),
        1 => world.mend(),
        2 | 3 if a != b => world.reset(a, b),
        4 => world.stall(a, true),
        5 => world.stall(a, false),
        6 => {
            world.crash(a);
            let pause = Duration::from_millis(world.chance.below(5000) as u64);
            world.run(pause);
            world.boot(a);
        }
        7 => peer_command(world, a, b),
        8 => reconfigure(world, a),
        9 => {
            let now = world.now;
            if let Some(host) = world.hosts.get_mut(a) {
                host.kernel.lose_routes(now, &mut world.chance);
            }
            world.note(a, "has routes deleted by hand");
        }
        _ => inject(world, a),
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
    let name = PeerName {
        address: address(b),
        interface: None,
    };
    // There is no peer at its own address: that must be refused.
    let answer = world.with(a, |s, now, out| s.peer_command(now, &name, command, out));
    let unknown = answer.map(|answer| matches!(answer, Err(Refusal::NotFound(_))));
    if unknown == Some(a != b) {
        world.blame(a, "an order was not answered as it must be");
    }
}

fn inject(world: &mut World, host: usize) {
    let owner = ["one", "two"]
        .get(world.chance.below(2))
        .copied()
        .unwrap_or("one");
    let lease = world
        .chance
        .one_in(2)
        .then(|| Duration::from_secs(1 + world.chance.below(20) as u64));
    let mut batch = InjectionBatch {
        owner: owner.to_owned(),
        lease,
        ..InjectionBatch::default()
    };
    for _ in 0..1 + world.chance.below(5) {
        let prefix = prefix(&mut world.chance);
        if world.chance.one_in(3) {
            batch.withdraw.push((prefix, 0));
        } else if batch.announce.iter().all(|route| route.prefix != prefix) {
            let attributes = attributes(&mut world.chance);
            batch.announce.push(Injection {
                prefix,
                attributes,
                path_id: 0,
                install: false,
            });
        }
    }
    world.note(
        host,
        &format!(
            "injects {} and withdraws {}",
            batch.announce.len(),
            batch.withdraw.len()
        ),
    );
    world.with(host, |s, now, out| {
        // Withdrawing what is not there is refused, and then nothing of the batch happens.
        let _ = s.inject(now, batch, out);
    });
}

/// Changes what a host exports to one of its peers, or what it originates.
fn reconfigure(world: &mut World, host: usize) {
    let Some(mut config) = world.hosts.get(host).map(|h| h.config.clone()) else {
        return;
    };
    if world.chance.one_in(2) {
        let originate = Originate {
            prefix: prefix(&mut world.chance),
            attributes: attributes(&mut world.chance),
            when: When::Always,
        };
        config
            .originate
            .retain(|other| other.prefix != originate.prefix);
        config.originate.push(originate);
    } else {
        let which = world.chance.below(config.peers.len());
        let policy = if world.chance.one_in(2) {
            "reject"
        } else {
            "accept"
        };
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
    world.note(host, "is configured anew");
    if let Some(h) = world.hosts.get_mut(host) {
        h.config = config.clone();
    }
    let result = world.with(host, |s, now, out| s.configure(now, config, out).map(drop));
    if let Some(Err(error)) = result {
        world.blame(host, &format!("a good configuration is refused: {error}"));
    }
}

/// All is well again: cuts mended, readers reading, peers enabled.
fn peace(world: &mut World) {
    world.mend();
    for host in 0..world.hosts.len() {
        for other in 0..world.hosts.len() {
            let name = PeerName {
                address: address(other),
                interface: None,
            };
            world.with(host, |s, now, out| {
                s.peer_command(now, &name, PeerCommand::Enable, out).ok()
            });
        }
    }
}
