//! `[[originate]]`, `[[static]]`, `[[aggregate]]` and `[fib]`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Community, ExtendedCommunity, LargeCommunity, Origin};
use ipnet::IpNet;
use rib::{AGGREGATES_MAX, OURSELVES};
use speaker::config::{Aggregate, Fib, Originate, Static, StaticNextHop, StaticVia, When};
use speaker::inject::ourselves;

use super::options::{self, Names, family_of};
use super::reader::{Reader, Wrong};
use super::tree::{At, Node, Value};
use super::values::{self, Parsed, explained, flag, number};

/// A prefix that we announce or route, and whether it may cover peers.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) prefix: IpNet,
    /// Where it is written.
    pub(super) at: At,
    /// Others are told.
    pub(super) announced: bool,
    /// The operator says that it covers peers on purpose.
    pub(super) covers_peers: bool,
}

/// Kernel protocols that belong to others: unspecified, redirect, kernel, boot, static.
const PROTOCOLS_OF_OTHERS: i64 = 4;

pub(super) fn originate(root: &Reader<'_>, own: &mut Vec<Own>) -> Vec<Originate> {
    let mut seen = BTreeMap::new();
    let mut all = Vec::new();
    for reader in root.tables("originate") {
        let prefix = reader.require(
            "prefix",
            "write `prefix = \"10.100.0.0/16\"`",
            values::prefix,
        );
        let attributes = attributes(&reader);
        let tag = reader.read("tag", values::u32_number).unwrap_or(0);
        let when = when(&reader, prefix);
        let covers_peers = reader.read("covers-peers", flag).unwrap_or(false);
        reader.finish();
        let Some(prefix) = prefix else { continue };
        check_twice(&reader, prefix, &mut seen);
        let attributes = Attributes {
            next_hop: ourselves(prefix),
            ..attributes
        };
        own.push(Own {
            prefix,
            at: reader.at("prefix"),
            announced: true,
            covers_peers,
        });
        all.push(Originate {
            prefix,
            attributes,
            tag,
            when,
        });
    }
    all.sort_by_key(|route| route.prefix);
    all
}

/// What a route of our own says; the next hop is to be filled in.
fn attributes(reader: &Reader<'_>) -> Attributes {
    let communities = reader.list("communities", explained::<Community>);
    let large = reader.list("large-communities", explained::<LargeCommunity>);
    let extended = reader.list("ext-communities", explained::<ExtendedCommunity>);
    Attributes {
        med: reader.read("med", values::u32_number),
        local_pref: reader.read("local-pref", values::u32_number),
        communities: communities.unwrap_or_default().into(),
        large_communities: LargeCommunity::distinct(large.unwrap_or_default()),
        ext_communities: extended.unwrap_or_default().into(),
        ..Attributes::new(Origin::Igp, AsPath::default(), OURSELVES)
    }
}

fn check_twice(reader: &Reader<'_>, prefix: IpNet, seen: &mut BTreeMap<IpNet, At>) {
    if seen.insert(prefix, reader.at("prefix")).is_some() {
        reader.error(
            "prefix",
            &format!("{prefix} is there twice"),
            "take one of the two out",
        );
    }
}

fn when(reader: &Reader<'_>, prefix: Option<IpNet>) -> When {
    let Some(node) = reader.node("when") else {
        return When::Always;
    };
    let instead = "write `\"always\"`, `{ address-present = \"10.0.0.5\" }` or `{ route-present = \"10.0.0.0/8\" }`";
    if matches!(&node.value, Value::Text(text) if text == "always") {
        return When::Always;
    }
    let Some(condition) = reader.table_of(node, instead) else {
        return When::Always;
    };
    let address = condition.read("address-present", values::address);
    let route = condition.read("route-present", values::prefix);
    condition.finish();
    if condition.table.len() != 1 {
        reader.error("when", "one condition is expected", instead);
    }
    if route.is_some() && route == prefix {
        let what = "the route would be its own condition";
        condition.error("route-present", what, "write the prefix of another route");
    }
    match (address, route) {
        (Some(address), _) => When::AddressPresent(address),
        (None, Some(route)) => When::RoutePresent(route),
        (None, None) => When::Always,
    }
}

pub(super) fn statics(root: &Reader<'_>, own: &mut Vec<Own>) -> Vec<Static> {
    let mut seen = BTreeMap::new();
    let mut all = Vec::new();
    for reader in root.tables("static") {
        let prefix = reader.require(
            "prefix",
            "write `prefix = \"10.100.3.0/24\"`",
            values::prefix,
        );
        let via = via(&reader, prefix);
        let originate = reader.read("originate", flag).unwrap_or(false);
        let tag = reader.read("tag", values::u32_number).unwrap_or(0);
        let covers_peers = reader.read("covers-peers", flag).unwrap_or(false);
        reader.finish();
        let (Some(prefix), Some(via)) = (prefix, via) else {
            continue;
        };
        check_twice(&reader, prefix, &mut seen);
        // By a next hop elsewhere, peers within the prefix are reached and not cut off.
        let covers_peers = covers_peers || !originate && matches!(via, StaticVia::NextHops(_));
        own.push(Own {
            prefix,
            at: reader.at("prefix"),
            announced: originate,
            covers_peers,
        });
        all.push(Static {
            prefix,
            via,
            originate,
            tag,
        });
    }
    all.sort_by_key(|route| route.prefix);
    all
}

pub(super) fn aggregates(root: &Reader<'_>, own: &mut Vec<Own>) -> Vec<Aggregate> {
    let mut seen = BTreeMap::new();
    let mut all = Vec::new();
    for reader in root.tables("aggregate") {
        let prefix = reader.require(
            "prefix",
            "write `prefix = \"10.100.0.0/16\"`",
            values::prefix,
        );
        let summary_only = reader.read("summary-only", flag).unwrap_or(false);
        let attributes = attributes(&reader);
        let tag = reader.read("tag", values::u32_number).unwrap_or(0);
        let discard = reader.read("discard", flag).unwrap_or(true);
        let covers_peers = reader.read("covers-peers", flag).unwrap_or(false);
        reader.finish();
        let Some(prefix) = prefix else { continue };
        check_twice(&reader, prefix, &mut seen);
        if all.len() == AGGREGATES_MAX {
            let what = format!("there are more than {AGGREGATES_MAX} aggregates");
            reader.error("prefix", &what, "take some out");
        }
        own.push(Own {
            prefix,
            at: reader.at("prefix"),
            announced: true,
            covers_peers,
        });
        all.push(Aggregate {
            prefix,
            summary_only,
            attributes: Attributes {
                next_hop: ourselves(prefix),
                ..attributes
            },
            tag,
            discard,
        });
    }
    all.sort_by_key(|aggregate| aggregate.prefix);
    all
}

fn via(reader: &Reader<'_>, prefix: Option<IpNet>) -> Option<StaticVia> {
    let instead = "write a list of next hops as in `[\"10.10.0.13\"]`, `\"blackhole\"`, `\"unreachable\"` or `\"prohibit\"`";
    let Some(node) = reader.node("via") else {
        reader.report.missing(&reader.at, "via", instead);
        return None;
    };
    let items = match &node.value {
        Value::Text(text) if text == "blackhole" => return Some(StaticVia::Blackhole),
        Value::Text(text) if text == "unreachable" => return Some(StaticVia::Unreachable),
        Value::Text(text) if text == "prohibit" => return Some(StaticVia::Prohibit),
        Value::List(items) => items,
        Value::Text(_) | Value::Number(_) | Value::Flag(_) | Value::Table(_) | Value::Other(_) => {
            reader.error("via", "this is no way to send packets", instead);
            return None;
        }
    };
    if items.is_empty() {
        reader.error("via", "a route without a next hop leads nowhere", instead);
    }
    let hops = items.iter().filter_map(|item| {
        let hop = next_hop(reader, item)?;
        reader.take(item, |_| check_hop(&hop, prefix))?;
        Some(hop)
    });
    Some(StaticVia::NextHops(hops.collect()))
}

fn next_hop<'a>(reader: &Reader<'a>, node: &'a Node) -> Option<StaticNextHop> {
    let instead = "write an address, or `{ address = \"…\", interface = \"…\", weight = 2 }`";
    if let Value::Text(_) = node.value {
        let (address, interface) = reader.take(node, values::scoped_address)?;
        return Some(StaticNextHop {
            address,
            interface,
            weight: 1,
        });
    }
    let table = reader.table_of(node, instead)?;
    let address = table.require("address", instead, values::scoped_address);
    let interface = table.read("interface", values::interface);
    let weight = table.read("weight", number(1..=255)).unwrap_or(1);
    table.finish();
    let (address, zone) = address?;
    Some(StaticNextHop {
        address,
        interface: interface.or(zone),
        weight,
    })
}

fn check_hop(hop: &StaticNextHop, prefix: Option<IpNet>) -> Parsed<()> {
    if values::is_link_local(hop.address) && hop.interface.is_none() {
        let instead = format!("write `\"{}%INTERFACE\"`", hop.address);
        return Err(Wrong::new(
            "a link-local address says nothing without its interface",
            instead,
        ));
    }
    let Some(prefix) = prefix else { return Ok(()) };
    if matches!((prefix, hop.address), (IpNet::V6(_), IpAddr::V4(_))) {
        let what = format!("{prefix} cannot be reached through an IPv4 address");
        return Err(Wrong::new(what, "write an IPv6 address"));
    }
    if prefix.contains(&hop.address) && hop.interface.is_none() && prefix.prefix_len() != 0 {
        let what = format!(
            "{} lies within {prefix}, which it is to lead to",
            hop.address
        );
        let instead = "write a next hop outside of it, or its `interface` if it is on the link";
        return Err(Wrong::new(what, instead));
    }
    Ok(())
}

pub(super) fn fib(root: &Reader<'_>, names: &Names) -> Fib {
    let default = Fib::default();
    let Some(reader) = root.table("fib") else {
        return default;
    };
    let sources = match reader.node("prefsrc") {
        Some(Node {
            value: Value::List(_),
            ..
        }) => reader.list("prefsrc", values::address),
        Some(_) | None => reader
            .read("prefsrc", values::address)
            .map(|address| vec![address]),
    };
    let sources = sources.unwrap_or_default();
    let twice = |address: &IpAddr| {
        sources
            .iter()
            .filter(|a| family_of(**a) == family_of(*address))
            .count()
            > 1
    };
    if sources.iter().any(twice) {
        reader.error(
            "prefsrc",
            "a family has one preferred source",
            "keep one IPv4 and one IPv6 address",
        );
    }
    let install = reader.read("install", install);
    let (install, shadow) = install.unwrap_or((default.install, default.shadow));
    let fib = Fib {
        install,
        shadow,
        table: reader
            .read("table", number(1..=i64::from(u32::MAX)))
            .unwrap_or(default.table),
        metric: reader
            .read("metric", values::u32_number)
            .unwrap_or(default.metric),
        protocol: reader
            .read("protocol", protocol)
            .unwrap_or(default.protocol),
        prefsrc_v4: sources.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        }),
        prefsrc_v6: sources.iter().find_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(*v6),
        }),
        nexthop_groups: reader
            .read("nexthop-groups", flag)
            .unwrap_or(default.nexthop_groups),
        keep_on_exit: reader
            .read("keep-on-exit", flag)
            .unwrap_or(default.keep_on_exit),
        policy: reader.list("policy", |node| options::policy(node, names)),
    };
    reader.finish();
    fib
}

/// The value of `install` with which routes are compared and not written.
pub(super) const SHADOW: &str = "shadow";

/// Whether routes are worked out, and whether only that.
fn install(node: &Node) -> Parsed<(bool, bool)> {
    match &node.value {
        Value::Text(text) if text == SHADOW => Ok((true, true)),
        Value::Flag(flag) => Ok((*flag, false)),
        Value::Text(_) | Value::Number(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => {
            Err(Wrong::kind(
                node,
                "true, false or \"shadow\"",
                "write `true`, `false` or `\"shadow\"`",
            ))
        }
    }
}

fn protocol(node: &Node) -> Parsed<u8> {
    if let Value::Number(number @ 0..=PROTOCOLS_OF_OTHERS) = node.value {
        let what =
            format!("routes with protocol {number} are those of the kernel or of the operator");
        return Err(Wrong::new(
            what,
            "write a number that no other program uses; 186 is BGP's",
        ));
    }
    number(5..=255)(node)
}
