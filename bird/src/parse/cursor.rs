//! A place among words, and how one goes on from it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Mistake;
use crate::lexer::{Kind, Place, Token};

/// Words that are read one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [Token],
    /// Of the word before.
    last: Place,
    /// How deep expressions or statements lie within each other.
    pub(super) depth: usize,
    /// Operators since the statement began.
    pub(super) operators: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(rest: &'a [Token], last: Place) -> Self {
        Self {
            rest,
            last,
            depth: 0,
            operators: 0,
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.rest.first().map_or(self.last, |token| token.place)
    }

    pub(crate) fn peek(&self) -> Option<&'a Kind> {
        self.rest.first().map(|token| &token.kind)
    }

    pub(crate) fn peek_sign(&self) -> Option<&'static str> {
        match self.peek()? {
            Kind::Sign(sign) => Some(sign),
            Kind::Word(_) | Kind::Number(_) | Kind::Text(_) | Kind::Ip(_) => None,
        }
    }

    pub(crate) fn peek_word(&self) -> Option<&'a str> {
        match self.peek()? {
            Kind::Word(word) => Some(word),
            Kind::Sign(_) | Kind::Number(_) | Kind::Text(_) | Kind::Ip(_) => None,
        }
    }

    /// The sign after the next word.
    pub(crate) fn sign_after(&self) -> Option<&'static str> {
        match &self.rest.get(1)?.kind {
            Kind::Sign(sign) => Some(sign),
            Kind::Word(_) | Kind::Number(_) | Kind::Text(_) | Kind::Ip(_) => None,
        }
    }

    pub(crate) fn next(&mut self) -> Option<&'a Kind> {
        let (first, rest) = self.rest.split_first()?;
        self.last = first.place;
        self.rest = rest;
        Some(&first.kind)
    }

    /// The next word, if it is one.
    pub(crate) fn word(&mut self) -> Option<&'a str> {
        let word = self.peek_word()?;
        self.next();
        Some(word)
    }

    pub(crate) fn name(&mut self) -> Result<String, Mistake> {
        let place = self.place();
        let found = self.word().map(str::to_owned);
        found.ok_or_else(|| Mistake::new(place, format!("a name is expected{}", self.instead())))
    }

    pub(crate) fn number(&mut self) -> Option<i64> {
        match self.peek()? {
            Kind::Number(number) => {
                self.next();
                Some(*number)
            }
            Kind::Word(_) | Kind::Sign(_) | Kind::Text(_) | Kind::Ip(_) => None,
        }
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        match self.peek()? {
            Kind::Text(text) => {
                self.next();
                Some(text)
            }
            Kind::Word(_) | Kind::Sign(_) | Kind::Number(_) | Kind::Ip(_) => None,
        }
    }

    pub(crate) fn ip(&mut self) -> Option<IpAddr> {
        match self.peek()? {
            Kind::Ip(ip) => {
                self.next();
                Some(*ip)
            }
            Kind::Word(_) | Kind::Sign(_) | Kind::Number(_) | Kind::Text(_) => None,
        }
    }

    /// `10.0.0.0/8`.
    pub(crate) fn prefix(&mut self) -> Option<IpNet> {
        let mut ahead = self.clone();
        let ip = ahead.ip()?;
        if !ahead.eat("/") {
            return None;
        }
        let length = u8::try_from(ahead.number()?).ok()?;
        let net = IpNet::new(ip, length).ok()?.trunc();
        *self = ahead;
        Some(net)
    }

    /// Takes the sign, or the word, if it is next.
    pub(crate) fn eat(&mut self, what: &str) -> bool {
        let found = match self.peek() {
            Some(Kind::Sign(sign)) => *sign == what,
            Some(Kind::Word(word)) => word == what,
            Some(Kind::Number(_) | Kind::Text(_) | Kind::Ip(_)) | None => false,
        };
        if found {
            self.next();
        }
        found
    }

    /// Takes these words if all of them are next.
    pub(crate) fn eat_all(&mut self, words: &str) -> bool {
        let mut ahead = self.clone();
        let all = words.split(' ').all(|word| ahead.eat(word));
        if all {
            *self = ahead;
        }
        all
    }

    pub(crate) fn expect(&mut self, what: &str) -> Result<(), Mistake> {
        let place = self.place();
        let found = self.eat(what);
        found
            .then_some(())
            .ok_or_else(|| Mistake::new(place, format!("`{what}` is expected{}", self.instead())))
    }

    fn instead(&self) -> String {
        match self.peek() {
            Some(kind) => format!(", not `{kind}`"),
            None => ", and nothing is left".to_owned(),
        }
    }

    /// The words before the next such sign.
    pub(crate) fn until(&mut self, sign: &str) -> Vec<Token> {
        let mut words = Vec::new();
        while let Some(token) = self.rest.first() {
            if token.kind
                == Kind::Sign(match sign {
                    "{" => "{",
                    _ => ";",
                })
            {
                break;
            }
            words.push(token.clone());
            self.next();
        }
        words
    }

    /// The words between `{`, which is next, and its `}`.
    pub(crate) fn braced(&mut self) -> Result<&'a [Token], Mistake> {
        let (begins, inside) = (self.place(), self.rest.get(1..).unwrap_or_default());
        self.expect("{")?;
        let mut depth = 1_usize;
        let mut length = 0;
        while let Some(kind) = self.next() {
            match kind {
                Kind::Sign("{") => depth += 1,
                Kind::Sign("}") => depth -= 1,
                Kind::Sign(_) | Kind::Word(_) | Kind::Number(_) | Kind::Text(_) | Kind::Ip(_) => {}
            }
            if depth == 0 {
                return Ok(inside.get(..length).unwrap_or_default());
            }
            length += 1;
        }
        Err(Mistake::new(begins, "`{` is not closed"))
    }

    /// Whether nothing but a `;` is left.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.iter().all(|token| token.kind == Kind::Sign(";"))
    }

    /// The words from an earlier place to this one.
    pub(crate) fn since(&self, start: &Self) -> &'a [Token] {
        let length = start.rest.len().saturating_sub(self.rest.len());
        start.rest.get(..length).unwrap_or_default()
    }
}
