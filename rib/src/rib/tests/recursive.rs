//! Next hops that routes of ours lead to (RFC 4271 §9.1.2.1).

use super::*;
use crate::Step;
use crate::query::Reason;

fn key(direct: bool) -> NextHopKey {
    NextHopKey {
        address: Ipv4Addr::new(10, 1, 0, 1).into(),
        interface: None,
        direct,
    }
}

/// A RIB that heard of these prefixes, all by one next hop.
fn rib_with(prefixes: &[&str]) -> Rib {
    let mut rib = Rib::new(Config {
        assume_reachable: false,
        ..config()
    });
    rib.peer_up(PeerId(0), session(0, Sort::Internal));
    rib.peer_up(PeerId(1), session(1, Sort::External));
    for prefix in prefixes {
        rib.receive(PeerId(0), &update(prefix, Some(&route([65000]))))
            .unwrap();
    }
    rib
}

fn resolved(without: &[(&str, Option<u64>)]) -> Resolved {
    let without = without.iter();
    Resolved {
        cost: Some(3),
        without: without
            .map(|(prefix, cost)| (prefix.parse().unwrap(), *cost))
            .collect(),
        rate: None,
    }
}

fn reasons(rib: &Rib, prefix: &str) -> Vec<(Reason, Option<u64>)> {
    let explanation = rib.explain(prefix.parse().unwrap()).unwrap();
    let candidates = explanation.candidates.iter();
    candidates.map(|c| (c.path.reason, c.path.cost)).collect()
}

/// RFC 4271 §9.1.2: a route must not be resolved through itself.
#[test]
fn a_path_does_not_depend_on_the_route_to_its_own_prefix() {
    let mut rib = rib_with(&["10.1.0.0/16", "10.2.0.0/16"]);
    rib.set_next_hop(key(false), resolved(&[("10.1.0.0/16", None)]));
    let unreachable = [(Reason::NextHopUnreachable, None)];
    let only = [(Reason::Step(Step::OnlyCandidate), Some(3))];
    assert_eq!(reasons(&rib, "10.1.0.0/16"), unreachable);
    assert_eq!(reasons(&rib, "10.2.0.0/16"), only);
    rib.set_next_hop(key(false), resolved(&[("10.1.0.0/16", Some(7))]));
    assert_eq!(reasons(&rib, "10.1.0.0/16")[0].1, Some(7));
    rib.set_next_hop(key(false), resolved(&[("10.2.0.0/16", None)]));
    assert_eq!(reasons(&rib, "10.1.0.0/16"), only);
    assert_eq!(reasons(&rib, "10.2.0.0/16"), unreachable);
    assert_eq!(rib.counts().routes.ipv4, 1);
}

#[test]
fn where_a_next_hop_costs_the_same_only_the_routes_that_lead_to_it_are_chosen_again() {
    let prefixes: Vec<_> = (0..100).map(|n| format!("10.1.{n}.0/24")).collect();
    let prefixes: Vec<_> = prefixes.iter().map(String::as_str).collect();
    let mut rib = rib_with(&prefixes);
    rib.set_next_hop(key(false), Some(3));
    let before = rib.version();
    rib.set_next_hop(key(false), resolved(&[("10.1.7.0/24", None)]));
    assert_eq!(rib.version(), before + 1);
    assert_eq!(rib.counts().routes.ipv4, 99);
    rib.set_next_hop(key(false), resolved(&[("10.1.8.0/24", None)]));
    assert_eq!(rib.version(), before + 3);
    assert_eq!(rib.counts().routes.ipv4, 99);
}

/// RFC 4271 §5.1.3: to what an external peer one hop away tells, routes of ours do not lead.
#[test]
fn a_peer_one_hop_away_and_another_one_tell_two_next_hops_of_one_address() {
    let mut rib = rib_with(&["10.2.0.0/16"]);
    rib.peer_up(
        PeerId(2),
        PeerSession {
            direct: true,
            ..session(2, Sort::External)
        },
    );
    let sent = update("10.3.0.0/16", Some(&route([65002])));
    rib.receive(PeerId(2), &sent).unwrap();
    let tracked = [false, true].map(|direct| NextHopChange::Track(key(direct)));
    assert_eq!(rib.drain_next_hop_changes(), tracked);
    rib.set_next_hops([(key(false), Some(1)), (key(true), None)]);
    assert_eq!(reasons(&rib, "10.2.0.0/16")[0].1, Some(1));
    assert_eq!(
        reasons(&rib, "10.3.0.0/16"),
        [(Reason::NextHopUnreachable, None)]
    );
    rib.peer_down(PeerId(2));
    rib.peer_down(PeerId(1));
    assert_eq!(
        rib.drain_next_hop_changes(),
        [NextHopChange::Untrack(key(true))]
    );
}
