//! The words of a bird.conf, each with its place.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while, take_while_m_n};
use nom::character::complete::{char, digit1, hex_digit1, satisfy};
use nom::combinator::{map, map_res, recognize};
use nom::sequence::{delimited, pair, preceded};
use nom::{IResult, Parser};

use crate::Mistake;

/// A line of a file.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    /// Its number among the files read.
    pub(crate) file: u16,
    /// From 1.
    pub(crate) line: u32,
}

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A keyword or a name.
    Word(String),
    Number(i64),
    /// Between `"`.
    Text(String),
    Ip(IpAddr),
    Sign(&'static str),
}

/// Longer ones before their beginnings.
const SIGNS: [&str; 33] = [
    "[=", "=]", "&&", "||", "!=", "!~", "<=", ">=", "..", "->", "(", ")", "{", "}", "[", "]", ";",
    ",", ".", "=", "<", ">", "~", "!", "+", "-", "*", "/", "%", "?", ":", "|", "&",
];

/// Written as signs, but words: empty paths and lists.
const EMPTY: [&str; 4] = ["---empty---", "--empty--", "-empty-", "+empty+"];

/// Most octets of an IPv4 address, with one that makes it none.
const FOUR_MAX: usize = 16;
/// The same for IPv6, and the colon of a `case`.
const SIX_MAX: usize = 47;

/// Splits a text into its words.
pub(crate) fn lex(file: u16, text: &str) -> Result<Vec<Token>, Mistake> {
    let (mut rest, mut line, mut tokens) = (text, 1, Vec::new());
    loop {
        let place = Place { file, line };
        let after = blank(rest).map_err(|what| Mistake::new(place, what))?;
        line += lines(rest, after);
        rest = after;
        if rest.is_empty() {
            return Ok(tokens);
        }
        let place = Place { file, line };
        let (after, kind) = token(rest).map_err(|_| Mistake::new(place, strange(rest)))?;
        line += lines(rest, after);
        rest = after;
        tokens.push(Token { kind, place });
    }
}

/// Lines that begin between `before` and `after`, which is its end.
fn lines(before: &str, after: &str) -> u32 {
    let read = before.len().saturating_sub(after.len());
    let breaks = before.bytes().take(read).filter(|b| *b == b'\n').count();
    u32::try_from(breaks).unwrap_or(u32::MAX)
}

/// Leaves out spaces and comments.
fn blank(text: &str) -> Result<&str, &'static str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let (_, after) = comment
                .split_once("*/")
                .ok_or("a comment begins with `/*` and does not end")?;
            rest = after;
        } else {
            return Ok(rest);
        }
    }
}

fn strange(rest: &str) -> String {
    match rest.chars().next() {
        Some('"') => "a text begins with `\"` and does not end on this line".to_owned(),
        Some('\'') => "a name begins with `'` and does not end on this line".to_owned(),
        Some(c) if c.is_ascii_digit() => "this number is too large".to_owned(),
        Some(c) => format!("`{c}` has no place here"),
        None => "the file ends here".to_owned(),
    }
}

fn token(rest: &str) -> IResult<&str, Kind> {
    let empty = map(alt(EMPTY.map(tag)), |word: &str| {
        Kind::Word(word.to_owned())
    });
    let sign = |rest| {
        let found = SIGNS.iter().find_map(|sign| one(sign, rest));
        found.ok_or_else(|| nothing(rest))
    };
    alt((address, number, text, word, empty, sign)).parse(rest)
}

fn one<'a>(sign: &'static str, rest: &'a str) -> Option<(&'a str, Kind)> {
    Some((rest.strip_prefix(sign)?, Kind::Sign(sign)))
}

fn nothing(rest: &str) -> nom::Err<nom::error::Error<&str>> {
    nom::Err::Error(nom::error::Error::new(rest, nom::error::ErrorKind::Tag))
}

/// An address: all that could belong to it must.
fn address(rest: &str) -> IResult<&str, Kind> {
    let four = map_res(
        take_while_m_n(1, FOUR_MAX, |c: char| c.is_ascii_digit() || c == '.'),
        str::parse::<Ipv4Addr>,
    );
    alt((
        map(four, |ip| Kind::Ip(ip.into())),
        map(six, |ip| Kind::Ip(ip.into())),
    ))
    .parse(rest)
}

fn six(rest: &str) -> IResult<&str, Ipv6Addr> {
    let part = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
    let (after, run) = take_while_m_n(1, SIX_MAX, part).parse(rest)?;
    let colons = run.bytes().filter(|b| *b == b':').count();
    // The colon of `case` may follow.
    let trimmed = run.strip_suffix(':').filter(|run| !run.ends_with(':'));
    for run in [Some(run), trimmed].into_iter().flatten() {
        if let (true, Ok(ip)) = (colons >= 2, run.parse()) {
            return Ok((rest.get(run.len()..).unwrap_or(after), ip));
        }
    }
    Err(nothing(rest))
}

fn number(rest: &str) -> IResult<&str, Kind> {
    let hexadecimal = map_res(preceded(tag("0x"), hex_digit1), |digits| {
        i64::from_str_radix(digits, 16)
    });
    let decimal = map_res(digit1, str::parse::<i64>);
    map(alt((hexadecimal, decimal)), Kind::Number).parse(rest)
}

fn text(rest: &str) -> IResult<&str, Kind> {
    let inside = take_till(|c| c == '"' || c == '\n');
    map(delimited(char('"'), inside, char('"')), |text: &str| {
        Kind::Text(text.to_owned())
    })
    .parse(rest)
}

fn word(rest: &str) -> IResult<&str, Kind> {
    let plain = recognize(pair(
        satisfy(|c| c.is_ascii_alphabetic() || c == '_'),
        take_while(|c: char| c.is_ascii_alphanumeric() || c == '_'),
    ));
    let inside = take_till(|c| c == '\'' || c == '\n');
    let quoted = delimited(char('\''), inside, char('\''));
    map(alt((plain, quoted)), |word: &str| {
        Kind::Word(word.to_owned())
    })
    .parse(rest)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Sign(sign) => f.write_str(sign),
        }
    }
}

/// Most octets of a statement that a message quotes.
const QUOTED_MAX: usize = 80;

/// A statement as it is quoted in messages.
pub(crate) fn quote(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        let word = token.kind.to_string();
        let close = [";", ",", ")", ".", "]", "/"].contains(&word.as_str())
            || ["(", ".", "[", "/", "!"]
                .iter()
                .any(|open| text.ends_with(open))
            || word == "("
                && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && !text.ends_with("if");
        if !text.is_empty() && !close {
            text.push(' ');
        }
        text.push_str(&word);
        if text.len() > QUOTED_MAX {
            while text.len() > QUOTED_MAX {
                text.pop();
            }
            return format!("{} …", text.trim_end());
        }
    }
    text.trim_end_matches(';').to_owned()
}
