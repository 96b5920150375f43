//! That benchmarks measure what they say.

use std::collections::BTreeSet;

use bgp_core::update::decode;

use super::*;

fn run(name: &str) -> Rest {
    let benchmark = BENCHMARKS.iter().find(|b| b.name == name).unwrap();
    let prepared = benchmark.prepare().unwrap();
    assert!(prepared.count > 0);
    prepared.measured()
}

#[test]
fn names_are_different() {
    let names: BTreeSet<_> = BENCHMARKS.iter().map(|b| b.name).collect();
    assert_eq!(names.len(), BENCHMARKS.len());
}

#[test]
fn messages_are_as_bad_as_they_are_called() {
    type Message = fn() -> bytes::Bytes;
    let large: [Message; 6] = [
        updates::full,
        updates::withdrawals,
        updates::shortest,
        updates::long_as_path,
        updates::communities,
        updates::unknown,
    ];
    for message in large {
        let body = message();
        assert!((3_700..=4_077).contains(&body.len()), "{}", body.len());
        let update = decode(&body, &wire::READ).unwrap();
        assert!(update.faults.is_empty() && !update.treat_as_withdraw);
    }
    let body = updates::malformed();
    assert!(decode(&body, &wire::READ).unwrap().treat_as_withdraw);
    let body = updates::unknown();
    let attributes = decode(&body, &wire::READ).unwrap().attributes.unwrap();
    assert_eq!(attributes.unknown.len(), 110);
}

#[test]
fn the_planner_writes_what_it_is_given() {
    let written = |name| {
        let rest = run(name);
        let planner = rest.downcast::<planner::Planner>().unwrap();
        planner.written
    };
    // Four next hops take an object each.
    assert_eq!(written("plan/new"), 10_000 + 4);
    assert_eq!(written("plan/same-again"), 10_000 + 4);
    assert_eq!(written("plan/other-next-hop"), 10_000 + 4 + 10_000);
    assert_eq!(written("plan/gone"), 10_000 + 4 + 10_000 + 4);
    // So does each pair with one that is spare.
    assert_eq!(written("plan/new-with-spare"), 10_000 + 4 + 4);
}

#[test]
fn routes_go_the_whole_way() {
    for (name, prefixes, paths, installed) in [
        ("way/one-sender", 100_000, 100_000, 0),
        ("way/ten-senders", 10_000, 100_000, 0),
        ("way/kernel", 50_000, 50_000, 50_000),
    ] {
        let driver = run(name).downcast::<way::Driver>().unwrap();
        let status = driver.status();
        assert_eq!((status.prefixes.ipv4, status.paths), (prefixes, paths));
        assert_eq!(status.fib.installed, installed);
        assert!(driver.octets > 4 * prefixes);
    }
}
