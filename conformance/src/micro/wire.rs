//! Reading and writing of UPDATEs.

use std::hint::black_box;

use anyhow::{Context as _, Result};
use bgp_core::attributes::NextHop;
use bgp_core::family::PerFamily;
use bgp_core::update::{DecodeContext, announce, decode, decode_attributes, encode_attributes};
use bgp_core::{Ipv4Prefix, Ipv6Prefix};
use bytes::{Bytes, BytesMut};

use super::Prepared;
use super::updates::{CONTEXT, attributes, next_hop, prefix};

/// How often a message is read or written.
const TIMES: usize = 1_000;
/// Routes that are packed.
const ROUTES: u32 = 10_000;

pub(super) const READ: DecodeContext = DecodeContext {
    four_octet_as: true,
    external: true,
    confederation: false,
    first_as: None,
    aigp: false,
    families: PerFamily {
        ipv4: true,
        ipv6: true,
    },
    add_path: PerFamily {
        ipv4: false,
        ipv6: false,
    },
    extended_next_hop: false,
    no_sets: true,
};

/// A message is read, and each of its prefixes is looked at.
pub(super) fn decoding(message: fn() -> Bytes) -> Result<Prepared> {
    let body = message();
    decode(&body, &READ).ok().context("it ends the session")?;
    Ok(Prepared::new(TIMES, move || {
        let mut sum = 0;
        for _ in 0..TIMES {
            if let Ok(update) = decode(black_box(&body), &READ) {
                let announced = update.announced.iter().map(|(_, nlri)| nlri);
                for nlri in announced.chain(&update.withdrawn) {
                    sum += nlri.iter::<Ipv4Prefix>().map(black_box).count();
                    sum += nlri.iter::<Ipv6Prefix>().map(black_box).count();
                }
                black_box(&update.attributes);
            }
        }
        sum
    }))
}

pub(super) fn encoding() -> Result<Prepared> {
    let attributes = attributes(4, 10, NextHop::V4(next_hop(1)));
    Ok(Prepared::new(TIMES, move || {
        let mut out = Vec::new();
        for _ in 0..TIMES {
            out.clear();
            encode_attributes(black_box(&attributes), true, &mut out);
        }
        out
    }))
}

/// Attributes as they are kept in tables become values again.
pub(super) fn reading_back() -> Result<Prepared> {
    let attributes = attributes(4, 10, NextHop::V4(next_hop(1)));
    let mut block = Vec::new();
    encode_attributes(&attributes, true, &mut block);
    Ok(Prepared::new(TIMES, move || {
        for _ in 0..TIMES {
            let read = decode_attributes(black_box(&block), attributes.next_hop);
            let _ = black_box(read);
        }
    }))
}

/// All prefixes share their attributes.
pub(super) fn packing() -> Result<Prepared> {
    packing_by(ROUTES)
}

/// Each has its own.
pub(super) fn packing_one_by_one() -> Result<Prepared> {
    packing_by(1)
}

fn packing_by(together: u32) -> Result<Prepared> {
    let attributes = attributes(4, 10, NextHop::V4(next_hop(1)));
    let mut block = Vec::new();
    encode_attributes(&attributes, true, &mut block);
    let prefixes: Vec<_> = (0..ROUTES).filter_map(prefix).map(|p| (0, p)).collect();
    let together = usize::try_from(together)?;
    Ok(Prepared::new(prefixes.len(), move || {
        let mut out = BytesMut::new();
        for some in prefixes.chunks(together) {
            let some = some.iter().copied();
            let _ = announce(&block, attributes.next_hop, some, &CONTEXT, &mut out);
        }
        out
    }))
}
