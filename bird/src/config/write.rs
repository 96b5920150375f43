//! windrose.toml, section by section.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use super::Context;
use super::announce::{self, Statics, statics};
use super::bfd;
use super::book::{Book, rule};
use super::kernel::{self, Kernel};
use super::redistribute;
use super::routes;
use super::session::{Neighbor, Session};
use crate::flow::{Cond, Draft, Policy, Sets, Then, Way};
use crate::lexer::{Place, quote};
use crate::parse::Cursor;
use crate::toml::{comment, key, list, text};

/// Keys of a session in the order in which they are written.
const ORDER: [&str; 35] = [
    "address",
    "prefix",
    "asn",
    "asns",
    "group",
    "description",
    "birdc-name",
    "enabled",
    "families",
    "local-address",
    "local-as",
    "interface",
    "port",
    "passive",
    "multihop",
    "gtsm",
    "password",
    "hold-time",
    "keepalive",
    "connect-retry",
    "idle-hold",
    "idle-hold-max",
    "rr-client",
    "rs-client",
    "allow-local-as",
    "role",
    "strict-role",
    "extended-next-hop",
    "graceful-restart",
    "add-path",
    "aigp",
    "bfd",
    "next-hop",
    "max-prefixes",
    "import",
];

/// What concerns the file as a whole.
const FIRST: Place = Place { file: 0, line: 1 };
/// BGP's port.
const PORT: i64 = 179;

/// A session as keys and values.
type Keys = BTreeMap<&'static str, String>;

/// Writes the file.
pub(crate) fn file(context: &mut Context<'_>) -> String {
    let mut sessions = context.sessions();
    let mut kernel = kernel::read(context);
    let routes = routes::all(context, &mut kernel);
    others(context);
    let asn = router_asn(&sessions);
    let profiles = bfd::settle(context, &mut sessions, asn);
    let redistributed = redistribute::read(context, &kernel);
    let mut book = Book::default();
    let chains = statics(&routes, &redistributed, &sessions);
    let mut keys = Vec::new();
    for session in &sessions {
        if let Some(of_session) = session_keys(context, &mut book, session, asn, &chains) {
            keys.push((session, of_session));
        }
    }
    kernel.settle(context, &sessions, &routes, &mut book);
    let tagged = protocol_tags(context, &mut book, &mut keys);
    let mut body = String::new();
    router(context, &sessions, &kernel, asn, &mut body);
    fib(&kernel, &mut body);
    redistributed.write(context, &mut book, &tagged, &mut body);
    bfd::write(&profiles, &mut body);
    peers(context, &keys, &mut body);
    for route in &routes {
        announce::route(context, route, &sessions, &tagged, &mut body);
    }
    let mut policies = String::new();
    announce::policies(context, &routes, &chains, &mut policies);
    book.write(context, &mut policies);
    sets(context, &policies, &mut body);
    body.push_str(&policies);
    format!("{}{body}", heading(context))
}

fn heading(context: &Context<'_>) -> String {
    let name = context
        .names
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let mut out = format!("# Made from {} by `windrose import bird`.\n", comment(name));
    if !context.lost.is_empty() {
        out.push_str("#\n# What has no translation, and is to be looked at:\n");
        for (place, what) in &context.lost {
            let _ = writeln!(out, "#   {}: {}", context.show(*place), comment(what));
        }
    }
    out
}

/// The AS number that most sessions have on our side.
fn router_asn(sessions: &[Session]) -> Option<u32> {
    let own: Vec<u32> = sessions
        .iter()
        .filter_map(|session| session.local_as)
        .collect();
    let count = |asn: &u32| own.iter().filter(|other| *other == asn).count();
    // Of several, the first.
    let mut best: Option<u32> = None;
    for asn in &own {
        if best.is_none_or(|best| count(asn) > count(&best)) {
            best = Some(*asn);
        }
    }
    best
}

fn router(
    context: &mut Context<'_>,
    sessions: &[Session],
    kernel: &Kernel,
    asn: Option<u32>,
    out: &mut String,
) {
    out.push_str("\n[router]\n");
    match asn {
        Some(asn) => drop(writeln!(out, "asn = {asn}")),
        None => {
            context.lose(
                FIRST,
                "no session says `local as`: write `asn` under [router]",
            );
            out.push_str("# asn = 65001\n");
        }
    }
    let id = router_id(context, sessions);
    match id {
        Some((id, Some(place))) => drop(writeln!(
            out,
            "router-id = \"{id}\" # {}",
            context.show(place)
        )),
        Some((id, None)) => {
            let what = format!("there is no `router id`: {id} is an address of a session");
            context.note(FIRST, what);
            let _ = writeln!(out, "router-id = \"{id}\"");
        }
        None => {
            context.lose(
                FIRST,
                "the router's identifier is not known: write `router-id` under [router]",
            );
            out.push_str("# router-id = \"10.255.0.1\"\n");
        }
    }
    cluster_id(context, sessions, out);
    let ports: BTreeSet<i64> = sessions
        .iter()
        .filter_map(|s| s.listen)
        .map(|(port, _)| port)
        .collect();
    if ports.iter().any(|port| *port != PORT) {
        let sockets = ports
            .iter()
            .flat_map(|port| [format!("0.0.0.0:{port}"), format!("[::]:{port}")]);
        let _ = writeln!(out, "listen = {}", list(&sockets.collect::<Vec<_>>()));
    }
    let merged = kernel.merged.unwrap_or(1);
    let _ = writeln!(
        out,
        "multipath = {merged} # BIRD: {}",
        match kernel.merged {
            Some(_) => "`merge paths`",
            None => "one path, without `merge paths`",
        }
    );
}

fn cluster_id(context: &mut Context<'_>, sessions: &[Session], out: &mut String) {
    let mut clusters: Vec<(IpAddr, Place)> = sessions.iter().filter_map(|s| s.cluster_id).collect();
    clusters.sort_unstable();
    clusters.dedup_by_key(|(id, _)| *id);
    match clusters.as_slice() {
        [] => {}
        [(id, place), others @ ..] => {
            let _ = writeln!(out, "cluster-id = \"{id}\" # {}", context.show(*place));
            for (other, place) in others {
                context.lose(
                    *place,
                    format!("`rr cluster id {other}`: windrose has one for all sessions"),
                );
            }
        }
    }
}

fn router_id(
    context: &mut Context<'_>,
    sessions: &[Session],
) -> Option<(std::net::Ipv4Addr, Option<Place>)> {
    if let Some(entry) = context.world.conf.router_id.clone() {
        let mut cursor = Cursor::new(&entry.tokens, entry.place);
        if cursor.eat_all("router id")
            && let Some(IpAddr::V4(id)) = context.ip(&mut cursor)
        {
            return Some((id, Some(entry.place)));
        }
        context.lose(entry.place, format!("`{}`", quote(&entry.tokens)));
    }
    let local = sessions
        .iter()
        .filter_map(|session| session.keys.get("local-address"));
    let mut local = local.filter_map(|address| address.trim_matches('"').parse().ok());
    local.next().map(|id| (id, None))
}

fn fib(kernel: &Kernel, out: &mut String) {
    out.push_str("\n[fib]\n");
    let _ = writeln!(out, "install = {}", kernel.install);
    for key in ["table", "metric", "prefsrc"] {
        if let Some(value) = kernel.keys.get(key) {
            let _ = writeln!(out, "{key} = {value}");
        }
    }
    if let Some(policy) = &kernel.policy {
        let _ = writeln!(out, "policy = [{}]", text(policy));
    }
    if kernel.persist {
        out.push_str("keep-on-exit = true # `persist`\n");
    }
}

/// Who the session is with; `None` if windrose has no such session.
fn neighbor_keys(
    context: &mut Context<'_>,
    session: &Session,
    asn: Option<u32>,
    keys: &mut Keys,
) -> Option<()> {
    let own = session.local_as.or(asn);
    let peer = session
        .asn
        .or(own.filter(|_| session.internal == Some(true)));
    match (&session.neighbor, peer) {
        (Neighbor::Address(address), Some(asn)) => {
            keys.insert("address", format!("\"{address}\""));
            keys.insert("asn", asn.to_string());
        }
        (Neighbor::Address(address), None) => {
            context.lose(
                session.place,
                format!("the AS number of {address}: windrose needs it, the session is left out"),
            );
            return None;
        }
        (Neighbor::Range(net), peer) => {
            keys.insert("prefix", format!("\"{net}\""));
            keys.insert(
                "asns",
                peer.map_or_else(|| "\"any\"".to_owned(), |asn| format!("[{asn}]")),
            );
            if peer.is_none() && session.internal == Some(false) {
                context.note(
                    session.place,
                    "`external`: windrose takes any AS number from the range",
                );
            }
        }
    }
    Some(())
}

/// Everything about a session; `None` if it cannot be one.
fn session_keys(
    context: &mut Context<'_>,
    book: &mut Book,
    session: &Session,
    asn: Option<u32>,
    statics: &Statics,
) -> Option<Keys> {
    let mut keys = session.keys.clone();
    let internal = session.is_internal(asn);
    neighbor_keys(context, session, asn, &mut keys)?;
    if let Some(own) = session.local_as.filter(|own| Some(*own) != asn) {
        keys.insert("local-as", own.to_string());
    }
    let families: Vec<String> = session
        .channels
        .keys()
        .map(|six| if *six { "ipv6" } else { "ipv4" }.to_owned())
        .collect();
    keys.insert("families", list(&families));
    if internal != Some(true) {
        // BIRD's default; windrose has it on.
        let first = keys.entry("enforce-first-as");
        first.or_insert_with(|| "false".to_owned());
    }
    if internal == Some(true) && !keys.contains_key("bfd") {
        // Internal sessions have no bound on hops anyway, but BFD has.
        keys.remove("multihop");
    }
    // What is so anyway.
    let on_by_itself =
        |key: &str| key == "enabled" || key == "enforce-first-as" && internal != Some(true);
    keys.retain(|key, value| *value != on_by_itself(key).to_string());
    let import = context.policy(book, session, Way::Import);
    let export = context.policy(book, session, Way::Export);
    let mut chain = Vec::new();
    if export != "reject" {
        chain = statics.chain(internal == Some(true), keys.contains_key("next-hop"));
    }
    chain.push(export);
    keys.insert("import", list(&[import]));
    keys.insert("export", list(&chain));
    Some(keys)
}

/// Where filters ask for the protocol of a route, what comes from it gets its tag. Which those of static routes are.
fn protocol_tags(
    context: &mut Context<'_>,
    book: &mut Book,
    keys: &mut [(&Session, Keys)],
) -> BTreeMap<String, u32> {
    let asked = context.world.asked.borrow().clone();
    let tags = context.world.tags.iter();
    let tags: BTreeMap<String, u32> = tags
        .filter(|(_, (_, tag))| asked.contains(tag))
        .map(|(name, (_, tag))| (name.clone(), *tag))
        .collect();
    for (session, keys) in keys {
        let Some(tag) = tags.get(&session.name) else {
            continue;
        };
        let sets = Sets {
            tag: Some(*tag),
            ..Sets::default()
        };
        let draft = Draft {
            policies: vec![Policy {
                rules: vec![rule(Cond::default(), sets, Then::Next, session.place)],
                default: None,
            }],
            scratch: false,
        };
        let name = book.add(&format!("from-{}", session.name), &draft, session.place);
        let import = keys.get("import").map(String::as_str).unwrap_or("[]");
        if book.clears_tags(import.trim_matches(['[', ']', '"'])) {
            let what = "filters ask for this protocol by name, and its import filter needs the tag for itself";
            context.lose(session.place, what);
        }
        let chain = format!("[{}, {}", text(&name), import.trim_start_matches('['));
        keys.insert("import", chain);
    }
    tags
}

/// Peers, ranges, and groups of what those of a template have in common.
fn peers(context: &Context<'_>, keys: &[(&Session, Keys)], out: &mut String) {
    let mut groups: BTreeMap<&str, Keys> = BTreeMap::new();
    for (session, keys) in keys {
        let Some(template) = &session.template else {
            continue;
        };
        groups
            .entry(template)
            .and_modify(|common| common.retain(|key, value| keys.get(key) == Some(value)))
            .or_insert_with(|| {
                let mut common = keys.clone();
                for own in ["address", "prefix", "asns", "asn", "birdc-name"] {
                    common.remove(own);
                }
                common
            });
    }
    groups.retain(|_, common| !common.is_empty());
    for (name, common) in &groups {
        let template = context
            .world
            .conf
            .protocols
            .iter()
            .find(|p| p.name == *name);
        let place = template.map(|template| context.show(template.place));
        let _ = writeln!(
            out,
            "\n# {}: template {}\n[[peer-group]]\nname = {}",
            place.unwrap_or_default(),
            comment(name),
            text(name)
        );
        write_keys(common, out);
    }
    for (session, keys) in keys {
        let common = session
            .template
            .as_deref()
            .and_then(|name| Some((name, groups.get(name)?)));
        let mut own = keys.clone();
        if let Some((name, common)) = common {
            own.retain(|key, value| common.get(key) != Some(value));
            own.insert("group", text(name));
        }
        let header = match session.neighbor {
            Neighbor::Address(_) => "[[peer]]",
            Neighbor::Range(_) => "[[peer-range]]",
        };
        let _ = writeln!(
            out,
            "\n# {}: protocol bgp {}\n{header}",
            context.show(session.place),
            comment(&session.name)
        );
        write_keys(&own, out);
    }
}

fn write_keys(keys: &Keys, out: &mut String) {
    let order = |key: &str| {
        ORDER
            .iter()
            .position(|known| *known == key)
            .unwrap_or(ORDER.len())
    };
    let mut all: Vec<_> = keys.iter().collect();
    all.sort_by_key(|(key, _)| order(key));
    for (key, value) in all {
        let _ = writeln!(out, "{key} = {value}");
    }
}

/// Named sets that policies use.
fn sets(context: &Context<'_>, policies: &str, out: &mut String) {
    let mut first = true;
    for (name, set) in context.world.constants.prefix_sets() {
        if !policies.contains(&format!("\"@{name}\"")) {
            continue;
        }
        if first {
            out.push_str("\n[sets.prefixes]\n");
            first = false;
        }
        let _ = writeln!(out, "{} = {}", key(name), list(&set.patterns()));
    }
}

/// What stands at the top, and protocols that windrose does not have.
fn others(context: &mut Context<'_>) {
    const NO_MATTER: [&str; 10] = [
        "log",
        "debug",
        "timeformat",
        "mrtdump",
        "watchdog",
        "cli",
        "hostname",
        "threads",
        "graceful",
        "eval",
    ];
    let conf = context.world.conf;
    for entry in &conf.others {
        let mut cursor = Cursor::new(&entry.tokens, entry.place);
        let word = cursor.word().unwrap_or_default();
        let own_table = matches!(word, "ipv4" | "ipv6")
            && cursor.eat("table")
            && matches!(cursor.word(), Some("master4" | "master6"));
        if !own_table
            && !NO_MATTER.contains(&word)
            && !entry
                .tokens
                .iter()
                .all(|t| t.kind == crate::lexer::Kind::Sign(";"))
        {
            context.lose_entry(entry);
        }
    }
    for protocol in conf.protocols.iter().filter(|protocol| !protocol.template) {
        match protocol.kind.as_str() {
            "bgp" | "kernel" | "static" | "device" | "direct" | "bfd" => {}
            kind => {
                let what = format!(
                    "`protocol {kind} {}`: windrose has no such protocol",
                    protocol.name
                );
                context.lose(protocol.place, what);
            }
        }
    }
}
