//! Routes that clients put in: all of a batch or nothing, leases, bounds.

use super::*;
use crate::command::{Injected, Injection, InjectionBatch};
use crate::inject::{BATCH_MAX, LEASE_MAX, OWNER_LEN_MAX};

fn route(prefix: &str) -> Injection {
    let Originate {
        prefix, attributes, ..
    } = originate(prefix);
    Injection {
        prefix,
        attributes,
        path_id: 0,
        install: false,
        tag: 0,
    }
}

fn batch(announce: &[&str], withdraw: &[&str]) -> InjectionBatch {
    InjectionBatch {
        owner: "vip".to_owned(),
        announce: announce.iter().map(|prefix| route(prefix)).collect(),
        withdraw: withdraw.iter().map(|prefix| (net_of(prefix), 0)).collect(),
        ..InjectionBatch::default()
    }
}

impl Net {
    fn inject(&mut self, batch: InjectionBatch) -> Result<Injected, Refusal> {
        let done = self.with(0, |s, now, out| s.inject(now, batch, out));
        self.settle();
        done
    }
}

#[test]
fn injected_routes_reach_peers_and_go_again() {
    let mut net = Net::pair();
    let done = net
        .inject(batch(&["10.1.0.0/24", "10.2.0.0/24"], &[]))
        .unwrap();
    assert_eq!((done.announced, done.withdrawn), (2, 0));
    assert_eq!(net.routes(1), ["10.1.0.0/24", "10.2.0.0/24"]);
    net.inject(batch(&[], &["10.1.0.0/24", "10.2.0.0/24"]))
        .unwrap();
    assert!(net.routes(1).is_empty());
    assert!(net.speakers[0].injections(net.now).is_empty());
}

/// Each batch also holds what would be fine by itself.
#[test]
fn of_a_batch_with_one_mistake_nothing_happens() {
    let mut net = Net::pair();
    net.inject(batch(&["10.9.0.0/24"], &[])).unwrap();
    let mut bits = batch(&["10.1.0.0/24"], &[]);
    bits.announce[0].prefix = "10.1.0.1/24".parse().unwrap();
    let mut family = batch(&["10.1.0.0/24", "2001:db8::/32"], &[]);
    family.announce[1].attributes.next_hop = ourselves(net_of("10.1.0.0/24"));
    let mut install = batch(&["10.1.0.0/24", "10.2.0.0/24"], &[]);
    install.announce[1].install = true;
    let mut set = batch(&["10.1.0.0/24"], &[]);
    set.announce[0].attributes.as_path = "65009 {65010}".parse().unwrap();
    let named = |owner: &str| InjectionBatch {
        owner: owner.to_owned(),
        ..batch(&["10.1.0.0/24"], &[])
    };
    let lasting = |lease| InjectionBatch {
        lease: Some(lease),
        ..batch(&["10.1.0.0/24"], &[])
    };
    let invalid = [
        (bits, "announce[0].prefix"),
        (family, "announce[1].next_hop"),
        (install, "announce[1].next_hop"),
        (set, "announce[0].as_path"),
        (
            batch(&["10.1.0.0/24", "10.1.0.0/24"], &[]),
            "announce[1].prefix",
        ),
        (
            batch(&["10.9.0.0/24"], &["10.9.0.0/24"]),
            "withdraw[0].prefix",
        ),
        (named(""), "owner"),
        (named(&"x".repeat(OWNER_LEN_MAX + 1)), "owner"),
        (lasting(Duration::ZERO), "lease"),
        (lasting(LEASE_MAX + Duration::from_secs(1)), "lease"),
    ];
    for (batch, expected) in invalid {
        match net.inject(batch) {
            Err(Refusal::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
        assert_eq!(net.routes(1), ["10.9.0.0/24"], "{expected}");
    }
    let missing = net.inject(batch(&["10.1.0.0/24"], &["10.8.0.0/24"]));
    assert!(matches!(missing, Err(Refusal::NotFound(_))));
    let mut large = batch(&[], &[]);
    large.announce = vec![route("10.1.0.0/24"); BATCH_MAX + 1];
    assert!(matches!(net.inject(large), Err(Refusal::Exhausted(_))));
    assert_eq!(net.routes(1), ["10.9.0.0/24"]);
}

#[test]
fn replace_all_leaves_what_is_in_the_batch() {
    let mut net = Net::pair();
    net.inject(batch(&["10.1.0.0/24", "10.2.0.0/24"], &[]))
        .unwrap();
    let other = InjectionBatch {
        owner: "other".to_owned(),
        ..batch(&["10.3.0.0/24"], &[])
    };
    net.inject(other).unwrap();
    let all = InjectionBatch {
        replace_all: true,
        ..batch(&["10.2.0.0/24", "10.4.0.0/24"], &[])
    };
    let done = net.inject(all).unwrap();
    assert_eq!((done.announced, done.withdrawn), (2, 1));
    assert_eq!(net.routes(1), ["10.2.0.0/24", "10.3.0.0/24", "10.4.0.0/24"]);
}

#[test]
fn routes_go_when_their_owner_is_not_heard_for_its_lease() {
    let mut net = Net::pair();
    let lease = Some(Duration::from_secs(30));
    net.inject(InjectionBatch {
        lease,
        ..batch(&["10.1.0.0/24"], &[])
    })
    .unwrap();
    net.run(20);
    net.with(0, |s, now, _| s.renew(now, "vip")).unwrap();
    net.run(20);
    assert_eq!(net.routes(1), ["10.1.0.0/24"]);
    net.run(11);
    assert!(net.routes(1).is_empty());
    let late = net.with(0, |s, now, _| s.renew(now, "vip"));
    assert!(matches!(late, Err(Refusal::NotFound(_))));
}

#[test]
fn a_tag_of_an_injected_route_is_for_policies() {
    use rib::policy::{Action, MatchConfig, PolicyConfig, RuleConfig, Then};
    let mut ours = config(0, &[1]);
    ours.peers[0].options.export = Some(vec!["tagged".to_owned()]);
    ours.policies = vec![PolicyConfig {
        name: "tagged".to_owned(),
        default: Some(Action::Reject),
        rules: vec![RuleConfig {
            matches: MatchConfig {
                tag: vec!["7".to_owned()],
                ..MatchConfig::default()
            },
            then: Then::Decide(Action::Accept),
            ..RuleConfig::default()
        }],
    }];
    let mut net = Net::new(vec![ours, config(1, &[0])]);
    net.run(10);
    net.assert_up(0, 1);
    let mut both = batch(&["10.1.0.0/24", "10.2.0.0/24"], &[]);
    both.announce[1].tag = 7;
    net.inject(both.clone()).unwrap();
    assert_eq!(net.routes(1), ["10.2.0.0/24"]);
    // The tag alone is another.
    both.announce[0].tag = 7;
    both.announce[1].tag = 8;
    net.inject(both).unwrap();
    assert_eq!(net.routes(1), ["10.1.0.0/24"]);
}
