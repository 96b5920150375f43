//! Prefixes as keys.

use super::*;

fn v4(s: &str) -> Ipv4Prefix {
    Ipv4Prefix::from_net(s.parse().unwrap()).unwrap()
}

fn v6(s: &str) -> Ipv6Prefix {
    Ipv6Prefix::from_net(s.parse().unwrap()).unwrap()
}

// RFC 4271 §4.3: "the value of trailing bits is irrelevant".
#[test]
fn trailing_bits_are_irrelevant() {
    let odd = Ipv4Prefix::from_octets(&[10, 1, 0xff], 20).unwrap();
    assert_eq!(
        (odd, odd.to_string()),
        (v4("10.1.240.0/20"), "10.1.240.0/20".to_owned())
    );
    assert_eq!(v4("10.1.2.3/8"), v4("10.0.0.0/8"));
    assert_eq!(v6("2001:db8::1/32"), v6("2001:db8::/32"));
    assert_eq!(
        IpNet::from(v4("0.0.0.0/0")),
        "0.0.0.0/0".parse::<IpNet>().unwrap()
    );
}

#[test]
fn octets_and_lengths_must_fit() {
    assert_eq!(Ipv4Prefix::from_octets(&[10; 8], 33), None);
    assert_eq!(Ipv4Prefix::from_octets(&[10], 9), None);
    assert_eq!(Ipv6Prefix::from_octets(&[1; 16], 129), None);
    assert_eq!(Ipv4Prefix::from_octets(&[], 0), Some(v4("0.0.0.0/0")));
    assert_eq!(Ipv4Prefix::from_net("::/0".parse().unwrap()), None);
}

#[test]
fn a_prefix_covers_itself_and_what_lies_within() {
    assert!(v4("10.0.0.0/8").covers(v4("10.9.0.0/16")));
    assert!(v4("10.0.0.0/8").covers(v4("10.0.0.0/8")));
    assert!(!v4("10.9.0.0/16").covers(v4("10.0.0.0/8")));
    assert!(!v6("2001:db8::/33").covers(v6("2001:db8:8000::/33")));
    assert!(v6("::/0").covers(v6("2001:db8::/32")));
}

#[test]
fn the_length_is_part_of_the_hash() {
    use std::hash::{BuildHasher, RandomState};
    let state = RandomState::new();
    assert_ne!(
        state.hash_one(v4("10.0.0.0/8")),
        state.hash_one(v4("10.0.0.0/9"))
    );
    assert_ne!(
        state.hash_one(v6("2001::/16")),
        state.hash_one(v6("2001::/17"))
    );
    assert_eq!(
        state.hash_one(v6("2001::/16")),
        state.hash_one(v6("2001::1/16"))
    );
}
