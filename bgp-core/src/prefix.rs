//! Prefixes as small keys: five bytes' worth for IPv4, seventeen for IPv6 (RFC 4271 §4.3).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::Family;

/// What the tables are generic over: a prefix of one family.
#[expect(clippy::len_without_is_empty, reason = "a mask length, not a size")]
pub trait Prefix:
    Copy + Eq + Hash + Ord + fmt::Debug + fmt::Display + Into<IpNet> + 'static
{
    /// The family of such prefixes.
    const FAMILY: Family;
    /// Bits in an address.
    const BITS: u8;

    /// The mask length, `0..=BITS`.
    fn len(self) -> u8;
    /// The address's octets, four or sixteen; bits beyond [`Prefix::len`] are zero.
    fn octets(&self) -> &[u8];
    /// A prefix of at most `BITS` bits, from at least as many octets as its length needs (RFC 4271 §4.3);
    /// bits beyond `len` are cleared. `None` if `len` is too large or octets are missing.
    fn from_octets(octets: &[u8], len: u8) -> Option<Self>;
    /// The same prefix as the standard's type, if it is of this family; host bits are cleared.
    fn from_net(net: IpNet) -> Option<Self>;

    /// Whether `other` is this prefix or lies within it.
    fn covers(self, other: Self) -> bool {
        self.len() <= other.len() && Self::from_octets(other.octets(), self.len()) == Some(self)
    }
}

/// An IPv4 prefix.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ipv4Prefix {
    octets: [u8; 4],
    len: u8,
}

/// One word: tables hash nothing more often.
impl Hash for Ipv4Prefix {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(u32::from_be_bytes(self.octets)) << 8 | u64::from(self.len));
    }
}

/// An IPv6 prefix.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ipv6Prefix {
    octets: [u8; 16],
    len: u8,
}

/// Two words; the length is mixed into the half that is mostly zero.
impl Hash for Ipv6Prefix {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let addr = u128::from_be_bytes(self.octets);
        #[expect(clippy::cast_possible_truncation, reason = "each word takes its half")]
        let (high, low) = ((addr >> 64) as u64, addr as u64);
        state.write_u64(high);
        state.write_u64(low.wrapping_add(u64::from(self.len)));
    }
}

macro_rules! prefix {
    ($name:ident, $family:ident, $bits:literal, $word:ty, $octets:literal, $net:ident, $addr:ident, $variant:ident) => {
        impl $name {
            /// `addr/len` with the host bits cleared; `None` if `len` is too large.
            #[must_use]
            pub fn new(addr: $addr, len: u8) -> Option<Self> {
                if len > $bits {
                    return None;
                }
                let mask = <$word>::MAX
                    .checked_shl(u32::from($bits - len))
                    .unwrap_or(0);
                let octets = (<$word>::from(addr) & mask).to_be_bytes();
                Some(Self { octets, len })
            }

            /// The address, host bits zero.
            #[must_use]
            pub fn addr(self) -> $addr {
                $addr::from(self.octets)
            }
        }

        impl Prefix for $name {
            const FAMILY: Family = Family::$family;
            const BITS: u8 = $bits;

            #[inline]
            fn len(self) -> u8 {
                self.len
            }

            #[inline]
            fn octets(&self) -> &[u8] {
                &self.octets
            }

            #[inline]
            fn from_octets(octets: &[u8], len: u8) -> Option<Self> {
                // Nearly always more follows, and a copy of fixed size costs one instruction.
                if let Some(whole) = octets.first_chunk::<$octets>() {
                    return Self::new($addr::from(*whole), len);
                }
                let octets = octets.get(..usize::from(len.div_ceil(8)))?;
                let mut whole = [0; $octets];
                whole.get_mut(..octets.len())?.copy_from_slice(octets);
                Self::new($addr::from(whole), len)
            }

            fn from_net(net: IpNet) -> Option<Self> {
                if let IpNet::$variant(net) = net {
                    Self::new(net.addr(), net.prefix_len())
                } else {
                    None
                }
            }
        }

        impl From<$name> for IpNet {
            fn from(p: $name) -> Self {
                // A prefix is made only with a length that fits.
                $net::new(p.addr(), p.len).unwrap_or_default().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.addr(), self.len)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

prefix!(Ipv4Prefix, Ipv4Unicast, 32, u32, 4, Ipv4Net, Ipv4Addr, V4);
prefix!(
    Ipv6Prefix,
    Ipv6Unicast,
    128,
    u128,
    16,
    Ipv6Net,
    Ipv6Addr,
    V6
);

#[cfg(test)]
mod tests;
