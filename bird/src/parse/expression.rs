//! Expressions of filters, with BIRD's precedence: `&&` and `||` bind alike, from the left.

use ipnet::IpNet;

use super::cursor::Cursor;
use crate::Mistake;
use crate::ast::{Expr, ExprKind, Item, MaskItem, Op, Part};
use crate::lexer::{Kind, Place};

/// How deep expressions may lie within each other.
const DEPTH_MAX: usize = 32;
/// Most operators of an expression with all that it holds.
const OPERATORS_MAX: usize = 512;

type Parsed<T> = Result<T, Mistake>;

/// Operators by how they bind, the loosest first.
const LEVELS: [&[(&str, Op)]; 4] = [
    &[("||", Op::Or), ("&&", Op::And)],
    &[
        ("=", Op::Equal),
        ("!=", Op::NotEqual),
        ("<", Op::Less),
        ("<=", Op::LessEqual),
        (">", Op::Greater),
        (">=", Op::GreaterEqual),
        ("~", Op::In),
        ("!~", Op::NotIn),
    ],
    &[("+", Op::Plus), ("-", Op::Minus)],
    &[("*", Op::Times), ("/", Op::Divide)],
];

/// Reads an expression.
pub(crate) fn expression(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    level(cursor, 0)
}

fn level(cursor: &mut Cursor<'_>, number: usize) -> Parsed<Expr> {
    let Some(operators) = LEVELS.get(number) else {
        return unary(cursor);
    };
    let mut left = level(cursor, number + 1)?;
    while let Some((_, op)) = cursor
        .peek_sign()
        .and_then(|sign| operators.iter().find(|(text, _)| *text == sign))
    {
        let place = cursor.place();
        cursor.next();
        operator(cursor)?;
        let right = level(cursor, number + 1)?;
        let kind = ExprKind::Binary(*op, Box::new(left), Box::new(right));
        left = Expr { kind, place };
    }
    Ok(left)
}

/// Counts an operator: what it makes of its operands is one deeper.
fn operator(cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.operators += 1;
    if cursor.operators > OPERATORS_MAX {
        let what = format!("an expression has at most {OPERATORS_MAX} operators");
        return Err(Mistake::new(cursor.place(), what));
    }
    Ok(())
}

fn unary(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    if cursor.depth >= DEPTH_MAX {
        let what = format!("expressions lie more than {DEPTH_MAX} deep within each other");
        return Err(Mistake::new(cursor.place(), what));
    }
    cursor.depth += 1;
    let read = operand(cursor);
    cursor.depth -= 1;
    read
}

fn operand(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let (place, mut negations) = (cursor.place(), 0_usize);
    while cursor.eat("!") {
        negations += 1;
    }
    let mut expr = primary(cursor)?;
    while cursor.peek_sign() == Some(".") {
        cursor.next();
        operator(cursor)?;
        let name = cursor.name()?;
        let arguments = match cursor.peek_sign() {
            Some("(") => arguments(cursor)?,
            Some(_) | None => Vec::new(),
        };
        let kind = ExprKind::Method(Box::new(expr), name, arguments);
        expr = Expr { kind, place };
    }
    if negations % 2 == 1 {
        let kind = ExprKind::Not(Box::new(expr));
        expr = Expr { kind, place };
    }
    Ok(expr)
}

/// `(a, b)`.
pub(super) fn arguments(cursor: &mut Cursor<'_>) -> Parsed<Vec<Expr>> {
    cursor.expect("(")?;
    let mut all = Vec::new();
    while !cursor.eat(")") {
        if !all.is_empty() {
            cursor.expect(",")?;
        }
        all.push(expression(cursor)?);
    }
    Ok(all)
}

fn primary(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let place = cursor.place();
    let done = |kind| Ok(Expr { kind, place });
    if let Some(net) = cursor.prefix() {
        return done(ExprKind::Prefix(net));
    }
    let mut ahead = cursor.clone();
    let kind = match ahead.next() {
        Some(Kind::Number(number)) => ExprKind::Number(*number),
        Some(Kind::Text(text)) => ExprKind::Text(text.clone()),
        Some(Kind::Ip(ip)) => ExprKind::Ip(*ip),
        Some(Kind::Word(word)) if ahead.peek_sign() == Some("(") => {
            *cursor = ahead;
            let arguments = arguments(cursor)?;
            return done(ExprKind::Call(word.clone(), arguments));
        }
        Some(Kind::Word(word)) => ExprKind::Word(word.clone()),
        Some(Kind::Sign("-")) => {
            let number = ahead.number().ok_or_else(|| wrong(&ahead))?;
            ExprKind::Number(number.saturating_neg())
        }
        Some(Kind::Sign("(")) => {
            *cursor = ahead;
            return parenthesis(cursor, place);
        }
        Some(Kind::Sign("[")) => {
            *cursor = ahead;
            return done(ExprKind::Set(set(cursor)?));
        }
        Some(Kind::Sign("[=")) => {
            *cursor = ahead;
            return done(ExprKind::Mask(mask(cursor)?));
        }
        Some(Kind::Sign(_)) | None => return Err(wrong(cursor)),
    };
    *cursor = ahead;
    done(kind)
}

fn wrong(cursor: &Cursor<'_>) -> Mistake {
    let what = match cursor.peek() {
        Some(kind) => format!("a value is expected, not `{kind}`"),
        None => "a value is expected, and nothing is left".to_owned(),
    };
    Mistake::new(cursor.place(), what)
}

/// After `(`: an expression, or a tuple.
fn parenthesis(cursor: &mut Cursor<'_>, place: Place) -> Parsed<Expr> {
    let first = expression(cursor)?;
    let mut all = vec![first];
    while cursor.eat(",") {
        all.push(expression(cursor)?);
    }
    cursor.expect(")")?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            all.extend(last);
            let kind = ExprKind::Tuple(all);
            Ok(Expr { kind, place })
        }
    }
}

/// After `[`.
fn set(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    let mut items = Vec::new();
    while !cursor.eat("]") {
        if !items.is_empty() {
            cursor.expect(",")?;
        }
        items.push(item(cursor)?);
    }
    Ok(items)
}

/// An item of a label of `case`.
pub(super) fn case_item(cursor: &mut Cursor<'_>) -> Parsed<Item> {
    item(cursor)
}

fn item(cursor: &mut Cursor<'_>) -> Parsed<Item> {
    // Many items make no expression deep.
    cursor.operators = cursor.operators.min(OPERATORS_MAX / 2);
    if let Some(net) = cursor.prefix() {
        return pattern(cursor, net);
    }
    if cursor.eat("(") {
        let mut parts = Vec::new();
        while !cursor.eat(")") {
            if !parts.is_empty() {
                cursor.expect(",")?;
            }
            parts.push(part(cursor)?);
        }
        // `(a, b)..(c, d)` has no simple form.
        return match cursor.peek_sign() {
            Some("..") => Err(wrong(cursor)),
            Some(_) | None => Ok(Item::Tuple(parts)),
        };
    }
    let first = level(cursor, 2)?;
    if cursor.eat("..") {
        return Ok(Item::Range(first, level(cursor, 2)?));
    }
    Ok(Item::One(first))
}

/// Lengths after a prefix.
fn pattern(cursor: &mut Cursor<'_>, net: IpNet) -> Parsed<Item> {
    let (length, max) = (net.prefix_len(), net.max_prefix_len());
    let item = |shortest, longest| Ok(Item::Prefix(net, shortest, longest));
    if cursor.eat("+") {
        return item(length, max);
    }
    if cursor.eat("-") {
        return item(0, length);
    }
    if !cursor.eat("{") {
        return item(length, length);
    }
    let place = cursor.place();
    let number = |cursor: &mut Cursor<'_>| {
        let number = cursor.number().and_then(|n| u8::try_from(n).ok());
        number.filter(|n| *n <= max)
    };
    let shortest = number(cursor);
    cursor.expect(",")?;
    let longest = number(cursor);
    cursor.expect("}")?;
    match (shortest, longest) {
        (Some(shortest), Some(longest)) => item(shortest, longest),
        (_, _) => Err(Mistake::new(place, format!("lengths are from 0 to {max}"))),
    }
}

fn part(cursor: &mut Cursor<'_>) -> Parsed<Part> {
    if cursor.eat("*") {
        return Ok(Part::Any);
    }
    let first = expression(cursor)?;
    if cursor.eat("..") {
        return Ok(Part::Range(first, expression(cursor)?));
    }
    Ok(Part::One(first))
}

/// After `[=`.
fn mask(cursor: &mut Cursor<'_>) -> Parsed<Vec<MaskItem>> {
    let mut items = Vec::new();
    while !cursor.eat("=]") {
        if cursor.eat("*") {
            items.push(MaskItem::Any);
        } else if cursor.eat("?") {
            items.push(MaskItem::Single);
        } else if cursor.peek_sign() == Some("[") {
            items.push(MaskItem::Set(unary(cursor)?));
        } else {
            let first = unary(cursor)?;
            items.push(if cursor.eat("..") {
                MaskItem::Range(first, unary(cursor)?)
            } else {
                MaskItem::One(first)
            });
        }
    }
    Ok(items)
}
