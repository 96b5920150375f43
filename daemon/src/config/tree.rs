//! The file as a tree in which everything knows where it is written, with the environment laid over it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ::config::{Environment, Source};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::report::Report;

/// What variables that override the file begin with.
const PREFIX: &str = "WINDROSE";
/// Stands between the parts of a variable's name.
const SEPARATOR: &str = "__";
/// Variables of the same prefix that others read.
const FOREIGN: [&str; 1] = ["WINDROSE_API"];

/// Where something is written.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum At {
    /// From this octet of the file to that.
    File(usize, usize),
    /// Likewise, of a peer's own text.
    Added(Arc<Added>, usize, usize),
    /// In this environment variable.
    Variable(String),
}

impl At {
    const fn file(span: &Range<usize>) -> Self {
        Self::File(span.start, span.end)
    }
}

/// The keys and values of a peer that is not in the file: it was added over the API.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Added {
    /// What its places are called in reports.
    pub(crate) source: String,
    /// TOML, as under `[[peer]]`; a password may be in it.
    pub(crate) text: String,
}

impl fmt::Debug for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Added({})", self.source)
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

/// What TOML knows, as far as a configuration has use for it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    List(Vec<Node>),
    Table(Table),
    /// Nothing that any key takes; in words.
    Other(&'static str),
}

/// Keys, each with its place, and their values.
pub(super) type Table = BTreeMap<String, (At, Node)>;

impl Node {
    /// What it is, in words.
    pub(super) const fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a text",
            Value::Number(_) => "a number",
            Value::Flag(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(what) => what,
        }
    }
}

/// Reads a file as far as it can be read; what cannot is reported.
pub(super) fn parse(text: &str, report: &Report) -> Table {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        report.broken(At::file(&span), error.message());
    }
    table(root.into_inner(), &At::file)
}

/// Adds the peers that were added over the API to those of the file.
pub(super) fn add_peers(root: &mut Table, added: &[Arc<Added>], report: &Report) {
    for peer in added {
        let place = |span: &Range<usize>| At::Added(Arc::clone(peer), span.start, span.end);
        let (keys, errors) = DeTable::parse_recoverable(&peer.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            report.broken(place(&span), error.message());
        }
        let whole = place(&(0..0));
        let node = |value| Node {
            at: whole.clone(),
            value,
        };
        let list = || (whole.clone(), node(Value::List(Vec::new())));
        let (_, peers) = root.entry("peer".to_owned()).or_insert_with(list);
        // Of a file whose peers are no list, that is said.
        if let Value::List(peers) = &mut peers.value {
            peers.push(node(Value::Table(table(keys.into_inner(), &place))));
        }
    }
}

fn table(entries: DeTable<'_>, place: &dyn Fn(&Range<usize>) -> At) -> Table {
    let entry = |(key, value): (Spanned<_>, _)| {
        let at = place(&key.span());
        (
            std::borrow::Cow::into_owned(key.into_inner()),
            (at, node(value, place)),
        )
    };
    entries.into_iter().map(entry).collect()
}

fn node(value: Spanned<DeValue<'_>>, place: &dyn Fn(&Range<usize>) -> At) -> Node {
    let at = place(&value.span());
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => integer(&number),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| node(item, place)).collect())
        }
        DeValue::Table(entries) => Value::Table(table(entries, place)),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Node { at, value }
}

fn integer(number: &DeInteger<'_>) -> Value {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or(Value::Other("a number beyond all bounds"), Value::Number)
}

/// The variables of this process's environment that may be meant for us.
pub(crate) fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    };
    std::env::vars_os()
        .filter_map(text)
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// Lays variables such as `WINDROSE__ROUTER__ASN=65001` over the file.
pub(super) fn overlay(root: &mut Table, environment: &[(String, String)], report: &Report) {
    for (name, _) in environment {
        let ours = name.starts_with(&format!("{PREFIX}{SEPARATOR}"));
        if !ours && name.starts_with("WINDROSE_") && !FOREIGN.contains(&name.as_str()) {
            let instead = "write `WINDROSE__SECTION__KEY`, as in `WINDROSE__ROUTER__ASN`";
            report.warn(At::Variable(name.clone()), "no such variable", instead);
        }
    }
    let source = Environment::with_prefix(PREFIX)
        .separator(SEPARATOR)
        .source(Some(environment.iter().cloned().collect()));
    // It fails on what is not Unicode, which the variables here are.
    let layer = source.collect().unwrap_or_default();
    let layer: BTreeMap<_, _> = layer.into_iter().collect();
    for (path, value) in layer {
        let variable = format!(
            "{PREFIX}{SEPARATOR}{}",
            path.replace('.', SEPARATOR).to_uppercase()
        );
        let path: Vec<String> = path.split('.').map(|key| key.replace('_', "-")).collect();
        put(
            root,
            &path,
            &At::Variable(variable),
            &value.to_string(),
            report,
        );
    }
}

fn put(mut into: &mut Table, path: &[String], at: &At, value: &str, report: &Report) {
    let Some((last, sections)) = path.split_last() else {
        return;
    };
    for section in sections {
        let empty = || {
            (
                at.clone(),
                Node {
                    at: at.clone(),
                    value: Value::Table(Table::new()),
                },
            )
        };
        let (_, entry) = into.entry(section.clone()).or_insert_with(empty);
        let kind = entry.kind();
        let Value::Table(table) = &mut entry.value else {
            let what = format!("`{section}` is {kind}, which no variable can override");
            report.warn(at.clone(), &what, "write it into the file");
            return;
        };
        into = table;
    }
    let place = |_: &Range<usize>| at.clone();
    let parsed = DeValue::parse(value).map(|value| node(value, &place));
    let literal = || Node {
        at: at.clone(),
        value: Value::Text(value.to_owned()),
    };
    let value = parsed
        .ok()
        .filter(|node| !matches!(node.value, Value::Other(_)))
        .unwrap_or_else(literal);
    into.insert(last.clone(), (at.clone(), value));
}
