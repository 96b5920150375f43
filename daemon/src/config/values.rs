//! What a value must look like, a function a kind; each says what it expected and what to write instead.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::Wrong;
use super::tree::{Node, Value};

/// RFC 6793 §9: stands for any AS number of four octets.
const AS_TRANS: i64 = 23456;
/// RFC 7300: the last of two octets, and the last of four.
const LAST_AS: [i64; 2] = [65535, 4_294_967_295];
/// `IFNAMSIZ`, less the zero octet.
const INTERFACE_MAX: usize = 15;
/// Most octets of a name.
const NAME_MAX: usize = 64;

pub(super) type Parsed<T> = Result<T, Wrong>;

pub(super) fn text(node: &Node) -> Parsed<String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) => Err(Wrong::kind(node, "a text", format!("write `\"{number}\"`"))),
        Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => Err(Wrong::kind(
            node,
            "a text",
            "write it between quotes, as in `\"…\"`",
        )),
    }
}

pub(super) fn flag(node: &Node) -> Parsed<bool> {
    match node.value {
        Value::Flag(flag) => Ok(flag),
        Value::Text(_) | Value::Number(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => {
            Err(Wrong::kind(
                node,
                "true or false",
                "write `true` or `false`, without quotes",
            ))
        }
    }
}

/// A number of `range`.
pub(super) fn number<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let instead = format!(
            "write a number from {} to {}, without quotes",
            range.start(),
            range.end()
        );
        let Value::Number(number) = node.value else {
            return Err(Wrong::kind(node, "a number", instead));
        };
        let fits = Some(number).filter(|number| range.contains(number));
        fits.and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| Wrong::new(format!("{number} is out of range"), instead))
    }
}

pub(super) fn u32_number(node: &Node) -> Parsed<u32> {
    number(0..=i64::from(u32::MAX))(node)
}

pub(super) fn port(node: &Node) -> Parsed<u16> {
    number(1..=65535)(node)
}

/// An AS number that a speaker may have.
pub(super) fn asn(node: &Node) -> Parsed<u32> {
    let reserved =
        |what: String| Wrong::new(what, "write the AS number of that speaker, as in `65001`");
    match node.value {
        Value::Number(0) => Err(reserved("AS 0 is nobody's (RFC 7607)".to_owned())),
        Value::Number(AS_TRANS) => Err(reserved(
            "AS 23456 stands for others (RFC 6793) and is nobody's".to_owned(),
        )),
        Value::Number(asn) if LAST_AS.contains(&asn) => {
            Err(reserved(format!("AS {asn} is reserved (RFC 7300)")))
        }
        Value::Number(_)
        | Value::Text(_)
        | Value::Flag(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Other(_) => number(1..=i64::from(u32::MAX))(node),
    }
}

/// A duration of `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Parsed<Duration> {
    move |node| {
        let example = |node: &Node| match &node.value {
            Value::Number(number) => format!("write it with a unit, as in `\"{number}s\"`"),
            Value::Text(text) if text.parse::<u64>().is_ok() => {
                format!("write it with a unit, as in `\"{text}s\"`")
            }
            Value::Text(_)
            | Value::Flag(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Other(_) => {
                "write a number and a unit (ms, s, m, h, d), as in `\"90s\"`".to_owned()
            }
        };
        let Value::Text(text) = &node.value else {
            return Err(Wrong::kind(node, "a duration", example(node)));
        };
        let value = parse_duration(text)
            .ok_or_else(|| Wrong::new(format!("`{text}` is no duration"), example(node)))?;
        if range.contains(&value) {
            return Ok(value);
        }
        let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
        Err(Wrong::new(
            format!("{text} is out of range"),
            format!("write a duration from {least} to {most}"),
        ))
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(unit)
        .map(Duration::from_millis)
}

/// As [`duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// `"80%"`.
pub(super) fn percent(node: &Node) -> Parsed<u8> {
    let instead = "write a part of a hundred, as in `\"80%\"`";
    let Value::Text(text) = &node.value else {
        return Err(Wrong::kind(node, "a percentage", instead));
    };
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.parse().ok());
    number
        .filter(|number| *number <= 100)
        .ok_or_else(|| Wrong::new(format!("`{text}` is no percentage"), instead))
}

/// What is parsed from a text by its own rules; `example` shows how it looks.
pub(super) fn parsed<T: FromStr>(what: &str, example: &str) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let instead = format!("write {what}, as in `\"{example}\"`");
        let Value::Text(text) = &node.value else {
            return Err(Wrong::kind(node, what, instead));
        };
        text.parse()
            .map_err(|_| Wrong::new(format!("`{text}` is not {what}"), instead))
    }
}

/// What explains itself in its error, such as a community: "X is no Y: write Z".
pub(super) fn explained<T: FromStr<Err = String>>(node: &Node) -> Parsed<T> {
    text(node)?
        .parse()
        .map_err(|why: String| match why.split_once(": ") {
            Some((what, instead)) => Wrong::new(what, instead),
            None => Wrong::new(why, "correct it"),
        })
}

pub(super) fn ipv4(node: &Node) -> Parsed<Ipv4Addr> {
    parsed("an IPv4 address", "10.255.0.1")(node)
}

/// A BGP Identifier or a cluster id: any but zero (RFC 6286 §2.1).
pub(super) fn identifier(node: &Node) -> Parsed<Ipv4Addr> {
    let id = ipv4(node)?;
    if id.is_unspecified() {
        return Err(Wrong::new(
            "0.0.0.0 identifies nobody",
            "write an address of this router, as in `\"10.255.0.1\"`",
        ));
    }
    Ok(id)
}

/// An address that some machine can have.
pub(super) fn address(node: &Node) -> Parsed<IpAddr> {
    let address: IpAddr = parsed("an IP address", "10.255.12.2")(node)?;
    if address.is_unspecified()
        || address.is_multicast()
        || address == IpAddr::V4(Ipv4Addr::BROADCAST)
    {
        let what = format!("{address} is no machine's address");
        return Err(Wrong::new(
            what,
            "write the address of one machine, as in `\"10.255.12.2\"`",
        ));
    }
    Ok(address)
}

/// An address, with the interface of a link-local one: `fe80::2%wg-nyc`.
pub(super) fn scoped_address(node: &Node) -> Parsed<(IpAddr, Option<String>)> {
    let text = text(node)?;
    let Some((plain, zone)) = text.split_once('%') else {
        return Ok((address(node)?, None));
    };
    let plain = address(&Node {
        at: node.at.clone(),
        value: Value::Text(plain.to_owned()),
    })?;
    if !is_link_local(plain) {
        let what = format!("{plain} is not link-local: it has no zone");
        return Err(Wrong::new(
            what,
            format!("write `\"{plain}\"`, and `interface` if it matters"),
        ));
    }
    let zone = interface(&Node {
        at: node.at.clone(),
        value: Value::Text(zone.to_owned()),
    })?;
    Ok((plain, Some(zone)))
}

pub(super) const fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// A prefix without host bits.
pub(super) fn prefix(node: &Node) -> Parsed<IpNet> {
    let example = match &node.value {
        Value::Text(text) if text.parse::<Ipv4Addr>().is_ok() => format!("{text}/32"),
        Value::Text(_)
        | Value::Number(_)
        | Value::Flag(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Other(_) => "10.100.0.0/16".to_owned(),
    };
    let prefix: IpNet = parsed("a prefix", &example)(node)?;
    if prefix.trunc() != prefix {
        let what = format!("{prefix} has bits set beyond its length");
        return Err(Wrong::new(what, format!("write `\"{}\"`", prefix.trunc())));
    }
    if prefix.addr().is_multicast() {
        return Err(Wrong::new(
            format!("{prefix} is multicast"),
            "only unicast prefixes are routed",
        ));
    }
    Ok(prefix)
}

/// An address and a port that is not 0.
pub(super) fn socket(node: &Node) -> Parsed<SocketAddr> {
    let socket: SocketAddr = parsed("an address with a port", "127.0.0.1:9179")(node)?;
    if socket.port() == 0 {
        return Err(Wrong::new(
            "port 0 cannot be listened on",
            "write a port from 1 to 65535",
        ));
    }
    Ok(socket)
}

pub(super) fn interface(node: &Node) -> Parsed<String> {
    let name = text(node)?;
    let good = !name.is_empty()
        && name.len() <= INTERFACE_MAX
        && !name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
        && name != "."
        && name != "..";
    good.then_some(name.clone()).ok_or_else(|| {
        let instead =
            format!("write a device's name of at most {INTERFACE_MAX} octets, as in `\"wg-nyc\"`");
        Wrong::new(format!("`{name}` is no interface's name"), instead)
    })
}

/// The name of a policy, a group, a set.
pub(super) fn name(node: &Node) -> Parsed<String> {
    let name = text(node)?;
    let good = !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.contains(|c: char| c.is_control() || c == '@');
    good.then_some(name.clone()).ok_or_else(|| {
        let instead = format!("write 1 to {NAME_MAX} octets without `@`, as in `\"mesh\"`");
        Wrong::new(format!("`{name}` is no name"), instead)
    })
}

/// A name as BIRD's symbols are, quoted ones too.
pub(super) fn symbol(node: &Node) -> Parsed<String> {
    let name = text(node)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    let good = !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(is_plain);
    good.then_some(name.clone()).ok_or_else(|| {
        let instead = format!(
            "write 1 to {NAME_MAX} letters, digits, `_`, `-`, `.` or `:`, as in `\"Mesh_10_0_0_2\"`"
        );
        Wrong::new(format!("`{name}` is no name of a protocol"), instead)
    })
}

/// One of `words`.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let all: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("`\"{word}\"`"))
            .collect();
        let instead = format!("write {}", all.join(" or "));
        let Value::Text(text) = &node.value else {
            return Err(Wrong::kind(node, "a word", instead));
        };
        let found = words.iter().find(|(word, _)| word == text);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| Wrong::new(format!("`{text}` means nothing here"), instead))
    }
}
