//! What the daemon's thread of BFD and probes does, in virtual time: `daemon/src/liveness` without sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use speaker::bfd::{self, Arrival, Bfd, Hops, Octets};
use speaker::config::Probe;
use speaker::event::Event;
use speaker::links::{LinkOrder, LinkPath, LinkReport};
use speaker::liveness::{BfdOrder, Reports};
use speaker::path_score::judge::Change;
use speaker::path_score::node::{self, LinkConfig, Node};
use speaker::path_score::stamp;
use speaker::path_score::{Cost, LinkId, Method};

/// The socket of link 0.
const FIRST_PORT: u16 = 49_152;
/// How far a clock may be off UTC, as probes say.
const CLOCK_ERROR: Duration = Duration::from_millis(100);

/// The type of an ICMP message (RFC 792).
const ECHO_REPLY: u8 = 0;

/// What passes between two gateways beside BGP.
#[derive(Debug)]
pub(super) enum Datagram {
    /// To the reflector's port, from the socket of this port.
    Probe(u16, Vec<u8>),
    /// Back to that port.
    Answer(u16, Vec<u8>),
    /// An ICMP echo request of the link with this number, and the reply to it.
    Echo(u32, Vec<u8>),
    Reply(u32, Vec<u8>),
    /// From one of BFD's sessions to another.
    Bfd(Octets),
}

/// What the thread does or lets see.
#[derive(Debug)]
pub(super) enum Said {
    /// It sends something.
    Send(IpAddr, Datagram),
    /// There is something on the desk.
    News,
    /// A link costs something else.
    Cost(IpAddr, Change),
    /// A BFD session failed.
    Failed(IpAddr),
    /// It was not scheduled, or has no room: neither may be.
    Wrong(&'static str),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Liveness {
    bfd: Bfd,
    pub(super) node: Node,
    links: BTreeMap<LinkId, LinkPath>,
    ssid: u64,
    seed: u64,
    reports: Reports,
    bfd_outputs: Vec<bfd::Output>,
    node_outputs: Vec<node::Output>,
}

impl Liveness {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            bfd: Bfd::new(seed),
            node: Node::new(Probe::default().node, CLOCK_ERROR),
            links: BTreeMap::new(),
            ssid: seed,
            seed,
            reports: Reports::default(),
            bfd_outputs: Vec::new(),
            node_outputs: Vec::new(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let engines = [self.bfd.deadline(), self.node.deadline()];
        engines.into_iter().flatten().min()
    }

    pub(super) fn timeout(&mut self, now: Instant, clock: Duration, out: &mut Vec<Said>) {
        self.bfd.timeout(now, &mut self.bfd_outputs);
        self.act(now, out);
        let input = node::Input::Timeout { clock };
        self.node.handle(now, input, &mut self.node_outputs);
        self.act(now, out);
    }

    pub(super) fn configure(&mut self, now: Instant, probe: &Probe, out: &mut Vec<Said>) {
        self.node.configure(now, probe.node, &mut self.node_outputs);
        self.act(now, out);
    }

    pub(super) fn order_session(&mut self, now: Instant, order: BfdOrder, out: &mut Vec<Said>) {
        let outputs = &mut self.bfd_outputs;
        match order.config {
            Some(config) => {
                if !self.bfd.open(now, &order.path, config, outputs) {
                    out.push(Said::Wrong("too many BFD sessions"));
                }
            }
            None => self.bfd.close(now, &order.path, outputs),
        }
        self.act(now, out);
    }

    pub(super) fn order_link(&mut self, now: Instant, order: LinkOrder, out: &mut Vec<Said>) {
        let Some(path) = order.path else {
            self.links.remove(&order.link);
            return self.node.close(now, order.link, &mut self.node_outputs);
        };
        self.ssid = self
            .ssid
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let seed = [&self.seed.to_be_bytes()[..], &order.link.0.to_be_bytes()];
        let Some(echo_key) = stamp::Key::new(&seed.concat()) else {
            return;
        };
        let config = LinkConfig {
            peer: path.remote,
            admin: Cost::default(),
            key: None,
            echo_key,
            ssid: u16::try_from(self.ssid >> 48).unwrap_or_default().max(1),
        };
        let outputs = &mut self.node_outputs;
        if !self.node.open(now, order.link, &config, outputs) {
            out.push(Said::Wrong("too many links"));
        }
        self.links.insert(order.link, path);
        self.act(now, out);
    }

    /// A datagram came. `at` is where we are.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        clock: Duration,
        (from, at): (IpAddr, IpAddr),
        datagram: &Datagram,
        out: &mut Vec<Said>,
    ) {
        match datagram {
            Datagram::Bfd(octets) => {
                let arrival = Arrival {
                    remote: from,
                    local: at,
                    interface: Some("eth0"),
                    ttl: 255,
                    hops: Hops::Single,
                };
                let outputs = &mut self.bfd_outputs;
                self.bfd.receive(now, &arrival, octets.as_ref(), outputs);
            }
            Datagram::Probe(port, payload) => {
                let datagram = stamp::Datagram {
                    from: SocketAddr::new(from, *port),
                    ttl: 255,
                    received: clock,
                    clock,
                    payload,
                };
                let input = node::Input::Probe(datagram);
                self.node.handle(now, input, &mut self.node_outputs);
            }
            Datagram::Answer(port, payload) => {
                let link = LinkId(u32::from(port.saturating_sub(FIRST_PORT)));
                let input = node::Input::Answer(link, Method::Stamp, payload);
                self.node.handle(now, input, &mut self.node_outputs);
            }
            // What every kernel does.
            Datagram::Echo(link, message) => {
                let mut reply = message.clone();
                if let Some(kind) = reply.first_mut() {
                    *kind = ECHO_REPLY;
                }
                out.push(Said::Send(from, Datagram::Reply(*link, reply)));
            }
            Datagram::Reply(link, message) => {
                let input = node::Input::Answer(LinkId(*link), Method::Icmp, message);
                self.node.handle(now, input, &mut self.node_outputs);
            }
        }
        self.act(now, out);
    }

    /// What lies on the desk, for the speaker.
    pub(super) fn collect(&mut self) -> Vec<Event> {
        self.reports.take()
    }

    /// Until neither engine has anything to say.
    fn act(&mut self, now: Instant, out: &mut Vec<Said>) {
        while !self.bfd_outputs.is_empty() || !self.node_outputs.is_empty() {
            self.act_bfd(now, out);
            self.act_node(now, out);
        }
    }

    fn act_bfd(&mut self, now: Instant, out: &mut Vec<Said>) {
        let mut outputs = std::mem::take(&mut self.bfd_outputs);
        for output in outputs.drain(..) {
            match output {
                bfd::Output::Send { session, octets } => {
                    let path = self.bfd.path(session);
                    out.extend(path.map(|p| Said::Send(p.remote, Datagram::Bfd(octets))));
                }
                bfd::Output::Changed { path, change } => {
                    if change.is_failure() {
                        out.push(Said::Failed(path.remote));
                    }
                    self.reports.session(path, change);
                    out.push(Said::News);
                }
                bfd::Output::Missing { path } => self.missed(now, &path),
                bfd::Output::Gone { .. } => {}
            }
        }
        self.bfd_outputs = outputs;
    }

    /// BFD misses packets on a path that is probed too.
    fn missed(&mut self, now: Instant, path: &bfd::Path) {
        let links = self.links.iter();
        let links = links.filter(|(_, link)| link.is_watched_by(path));
        for (link, _) in links {
            let input = node::Input::Missed(*link);
            self.node.handle(now, input, &mut self.node_outputs);
        }
    }

    fn act_node(&mut self, now: Instant, out: &mut Vec<Said>) {
        let mut outputs = std::mem::take(&mut self.node_outputs);
        for output in outputs.drain(..) {
            match output {
                node::Output::Transmit {
                    link,
                    method,
                    packet,
                    ..
                } => {
                    let port = FIRST_PORT.saturating_add(u16::try_from(link.0).unwrap_or(u16::MAX));
                    let datagram = match method {
                        Method::Stamp => Datagram::Probe(port, packet),
                        Method::Icmp => Datagram::Echo(link.0, packet),
                    };
                    let to = self.links.get(&link).map(|path| path.remote);
                    out.extend(to.map(|to| Said::Send(to, datagram)));
                }
                node::Output::Reflect(answer) => {
                    let datagram = Datagram::Answer(answer.to.port(), answer.packet);
                    out.push(Said::Send(answer.to.ip(), datagram));
                }
                node::Output::Answered { link, lossy } => {
                    if let Some(path) = self.links.get(&link) {
                        self.bfd.witness(now, path.remote, None, lossy);
                    }
                }
                node::Output::Cost(change) => {
                    let remote = self.links.get(&change.link).map(|path| path.remote);
                    out.extend(remote.map(|remote| Said::Cost(remote, change)));
                    self.reports.cost(change);
                    out.push(Said::News);
                }
                node::Output::Measured { link, method } => {
                    self.reports.measured(link, method);
                    out.push(Said::News);
                }
                node::Output::Notice(notice) => {
                    self.reports.notice(LinkReport::Notice(notice));
                    out.push(Said::News);
                }
                node::Output::Stalled(_) => out.push(Said::Wrong("probes were late")),
            }
        }
        self.node_outputs = outputs;
    }
}
