//! `protocol kernel`: what of the table the kernel gets, and what of the kernel the table gets.

use std::collections::{BTreeMap, BTreeSet};

use super::Context;
use super::book::{Book, by_family, rule};
use super::routes::Route;
use super::session::{Session, filter};
use crate::ast::{Entry, Protocol};
use crate::flow::{Cond, Draft, Facts, Filter, Rule, Sets, Then, Way};
use crate::lexer::Place;
use crate::parse::{Cursor, entries};

/// The metric that BIRD gives routes of its own accord: not carried over.
const BIRDS_METRIC: i64 = 32;
/// The kernel's main table, which is the default of both.
const MAIN: i64 = 254;
/// Paths of a route if `merge paths` does not say how many.
const MERGED: i64 = 16;
/// Most that windrose takes.
const MERGED_MAX: i64 = 128;
/// The keys of `[fib]` that its policy may set, which both families have in common else.
const PLACES: [&str; 2] = ["table", "metric"];

/// Keys of `[fib]` and their values as TOML: `table`, `metric`, `prefsrc`.
type Placed = BTreeMap<&'static str, String>;

/// All kernel protocols together.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    halves: BTreeMap<bool, Half>,
    pub(crate) persist: bool,
    /// How many paths share traffic.
    pub(crate) merged: Option<i64>,
    /// Whether any route of BGP, or a static one, is installed.
    pub(crate) install: bool,
    /// The keys of `[fib]` that are alike for all routes.
    pub(crate) keys: Placed,
    /// The policy that makes differences.
    pub(crate) policy: Option<String>,
}

/// What concerns a family.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) six: bool,
    /// The protocol that was read last.
    pub(crate) name: String,
    export: Option<(Filter, Place)>,
    pub(crate) import: Option<(Filter, Place)>,
    /// Where it says that routes of others are taken.
    pub(crate) learn: Option<Place>,
    pub(crate) table: Option<i64>,
    /// `metric`: 0 leaves it to `krt_metric`.
    metric: Option<i64>,
    merged: Option<i64>,
    /// What installed static routes get; `None`: that is not known beforehand.
    statics: Vec<Option<Placed>>,
}

/// What a family's filter does, if it does it to all routes of BGP.
struct Plain {
    install: bool,
    placed: Placed,
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
    kernel
}

impl Kernel {
    fn read(&mut self, context: &mut Context<'_>, protocol: &Protocol) {
        let entries = context.body(protocol);
        if entries.iter().any(|(_, entry)| context.is_disabled(entry)) {
            return;
        }
        // BIRD 1 has a daemon for each family, and no channels.
        let channels = entries.iter().filter_map(|(_, entry)| family(entry));
        let families: Vec<bool> = channels.collect();
        let both = if families.is_empty() {
            vec![false, true]
        } else {
            families
        };
        self.each(&both, |half| half.name.clone_from(&protocol.name));
        for (_, entry) in entries {
            let mut cursor = Cursor::new(&entry.tokens, entry.place);
            if !self.statement(context, &both, &mut cursor, &entry) {
                context.lose_entry(&entry);
            }
        }
    }

    fn half(&mut self, six: bool) -> &mut Half {
        let half = self.halves.entry(six).or_default();
        half.six = six;
        half
    }

    /// What a family's protocol says.
    pub(crate) fn of(&self, six: bool) -> Option<&Half> {
        self.halves.get(&six)
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
                        self.half(*six).export = Some((filter.clone(), place));
                    }
                    true
                }
                None => false,
            },
            "import" => match filter(cursor, place) {
                Some(filter) => {
                    for six in families {
                        self.half(*six).import = Some((filter.clone(), place));
                    }
                    true
                }
                None => cursor.eat("keep"),
            },
            "persist" => {
                self.persist = context.switch(cursor);
                true
            }
            "learn" => {
                let learn = (cursor.eat("all") || context.switch(cursor)).then_some(place);
                self.each(families, |half| half.learn = learn);
                true
            }
            "kernel" if cursor.eat("table") => {
                let table = context.number(cursor);
                self.each(families, |half| half.table = table);
                table.is_some()
            }
            "metric" => {
                let metric = context.number(cursor);
                self.each(families, |half| half.metric = metric);
                metric.is_some()
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

    fn each(&mut self, families: &[bool], change: impl Fn(&mut Half)) {
        families.iter().for_each(|six| change(self.half(*six)));
    }

    /// The statements of a channel.
    fn channel(&mut self, context: &mut Context<'_>, six: bool, cursor: &mut Cursor<'_>) {
        cursor.next();
        let inside = match cursor.peek_sign() {
            Some("{") => cursor.braced().and_then(entries).unwrap_or_default(),
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
            self.each(families, |half| half.merged = Some(limit));
        }
    }

    fn two_tables(&self, context: &mut Context<'_>, six: bool, place: Place) {
        if self.of(six).is_some_and(|half| half.export.is_some()) {
            context.lose(place, "a second `protocol kernel` of this family: its filter takes the place of the first one's");
        }
    }

    /// Whether the kernel gets a static route. How is kept in mind.
    pub(crate) fn takes(&mut self, context: &mut Context<'_>, route: &Route) -> bool {
        let six = route.prefix.addr().is_ipv6();
        let Some(half) = self.halves.get_mut(&six) else {
            return false;
        };
        let Some((filter, place)) = half.export.clone() else {
            return false;
        };
        let draft = half.translate(context, &filter, place, &route.facts(Way::Kernel));
        let plain = half.plain(&draft);
        let install = plain.as_ref().is_none_or(|plain| plain.install);
        if install {
            half.statics.push(plain.map(|plain| plain.placed));
        }
        install
    }

    /// Decides, once all sessions and static routes are known, what `[fib]` says; a policy where keys do not do.
    pub(crate) fn settle(
        &mut self,
        context: &mut Context<'_>,
        sessions: &[Session],
        routes: &[Route],
        book: &mut Book,
    ) {
        let channels = sessions.iter().flat_map(|session| session.channels.keys());
        let statics = routes.iter().map(|route| route.prefix.addr().is_ipv6());
        let mut used: BTreeSet<bool> = channels.copied().chain(statics).collect();
        if used.is_empty() {
            used = self.halves.keys().copied().collect();
        }
        self.merges(context);
        let mut plain = BTreeMap::new();
        for six in &used {
            plain.insert(*six, self.half(*six).of_bgp(context, *six));
        }
        let all_plain: Option<Vec<&Plain>> = plain.values().map(Option::as_ref).collect();
        let alike = all_plain.as_ref().filter(|all| self.are_alike(&used, all));
        match alike {
            Some(all) => {
                self.install = all.iter().any(|plain| plain.install);
                let mut sources = Vec::new();
                for plain in all {
                    sources.extend(plain.placed.get("prefsrc").cloned());
                    self.keys.extend(plain.placed.clone());
                }
                if sources.len() > 1 {
                    let sources = format!("[{}]", sources.join(", "));
                    self.keys.insert("prefsrc", sources);
                }
            }
            None => self.differing(context, &used, book),
        }
    }

    /// Whether all that is installed, of both families, is installed in one way.
    fn are_alike(&self, used: &BTreeSet<bool>, all: &[&Plain]) -> bool {
        let first = all.first();
        let same = all.iter().all(|plain| {
            first.is_some_and(|first| {
                let place = |key| plain.placed.get(key) == first.placed.get(key);
                plain.install == first.install && PLACES.into_iter().all(place)
            })
        });
        let halves = used.iter().filter_map(|six| self.of(*six));
        let statics = halves.zip(all).all(|(half, plain)| {
            let as_bgp = |placed: &Option<Placed>| {
                plain.install
                    && placed
                        .as_ref()
                        .is_some_and(|placed| *placed == plain.placed)
            };
            half.statics.iter().all(as_bgp)
        });
        same && statics
    }

    /// Writes the policy of `[fib]`.
    fn differing(&mut self, context: &mut Context<'_>, used: &BTreeSet<bool>, book: &mut Book) {
        self.install = true;
        let halves = || used.iter().filter_map(|six| self.of(*six));
        let bases: Vec<Placed> = halves().map(Half::base).collect();
        let common = bases.iter().all(|base| Some(base) == bases.first());
        let (mut drafts, mut at) = (Vec::new(), Place::default());
        for (six, base) in used.iter().zip(&bases) {
            let half = self.halves.entry(*six).or_default();
            let (filter, place) = half.export.clone().unwrap_or((Filter::None, at));
            at = place;
            let mut draft = half.translate(context, &filter, place, &facts(*six, None));
            if !common
                && !base.is_empty()
                && let Some(first) = draft.policies.first_mut()
            {
                let sets = Sets {
                    kernel: base.clone(),
                    ..Sets::default()
                };
                let set = rule(Cond::default(), sets, Then::Next, place);
                first.rules.insert(0, set);
            }
            context.world.asked.borrow_mut().extend(draft.protocols());
            drafts.push((*six, draft));
        }
        if let (true, Some(base)) = (common, bases.first()) {
            self.keys = base.clone();
        }
        let draft = match drafts.as_slice() {
            [(_, only)] => only.clone(),
            [] | [_, ..] => by_family(&drafts, at),
        };
        self.policy = Some(book.add("to-kernel", &draft, at));
    }

    fn merges(&self, context: &mut Context<'_>) {
        let halves = self.halves.values().filter(|half| half.export.is_some());
        let limits: BTreeSet<Option<i64>> = halves.clone().map(|half| half.merged).collect();
        let place = halves
            .filter_map(|half| half.export.as_ref())
            .map(|(_, place)| *place)
            .next();
        if let (true, Some(place)) = (limits.len() > 1, place) {
            let what = "`merge paths` differs between families: windrose has `multipath` for both";
            context.lose(place, what);
        }
    }
}

impl Half {
    /// What its filter does to routes of BGP; `None` if it makes differences.
    fn of_bgp(&self, context: &mut Context<'_>, six: bool) -> Option<Plain> {
        let Some((filter, place)) = &self.export else {
            // BIRD's default.
            let (install, placed) = (false, Placed::new());
            return Some(Plain { install, placed });
        };
        let draft = self.translate(context, filter, *place, &facts(six, Some("RTS_BGP")));
        let plain = self.plain(&draft);
        let sets = draft.policies.iter().flat_map(|policy| &policy.rules);
        if plain.is_some() && sets.map(|rule| &rule.sets).any(Sets::is_for_peers) {
            let what = "attributes of BGP that are set for the kernel do nothing there";
            context.note(*place, what);
        }
        plain
    }

    /// The rules of its filter, as far as they mean something to the kernel.
    fn translate(
        &self,
        context: &mut Context<'_>,
        filter: &Filter,
        place: Place,
        facts: &Facts,
    ) -> Draft {
        let mut draft = context.translate(filter, place, facts);
        if self.metric != Some(0) {
            for policy in &mut draft.policies {
                for rule in &mut policy.rules {
                    if rule.sets.kernel.remove("metric").is_some() {
                        let what = "`krt_metric`: BIRD looks at it under `metric 0` alone";
                        context.note(rule.place, what);
                    }
                }
                let does = |rule: &Rule| rule.then != Then::Next || !rule.sets.is_empty();
                policy.rules.retain(does);
            }
        }
        draft
    }

    /// What is done to all routes, if it is the same.
    fn plain(&self, draft: &Draft) -> Option<Plain> {
        let only = draft.policies.first().filter(|_| draft.policies.len() == 1);
        let (install, mut placed) = only.and_then(|policy| match policy.rules.as_slice() {
            [] => Some((policy.default == Some(true), Placed::new())),
            [rule] if rule.cond.is_empty() && rule.then == Then::Decide(true) => {
                Some((true, rule.sets.kernel.clone()))
            }
            [_, ..] => None,
        })?;
        if install {
            for (key, value) in self.base() {
                placed.entry(key).or_insert(value);
            }
        }
        Some(Plain { install, placed })
    }

    /// Where its routes are, if its filter says nothing of it.
    fn base(&self) -> Placed {
        let metric = self
            .metric
            .filter(|metric| ![0, BIRDS_METRIC].contains(metric));
        let table = self.table.filter(|table| *table != MAIN);
        let all = [("table", table), ("metric", metric)];
        let known = all
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        known.map(|(key, value)| (key, value.to_string())).collect()
    }
}

fn facts(six: bool, source: Option<&'static str>) -> Facts {
    Facts {
        six,
        way: Way::Kernel,
        net: None,
        source,
        proto: None,
        from: None,
    }
}

/// The family of a channel.
pub(crate) fn family(entry: &Entry) -> Option<bool> {
    let cursor = Cursor::new(&entry.tokens, entry.place);
    match cursor.peek_word() {
        Some("ipv4") => Some(false),
        Some("ipv6") => Some(true),
        Some(_) | None => None,
    }
}
