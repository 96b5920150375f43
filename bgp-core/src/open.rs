//! OPEN (RFC 4271 §4.2), with long optional parameters (RFC 9072).

use std::net::Ipv4Addr;

use bytes::{BufMut, Bytes, BytesMut};
use nom::Parser;

use crate::header::{self, Kind};
use crate::wire::{Parsed, be_u8, be_u16, be_u32, counted8, counted16, length16, put_counted8};
use crate::{Capability, Code, Reset};

/// What stands for an AS number that two octets cannot hold (RFC 6793 §9).
pub const AS_TRANS: u16 = 23456;

const VERSION: u8 = 4;
/// The one optional parameter: capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;
/// Both the length and the first parameter's type say that the extended form follows (RFC 9072 §2).
const EXTENDED: u8 = 255;

/// The OPEN message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open {
    /// My Autonomous System: two octets on the wire, AS_TRANS (23456) where the number is larger.
    /// Here always the real one, that of the 4-octet capability if it is there (RFC 6793 §4.1).
    pub asn: u32,
    /// Hold Time in seconds: zero, or at least three.
    pub hold_time: u16,
    /// BGP Identifier.
    pub identifier: Ipv4Addr,
    /// All capabilities, in order, unknown ones too.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Reads an OPEN's body: version, lengths, hold time, and that AS and identifier are not zero are checked here;
    /// whether they are the right ones is the session's matter.
    ///
    /// # Errors
    /// Those of RFC 4271 §6.2, RFC 6286 §2.2 and RFC 7607 §2.
    pub fn decode(body: &[u8]) -> Result<Self, Reset> {
        let Ok((rest, (version, my_as, hold_time, identifier))) = fixed_part(body) else {
            return Err(Code::OpenUnspecific.into());
        };
        if version != VERSION {
            return Err(Reset {
                code: Code::UnsupportedVersion,
                data: Bytes::from_static(&[0, VERSION]),
            });
        }
        let capabilities = parameters(rest)?;
        let asn = capabilities.iter().find_map(Capability::as_number);
        let asn = asn.unwrap_or_else(|| my_as.into());
        if asn == 0 || my_as == 0 {
            return Err(Code::BadPeerAs.into());
        }
        if matches!(hold_time, 1 | 2) {
            return Err(Code::UnacceptableHoldTime.into());
        }
        if identifier == 0 {
            return Err(Code::BadBgpIdentifier.into());
        }
        Ok(Self {
            asn,
            hold_time,
            identifier: identifier.into(),
            capabilities,
        })
    }

    /// The whole message, its capabilities in one parameter. Parameters beyond 255 octets take the form of RFC 9072.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut capabilities = BytesMut::new();
        for capability in &self.capabilities {
            capability.encode(&mut capabilities);
        }
        let mut out = BytesMut::with_capacity(header::LEN + 16 + capabilities.len());
        header::write(Kind::Open, &mut out, |out| {
            out.put_u8(VERSION);
            out.put_u16(u16::try_from(self.asn).unwrap_or(AS_TRANS));
            out.put_u16(self.hold_time);
            out.put_u32(self.identifier.into());
            put_parameter(&capabilities, out);
        });
        out.freeze()
    }
}

fn fixed_part(body: &[u8]) -> Parsed<'_, (u8, u16, u16, u32)> {
    (be_u8, be_u16, be_u16, be_u32).parse(body)
}

/// All capabilities of all parameters. RFC 4271 §6.2: an unknown parameter is Unsupported Optional Parameter, a
/// malformed one has subcode 0.
fn parameters(bytes: &[u8]) -> Result<Vec<Capability>, Reset> {
    let malformed = |_| Reset::from(Code::OpenUnspecific);
    let extended = matches!(bytes, [1..=u8::MAX, EXTENDED, ..]);
    let (rest, mut left) = if extended {
        counted16(bytes.get(2..).unwrap_or_default()).map_err(malformed)?
    } else {
        counted8(bytes).map_err(malformed)?
    };
    if !rest.is_empty() {
        return Err(Code::OpenUnspecific.into());
    }
    let mut capabilities = Vec::new();
    while !left.is_empty() {
        let (after, kind) = be_u8(left).map_err(malformed)?;
        let value = if extended { counted16 } else { counted8 };
        let (after, mut value) = value(after).map_err(malformed)?;
        left = after;
        if kind != CAPABILITIES {
            return Err(Code::UnsupportedOptionalParameter.into());
        }
        while !value.is_empty() {
            let (after, capability) = Capability::decode(value).map_err(malformed)?;
            capabilities.push(capability);
            value = after;
        }
    }
    Ok(capabilities)
}

fn put_parameter(capabilities: &[u8], out: &mut BytesMut) {
    let len = capabilities.len();
    if len == 0 {
        out.put_u8(0);
    } else if len + 2 < usize::from(EXTENDED) {
        let mut parameter = BytesMut::with_capacity(len + 2);
        parameter.put_u8(CAPABILITIES);
        put_counted8(capabilities, &mut parameter);
        put_counted8(&parameter, out);
    } else {
        out.put_slice(&[EXTENDED, EXTENDED]);
        out.put_slice(&length16(len + 3));
        out.put_u8(CAPABILITIES);
        out.put_slice(&length16(len));
        out.put_slice(capabilities);
    }
}

#[cfg(test)]
mod tests;
