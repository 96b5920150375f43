//! The configuration's file, between the operator and the core: check, diff, reload.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use grpc_api::{BoxFuture, ConfigControl, Job};
use tokio::sync::{mpsc, oneshot};

use crate::config::{self, LoadedConfig};

/// See the module.
pub(crate) struct Control {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
    /// What is in force.
    current: Mutex<Arc<LoadedConfig>>,
}

impl Control {
    pub(crate) fn new(path: PathBuf, jobs: mpsc::Sender<Job>, current: LoadedConfig) -> Self {
        Self {
            path,
            jobs,
            current: Mutex::new(Arc::new(current)),
        }
    }

    fn current(&self) -> Arc<LoadedConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file anew and puts it in force: all of it, or nothing.
    async fn take_file(&self) -> Result<Vec<String>, String> {
        let new = config::load(&self.path)?;
        let old = self.current();
        if let Some(what) = needs_restart(&old, &new) {
            return Err(format!(
                "{what} changes only with a restart of windrosed; nothing was changed"
            ));
        }
        for warning in &new.warnings {
            tracing::warn!("{warning}");
        }
        let changes = config::diff(&old, &new);
        let (answer, answered) = oneshot::channel();
        let speaker_config = new.speaker.clone();
        let job: Job = Box::new(move |speaker, now, effects| {
            // Whoever asked may be gone.
            let _ = answer.send(speaker.configure(now, speaker_config, effects));
        });
        let ending = || "windrosed is ending".to_owned();
        self.jobs.send(job).await.map_err(|_| ending())?;
        answered
            .await
            .map_err(|_| ending())?
            .map_err(|refusal| refusal.to_string())?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(changes)
    }
}

impl ConfigControl for Control {
    fn check(&self, text: &str) -> Result<(), String> {
        config::parse(text, &self.path).map(drop)
    }

    fn diff(&self, text: Option<&str>) -> Result<Vec<String>, String> {
        let new = match text {
            Some(text) => config::parse(text, &self.path)?,
            None => config::load(&self.path)?,
        };
        Ok(config::diff(&self.current(), &new))
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(self.take_file())
    }

    fn effective(&self) -> String {
        config::effective(&self.current())
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
        (
            old.speaker.fib.protocol != new.speaker.fib.protocol,
            "[fib] protocol",
        ),
    ];
    changed
        .into_iter()
        .find_map(|(is_changed, what)| is_changed.then_some(what))
}
