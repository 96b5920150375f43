//! What echo promises: its octets, its pace, and that only the neighbor can answer.

use super::*;
use crate::tests::{Chance, some_instant};

fn config(ipv4: bool) -> Config {
    Config {
        ipv4,
        identifier: 0x1234,
        key: Key::new(b"token").unwrap(),
        session: 3,
        interval: Duration::from_millis(20),
    }
}

fn request(pinger: &mut Pinger, now: Instant) -> Vec<u8> {
    let mut out = Vec::new();
    let clock = Duration::ZERO;
    pinger.handle(now, Input::Timeout { clock }, &mut out);
    match out.pop().unwrap() {
        Output::Transmit { packet, .. } => packet,
        other @ (Output::Answered(_) | Output::Stalled(_)) => panic!("{other:?}"),
    }
}

/// What a neighbor makes of a request.
fn reply(request: &[u8]) -> Vec<u8> {
    let mut reply = request.to_vec();
    reply[0] = if request[0] == REQUEST {
        REPLY
    } else {
        REPLY_V6
    };
    reply[2..4].fill(0);
    let sum = checksum(&reply).to_be_bytes();
    reply[2..4].copy_from_slice(&sum);
    reply
}

fn answer(pinger: &mut Pinger, message: &[u8]) -> Option<Answer> {
    let mut out = Vec::new();
    pinger.handle(some_instant(), Input::Received(message), &mut out);
    match out.pop()? {
        Output::Answered(answer) => Some(answer),
        other @ (Output::Transmit { .. } | Output::Stalled(_)) => panic!("{other:?}"),
    }
}

/// RFC 792, page 14; RFC 4443 §4.1: the checksum of ICMPv6 is the kernel's to make.
#[test]
fn the_fields_are_where_the_rfcs_have_them() {
    let now = some_instant();
    for ipv4 in [true, false] {
        let mut pinger = Pinger::new(now, config(ipv4));
        pinger.sequence = 0x0001_0203;
        let packet = request(&mut pinger, now);
        assert_eq!(packet.len(), PACKET);
        assert_eq!(packet[..2], [if ipv4 { 8 } else { 128 }, 0]);
        assert_eq!(packet[4..8], [0x12, 0x34, 2, 3]);
        assert_eq!(packet[8..16], [0, 0, 0, 3, 0, 1, 2, 3]);
        assert_eq!(packet[2..4] == [0, 0], !ipv4);
        // The sum over all, its own complement among it, is none.
        assert!(!ipv4 || checksum(&packet) == 0);
    }
    assert_eq!(checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
}

#[test]
fn a_pinger_keeps_its_pace_and_never_bursts() {
    let start = some_instant();
    let mut pinger = Pinger::new(start, config(true));
    for count in 0..100 {
        let now = pinger.deadline();
        assert_eq!(now, start + Duration::from_millis(20) * count);
        let packet = request(&mut pinger, now);
        assert_eq!(packet[12..16], count.to_be_bytes());
    }
    let late = start + Duration::from_secs(10);
    let (mut out, clock) = (Vec::new(), Duration::ZERO);
    pinger.handle(late, Input::Timeout { clock }, &mut out);
    assert!(matches!(
        out[..],
        [Output::Stalled(_), Output::Transmit { .. }]
    ));
    assert_eq!(pinger.deadline(), late + Duration::from_millis(20));
}

#[test]
fn a_reply_names_its_request_whatever_the_identifier_became() {
    let now = some_instant();
    for ipv4 in [true, false] {
        let mut pinger = Pinger::new(now, config(ipv4));
        pinger.sequence = 70_000;
        let mut reply = reply(&request(&mut pinger, now));
        for identifier in [[0x12, 0x34], [0xff, 0xff]] {
            reply[4..6].copy_from_slice(&identifier);
            let answer = answer(&mut pinger, &reply).unwrap();
            assert_eq!((answer.sequence, answer.reflected), (70_000, None));
            assert_eq!(answer.residence, Some(Duration::ZERO));
        }
    }
}

#[test]
fn what_is_not_whole_or_not_ours_is_no_reply() {
    let now = some_instant();
    let mut pinger = Pinger::new(now, config(true));
    let request = request(&mut pinger, now);
    let reply = reply(&request);
    assert_eq!(answer(&mut pinger, &request), None, "our own request");
    for len in 0..HEADER + COVERED + TAG {
        assert_eq!(answer(&mut pinger, &reply[..len]), None, "{len}");
    }
    // Every bit of what counts: type, code, sequence numbers, tag.
    for bit in (0..16).chain(48..256) {
        let mut forged = reply.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(answer(&mut pinger, &forged), None, "{bit}");
    }
    // Of another family, another session of ours, another key.
    assert_eq!(answer(&mut Pinger::new(now, config(false)), &reply), None);
    let other = Config {
        session: 4,
        ..config(true)
    };
    assert_eq!(answer(&mut Pinger::new(now, other), &reply), None);
    let other = Config {
        key: Key::new(b"other").unwrap(),
        ..config(true)
    };
    assert_eq!(answer(&mut Pinger::new(now, other), &reply), None);
    assert!(answer(&mut pinger, &reply).is_some());
}

/// An error carries what it is about: that is no reply to it.
#[test]
fn errors_are_ignored() {
    let now = some_instant();
    for (ipv4, kinds) in [(true, [3, 4, 5, 11, 12]), (false, [1, 2, 3, 4, 137])] {
        let mut pinger = Pinger::new(now, config(ipv4));
        let request = request(&mut pinger, now);
        for kind in kinds {
            let mut whole = reply(&request);
            whole[0] = kind;
            assert_eq!(answer(&mut pinger, &whole), None);
            let error = [&[kind, 1, 0, 0, 0, 0, 0, 0], &[0x45; 20][..], &request].concat();
            assert_eq!(answer(&mut pinger, &error), None);
        }
    }
}

#[test]
fn the_message_is_found_behind_whatever_header() {
    for words in 5..=15_u8 {
        let mut packet = vec![0; usize::from(words) * 4];
        packet[0] = 0x40 | words;
        packet[9] = 1;
        assert_eq!(in_ipv4(&packet), Some(&[][..]));
        assert_eq!(in_ipv4(&packet[..packet.len() - 1]), None);
        packet.extend([7, 7]);
        assert_eq!(in_ipv4(&packet), Some(&[7, 7][..]));
        for (at, wrong) in [(0, 0x60 | words), (0, 0x44), (0, 0x40), (9, 17)] {
            let mut other = packet.clone();
            other[at] = wrong;
            assert_eq!(in_ipv4(&other), None, "{at} {wrong}");
        }
    }
}

#[test]
fn noise_never_panics_and_is_never_a_reply() {
    let (mut chance, now) = (Chance::new(1), some_instant());
    let mut pinger = Pinger::new(now, config(true));
    let request = request(&mut pinger, now);
    for _ in 0..20_000 {
        let len = usize::try_from(chance.below(80)).unwrap();
        let mut bytes: Vec<u8> = (0..len).map(|_| chance.bits().to_be_bytes()[0]).collect();
        if let Some(head) = bytes.first_chunk_mut::<16>() {
            head.copy_from_slice(&request[..16]);
            head[0] = REPLY;
        }
        assert_eq!(answer(&mut pinger, &bytes), None);
        assert!(in_ipv4(&bytes).is_none_or(|message| message.len() <= 60));
    }
}
