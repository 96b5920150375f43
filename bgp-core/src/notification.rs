//! NOTIFICATION (RFC 4271 §4.5), with its shutdown communication (RFC 9003).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::header::{self, Kind};
use crate::wire::{be_u8, counted8, put_counted8};
use crate::{Code, Reset};

/// Most octets of a shutdown communication (RFC 9003 §2).
pub const MAX_COMMUNICATION: usize = 255;

/// A NOTIFICATION that a peer sent. Its numbers may be ones no RFC knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notification {
    /// The error code.
    pub code: u8,
    /// The subcode.
    pub subcode: u8,
    /// What the peer adds.
    pub data: Bytes,
}

impl Notification {
    /// Reads a NOTIFICATION's body.
    ///
    /// # Errors
    /// Bad Message Length if it is too short. RFC 4271 §6.4: nobody is to be told, it is for the log.
    pub fn decode(body: &[u8]) -> Result<Self, Reset> {
        let numbers = be_u8::<_, ()>(body).and_then(|(rest, code)| Ok((code, be_u8(rest)?)));
        let Ok((code, (data, subcode))) = numbers else {
            return Err(Code::BadMessageLength.into());
        };
        Ok(Self {
            code,
            subcode,
            data: Bytes::copy_from_slice(data),
        })
    }

    /// The whole message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(header::LEN + 2 + self.data.len());
        header::write(Kind::Notification, &mut out, |out| {
            out.put_slice(&[self.code, self.subcode]);
            out.put_slice(&self.data);
        });
        out.freeze()
    }

    /// What its numbers mean, if an RFC says so.
    #[must_use]
    pub const fn meaning(&self) -> Option<Code> {
        Code::from_numbers(self.code, self.subcode)
    }

    /// The operator's words in an Administrative Shutdown or Reset (RFC 9003 §2), if they are UTF-8.
    #[must_use]
    pub fn shutdown_communication(&self) -> Option<&str> {
        if !self.meaning().is_some_and(has_communication) {
            return None;
        }
        let (_, text) = counted8(&self.data).ok()?;
        std::str::from_utf8(text).ok().filter(|s| !s.is_empty())
    }
}

/// As a person wants to read it: `Administrative Shutdown (6/2): back at noon`.
impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.meaning().map_or("unknown error", Code::name);
        write!(f, "{name} ({}/{})", self.code, self.subcode)?;
        match self.shutdown_communication() {
            // RFC 9003 §5: no control characters into a log.
            Some(text) => write!(f, ": {}", text.escape_debug()),
            None => Ok(()),
        }
    }
}

impl From<&Reset> for Notification {
    fn from(reset: &Reset) -> Self {
        let (code, subcode) = reset.code.numbers();
        Self {
            code,
            subcode,
            data: reset.data.clone(),
        }
    }
}

impl Reset {
    /// The NOTIFICATION that it is.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Notification::from(self).encode()
    }

    /// A fault with the operator's words (RFC 9003 §2), cut at the last character that fits into
    /// [`MAX_COMMUNICATION`] octets. Codes that carry no words get none.
    #[must_use]
    pub fn with_communication(code: Code, text: &str) -> Self {
        let mut data = BytesMut::new();
        if has_communication(code) && !text.is_empty() {
            let fits = text.floor_char_boundary(MAX_COMMUNICATION);
            put_counted8(text.as_bytes().get(..fits).unwrap_or_default(), &mut data);
        }
        Self {
            code,
            data: data.freeze(),
        }
    }
}

const fn has_communication(code: Code) -> bool {
    matches!(
        code,
        Code::AdministrativeShutdown | Code::AdministrativeReset
    )
}

#[cfg(test)]
mod tests;
