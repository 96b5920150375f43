//! Authentication of Control packets (RFC 5880 §4.2–4.4, §6.7).

use std::fmt;

use md5::{Digest, Md5};
use sha1::Sha1;

use crate::chance::Chance;
use crate::packet::{Fault, LEN, Octets};

/// §4.4: type, length, key identifier, reserved, sequence number; the digest follows.
const HEAD: usize = 8;

/// How a session's packets are authenticated, and with which key.
#[derive(Clone, Eq, PartialEq)]
pub struct Authentication {
    kind: Kind,
    key_id: u8,
    secret: Box<[u8]>,
}

/// §4.1, Auth Type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// 1: the password itself. Whoever sees one packet has it.
    Simple,
    /// 2
    KeyedMd5,
    /// 3: a packet cannot be played again, not even once.
    MeticulousKeyedMd5,
    /// 4
    KeyedSha1,
    /// 5
    MeticulousKeyedSha1,
}

/// A secret that is empty, or longer than its kind takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecretLength {
    /// Octets that it may have.
    pub max: usize,
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Simple => 1,
            Self::KeyedMd5 => 2,
            Self::MeticulousKeyedMd5 => 3,
            Self::KeyedSha1 => 4,
            Self::MeticulousKeyedSha1 => 5,
        }
    }

    /// Octets of the longest secret: of a password §4.2, of an MD5 key §4.3, of a SHA1 key §4.4.
    #[must_use]
    pub const fn secret_max(self) -> usize {
        match self {
            Self::Simple | Self::KeyedMd5 | Self::MeticulousKeyedMd5 => 16,
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => 20,
        }
    }

    /// §6.7.3, §6.7.4: each packet has a sequence number of its own.
    const fn is_meticulous(self) -> bool {
        match self {
            Self::MeticulousKeyedMd5 | Self::MeticulousKeyedSha1 => true,
            Self::Simple | Self::KeyedMd5 | Self::KeyedSha1 => false,
        }
    }
}

impl Authentication {
    /// A key under its identifier.
    ///
    /// # Errors
    /// The secret is empty or longer than [`Kind::secret_max`].
    pub fn new(kind: Kind, key_id: u8, secret: &[u8]) -> Result<Self, SecretLength> {
        let max = kind.secret_max();
        if secret.is_empty() || secret.len() > max {
            return Err(SecretLength { max });
        }
        let secret = secret.into();
        Ok(Self {
            kind,
            key_id,
            secret,
        })
    }

    /// How.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The key's identifier.
    #[must_use]
    pub const fn key_id(&self) -> u8 {
        self.key_id
    }

    /// The secret itself.
    #[must_use]
    pub const fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The section with the key where the digest goes, which is what the digest is made of.
    fn section(&self, sequence: u32) -> Vec<u8> {
        let body = match self.kind {
            Kind::Simple => self.secret.to_vec(),
            Kind::KeyedMd5
            | Kind::MeticulousKeyedMd5
            | Kind::KeyedSha1
            | Kind::MeticulousKeyedSha1 => {
                let mut body = vec![0];
                body.extend(sequence.to_be_bytes());
                body.extend(&*self.secret);
                // §6.7.3: a shorter key is padded with zeros.
                body.resize(HEAD - 3 + self.kind.secret_max(), 0);
                body
            }
        };
        let length = u8::try_from(body.len() + 3).unwrap_or(u8::MAX);
        let mut section = vec![self.kind.number(), length, self.key_id];
        section.extend(body);
        section
    }

    /// A whole packet, `head` with its section.
    fn seal(&self, head: &[u8; LEN], sequence: u32) -> Octets {
        let section = self.section(sequence);
        let mut octets = Octets::new(head);
        octets.extend(&section);
        let digest = match self.kind {
            Kind::Simple => return octets,
            Kind::KeyedMd5 | Kind::MeticulousKeyedMd5 => Md5::digest(octets.as_ref()).to_vec(),
            Kind::KeyedSha1 | Kind::MeticulousKeyedSha1 => Sha1::digest(octets.as_ref()).to_vec(),
        };
        octets.replace(LEN + HEAD, &digest);
        octets
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Authentication");
        shown
            .field("kind", &self.kind)
            .field("key_id", &self.key_id);
        shown.finish_non_exhaustive()
    }
}

/// What one session keeps of it.
#[derive(Clone, Debug)]
pub(crate) struct Sequences {
    /// bfd.XmitAuthSeq.
    sent: u32,
    /// bfd.RcvAuthSeq, while bfd.AuthSeqKnown.
    received: Option<u32>,
}

impl Sequences {
    /// §6.8.1: bfd.XmitAuthSeq begins at a random value.
    pub(crate) fn new(chance: &mut Chance) -> Self {
        Self {
            sent: chance.number(),
            received: None,
        }
    }

    /// §6.8.1, bfd.AuthSeqKnown: nothing was heard for twice the Detection Time.
    pub(crate) const fn forget_received(&mut self) {
        self.received = None;
    }

    /// A packet as it is sent. `news`: it says something else than the one before, and a replay of that one is worth
    /// keeping out (§6.7.3: the number "SHOULD be incremented" then).
    pub(crate) fn seal(&mut self, key: &Authentication, head: &[u8; LEN], news: bool) -> Octets {
        if news || key.kind.is_meticulous() {
            self.sent = self.sent.wrapping_add(1);
        }
        key.seal(head, self.sent)
    }

    /// Whether a packet, of which `octets` are all, is from who knows the key and was not played again (§6.7.2 to
    /// §6.7.4). What fails changes nothing.
    pub(crate) fn verify(
        &mut self,
        key: &Authentication,
        multiplier: u8,
        octets: &[u8],
    ) -> Result<(), Fault> {
        let section = octets.get(LEN..).unwrap_or_default();
        let [kind, length, key_id, ..] = *section else {
            return Err(Fault::Unauthenticated);
        };
        let known = kind == key.kind.number() && key_id == key.key_id;
        if !known || usize::from(length) != section.len() {
            return Err(Fault::Unauthenticated);
        }
        let sequence = match key.kind {
            Kind::Simple => 0,
            Kind::KeyedMd5
            | Kind::MeticulousKeyedMd5
            | Kind::KeyedSha1
            | Kind::MeticulousKeyedSha1 => {
                let sequence = section.get(4..).and_then(<[u8]>::first_chunk);
                let sequence = sequence.copied().map(u32::from_be_bytes);
                sequence.ok_or(Fault::Unauthenticated)?
            }
        };
        let head = octets.first_chunk().ok_or(Fault::Length)?;
        let expected = key.seal(head, sequence);
        if !same(expected.as_ref(), octets) {
            return Err(Fault::Unauthenticated);
        }
        if key.kind == Kind::Simple {
            return Ok(());
        }
        if let Some(last) = self.received {
            let least = u32::from(key.kind.is_meticulous());
            let ahead = sequence.wrapping_sub(last);
            if ahead < least || ahead > 3 * u32::from(multiplier) {
                return Err(Fault::Replayed);
            }
        }
        self.received = Some(sequence);
        Ok(())
    }
}

/// Compares without telling by the time it takes where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
