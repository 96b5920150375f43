//! Hosts, the network between them, and the clock they share. The same seed gives the same trace, byte for byte.

mod hear;
mod trouble;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bgp_core::Attributes;
use bytes::Bytes;
use ipnet::IpNet;
use rib::Drain;
use speaker::command::PeerName;
use speaker::event::{ConnId, Effect, Event};
use speaker::{Config, Speaker};

use super::kernel::Kernel;
use super::net::{Arrival, Chance, Pipe};
use watch::{AT_STATION, TO_STATION, Watch};

pub(super) use watch::STATION;

/// Bytes a host takes from its speaker for a connection at a time.
const TRANSMIT_BYTES: usize = 4096;
/// More bytes than this for one peer that does not read: something grows without bound.
const OUTBOX_MAX: usize = 128 * 1024;
/// A connection attempt into nothing fails after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// More steps than this at one instant: something spins.
const STEPS_AT_ONE_INSTANT: usize = 20_000;

/// A machine: a speaker, its kernel, and its ends of connections.
#[derive(Debug)]
pub struct Host {
    /// For the trace.
    pub name: String,
    /// Where others reach it: IPv4, IPv6.
    pub addresses: [IpAddr; 2],
    /// What it was last started or configured with.
    pub config: Config,
    /// `None`: it has crashed.
    pub speaker: Option<Speaker>,
    /// Its kernel, which outlives the speaker.
    pub kernel: Kernel,
    /// When its speaker was last started.
    pub booted: Instant,
    /// When it lost its last session with a peer, as long as there is no other.
    pub lost: BTreeMap<PeerName, Instant>,
    /// It is drained, and says so until then; after that it says nothing.
    pub drained: Option<Instant>,
    /// It has crashed, and does not come back soon.
    pub dead: Option<Dead>,
    sockets: BTreeMap<ConnId, Socket>,
}

impl Host {
    /// How far it is with leaving.
    #[must_use]
    pub fn stage(&self, now: Instant) -> Drain {
        match self.drained {
            None => Drain::None,
            Some(until) if now < until => Drain::Announcing,
            Some(_) => Drain::Withdrawn,
        }
    }
}

/// What a machine leaves behind.
#[derive(Debug)]
pub struct Dead {
    /// Since when.
    pub at: Instant,
    /// What it had told the others.
    pub told: BTreeMap<usize, BTreeMap<(IpNet, u32), Attributes>>,
}

#[derive(Debug)]
struct Socket {
    wire: usize,
    end: usize,
    outbox: VecDeque<Bytes>,
}

/// A TCP connection: what goes to end 0, and what goes to end 1.
#[derive(Debug)]
struct Wire {
    ends: [(usize, Option<ConnId>); 2],
    to: [Pipe; 2],
}

#[derive(Debug)]
struct Attempt {
    at: Instant,
    from: usize,
    conn: ConnId,
    remote: SocketAddr,
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    start: Instant,
    /// The time.
    pub now: Instant,
    /// All that is random.
    pub chance: Chance,
    /// The machines.
    pub hosts: Vec<Host>,
    wires: Vec<Wire>,
    attempts: Vec<Attempt>,
    /// Connections that the station has.
    watches: Vec<Watch>,
    /// Pairs of hosts, the smaller first, between which nothing passes and nobody is told.
    cuts: Vec<(usize, usize)>,
    trace: String,
    /// What arrived so far.
    pub(super) arrivals: usize,
    /// How often the same came over a connection to one of its ends, if somebody counts.
    pub(super) came: Option<BTreeMap<(usize, usize, Bytes), usize>>,
    /// Routes oscillated, until nobody had a preference any more.
    pub(super) oscillated: bool,
    /// The first thing that was not as it must be.
    pub fault: Option<String>,
}

impl World {
    /// An empty world at `start`.
    #[must_use]
    pub const fn new(seed: u64, start: Instant) -> Self {
        Self {
            start,
            now: start,
            chance: Chance::new(seed),
            hosts: Vec::new(),
            wires: Vec::new(),
            attempts: Vec::new(),
            watches: Vec::new(),
            cuts: Vec::new(),
            trace: String::new(),
            arrivals: 0,
            came: None,
            oscillated: false,
            fault: None,
        }
    }

    /// Adds a machine and starts its speaker.
    pub fn add(&mut self, name: &str, addresses: [IpAddr; 2], config: Config) {
        self.hosts.push(Host {
            name: name.to_owned(),
            addresses,
            kernel: Kernel::new(addresses),
            config,
            speaker: None,
            booted: self.now,
            lost: BTreeMap::new(),
            drained: None,
            dead: None,
            sockets: BTreeMap::new(),
        });
        self.boot(self.hosts.len() - 1);
    }

    /// Starts the speaker of a machine, which knows nothing of an earlier life.
    pub fn boot(&mut self, host: usize) {
        let (now, seed) = (self.now, self.chance.below(1 << 30) as u64);
        let Some(config) = self.hosts.get(host).map(|h| h.config.clone()) else {
            return;
        };
        match Speaker::new(config, now, seed) {
            Ok(speaker) => {
                if let Some(h) = self.hosts.get_mut(host) {
                    h.speaker = Some(speaker);
                    h.booted = now;
                    h.dead = None;
                    h.kernel.greet(now);
                }
            }
            Err(error) => self.blame(host, &format!("does not start: {error}")),
        }
        self.note(host, "boots");
        self.with(host, Speaker::start);
    }

    /// kill -9: the speaker is gone, the kernel closes its connections and keeps its routes.
    pub fn crash(&mut self, host: usize) {
        self.note(host, "crashes");
        let Some(h) = self.hosts.get_mut(host) else {
            return;
        };
        h.speaker = None;
        h.lost.clear();
        h.drained = None;
        h.kernel.forget_speaker();
        for conn in h.sockets.keys().copied().collect::<Vec<_>>() {
            self.close(host, conn, true);
        }
        self.attempts.retain(|attempt| attempt.from != host);
    }

    /// Lets `span` go by.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut at_once = 0;
        while let Some(next) = self.next_moment().filter(|at| *at <= end) {
            at_once = if next > self.now { 0 } else { at_once + 1 };
            self.now = self.now.max(next);
            if at_once > STEPS_AT_ONE_INSTANT {
                self.blame(0, "time stands still: somebody's deadline never moves");
            }
            if self.fault.is_some() {
                return;
            }
            self.step();
        }
        self.now = end;
    }

    /// What happened, and when: one line each.
    #[must_use]
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// Runs `job` with a machine's speaker and does what it asks for. `None` if it has none.
    pub fn with<R>(
        &mut self,
        host: usize,
        job: impl FnOnce(&mut Speaker, Instant, &mut Vec<Effect>) -> R,
    ) -> Option<R> {
        let now = self.now;
        let mut effects = Vec::new();
        let result = job(
            self.hosts.get_mut(host)?.speaker.as_mut()?,
            now,
            &mut effects,
        );
        self.check_deferral(host, &effects);
        for effect in effects {
            self.act(host, effect);
        }
        self.transmit(host);
        Some(result)
    }

    /// The machine with this address.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Option<usize> {
        self.hosts
            .iter()
            .position(|h| h.addresses.contains(&address))
    }

    /// Remembers the first fault there is.
    pub fn blame(&mut self, host: usize, what: &str) {
        self.note(host, what);
        let name = self.hosts.get(host).map_or("?", |h| h.name.as_str());
        let at = self.now - self.start;
        self.fault
            .get_or_insert_with(|| format!("{at:?} {name}: {what}"));
    }

    /// Writes a line into the trace.
    pub fn note(&mut self, host: usize, what: &str) {
        let at = self.now - self.start;
        let name = self.hosts.get(host).map_or("?", |h| h.name.as_str());
        let _ = writeln!(self.trace, "{at:?} {name} {what}");
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(500 + self.chance.below(20_000) as u64)
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
    }

    fn next_moment(&self) -> Option<Instant> {
        let speakers = self
            .hosts
            .iter()
            .filter_map(|h| h.speaker.as_ref()?.deadline());
        let kernels = self.hosts.iter().filter_map(|h| h.kernel.next_moment());
        let pipes = self
            .wires
            .iter()
            .flat_map(|w| w.to.iter().filter_map(Pipe::next_arrival));
        let attempts = self.attempts.iter().map(|attempt| attempt.at);
        speakers.chain(kernels).chain(pipes).chain(attempts).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(due) = self.attempts.iter().position(|attempt| attempt.at <= now) {
            let attempt = self.attempts.swap_remove(due);
            self.attempt(&attempt);
        }
        for wire in 0..self.wires.len() {
            for end in 0..2 {
                self.arrive(wire, end);
            }
        }
        for host in 0..self.hosts.len() {
            while let Some(input) = self.hosts.get_mut(host).and_then(|h| h.kernel.answer(now)) {
                self.note(host, &format!("hears from the kernel: {input:?}"));
                self.with(host, |s, now, out| s.handle(now, Event::Kernel(input), out));
            }
            let speaker = self.hosts.get(host).and_then(|h| h.speaker.as_ref());
            if speaker
                .and_then(Speaker::deadline)
                .is_some_and(|at| at <= now)
            {
                self.with(host, |s, now, out| s.handle(now, Event::Timeout, out));
            }
        }
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let Attempt {
            from, conn, remote, ..
        } = *attempt;
        if remote == STATION {
            return self.attempt_station(from, conn);
        }
        let target = self.at(remote.ip());
        let addresses = self.hosts.get(from).map(|h| h.addresses);
        let Some([v4, v6]) = addresses else { return };
        let local = SocketAddr::new(if remote.is_ipv4() { v4 } else { v6 }, 40_000);
        let target = target.filter(|to| !self.is_cut(from, *to) && *to != from);
        let accepted = target.and_then(|to| {
            let now = self.now;
            let mut effects = Vec::new();
            let speaker = self.hosts.get_mut(to)?.speaker.as_mut()?;
            let accepted = speaker.accept(now, remote, local, None, &mut effects);
            let accepted = accepted.map(|(theirs, _)| {
                self.open(from, conn, to, theirs);
            });
            for effect in effects {
                self.act(to, effect);
            }
            accepted.map(|()| to)
        });
        match accepted {
            Some(to) => {
                self.with(from, |s, now, out| {
                    s.handle(now, Event::Connected { conn, local }, out)
                });
                self.transmit(to);
            }
            None => {
                let why = "connection refused".to_owned();
                self.with(from, |s, now, out| {
                    s.handle(now, Event::ConnectFailed { conn, why }, out)
                });
            }
        }
    }

    fn open(&mut self, from: usize, ours: ConnId, to: usize, theirs: ConnId) {
        let wire = self.wires.len();
        self.wires.push(Wire {
            ends: [(from, Some(ours)), (to, Some(theirs))],
            to: Default::default(),
        });
        for (host, conn, end) in [(from, ours, 0), (to, theirs, 1)] {
            if let Some(h) = self.hosts.get_mut(host) {
                h.sockets.insert(
                    conn,
                    Socket {
                        wire,
                        end,
                        outbox: VecDeque::new(),
                    },
                );
            }
        }
    }

    fn arrive(&mut self, wire: usize, end: usize) {
        let now = self.now;
        while let Some(arrival) = self
            .wires
            .get_mut(wire)
            .and_then(|w| w.to.get_mut(end)?.arrive(now))
        {
            let ends = self.wires.get(wire).map(|w| w.ends);
            let Some([a, b]) = ends else { return };
            let ((host, conn), (other, _)) = if end == 0 { (a, b) } else { (b, a) };
            if host == AT_STATION {
                self.arrive_at_station(wire, arrival);
                continue;
            }
            let Some(conn) = conn else { continue };
            match arrival {
                Arrival::Data(data) => {
                    self.count(wire, end, &data);
                    self.with(host, |s, now, out| {
                        s.handle(now, Event::Received { conn, data }, out)
                    });
                    // The other end may write again: there is room.
                    self.flush_all(other);
                }
                Arrival::End => {
                    self.forget(host, conn);
                    self.with(host, |s, now, out| {
                        s.handle(now, Event::Closed { conn }, out)
                    });
                }
            }
        }
    }

    fn act(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::Connect { conn, remote, .. } => {
                let target = self.at(remote.ip());
                let lost = target.is_none_or(|to| self.is_cut(host, to));
                let latency = if remote == STATION {
                    TO_STATION
                } else if lost {
                    CONNECT_TIMEOUT
                } else {
                    self.latency()
                };
                self.attempts.push(Attempt {
                    at: self.now + latency,
                    from: host,
                    conn,
                    remote,
                });
            }
            Effect::Send { conn, bytes } => {
                if let Some(socket) = self.socket(host, conn) {
                    socket.outbox.push_back(bytes);
                }
                self.flush(host, conn);
            }
            Effect::Close { conn } => self.close(host, conn, false),
            // Links here carry no packets of BFD's, and no probes.
            Effect::Bfd(_)
            | Effect::Link(_)
            | Effect::Probe(_)
            | Effect::ListenKeys(_)
            | Effect::Ended => {}
            Effect::Kernel(output) => {
                self.note(host, &format!("asks the kernel: {output:?}"));
                let (now, fault) = (self.now, &mut self.chance);
                let complaint = self
                    .hosts
                    .get_mut(host)
                    .and_then(|h| h.kernel.take(now, output, fault));
                if let Some(complaint) = complaint {
                    self.blame(host, &complaint);
                }
            }
            Effect::Notice(notice) => self.hear(host, &notice),
        }
    }

    fn socket(&mut self, host: usize, conn: ConnId) -> Option<&mut Socket> {
        self.hosts.get_mut(host)?.sockets.get_mut(&conn)
    }

    fn flush_all(&mut self, host: usize) {
        let conns = self
            .hosts
            .get(host)
            .map(|h| h.sockets.keys().copied().collect::<Vec<_>>());
        for conn in conns.unwrap_or_default() {
            self.flush(host, conn);
        }
        self.transmit(host);
    }

    /// Writes what there is room for, and tells the speaker if it is stuck, or goes on.
    fn flush(&mut self, host: usize, conn: ConnId) {
        let (now, latency) = (self.now, Duration::from_millis(5));
        let Some(h) = self.hosts.get_mut(host) else {
            return;
        };
        let Some(socket) = h.sockets.get_mut(&conn) else {
            return;
        };
        let Some(wire) = self.wires.get_mut(socket.wire) else {
            return;
        };
        let Some(pipe) = wire.to.get_mut(1 - socket.end) else {
            return;
        };
        let mut wrote = false;
        while pipe.room() > 0
            && let Some(mut bytes) = socket.outbox.pop_front()
        {
            let now_bytes = bytes.split_to(bytes.len().min(pipe.room()));
            if !bytes.is_empty() {
                socket.outbox.push_front(bytes);
            }
            let reader = wire.ends.get(1 - socket.end);
            if reader.is_some_and(|(reader, _)| *reader == AT_STATION) {
                pipe.send_whole(now, latency, now_bytes);
            } else {
                pipe.send(now, latency, now_bytes, &mut self.chance);
            }
            wrote = true;
        }
        let stuck = !socket.outbox.is_empty();
        let waiting: usize = socket.outbox.iter().map(Bytes::len).sum();
        if waiting > OUTBOX_MAX {
            return self.blame(host, "what waits for a peer that does not read grows");
        }
        let event = if stuck {
            Some(Event::Blocked { conn })
        } else {
            wrote.then_some(Event::Progress { conn })
        };
        if let (Some(event), Some(speaker)) = (event, h.speaker.as_mut()) {
            let mut effects = Vec::new();
            speaker.handle(now, event, &mut effects);
            for effect in effects {
                self.act(host, effect);
            }
        }
    }

    fn transmit(&mut self, host: usize) {
        loop {
            let mut ready = Vec::new();
            let Some(h) = self.hosts.get_mut(host) else {
                return;
            };
            let Some(speaker) = h.speaker.as_mut() else {
                return;
            };
            speaker.ready(&mut ready);
            let mut more = false;
            for conn in ready {
                let Some(h) = self.hosts.get_mut(host) else {
                    return;
                };
                let (Some(speaker), Some(socket)) = (h.speaker.as_mut(), h.sockets.get_mut(&conn))
                else {
                    continue;
                };
                if !socket.outbox.is_empty() {
                    continue;
                }
                let mut messages = Vec::new();
                more |= speaker.transmit(conn, TRANSMIT_BYTES, &mut messages);
                socket.outbox.extend(messages);
                self.flush(host, conn);
            }
            if !more {
                return;
            }
        }
    }

    fn forget(&mut self, host: usize, conn: ConnId) -> Option<Socket> {
        let socket = self.hosts.get_mut(host)?.sockets.remove(&conn)?;
        let wire = self.wires.get_mut(socket.wire)?;
        wire.ends.get_mut(socket.end)?.1 = None;
        Some(socket)
    }

    fn close(&mut self, host: usize, conn: ConnId, hard: bool) {
        let (now, latency) = (self.now, Duration::from_millis(5));
        // One that was only being opened is given up.
        self.attempts
            .retain(|attempt| (attempt.from, attempt.conn) != (host, conn));
        let Some(socket) = self.forget(host, conn) else {
            return;
        };
        let Some(wire) = self.wires.get_mut(socket.wire) else {
            return;
        };
        let Some(pipe) = wire.to.get_mut(1 - socket.end) else {
            return;
        };
        if hard {
            pipe.reset(now, latency);
        } else {
            pipe.finish(now, latency);
        }
    }
}
