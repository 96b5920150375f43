//! Labs of network namespaces: the real kernel, real peers, nothing left behind.
//!
//! A [`Lab`] owns namespaces, a folder for configurations and logs, and the record of every process
//! it started; dropping it ends exactly those. A lab whose program died is swept by the next one.

mod bird;
mod containers;
pub mod demo;
mod echo;
mod exabgp;
mod frr;
mod gobgp;
mod host;
pub mod mesh;
mod openbgpd;
mod path;
mod place;
mod process;
pub mod raw;
mod relay;
mod station;
mod stream;
mod windrosed;
mod wireguard;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use bird::{Bird, Since};
pub use containers::{Container, Engine};
pub use echo::{Echo, Reply, Sample};
pub use exabgp::ExaBgp;
pub use frr::{Frr, FrrRelease};
pub use gobgp::GoBgp;
pub use host::{Host, KernelRoute, NextHop};
pub use openbgpd::OpenBgpd;
pub use path::Path;
pub use process::{Process, many_files, punctual, run};
pub use raw::RawPeer;
pub use relay::{Late, Relay};
pub use station::{BMP_PORT, BmpStation};
pub use stream::Stream;
pub use windrosed::Windrosed;
pub use wireguard::{KeyPair, WireGuard, lose};

/// How often [`Lab::eventually`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Lines of each log that a failure shows.
const LOG_TAIL: usize = 15;

/// Namespaces and processes that live and die together.
#[derive(Debug)]
pub struct Lab {
    name: String,
    dir: PathBuf,
    keep: bool,
}

impl Lab {
    /// An empty lab. Sweeps what dead labs left.
    ///
    /// # Errors
    /// Not root, or the folder cannot be written.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            bail!("a lab needs root");
        }
        place::sweep()?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wr{}-{count}", std::process::id());
        let dir = place::create(&name)?;
        Ok(Self {
            name,
            dir,
            keep: false,
        })
    }

    /// A lab for a test that needs these programs besides root. `None` (after saying `SKIPPED:`) where
    /// something is missing.
    ///
    /// # Errors
    /// Something is missing and `CI` is set: there, nothing may be skipped.
    pub fn for_test(programs: &[&str]) -> Result<Option<Self>> {
        let Some(missing) = place::missing(programs) else {
            return Self::new().map(Some);
        };
        if std::env::var_os("CI").is_some() {
            bail!("needs {missing}, and CI is set");
        }
        skip(&format!("needs {missing}"));
        Ok(None)
    }

    /// The prefix of its namespaces.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its configurations and logs are.
    #[must_use]
    pub fn dir(&self) -> &FilePath {
        &self.dir
    }

    /// Lets it live on after this program: only [`remove_kept`] ends it.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn keep(&mut self) -> Result<()> {
        self.keep = true;
        place::mark_kept(&self.dir)
    }

    /// A new namespace that forwards packets, its loopback up.
    ///
    /// # Errors
    /// The namespace cannot be made.
    pub fn host(&self, name: &str) -> Result<Host> {
        Host::create(&self.name, &self.dir, name)
    }

    /// A veth pair between two hosts, both ends up.
    ///
    /// # Errors
    /// A name is taken.
    pub fn link(&self, left: (&Host, &str), right: (&Host, &str)) -> Result<()> {
        let line = format!(
            "link add {} netns {} type veth peer name {} netns {}",
            left.1,
            left.0.namespace(),
            right.1,
            right.0.namespace()
        );
        run(Command::new("ip").args(line.split_whitespace()))?;
        for (host, interface) in [left, right] {
            host.ip(&format!("link set {interface} up"))?;
        }
        Ok(())
    }

    /// Waits until `look` succeeds, and returns what it found.
    ///
    /// # Errors
    /// It did not within `limit`: says the last reason, and how the logs end.
    pub fn eventually<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            let last = match look() {
                Ok(found) => return Ok(found),
                Err(last) => last,
            };
            if start.elapsed() >= limit {
                let logs = self.logs();
                bail!("waited {limit:?} for {what}\nlast: {last:#}\n{logs}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Checks all through `span` that `look` succeeds.
    ///
    /// # Errors
    /// It failed once: says why, and how the logs end.
    pub fn throughout(
        &self,
        what: &str,
        span: Duration,
        mut look: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < span {
            if let Err(why) = look() {
                let (after, logs) = (start.elapsed(), self.logs());
                bail!("{what} held for {after:?} only\nthen: {why:#}\n{logs}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// How each log ends.
    fn logs(&self) -> String {
        let mut text = String::new();
        let mut logs = place::logs(&self.dir);
        logs.sort();
        for log in logs {
            let _ = writeln!(text, "--- {}", log.display());
            let bytes = fs::read(&log).unwrap_or_default();
            let content = String::from_utf8_lossy(&bytes);
            let lines: Vec<_> = content.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(LOG_TAIL)) {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.keep {
            place::remove(&self.dir);
        }
    }
}

/// Says that a test was not run, in the words `cargo xtask test` counts.
pub fn skip(why: &str) {
    let mut err = std::io::stderr().lock();
    let _ = std::io::Write::write_all(&mut err, format!("SKIPPED: {why}\n").as_bytes());
}

/// Removes every lab that was kept; returns how many.
///
/// # Errors
/// The folder of labs cannot be read.
pub fn remove_kept() -> Result<usize> {
    place::remove_kept().context("remove the labs that were kept")
}
