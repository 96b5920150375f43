//! What peers, ranges and groups have in common: the keys, and how a group's are inherited.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bgp_core::Family;
use bgp_core::capability::Role;
use bgp_core::family::PerFamily;
use rib::peer::PrivateAs;
use speaker::config::{
    GracefulRestart, LocalAs, MaxPrefixes, MaxPrefixesAction, NextHopMode, PeerOptions,
};

use super::bfd;
use super::reader::{Reader, Wrong, names};
use super::report::closest;
use super::score;
use super::secrets::{PASSWORDS, PROBE_PASSWORDS, password, probe_password, tcp_ao};
use super::tree::{Node, Table, Value};
use super::values::{self, Parsed, duration, explained, flag, number, text, word};

/// Longest timer of a session: the Hold Time field's end (RFC 4271 §4.2).
const TIMER_MAX: Duration = Duration::from_secs(65535);
/// How long peers keep our routes, if the configuration does not say.
const RESTART_TIME: Duration = Duration::from_secs(120);
/// RFC 4724 §3.
const RESTART_TIME_MAX: Duration = Duration::from_secs(4095);
/// Most of `long-lived`.
const STALE_TIME_MAX: Duration = Duration::from_secs((1 << 24) - 1);
/// Shortest of the others.
const TIMER_MIN: Duration = Duration::from_millis(10);
/// RFC 4271 §4.2: the hold time is zero, or at least this.
const HOLD_MIN: Duration = Duration::from_secs(3);
/// How often our own AS may stand in an AS_PATH, at most.
const LOCAL_AS_MAX: i64 = 10;

pub(super) const PRIVATE_AS: &[(&str, PrivateAs)] = &[
    ("none", PrivateAs::Keep),
    ("all", PrivateAs::Remove),
    ("replace", PrivateAs::Replace),
];

pub(super) const ROLES: &[(&str, Role)] = &[
    ("provider", Role::Provider),
    ("customer", Role::Customer),
    ("rs-server", Role::RouteServer),
    ("rs-client", Role::RouteServerClient),
    ("peer", Role::Peer),
];

/// What options refer to.
#[derive(Debug)]
pub(super) struct Names {
    /// `[[policy]]`, and the two that are built in.
    pub(super) policies: Vec<String>,
    /// Those that mean something to `[fib] policy` alone, and the key that shows it.
    pub(super) placing: BTreeMap<String, &'static str>,
    /// `[bfd.profile.NAME]`.
    pub(super) profiles: bfd::Profiles,
}

/// `[[peer-group]]`, by name.
pub(super) type Groups<'a> = BTreeMap<String, Reader<'a>>;

/// Keys of a group that are not inherited.
const OF_THE_GROUP: [&str; 2] = ["group", "name"];

/// The keys of `own` and, where it has none, those of its group, that one's group, and so on.
pub(super) fn inherit(own: &Table, groups: &Groups<'_>) -> Table {
    let mut all = own.clone();
    let mut seen = Vec::new();
    let mut next = group_of(own);
    while let Some(name) = next.filter(|name| !seen.contains(name)) {
        seen.push(name);
        let Some(group) = groups.get(name) else { break };
        // Of keys that stand for each other, one of its own is enough.
        let apart: [&[&str]; 2] = [&PASSWORDS, &PROBE_PASSWORDS];
        let settled = apart.map(|keys| keys.iter().any(|key| all.contains_key(*key)));
        for (key, entry) in group.table {
            let key_of = apart.iter().position(|keys| keys.contains(&key.as_str()));
            let is_settled = key_of.and_then(|n| settled.get(n)).is_some_and(|s| *s);
            let is_own = OF_THE_GROUP.contains(&key.as_str());
            if !is_own && !is_settled {
                all.entry(key.clone()).or_insert_with(|| entry.clone());
            }
        }
        next = group_of(group.table);
    }
    all
}

fn group_of(table: &Table) -> Option<&str> {
    match table.get("group") {
        Some((
            _,
            Node {
                value: Value::Text(name),
                ..
            },
        )) => Some(name),
        Some(_) | None => None,
    }
}

/// Reports groups that inherit from themselves.
pub(super) fn check_cycles(groups: &Groups<'_>) {
    for (name, group) in groups {
        let mut way = vec![name.as_str()];
        while let Some(next) = way
            .last()
            .and_then(|last| group_of(groups.get(*last)?.table))
        {
            if next == name {
                way.push(next);
                let what = format!("this group inherits from itself: {}", way.join(" <- "));
                group.error("group", &what, "take `group` out of one of them");
                break;
            }
            if way.contains(&next) {
                break;
            }
            way.push(next);
        }
    }
}

/// The name of the group, which must exist.
pub(super) fn group(reader: &Reader<'_>, groups: &Groups<'_>) -> Option<String> {
    let name = reader.read("group", text)?;
    if groups.contains_key(&name) {
        return Some(name);
    }
    let instead = match closest(&name, groups.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if groups.is_empty() => "add a `[[peer-group]]` of this name".to_owned(),
        None => format!("there are {}", names(groups.keys().map(String::as_str))),
    };
    reader.error(
        "group",
        &format!("there is no peer group `{name}`"),
        &instead,
    );
    None
}

/// Reads all options. What is wrong is reported and left at its default.
pub(super) fn read(reader: &Reader<'_>, group: Option<String>, names: &Names) -> PeerOptions {
    let default = PeerOptions::default();
    let timer = || duration(TIMER_MIN..=TIMER_MAX);
    let time = |key, default| reader.read(key, timer()).unwrap_or(default);
    let switch = |key, default| reader.read(key, flag).unwrap_or(default);
    let (add_path_receive, add_path_send) = add_path(reader);
    let role = reader.read("role", word(ROLES));
    let options = PeerOptions {
        group,
        description: reader.read("description", text),
        // A peer's own, not a group's.
        birdc_name: None,
        families: families(reader).unwrap_or(default.families),
        passive: switch("passive", default.passive),
        enabled: switch("enabled", default.enabled),
        local_address: reader.read("local-address", values::address),
        local_as: local_as(reader),
        interface: reader.read("interface", values::interface),
        port: reader.read("port", values::port).unwrap_or(default.port),
        multihop: reader.read("multihop", number(1..=255)),
        gtsm: switch("gtsm", default.gtsm),
        password: password(reader),
        tcp_ao: tcp_ao(reader),
        hold_time: reader
            .read("hold-time", hold_time)
            .unwrap_or(default.hold_time),
        keepalive: reader.read("keepalive", timer()),
        connect_retry: time("connect-retry", default.connect_retry),
        idle_hold: time("idle-hold", default.idle_hold),
        idle_hold_max: time("idle-hold-max", default.idle_hold_max),
        send_hold: reader.read("send-hold", timer()),
        rr_client: switch("rr-client", default.rr_client),
        rs_client: switch("rs-client", default.rs_client),
        allow_local_as: reader
            .read("allow-local-as", number(0..=LOCAL_AS_MAX))
            .unwrap_or(default.allow_local_as),
        // RFC 7947 §2.2.2.2: a route server does not put itself into the path.
        enforce_first_as: switch("enforce-first-as", role != Some(Role::RouteServerClient)),
        allow_as_sets: reader
            .read("allow-as-sets", flag)
            .unwrap_or(default.allow_as_sets),
        remove_private_as: reader
            .read("remove-private-as", word(PRIVATE_AS))
            .unwrap_or(default.remove_private_as),
        as_override: switch("as-override", default.as_override),
        extended_next_hop: switch("extended-next-hop", default.extended_next_hop),
        graceful_restart: graceful_restart(reader),
        add_path_receive,
        add_path_send,
        add_path_limit: reader
            .read("add-path-limit", number(1..=255))
            .unwrap_or(default.add_path_limit),
        aigp: switch("aigp", default.aigp),
        next_hop: reader
            .read("next-hop", next_hop)
            .unwrap_or(default.next_hop),
        import: policies(reader, "import", names),
        export: policies(reader, "export", names),
        probe: switch("probe", default.probe),
        probe_key: probe_password(reader),
        capacity: reader.read("capacity", score::rate),
        link_bandwidth: switch("link-bandwidth", default.link_bandwidth),
        bfd: bfd::of_peer(reader, names),
        max_prefixes: max_prefixes(reader),
        role,
        strict_role: switch("strict-role", default.strict_role),
    };
    check(reader, &options);
    options
}

/// Options that do not go together.
fn check(reader: &Reader<'_>, options: &PeerOptions) {
    if options.capacity.is_some() && !options.probe {
        reader.error(
            "capacity",
            "`capacity` is that of a link that is measured",
            "add `probe = true`, or take `capacity` out",
        );
    }
    if options.idle_hold > options.idle_hold_max {
        let instead = "write a longer `idle-hold-max`, or a shorter `idle-hold`";
        reader.error(
            "idle-hold",
            "`idle-hold` is longer than `idle-hold-max`",
            instead,
        );
    }
    if options
        .keepalive
        .is_some_and(|keepalive| !options.hold_time.is_zero() && keepalive >= options.hold_time)
    {
        let instead = "write a third of `hold-time`, or take `keepalive` out";
        reader.error(
            "keepalive",
            "`keepalive` is not shorter than `hold-time`",
            instead,
        );
    }
    if options.strict_role && options.role.is_none() {
        reader.error(
            "strict-role",
            "`strict-role` needs a `role`",
            "add `role`, or take `strict-role` out",
        );
    }
    for (key, there) in rewrites(options) {
        if there && options.rs_client {
            let what =
                format!("`{key}` changes paths, which a route server leaves alone (RFC 7947)");
            reader.error(key, &what, "take one of `rs-client` and this out");
        }
    }
    if options.rr_client && options.rs_client {
        let instead = "keep `rr-client` for an internal peer, `rs-client` for an external one";
        reader.error(
            "rs-client",
            "nobody is `rr-client` and `rs-client`",
            instead,
        );
    }
}

/// The keys that change the paths an external peer is told, and whether each is there.
pub(super) const fn rewrites(options: &PeerOptions) -> [(&'static str, bool); 2] {
    let private = !matches!(options.remove_private_as, PrivateAs::Keep);
    [
        ("remove-private-as", private),
        ("as-override", options.as_override),
    ]
}

/// A number is another name for us, and no more; a table says how paths show it.
fn local_as(reader: &Reader<'_>) -> Option<LocalAs> {
    let node = reader.node("local-as")?;
    let alone = |asn| LocalAs {
        asn,
        no_prepend: true,
        replace_as: true,
        dual_as: false,
    };
    if !matches!(node.value, Value::Table(_)) {
        return reader.read("local-as", values::asn).map(alone);
    }
    let table = reader.table("local-as")?;
    let asn = table.require("asn", "write `asn = 65001`", values::asn);
    let switch = |key, default| table.read(key, flag).unwrap_or(default);
    let local = LocalAs {
        no_prepend: switch("no-prepend", true),
        replace_as: switch("replace-as", true),
        dual_as: switch("dual-as", false),
        ..alone(asn.unwrap_or_default())
    };
    table.finish();
    asn.map(|_| local)
}

fn families(reader: &Reader<'_>) -> Option<PerFamily<bool>> {
    let listed = reader.list("families", explained::<Family>)?;
    let mut families = PerFamily::default();
    for family in &listed {
        *families.get_mut(*family) = true;
    }
    if reader.items("families").is_some_and(<[Node]>::is_empty) {
        let instead = "write `[\"ipv4\"]`, `[\"ipv6\"]` or `[\"ipv4\", \"ipv6\"]`";
        reader.error(
            "families",
            "a session without a family carries nothing",
            instead,
        );
    }
    Some(families)
}

fn hold_time(node: &Node) -> Parsed<Duration> {
    let time = duration(Duration::ZERO..=TIMER_MAX)(node)?;
    let instead = "write `\"3s\"` or more, or `\"0s\"` for a session without keepalives";
    if !time.is_zero() && time < HOLD_MIN {
        return Err(Wrong::new(
            "a hold time below three seconds is not allowed (RFC 4271 §4.2)",
            instead,
        ));
    }
    if time.subsec_nanos() != 0 {
        return Err(Wrong::new("a hold time has whole seconds", instead));
    }
    Ok(time)
}

fn graceful_restart(reader: &Reader<'_>) -> Option<GracefulRestart> {
    let default = GracefulRestart {
        restart_time: RESTART_TIME,
        long_lived: None,
    };
    let node = reader.node("graceful-restart")?;
    if let Value::Flag(on) = node.value {
        return on.then_some(default);
    }
    let instead = "write `{ restart-time = \"120s\" }`, `true` or `false`";
    let table = reader.table_of(node, instead)?;
    let restart_time = table.read("restart-time", restart_time);
    let long_lived = table.read("long-lived", stale_time);
    table.finish();
    Some(GracefulRestart {
        restart_time: restart_time.unwrap_or(default.restart_time),
        long_lived,
    })
}

/// RFC 9494 §4.1: 24 bits of seconds.
fn stale_time(node: &Node) -> Parsed<Duration> {
    let time = duration(Duration::from_secs(1)..=STALE_TIME_MAX)(node)?;
    if time.subsec_nanos() != 0 {
        return Err(Wrong::new(
            "a stale time has whole seconds",
            "write `\"1h\"`",
        ));
    }
    Ok(time)
}

/// RFC 4724 §3: twelve bits of seconds.
fn restart_time(node: &Node) -> Parsed<Duration> {
    let time = duration(Duration::from_secs(1)..=RESTART_TIME_MAX)(node)?;
    if time.subsec_nanos() != 0 {
        return Err(Wrong::new(
            "a restart time has whole seconds",
            "write `\"120s\"`",
        ));
    }
    Ok(time)
}

/// Whether several paths a prefix are received, and sent.
fn add_path(reader: &Reader<'_>) -> (bool, bool) {
    const MODES: &[(&str, (bool, bool))] = &[
        ("none", (false, false)),
        ("receive", (true, false)),
        ("send", (false, true)),
        ("both", (true, true)),
    ];
    reader.read("add-path", word(MODES)).unwrap_or_default()
}

fn next_hop(node: &Node) -> Parsed<NextHopMode> {
    match text(node)?.as_str() {
        "self" => Ok(NextHopMode::Myself),
        "unchanged" => Ok(NextHopMode::Unchanged),
        _ => values::address(node)
            .map(NextHopMode::Address)
            .map_err(|wrong| {
                Wrong::new(
                    wrong.what,
                    "write `\"self\"`, `\"unchanged\"` or an address",
                )
            }),
    }
}

/// Names of policies, each of which must exist.
fn policies(reader: &Reader<'_>, key: &'static str, names: &Names) -> Option<Vec<String>> {
    reader.list(key, |node| {
        let name = policy(node, names)?;
        match names.placing.get(&name) {
            None => Ok(name),
            Some(set) => Err(Wrong::new(
                format!("policy `{name}` sets `{set}`, which is the kernel's and no peer's"),
                "write a policy without it, and this one at `[fib] policy`",
            )),
        }
    })
}

/// The name of a policy that exists.
pub(super) fn policy(node: &Node, names: &Names) -> Parsed<String> {
    let name = text(node)?;
    if names.policies.contains(&name) {
        return Ok(name);
    }
    let all = || names.policies.iter().map(String::as_str);
    let instead = match closest(&name, all()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "add a `[[policy]]` of this name, or use {}",
            self::names(all())
        ),
    };
    Err(Wrong::new(format!("there is no policy `{name}`"), instead))
}

fn max_prefixes(reader: &Reader<'_>) -> Option<MaxPrefixes> {
    const ACTIONS: &[(&str, MaxPrefixesAction)] = &[
        ("warn", MaxPrefixesAction::Warn),
        ("stop", MaxPrefixesAction::Stop),
        (
            "restart",
            MaxPrefixesAction::Restart(Duration::from_secs(60)),
        ),
    ];
    let table = reader.table("max-prefixes")?;
    let limit = table.require(
        "limit",
        "write `limit = 1000`",
        number(1..=i64::from(u32::MAX)),
    );
    let warn_at = table.read("warn-at", values::percent).unwrap_or(80);
    let then = table
        .read("then", word(ACTIONS))
        .unwrap_or(MaxPrefixesAction::Stop);
    let after = table.read(
        "restart-after",
        duration(Duration::from_secs(1)..=TIMER_MAX),
    );
    let then = match (then, after) {
        (MaxPrefixesAction::Restart(_), Some(after)) => MaxPrefixesAction::Restart(after),
        (MaxPrefixesAction::Warn | MaxPrefixesAction::Stop, Some(_)) => {
            let instead = "write `then = \"restart\"`, or take it out";
            table.error(
                "restart-after",
                "`restart-after` does nothing without a restart",
                instead,
            );
            then
        }
        (_, None) => then,
    };
    table.finish();
    Some(MaxPrefixes {
        limit: limit?,
        warn_at,
        then,
    })
}

/// The family an address belongs to.
pub(super) const fn family_of(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::Ipv4Unicast,
        IpAddr::V6(_) => Family::Ipv6Unicast,
    }
}
