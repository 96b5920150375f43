//! Statements of filters. What cannot be read becomes a statement that says so, and reading goes on after it.

use super::cursor::Cursor;
use super::expression::{arguments, expression};
use crate::Mistake;
use crate::ast::{Expr, ExprKind, Stmt, StmtKind};
use crate::lexer::{Kind, Place, Token, quote};

/// How deep statements may lie within each other.
const DEPTH_MAX: usize = 32;

/// Types of variables.
const TYPES: [&str; 15] = [
    "int", "bool", "ip", "prefix", "pair", "quad", "ec", "lc", "string", "enum", "bgpmask",
    "bgppath", "clist", "eclist", "lclist",
];

type Parsed<T> = Result<T, Mistake>;

/// Reads the statements of a filter or function.
pub(crate) fn body(tokens: &[Token], place: Place) -> Vec<Stmt> {
    let mut cursor = Cursor::new(tokens, place);
    block(&mut cursor)
}

/// All statements up to the end.
fn block(cursor: &mut Cursor<'_>) -> Vec<Stmt> {
    let mut all = Vec::new();
    while cursor.peek().is_some() {
        all.push(statement_or_unknown(cursor));
    }
    all
}

fn statement_or_unknown(cursor: &mut Cursor<'_>) -> Stmt {
    let (start, place) = (cursor.clone(), cursor.place());
    match statement(cursor) {
        Ok(stmt) => stmt,
        Err(why) => {
            *cursor = start.clone();
            skip(cursor);
            let what = format!("`{}`: {}", quote(cursor.since(&start)), why.what);
            let kind = StmtKind::Unknown(what);
            Stmt { kind, place }
        }
    }
}

/// Goes behind the `;`, or the block, that ends this statement.
fn skip(cursor: &mut Cursor<'_>) {
    let mut depth = 0_usize;
    while let Some(kind) = cursor.next() {
        match kind {
            Kind::Sign("{" | "(" | "[" | "[=") => depth += 1,
            Kind::Sign("}" | ")" | "]" | "=]") => depth = depth.saturating_sub(1),
            Kind::Sign(_) | Kind::Word(_) | Kind::Number(_) | Kind::Text(_) | Kind::Ip(_) => {}
        }
        let ends = matches!(kind, Kind::Sign(";" | "}"));
        if depth == 0 && ends && cursor.peek_word() != Some("else") {
            return;
        }
    }
}

fn statement(cursor: &mut Cursor<'_>) -> Parsed<Stmt> {
    if cursor.depth >= DEPTH_MAX {
        let what = format!("statements lie more than {DEPTH_MAX} deep within each other");
        return Err(Mistake::new(cursor.place(), what));
    }
    cursor.depth += 1;
    cursor.operators = 0;
    let place = cursor.place();
    let read = kind(cursor);
    cursor.depth -= 1;
    Ok(Stmt { kind: read?, place })
}

fn kind(cursor: &mut Cursor<'_>) -> Parsed<StmtKind> {
    if cursor.eat(";") {
        return Ok(StmtKind::Nothing);
    }
    if cursor.peek_sign() == Some("{") {
        return braced(cursor).map(StmtKind::Block);
    }
    let start = cursor.clone();
    let word = cursor.name()?;
    let simple = match word.as_str() {
        "if" => return condition(cursor),
        "case" => return case(cursor),
        "accept" | "reject" => {
            // BIRD takes a text with it.
            while cursor.peek_sign() != Some(";") && cursor.peek().is_some() {
                expression(cursor)?;
                cursor.eat(",");
            }
            StmtKind::Decide(word == "accept")
        }
        "return" if cursor.peek_sign() == Some(";") => StmtKind::Return(None),
        "return" => StmtKind::Return(Some(expression(cursor)?)),
        "print" | "printn" => {
            skip(cursor);
            return Ok(StmtKind::Nothing);
        }
        "unset" => {
            cursor.expect("(")?;
            let name = cursor.name()?;
            cursor.expect(")")?;
            StmtKind::Change(name, "unset".to_owned(), Vec::new())
        }
        _ if cursor.peek_sign() == Some("(") => {
            let (place, arguments) = (start.place(), arguments(cursor)?);
            let kind = ExprKind::Call(word, arguments);
            StmtKind::Call(Expr { kind, place })
        }
        _ if cursor.eat("=") => StmtKind::Assign(word, expression(cursor)?),
        _ if cursor.eat(".") => {
            let method = cursor.name()?;
            let arguments = match cursor.peek_sign() {
                Some("(") => arguments(cursor)?,
                Some(_) | None => Vec::new(),
            };
            StmtKind::Change(word, method, arguments)
        }
        _ if TYPES.contains(&word.as_str()) => declaration(cursor)?,
        _ => {
            let what = format!("`{word}` begins no statement that is known");
            return Err(Mistake::new(start.place(), what));
        }
    };
    end(cursor)?;
    Ok(simple)
}

/// `;`, which may be missing at the end of a block.
fn end(cursor: &mut Cursor<'_>) -> Parsed<()> {
    match cursor.peek() {
        None => Ok(()),
        Some(_) => cursor.expect(";"),
    }
}

/// `int set x = …`: the name is the last word before `=` or `;`.
fn declaration(cursor: &mut Cursor<'_>) -> Parsed<StmtKind> {
    let mut name = cursor.name()?;
    while let Some(next) = cursor.word() {
        name = next.to_owned();
    }
    let value = match cursor.eat("=") {
        true => Some(expression(cursor)?),
        false => None,
    };
    Ok(StmtKind::Declare(name, value))
}

fn braced(cursor: &mut Cursor<'_>) -> Parsed<Vec<Stmt>> {
    let (place, depth) = (cursor.place(), cursor.depth);
    let mut inside = Cursor::new(cursor.braced()?, place);
    inside.depth = depth;
    Ok(block(&mut inside))
}

fn condition(cursor: &mut Cursor<'_>) -> Parsed<StmtKind> {
    let mut arms = Vec::new();
    loop {
        cursor.operators = 0;
        let test = expression(cursor)?;
        cursor.expect("then")?;
        arms.push((test, statement(cursor)?));
        if !cursor.eat("else") {
            return Ok(StmtKind::If(arms, None));
        }
        if !cursor.eat("if") {
            let otherwise = statement(cursor)?;
            return Ok(StmtKind::If(arms, Some(Box::new(otherwise))));
        }
    }
}

/// `case x { 1, 2: …; else: …; }`.
fn case(cursor: &mut Cursor<'_>) -> Parsed<StmtKind> {
    let of = expression(cursor)?;
    let (place, depth) = (cursor.place(), cursor.depth);
    let mut inside = Cursor::new(cursor.braced()?, place);
    inside.depth = depth;
    let (mut arms, mut otherwise) = (Vec::new(), Vec::new());
    while inside.peek().is_some() {
        if inside.peek_word() == Some("else") && inside.sign_after() == Some(":") {
            inside.next();
            inside.next();
            otherwise = arm(&mut inside);
            continue;
        }
        let labels = label(&mut inside)?;
        arms.push((labels, arm(&mut inside)));
    }
    Ok(StmtKind::Case(of, arms, otherwise))
}

/// `1, 3..5:` as a set.
fn label(cursor: &mut Cursor<'_>) -> Parsed<Expr> {
    let place = cursor.place();
    let mut items = Vec::new();
    loop {
        cursor.operators = 0;
        items.push(super::expression::case_item(cursor)?);
        if cursor.eat(":") {
            let kind = ExprKind::Set(items);
            return Ok(Expr { kind, place });
        }
        cursor.expect(",")?;
    }
}

/// Statements up to the next label.
fn arm(cursor: &mut Cursor<'_>) -> Vec<Stmt> {
    let mut all = Vec::new();
    while cursor.peek().is_some() && !is_label(cursor) {
        all.push(statement_or_unknown(cursor));
    }
    all
}

fn is_label(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    match ahead.peek_word() {
        Some("else") => ahead.sign_after() == Some(":"),
        Some("if" | "case" | "accept" | "reject" | "return" | "print" | "printn") => false,
        Some(_) | None => label(&mut ahead).is_ok(),
    }
}
