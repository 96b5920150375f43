//! From words to [`Conf`]: statements at the top, each read as far as it is understood.

mod cursor;
mod expression;
mod statement;

use crate::Mistake;
use crate::ast::{Conf, Entry, Function, Protocol};
use crate::lexer::{Kind, Place, Token};

pub(crate) use cursor::Cursor;
pub(crate) use expression::expression;
pub(crate) use statement::body;

/// Reads all statements at the top.
pub(crate) fn conf(tokens: &[Token]) -> Result<Conf, Mistake> {
    let mut conf = Conf::default();
    for entry in entries(tokens)? {
        top(entry, &mut conf)?;
    }
    Ok(conf)
}

/// Splits words into statements: each ends with `;`, or with the `}` that closes it.
pub(crate) fn entries(tokens: &[Token]) -> Result<Vec<Entry>, Mistake> {
    let (mut all, mut words, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for token in tokens {
        let Kind::Sign(sign) = token.kind else {
            words.push(token.clone());
            continue;
        };
        match sign {
            "{" | "(" | "[" | "[=" => open.push((sign, token.place)),
            "}" | ")" | "]" | "=]" => {
                let begins = open.pop().map(|(sign, _)| sign);
                if begins != opener(sign) {
                    return Err(Mistake::new(
                        token.place,
                        format!("`{sign}` closes nothing"),
                    ));
                }
            }
            _ => {}
        }
        // A lone `;` belongs to the statement before.
        if sign != ";" || !words.is_empty() {
            words.push(token.clone());
        }
        // Variables of a function stand before its brace.
        let whole = sign == "}" || sign == ";" && !begins_function(&words);
        if open.is_empty() && whole {
            push(std::mem::take(&mut words), &mut all);
        }
    }
    if let Some((sign, place)) = open.pop() {
        return Err(Mistake::new(place, format!("`{sign}` is not closed")));
    }
    push(words, &mut all);
    Ok(all)
}

fn begins_function(words: &[Token]) -> bool {
    let first = words.first().map(|token| &token.kind);
    matches!(first, Some(Kind::Word(word)) if word == "function" || word == "filter")
}

fn push(tokens: Vec<Token>, all: &mut Vec<Entry>) {
    if let Some(place) = tokens.first().map(|token| token.place) {
        all.push(Entry { tokens, place });
    }
}

fn opener(closer: &str) -> Option<&'static str> {
    match closer {
        "}" => Some("{"),
        ")" => Some("("),
        "]" => Some("["),
        "=]" => Some("[="),
        _ => None,
    }
}

fn top(entry: Entry, conf: &mut Conf) -> Result<(), Mistake> {
    let mut cursor = Cursor::new(&entry.tokens, entry.place);
    match cursor.word().unwrap_or_default() {
        "define" => match define(&mut cursor) {
            Ok(define) => conf.defines.push(define),
            Err(_) => conf.others.push(entry),
        },
        "function" => {
            let (name, function) = function(&mut cursor)?;
            conf.functions.insert(name, function);
        }
        "filter" => {
            let name = cursor.name()?;
            let body = braced_after_declarations(&mut cursor)?;
            conf.filters.insert(name, body);
        }
        "protocol" | "template" => {
            let count = conf.protocols.len();
            conf.protocols.push(protocol(&entry, count)?);
        }
        "router" => conf.router_id = Some(entry),
        _ => conf.others.push(entry),
    }
    Ok(())
}

fn define(cursor: &mut Cursor<'_>) -> Result<(String, crate::ast::Expr), Mistake> {
    let name = cursor.name()?;
    cursor.expect("=")?;
    let value = expression(cursor)?;
    cursor.expect(";")?;
    Ok((name, value))
}

fn function(cursor: &mut Cursor<'_>) -> Result<(String, Function), Mistake> {
    let name = cursor.name()?;
    cursor.expect("(")?;
    let (mut parameters, mut last) = (Vec::new(), None);
    while !cursor.eat(")") {
        if cursor.eat(";") || cursor.eat(",") {
            parameters.extend(last.take());
        } else {
            last = Some(cursor.name()?);
        }
    }
    parameters.extend(last);
    let body = braced_after_declarations(cursor)?;
    Ok((name, Function { parameters, body }))
}

/// `int x; int y; { … }`: the variables may stand before the brace.
fn braced_after_declarations(cursor: &mut Cursor<'_>) -> Result<Vec<crate::ast::Stmt>, Mistake> {
    let place = cursor.place();
    let before = cursor.until("{");
    let inside = cursor.braced()?;
    let mut declarations = before;
    // What a function returns is no matter: `-> bool`.
    if declarations
        .first()
        .is_some_and(|t| t.kind == Kind::Sign("->"))
    {
        declarations.clear();
    }
    declarations.extend_from_slice(inside);
    Ok(body(&declarations, place))
}

fn protocol(entry: &Entry, count: usize) -> Result<Protocol, Mistake> {
    let mut cursor = Cursor::new(&entry.tokens, entry.place);
    let template = cursor.word() == Some("template");
    let kind = cursor.name()?;
    let (mut name, mut from) = (None, None);
    while cursor.peek_sign() != Some("{") {
        let word = cursor.name()?;
        match (word.as_str(), &name) {
            ("from", _) => from = Some(cursor.name()?),
            // `protocol static ipv4 x`, as some kinds have it.
            (_, _) => name = Some(word),
        }
    }
    let place: Place = entry.place;
    let body = entries(cursor.braced()?)?;
    Ok(Protocol {
        template,
        name: name.unwrap_or_else(|| format!("{kind}{}", count + 1)),
        kind,
        from,
        body,
        place,
    })
}
