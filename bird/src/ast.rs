//! What a bird.conf says, before anybody asks what it means.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::lexer::{Place, Token};

/// A whole configuration, included files and all.
#[derive(Debug, Default)]
pub(crate) struct Conf {
    /// `router id`, as it stands.
    pub(crate) router_id: Option<Entry>,
    /// `define`, in order.
    pub(crate) defines: Vec<(String, Expr)>,
    pub(crate) functions: BTreeMap<String, Function>,
    pub(crate) filters: BTreeMap<String, Vec<Stmt>>,
    /// Protocols and templates, in order.
    pub(crate) protocols: Vec<Protocol>,
    /// Whatever else stands at the top.
    pub(crate) others: Vec<Entry>,
}

/// Words up to a `;`, or to the `}` that ends them.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) tokens: Vec<Token>,
    pub(crate) place: Place,
}

/// `protocol KIND NAME from TEMPLATE { … }`, or a template.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) template: bool,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) from: Option<String>,
    pub(crate) body: Vec<Entry>,
    pub(crate) place: Place,
}

/// `function NAME(…) { … }`.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) parameters: Vec<String>,
    pub(crate) body: Vec<Stmt>,
}

/// A statement of a filter.
#[derive(Clone, Debug)]
pub(crate) struct Stmt {
    pub(crate) kind: StmtKind,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum StmtKind {
    /// `accept`, or `reject`.
    Decide(bool),
    Return(Option<Expr>),
    /// `if … then … else if … then … else …`.
    If(Vec<(Expr, Stmt)>, Option<Box<Stmt>>),
    /// `case`; the last list is that of `else`.
    Case(Expr, Vec<(Expr, Vec<Stmt>)>, Vec<Stmt>),
    Block(Vec<Stmt>),
    /// A variable, perhaps with a value.
    Declare(String, Option<Expr>),
    /// `NAME = …`.
    Assign(String, Expr),
    /// `NAME.METHOD(…)`.
    Change(String, String, Vec<Expr>),
    /// A function for what it does.
    Call(Expr),
    /// `print`, and empty statements.
    Nothing,
    /// What cannot be read.
    Unknown(String),
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Number(i64),
    Text(String),
    Ip(std::net::IpAddr),
    Prefix(IpNet),
    /// A constant, a variable, an attribute, a value's name.
    Word(String),
    /// A variable, found.
    Slot(usize),
    /// `(a, b)`, `(a, b, c)`.
    Tuple(Vec<Expr>),
    Set(Vec<Item>),
    /// `[= … =]`.
    Mask(Vec<MaskItem>),
    Not(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    /// `x.NAME`, `x.NAME(…)`.
    Method(Box<Expr>, String, Vec<Expr>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Op {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
    Plus,
    Minus,
    Times,
    Divide,
}

/// An item of a set.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// `10.0.0.0/8{16,24}`: the prefix, and the shortest and longest lengths.
    Prefix(IpNet, u8, u8),
    One(Expr),
    Range(Expr, Expr),
    /// `(65001, *)`.
    Tuple(Vec<Part>),
}

/// A part of a tuple in a set.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Any,
    One(Expr),
    Range(Expr, Expr),
}

/// An item of a path mask.
#[derive(Clone, Debug)]
pub(crate) enum MaskItem {
    /// `*`.
    Any,
    /// `?`.
    Single,
    One(Expr),
    Range(Expr, Expr),
    /// `[…]`: one AS of these.
    Set(Expr),
}
