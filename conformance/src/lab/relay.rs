//! A link that is late, or cut: what goes between two UDP sockets passes through here, waits as long as it is told to, or is lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Host;

/// How long a read may take before a thread looks whether all is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Packets on their way in one direction, at most; more are lost, as in a queue of a router.
const WAITING_MAX: usize = 10_000;
/// Larger ones are cut.
const OCTETS_MAX: usize = 2048;

/// How late packets are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Late {
    /// They wait so long,
    pub by: Duration,
    /// this share of them in percent. If all do, they keep their order, else those that do not overtake them.
    pub percent: u8,
}

impl Late {
    /// Nothing waits.
    pub const NEVER: Self = Self {
        by: Duration::ZERO,
        percent: 100,
    };
}

/// Carries packets between two ends, each of which takes it for the other, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    link: Arc<Link>,
    threads: Vec<JoinHandle<()>>,
}

/// What becomes of packets.
#[derive(Debug)]
struct Link {
    late: Mutex<Late>,
    /// All are lost.
    cut: AtomicBool,
    /// Nobody needs it any more.
    over: AtomicBool,
}

/// When it is to be sent, in which order of those that are to be sent then, and what it is.
type Waiting = Reverse<(Instant, u64, Vec<u8>)>;

impl Relay {
    /// Receives at two addresses of a host, the first of each pair, and sends what comes to one from the other on.
    /// Chance decides which packets wait where not all do; the seed decides chance.
    ///
    /// # Errors
    /// The host does not have these addresses.
    pub fn start(
        host: &Host,
        near: (SocketAddr, SocketAddr),
        far: (SocketAddr, SocketAddr),
        seed: u32,
    ) -> Result<Self> {
        let open = |address: SocketAddr| {
            host.within(move || {
                let socket = UdpSocket::bind(address)?;
                socket.set_read_timeout(Some(LOOK_EVERY))?;
                Ok(socket)
            })
        };
        let (near_socket, far_socket) = (open(near.0)?, open(far.0)?);
        let mut relay = Self {
            link: Arc::new(Link {
                late: Mutex::new(Late::NEVER),
                cut: AtomicBool::new(false),
                over: AtomicBool::new(false),
            }),
            threads: Vec::new(),
        };
        let (near_out, far_out) = (near_socket.try_clone()?, far_socket.try_clone()?);
        relay.direction(near_socket, far_out, far.1, u64::from(seed) << 2 | 1);
        relay.direction(far_socket, near_out, near.1, u64::from(seed) << 2 | 3);
        Ok(relay)
    }

    /// From now on packets are so late, in both directions.
    pub fn set(&self, late: Late) {
        *self.link.late() = late;
    }

    /// From now on all packets that come are lost, in both directions, or none.
    pub fn cut(&self, cut: bool) {
        self.link.cut.store(cut, Relaxed);
    }

    fn direction(&mut self, from: UdpSocket, out: UdpSocket, to: SocketAddr, chance: u64) {
        let (hand_over, waiting) = sync_channel(WAITING_MAX);
        let link = Arc::clone(&self.link);
        let reads = move || receive(&from, &hand_over, &link, chance);
        self.threads.push(std::thread::spawn(reads));
        let sends = move || send(&out, to, &waiting);
        self.threads.push(std::thread::spawn(sends));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.link.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Link {
    fn late(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn receive(socket: &UdpSocket, hand_over: &SyncSender<Waiting>, link: &Link, mut chance: u64) {
    let mut octets = [0; OCTETS_MAX];
    // None of those that keep their order is sent before this.
    let mut in_order = Instant::now();
    for number in 0.. {
        if link.over.load(Relaxed) {
            return;
        }
        let Ok(length) = socket.recv(&mut octets) else {
            continue;
        };
        if link.cut.load(Relaxed) {
            continue;
        }
        let packet = octets.get(..length).unwrap_or_default().to_vec();
        let now = Instant::now();
        let Late { by, percent } = *link.late();
        let at = if percent >= 100 {
            in_order = in_order.max(now + by);
            in_order
        } else if draw(&mut chance) < u64::from(percent) {
            now + by
        } else {
            in_order = in_order.max(now);
            in_order
        };
        let _ = hand_over.try_send(Reverse((at, number, packet)));
    }
}

/// 0 to 99.
const fn draw(chance: &mut u64) -> u64 {
    *chance = chance
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*chance >> 33) % 100
}

/// Until nobody hands over any more.
fn send(socket: &UdpSocket, to: SocketAddr, incoming: &Receiver<Waiting>) {
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    loop {
        let now = Instant::now();
        while let Some(Reverse((at, ..))) = waiting.peek()
            && *at <= now
            && let Some(Reverse((_, _, packet))) = waiting.pop()
        {
            // One that the kernel refuses is lost, as on any way.
            let _ = socket.send_to(&packet, to);
        }
        let pause = waiting.peek().map_or(LOOK_EVERY, |Reverse((at, ..))| {
            at.saturating_duration_since(now)
        });
        match incoming.recv_timeout(pause) {
            Ok(_) if waiting.len() >= WAITING_MAX => {}
            Ok(packet) => waiting.push(packet),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
