//! BIRD 2, asked with `birdc`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::path::{community_from, numbers, words};
use super::{Host, Lab, Path, Process, run};

/// A running BIRD.
#[derive(Debug)]
pub struct Bird {
    process: Process,
    socket: PathBuf,
    config: PathBuf,
}

/// A moment that BIRD told, in seconds of the day.
#[derive(Clone, Copy, Debug)]
pub struct Since(f64);

impl Since {
    /// How far apart two answers about the same moment may be, in seconds.
    const SLACK: f64 = 0.05;

    /// Whether it is the same moment.
    #[must_use]
    pub fn is(self, other: Self) -> bool {
        (self.0 - other.0).abs() < Self::SLACK
    }
}

impl Bird {
    /// Starts it with a configuration to which only logging and `protocol device` are added.
    ///
    /// # Errors
    /// It does not start, or does not like the configuration.
    pub fn start(lab: &Lab, host: &Host, config: &str) -> Result<Self> {
        let path = host.dir().join("bird.conf");
        write(&path, config)?;
        let socket = host.dir().join("bird.ctl");
        let mut bird = Self {
            process: launch(host, &path, &socket, &[])?,
            socket,
            config: path,
        };
        bird.await_answer(lab)?;
        Ok(bird)
    }

    /// Starts it again after it ended, as one that recovers from a restart (RFC 4724): routes that it left in the kernel
    /// are said to be there.
    ///
    /// # Errors
    /// It does not start.
    pub fn recover(&mut self, lab: &Lab, host: &Host) -> Result<()> {
        self.process = launch(host, &self.config, &self.socket, &["-R"])?;
        self.await_answer(lab)
    }

    /// The process, to signal or to end it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Runs a command of `birdc`.
    ///
    /// Since when a protocol is in its state. BIRD works it out anew for each
    /// question, so that two answers may differ by a few: [`Since::is`] knows.
    ///
    /// # Errors
    /// There is no such protocol.
    pub fn since(&self, protocol: &str) -> Result<Since> {
        let said = self.ask(&format!("show protocols {protocol}"))?;
        let words = said.split_whitespace();
        let mut times = words.filter_map(|word| {
            let mut parts = word.splitn(3, ':').map(str::parse::<f64>);
            let (hours, minutes, seconds) = (
                parts.next()?.ok()?,
                parts.next()?.ok()?,
                parts.next()?.ok()?,
            );
            Some((hours * 60.0 + minutes) * 60.0 + seconds)
        });
        let seconds = times
            .next()
            .with_context(|| format!("no time in: {said}"))?;
        Ok(Since(seconds))
    }

    /// # Errors
    /// BIRD does not answer.
    pub fn ask(&self, line: &str) -> Result<String> {
        run(&mut birdc(&self.socket, line))
    }

    /// Replaces the configuration.
    ///
    /// # Errors
    /// BIRD does not take it.
    pub fn configure(&self, config: &str) -> Result<()> {
        write(&self.config, config)?;
        let said = self.ask("configure")?;
        if !said.contains("Reconfig") {
            bail!("BIRD says {said}");
        }
        Ok(())
    }

    /// Succeeds when the session of a `protocol bgp` is Established.
    ///
    /// # Errors
    /// It is not: says what it is.
    pub fn established(&self, protocol: &str) -> Result<()> {
        let said = self.ask(&format!("show protocols {protocol}"))?;
        let line = said.lines().find(|line| line.starts_with(protocol));
        let line = line.with_context(|| format!("no protocol {protocol}"))?;
        if !line.contains("Established") {
            bail!("BIRD: {line}");
        }
        Ok(())
    }

    /// The paths to a prefix, the best first.
    ///
    /// # Errors
    /// BIRD does not answer.
    pub fn paths(&self, prefix: &str) -> Result<Vec<Path>> {
        let said = self.ask(&format!("show route {prefix} all"));
        Ok(parse(&said.unwrap_or_default()))
    }

    /// The best path to a prefix.
    ///
    /// # Errors
    /// There is none.
    pub fn path(&self, prefix: &str) -> Result<Path> {
        let best = self.paths(prefix)?.into_iter().next();
        best.with_context(|| format!("BIRD has no {prefix}"))
    }

    fn await_answer(&mut self, lab: &Lab) -> Result<()> {
        lab.eventually("BIRD to answer", Duration::from_secs(5), || {
            self.process.check()?;
            run(&mut birdc(&self.socket, "show status"))
        })
        .map(drop)
    }
}

fn launch(
    host: &Host,
    config: &std::path::Path,
    socket: &std::path::Path,
    more: &[&str],
) -> Result<Process> {
    let mut command = host.command("bird");
    command.arg("-f").arg("-c").arg(config);
    command.arg("-s").arg(socket).args(more);
    host.start("bird", command)
}

fn write(path: &std::path::Path, config: &str) -> Result<()> {
    let text = format!("log stderr all;\nprotocol device {{}}\n{config}");
    Ok(std::fs::write(path, text)?)
}

fn birdc(socket: &std::path::Path, line: &str) -> Command {
    let mut command = Command::new("birdc");
    command.arg("-s").arg(socket).args(line.split_whitespace());
    command
}

/// What `show route PREFIX all` prints: a head line a path, then a tab and `NAME: VALUE` an attribute.
fn parse(text: &str) -> Vec<Path> {
    let mut paths: Vec<Path> = Vec::new();
    for line in text.lines() {
        if !line.starts_with('\t') && line.contains(" [") {
            paths.push(Path::default());
        } else if let (Some(path), Some(line)) = (paths.last_mut(), line.strip_prefix("\tBGP.")) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            set(path, name, value.trim());
        }
    }
    paths
}

fn set(path: &mut Path, name: &str, value: &str) {
    match name {
        "origin" => path.origin = value.to_lowercase(),
        "as_path" => path.as_path = numbers(value),
        "next_hop" => value
            .split(' ')
            .next()
            .unwrap_or_default()
            .clone_into(&mut path.next_hop),
        "med" => path.med = value.parse().ok(),
        "local_pref" => path.local_pref = value.parse().ok(),
        "atomic_aggr" => path.atomic_aggregate = true,
        "aggregator" => {
            let (address, asn) = value.split_once(" AS").unwrap_or((value, ""));
            path.aggregator = Some(format!("{asn} {address}"));
        }
        "community" => path.communities = groups(value).map(|g| community_from(&g)).collect(),
        "large_community" => path.large_communities = groups(value).collect(),
        "ext_community" => path.ext_communities = groups(value).collect(),
        "originator_id" => path.originator_id = Some(value.to_owned()),
        "cluster_list" => path.cluster_list = words(value),
        _ => {}
    }
}

/// `(rt, 65001, 5) (rt, 65001, 6)` as `rt:65001:5`, `rt:65001:6`.
fn groups(value: &str) -> impl Iterator<Item = String> {
    let groups = value.split(')').filter_map(|group| group.split_once('('));
    groups.map(|(_, inside)| inside.replace(", ", ":").replace(',', ":"))
}

#[cfg(test)]
mod tests;
