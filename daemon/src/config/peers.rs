//! `[[peer-group]]`, `[[peer]]` and `[[peer-range]]`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use ipnet::IpNet;
use speaker::config::{Peer, PeerOptions, PeerRange, Router};

use super::bfd;
use super::options::{self, Groups, Names, family_of};
use super::reader::{Reader, Wrong};
use super::report::Report;
use super::tree::{At, Node, Value};
use super::values::{self, Parsed};

/// Peers that a range may have if it does not say how many.
const RANGE_LIMIT: usize = 1000;
/// Most peers that a range may have.
const RANGE_LIMIT_MAX: i64 = 100_000;

/// A peer or a range, and where it is written.
#[derive(Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    /// Where its address or prefix is.
    pub(super) at: At,
}

/// Reads the groups' names; their keys are checked, too.
pub(super) fn groups<'a>(root: &Reader<'a>, policies: &Names) -> Groups<'a> {
    let mut groups = Groups::new();
    for reader in root.tables("peer-group") {
        let Some(name) = reader.require("name", "write `name = \"…\"`", values::name) else {
            continue;
        };
        match groups.entry(name) {
            Entry::Vacant(place) => drop(place.insert(reader)),
            Entry::Occupied(first) => {
                let what = format!("there are two peer groups `{}`", first.key());
                reader.error("name", &what, "rename one of them");
            }
        }
    }
    for reader in groups.values() {
        let parent = options::group(reader, &groups);
        let all = options::inherit(reader.table, &groups);
        let whole = Reader::new(&all, reader.at.clone(), reader.report);
        for key in ["name", "group", "asn"] {
            whole.node(key);
        }
        whole.read("asn", values::asn);
        options::read(&whole, parent, policies);
        whole.finish();
    }
    options::check_cycles(&groups);
    groups
}

/// Reads the peers, by address.
pub(super) fn peers(
    root: &Reader<'_>,
    groups: &Groups<'_>,
    names: &Names,
    router: &Router,
) -> Vec<Placed<Peer>> {
    let peers = root.tables("peer");
    let mut peers: Vec<_> = peers
        .iter()
        .filter_map(|own| peer(own, groups, names, router))
        .collect();
    // Of two with the same address, the later one is the one in doubt.
    peers.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.at.cmp(&b.at)));
    for pair in peers.windows(2) {
        if let [first, second] = pair
            && key(first) == key(second)
        {
            let name = show(&second.value);
            let (what, instead) = match (&first.at, &second.at) {
                (At::File(..) | At::Variable(_), At::Added(..)) => (
                    format!("{name} is a peer of the file, too, and was added over the API"),
                    format!("take it out of the file, or `windrose peer delete {name}`"),
                ),
                (At::Added(..), At::Added(..)) | (_, At::File(..) | At::Variable(_)) => (
                    format!("{name} is a peer already"),
                    "take one of the two out".to_owned(),
                ),
            };
            root.report.error(second.at.clone(), &what, &instead);
        }
    }
    check_names(root, &peers);
    peers
}

/// Reports peers that `birdc` could not tell apart.
fn check_names(root: &Reader<'_>, peers: &[Placed<Peer>]) {
    let mut named: BTreeMap<&str, &Placed<Peer>> = BTreeMap::new();
    for peer in peers {
        let Some(name) = peer.value.options.birdc_name.as_deref() else {
            continue;
        };
        if let Some(first) = named.insert(name, peer) {
            let of = show(&first.value);
            let what = format!("`{name}` is the `birdc-name` of {of} already");
            root.report
                .error(peer.at.clone(), &what, "write another, or none");
        }
    }
}

/// What tells peers apart.
fn key(peer: &Placed<Peer>) -> (IpAddr, Option<&str>) {
    let interface = peer.value.options.interface.as_deref();
    (
        peer.value.address,
        interface.filter(|_| values::is_link_local(peer.value.address)),
    )
}

/// The peer as the operator names it.
pub(super) fn show(peer: &Peer) -> String {
    match &peer.options.interface {
        Some(interface) if values::is_link_local(peer.address) => {
            format!("{}%{interface}", peer.address)
        }
        Some(_) | None => peer.address.to_string(),
    }
}

fn peer(
    own: &Reader<'_>,
    groups: &Groups<'_>,
    names: &Names,
    router: &Router,
) -> Option<Placed<Peer>> {
    let group = options::group(own, groups);
    let all = options::inherit(own.table, groups);
    let reader = Reader::new(&all, own.at.clone(), own.report);
    reader.node("group");
    let address = reader.require(
        "address",
        "write `address = \"10.255.12.2\"`",
        values::scoped_address,
    );
    let asn = reader.require("asn", "write `asn = 65002`", values::asn);
    let mut options = options::read(&reader, group, names);
    options.birdc_name = reader.read("birdc-name", values::symbol);
    reader.finish();
    let (address, zone) = address?;
    match (&zone, &options.interface) {
        (Some(zone), Some(interface)) if zone != interface => {
            let what = format!("`interface` is `{interface}`, but the address is on `{zone}`");
            reader.error("interface", &what, "keep one of them");
        }
        (None, None) if values::is_link_local(address) => {
            let instead = format!("write `\"{address}%INTERFACE\"`, or add `interface`");
            reader.error(
                "address",
                "a link-local address says nothing without its interface",
                &instead,
            );
        }
        (Some(_), _) => options.interface = zone,
        (None, _) => {}
    }
    check_local_address(&reader, address, &options);
    let own_asn = options.local_as.map_or(router.asn, |local| local.asn);
    let external = asn.filter(|_| own_asn != 0).map(|asn| asn != own_asn);
    check_kind(&reader, external, &options);
    let at = reader.at("address");
    Some(Placed {
        value: Peer {
            address,
            // One that is wrong was reported; the other rules hold all the same.
            asn: asn.unwrap_or_default(),
            options,
        },
        at,
    })
}

fn check_local_address(reader: &Reader<'_>, remote: IpAddr, options: &PeerOptions) {
    let Some(local) = options.local_address else {
        return;
    };
    if family_of(local) != family_of(remote) {
        let what = format!("{local} cannot reach {remote}: they are of different families");
        let instead = format!("write an {} address of ours", family_name(remote));
        reader.error("local-address", &what, &instead);
    }
    if local == remote {
        reader.error(
            "local-address",
            "both ends have the same address",
            "write our end of the link",
        );
    }
}

const fn family_name(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// What only internal, or only external peers can have; `None`: that is not known.
fn check_kind(reader: &Reader<'_>, external: Option<bool>, options: &PeerOptions) {
    let Some(external) = external else { return };
    let report = reader.report;
    if external {
        for (key, policies, fate) in [
            ("import", &options.import, "accepted from"),
            ("export", &options.export, "announced to"),
        ] {
            if policies.is_none() {
                let what =
                    format!("nothing is {fate} this external peer: it has no `{key}` (RFC 8212)");
                report.warn(
                    reader.at.clone(),
                    &what,
                    &format!("write `{key} = [\"accept\"]` if all is to be"),
                );
            }
        }
        if options.rr_client {
            let instead = "take `rr-client` out";
            report.error(
                reader.at("rr-client"),
                "only internal peers are `rr-client` (RFC 4456)",
                instead,
            );
        }
    } else {
        if options.rs_client {
            let instead = "take `rs-client` out";
            report.error(
                reader.at("rs-client"),
                "only external peers are `rs-client` (RFC 7947)",
                instead,
            );
        }
        for (key, there) in options::rewrites(options) {
            if there {
                let what =
                    format!("an internal peer's paths are left alone (RFC 4271 §5.1.2): `{key}`");
                report.error(reader.at(key), &what, &format!("take `{key}` out"));
            }
        }
        if options.role.is_some() {
            let what = "only external sessions have a role (RFC 9234 §4)";
            report.error(reader.at("role"), what, "take `role` out");
        }
    }
}

/// Reads the ranges, by prefix.
pub(super) fn ranges(
    root: &Reader<'_>,
    groups: &Groups<'_>,
    names: &Names,
    router: &Router,
) -> Vec<Placed<PeerRange>> {
    let ranges = root.tables("peer-range");
    let mut ranges: Vec<_> = ranges
        .iter()
        .filter_map(|own| range(own, groups, names, router))
        .collect();
    ranges.sort_by(|a, b| {
        a.value
            .prefix
            .cmp(&b.value.prefix)
            .then_with(|| a.at.cmp(&b.at))
    });
    check_overlaps(&ranges, root.report);
    ranges
}

fn range(
    own: &Reader<'_>,
    groups: &Groups<'_>,
    names: &Names,
    router: &Router,
) -> Option<Placed<PeerRange>> {
    let group = options::group(own, groups);
    let all = options::inherit(own.table, groups);
    let reader = Reader::new(&all, own.at.clone(), own.report);
    reader.node("group");
    let prefix = reader.require(
        "prefix",
        "write `prefix = \"10.10.0.0/20\"`",
        values::prefix,
    );
    // A group's AS number is that of its peers.
    let of_group = reader
        .read("asn", values::asn)
        .filter(|_| !own.table.contains_key("asn"));
    if own.table.contains_key("asn") {
        reader.error(
            "asn",
            "a range has `asns`",
            "write `asns = [65001]`, or `asns = \"any\"`",
        );
    }
    let asns = match (all.contains_key("asns"), of_group) {
        (false, Some(asn)) => Some(vec![asn]),
        (true, _) | (false, None) => asns(&reader),
    };
    let limit = reader
        .read("limit", values::number(1..=RANGE_LIMIT_MAX))
        .unwrap_or(RANGE_LIMIT);
    let options = options::read(&reader, group, names);
    reader.finish();
    bfd::check_range(&reader, options.bfd.as_ref());
    let (prefix, asns) = (prefix?, asns.unwrap_or_default());
    check_local_address(
        &reader,
        prefix.addr(),
        &PeerOptions {
            // The range's first address may well be ours.
            local_address: options
                .local_address
                .filter(|local| *local != prefix.addr()),
            ..options.clone()
        },
    );
    let own_asn = options.local_as.map_or(router.asn, |local| local.asn);
    // Where both kinds may come, what only one of them can have is right for some.
    let external = own_asn != 0 && asns.iter().all(|asn| *asn != own_asn);
    let internal = asns.iter().all(|asn| *asn == own_asn);
    check_kind(
        &reader,
        (external != internal).then_some(external),
        &options,
    );
    let at = reader.at("prefix");
    Some(Placed {
        value: PeerRange {
            prefix,
            asns,
            limit,
            options,
        },
        at,
    })
}

fn asns(reader: &Reader<'_>) -> Option<Vec<u32>> {
    let instead = "write `asns = [65001]`, or `asns = \"any\"`";
    if !reader.table.contains_key("asns") {
        reader.report.missing(&reader.at, "asns", instead);
    }
    let any = |node: &Node| -> Parsed<()> {
        match &node.value {
            Value::Text(text) if text == "any" => Ok(()),
            Value::List(items) if !items.is_empty() => Ok(()),
            Value::List(_) => Err(Wrong::new("nobody's AS number is in this list", instead)),
            Value::Text(_)
            | Value::Number(_)
            | Value::Flag(_)
            | Value::Table(_)
            | Value::Other(_) => Err(Wrong::kind(node, "a list of AS numbers", instead)),
        }
    };
    reader.read("asns", any)?;
    match reader.node("asns") {
        Some(Node {
            value: Value::List(_),
            ..
        }) => reader.list("asns", values::asn),
        Some(_) | None => Some(Vec::new()),
    }
}

/// Reports ranges that are there twice; of one within another, the longer prefix rules, which is worth saying.
fn check_overlaps(ranges: &[Placed<PeerRange>], report: &Report) {
    let mut around: Vec<IpNet> = Vec::new();
    for range in ranges {
        let prefix = range.value.prefix;
        while around.last().is_some_and(|outer| !outer.contains(&prefix)) {
            around.pop();
        }
        match around.last() {
            Some(outer) if *outer == prefix => {
                let what = format!("{prefix} is a peer range already");
                report.error(range.at.clone(), &what, "take one of the two out");
            }
            Some(outer) => {
                let what = format!("{prefix} lies within the range {outer}");
                report.warn(range.at.clone(), &what, "the longer prefix rules");
            }
            None => {}
        }
        around.push(prefix);
    }
}
