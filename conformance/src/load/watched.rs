//! Neighbors that speak BFD and answer link probes, played on a thread of their own that runs before all others: what
//! they miss is the device's lateness, not theirs.
//!
//! BFD is our own engine, with a socket for each neighbor; a session's packets are counted, and the times between them.
//! Probes get the answers of our own STAMP reflector. That their TTL is 255 is taken for granted: the link is a veth pair.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use bfd::{Arrival, Bfd, Hops, Path, State};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use path_score::stamp::{self, Datagram, Format, Reflector};
use serde::{Deserialize, Serialize};

use crate::lab::{Host, punctual};

/// Sessions send so often, and miss so many packets at most.
pub const INTERVAL: Duration = Duration::from_millis(50);
/// See [`INTERVAL`].
pub const MULTIPLIER: u8 = 3;
/// RFC 5881 §4, §5.
const SOURCE_PORT: u16 = 49152;
const TTL: u8 = 255;
/// How far our clock may be off, as answers say; all of them are compared on one machine.
const CLOCK_ERROR: Duration = Duration::from_millis(1);
/// How long sessions may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Sockets that one wait may report.
const EVENTS: usize = 128;

/// What the neighbors saw of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Watched {
    /// BFD sessions that were up when it began.
    pub sessions: usize,
    /// How many of them failed, each counted once, whichever end said so first.
    pub failed: usize,
    /// Probes that were answered.
    pub probes: usize,
    /// The longest time in milliseconds in which a session had no packet.
    pub longest_gap_ms: f64,
}

/// The neighbors; they are gone with this.
#[derive(Debug)]
pub struct Neighbors {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<Result<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    sessions: Vec<Session>,
    probes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Session {
    is_up: bool,
    failed: bool,
    last: Option<Instant>,
    longest: Duration,
}

impl Session {
    fn heard(&mut self, now: Instant) {
        if let (true, Some(last)) = (self.is_up, self.last) {
            self.longest = self.longest.max(now - last);
        }
        self.last = Some(now);
    }

    fn changed(&mut self, to: State) {
        self.failed |= self.is_up && to != State::Up;
        self.is_up = to == State::Up;
    }
}

impl Neighbors {
    /// Sessions of all `addresses` with a device, and answers of the first `probed` of them to its probes.
    ///
    /// # Errors
    /// A port is taken.
    pub fn start(
        host: &Host,
        device: Ipv4Addr,
        addresses: &[Ipv4Addr],
        probed: usize,
    ) -> Result<Self> {
        let addresses = addresses.to_vec();
        let mut player = host.within(move || Player::new(device, &addresses, probed))?;
        let seen = Arc::clone(&player.seen);
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            punctual();
            player.play(&ends)
        });
        Ok(Self { stop, seen, thread })
    }

    /// Waits until all sessions are up, and forgets what was before.
    ///
    /// # Errors
    /// They do not come up.
    pub fn await_all(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let mut seen = lock(&self.seen);
            let (up, all) = (count(&seen.sessions, |s| s.is_up), seen.sessions.len());
            if up == all {
                for session in &mut seen.sessions {
                    (session.failed, session.longest) = (false, Duration::ZERO);
                }
                seen.probes = 0;
                return Ok(());
            }
            drop(seen);
            ensure!(
                start.elapsed() < PATIENCE,
                "BFD: {up} of {all} sessions are up"
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The neighbors go; returns what they saw.
    ///
    /// # Errors
    /// Their thread failed.
    pub fn finish(self) -> Result<Watched> {
        self.stop.store(true, Ordering::Relaxed);
        let done = self.thread.join();
        done.map_err(|_| anyhow!("the thread of BFD's neighbors panicked"))??;
        let seen = lock(&self.seen);
        let longest = seen.sessions.iter().map(|s| s.longest).max();
        Ok(Watched {
            sessions: seen.sessions.len(),
            failed: count(&seen.sessions, |s| s.failed),
            probes: seen.probes,
            longest_gap_ms: longest.unwrap_or_default().as_secs_f64() * 1e3,
        })
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // Nothing is left half done in it.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(sessions: &[Session], which: fn(&Session) -> bool) -> usize {
    sessions.iter().filter(|session| which(session)).count()
}

/// What the thread has.
#[derive(Debug)]
struct Player {
    device: Ipv4Addr,
    neighbors: Vec<Neighbor>,
    epoll: Epoll,
    bfd: Bfd,
    seen: Arc<Mutex<Seen>>,
    outputs: Vec<bfd::Output>,
}

#[derive(Debug)]
struct Neighbor {
    address: Ipv4Addr,
    /// Hears BFD, and says it.
    bfd: UdpSocket,
    from: UdpSocket,
    stamp: Option<(UdpSocket, Reflector)>,
}

impl Player {
    fn new(device: Ipv4Addr, addresses: &[Ipv4Addr], probed: usize) -> Result<Self> {
        let mut player = Self {
            device,
            neighbors: Vec::new(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            bfd: Bfd::new(1),
            seen: Arc::default(),
            outputs: Vec::new(),
        };
        lock(&player.seen).sessions = vec![Session::default(); addresses.len()];
        for (place, &address) in addresses.iter().enumerate() {
            let neighbor = Neighbor::new(address, device, place < probed)?;
            let number = place as u64 * 2;
            let event = |number| EpollEvent::new(EpollFlags::EPOLLIN, number);
            player.epoll.add(&neighbor.bfd, event(number))?;
            if let Some((socket, _)) = &neighbor.stamp {
                player.epoll.add(socket, event(number + 1))?;
            }
            player.neighbors.push(neighbor);
            player.open(address)?;
        }
        Ok(player)
    }

    fn open(&mut self, address: Ipv4Addr) -> Result<()> {
        let path = Path {
            remote: self.device.into(),
            local: Some(address.into()),
            interface: None,
            hops: Hops::Single,
        };
        let config = bfd::Config {
            transmit: INTERVAL,
            receive: INTERVAL,
            multiplier: NonZeroU8::new(MULTIPLIER).context("never")?,
            passive: false,
            spares_lossy: false,
            authentication: None,
        };
        let opened = self
            .bfd
            .open(Instant::now(), &path, config, &mut self.outputs);
        ensure!(opened, "too many BFD sessions");
        Ok(())
    }

    fn play(&mut self, stop: &AtomicBool) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.act();
            let due = self
                .bfd
                .deadline()
                .map(|at| at.saturating_duration_since(Instant::now()));
            self.turn(due.map_or(LOOK_EVERY, |due| due.min(LOOK_EVERY)))?;
            self.act();
            self.bfd.timeout(Instant::now(), &mut self.outputs);
        }
        Ok(())
    }

    /// Hears what comes within `wait`.
    fn turn(&mut self, wait: Duration) -> Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let wait = EpollTimeout::try_from(wait.as_micros().div_ceil(1_000))?;
        let ready = match self.epoll.wait(&mut events, wait) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        for event in events.iter().take(ready) {
            let place = usize::try_from(event.data() / 2)?;
            if event.data() % 2 == 0 {
                self.hear(place);
            } else {
                self.reflect(place);
            }
        }
        Ok(())
    }

    fn hear(&mut self, place: usize) {
        let Some(neighbor) = self.neighbors.get(place) else {
            return;
        };
        let mut octets = [0; 128];
        while let Ok((length, from)) = neighbor.bfd.recv_from(&mut octets) {
            let now = Instant::now();
            let arrival = Arrival {
                remote: from.ip(),
                local: neighbor.address.into(),
                interface: None,
                ttl: TTL,
                hops: Hops::Single,
            };
            let packet = octets.get(..length).unwrap_or_default();
            self.bfd.receive(now, &arrival, packet, &mut self.outputs);
            if let Some(session) = lock(&self.seen).sessions.get_mut(place) {
                session.heard(now);
            }
        }
    }

    fn reflect(&mut self, place: usize) {
        let neighbor = self.neighbors.get_mut(place);
        let Some((socket, reflector)) = neighbor.and_then(|n| n.stamp.as_mut()) else {
            return;
        };
        let mut octets = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut octets) {
            let clock = SystemTime::now().duration_since(UNIX_EPOCH);
            let clock = clock.unwrap_or_default();
            let datagram = Datagram {
                from,
                ttl: TTL,
                received: clock,
                clock,
                payload: octets.get(..length).unwrap_or_default(),
            };
            let mut answers = Vec::new();
            reflector.handle(Instant::now(), datagram, &mut answers);
            for answer in answers {
                let sent = socket.send_to(&answer.packet, answer.to);
                lock(&self.seen).probes += usize::from(sent.is_ok());
            }
        }
    }

    fn act(&mut self) {
        for output in std::mem::take(&mut self.outputs) {
            match output {
                bfd::Output::Send { session, octets } => {
                    let local = self.bfd.path(session).and_then(|path| path.local);
                    let neighbor = local.and_then(|local| self.place(local));
                    let neighbor = neighbor.and_then(|place| self.neighbors.get(place));
                    if let Some(neighbor) = neighbor {
                        // What cannot be sent is lost, as on any link.
                        let _ = neighbor.from.send(octets.as_ref());
                    }
                }
                bfd::Output::Changed { path, change } => {
                    let place = path.local.and_then(|local| self.place(local));
                    let mut seen = lock(&self.seen);
                    let session = place.and_then(|place| seen.sessions.get_mut(place));
                    if let Some(session) = session {
                        session.changed(change.to);
                    }
                }
                bfd::Output::Missing { .. } | bfd::Output::Gone { .. } => {}
            }
        }
    }

    fn place(&self, local: IpAddr) -> Option<usize> {
        let mut neighbors = self.neighbors.iter();
        neighbors.position(|neighbor| IpAddr::from(neighbor.address) == local)
    }
}

impl Neighbor {
    fn new(address: Ipv4Addr, device: Ipv4Addr, is_probed: bool) -> Result<Self> {
        let open = |port| -> Result<UdpSocket> {
            let socket = UdpSocket::bind((address, port))?;
            socket.set_nonblocking(true)?;
            socket.set_ttl(TTL.into())?;
            Ok(socket)
        };
        let from = open(SOURCE_PORT)?;
        from.connect(SocketAddr::from((device, Hops::Single.port())))?;
        let stamp = if is_probed {
            let mut reflector = Reflector::new(Format::Ntp, CLOCK_ERROR);
            reflector.allow(device.into(), None);
            Some((open(stamp::PORT)?, reflector))
        } else {
            None
        };
        Ok(Self {
            address,
            bfd: open(Hops::Single.port())?,
            from,
            stamp,
        })
    }
}

#[cfg(test)]
mod tests;
