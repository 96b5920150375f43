//! The decision process (RFC 4271 §9.1.2, RFC 4456 §9, RFC 7311 §4.1, RFC 9494 §4.3).
//!
//! Written as the RFC words it: each step *removes candidates*, and the last one standing wins. It is not a
//! comparison of two routes, and cannot be: MED binds only routes of the same neighboring AS, so "better than"
//! is not transitive, `Ord` would be a lie, and `sort_by` may panic on it.

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::net::IpAddr;

use bgp_core::attributes::Origin;
use smallvec::SmallVec;

/// The fields the decision reads of a route that is eligible.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// It carries LLGR_STALE.
    pub llgr_stale: bool,
    /// LOCAL_PREF, or its default.
    pub local_pref: u32,
    /// Who told it.
    pub class: Class,
    /// AIGP plus the interior cost to the next hop (RFC 7311 §4.1), if the route has AIGP.
    pub aigp: Option<u64>,
    /// The length of AS_PATH; a set counts one.
    pub as_path_len: u16,
    /// ORIGIN.
    pub origin: Origin,
    /// The AS the route came from; zero when it is our own.
    pub neighbor_as: u32,
    /// MULTI_EXIT_DISC, zero when absent.
    pub med: u32,
    /// The interior cost to the next hop.
    pub cost: u64,
    /// ORIGINATOR_ID, else the peer's BGP Identifier.
    pub originator: u32,
    /// The length of CLUSTER_LIST.
    pub cluster_list_len: u16,
    /// The peer's address.
    pub peer: IpAddr,
    /// The Path Identifier, and who gave it: what tells apart two paths of one peer, or two of our own.
    pub path: (u32, u32),
}

/// Where a route was heard, in the order of preference.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Ours.
    Local,
    /// eBGP.
    External,
    /// iBGP.
    Internal,
}

/// A step of the decision: the one that removed a candidate, or that left the best one alone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Step {
    /// Nobody else was left.
    OnlyCandidate,
    /// RFC 9494 §4.3: one that is kept for long after its session was lost is the least preferred.
    LongLivedStale,
    /// RFC 4271 §9.1.1: highest degree of preference.
    LocalPref,
    /// A route of our own goes before one that was told.
    LocalFirst,
    /// RFC 7311 §4.1: lowest AIGP; one with it before one without.
    Aigp,
    /// RFC 4271 §9.1.2.2 a.
    AsPathLength,
    /// §9.1.2.2 b.
    Origin,
    /// §9.1.2.2 c.
    Med,
    /// §9.1.2.2 d.
    ExternalFirst,
    /// §9.1.2.2 e.
    InteriorCost,
    /// §9.1.2.2 f; RFC 4456 §9 has ORIGINATOR_ID stand in for the identifier.
    Identifier,
    /// RFC 4456 §9, between f and g.
    ClusterListLength,
    /// §9.1.2.2 g.
    PeerAddress,
    /// Ours: two paths of one peer (RFC 7911), or of our own.
    PathId,
}

/// Who may share the traffic with the best route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Multipath {
    /// So many routes at most, `1..=128`.
    pub width: u8,
    /// A cost that is higher by so many percent is still called equal: AIGP with the interior cost, or, of routes without
    /// it, the interior cost.
    pub tolerance: u8,
}

impl Multipath {
    /// The best route alone.
    pub const NONE: Self = Self {
        width: 1,
        tolerance: 0,
    };

    /// Whether `other` costs a little more than `best` and is its equal in all else that keeps traffic from going in
    /// circles: whoever is a hop further away has a longer AS_PATH, or CLUSTER_LIST.
    fn is_near(self, best: &Candidate, other: &Candidate) -> bool {
        let costs = match (best.aigp, other.aigp) {
            (Some(best), Some(other)) => (best, other),
            (None, None) => (best.cost, other.cost),
            (Some(_), None) | (None, Some(_)) => return false,
        };
        let slack =
            |cost: u64| cost.saturating_add(cost.saturating_mul(self.tolerance.into()) / 100);
        let key = |c: &Candidate| {
            let kind = (c.llgr_stale, c.local_pref, c.class, c.origin);
            (kind, c.as_path_len, c.cluster_list_len)
        };
        self.width > 1 && self.tolerance > 0 && costs.1 <= slack(costs.0) && key(best) == key(other)
    }
}

/// What was chosen. Candidates are named by their place in the list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The best one.
    pub best: usize,
    /// The step that left it alone.
    pub step: Step,
    /// All that share the traffic, the best one first; in an order that depends on nothing but the candidates.
    pub multipath: SmallVec<[usize; 4]>,
}

type Left = SmallVec<[usize; 32]>;
type Narrow = fn(&[Candidate], &mut Left);

/// The whole order, at a glance.
static STEPS: [(Step, Narrow); 13] = [
    (Step::LongLivedStale, |c, left| {
        keep_least(c, left, |r| r.llgr_stale);
    }),
    (Step::LocalPref, |c, left| {
        keep_least(c, left, |r| Reverse(r.local_pref));
    }),
    (Step::LocalFirst, |c, left| {
        keep_least(c, left, |r| r.class != Class::Local);
    }),
    (Step::Aigp, |c, left| {
        keep_least(c, left, |r| (r.aigp.is_none(), r.aigp));
    }),
    (Step::AsPathLength, |c, left| {
        keep_least(c, left, |r| r.as_path_len);
    }),
    (Step::Origin, |c, left| keep_least(c, left, |r| r.origin)),
    (Step::Med, keep_least_med_of_each_as),
    (Step::ExternalFirst, |c, left| {
        keep_least(c, left, |r| r.class);
    }),
    (Step::InteriorCost, |c, left| {
        keep_least(c, left, |r| r.cost);
    }),
    // Routes that are equal up to here may share the traffic.
    (Step::Identifier, |c, left| {
        keep_least(c, left, |r| r.originator);
    }),
    (Step::ClusterListLength, |c, left| {
        keep_least(c, left, |r| r.cluster_list_len);
    }),
    (Step::PeerAddress, |c, left| keep_least(c, left, |r| r.peer)),
    (Step::PathId, |c, left| keep_least(c, left, |r| r.path)),
];

/// The last step before the traffic may be shared.
const LAST_BEFORE_MULTIPATH: Step = Step::InteriorCost;

/// Chooses the best of `candidates`, and those that share the traffic with it; `None` if there are none.
#[must_use]
pub fn decide(candidates: &[Candidate], multipath: Multipath) -> Option<Decision> {
    run(candidates, multipath, None)
}

/// The same, with the step that removed each candidate; for the best one, the step that left it alone.
#[must_use]
pub fn explain(candidates: &[Candidate], multipath: Multipath) -> Option<(Decision, Vec<Step>)> {
    let mut removed_by = vec![Step::OnlyCandidate; candidates.len()];
    let decision = run(candidates, multipath, Some(&mut removed_by))?;
    if let Some(slot) = removed_by.get_mut(decision.best) {
        *slot = decision.step;
    }
    Some((decision, removed_by))
}

/// The candidates in the order of the decision: the best one, then the best of the others, and so on. Each is chosen by
/// elimination, since nothing else says which of two is better.
#[derive(Debug)]
pub(crate) struct Ranking<'a> {
    candidates: &'a [Candidate],
    left: Left,
}

impl<'a> Ranking<'a> {
    pub(crate) fn of(candidates: &'a [Candidate]) -> Self {
        Self {
            candidates,
            left: (0..candidates.len()).collect(),
        }
    }
}

impl Iterator for Ranking<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let mut standing = self.left.clone();
        for (_, narrow) in &STEPS {
            if standing.len() < 2 {
                break;
            }
            narrow(self.candidates, &mut standing);
        }
        let best = *standing.first()?;
        self.left.retain(|index| *index != best);
        Some(best)
    }
}

/// Whether `best`, which was chosen without `new`, is certainly chosen with it too, and the same paths share the
/// traffic. So most newcomers cost one comparison.
///
/// Up to MED the steps do compare routes. A newcomer never brings back anybody: whom it beats by MED could beat by MED
/// only those that it beats too. So if it does not remove `best` that way, only the steps after MED are between the two.
#[must_use]
pub(crate) fn stays_best(best: &Candidate, new: &Candidate, multipath: Multipath) -> bool {
    let rivals = new.neighbor_as == best.neighbor_as;
    match before_med(best).cmp(&before_med(new)) {
        Ordering::Less => !multipath.is_near(best, new),
        Ordering::Equal if multipath.width > 1 => false,
        Ordering::Equal if rivals && best.med != new.med => best.med < new.med,
        Ordering::Equal => after_med(best) < after_med(new),
        Ordering::Greater => false,
    }
}

/// Whether `best` is certainly chosen without `gone` too, which was not, and the same paths share the traffic.
#[must_use]
pub(crate) fn stays_best_without(best: &Candidate, gone: &Candidate, multipath: Multipath) -> bool {
    before_med(best) < before_med(gone) && !multipath.is_near(best, gone)
}

/// What the steps before MED compare.
fn before_med(c: &Candidate) -> impl Ord {
    let aigp = (c.aigp.is_none(), c.aigp);
    let local = c.class != Class::Local;
    (
        c.llgr_stale,
        Reverse(c.local_pref),
        local,
        aigp,
        c.as_path_len,
        c.origin,
    )
}

/// What the steps after MED compare.
fn after_med(c: &Candidate) -> impl Ord {
    (
        c.class,
        c.cost,
        c.originator,
        c.cluster_list_len,
        c.peer,
        c.path,
    )
}

fn run(
    candidates: &[Candidate],
    rule: Multipath,
    mut removed_by: Option<&mut Vec<Step>>,
) -> Option<Decision> {
    let mut left: Left = (0..candidates.len()).collect();
    let mut settled_by = Step::OnlyCandidate;
    let mut multipath = SmallVec::new();
    for &(step, narrow) in &STEPS {
        if left.len() < 2 {
            break;
        }
        let before = left.len();
        let were = removed_by.is_some().then(|| left.clone());
        narrow(candidates, &mut left);
        if left.len() < before {
            settled_by = step;
        }
        if let (Some(removed_by), Some(were)) = (&mut removed_by, were) {
            let mut kept = left.iter().peekable();
            for index in were {
                if kept.next_if_eq(&&index).is_none()
                    && let Some(slot) = removed_by.get_mut(index)
                {
                    *slot = step;
                }
            }
        }
        if step == LAST_BEFORE_MULTIPATH && rule.width > 1 {
            multipath.extend(left.iter().copied());
        }
    }
    let best = *left.first()?;
    if multipath.is_empty() {
        multipath.push(best);
    }
    if rule.width > 1 {
        add_near(candidates, &mut multipath, best, rule);
        choose_multipath(candidates, &mut multipath, best, rule.width);
    }
    Some(Decision {
        best,
        step: settled_by,
        multipath,
    })
}

/// Those that cost a little more share the traffic too, but for one that MED of the same AS speaks against.
fn add_near(
    candidates: &[Candidate],
    shared: &mut SmallVec<[usize; 4]>,
    best: usize,
    rule: Multipath,
) {
    let Some(chosen) = candidates.get(best) else {
        return;
    };
    let equals = shared.len();
    for (index, candidate) in candidates.iter().enumerate() {
        let is_in = shared.get(..equals).is_some_and(|s| s.contains(&index));
        if !is_in && rule.is_near(chosen, candidate) {
            shared.push(index);
        }
    }
    if shared.len() == equals {
        return;
    }
    let all = shared.clone();
    let beaten = |index: usize| {
        let of = candidates.get(index);
        let rivals = all.iter().filter_map(|other| candidates.get(*other));
        of.is_some_and(|c| {
            rivals
                .into_iter()
                .any(|r| r.neighbor_as == c.neighbor_as && r.med < c.med)
        })
    };
    let mut place = 0;
    shared.retain(|index| {
        place += 1;
        place <= equals || !beaten(*index)
    });
}

/// The best one first, then who costs less; the steps behind the cut compare plain keys, so the set may be ordered by
/// them.
fn choose_multipath(
    candidates: &[Candidate],
    equal: &mut SmallVec<[usize; 4]>,
    best: usize,
    width: u8,
) {
    equal.sort_unstable_by_key(|index| {
        let key = |c: &Candidate| {
            let cost = c.aigp.unwrap_or(c.cost);
            (cost, c.originator, c.cluster_list_len, c.peer, c.path)
        };
        (*index != best, candidates.get(*index).map(key))
    });
    equal.truncate(usize::from(width.max(1)));
}

fn keep_least<K: Ord>(candidates: &[Candidate], left: &mut Left, key: impl Fn(&Candidate) -> K) {
    let key = |index: &usize| candidates.get(*index).map(&key);
    let first = left.first().map(key);
    // At most steps, all candidates are equal.
    if left.iter().any(|index| Some(key(index)) != first) {
        let least = left.iter().map(key).min();
        left.retain(|index| Some(key(index)) == least);
    }
}

fn keep_least_med_of_each_as(candidates: &[Candidate], left: &mut Left) {
    let med = |index: &usize| candidates.get(*index).map(|c| c.med);
    let first = left.first().and_then(med);
    if left.iter().all(|index| med(index) == first) {
        return;
    }
    let mut least: SmallVec<[(u32, u32); 32]> = left
        .iter()
        .filter_map(|index| candidates.get(*index))
        .map(|c| (c.neighbor_as, c.med))
        .collect();
    least.sort_unstable();
    least.dedup_by_key(|(neighbor_as, _)| *neighbor_as);
    left.retain(|index| {
        let candidate = candidates.get(*index);
        candidate.is_some_and(|c| least.binary_search(&(c.neighbor_as, c.med)).is_ok())
    });
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnlyCandidate => "the only candidate",
            Self::LongLivedStale => "long-lived stale",
            Self::LocalPref => "LOCAL_PREF",
            Self::LocalFirst => "local before learned",
            Self::Aigp => "AIGP",
            Self::AsPathLength => "AS_PATH length",
            Self::Origin => "ORIGIN",
            Self::Med => "MED",
            Self::ExternalFirst => "external before internal",
            Self::InteriorCost => "interior cost",
            Self::Identifier => "BGP Identifier",
            Self::ClusterListLength => "CLUSTER_LIST length",
            Self::PeerAddress => "peer address",
            Self::PathId => "path identifier",
        })
    }
}

#[cfg(test)]
mod tests;
