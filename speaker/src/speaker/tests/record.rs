//! Records of what peers send: whole, in order, bounded.

use bytes::Buf;

use super::*;
use crate::command::Refusal;
use crate::record::{RECORD_MAX, RECORDERS_MAX, TooSlow};

const WALL: Duration = Duration::from_millis(1_700_000_000_250);

/// The subtype of a record, and what follows its timestamp.
fn records(mut octets: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while !octets.is_empty() {
        let (_, kind, subtype) = (octets.get_u32(), octets.get_u16(), octets.get_u16());
        assert_eq!(kind, 17);
        let len = octets.get_u32() as usize;
        let (record, rest) = octets.split_at(len);
        found.push((subtype, record[4..].to_vec()));
        octets = rest;
    }
    found
}

/// A pair in which 1 tells 0 something as soon as it is up.
fn pair() -> Net {
    let (ours, mut theirs) = (config(0, &[1]), config(1, &[0]));
    theirs.originate.push(originate("198.51.100.0/24"));
    Net::new(vec![ours, theirs])
}

#[test]
fn a_record_has_the_session_and_each_update_as_it_came() {
    let mut net = pair();
    let now = net.now;
    net.speakers[0].set_clock(now, WALL);
    let recorder = net.speakers[0].record().unwrap();
    net.run(10);
    let all = net.speakers[0].recorded(&recorder).unwrap();
    let all = records(&all);
    let subtypes: Vec<u16> = all.iter().map(|(subtype, _)| *subtype).collect();
    assert_eq!(subtypes[0], 5, "{all:?}");
    assert!(
        subtypes.len() > 1 && subtypes[1..].iter().all(|s| *s == 4),
        "{all:?}"
    );
    let (_, state) = &all[0];
    assert_eq!(
        state[..8],
        [asn(1).to_be_bytes(), asn(0).to_be_bytes()].concat()
    );
    assert_eq!(state[state.len() - 4..], [0, 1, 0, 6]);
    // Two AS numbers, interface, family, two addresses; then the message, from its marker on.
    let messages: Vec<&[u8]> = all[1..].iter().map(|(_, record)| &record[20..]).collect();
    for message in &messages {
        assert_eq!(message[..16], [0xff; 16]);
        assert_eq!(
            usize::from(u16::from_be_bytes([message[16], message[17]])),
            message.len()
        );
    }
    let route = [24, 198, 51, 100];
    assert!(
        messages.iter().any(|message| message.ends_with(&route)),
        "{messages:?}"
    );
    assert!(net.speakers[0].recorded(&recorder).unwrap().is_empty());

    let link = Event::Shutdown;
    net.with(1, |s, now, out| s.handle(now, link, out));
    net.run(5);
    let all = records(&net.speakers[0].recorded(&recorder).unwrap());
    let (subtype, state) = all.last().unwrap();
    assert_eq!(
        (*subtype, &state[state.len() - 4..]),
        (5, &[0, 6, 0, 1][..])
    );
}

#[test]
fn a_record_that_nobody_holds_ends_and_makes_room() {
    let mut net = pair();
    let speaker = &mut net.speakers[0];
    let held: Vec<_> = (0..RECORDERS_MAX)
        .map(|_| speaker.record().unwrap())
        .collect();
    assert!(matches!(speaker.record(), Err(Refusal::Exhausted(_))));
    drop(held);
    assert!(speaker.record().is_ok());
}

#[test]
fn a_reader_that_is_too_slow_is_told_so_and_costs_no_more_than_its_bound() {
    let mut net = pair();
    net.run(10);
    let recorder = net.speakers[0].record().unwrap();
    let reader = net.speakers[0].record().unwrap();
    let peer = net.speakers[0].peers.iter().next().unwrap().id;
    let (now, body) = (net.now, [0; 4000]);
    let (mut read, mut pieces) = (0, 0);
    for _ in 0..=RECORD_MAX / body.len() {
        net.speakers[0].record_update(now, peer, &body);
        let piece = net.speakers[0].recorded(&reader).unwrap();
        read += piece.len();
        pieces += usize::from(!piece.is_empty());
    }
    assert!(read > RECORD_MAX && pieces > 1);
    assert_eq!(net.speakers[0].recorded(&recorder), Err(TooSlow));
    assert_eq!(net.speakers[0].recorded(&recorder), Err(TooSlow));
}
