//! Paths: what they count, how they grow, how they are spelled.

use super::*;

fn path(s: &str) -> AsPath {
    s.parse().unwrap()
}

#[test]
fn paths_are_spelled_both_ways() {
    for text in [
        "",
        "65001",
        "65001 65002 {65003,65004} (65010)",
        "(1 2) [3,4] 5 {6} 7",
        "4200000000",
    ] {
        assert_eq!(path(text).to_string(), text);
    }
    assert_eq!(path(" 1  2 { 3 4 } "), path("1 2 {3,4}"));
    for wrong in ["x", "1 {2", "1 2)", "4294967296", "-1"] {
        assert!(wrong.parse::<AsPath>().is_err(), "{wrong}");
    }
}

// RFC 4271 §9.1.2.2 a: "an AS_SET counts as 1, no matter how many ASes are in the set". RFC 5065 §5.3: confederation
// segments are not counted.
#[test]
fn a_set_counts_one_and_confederations_nothing() {
    assert_eq!(path("(9 8) 1 2 {3,4,5} [7]").len_for_decision(), 3);
    assert_eq!(path("").len_for_decision(), 0);
}

#[test]
fn neighbor_and_origin_are_at_the_ends() {
    let both = |s: &str| (path(s).neighbor_as(), path(s).origin_as());
    assert_eq!(both("1 2 3"), (Some(1), Some(3)));
    assert_eq!(both("(9 8) 1 2"), (Some(1), Some(2)));
    assert_eq!(both("{1,2}"), (None, None));
    assert_eq!(both("1 {2,3}"), (Some(1), None));
    assert_eq!(both("(9 8)"), (None, None));
    assert_eq!(both(""), (None, None));
    assert!(path("1 {2,3} (4)").contains(4) && !path("1 2").contains(3));
}

// RFC 4271 §5.1.2 b: "If the act of prepending will cause an overflow in the AS_PATH segment (i.e., more than 255 ASes), it
// SHOULD prepend a new segment of type AS_SEQUENCE". "If the first path segment of the AS_PATH is of type AS_SET ..." too.
#[test]
fn prepending_fills_the_first_sequence_and_then_opens_another() {
    let prepended = |s: &str, asn, count| {
        let mut path = path(s);
        path.prepend(asn, count);
        path
    };
    assert_eq!(prepended("", 1, 2).to_string(), "1 1");
    assert_eq!(prepended("2 3", 1, 1).to_string(), "1 2 3");
    assert_eq!(prepended("{2,3}", 1, 1).to_string(), "1 {2,3}");
    assert_eq!(prepended("(9) 2", 1, 0).to_string(), "(9) 2");
    let full = AsPath::sequence(std::iter::repeat_n(7, 254));
    let mut longer = full;
    longer.prepend(1, 600);
    let lens: Vec<usize> = longer.segments().map(Segment::len).collect();
    assert_eq!(lens, [89, 255, 255, 255]);
    assert_eq!(longer.asns().filter(|asn| *asn == 1).count(), 600);
    assert_eq!(AsPath::decode(longer.octets(), true), Some(longer));
}

#[test]
fn confederation_segments_come_and_go() {
    let mut inside = path("1 2");
    inside.prepend_confederation(65010);
    inside.prepend_confederation(65011);
    assert_eq!(inside.to_string(), "(65011 65010) 1 2");
    assert!(inside.has_confederation() && !inside.has_set());
    assert_eq!(inside.without_confederation(), path("1 2"));
}

// RFC 7606 §7.2: "An AS_PATH is considered malformed if an unrecognized segment type is encountered or if it contains a
// malformed segment. A segment is considered malformed if ... There is an overrun ... or an underrun ... It has a Path
// Segment Length field of zero."
#[test]
fn broken_paths_are_malformed() {
    for (value, wide) in [
        (&[0, 1, 0, 1][..], false),
        (&[5, 1, 0, 1], false),
        (&[2, 2, 0, 1], false),
        (&[2, 1, 0], false),
        (&[2, 1, 0, 1, 2], false),
        (&[2, 0], false),
        (&[2, 0], true),
        (&[2, 1, 0, 0, 0, 1, 1, 0], true),
        (&[2, 1, 0, 1], true),
        // RFC 7607 §2: "a BGP speaker MUST NOT ... if AS 0 is in AS_PATH", it is malformed.
        (&[2, 1, 0, 0], false),
        (&[2, 1, 0, 0, 0, 0], true),
    ] {
        assert_eq!(AsPath::decode(value, wide), None, "{value:?}");
    }
    assert_eq!(AsPath::decode(&[], false), Some(AsPath::default()));
    assert_eq!(AsPath::decode(&[2, 1, 0, 9], false), Some(path("9")));
}

// RFC 6793 §4.2.3: "the exact AS path information ... by taking as many AS numbers and path segments as necessary from the
// leading part of the AS_PATH attribute, and then prepending them to the AS4_PATH attribute".
#[test]
fn as4_path_is_merged_behind_the_leading_part() {
    let merged = |old: &str, as4: &str| path(old).merge(&path(as4)).to_string();
    assert_eq!(merged("1 23456 23456", "70000 70001"), "1 70000 70001");
    assert_eq!(merged("1 2 23456", "70000"), "1 2 70000");
    assert_eq!(merged("23456 {1,2}", "70000 {70001}"), "70000 {70001}");
    assert_eq!(merged("1 {2,3} 23456", "70000"), "1 {2,3} 70000");
    // "If the number of AS numbers in the AS_PATH attribute is less than ... AS4_PATH", AS4_PATH is ignored.
    assert_eq!(merged("23456", "70000 70001"), "23456");
    assert_eq!(merged("", "70000"), "");
    // "a valid AS_CONFED_SEQUENCE or AS_CONFED_SET path segment SHALL be prepended if it is either the leading path
    // segment or is adjacent to a path segment that is prepended".
    assert_eq!(merged("(9 8) 23456", "70000"), "(9 8) 70000");
    assert_eq!(merged("(9) 1 (8) 23456", "70000"), "(9) 1 (8) 70000");
    assert_eq!(merged("1 23456 (8) 2", "70000 2"), "1 70000 2");
    // §3: confederation segments in an AS4_PATH are discarded.
    assert_eq!(merged("1 23456", "(5) 70000"), "1 70000");
    let long = AsPath::sequence(1..=200).merge(&AsPath::sequence(70_001..=70_100));
    assert_eq!(long.len_for_decision(), 200);
    assert_eq!(AsPath::decode(long.octets(), true), Some(long));
}

#[test]
fn a_seam_longer_than_a_segment_stays_a_seam() {
    let mut old = AsPath::sequence(1..=255);
    old.push(SegmentKind::Sequence, &[23456; 200]);
    let merged = old.merge(&AsPath::sequence(70_001..=70_300));
    assert_eq!(merged.len_for_decision(), 455);
    assert_eq!(AsPath::decode(merged.octets(), true), Some(merged));
}

#[test]
fn numbers_are_changed_or_taken_out_wherever_they_stand() {
    let path: AsPath = "1 2 {3,4} (5) 2".parse().unwrap();
    let without = |gone: &'static [u32]| path.map(|asn| (!gone.contains(&asn)).then_some(asn));
    assert_eq!(without(&[]), path);
    assert_eq!(without(&[2]).to_string(), "1 {3,4} (5)");
    assert_eq!(without(&[3, 4, 5]).to_string(), "1 2 2");
    assert!(without(&[1, 2, 3, 4, 5]).is_empty());
    assert_eq!(
        path.map(|asn| Some(asn * 10)).to_string(),
        "10 20 {30,40} (50) 20"
    );
    let long = AsPath::sequence(0..300);
    assert_eq!(long.map(|asn| Some(asn + 1)), AsPath::sequence(1..301));
}
