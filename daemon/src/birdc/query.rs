//! What a client typed.

use bgp_core::Family;
use bird::Condition;
use ipnet::IpNet;
use std::net::IpAddr;

/// Commands that change something, and are refused as under `birdc -r`.
const CHANGING: [&str; 10] = [
    "configure",
    "down",
    "disable",
    "enable",
    "restart",
    "reload",
    "graceful",
    "debug",
    "mrtdump",
    "dump",
];
/// The code of "Access denied".
const DENIED: u16 = 8007;
/// The code of a mistake in a command.
const SYNTAX: u16 = 9001;

/// A command that is understood, or why it is not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Query {
    Status,
    Protocols { all: bool, name: Option<String> },
    Routes(Routes),
    BfdSessions,
    Interfaces { summary: bool },
    Restrict,
    Nothing,
    Refused(u16, String),
}

/// `show route` and its words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Routes {
    /// This prefix alone.
    pub(super) prefix: Option<IpNet>,
    /// `in`: all within the prefix.
    pub(super) longer: bool,
    /// `for`: the longest prefix that covers this.
    pub(super) within: Option<IpNet>,
    /// `table`.
    pub(super) table: Option<Family>,
    /// `protocol`: by the name it is shown with.
    pub(super) protocol: Option<String>,
    /// `export`: what this one is told.
    pub(super) export: Option<String>,
    /// `noexport`: the best ones that this one is not told.
    pub(super) untold: Option<String>,
    /// `where`: those of which this holds.
    pub(super) condition: Option<String>,
    /// `filtered`: those that import does not take.
    pub(super) filtered: bool,
    /// `all`: with attributes.
    pub(super) all: bool,
    /// `primary`: best paths only.
    pub(super) primary: bool,
    /// `count`: only how many.
    pub(super) count: bool,
}

impl Routes {
    /// The tables that are asked for, by the names BIRD gives them.
    pub(super) fn tables(&self) -> impl Iterator<Item = (&'static str, Family)> + use<> {
        let of_prefix = |prefix: IpNet| match prefix {
            IpNet::V4(_) => Family::Ipv4Unicast,
            IpNet::V6(_) => Family::Ipv6Unicast,
        };
        let meant = self.prefix.or(self.within).map(of_prefix);
        let (meant, table) = (meant, self.table);
        let all = [
            ("master4", Family::Ipv4Unicast),
            ("master6", Family::Ipv6Unicast),
        ];
        all.into_iter().filter(move |(_, family)| {
            meant.is_none_or(|meant| meant == *family) && table.is_none_or(|table| table == *family)
        })
    }
}

fn wrong(word: Option<&str>) -> Query {
    Query::Refused(SYNTAX, unexpected(word))
}

/// What is said of a word that has no place there, or of none.
fn unexpected(word: Option<&str>) -> String {
    let shown = word.unwrap_or("END").chars();
    let shown: String = shown.filter(|c| !c.is_control()).take(64).collect();
    format!("syntax error, unexpected {shown}")
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Query {
    let line = line.trim().trim_end_matches(';');
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => Query::Nothing,
        ["restrict"] => Query::Restrict,
        ["echo", ..] => Query::Nothing,
        [word, ..] if CHANGING.contains(word) => Query::Refused(DENIED, "Access denied".to_owned()),
        ["show", "status"] => Query::Status,
        ["show", "protocols"] => protocols(false, None),
        ["show", "protocols", "all"] => protocols(true, None),
        ["show", "protocols", "all", name] | ["show", "protocols", name, "all"] => {
            protocols(true, Some(name))
        }
        ["show", "protocols", name] => protocols(false, Some(name)),
        ["show", "bfd", "sessions"] => Query::BfdSessions,
        ["show", "interfaces"] => Query::Interfaces { summary: false },
        ["show", "interfaces", "summary"] => Query::Interfaces { summary: true },
        ["show", "route", rest @ ..] => {
            routes(rest).map_or_else(|why| Query::Refused(SYNTAX, why), Query::Routes)
        }
        ["show"] => wrong(None),
        ["show", word, ..] | [word, ..] => wrong(Some(word)),
    }
}

fn protocols(all: bool, name: Option<&str>) -> Query {
    Query::Protocols {
        all,
        name: name.map(unquoted),
    }
}

fn unquoted(name: &str) -> String {
    name.trim_matches(['"', '\'']).to_owned()
}

fn routes(words: &[&str]) -> Result<Routes, String> {
    let mut asked = Routes::default();
    let mut rest = words;
    while let Some((&word, after)) = rest.split_first() {
        rest = after;
        let mut next = || {
            let (&word, after) = rest.split_first().ok_or_else(|| unexpected(None))?;
            rest = after;
            Ok::<_, String>(word)
        };
        match word {
            "all" => asked.all = true,
            "primary" => asked.primary = true,
            "count" => asked.count = true,
            "filtered" => asked.filtered = true,
            "in" => {
                asked.longer = true;
                asked.prefix = Some(prefix(next()?)?);
            }
            "for" => asked.within = Some(host(next()?)?),
            "protocol" => asked.protocol = Some(unquoted(next()?)),
            "export" => asked.export = Some(unquoted(next()?)),
            "noexport" => asked.untold = Some(unquoted(next()?)),
            "table" => {
                asked.table = match next()? {
                    "master4" => Some(Family::Ipv4Unicast),
                    "master6" => Some(Family::Ipv6Unicast),
                    "all" => None,
                    other => return Err(unexpected(Some(other))),
                }
            }
            "where" => {
                let (condition, after) = condition(rest)?;
                asked.condition = Some(condition);
                rest = after;
            }
            word => asked.prefix = Some(prefix(word)?),
        }
    }
    Ok(asked)
}

/// The words of a condition: as many as are one, and those after it.
fn condition<'a, 'b>(words: &'b [&'a str]) -> Result<(String, &'b [&'a str]), String> {
    let mut first = None;
    for count in (1..=words.len()).rev() {
        let (condition, after) = words.split_at_checked(count).unwrap_or((words, &[]));
        let text = condition.join(" ");
        match Condition::parse(&text) {
            Ok(_) => return Ok((text, after)),
            Err(why) => drop(first.get_or_insert(why)),
        }
    }
    let why = first.unwrap_or_else(|| "a condition is expected".to_owned());
    let shown: String = why.chars().filter(|c| !c.is_control()).collect();
    Err(format!("syntax error, {shown}"))
}

fn prefix(word: &str) -> Result<IpNet, String> {
    word.parse().map_err(|_| unexpected(Some(word)))
}

/// An address, or a prefix.
fn host(word: &str) -> Result<IpNet, String> {
    let address = word.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| word.parse::<IpNet>())
        .map_err(|_| unexpected(Some(word)))
}
