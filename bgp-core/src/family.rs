//! Address families: the pairs of AFI and SAFI we speak (RFC 4760 §6).

use std::fmt;
use std::str::FromStr;

/// An address family we route. Others are kept as numbers where a message lists them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4Unicast,
    /// AFI 2, SAFI 1.
    Ipv6Unicast,
}

/// Something that exists once for each [`Family`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct PerFamily<T> {
    /// For [`Family::Ipv4Unicast`].
    pub ipv4: T,
    /// For [`Family::Ipv6Unicast`].
    pub ipv6: T,
}

impl<T> PerFamily<T> {
    /// The one of `family`.
    pub const fn get(&self, family: Family) -> &T {
        match family {
            Family::Ipv4Unicast => &self.ipv4,
            Family::Ipv6Unicast => &self.ipv6,
        }
    }

    /// The one of `family`, to change it.
    pub const fn get_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::Ipv4Unicast => &mut self.ipv4,
            Family::Ipv6Unicast => &mut self.ipv6,
        }
    }
}

impl Family {
    /// Every family, in the order of their AFI.
    pub const ALL: [Self; 2] = [Self::Ipv4Unicast, Self::Ipv6Unicast];

    /// The AFI and the SAFI.
    #[must_use]
    pub const fn numbers(self) -> (u16, u8) {
        match self {
            Self::Ipv4Unicast => (1, 1),
            Self::Ipv6Unicast => (2, 1),
        }
    }

    /// The family of these numbers, if we speak it.
    #[must_use]
    pub const fn from_numbers(afi: u16, safi: u8) -> Option<Self> {
        match (afi, safi) {
            (1, 1) => Some(Self::Ipv4Unicast),
            (2, 1) => Some(Self::Ipv6Unicast),
            _ => None,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Unicast => "ipv4",
            Self::Ipv6Unicast => "ipv6",
        })
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "ipv4" => Ok(Self::Ipv4Unicast),
            "ipv6" => Ok(Self::Ipv6Unicast),
            other => Err(format!("`{other}` is no family: write `ipv4` or `ipv6`")),
        }
    }
}
