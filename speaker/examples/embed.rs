//! The smallest program that embeds the speaker: two of them exchange a route over queues in memory.
//!
//! `cargo run -p speaker --example embed`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "it is a driver: it has the clock"
)]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Origin};
use speaker::config::{Originate, Peer, PeerOptions, When};
use speaker::event::{ConnId, Effect};
use speaker::inject::ourselves;
use speaker::view::RouteQuery;
use speaker::{Config, Event, Notice, Speaker};

/// Host 0 is 192.0.2.1, host 1 is 192.0.2.2.
fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, if host == 0 { 1 } else { 2 })
}

fn config(host: usize) -> Config {
    let accept = Some(vec!["accept".to_owned()]);
    let mut config = Config::new(if host == 0 { 65001 } else { 65002 }, address(host));
    config.fib.install = false;
    config.peers.push(Peer {
        address: address(1 - host).into(),
        asn: if host == 0 { 65002 } else { 65001 },
        options: PeerOptions {
            passive: host == 1,
            import: accept.clone(),
            export: accept,
            ..PeerOptions::default()
        },
    });
    config
}

/// What the driver of a real program has instead: sockets.
#[derive(Default)]
struct Network {
    /// For each end of a connection, the other one.
    wires: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    arrivals: VecDeque<(usize, Event)>,
}

impl Network {
    /// Does what `host` asks for.
    fn act(&mut self, speakers: &mut [Speaker; 2], host: usize, effects: Vec<Effect>) {
        let now = Instant::now();
        for effect in effects {
            match effect {
                Effect::Connect { conn, remote, .. } => {
                    let local = SocketAddr::new(address(host).into(), 40_000);
                    let mut out = Vec::new();
                    let peer = &mut speakers[1 - host];
                    if let Some((theirs, _)) = peer.accept(now, remote, local, None, &mut out) {
                        self.wires.insert((host, conn), (1 - host, theirs));
                        self.wires.insert((1 - host, theirs), (host, conn));
                        self.arrivals
                            .push_back((host, Event::Connected { conn, local }));
                    }
                    self.act(speakers, 1 - host, out);
                }
                Effect::Send { conn, bytes } => self.send(host, conn, bytes),
                Effect::Close { conn } => {
                    if let Some((host, conn)) = self.wires.remove(&(host, conn)) {
                        self.arrivals.push_back((host, Event::Closed { conn }));
                    }
                }
                Effect::Notice(Notice::PeerState { peer, from, to }) => {
                    println!("{}: peer {peer} from {from:?} to {to:?}", address(host));
                }
                Effect::Notice(_)
                | Effect::Bfd(_)
                | Effect::Link(_)
                | Effect::Probe(_)
                | Effect::ListenKeys(_)
                | Effect::Kernel(_)
                | Effect::Ended => {}
            }
        }
    }

    fn send(&mut self, host: usize, conn: ConnId, data: bytes::Bytes) {
        if let Some(&(host, conn)) = self.wires.get(&(host, conn)) {
            self.arrivals
                .push_back((host, Event::Received { conn, data }));
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let now = Instant::now();
    let prefix = "198.51.100.0/24".parse()?;
    let mut first = config(0);
    first.originate.push(Originate {
        tag: 0,
        prefix,
        attributes: Attributes::new(Origin::Igp, AsPath::default(), ourselves(prefix)),
        when: When::Always,
    });
    let mut speakers = [
        Speaker::new(first, now, 1)?,
        Speaker::new(config(1), now, 2)?,
    ];
    let mut network = Network::default();
    // The one who waits starts first.
    for host in [1, 0] {
        let mut out = Vec::new();
        speakers[host].start(now, &mut out);
        network.act(&mut speakers, host, out);
    }
    loop {
        while let Some((host, event)) = network.arrivals.pop_front() {
            let mut out = Vec::new();
            speakers[host].handle(Instant::now(), event, &mut out);
            network.act(&mut speakers, host, out);
        }
        for (host, speaker) in speakers.iter_mut().enumerate() {
            let (mut ready, mut messages) = (Vec::new(), Vec::new());
            speaker.ready(&mut ready);
            for conn in ready {
                speaker.transmit(conn, 65_536, &mut messages);
                messages
                    .drain(..)
                    .for_each(|bytes| network.send(host, conn, bytes));
            }
        }
        if network.arrivals.is_empty() {
            break;
        }
    }
    let page = speakers[1].routes(&RouteQuery::default(), None, 10);
    for route in page.map_err(|refusal| refusal.to_string())?.routes {
        let hops = route
            .paths
            .iter()
            .map(|path| path.attributes.next_hop.addr());
        println!(
            "{}: {} via {:?}",
            address(1),
            route.prefix,
            hops.collect::<Vec<IpAddr>>()
        );
    }
    Ok(())
}
