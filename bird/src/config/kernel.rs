//! `protocol kernel`: what of the table the kernel gets.

use std::collections::{BTreeMap, BTreeSet};

use super::Context;
use super::routes::Route;
use super::session::filter;
use crate::ast::{Entry, Protocol};
use crate::flow::{Facts, Filter, Sets, Then, Way};
use crate::lexer::Place;
use crate::parse::{Cursor, entries};

/// The metric that BIRD gives routes of its own accord: not carried over.
const BIRDS_METRIC: i64 = 32;
/// Paths of a route if `merge paths` does not say how many.
const MERGED: i64 = 16;
/// Most that windrose takes.
const MERGED_MAX: i64 = 128;

/// All kernel protocols together.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    /// Export filters, by family.
    export: BTreeMap<bool, (Filter, Place)>,
    pub(crate) persist: bool,
    pub(crate) table: Option<i64>,
    pub(crate) metric: Option<i64>,
    /// How many paths share traffic.
    pub(crate) merged: Option<i64>,
    /// The same, by family.
    merging: BTreeMap<bool, i64>,
    /// Whether any route of BGP is installed.
    pub(crate) install: bool,
    /// Preferred sources, as TOML.
    pub(crate) prefsrc: Vec<String>,
}

/// Reads all kernel protocols.
pub(crate) fn read(context: &mut Context<'_>) -> Kernel {
    let conf = context.world.conf;
    let mut kernel = Kernel::default();
    for protocol in conf
        .protocols
        .iter()
        .filter(|p| !p.template && p.kind == "kernel")
    {
        kernel.read(context, protocol);
    }
    kernel.judge(context);
    kernel
}

impl Kernel {
    fn read(&mut self, context: &mut Context<'_>, protocol: &Protocol) {
        let entries = context.body(protocol);
        // BIRD 1 has a daemon for each family, and no channels.
        let channels = entries.iter().filter_map(|(_, entry)| family(entry));
        let families: Vec<bool> = channels.collect();
        let both = if families.is_empty() {
            vec![false, true]
        } else {
            families
        };
        for (_, entry) in entries {
            let mut cursor = Cursor::new(&entry.tokens, entry.place);
            if !self.statement(context, &both, &mut cursor, &entry) {
                context.lose_entry(&entry);
            }
        }
    }

    /// A statement of the protocol or of its channel; `false` if it has no translation.
    fn statement(
        &mut self,
        context: &mut Context<'_>,
        families: &[bool],
        cursor: &mut Cursor<'_>,
        entry: &Entry,
    ) -> bool {
        if let Some(six) = family(entry) {
            self.channel(context, six, cursor);
            return true;
        }
        let place = entry.place;
        match cursor.word().unwrap_or_default() {
            "export" => match filter(cursor, place) {
                Some(filter) => {
                    for six in families {
                        self.two_tables(context, *six, place);
                        self.export.insert(*six, (filter.clone(), place));
                    }
                    true
                }
                None => false,
            },
            "import" => filter(cursor, place).is_some() || cursor.eat("keep"),
            "persist" => {
                self.persist = context.switch(cursor);
                true
            }
            "learn" => {
                if cursor.eat("all") || context.switch(cursor) {
                    context.lose(
                        place,
                        "`learn`: routes of others in the kernel are not told to peers",
                    );
                }
                true
            }
            "kernel" if cursor.eat("table") => {
                let table = context.number(cursor);
                if self.table.is_some() && self.table != table {
                    context.lose(place, "a second table of the kernel");
                } else {
                    self.table = table;
                }
                table.is_some()
            }
            "metric" => {
                self.metric = context
                    .number(cursor)
                    .filter(|metric| *metric != BIRDS_METRIC && *metric != 0);
                true
            }
            "merge" if cursor.eat("paths") => {
                self.merge(context, families, cursor);
                true
            }
            "table" => matches!(cursor.word(), Some("master" | "master4" | "master6")),
            "scan" | "debug" | "device" | "graceful" | "description" | "netlink" => true,
            _ => false,
        }
    }

    /// The statements of a channel.
    fn channel(&mut self, context: &mut Context<'_>, six: bool, cursor: &mut Cursor<'_>) {
        cursor.next();
        let inside = match cursor.peek_sign() {
            Some("{") => cursor.braced().and_then(entries_of).unwrap_or_default(),
            Some(_) | None => Vec::new(),
        };
        for entry in inside {
            let mut cursor = Cursor::new(&entry.tokens, entry.place);
            if !self.statement(context, &[six], &mut cursor, &entry) {
                context.lose_entry(&entry);
            }
        }
    }

    /// `merge paths on limit N`.
    fn merge(&mut self, context: &Context<'_>, families: &[bool], cursor: &mut Cursor<'_>) {
        let off = ["off", "no", "false"].iter().any(|word| cursor.eat(word));
        let words = ["on", "yes", "true", "limit"];
        while words.iter().any(|word| cursor.eat(word)) {}
        if !off {
            let limit = context
                .number(cursor)
                .unwrap_or(MERGED)
                .clamp(1, MERGED_MAX);
            self.merged = Some(self.merged.map_or(limit, |merged| merged.max(limit)));
            self.merging
                .extend(families.iter().map(|six| (*six, limit)));
        }
    }

    fn two_tables(&self, context: &mut Context<'_>, six: bool, place: Place) {
        if self.export.contains_key(&six) {
            context.lose(place, "a second `protocol kernel` of this family: its filter takes the place of the first one's");
        }
    }

    /// What export filters do to routes of BGP.
    fn judge(&mut self, context: &mut Context<'_>) {
        let export = self.export.clone();
        let limits = export.keys().map(|six| self.merging.get(six).copied());
        let limits: BTreeSet<Option<i64>> = limits.collect();
        if let (true, Some((_, place))) = (limits.len() > 1, export.values().next()) {
            let what = "`merge paths` differs between families: windrose has `multipath` for both";
            context.lose(*place, what);
        }
        for (six, (filter, place)) in &export {
            let facts = Facts {
                six: *six,
                way: Way::Kernel,
                net: None,
                source: Some("RTS_BGP"),
                proto: None,
                from: None,
            };
            let draft = context.translate(filter, *place, &facts);
            let only = draft.policies.first().filter(|_| draft.policies.len() == 1);
            let sets = only.and_then(|policy| match policy.rules.as_slice() {
                [] => Some((policy.default == Some(true), Sets::default())),
                [rule] if rule.cond.is_empty() && rule.then == Then::Decide(true) => {
                    Some((true, rule.sets.clone()))
                }
                [_, ..] => None,
            });
            match sets {
                Some((install, sets)) => {
                    self.install |= install;
                    self.take(context, &sets, *place);
                }
                None => {
                    self.install = true;
                    let what = "`export`: windrose installs all best routes, in one way; this filter makes differences";
                    context.lose(*place, what);
                }
            }
        }
    }

    fn take(&mut self, context: &mut Context<'_>, sets: &Sets, place: Place) {
        for (key, value) in &sets.kernel {
            match *key {
                "prefsrc" if !self.prefsrc.contains(value) => self.prefsrc.push(value.clone()),
                "metric" => {
                    let metric = value.parse().ok();
                    if self.metric.is_some() && self.metric != metric {
                        context.lose(
                            place,
                            "`krt_metric`: windrose has one metric for both families",
                        );
                    }
                    self.metric = metric.filter(|metric| *metric != BIRDS_METRIC);
                }
                _ => {}
            }
        }
        let other = Sets {
            kernel: BTreeMap::new(),
            ..sets.clone()
        };
        if !other.is_empty() {
            context.note(
                place,
                "attributes of BGP that are set for the kernel do nothing there",
            );
        }
    }

    /// Whether the kernel gets a static route.
    pub(crate) fn takes(&self, context: &mut Context<'_>, route: &Route) -> bool {
        let Some((filter, place)) = self.export.get(&route.prefix.addr().is_ipv6()) else {
            return false;
        };
        let draft = context.translate(filter, *place, &route.facts(Way::Kernel));
        draft.foregone().unwrap_or(true)
    }
}

fn family(entry: &Entry) -> Option<bool> {
    let cursor = Cursor::new(&entry.tokens, entry.place);
    match cursor.peek_word() {
        Some("ipv4") => Some(false),
        Some("ipv6") => Some(true),
        Some(_) | None => None,
    }
}

fn entries_of(tokens: &[crate::lexer::Token]) -> Result<Vec<Entry>, crate::Mistake> {
    entries(tokens)
}
