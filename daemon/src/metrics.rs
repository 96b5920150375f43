//! Prometheus metrics: a snapshot of the speaker at each scrape, counters of notices, and `/healthz`.

mod process;
mod server;
mod snapshot;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fib_netlink::kernel::Board;
use grpc_api::{Core, Job, LinkView};
use prometheus_client::registry::Registry;
use speaker::liveness::WatchView;
use speaker::view::{PeerView, Status};
use speaker::{Notice, PeerChange};
use tokio::sync::{broadcast, oneshot};

pub(crate) use server::serve;

/// A core that takes longer to answer is not healthy.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Metrics {
    core: Core,
    notices: broadcast::Receiver<Arc<Notice>>,
    counts: Arc<Counts>,
}

/// What happened since start, by notices.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sessions_ended: AtomicU64,
    connections_refused: AtomicU64,
    limits_exceeded: AtomicU64,
    leases_expired: AtomicU64,
    fib_failures: AtomicU64,
    fib_overruns: AtomicU64,
    reconfigurations: AtomicU64,
    peers_added: AtomicU64,
    peers_updated: AtomicU64,
    peers_removed: AtomicU64,
    missed: AtomicU64,
    /// How WireGuard's devices are, where AllowedIPs follow routes.
    board: Option<Arc<Board>>,
}

/// Binds the address of `[metrics]`.
///
/// # Errors
/// As the kernel says, with the address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| {
        let taken = error.kind() == io::ErrorKind::AddrInUse;
        let holder = taken.then(|| crate::gate::who_listens(address)).flatten();
        let holder = holder
            .map(|who| format!(", which {who} has"))
            .unwrap_or_default();
        io::Error::new(
            error.kind(),
            format!("metrics at {address}{holder}: {error}"),
        )
    })
}

impl Metrics {
    /// Metrics of this core; `notices` are counted while [`serve`] runs.
    pub(crate) fn new(
        core: Core,
        notices: broadcast::Receiver<Arc<Notice>>,
        board: Option<Arc<Board>>,
    ) -> Self {
        let counts = Counts {
            board,
            ..Counts::default()
        };
        Self {
            core,
            notices,
            counts: Arc::new(counts),
        }
    }
}

impl Counts {
    /// Takes in a notice.
    fn count(&self, notice: &Notice) {
        let (counter, more) = match notice {
            Notice::PeerDown { .. } => (&self.sessions_ended, 1),
            Notice::Refused { .. } => (&self.connections_refused, 1),
            Notice::MaxPrefixes { .. } => (&self.limits_exceeded, 1),
            Notice::LeaseExpired { .. } => (&self.leases_expired, 1),
            Notice::Configured { .. } => (&self.reconfigurations, 1),
            Notice::PeerChanged { change, .. } => match change {
                PeerChange::Added => (&self.peers_added, 1),
                PeerChange::Updated => (&self.peers_updated, 1),
                PeerChange::Removed => (&self.peers_removed, 1),
            },
            Notice::Fib(fib_netlink::Notice::InstallFailed { more, .. }) => (
                &self.fib_failures,
                u64::try_from(*more).unwrap_or(u64::MAX).saturating_add(1),
            ),
            Notice::Fib(fib_netlink::Notice::Overrun) => (&self.fib_overruns, 1),
            // Told by the snapshot.
            Notice::PeerState { .. }
            | Notice::Malformed { .. }
            | Notice::EndOfRib { .. }
            | Notice::Held { .. }
            | Notice::HeldOver { .. }
            | Notice::Restart { .. }
            | Notice::Drain { .. }
            | Notice::Bfd(_)
            | Notice::RedistributeFull { .. }
            | Notice::Link(_)
            | Notice::StationUp { .. }
            | Notice::StationDown { .. }
            | Notice::Fib(_) => return,
        };
        counter.fetch_add(more, Relaxed);
    }

    /// Counts notices until there are no more.
    async fn follow(&self, mut notices: broadcast::Receiver<Arc<Notice>>) {
        loop {
            match notices.recv().await {
                Ok(notice) => self.count(&notice),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    self.missed.fetch_add(missed, Relaxed);
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

/// Asks the core how things stand. `None`: it does not answer in time.
async fn ask(core: &Core) -> Option<(Status, Vec<PeerView>, Vec<WatchView>)> {
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::new(move |speaker, _, _| {
        // Whoever asked may have given up.
        let _ = answer.send((speaker.status(), speaker.peers(), speaker.watches()));
    });
    let asked = async {
        core.jobs.send(job).await.ok()?;
        answered.await.ok()
    };
    tokio::time::timeout(ANSWER_MAX, asked).await.ok().flatten()
}

/// Asks the thread of probes; nothing, if it does not answer in time.
async fn ask_links(core: &Core) -> Vec<LinkView> {
    let asked = tokio::time::timeout(ANSWER_MAX, core.liveness.links());
    asked.await.unwrap_or_default()
}

/// The text of a scrape.
fn render(
    status: &Status,
    peers: &[PeerView],
    (watches, links): (&[WatchView], &[LinkView]),
    counts: &Counts,
) -> String {
    let mut registry = Registry::with_prefix("windrose");
    snapshot::register(&mut registry, status, peers);
    snapshot::register_bfd(&mut registry, watches);
    snapshot::register_links(&mut registry, links);
    snapshot::register_counts(&mut registry, counts);
    let board = counts.board.as_ref().map(|board| board.status());
    snapshot::register_wireguard(&mut registry, &board.unwrap_or_default());
    process::register(&mut registry);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[cfg(test)]
mod tests;
