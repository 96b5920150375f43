//! windrosed itself, asked with `windrose -o json` as an operator does.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::path::numbers;
use super::{Host, Lab, Path, Process, run};

/// How long a start may take.
const START: Duration = Duration::from_secs(10);

/// A running windrosed.
#[derive(Debug)]
pub struct Windrosed {
    process: Process,
    host: Host,
    config: PathBuf,
    socket: PathBuf,
}

impl Windrosed {
    /// Starts it with a configuration to which `[api]` is added, and waits until it answers.
    ///
    /// # Errors
    /// It does not start, or does not like the configuration.
    pub fn start(lab: &Lab, host: &Host, config: &str) -> Result<Self> {
        let (path, socket) = (
            host.dir().join("windrose.toml"),
            host.dir().join("api.sock"),
        );
        write(&path, &socket, config)?;
        let mut daemon = Self {
            process: launch(host, &path)?,
            host: host.clone(),
            config: path,
            socket,
        };
        daemon.await_answer(lab)?;
        Ok(daemon)
    }

    /// Whether there is a windrosed to start: [`Lab::for_test`] takes this name.
    #[must_use]
    pub fn program() -> String {
        place("WINDROSED", "windrosed")
    }

    /// The same for `windrose`.
    #[must_use]
    pub fn command_line_program() -> String {
        place("WINDROSE", "windrose")
    }

    /// Runs `windrosed --check` over a configuration as it stands; returns its exit code and its words.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn check(config: &FilePath) -> Result<(i32, String)> {
        let mut command = Command::new(Self::program());
        let output = command
            .arg("--config")
            .arg(config)
            .arg("--check")
            .output()?;
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((output.status.code().unwrap_or(-1), said))
    }

    /// Runs it in a host with a configuration as it stands until it ends by itself; returns its exit
    /// code and its words.
    ///
    /// # Errors
    /// It does not end.
    pub fn fail(lab: &Lab, host: &Host, config: &str) -> Result<(i32, String)> {
        let path = host.dir().join("failing.toml");
        std::fs::write(&path, config)?;
        let mut process = launch(host, &path)?;
        lab.eventually("windrosed to give up", START, || match process.check() {
            Ok(()) => bail!("it still runs"),
            Err(_) => Ok(()),
        })?;
        let code = process.wait()?;
        Ok((code, process.log()?))
    }

    /// The process, to signal or to end it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The API's socket.
    #[must_use]
    pub fn socket(&self) -> &FilePath {
        &self.socket
    }

    /// Starts it again after it ended.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self, lab: &Lab) -> Result<()> {
        self.process = launch(&self.host, &self.config)?;
        self.await_answer(lab)
    }

    /// Replaces the configuration, and tells it by SIGHUP.
    ///
    /// # Errors
    /// It is gone.
    pub fn reload(&self, config: &str) -> Result<()> {
        write(&self.config, &self.socket, config)?;
        self.process.signal(Signal::SIGHUP)
    }

    /// Runs a command of `windrose`, returns what it printed.
    ///
    /// # Errors
    /// The command fails.
    pub fn ask(&self, line: &str) -> Result<String> {
        run(self.command().args(line.split_whitespace()))
    }

    /// `windrose` in the daemon's host, to add words to.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = self.host.command(&Self::command_line_program());
        let socket = self.socket.display();
        command.args(["-s", &format!("unix:{socket}")]);
        command
    }

    /// The rows that a command of `windrose` prints with `-o json`.
    ///
    /// # Errors
    /// The command fails, or prints something else.
    pub fn rows(&self, line: &str) -> Result<Vec<Value>> {
        let text = self.ask(&format!("{line} -o json"))?;
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("{line}: {text}"))?;
        match value {
            Value::Array(rows) => Ok(rows),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => Ok(vec![value]),
        }
    }

    /// The row of a peer.
    ///
    /// # Errors
    /// There is none.
    pub fn peer(&self, address: &str) -> Result<Value> {
        let rows = self.rows("peer list")?.into_iter();
        let mut found = rows.filter(|row| text(row, "/address") == address);
        found.next().with_context(|| format!("no peer {address}"))
    }

    /// Succeeds when the session with a peer is Established.
    ///
    /// # Errors
    /// It is not: says the row.
    pub fn established(&self, peer: &str) -> Result<()> {
        let row = self.peer(peer)?;
        if !text(&row, "/state").eq_ignore_ascii_case("established") {
            bail!("windrosed: {row}");
        }
        Ok(())
    }

    /// The paths to a prefix, the best first.
    ///
    /// # Errors
    /// It does not answer.
    pub fn paths(&self, prefix: &str) -> Result<Vec<Path>> {
        let rows = self.rows(&format!("route list {prefix}"))?;
        let row = rows.iter().find(|row| text(row, "/prefix") == prefix);
        let mut paths: Vec<_> = row
            .map(|r| array(r, "/paths"))
            .unwrap_or_default()
            .iter()
            .collect();
        paths.sort_by_key(|path| path.pointer("/best") != Some(&Value::Bool(true)));
        Ok(paths.into_iter().map(read).collect())
    }

    /// The best path to a prefix.
    ///
    /// # Errors
    /// There is none.
    pub fn path(&self, prefix: &str) -> Result<Path> {
        let best = self.paths(prefix)?.into_iter().next();
        best.with_context(|| format!("windrosed has no {prefix}"))
    }

    /// Lets it run on when this value is gone.
    pub(super) fn detach(self) {
        self.process.detach();
    }

    fn await_answer(&mut self, lab: &Lab) -> Result<()> {
        lab.eventually("windrosed to answer", START, || {
            self.process.check()?;
            self.ask("status")
        })
        .map(drop)
    }
}

/// The binary that a variable names, or the one in the folder of this program's target.
fn place(variable: &str, name: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        let here = std::env::current_exe().unwrap_or_default();
        let folders = here.ancestors().skip(1).take(2);
        let mut found = folders.map(|dir| dir.join(name)).filter(|p| p.is_file());
        found
            .next()
            .map_or(name.to_owned(), |p| p.display().to_string())
    })
}

fn write(path: &FilePath, socket: &FilePath, config: &str) -> Result<()> {
    let birdc = socket.with_file_name("birdc.sock");
    let state = socket.with_file_name("state");
    let (socket, birdc, state) = (socket.display(), birdc.display(), state.display());
    Ok(std::fs::write(
        path,
        format!(
            "{config}\n[api]\nlisten = [\"unix:{socket}\"]\nbirdc = \"{birdc}\"\nstate-dir = \"{state}\"\n"
        ),
    )?)
}

fn launch(host: &Host, config: &FilePath) -> Result<Process> {
    let mut command = host.command(&Windrosed::program());
    command.arg("--config").arg(config);
    host.start("windrosed", command)
}

fn read(path: &Value) -> Path {
    let number = |at: &str| u32::try_from(path.pointer(at)?.as_u64()?).ok();
    Path {
        next_hop: text(path, "/next_hop").to_owned(),
        as_path: numbers(text(path, "/as_path")),
        origin: text(path, "/origin").to_lowercase(),
        med: number("/med"),
        local_pref: number("/local_pref"),
        communities: texts(path, "/communities"),
        large_communities: texts(path, "/large_communities"),
        ext_communities: texts(path, "/ext_communities"),
        aggregator: number("/aggregator/asn")
            .map(|asn| format!("{asn} {}", text(path, "/aggregator/identifier"))),
        atomic_aggregate: path.pointer("/atomic_aggregate") == Some(&Value::Bool(true)),
        path_id: number("/path_id").filter(|id| *id != 0),
        originator_id: path
            .pointer("/originator_id")
            .and_then(Value::as_str)
            .map(str::to_owned),
        cluster_list: array(path, "/cluster_list")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    value
        .pointer(at)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn texts(value: &Value, at: &str) -> BTreeSet<String> {
    let texts = array(value, at).iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn array<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    let found = value.pointer(at).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}
