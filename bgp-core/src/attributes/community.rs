//! Communities in all their sizes, spelled as operators spell them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use smallvec::SmallVec;

/// So many large communities are looked through one by one.
const FEW: usize = 16;

/// A community (RFC 1997): `65001:100`, a well-known name, or a number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Community(pub u32);

/// An extended community (RFC 4360): `rt:65001:5`, `soo:10.0.0.1:5`, `lb:65001:125000`, or `0x` and 16 digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// An IPv6 address specific extended community (RFC 5701): `0x` and 40 digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ipv6ExtendedCommunity(pub [u8; 20]);

/// A large community (RFC 8092 §3): `65001:1:2`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LargeCommunity {
    /// Global Administrator: an AS number.
    pub global: u32,
    /// Local Data Part 1.
    pub local1: u32,
    /// Local Data Part 2.
    pub local2: u32,
}

impl LargeCommunity {
    /// Each of them once, where it stands first (RFC 8092 §3).
    pub fn distinct(all: impl IntoIterator<Item = Self>) -> SmallVec<[Self; 2]> {
        let mut distinct: SmallVec<[Self; 2]> = SmallVec::new();
        let mut seen = BTreeSet::new();
        for one in all {
            // Nearly always there are few.
            let is_new = if distinct.len() < FEW {
                !distinct.contains(&one)
            } else {
                if seen.is_empty() {
                    seen.extend(&distinct);
                }
                seen.insert(one)
            };
            if is_new {
                distinct.push(one);
            }
        }
        distinct
    }
}

macro_rules! well_known {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl Community {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            const WELL_KNOWN: &[(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

well_known! {
    /// RFC 8326 §5: this path is about to go.
    GRACEFUL_SHUTDOWN = 0xffff_0000, "graceful-shutdown";
    /// RFC 7611 §3.1.
    ACCEPT_OWN = 0xffff_0001, "accept-own";
    /// RFC 9494 §4.6: stale, kept by long-lived graceful restart.
    LLGR_STALE = 0xffff_0006, "llgr-stale";
    /// RFC 9494 §4.6: not to be kept by long-lived graceful restart.
    NO_LLGR = 0xffff_0007, "no-llgr";
    /// RFC 7999 §5: discard the traffic.
    BLACKHOLE = 0xffff_029a, "blackhole";
    /// RFC 1997: not beyond this AS, or this confederation.
    NO_EXPORT = 0xffff_ff01, "no-export";
    /// RFC 1997: to no peer.
    NO_ADVERTISE = 0xffff_ff02, "no-advertise";
    /// RFC 1997: to no external peer, those of our confederation included.
    NO_EXPORT_SUBCONFED = 0xffff_ff03, "no-export-subconfed";
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::WELL_KNOWN.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

impl FromStr for Community {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        if let Some((known, _)) = Self::WELL_KNOWN.iter().find(|(_, name)| *name == s) {
            return Ok(*known);
        }
        let parsed = match s.split_once(':') {
            Some((asn, value)) => {
                pair::<u16, u16>(asn, value).map(|(a, v)| u32::from(a) << 16 | u32::from(v))
            }
            None => s.parse().ok(),
        };
        parsed.map(Self).ok_or_else(|| {
            format!("`{s}` is no community: write two numbers up to 65535 as in `65001:100`, or a name as `no-export`")
        })
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for LargeCommunity {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let parse = || {
            let (global, rest) = s.split_once(':')?;
            let (local1, local2) = rest.split_once(':')?;
            let (local1, local2) = pair(local1, local2)?;
            let global = global.parse().ok()?;
            Some(Self {
                global,
                local1,
                local2,
            })
        };
        parse().ok_or_else(|| {
            format!("`{s}` is no large community: write three numbers as in `65001:1:2`")
        })
    }
}

/// Type of a Two-Octet AS Specific extended community (RFC 4360 §3.1).
const TWO_OCTET_AS: u8 = 0x00;
/// IPv4 Address Specific (RFC 4360 §3.2).
const IPV4_ADDRESS: u8 = 0x01;
/// Four-Octet AS Specific (RFC 5668 §2).
const FOUR_OCTET_AS: u8 = 0x02;
/// Two-Octet AS Specific, not transitive.
const TWO_OCTET_AS_LOCAL: u8 = 0x40;
/// Route Target (RFC 4360 §4).
const ROUTE_TARGET: u8 = 0x02;
/// Route Origin, known as site of origin (RFC 4360 §5).
const ROUTE_ORIGIN: u8 = 0x03;
/// Link Bandwidth (draft-ietf-idr-link-bandwidth §2).
const LINK_BANDWIDTH: u8 = 0x04;

impl ExtendedCommunity {
    /// LINK_BANDWIDTH: `bytes_per_second` over the link of `asn`.
    #[must_use]
    pub fn link_bandwidth(asn: u16, bytes_per_second: f32) -> Self {
        let [a, b] = asn.to_be_bytes();
        let [w, x, y, z] = bytes_per_second.to_be_bytes();
        Self([TWO_OCTET_AS_LOCAL, LINK_BANDWIDTH, a, b, w, x, y, z])
    }

    /// The AS and the bytes a second of a LINK_BANDWIDTH that makes sense: finite, and not below zero.
    #[must_use]
    pub fn as_link_bandwidth(self) -> Option<(u16, f32)> {
        let [TWO_OCTET_AS_LOCAL, LINK_BANDWIDTH, a, b, w, x, y, z] = self.0 else {
            return None;
        };
        let rate = f32::from_be_bytes([w, x, y, z]);
        let sensible = rate.is_finite() && rate.is_sign_positive();
        sensible.then_some((u16::from_be_bytes([a, b]), rate))
    }

    /// Whether it may leave the AS (RFC 4360 §2: the T bit).
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        let [kind, ..] = self.0;
        kind & 0x40 == 0
    }

    fn route(subtype: u8, administrator: &str, value: &str) -> Option<Self> {
        if let Some((asn, value)) = pair::<u16, u32>(administrator, value) {
            let ([a, b], [w, x, y, z]) = (asn.to_be_bytes(), value.to_be_bytes());
            return Some(Self([TWO_OCTET_AS, subtype, a, b, w, x, y, z]));
        }
        let (kind, [a, b, c, d]) = match administrator.parse::<Ipv4Addr>() {
            Ok(address) => (IPV4_ADDRESS, address.octets()),
            Err(_) => (FOUR_OCTET_AS, four_octet_as(administrator)?.to_be_bytes()),
        };
        let [y, z] = value.parse::<u16>().ok()?.to_be_bytes();
        Some(Self([kind, subtype, a, b, c, d, y, z]))
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((asn, rate)) = self.as_link_bandwidth() {
            return write!(f, "lb:{asn}:{rate}");
        }
        let [kind, subtype, a, b, c, d, y, z] = self.0;
        let name = match subtype {
            ROUTE_TARGET => "rt",
            ROUTE_ORIGIN => "soo",
            _ => return hex(&self.0, f),
        };
        let low = u16::from_be_bytes([y, z]);
        match kind {
            TWO_OCTET_AS => {
                let (asn, value) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, y, z]));
                write!(f, "{name}:{asn}:{value}")
            }
            IPV4_ADDRESS => write!(f, "{name}:{}:{low}", Ipv4Addr::new(a, b, c, d)),
            // A small AS number in four octets is not the same community as in two: asdot tells them apart (RFC 5396).
            FOUR_OCTET_AS => match u32::from_be_bytes([a, b, c, d]) {
                asn @ ..=0xffff => write!(f, "{name}:0.{asn}:{low}"),
                asn => write!(f, "{name}:{asn}:{low}"),
            },
            _ => hex(&self.0, f),
        }
    }
}

impl FromStr for ExtendedCommunity {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let parse = || {
            if let Some(digits) = s.strip_prefix("0x") {
                return from_hex(digits).map(Self);
            }
            let (name, rest) = s.split_once(':')?;
            let (administrator, value) = rest.split_once(':')?;
            match name {
                "rt" => Self::route(ROUTE_TARGET, administrator, value),
                "soo" => Self::route(ROUTE_ORIGIN, administrator, value),
                "lb" => {
                    let (asn, rate) = pair::<u16, f32>(administrator, value)?;
                    let community = Self::link_bandwidth(asn, rate);
                    community.as_link_bandwidth().map(|_| community)
                }
                _ => None,
            }
        };
        parse().ok_or_else(|| {
            format!(
                "`{s}` is no extended community: write `rt:65001:5`, `soo:65001:5`, `lb:65001:125000`, or `0x` and 16 hex digits"
            )
        })
    }
}

impl fmt::Display for Ipv6ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl FromStr for Ipv6ExtendedCommunity {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let octets = s.strip_prefix("0x").and_then(from_hex);
        octets.map(Self).ok_or_else(|| {
            format!("`{s}` is no IPv6 extended community: write `0x` and 40 hex digits")
        })
    }
}

fn pair<A: FromStr, B: FromStr>(a: &str, b: &str) -> Option<(A, B)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// Plain or asdot (RFC 5396).
fn four_octet_as(s: &str) -> Option<u32> {
    match s.split_once('.') {
        Some((high, low)) => {
            let (high, low) = pair::<u16, u16>(high, low)?;
            Some(u32::from(high) << 16 | u32::from(low))
        }
        None => s.parse().ok(),
    }
}

fn hex(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("0x")?;
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

fn from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != N * 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut octets = [0; N];
    for (i, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(digits.get(i * 2..i * 2 + 2)?, 16).ok()?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests;
