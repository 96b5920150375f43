//! The RIB: what an UPDATE costs that is taken in, chosen from, told, and given to the FIB.

use anyhow::Result;
use bgp_core::attributes::NextHop;
use bgp_core::family::PerFamily;
use bytes::Bytes;
use rib::peer::{AsPathRules, Drain, LocalAddresses, NextHopRule};
use rib::policy::Chain;
use rib::{Config, Multipath, PeerId, PeerSession, Rib};

use super::Prepared;
use super::updates::{
    announcing as announcement, attributes, bodies, next_hop, prefix, withdrawing as withdrawal,
};
use super::wire::READ;
use crate::load::{Paths, Shape};

/// Routes of each peer.
const ROUTES: u32 = 10_000;
/// Routes that share a message where attributes are not what is measured.
const TOGETHER: u32 = 100;
/// What a peer takes at a time, as from windrosed.
const TRANSMIT: usize = 256 * 1024;
/// What the FIB takes at a time, as in a speaker.
const FIB: usize = 4096;
/// Lengths of AS_PATH: of a path that is better, as good, and worse than others.
const SHORT: u32 = 3;
const USUAL: u32 = 4;
const LONG: u32 = 5;
/// The number of the first peer that is told routes.
const MEMBERS: u32 = 100;

/// How the last path to a prefix that comes in stands beside those that are there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rank {
    Better,
    /// It shares the traffic.
    Equal,
    Worse,
}

fn empty(fib: bool, width: u8) -> Rib {
    Rib::new(Config {
        local_asn: 65_000,
        identifier: next_hop(0),
        cluster_id: next_hop(0),
        client_to_client: true,
        multipath: Multipath {
            width,
            ..Multipath::NONE
        },
        seed: 1,
        assume_reachable: true,
        fib,
    })
}

/// An external peer: one that announces, or one that is told.
fn session(peer: u32) -> PeerSession {
    let told = peer >= MEMBERS;
    PeerSession {
        asn: 61_000 + peer,
        identifier: next_hop(peer),
        address: next_hop(peer).into(),
        group: None,
        local_asn: 65_000,
        local: LocalAddresses {
            ipv4: Some(next_hop(0)),
            ipv6: None,
            link_local: None,
        },
        interface: None,
        direct: true,
        decode: READ,
        four_octet_as: true,
        max_message: 4096,
        add_path_send: PerFamily::default(),
        extended_next_hop: false,
        import: Some(Chain::accept_all()),
        export: told.then(Chain::accept_all),
        next_hop: NextHopRule::Standard,
        rr_client: false,
        rs_client: false,
        allow_local_as: 0,
        as_path: AsPathRules::default(),
        aigp: false,
        link_bandwidth: false,
        role: None,
        drain: Drain::None,
        long_lived: false,
    }
}

/// What peer `peer` says of all prefixes, with AS_PATHs of this length.
fn table(peer: u32, length: u32, together: u32) -> Vec<Bytes> {
    let messages = (0..ROUTES).step_by(together as usize).flat_map(|first| {
        let attributes = attributes(length, first, NextHop::V4(next_hop(peer)));
        let prefixes = (first..first + together).filter_map(prefix);
        bodies(&announcement(&attributes, prefixes))
    });
    messages.collect()
}

fn receive(rib: &mut Rib, peer: u32, messages: &[Bytes]) {
    for body in messages {
        // They are well-formed.
        let _ = rib.receive(PeerId(peer), body);
    }
}

/// Tells a peer all there is; returns how many octets.
fn transmit(rib: &mut Rib, peer: u32) -> usize {
    let (mut out, mut octets) = (Vec::new(), 0);
    let mut more = true;
    while more {
        more = rib.transmit(PeerId(peer), TRANSMIT, &mut out);
        octets += out.drain(..).map(|bytes| bytes.len()).sum::<usize>();
    }
    octets
}

fn measured(mut rib: Rib, run: impl FnOnce(&mut Rib) + 'static) -> Result<Prepared> {
    Ok(Prepared::new(ROUTES as usize, move || {
        run(&mut rib);
        rib
    }))
}

/// A route a message: each with attributes of its own, or all with the same.
pub(super) fn interning(new: bool) -> Result<Prepared> {
    let mut rib = empty(false, 1);
    rib.peer_up(PeerId(1), session(1));
    let messages: Vec<Bytes> = (0..ROUTES)
        .flat_map(|n| {
            let med = if new { n } else { 0 };
            let attributes = attributes(USUAL, med, NextHop::V4(next_hop(1)));
            bodies(&announcement(&attributes, prefix(n).into_iter()))
        })
        .collect();
    measured(rib, move |rib| receive(rib, 1, &messages))
}

/// A peer tells its table again, as the Internet's is: nothing changes.
pub(super) fn again() -> Result<Prepared> {
    let shape = Shape {
        family: bgp_core::Family::Ipv4Unicast,
        prefixes: ROUTES as usize,
        overlap: false,
        internal: false,
        seed: 1,
        paths: Paths::Plain,
    };
    let peer = crate::load::Peer {
        address: next_hop(1),
        asn: 61_001,
        ..Default::default()
    };
    let table = crate::load::Table::new(shape, &[peer])?;
    let messages: Vec<Bytes> = table.streams().iter().flat_map(bodies).collect();
    let mut rib = empty(false, 1);
    rib.peer_up(PeerId(1), session(1));
    receive(&mut rib, 1, &messages);
    measured(rib, move |rib| receive(rib, 1, &messages))
}

/// The last one of so many peers announces what all others have announced.
pub(super) fn announcing(paths: u32, rank: Rank) -> Result<Prepared> {
    let (width, length) = match rank {
        Rank::Better => (1, SHORT),
        Rank::Equal => (16, USUAL),
        Rank::Worse => (1, LONG),
    };
    let mut rib = empty(false, width);
    for peer in 1..=paths {
        rib.peer_up(PeerId(peer), session(peer));
    }
    for peer in 1..paths {
        receive(&mut rib, peer, &table(peer, USUAL, TOGETHER));
    }
    let messages = table(paths, length, TOGETHER);
    measured(rib, move |rib| receive(rib, paths, &messages))
}

/// Whose path is the best one of so many takes it back.
pub(super) fn withdrawing(paths: u32) -> Result<Prepared> {
    let mut rib = empty(false, 1);
    for peer in 1..=paths {
        rib.peer_up(PeerId(peer), session(peer));
        let length = if peer == 1 { SHORT } else { USUAL };
        receive(&mut rib, peer, &table(peer, length, TOGETHER));
    }
    let messages: Vec<Bytes> = (0..ROUTES)
        .step_by(TOGETHER as usize)
        .flat_map(|first| bodies(&withdrawal((first..first + TOGETHER).filter_map(prefix))))
        .collect();
    measured(rib, move |rib| receive(rib, 1, &messages))
}

/// So many peers of an update group are told a table, which has six routes an attribute set.
pub(super) fn exporting(members: u32) -> Result<Prepared> {
    let mut rib = empty(false, 1);
    rib.peer_up(PeerId(1), session(1));
    let members = MEMBERS..MEMBERS + members;
    for peer in members.clone() {
        rib.peer_up(PeerId(peer), session(peer));
        transmit(&mut rib, peer);
    }
    receive(&mut rib, 1, &table(1, USUAL, 6));
    measured(rib, |rib| {
        for peer in members {
            transmit(rib, peer);
        }
    })
}

/// A peer comes up and is told what is there.
pub(super) fn joining() -> Result<Prepared> {
    let mut rib = empty(false, 1);
    rib.peer_up(PeerId(1), session(1));
    receive(&mut rib, 1, &table(1, USUAL, 6));
    rib.peer_up(PeerId(MEMBERS), session(MEMBERS));
    measured(rib, |rib| {
        transmit(rib, MEMBERS);
    })
}

/// The FIB takes a table of which each prefix has so many paths; it wants to hear what is spare, or not.
pub(super) fn forwarding(paths: u32, spares: bool) -> Result<Prepared> {
    let mut rib = empty(true, 1);
    rib.tell_spares(spares);
    for peer in 1..=paths {
        rib.peer_up(PeerId(peer), session(peer));
        let length = if peer == 1 { SHORT } else { USUAL };
        receive(&mut rib, peer, &table(peer, length, 6));
    }
    measured(rib, |rib| {
        let mut more = true;
        while more {
            more = rib.fib_next(FIB, &mut |prefix, wanted| {
                std::hint::black_box((prefix, wanted));
            });
        }
    })
}
