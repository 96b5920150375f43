//! What changes from one configuration to another, and what each change does.

use std::collections::BTreeMap;

use speaker::config::Secret;

use super::LoadedConfig;
use super::effective::{Line, Section, sections};

/// Keys of peers and ranges whose change takes a new session: they are agreed on in OPEN, are the socket's, or
/// decided what was made of the routes heard so far. All others take effect in place.
const OF_THE_SESSION: &[&str] = &[
    "add-path",
    "aigp",
    "allow-as-sets",
    "asn",
    "asns",
    "enforce-first-as",
    "extended-next-hop",
    "families",
    "graceful-restart",
    "gtsm",
    "hold-time",
    "interface",
    "local-address",
    "local-as",
    "multihop",
    "password",
    "port",
    "role",
    "rr-client",
    "rs-client",
    "tcp-ao",
];

/// Keys of `[router]` that all sessions are made of.
const OF_ALL_SESSIONS: [&str; 3] = ["asn", "cluster-id", "router-id"];

/// A line for each change, in the order of the effective configuration; what is gone comes last.
pub(crate) fn diff(old: &LoadedConfig, new: &LoadedConfig) -> Vec<String> {
    let (old, new) = (sections(old), sections(new));
    let mut changes = Vec::new();
    let by_name = |sections: &'_ [Section]| -> BTreeMap<String, usize> {
        let name = |(i, section): (usize, &Section)| (section.name.clone(), i);
        sections.iter().enumerate().map(name).collect()
    };
    let (before, after) = (by_name(&old), by_name(&new));
    for section in &new {
        match before.get(&section.name).and_then(|i| old.get(*i)) {
            Some(before) => changed(before, section, &mut changes),
            None => changes.push(format!("{}: added{}", section.name, summary(section))),
        }
    }
    let gone = old
        .iter()
        .filter(|section| !after.contains_key(&section.name));
    changes.extend(gone.map(|section| format!("{}: removed{}", section.name, end(section))));
    changes.retain(|change| !change.starts_with("peer group "));
    changes
}

fn changed(old: &Section, new: &Section, changes: &mut Vec<String>) {
    let gone = old
        .lines
        .0
        .iter()
        .filter(|line| find(new, &line.key).is_none());
    for key in new.lines.0.iter().chain(gone).map(|line| &line.key) {
        let (before, after) = (find(old, key), find(new, key));
        if before.map(content) == after.map(content) {
            continue;
        }
        let show =
            |line: Option<&Line>| line.map_or("(none)".to_owned(), |line| plain(&line.value));
        let (name, from, to) = (&new.name, show(before), show(after));
        changes.push(format!(
            "{name}: {key} {from} -> {to} ({})",
            effect(&new.header, key)
        ));
    }
}

fn find<'a>(section: &'a Section, key: &str) -> Option<&'a Line> {
    section.lines.0.iter().find(|line| line.key == key)
}

const fn content(line: &Line) -> (&String, &Option<Secret>) {
    (&line.value, &line.secret)
}

/// A text without its quotes.
fn plain(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value).to_owned()
}

/// What the change of a key does.
fn effect(header: &str, key: &str) -> &'static str {
    match header {
        "[[peer]]" | "[[peer-range]]" if key == "enabled" => "session ends or starts",
        "[[peer]]" | "[[peer-range]]" if OF_THE_SESSION.contains(&key) => "session restarts",
        "[router]" if OF_ALL_SESSIONS.contains(&key) => "all sessions restart",
        "[router]" if key == "listen" => RESTART,
        "[[bmp]]" => "its connection begins anew",
        "[fib]" if key == "protocol" => RESTART,
        "[api]" | "[api.tls]" | "[metrics]" | "[wireguard]" => RESTART,
        // The rest: policies, sets, routes of ours, timers.
        _ => "in place",
    }
}

const RESTART: &str = "only with a restart of windrosed";

/// What comes with a new section.
fn summary(section: &Section) -> String {
    match &*section.header {
        "[[peer]]" => find(section, "asn")
            .map(|line| format!(" (AS {})", line.value))
            .unwrap_or_default(),
        "[api.tls]" | "[metrics]" => format!(" ({RESTART})"),
        _ => String::new(),
    }
}

/// What goes with a section.
fn end(section: &Section) -> String {
    match &*section.header {
        "[[peer]]" => " (session ends)".to_owned(),
        "[[peer-range]]" => " (its sessions end)".to_owned(),
        "[[bmp]]" => " (its connection ends)".to_owned(),
        "[[originate]]" | "[[static]]" => " (withdrawn)".to_owned(),
        "[api.tls]" | "[metrics]" => format!(" ({RESTART})"),
        _ => String::new(),
    }
}
