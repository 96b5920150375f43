//! Patterns of interfaces.

use super::*;

fn contain(patterns: &[&str], name: &str) -> bool {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned());
    Interfaces(patterns.collect()).contain(name)
}

#[test]
fn patterns_fit_whole_names() {
    for (pattern, name, fit) in [
        ("eth0", "eth0", true),
        ("eth0", "eth00", false),
        ("eth", "eth0", false),
        ("eth?", "eth0", true),
        ("eth?", "eth", false),
        ("eth*", "eth", true),
        ("*", "", true),
        ("*-pod", "br-pod", true),
        ("*-pod", "br-pod1", false),
        ("a*b*c", "aXbXbc", true),
        ("a*b*c", "aXbXcb", false),
        ("**?", "x", true),
        ("**?", "", false),
    ] {
        assert_eq!(contain(&[pattern], name), fit, "{pattern} {name}");
    }
}

#[test]
fn what_a_pattern_excludes_no_other_brings_back() {
    assert!(contain(&["br-pod", "!eth*"], "br-pod"));
    assert!(!contain(&["br-pod", "!eth*"], "eth0"));
    assert!(!contain(&["br-pod", "!eth*"], "wg0"));
    assert!(!contain(&["*", "!eth*"], "eth0"));
    assert!(!contain(&["!eth*", "eth0"], "eth0"));
}

#[test]
fn where_patterns_only_exclude_all_others_are_meant() {
    assert!(contain(&["!eth*"], "wg0"));
    assert!(contain(&[], "eth0"));
}
