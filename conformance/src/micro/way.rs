//! The whole way of a route: bytes of a peer go into a speaker, bytes for others and batches for a kernel come out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bgp_core::{Capability, Family, Open, header};
use bytes::Bytes;
use speaker::config::{self, PeerOptions};
use speaker::event::ConnId;
use speaker::{Config, Effect, Event, Speaker};

use super::planner::dump;
use super::{Prepared, updates::next_hop};
use crate::load::{Paths, Peer, Shape, Table};

/// What windrosed reads and takes at a time.
const READ: usize = 64 * 1024;
const TRANSMIT: usize = 256 * 1024;
/// The time that a read takes.
const TICK: Duration = Duration::from_micros(100);
/// What is due later than this has nothing to do with the routes.
const SOON: Duration = Duration::from_millis(100);

/// Who announces how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    senders: u32,
    prefixes: usize,
    overlap: bool,
    kernel: bool,
}

impl Load {
    pub(super) const ONE_SENDER: Self = Self {
        senders: 1,
        prefixes: 100_000,
        overlap: false,
        kernel: false,
    };
    pub(super) const TEN_SENDERS: Self = Self {
        senders: 10,
        prefixes: 10_000,
        overlap: true,
        kernel: false,
    };
    pub(super) const HUNDRED_SENDERS: Self = Self {
        senders: 100,
        prefixes: 1_000,
        overlap: false,
        kernel: false,
    };
    /// What is spare beside the best one is told to the kernel too.
    pub(super) const KERNEL_TWO_SENDERS: Self = Self {
        senders: 2,
        prefixes: 25_000,
        overlap: true,
        kernel: true,
    };
    pub(super) const KERNEL: Self = Self {
        senders: 1,
        prefixes: 50_000,
        overlap: false,
        kernel: true,
    };
}

/// All senders announce, to one receiver; and to the kernel, if there is one.
pub(super) fn load(load: Load) -> Result<Prepared> {
    let senders: Vec<Peer> = (1..=load.senders).map(peer).collect();
    let shape = Shape {
        family: Family::Ipv4Unicast,
        prefixes: load.prefixes,
        overlap: load.overlap,
        internal: false,
        seed: 1,
        paths: Paths::Plain,
    };
    let table = Table::new(shape, &senders)?;
    let mut driver = Driver::new(&load)?;
    let sessions = (1..=load.senders).map(|n| driver.establish(n));
    let conns = sessions.collect::<Result<Vec<_>>>()?;
    driver.establish(load.senders + 1)?;
    driver.settle();
    let pieces = |stream: &Bytes| {
        let whole = stream.clone();
        let starts = (0..whole.len()).step_by(READ);
        starts.map(move |at| whole.slice(at..whole.len().min(at + READ)))
    };
    // By turns, as from sockets.
    let mut streams: Vec<_> = conns
        .into_iter()
        .zip(table.streams().iter().map(pieces))
        .collect();
    let mut reads = Vec::new();
    while !streams.is_empty() {
        streams.retain_mut(|(conn, pieces)| {
            let data = pieces.next();
            let read = data.map(|data| Event::Received { conn: *conn, data });
            let goes_on = read.is_some();
            reads.extend(read);
            goes_on
        });
    }
    let count = load.prefixes * load.senders as usize;
    Ok(Prepared::new(count, move || {
        for read in reads {
            driver.event(read);
        }
        driver.settle();
        driver
    }))
}

fn peer(n: u32) -> Peer {
    Peer {
        address: next_hop(n),
        asn: 61_000 + n,
        ..Peer::default()
    }
}

/// What windrosed's driver does, without sockets. Its kernel carries out each batch at once.
pub(super) struct Driver {
    speaker: Speaker,
    now: Instant,
    effects: Vec<Effect>,
    events: VecDeque<Event>,
    messages: Vec<Bytes>,
    /// Octets that were said.
    pub(super) octets: usize,
}

impl Driver {
    fn new(load: &Load) -> Result<Self> {
        let mut config = Config::new(65_000, next_hop(0));
        config.fib.install = load.kernel;
        for n in 1..=load.senders + 1 {
            let told = n > load.senders;
            let only = |name: &str| Some(vec![name.to_owned()]);
            config.peers.push(config::Peer {
                address: next_hop(n).into(),
                asn: peer(n).asn,
                options: PeerOptions {
                    passive: true,
                    import: only("accept"),
                    export: only(if told { "accept" } else { "reject" }),
                    ..PeerOptions::default()
                },
            });
        }
        let now = Instant::now();
        let speaker = Speaker::new(config, now, 1).map_err(anyhow::Error::msg)?;
        let mut driver = Self {
            speaker,
            now,
            effects: Vec::new(),
            events: VecDeque::new(),
            messages: Vec::new(),
            octets: 0,
        };
        driver.speaker.start(now, &mut driver.effects);
        let facts = dump(next_hop(0));
        driver.event(Event::Kernel(fib_netlink::Input::Kernel(facts)));
        Ok(driver)
    }

    /// Peer `n` connects, and says what it takes for a session.
    fn establish(&mut self, n: u32) -> Result<ConnId> {
        let (local, remote) = (next_hop(0).into(), next_hop(n).into());
        let (local, remote) = (SocketAddr::new(local, 179), SocketAddr::new(remote, 40_000));
        let accepted = self
            .speaker
            .accept(self.now, local, remote, None, &mut self.effects);
        let (conn, _) = accepted.context("a peer is not admitted")?;
        let Peer {
            address,
            asn,
            hold_time,
        } = peer(n);
        let open = Open {
            asn,
            hold_time,
            identifier: address,
            capabilities: vec![
                Capability::Multiprotocol(Family::Ipv4Unicast.into()),
                Capability::RouteRefresh,
                Capability::FourOctetAs(asn),
            ],
        };
        for data in [open.encode(), header::keepalive()] {
            self.event(Event::Received { conn, data });
        }
        let is_up = self.speaker.status().established == n as usize;
        ensure!(is_up, "peer {n} has no session");
        Ok(conn)
    }

    /// Something happens, and what follows from it.
    fn event(&mut self, event: Event) {
        self.now += TICK;
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            self.speaker.handle(self.now, event, &mut self.effects);
            self.act();
        }
        if self.speaker.deadline().is_some_and(|at| at <= self.now) {
            self.speaker
                .handle(self.now, Event::Timeout, &mut self.effects);
            self.act();
        }
        self.transmit();
    }

    /// How things stand.
    #[cfg(test)]
    pub(super) fn status(&self) -> speaker::view::Status {
        self.speaker.status()
    }

    fn act(&mut self) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Kernel(fib_netlink::Output::Send(batch)) => {
                    let done = fib_netlink::Input::Completed {
                        batch: batch.id,
                        failures: Vec::new(),
                    };
                    self.events.push_back(Event::Kernel(done));
                }
                Effect::Send { bytes, .. } => self.octets += bytes.len(),
                Effect::Connect { .. }
                | Effect::Close { .. }
                | Effect::ListenKeys(_)
                | Effect::Bfd(_)
                | Effect::Link(_)
                | Effect::Probe(_)
                | Effect::Kernel(_)
                | Effect::Notice(_)
                | Effect::Ended => {}
            }
        }
    }

    /// Says what there is to say.
    fn transmit(&mut self) {
        let mut ready = Vec::new();
        self.speaker.ready(&mut ready);
        for conn in ready {
            self.speaker.transmit(conn, TRANSMIT, &mut self.messages);
            self.octets += self
                .messages
                .drain(..)
                .map(|bytes| bytes.len())
                .sum::<usize>();
        }
    }

    /// Until nothing is soon to be done.
    fn settle(&mut self) {
        let end = self.now + SOON;
        loop {
            while let Some(event) = self.events.pop_front() {
                self.event(event);
            }
            let mut ready = Vec::new();
            self.speaker.ready(&mut ready);
            let due = self.speaker.deadline().filter(|at| *at <= end);
            if ready.is_empty() && due.is_none() {
                return;
            }
            self.now = due.map_or(self.now, |at| at.max(self.now));
            self.event(Event::Timeout);
        }
    }
}
