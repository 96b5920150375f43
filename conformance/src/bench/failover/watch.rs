//! Two eyes on a device: when BFD packets come in, and which way its kernel sends.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;
use socket2::{Domain, Protocol, Socket, Type};

use super::forwarding::Forwarding;
use crate::lab::{Host, punctual};

/// RTNLGRP_IPV4_ROUTE and RTNLGRP_NEXTHOP.
const GROUPS: u32 = 1 << 6 | 1 << 31;
/// What the kernel may keep for us: notifications of some 100,000 routes.
const KEPT: usize = 256 << 20;
/// How often it is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// ETH_P_IP, and what of its packets is BFD's.
const IPV4: u16 = 0x0800;
const UDP: u8 = 17;
const BFD: u16 = 3784;

/// What was seen up to now.
#[derive(Debug)]
pub(super) struct Seen {
    /// The routes of the kernel.
    pub(super) forwarding: Forwarding,
    /// Since when no route goes by the left neighbor and all by the right one.
    pub(super) moved: Option<Instant>,
    /// When the left neighbor's last BFD packet came.
    pub(super) heard: Option<Instant>,
}

/// Both eyes; they close with this.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Watch {
    /// Looks at the kernel of `host`, from now on, and at what comes from `left`.
    pub(super) fn start(
        host: &Host,
        (left, right): (Ipv4Addr, Ipv4Addr),
        routes: usize,
    ) -> Result<Self> {
        let notifications = host.within(notifications)?;
        let packets = host.within(packets)?;
        let seen = Arc::new(Mutex::new(Seen {
            forwarding: Forwarding::new(left, right),
            moved: None,
            heard: None,
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let (kernel, ends) = (Arc::clone(&seen), Arc::clone(&stop));
        let first = std::thread::spawn(move || {
            punctual();
            follow(&notifications, &kernel, routes, &ends)
        });
        let (bfd, ends) = (Arc::clone(&seen), Arc::clone(&stop));
        let second = std::thread::spawn(move || {
            punctual();
            listen(&packets, &bfd, left, &ends)
        });
        Ok(Self {
            seen,
            stop,
            threads: vec![first, second],
        })
    }

    /// What was seen up to now.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Closes the eyes.
    ///
    /// # Errors
    /// One of them missed something.
    pub(super) fn finish(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow!("an eye panicked"))??;
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // Nothing is left half done in it.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn notifications() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkRoute;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    setsockopt(&socket, sockopt::RcvBufForce, &KEPT)?;
    let wait = TimeVal::new(0, i64::from(LOOK_EVERY.subsec_micros()));
    setsockopt(&socket, sockopt::ReceiveTimeout, &wait)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    Ok(socket)
}

fn packets() -> Result<Socket> {
    let protocol = Protocol::from(i32::from(IPV4.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    Ok(socket)
}

fn follow(socket: &OwnedFd, seen: &Mutex<Seen>, routes: usize, stop: &AtomicBool) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while !stop.load(Ordering::Relaxed) {
        let count = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(Errno::ENOBUFS) => bail!("the kernel told more than could be kept"),
            other => other?,
        };
        let now = Instant::now();
        let mut seen = lock(seen);
        seen.forwarding
            .take(buffer.get(..count).unwrap_or_default());
        let moved = seen.forwarding.split() == (0, routes);
        seen.moved = moved.then(|| seen.moved.unwrap_or(now));
    }
    Ok(())
}

fn listen(
    mut socket: &Socket,
    seen: &Mutex<Seen>,
    left: Ipv4Addr,
    stop: &AtomicBool,
) -> Result<()> {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let count = match socket.read(&mut buffer) {
            Err(e) if e.raw_os_error() == Some(Errno::EAGAIN as i32) => continue,
            other => other?,
        };
        let packet = buffer.get(..count).unwrap_or_default();
        if is_bfd(packet, left) {
            lock(seen).heard = Some(Instant::now());
        }
    }
    Ok(())
}

/// Whether an IPv4 packet carries BFD's word, from there.
fn is_bfd(packet: &[u8], from: Ipv4Addr) -> bool {
    let length = packet
        .first()
        .map_or(0, |first| usize::from(first & 15) * 4);
    let port = packet.get(length + 2..length + 4);
    packet.get(9) == Some(&UDP)
        && packet.get(12..16) == Some(&from.octets()[..])
        && port == Some(&BFD.to_be_bytes()[..])
}
