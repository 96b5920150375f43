//! Protocols, as sections of windrose.toml.

mod announce;
mod bfd;
mod book;
mod kernel;
mod options;
mod redistribute;
mod routes;
mod session;
mod write;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::ast::{Conf, Entry, Protocol};
use crate::flow::{Constants, Lost, Value, World};
use crate::lexer::{Place, quote};
use crate::parse::{Cursor, expression};
use crate::{Imported, Note};

pub(crate) use book::Book;
use session::Session;

/// How deep templates may stand on each other.
const TEMPLATES_MAX: usize = 16;

/// All that is known while sections are made.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) world: World<'a>,
    /// Names of files.
    names: &'a [String],
    /// What has no translation.
    pub(crate) lost: Lost,
    /// What is worth knowing.
    notes: Lost,
}

/// Translates a configuration whose words are in order.
pub(crate) fn import(conf: &Conf, names: &[String]) -> Imported {
    let world = World {
        conf,
        constants: Constants::of(conf),
        tags: tags(conf),
        asked: RefCell::default(),
    };
    let mut context = Context::new(world, names);
    let toml = write::file(&mut context);
    let note = |(place, what): &(Place, String)| Note {
        file: context.name(*place).to_owned(),
        line: place.line,
        what: what.clone(),
    };
    Imported {
        toml,
        lost: context.lost.iter().map(note).collect(),
        notes: context.notes.iter().map(note).collect(),
    }
}

/// `-"eth*", "*"`: patterns of interfaces, and whether they exclude; `None` if something else is among them.
fn patterns(cursor: &mut Cursor<'_>) -> Option<Vec<(bool, String)>> {
    let mut all = Vec::new();
    loop {
        let excludes = cursor.eat("-");
        all.push((excludes, cursor.text()?.to_owned()));
        if !cursor.eat(",") {
            let whole = cursor.is_done() || cursor.peek_sign() == Some("{");
            return whole.then_some(all);
        }
    }
}

/// A tag for each protocol that filters may ask for by name.
fn tags(conf: &Conf) -> BTreeMap<String, (String, u32)> {
    let protocols = conf.protocols.iter().filter(|protocol| !protocol.template);
    let tags = protocols.zip(1..);
    tags.map(|(protocol, tag)| (protocol.name.clone(), (protocol.kind.clone(), tag)))
        .collect()
}

impl<'a> Context<'a> {
    pub(crate) const fn new(world: World<'a>, names: &'a [String]) -> Self {
        Self {
            world,
            names,
            lost: Lost::new(),
            notes: Lost::new(),
        }
    }

    fn name(&self, place: Place) -> &str {
        let name = self.names.get(usize::from(place.file));
        name.map(String::as_str).unwrap_or_default()
    }

    /// `bird.conf:12`.
    pub(crate) fn show(&self, place: Place) -> String {
        let name = self.name(place);
        let file = name.rsplit('/').next().unwrap_or(name);
        crate::toml::comment(&format!("{file}:{}", place.line))
    }

    pub(crate) fn lose(&mut self, place: Place, what: impl Into<String>) {
        self.lost.insert((place, what.into()));
    }

    pub(crate) fn note(&mut self, place: Place, what: impl Into<String>) {
        self.notes.insert((place, what.into()));
    }

    /// A whole statement that has no translation.
    pub(crate) fn lose_entry(&mut self, entry: &Entry) {
        self.lose(entry.place, format!("`{}`", quote(&entry.tokens)));
    }

    /// A value that does not depend on a route.
    pub(crate) fn value(&self, cursor: &mut Cursor<'_>) -> Option<Value> {
        let mut ahead = cursor.clone();
        let expr = expression(&mut ahead).ok()?;
        let value = self.world.constants.evaluate(&expr, &BTreeMap::new());
        if !value.is_constant() {
            return None;
        }
        *cursor = ahead;
        Some(value)
    }

    pub(crate) fn number(&self, cursor: &mut Cursor<'_>) -> Option<i64> {
        let mut ahead = cursor.clone();
        let Some(Value::Number(number)) = self.value(&mut ahead) else {
            return None;
        };
        *cursor = ahead;
        Some(number)
    }

    pub(crate) fn ip(&self, cursor: &mut Cursor<'_>) -> Option<std::net::IpAddr> {
        let mut ahead = cursor.clone();
        let Some(Value::Ip(ip)) = self.value(&mut ahead) else {
            return None;
        };
        *cursor = ahead;
        Some(ip)
    }

    pub(crate) fn prefix(&self, cursor: &mut Cursor<'_>) -> Option<ipnet::IpNet> {
        let mut ahead = cursor.clone();
        let Some(Value::Prefix(net)) = self.value(&mut ahead) else {
            return None;
        };
        *cursor = ahead;
        Some(net)
    }

    /// `on`, `off`, or nothing for `on`.
    pub(crate) fn switch(&self, cursor: &mut Cursor<'_>) -> bool {
        if cursor.is_done() {
            return true;
        }
        let mut ahead = cursor.clone();
        let value = self.value(&mut ahead);
        *cursor = ahead;
        !matches!(value, Some(Value::Flag(false) | Value::Number(0)))
    }

    /// `90`, `90 s`, `300 ms`, in windrose's words.
    pub(crate) fn time(&self, cursor: &mut Cursor<'_>) -> Option<String> {
        let number = self.number(cursor).filter(|number| *number >= 0)?;
        Some(match cursor.word() {
            Some("ms") => format!("\"{number}ms\""),
            Some("us") => format!("\"{}ms\"", number / 1000),
            Some(_) | None => format!("\"{number}s\""),
        })
    }

    /// The statements of a protocol, those of its templates before its own.
    pub(crate) fn body(&mut self, protocol: &Protocol) -> Vec<(String, Entry)> {
        let conf = self.world.conf;
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        let mut next = Some(protocol);
        while let Some(protocol) = next {
            let entries = protocol.body.iter().rev();
            all.extend(entries.map(|entry| (protocol.name.clone(), entry.clone())));
            next = None;
            if let Some(from) = &protocol.from {
                let found = conf.protocols.iter().find(|other| other.name == *from);
                if found.is_none() {
                    self.lose(protocol.place, format!("there is no template `{from}`"));
                }
                next = found.filter(|_| seen.len() < TEMPLATES_MAX && seen.insert(from.clone()));
            }
        }
        all.reverse();
        all
    }

    /// Whether the statement is `disabled`.
    pub(crate) fn is_disabled(&self, entry: &Entry) -> bool {
        let mut cursor = Cursor::new(&entry.tokens, entry.place);
        cursor.eat("disabled") && self.switch(&mut cursor)
    }

    /// Whether there are channels anywhere, as in BIRD 2.
    pub(crate) fn has_channels(&self) -> bool {
        let entries = self.world.conf.protocols.iter().flat_map(|p| &p.body);
        entries
            .into_iter()
            .any(|entry| kernel::family(entry).is_some())
    }

    /// All sessions, in order.
    pub(crate) fn sessions(&mut self) -> Vec<Session> {
        let conf = self.world.conf;
        let bgp = conf.protocols.iter();
        let bgp: Vec<_> = bgp.filter(|p| !p.template && p.kind == "bgp").collect();
        bgp.into_iter()
            .filter_map(|protocol| session::read(self, protocol))
            .collect()
    }
}

/// The rules of a filter, for tests; `before` stands at the top.
#[cfg(test)]
pub(crate) fn draft_of(before: &str, filter: &str) -> (crate::flow::Draft, Lost) {
    use crate::flow::{Facts, Filter, Way};
    let text = format!("{before}filter f {{\n{filter}}}\n");
    let tokens = crate::lexer::lex(0, &text).unwrap();
    let conf = crate::parse::conf(&tokens).unwrap();
    let world = World {
        conf: &conf,
        constants: Constants::of(&conf),
        tags: BTreeMap::new(),
        asked: RefCell::default(),
    };
    let facts = Facts {
        six: false,
        way: Way::Import,
        net: None,
        source: Some("RTS_BGP"),
        proto: None,
        from: None,
    };
    let mut lost = Lost::new();
    let filter = Filter::Named("f".to_owned());
    let draft = world.translate(&filter, Place::default(), &facts, &mut lost);
    (draft, lost)
}
