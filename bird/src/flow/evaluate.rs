//! What an expression is worth, as far as that can be said beforehand.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::value::{Attribute, MaskPart, NUMBER_MAX, Set, SetItem, Value};
use crate::ast::{Conf, Expr, ExprKind, Item, MaskItem, Op, Part};

/// Values of `define`, by name.
#[derive(Debug, Default)]
pub(crate) struct Constants(BTreeMap<String, Value>);

/// Values of variables, by their slots.
pub(crate) type Variables = BTreeMap<usize, Value>;

impl Constants {
    /// All that the configuration defines.
    pub(crate) fn of(conf: &Conf) -> Self {
        let mut all = Self::default();
        for (name, expr) in &conf.defines {
            let mut value = all.evaluate(expr, &Variables::new());
            if let Value::Set(set) = &value {
                let (name, items) = (Some(name.clone()), set.items.clone());
                value = Value::Set(Rc::new(Set { name, items }));
            }
            all.0.insert(name.clone(), value);
        }
        all
    }

    /// The sets of prefixes that have a name.
    pub(crate) fn prefix_sets(&self) -> impl Iterator<Item = (&String, &Rc<Set>)> {
        let sets = self
            .0
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_set()?)));
        sets.filter(|(_, set)| matches!(set.items.first(), Some(SetItem::Prefix(..))))
    }

    /// What an expression is worth.
    pub(crate) fn evaluate(&self, expr: &Expr, variables: &Variables) -> Value {
        let inner = |expr: &Expr| self.evaluate(expr, variables);
        match &expr.kind {
            ExprKind::Number(number) => Value::Number(*number),
            ExprKind::Text(text) => Value::Text(text.clone()),
            ExprKind::Ip(ip) => Value::Ip(*ip),
            ExprKind::Prefix(net) => Value::Prefix(*net),
            ExprKind::Word(word) => self.word(word),
            ExprKind::Slot(slot) => variables
                .get(slot)
                .cloned()
                .unwrap_or_else(|| Value::unknown("a variable without a value")),
            ExprKind::Tuple(parts) => tuple(&parts.iter().map(inner).collect::<Vec<_>>()),
            ExprKind::Set(items) => self.set(items, variables),
            ExprKind::Mask(items) => self.mask(items, variables),
            ExprKind::Not(expr) => {
                let value = inner(expr);
                if value == Value::Flag(true) || value == Value::Flag(false) {
                    return Value::Flag(value == Value::Flag(false));
                }
                Value::unknown("`!` of what is not known")
            }
            ExprKind::Binary(op, left, right) => arithmetic(*op, &inner(left), &inner(right)),
            ExprKind::Call(name, arguments) => {
                let arguments: Vec<_> = arguments.iter().map(inner).collect();
                call(name, &arguments)
            }
            ExprKind::Method(of, name, arguments) if arguments.is_empty() => {
                method(&inner(of), name)
            }
            ExprKind::Method(_, name, _) => Value::unknown(format!("`.{name}(…)`")),
        }
    }

    fn word(&self, word: &str) -> Value {
        if let Some(value) = self.0.get(word) {
            return value.clone();
        }
        let attribute = match word {
            "net" => Attribute::Net,
            "bgp_path" => Attribute::Path,
            "bgp_med" => Attribute::Med,
            "bgp_local_pref" => Attribute::LocalPref,
            "bgp_next_hop" => Attribute::NextHop,
            "bgp_origin" => Attribute::Origin,
            "bgp_community" => Attribute::Communities,
            "bgp_large_community" => Attribute::LargeCommunities,
            "bgp_ext_community" => Attribute::ExtCommunities,
            "source" => Attribute::Source,
            "proto" => Attribute::Proto,
            "from" => Attribute::From,
            "true" | "yes" | "on" => return Value::Flag(true),
            "false" | "no" | "off" => return Value::Flag(false),
            "---empty---" | "--empty--" | "-empty-" | "+empty+" => return Value::Empty,
            _ => {
                let named = ["RTS_", "ORIGIN_", "NET_", "ROA_", "RTD_", "SCOPE_"];
                return match named.iter().any(|start| word.starts_with(start)) {
                    true => Value::Word(word.to_owned()),
                    false => Value::unknown(format!("`{word}`")),
                };
            }
        };
        Value::attribute(attribute)
    }

    fn set(&self, items: &[Item], variables: &Variables) -> Value {
        let mut all = Vec::new();
        for item in items {
            match self.item(item, variables) {
                Ok(items) => all.extend(items),
                Err(what) => return Value::Unknown(what),
            }
        }
        let name = None;
        Value::Set(Rc::new(Set { name, items: all }))
    }

    fn item(&self, item: &Item, variables: &Variables) -> Result<Vec<SetItem>, String> {
        let value = |expr: &Expr| self.evaluate(expr, variables);
        let one = match item {
            Item::Prefix(net, shortest, longest) => SetItem::Prefix(*net, *shortest, *longest),
            Item::One(expr) => match value(expr) {
                Value::Number(number) => SetItem::Numbers(number, number),
                Value::Ip(ip) => SetItem::Ip(ip),
                Value::Word(word) => SetItem::Word(word),
                Value::Text(text) => SetItem::Text(text),
                Value::Prefix(net) => SetItem::Prefix(net, net.prefix_len(), net.prefix_len()),
                Value::Tuple(parts) => SetItem::Tuple(parts.iter().map(|n| (*n, *n)).collect()),
                Value::Extended(text) => SetItem::Extended(text),
                Value::Set(set) => return Ok(set.items.clone()),
                Value::Unknown(what) => return Err(what),
                Value::Flag(_) | Value::Mask(_) | Value::Empty | Value::Attribute(..) => {
                    return Err("an item of a set that is not known".to_owned());
                }
            },
            Item::Range(first, last) => match (value(first), value(last)) {
                (Value::Number(first), Value::Number(last)) => SetItem::Numbers(first, last),
                (_, _) => return Err("a range of what are no numbers".to_owned()),
            },
            Item::Tuple(parts) => self.pattern(parts, variables)?,
        };
        Ok(vec![one])
    }

    /// A tuple of a set.
    fn pattern(&self, parts: &[Part], variables: &Variables) -> Result<SetItem, String> {
        if let [
            Part::One(Expr {
                kind: ExprKind::Word(kind),
                ..
            }),
            administrator,
            number,
        ] = parts
        {
            let text = |part: &Part| match part {
                Part::Any => Some("*".to_owned()),
                Part::One(expr) => extended_part(&self.evaluate(expr, variables)),
                Part::Range(..) => None,
            };
            let whole = extended_kind(kind).zip(text(administrator).zip(text(number)));
            if let Some((kind, (administrator, number))) = whole {
                return Ok(SetItem::Extended(format!(
                    "{kind}:{administrator}:{number}"
                )));
            }
        }
        let most = if parts.len() == 2 { 0xffff } else { NUMBER_MAX };
        let number = |expr: &Expr| self.evaluate(expr, variables).as_asn();
        let ranges: Option<Vec<_>> = parts
            .iter()
            .map(|part| match part {
                Part::Any => Some((0, most)),
                Part::One(expr) => number(expr).map(|n| (n, n)),
                Part::Range(first, last) => number(first).zip(number(last)),
            })
            .collect();
        ranges
            .map(SetItem::Tuple)
            .ok_or_else(|| "a community whose parts are not known".to_owned())
    }

    fn mask(&self, items: &[MaskItem], variables: &Variables) -> Value {
        let number = |expr: &Expr| self.evaluate(expr, variables).as_asn();
        let part = |item: &MaskItem| match item {
            MaskItem::Any => Some(vec![MaskPart::Any]),
            MaskItem::Single => Some(vec![MaskPart::Single]),
            MaskItem::Range(first, last) => {
                Some(vec![MaskPart::From(number(first)?, number(last)?)])
            }
            MaskItem::One(expr) => {
                let value = self.evaluate(expr, variables);
                // A mask that was defined, within another.
                if let Value::Mask(parts) = &value {
                    return Some(parts.to_vec());
                }
                let number = value.as_asn()?;
                Some(vec![MaskPart::From(number, number)])
            }
            MaskItem::Set(expr) => {
                let value = self.evaluate(expr, variables);
                Some(vec![MaskPart::Of(as_numbers(value.as_set()?)?)])
            }
        };
        let parts: Option<Vec<_>> = items.iter().map(part).collect();
        parts.map_or_else(
            || Value::unknown("a path mask whose numbers are not known"),
            |parts| Value::Mask(Rc::new(parts.concat())),
        )
    }
}

/// The ranges of a set of AS numbers.
pub(super) fn as_numbers(set: &Set) -> Option<Vec<(u32, u32)>> {
    let range = |item: &SetItem| match item {
        SetItem::Numbers(first, last) => {
            Some((u32::try_from(*first).ok()?, u32::try_from(*last).ok()?))
        }
        SetItem::Prefix(..)
        | SetItem::Ip(_)
        | SetItem::Word(_)
        | SetItem::Text(_)
        | SetItem::Tuple(_)
        | SetItem::Extended(_) => None,
    };
    set.items.iter().map(range).collect()
}

fn extended_kind(word: &str) -> Option<&'static str> {
    match word {
        "rt" => Some("rt"),
        "ro" => Some("soo"),
        _ => None,
    }
}

fn extended_part(value: &Value) -> Option<String> {
    if let Value::Ip(ip) = value {
        return Some(ip.to_string());
    }
    value.as_number().map(|number| number.to_string())
}

fn tuple(parts: &[Value]) -> Value {
    let unknown = || Value::unknown("a tuple whose parts are not known");
    if let [Value::Unknown(kind), administrator, number] = parts {
        // `rt` and `ro` are words that mean nothing elsewhere.
        let kind = extended_kind(kind.trim_matches('`'));
        let rest = extended_part(administrator).zip(extended_part(number));
        let text = kind
            .zip(rest)
            .map(|(kind, (a, n))| format!("{kind}:{a}:{n}"));
        return text.map_or_else(unknown, Value::Extended);
    }
    let most = if parts.len() == 2 { 0xffff } else { NUMBER_MAX };
    let number = |value: &Value| value.as_asn().filter(|n| *n <= most);
    let numbers: Option<Vec<_>> = parts.iter().map(number).collect();
    numbers
        .filter(|numbers| numbers.len() == 2 || numbers.len() == 3)
        .map_or_else(unknown, Value::Tuple)
}

fn arithmetic(op: Op, left: &Value, right: &Value) -> Value {
    let add = |attribute: &Attribute, base: &i64, more: i64| {
        Value::Attribute(*attribute, base.saturating_add(more))
    };
    match (op, left, right) {
        (Op::Plus, Value::Number(a), Value::Number(b)) => Value::Number(a.saturating_add(*b)),
        (Op::Minus, Value::Number(a), Value::Number(b)) => Value::Number(a.saturating_sub(*b)),
        (Op::Times, Value::Number(a), Value::Number(b)) => Value::Number(a.saturating_mul(*b)),
        (Op::Divide, Value::Number(a), Value::Number(b)) => a
            .checked_div(*b)
            .map_or_else(|| Value::unknown("a division by zero"), Value::Number),
        (Op::Plus, Value::Attribute(of, base), Value::Number(more))
        | (Op::Plus, Value::Number(more), Value::Attribute(of, base))
            if of.number_key().is_some() =>
        {
            add(of, base, *more)
        }
        (Op::Minus, Value::Attribute(of, base), Value::Number(less))
            if of.number_key().is_some() =>
        {
            add(of, base, less.saturating_neg())
        }
        (_, Value::Unknown(what), _) | (_, _, Value::Unknown(what)) => Value::Unknown(what.clone()),
        (_, _, _) => Value::unknown("a computation with attributes"),
    }
}

/// Functions of BIRD's own that have a value here.
fn call(name: &str, _arguments: &[Value]) -> Value {
    Value::unknown(format!("`{name}(…)`"))
}

fn method(of: &Value, name: &str) -> Value {
    let attribute = match (of, name) {
        (Value::Attribute(Attribute::Net, _), "len") => Attribute::NetLength,
        (Value::Attribute(Attribute::Net, _), "ip") => Attribute::NetIp,
        (Value::Attribute(Attribute::Net, _), "type") => Attribute::NetType,
        (Value::Attribute(Attribute::Path, _), "len") => Attribute::PathLength,
        (Value::Attribute(Attribute::Path, _), "first") => Attribute::FirstAs,
        (Value::Attribute(Attribute::Path, _), "last" | "last_nonaggregated") => Attribute::LastAs,
        (Value::Prefix(net), "len") => return Value::Number(net.prefix_len().into()),
        (Value::Prefix(net), "ip") => return Value::Ip(net.addr()),
        (Value::Unknown(what), _) => {
            return Value::unknown(format!("{}.{name}`", what.trim_end_matches('`')));
        }
        (_, _) => return Value::unknown(format!("`.{name}`")),
    };
    Value::attribute(attribute)
}
