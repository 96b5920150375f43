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
    receiver: JoinHandle<Result<BTreeSet<usize>>>,
}

impl Stream {
    /// Begins to send from an address of one host to an address of another.
    ///
    /// # Errors
    /// The hosts do not have these addresses.
    pub fn start(from: (&Host, &str), to: (&Host, &str)) -> Result<Self> {
        let open = |(host, address): (&Host, &str)| {
            let address: IpAddr = address.parse()?;
            host.within(move || Ok(UdpSocket::bind((address, 0))?))
        };
        let (out, back) = (open(from)?, open(to)?);
        back.set_read_timeout(Some(LOOK_EVERY))?;
        let target = back.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let (sends, receives) = (Arc::clone(&over), Arc::clone(&over));
        Ok(Self {
            name: format!("{} to {}", from.1, to.1),
            over,
            sender: std::thread::spawn(move || send(&out, target, &sends)),
            receiver: std::thread::spawn(move || receive(&back, &receives)),
        })
    }

    /// Ends it. All must have come.
    ///
    /// # Errors
    /// Some were lost: says how many, and when the first and the last of them were sent.
    pub fn lost_none(self) -> Result<usize> {
        self.over.store(true, Relaxed);
        let panicked = |_| anyhow!("a thread of a stream panicked");
        let sent = self.sender.join().map_err(panicked)?;
        let came = self.receiver.join().map_err(panicked)??;
        let all = sent.iter().enumerate();
        let lost: Vec<_> = all.filter(|(n, _)| !came.contains(n)).collect();
        ensure!(
            lost.is_empty(),
            "{}: {} of {} packets lost, from {:?} to {:?} after the start",
            self.name,
            lost.len(),
            sent.len(),
            lost.first().map(|(_, at)| at),
            lost.last().map(|(_, at)| at),
        );
        Ok(sent.len())
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
