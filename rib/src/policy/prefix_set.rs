//! Sets of prefixes with ranges of lengths. A look-up costs one probe for each *length* among the patterns (at most 33
//! for IPv4 and 129 for IPv6), however many patterns there are.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;

use super::sets::Set;

/// Prefixes that lie within `net` and have `shortest..=longest` bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pattern {
    net: IpNet,
    shortest: u8,
    longest: u8,
}

/// A set of patterns.
#[derive(Debug, Default)]
pub(super) struct PrefixSet {
    ipv4: ByLength,
    ipv6: ByLength,
}

/// The patterns of a family: for each length of their nets, shortest first, the nets with the lengths that fit there.
#[derive(Debug, Default)]
struct ByLength {
    tables: Vec<(u8, HashMap<u128, u128, FixedState>)>,
    /// Length zero, which only the default route has, has no bit among [`lengths`].
    default_route: bool,
}

impl PrefixSet {
    pub(super) fn contains(&self, net: IpNet) -> bool {
        self.probes(net).any(|found| found)
    }

    pub(super) fn contains_address(&self, address: IpAddr) -> bool {
        self.contains(address.into())
    }

    /// Each place where `net` may be found, and whether it is there.
    pub(super) fn probes(&self, net: IpNet) -> impl Iterator<Item = bool> {
        let (patterns, (bits, len)) = (self.of(net), bits_and_length(net));
        let default_route = len == 0 && patterns.default_route;
        let candidates = patterns
            .tables
            .iter()
            .take_while(move |(short, _)| *short <= len);
        let probes = candidates.map(move |(short, nets)| {
            let fits = nets.get(&first_bits(bits, *short));
            fits.is_some_and(|fits| fits & lengths(len, len) != 0)
        });
        std::iter::once(default_route).chain(probes)
    }

    const fn of(&self, net: IpNet) -> &ByLength {
        match net {
            IpNet::V4(_) => &self.ipv4,
            IpNet::V6(_) => &self.ipv6,
        }
    }

    fn insert(&mut self, pattern: Pattern) {
        let patterns = match pattern.net {
            IpNet::V4(_) => &mut self.ipv4,
            IpNet::V6(_) => &mut self.ipv6,
        };
        let (bits, len) = bits_and_length(pattern.net);
        patterns.default_route |= pattern.shortest == 0;
        let at = match patterns.tables.binary_search_by_key(&len, |(len, _)| *len) {
            Ok(at) => at,
            Err(at) => {
                patterns.tables.insert(at, (len, HashMap::default()));
                at
            }
        };
        if let Some((_, nets)) = patterns.tables.get_mut(at) {
            *nets.entry(bits).or_default() |= lengths(pattern.shortest, pattern.longest);
        }
    }
}

impl Set for PrefixSet {
    type Item = Pattern;

    fn parse(text: &str, items: &mut Vec<Pattern>) -> Result<(), String> {
        items.push(Pattern::parse(text)?);
        Ok(())
    }

    fn build(items: Vec<Pattern>) -> Result<Self, String> {
        let mut set = Self::default();
        items.into_iter().for_each(|item| set.insert(item));
        Ok(set)
    }
}

impl Pattern {
    /// Reads `10.0.0.0/8`, followed by nothing, ` ge 16`, ` le 24`, ` ge 16 le 24`, `{16,24}` or `+`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (net, range) = text.split_at(text.find([' ', '{', '+']).unwrap_or(text.len()));
        let net = parse_net(net)?;
        let (shortest, longest) = parse_lengths(range.trim(), net).ok_or_else(|| {
            let (len, max) = (net.prefix_len(), net.max_prefix_len());
            format!(
                "`{range}` is no range of lengths: write `{net} le {max}`, `{net} ge {len} le {max}`, `{net}{{{len},{max}}}` or `{net}+`, with lengths from {len} to {max}"
            )
        })?;
        Ok(Self {
            net,
            shortest,
            longest,
        })
    }

    /// Reads an address, or a prefix that stands for the addresses in it.
    pub(super) fn parse_addresses(text: &str) -> Result<Self, String> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => parse_net(text).map_err(|why| {
                if text.contains('/') {
                    why
                } else {
                    format!("`{text}` is no address: write `10.0.0.1`, `2001:db8::1` or a prefix")
                }
            })?,
        };
        let host = net.max_prefix_len();
        Ok(Self {
            net,
            shortest: host,
            longest: host,
        })
    }
}

fn parse_net(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse().map_err(|_| {
        format!("`{text}` is no prefix: write an address and a length, as `10.0.0.0/8` or `2001:db8::/32`")
    })?;
    if net == net.trunc() {
        Ok(net)
    } else {
        Err(format!(
            "`{net}` has bits set beyond its length: write `{}`",
            net.trunc()
        ))
    }
}

fn parse_lengths(text: &str, net: IpNet) -> Option<(u8, u8)> {
    let (len, max) = (net.prefix_len(), net.max_prefix_len());
    let number = |word: &str| word.trim().parse::<u8>().ok();
    let words: Vec<&str> = text.split_whitespace().collect();
    let (shortest, longest) = match (words.as_slice(), text.strip_prefix('{')) {
        ([], _) => (len, len),
        (["+"], _) => (len, max),
        (["le", longest], _) => (len, number(longest)?),
        (["ge", shortest], _) => (number(shortest)?, max),
        (["ge", shortest, "le", longest], _) => (number(shortest)?, number(longest)?),
        (_, Some(braced)) => {
            let (shortest, longest) = braced.strip_suffix('}')?.split_once(',')?;
            (number(shortest)?, number(longest)?)
        }
        _ => return None,
    };
    (len <= shortest && shortest <= longest && longest <= max).then_some((shortest, longest))
}

/// The address from the left of the 128 bits, and the length.
fn bits_and_length(net: IpNet) -> (u128, u8) {
    match net {
        IpNet::V4(net) => (u128::from(u32::from(net.addr())) << 96, net.prefix_len()),
        IpNet::V6(net) => (u128::from(net.addr()), net.prefix_len()),
    }
}

fn first_bits(bits: u128, len: u8) -> u128 {
    bits & !u128::MAX.checked_shr(len.into()).unwrap_or(0)
}

/// The bits that stand for lengths: the lowest is length 1, the highest 128.
fn lengths(shortest: u8, longest: u8) -> u128 {
    let up_to = |len: u8| !u128::MAX.checked_shl(len.into()).unwrap_or(0);
    up_to(longest) & !up_to(shortest.saturating_sub(1))
}
