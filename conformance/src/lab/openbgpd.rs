//! OpenBGPD, asked with `bgpctl -j`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::path::{community_from, numbers};
use super::{Host, Lab, Path, Process, run};

/// The home of Debian's user `_openbgpd`, in which it locks itself: its unit makes the folder.
const HOME: &str = "/run/openbgpd";

/// A running OpenBGPD. Its socket is in the lab's folder: any number of them fit on a machine.
#[derive(Debug)]
pub struct OpenBgpd {
    process: Process,
    host: Host,
    config: PathBuf,
    socket: PathBuf,
}

impl OpenBgpd {
    /// Debian's program; another `bgpd` is FRR's.
    pub const PROGRAM: &'static str = "/usr/sbin/bgpd";

    /// Starts it with a configuration to which only its socket is added.
    ///
    /// # Errors
    /// It does not start, or does not like the configuration.
    pub fn start(lab: &Lab, host: &Host, config: &str) -> Result<Self> {
        let path = host.dir().join("openbgpd.conf");
        let socket = host.dir().join("openbgpd.sock");
        write(&path, &socket, config)?;
        std::fs::create_dir_all(HOME)?;
        let mut command = host.command(Self::PROGRAM);
        command.args(["-d", "-v", "-f"]).arg(&path);
        let mut openbgpd = Self {
            process: host.start("openbgpd", command)?,
            host: host.clone(),
            config: path,
            socket,
        };
        lab.eventually("OpenBGPD to answer", Duration::from_secs(10), || {
            openbgpd.process.check()?;
            openbgpd.ask("show summary")
        })?;
        Ok(openbgpd)
    }

    /// The process, to signal or to end it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Runs a command of `bgpctl`.
    ///
    /// # Errors
    /// OpenBGPD refuses it.
    pub fn ask(&self, line: &str) -> Result<String> {
        let mut command = self.host.command("bgpctl");
        command.arg("-j").arg("-s").arg(&self.socket);
        run(command.args(line.split_whitespace()))
    }

    /// Replaces the configuration.
    ///
    /// # Errors
    /// OpenBGPD does not take it.
    pub fn configure(&self, config: &str) -> Result<()> {
        write(&self.config, &self.socket, config)?;
        self.ask("reload").map(drop)
    }

    /// What it says of a neighbor: its configuration, counters and session.
    ///
    /// # Errors
    /// There is none.
    pub fn neighbor(&self, neighbor: &str) -> Result<Value> {
        let said = self.json(&format!("show neighbor {neighbor}"))?;
        let row = said.pointer("/neighbors/0").cloned();
        row.with_context(|| format!("OpenBGPD has no neighbor {neighbor}"))
    }

    /// Succeeds when the session with a neighbor is Established.
    ///
    /// # Errors
    /// It is not: says what it is.
    pub fn established(&self, neighbor: &str) -> Result<()> {
        let row = self.neighbor(neighbor)?;
        let state = text(&row, "/state");
        if state != "Established" {
            bail!("OpenBGPD: {neighbor} is {state}");
        }
        Ok(())
    }

    /// The paths to a prefix, the best first.
    ///
    /// # Errors
    /// OpenBGPD does not answer.
    pub fn paths(&self, prefix: &str) -> Result<Vec<Path>> {
        let said = self.json(&format!("show rib detail {prefix}"))?;
        let mut paths: Vec<_> = array(&said, "/rib").iter().collect();
        paths.retain(|path| text(path, "/prefix") == prefix);
        paths.sort_by_key(|path| path.pointer("/best") != Some(&Value::Bool(true)));
        Ok(paths.into_iter().map(read).collect())
    }

    /// The best path to a prefix.
    ///
    /// # Errors
    /// There is none.
    pub fn path(&self, prefix: &str) -> Result<Path> {
        let best = self.paths(prefix)?.into_iter().next();
        best.with_context(|| format!("OpenBGPD has no {prefix}"))
    }

    fn json(&self, line: &str) -> Result<Value> {
        let said = self.ask(line)?;
        serde_json::from_str(&said).with_context(|| format!("bgpctl {line}: {said}"))
    }
}

/// It refuses a file that others may read.
fn write(path: &std::path::Path, socket: &std::path::Path, config: &str) -> Result<()> {
    std::fs::write(path, format!("socket \"{}\"\n{config}", socket.display()))?;
    let secret = std::fs::Permissions::from_mode(0o600);
    Ok(std::fs::set_permissions(path, secret)?)
}

/// One element of `rib`. An aggregator is told in words that no test needs yet.
fn read(path: &Value) -> Path {
    let number = |at: &str| u32::try_from(path.pointer(at)?.as_u64()?).ok();
    Path {
        next_hop: text(path, "/exit_nexthop").to_owned(),
        as_path: numbers(text(path, "/aspath")),
        origin: text(path, "/origin").to_lowercase(),
        // It tells 0 for a route without MED.
        med: number("/metric"),
        local_pref: number("/localpref"),
        communities: texts(path, "/communities").map(community_from).collect(),
        large_communities: texts(path, "/large_communities")
            .map(str::to_owned)
            .collect(),
        ext_communities: texts(path, "/extended_communities")
            .map(|words| words.replacen(' ', ":", 1))
            .collect(),
        path_id: number("/path_id"),
        originator_id: attributes(path)
            .find_map(|a| a.pointer("/originator")?.as_str())
            .map(str::to_owned),
        cluster_list: attributes(path)
            .flat_map(|a| texts(a, "/cluster_list"))
            .map(str::to_owned)
            .collect(),
        ..Path::default()
    }
}

/// Attributes that it shows in full.
fn attributes(path: &Value) -> impl Iterator<Item = &Value> {
    array(path, "/attributes").iter()
}

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    let found = value.pointer(at).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn texts<'a>(value: &'a Value, at: &str) -> impl Iterator<Item = &'a str> {
    array(value, at).iter().filter_map(Value::as_str)
}

fn array<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    let found = value.pointer(at).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}
