//! `protocol direct` and `learn`: what of the kernel peers are told.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::book::{Book, by_family, rule};
use super::kernel::{self, Kernel};
use super::session::filter;
use super::{Context, patterns};
use crate::ast::{Entry, Protocol};
use crate::flow::{Cond, Draft, Facts, Filter, Sets, Then, Way, fits_pattern};
use crate::lexer::Place;
use crate::parse::{Cursor, entries};
use crate::toml::{list, text};

/// BIRD learns routes of all programs but itself; these are those that windrose knows by name.
const LEARNT: &str = r#"["babel", "boot", "dhcp", "eigrp", "isis", "keepalived", "ospf", "ra", "rip", "static", "zebra"]"#;
const NAMED: &str = "`learn`: windrose takes routes with the protocol numbers that have a name; add others to `protocols`";
/// What is said of a protocol's own tag.
const CLEARS: &str =
    "filters ask for this protocol by name, and its import filter needs the tag for itself";
/// LOCAL_PREF of learnt routes while they are in the table: BIRD prefers any route of BGP to them.
pub(crate) const LEARNT_PREF: &str = "0";

/// `[redistribute]`.
#[derive(Debug, Default)]
pub(crate) struct Redistribute {
    pub(crate) connected: Option<Source>,
    pub(crate) kernel: Option<Source>,
}

/// One of its keys, before its policy has a name.
#[derive(Debug)]
pub(crate) struct Source {
    /// The keys beside the policy.
    keys: Vec<String>,
    /// What is taken of IPv4 and of IPv6, and the protocol that takes it.
    drafts: [Option<(Draft, String)>; 2],
    /// What is done to all first.
    first: Sets,
    place: Place,
}

/// A `protocol direct`.
#[derive(Default)]
struct Direct {
    /// By family: which prefixes.
    import: Vec<(bool, Filter, Place)>,
    /// Whether there are channels at all, as in BIRD 2.
    channels: bool,
    /// Patterns of interfaces, and whether they exclude.
    patterns: Vec<(bool, String)>,
}

/// Reads all of them.
pub(crate) fn read(context: &mut Context<'_>, kernel: &Kernel) -> Redistribute {
    let conf = context.world.conf;
    let mut all = Redistribute::default();
    let direct = conf.protocols.iter();
    for protocol in direct.filter(|p| !p.template && p.kind == "direct") {
        let Some(connected) = connected(context, protocol) else {
            continue;
        };
        if all.connected.is_some() {
            let what = "a second `protocol direct`: windrose has one for all interfaces";
            context.lose(protocol.place, what);
        } else {
            all.connected = Some(connected);
        }
    }
    all.kernel = learnt(context, kernel);
    all
}

impl Redistribute {
    /// The sources that routes are from.
    pub(crate) fn sources(&self) -> Vec<&'static str> {
        let connected = self.connected.iter().map(|_| "connected");
        let kernel = self.kernel.iter().map(|_| "kernel");
        connected.chain(kernel).collect()
    }

    /// Writes it; `tags` are those of protocols that filters ask for.
    pub(crate) fn write(
        &self,
        context: &mut Context<'_>,
        book: &mut Book,
        tags: &BTreeMap<String, u32>,
        out: &mut String,
    ) {
        if self.sources().is_empty() {
            return;
        }
        out.push_str("\n[redistribute]\n");
        for (key, source) in [("connected", &self.connected), ("kernel", &self.kernel)] {
            if let Some(source) = source {
                let name = source.policy(context, key, book, tags);
                let mut keys = source.keys.clone();
                keys.push(format!("policy = {}", text(&name)));
                let at = context.show(source.place);
                let _ = writeln!(out, "{key} = {{ {} }} # {at}", keys.join(", "));
            }
        }
    }
}

impl Source {
    /// `None` if nothing is taken of either family.
    fn new(
        keys: Vec<String>,
        drafts: [Option<(Draft, String)>; 2],
        first: Sets,
        place: Place,
    ) -> Option<Self> {
        let nothing = |(draft, _): &(Draft, String)| draft.foregone() == Some(false);
        let any = drafts.iter().flatten().any(|draft| !nothing(draft));
        any.then_some(Self {
            keys,
            drafts,
            first,
            place,
        })
    }

    /// The name of its policy.
    fn policy(
        &self,
        context: &mut Context<'_>,
        key: &str,
        book: &mut Book,
        tags: &BTreeMap<String, u32>,
    ) -> String {
        let drafts = self.drafts.each_ref().map(|family| {
            let Some((draft, proto)) = family else {
                return Draft::decided(false);
            };
            let tag = tags.get(proto).copied();
            if tag.is_some() && draft.scratch {
                context.lose(self.place, CLEARS);
            }
            let mut sets = self.first.clone();
            sets.tag = tag;
            let mut draft = draft.clone();
            if !sets.is_empty()
                && draft.foregone() != Some(false)
                && let Some(top) = draft.policies.first_mut()
            {
                let set = rule(Cond::default(), sets, Then::Next, self.place);
                top.rules.insert(0, set);
            }
            draft
        });
        let [four, six] = &drafts;
        let policy = match four == six {
            true => four.clone(),
            false => by_family(&[(false, four.clone()), (true, six.clone())], self.place),
        };
        book.add(&format!("from-{key}"), &policy, self.place)
    }
}

/// What a `protocol direct` tells, if it is anything.
fn connected(context: &mut Context<'_>, protocol: &Protocol) -> Option<Source> {
    let mut direct = Direct::default();
    let body = context.body(protocol);
    if body.iter().any(|(_, entry)| context.is_disabled(entry)) {
        return None;
    }
    for (_, entry) in body {
        let mut cursor = Cursor::new(&entry.tokens, entry.place);
        if !direct.statement(context, &mut cursor, &entry) {
            context.lose_entry(&entry);
        }
    }
    // BIRD 1 has no channels, and all is told.
    if !direct.channels && !context.has_channels() {
        let families = [false, true].into_iter();
        let all = families.map(|six| (six, Filter::All, protocol.place));
        direct.import = all.collect();
    }
    let mut keys = Vec::new();
    if !direct.patterns.is_empty() {
        let interfaces = direct.interfaces(context, protocol.place)?;
        keys.push(format!("interfaces = {}", list(&interfaces)));
    }
    let of = |six: bool| direct.import.iter().find(|(of, ..)| *of == six);
    let drafts = [false, true].map(|six| {
        let (filter, place) = of(six).map(|(_, filter, place)| (filter, *place))?;
        let facts = facts(six, "RTS_DEVICE", Some(&protocol.name));
        let draft = context.translate(filter, place, &facts);
        Some((draft, protocol.name.clone()))
    });
    Source::new(keys, drafts, Sets::default(), protocol.place)
}

impl Direct {
    /// A statement; `false` if it has no translation.
    fn statement(
        &mut self,
        context: &mut Context<'_>,
        cursor: &mut Cursor<'_>,
        entry: &Entry,
    ) -> bool {
        if let Some(six) = kernel::family(entry) {
            cursor.next();
            self.channels = true;
            self.import.push((six, Filter::All, entry.place));
            let inside = match cursor.peek_sign() {
                Some("{") => cursor.braced().and_then(entries).unwrap_or_default(),
                Some(_) | None => Vec::new(),
            };
            for entry in inside {
                if !self.of_channel(&entry) {
                    context.lose_entry(&entry);
                }
            }
            return true;
        }
        match cursor.word().unwrap_or_default() {
            "interface" => match patterns(cursor) {
                Some(patterns) => {
                    self.patterns.extend(patterns);
                    cursor.is_done()
                }
                None => false,
            },
            // windrose's follow their links always.
            "debug" | "description" | "check" | "disabled" => true,
            _ => false,
        }
    }

    /// A statement of the channel read last.
    fn of_channel(&mut self, entry: &Entry) -> bool {
        let mut cursor = Cursor::new(&entry.tokens, entry.place);
        match cursor.word().unwrap_or_default() {
            "import" => match (filter(&mut cursor, entry.place), self.import.last_mut()) {
                (Some(filter), Some((_, import, place))) => {
                    (*import, *place) = (filter, entry.place);
                    true
                }
                (_, _) => false,
            },
            // Nobody tells it anything.
            "export" => true,
            "table" => matches!(cursor.word(), Some("master" | "master4" | "master6")),
            _ => false,
        }
    }

    /// Patterns as windrose has them, where what excludes goes before all others; `None` if none is left.
    fn interfaces(&self, context: &mut Context<'_>, place: Place) -> Option<Vec<String>> {
        let mut all = Vec::new();
        for (at, (excludes, pattern)) in self.patterns.iter().enumerate() {
            if !excludes {
                all.push(pattern.clone());
                continue;
            }
            let before = self.patterns.iter().take(at);
            let before: Vec<&String> = before.filter(|(no, _)| !no).map(|(_, one)| one).collect();
            // In BIRD the first that fits counts.
            if before.iter().any(|one| fits_pattern(one, pattern)) {
                continue;
            }
            if before.iter().any(|one| may_overlap(one, pattern)) {
                let what = format!(
                    "`-\"{pattern}\"` after patterns that fit the same interfaces: windrose excludes before it includes"
                );
                context.lose(place, what);
            }
            all.push(format!("!{pattern}"));
        }
        let includes = self.patterns.iter().any(|(excludes, _)| !excludes);
        includes.then_some(all)
    }
}

/// Whether a name may fit both patterns: their beginnings agree as far as both are said.
fn may_overlap(one: &str, other: &str) -> bool {
    let said = |pattern: &str| {
        let end = pattern.find(['*', '?']).unwrap_or(pattern.len());
        pattern.get(..end).unwrap_or_default().to_owned()
    };
    let (a, b) = (said(one), said(other));
    let is_whole = |pattern: &str, said: &str| pattern.len() == said.len();
    match (is_whole(one, &a), is_whole(other, &b)) {
        (true, _) => fits_pattern(other, one),
        (_, true) => fits_pattern(one, other),
        (false, false) => a.starts_with(&b) || b.starts_with(&a),
    }
}

/// What `learn` takes from the kernel, if it is anything.
fn learnt(context: &mut Context<'_>, kernel: &Kernel) -> Option<Source> {
    let learning = [false, true].map(|six| {
        let half = kernel.of(six)?;
        Some((half, half.learn?))
    });
    let mut halves = learning.iter().flatten();
    let (first, at) = halves.next().copied()?;
    if halves.any(|(half, _)| half.table != first.table) {
        context.lose(at, "`learn` from two tables: windrose redistributes one");
    }
    let drafts = [false, true].map(|six| {
        let (half, place) = learning
            .iter()
            .flatten()
            .find(|(half, _)| half.six == six)?;
        // BIRD's default is to take all.
        let (filter, place) = half.import.clone().unwrap_or((Filter::All, *place));
        let facts = facts(six, "RTS_INHERIT", None);
        let draft = context.translate(&filter, place, &facts);
        Some((draft, half.name.clone()))
    });
    let mut keys = vec![format!("protocols = {LEARNT}")];
    keys.extend(first.table.map(|table| format!("table = {table}")));
    let sets = Sets {
        puts: [("local-pref", LEARNT_PREF.to_owned())].into(),
        ..Sets::default()
    };
    let source = Source::new(keys, drafts, sets, at)?;
    context.note(at, NAMED);
    Some(source)
}

fn facts(six: bool, source: &'static str, proto: Option<&String>) -> Facts {
    Facts {
        six,
        way: Way::Import,
        net: None,
        source: Some(source),
        proto: proto.cloned(),
        from: None,
    }
}
