//! `show route where …`: a condition as policies, for routes of which it is known who told them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ast::{Conf, Expr};
use crate::config::{Book, Context};
use crate::flow::{Constants, Facts, Filter, Lost, Way, World};
use crate::lexer::{Place, lex};
use crate::parse::{Cursor, expression};

/// A condition on routes.
#[derive(Clone, Debug)]
pub struct Condition(Expr);

/// What is known of a route beforehand.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    /// It is of IPv6.
    pub ipv6: bool,
    /// Where we have it from.
    pub source: RouteSource,
    /// The name of the protocol it is shown with.
    pub protocol: String,
    /// The peer that told it.
    pub from: Option<IpAddr>,
}

/// BIRD's words for where routes are from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RouteSource {
    /// `RTS_BGP`.
    Bgp,
    /// `RTS_STATIC`.
    Static,
    /// `RTS_DEVICE`.
    Device,
    /// `RTS_INHERIT`.
    Inherit,
}

impl RouteSource {
    const fn word(self) -> &'static str {
        match self {
            Self::Bgp => "RTS_BGP",
            Self::Static => "RTS_STATIC",
            Self::Device => "RTS_DEVICE",
            Self::Inherit => "RTS_INHERIT",
        }
    }
}

impl Condition {
    /// The name of the policy that it becomes.
    pub const POLICY: &'static str = "where";

    /// Reads a condition; nothing may follow it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = lex(0, text).map_err(|mistake| mistake.what)?;
        let mut cursor = Cursor::new(&tokens, Place::default());
        let expr = expression(&mut cursor).map_err(|mistake| mistake.what)?;
        match cursor.peek() {
            None => Ok(Self(expr)),
            Some(kind) => Err(format!("`{kind}` after the condition")),
        }
    }

    /// Policies in windrose's form, the first of which is named [`Condition::POLICY`]: they accept the routes of this
    /// origin that fulfil it.
    ///
    /// # Errors
    /// What of it cannot be asked.
    pub fn policies(&self, origin: &Origin) -> Result<String, String> {
        let (conf, names) = (Conf::default(), Vec::new());
        let world = World {
            conf: &conf,
            constants: Constants::of(&conf),
            tags: BTreeMap::new(),
            asked: RefCell::default(),
        };
        let mut context = Context::new(world, &names);
        let facts = Facts {
            six: origin.ipv6,
            way: Way::Import,
            net: None,
            source: Some(origin.source.word()),
            proto: Some(origin.protocol.clone()),
            from: origin.from,
        };
        let filter = Filter::Where(self.0.clone());
        let draft = context.translate(&filter, Place::default(), &facts);
        if let Some(what) = lost(&context.lost) {
            return Err(what);
        }
        let mut book = Book::default();
        book.write_as(Self::POLICY, &draft);
        let mut out = String::new();
        book.write(&context, &mut out);
        Ok(out)
    }
}

/// What of a condition was not understood.
fn lost(all: &Lost) -> Option<String> {
    let (_, what) = all.first()?;
    // How a filter goes on without it is no matter here.
    let what = what.split(": the filter goes on").next().unwrap_or(what);
    Some(format!("windrose cannot ask for {what}"))
}
