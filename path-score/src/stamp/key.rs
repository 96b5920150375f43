//! The key of the authenticated mode: HMAC-SHA-256, truncated to 16 octets (RFC 8762 §4.4).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Octets of a tag.
pub(crate) const TAG: usize = 16;

/// A shared secret. Does not show itself.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Takes a secret of any length, but not an empty one.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.is_empty() {
            return None;
        }
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    pub(crate) fn tag(&self, data: &[u8]) -> [u8; TAG] {
        let full = self.0.clone().chain_update(data).finalize().into_bytes();
        full.first_chunk().copied().unwrap_or_default()
    }

    /// Whether `tag` is the tag of `data`; takes as long whatever the answer.
    pub(crate) fn verifies(&self, data: &[u8], tag: &[u8; TAG]) -> bool {
        let mac = self.0.clone().chain_update(data);
        mac.verify_truncated_left(tag).is_ok()
    }
}

/// Two keys are one if they make the same tags.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.verifies(&[], &other.tag(&[]))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
