//! Peers that come and go over the API: checked as the file is, kept over a restart if that is asked for.

use std::path::Path;
use std::sync::Arc;

use grpc_api::{PeerDone, PeerOrder};
use speaker::command::{PeerName, Refusal};
use speaker::config::Peer;

use super::{Control, Current};
use crate::config::{self, Added, LoadedConfig};
use crate::kept::{ADDED_MAX, ADDED_OCTETS_MAX, Kept, added};

/// What the places in a request are called.
const REQUEST: &str = "the request";

impl Control {
    /// Does what a client wants done with a peer, and writes down who wanted what could not be.
    pub(super) async fn carry_out(
        &self,
        order: PeerOrder,
        by: String,
    ) -> Result<PeerDone, Refusal> {
        let _turn = self.turn.lock().await;
        let done = match order {
            PeerOrder::Add { config, keep } => self.put(config, keep, true, &by).await,
            PeerOrder::Update { config, keep } => self.put(config, keep, false, &by).await,
            PeerOrder::Delete { peer, keep } => self.delete(peer, keep, &by).await,
        };
        let why = match &done {
            Ok(done) => done.report.clone(),
            Err(refusal) => Some(refusal.to_string()),
        };
        if let Some(why) = why {
            let why = why.lines().next().unwrap_or_default();
            tracing::info!(by, why, "an order about a peer was refused");
        }
        done
    }

    /// A new peer, or one in the place of that of its name.
    async fn put(
        &self,
        text: String,
        keep: bool,
        new: bool,
        by: &str,
    ) -> Result<PeerDone, Refusal> {
        let old = self.now();
        let request = Arc::new(Added {
            source: REQUEST.to_owned(),
            text,
        });
        check_size(&request)?;
        let named = config::name_of(&request);
        if let Some(name) = &named {
            check_name(&old.config, name, new)?;
        }
        let others = old.config.added.iter();
        let others = others.filter(|(name, _)| Some(*name) != named.as_ref());
        let mut all: Vec<_> = others.map(|(_, peer)| Arc::clone(peer)).collect();
        if all.len() >= ADDED_MAX {
            let why = format!("at most {ADDED_MAX} peers can be added over the API");
            return Err(Refusal::Exhausted(why));
        }
        all.push(Arc::clone(&request));
        let loaded = match config::parse(&old.config.text, &self.path, &all) {
            Ok(loaded) => loaded,
            Err(report) => {
                let (peer, report) = (named, Some(report));
                let done = PeerDone::default();
                return Ok(PeerDone {
                    peer,
                    report,
                    ..done
                });
            }
        };
        let peer = peer_of(&loaded, &request)?;
        let name = peer.name();
        if named.as_ref() != Some(&name) {
            let why =
                "a link-local address must have its interface: write `address = \"fe80::2%eth0\"`";
            return Err(invalid(why.to_owned()));
        }
        if keep {
            self.save(&name, &request.text).await?;
        }
        let (put, who) = (peer.clone(), by.to_owned());
        let done = self.ask(move |speaker, now, effects| speaker.put_peer(now, put, &who, effects));
        if let Err(refusal) = done.await.flatten() {
            self.restore(&old, &name).await;
            return Err(refusal);
        }
        let next = old.with(peer, &request.text, keep);
        let changes = config::diff(&old.config, &next.config);
        self.set(next);
        let mut warnings = about_request(&loaded);
        if !keep && let Err(refusal) = self.forget(&name).await {
            warnings.push(refusal.to_string());
        }
        Ok(PeerDone {
            peer: Some(name),
            report: None,
            warnings,
            changes,
        })
    }

    async fn delete(&self, name: PeerName, keep: bool, by: &str) -> Result<PeerDone, Refusal> {
        let old = self.now();
        let done = PeerDone {
            peer: Some(name.clone()),
            ..PeerDone::default()
        };
        if !old.config.added.contains_key(&name) {
            check_name(&old.config, &name, false).or_else(|refusal| match refusal {
                Refusal::NotFound(_) => Ok(()),
                other @ (Refusal::Exists(_)
                | Refusal::Invalid { .. }
                | Refusal::Precondition(_)
                | Refusal::Exhausted(_)) => Err(other),
            })?;
            // One that did not fit at the start is kept all the same.
            return match self.forget(&name).await? {
                true => Ok(done),
                false => Err(Refusal::NotFound(format!("peer {name}"))),
            };
        }
        let (gone, who) = (name.clone(), by.to_owned());
        let taken =
            self.ask(move |speaker, now, effects| speaker.take_peer(now, &gone, &who, effects));
        taken.await.flatten()?;
        let mut next = old;
        let mut config = (*next.config).clone();
        config.speaker.peers.retain(|known| known.name() != name);
        config.added.remove(&name);
        next.config = Arc::new(config);
        let kept = next.kept.remove(&name);
        self.set(next);
        if kept && !keep {
            self.forget(&name).await?;
        }
        Ok(done)
    }

    async fn save(&self, name: &PeerName, text: &str) -> Result<(), Refusal> {
        let (kept, file, text) = (self.kept.clone(), name.clone(), text.to_owned());
        let saved = tokio::task::spawn_blocking(move || kept.save(&file, &text));
        let saved = saved.await.map_err(std::io::Error::other).flatten();
        saved.map_err(|error| {
            let why = format!("peer {name} cannot be kept, and nothing was changed: {error}");
            Refusal::Precondition(why)
        })
    }

    async fn forget(&self, name: &PeerName) -> Result<bool, Refusal> {
        let (kept, file) = (self.kept.clone(), name.clone());
        let forgotten = tokio::task::spawn_blocking(move || kept.remove(&file));
        let forgotten = forgotten.await.map_err(std::io::Error::other).flatten();
        forgotten.map_err(|error| {
            let why = format!("what was kept of peer {name} cannot be removed: {error}");
            Refusal::Precondition(why)
        })
    }

    /// What was kept of a peer is kept again; the core did not take what was to be in its place.
    async fn restore(&self, old: &Current, name: &PeerName) {
        let before = old.config.added.get(name);
        let before = before.filter(|_| old.kept.contains(name));
        let restored = match before {
            Some(peer) => self.save(name, &peer.text).await,
            None => self.forget(name).await.map(drop),
        };
        if let Err(refusal) = restored {
            tracing::error!("{refusal}");
        }
    }
}

impl Current {
    /// With this peer, new or in the place of the one of its name.
    fn with(&self, peer: Peer, text: &str, keep: bool) -> Self {
        let (mut next, name) = (self.clone(), peer.name());
        let mut config = (*self.config).clone();
        config.speaker.peers.retain(|known| known.name() != name);
        config.speaker.peers.push(peer);
        config.speaker.peers.sort_by_key(Peer::name);
        let text = added(&name, text.to_owned());
        config.added.insert(name.clone(), text);
        if keep {
            next.kept.insert(name);
        } else {
            next.kept.remove(&name);
        }
        next.config = Arc::new(config);
        next
    }
}

/// The configuration with the peers that were kept. One that no longer fits is left out, and stays kept.
pub(crate) fn with_kept(file: LoadedConfig, path: &Path) -> LoadedConfig {
    let kept = Kept::new(&file.daemon.api.state_dir).load();
    let all: Vec<_> = kept.iter().map(|(_, peer)| Arc::clone(peer)).collect();
    if all.is_empty() {
        return file;
    }
    if let Ok(whole) = config::parse(&file.text, path, &all) {
        return whole;
    }
    let (mut whole, mut good) = (file, Vec::new());
    for peer in all {
        good.push(peer);
        match config::parse(&whole.text, path, &good) {
            Ok(with) => whole = with,
            Err(report) => {
                tracing::error!("a kept peer is left out: {report}");
                good.pop();
            }
        }
    }
    whole
}

/// The peer that a request made of the configuration.
fn peer_of(loaded: &LoadedConfig, request: &Arc<Added>) -> Result<Peer, Refusal> {
    let is_it = |(_, peer): &(_, &Arc<Added>)| Arc::ptr_eq(peer, request);
    let name = loaded.added.iter().find(is_it).map(|(name, _)| name);
    let mut peers = loaded.speaker.peers.iter();
    let peer = peers.find(|peer| Some(&peer.name()) == name);
    peer.cloned()
        .ok_or_else(|| invalid("it names no peer".to_owned()))
}

fn check_size(request: &Added) -> Result<(), Refusal> {
    let octets = request.text.len();
    if octets > ADDED_OCTETS_MAX {
        let why = format!("it has {octets} octets: at most {ADDED_OCTETS_MAX} are taken");
        return Err(invalid(why));
    }
    Ok(())
}

/// A new peer is nobody's yet, another was added over the API.
fn check_name(current: &LoadedConfig, name: &PeerName, new: bool) -> Result<(), Refusal> {
    let added = current.added.contains_key(name);
    let of_file = !added
        && current
            .speaker
            .peers
            .iter()
            .any(|peer| peer.name() == *name);
    match (of_file, added, new) {
        (true, _, true) => Err(Refusal::Exists(format!(
            "{name} is a peer of the configuration's file: change it there, and reload"
        ))),
        (true, _, false) => Err(Refusal::Precondition(format!(
            "{name} is a peer of the configuration's file: change it there, and reload"
        ))),
        (false, true, true) => Err(Refusal::Exists(format!(
            "{name} was added already: `windrose peer update` changes it"
        ))),
        (false, false, false) => Err(Refusal::NotFound(format!("peer {name}"))),
        (false, true, false) | (false, false, true) => Ok(()),
    }
}

fn invalid(why: String) -> Refusal {
    let field = "config".to_owned();
    Refusal::Invalid { field, why }
}

fn about_request(loaded: &LoadedConfig) -> Vec<String> {
    let of_it = |warning: &&String| warning.starts_with(REQUEST);
    loaded.warnings.iter().filter(of_it).cloned().collect()
}

#[cfg(test)]
mod tests;
