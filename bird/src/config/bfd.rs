//! `protocol bfd`, and what sessions say under `bfd`: profiles.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::session::Session;
use super::{Context, patterns};
use crate::ast::{Entry, Protocol};
use crate::flow::fits_pattern;
use crate::parse::{Cursor, entries};
use crate::toml::text;

/// What BIRD does if the file does not say, in microseconds (windrose: 300 ms, 300 ms and 3).
const RECEIVE: i64 = 10_000;
const TRANSMIT: i64 = 100_000;
const MULTIPLIER: i64 = 5;
/// windrose's bounds, in microseconds.
const INTERVAL: std::ops::RangeInclusive<i64> = 10_000..=60_000_000;
/// Hops of a session that says `multihop` alone.
const HOPS: &str = "64";

/// How one session is watched; what is not said is as in the block, and else as BIRD does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Options {
    receive: Option<i64>,
    transmit: Option<i64>,
    multiplier: Option<i64>,
    passive: Option<bool>,
    /// `Some(None)`: none.
    kind: Option<Option<&'static str>>,
    password: Option<(String, i64)>,
}

/// What a session says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    on: bool,
    own: Options,
}

/// All `protocol bfd` together.
#[derive(Debug, Default)]
struct Blocks {
    any: bool,
    /// Patterns of interfaces, and whether they exclude.
    interfaces: Vec<(Vec<(bool, String)>, Options)>,
    multihop: Options,
}

/// Profiles, by name.
pub(crate) type Profiles = BTreeMap<String, Options>;

/// `bfd on`, `bfd graceful`, `bfd { … }`; `false` if it has no translation.
pub(crate) fn of_session(
    context: &mut Context<'_>,
    wish: &mut Wish,
    entry: &Entry,
    cursor: &mut Cursor<'_>,
) -> bool {
    wish.on = true;
    if cursor.eat("graceful") {
        let what = "`bfd graceful`: where BFD fails, windrose ends the session and its routes go";
        context.lose(entry.place, what);
        return true;
    }
    if cursor.peek_sign() == Some("{") {
        let inside = cursor.braced().and_then(entries).unwrap_or_default();
        wish.own.read(context, &inside);
        return true;
    }
    wish.on = context.switch(cursor);
    true
}

/// Names a profile at each session that is watched.
pub(crate) fn settle(
    context: &mut Context<'_>,
    sessions: &mut [Session],
    asn: Option<u32>,
) -> Profiles {
    let blocks = Blocks::read(context);
    let mut profiles = Profiles::new();
    for session in sessions.iter_mut().filter(|session| session.bfd.on) {
        if !blocks.any {
            let what = "`bfd`: without a `protocol bfd`, BIRD watches nothing";
            context.note(session.place, what);
            continue;
        }
        // BIRD takes internal peers to be some hops away, if the file does not say `direct`.
        let internal = session.is_internal(asn) == Some(true);
        let far = session.keys.contains_key("multihop") || internal && !session.direct;
        let (block, wanted) = if far {
            let hops = session.keys.entry("multihop");
            hops.or_insert_with(|| HOPS.to_owned());
            (&blocks.multihop, "multihop")
        } else {
            (blocks.of_link(context, session), "direct")
        };
        let options = session.bfd.own.over(block);
        let known = profiles.iter().find(|(_, known)| **known == options);
        let name = known.map(|(name, _)| name.clone());
        let name = name.unwrap_or_else(|| free(&profiles, wanted, &session.name));
        session.keys.insert("bfd", text(&name));
        options.check(context, session.place);
        profiles.insert(name, options);
    }
    profiles
}

/// The name, or that of the session where it is taken.
fn free(profiles: &Profiles, wanted: &str, session: &str) -> String {
    let numbered = (2..).map(|number| format!("{session}-{number}"));
    let mut names = [wanted.to_owned(), session.to_owned()]
        .into_iter()
        .chain(numbered);
    let found = names.find(|name| !profiles.contains_key(name));
    found.unwrap_or_default()
}

/// As TOML.
pub(crate) fn write(profiles: &Profiles, out: &mut String) {
    for (name, options) in profiles {
        let _ = writeln!(out, "\n[bfd.profile.{}]", crate::toml::key(name));
        let [receive, transmit] = [
            options.receive.unwrap_or(RECEIVE),
            options.transmit.unwrap_or(TRANSMIT),
        ]
        .map(|micros| micros.clamp(*INTERVAL.start(), *INTERVAL.end()) / 1000);
        let multiplier = options.multiplier.unwrap_or(MULTIPLIER);
        let _ = writeln!(
            out,
            "transmit = \"{transmit}ms\"\nreceive = \"{receive}ms\"\nmultiplier = {multiplier}"
        );
        if options.passive == Some(true) {
            out.push_str("passive = true\n");
        }
        if let (Some(Some(kind)), Some((password, id))) = (options.kind, &options.password) {
            let password = text(password);
            let _ = writeln!(
                out,
                "authentication = {{ type = \"{kind}\", key-id = {id}, password = {password} }}"
            );
        }
    }
}

impl Blocks {
    fn read(context: &mut Context<'_>) -> Self {
        let conf = context.world.conf;
        let mut blocks = Self::default();
        for protocol in conf
            .protocols
            .iter()
            .filter(|p| !p.template && p.kind == "bfd")
        {
            blocks.protocol(context, protocol);
        }
        blocks
    }

    fn protocol(&mut self, context: &mut Context<'_>, protocol: &Protocol) {
        let body = context.body(protocol);
        if body.iter().any(|(_, entry)| context.is_disabled(entry)) {
            return;
        }
        self.any = true;
        for (_, entry) in body {
            let mut cursor = Cursor::new(&entry.tokens, entry.place);
            let known = match cursor.word().unwrap_or_default() {
                "interface" => match patterns(&mut cursor) {
                    Some(patterns) => {
                        let mut options = Options::default();
                        options.block(context, &mut cursor);
                        self.interfaces.push((patterns, options));
                        true
                    }
                    None => false,
                },
                "multihop" => {
                    self.multihop.block(context, &mut cursor);
                    true
                }
                // Who may ask, and where it listens.
                "accept" | "strict" | "debug" | "description" | "disabled" => true,
                // `neighbor`: sessions that no other protocol asks for.
                _ => false,
            };
            if !known {
                context.lose_entry(&entry);
            }
        }
    }

    /// What is said for the link of a session.
    fn of_link<'a>(&'a self, context: &mut Context<'_>, session: &Session) -> &'a Options {
        // The timers of interfaces that no block names.
        const OTHER: &Options = &Options {
            receive: None,
            transmit: None,
            multiplier: None,
            passive: None,
            kind: None,
            password: None,
        };
        if let Some(name) = session.keys.get("interface") {
            let name = name.trim_matches('"');
            let fits = |(patterns, _): &&(Vec<(bool, String)>, Options)| {
                let mut found = patterns.iter().filter(|(_, one)| fits_pattern(one, name));
                found.next().is_some_and(|(excludes, _)| !excludes)
            };
            return self
                .interfaces
                .iter()
                .find(fits)
                .map_or(OTHER, |(_, of)| of);
        }
        let Some((patterns, first)) = self.interfaces.first() else {
            return OTHER;
        };
        let every = patterns.first().is_some_and(|(no, one)| !no && one == "*");
        let alike = self.interfaces.iter().all(|(_, options)| options == first);
        if !every && !alike {
            let what = "which `interface` of `protocol bfd` the session is on, windrose would have to know beforehand: that of the first is taken";
            context.lose(session.place, what);
        }
        first
    }
}

impl Options {
    /// `{ … }`, or nothing.
    fn block(&mut self, context: &mut Context<'_>, cursor: &mut Cursor<'_>) {
        if cursor.peek_sign() == Some("{") {
            let inside = cursor.braced().and_then(entries).unwrap_or_default();
            self.read(context, &inside);
        }
    }

    fn read(&mut self, context: &mut Context<'_>, inside: &[Entry]) {
        for entry in inside {
            let mut cursor = Cursor::new(&entry.tokens, entry.place);
            if !self.statement(context, &mut cursor) {
                context.lose_entry(entry);
            }
        }
    }

    /// A statement; `false` if it has no translation.
    fn statement(&mut self, context: &Context<'_>, cursor: &mut Cursor<'_>) -> bool {
        if cursor.eat("interval") {
            self.receive = micros(context, cursor);
            self.transmit = self.receive;
            return self.receive.is_some();
        }
        if cursor.eat_all("min rx interval") {
            self.receive = micros(context, cursor);
            return self.receive.is_some();
        }
        if cursor.eat_all("min tx interval") {
            self.transmit = micros(context, cursor);
            return self.transmit.is_some();
        }
        match cursor.word().unwrap_or_default() {
            // Until a session is up, windrose says something once a second.
            "idle" => true,
            "multiplier" => {
                let multiplier = context.number(cursor);
                self.multiplier = multiplier.filter(|number| (1..=255).contains(number));
                self.multiplier.is_some()
            }
            "passive" => {
                self.passive = Some(context.switch(cursor));
                true
            }
            "authentication" => {
                self.kind = kind(cursor);
                self.kind.is_some()
            }
            "password" => {
                self.password = password(context, cursor);
                self.password.is_some()
            }
            _ => false,
        }
    }

    /// These, and where they say nothing, those.
    fn over(&self, block: &Self) -> Self {
        Self {
            receive: self.receive.or(block.receive),
            transmit: self.transmit.or(block.transmit),
            multiplier: self.multiplier.or(block.multiplier),
            passive: self.passive.or(block.passive),
            kind: self.kind.or(block.kind),
            password: self.password.clone().or_else(|| block.password.clone()),
        }
    }

    fn check(&self, context: &mut Context<'_>, place: crate::lexer::Place) {
        let intervals = self.receive.iter().chain(&self.transmit);
        if intervals
            .into_iter()
            .any(|micros| !INTERVAL.contains(micros))
        {
            let what =
                "an interval of BFD that is not between 10 ms and 60 s: the nearest is taken";
            context.lose(place, what);
        }
        if matches!(self.kind, Some(Some(_))) && self.password.is_none() {
            context.lose(place, "`authentication` of BFD without a password");
        }
    }
}

/// `50 ms`; seconds, if the unit is not said.
fn micros(context: &Context<'_>, cursor: &mut Cursor<'_>) -> Option<i64> {
    let number = context.number(cursor).filter(|number| *number >= 0)?;
    Some(number.saturating_mul(match cursor.word() {
        Some("us") => 1,
        Some("ms") => 1000,
        Some(_) | None => 1_000_000,
    }))
}

/// `meticulous keyed sha1`.
fn kind(cursor: &mut Cursor<'_>) -> Option<Option<&'static str>> {
    const KINDS: [(&str, Option<&str>); 6] = [
        ("none", None),
        ("simple", Some("simple")),
        ("keyed md5", Some("keyed-md5")),
        ("keyed sha1", Some("keyed-sha1")),
        ("meticulous keyed md5", Some("meticulous-keyed-md5")),
        ("meticulous keyed sha1", Some("meticulous-keyed-sha1")),
    ];
    let mut kinds = KINDS.iter();
    let found = kinds.find(|(words, _)| cursor.eat_all(words));
    found.map(|(_, kind)| *kind)
}

/// `"secret" { id 1; }`.
fn password(context: &Context<'_>, cursor: &mut Cursor<'_>) -> Option<(String, i64)> {
    let password = cursor.text()?.to_owned();
    if cursor.is_done() {
        // The first password's.
        return Some((password, 1));
    }
    let inside = cursor.braced().and_then(entries).ok()?;
    let [only] = inside.as_slice() else {
        return None;
    };
    let mut cursor = Cursor::new(&only.tokens, only.place);
    let id = cursor.eat("id").then(|| context.number(&mut cursor))??;
    (0..=255).contains(&id).then_some((password, id))
}
