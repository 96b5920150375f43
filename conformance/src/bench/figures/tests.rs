//! Medians, ratios, and what is read.

use super::*;

#[test]
fn medians_of_what_was_measured() {
    assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
    assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
    assert_eq!(median([].into_iter()), None);
}

#[test]
fn every_figure_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = FIGURES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), FIGURES.len());
}

#[test]
fn nothing_is_read_from_what_was_not_measured() {
    let outcome = Outcome::default();
    for (name, read) in FIGURES {
        assert_eq!(read(&outcome), None, "{name}");
    }
}

#[test]
fn the_most_that_bad_peers_cost_is_told() {
    let peak = |peak_rss_mib| Measured {
        peak_rss_mib,
        ..Measured::default()
    };
    let beside = [Some(peak(110.0)), None, Some(peak(104.0))];
    assert_eq!(most_more(peak(100.0), beside), Some(10.0));
    assert_eq!(most_more(peak(100.0), [None]), None);
    assert_eq!(ratio(3.0, 2.0), "×1.50");
    assert_eq!(ratio(3.0, 0.0), "");
}
