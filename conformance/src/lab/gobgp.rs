//! GoBGP, asked with `gobgp -j`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::path::community;
use super::{Host, Lab, Path, Process, run};

/// `session_state` of an established session in GoBGP's API.
const ESTABLISHED: u64 = 6;
/// GoBGP's words for ORIGIN's values.
const ORIGINS: [&str; 3] = ["igp", "egp", "incomplete"];
/// The type and subtype of a route target with a 2-octet AS (RFC 4360 §4).
const ROUTE_TARGET: (u64, u64) = (0, 2);

/// A running GoBGP. Its API is on loopback, in its own namespace.
#[derive(Debug)]
pub struct GoBgp {
    process: Process,
    host: Host,
}

impl GoBgp {
    /// Starts it with a configuration in TOML.
    ///
    /// # Errors
    /// It does not start, or does not like the configuration.
    pub fn start(lab: &Lab, host: &Host, config: &str) -> Result<Self> {
        let path = host.dir().join("gobgpd.toml");
        std::fs::write(&path, config)?;
        let mut command = host.command("gobgpd");
        command
            .args(["-t", "toml", "--pprof-disable", "-f"])
            .arg(&path);
        let mut gobgp = Self {
            process: host.start("gobgpd", command)?,
            host: host.clone(),
        };
        lab.eventually("GoBGP to answer", Duration::from_secs(10), || {
            gobgp.process.check()?;
            gobgp.host.run("gobgp global")
        })?;
        Ok(gobgp)
    }

    /// The process, to signal or to end it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Runs a command of `gobgp`.
    ///
    /// # Errors
    /// GoBGP refuses it.
    pub fn ask(&self, line: &str) -> Result<String> {
        run(self.host.command("gobgp").args(line.split_whitespace()))
    }

    /// Announces a prefix, with attributes in the words of `gobgp global rib add`.
    ///
    /// # Errors
    /// GoBGP refuses it.
    pub fn announce(&self, prefix: &str, attributes: &str) -> Result<()> {
        let family = family(prefix);
        self.ask(&format!("global rib add {prefix} {attributes} -a {family}"))
            .map(drop)
    }

    /// Withdraws a prefix.
    ///
    /// # Errors
    /// GoBGP refuses it.
    pub fn withdraw(&self, prefix: &str) -> Result<()> {
        let family = family(prefix);
        self.ask(&format!("global rib del {prefix} -a {family}"))
            .map(drop)
    }

    /// Succeeds when the session with a neighbour is established.
    ///
    /// # Errors
    /// It is not: says what it is.
    pub fn established(&self, neighbor: &str) -> Result<()> {
        let said = self.json(&format!("neighbor {neighbor} -j"))?;
        let state = said.pointer("/state/session_state");
        if state.and_then(Value::as_u64) != Some(ESTABLISHED) {
            bail!("GoBGP: {neighbor} is {state:?}");
        }
        Ok(())
    }

    /// The paths to a prefix, the best first.
    ///
    /// # Errors
    /// GoBGP does not answer.
    pub fn paths(&self, prefix: &str) -> Result<Vec<Path>> {
        let line = format!("global rib {prefix} -a {} -j", family(prefix));
        let said = self.ask(&line)?;
        let Ok(said) = serde_json::from_str::<Value>(&said) else {
            return Ok(Vec::new()); // "Network not in table"
        };
        let paths = said.get(prefix).unwrap_or(&said).as_array();
        Ok(paths.into_iter().flatten().map(read).collect())
    }

    /// The best path to a prefix.
    ///
    /// # Errors
    /// There is none.
    pub fn path(&self, prefix: &str) -> Result<Path> {
        let best = self.paths(prefix)?.into_iter().next();
        best.with_context(|| format!("GoBGP has no {prefix}"))
    }

    fn json(&self, line: &str) -> Result<Value> {
        let text = self.ask(line)?;
        serde_json::from_str(&text).with_context(|| format!("gobgp {line}: {text}"))
    }
}

fn family(prefix: &str) -> &'static str {
    if prefix.contains(':') { "ipv6" } else { "ipv4" }
}

fn read(path: &Value) -> Path {
    let mut read = Path::default();
    for attribute in array(path, "/attrs") {
        set(&mut read, attribute);
    }
    read
}

/// Sets what one attribute (told by its type code) says.
fn set(path: &mut Path, attribute: &Value) {
    let number = |at: &str| u32::try_from(attribute.pointer(at)?.as_u64()?).ok();
    let text = |at: &str| attribute.pointer(at).and_then(Value::as_str);
    match number("/type") {
        Some(1) => {
            let origin = number("/value").and_then(|v| ORIGINS.get(v as usize));
            path.origin = origin.copied().unwrap_or_default().to_owned();
        }
        Some(2) => {
            let segments = array(attribute, "/as_paths").iter();
            let asns = segments.flat_map(|s| array(s, "/asns")).filter_map(u32_of);
            path.as_path = asns.collect();
        }
        Some(3 | 14) => text("/nexthop")
            .unwrap_or_default()
            .clone_into(&mut path.next_hop),
        Some(4) => path.med = number("/metric"),
        Some(5) => path.local_pref = number("/value"),
        Some(6) => path.atomic_aggregate = true,
        Some(7) => {
            let asn = number("/as").unwrap_or_default();
            path.aggregator = text("/address").map(|address| format!("{asn} {address}"));
        }
        Some(8) => {
            let values = array(attribute, "/communities").iter();
            path.communities = values.filter_map(u32_of).map(community).collect();
        }
        Some(9) => path.originator_id = text("/value").map(str::to_owned),
        Some(10) => {
            let values = array(attribute, "/value").iter();
            path.cluster_list = values
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
        }
        Some(16) => {
            let values = array(attribute, "/value").iter();
            path.ext_communities = values.filter_map(ext_community).collect();
        }
        Some(32) => {
            let values = array(attribute, "/value").iter();
            path.large_communities = values.filter_map(large_community).collect();
        }
        _ => {}
    }
}

fn u32_of(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

fn ext_community(value: &Value) -> Option<String> {
    let kind = (
        value.get("type")?.as_u64()?,
        value.get("subtype")?.as_u64()?,
    );
    let name = if kind == ROUTE_TARGET {
        "rt"
    } else {
        "unknown"
    };
    Some(format!("{name}:{}", value.get("value")?.as_str()?))
}

fn large_community(value: &Value) -> Option<String> {
    let part = |name| value.get(name).and_then(u32_of);
    let (global, local_1, local_2) = (part("ASN")?, part("LocalData1")?, part("LocalData2")?);
    Some(format!("{global}:{local_1}:{local_2}"))
}

fn array<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    let found = value.pointer(at).and_then(Value::as_array);
    found.map(Vec::as_slice).unwrap_or_default()
}
