//! A stream of numbered packets through a lab, and which of them were lost.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::Host;

/// How often one is sent.
const EVERY: Duration = Duration::from_millis(5);
/// What is not there so long after the last one was sent is lost.
const LATE: Duration = Duration::from_millis(500);
/// How long a read may take before the receiver looks whether all is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// UDP from one host to another, a packet each 5 ms, until it is asked how that went.
#[derive(Debug)]
pub struct Stream {
    name: String,
    over: Arc<AtomicBool>,
    sender: JoinHandle<Vec<Duration>>,
    receivers: Vec<JoinHandle<Result<BTreeSet<usize>>>>,
}

impl Stream {
    /// Begins to send from an address of one host to an address of another.
    ///
    /// # Errors
    /// The hosts do not have these addresses.
    pub fn start(from: (&Host, &str), to: (&Host, &str)) -> Result<Self> {
        Self::start_to_any(from, &[to.0], to.1)
    }

    /// Likewise, where several hosts have the address: what came to one of them has come.
    ///
    /// # Errors
    /// As [`Stream::start`].
    pub fn start_to_any(from: (&Host, &str), to: &[&Host], address: &str) -> Result<Self> {
        let open = |host: &Host, address: &str, port: u16| {
            let address: IpAddr = address.parse()?;
            host.within(move || Ok(UdpSocket::bind((address, port))?))
        };
        let out = open(from.0, from.1, 0)?;
        let over = Arc::new(AtomicBool::new(false));
        let mut receivers = Vec::new();
        let mut target = SocketAddr::new(address.parse()?, 0);
        for host in to {
            let back = open(host, address, target.port())?;
            back.set_read_timeout(Some(LOOK_EVERY))?;
            target = back.local_addr()?;
            let receives = Arc::clone(&over);
            receivers.push(std::thread::spawn(move || receive(&back, &receives)));
        }
        let sends = Arc::clone(&over);
        Ok(Self {
            name: format!("{} to {address}", from.1),
            over,
            sender: std::thread::spawn(move || send(&out, target, &sends)),
            receivers,
        })
    }

    /// Ends it. All must have come.
    ///
    /// # Errors
    /// Some were lost: says how many, and when the first and the last of them were sent.
    pub fn lost_none(self) -> Result<usize> {
        let name = self.name.clone();
        let (sent, lost) = self.end()?;
        ensure!(
            lost.is_empty(),
            "{name}: {} of {sent} packets lost, from {:?} to {:?} after the start",
            lost.len(),
            lost.first(),
            lost.last(),
        );
        Ok(sent)
    }

    /// Ends it: how many were sent, and how long after the start each of those that were lost.
    ///
    /// # Errors
    /// A socket failed.
    pub fn end(self) -> Result<(usize, Vec<Duration>)> {
        self.over.store(true, Relaxed);
        let panicked = |_| anyhow!("a thread of a stream panicked");
        let sent = self.sender.join().map_err(panicked)?;
        let mut came = BTreeSet::new();
        for receiver in self.receivers {
            came.extend(receiver.join().map_err(panicked)??);
        }
        let all = sent.iter().enumerate();
        let lost = all.filter(|(n, _)| !came.contains(n)).map(|(_, at)| *at);
        Ok((sent.len(), lost.collect()))
    }
}

/// When each was sent. One that the kernel refuses, for it has no route, is lost like others.
fn send(socket: &UdpSocket, target: SocketAddr, over: &AtomicBool) -> Vec<Duration> {
    let start = Instant::now();
    let mut sent = Vec::new();
    while !over.load(Relaxed) {
        let _ = socket.send_to(&sent.len().to_be_bytes(), target);
        sent.push(start.elapsed());
        let next = EVERY * u32::try_from(sent.len()).unwrap_or(u32::MAX);
        std::thread::sleep(next.saturating_sub(start.elapsed()));
    }
    sent
}

fn receive(socket: &UdpSocket, over: &AtomicBool) -> Result<BTreeSet<usize>> {
    let mut came = BTreeSet::new();
    let mut end = None;
    let mut number = [0; size_of::<usize>()];
    while end.is_none_or(|end| Instant::now() < end) {
        if end.is_none() && over.load(Relaxed) {
            end = Some(Instant::now() + LATE);
        }
        match socket.recv(&mut number) {
            Ok(_) => {
                came.insert(usize::from_be_bytes(number));
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(came)
}
