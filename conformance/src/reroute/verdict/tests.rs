//! Streams as they could have been.

use super::*;
use crate::lab::Reply;

const EVERY: Duration = Duration::from_millis(10);

/// Echoes, one each 10 ms: `of` says over how many routers each went there and back, or that it was lost.
fn stream(count: u32, of: impl Fn(u32) -> Option<(u8, u8)>) -> Vec<Sample> {
    let sample = |n: u32| Sample {
        sent: EVERY * n,
        reply: of(n).map(|(there, back)| Reply {
            came: EVERY * n,
            answered: EVERY * n,
            there,
            back,
        }),
    };
    (0..count).map(sample).collect()
}

fn timeline(there: bool, back: bool) -> Timeline {
    Timeline {
        bad: Duration::from_secs(1),
        whole: Duration::from_secs(11),
        there,
        back,
    }
}

#[test]
fn who_leaves_a_dead_link_at_once_was_out_for_that_long() {
    let samples = stream(2000, |n| match n {
        0..100 | 1500.. => Some((2, 2)),
        100..113 => None,
        _ => Some((3, 3)),
    });
    let verdict = judge(&samples, timeline(true, true));
    assert_eq!(verdict.settled, Some(Duration::from_millis(120)));
    assert_eq!(verdict.outage, Duration::from_millis(130));
    assert!((verdict.lost - 0.013).abs() < 1e-9, "{verdict:?}");
    assert_eq!((verdict.changes, verdict.needless), (2, false));
    assert_eq!(verdict.returned, Some(Duration::from_millis(3990)));
    assert_eq!(verdict.changes_then, 2);
    assert_eq!(verdict.lost_then, 0);
}

#[test]
fn who_never_leaves_has_not_settled_and_who_never_comes_back_has_not_returned() {
    let samples = stream(2000, |n| match n {
        100..1100 if n.is_multiple_of(5) => None,
        0..1990 => Some((2, 2)),
        _ => Some((3, 2)),
    });
    let verdict = judge(&samples, timeline(true, true));
    assert_eq!((verdict.settled, verdict.returned), (None, None));
    assert_eq!((verdict.changes, verdict.changes_then), (0, 1));
    assert!((verdict.lost - 0.2).abs() < 1e-9);
}

#[test]
fn when_one_way_is_bad_the_other_is_to_stay() {
    let one = |back| {
        stream(2000, move |n| match n {
            0..150 | 1200.. => Some((2, 2)),
            _ => Some((3, back)),
        })
    };
    let verdict = judge(&one(2), timeline(true, false));
    assert_eq!(verdict.settled, Some(Duration::from_millis(490)));
    assert_eq!((verdict.changes, verdict.needless), (1, false));
    let verdict = judge(&one(3), timeline(true, false));
    assert_eq!((verdict.changes, verdict.needless), (2, true));
}

#[test]
fn what_is_late_and_what_is_overtaken_is_counted() {
    let mut samples = stream(2000, |_| Some((2, 2)));
    for (place, late) in [(50, 90), (200, 25), (300, 80), (1500, 70)] {
        let reply = samples[place].reply.as_mut().unwrap();
        reply.came += Duration::from_millis(late);
    }
    let verdict = judge(&samples, timeline(false, false));
    assert_eq!(verdict.slowest, Duration::from_millis(80));
    assert_eq!(verdict.overtaken, 2);
    assert_eq!(
        (verdict.lost_then, verdict.changes, verdict.needless),
        (0, 0, false)
    );
}

#[test]
fn an_outage_that_does_not_end_lasts_until_the_link_is_whole() {
    let samples = stream(2000, |n| match n {
        100..1300 => None,
        _ => Some((2, 2)),
    });
    let verdict = judge(&samples, timeline(true, true));
    assert_eq!(verdict.outage, Duration::from_secs(10));
    assert_eq!(verdict.lost_then, 200);
    assert_eq!(verdict.returned, Some(Duration::from_millis(1990)));
}

/// An echo of a slow way is answered after later ones of a fast one: its reply may be the first that goes another way.
#[test]
fn a_direction_s_changes_are_counted_in_the_order_in_which_its_packets_left() {
    let mut samples = stream(2000, |n| match n {
        // The last one of the slow way is answered when the other direction has changed, too.
        0..202 => Some((2, 2)),
        202 => Some((2, 3)),
        203..205 => Some((3, 2)),
        _ => Some((3, 3)),
    });
    for sample in &mut samples[..203] {
        let reply = sample.reply.as_mut().unwrap();
        reply.answered += Duration::from_millis(25);
    }
    assert_eq!(judge(&samples, timeline(true, true)).changes, 2);
}
