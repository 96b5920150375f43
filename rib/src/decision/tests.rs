//! The decision process: each step, MED, and that the order of arrival never matters.

use super::*;

fn route() -> Candidate {
    Candidate {
        llgr_stale: false,
        local_pref: 100,
        class: Class::External,
        aigp: None,
        as_path_len: 1,
        origin: Origin::Igp,
        neighbor_as: 65001,
        med: 0,
        cost: 0,
        originator: 1,
        cluster_list_len: 0,
        peer: [10, 0, 0, 1].into(),
        path: (0, 0),
    }
}

fn up_to(width: u8) -> Multipath {
    Multipath {
        width,
        tolerance: 0,
    }
}

/// Each step, with what it prefers first, in the order of the steps: whatever comes later speaks for the other.
#[test]
fn each_step_decides_before_those_after_it() {
    type Improve = fn(&mut Candidate);
    let steps: [(Step, Improve); 12] = [
        (Step::LocalPref, |c| c.local_pref = 200),
        (Step::LocalFirst, |c| c.class = Class::Local),
        (Step::Aigp, |c| c.aigp = Some(1000)),
        (Step::AsPathLength, |c| c.as_path_len = 0),
        (Step::Origin, |c| c.origin = Origin::Igp),
        (Step::Med, |c| c.med = 1),
        (Step::ExternalFirst, |c| c.class = Class::External),
        (Step::InteriorCost, |c| c.cost = 1),
        (Step::Identifier, |c| c.originator = 1),
        (Step::ClusterListLength, |c| c.cluster_list_len = 1),
        (Step::PeerAddress, |c| c.peer = [10, 0, 0, 1].into()),
        (Step::PathId, |c| c.path = (0, 1)),
    ];
    let worst = Candidate {
        local_pref: 100,
        class: Class::Internal,
        aigp: None,
        as_path_len: 5,
        origin: Origin::Incomplete,
        med: 9,
        cost: 9,
        originator: 9,
        cluster_list_len: 9,
        peer: [10, 0, 0, 9].into(),
        path: (0, 9),
        ..route()
    };
    for (at, (step, improve)) in steps.iter().enumerate() {
        let mut better = worst;
        improve(&mut better);
        let mut other = worst;
        for (later, improve) in &steps[at + 1..] {
            // These two have one field; eBGP against ours is `LocalFirst`'s matter.
            if (*step, *later) != (Step::LocalFirst, Step::ExternalFirst) {
                improve(&mut other);
            }
        }
        for (candidates, best) in [([better, other], 0), ([other, better], 1)] {
            let (decision, removed) = explain(&candidates, up_to(1)).unwrap();
            assert_eq!((decision.best, decision.step), (best, *step));
            assert_eq!(removed, [*step; 2]);
        }
    }
}

#[test]
fn the_only_candidate_needs_no_step() {
    let decision = decide(&[route()], up_to(4)).unwrap();
    assert_eq!(decision.step, Step::OnlyCandidate);
    assert_eq!(decision.multipath.as_slice(), [0]);
    assert_eq!(decide(&[], up_to(4)), None);
}

/// RFC 4271 §9.1.2.2 c: "MULTI_EXIT_DISC is only comparable between routes learned from the same neighboring AS".
#[test]
fn med_of_another_as_does_not_count() {
    let of = |neighbor_as, med, originator| Candidate {
        neighbor_as,
        med,
        originator,
        ..route()
    };
    let (a, b, c) = (of(1, 100, 1), of(1, 50, 3), of(2, 200, 2));
    // `b` beats `a` on MED; then `c` beats `b` on the identifier. Pairwise, `a` beats `c`: no order holds.
    for routes in [[a, b, c], [c, a, b], [b, c, a]] {
        let decision = decide(&routes, up_to(1)).unwrap();
        let best = routes[decision.best].originator;
        assert_eq!((best, decision.step), (2, Step::Identifier));
    }
}

/// RFC 7311 §4.1: the interior cost counts in, and routes without AIGP go.
#[test]
fn aigp_adds_up_with_the_interior_cost() {
    let of = |aigp, as_path_len| Candidate {
        aigp,
        as_path_len,
        ..route()
    };
    let routes = [of(Some(20), 9), of(Some(15), 9), of(None, 1)];
    let (decision, removed) = explain(&routes, up_to(1)).unwrap();
    assert_eq!((decision.best, removed[2]), (1, Step::Aigp));
}

#[test]
fn the_traffic_is_shared_by_what_is_equal_up_to_the_interior_cost() {
    let of = |class, cost, originator| Candidate {
        class,
        cost,
        originator,
        ..route()
    };
    let routes = [
        of(Class::External, 5, 4),
        of(Class::External, 5, 2),
        of(Class::Internal, 5, 1),
        of(Class::External, 6, 1),
        of(Class::External, 5, 3),
    ];
    let shared = |width| decide(&routes, up_to(width)).unwrap().multipath;
    assert_eq!(shared(8).as_slice(), [1, 4, 0]);
    assert_eq!(shared(2).as_slice(), [1, 4]);
    assert_eq!(shared(1).as_slice(), [1]);
}

#[test]
fn a_cost_within_the_tolerance_is_called_equal_and_the_best_stays_the_best() {
    let rule = Multipath {
        width: 8,
        tolerance: 10,
    };
    let of = |aigp, as_path_len, originator| Candidate {
        aigp: Some(aigp),
        as_path_len,
        originator,
        ..route()
    };
    let routes = [
        of(110_000, 1, 1),
        of(100_000, 1, 9),
        of(110_001, 1, 1),
        // A hop further away: its way may lead through us.
        of(101_000, 2, 1),
        of(105_000, 1, 5),
    ];
    let decision = decide(&routes, rule).unwrap();
    assert_eq!((decision.best, decision.step), (1, Step::Aigp));
    assert_eq!(decision.multipath.as_slice(), [1, 4, 0]);
    // Neither does one that MED of its AS speaks against.
    let mut worse = routes;
    worse[0].med = 1;
    assert_eq!(decide(&worse, rule).unwrap().multipath.as_slice(), [1, 4]);
    // Without AIGP, the interior cost counts.
    let plain = [100, 110, 111].map(|cost| Candidate { cost, ..route() });
    assert_eq!(decide(&plain, rule).unwrap().multipath.as_slice(), [0, 1]);
    let alone = Multipath { width: 1, ..rule };
    assert_eq!(decide(&plain, alone).unwrap().multipath.as_slice(), [0]);
    // What costs nothing is equal to what costs nothing.
    let free = [0, 1].map(|cost| Candidate { cost, ..route() });
    assert_eq!(decide(&free, rule).unwrap().multipath.as_slice(), [0]);
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % n).unwrap()
    }

    fn candidate(&mut self, id: u32) -> Candidate {
        let class = [Class::External, Class::External, Class::Internal];
        Candidate {
            local_pref: 100 + self.below(8) / 7,
            class: class[self.below(3) as usize],
            aigp: [None, None, Some(5), Some(6)][self.below(4) as usize],
            neighbor_as: self.below(3),
            med: self.below(4),
            cost: self.below(2).into(),
            originator: self.below(4),
            path: (id, 0),
            ..route()
        }
    }
}

/// §9.1.2.2: the outcome is a matter of the candidates, not of the order in which they came.
#[test]
fn the_order_of_arrival_never_matters() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..3000 {
        let count = 1 + round % 50;
        let mut routes: Vec<_> = (0..count).map(|id| random.candidate(id)).collect();
        let ids = |routes: &[Candidate]| {
            let decision = decide(routes, up_to(4)).unwrap();
            let shared = decision.multipath.iter();
            let shared: Vec<u32> = shared.map(|at| routes[*at].path.0).collect();
            (routes[decision.best].path.0, decision.step, shared)
        };
        let expected = ids(&routes);
        routes.reverse();
        assert_eq!(ids(&routes), expected);
        for i in (1..routes.len()).rev() {
            let j = random.below(i as u64 + 1) as usize;
            routes.swap(i, j);
        }
        assert_eq!(ids(&routes), expected);
    }
}

/// The short cuts are right wherever they are taken, and are taken.
#[test]
fn short_cuts_agree_with_the_whole_decision() {
    let mut random = Random(42);
    let mut taken = [0, 0];
    for round in 0..20_000 {
        let count = 1 + round % 6;
        let rule = Multipath {
            width: [1, 3][(round % 2) as usize],
            tolerance: [0, 25][(round / 2 % 2) as usize],
        };
        let mut routes: Vec<_> = (0..count).map(|id| random.candidate(id)).collect();
        let before = decide(&routes, rule).unwrap();
        let new = random.candidate(99);
        routes.push(new);
        let after = decide(&routes, rule).unwrap();
        if stays_best(&routes[before.best], &new, rule) {
            assert_eq!(
                (before.best, &before.multipath),
                (after.best, &after.multipath)
            );
            taken[0] += 1;
        }
        let was_chosen = after.multipath.contains(&(count as usize));
        if !was_chosen && stays_best_without(&routes[after.best], &new, rule) {
            assert_eq!(
                (before.best, before.multipath),
                (after.best, after.multipath)
            );
            taken[1] += 1;
        }
    }
    assert!(taken.iter().all(|taken| *taken > 1000), "{taken:?}");
}
