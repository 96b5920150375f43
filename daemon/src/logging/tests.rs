//! A flood of notices does not flood the log; what is malformed is there whole.

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

#[test]
fn a_malformed_update_is_logged_whole_with_its_header() {
    let hexadecimal = Hexadecimal(&[0, 0, 0, 1, 0x40]).to_string();
    let header = "ffffffffffffffffffffffffffffffff001802";
    assert_eq!(hexadecimal, format!("{header}0000000140"));
}
