//! Spelling, both ways.

use super::*;

fn both_ways<T: FromStr<Err = String> + fmt::Display + PartialEq + fmt::Debug>(
    text: &str,
    value: &T,
) {
    assert_eq!(text.parse::<T>().as_ref(), Ok(value));
    assert_eq!(value.to_string(), text);
}

#[test]
fn communities_are_spelled_as_operators_do() {
    both_ways("65001:100", &Community(0xfde9_0064));
    both_ways("no-export", &Community::NO_EXPORT);
    both_ways("no-advertise", &Community(0xffff_ff02));
    both_ways("no-export-subconfed", &Community(0xffff_ff03));
    both_ways("graceful-shutdown", &Community(0xffff_0000));
    both_ways("accept-own", &Community(0xffff_0001));
    both_ways("llgr-stale", &Community(0xffff_0006));
    both_ways("no-llgr", &Community(0xffff_0007));
    both_ways("blackhole", &Community(0xffff_029a));
    assert_eq!("65535:65281".parse(), Ok(Community::NO_EXPORT));
    assert_eq!("100".parse(), Ok(Community(100)));
    for wrong in ["", "65536:1", "1:65536", "1:2:3", "noexport", "-1:2", "1:"] {
        let error = wrong.parse::<Community>().unwrap_err();
        assert!(error.contains(wrong) && error.contains("write"), "{error}");
    }
}

#[test]
fn large_communities_are_three_numbers() {
    let large = LargeCommunity {
        global: 4_200_000_000,
        local1: 1,
        local2: u32::MAX,
    };
    both_ways("4200000000:1:4294967295", &large);
    for wrong in ["1:2", "1:2:3:4", "1:2:4294967296", "a:1:2"] {
        assert!(wrong.parse::<LargeCommunity>().is_err());
    }
}

#[test]
fn extended_communities_have_names() {
    both_ways(
        "rt:65001:5",
        &ExtendedCommunity([0, 2, 0xfd, 0xe9, 0, 0, 0, 5]),
    );
    both_ways(
        "soo:65001:70000",
        &ExtendedCommunity([0, 3, 0xfd, 0xe9, 0, 1, 0x11, 0x70]),
    );
    both_ways(
        "rt:10.0.0.1:5",
        &ExtendedCommunity([1, 2, 10, 0, 0, 1, 0, 5]),
    );
    both_ways(
        "rt:70000:5",
        &ExtendedCommunity([2, 2, 0, 1, 0x11, 0x70, 0, 5]),
    );
    both_ways(
        "rt:0.65001:5",
        &ExtendedCommunity([2, 2, 0, 0, 0xfd, 0xe9, 0, 5]),
    );
    both_ways(
        "lb:65001:125000",
        &ExtendedCommunity::link_bandwidth(65001, 125_000.0),
    );
    both_ways(
        "lb:65001:0.5",
        &ExtendedCommunity::link_bandwidth(65001, 0.5),
    );
    both_ways(
        "0x4004fde9ffffffff",
        &ExtendedCommunity([0x40, 4, 0xfd, 0xe9, 255, 255, 255, 255]),
    );
    both_ways(
        "0x0605000000000001",
        &ExtendedCommunity([6, 5, 0, 0, 0, 0, 0, 1]),
    );
    for wrong in [
        "rt:70000:65536",
        "rt:1",
        "lb:1:nan",
        "lb:1:-1",
        "0x12",
        "xx:1:2",
        "rt:1:2:3",
        "0x+123456789abcdef",
    ] {
        assert!(wrong.parse::<ExtendedCommunity>().is_err(), "{wrong}");
    }
    assert!(!ExtendedCommunity::link_bandwidth(1, 1.0).is_transitive());
}

#[test]
fn every_extended_community_can_be_written_and_read_back() {
    for kind in 0..=255 {
        for subtype in 0..=255 {
            for rest in [
                [0; 6],
                [0xff; 6],
                [0xfd, 0xe9, 0x47, 0xc3, 0x50, 0],
                [0, 0, 1, 2, 3, 4],
            ] {
                let [a, b, c, d, e, f] = rest;
                let community = ExtendedCommunity([kind, subtype, a, b, c, d, e, f]);
                assert_eq!(community.to_string().parse(), Ok(community));
            }
        }
    }
    let v6 = Ipv6ExtendedCommunity([0xa5; 20]);
    assert_eq!(v6.to_string().parse(), Ok(v6));
}
