//! Echoes from one Pod to another and back, and over how many routers each of them went.

use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, cmsg_space, recvmsg, setsockopt, sockopt,
};

use super::Host;

/// How often one is sent.
const EVERY: Duration = Duration::from_millis(10);
/// An echo that is not back so long after the last one was sent is lost.
const LATE: Duration = Duration::from_millis(500);
/// How long a read may take before a thread looks whether all is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The TTL with which echoes and replies leave.
const TTL: u8 = 64;
/// A number, and in replies when that was and the TTL with which it came.
const OCTETS: usize = NUMBER + TIME + 1;
const NUMBER: usize = size_of::<u64>();
/// Nanoseconds since the start.
const TIME: usize = size_of::<u64>();

/// UDP echoes, one each 10 ms, until it is asked how that went.
#[derive(Debug)]
pub struct Echo {
    start: Instant,
    over: Arc<AtomicBool>,
    sender: JoinHandle<Vec<Duration>>,
    listener: JoinHandle<Result<BTreeMap<u64, Reply>>>,
    reflector: JoinHandle<Result<()>>,
}

/// An echo and what came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample {
    /// When it was sent, since the start.
    pub sent: Duration,
    /// `None`: it, or its reply, was lost.
    pub reply: Option<Reply>,
}

/// A reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reply {
    /// When it came, since the start.
    pub came: Duration,
    /// When it was sent, since the start.
    pub answered: Duration,
    /// Routers that the echo crossed.
    pub there: u8,
    /// Routers that the reply crossed.
    pub back: u8,
}

impl Echo {
    /// Begins to send from an IPv4 address of one host to an address of another.
    ///
    /// # Errors
    /// The hosts do not have these addresses.
    pub fn start(from: (&Host, &str), to: (&Host, &str)) -> Result<Self> {
        let open = |(host, address): (&Host, &str)| {
            let address: IpAddr = address.parse()?;
            host.within(move || {
                let socket = UdpSocket::bind((address, 0))?;
                socket.set_read_timeout(Some(LOOK_EVERY))?;
                socket.set_ttl(TTL.into())?;
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
                Ok(socket)
            })
        };
        let (near, far) = (open(from)?, open(to)?);
        let (out, target) = (near.try_clone()?, far.local_addr()?);
        let over = Arc::new(AtomicBool::new(false));
        let [sends, listens, reflects] = [(); 3].map(|()| Arc::clone(&over));
        let start = Instant::now();
        Ok(Self {
            start,
            over,
            sender: std::thread::spawn(move || send(&out, target, start, &sends)),
            listener: std::thread::spawn(move || listen(&near, start, &listens)),
            reflector: std::thread::spawn(move || reflect(&far, start, &reflects)),
        })
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Ends it: every echo, in the order in which they were sent.
    ///
    /// # Errors
    /// A socket fails.
    pub fn finish(self) -> Result<Vec<Sample>> {
        self.over.store(true, Relaxed);
        let panicked = |_| anyhow!("a thread of an echo panicked");
        let sent = self.sender.join().map_err(panicked)?;
        let replies = self.listener.join().map_err(panicked)??;
        self.reflector.join().map_err(panicked)??;
        let samples = (0..).zip(sent).map(|(number, sent)| Sample {
            sent,
            reply: replies.get(&number).copied(),
        });
        Ok(samples.collect())
    }
}

/// When each was sent. One that the kernel refuses, for it has no route, is lost like others.
fn send(
    socket: &UdpSocket,
    target: SocketAddr,
    start: Instant,
    over: &AtomicBool,
) -> Vec<Duration> {
    let mut sent = Vec::new();
    for number in 0_u64.. {
        if over.load(Relaxed) {
            break;
        }
        let mut octets = [0; OCTETS];
        if let Some(place) = octets.first_chunk_mut() {
            *place = number.to_be_bytes();
        }
        sent.push(start.elapsed());
        let _ = socket.send_to(&octets, target);
        let next = EVERY * u32::try_from(sent.len()).unwrap_or(u32::MAX);
        std::thread::sleep(next.saturating_sub(start.elapsed()));
    }
    sent
}

fn listen(socket: &UdpSocket, start: Instant, over: &AtomicBool) -> Result<BTreeMap<u64, Reply>> {
    let mut replies = BTreeMap::new();
    receive(socket, over, |octets, ttl, _| {
        let time = octets.get(NUMBER..).and_then(<[u8]>::first_chunk);
        let (Some(number), Some(time), Some(there)) = (octets.first_chunk(), time, octets.last())
        else {
            return;
        };
        let reply = Reply {
            came: start.elapsed(),
            answered: Duration::from_nanos(u64::from_be_bytes(*time)),
            there: TTL.saturating_sub(*there),
            back: TTL.saturating_sub(ttl),
        };
        replies.entry(u64::from_be_bytes(*number)).or_insert(reply);
    })?;
    Ok(replies)
}

fn reflect(socket: &UdpSocket, start: Instant, over: &AtomicBool) -> Result<()> {
    receive(socket, over, |octets, ttl, from| {
        let mut answer = *octets;
        let now = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(place) = answer.get_mut(NUMBER..NUMBER + TIME) {
            place.copy_from_slice(&now.to_be_bytes());
        }
        if let Some(last) = answer.last_mut() {
            *last = ttl;
        }
        let _ = socket.send_to(&answer, from);
    })
}

/// Hands on what comes, with its TTL and its sender, until a while after it is over.
fn receive(
    socket: &UdpSocket,
    over: &AtomicBool,
    mut take: impl FnMut(&[u8; OCTETS], u8, SocketAddr),
) -> Result<()> {
    let (mut end, mut control) = (None, vec![0; cmsg_space::<i32>()]);
    while end.is_none_or(|end| Instant::now() < end) {
        if end.is_none() && over.load(Relaxed) {
            end = Some(Instant::now() + LATE);
        }
        let mut octets = [0; OCTETS];
        let (mut ttl, mut from) = (0, None);
        {
            let mut slices = [IoSliceMut::new(&mut octets)];
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
            let message = match recvmsg::<SockaddrIn>(fd, &mut slices, Some(&mut control), flags) {
                Ok(message) if message.bytes == OCTETS => message,
                Ok(_) => continue,
                Err(error) => {
                    let kind = std::io::Error::from(error).kind();
                    // Refused is an echo that came when the other end was gone.
                    let passes = [
                        ErrorKind::WouldBlock,
                        ErrorKind::Interrupted,
                        ErrorKind::ConnectionRefused,
                    ];
                    if passes.contains(&kind) {
                        continue;
                    }
                    return Err(error.into());
                }
            };
            for control in message.cmsgs().into_iter().flatten() {
                if let ControlMessageOwned::Ipv4Ttl(hops) = control {
                    ttl = u8::try_from(hops).unwrap_or_default();
                }
            }
            if let Some(address) = message.address {
                from = Some(SocketAddr::from((address.ip(), address.port())));
            }
        }
        if let Some(from) = from {
            take(&octets, ttl, from);
        }
    }
    Ok(())
}
