//! BFD's thread: sockets, clock, and the sessions of all neighbors. It shares nothing with the thread that does BGP
//! but two small tables, so that a full table that loads there delays no packet here.

mod socket;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bfd::{Arrival, Bfd, Hops, Output, Path, State};
use grpc_api::{BfdSession, BfdSessions, BoxFuture};
use nix::poll::{PollFd, PollFlags, ppoll};
use speaker::liveness::{BfdOrder, BfdReport};
use tokio::sync::{Notify, oneshot};

use socket::{Listener, Sender};

/// Packets read from a socket before others are looked at.
const READ_MAX: usize = 256;
/// A port that is taken is asked for again after this.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// Questions that wait for an answer, at most.
const QUESTIONS_MAX: usize = 16;

/// To the thread. Dropping it closes all sessions, tells the neighbors so, and ends the thread.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What both threads see.
struct Shared {
    desk: Mutex<Desk>,
    /// Wakes the thread.
    wake: PipeWriter,
    /// Something is to be collected.
    news: Notify,
}

/// Bounded by the number of paths: a later order for a path takes the place of an earlier one, a later report joins it.
#[derive(Default)]
struct Desk {
    orders: BTreeMap<Path, Option<bfd::Config>>,
    reports: BTreeMap<Path, BfdReport>,
    questions: Vec<oneshot::Sender<Vec<BfdSession>>>,
    closed: bool,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing is left half done in it.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // A full pipe wakes as well.
        let _ = (&self.wake).write(&[0]);
    }
}

impl Handle {
    /// Has a session opened, changed or closed.
    pub(crate) fn order(&self, order: BfdOrder) {
        self.shared.desk().orders.insert(order.path, order.config);
        self.shared.wake();
    }

    /// Who hears what became of sessions.
    pub(crate) fn ear(&self) -> Ear {
        Ear(Arc::clone(&self.shared))
    }

    /// Whom the API asks.
    pub(crate) fn sessions(&self) -> Arc<dyn BfdSessions> {
        Arc::new(Ear(Arc::clone(&self.shared)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.desk().closed = true;
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // It ends within a poll.
            let _ = thread.join();
        }
    }
}

/// See [`Handle::ear`].
pub(crate) struct Ear(Arc<Shared>);

impl Ear {
    /// Waits for news; all that there is.
    pub(crate) async fn reports(&self) -> Vec<BfdReport> {
        loop {
            let reports = std::mem::take(&mut self.0.desk().reports);
            if !reports.is_empty() {
                return reports.into_values().collect();
            }
            self.0.news.notified().await;
        }
    }
}

impl BfdSessions for Ear {
    fn sessions(&self) -> BoxFuture<'_, Vec<BfdSession>> {
        let (answer, answered) = oneshot::channel();
        let mut desk = self.0.desk();
        if desk.questions.len() < QUESTIONS_MAX {
            desk.questions.push(answer);
        }
        drop(desk);
        self.0.wake();
        Box::pin(async { answered.await.unwrap_or_default() })
    }
}

/// Starts the thread, in the calling thread's network namespace.
///
/// # Errors
/// When the system gives no thread or pipe.
pub(crate) fn start(seed: u64) -> io::Result<Handle> {
    let (woken, wake) = io::pipe()?;
    let shared = Arc::new(Shared {
        desk: Mutex::default(),
        wake,
        news: Notify::new(),
    });
    let worker = Worker {
        bfd: Bfd::new(seed),
        shared: Arc::clone(&shared),
        woken,
        listeners: BTreeMap::new(),
        senders: BTreeMap::new(),
        outputs: Vec::new(),
        listen_again: None,
    };
    let thread = std::thread::Builder::new()
        .name("bfd".to_owned())
        .spawn(move || worker.run())?;
    Ok(Handle {
        shared,
        thread: Some(thread),
    })
}

/// A socket that listens: of IPv4 or not, and for which hops.
type Door = (bool, Hops);

struct Worker {
    bfd: Bfd,
    shared: Arc<Shared>,
    woken: PipeReader,
    /// `None`: the port is taken.
    listeners: BTreeMap<Door, Option<Listener>>,
    senders: BTreeMap<NonZeroU32, Sender>,
    outputs: Vec<Output>,
    listen_again: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        loop {
            let closed = self.take_orders();
            // What came is heard before what is due is done: a packet that waited here is not missing.
            self.read();
            let now = now();
            if self.listen_again.is_some_and(|at| at <= now) {
                self.listen_again = None;
                self.listeners.retain(|_, listener| listener.is_some());
                self.listen(now);
            }
            self.bfd.timeout(now, &mut self.outputs);
            self.act();
            if closed {
                return;
            }
            if let Err(error) = self.wait() {
                tracing::error!(%error, "BFD has ended");
                return;
            }
        }
    }

    /// True: the daemon ends.
    fn take_orders(&mut self) -> bool {
        let (orders, questions, closed) = {
            let mut desk = self.shared.desk();
            let orders = std::mem::take(&mut desk.orders);
            (orders, std::mem::take(&mut desk.questions), desk.closed)
        };
        let now = now();
        let news = !orders.is_empty();
        for (path, config) in orders {
            match config {
                Some(config) => {
                    if !self.bfd.open(now, &path, config, &mut self.outputs) {
                        tracing::error!(%path, "no BFD session: there are {} already", bfd::SESSIONS_MAX);
                    }
                }
                None => self.bfd.close(now, &path, &mut self.outputs),
            }
        }
        if closed {
            self.bfd.close_all(now, &mut self.outputs);
        }
        if news {
            self.listen(now);
        }
        self.act();
        for question in questions {
            let rows = self.bfd.sessions().map(|status| view(&status)).collect();
            // Whoever asked may have gone.
            let _ = question.send(rows);
        }
        closed
    }

    /// Opens what sessions need that are there.
    fn listen(&mut self, now: Instant) {
        let doors: Vec<Door> = self
            .bfd
            .sessions()
            .map(|status| (status.path.remote.is_ipv4(), status.path.hops))
            .collect();
        for (ipv4, hops) in doors {
            self.listeners.entry((ipv4, hops)).or_insert_with(|| {
                match Listener::open(ipv4, hops.port()) {
                    Ok(listener) => Some(listener),
                    Err(error) => {
                        tracing::error!(port = hops.port(), %error, "BFD cannot listen, and tries again");
                        self.listen_again = Some(now + LISTEN_AGAIN);
                        None
                    }
                }
            });
        }
    }

    fn read(&mut self) {
        let Self {
            bfd,
            listeners,
            outputs,
            ..
        } = self;
        for ((_, hops), listener) in listeners {
            let Some(listener) = listener else { continue };
            for _ in 0..READ_MAX {
                let Some(packet) = listener.receive() else {
                    break;
                };
                let arrival = Arrival {
                    remote: packet.remote,
                    local: packet.local,
                    interface: packet.interface.as_deref(),
                    ttl: packet.ttl,
                    hops: *hops,
                };
                bfd.receive(now(), &arrival, packet.octets(), outputs);
            }
        }
        self.act();
    }

    fn act(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Send { session, octets } => self.send(session, octets.as_ref()),
                Output::Changed { path, change } => {
                    let failed = change.from == State::Up && change.reason.is_failure();
                    let failed = failed.then_some(change.reason);
                    let mut desk = self.shared.desk();
                    let before = desk.reports.get(&path).and_then(|report| report.failed);
                    let report = BfdReport {
                        path: path.clone(),
                        state: change.to,
                        failed: before.or(failed),
                    };
                    desk.reports.insert(path, report);
                    drop(desk);
                    self.shared.news.notify_one();
                }
                Output::Gone { session } => drop(self.senders.remove(&session)),
            }
        }
        self.outputs = outputs;
    }

    /// A packet that cannot be sent is as good as lost, which is what BFD is there to see.
    fn send(&mut self, session: NonZeroU32, octets: &[u8]) {
        let Some(path) = self.bfd.path(session) else {
            return;
        };
        let sender = match self.senders.entry(session) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => match Sender::open(path, session.get()) {
                Ok(sender) => place.insert(sender),
                Err(error) => return tracing::debug!(%path, %error, "BFD cannot send"),
            },
        };
        if let Err(error) = sender.send(octets) {
            tracing::debug!(%path, %error, "BFD could not send");
            // The address or the device may be gone, and another one there.
            self.senders.remove(&session);
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        let deadline = self
            .bfd
            .deadline()
            .into_iter()
            .chain(self.listen_again)
            .min();
        let timeout = deadline.map(|at| at.saturating_duration_since(now()).into());
        let sockets = self.listeners.values().flatten().map(AsFd::as_fd);
        let mut fds: Vec<PollFd<'_>> = std::iter::once(self.woken.as_fd())
            .chain(sockets)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        match ppoll(&mut fds, timeout, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if fds.first().and_then(PollFd::any).unwrap_or(false) {
            let mut octets = [0; 64];
            if self.woken.read(&mut octets)? == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        Ok(())
    }
}

fn now() -> Instant {
    Instant::now()
}

fn view(status: &bfd::Status<'_>) -> BfdSession {
    BfdSession {
        path: status.path.clone(),
        state: status.state,
        diagnostic: status.diagnostic,
        since: status.since,
        local_discriminator: status.discriminator,
        remote: status.remote.copied(),
        multiplier: status.config.multiplier,
        transmit_interval: status.transmit_interval,
        detection_time: status.detection_time,
        sent: status.sent,
        received: status.received,
        ups: status.ups,
        failures: status.failures,
    }
}

/// The address without the IPv4 inside IPv6.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
