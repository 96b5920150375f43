//! The configuration's file: read, overridden by the environment, checked as a whole, translated.
//!
//! The file becomes a tree of values that know their place (`tree.rs`), each section reads its keys (`reader.rs`,
//! `values.rs`), and whatever is wrong is collected (`report.rs`): all mistakes are shown at once, or none is left
//! and all defaults are filled in.

mod bfd;
mod bmp;
mod diff;
mod effective;
mod options;
mod peers;
mod policy;
mod reader;
mod redistribute;
mod report;
mod routes;
mod rules;
mod score;
mod secrets;
mod surface;
mod tree;
mod values;
mod wireguard;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use speaker::command::PeerName;
use speaker::config::{Config, Router};

pub(crate) use diff::diff;
pub(crate) use effective::effective;
pub(crate) use surface::Api;
pub(crate) use tree::Added;
pub(crate) use wireguard::{Mode, Wireguard};

use options::Names;
use reader::Reader;
use report::Report;
use tree::At;

/// A larger file is none of ours.
const FILE_MAX: usize = 64 << 20;
/// RFC 4271 §8: the port of BGP.
const PORT: u16 = 179;
/// Paths that share traffic if the file does not say.
const MULTIPATH: u8 = 16;
/// Costs that differ by so many percent are called equal.
const TOLERANCE: u8 = 10;
/// Most paths that share traffic.
const MULTIPATH_MAX: i64 = 128;

/// A configuration in which nothing is wrong.
#[derive(Clone, Debug)]
pub(crate) struct LoadedConfig {
    /// The speaker's part.
    pub(crate) speaker: Config,
    /// The rest.
    pub(crate) daemon: DaemonConfig,
    /// What is odd, or does nothing; a line each, with its place.
    pub(crate) warnings: Vec<String>,
    /// The file's text.
    pub(crate) text: String,
    /// The peers that are not in it.
    pub(crate) added: BTreeMap<PeerName, Arc<Added>>,
}

/// What is no business of the speaker's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DaemonConfig {
    /// `[api]`.
    pub(crate) api: Api,
    /// `[metrics]`, if there is to be any.
    pub(crate) metrics: Option<SocketAddr>,
    /// `[wireguard]`.
    pub(crate) wireguard: Wireguard,
}

/// Reads a file, with this process's environment over it, and with `added` among its peers.
///
/// # Errors
/// The report: every mistake, with its line and the remedy.
pub(crate) fn load(path: &Path, added: &[Arc<Added>]) -> Result<LoadedConfig, String> {
    let mut octets = Vec::new();
    let limit = FILE_MAX as u64 + 1;
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut octets));
    read.map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    match String::from_utf8(octets) {
        Ok(text) => parse(&text, path, added),
        Err(error) => {
            let (good, octets) = (error.utf8_error().valid_up_to(), error.as_bytes());
            let report = Report::default();
            report.error(
                At::File(good, good + 1),
                "this is no UTF-8",
                "save the file as UTF-8",
            );
            Err(report.render(
                &String::from_utf8_lossy(octets),
                &path.display().to_string(),
            ))
        }
    }
}

/// Reads a text as [`load`] does, as if it were in the file `path`.
///
/// # Errors
/// The report: every mistake, with its line and the remedy.
pub(crate) fn parse(text: &str, path: &Path, added: &[Arc<Added>]) -> Result<LoadedConfig, String> {
    parse_with(text, path, &tree::environment(), added)
}

/// The same, whatever the environment says.
pub(crate) fn parse_alone(text: &str, path: &Path) -> Result<LoadedConfig, String> {
    parse_with(text, path, &[], &[])
}

fn parse_with(
    text: &str,
    path: &Path,
    environment: &[(String, String)],
    added: &[Arc<Added>],
) -> Result<LoadedConfig, String> {
    let file = path.display().to_string();
    let report = Report::default();
    if text.len() > FILE_MAX {
        return Err(format!(
            "{file}: a configuration has at most {FILE_MAX} octets, this one has {}",
            text.len()
        ));
    }
    let mut tree = tree::parse(text, &report);
    tree::overlay(&mut tree, environment, &report);
    tree::add_peers(&mut tree, added, &report);
    let root = Reader::new(&tree, At::File(0, 0), &report);
    let (speaker, daemon, added) = read(&root);
    if !report.is_clean() {
        return Err(report.render(text, &file));
    }
    Ok(LoadedConfig {
        speaker,
        daemon,
        warnings: report.warnings(text, &file),
        text: text.to_owned(),
        added,
    })
}

/// The name of a peer by its own keys, as far as they tell it.
pub(crate) fn name_of(peer: &Added) -> Option<PeerName> {
    let report = Report::default();
    let mut tree = tree::Table::new();
    tree::add_peers(&mut tree, &[Arc::new(peer.clone())], &report);
    let root = Reader::new(&tree, At::File(0, 0), &report);
    let peer = root.tables("peer").into_iter().next()?;
    let (address, zone) = peer.read("address", values::scoped_address)?;
    let interface = zone.or_else(|| peer.read("interface", values::interface));
    Some(PeerName::new(address, interface.as_deref()))
}

/// Reads everything, whether right or wrong.
fn read(root: &Reader<'_>) -> (Config, DaemonConfig, BTreeMap<PeerName, Arc<Added>>) {
    let names = Names {
        policies: policy::names(root),
        placing: policy::placing(root),
        profiles: bfd::profiles(root),
    };
    let wireguard = wireguard::read(root);
    let router = router(root, wireguard.mode);
    let groups = peers::groups(root, &names);
    let peers = peers::peers(root, &groups, &names, &router);
    let ranges = peers::ranges(root, &groups, &names, &router);
    let mut own = Vec::new();
    let originate = routes::originate(root, &mut own);
    let statics = routes::statics(root, &mut own);
    let aggregates = routes::aggregates(root, &mut own);
    let stations = bmp::stations(root);
    let fib = routes::fib(root, &names);
    let redistribute = redistribute::redistribute(root, &names, fib.protocol);
    let mut probe = score::read(root);
    // A route over a shared device moves at both ends, or not at all.
    probe.symmetric = wireguard.mode == Mode::Shared;
    let sets = policy::sets(root);
    let policies = policy::policies(root, &names);
    let daemon = DaemonConfig {
        api: surface::api(root),
        metrics: surface::metrics(root),
        wireguard,
    };
    root.finish();
    policy::judge(root, &sets, &policies);
    rules::own_addresses(&router, &fib, &peers, root.report);
    wireguard::no_sharing(&daemon.wireguard, &router, &peers, &statics, root);
    rules::tunnels(&own, &peers, &ranges, root.report);
    let added = peers.iter().filter_map(|peer| match &peer.at {
        At::Added(added, ..) => Some((peer.value.name(), Arc::clone(added))),
        At::File(..) | At::Variable(_) => None,
    });
    let added = added.collect();
    let peers = peers.into_iter().map(|peer| peer.value).collect();
    let ranges = ranges.into_iter().map(|range| range.value).collect();
    (
        Config {
            router,
            peers,
            ranges,
            originate,
            statics,
            aggregates,
            redistribute,
            fib,
            probe,
            policies,
            sets,
            stations,
        },
        daemon,
        added,
    )
}

/// Reads `[router]`. What is missing is reported and stands as zero.
fn router(root: &Reader<'_>, mode: Mode) -> Router {
    let default = vec![
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT),
        SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT),
    ];
    let none = Router {
        asn: 0,
        router_id: Ipv4Addr::UNSPECIFIED,
        listen: default,
        cluster_id: Ipv4Addr::UNSPECIFIED,
        client_to_client: true,
        multipath: match mode {
            Mode::PerPeer => MULTIPATH,
            Mode::Shared => 1,
        },
        multipath_cost_tolerance: TOLERANCE,
    };
    let Some(reader) = root.table("router") else {
        if !root.table.contains_key("router") {
            root.report.missing(
                &root.at,
                "[router]",
                "write `[router]` with `asn = 65001` and `router-id = \"10.255.0.1\"`",
            );
        }
        return none;
    };
    let asn = reader.require("asn", "write `asn = 65001`", values::asn);
    let router_id = reader.require(
        "router-id",
        "write `router-id = \"10.255.0.1\"`",
        values::identifier,
    );
    let router_id = router_id.unwrap_or(none.router_id);
    let router = Router {
        asn: asn.unwrap_or(none.asn),
        router_id,
        listen: reader.list("listen", values::socket).unwrap_or(none.listen),
        cluster_id: reader
            .read("cluster-id", values::identifier)
            .unwrap_or(router_id),
        client_to_client: reader
            .read("client-to-client", values::flag)
            .unwrap_or(none.client_to_client),
        multipath: reader
            .read("multipath", values::number(1..=MULTIPATH_MAX))
            .unwrap_or(none.multipath),
        multipath_cost_tolerance: reader
            .read("multipath-cost-tolerance", values::percent)
            .unwrap_or(none.multipath_cost_tolerance),
    };
    reader.finish();
    router
}

#[cfg(test)]
mod tests;
