//! Sizes, and what answers say.

use super::*;

fn answer(sequence: u32, clock: Duration, ahead: i64) -> Vec<u8> {
    let there = if ahead < 0 {
        clock - Duration::from_secs(ahead.unsigned_abs())
    } else {
        clock + Duration::from_secs(ahead.unsigned_abs())
    };
    let error = ErrorEstimate::new(CLOCK_ERROR, true, Format::Ntp);
    let reflection = Reflection {
        sequence: 0,
        timestamp: Timestamp::new(there, Format::Ntp),
        error,
        received: Timestamp::new(there, Format::Ntp),
        probe: Probe {
            sequence,
            timestamp: Timestamp::new(clock, Format::Ntp),
            error,
            ssid: SSID,
        },
        ttl: 255,
    };
    reflection.encode(None, &[])
}

#[test]
fn sizes_go_from_the_least_to_what_the_device_takes() {
    let v4: IpAddr = "10.0.0.1".parse().unwrap();
    let all = sizes(v4, 1420);
    assert_eq!(
        all.first(),
        Some(&Size {
            packet: 72,
            payload: 44
        })
    );
    assert_eq!(
        all.last(),
        Some(&Size {
            packet: 1420,
            payload: 1392
        })
    );
    assert!(all.is_sorted_by_key(|size| size.packet), "{all:?}");
    let v6 = sizes("fe80::1".parse().unwrap(), 65_536);
    assert_eq!(
        v6.last(),
        Some(&Size {
            packet: 2096,
            payload: 2048
        })
    );
    assert_eq!(
        v6.first(),
        Some(&Size {
            packet: 92,
            payload: 44
        })
    );
    assert_eq!(sizes(v4, 60), [], "no probe fits");
}

#[test]
fn the_largest_that_was_answered_counts_whatever_the_round() {
    let all = sizes("10.0.0.1".parse().unwrap(), 1420);
    let count = u32::try_from(all.len()).unwrap();
    let mut heard = Heard::new(&all);
    assert_eq!(
        heard.result(),
        Probes {
            largest: 1420,
            passed: 0,
            clock: None
        }
    );
    heard.hear(b"noise");
    heard.hear(&answer(0, wall_clock(), 0));
    assert_eq!(heard.result().passed, 72);
    heard.hear(&answer(2 * count + 3, wall_clock(), 0));
    assert_eq!(heard.result().passed, all[3].packet);
    assert!(!heard.all());
    heard.hear(&answer(count - 1, wall_clock(), 0));
    assert!(heard.all());
}

#[test]
fn clocks_that_are_apart_are_seen_either_way() {
    let all = sizes("10.0.0.1".parse().unwrap(), 1420);
    for ahead in [120, -120] {
        let mut heard = Heard::new(&all);
        heard.hear(&answer(0, wall_clock(), ahead));
        let off = heard.result().clock.unwrap();
        assert!((119..=121).contains(&off.as_secs()), "{off:?}");
    }
}
