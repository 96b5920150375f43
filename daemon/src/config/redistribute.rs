//! `[redistribute]`.

use speaker::config::{Interfaces, Redistribute, RedistributeConnected, RedistributeKernel};

use super::options::{self, Names};
use super::reader::{Reader, Wrong, names};
use super::tree::{Node, Value};
use super::values::{self, Parsed, number};

/// Names of protocol numbers (`rtm_protocol`) as `ip route` shows them, of those that may be redistributed.
const PROTOCOLS: &[(&str, u8)] = &[
    ("babel", 42),
    ("bird", 12),
    ("boot", 3),
    ("dhcp", 16),
    ("eigrp", 192),
    ("isis", 187),
    ("keepalived", 18),
    ("ospf", 188),
    ("ra", 9),
    ("rip", 189),
    ("static", 4),
    ("zebra", 11),
];
/// Those that are not, and why.
const OTHERS: &[(&str, u8, &str)] = &[
    ("unspec", 0, "are of nobody"),
    (
        "redirect",
        1,
        "were learnt from ICMP and mean nothing to others",
    ),
    (
        "kernel",
        2,
        "are those of addresses: write `connected` for them",
    ),
    (
        "bgp",
        BGP,
        "were installed by BGP, and would be told as something else",
    ),
];
/// `RTPROT_BGP`.
const BGP: u8 = 186;
/// What is taken if the file does not say: what the operator put in by hand.
const DEFAULT: [u8; 2] = [3, 4];
/// The kernel's main table.
const TABLE: u32 = 254;
/// The policy if the file does not name one.
const ACCEPT: &str = "accept";
/// Most octets of a pattern.
const PATTERN_MAX: usize = 32;

/// `[redistribute]`; `ours` is the protocol number of our own routes.
pub(super) fn redistribute(root: &Reader<'_>, known: &Names, ours: u8) -> Redistribute {
    let Some(reader) = root.table("redistribute") else {
        return Redistribute::default();
    };
    let connected = reader.table("connected").map(|source| {
        let connected = RedistributeConnected {
            interfaces: interfaces(&source),
            policy: policy(&source, known),
        };
        source.finish();
        connected
    });
    let kernel = reader.table("kernel").map(|source| {
        let kernel = RedistributeKernel {
            protocols: protocols(&source, ours),
            table: source
                .read("table", number(1..=i64::from(u32::MAX)))
                .unwrap_or(TABLE),
            interfaces: interfaces(&source),
            policy: policy(&source, known),
        };
        source.finish();
        kernel
    });
    reader.finish();
    Redistribute { connected, kernel }
}

/// The protocol as `ip route` shows it.
pub(super) fn show_protocol(number: u8) -> String {
    let named = PROTOCOLS.iter().find(|(_, known)| *known == number);
    named.map_or_else(|| number.to_string(), |(name, _)| format!("{name:?}"))
}

fn interfaces(source: &Reader<'_>) -> Interfaces {
    Interfaces(source.list("interfaces", pattern).unwrap_or_default())
}

fn policy(source: &Reader<'_>, known: &Names) -> String {
    let named = source.read("policy", |node| options::policy(node, known));
    named.unwrap_or_else(|| ACCEPT.to_owned())
}

fn protocols(source: &Reader<'_>, ours: u8) -> Vec<u8> {
    let listed = source.list("protocols", |node| protocol(node, ours));
    if listed.as_ref().is_some_and(Vec::is_empty)
        && source.items("protocols").is_some_and(<[_]>::is_empty)
    {
        let instead = "name some, or leave `kernel` out";
        source.error("protocols", "no route has none of all protocols", instead);
    }
    let mut protocols = listed.unwrap_or_else(|| DEFAULT.into());
    protocols.sort_unstable();
    protocols.dedup();
    protocols
}

fn protocol(node: &Node, ours: u8) -> Parsed<u8> {
    let found = match &node.value {
        Value::Text(name) => {
            let named = PROTOCOLS.iter().map(|(name, number)| (*name, *number));
            let mut named = named.chain(OTHERS.iter().map(|(name, number, _)| (*name, *number)));
            let found = named.find(|(known, _)| known == name);
            found.map(|(_, number)| number).ok_or_else(|| {
                let all = names(PROTOCOLS.iter().map(|(name, _)| *name));
                Wrong::new(
                    format!("`{name}` is no protocol of routes"),
                    format!("write a number, or one of {all}"),
                )
            })?
        }
        Value::Number(_) | Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => {
            number(0..=255)(node)?
        }
    };
    if let Some((_, _, why)) = OTHERS.iter().find(|(_, number, _)| *number == found) {
        let what = format!("routes with protocol {found} {why}");
        return Err(Wrong::new(what, "take it out"));
    }
    if found == ours {
        let what = format!("routes with protocol {found} are our own, by `[fib] protocol`");
        return Err(Wrong::new(what, "take it out"));
    }
    Ok(found)
}

/// A pattern of interfaces' names.
pub(super) fn pattern(node: &Node) -> Parsed<String> {
    let text = values::text(node)?;
    let rest = text.strip_prefix('!').unwrap_or(&text);
    let good = !rest.is_empty()
        && rest.len() <= PATTERN_MAX
        && !rest.contains(|c: char| c == '!' || c == '/' || c.is_whitespace() || c.is_control());
    good.then_some(text.clone()).ok_or_else(|| {
        let instead = "write a device's name, in which `*` stands for any text and `!` in front excludes, as in `\"br-*\"` or `\"!eth0\"`";
        Wrong::new(format!("`{text}` is no pattern of interfaces"), instead)
    })
}
