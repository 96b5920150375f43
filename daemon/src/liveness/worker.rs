//! The thread itself: what came is heard, then what is due is done, then it sleeps.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bfd::{Arrival, Bfd, Hops, Packet};
use grpc_api::{BfdSession, LinkView};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use path_score::node::{self, LinkConfig, Node};
use path_score::stamp::{Datagram, Key};
use path_score::{Cost, LinkId, Method};
use speaker::config::{Probe, Secret};
use speaker::links::{LinkPath, LinkReport};

use super::Shared;
use super::measured::{ECHO_FIRST, Measured, STAMP_FIRST};
use super::socket::{Listener, Sender};
use crate::gate;

/// Packets read from a socket before others are looked at.
const READ_MAX: usize = 256;
/// Sockets that are looked at in one turn.
const READY_MAX: usize = 256;
/// A port that is taken is asked for again after this.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// How far our clock may be off UTC, as probes say. Nothing that is computed depends on it.
const CLOCK_ERROR: Duration = Duration::from_millis(100);

/// A socket that hears many: of IPv4 or not, and what for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Door {
    ipv4: bool,
    service: Service,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Service {
    Bfd(Hops),
    Stamp,
}

/// What a ready socket is, in epoll's number.
const WOKEN: u64 = 0;
/// Doors are numbered from here.
const DOOR_FIRST: u64 = 1;

const DOORS: [Door; 6] = {
    const fn door(ipv4: bool, service: Service) -> Door {
        Door { ipv4, service }
    }
    [
        door(true, Service::Bfd(Hops::Single)),
        door(false, Service::Bfd(Hops::Single)),
        door(true, Service::Bfd(Hops::Several)),
        door(false, Service::Bfd(Hops::Several)),
        door(true, Service::Stamp),
        door(false, Service::Stamp),
    ]
};

pub(super) struct Worker {
    shared: Arc<Shared>,
    woken: PipeReader,
    epoll: Epoll,
    bfd: Bfd,
    node: Node,
    probe: Probe,
    /// `None`: the port is taken.
    doors: BTreeMap<Door, Option<Listener>>,
    senders: BTreeMap<NonZeroU32, Sender>,
    links: BTreeMap<LinkId, Measured>,
    listen_again: Option<Instant>,
    ssid: u64,
    /// What echo requests are known by begins with this: nobody else knows it.
    secret: [u8; 32],
    /// That the system gives no socket for echo was said.
    no_echo: bool,
    bfd_outputs: Vec<bfd::Output>,
    node_outputs: Vec<node::Output>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, woken: PipeReader, seed: u64) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(woken.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, WOKEN))?;
        let probe = Probe::default();
        let mut secret = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        Ok(Self {
            shared,
            woken,
            epoll,
            bfd: Bfd::new(seed),
            node: Node::new(probe.node, CLOCK_ERROR),
            probe,
            doors: BTreeMap::new(),
            senders: BTreeMap::new(),
            links: BTreeMap::new(),
            listen_again: None,
            ssid: seed,
            secret,
            no_echo: false,
            bfd_outputs: Vec::new(),
            node_outputs: Vec::new(),
        })
    }

    pub(super) fn run(mut self) {
        loop {
            let closed = self.take_orders();
            if closed {
                return;
            }
            let deadline = self.deadline();
            let waited = self.turn(deadline);
            // What came while we were busy is heard before what is due is done: what waited here is not missing.
            let heard = waited.and_then(|()| match self.deadline().is_some_and(|at| at <= now()) {
                true => self.turn(Some(now())),
                false => Ok(()),
            });
            if let Err(error) = heard {
                tracing::error!(%error, "BFD and link probes have ended");
                return;
            }
            self.timeout();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let engines = [self.bfd.deadline(), self.node.deadline(), self.listen_again];
        engines.into_iter().flatten().min()
    }

    fn timeout(&mut self) {
        let now = now();
        if self.listen_again.is_some_and(|at| at <= now) {
            self.listen_again = None;
            self.doors.retain(|_, listener| listener.is_some());
            self.listen(now);
            self.open_links();
        }
        self.bfd.timeout(now, &mut self.bfd_outputs);
        self.act_bfd();
        let input = node::Input::Timeout { clock: clock() };
        self.node.handle(now, input, &mut self.node_outputs);
        self.act_node();
    }

    /// True: the daemon ends.
    fn take_orders(&mut self) -> bool {
        let orders = self.shared.desk().take();
        let now = now();
        if let Some(probe) = orders.probe {
            self.configure(now, probe);
        }
        let news = !orders.sessions.is_empty() || !orders.links.is_empty();
        for (path, config) in orders.sessions {
            match config {
                Some(config) => {
                    if !self.bfd.open(now, &path, config, &mut self.bfd_outputs) {
                        tracing::error!(%path, "no BFD session: there are {} already", bfd::SESSIONS_MAX);
                    }
                }
                None => self.bfd.close(now, &path, &mut self.bfd_outputs),
            }
        }
        for (link, order) in orders.links {
            match order.path {
                Some(path) => self.measure(now, link, path, order.key),
                None => {
                    self.links.remove(&link);
                    self.node.close(now, link, &mut self.node_outputs);
                }
            }
        }
        if orders.closed {
            self.bfd.close_all(now, &mut self.bfd_outputs);
        }
        if news {
            self.listen(now);
        }
        self.act_bfd();
        self.act_node();
        // Whoever asked may have gone.
        for asked in orders.sessions_asked {
            let _ = asked.send(self.bfd.sessions().map(|s| session_view(&s)).collect());
        }
        for asked in orders.links_asked {
            let _ = asked.send(self.link_views());
        }
        orders.closed
    }

    fn configure(&mut self, now: Instant, probe: Probe) {
        if probe.port != self.probe.port {
            let stamp = |door: &Door| door.service == Service::Stamp;
            self.doors.retain(|door, _| !stamp(door));
            self.links.values_mut().for_each(|link| link.stamp = None);
        }
        self.probe = probe;
        self.node.configure(now, probe.node, &mut self.node_outputs);
        self.listen(now);
        self.open_links();
    }

    fn measure(&mut self, now: Instant, link: LinkId, path: LinkPath, key: Option<Secret>) {
        // Only that a restarted sender is told from its former self.
        self.ssid = self
            .ssid
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let echo_key = Key::new(&[&self.secret[..], &link.0.to_be_bytes()].concat());
        let Some(echo_key) = echo_key else { return };
        let config = LinkConfig {
            peer: path.remote,
            admin: Cost::default(),
            key: key.and_then(|secret| Key::new(&secret.0)),
            ssid: u16::try_from(self.ssid >> 48).unwrap_or_default().max(1),
            echo_key,
        };
        if !self.node.open(now, link, &config, &mut self.node_outputs) {
            let most = node::LINKS_MAX;
            return tracing::error!(remote = %path.remote, "the link is not measured: there are {most} already");
        }
        match self.links.entry(link) {
            Entry::Occupied(mut known) => known.get_mut().path = path,
            Entry::Vacant(place) => drop(place.insert(Measured::new(path))),
        }
        self.open_links();
    }

    fn open_links(&mut self) {
        for (id, link) in &mut self.links {
            if link.stamp.is_some() {
                continue;
            }
            if let Err(error) = link.open(&self.epoll, *id, self.probe.port) {
                tracing::debug!(remote = %link.path.remote, %error, "no probes on the link yet");
                self.listen_again = Some(now() + LISTEN_AGAIN);
            }
        }
    }

    /// Opens what sessions and links need that are there.
    fn listen(&mut self, now: Instant) {
        let sessions = self.bfd.sessions().map(|status| Door {
            ipv4: status.path.remote.is_ipv4(),
            service: Service::Bfd(status.path.hops),
        });
        let links = self.links.values().map(|link| Door {
            ipv4: link.path.remote.is_ipv4(),
            service: Service::Stamp,
        });
        let needed: Vec<Door> = sessions.chain(links).collect();
        for door in needed {
            if self.doors.contains_key(&door) {
                continue;
            }
            let port = match door.service {
                Service::Bfd(hops) => hops.port(),
                Service::Stamp => self.probe.port,
            };
            let number = (DOOR_FIRST..).zip(DOORS).find(|(_, d)| *d == door);
            let number = number.map_or(WOKEN, |(number, _)| number);
            let opened = Listener::open(door.ipv4, port).and_then(|listener| {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
                self.epoll.add(listener.as_fd(), event)?;
                Ok(listener)
            });
            let listener = opened.map_err(|error| {
                tracing::error!(port, %error, "BFD or STAMP cannot listen, and tries again");
                self.listen_again = Some(now + LISTEN_AGAIN);
            });
            self.doors.insert(door, listener.ok());
        }
    }

    /// Waits until something is ready or the deadline is there, and reads what is ready.
    fn turn(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let timeout = deadline.map_or(EpollTimeout::NONE, |at| {
            // Rounded up: who wakes too early would spin.
            let wait = at
                .saturating_duration_since(now())
                .as_micros()
                .div_ceil(1000);
            EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX)
        });
        let mut events = [EpollEvent::empty(); READY_MAX];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in events.iter().take(count) {
            match event.data() {
                WOKEN => {
                    let mut octets = [0; 64];
                    if self.woken.read(&mut octets)? == 0 {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
                link @ ECHO_FIRST.. => self.read_link(link - ECHO_FIRST, Method::Icmp),
                link @ STAMP_FIRST.. => self.read_link(link - STAMP_FIRST, Method::Stamp),
                door => self.read_door(door - DOOR_FIRST),
            }
        }
        self.act_bfd();
        self.act_node();
        Ok(())
    }

    fn read_link(&mut self, number: u64, method: Method) {
        let Ok(id) = u32::try_from(number).map(LinkId) else {
            return;
        };
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        for _ in 0..READ_MAX {
            let Some(packet) = link.receive(method) else {
                break;
            };
            let input = node::Input::Answer(id, method, packet);
            self.node.handle(now(), input, &mut self.node_outputs);
        }
    }

    fn read_door(&mut self, number: u64) {
        let door = usize::try_from(number).ok().and_then(|n| DOORS.get(n));
        let Some(door) = door else { return };
        let listener = self.doors.get_mut(door).and_then(Option::as_mut);
        let Some(listener) = listener else { return };
        for _ in 0..READ_MAX {
            let Some(packet) = listener.receive() else {
                break;
            };
            match door.service {
                Service::Bfd(hops) => {
                    // Only who does not know us yet is told by its device: no name is looked up for all others.
                    let interface = Packet::is_of_stranger(packet.octets)
                        .then(|| gate::interface_name(packet.interface))
                        .flatten();
                    let arrival = Arrival {
                        remote: packet.from.ip(),
                        local: packet.local,
                        interface: interface.as_deref(),
                        ttl: packet.ttl,
                        hops,
                    };
                    let outputs = &mut self.bfd_outputs;
                    self.bfd.receive(now(), &arrival, packet.octets, outputs);
                }
                Service::Stamp => {
                    let clock = clock();
                    let datagram = Datagram {
                        from: packet.from,
                        ttl: packet.ttl,
                        received: clock,
                        clock,
                        payload: packet.octets,
                    };
                    let local = packet.local;
                    let input = node::Input::Probe(datagram);
                    self.node.handle(now(), input, &mut self.node_outputs);
                    // The answer leaves from where the probe came to, before the next one is read.
                    for output in self
                        .node_outputs
                        .extract_if(.., |o| matches!(o, node::Output::Reflect(_)))
                    {
                        if let node::Output::Reflect(answer) = output {
                            listener.answer(local, answer.to, &answer.packet);
                        }
                    }
                }
            }
        }
    }

    fn act_bfd(&mut self) {
        let mut outputs = std::mem::take(&mut self.bfd_outputs);
        for output in outputs.drain(..) {
            match output {
                bfd::Output::Send { session, octets } => self.send(session, octets.as_ref()),
                bfd::Output::Changed { path, change } => {
                    self.shared.desk().reports.session(path, change);
                    self.shared.news.notify_one();
                }
                bfd::Output::Missing { path } => self.missed(&path),
                bfd::Output::Gone { session } => drop(self.senders.remove(&session)),
            }
        }
        self.bfd_outputs = outputs;
    }

    /// BFD misses packets on a path that is probed too.
    fn missed(&mut self, path: &bfd::Path) {
        let links = self.links.iter();
        for (link, _) in links.filter(|(_, link)| link.path.is_watched_by(path)) {
            let input = node::Input::Missed(*link);
            self.node.handle(now(), input, &mut self.node_outputs);
        }
    }

    fn act_node(&mut self) {
        let mut outputs = std::mem::take(&mut self.node_outputs);
        let mut unsent = Vec::new();
        for output in outputs.drain(..) {
            match output {
                node::Output::Transmit {
                    link,
                    method,
                    sequence,
                    packet,
                } => {
                    if !self.transmit(link, method, &packet) {
                        unsent.push((link, method, sequence));
                    }
                }
                // Answered where it was read.
                node::Output::Reflect(_) => {}
                node::Output::Answered { link, lossy } => {
                    if let Some(Measured { path, .. }) = self.links.get(&link) {
                        let interface = path.interface.as_deref();
                        self.bfd.witness(now(), path.remote, interface, lossy);
                    }
                }
                node::Output::Cost(change) => {
                    self.shared.desk().reports.cost(change);
                    self.shared.news.notify_one();
                }
                node::Output::Measured { link, method } => {
                    if let (Some(measured), Method::Stamp) = (self.links.get_mut(&link), method) {
                        measured.close_echo();
                    }
                    self.shared.desk().reports.measured(link, method);
                    self.shared.news.notify_one();
                }
                node::Output::Notice(notice) => self.notice(LinkReport::Notice(notice)),
                node::Output::Stalled(late) => tracing::debug!(?late, "link probes were late"),
            }
        }
        for (link, method, sequence) in unsent {
            let input = node::Input::Unsent(link, method, sequence);
            self.node.handle(now(), input, &mut outputs);
        }
        outputs.clear();
        self.node_outputs = outputs;
    }

    fn notice(&self, notice: LinkReport) {
        self.shared.desk().reports.notice(notice);
        self.shared.news.notify_one();
    }

    /// False: it could not be sent, which is not the link's fault.
    fn transmit(&mut self, link: LinkId, method: Method, packet: &[u8]) -> bool {
        let Some(measured) = self.links.get_mut(&link) else {
            return false;
        };
        let now = now();
        let sent = measured.transmit((&self.epoll, link, now), method, packet);
        match (sent, method) {
            (Ok(()), _) => return true,
            (Err(_), Method::Stamp) => {
                self.listen_again.get_or_insert(now + LISTEN_AGAIN);
            }
            (Err(error), Method::Icmp) => {
                let may_not = error.kind() == io::ErrorKind::PermissionDenied;
                if may_not && !std::mem::replace(&mut self.no_echo, true) {
                    self.notice(LinkReport::NoEcho(error.to_string()));
                }
            }
        }
        false
    }

    /// A packet that cannot be sent is as good as lost, which is what BFD is there to see.
    fn send(&mut self, session: NonZeroU32, octets: &[u8]) {
        let Some(path) = self.bfd.path(session) else {
            return;
        };
        let sender = match self.senders.entry(session) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => match Sender::open(path, session.get()) {
                Ok(sender) => place.insert(sender),
                Err(error) => return tracing::debug!(%path, %error, "BFD cannot send"),
            },
        };
        if let Err(error) = sender.send(octets) {
            tracing::debug!(%path, %error, "BFD could not send");
            // The address or the device may be gone, and another one there.
            self.senders.remove(&session);
        }
    }

    fn link_views(&self) -> Vec<LinkView> {
        let views = self.node.views();
        views
            .filter_map(|view| {
                let path = self.links.get(&view.link)?.path.clone();
                Some(LinkView { path, view })
            })
            .collect()
    }
}

fn now() -> Instant {
    Instant::now()
}

/// Since 1970.
fn clock() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

fn session_view(status: &bfd::Status<'_>) -> BfdSession {
    BfdSession {
        path: status.path.clone(),
        state: status.state,
        diagnostic: status.diagnostic,
        since: status.since,
        local_discriminator: status.discriminator,
        remote: status.remote.copied(),
        multiplier: status.config.multiplier,
        transmit_interval: status.transmit_interval,
        detection_time: status.detection_time,
        sent: status.sent,
        received: status.received,
        ups: status.ups,
        failures: status.failures,
    }
}
