//! ExaBGP: told what to announce by lines in a file, its answers read as JSON.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::path::community;
use super::{Host, Lab, Path, Process};

/// Its settings: they come from the environment.
const SETTINGS: [(&str, &str); 5] = [
    ("exabgp_daemon_user", "root"),
    ("exabgp_daemon_daemonize", "false"),
    ("exabgp_api_ack", "false"),
    ("exabgp_api_cli", "false"),
    ("exabgp_tcp_port", "179"),
];

/// A running ExaBGP.
#[derive(Debug)]
pub struct ExaBgp {
    process: Process,
    commands: PathBuf,
    events: PathBuf,
}

impl ExaBgp {
    /// Starts it with a configuration whose neighbors talk to `process api` as
    /// [`ExaBgp::API`] says. It listens on `listen`, if that is an address.
    ///
    /// # Errors
    /// It does not start, or does not like the configuration.
    pub fn start(lab: &Lab, host: &Host, listen: &str, config: &str) -> Result<Self> {
        let (path, script) = (host.dir().join("exabgp.conf"), host.dir().join("exabgp.sh"));
        let (commands, events) = (
            host.dir().join("exabgp.commands"),
            host.dir().join("exabgp.events"),
        );
        for file in [&commands, &events] {
            File::create(file)?;
        }
        std::fs::write(&script, helper(&commands, &events))?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let script = script.display();
        std::fs::write(
            &path,
            format!("process api {{ run {script}; encoder json; }}\n{config}"),
        )?;
        let mut command = host.command("exabgp");
        command.envs(SETTINGS).env("exabgp_tcp_bind", listen);
        command.arg(&path);
        let mut exabgp = Self {
            process: host.start("exabgp", command)?,
            commands,
            events,
        };
        lab.eventually("ExaBGP to run", Duration::from_secs(10), || {
            exabgp.process.check()?;
            let log = exabgp.process.log()?;
            let ready = log.contains("loaded new configuration successfully");
            ready.then_some(()).context("no configuration yet")
        })?;
        Ok(exabgp)
    }

    /// What makes a neighbor take commands and tell everything.
    pub const API: &'static str = "api { processes [ api ]; neighbor-changes; receive { parsed; update; notification; open; } }";

    /// The process, to signal or to end it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Gives it a command: `announce route …`, `withdraw route …`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn tell(&self, command: &str) -> Result<()> {
        let mut file = File::options().append(true).open(&self.commands)?;
        Ok(file.write_all(format!("{command}\n").as_bytes())?)
    }

    /// What it told, in order: `type` is `state`, `open`, `update` or `notification`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn events(&self) -> Result<Vec<Value>> {
        let said = std::fs::read_to_string(&self.events)?;
        // The last line may still be on its way.
        let whole = said.lines().filter_map(|l| serde_json::from_str(l).ok());
        Ok(whole.collect())
    }

    /// Succeeds when the session with a neighbor is up.
    ///
    /// # Errors
    /// It is not: says what it is.
    pub fn established(&self, neighbor: &str) -> Result<()> {
        let events = self.events()?;
        let states = events.iter().filter(|e| text(e, "/type") == "state");
        let of = |e: &&Value| text(e, "/neighbor/address/peer") == neighbor;
        let mut state = states.filter(of).map(|e| text(e, "/neighbor/state"));
        let state = state.next_back();
        if state != Some("up") {
            bail!("ExaBGP: {neighbor} is {state:?}");
        }
        Ok(())
    }

    /// The last OPEN of a neighbor.
    ///
    /// # Errors
    /// There was none.
    pub fn open(&self, neighbor: &str) -> Result<Value> {
        let mut events = self.events()?.into_iter().rev();
        let found = events
            .find(|e| text(e, "/type") == "open" && text(e, "/neighbor/address/peer") == neighbor);
        let open = found.and_then(|e| e.pointer("/neighbor/open").cloned());
        open.with_context(|| format!("ExaBGP: no OPEN of {neighbor}"))
    }

    /// The path to a prefix as a neighbor told it last.
    ///
    /// # Errors
    /// There is none.
    pub fn path(&self, prefix: &str) -> Result<Path> {
        let mut path = None;
        for event in self.events()? {
            if text(&event, "/type") == "state" && text(&event, "/neighbor/state") == "down" {
                path = None;
            }
            if let Some(update) = event.pointer("/neighbor/message/update") {
                if withdraws(update, prefix) {
                    path = None;
                }
                if let Some(next_hop) = announces(update, prefix) {
                    path = Some(read(update, next_hop));
                }
            }
        }
        path.with_context(|| format!("ExaBGP has no {prefix}"))
    }
}

/// The program that ExaBGP runs: what it says goes to one file, what another holds to it.
fn helper(commands: &FilePath, events: &FilePath) -> String {
    let (commands, events) = (commands.display(), events.display());
    format!(
        "#!/bin/sh\nexec 3<&0\ncat <&3 >>'{events}' &\n\
         exec tail -n +1 -s 0.05 --pid=$PPID -f '{commands}'\n"
    )
}

/// The next hop with which an UPDATE announces a prefix.
fn announces<'a>(update: &'a Value, prefix: &str) -> Option<&'a str> {
    let families = update.pointer("/announce")?.as_object()?.values();
    let mut hops = families.filter_map(Value::as_object).flatten();
    let (hop, _) = hops.find(|(_, routes)| names(routes, prefix))?;
    Some(hop)
}

fn withdraws(update: &Value, prefix: &str) -> bool {
    let families = update.pointer("/withdraw").and_then(Value::as_object);
    let mut lists = families.into_iter().flat_map(serde_json::Map::values);
    lists.any(|routes| names(routes, prefix))
}

fn names(routes: &Value, prefix: &str) -> bool {
    let routes = routes.as_array();
    routes.is_some_and(|list| list.iter().any(|route| text(route, "/nlri") == prefix))
}

fn read(update: &Value, next_hop: &str) -> Path {
    let number = |at: &str| u32_of(update.pointer(at)?);
    let joined = |value: &Value| {
        let parts = value.as_array().into_iter().flatten().filter_map(u32_of);
        parts.map(|n| n.to_string()).collect::<Vec<_>>().join(":")
    };
    let communities = array(update, "/attribute/community").iter();
    let communities = communities.filter_map(|c| {
        let parts = c.as_array()?;
        let (high, low) = (parts.first()?, parts.get(1)?);
        Some(community(u32_of(high)? << 16 | u32_of(low)?))
    });
    let ext = array(update, "/attribute/extended-community").iter();
    Path {
        next_hop: next_hop.to_owned(),
        as_path: flat(update.pointer("/attribute/as-path")),
        origin: text(update, "/attribute/origin").to_owned(),
        med: number("/attribute/med"),
        local_pref: number("/attribute/local-preference"),
        communities: communities.collect(),
        large_communities: array(update, "/attribute/large-community")
            .iter()
            .map(joined)
            .collect(),
        ext_communities: ext
            .map(|c| text(c, "/string").replacen("target:", "rt:", 1))
            .collect(),
        atomic_aggregate: update.pointer("/attribute/atomic-aggregate") == Some(&Value::Bool(true)),
        originator_id: update
            .pointer("/attribute/originator-id")
            .and_then(Value::as_str)
            .map(str::to_owned),
        cluster_list: array(update, "/attribute/cluster-list")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        ..Path::default()
    }
}

/// The numbers of an AS_PATH, sets flattened.
fn flat(value: Option<&Value>) -> Vec<u32> {
    let elements = value.and_then(Value::as_array).into_iter().flatten();
    let asns = elements.flat_map(|element| match element.as_array() {
        Some(set) => set.iter().filter_map(u32_of).collect(),
        None => Vec::from_iter(u32_of(element)),
    });
    asns.collect()
}

fn u32_of(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    let found = value.pointer(at).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn array<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    let found = value.pointer(at).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
