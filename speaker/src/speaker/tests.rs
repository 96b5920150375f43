//! The speaker as its drivers see it, driven by a net of queues and a clock of our own.
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "an Instant comes from nowhere else; a test looks for one effect among others"
)]

mod configure;
mod drain;
mod environment;
mod injections;
mod links;
mod liveness;
mod local_as;
mod noise;
mod one_by_one;
mod peers;
mod record;
mod recursive;
mod redistribute;
mod refresh;
mod restart;
mod stations;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Origin};
use fib_netlink::{Fact, KernelRoute, Path, RouteKind, RouteVia};
use ipnet::IpNet;

use super::*;
use crate::config::{Originate, Peer as PeerConfig, PeerOptions, When};
use crate::event::Gate;
use crate::inject::ourselves;
use crate::view::{PeerView, RouteQuery};

/// A driver: speakers at 192.0.2.1, 192.0.2.2 …, in the ASes 65001, 65002 …
struct Net {
    now: Instant,
    speakers: Vec<Speaker>,
    wires: BTreeMap<(usize, ConnId), (usize, ConnId)>,
    arrivals: VecDeque<(usize, Event)>,
    /// All that was said and done, except for bytes.
    done: Vec<(usize, Effect)>,
    gates: Vec<(usize, Gate)>,
    /// Calls of a station, which a test answers; and what it was told before it was hung up on.
    station_calls: Vec<ConnId>,
    station_said: Vec<u8>,
}

fn address(host: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, u8::try_from(host + 1).unwrap()])
}

fn name(host: usize) -> PeerName {
    PeerName::new(address(host), None)
}

fn asn(host: usize) -> u32 {
    65001 + u32::try_from(host).unwrap()
}

fn net_of(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn options() -> PeerOptions {
    let accept = Some(vec!["accept".to_owned()]);
    PeerOptions {
        import: accept.clone(),
        export: accept,
        ..PeerOptions::default()
    }
}

fn originate(prefix: &str) -> Originate {
    let prefix = net_of(prefix);
    Originate {
        tag: 0,
        prefix,
        attributes: Attributes::new(Origin::Igp, AsPath::default(), ourselves(prefix)),
        when: When::Always,
    }
}

/// `host` and its peers, each of which it knows by name.
fn config(host: usize, peers: &[usize]) -> Config {
    let IpAddr::V4(id) = address(host) else {
        unreachable!()
    };
    let mut config = Config::new(asn(host), id);
    config.fib.install = false;
    config.peers = peers
        .iter()
        .map(|peer| PeerConfig {
            address: address(*peer),
            asn: asn(*peer),
            options: options(),
        })
        .collect();
    config
}

impl Net {
    fn new(configs: Vec<Config>) -> Self {
        let now = Instant::now();
        let speakers = configs
            .into_iter()
            .map(|config| Speaker::new(config, now, 7).unwrap())
            .collect();
        let mut net = Self {
            now,
            speakers,
            wires: BTreeMap::new(),
            arrivals: VecDeque::new(),
            done: Vec::new(),
            gates: Vec::new(),
            station_calls: Vec::new(),
            station_said: Vec::new(),
        };
        for host in 0..net.speakers.len() {
            net.with(host, Speaker::start);
        }
        net
    }

    /// Two speakers that know each other, in session.
    fn pair() -> Self {
        let mut net = Self::new(vec![config(0, &[1]), config(1, &[0])]);
        net.run(10);
        net.assert_up(0, 1);
        net
    }

    fn with<R>(
        &mut self,
        host: usize,
        job: impl FnOnce(&mut Speaker, Instant, &mut Vec<Effect>) -> R,
    ) -> R {
        let mut out = Vec::new();
        let result = job(&mut self.speakers[host], self.now, &mut out);
        for effect in out {
            self.act(host, effect);
        }
        result
    }

    fn act(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::Connect { conn, remote, .. } if remote.port() == 11019 => {
                self.station_calls.push(conn);
            }
            Effect::Connect {
                conn, remote, gate, ..
            } => {
                self.gates.push((host, gate));
                let local = SocketAddr::new(address(host), 40_000);
                let peer = (0..self.speakers.len()).find(|peer| address(*peer) == remote.ip());
                let mut out = Vec::new();
                let now = self.now;
                let accepted = peer.and_then(|peer| {
                    let speaker = &mut self.speakers[peer];
                    let (theirs, gate) = speaker.accept(now, remote, local, None, &mut out)?;
                    self.gates.push((peer, gate));
                    Some((peer, theirs))
                });
                let event = match accepted {
                    Some(theirs) => {
                        self.wires.insert((host, conn), theirs);
                        self.wires.insert(theirs, (host, conn));
                        Event::Connected { conn, local }
                    }
                    None => Event::ConnectFailed {
                        conn,
                        why: "connection refused".to_owned(),
                    },
                };
                self.arrivals.push_back((host, event));
                // What the other end says on it comes after it is there.
                for effect in out {
                    self.act(peer.unwrap_or(host), effect);
                }
            }
            Effect::Send { conn, bytes: data } => {
                if let Some(&(host, conn)) = self.wires.get(&(host, conn)) {
                    self.arrivals
                        .push_back((host, Event::Received { conn, data }));
                } else if host == 0 && self.station_calls.contains(&conn) {
                    self.station_said.extend_from_slice(&data);
                }
            }
            Effect::Close { conn } => {
                if let Some((host, conn)) = self.wires.remove(&(host, conn)) {
                    self.arrivals.push_back((host, Event::Closed { conn }));
                }
            }
            Effect::Kernel(fib_netlink::Output::Send(batch)) => {
                let answer = fib_netlink::Input::Completed {
                    batch: batch.id,
                    failures: Vec::new(),
                };
                self.arrivals.push_back((host, Event::Kernel(answer)));
                self.done
                    .push((host, Effect::Kernel(fib_netlink::Output::Send(batch))));
            }
            other => self.done.push((host, other)),
        }
    }

    /// Until nothing is under way.
    fn settle(&mut self) {
        loop {
            while let Some((host, event)) = self.arrivals.pop_front() {
                self.with(host, |s, now, out| s.handle(now, event, out));
            }
            for host in 0..self.speakers.len() {
                let mut ready = Vec::new();
                self.speakers[host].ready(&mut ready);
                for conn in ready {
                    // A station reads when its test does.
                    if host == 0 && self.station_calls.contains(&conn) {
                        continue;
                    }
                    let mut messages = Vec::new();
                    self.speakers[host].transmit(conn, 4096, &mut messages);
                    for bytes in messages {
                        self.act(host, Effect::Send { conn, bytes });
                    }
                }
            }
            if self.arrivals.is_empty() {
                return;
            }
        }
    }

    /// Lets so many seconds go by.
    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        self.settle();
        while let Some((at, host)) = (0..self.speakers.len())
            .filter_map(|host| Some((self.speakers[host].deadline()?, host)))
            .min()
            .filter(|(at, _)| *at <= end)
        {
            self.now = self.now.max(at);
            self.with(host, |s, now, out| s.handle(now, Event::Timeout, out));
            self.settle();
        }
        self.now = end;
    }

    fn peer(&self, host: usize, peer: usize) -> PeerView {
        self.speakers[host].peer(&name(peer)).unwrap()
    }

    #[track_caller]
    fn assert_up(&self, a: usize, b: usize) {
        assert_eq!(self.peer(a, b).state, State::Established);
        assert_eq!(self.peer(b, a).state, State::Established);
    }

    /// The prefixes with a best route.
    fn routes(&mut self, host: usize) -> Vec<String> {
        let query = RouteQuery {
            best_only: true,
            ..RouteQuery::default()
        };
        let page = self.speakers[host].routes(&query, None, 100).unwrap();
        page.routes.iter().map(|r| r.prefix.to_string()).collect()
    }

    fn configure(&mut self, host: usize, config: Config) -> crate::Changes {
        let done = self.with(host, |s, now, out| s.configure(now, config, out));
        self.settle();
        done.unwrap()
    }

    fn facts(&mut self, host: usize, facts: Vec<Fact>) {
        let input = fib_netlink::Input::Kernel(facts);
        self.with(host, |s, now, out| s.handle(now, Event::Kernel(input), out));
        self.settle();
    }
}

/// What a kernel tells at first, whose eth0 has `address` in 192.0.2.0/24.
fn dump(address: IpAddr) -> Vec<Fact> {
    let path = Path {
        gateway: None,
        interface: 2,
        onlink: false,
    };
    vec![
        Fact::DumpBegin,
        Fact::Abilities {
            permitted: true,
            nexthop_objects: true,
            compat_mode_off: false,
        },
        link(2, "eth0"),
        Fact::Address {
            index: 2,
            address,
            prefix: net_of("192.0.2.0/24"),
        },
        Fact::Route(KernelRoute {
            prefix: net_of("192.0.2.0/24"),
            table: 254,
            metric: 0,
            protocol: 2,
            tos: 0,
            kind: RouteKind::Unicast(RouteVia::Paths([(path, 1)].into_iter().collect())),
            prefsrc: None,
        }),
        Fact::DumpEnd,
    ]
}

fn link(index: u32, name: &str) -> Fact {
    Fact::Link {
        index,
        name: name.to_owned(),
        up: true,
    }
}
