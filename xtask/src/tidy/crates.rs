//! Who may depend on whom.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Complaints, is_test, sources, without_tests};
use crate::cargo::{cargo, output};

/// Each crate, and which of ours it may use. Nothing here points upwards.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("bgp-core", &[]),
    ("bgp-fsm", &["bgp-core"]),
    ("rib", &["bgp-core"]),
    ("fib-netlink", &["bgp-core"]),
    ("bfd", &[]),
    ("bird", &[]),
    ("path-score", &[]),
    (
        "speaker",
        &[
            "bgp-core",
            "bgp-fsm",
            "rib",
            "fib-netlink",
            "bfd",
            "path-score",
        ],
    ),
    ("proto", &[]),
    ("grpc-api", &["bgp-core", "bgp-fsm", "proto", "speaker"]),
    (
        "daemon",
        &[
            "bgp-core",
            "bgp-fsm",
            "rib",
            "fib-netlink",
            "bfd",
            "path-score",
            "speaker",
            "grpc-api",
            "bird",
        ],
    ),
    ("cli", &["bird", "proto"]),
    (
        "conformance",
        &[
            "bgp-core",
            "bgp-fsm",
            "rib",
            "fib-netlink",
            "bfd",
            "path-score",
            "speaker",
            "proto",
            "grpc-api",
        ],
    ),
    ("xtask", &[]),
];

/// Crates that pull in no I/O crate. (`speaker` uses the planner of `fib-netlink`, whose module `kernel`
/// does I/O: for these two what counts is what their sources say.)
const PURE: [&str; 6] = ["bgp-core", "bgp-fsm", "rib", "bfd", "bird", "path-score"];
/// What betrays I/O in a dependency tree.
const IO_CRATES: [&str; 7] = [
    "tokio",
    "mio",
    "socket2",
    "tonic",
    "rtnetlink",
    "netlink-sys",
    "nix",
];
/// Crates whose sources speak of no I/O.
const PURE_SOURCES: [&str; 7] = [
    "bgp-core",
    "bgp-fsm",
    "rib",
    "bfd",
    "bird",
    "path-score",
    "speaker",
];
/// What betrays I/O, a clock or a log in a source.
const IO_WORDS: [&str; 12] = [
    "std::fs",
    "std::process",
    "std::thread",
    "std::io::",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "tokio::",
    "tracing::",
    "Instant::now",
    "SystemTime::now",
    "fib_netlink::kernel",
];

/// The dependencies among our crates are those of [`MAY_USE`].
pub(super) fn depend_downwards() -> Result<Complaints> {
    let said = output(&mut cargo([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Value = serde_json::from_str(&said)?;
    let allowed: BTreeMap<_, _> = MAY_USE.into();
    let mut complaints = Vec::new();
    for package in list(&metadata, "packages") {
        let name = text(package, "name");
        let Some(may_use) = allowed.get(name) else {
            complaints.push(format!("{name} is not in the table"));
            continue;
        };
        let dependencies = list(package, "dependencies").iter();
        let ours =
            dependencies.filter(|d| d.get("path").is_some() && d.get("kind") == Some(&Value::Null));
        for dependency in ours.map(|d| text(d, "name")) {
            if !may_use.contains(&dependency) {
                complaints.push(format!("{name} may not depend on {dependency}"));
            }
        }
    }
    Ok(complaints)
}

/// Neither the dependencies of the engines nor their sources know I/O, a clock or a log.
pub(super) fn pure_crates_do_no_io() -> Result<Complaints> {
    let mut complaints = Vec::new();
    let sources = sources()?;
    for name in PURE {
        if !sources.iter().any(|(path, _)| path.starts_with(name)) {
            continue;
        }
        let words = ["tree", "-p", name, "-e", "normal", "--prefix", "none"];
        let tree = output(&mut cargo(words)).with_context(|| format!("the tree of {name}"))?;
        let crates = tree.lines().filter_map(|line| line.split(' ').next());
        for io in crates.filter(|dependency| IO_CRATES.contains(dependency)) {
            complaints.push(format!("{name} pulls in {io}"));
        }
    }
    for (path, source) in &sources {
        if is_test(path) || !PURE_SOURCES.iter().any(|name| path.starts_with(name)) {
            continue;
        }
        for (number, line) in without_tests(source).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            for word in IO_WORDS.iter().filter(|word| code.contains(**word)) {
                complaints.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    Ok(complaints)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
