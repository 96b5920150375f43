//! Static routes as windrose.toml has them, and the policies that make them look as BIRD tells them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::Context;
use super::redistribute::{LEARNT_PREF, Redistribute};
use super::routes::{self, Route, Via};
use super::session::{Neighbor, Session};
use crate::flow::Cond;
use crate::toml::{comment, list, text};

/// The policy that makes static routes look as BIRD tells them.
const STATICS: &str = "static-routes";
/// The same, for next hops that internal peers are told.
const NEXT_HOPS: &str = "static-next-hops";
/// The same, for MEDs of static routes, which external peers are not told.
const MEDS: &str = "static-meds";
/// The key of `set`.
const MED: &str = "med";

/// Whether static routes, and those of the kernel, are told to anybody, and whether internal peers see their next hops.
#[derive(Clone, Debug)]
pub(crate) struct Statics {
    told: bool,
    /// The sources whose routes BIRD tells otherwise than windrose.
    sources: Vec<&'static str>,
    next_hops: bool,
    /// Some have a MED of themselves.
    meds: bool,
}

/// What is said of static routes.
pub(crate) fn statics(
    routes: &[Route],
    redistributed: &Redistribute,
    sessions: &[Session],
) -> Statics {
    let statics = routes.first().map(|_| "static").into_iter();
    let sources: Vec<_> = statics.chain(redistributed.sources()).collect();
    let told = !sources.is_empty() && sessions.iter().any(exports);
    let next_hops = told
        && routes
            .iter()
            .any(|route| route.installed && route.gateway().is_some());
    let has_med = |route: &Route| route.sets.puts.contains_key(MED);
    let meds = told && routes.iter().any(has_med);
    Statics {
        told,
        sources,
        next_hops,
        meds,
    }
}

impl Statics {
    /// The policies that come before a session's own on export.
    pub(crate) fn chain(&self, internal: bool, own_next_hop: bool) -> Vec<String> {
        let all = [
            (NEXT_HOPS, self.next_hops && internal && !own_next_hop),
            (MEDS, self.meds && internal),
            (STATICS, self.told),
        ];
        let used = all.iter().filter(|(_, used)| *used);
        used.map(|(name, _)| (*name).to_owned()).collect()
    }
}

fn exports(session: &Session) -> bool {
    session
        .channels
        .values()
        .any(|channel| channel.export.is_some())
}

/// Writes a static route.
pub(crate) fn route(
    context: &Context<'_>,
    route: &Route,
    sessions: &[Session],
    tags: &BTreeMap<String, u32>,
    out: &mut String,
) {
    let told = sessions.iter().any(exports);
    let header = if route.installed {
        "[[static]]"
    } else {
        "[[originate]]"
    };
    if !route.installed && !told {
        return;
    }
    let _ = writeln!(
        out,
        "\n# {}\n{header}\nprefix = \"{}\"",
        context.show(route.place),
        route.prefix
    );
    if route.installed {
        let via = match &route.via {
            Via::Blackhole => "\"blackhole\"".to_owned(),
            Via::Unreachable => "\"unreachable\"".to_owned(),
            Via::Prohibit => "\"prohibit\"".to_owned(),
            Via::Hops(hops) => format!("[{}]", hops.iter().map(hop).collect::<Vec<_>>().join(", ")),
        };
        let _ = writeln!(out, "via = {via}");
        if told {
            out.push_str("originate = true\n");
        }
    }
    if let Some(tag) = tags.get(&route.proto) {
        let _ = writeln!(out, "tag = {tag} # protocol {}", comment(&route.proto));
    }
    if covers_peers(route, sessions) {
        out.push_str("covers-peers = true\n");
    }
}

fn hop(hop: &routes::Hop) -> String {
    if hop.interface.is_none() && hop.weight == 1 {
        return format!("\"{}\"", hop.address);
    }
    let interface = hop
        .interface
        .iter()
        .map(|name| format!(", interface = {}", text(name)));
    let weight = if hop.weight == 1 {
        String::new()
    } else {
        format!(", weight = {}", hop.weight)
    };
    format!(
        "{{ address = \"{}\"{}{weight} }}",
        hop.address,
        interface.collect::<String>()
    )
}

/// Whether an end of a session lies within: BIRD does not mind.
fn covers_peers(route: &Route, sessions: &[Session]) -> bool {
    let local = sessions
        .iter()
        .filter_map(|s| s.keys.get("local-address")?.trim_matches('"').parse().ok());
    let remote = sessions
        .iter()
        .filter_map(|session| match session.neighbor {
            Neighbor::Address(address) => Some(address),
            Neighbor::Range(_) => None,
        });
    let mut ends = local.chain(remote);
    route.prefix.prefix_len() != 0 && ends.any(|ip: IpAddr| route.prefix.contains(&ip))
}

/// The policies for static routes.
pub(crate) fn policies(
    context: &Context<'_>,
    routes: &[Route],
    statics: &Statics,
    out: &mut String,
) {
    if !statics.told {
        return;
    }
    if statics.next_hops {
        let _ = write!(
            out,
            "\n# BIRD tells internal peers the next hops of static routes.\n[[policy]]\nname = \"{NEXT_HOPS}\"\n"
        );
        for route in routes.iter().filter(|route| route.installed) {
            if let Some(gateway) = route.gateway() {
                let _ = write!(
                    out,
                    "[[policy.rule]] # {}\nmatch = {}\nset = {{ next-hop = \"{gateway}\" }}\n",
                    context.show(route.place),
                    of(route)
                );
            }
        }
    }
    if statics.meds {
        let _ = write!(
            out,
            "\n# BIRD tells internal peers alone the MED that a static route has of itself.\n[[policy]]\nname = \"{MEDS}\"\n"
        );
        for route in routes {
            if let Some(med) = route.sets.puts.get(MED) {
                let _ = write!(
                    out,
                    "[[policy.rule]] # {}\nmatch = {}\nset = {{ med = {med} }}\n",
                    context.show(route.place),
                    of(route)
                );
            }
        }
    }
    of_sources(&statics.sources, out);
    for route in routes.iter().filter(|route| !route.sets.is_empty()) {
        let mut sets = route.sets.clone();
        sets.kernel.clear();
        sets.puts.remove(MED);
        if !sets.is_empty() {
            let _ = write!(
                out,
                "[[policy.rule]] # {}\nmatch = {}\nset = {}\n",
                context.show(route.place),
                of(route),
                sets.toml()
            );
        }
    }
}

/// Fits a static route.
fn of(route: &Route) -> String {
    let mut cond = Cond::of("prefixes", vec![route.prefix.to_string()]);
    let source = if route.installed {
        "static"
    } else {
        "originate"
    };
    cond.keys.insert("source", vec![source.to_owned()]);
    cond.toml()
}

/// What holds for all routes of a source.
fn of_sources(sources: &[&'static str], out: &mut String) {
    let names: Vec<String> = sources.iter().map(|&name| name.to_owned()).collect();
    let _ = write!(
        out,
        "\n# Routes of our own as BIRD tells them: ORIGIN is IGP.\n[[policy]]\nname = \"{STATICS}\"\n[[policy.rule]]\nmatch = {{ source = {} }}\nset = {{ origin = \"igp\" }}\n",
        list(&names)
    );
    if sources.contains(&"kernel") {
        let _ = write!(
            out,
            "[[policy.rule]] # in the table, routes of BGP go before those that were learnt\nmatch = {{ source = [\"kernel\"], local-pref = [{LEARNT_PREF}] }}\nset = {{ local-pref = 100 }}\n",
        );
    }
}
