//! What expressions are worth: constants, or attributes of the route as they are now.

use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;

/// A value.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Value {
    Number(i64),
    Flag(bool),
    Text(String),
    Ip(IpAddr),
    Prefix(IpNet),
    /// The name of a value: `RTS_BGP`.
    Word(String),
    /// A community, a large one: its parts.
    Tuple(Vec<u32>),
    /// An extended community as windrose writes it.
    Extended(String),
    Set(Rc<Set>),
    Mask(Rc<Vec<MaskPart>>),
    /// An empty path or list.
    Empty,
    /// An attribute of the route, plus a number.
    Attribute(Attribute, i64),
    /// Nothing that is known; why.
    Unknown(String),
}

/// What filters read of a route.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Attribute {
    Net,
    NetIp,
    NetLength,
    NetType,
    Path,
    PathLength,
    FirstAs,
    LastAs,
    Med,
    LocalPref,
    NextHop,
    Origin,
    Communities,
    LargeCommunities,
    ExtCommunities,
    Source,
    Proto,
    From,
}

/// A set, and the name under which it was defined.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Set {
    pub(crate) name: Option<String>,
    pub(crate) items: Vec<SetItem>,
}

/// An item of a set.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum SetItem {
    Prefix(IpNet, u8, u8),
    Numbers(i64, i64),
    Ip(IpAddr),
    Word(String),
    Text(String),
    /// Each part from and to.
    Tuple(Vec<(u32, u32)>),
    /// As windrose writes them, perhaps with `*`.
    Extended(String),
}

/// A part of a path mask.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum MaskPart {
    /// Any number of ASes.
    Any,
    /// One AS.
    Single,
    /// One AS from this to that.
    From(u32, u32),
    /// One AS of these.
    Of(Vec<(u32, u32)>),
}

/// The largest AS number, and the largest part of a large community.
pub(crate) const NUMBER_MAX: u32 = u32::MAX;

impl Attribute {
    /// The key of windrose's `match` for it, where one compares numbers.
    pub(crate) const fn number_key(self) -> Option<&'static str> {
        match self {
            Self::NetLength => Some("length"),
            Self::PathLength => Some("as-path-length"),
            Self::FirstAs => Some("neighbor-as"),
            Self::LastAs => Some("origin-as"),
            Self::Med => Some("med"),
            Self::LocalPref => Some("local-pref"),
            Self::Net
            | Self::NetIp
            | Self::NetType
            | Self::Path
            | Self::NextHop
            | Self::Origin
            | Self::Communities
            | Self::LargeCommunities
            | Self::ExtCommunities
            | Self::Source
            | Self::Proto
            | Self::From => None,
        }
    }

    /// The largest number it can be.
    pub(crate) const fn number_max(self) -> i64 {
        match self {
            Self::NetLength => 128,
            Self::Net
            | Self::NetIp
            | Self::NetType
            | Self::Path
            | Self::PathLength
            | Self::FirstAs
            | Self::LastAs
            | Self::Med
            | Self::LocalPref
            | Self::NextHop
            | Self::Origin
            | Self::Communities
            | Self::LargeCommunities
            | Self::ExtCommunities
            | Self::Source
            | Self::Proto
            | Self::From => NUMBER_MAX as i64,
        }
    }
}

impl Value {
    pub(crate) fn unknown(what: impl Into<String>) -> Self {
        Self::Unknown(what.into())
    }

    pub(crate) const fn attribute(attribute: Attribute) -> Self {
        Self::Attribute(attribute, 0)
    }

    pub(crate) const fn as_number(&self) -> Option<i64> {
        if let Self::Number(number) = self {
            return Some(*number);
        }
        None
    }

    /// A number that an AS can have.
    pub(crate) fn as_asn(&self) -> Option<u32> {
        self.as_number()
            .and_then(|number| u32::try_from(number).ok())
    }

    pub(crate) const fn as_set(&self) -> Option<&Rc<Set>> {
        if let Self::Set(set) = self {
            return Some(set);
        }
        None
    }

    /// Whether it is worth the same whatever the route is.
    pub(crate) const fn is_constant(&self) -> bool {
        !matches!(self, Self::Attribute(..) | Self::Unknown(_))
    }
}

impl SetItem {
    /// Whether a prefix is among those that the item stands for.
    pub(crate) fn holds_prefix(&self, net: IpNet) -> bool {
        let Self::Prefix(base, shortest, longest) = self else {
            return false;
        };
        let length = net.prefix_len();
        let common = length.min(base.prefix_len());
        let same = |a: IpNet, b: IpNet| {
            let cut = |net: IpNet| IpNet::new(net.addr(), common).map(|net| net.trunc());
            a.max_prefix_len() == b.max_prefix_len() && cut(a).ok() == cut(b).ok()
        };
        *shortest <= length && length <= *longest && same(*base, net)
    }

    /// The patterns of windrose that stand for the same prefixes.
    pub(crate) fn patterns(&self) -> Vec<String> {
        let Self::Prefix(base, shortest, longest) = self else {
            return Vec::new();
        };
        let (length, max) = (base.prefix_len(), base.max_prefix_len());
        let mut all = Vec::new();
        // Shorter ones, which contain it.
        for shorter in *shortest..length.min(longest.saturating_add(1)) {
            let net = IpNet::new(base.addr(), shorter).map(|net| net.trunc());
            all.extend(net.ok().map(|net| net.to_string()));
        }
        if *longest >= length {
            all.push(match ((*shortest).max(length), *longest) {
                (from, to) if from > to => return all,
                (from, to) if from == length && to == length => base.to_string(),
                (from, to) if from == length && to == max => format!("{base}+"),
                (from, to) if from == length => format!("{base} le {to}"),
                (from, to) => format!("{base} ge {from} le {to}"),
            });
        }
        all
    }
}

impl Set {
    /// The patterns of windrose that stand for the same prefixes.
    pub(crate) fn patterns(&self) -> Vec<String> {
        self.items.iter().flat_map(SetItem::patterns).collect()
    }
}
