//! Peers that were added over the API and are to be there after a restart: a file each, for our eyes alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use speaker::command::PeerName;

use crate::config::{self, Added};

/// Most peers that may be added over the API.
pub(crate) const ADDED_MAX: usize = 4096;
/// Most octets of the keys of one.
pub(crate) const ADDED_OCTETS_MAX: usize = 65_536;
/// Passwords may be within.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    dir: PathBuf,
}

/// A peer that was added, as reports call it.
pub(crate) fn added(name: &PeerName, text: String) -> Arc<Added> {
    let source = format!("peer {name}, added over the API");
    Arc::new(Added { source, text })
}

impl Kept {
    /// Those of this state directory, which need not exist.
    pub(crate) fn new(state_dir: &Path) -> Self {
        let dir = state_dir.join("peers");
        Self { dir }
    }

    fn path(&self, name: &PeerName) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }

    /// All that are there, by name. What cannot be read is left where it is, and logged.
    pub(crate) fn load(&self) -> Vec<(PeerName, Arc<Added>)> {
        let names = match fs::read_dir(&self.dir) {
            Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                let dir = self.dir.display();
                tracing::error!("peers that were kept are left out: {dir}: {error}");
                return Vec::new();
            }
        };
        let mut names: Vec<_> = names
            .filter(|name| !name.starts_with('.') && name.ends_with(".toml"))
            .collect();
        names.sort();
        if names.len() > ADDED_MAX {
            let all = names.len();
            tracing::error!("{all} peers are kept, the first {ADDED_MAX} of them are taken");
            names.truncate(ADDED_MAX);
        }
        let read = |name: String| match self.read(&name) {
            Ok(peer) => Some(peer),
            Err(error) => {
                let file = self.dir.join(name);
                tracing::error!("a kept peer is left out: {}: {error}", file.display());
                None
            }
        };
        names.into_iter().filter_map(read).collect()
    }

    fn read(&self, file: &str) -> io::Result<(PeerName, Arc<Added>)> {
        let mut text = String::new();
        let limit = u64::try_from(ADDED_OCTETS_MAX).unwrap_or(u64::MAX) + 1;
        let open = File::open(self.dir.join(file))?;
        open.take(limit).read_to_string(&mut text)?;
        if text.len() > ADDED_OCTETS_MAX {
            return Err(io::Error::other(format!(
                "it has more than {ADDED_OCTETS_MAX} octets"
            )));
        }
        let peer = Added {
            source: file.to_owned(),
            text,
        };
        match config::name_of(&peer) {
            Some(name) if format!("{name}.toml") == file => {
                let peer = added(&name, peer.text);
                Ok((name, peer))
            }
            Some(name) => Err(io::Error::other(format!("it is of {name}"))),
            None => Err(io::Error::other("it does not say whose it is")),
        }
    }

    /// Keeps a peer, in the place of what was kept of it: whole, or as it was, whatever happens meanwhile.
    pub(crate) fn save(&self, name: &PeerName, text: &str) -> io::Result<()> {
        DirBuilder::new()
            .mode(DIR_MODE)
            .recursive(true)
            .create(&self.dir)?;
        let made = self.dir.join(format!(".{name}.toml"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&made)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&made, self.path(name))?;
        File::open(&self.dir)?.sync_all()
    }

    /// Forgets a peer. False: it was not kept.
    pub(crate) fn remove(&self, name: &PeerName) -> io::Result<bool> {
        match fs::remove_file(self.path(name)) {
            Ok(()) => File::open(&self.dir)?.sync_all().map(|()| true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind())
}

#[cfg(test)]
mod tests;
