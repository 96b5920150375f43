//! How bytes are read and written: `nom` with an error that says nothing, as the caller knows what the RFC calls it.

use bytes::BufMut;
use nom::{IResult, Parser};

pub(crate) use nom::bytes::complete::take;
pub(crate) use nom::number::complete::{be_u8, be_u16, be_u32};

/// What a parser of this crate gives.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// Bytes with a one-octet length in front.
pub(crate) fn counted8(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, len) = be_u8(input)?;
    take(len)(rest)
}

/// Bytes with a two-octet length in front.
pub(crate) fn counted16(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, len) = be_u16(input)?;
    take(len)(rest)
}

/// The two octets of a length. What is too long for them is too long for a message, and whoever writes messages says so.
pub(crate) fn length16(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

/// Writes `value` with its one-octet length in front, or nothing if that is too short.
pub(crate) fn put_counted8(value: &[u8], out: &mut impl BufMut) {
    if let Ok(len) = u8::try_from(value.len()) {
        out.put_u8(len);
        out.put_slice(value);
    }
}

/// A path attribute as it came (RFC 4271 §4.3).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawAttribute<'a> {
    pub(crate) flags: u8,
    pub(crate) kind: u8,
    pub(crate) value: &'a [u8],
    /// All of it, as a NOTIFICATION shows it.
    pub(crate) octets: &'a [u8],
}

/// The Extended Length bit: the length takes two octets.
pub(crate) const EXTENDED_LENGTH: u8 = 0x10;

pub(crate) fn attribute(input: &[u8]) -> Parsed<'_, RawAttribute<'_>> {
    let (rest, (flags, kind)) = (be_u8, be_u8).parse(input)?;
    let long = flags & EXTENDED_LENGTH != 0;
    let (rest, value) = if long {
        counted16(rest)
    } else {
        counted8(rest)
    }?;
    let octets = input.get(..input.len() - rest.len()).unwrap_or(input);
    let raw = RawAttribute {
        flags,
        kind,
        value,
        octets,
    };
    Ok((rest, raw))
}
