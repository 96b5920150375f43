//! `[sets]` and `[[policy]]`: their form. What the texts in them mean is the policy engine's to judge.

use std::collections::BTreeMap;

use rib::policy::{
    Action, AsPathConfig, CommunitiesConfig, MAX_PREPEND, MatchConfig, Policies, PolicyConfig,
    PrependConfig, RuleConfig, SetConfig, SetsConfig, Then,
};

use super::options::{self, Names};
use super::reader::{Reader, Wrong};
use super::tree::{At, Node, Table, Value};
use super::values::{self, Parsed, explained, number, text};

/// Policies that are always there.
const BUILT_IN: [&str; 2] = ["accept", "reject"];
/// Keys of `set` that mean something to `[fib] policy` alone.
const PLACEMENT: [&str; 3] = ["table", "metric", "prefsrc"];
/// How deep `not` may stand in `not`.
const NOT_DEPTH_MAX: usize = 8;
/// How often an AS number may be prepended.
const PREPEND_MAX: i64 = MAX_PREPEND as i64;

/// The names of all policies, those built in first.
pub(super) fn names(root: &Reader<'_>) -> Vec<String> {
    let mut names: Vec<String> = BUILT_IN.map(str::to_owned).into();
    for policy in root.tables("policy") {
        names.extend(policy.require("name", "write `name = \"from-nodes\"`", values::name));
    }
    names
}

/// Policies that say where in the kernel routes are, each with the key by which one of its rules does.
pub(super) fn placing(root: &Reader<'_>) -> BTreeMap<String, &'static str> {
    let mut placing = BTreeMap::new();
    for policy in root.tables("policy") {
        let rules = policy.tables("rule");
        let sets = rules.iter().filter_map(|rule| rule.table("set"));
        let key = |set: Reader<'_>| PLACEMENT.into_iter().find(|key| set.node(key).is_some());
        let name = policy.read("name", values::name);
        placing.extend(name.zip(sets.filter_map(key).next()));
    }
    placing
}

/// `[sets]`.
pub(super) fn sets(root: &Reader<'_>) -> SetsConfig {
    let Some(sets) = root.table("sets") else {
        return SetsConfig::default();
    };
    let all = SetsConfig {
        prefixes: set(&sets, "prefixes"),
        as_paths: set(&sets, "as-paths"),
        communities: set(&sets, "communities"),
        large_communities: set(&sets, "large-communities"),
        ext_communities: set(&sets, "ext-communities"),
    };
    sets.finish();
    all
}

fn set(sets: &Reader<'_>, kind: &'static str) -> BTreeMap<String, Vec<String>> {
    let Some(named) = sets.table(kind) else {
        return BTreeMap::new();
    };
    let items = |(name, (_, node)): (&String, &_)| (name.clone(), texts_of(&named, node));
    named.table.iter().map(items).collect()
}

/// `[[policy]]`.
pub(super) fn policies(root: &Reader<'_>, known: &Names) -> Vec<PolicyConfig> {
    let policy = |(i, reader): (usize, Reader<'_>)| {
        let nameless = || format!("(nameless {i})");
        let name = reader.read("name", values::name).unwrap_or_else(nameless);
        let default = reader.read("default", explained::<Action>);
        let rules = reader
            .tables("rule")
            .iter()
            .map(|rule| self::rule(rule, known))
            .collect();
        reader.finish();
        PolicyConfig {
            name,
            default,
            rules,
        }
    };
    root.tables("policy")
        .into_iter()
        .enumerate()
        .map(policy)
        .collect()
}

/// Has the policy engine judge what the texts mean.
pub(super) fn judge(root: &Reader<'_>, sets: &SetsConfig, policies: &[PolicyConfig]) {
    for error in Policies::compile(sets, policies).err().unwrap_or_default() {
        let (what, instead) = error
            .message
            .split_once(": ")
            .unwrap_or((&error.message, "correct it"));
        let at = find(root.table, &error.path).unwrap_or(&root.at);
        root.report.error(at.clone(), what, instead);
    }
}

/// Where `policy[2].rule[0].match.as-path[0]` is, or the last of its parts that is written at all.
fn find<'a>(table: &'a Table, path: &str) -> Option<&'a At> {
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
    let key = table.iter().filter_map(|(key, (_, node))| {
        let rest = path.strip_prefix(key.as_str())?;
        ends(rest).then_some((node, rest))
    });
    // A name of the operator's choice may hold dots: the longest that fits is meant.
    let (mut node, mut rest) = key.min_by_key(|(_, rest)| rest.len())?;
    while let (Value::List(items), Some(tail)) = (&node.value, rest.strip_prefix('[')) {
        let (index, after) = tail.split_once(']')?;
        node = items.get(index.parse::<usize>().ok()?)?;
        rest = after;
    }
    match (&node.value, rest.strip_prefix('.')) {
        (Value::Table(inner), Some(tail)) => find(inner, tail).or(Some(&node.at)),
        (_, _) => Some(&node.at),
    }
}

fn rule(reader: &Reader<'_>, known: &Names) -> RuleConfig {
    let rule = RuleConfig {
        matches: reader
            .table("match")
            .map(|table| matches(&table, 0))
            .unwrap_or_default(),
        set: reader
            .table("set")
            .map(|table| set_clause(&table))
            .unwrap_or_default(),
        then: then(reader, known),
    };
    reader.finish();
    rule
}

fn then(reader: &Reader<'_>, known: &Names) -> Then {
    let Some(node) = reader.node("then") else {
        return Then::Next;
    };
    // What was reported is not to look like a rule that does nothing.
    let wrong = Then::Decide(Action::Reject);
    if let Value::Table(_) = node.value {
        let Some(table) = reader.table("then") else {
            return Then::Next;
        };
        let policy = table.require("policy", "write `{ policy = \"NAME\" }`", |node| {
            options::policy(node, known)
        });
        table.finish();
        return policy.map_or(wrong, Then::Policy);
    }
    reader.read("then", explained::<Then>).unwrap_or(wrong)
}

fn matches(reader: &Reader<'_>, depth: usize) -> MatchConfig {
    let not = reader.table("not").filter(|_| {
        let deep = depth >= NOT_DEPTH_MAX;
        if deep {
            reader.error("not", "`not` in `not` too often", "write fewer of them");
        }
        !deep
    });
    let matches = MatchConfig {
        prefixes: texts(reader, "prefixes"),
        length: texts(reader, "length"),
        as_path: texts(reader, "as-path"),
        as_path_contains: texts(reader, "as-path-contains"),
        origin_as: texts(reader, "origin-as"),
        neighbor_as: texts(reader, "neighbor-as"),
        as_path_length: texts(reader, "as-path-length"),
        communities: texts(reader, "communities"),
        large_communities: texts(reader, "large-communities"),
        ext_communities: texts(reader, "ext-communities"),
        next_hop: texts(reader, "next-hop"),
        peer: texts(reader, "peer"),
        group: texts(reader, "group"),
        family: texts(reader, "family"),
        source: texts(reader, "source"),
        med: texts(reader, "med"),
        local_pref: texts(reader, "local-pref"),
        origin: texts(reader, "origin"),
        aigp: texts(reader, "aigp"),
        tag: texts(reader, "tag"),
        not: not.map(|not| Box::new(matches(&not, depth + 1))),
    };
    reader.finish();
    matches
}

fn set_clause(reader: &Reader<'_>) -> SetConfig {
    let set = SetConfig {
        local_pref: reader.read("local-pref", number_or_text),
        med: reader.read("med", number_or_text),
        aigp: reader.read("aigp", number_or_text),
        communities: communities(reader, "communities"),
        large_communities: communities(reader, "large-communities"),
        ext_communities: communities(reader, "ext-communities"),
        as_path: as_path(reader),
        prepend: prepend(reader),
        origin: reader.read("origin", text),
        next_hop: reader.read("next-hop", text),
        tag: reader.read("tag", values::u32_number),
        table: reader.read("table", values::u32_number),
        metric: reader.read("metric", values::u32_number),
        prefsrc: reader.read("prefsrc", text),
    };
    reader.finish();
    set
}

fn communities(reader: &Reader<'_>, key: &'static str) -> CommunitiesConfig {
    let Some(table) = reader.table(key) else {
        return CommunitiesConfig::default();
    };
    let change = CommunitiesConfig {
        replace: table.node("replace").map(|node| texts_of(&table, node)),
        remove: texts(&table, "remove"),
        add: texts(&table, "add"),
    };
    table.finish();
    change
}

fn as_path(reader: &Reader<'_>) -> AsPathConfig {
    let Some(table) = reader.table("as-path") else {
        return AsPathConfig::default();
    };
    let change = AsPathConfig {
        remove: texts(&table, "remove"),
        replace: texts(&table, "replace"),
        with: table.read("with", values::asn),
    };
    table.finish();
    change
}

fn prepend(reader: &Reader<'_>) -> Option<PrependConfig> {
    let table = reader.table("prepend")?;
    let prepend = PrependConfig {
        asn: table.read("asn", values::asn),
        count: table.read("count", number(1..=PREPEND_MAX)),
    };
    table.finish();
    Some(prepend)
}

fn texts(reader: &Reader<'_>, key: &'static str) -> Vec<String> {
    reader
        .node(key)
        .map(|node| texts_of(reader, node))
        .unwrap_or_default()
}

/// A list of texts and numbers, or just one of them.
fn texts_of(reader: &Reader<'_>, node: &Node) -> Vec<String> {
    match &node.value {
        Value::List(items) => items
            .iter()
            .filter_map(|item| reader.take(item, number_or_text))
            .collect(),
        Value::Text(_) | Value::Number(_) | Value::Flag(_) | Value::Table(_) | Value::Other(_) => {
            reader.take(node, number_or_text).into_iter().collect()
        }
    }
}

fn number_or_text(node: &Node) -> Parsed<String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Flag(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => Err(Wrong::kind(
            node,
            "a text or a number",
            "write it between quotes, as in `\"…\"`",
        )),
    }
}
