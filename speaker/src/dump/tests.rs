//! Dumps of a small RIB, piece by piece.
#![allow(
    clippy::disallowed_methods,
    reason = "an Instant comes from nowhere else"
)]

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, Origin};
use ipnet::IpNet;

use super::*;
use crate::Config;
use crate::config::{Originate, When};
use crate::inject::ourselves;

const WALL: Duration = Duration::from_secs(1_700_000_000);

/// A speaker that originates so many prefixes of each family.
fn speaker(now: Instant, count: u16) -> Speaker {
    let mut config = Config::new(65001, [192, 0, 2, 1].into());
    config.fib.install = false;
    let originate = |prefix: String| {
        let prefix: IpNet = prefix.parse().unwrap();
        Originate {
            prefix,
            attributes: Attributes::new(Origin::Igp, AsPath::default(), ourselves(prefix)),
            tag: 0,
            when: When::Always,
        }
    };
    config.originate = (0..count)
        .flat_map(|i| [format!("10.{i}.0.0/16"), format!("2001:db8:{i:x}::/48")])
        .map(originate)
        .collect();
    let mut speaker = Speaker::new(config, now, 7).unwrap();
    speaker.start(now, &mut Vec::new());
    speaker
}

/// Types and subtypes of the records, and their sequence numbers (RFC 6396 §2, §4.3.2).
fn records(mut octets: &[u8]) -> Vec<(u16, u16, u32)> {
    let mut found = Vec::new();
    while !octets.is_empty() {
        let kind = u16::from_be_bytes([octets[4], octets[5]]);
        let subtype = u16::from_be_bytes([octets[6], octets[7]]);
        let word = |at: usize| u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
        let (len, first) = (word(8) as usize, word(12));
        found.push((kind, subtype, first));
        octets = &octets[12 + len..];
    }
    found
}

/// RFC 6396 §4.3.1: "there is a single PEER_INDEX_TABLE", and it comes first; §4.3.2: the sequence number "starts at 0 and
/// increments".
#[test]
fn a_dump_in_pieces_is_a_dump() {
    let now = Instant::now();
    let speaker = speaker(now, 40);
    let dump = |max| {
        let mut out = BytesMut::new();
        let mut dump = speaker.dump_begin(now, WALL, &mut out);
        let mut pieces = 1;
        while speaker.dump_next(&mut dump, max, &mut out) {
            pieces += 1;
        }
        (out, pieces)
    };
    let (whole, few) = dump(1000);
    let (pieces, many) = dump(3);
    assert_eq!((&whole, few), (&pieces, 2));
    assert!(many > 20, "{many}");
    let records = records(&whole);
    assert_eq!(records.len(), 81);
    assert_eq!(records[0].0, 13);
    assert_eq!(records[0].1, 1);
    assert!(records[1..41].iter().all(|r| (r.0, r.1) == (13, 2)));
    assert!(records[41..].iter().all(|r| (r.0, r.1) == (13, 4)));
    assert!(records[1..].iter().zip(0..).all(|(r, i)| r.2 == i));
}
