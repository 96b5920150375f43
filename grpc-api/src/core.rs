//! The way to the core's thread.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use speaker::check::{Context, HostFacts, LinkFacts, Subject};
use speaker::command::{PeerName, Refusal};
use speaker::links::LinkPath;
use speaker::{Effect, Notice, Speaker, bfd, path_score, wireguard};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tonic::Status;

/// Runs on the core's thread.
pub type Job = Box<dyn FnOnce(&mut Speaker, Instant, &mut Vec<Effect>) + Send>;

/// Jobs that may wait for the core; whoever has one more waits until there is room.
pub const JOBS_MAX: usize = 256;

/// Notices that a reader may be behind; one who is further behind misses some, and is told so.
pub const NOTICES_MAX: usize = 1024;

/// A future that is made by a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The handle to the core. The daemon makes it, and all its channels.
#[derive(Clone)]
pub struct Core {
    /// Orders and questions; bounded by [`JOBS_MAX`].
    pub jobs: mpsc::Sender<Job>,
    /// What happens; bounded by [`NOTICES_MAX`].
    pub notices: broadcast::Sender<Arc<Notice>>,
    /// Changes whenever best routes may have changed.
    pub routes_changed: watch::Receiver<u64>,
    /// The configuration.
    pub config: Arc<dyn ConfigControl>,
    /// BFD's sessions, and links that are measured.
    pub liveness: Arc<dyn Liveness>,
    /// Looks at links when asked.
    pub checks: Arc<dyn LinkChecks>,
    /// Tells this life of the daemon from its others: resume tokens of those are worth nothing.
    pub epoch: u64,
    /// The clock on the wall, since 1970: the daemon's to read.
    pub clock: fn() -> Duration,
}

/// What the daemon does with configurations. An `Err` is the report: every mistake, with line and remedy.
pub trait ConfigControl: Send + Sync {
    /// Whether `text` is a good configuration.
    fn check(&self, text: &str) -> Result<(), String>;
    /// What would change with `text`, or with the daemon's own file: a line a change.
    fn diff(&self, text: Option<&str>) -> Result<Vec<String>, String>;
    /// Takes the daemon's own file anew: what changed, a line a change.
    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, String>>;
    /// The configuration in force as TOML, defaults filled in, secrets left out.
    fn effective(&self) -> String;
    /// Adds, changes or removes a peer that is not in the file. `by` is who asks, for the record. All that is wrong
    /// with its keys is told by [`PeerDone::report`], and then nothing was done.
    fn change_peer(&self, order: PeerOrder, by: String)
    -> BoxFuture<'_, Result<PeerDone, Refusal>>;
    /// The peers that are not in the file, and whether each is kept over a restart.
    fn added_peers(&self) -> BTreeMap<PeerName, bool>;
}

/// What is to be done with a peer that is not in the file. Its keys are TOML, as under `[[peer]]`.
#[derive(Clone)]
pub enum PeerOrder {
    /// There is none of this name yet.
    Add {
        /// Its keys.
        config: String,
        /// Over a restart.
        keep: bool,
    },
    /// There is one of this name.
    Update {
        /// All of its keys.
        config: String,
        /// Over a restart.
        keep: bool,
    },
    /// It goes.
    Delete {
        /// Who.
        peer: PeerName,
        /// What is kept of it stays for the next start.
        keep: bool,
    },
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct PeerDone {
    /// With whom; `None`: the keys do not say.
    pub peer: Option<PeerName>,
    /// Why nothing was: every mistake, with its line and the remedy.
    pub report: Option<String>,
    /// What is odd about it, a line each.
    pub warnings: Vec<String>,
    /// What changed, a line each.
    pub changes: Vec<String>,
}

/// Who keeps BFD's sessions and measures links.
pub trait Liveness: Send + Sync {
    /// All BFD sessions, by path.
    fn sessions(&self) -> BoxFuture<'_, Vec<BfdSession>>;
    /// All links that are measured, in the order in which they were named.
    fn links(&self) -> BoxFuture<'_, Vec<LinkView>>;
}

/// Who looks at devices, and sends padded probes.
pub trait LinkChecks: Send + Sync {
    /// What the machine is set to.
    fn host(&self) -> HostFacts;
    /// What is so of these links, in their order.
    fn links(&self, context: Context, subjects: Vec<Subject>) -> BoxFuture<'_, Vec<LinkFacts>>;
    /// The peer of a WireGuard device to which packets for an address go.
    fn tunnel(&self, device: String, remote: IpAddr) -> BoxFuture<'_, Option<wireguard::Peer>>;
}

/// A link as it stands.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// Where its neighbor is.
    pub path: LinkPath,
    /// What is known of it.
    pub view: path_score::node::View,
}

/// A BFD session as it stands.
#[derive(Clone, Debug)]
pub struct BfdSession {
    /// What it watches.
    pub path: bfd::Path,
    /// Its state.
    pub state: bfd::State,
    /// Why it last left Up.
    pub diagnostic: bfd::Diagnostic,
    /// Since when it is in this state.
    pub since: Instant,
    /// Our discriminator.
    pub local_discriminator: NonZeroU32,
    /// What the neighbor said, if it is heard.
    pub remote: Option<bfd::Remote>,
    /// Our Detect Mult.
    pub multiplier: NonZeroU8,
    /// How often we send, jitter apart; `None`: not at all.
    pub transmit_interval: Option<Duration>,
    /// How long we wait for a packet; `None`: the neighbor is not heard.
    pub detection_time: Option<Duration>,
    /// Packets sent.
    pub sent: u64,
    /// Packets taken.
    pub received: u64,
    /// How often it came up.
    pub ups: u64,
    /// How often it failed.
    pub failures: u64,
}

impl Core {
    /// Has the core do something and waits for its answer.
    ///
    /// # Errors
    /// UNAVAILABLE: the core has ended.
    pub async fn ask<T, F>(&self, question: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&mut Speaker, Instant, &mut Vec<Effect>) -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |speaker, now, effects| {
            // Nobody may be waiting any more: the client went away.
            let _ = answer.send(question(speaker, now, effects));
        });
        self.jobs.send(job).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

fn ending() -> Status {
    Status::unavailable("windrosed is ending")
}
