//! Policies and named sets as the operator writes them: plain data, which [`super::Policies::compile`] checks.
//!
//! Values are the texts of the file, so that every mistake in them is reported in one way, with its path. An item
//! `@NAME` of a list stands for the named set of that kind. Keys in the file are the fields' names with dashes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// `[sets]`: named sets, each kind with names of its own.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct SetsConfig {
    /// `[sets.prefixes]`: items as in [`MatchConfig::prefixes`].
    pub prefixes: BTreeMap<String, Vec<String>>,
    /// `[sets.as-paths]`: items as in [`MatchConfig::as_path`].
    pub as_paths: BTreeMap<String, Vec<String>>,
    /// `[sets.communities]`: items as in [`MatchConfig::communities`].
    pub communities: BTreeMap<String, Vec<String>>,
    /// `[sets.large-communities]`: items as in [`MatchConfig::large_communities`].
    pub large_communities: BTreeMap<String, Vec<String>>,
    /// `[sets.ext-communities]`: items as in [`MatchConfig::ext_communities`].
    pub ext_communities: BTreeMap<String, Vec<String>>,
}

/// `[[policy]]`.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct PolicyConfig {
    /// Its name; `accept` and `reject` are built in.
    pub name: String,
    /// What happens to a route on which no rule decided. `None`: the next policy of the chain has its say, or the
    /// rule after the one that jumped here.
    pub default: Option<Action>,
    /// `[[policy.rule]]`, asked in this order.
    pub rules: Vec<RuleConfig>,
}

/// `[[policy.rule]]`: a route that fulfils `match` gets what `set` says, then `then` happens.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct RuleConfig {
    /// `match`. An empty one fits every route.
    pub matches: MatchConfig,
    /// `set`.
    pub set: SetConfig,
    /// `then`.
    pub then: Then,
}

/// `match`: a route must fulfil all conditions that are given, and of each one of the items.
///
/// Numbers are conditions such as `"100"`, `"100-200"`, `"ge 100"`, `"le 200"`, `"ge 100 le 200"`. An attribute that
/// is absent counts as the decision process counts it: MED as 0, LOCAL_PREF as 100, AIGP as larger than any number.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct MatchConfig {
    /// `"10.0.0.0/8"` exactly, `"10.0.0.0/8 le 24"`, `"10.0.0.0/8 ge 16 le 24"`, `"10.0.0.0/8{16,24}"`,
    /// `"10.0.0.0/8+"` (with all that lies within).
    pub prefixes: Vec<String>,
    /// The prefix's length, a number.
    pub length: Vec<String>,
    /// Regular expressions over AS_PATH as text: `65001 65002 {65003,65004}`, confederation segments as `(65001 65002)`
    /// and `[65001,65002]`. `_` fits the beginning, the end and all that stands between AS numbers.
    pub as_path: Vec<String>,
    /// AS numbers that stand somewhere in AS_PATH.
    pub as_path_contains: Vec<String>,
    /// The AS that originated the route: the last one of AS_PATH, unless it is in a set.
    pub origin_as: Vec<String>,
    /// The AS that announced the route to us: the first one of AS_PATH, unless it is in a set.
    pub neighbor_as: Vec<String>,
    /// AS_PATH's length as the decision process counts it (RFC 4271 §9.1.2.2 a): a set is one, confederations none.
    pub as_path_length: Vec<String>,
    /// `"65001:100"`, `"65001:*"`, `"*:666"`, or a well-known name such as `"no-export"`.
    pub communities: Vec<String>,
    /// `"65001:1:2"`, `"65001:*:*"`.
    pub large_communities: Vec<String>,
    /// `"rt:65001:5"`, `"rt:*:*"`, `"soo:10.0.0.1:7"`.
    pub ext_communities: Vec<String>,
    /// Addresses, or prefixes in which the next hop lies.
    pub next_hop: Vec<String>,
    /// Addresses, or prefixes in which the peer's address lies.
    pub peer: Vec<String>,
    /// Names of peer groups.
    pub group: Vec<String>,
    /// `"ipv4"`, `"ipv6"`.
    pub family: Vec<String>,
    /// `"bgp"`, `"static"`, `"connected"`, `"kernel"`, `"api"`, `"originate"`, `"aggregate"`.
    pub source: Vec<String>,
    /// MULTI_EXIT_DISC, a number.
    pub med: Vec<String>,
    /// LOCAL_PREF, a number.
    pub local_pref: Vec<String>,
    /// `"igp"`, `"egp"`, `"incomplete"`.
    pub origin: Vec<String>,
    /// AIGP's metric, a number.
    pub aigp: Vec<String>,
    /// The route's tag, a number.
    pub tag: Vec<String>,
    /// Conditions that, all together, must not hold.
    pub not: Option<Box<Self>>,
}

/// `set`: what changes. Numbers are `"200"`, `"+10"`, `"-10"` or `"remove"`; sums stop at the ends of the range.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct SetConfig {
    /// LOCAL_PREF; `+` and `-` count from 100 where it is absent.
    pub local_pref: Option<String>,
    /// MULTI_EXIT_DISC; `+` and `-` count from 0 where it is absent.
    pub med: Option<String>,
    /// AIGP's metric; `+` and `-` leave a route without it alone.
    pub aigp: Option<String>,
    /// COMMUNITIES.
    pub communities: CommunitiesConfig,
    /// LARGE_COMMUNITY.
    pub large_communities: CommunitiesConfig,
    /// EXTENDED COMMUNITIES.
    pub ext_communities: CommunitiesConfig,
    /// AS numbers taken out of AS_PATH, and replaced in it.
    pub as_path: AsPathConfig,
    /// AS numbers put in front of AS_PATH.
    pub prepend: Option<PrependConfig>,
    /// `"igp"`, `"egp"`, `"incomplete"`.
    pub origin: Option<String>,
    /// `"self"`, or an address; routes of the other family keep theirs.
    pub next_hop: Option<String>,
    /// The tag that later rules see, and later policies: what import sets, export finds.
    pub tag: Option<u32>,
    /// The kernel's table. Only what `[fib]` names does anything with it, and with the next two.
    pub table: Option<u32>,
    /// The route's metric there.
    pub metric: Option<u32>,
    /// Its preferred source, an address; routes of the other family keep theirs.
    pub prefsrc: Option<String>,
}

/// A change of communities: first `replace`, then `remove`, then `add`.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct CommunitiesConfig {
    /// These take the place of all there are; an empty list drops them all.
    pub replace: Option<Vec<String>>,
    /// Dropped; wildcards and `@NAME` as in conditions.
    pub remove: Vec<String>,
    /// Added where they are not there yet.
    pub add: Vec<String>,
}

/// A change of AS_PATH. Which AS numbers: `"64512"`, `"64512-65534"`, `"private"` (RFC 6996).
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct AsPathConfig {
    /// Taken out, wherever they are.
    pub remove: Vec<String>,
    /// Replaced, each by one number.
    pub replace: Vec<String>,
    /// By which; our own by default.
    pub with: Option<u32>,
}

/// `prepend`.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct PrependConfig {
    /// Which AS number; our own by default.
    pub asn: Option<u32>,
    /// How often, 1..=[`super::MAX_PREPEND`]; once by default.
    pub count: Option<u8>,
}

/// What a policy decides.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// The route is taken.
    Accept,
    /// The route is dropped.
    Reject,
}

/// What happens after a rule that fits.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum Then {
    /// The decision is made.
    Decide(Action),
    /// The next rule is asked. This is what a rule without `then` does.
    #[default]
    Next,
    /// `{ policy = "name" }`: that policy is asked; if it does not decide, the next rule is.
    Policy(String),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
        })
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "accept" => Ok(Self::Accept),
            "reject" => Ok(Self::Reject),
            other => Err(format!(
                "`{other}` is no decision: write `accept` or `reject`"
            )),
        }
    }
}

impl FromStr for Then {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "next" => Ok(Self::Next),
            "accept" => Ok(Self::Decide(Action::Accept)),
            "reject" => Ok(Self::Decide(Action::Reject)),
            other => Err(format!(
                "`{other}` is nothing a rule can do: write `accept`, `reject`, `next` or `{{ policy = \"NAME\" }}`"
            )),
        }
    }
}
