//! Clients of a route server: none is told less because of what is best for others (RFC 7947 §2.3).

use super::*;
use crate::policy::{Action, MatchConfig, PolicyConfig, RuleConfig, SetConfig, SetsConfig, Then};
use crate::query::RouteQuery;

const PREFIX: &str = "10.1.0.0/16";
const MARK: Community = Community(65000 << 16 | 666);

/// Clients 0..4; client 3 is told nothing that is marked.
fn server() -> (Rib, [Listener; 4]) {
    let rule = RuleConfig {
        matches: MatchConfig {
            communities: vec![MARK.to_string()],
            ..MatchConfig::default()
        },
        set: SetConfig::default(),
        then: Then::Decide(Action::Reject),
    };
    let policy = PolicyConfig {
        name: "not-marked".to_owned(),
        default: Some(Action::Accept),
        rules: vec![rule],
    };
    let policies = Policies::compile(&SetsConfig::default(), &[policy]).unwrap();
    let picky = policies.chain(&["not-marked".to_owned()]).unwrap();
    let mut rib = Rib::new(config());
    rib.set_policies(Arc::new(policies));
    for peer in 0..4 {
        let mut session = session(peer, Sort::Served);
        if peer == 3 {
            session.export = Some(picky.clone());
        }
        rib.peer_up(PeerId(peer), session);
    }
    let listener = || Listener::of(Sort::Served);
    (rib, [listener(), listener(), listener(), listener()])
}

/// A path of `len` ASes, marked or not; none: it is withdrawn.
fn tell(rib: &mut Rib, peer: u32, len: usize, marked: bool) {
    let mut attributes = route(vec![65000 + peer; len]);
    attributes.communities.extend(marked.then_some(MARK));
    let attributes = Some(&attributes).filter(|_| len > 0);
    rib.receive(PeerId(peer), &update(PREFIX, attributes))
        .unwrap();
}

/// By client, the AS whose route it knows.
fn known(rib: &mut Rib, listeners: &mut [Listener; 4]) -> [Option<u32>; 4] {
    let mut client = 0;
    listeners.each_mut().map(|listener| {
        drain(rib, client, listener);
        client += 1;
        let route = listener.routes.values().next();
        assert!(listener.routes.len() < 2);
        assert_eq!(
            rib.peer_counts(PeerId(client - 1)).ipv4.advertised as usize,
            listener.routes.len()
        );
        route.map(|route| route.as_path.neighbor_as().unwrap())
    })
}

#[test]
fn policy_that_withholds_the_best_lets_the_next_one_through() {
    let (mut rib, mut listeners) = server();
    tell(&mut rib, 0, 1, true);
    let first = Some(65000);
    assert_eq!(known(&mut rib, &mut listeners), [None, first, first, None]);
    tell(&mut rib, 1, 2, false);
    let second = Some(65001);
    assert_eq!(
        known(&mut rib, &mut listeners),
        [second, first, first, second]
    );
    // It gives way to a third that is better, without having been the best.
    tell(&mut rib, 2, 1, false);
    let third = Some(65002);
    assert_eq!(
        known(&mut rib, &mut listeners),
        [third, first, first, third]
    );
    tell(&mut rib, 2, 0, false);
    tell(&mut rib, 0, 0, false);
    assert_eq!(
        known(&mut rib, &mut listeners),
        [second, None, second, second]
    );
    tell(&mut rib, 1, 0, false);
    assert_eq!(known(&mut rib, &mut listeners), [None; 4]);
}

/// Who told the best route is told the best one of the others, and hears nothing while neither changes.
#[test]
fn whoever_told_the_best_is_told_the_next_one() {
    let (mut rib, mut listeners) = server();
    for peer in 0..3 {
        tell(&mut rib, peer, 1 + peer as usize, false);
    }
    let (first, second) = (Some(65000), Some(65001));
    assert_eq!(
        known(&mut rib, &mut listeners),
        [second, first, first, first]
    );
    // The third is nobody's best.
    tell(&mut rib, 2, 5, false);
    for client in 0..4 {
        let mut out = Vec::new();
        while rib.transmit(PeerId(client), 100, &mut out) {}
        assert_eq!(out, Vec::<Bytes>::new(), "{client}");
    }
    // The second goes: that concerns the first alone.
    tell(&mut rib, 1, 0, false);
    let third = Some(65002);
    for client in 1..4 {
        let mut out = Vec::new();
        while rib.transmit(PeerId(client), 100, &mut out) {}
        assert_eq!(out, Vec::<Bytes>::new(), "{client}");
    }
    assert_eq!(
        known(&mut rib, &mut listeners),
        [third, first, first, first]
    );
    let withdrawals: usize = listeners.iter().map(|l| l.withdrawals).sum();
    assert_eq!(withdrawals, 0);
}

#[test]
fn what_is_shown_as_advertised_is_what_each_is_told() {
    let (mut rib, mut listeners) = server();
    tell(&mut rib, 0, 1, true);
    tell(&mut rib, 1, 2, false);
    let known = known(&mut rib, &mut listeners);
    for client in 0..4 {
        let query = RouteQuery {
            advertised_to: Some(PeerId(client)),
            ..RouteQuery::default()
        };
        let page = rib.routes(&query, None, 10);
        let paths = &page.rows[0].paths;
        let listener = &listeners[client as usize];
        assert_eq!((paths.len(), paths[0].path_id), (1, 0));
        assert_eq!(Some(&paths[0].attributes), listener.routes.values().next());
        let told = paths[0].attributes.as_path.neighbor_as();
        assert_eq!(told, known[client as usize]);
    }
}
