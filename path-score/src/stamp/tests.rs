//! Sentences of RFC 8762 and RFC 8972, and what a reflector promises.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::packet::{BASE, BASE_AUTHENTICATED};
use super::*;
use crate::estimate;
use crate::tests::{Chance, some_instant};

const CLOCK: Duration = Duration::new(1_795_000_000, 250_000_000);

fn config() -> Config {
    Config {
        ssid: 0x1234,
        interval: Duration::from_millis(20),
        format: Format::Ntp,
        clock_error: Duration::from_millis(1),
        key: None,
        padding: 0,
        stateful: true,
    }
}

fn key() -> Option<Key> {
    Key::new(b"a secret")
}

fn probe(sequence: u32) -> Probe {
    Probe {
        sequence,
        timestamp: Timestamp(0x0102_0304_0506_0708),
        error: ErrorEstimate::from_bits(0x8a0b).unwrap(),
        ssid: 0xbeef,
    }
}

fn reflection() -> Reflection {
    Reflection {
        sequence: 0x1122_3344,
        timestamp: Timestamp(0x5152_5354_5556_5758),
        error: ErrorEstimate::from_bits(0xc00d).unwrap(),
        received: Timestamp(0x6162_6364_6566_6768),
        probe: probe(7),
        ttl: 254,
    }
}

fn peer() -> SocketAddr {
    "192.0.2.1:40000".parse().unwrap()
}

fn datagram(payload: &[u8]) -> Datagram<'_> {
    Datagram {
        from: peer(),
        ttl: 255,
        received: CLOCK,
        clock: CLOCK + Duration::from_millis(3),
        payload,
    }
}

fn reflector(key: Option<Key>) -> Reflector {
    let mut reflector = Reflector::new(Format::Ntp, Duration::from_millis(1));
    reflector.allow(peer().ip(), key);
    reflector
}

fn answer(reflector: &mut Reflector, now: Instant, payload: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    reflector.handle(now, datagram(payload), &mut out);
    assert!(out.len() <= 1);
    out.pop().map(|answer| answer.packet)
}

/// RFC 8762 §4.2: 44 octets in unauthenticated mode and 112 octets in the authenticated mode, both ways.
#[test]
fn base_packets_are_44_and_112_octets_both_ways() {
    for (key, len) in [(None, BASE), (key(), BASE_AUTHENTICATED)] {
        let sent = probe(1).encode(key.as_ref(), 0);
        assert_eq!(sent.len(), len);
        assert_eq!(reflection().encode(key.as_ref(), &sent).len(), len);
    }
}

/// RFC 8762 §4.2.1 and §4.3.1, figures 2 and 5, with the SSID of RFC 8972 §3.
#[test]
fn the_fields_are_where_the_rfc_has_them() {
    let sent = probe(7).encode(None, 0);
    assert_eq!(
        sent[..16],
        [0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0x8a, 0x0b, 0xbe, 0xef]
    );
    let back = reflection().encode(None, &sent);
    assert_eq!(
        back[..16],
        [
            0x11, 0x22, 0x33, 0x44, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0xc0, 0x0d,
            0xbe, 0xef
        ]
    );
    assert_eq!(
        back[16..24],
        [0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68]
    );
    assert_eq!(back[24..38], sent[..14]);
    assert_eq!(back[40], 254);
}

/// RFC 8762 §4.2.2 and §4.3.2, figures 4 and 6.
#[test]
fn the_fields_of_the_authenticated_mode_are_where_the_rfc_has_them() {
    let sent = probe(7).encode(key().as_ref(), 0);
    assert_eq!(sent[..4], [0, 0, 0, 7]);
    assert_eq!(
        sent[16..28],
        [1, 2, 3, 4, 5, 6, 7, 8, 0x8a, 0x0b, 0xbe, 0xef]
    );
    let back = reflection().encode(key().as_ref(), &sent);
    assert_eq!(
        back[16..26],
        [0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0xc0, 0x0d]
    );
    assert_eq!(
        back[32..40],
        [0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68]
    );
    assert_eq!(back[48..52], [0, 0, 0, 7]);
    assert_eq!(back[64..74], sent[16..26]);
    assert_eq!(back[80], 254);
}

/// RFC 8762 §4.2.1: the MBZ field MUST be all zeroed on the transmission ...
#[test]
fn what_must_be_zero_is_zero_on_transmission() {
    let sent = probe(7).encode(None, 0);
    assert!(sent[16..].iter().all(|octet| *octet == 0));
    let back = reflection().encode(None, &sent);
    assert!(
        back[38..40]
            .iter()
            .chain(&back[41..])
            .all(|octet| *octet == 0)
    );
    let sent = probe(7).encode(key().as_ref(), 0);
    assert!(
        sent[4..16]
            .iter()
            .chain(&sent[28..96])
            .all(|octet| *octet == 0)
    );
    let back = reflection().encode(key().as_ref(), &sent);
    for zeros in [4..16, 28..32, 40..48, 52..64, 74..80, 81..96] {
        assert!(back[zeros].iter().all(|octet| *octet == 0));
    }
}

/// ... and MUST be ignored on receipt.
#[test]
fn what_must_be_zero_is_ignored_on_receipt() {
    let mut sent = probe(7).encode(None, 0);
    sent[16..].fill(0xff);
    assert_eq!(Probe::decode(&sent, None), Ok(probe(7)));
    let mut back = reflection().encode(None, &sent);
    back[38..40].fill(0xff);
    back[41..].fill(0xff);
    assert_eq!(Reflection::decode(&back, None), Ok(reflection()));
}

/// RFC 8762 §4.4: HMAC-SHA-256 truncated to 128 bits covers the first six blocks (96 octets).
#[test]
fn the_hmac_covers_the_first_96_octets() {
    let (key, other) = (key(), Key::new(b"another"));
    let sent = probe(7).encode(key.as_ref(), 8);
    assert_eq!(Probe::decode(&sent, key.as_ref()), Ok(probe(7)));
    assert_eq!(
        Probe::decode(&sent, other.as_ref()),
        Err(Fault::Unauthentic)
    );
    for at in 0..sent.len() {
        let mut forged = sent.clone();
        forged[at] ^= 1;
        assert_eq!(
            Probe::decode(&forged, key.as_ref()).is_ok(),
            at >= 112,
            "{at}"
        );
    }
    assert_eq!(Probe::decode(&sent[..111], key.as_ref()), Err(Fault::Short));
    assert!(Key::new(b"").is_none());
}

/// RFC 4231 §4.2, test case 1, truncated.
#[test]
fn the_tag_is_hmac_sha_256() {
    let tag = Key::new(&[0x0b; 20]).unwrap().tag(b"Hi There");
    assert_eq!(tag[..8], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
}

/// RFC 8762 §4.4: HMAC MUST be verified as early as possible: an unauthentic probe leaves no trace.
#[test]
fn an_unauthentic_probe_is_neither_answered_nor_counted() {
    let (now, mut reflector) = (some_instant(), reflector(key()));
    let forged = probe(0).encode(Key::new(b"another").as_ref(), 0);
    assert_eq!(answer(&mut reflector, now, &forged), None);
    assert_eq!(
        answer(&mut reflector, now, &probe(0).encode(None, 80)),
        None
    );
    assert_eq!(reflector.refused(), 2);
    let back = answer(&mut reflector, now, &probe(9).encode(key().as_ref(), 0)).unwrap();
    assert_eq!(
        Reflection::decode(&back, key().as_ref()).unwrap().sequence,
        0
    );
}

/// RFC 8762 §4.3.1: in the stateful mode the reflector counts its packets; it starts with zero, each session for itself.
#[test]
fn a_stateful_reflector_counts_each_session_for_itself() {
    let (now, mut reflector) = (some_instant(), reflector(None));
    for count in 0..5 {
        for ssid in [1, 2] {
            let sent = Probe {
                ssid,
                ..probe(count * 10)
            }
            .encode(None, 0);
            let back = answer(&mut reflector, now, &sent).unwrap();
            let back = Reflection::decode(&back, None).unwrap();
            assert_eq!((back.sequence, back.probe.ssid), (count, ssid));
        }
    }
}

/// RFC 8762 §4.3.1: sequence number, timestamp and error estimate of the sender are copied, with the TTL.
#[test]
fn the_probe_comes_back_in_its_answer() {
    let back = answer(
        &mut reflector(None),
        some_instant(),
        &probe(9).encode(None, 0),
    )
    .unwrap();
    let back = Reflection::decode(&back, None).unwrap();
    assert_eq!((back.probe, back.ttl), (probe(9), 255));
    let had = back
        .received
        .until(back.timestamp, back.error.format())
        .unwrap();
    assert!(had.abs_diff(Duration::from_millis(3)) < Duration::from_nanos(2));
}

/// RFC 8762 §4.3: the reflected packet is symmetric: the content beyond the base packet is copied.
#[test]
fn padding_is_copied() {
    for key in [None, key()] {
        let mut sent = probe(9).encode(key.as_ref(), 5);
        let base = sent.len() - 5;
        sent[base..].copy_from_slice(b"extra");
        let back = answer(&mut reflector(key.clone()), some_instant(), &sent).unwrap();
        assert_eq!((back.len(), &back[base..]), (sent.len(), &b"extra"[..]));
    }
}

/// RFC 8762 §4.6: the base packet is sent in answer to a packet smaller than the base packet.
#[test]
fn a_twamp_light_probe_gets_a_base_packet() {
    let sent = probe(9).encode(None, 0);
    for len in 14..BASE {
        assert_eq!(
            answer(&mut reflector(None), some_instant(), &sent[..len])
                .unwrap()
                .len(),
            BASE
        );
    }
    assert_eq!(
        answer(&mut reflector(None), some_instant(), &sent[..13]),
        None
    );
}

/// RFC 4656 §4.1.2: if the multiplier is zero, the packet is corrupt.
#[test]
fn a_multiplier_of_zero_is_corrupt() {
    let mut sent = probe(9).encode(None, 0);
    sent[13] = 0;
    assert_eq!(Probe::decode(&sent, None), Err(Fault::Corrupt));
}

#[test]
fn an_error_estimate_is_never_less_than_the_error() {
    for nanos in [0, 1, 1000, 999_999, 1_000_000_000, 86_400_000_000_000] {
        let error = Duration::from_nanos(nanos);
        let estimate = ErrorEstimate::new(error, true, Format::Ptp);
        assert!(estimate.synchronized() && estimate.format() == Format::Ptp);
        assert_eq!(ErrorEstimate::from_bits(estimate.bits()), Some(estimate));
        let (is, said) = (error.as_secs_f64(), estimate.seconds());
        assert!(said >= is && said <= is * 1.02 + 3e-10, "{is} {said}");
    }
}

/// RFC 8762 §4.2.1: NTP 64-bit timestamps, and the truncated PTPv2 format by the Z bit.
#[test]
fn timestamps_are_written_in_both_formats() {
    let at = Duration::new(1, 500_000_000);
    assert_eq!(
        Timestamp::new(at, Format::Ntp).0,
        (2_208_988_801 << 32) | 1 << 31
    );
    assert_eq!(Timestamp::new(at, Format::Ptp).0, (1 << 32) | 500_000_000);
}

#[test]
fn times_survive_eras_and_clocks_that_are_set_back() {
    let step = Duration::from_micros(1500);
    for format in [Format::Ntp, Format::Ptp] {
        // NTP's era ends in 2036, PTP's 32 bits in 2106.
        for seconds in [0, 2_085_978_495, u64::from(u32::MAX)] {
            let before = Duration::new(seconds, 999_000_000);
            let (a, b) = (
                Timestamp::new(before, format),
                Timestamp::new(before + step, format),
            );
            assert!(a.until(b, format).unwrap().abs_diff(step) < Duration::from_nanos(2));
            assert_eq!(b.until(a, format), None);
        }
    }
}

/// RFC 8762 §4.2.1: for each new session the sequence number starts at zero, one more with each packet.
#[test]
fn a_sender_counts_from_zero_and_keeps_its_pace() {
    let start = some_instant();
    let mut sender = Sender::new(start, config());
    for count in 0..100 {
        let now = sender.deadline().unwrap();
        assert_eq!(now, start + Duration::from_millis(20) * count);
        assert_eq!(send(&mut sender, now), [Some(count)]);
        assert_eq!(send(&mut sender, now), []);
    }
}

/// What it sends: sequence numbers, and `None` for a stall.
fn send(sender: &mut Sender, now: Instant) -> Vec<Option<u32>> {
    let mut out = Vec::new();
    sender.handle(now, Input::Timeout { clock: CLOCK }, &mut out);
    let said = out.into_iter().map(|output| match output {
        Output::Transmit { sequence, packet } => {
            assert_eq!(Probe::decode(&packet, None).unwrap().sequence, sequence);
            Some(sequence)
        }
        Output::Stalled(_) => None,
        Output::Answered(_) => panic!("nobody answered"),
    });
    said.collect()
}

#[test]
fn a_sender_that_was_not_scheduled_says_so_and_never_bursts() {
    let mut now = some_instant();
    let mut sender = Sender::new(now, config());
    assert_eq!(send(&mut sender, now), [Some(0)]);
    now += Duration::from_secs(5);
    assert_eq!(send(&mut sender, now), [None, Some(1)]);
    assert_eq!(sender.deadline(), Some(now + Duration::from_millis(20)));
}

#[test]
fn a_pace_is_kept_within_bounds() {
    let now = some_instant();
    let mut sender = Sender::new(now, config());
    send(&mut sender, now);
    for (asked, got) in [(1, 20), (50, 50), (9000, 9000), (20_000, 10_000)] {
        sender.handle(
            now,
            Input::Interval(Duration::from_millis(asked)),
            &mut Vec::new(),
        );
        assert_eq!(sender.interval(), Duration::from_millis(got));
    }
    assert_eq!(sender.deadline(), Some(now + Duration::from_millis(20)));
}

/// RFC 8972 §3: the SSID tells sessions apart; a reflector that knows none leaves zeros.
#[test]
fn answers_of_other_sessions_are_not_ours() {
    let now = some_instant();
    let mut sender = Sender::new(now, config());
    for (ssid, ours) in [(0x1234, true), (0, true), (0x1235, false)] {
        let probe = Probe { ssid, ..probe(3) };
        let packet = Reflection {
            probe,
            ..reflection()
        }
        .encode(None, &[]);
        let mut out = Vec::new();
        sender.handle(now, Input::Received(&packet), &mut out);
        assert_eq!(out.len(), usize::from(ours));
        if let [Output::Answered(answer)] = out[..] {
            let estimate::Answer {
                sequence,
                reflected,
                ..
            } = answer;
            assert_eq!((sequence, reflected), (3, Some(0x1122_3344)));
        }
    }
    assert_eq!(sender.rejected(), 1);
}

#[test]
fn strangers_get_no_answer() {
    let (now, mut reflector) = (some_instant(), reflector(None));
    let packet = probe(0).encode(None, 0);
    reflector.forget(peer().ip());
    assert_eq!(answer(&mut reflector, now, &packet), None);
    let other: IpAddr = "192.0.2.2".parse().unwrap();
    reflector.allow(other, None);
    assert_eq!(answer(&mut reflector, now, &packet), None);
}

#[test]
fn a_flood_is_answered_at_a_bounded_rate_and_with_bounded_memory() {
    let (start, mut reflector) = (some_instant(), reflector(None));
    let mut answered = 0;
    for n in 0..100_000_u32 {
        let now = start + Duration::from_micros(100) * n;
        let ssid = u16::try_from(n % 60_000).unwrap();
        let sent = Probe { ssid, ..probe(0) }.encode(None, 0);
        answered += u32::from(answer(&mut reflector, now, &sent).is_some());
    }
    // Ten seconds.
    assert!((2000..=2100).contains(&answered), "{answered}");
    assert!(format!("{reflector:?}").matches("Session {").count() <= 4);
}

#[test]
fn noise_never_panics_and_what_is_read_can_be_written() {
    let (now, mut chance) = (some_instant(), Chance::new(5));
    let (mut sender, mut reflector) = (Sender::new(now, config()), reflector(None));
    for _ in 0..20_000 {
        let len = usize::try_from(chance.below(130)).unwrap();
        let bytes: Vec<u8> = (0..len).map(|_| chance.bits().to_be_bytes()[0]).collect();
        sender.handle(now, Input::Received(&bytes), &mut Vec::new());
        answer(&mut reflector, now, &bytes);
        if let Ok(read) = Probe::decode(&bytes, None) {
            assert_eq!(Probe::decode(&read.encode(None, 0), None), Ok(read));
        }
    }
}
