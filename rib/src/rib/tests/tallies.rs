//! How often routes changed, and how many are the best.

use super::*;
use crate::ChangeCounts;
use crate::policy::{Action, MatchConfig, Policies, PolicyConfig, RuleConfig, SetsConfig, Then};

fn changes(rib: &Rib, peer: u32) -> ChangeCounts {
    rib.peer_counts(PeerId(peer)).ipv4.changes
}

fn tell(rib: &mut Rib, peer: u32, prefix: &str, attributes: Option<&Attributes>) {
    rib.receive(PeerId(peer), &update(prefix, attributes))
        .unwrap();
}

fn hear(rib: &mut Rib, peer: u32) {
    while rib.transmit(PeerId(peer), 1 << 16, &mut Vec::new()) {}
}

#[test]
fn what_a_peer_tells_is_counted_by_what_becomes_of_it() {
    let mut rib = Rib::new(config());
    let small = RuleConfig {
        matches: MatchConfig {
            prefixes: vec!["10.3.0.0/16".to_owned()],
            ..MatchConfig::default()
        },
        then: Then::Decide(Action::Reject),
        ..RuleConfig::default()
    };
    let policy = PolicyConfig {
        name: "p".to_owned(),
        default: Some(Action::Accept),
        rules: vec![small],
    };
    let policies = Policies::compile(&SetsConfig::default(), &[policy]).unwrap();
    let mut session = session(0, Sort::External);
    session.import = Some(policies.chain(&["p".to_owned()]).unwrap());
    let own = session.local_asn;
    rib.peer_up(PeerId(0), session);
    for prefix in ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"] {
        tell(&mut rib, 0, prefix, Some(&route([65000])));
    }
    // The same again, another one, one that has been through us.
    tell(&mut rib, 0, "10.1.0.0/16", Some(&route([65000])));
    tell(&mut rib, 0, "10.2.0.0/16", Some(&route([65000, 7])));
    tell(&mut rib, 0, "10.4.0.0/16", Some(&route([65000, own])));
    tell(&mut rib, 0, "10.1.0.0/16", None);
    tell(&mut rib, 0, "10.9.0.0/16", None);
    let counts = changes(&rib, 0);
    let expected = ChangeCounts {
        updates: 6,
        rejected: 1,
        filtered: 1,
        ignored: 1,
        withdraws: 2,
        withdraws_ignored: 1,
        told: 0,
        withdrawn: 0,
    };
    assert_eq!(counts, expected);
    assert_eq!(counts.accepted(), 3);
    assert_eq!(rib.peer_counts(PeerId(0)).ipv4.preferred, 1);
    rib.peer_down(PeerId(0));
    rib.peer_up(PeerId(0), super::session(0, Sort::External));
    assert_eq!(changes(&rib, 0), ChangeCounts::default());
}

#[test]
fn what_a_peer_is_told_is_counted_and_its_own_routes_are_not() {
    let mut rib = Rib::new(config());
    for peer in 0..3 {
        rib.peer_up(PeerId(peer), session(peer, Sort::External));
    }
    for n in 1..=5 {
        tell(
            &mut rib,
            0,
            &format!("10.{n}.0.0/16"),
            Some(&route([65000, 9])),
        );
    }
    (1..3).for_each(|peer| hear(&mut rib, peer));
    let told = |rib: &Rib, peer| {
        let counts = changes(rib, peer);
        (counts.told, counts.withdrawn)
    };
    assert_eq!([told(&rib, 1), told(&rib, 2)], [(5, 0), (5, 0)]);
    // A better one of another peer: to that one the first one's is withdrawn.
    tell(&mut rib, 1, "10.1.0.0/16", Some(&route([65001])));
    tell(&mut rib, 0, "10.2.0.0/16", None);
    (0..3).for_each(|peer| hear(&mut rib, peer));
    assert_eq!(told(&rib, 0), (1, 0));
    assert_eq!(told(&rib, 1), (5, 2));
    assert_eq!(told(&rib, 2), (6, 1));
    let preferred = |peer| rib.peer_counts(PeerId(peer)).ipv4.preferred;
    assert_eq!([preferred(0), preferred(1), preferred(2)], [3, 1, 0]);
}
