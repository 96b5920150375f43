//! A flood of notices does not flood the log.

use super::*;

#[test]
fn what_is_beyond_the_bound_is_counted_and_told_in_the_next_window() {
    let start = Instant::now();
    let mut flood = Flood::new();
    for _ in 0..FLOOD_MAX {
        assert_eq!(flood.admit(start), Some(0));
    }
    for _ in 0..1000 {
        assert_eq!(flood.admit(start + FLOOD_WINDOW / 2), None);
    }
    assert_eq!(flood.admit(start + FLOOD_WINDOW), Some(1000));
    assert_eq!(flood.admit(start + FLOOD_WINDOW), Some(0));
}
