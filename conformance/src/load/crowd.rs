//! Many sessions on one thread: bytes are moved when the kernel says they can be.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bgp_core::Family;
use bytes::Bytes;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::session::{Message, Peer, Session};

/// Octets that one read may take.
const SCRATCH: usize = 256 << 10;
/// Sessions that one wait may report.
const EVENTS: usize = 256;
/// How often it is looked whether a KEEPALIVE is due.
const TICK: Duration = Duration::from_millis(200);
/// How often those come again whose sessions do not last, and how long it is waited whether they do.
const ROUNDS_MAX: usize = 10;
const SETTLE: Duration = Duration::from_secs(2);

/// Sessions, each named by the place at which it was added.
#[derive(Debug)]
pub(super) struct Crowd {
    device: SocketAddr,
    family: Family,
    epoll: Epoll,
    sessions: Vec<Option<Session>>,
    scratch: Vec<u8>,
    tick_at: Instant,
    /// Why sessions ended that were allowed to.
    lost: Vec<String>,
    may_lose: bool,
}

impl Crowd {
    fn new(device: SocketAddr, family: Family, places: usize) -> Result<Self> {
        let mut sessions = Vec::new();
        sessions.resize_with(places, || None);
        Ok(Self {
            device,
            family,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            sessions,
            scratch: vec![0; SCRATCH],
            tick_at: Instant::now(),
            lost: Vec::new(),
            may_lose: false,
        })
    }

    /// Sessions of `peers` with a device, all established.
    pub(super) fn meet(device: SocketAddr, family: Family, peers: &[Peer]) -> Result<Self> {
        let mut crowd = Self::new(device, family, peers.len())?;
        for (who, &peer) in peers.iter().enumerate() {
            crowd.join(who, peer)?;
            // Those who are there already must not be left waiting.
            crowd.turn(Duration::ZERO, |_, _, _| ())?;
        }
        Ok(crowd)
    }

    /// The same, of peers whose sessions may end at first: a device that begins BFD anew when BGP comes up ends them. Who
    /// lost one comes again. From then on sessions may be lost.
    ///
    /// # Errors
    /// Not all of them are there at last.
    pub(super) fn gather(device: SocketAddr, family: Family, peers: &[Peer]) -> Result<Self> {
        let mut crowd = Self::new(device, family, peers.len())?;
        crowd.may_lose();
        for _ in 0..ROUNDS_MAX {
            let mut came = false;
            for (who, &peer) in peers.iter().enumerate() {
                if crowd.is_empty(who) {
                    came = true;
                    if let Err(why) = crowd.join(who, peer) {
                        crowd.lost.push(format!("{why:#}"));
                    }
                }
                crowd.turn(Duration::ZERO, |_, _, _| ())?;
            }
            if !came {
                crowd.lost.clear();
                return Ok(crowd);
            }
            let settled = Instant::now() + SETTLE;
            while Instant::now() < settled {
                crowd.turn(TICK, |_, _, _| ())?;
            }
        }
        let why = crowd.lost.last().map_or("never", String::as_str);
        bail!("sessions do not last: {why}")
    }

    fn is_empty(&self, who: usize) -> bool {
        self.sessions.get(who).is_some_and(Option::is_none)
    }

    /// Establishes the session of a place, which must be empty.
    pub(super) fn join(&mut self, who: usize, peer: Peer) -> Result<()> {
        let session = Session::establish(self.device, peer, self.family)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, who as u64);
        self.epoll.add(session.stream(), event)?;
        let place = self.sessions.get_mut(who);
        *place.context("no such place")? = Some(session);
        Ok(())
    }

    /// Ends the session of a place.
    pub(super) fn leave(&mut self, who: usize) {
        if let Some(session) = self.sessions.get_mut(who).and_then(Option::take) {
            session.leave();
        }
    }

    /// Says whole messages in a session.
    pub(super) fn send(&mut self, who: usize, bytes: Bytes) -> Result<()> {
        let session = self.sessions.get_mut(who).and_then(Option::as_mut);
        let session = session.context("no such session")?;
        session.queue(bytes);
        session.write()?;
        rearm(&self.epoll, session, who)
    }

    /// From now on a session that is lost leaves its place, and the others stay.
    pub(super) fn may_lose(&mut self) {
        self.may_lose = true;
    }

    /// Why sessions were lost.
    pub(super) fn lost(&self) -> &[String] {
        &self.lost
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether all that was said is in the kernel.
    pub(super) fn is_sent(&self) -> bool {
        !self.sessions.iter().flatten().any(Session::has_output)
    }

    /// Waits at most `wait` for something to move, moves it, and calls `each` with every message and
    /// when it came.
    pub(super) fn turn(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(usize, Message<'_>, Instant),
    ) -> Result<()> {
        let now = Instant::now();
        if now >= self.tick_at {
            self.tick_at = now + TICK;
            for who in 0..self.sessions.len() {
                self.with(who, |session, _, _| session.tick(now))?;
            }
        }
        let mut events = [EpollEvent::empty(); EVENTS];
        let wait = EpollTimeout::try_from(wait.as_micros().div_ceil(1_000))?;
        let count = match self.epoll.wait(&mut events, wait) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        for event in events.iter().take(count) {
            let who = usize::try_from(event.data())?;
            self.with(who, |session, epoll, scratch| {
                if event.events().contains(EpollFlags::EPOLLOUT) {
                    session.write()?;
                    rearm(epoll, session, who)?;
                }
                if event.events() != EpollFlags::EPOLLOUT {
                    session.read(scratch, |message, at| each(who, message, at))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Does something in a session, if it is there.
    fn with(
        &mut self,
        who: usize,
        act: impl FnOnce(&mut Session, &Epoll, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let Some(place) = self.sessions.get_mut(who) else {
            return Ok(());
        };
        let Some(session) = place else { return Ok(()) };
        match act(session, &self.epoll, &mut self.scratch) {
            Err(why) if self.may_lose => {
                *place = None;
                self.lost.push(format!("{why:#}"));
                Ok(())
            }
            other => other,
        }
    }
}

/// Asks to be told when there is room again, if there is something to write.
fn rearm(epoll: &Epoll, session: &Session, who: usize) -> Result<()> {
    let mut flags = EpollFlags::EPOLLIN;
    flags.set(EpollFlags::EPOLLOUT, session.has_output());
    Ok(epoll.modify(session.stream(), &mut EpollEvent::new(flags, who as u64))?)
}
