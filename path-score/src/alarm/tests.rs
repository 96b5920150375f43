//! What the alarm promises, in seeded simulations of 50 probes a second.

use super::*;
use crate::tests::Chance;

const A_DAY: u32 = 24 * 3600 * 50;

/// Probes until the alarm.
fn detect(chance: &mut Chance, loss: f64) -> f64 {
    let mut alarm = Alarm::default();
    // The link was as good as may be before.
    for _ in 0..500 {
        fate(&mut alarm, chance.happens(GOOD));
    }
    let mut count = 0.0;
    loop {
        count += 1.0;
        if fate(&mut alarm, chance.happens(loss)) || count > 1e6 {
            return count;
        }
    }
}

fn fate(alarm: &mut Alarm, lost: bool) -> bool {
    if lost {
        return alarm.lost().is_some();
    }
    alarm.passed();
    false
}

/// Mean and 99th percentile, in seconds.
fn times(loss: f64) -> (f64, f64) {
    let mut chance = Chance::new(7);
    let mut all: Vec<_> = (0..4000)
        .map(|_| detect(&mut chance, loss) / 50.0)
        .collect();
    all.sort_by(f64::total_cmp);
    let mean = all.iter().sum::<f64>() / 4000.0;
    println!(
        "{loss}: mean {mean:.2} p50 {:.2} p99 {:.2} s",
        all[2000], all[3960]
    );
    (mean, all[3960])
}

#[test]
fn twenty_percent_are_found_in_less_than_a_second_on_average() {
    let (mean, p99) = times(0.2);
    assert!((0.7..0.9).contains(&mean) && p99 <= 1.75, "{mean} {p99}");
}

#[test]
fn forty_percent_are_found_in_half_a_second() {
    let (mean, p99) = times(0.4);
    assert!((0.35..0.5).contains(&mean) && p99 <= 0.9, "{mean} {p99}");
}

#[test]
fn ten_percent_are_found_in_two_seconds() {
    let (mean, _) = times(0.1);
    assert!((1.6..2.2).contains(&mean), "{mean}");
}

#[test]
fn five_percent_are_found_in_15_seconds() {
    let (mean, p99) = times(0.05);
    assert!(mean < 6.5 && p99 <= 13.5, "{mean} {p99}");
}

#[test]
fn twenty_four_hours_at_half_a_percent_bring_no_alarm() {
    for seed in 1..=5 {
        let (mut alarm, mut chance) = (Alarm::default(), Chance::new(seed));
        for _ in 0..A_DAY {
            assert!(!fate(&mut alarm, chance.happens(GOOD)), "seed {seed}");
        }
    }
}

/// Gilbert–Elliott: the chances that a burst begins, that it goes on, and that a probe in it is lost.
#[test]
fn twenty_four_hours_of_rare_bursts_bring_no_alarm() {
    for (seed, begin, on, loss) in [
        (1, 1.0 / 5000.0, 0.8, 1.0),
        (2, 1.0 / 5000.0, 0.9, 1.0),
        (3, 1.0 / 2000.0, 0.5, 0.5),
        (4, 1.0 / 500.0, 0.3, 0.8),
    ] {
        let (mut alarm, mut chance) = (Alarm::default(), Chance::new(seed));
        let (mut burst, mut lost, mut alarms) = (false, 0, 0);
        for _ in 0..A_DAY {
            burst = chance.happens(if burst { on } else { begin });
            let loss = burst && chance.happens(loss);
            lost += u32::from(loss);
            alarms += u32::from(fate(&mut alarm, loss));
        }
        let rate = f64::from(lost) / f64::from(A_DAY);
        assert!((0.0004..0.005).contains(&rate), "{rate}");
        assert_eq!(alarms, 0, "seed {seed}");
    }
}

#[test]
fn one_long_burst_is_one_event_and_no_alarm() {
    let mut alarm = Alarm::default();
    assert!((0..10_000).all(|_| alarm.lost().is_none()));
    assert!(alarm.suspicion() < 0.5);
}

/// Half as much is enough, for some time; one long burst is not.
#[test]
fn who_is_warned_is_wary_for_a_while() {
    let losses_to_alarm = |warned: bool, passed: u32| {
        let mut alarm = Alarm::default();
        if warned {
            assert_eq!(alarm.warn(), None);
        }
        (0..passed).for_each(|_| alarm.passed());
        let mut losses = 0;
        loop {
            losses += 1;
            if alarm.lost().is_some() {
                return losses;
            }
            alarm.passed();
        }
    };
    assert_eq!(losses_to_alarm(false, 0), 8);
    assert_eq!(losses_to_alarm(true, 0), 4);
    assert_eq!(losses_to_alarm(true, WARY), 8);
    let mut alarm = Alarm::default();
    alarm.warn();
    assert!((0..100).all(|_| alarm.lost().is_none()));
    // What was seen before counts.
    let mut alarm = Alarm::default();
    for _ in 0..5 {
        assert_eq!(alarm.lost(), None);
        alarm.passed();
    }
    assert_eq!(alarm.warn(), Some(Raised::Anew));
    // The loss goes on.
    let again = |alarm: &mut Alarm| {
        alarm.passed();
        alarm.lost()
    };
    let raised = (0..20).find_map(|_| again(&mut alarm));
    assert_eq!(raised, Some(Raised::Again));
}

#[test]
fn what_was_only_late_is_taken_back() {
    let mut alarm = Alarm::default();
    for _ in 0..100_000 {
        assert!(alarm.lost().is_none());
        alarm.forgive();
        alarm.passed();
    }
    assert_eq!(alarm.suspicion(), 0.0);
}

/// Solves for the chance that an excursion of a sum, which a first loss begins, ends in an alarm. Between excursions
/// the sum is zero and waits for the next loss: that makes the time between false alarms. Those of the tests add up, at most.
#[test]
fn a_false_alarm_is_expected_about_once_in_ten_years() {
    let rates = TESTS.map(|test| 1.0 / years(&Cusum::new(test)));
    let years = 1.0 / rates.iter().sum::<f64>();
    println!("one false alarm in {years:.1} years");
    assert!((8.0..14.0).contains(&years), "{years}");
}

#[allow(clippy::cast_possible_truncation, reason = "a few thousand steps")]
fn years(test: &Cusum) -> f64 {
    // A grid on which a probe that passes is 4 steps down.
    let step = -test.passed / 4.0;
    let up = (test.lost / step).round() as usize;
    let top = (test.threshold / step).ceil() as usize;
    // By run of losses so far (0..=3) and sum.
    let mut hit = vec![[0.0_f64; 4]; top + 1];
    for _ in 0..3000 {
        for sum in 1..=top {
            for run in 0..4 {
                let down = if sum > 4 { hit[sum - 4][0] } else { 0.0 };
                let on = match (run, sum + up) {
                    (3, _) => hit[sum][3],
                    (_, above) if above >= top => 1.0,
                    (_, above) => hit[above][run + 1],
                };
                hit[sum][run] = GOOD * on + (1.0 - GOOD) * down;
            }
        }
    }
    let per_probe = GOOD * hit[up][1];
    let years = 1.0 / per_probe / 50.0 / (365.25 * 86_400.0);
    println!("one false alarm in {years:.1} years");
    years
}
