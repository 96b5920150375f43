//! The configuration in force as TOML: defaults filled in, inheritance resolved, secrets left out.

mod keys;
mod routes;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bgp_core::Family;
use rib::policy::{
    Action, AsPathConfig, CommunitiesConfig, MatchConfig, PolicyConfig, RuleConfig, SetConfig,
    SetsConfig, Then,
};
use speaker::config::{Config, Fib, NextHopMode, PeerOptions, PeerRange, Router, Secret};

use super::bmp;
use super::options::{PRIVATE_AS, ROLES};
use super::peers::show;
use super::routes::SHADOW;
use super::score::show_rate;
use super::values::show_duration;
use super::{DaemonConfig, LoadedConfig};

use keys::{bfd, bfd_profiles, local_as, max_prefixes, probing, tcp_ao, wireguard};
use routes::{covering, originated, own_attributes, redistribute, static_route};

/// Stands for a secret.
const SECRET: &str = "\"…\"";

/// A header and the keys under it.
#[derive(Debug)]
pub(super) struct Section {
    /// As in the file: `[[peer]]`.
    pub(super) header: Cow<'static, str>,
    /// As in messages: `peer 10.0.0.2`.
    pub(super) name: String,
    pub(super) lines: Lines,
}

/// Keys and their values as TOML.
#[derive(Debug, Default)]
pub(super) struct Lines(pub(super) Vec<Line>);

/// A key and its value.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: String,
    /// As TOML; of a secret, what stands for it.
    pub(super) value: String,
    /// What no line shows, but tells a changed secret.
    pub(super) secret: Option<Secret>,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a line a key is what reads well"
)]
impl Lines {
    pub(super) fn put(&mut self, key: &str, value: impl ToString) {
        self.0.push(Line {
            key: key.to_owned(),
            value: value.to_string(),
            secret: None,
        });
    }

    pub(super) fn text(&mut self, key: &str, value: impl ToString) {
        self.put(key, quoted(&value.to_string()));
    }

    pub(super) fn maybe_text(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn secret(&mut self, key: &str, secret: Option<&Secret>) {
        if let Some(secret) = secret {
            self.0.push(Line {
                key: key.to_owned(),
                value: SECRET.to_owned(),
                secret: Some(secret.clone()),
            });
        }
    }

    fn maybe(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    pub(super) fn time(&mut self, key: &str, value: Duration) {
        self.text(key, show_duration(value));
    }

    pub(super) fn texts<T: ToString>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        self.put(key, list(values));
    }

    /// A list that says nothing when it is empty.
    fn some_texts<T: ToString>(&mut self, key: &str, values: &[T]) {
        if !values.is_empty() {
            self.texts(key, values.iter().map(ToString::to_string));
        }
    }

    fn inline(&self) -> String {
        let fields: Vec<_> = self
            .0
            .iter()
            .map(|line| format!("{} = {}", line.key, line.value))
            .collect();
        format!("{{ {} }}", fields.join(", "))
    }
}

/// The configuration as TOML.
pub(crate) fn effective(config: &LoadedConfig) -> String {
    let mut out = String::new();
    for section in sections(config) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{}{}",
            if out.is_empty() { "" } else { "\n" },
            section.header
        );
        for Line { key, value, .. } in &section.lines.0 {
            let _ = writeln!(out, "{key} = {value}");
        }
    }
    out
}

/// The configuration, section by section, in the order in which it is shown.
pub(super) fn sections(config: &LoadedConfig) -> Vec<Section> {
    let Config {
        router: of_router,
        peers,
        ranges,
        originate: _,
        statics: _,
        aggregates: _,
        redistribute: _,
        fib: of_fib,
        probe: of_probe,
        policies,
        sets: of_sets,
        stations,
    } = &config.speaker;
    let mut all = vec![section("[router]", "[router]".to_owned(), |lines| {
        router(of_router, lines)
    })];
    daemon(&config.daemon, &mut all);
    all.extend(bmp::sections(stations));
    all.push(section("[fib]", "[fib]".to_owned(), |lines| {
        fib(of_fib, lines)
    }));
    wireguard(&config.daemon.wireguard, &mut all);
    probing(of_probe, &mut all);
    let options = || {
        let of_peers = peers.iter().map(|peer| &peer.options);
        of_peers.chain(ranges.iter().map(|range| &range.options))
    };
    let groups: std::collections::BTreeSet<_> = options()
        .filter_map(|options| options.group.as_ref())
        .collect();
    all.extend(groups.into_iter().map(|group| {
        section("[[peer-group]]", format!("peer group {group}"), |lines| {
            lines.text("name", group)
        })
    }));
    all.extend(bfd_profiles(options()));
    all.extend(peers.iter().map(|peer| {
        section("[[peer]]", format!("peer {}", show(peer)), |lines| {
            lines.text("address", peer.address);
            lines.put("asn", peer.asn);
            self::options(&peer.options, lines);
        })
    }));
    all.extend(ranges.iter().map(|range| {
        let name = format!("peer range {}", range.prefix);
        section("[[peer-range]]", name, |lines| peer_range(range, lines))
    }));
    routes(&config.speaker, &mut all);
    sets(of_sets, &mut all);
    policies
        .iter()
        .for_each(|policy| self::policy(policy, &mut all));
    all
}

fn peer_range(range: &PeerRange, lines: &mut Lines) {
    lines.text("prefix", range.prefix);
    let any = range.asns.is_empty();
    lines.put(
        "asns",
        if any {
            quoted("any")
        } else {
            numbers(&range.asns)
        },
    );
    lines.put("limit", range.limit);
    options(&range.options, lines);
}

fn routes(config: &Config, all: &mut Vec<Section>) {
    all.extend(config.originate.iter().map(|route| {
        let name = format!("originate {}", route.prefix);
        section("[[originate]]", name, |lines| {
            originated(route, lines);
            covering(route.prefix, config, lines);
        })
    }));
    all.extend(config.statics.iter().map(|route| {
        section("[[static]]", format!("static {}", route.prefix), |lines| {
            static_route(route, lines);
            covering(route.prefix, config, lines);
        })
    }));
    all.extend(config.aggregates.iter().map(|route| {
        let name = format!("aggregate {}", route.prefix);
        section("[[aggregate]]", name, |lines| {
            lines.text("prefix", route.prefix);
            lines.put("summary-only", route.summary_only);
            own_attributes(&route.attributes, lines);
            lines.put("tag", route.tag);
            lines.put("discard", route.discard);
            covering(route.prefix, config, lines);
        })
    }));
    if config.redistribute.is_some() {
        let name = "[redistribute]";
        all.push(section(name, name.to_owned(), |lines| {
            redistribute(&config.redistribute, lines);
        }));
    }
}

pub(super) fn section(
    header: impl Into<Cow<'static, str>>,
    name: String,
    fill: impl FnOnce(&mut Lines),
) -> Section {
    let mut lines = Lines::default();
    fill(&mut lines);
    Section {
        header: header.into(),
        name,
        lines,
    }
}

fn router(router: &Router, lines: &mut Lines) {
    lines.put("asn", router.asn);
    lines.text("router-id", router.router_id);
    lines.texts("listen", &router.listen);
    lines.text("cluster-id", router.cluster_id);
    lines.put("client-to-client", router.client_to_client);
    lines.put("multipath", router.multipath);
    lines.text(
        "multipath-cost-tolerance",
        format!("{}%", router.multipath_cost_tolerance),
    );
}

fn daemon(daemon: &DaemonConfig, all: &mut Vec<Section>) {
    let api = &daemon.api;
    all.push(section("[api]", "[api]".to_owned(), |lines| {
        lines.texts("listen", &api.listen);
        lines.maybe_text("birdc", api.birdc.as_ref().map(|path| path.display()));
        lines.text("state-dir", api.state_dir.display());
    }));
    if let Some(tls) = &api.tls {
        all.push(section("[api.tls]", "[api.tls]".to_owned(), |lines| {
            lines.text("cert", tls.cert.display());
            lines.text("key", tls.key.display());
            lines.maybe_text(
                "client-ca",
                tls.client_ca.as_ref().map(|path| path.display()),
            );
        }));
    }
    if let Some(listen) = daemon.metrics {
        all.push(section("[metrics]", "[metrics]".to_owned(), |lines| {
            lines.text("listen", listen)
        }));
    }
}

fn fib(fib: &Fib, lines: &mut Lines) {
    if fib.shadow {
        lines.text("install", SHADOW);
    } else {
        lines.put("install", fib.install);
    }
    lines.put("table", fib.table);
    lines.put("metric", fib.metric);
    lines.put("protocol", fib.protocol);
    let v6 = fib.prefsrc_v6.map(|v6| v6.to_string());
    let sources: Vec<_> = fib
        .prefsrc_v4
        .map(|v4| v4.to_string())
        .into_iter()
        .chain(v6)
        .collect();
    lines.some_texts("prefsrc", &sources);
    lines.put("nexthop-groups", fib.nexthop_groups);
    lines.put("keep-on-exit", fib.keep_on_exit);
    if let Some(policy) = &fib.policy {
        lines.texts("policy", policy);
    }
}

fn options(options: &PeerOptions, lines: &mut Lines) {
    lines.maybe_text("group", options.group.as_ref());
    lines.maybe_text("description", options.description.as_ref());
    lines.maybe_text("birdc-name", options.birdc_name.as_ref());
    lines.texts(
        "families",
        Family::ALL
            .into_iter()
            .filter(|family| *options.families.get(*family)),
    );
    lines.put("passive", options.passive);
    lines.put("enabled", options.enabled);
    lines.maybe_text("local-address", options.local_address);
    lines.maybe("local-as", options.local_as.map(local_as));
    lines.maybe_text("interface", options.interface.as_ref());
    lines.put("port", options.port);
    lines.maybe("multihop", options.multihop);
    lines.put("gtsm", options.gtsm);
    lines.secret("password", options.password.as_ref());
    lines.0.extend(options.tcp_ao.as_ref().map(tcp_ao));
    lines.time("hold-time", options.hold_time);
    lines.maybe_text("keepalive", options.keepalive.map(show_duration));
    lines.time("connect-retry", options.connect_retry);
    lines.time("idle-hold", options.idle_hold);
    lines.time("idle-hold-max", options.idle_hold_max);
    lines.maybe_text("send-hold", options.send_hold.map(show_duration));
    lines.put("rr-client", options.rr_client);
    lines.put("rs-client", options.rs_client);
    lines.put("allow-local-as", options.allow_local_as);
    let private = PRIVATE_AS.iter();
    let mut private = private.filter(|(_, known)| *known == options.remove_private_as);
    lines.maybe_text("remove-private-as", private.next().map(|(word, _)| word));
    lines.put("as-override", options.as_override);
    lines.put("enforce-first-as", options.enforce_first_as);
    lines.put("allow-as-sets", options.allow_as_sets);
    lines.put("extended-next-hop", options.extended_next_hop);
    graceful_restart(options, lines);
    add_path(options, lines);
    lines.put("aigp", options.aigp);
    lines.maybe_text(
        "next-hop",
        match options.next_hop {
            NextHopMode::Standard => None,
            NextHopMode::Myself => Some("self".to_owned()),
            NextHopMode::Unchanged => Some("unchanged".to_owned()),
            NextHopMode::Address(address) => Some(address.to_string()),
        },
    );
    lines.maybe("import", options.import.as_ref().map(list));
    lines.maybe("export", options.export.as_ref().map(list));
    lines.put("probe", options.probe);
    lines.secret("probe-password", options.probe_key.as_ref());
    lines.maybe_text("capacity", options.capacity.map(show_rate));
    lines.put("link-bandwidth", options.link_bandwidth);
    bfd(options, lines);
    max_prefixes(options, lines);
    let role = options
        .role
        .and_then(|role| ROLES.iter().find(|(_, known)| *known == role));
    lines.maybe_text("role", role.map(|(word, _)| word));
    lines.put("strict-role", options.strict_role);
}

fn add_path(options: &PeerOptions, lines: &mut Lines) {
    lines.text(
        "add-path",
        match (options.add_path_receive, options.add_path_send) {
            (false, false) => "none",
            (true, false) => "receive",
            (false, true) => "send",
            (true, true) => "both",
        },
    );
    lines.put("add-path-limit", options.add_path_limit);
}

fn graceful_restart(options: &PeerOptions, lines: &mut Lines) {
    match options.graceful_restart {
        Some(graceful) => {
            let mut inner = Lines::default();
            inner.time("restart-time", graceful.restart_time);
            if let Some(time) = graceful.long_lived {
                inner.time("long-lived", time);
            }
            lines.put("graceful-restart", inner.inline());
        }
        None => lines.put("graceful-restart", false),
    }
}

fn sets(sets: &SetsConfig, all: &mut Vec<Section>) {
    let SetsConfig {
        prefixes,
        as_paths,
        communities,
        large_communities,
        ext_communities,
    } = sets;
    let kinds: [(&'static str, &BTreeMap<String, Vec<String>>); 5] = [
        ("[sets.prefixes]", prefixes),
        ("[sets.as-paths]", as_paths),
        ("[sets.communities]", communities),
        ("[sets.large-communities]", large_communities),
        ("[sets.ext-communities]", ext_communities),
    ];
    for (header, named) in kinds.into_iter().filter(|(_, named)| !named.is_empty()) {
        all.push(section(header, header.to_owned(), |lines| {
            named
                .iter()
                .for_each(|(name, items)| lines.texts(&quoted(name), items));
        }));
    }
}

fn policy(policy: &PolicyConfig, all: &mut Vec<Section>) {
    let name = format!("policy {}", policy.name);
    all.push(section("[[policy]]", name.clone(), |lines| {
        lines.text("name", &policy.name);
        lines.maybe_text("default", policy.default.map(action));
    }));
    all.extend(policy.rules.iter().enumerate().map(|(i, rule)| {
        section(
            "[[policy.rule]]",
            format!("{name}, rule {}", i + 1),
            |lines| self::rule(rule, lines),
        )
    }));
}

const fn action(action: Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Reject => "reject",
    }
}

fn rule(rule: &RuleConfig, lines: &mut Lines) {
    if rule.matches != MatchConfig::default() {
        lines.put("match", matches(&rule.matches));
    }
    if rule.set != SetConfig::default() {
        lines.put("set", set_clause(&rule.set));
    }
    match &rule.then {
        Then::Decide(decision) => lines.text("then", action(*decision)),
        Then::Next => lines.text("then", "next"),
        Then::Policy(name) => lines.put("then", format!("{{ policy = {} }}", quoted(name))),
    }
}

fn matches(matches: &MatchConfig) -> String {
    let mut lines = Lines::default();
    let lists: [(&str, &Vec<String>); 20] = [
        ("prefixes", &matches.prefixes),
        ("length", &matches.length),
        ("as-path", &matches.as_path),
        ("as-path-contains", &matches.as_path_contains),
        ("origin-as", &matches.origin_as),
        ("neighbor-as", &matches.neighbor_as),
        ("as-path-length", &matches.as_path_length),
        ("communities", &matches.communities),
        ("large-communities", &matches.large_communities),
        ("ext-communities", &matches.ext_communities),
        ("next-hop", &matches.next_hop),
        ("peer", &matches.peer),
        ("group", &matches.group),
        ("family", &matches.family),
        ("source", &matches.source),
        ("med", &matches.med),
        ("local-pref", &matches.local_pref),
        ("origin", &matches.origin),
        ("aigp", &matches.aigp),
        ("tag", &matches.tag),
    ];
    lists
        .into_iter()
        .for_each(|(key, items)| lines.some_texts(key, items));
    lines.maybe("not", matches.not.as_deref().map(self::matches));
    lines.inline()
}

fn set_clause(set: &SetConfig) -> String {
    let mut lines = Lines::default();
    lines.maybe_text("local-pref", set.local_pref.as_ref());
    lines.maybe_text("med", set.med.as_ref());
    lines.maybe_text("aigp", set.aigp.as_ref());
    communities("communities", &set.communities, &mut lines);
    communities("large-communities", &set.large_communities, &mut lines);
    communities("ext-communities", &set.ext_communities, &mut lines);
    if set.as_path != AsPathConfig::default() {
        let mut inner = Lines::default();
        inner.some_texts("remove", &set.as_path.remove);
        inner.some_texts("replace", &set.as_path.replace);
        inner.maybe("with", set.as_path.with);
        lines.put("as-path", inner.inline());
    }
    lines.maybe(
        "prepend",
        set.prepend.as_ref().map(|prepend| {
            let mut inner = Lines::default();
            inner.maybe("asn", prepend.asn);
            inner.maybe("count", prepend.count);
            inner.inline()
        }),
    );
    lines.maybe_text("origin", set.origin.as_ref());
    lines.maybe_text("next-hop", set.next_hop.as_ref());
    lines.maybe("tag", set.tag);
    lines.maybe("table", set.table);
    lines.maybe("metric", set.metric);
    lines.maybe_text("prefsrc", set.prefsrc.as_ref());
    lines.inline()
}

fn communities(key: &str, change: &CommunitiesConfig, lines: &mut Lines) {
    if *change == CommunitiesConfig::default() {
        return;
    }
    let mut inner = Lines::default();
    inner.maybe("replace", change.replace.as_ref().map(list));
    inner.some_texts("remove", &change.remove);
    inner.some_texts("add", &change.add);
    lines.put(key, inner.inline());
}

fn numbers(numbers: &[u32]) -> String {
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(", "))
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items
        .into_iter()
        .map(|item| quoted(&item.to_string()))
        .collect();
    format!("[{}]", items.join(", "))
}

/// A basic string of TOML, on one line.
/// A key, in quotes where TOML wants them.
fn key_of(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Writing to a string cannot fail.
            _ if c.is_control() => drop(write!(out, "\\u{:04X}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}
