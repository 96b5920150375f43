//! Peers that are no good, while others are loaded: none of them may cost the others anything.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bgp_core::{Family, header};
use bytes::Bytes;
use socket2::SockRef;

use super::session::{Peer, Session};
use super::table::strange;
use crate::lab::Host;

/// What a reader that is slow, or has stopped, leaves the kernel to keep for it.
const WINDOW: usize = 4096;
/// A slow reader reads so much, so often: 80 kB a second.
const SIP: usize = 4096;
const SIP_EVERY: Duration = Duration::from_millis(50);
/// An UPDATE that does not end: it promises this, begins with so much of it, and goes on by an octet at a time.
const PROMISED: u16 = 4096;
const BEGUN: usize = 100;
const OCTET_EVERY: Duration = Duration::from_millis(500);
/// Peers that flap say so many prefixes and go after so long, without a word.
const SAID: usize = 1_000;
const STAY: Duration = Duration::from_millis(50);
/// How long one waits that was refused.
const REFUSED: Duration = Duration::from_millis(50);

/// How a peer is no good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bad {
    /// Reads, but slowly.
    SlowReader,
    /// Reads nothing.
    StoppedReader,
    /// Never ends an UPDATE that it has begun.
    Unfinished,
    /// Ten peers that come, say a thousand prefixes, and are gone.
    Flapping,
}

impl Bad {
    /// All.
    pub const ALL: [Self; 4] = [
        Self::SlowReader,
        Self::StoppedReader,
        Self::Unfinished,
        Self::Flapping,
    ];

    /// How many peers do that.
    #[must_use]
    pub const fn peers(self) -> usize {
        match self {
            Self::SlowReader | Self::StoppedReader | Self::Unfinished => 1,
            Self::Flapping => 10,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowReader => "a slow reader",
            Self::StoppedReader => "a reader that stopped",
            Self::Unfinished => "an UPDATE that never ends",
            Self::Flapping => "ten peers that flap",
        }
    }
}

/// Peers that are no good; each has a thread.
#[derive(Debug)]
pub struct BadPeers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<usize>>,
}

impl BadPeers {
    /// Their sessions are up, except where they flap.
    ///
    /// # Errors
    /// A session does not come up.
    pub fn start(host: &Host, device: SocketAddr, bad: Bad, peers: &[Peer]) -> Result<Self> {
        let mut all = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        for (place, &peer) in peers.iter().enumerate() {
            let stop = Arc::clone(&all.stop);
            // A thread is in the namespace of the one that started it.
            let thread = host.within(move || {
                if bad == Bad::Flapping {
                    let said = strange(peer, place, SAID);
                    return Ok(std::thread::spawn(move || flap(device, peer, &said, &stop)));
                }
                let session = Session::establish(device, peer, Family::Ipv4Unicast)?;
                Ok(std::thread::spawn(move || misbehave(bad, session, &stop)))
            })?;
            all.threads.push(thread);
        }
        Ok(all)
    }

    /// They go; returns how often they had come.
    ///
    /// # Errors
    /// A thread panicked.
    pub fn finish(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sessions = 0;
        for thread in self.threads.drain(..) {
            sessions += thread
                .join()
                .map_err(|_| anyhow!("a bad peer's thread panicked"))?;
        }
        Ok(sessions)
    }
}

impl Drop for BadPeers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn misbehave(bad: Bad, mut session: Session, stop: &AtomicBool) -> usize {
    let _ = SockRef::from(session.stream()).set_recv_buffer_size(WINDOW);
    let mut sip = [0; SIP];
    if bad == Bad::Unfinished {
        let _ = session.stream().write(&unfinished());
    }
    while !stop.load(Ordering::Relaxed) {
        // The device may end the session: that is its right, and the end of this.
        match bad {
            Bad::SlowReader => {
                let _ = session.stream().read(&mut sip);
                let _ = session.tick(Instant::now());
                std::thread::sleep(SIP_EVERY);
            }
            Bad::Unfinished => {
                let _ = session.stream().write(&[0]);
                std::thread::sleep(OCTET_EVERY);
            }
            Bad::StoppedReader | Bad::Flapping => {
                let _ = session.tick(Instant::now());
                std::thread::sleep(SIP_EVERY);
            }
        }
    }
    1
}

/// The beginning of an UPDATE.
fn unfinished() -> Vec<u8> {
    const UPDATE: u8 = 2;
    let mut octets = vec![0xff; header::LEN - 3];
    octets.extend_from_slice(&PROMISED.to_be_bytes());
    octets.push(UPDATE);
    octets.resize(header::LEN + BEGUN, 0);
    octets
}

fn flap(device: SocketAddr, peer: Peer, said: &Bytes, stop: &AtomicBool) -> usize {
    let mut sessions = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut session) = Session::attempt(device, peer, Family::Ipv4Unicast) else {
            std::thread::sleep(REFUSED);
            continue;
        };
        sessions += 1;
        session.queue(said.clone());
        let _ = session.write();
        std::thread::sleep(STAY);
    }
    sessions
}

#[cfg(test)]
mod tests;
