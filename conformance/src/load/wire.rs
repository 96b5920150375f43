//! UPDATEs walked without decoding them: where the prefixes are, and how long the AS_PATH is.

use bgp_core::header::LEN;

const AS_PATH: u8 = 2;
const MP_REACH_NLRI: u8 = 14;
const MP_UNREACH_NLRI: u8 = 15;
/// The length of an attribute takes two octets (RFC 4271 §4.3).
const EXTENDED_LENGTH: u8 = 0x10;
const AS_SET: u8 = 1;
/// Octets of a prefix that make its key: IPv6 prefixes up to /56.
const KEPT: usize = 7;

/// The prefixes of an UPDATE, as on the wire.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Update<'a> {
    pub(super) withdrawn: [&'a [u8]; 2],
    pub(super) announced: [&'a [u8]; 2],
    /// The length of AS_PATH as the decision process counts it (RFC 4271 §9.1.2.2 a).
    pub(super) path_length: u8,
}

/// Walks the body of an UPDATE; `None` if it is cut short. AS numbers take four octets.
pub(super) fn update(body: &[u8]) -> Option<Update<'_>> {
    let mut update = Update::default();
    let (withdrawn, rest) = counted(body)?;
    let (mut attributes, announced) = counted(rest)?;
    while let Some((&[flags, kind], rest)) = attributes.split_first_chunk() {
        let (value, rest) = if flags & EXTENDED_LENGTH == 0 {
            let (&length, rest) = rest.split_first()?;
            rest.split_at_checked(usize::from(length))?
        } else {
            counted(rest)?
        };
        attributes = rest;
        match kind {
            AS_PATH => update.path_length = path_length(value)?,
            MP_REACH_NLRI => {
                let &next_hop = value.get(3)?;
                update.announced[1] = value.get(5 + usize::from(next_hop)..)?;
            }
            MP_UNREACH_NLRI => update.withdrawn[1] = value.get(3..)?,
            _ => {}
        }
    }
    update.withdrawn[0] = withdrawn;
    update.announced[0] = announced;
    Some(update)
}

/// Calls `each` with the key of every prefix.
#[inline]
pub(super) fn keys(mut octets: &[u8], mut each: impl FnMut(u64)) {
    while let Some((&length, rest)) = octets.split_first() {
        let Some((own, rest)) = rest.split_at_checked(usize::from(length.div_ceil(8))) else {
            return;
        };
        each(key(own, length));
        octets = rest;
    }
}

/// One number for a prefix: its first octets, then its length. Different prefixes of one family up to
/// /56 have different keys.
#[inline]
pub(super) fn key(octets: &[u8], length: u8) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().take(KEPT).zip(octets) {
        *to = *from;
    }
    u64::from_be_bytes(word) | u64::from(length)
}

/// The next whole message of a stream: its type and its body, and what follows. `None` until all of it
/// has come.
#[inline]
pub(super) fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let header: &[u8; LEN] = bytes.first_chunk()?;
    let [.., high, low, kind] = *header;
    let length = usize::from(u16::from_be_bytes([high, low])).max(LEN);
    let (whole, rest) = bytes.split_at_checked(length)?;
    Some((kind, whole.get(LEN..)?, rest))
}

fn counted(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn path_length(mut path: &[u8]) -> Option<u8> {
    let mut length = 0_u8;
    while let Some((&[kind, count], rest)) = path.split_first_chunk() {
        length = length.saturating_add(if kind == AS_SET { 1 } else { count });
        path = rest.get(4 * usize::from(count)..)?;
    }
    Some(length)
}

#[cfg(test)]
mod tests;
