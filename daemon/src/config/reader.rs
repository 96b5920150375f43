//! Reads a table of the tree key by key, reports what is wrong with each, and what was never asked for.

use std::cell::RefCell;

use super::report::{Report, closest};
use super::tree::{At, Node, Table, Value};

/// Most keys that are listed when none of them resembles an unknown one.
const KEYS_LISTED: usize = 12;

/// Why a value cannot be taken, and what to write instead.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) instead: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            instead: instead.into(),
        }
    }

    /// A value of the wrong type.
    pub(super) fn kind(node: &Node, expected: &str, instead: impl Into<String>) -> Self {
        Self::new(
            format!("{expected} is expected, this is {}", node.kind()),
            instead,
        )
    }
}

/// See the module. [`Reader::finish`] must come last.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// The table.
    pub(super) table: &'a Table,
    /// Where it is.
    pub(super) at: At,
    /// Where mistakes go.
    pub(super) report: &'a Report,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a Table, at: At, report: &'a Report) -> Self {
        Self {
            table,
            at,
            report,
            asked: RefCell::default(),
        }
    }

    /// The value of `key` as it is.
    pub(super) fn node(&self, key: &'static str) -> Option<&'a Node> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.table.get(key).map(|(_, node)| node)
    }

    /// Where the value of `key` is, or else the table.
    pub(super) fn at(&self, key: &str) -> At {
        self.table
            .get(key)
            .map_or(&self.at, |(_, node)| &node.at)
            .clone()
    }

    /// Something is wrong with the value of `key`.
    pub(super) fn error(&self, key: &str, what: &str, instead: &str) {
        self.report.error(self.at(key), what, instead);
    }

    /// The value of `key`, if it is there and right.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        self.take(self.node(key)?, parse)
    }

    /// The value of `key`, which must be there.
    pub(super) fn require<T>(
        &self,
        key: &'static str,
        instead: &str,
        parse: impl Fn(&Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.report.missing(&self.at, key, instead);
        }
        self.read(key, parse)
    }

    /// A value, if it is right.
    pub(super) fn take<T>(
        &self,
        node: &Node,
        parse: impl Fn(&Node) -> Result<T, Wrong>,
    ) -> Option<T> {
        parse(node)
            .map_err(|wrong| {
                self.report
                    .error(node.at.clone(), &wrong.what, &wrong.instead)
            })
            .ok()
    }

    /// The items of the list at `key` that are right.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&Node) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let items = self.items(key)?;
        Some(
            items
                .iter()
                .filter_map(|item| self.take(item, &parse))
                .collect(),
        )
    }

    /// The items of the list at `key` as they are.
    pub(super) fn items(&self, key: &'static str) -> Option<&'a [Node]> {
        let node = self.node(key)?;
        match &node.value {
            Value::List(items) => Some(items),
            Value::Text(text) => {
                let wrong = Wrong::kind(node, "a list", format!("write `[{text:?}]`"));
                self.report
                    .error(node.at.clone(), &wrong.what, &wrong.instead);
                None
            }
            Value::Number(_) | Value::Flag(_) | Value::Table(_) | Value::Other(_) => {
                let wrong = Wrong::kind(node, "a list", "write values between `[` and `]`");
                self.report
                    .error(node.at.clone(), &wrong.what, &wrong.instead);
                None
            }
        }
    }

    /// The table at `key`.
    pub(super) fn table(&self, key: &'static str) -> Option<Self> {
        let node = self.node(key)?;
        self.table_of(node, &format!("write `[{key}]`, or `{{ … }}` after `=`"))
    }

    /// A node that must be a table.
    pub(super) fn table_of(&self, node: &'a Node, instead: &str) -> Option<Self> {
        if let Value::Table(table) = &node.value {
            return Some(Self::new(table, node.at.clone(), self.report));
        }
        let wrong = Wrong::kind(node, "a table", instead);
        self.report
            .error(node.at.clone(), &wrong.what, &wrong.instead);
        None
    }

    /// The tables under `[[key]]`.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Self> {
        let instead = format!("write `[[{key}]]` above its keys, once for each");
        match self.node(key) {
            None => Vec::new(),
            Some(Node {
                value: Value::List(items),
                ..
            }) => items
                .iter()
                .filter_map(|item| self.table_of(item, &instead))
                .collect(),
            Some(node) => {
                let wrong = Wrong::kind(node, "a list of tables", instead);
                self.report
                    .error(node.at.clone(), &wrong.what, &wrong.instead);
                Vec::new()
            }
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, (at, _)) in self.table {
            if asked.contains(&key.as_str()) {
                continue;
            }
            let instead = match closest(key, asked.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None if asked.len() > KEYS_LISTED => "no such key here: take it out".to_owned(),
                None => format!("there are {}", names(asked.iter().copied())),
            };
            match at {
                // A typing error in the environment must not keep a gateway down.
                At::Variable(_) => self.report.warn(at.clone(), "no such variable", &instead),
                At::File(..) | At::Added(..) => {
                    self.report
                        .error(at.clone(), &format!("unknown key `{key}`"), &instead)
                }
            }
        }
    }
}

/// "`a`, `b`".
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
