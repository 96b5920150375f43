//! A new configuration: all of it or nothing, and only what changed is touched.

use super::*;
use crate::Changes;

/// Host 0 in session with the hosts 1 and 2.
fn star() -> Net {
    let mut net = Net::new(vec![config(0, &[1, 2]), config(1, &[0]), config(2, &[0])]);
    net.run(10);
    net.assert_up(0, 1);
    net.assert_up(0, 2);
    net
}

#[test]
fn the_same_configuration_changes_nothing() {
    let mut net = star();
    assert_eq!(net.configure(0, config(0, &[1, 2])), Changes::default());
    assert_eq!(net.peer(0, 1).established_count, 1);
}

#[test]
fn a_session_that_did_not_change_is_not_disturbed() {
    let mut net = star();
    let before = net.peer(0, 2);
    let mut new = config(0, &[1, 2]);
    new.peers[0].options.hold_time = Duration::from_secs(30);
    let changes = net.configure(0, new);
    assert_eq!((changes.restarted, changes.updated), (1, 0));
    net.run(10);
    net.assert_up(0, 1);
    assert_eq!(net.peer(0, 1).established_count, 2);
    let after = net.peer(0, 2);
    assert_eq!((after.established_count, after.since), (1, before.since));
}

#[test]
fn policies_and_timers_change_in_place() {
    let mut net = star();
    let mut new = config(0, &[1, 2]);
    new.originate.push(originate("198.51.100.0/24"));
    new.peers[0].options.export = Some(vec!["reject".to_owned()]);
    new.peers[1].options.idle_hold = Duration::from_secs(9);
    let changes = net.configure(0, new);
    assert_eq!((changes.restarted, changes.updated), (0, 2));
    assert!(net.routes(1).is_empty());
    assert_eq!(net.routes(2), ["198.51.100.0/24"]);
    assert_eq!(net.peer(0, 1).established_count, 1);
}

#[test]
fn peers_come_and_go() {
    let mut net = star();
    let changes = net.configure(0, config(0, &[2]));
    assert_eq!(changes.removed, 1);
    assert!(net.peer(1, 0).last_error.unwrap().contains("6/3"));
    assert_eq!(net.configure(0, config(0, &[1, 2])).added, 1);
    net.run(120);
    net.assert_up(0, 1);
    assert_eq!(net.peer(0, 2).established_count, 1);
}

#[test]
fn a_refused_configuration_changes_nothing() {
    let mut net = star();
    let mut fib = config(0, &[]);
    fib.fib.protocol = 7;
    let mut policy = config(0, &[1]);
    policy.peers[0].options.import = Some(vec!["nowhere".to_owned()]);
    let twice = config(0, &[1, 1]);
    for wrong in [fib, policy, twice] {
        let refused = net.with(0, |s, now, out| s.configure(now, wrong, out));
        assert!(matches!(refused, Err(Refusal::Precondition(_))));
        assert_eq!(*net.speakers[0].config(), config(0, &[1, 2]));
    }
    net.run(200);
    assert_eq!(net.peer(0, 1).established_count, 1);
}

#[test]
fn a_peer_of_a_range_that_is_named_keeps_its_session() {
    let mut open = config(0, &[]);
    open.ranges.push(PeerRange {
        prefix: net_of("192.0.2.0/24"),
        asns: vec![asn(1)],
        limit: 9,
        options: options(),
    });
    let mut net = Net::new(vec![open.clone(), config(1, &[0])]);
    net.run(10);
    assert!(net.peer(0, 1).dynamic);
    open.peers = config(0, &[1]).peers;
    net.configure(0, open);
    net.run(10);
    net.assert_up(0, 1);
    assert!(!net.peer(0, 1).dynamic);
}

#[test]
fn enabled_in_the_file_is_an_order() {
    let mut net = star();
    let mut new = config(0, &[1, 2]);
    new.peers[0].options.enabled = false;
    net.configure(0, new);
    net.run(60);
    assert_eq!(net.peer(0, 1).state, State::Idle);
    net.configure(0, config(0, &[1, 2]));
    net.run(60);
    net.assert_up(0, 1);
}
