//! Keys of a session and of a channel: which of windrose's each becomes.

use std::net::IpAddr;

use super::session::{Channel, Limit, Neighbor, Reading, Session};
use super::{Context, bfd};
use crate::ast::Entry;
use crate::flow::Value;
use crate::parse::Cursor;

/// What makes no difference to routes, or is so anyway.
const NO_MATTER: [&str; 21] = [
    "debug",
    "mrtdump",
    "router id",
    "gateway recursive",
    "missing lladdr",
    "secondary",
    "connect delay time",
    "startup hold time",
    "error forget time",
    "min hold time",
    "min keepalive time",
    "send hold time",
    "enable route refresh",
    "enable enhanced route refresh",
    "enable extended messages",
    "advertise hostname",
    "check link",
    "dynamic name",
    "dynamic name digits",
    "vrf default",
    "keepalive scale",
];

/// A value that makes a key what windrose does anyway: the words, and whether `off` or `on` is the one.
const AS_WINDROSE: [(&str, bool); 12] = [
    ("capabilities", true),
    ("enable as4", true),
    ("interpret communities", true),
    ("advertise ipv4", true),
    ("path metric", true),
    ("igp metric", true),
    ("med metric", false),
    ("prefer older", false),
    ("deterministic med", false),
    ("allow bgp_local_pref", false),
    ("allow bgp_med", false),
    ("setkey", true),
];

/// The key is written, for when it acts.
const NO_LONG_LIVED: &str =
    "`long lived graceful restart`: stale routes go when the restart time is over";

/// A statement of a session; `false` if it has no translation.
pub(crate) fn of_session(
    context: &mut Context<'_>,
    reading: &mut Reading,
    entry: &Entry,
    cursor: &mut Cursor<'_>,
) -> bool {
    if NO_MATTER.iter().any(|words| cursor.eat_all(words)) {
        return true;
    }
    for (words, as_windrose) in AS_WINDROSE {
        if cursor.eat_all(words) {
            return context.switch(cursor) == as_windrose;
        }
    }
    match cursor.word().unwrap_or_default() {
        "local" if cursor.eat("role") => role(reading, cursor),
        "local" => local(context, reading, entry, cursor),
        "neighbor" => neighbor(context, reading, cursor),
        "source" if cursor.eat("address") => {
            let address = context.ip(cursor).map(|ip| format!("\"{ip}\""));
            put(reading, "local-address", address)
        }
        "interface" => {
            let interface = text_or_name(cursor).map(|name| crate::toml::text(&name));
            put(reading, "interface", interface)
        }
        "description" => {
            let text = cursor.text().map(crate::toml::text);
            put(reading, "description", text)
        }
        "password" => {
            let text = cursor.text().map(crate::toml::text);
            put(reading, "password", text)
        }
        "direct" => {
            reading.direct = true;
            reading.keys.remove("multihop");
            true
        }
        "bfd" => bfd::of_session(context, &mut reading.bfd, entry, cursor),
        "multihop" => {
            // BIRD's default.
            let hops = context.number(cursor).unwrap_or(64).clamp(1, 255);
            reading.direct = false;
            put(reading, "multihop", Some(hops.to_string()))
        }
        "rr" if cursor.eat_all("cluster id") => {
            let id = context.ip(cursor).or_else(|| {
                let number = context.number(cursor)?;
                Some(IpAddr::V4(u32::try_from(number).ok()?.into()))
            });
            reading.cluster_id = id.map(|id| (id, entry.place));
            id.is_some()
        }
        "gateway" if cursor.eat("direct") => {
            let what = "`gateway direct`: windrose looks every next hop up in the kernel's table";
            context.note(entry.place, what);
            true
        }
        "strict" if cursor.eat("bind") => {
            if context.switch(cursor) {
                let what = "`strict bind`: windrose listens on all addresses; write `listen` under `[router]` for fewer";
                context.note(entry.place, what);
            }
            true
        }
        word => switches(context, reading, word, cursor) || times(context, reading, word, cursor),
    }
}

fn put(reading: &mut Reading, key: &'static str, value: Option<String>) -> bool {
    let known = value.is_some();
    if let Some(value) = value {
        reading.keys.insert(key, value);
    }
    known
}

/// `on` and `off`.
fn switches(
    context: &Context<'_>,
    reading: &mut Reading,
    word: &str,
    cursor: &mut Cursor<'_>,
) -> bool {
    let key = match word {
        "passive" => "passive",
        "rr" if cursor.eat("client") => "rr-client",
        "rs" if cursor.eat("client") => "rs-client",
        "ttl" if cursor.eat("security") => "gtsm",
        "require" if cursor.eat("roles") => "strict-role",
        "enforce" if cursor.eat_all("first as") => "enforce-first-as",
        "allow" if cursor.eat_all("as sets") => "allow-as-sets",
        "disabled" => {
            let disabled = context.switch(cursor);
            return put(reading, "enabled", Some((!disabled).to_string()));
        }
        "allow" if cursor.eat_all("local as") => {
            // BIRD: any number of times; windrose: at most ten.
            let times = context.number(cursor).unwrap_or(10).clamp(0, 10);
            return put(reading, "allow-local-as", Some(times.to_string()));
        }
        "graceful" if cursor.eat("restart") => return graceful(context, reading, cursor),
        "long"
            if cursor.eat_all("lived graceful restart") || cursor.eat_all("lived stale time") =>
        {
            return long_lived(context, reading, cursor);
        }
        "add" if cursor.eat("paths") => {
            let value = add_paths(cursor);
            return put(reading, "add-path", value);
        }
        _ => return false,
    };
    let on = context.switch(cursor);
    put(reading, key, Some(on.to_string()))
}

/// `graceful restart on`, `aware`, `time N`.
fn graceful(context: &Context<'_>, reading: &mut Reading, cursor: &mut Cursor<'_>) -> bool {
    let key = "graceful-restart";
    if cursor.eat("time") {
        let time = context.time(cursor);
        return put(reading, "restart-time", time);
    }
    // To be aware is to help only: windrose helps those who restart if it offers to restart itself.
    if cursor.eat("aware") {
        return put(reading, key, Some("false".to_owned()));
    }
    let on = context.switch(cursor);
    put(reading, key, Some(on.to_string()))
}

fn long_lived(context: &Context<'_>, reading: &mut Reading, cursor: &mut Cursor<'_>) -> bool {
    if cursor.eat("aware") {
        return true;
    }
    match context.time(&mut cursor.clone()) {
        Some(time) => put(reading, "stale-time", Some(time)),
        None => {
            let on = context.switch(cursor);
            put(reading, "long-lived", Some(on.to_string()))
        }
    }
}

/// `add paths on`, `rx`, `tx`.
fn add_paths(cursor: &mut Cursor<'_>) -> Option<String> {
    let word = if cursor.is_done() {
        "on"
    } else {
        cursor.word()?
    };
    let mode = match word {
        "on" | "yes" | "true" => "both",
        "off" | "no" | "false" => "none",
        "rx" => "receive",
        "tx" => "send",
        _ => return None,
    };
    Some(format!("\"{mode}\""))
}

fn times(
    context: &Context<'_>,
    reading: &mut Reading,
    word: &str,
    cursor: &mut Cursor<'_>,
) -> bool {
    let key = match word {
        "hold" if cursor.eat("time") => "hold-time",
        "keepalive" if cursor.eat("time") => "keepalive",
        "connect" if cursor.eat_all("retry time") => "connect-retry",
        "error" if cursor.eat_all("wait time") => {
            let first = context.time(cursor);
            let most = cursor.eat(",").then(|| context.time(cursor)).flatten();
            let known = put(reading, "idle-hold", first);
            return known && put(reading, "idle-hold-max", most);
        }
        _ => return false,
    };
    let time = context.time(cursor);
    put(reading, key, time)
}

/// `local role customer`.
fn role(reading: &mut Reading, cursor: &mut Cursor<'_>) -> bool {
    let role = match cursor.word().unwrap_or_default() {
        "provider" => "provider",
        "customer" => "customer",
        "peer" => "peer",
        "rs_server" => "rs-server",
        "rs_client" => "rs-client",
        _ => return false,
    };
    put(reading, "role", Some(format!("\"{role}\"")))
}

fn text_or_name(cursor: &mut Cursor<'_>) -> Option<String> {
    let text = cursor.text().map(str::to_owned);
    text.or_else(|| cursor.word().map(str::to_owned))
}

fn as_number(context: &Context<'_>, cursor: &mut Cursor<'_>) -> Option<u32> {
    u32::try_from(context.number(cursor)?).ok()
}

/// `local ADDRESS port N as N`.
fn local(
    context: &mut Context<'_>,
    reading: &mut Reading,
    entry: &Entry,
    cursor: &mut Cursor<'_>,
) -> bool {
    while !cursor.is_done() {
        if cursor.eat("as") {
            reading.local_as = as_number(context, cursor);
            if reading.local_as.is_none() {
                return false;
            }
        } else if cursor.eat("port") {
            reading.listen = context.number(cursor).map(|port| (port, entry.place));
        } else if let Some(address) = context.ip(cursor) {
            zone(reading, cursor);
            put(reading, "local-address", Some(format!("\"{address}\"")));
        } else {
            return false;
        }
    }
    true
}

/// `%eth0` after an address.
fn zone(reading: &mut Reading, cursor: &mut Cursor<'_>) {
    if cursor.eat("%")
        && let Some(name) = text_or_name(cursor)
    {
        put(reading, "interface", Some(crate::toml::text(&name)));
    }
}

/// `neighbor ADDRESS port N as N`, `neighbor range PREFIX as N`, `internal`, `external`.
fn neighbor(context: &Context<'_>, reading: &mut Reading, cursor: &mut Cursor<'_>) -> bool {
    while !cursor.is_done() {
        if cursor.eat("as") {
            reading.asn = as_number(context, cursor);
            if reading.asn.is_none() {
                return false;
            }
        } else if cursor.eat("port") {
            let port = context.number(cursor).map(|port| port.to_string());
            put(reading, "port", port);
        } else if cursor.eat("range") {
            reading.neighbor = context.prefix(cursor).map(Neighbor::Range);
        } else if cursor.eat("internal") {
            reading.internal = Some(true);
        } else if cursor.eat("external") {
            reading.internal = Some(false);
        } else if let Some(address) = context.ip(cursor) {
            reading.neighbor = Some(Neighbor::Address(address));
            zone(reading, cursor);
        } else {
            return false;
        }
    }
    true
}

/// A statement of a channel; `false` if it has no translation.
pub(crate) fn of_channel(
    context: &mut Context<'_>,
    channel: &mut Channel,
    entry: &Entry,
    cursor: &mut Cursor<'_>,
) -> bool {
    let place = entry.place;
    let mut put = |key, value: String| {
        channel.keys.insert(key, (value, place));
        true
    };
    if cursor.eat_all("next hop") {
        return match cursor.word().unwrap_or_default() {
            "self" if cursor.is_done() => put("next-hop", "\"self\"".to_owned()),
            "self" => match context.value(cursor) {
                Some(Value::Flag(true)) => put("next-hop", "\"self\"".to_owned()),
                Some(Value::Flag(false)) => true,
                Some(_) | None => false,
            },
            "keep" if cursor.is_done() => put("next-hop", "\"unchanged\"".to_owned()),
            "address" => context
                .ip(cursor)
                .is_some_and(|ip| put("next-hop", format!("\"{ip}\""))),
            _ => false,
        };
    }
    if cursor.eat_all("extended next hop") {
        let on = context.switch(cursor);
        return put("extended-next-hop", on.to_string());
    }
    if cursor.eat_all("add paths") {
        return add_paths(cursor).is_some_and(|value| put("add-path", value));
    }
    for words in ["import limit", "receive limit"] {
        if cursor.eat_all(words) {
            channel.limit = limit(context, entry, cursor);
            if words == "import limit" && channel.limit.is_some() {
                let what = "`import limit`: BIRD counts what its filter accepts, windrose what the peer tells";
                context.note(place, what);
            }
            return channel.limit.is_some();
        }
    }
    if cursor.eat_all("import table")
        || cursor.eat_all("import keep filtered")
        || cursor.eat_all("export table")
    {
        return true;
    }
    if cursor.eat("table") {
        return matches!(cursor.word(), Some("master" | "master4" | "master6"));
    }
    let on = |context: &Context<'_>, cursor: &mut Cursor<'_>| context.switch(cursor).to_string();
    if cursor.eat("aigp") {
        return match cursor.eat("originate") {
            true => false,
            false => {
                let value = on(context, cursor);
                put("aigp", value)
            }
        };
    }
    NO_MATTER.iter().any(|words| cursor.eat_all(words))
        || cursor.eat_all("gateway direct")
        || cursor.eat_all("graceful restart")
        || cursor.eat_all("long lived graceful restart")
        || cursor.eat_all("mandatory")
        || cursor.eat_all("cost")
}

/// `N action warn`.
fn limit(context: &Context<'_>, entry: &Entry, cursor: &mut Cursor<'_>) -> Option<Limit> {
    let count = context.number(cursor)?;
    let then = match cursor.eat("action").then(|| cursor.word()).flatten() {
        Some("warn") => "warn",
        Some("restart") => "restart",
        Some("disable") | None => "stop",
        // `block` takes so many and goes on.
        Some(_) => return None,
    };
    Some(Limit {
        count,
        then,
        place: entry.place,
    })
}

/// What windrose has once for both families, and keys that depend on each other.
pub(crate) fn settle(context: &mut Context<'_>, session: &mut Session) {
    let channels = session.channels.clone();
    for channel in channels.values() {
        for (key, (value, place)) in &channel.keys {
            let all = channels
                .values()
                .all(|other| other.keys.get(key).is_some_and(|(same, _)| same == value));
            if !all && *key != "extended-next-hop" {
                let what = format!("`{key} = {value}` for one family: windrose has it for both");
                context.lose(*place, what);
            }
            session.keys.insert(key, value.clone());
        }
    }
    limits(context, session);
    let restart_time = session.keys.remove("restart-time");
    let long_lived = session.keys.remove("long-lived");
    let stale_time = session.keys.remove("stale-time");
    if session.keys.get("graceful-restart").map(String::as_str) == Some("true") {
        let mut parts = vec![format!(
            "restart-time = {}",
            restart_time.as_deref().unwrap_or("\"120s\"")
        )];
        if long_lived.as_deref() == Some("true") {
            context.lose(session.place, NO_LONG_LIVED);
            // BIRD's default is an hour.
            parts.push(format!(
                "long-lived = {}",
                stale_time.as_deref().unwrap_or("\"3600s\"")
            ));
        }
        session
            .keys
            .insert("graceful-restart", format!("{{ {} }}", parts.join(", ")));
    } else if long_lived.as_deref() == Some("true") {
        context.lose(
            session.place,
            "`long lived graceful restart` without `graceful restart`",
        );
    }
    let on = |key: &str| session.keys.get(key).is_some_and(|value| value == "true");
    if on("rr-client") && on("rs-client") {
        context.lose(session.place, "nobody is `rr client` and `rs client`");
        session.keys.remove("rs-client");
    }
}

fn limits(context: &mut Context<'_>, session: &mut Session) {
    let limits: Vec<Limit> = session
        .channels
        .values()
        .filter_map(|c| c.limit.clone())
        .collect();
    let Some(first) = limits.first() else {
        return;
    };
    let count: i64 = limits
        .iter()
        .map(|limit| limit.count)
        .fold(0, i64::saturating_add);
    if limits.len() != session.channels.len() || limits.iter().any(|limit| limit.then != first.then)
    {
        context.lose(
            first.place,
            "a limit for one family: windrose counts both together",
        );
        return;
    }
    if limits.len() > 1 {
        context.note(
            first.place,
            "limits of both families: windrose counts both together, up to their sum",
        );
    }
    if !(1..=i64::from(u32::MAX)).contains(&count) {
        context.lose(first.place, "a limit that is out of range");
        return;
    }
    let value = format!("{{ limit = {count}, then = \"{}\" }}", first.then);
    session.keys.insert("max-prefixes", value);
}
