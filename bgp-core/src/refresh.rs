//! ROUTE-REFRESH (RFC 2918), with the demarcation of RFC 7313.

use bytes::Bytes;

use crate::capability::Afi;
use crate::header::{self, Kind};
use crate::wire::length16;
use crate::{Code, Reset};

/// The ROUTE-REFRESH message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouteRefresh {
    /// The family, which may be one that we do not route.
    pub family: Afi,
    /// RFC 7313 §3.2.
    pub subtype: Subtype,
}

/// What a ROUTE-REFRESH means (RFC 7313 §3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subtype {
    /// 0: please send all of it again.
    Request,
    /// 1: BoRR, all of it follows.
    Begin,
    /// 2: EoRR, that was all of it.
    End,
    /// Any other; RFC 7313 §5 has us ignore the message.
    Unknown(u8),
}

impl RouteRefresh {
    /// Reads a ROUTE-REFRESH's body.
    ///
    /// # Errors
    /// A length other than four is RFC 7313 §5's fault for BoRR and EoRR, and RFC 4271 §6.1's for all others.
    pub fn decode(body: &[u8]) -> Result<Self, Reset> {
        let &[high, low, subtype, safi] = body else {
            return Err(bad_length(body));
        };
        Ok(Self {
            family: Afi {
                afi: u16::from_be_bytes([high, low]),
                safi,
            },
            subtype: Subtype::from_number(subtype),
        })
    }

    /// The whole message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let [high, low] = self.family.afi.to_be_bytes();
        let body = [high, low, self.subtype.number(), self.family.safi];
        header::message(Kind::RouteRefresh, &body)
    }
}

impl Subtype {
    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            other => Self::Unknown(other),
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Begin => 1,
            Self::End => 2,
            Self::Unknown(other) => other,
        }
    }
}

fn bad_length(body: &[u8]) -> Reset {
    match body.get(2).copied().map(Subtype::from_number) {
        Some(Subtype::Begin | Subtype::End) => Reset {
            code: Code::InvalidRouteRefreshLength,
            data: header::message(Kind::RouteRefresh, body),
        },
        Some(Subtype::Request | Subtype::Unknown(_)) | None => Reset {
            code: Code::BadMessageLength,
            data: Bytes::copy_from_slice(&length16(header::LEN + body.len())),
        },
    }
}

#[cfg(test)]
mod tests;
