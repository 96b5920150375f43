//! The configuration, between the operator and the core: the file's check, diff and reload, and the peers that are
//! added to it over the API.

mod peers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use grpc_api::{BoxFuture, ConfigControl, Job, PeerDone, PeerOrder};
use speaker::command::{PeerName, Refusal};
use speaker::{Effect, Speaker};
use tokio::sync::{mpsc, oneshot};

use crate::config::{self, Added, LoadedConfig};
use crate::kept::Kept;

pub(crate) use peers::with_kept;

/// See the module.
pub(crate) struct Control {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
    kept: Kept,
    /// What is in force.
    current: Mutex<Current>,
    /// Whoever changes what is in force, one after the other.
    turn: tokio::sync::Mutex<()>,
}

/// What is in force.
#[derive(Clone)]
struct Current {
    config: Arc<LoadedConfig>,
    /// Those of the added peers that are kept over a restart.
    kept: BTreeSet<PeerName>,
}

impl Control {
    /// Of the file at `path` that `loaded` is of; the peers among it that are not in the file were kept.
    pub(crate) fn new(path: PathBuf, jobs: mpsc::Sender<Job>, loaded: LoadedConfig) -> Self {
        let kept = Kept::new(&loaded.daemon.api.state_dir);
        let current = Current {
            kept: loaded.added.keys().cloned().collect(),
            config: Arc::new(loaded),
        };
        Self {
            path,
            jobs,
            kept,
            current: Mutex::new(current),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn now(&self) -> Current {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, current: Current) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    fn current(&self) -> Arc<LoadedConfig> {
        self.now().config
    }

    /// The peers that a new file gets too.
    fn added(&self) -> Vec<Arc<Added>> {
        self.current().added.values().map(Arc::clone).collect()
    }

    /// Has the core do something. An error: it is ending.
    async fn ask<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Speaker, Instant, &mut Vec<Effect>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |speaker, now, effects| {
            // Whoever asked may be gone.
            let _ = answer.send(order(speaker, now, effects));
        });
        let ending = || Refusal::Precondition("windrosed is ending".to_owned());
        self.jobs.send(job).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())
    }

    /// Reads the file anew and puts it in force: all of it, or nothing.
    async fn take_file(&self) -> Result<Vec<String>, String> {
        let _turn = self.turn.lock().await;
        let new = config::load(&self.path, &self.added())?;
        let old = self.now();
        if let Some(what) = needs_restart(&old.config, &new) {
            return Err(format!(
                "{what} changes only with a restart of windrosed; nothing was changed"
            ));
        }
        for warning in &new.warnings {
            tracing::warn!("{warning}");
        }
        let changes = config::diff(&old.config, &new);
        let speaker_config = new.speaker.clone();
        let done =
            self.ask(move |speaker, now, effects| speaker.configure(now, speaker_config, effects));
        done.await
            .flatten()
            .map_err(|refusal| refusal.to_string())?;
        self.set(Current {
            config: Arc::new(new),
            kept: old.kept,
        });
        Ok(changes)
    }
}

impl ConfigControl for Control {
    fn check(&self, text: &str) -> Result<(), String> {
        config::parse(text, &self.path, &self.added()).map(drop)
    }

    fn diff(&self, text: Option<&str>) -> Result<Vec<String>, String> {
        let new = match text {
            Some(text) => config::parse(text, &self.path, &self.added())?,
            None => config::load(&self.path, &self.added())?,
        };
        Ok(config::diff(&self.current(), &new))
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(self.take_file())
    }

    fn effective(&self) -> String {
        config::effective(&self.current())
    }

    fn change_peer(
        &self,
        order: PeerOrder,
        by: String,
    ) -> BoxFuture<'_, Result<PeerDone, Refusal>> {
        Box::pin(self.carry_out(order, by))
    }

    fn added_peers(&self) -> BTreeMap<PeerName, bool> {
        let Current { config, kept } = self.now();
        let row = |name: &PeerName| (name.clone(), kept.contains(name));
        config.added.keys().map(row).collect()
    }
}

/// What of a new configuration the running daemon cannot take up.
fn needs_restart(old: &LoadedConfig, new: &LoadedConfig) -> Option<&'static str> {
    let changed = [
        (
            old.speaker.router.listen != new.speaker.router.listen,
            "router.listen",
        ),
        (old.daemon.api != new.daemon.api, "[api]"),
        (old.daemon.metrics != new.daemon.metrics, "[metrics]"),
        (old.daemon.wireguard != new.daemon.wireguard, "[wireguard]"),
        (
            old.speaker.fib.protocol != new.speaker.fib.protocol,
            "[fib] protocol",
        ),
    ];
    changed
        .into_iter()
        .find_map(|(is_changed, what)| is_changed.then_some(what))
}
