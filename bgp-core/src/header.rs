//! Message framing (RFC 4271 §4.1): a marker, a length, a type.

use bytes::{BufMut, Bytes, BytesMut};
use nom::Parser;

use crate::wire::{Parsed, be_u8, be_u16, length16, take};
use crate::{Code, Reset};

/// Octets in a header.
pub const LEN: usize = 19;
/// Most octets in a message (RFC 4271 §4.1).
pub const MAX: usize = 4096;
/// Most octets in a message other than OPEN and KEEPALIVE where RFC 8654 was agreed on.
pub const MAX_EXTENDED: usize = 65535;

const MARKER: [u8; 16] = [0xff; 16];
static KEEPALIVE: [u8; LEN] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0, 19, 4,
];

/// The message types we know.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// 1: opens a session.
    Open,
    /// 2: announces and withdraws routes.
    Update,
    /// 3: reports a fault and ends the session.
    Notification,
    /// 4: says "still here".
    Keepalive,
    /// 5: asks for all routes again (RFC 2918).
    RouteRefresh,
}

impl Kind {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Update => 2,
            Self::Notification => 3,
            Self::Keepalive => 4,
            Self::RouteRefresh => 5,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Open),
            2 => Some(Self::Update),
            3 => Some(Self::Notification),
            4 => Some(Self::Keepalive),
            5 => Some(Self::RouteRefresh),
            _ => None,
        }
    }

    /// Fewest and most octets of such a message where messages may have `max` (RFC 4271 §6.1, RFC 8654 §4).
    /// What a ROUTE-REFRESH of a wrong length means is for its own decoder to say (RFC 7313 §5).
    const fn bounds(self, max: usize) -> (usize, usize) {
        match self {
            Self::Open => (29, MAX),
            Self::Update => (23, max),
            Self::Notification => (21, max),
            Self::Keepalive => (LEN, LEN),
            Self::RouteRefresh => (LEN, max),
        }
    }
}

/// One whole message, its body still undecoded.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What the body is.
    pub kind: Kind,
    /// The octets after the header.
    pub body: &'a [u8],
    /// How many octets of the input it took.
    pub len: usize,
}

/// Splits the next message off the front of `bytes`; `Ok(None)` until all of it has come.
/// `max` is [`MAX`], or [`MAX_EXTENDED`] once both ends have said so.
///
/// # Errors
/// Those of RFC 4271 §6.1, as soon as the header is there.
pub fn next_frame(bytes: &[u8], max: usize) -> Result<Option<Frame<'_>>, Reset> {
    let Ok((rest, (marker, octets, number))) = header(bytes) else {
        return Ok(None);
    };
    if marker != MARKER {
        return Err(Code::ConnectionNotSynchronized.into());
    }
    let len = usize::from(octets);
    let bad_length = || Reset {
        code: Code::BadMessageLength,
        data: Bytes::copy_from_slice(&octets.to_be_bytes()),
    };
    if !(LEN..=max).contains(&len) {
        return Err(bad_length());
    }
    let Some(kind) = Kind::from_number(number) else {
        return Err(Reset {
            code: Code::BadMessageType,
            data: Bytes::copy_from_slice(&[number]),
        });
    };
    let (least, most) = kind.bounds(max);
    if !(least..=most).contains(&len) {
        return Err(bad_length());
    }
    Ok(rest.get(..len - LEN).map(|body| Frame { kind, body, len }))
}

/// The KEEPALIVE message (RFC 4271 §4.4).
#[must_use]
pub fn keepalive() -> Bytes {
    Bytes::from_static(&KEEPALIVE)
}

/// Appends a message of `kind`: a header, then what `body` writes.
pub(crate) fn write(kind: Kind, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_slice(&MARKER);
    out.put_u16(0);
    out.put_u8(kind.number());
    body(out);
    let len = length16(out.len() - start);
    if let Some(place) = out
        .get_mut(start + MARKER.len()..)
        .and_then(<[u8]>::first_chunk_mut)
    {
        *place = len;
    }
}

/// A whole message of `kind` with this body.
#[must_use]
pub fn message(kind: Kind, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(LEN + body.len());
    write(kind, &mut out, |out| out.put_slice(body));
    out.freeze()
}

fn header(bytes: &[u8]) -> Parsed<'_, (&[u8], u16, u8)> {
    (take(MARKER.len()), be_u16, be_u8).parse(bytes)
}

#[cfg(test)]
mod tests;
