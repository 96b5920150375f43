//! Filters as rules: functions are put where they are called (`lower`), the ways through are followed with what is
//! known of variables (`explore`), and the graph of tests that is left becomes a list of rules (`emit`).

mod change;
mod emit;
mod evaluate;
mod explore;
mod graph;
mod lower;
mod matches;
mod pattern;
mod test;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::ast::{Conf, Expr, Stmt};
use crate::lexer::Place;

pub(crate) use change::Sets;
pub(crate) use emit::{Rule, Then};
pub(crate) use evaluate::Constants;
pub(crate) use matches::Cond;
pub use pattern::fits_pattern;
pub(crate) use value::Value;

/// What is known of the routes that go through a filter.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Facts {
    /// Of IPv6.
    pub(crate) six: bool,
    pub(crate) way: Way,
    /// The route's prefix, if it is one route.
    pub(crate) net: Option<IpNet>,
    /// `RTS_…`, if all have the same.
    pub(crate) source: Option<&'static str>,
    /// The protocol they come from, if all come from one.
    pub(crate) proto: Option<String>,
    /// The peer they come from.
    pub(crate) from: Option<IpAddr>,
}

/// Which way routes go.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Way {
    /// From a peer, or from another source, into the table.
    Import,
    /// To a peer.
    Export,
    /// To the kernel.
    Kernel,
}

/// A filter as a protocol uses it.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    All,
    None,
    Named(String),
    Body(Vec<Stmt>),
    Where(Expr),
}

/// A filter as rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Draft {
    /// The policy, and those it jumps to, by their places here.
    pub(crate) policies: Vec<Policy>,
    /// Tags are used to remember which branch was taken.
    pub(crate) scratch: bool,
}

/// Rules, and what happens where none decides.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Policy {
    pub(crate) rules: Vec<Rule>,
    pub(crate) default: Option<bool>,
}

/// What had no translation, and where.
pub(crate) type Lost = BTreeSet<(Place, String)>;

/// What all filters share.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) conf: &'a Conf,
    pub(crate) constants: Constants,
    /// The kind of each protocol, and the tag of its routes where a filter asks for its name.
    pub(crate) tags: BTreeMap<String, (String, u32)>,
    /// The tags that filters asked for.
    pub(crate) asked: std::cell::RefCell<BTreeSet<u32>>,
}

impl World<'_> {
    /// Translates a filter; adds to `lost` what it could not.
    pub(crate) fn translate(
        &self,
        filter: &Filter,
        place: Place,
        facts: &Facts,
        lost: &mut Lost,
    ) -> Draft {
        let program = lower::lower(self, filter, place, lost);
        let graph = explore::explore(self, &program, facts, lost);
        let graph = graph.simplified();
        emit::emit(&graph, place, lost)
    }
}

impl Draft {
    /// One that does.
    pub(crate) fn decided(accept: bool) -> Self {
        let default = Some(accept);
        let rules = Vec::new();
        Self {
            policies: vec![Policy { rules, default }],
            scratch: false,
        }
    }

    /// Whether it decides alike about every route, and changes none.
    pub(crate) fn foregone(&self) -> Option<bool> {
        match self.policies.as_slice() {
            [only] if only.rules.is_empty() => Some(only.default.unwrap_or(false)),
            [] | [_, ..] => None,
        }
    }
}
