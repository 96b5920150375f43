//! Random filters on random routes: BIRD's way through the statements, and the rules', come to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::prelude::*;

use crate::config::draft_of;
use crate::flow::{Cond, Draft, Sets, Then};

/// What filters of this test see of a route.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Route {
    communities: BTreeSet<u32>,
    med: u32,
    local_pref: u32,
    length: u32,
    path: Vec<u32>,
    tag: u32,
}

/// A statement of a random filter.
#[derive(Clone, Debug)]
enum S {
    If(C, Vec<Self>, Vec<Self>),
    Case(Vec<Self>, Vec<Self>, Vec<Self>),
    Accept,
    Reject,
    Add(u32),
    Delete(u32),
    Med(u32),
    MorePref(u32),
    Prepend(u32),
    /// From the path: those up to a number, or all but one.
    Strip(u32),
    Keep(u32),
    /// A variable of 0 or 1.
    Let(usize, C),
    Call(usize),
}

#[derive(Clone, Debug)]
enum C {
    Has(u32),
    Med(u32),
    Pref(u32),
    Length(u32),
    In(u32),
    Var(usize),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

fn condition() -> impl Strategy<Value = C> {
    let leaf = prop_oneof![
        (1..5_u32).prop_map(C::Has),
        (0..3_u32).prop_map(C::Med),
        (99..103_u32).prop_map(C::Pref),
        (1..4_u32).prop_map(C::Length),
        (1..4_u32).prop_map(C::In),
        (0..2_usize).prop_map(C::Var),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| C::And(a.into(), b.into())),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| C::Or(a.into(), b.into())),
            inner.prop_map(|a| C::Not(a.into())),
        ]
    })
}

fn statements() -> impl Strategy<Value = Vec<S>> {
    let leaf = prop_oneof![
        1 => Just(S::Accept),
        1 => Just(S::Reject),
        3 => (1..5_u32).prop_map(S::Add),
        3 => (1..5_u32).prop_map(S::Delete),
        2 => (0..3_u32).prop_map(S::Med),
        2 => (1..3_u32).prop_map(S::MorePref),
        1 => (1..4_u32).prop_map(S::Prepend),
        1 => (1..3_u32).prop_map(S::Strip),
        1 => (1..4_u32).prop_map(S::Keep),
        2 => ((0..2_usize), condition()).prop_map(|(slot, c)| S::Let(slot, c)),
        1 => (0..2_usize).prop_map(S::Call),
    ];
    let one = leaf.prop_recursive(3, 24, 4, |inner| {
        let block = || prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            3 => (condition(), block(), block()).prop_map(|(c, a, b)| S::If(c, a, b)),
            1 => (block(), block(), block()).prop_map(|(a, b, c)| S::Case(a, b, c)),
        ]
    });
    prop::collection::vec(one, 0..6)
}

impl C {
    fn text(&self) -> String {
        match self {
            Self::Has(n) => format!("((9, {n}) ~ bgp_community)"),
            Self::Med(n) => format!("(bgp_med <= {n})"),
            Self::Pref(n) => format!("(bgp_local_pref > {n})"),
            Self::Length(n) => format!("(bgp_path.len < {n})"),
            Self::In(n) => format!("({n} ~ bgp_path)"),
            Self::Var(n) => format!("(v{n} = 1)"),
            Self::And(a, b) => format!("({} && {})", a.text(), b.text()),
            Self::Or(a, b) => format!("({} || {})", a.text(), b.text()),
            Self::Not(a) => format!("(! {})", a.text()),
        }
    }

    fn holds(&self, route: &Route, vars: &[u32; 2]) -> bool {
        match self {
            Self::Has(n) => route.communities.contains(n),
            Self::Med(n) => route.med <= *n,
            Self::Pref(n) => route.local_pref > *n,
            Self::Length(n) => route.path.len() < *n as usize,
            Self::In(n) => route.path.contains(n),
            Self::Var(n) => vars[*n] == 1,
            Self::And(a, b) => a.holds(route, vars) && b.holds(route, vars),
            Self::Or(a, b) => a.holds(route, vars) || b.holds(route, vars),
            Self::Not(a) => !a.holds(route, vars),
        }
    }
}

fn text(block: &[S], out: &mut String) {
    for one in block {
        match one {
            S::If(c, yes, no) => {
                let _ = writeln!(out, "if {} then {{", c.text());
                text(yes, out);
                out.push_str("} else {\n");
                text(no, out);
                out.push_str("}\n");
            }
            S::Case(one, two, other) => {
                out.push_str("case bgp_path.last {\n1:\n");
                text(one, out);
                out.push_str("2..3:\n");
                text(two, out);
                out.push_str("else:\n");
                text(other, out);
                out.push_str("}\n");
            }
            S::Accept => out.push_str("accept;\n"),
            S::Reject => out.push_str("reject;\n"),
            S::Add(n) => drop(writeln!(out, "bgp_community.add((9, {n}));")),
            S::Delete(n) => drop(writeln!(out, "bgp_community.delete([(9, 1..{n})]);")),
            S::Med(n) => drop(writeln!(out, "bgp_med = {n};")),
            S::MorePref(n) => drop(writeln!(out, "bgp_local_pref = bgp_local_pref + {n};")),
            S::Prepend(n) => drop(writeln!(out, "bgp_path.prepend({n});")),
            S::Strip(n) => drop(writeln!(out, "bgp_path.delete([1..{n}]);")),
            S::Keep(n) => drop(writeln!(out, "bgp_path.filter([{n}, {n}..{n}]);")),
            S::Let(n, c) => drop(writeln!(
                out,
                "if {} then v{n} = 1; else v{n} = 0;",
                c.text()
            )),
            S::Call(n) => drop(writeln!(out, "v{n} = f({n} + 1);")),
        }
    }
}

/// `f(n)` of the filter's text.
const FUNCTION: &str = "function f(int n) { if (9, n) ~ bgp_community then { bgp_community.delete((9, n)); return 1; } bgp_community.add((9, n)); return 0; }\n";

/// BIRD's way; `None`: it goes on.
fn run(block: &[S], route: &mut Route, vars: &mut [u32; 2]) -> Option<bool> {
    for one in block {
        let decided = match one {
            S::If(c, yes, no) => run(if c.holds(route, vars) { yes } else { no }, route, vars),
            S::Case(one, two, other) => {
                let block = match route.path.last() {
                    Some(1) => one,
                    Some(2 | 3) => two,
                    _ => other,
                };
                run(block, route, vars)
            }
            S::Accept => Some(true),
            S::Reject => Some(false),
            S::Add(n) => {
                route.communities.insert(*n);
                None
            }
            S::Delete(n) => {
                route.communities.retain(|c| c > n);
                None
            }
            S::Med(n) => {
                route.med = *n;
                None
            }
            S::MorePref(n) => {
                route.local_pref += n;
                None
            }
            S::Prepend(n) => {
                route.path.insert(0, *n);
                None
            }
            S::Strip(n) => {
                route.path.retain(|asn| asn > n);
                None
            }
            S::Keep(n) => {
                route.path.retain(|asn| asn == n);
                None
            }
            S::Let(n, c) => {
                vars[*n] = u32::from(c.holds(route, vars));
                None
            }
            S::Call(n) => {
                let community = u32::try_from(*n).unwrap() + 1;
                let had = route.communities.remove(&community);
                if !had {
                    route.communities.insert(community);
                }
                vars[*n] = u32::from(had);
                None
            }
        };
        if decided.is_some() {
            return decided;
        }
    }
    None
}

/// Whether a rule's condition holds, as windrose's guide to policies says.
fn fits(cond: &Cond, route: &Route) -> bool {
    let number = |items: &[String], n: u32| {
        items.iter().any(|item| {
            let (from, to) = match (
                item.split_once('-'),
                item.strip_prefix("le "),
                item.strip_prefix("ge "),
            ) {
                (Some((from, to)), _, _) => (from.parse().unwrap(), to.parse().unwrap()),
                (_, Some(to), _) => (0, to.parse().unwrap()),
                (_, _, Some(from)) => (from.parse().unwrap(), u32::MAX),
                _ => (item.parse().unwrap(), item.parse().unwrap()),
            };
            from <= n && n <= to
        })
    };
    let keys = cond.keys.iter().all(|(key, items)| match *key {
        "communities" => items.iter().any(|item| {
            let n = item.strip_prefix("9:").unwrap().parse().unwrap();
            route.communities.contains(&n)
        }),
        "med" => number(items, route.med),
        "local-pref" => number(items, route.local_pref),
        "as-path-length" => number(items, u32::try_from(route.path.len()).unwrap()),
        "as-path-contains" => route.path.iter().any(|asn| number(items, *asn)),
        "origin-as" => route.path.last().is_some_and(|asn| number(items, *asn)),
        "tag" => number(items, route.tag),
        key => panic!("{key}"),
    });
    keys && cond.not.as_ref().is_none_or(|not| !fits(not, route))
}

fn set(sets: &Sets, route: &mut Route) {
    for (key, value) in &sets.puts {
        match (*key, value.strip_prefix('+')) {
            ("local-pref", Some(more)) => route.local_pref += more.parse::<u32>().unwrap(),
            ("med", None) => route.med = value.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    if let Some(edit) = sets.lists.get("communities") {
        let number = |item: &String| -> u32 { item.strip_prefix("9:").unwrap().parse().unwrap() };
        assert!(!edit.clear);
        edit.remove
            .iter()
            .for_each(|item| route.communities.retain(|c| *c != number(item)));
        route.communities.extend(edit.add.iter().map(number));
    }
    for (first, last) in &sets.strip {
        route.path.retain(|asn| asn < first || last < asn);
    }
    if let Some((asn, count)) = sets.prepend {
        (0..count).for_each(|_| route.path.insert(0, asn));
    }
    if let Some(tag) = sets.tag {
        route.tag = tag;
    }
}

fn rules(draft: &Draft, number: usize, route: &mut Route, depth: usize) -> Option<bool> {
    assert!(depth <= 8);
    let policy = &draft.policies[number];
    for rule in &policy.rules {
        if fits(&rule.cond, route) {
            set(&rule.sets, route);
            let decided = match rule.then {
                Then::Decide(accept) => Some(accept),
                Then::Next => None,
                Then::Jump(to) => rules(draft, to, route, depth + 1),
            };
            if decided.is_some() {
                return decided;
            }
        }
    }
    policy.default
}

fn route() -> impl Strategy<Value = Route> {
    (
        prop::collection::btree_set(1..5_u32, 0..4),
        0..4_u32,
        99..103_u32,
        prop::collection::vec(1..5_u32, 1..4),
    )
        .prop_map(|(communities, med, local_pref, path)| Route {
            communities,
            med,
            local_pref,
            path,
            ..Route::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn rules_do_what_the_filter_does(block in statements(), routes in prop::collection::vec(route(), 24)) {
        let mut filter = String::from("int v0 = 0; int v1 = 0;\n");
        text(&block, &mut filter);
        let (draft, lost) = draft_of(FUNCTION, &filter);
        // Nested too deeply is said, and never wrong.
        prop_assume!(lost.is_empty());
        for before in routes {
            let (mut expected, mut found) = (before.clone(), before.clone());
            let accepts = run(&block, &mut expected, &mut [0, 0]) == Some(true);
            let accepted = rules(&draft, 0, &mut found, 1) == Some(true);
            let seen: BTreeMap<_, _> = [(0, &draft)].into();
            prop_assert_eq!(accepts, accepted, "{:?}\n{}\n{:#?}", before, filter, seen);
            if accepts {
                prop_assert_eq!(found.tag, 0, "a tag is left over");
                expected.tag = 0;
                prop_assert_eq!(expected, found, "{}\n{:#?}", filter, seen);
            }
        }
    }
}
