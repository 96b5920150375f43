//! What the pacing promises.

use super::*;

#[test]
fn a_few_links_are_probed_every_20_ms_and_never_faster() {
    for links in [0, 1, 2, 17] {
        assert_eq!(interval(links, DEFAULT_BUDGET), FASTEST, "{links}");
    }
    assert_eq!(interval(1, u64::MAX), FASTEST);
}

#[test]
fn beyond_the_budget_all_links_slow_down_evenly() {
    assert!(interval(18, DEFAULT_BUDGET) > FASTEST);
    let (a, b) = (interval(100, DEFAULT_BUDGET), interval(200, DEFAULT_BUDGET));
    assert_eq!(b, 2 * a);
    for links in 18..890_u32 {
        let each = interval(usize::try_from(links).unwrap(), DEFAULT_BUDGET);
        let bits = f64::from(links) * 140.0 * 8.0 / each.as_secs_f64();
        assert!(bits <= 1_000_000.1, "{links}: {bits}");
    }
}

#[test]
fn a_link_is_probed_each_second_however_small_the_budget() {
    assert_eq!(interval(1000, DEFAULT_BUDGET), SLOWEST);
    assert_eq!(interval(usize::MAX, 0), SLOWEST);
}

#[test]
fn two_kinds_of_probes_are_as_many_as_one() {
    for ms in [20, 50, 99, 100, 333, 1000] {
        let interval = Duration::from_millis(ms);
        let [main, aside] = shared(interval);
        let rate = |interval: Duration| 1.0 / interval.as_secs_f64();
        let both = rate(main) + rate(aside);
        assert!((both / rate(interval) - 1.0).abs() < 1e-6, "{ms}: {both}");
        assert!(aside >= Duration::from_secs(1) && rate(aside) <= rate(interval) * 0.1001);
    }
    assert_eq!(shared(FASTEST)[1], SLOWEST);
    assert_eq!(shared(Duration::MAX), shared(SLOWEST));
}
