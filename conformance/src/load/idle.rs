//! Peers that say nothing but KEEPALIVE, and measure how punctual the device's are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bgp_core::Family;
use serde::{Deserialize, Serialize};

use super::crowd::Crowd;
use super::session::{Message, Peer};
use crate::lab::Host;

/// How often it is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Idle peers on a thread of their own.
#[derive(Debug)]
pub struct Idle {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Kept>>,
}

/// How the device kept its word to them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Kept {
    /// How many they are.
    pub peers: usize,
    /// Why some of them lost their sessions.
    pub lost: Vec<String>,
    /// KEEPALIVEs that came.
    pub keepalives: usize,
    /// The longest time in seconds in which one of them heard nothing.
    pub longest_gap_s: f64,
}

impl Idle {
    /// Establishes their sessions from `host`.
    ///
    /// # Errors
    /// One does not come up and stay.
    pub fn start(host: &Host, device: SocketAddr, family: Family, peers: &[Peer]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let peers = peers.to_vec();
        let mut crowd = host.within(move || Crowd::gather(device, family, &peers))?;
        let (theirs, count) = (Arc::clone(&stop), crowd.len());
        let thread = std::thread::spawn(move || watch(&mut crowd, count, &theirs));
        Ok(Self { stop, thread })
    }

    /// Ends the sessions; returns what they saw.
    ///
    /// # Errors
    /// Their thread failed.
    pub fn finish(self) -> Result<Kept> {
        self.stop.store(true, Ordering::Relaxed);
        let done = self.thread.join();
        done.map_err(|_| anyhow!("the idle peers' thread panicked"))?
    }
}

fn watch(crowd: &mut Crowd, count: usize, stop: &AtomicBool) -> Result<Kept> {
    let mut heard = vec![Instant::now(); count];
    let mut longest = Duration::ZERO;
    let mut keepalives = 0;
    while !stop.load(Ordering::Relaxed) {
        crowd.turn(LOOK_EVERY, |who, message, now| {
            keepalives += usize::from(message == Message::Keepalive);
            if let Some(last) = heard.get_mut(who) {
                longest = longest.max(now - *last);
                *last = now;
            }
        })?;
    }
    let now = Instant::now();
    let waiting = heard.iter().map(|&last| now - last).max();
    Ok(Kept {
        peers: count,
        lost: crowd.lost().to_vec(),
        keepalives,
        longest_gap_s: longest.max(waiting.unwrap_or_default()).as_secs_f64(),
    })
}
