//! Conditions: what windrose's `match` can say of them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::evaluate::{Variables, as_numbers};
use super::matches::Cond;
use super::pattern::{fits_pattern, path_fits};
use super::value::{Attribute, NUMBER_MAX, Set, SetItem, Value};
use super::{Facts, Way, World};
use crate::ast::{Expr, ExprKind, Op};

/// Most values that a range of communities is spelled out to.
pub(super) const SPELLED_MAX: u64 = 512;

/// What a condition comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Known(bool),
    If(Cond),
    /// Nobody can say; what it is about.
    Lost(String),
}

use Outcome::{If, Known, Lost};

impl Outcome {
    fn negated(self) -> Self {
        match self {
            Known(flag) => Known(!flag),
            If(cond) => If(cond.negated()),
            Lost(what) => Lost(what),
        }
    }

    pub(super) fn list(key: &'static str, items: Vec<String>) -> Self {
        match items.is_empty() {
            true => Known(false),
            false => If(Cond::of(key, items)),
        }
    }
}

/// Who judges conditions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judge<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) facts: &'a Facts,
}

impl Judge<'_> {
    /// What a condition without `&&` and `||` comes to.
    pub(super) fn judge(self, expr: &Expr, variables: &Variables) -> Outcome {
        let value = |expr: &Expr| self.world.constants.evaluate(expr, variables);
        match &expr.kind {
            ExprKind::Not(inner) => self.judge(inner, variables).negated(),
            ExprKind::Binary(op, left, right) => {
                let (left, right) = (self.known(value(left)), self.known(value(right)));
                self.compare(*op, &left, &right)
            }
            ExprKind::Method(of, name, _) if name == "empty" => {
                self.compare(Op::Equal, &value(of), &Value::Empty)
            }
            ExprKind::Number(_)
            | ExprKind::Text(_)
            | ExprKind::Ip(_)
            | ExprKind::Prefix(_)
            | ExprKind::Word(_)
            | ExprKind::Slot(_)
            | ExprKind::Tuple(_)
            | ExprKind::Set(_)
            | ExprKind::Mask(_)
            | ExprKind::Call(..)
            | ExprKind::Method(..) => match value(expr) {
                Value::Flag(flag) => Known(flag),
                Value::Unknown(what) => Lost(what),
                Value::Number(_)
                | Value::Text(_)
                | Value::Ip(_)
                | Value::Prefix(_)
                | Value::Word(_)
                | Value::Tuple(_)
                | Value::Extended(_)
                | Value::Set(_)
                | Value::Mask(_)
                | Value::Empty
                | Value::Attribute(..) => Lost("a condition that is none".to_owned()),
            },
        }
    }

    /// Puts what is known of the route in the place of its attributes.
    fn known(self, value: Value) -> Value {
        let Value::Attribute(attribute, more) = &value else {
            return value;
        };
        let facts = self.facts;
        let found = match attribute {
            Attribute::Net => facts.net.map(Value::Prefix),
            Attribute::NetType => {
                let word = if facts.six { "NET_IP6" } else { "NET_IP4" };
                Some(Value::Word(word.to_owned()))
            }
            Attribute::NetIp => facts.net.map(|net| Value::Ip(net.addr())),
            Attribute::NetLength => facts
                .net
                .map(|net| Value::Number(i64::from(net.prefix_len()).saturating_add(*more))),
            Attribute::Source => facts.source.map(|source| Value::Word(source.to_owned())),
            Attribute::Proto => facts.proto.clone().map(Value::Text),
            Attribute::From => facts.from.map(Value::Ip),
            Attribute::Path
            | Attribute::PathLength
            | Attribute::FirstAs
            | Attribute::LastAs
            | Attribute::Med
            | Attribute::LocalPref
            | Attribute::NextHop
            | Attribute::Origin
            | Attribute::Communities
            | Attribute::LargeCommunities
            | Attribute::ExtCommunities => None,
        };
        found.unwrap_or(value)
    }

    fn compare(self, op: Op, left: &Value, right: &Value) -> Outcome {
        if let Value::Unknown(what) = left {
            return Lost(what.clone());
        }
        if let Value::Unknown(what) = right {
            return Lost(what.clone());
        }
        match op {
            Op::Equal => self.equal(left, right),
            Op::NotEqual => self.equal(left, right).negated(),
            Op::Less => ordered(left, right, 0),
            Op::LessEqual => ordered(left, right, 1),
            Op::GreaterEqual => ordered(left, right, 0).negated(),
            Op::Greater => ordered(left, right, 1).negated(),
            Op::In => self.within(left, right),
            Op::NotIn => self.within(left, right).negated(),
            Op::Or | Op::And | Op::Plus | Op::Minus | Op::Times | Op::Divide => {
                Lost("a number as a condition".to_owned())
            }
        }
    }

    fn equal(self, left: &Value, right: &Value) -> Outcome {
        let (attribute, more, value) = match (left, right) {
            (Value::Attribute(attribute, more), value) if value.is_constant() => {
                (*attribute, *more, value)
            }
            (value, Value::Attribute(attribute, more)) if value.is_constant() => {
                (*attribute, *more, value)
            }
            (a, b) if a.is_constant() && b.is_constant() => return Known(a == b),
            (_, _) => return Lost("attributes compared with each other".to_owned()),
        };
        match (attribute, value) {
            (Attribute::Net, Value::Prefix(net)) => {
                Outcome::list("prefixes", vec![net.to_string()])
            }
            (Attribute::NextHop, Value::Ip(ip)) => Outcome::list("next-hop", vec![ip.to_string()]),
            (Attribute::Path, Value::Empty) => Outcome::list("as-path", vec!["^$".to_owned()]),
            (Attribute::Path, Value::Mask(mask)) => path_fits(mask),
            (Attribute::Source, Value::Word(word)) => sources([word.as_str()]),
            (Attribute::Proto, Value::Text(name)) => self.protocols(|one| one == name),
            (Attribute::Origin, Value::Word(word)) => origins([word.as_str()]),
            (_, Value::Number(number)) if attribute.number_key().is_some() => {
                let number = number.saturating_sub(more);
                range(attribute, number, number)
            }
            (_, _) => lost(attribute),
        }
    }

    /// `~`.
    fn within(self, left: &Value, right: &Value) -> Outcome {
        match (left, right) {
            (Value::Attribute(attribute, more), Value::Set(set)) => {
                self.attribute_in_set(*attribute, *more, set)
            }
            (Value::Attribute(Attribute::Net, _), Value::Prefix(net)) => {
                Outcome::list("prefixes", vec![format!("{net}+")])
            }
            (Value::Attribute(Attribute::NextHop, _), Value::Prefix(net)) => {
                Outcome::list("next-hop", vec![net.to_string()])
            }
            (Value::Attribute(Attribute::NetIp, _), Value::Prefix(net)) => lies_in(*net),
            (Value::Attribute(Attribute::Path, _), Value::Mask(mask)) => path_fits(mask),
            (Value::Attribute(Attribute::Proto, _), Value::Text(pattern)) => {
                self.protocols(|name| fits_pattern(pattern, name))
            }
            (Value::Number(number), Value::Attribute(Attribute::Path, _)) => {
                Outcome::list("as-path-contains", vec![number.to_string()])
            }
            (Value::Tuple(parts), Value::Attribute(list, _)) => {
                let key = list_key(*list).filter(|_| parts.len() == tuple_size(*list));
                key.map_or_else(|| lost(*list), |key| Outcome::list(key, vec![join(parts)]))
            }
            (Value::Extended(text), Value::Attribute(Attribute::ExtCommunities, _)) => {
                Outcome::list("ext-communities", vec![text.clone()])
            }
            (Value::Text(name), Value::Text(pattern)) => Known(fits_pattern(pattern, name)),
            (left, right) if left.is_constant() && right.is_constant() => constant_in(left, right),
            (Value::Attribute(attribute, _), _) | (_, Value::Attribute(attribute, _)) => {
                lost(*attribute)
            }
            (_, _) => Lost("this use of `~`".to_owned()),
        }
    }

    fn attribute_in_set(self, attribute: Attribute, more: i64, set: &Set) -> Outcome {
        let words = set.items.iter().filter_map(SetItem::word);
        match attribute {
            Attribute::Net => match &set.name {
                Some(name) if self.fits_family(set) => {
                    Outcome::list("prefixes", vec![format!("@{name}")])
                }
                Some(_) | None => {
                    let patterns = set.items.iter().flat_map(SetItem::patterns);
                    Outcome::list("prefixes", patterns.collect())
                }
            },
            Attribute::Path => as_numbers(set).map_or_else(
                || lost(attribute),
                |ranges| Outcome::list("as-path-contains", ranges.iter().map(span).collect()),
            ),
            Attribute::Communities | Attribute::LargeCommunities | Attribute::ExtCommunities => {
                let items = communities(attribute, set);
                let key = list_key(attribute).unwrap_or_default();
                items.map_or_else(Lost, |items| Outcome::list(key, items))
            }
            Attribute::NextHop => {
                let items = set.items.iter().map(SetItem::addresses);
                let items: Option<Vec<_>> = items.collect();
                items.map_or_else(|| lost(attribute), |items| Outcome::list("next-hop", items))
            }
            Attribute::Source => sources(words),
            Attribute::Origin => origins(words),
            Attribute::Proto => {
                let names: Vec<_> = set.items.iter().filter_map(SetItem::text).collect();
                self.protocols(|name| names.iter().any(|pattern| fits_pattern(pattern, name)))
            }
            Attribute::NetLength
            | Attribute::PathLength
            | Attribute::FirstAs
            | Attribute::LastAs
            | Attribute::Med
            | Attribute::LocalPref => numbers_in(attribute, more, set),
            Attribute::NetIp | Attribute::NetType | Attribute::From => lost(attribute),
        }
    }

    /// Whether the set's prefixes are of the family: if not, its name would not be found.
    fn fits_family(self, set: &Set) -> bool {
        set.items.iter().any(|item| match item {
            SetItem::Prefix(net, _, _) => matches!(net, IpNet::V6(_)) == self.facts.six,
            SetItem::Numbers(..)
            | SetItem::Ip(_)
            | SetItem::Word(_)
            | SetItem::Text(_)
            | SetItem::Tuple(_)
            | SetItem::Extended(_) => false,
        })
    }

    /// Routes of the protocols that are meant: they carry tags.
    fn protocols(self, meant: impl Fn(&str) -> bool) -> Outcome {
        if self.facts.way == Way::Import {
            return Lost("`proto` of routes that come in".to_owned());
        }
        let kind = match self.facts.source {
            Some("RTS_BGP") => "bgp",
            Some(_) | None => "",
        };
        let tags = self.world.tags.iter();
        let tags: Vec<u32> = tags
            .filter(|(name, (of, _))| meant(name) && (kind.is_empty() || kind == of))
            .map(|(_, (_, tag))| *tag)
            .collect();
        if self.facts.way == Way::Export {
            self.world.asked.borrow_mut().extend(&tags);
        }
        Outcome::list("tag", tags.iter().map(u32::to_string).collect())
    }
}

fn lost(attribute: Attribute) -> Outcome {
    Lost(format!("this condition on `{}`", attribute.name()))
}

/// `a < b`, or with `more` 1 `a <= b`.
fn ordered(left: &Value, right: &Value, more: i64) -> Outcome {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Known(*a < b.saturating_add(more)),
        (Value::Attribute(of, base), Value::Number(b)) => {
            range(*of, 0, b.saturating_sub(*base).saturating_add(more - 1))
        }
        (Value::Number(a), Value::Attribute(of, base)) => {
            // a < x is x >= a + 1.
            let from = a.saturating_sub(*base).saturating_add(1 - more);
            range(*of, 0, from.saturating_sub(1)).negated()
        }
        (Value::Attribute(of, _), _) | (_, Value::Attribute(of, _)) => lost(*of),
        (_, _) => Lost("an order of what are no numbers".to_owned()),
    }
}

/// A number from `first` to `last`.
fn range(attribute: Attribute, first: i64, last: i64) -> Outcome {
    let Some(key) = attribute.number_key() else {
        return lost(attribute);
    };
    let max = attribute.number_max();
    let (first, last) = (first.max(0), last.min(max));
    match (first, last) {
        (first, last) if first > last => Known(false),
        (0, last) if last == max => Known(true),
        (0, last) if last > 0 => Outcome::list(key, vec![format!("le {last}")]),
        (first, last) if first == last => Outcome::list(key, vec![first.to_string()]),
        (first, last) if last == max => Outcome::list(key, vec![format!("ge {first}")]),
        (first, last) => Outcome::list(key, vec![format!("{first}-{last}")]),
    }
}

fn numbers_in(attribute: Attribute, more: i64, set: &Set) -> Outcome {
    let (Some(key), Some(ranges)) = (attribute.number_key(), as_numbers(set)) else {
        return lost(attribute);
    };
    if more != 0 {
        return lost(attribute);
    }
    Outcome::list(key, ranges.iter().map(span).collect())
}

pub(super) fn span((first, last): &(u32, u32)) -> String {
    match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    }
}

/// Where windrose has such routes from.
fn sources<'a>(words: impl IntoIterator<Item = &'a str>) -> Outcome {
    let of = |word: &str| -> &'static [&'static str] {
        match word {
            "RTS_BGP" => &["bgp"],
            "RTS_STATIC" | "RTS_STATIC_DEVICE" => &["static", "originate"],
            "RTS_DEVICE" => &["connected"],
            "RTS_INHERIT" => &["kernel"],
            _ => &[],
        }
    };
    let names = words.into_iter().flat_map(of);
    Outcome::list("source", names.map(|name| (*name).to_owned()).collect())
}

fn origins<'a>(words: impl IntoIterator<Item = &'a str>) -> Outcome {
    let names = words.into_iter().filter_map(origin);
    Outcome::list("origin", names.map(str::to_owned).collect())
}

/// An ORIGIN as windrose writes it.
pub(super) fn origin(word: &str) -> Option<&'static str> {
    match word {
        "ORIGIN_IGP" => Some("igp"),
        "ORIGIN_EGP" => Some("egp"),
        "ORIGIN_INCOMPLETE" => Some("incomplete"),
        _ => None,
    }
}

/// The key of `match` and `set` for a list of communities.
pub(super) const fn list_key(attribute: Attribute) -> Option<&'static str> {
    match attribute {
        Attribute::Communities => Some("communities"),
        Attribute::LargeCommunities => Some("large-communities"),
        Attribute::ExtCommunities => Some("ext-communities"),
        Attribute::Net
        | Attribute::NetIp
        | Attribute::NetType
        | Attribute::NetLength
        | Attribute::Path
        | Attribute::PathLength
        | Attribute::FirstAs
        | Attribute::LastAs
        | Attribute::Med
        | Attribute::LocalPref
        | Attribute::NextHop
        | Attribute::Origin
        | Attribute::Source
        | Attribute::Proto
        | Attribute::From => None,
    }
}

/// Parts of a community in that list.
pub(super) fn tuple_size(attribute: Attribute) -> usize {
    if attribute == Attribute::Communities {
        2
    } else {
        3
    }
}

pub(super) fn join(parts: &[u32]) -> String {
    let parts: Vec<_> = parts.iter().map(u32::to_string).collect();
    parts.join(":")
}

/// The items of a set of communities as windrose writes them.
pub(super) fn communities(attribute: Attribute, set: &Set) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for item in &set.items {
        match item {
            SetItem::Extended(text) if attribute == Attribute::ExtCommunities => {
                all.push(text.clone());
            }
            SetItem::Tuple(parts) if parts.len() == tuple_size(attribute) => {
                all.extend(spelled(parts)?);
            }
            SetItem::Prefix(..)
            | SetItem::Numbers(..)
            | SetItem::Ip(_)
            | SetItem::Word(_)
            | SetItem::Text(_)
            | SetItem::Tuple(_)
            | SetItem::Extended(_) => return Err("a set of other than communities".to_owned()),
        }
    }
    Ok(all)
}

/// `(65001, 1..3)` as three.
fn spelled(parts: &[(u32, u32)]) -> Result<Vec<String>, String> {
    let most = if parts.len() == 2 { 0xffff } else { NUMBER_MAX };
    let mut all = vec![String::new()];
    for (first, last) in parts {
        let values: Vec<String> = match (*first, *last) {
            (0, last) if last == most => vec!["*".to_owned()],
            (first, last) => {
                let count = u64::from(last.saturating_sub(first)).saturating_add(1);
                if count.saturating_mul(all.len() as u64) > SPELLED_MAX {
                    return Err(format!("a set of more than {SPELLED_MAX} communities"));
                }
                (first..=last).map(|n| n.to_string()).collect()
            }
        };
        let before = std::mem::take(&mut all);
        for text in &before {
            let between = if text.is_empty() { "" } else { ":" };
            all.extend(values.iter().map(|value| format!("{text}{between}{value}")));
        }
    }
    Ok(all)
}

/// Prefixes whose address lies in `net`: those within, and shorter ones with the same address.
fn lies_in(net: IpNet) -> Outcome {
    let mut items = vec![format!("{net}+")];
    for length in 0..net.prefix_len() {
        let shorter = IpNet::new(net.addr(), length).map(|net| net.trunc());
        items.extend(
            shorter
                .ok()
                .filter(|shorter| net.contains(&shorter.addr()))
                .map(|shorter| shorter.to_string()),
        );
    }
    Outcome::list("prefixes", items)
}

/// Two constants.
fn constant_in(left: &Value, right: &Value) -> Outcome {
    match (left, right) {
        (Value::Prefix(net), Value::Prefix(outer)) => Known(outer.contains(net)),
        (Value::Ip(ip), Value::Prefix(net)) => Known(net.contains(ip)),
        (Value::Prefix(net), Value::Set(set)) => {
            Known(set.items.iter().any(|item| item.holds_prefix(*net)))
        }
        (Value::Ip(ip), Value::Set(set)) => {
            Known(set.items.iter().any(|item| item.holds_prefix((*ip).into()) || *item == SetItem::Ip(*ip)))
        }
        (Value::Number(number), Value::Set(set)) => Known(set.items.iter().any(|item| {
            matches!(item, SetItem::Numbers(first, last) if first <= number && number <= last)
        })),
        (Value::Word(word), Value::Set(set)) => {
            Known(set.items.iter().any(|item| item.word() == Some(word)))
        }
        (Value::Text(name), Value::Set(set)) => {
            let patterns = set.items.iter().filter_map(SetItem::text);
            Known(patterns.into_iter().any(|pattern| fits_pattern(pattern, name)))
        }
        (_, _) => Lost("this use of `~`".to_owned()),
    }
}

impl SetItem {
    fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self {
            Some(word)
        } else {
            None
        }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// As an item of `next-hop`.
    fn addresses(&self) -> Option<String> {
        let host = |ip: &IpAddr| IpNet::from(*ip).max_prefix_len();
        match self {
            Self::Ip(ip) => Some(ip.to_string()),
            Self::Prefix(net, _, longest) if *longest == host(&net.addr()) => Some(net.to_string()),
            Self::Prefix(..)
            | Self::Numbers(..)
            | Self::Word(_)
            | Self::Text(_)
            | Self::Tuple(_)
            | Self::Extended(_) => None,
        }
    }
}

impl Attribute {
    /// Its name in BIRD.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::NetIp => "net.ip",
            Self::NetType => "net.type",
            Self::NetLength => "net.len",
            Self::Path => "bgp_path",
            Self::PathLength => "bgp_path.len",
            Self::FirstAs => "bgp_path.first",
            Self::LastAs => "bgp_path.last",
            Self::Med => "bgp_med",
            Self::LocalPref => "bgp_local_pref",
            Self::NextHop => "bgp_next_hop",
            Self::Origin => "bgp_origin",
            Self::Communities => "bgp_community",
            Self::LargeCommunities => "bgp_large_community",
            Self::ExtCommunities => "bgp_ext_community",
            Self::Source => "source",
            Self::Proto => "proto",
            Self::From => "from",
        }
    }
}
