//! Places, marks and secrets.

use super::*;

#[test]
fn distance_counts_letters_put_in_taken_out_changed_and_swapped() {
    assert_eq!(distance("password", "password"), 0);
    assert_eq!(distance("pasword", "password"), 1);
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("ans", "asn"), 1, "swapped");
}

#[test]
fn the_closest_name_is_suggested_and_only_if_it_is_close() {
    assert_eq!(
        closest("multi-path", ["multipath", "asn"]),
        Some("multipath")
    );
    assert_eq!(closest("colour", ["multipath", "asn"]), None);
}

#[test]
fn no_password_is_shown_however_it_is_spelled() {
    for line in [
        "password = \"s3cret\"",
        "pasword=\"s3cret\"",
        "a = { Password = \"s3cret\" }",
    ] {
        assert!(!without_secret(line).contains("s3cret"), "{line}");
    }
    assert_eq!(
        without_secret("password-file = \"/etc/p\""),
        "password-file = \"/etc/p\""
    );
    assert_eq!(without_secret("passive = true"), "passive = true");
}

#[test]
fn a_long_line_is_cut_and_the_mark_still_stands_under_its_place() {
    let line = format!("{}x{}", "é".repeat(200), "a".repeat(200));
    let mut out = String::new();
    snippet(&line, 400, 401, "here", &mut out);
    let lines: Vec<_> = out.lines().collect();
    let place = |text: &str, mark| text.chars().position(|c| c == mark);
    assert_eq!(place(lines[0], 'x'), place(lines[1], '^'), "{out}");
}

#[test]
fn a_place_outside_of_the_text_is_no_fault() {
    let mut out = String::new();
    snippet("short", 90, 99, "here", &mut out);
    snippet("é", 1, 1, "here", &mut out);
    snippet("", 0, 0, "here", &mut out);
}
