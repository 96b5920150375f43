//! What policies do to routes, what is said of mistakes, and that sets cost the same whatever their size.

use std::net::{IpAddr, Ipv4Addr};

use bgp_core::attributes::{AsPath, Community, ExtendedCommunity, LargeCommunity, NextHop, Origin};
use bgp_core::{Attributes, Family};

use super::as_path_set::{AsPathSet, Text};
use super::community_set::CommunitySet;
use super::engine::Witness;
use super::prefix_set::{Pattern, PrefixSet};
use super::ranges::{self, Ranges};
use super::sets::Set;
use super::*;

mod noise;
mod random;
mod reference;

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn accept(matches: MatchConfig) -> RuleConfig {
    RuleConfig {
        matches,
        set: SetConfig::default(),
        then: Then::Decide(Action::Accept),
    }
}

fn setting(set: SetConfig) -> RuleConfig {
    RuleConfig {
        set,
        ..RuleConfig::default()
    }
}

fn policy(name: &str, rules: Vec<RuleConfig>) -> PolicyConfig {
    PolicyConfig {
        name: name.to_owned(),
        default: None,
        rules,
    }
}

fn compiled(policies: &[PolicyConfig]) -> Policies {
    Policies::compile(&SetsConfig::default(), policies).unwrap()
}

fn mistakes(policies: &[PolicyConfig]) -> Vec<String> {
    let errors = Policies::compile(&SetsConfig::default(), policies).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn context(prefix: &str) -> RouteContext<'static> {
    let prefix: IpNet = prefix.parse().unwrap();
    RouteContext {
        prefix,
        peer: Some("10.255.0.2".parse().unwrap()),
        group: Some("mesh"),
        source: RouteSource::Bgp,
        family: match prefix {
            IpNet::V4(_) => Family::Ipv4Unicast,
            IpNet::V6(_) => Family::Ipv6Unicast,
        },
        local_asn: 65000,
        tag: 7,
    }
}

fn attributes() -> Attributes {
    let path = AsPath::sequence([65001, 65002, 65003]);
    let next_hop = NextHop::V4(Ipv4Addr::new(10, 255, 0, 2));
    let mut attributes = Attributes::new(Origin::Igp, path, next_hop);
    attributes.med = Some(50);
    attributes.communities = ["65001:100", "no-export"]
        .map(|c| c.parse().unwrap())
        .into_iter()
        .collect();
    attributes
        .large_communities
        .push("65001:1:2".parse().unwrap());
    attributes
        .ext_communities
        .push("rt:65001:5".parse().unwrap());
    attributes.aigp = Some(1000);
    attributes
}

/// Sends the usual route to `prefix` through the only policy.
fn send(policies: &[PolicyConfig], prefix: &str) -> (Verdict, Attributes) {
    let all = compiled(policies);
    let chain = all.chain(&texts(&[&policies[0].name])).unwrap();
    let mut attributes = attributes();
    let verdict = all.evaluate(&chain, &context(prefix), &mut attributes);
    (verdict, attributes)
}

fn holds(matches: MatchConfig) -> bool {
    let (verdict, _) = send(&[policy("p", vec![accept(matches)])], "10.1.0.0/16");
    verdict == Verdict::Accept
}

fn after(set: SetConfig) -> Attributes {
    send(&[policy("p", vec![setting(set)])], "10.1.0.0/16").1
}

macro_rules! conditions {
    ($($name:ident: $field:ident, holds $yes:expr, not $no:expr;)*) => {$(
        #[test]
        fn $name() {
            for item in $yes {
                let matches = MatchConfig { $field: texts(&[item]), ..MatchConfig::default() };
                assert!(holds(matches.clone()), "{item} should hold");
                let not = Some(Box::new(matches));
                assert!(!holds(MatchConfig { not, ..MatchConfig::default() }), "not {item} should not");
            }
            for item in $no {
                let matches = MatchConfig { $field: texts(&[item]), ..MatchConfig::default() };
                assert!(!holds(matches.clone()), "{item} should not hold");
                let not = Some(Box::new(matches));
                assert!(holds(MatchConfig { not, ..MatchConfig::default() }), "not {item} should");
            }
        }
    )*};
}

// The route of these is 10.1.0.0/16 as `attributes` and `context` have it.
conditions! {
    prefixes: prefixes,
        holds ["10.1.0.0/16", "10.0.0.0/8 le 16", "10.0.0.0/8 ge 16", "10.0.0.0/8 ge 9 le 20", "10.0.0.0/8{16,24}", "10.0.0.0/8+", "0.0.0.0/0+"],
        not ["10.0.0.0/8", "10.0.0.0/8 le 15", "10.0.0.0/8 ge 17", "10.0.0.0/8{17,24}", "10.2.0.0/16", "10.1.0.0/17", "::/0+"];
    length: length, holds ["16", "8-16", "ge 16", "le 16", "ge 1 le 30"], not ["17", "ge 17", "le 15"];
    as_path: as_path,
        holds ["^65001 65002 65003$", "_65002_", "^65001_", "_65003$", "65002", "^65001( [0-9]+)*$", r"\d+ \d+ \d+", "^[^_]+$"],
        not ["^65002_", "_6500_", "_65001$", "^$", "65001_65003"];
    as_path_contains: as_path_contains, holds ["65002", "65003-65009"], not ["65004", "1-65000"];
    origin_as: origin_as, holds ["65003", "65003-65009"], not ["65001", "65002"];
    neighbor_as: neighbor_as, holds ["65001", "le 65001"], not ["65002", "65003"];
    as_path_length: as_path_length, holds ["3", "le 3", "ge 2"], not ["2", "ge 4"];
    communities: communities, holds ["65001:100", "65001:*", "*:100", "*:*", "no-export"], not ["65001:101", "65002:*", "*:101", "blackhole"];
    large_communities: large_communities, holds ["65001:1:2", "65001:*:*", "*:1:*", "*:*:2"], not ["65001:1:3", "65002:*:*", "*:*:1"];
    ext_communities: ext_communities, holds ["rt:65001:5", "rt:65001:*", "rt:*:5", "rt:*:*"], not ["rt:65001:6", "soo:*:*", "rt:65002:*", "rt:*:6", "rt:0.65001:5"];
    next_hop: next_hop, holds ["10.255.0.2", "10.255.0.0/24"], not ["10.255.0.3", "10.254.0.0/16", "::/0"];
    peer: peer, holds ["10.255.0.2", "10.0.0.0/8"], not ["10.255.0.1", "fe80::/10"];
    group: group, holds ["mesh"], not ["nodes", ""];
    family: family, holds ["ipv4"], not ["ipv6"];
    source: source, holds ["bgp"], not ["static", "connected", "kernel", "api", "originate", "aggregate"];
    med: med, holds ["50", "40-50"], not ["0", "51-60"];
    local_pref_absent_counts_as_100: local_pref, holds ["100"], not ["0", "99", "101"];
    origin: origin, holds ["igp"], not ["egp", "incomplete"];
    aigp: aigp, holds ["1000", "ge 18 le 18446744073709551615"], not ["999"];
    tag: tag, holds ["7"], not ["0"];
}

#[test]
fn items_of_a_list_are_or_and_conditions_are_and() {
    let mut matches = MatchConfig {
        prefixes: texts(&["192.0.2.0/24", "10.0.0.0/8+"]),
        communities: texts(&["65009:*", "65001:100"]),
        ..MatchConfig::default()
    };
    assert!(holds(matches.clone()));
    matches.med = texts(&["1"]);
    assert!(!holds(matches));
    assert!(holds(MatchConfig::default()));
}

#[test]
fn the_default_route_is_a_prefix_like_others() {
    let of = |pattern: &str| {
        let mut items = Vec::new();
        PrefixSet::parse(pattern, &mut items).unwrap();
        PrefixSet::build(items).unwrap()
    };
    for family in ["0.0.0.0/0", "::/0"] {
        let net = family.parse().unwrap();
        assert!(of(family).contains(net));
        assert!(of(&format!("{family} le 8")).contains(net));
        assert!(!of(&format!("{family} ge 1")).contains(net));
    }
    assert!(!of("0.0.0.0/0").contains("0.0.0.0/1".parse().unwrap()));
    assert!(of("::/0 ge 128").contains("::1/128".parse().unwrap()));
    assert!(!of("::/0 ge 128").contains("::/127".parse().unwrap()));
}

#[test]
fn as_sets_and_confederations_read_as_operators_know_them() {
    let fits = |expression: &str, path: &str| {
        let mut items = Vec::new();
        AsPathSet::parse(expression, &mut items).unwrap();
        let path: AsPath = path.parse().unwrap();
        AsPathSet::build(items).unwrap().fits(&Text::of(&path))
    };
    for between in [
        "_65003_",
        "_65004_",
        "_65010_",
        "_65002_65010_",
        r"\{65003,65004\}$",
    ] {
        let path = "(65002) 65010 {65003,65004}";
        assert_eq!(fits(between, path), between != "_65002_65010_", "{between}");
    }
    assert!(fits("^$", ""));
    assert!(fits("^_", "65001"));
    assert!(!fits(r"^\[_\]$", "65001"));
}

#[test]
fn settings() {
    let set = SetConfig {
        local_pref: Some("+50".to_owned()),
        med: Some("-60".to_owned()),
        aigp: Some("+18446744073709551615".to_owned()),
        communities: CommunitiesConfig {
            remove: texts(&["65001:*"]),
            add: texts(&["65001:1", "no-export"]),
            replace: None,
        },
        large_communities: CommunitiesConfig {
            replace: Some(texts(&["1:2:3"])),
            ..CommunitiesConfig::default()
        },
        ext_communities: CommunitiesConfig {
            replace: Some(Vec::new()),
            ..CommunitiesConfig::default()
        },
        as_path: AsPathConfig::default(),
        prepend: Some(PrependConfig {
            asn: None,
            count: Some(2),
        }),
        origin: Some("incomplete".to_owned()),
        next_hop: Some("192.0.2.1".to_owned()),
        ..SetConfig::default()
    };
    let got = after(set);
    assert_eq!(
        (got.local_pref, got.med, got.aigp),
        (Some(150), Some(0), Some(u64::MAX))
    );
    let communities = ["no-export", "65001:1"].map(|c| c.parse::<Community>().unwrap());
    assert_eq!(got.communities.as_slice(), communities);
    assert_eq!(
        got.large_communities.as_slice(),
        ["1:2:3".parse::<LargeCommunity>().unwrap()]
    );
    assert_eq!(got.ext_communities.as_slice(), [] as [ExtendedCommunity; 0]);
    assert_eq!(got.as_path.to_string(), "65000 65000 65001 65002 65003");
    assert_eq!(
        (got.origin, got.next_hop),
        (Origin::Incomplete, NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)))
    );
}

#[test]
fn numbers_are_removed_and_sums_stop_at_the_ends() {
    let med = |text: &str| {
        let med = Some(text.to_owned());
        after(SetConfig {
            med,
            ..SetConfig::default()
        })
        .med
    };
    assert_eq!(med("remove"), None);
    assert_eq!(med("4294967295"), Some(u32::MAX));
    assert_eq!(med("+4294967295"), Some(u32::MAX));
    assert_eq!(med("+1"), Some(51));
}

#[test]
fn as_numbers_are_removed_and_replaced_before_others_are_put_in_front() {
    let path = |as_path: AsPathConfig, prepend: bool| {
        let set = SetConfig {
            as_path,
            prepend: prepend.then(PrependConfig::default),
            ..SetConfig::default()
        };
        after(set).as_path.to_string()
    };
    let edit = |remove: &[&str], replace: &[&str], with| AsPathConfig {
        remove: texts(remove),
        replace: texts(replace),
        with,
    };
    assert_eq!(path(edit(&["65002"], &[], None), false), "65001 65003");
    assert_eq!(path(edit(&["65001-65002"], &[], None), false), "65003");
    assert_eq!(path(edit(&["private"], &[], None), false), "");
    assert_eq!(path(edit(&[], &["65002"], Some(7)), false), "65001 7 65003");
    assert_eq!(
        path(edit(&[], &["ge 65002"], None), false),
        "65001 65000 65000"
    );
    // What is removed is not replaced; what is put in front comes last.
    let both = edit(&["65001"], &["private"], Some(9));
    assert_eq!(path(both, true), "65000 9 9");
}

#[test]
fn a_rule_sees_the_path_as_one_before_it_left_it() {
    let without = |asn: &str| SetConfig {
        as_path: AsPathConfig {
            remove: texts(&[asn]),
            ..AsPathConfig::default()
        },
        ..SetConfig::default()
    };
    let matches = |path: &str| MatchConfig {
        as_path: texts(&[path]),
        ..MatchConfig::default()
    };
    let first = RuleConfig {
        matches: matches("^65001 65002 65003$"),
        set: without("65002"),
        then: Then::Next,
    };
    let rules = vec![first, accept(matches("^65001 65003$"))];
    assert_eq!(send(&[policy("p", rules)], "10.0.0.0/8").0, Verdict::Accept);
}

#[test]
fn a_next_hop_of_the_other_family_changes_nothing() {
    let next_hop = Some("2001:db8::1".to_owned());
    let got = after(SetConfig {
        next_hop,
        ..SetConfig::default()
    });
    assert_eq!(got.next_hop, attributes().next_hop);
}

#[test]
fn the_path_is_read_anew_after_a_prepend() {
    let starts_with = |asn: &str| MatchConfig {
        as_path: vec![format!("^{asn}_")],
        ..MatchConfig::default()
    };
    let prepend = SetConfig {
        prepend: Some(PrependConfig::default()),
        ..SetConfig::default()
    };
    let first = RuleConfig {
        matches: starts_with("65001"),
        set: prepend,
        then: Then::Next,
    };
    let rules = vec![first, accept(starts_with("65000"))];
    assert_eq!(send(&[policy("p", rules)], "10.0.0.0/8").0, Verdict::Accept);
}

#[test]
fn a_tag_lasts_through_the_chain() {
    let mark = setting(SetConfig {
        tag: Some(9),
        ..SetConfig::default()
    });
    let marked = accept(MatchConfig {
        tag: texts(&["9"]),
        ..MatchConfig::default()
    });
    let all = compiled(&[policy("mark", vec![mark]), policy("marked", vec![marked])]);
    for (names, verdict) in [
        (vec!["mark", "marked"], Verdict::Accept),
        (vec!["marked", "mark"], Verdict::Reject),
    ] {
        let chain = all.chain(&texts(&names)).unwrap();
        assert_eq!(
            all.evaluate(&chain, &context("10.0.0.0/8"), &mut attributes()),
            verdict
        );
    }
}

#[test]
fn a_jump_that_does_not_decide_comes_back() {
    let jump = |to: &str| RuleConfig {
        then: Then::Policy(to.to_owned()),
        ..RuleConfig::default()
    };
    let local_pref = Some("7".to_owned());
    let marks = setting(SetConfig {
        local_pref,
        ..SetConfig::default()
    });
    let after_it = accept(MatchConfig {
        local_pref: texts(&["7"]),
        ..MatchConfig::default()
    });
    let mut marker = policy("marker", vec![marks]);
    let outer = policy("outer", vec![jump("marker"), after_it]);
    assert_eq!(
        send(&[outer.clone(), marker.clone()], "10.0.0.0/8").0,
        Verdict::Accept
    );
    marker.default = Some(Action::Reject);
    assert_eq!(send(&[outer, marker], "10.0.0.0/8").0, Verdict::Reject);
}

#[test]
fn chains_know_what_they_look_at() {
    let by_prefix = policy(
        "by-prefix",
        vec![accept(MatchConfig {
            not: Some(Box::new(MatchConfig {
                length: texts(&["8"]),
                ..MatchConfig::default()
            })),
            ..MatchConfig::default()
        })],
    );
    let jump = RuleConfig {
        then: Then::Policy("by-prefix".to_owned()),
        ..RuleConfig::default()
    };
    let jumps = policy("jumps", vec![jump]);
    let by_group = policy(
        "by-group",
        vec![accept(MatchConfig {
            group: texts(&["mesh"]),
            ..MatchConfig::default()
        })],
    );
    let by_source = policy(
        "by-source",
        vec![accept(MatchConfig {
            source: texts(&["api"]),
            ..MatchConfig::default()
        })],
    );
    let all = compiled(&[jumps, by_prefix, by_group, by_source]);
    for (name, expected) in [
        ("by-prefix", (true, false, false)),
        ("jumps", (true, false, false)),
        ("by-group", (false, true, false)),
        ("by-source", (false, false, true)),
        ("accept", (false, false, false)),
    ] {
        let chain = all.chain(&texts(&[name])).unwrap();
        let looks = (
            chain.looks_at_prefix(),
            chain.looks_at_peer(),
            chain.looks_at_source(),
        );
        assert_eq!(looks, expected, "{name}");
    }
}

#[test]
fn foregone_conclusions() {
    let all = compiled(&[
        policy("empty", vec![]),
        policy("p", vec![accept(MatchConfig::default())]),
    ]);
    let chain = |names: &[&str]| all.chain(&texts(names)).unwrap();
    for names in [&["accept"][..], &["empty", "accept", "reject"]] {
        assert!(chain(names).is_accept_all() && !chain(names).is_reject_all());
    }
    for names in [&["reject"][..], &[], &["empty"], &["reject", "p"]] {
        assert!(chain(names).is_reject_all() && !chain(names).is_accept_all());
    }
    assert!(!chain(&["p"]).is_accept_all() && !chain(&["p"]).is_reject_all());
    assert_eq!(Chain::accept_all(), chain(&["accept"]));
}

#[test]
fn chains_are_equal_if_what_they_are_made_of_is() {
    let chain = |set: &[&str], inner: Action| {
        let rule = accept(MatchConfig {
            prefixes: texts(&["@pods"]),
            ..MatchConfig::default()
        });
        let jump = RuleConfig {
            then: Then::Policy("inner".to_owned()),
            ..RuleConfig::default()
        };
        let mut inner_policy = policy("inner", vec![]);
        inner_policy.default = Some(inner);
        let sets = SetsConfig {
            prefixes: [("pods".to_owned(), texts(set))].into(),
            ..SetsConfig::default()
        };
        let all = Policies::compile(&sets, &[policy("p", vec![rule, jump]), inner_policy]).unwrap();
        all.chain(&texts(&["p"])).unwrap()
    };
    let one = chain(&["10.0.0.0/8"], Action::Accept);
    assert_eq!(one, chain(&["10.0.0.0/8"], Action::Accept));
    assert_ne!(one, chain(&["10.0.0.0/9"], Action::Accept));
    assert_ne!(one, chain(&["10.0.0.0/8"], Action::Reject));
    assert_ne!(
        compiled(&[]).chain(&texts(&["accept"])),
        compiled(&[]).chain(&texts(&["reject"]))
    );
}

#[test]
fn the_trace_tells_who_spoke() {
    let set = SetConfig {
        local_pref: Some("200".to_owned()),
        med: Some("+5".to_owned()),
        communities: CommunitiesConfig {
            add: texts(&["65001:1"]),
            ..CommunitiesConfig::default()
        },
        ..SetConfig::default()
    };
    let silent = accept(MatchConfig {
        med: texts(&["1"]),
        ..MatchConfig::default()
    });
    let mut second = policy("second", vec![]);
    second.default = Some(Action::Reject);
    let jump = RuleConfig {
        then: Then::Policy("third".to_owned()),
        ..RuleConfig::default()
    };
    let all = compiled(&[
        policy("first", vec![silent, setting(set), jump]),
        second,
        policy("third", vec![]),
    ]);
    let lines = |names: &[&str]| {
        let chain = all.chain(&texts(names)).unwrap();
        let (verdict, trace) = all.explain(&chain, &context("10.0.0.0/8"), &mut attributes());
        assert_eq!(verdict, Verdict::Reject);
        trace
            .steps
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let first = [
        "first rule[1]: local-pref 200, med +5, communities add [65001:1]; next",
        "first rule[2]: policy third",
    ];
    assert_eq!(
        lines(&["first", "second"]),
        [&first[..], &["second default: reject"]].concat()
    );
    assert_eq!(
        lines(&["first"]),
        [&first[..], &["end of the chain: reject"]].concat()
    );
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_path() {
    let bad = RuleConfig {
        matches: MatchConfig {
            prefixes: texts(&["10.0.0.0/8", "10.1.2.3/8", "x"]),
            as_path: texts(&["("]),
            communities: texts(&["@nobody", "1:2:3"]),
            med: texts(&["9-1"]),
            source: texts(&["ospf"]),
            not: Some(Box::new(MatchConfig {
                family: texts(&["ipx"]),
                ..MatchConfig::default()
            })),
            ..MatchConfig::default()
        },
        set: SetConfig {
            local_pref: Some("many".to_owned()),
            communities: CommunitiesConfig {
                add: texts(&["1:*"]),
                ..CommunitiesConfig::default()
            },
            prepend: Some(PrependConfig {
                asn: Some(0),
                count: Some(0),
            }),
            ..SetConfig::default()
        },
        then: Then::Policy("nowhere".to_owned()),
    };
    let sets = SetsConfig {
        prefixes: [("pods".to_owned(), texts(&["10.0.0.0/8 le 33"]))].into(),
        ..SetsConfig::default()
    };
    let policies = [
        policy("accept", vec![]),
        policy("p", vec![bad, RuleConfig::default()]),
        policy("p", vec![]),
    ];
    let errors = Policies::compile(&sets, &policies).unwrap_err();
    let mut paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "policy[0].name",
            "policy[1].rule[0].match.as-path[0]",
            "policy[1].rule[0].match.communities[0]",
            "policy[1].rule[0].match.communities[1]",
            "policy[1].rule[0].match.med[0]",
            "policy[1].rule[0].match.not.family[0]",
            "policy[1].rule[0].match.prefixes[1]",
            "policy[1].rule[0].match.prefixes[2]",
            "policy[1].rule[0].match.source[0]",
            "policy[1].rule[0].set.communities.add[0]",
            "policy[1].rule[0].set.local-pref",
            "policy[1].rule[0].set.prepend.asn",
            "policy[1].rule[0].set.prepend.count",
            "policy[1].rule[0].then",
            "policy[1].rule[1]",
            "policy[2].name",
            "sets.prefixes.pods[0]",
        ]
    );
    for error in &errors {
        let told = ["write", "define", "give"]
            .iter()
            .any(|word| error.message.contains(word));
        assert!(told, "what to do instead: {error}");
    }
}

#[test]
fn a_mistake_says_what_to_write() {
    let rule = accept(MatchConfig {
        prefixes: texts(&["10.1.2.3/8"]),
        ..MatchConfig::default()
    });
    assert_eq!(
        mistakes(&[policy("p", vec![rule])]),
        [
            "policy[0].rule[0].match.prefixes[0]: `10.1.2.3/8` has bits set beyond its length: write `10.0.0.0/8`"
        ]
    );
    let error = compiled(&[])
        .chain(&texts(&["accept", "nobody"]))
        .unwrap_err();
    assert_eq!(error.path, "[1]");
}

fn jumps(policies: &[(&str, &str)]) -> Vec<PolicyConfig> {
    let jump = |to: &str| RuleConfig {
        then: Then::Policy(to.to_owned()),
        ..RuleConfig::default()
    };
    policies
        .iter()
        .map(|(from, to)| policy(from, vec![jump(to)]))
        .collect()
}

#[test]
fn jumps_in_a_circle_are_mistakes() {
    for circle in [
        &[("a", "a")][..],
        &[("a", "b"), ("b", "a")],
        &[("x", "a"), ("a", "b"), ("b", "c"), ("c", "a")],
    ] {
        let told = mistakes(&jumps(circle));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("round for ever"), "{told:?}");
    }
}

#[test]
fn jumps_go_only_so_deep_in_whatever_order_they_are_written() {
    let line = |policies: usize, reverse: bool| {
        let names: Vec<String> = (0..policies - 1).map(|i| format!("p{i}")).collect();
        let next = names.iter().skip(1).map(String::as_str).chain(["accept"]);
        let mut pairs: Vec<_> = names.iter().map(String::as_str).zip(next).collect();
        if reverse {
            pairs.reverse();
        }
        Policies::compile(&SetsConfig::default(), &jumps(&pairs))
    };
    for reverse in [false, true] {
        assert!(line(MAX_DEPTH, reverse).is_ok());
        let errors = line(MAX_DEPTH + 1, reverse).unwrap_err();
        assert!(
            errors[0].message.contains("jump one to the next"),
            "{errors:?}"
        );
    }
    assert!(
        line(20_000, false).is_err(),
        "and without running out of stack"
    );
}

/// Counts the rules asked.
#[derive(Default)]
struct Steps(usize);

impl Witness for Steps {
    fn asked(&mut self) {
        self.0 += 1;
    }
}

#[test]
fn what_a_route_costs_does_not_grow_with_a_set() {
    let cost = |size: u32| {
        let nets = (0..size).map(|i| IpNet::new(Ipv4Addr::from(i << 8).into(), 24).unwrap());
        let patterns = nets.map(|net| Pattern::parse(&format!("{net} le 30")).unwrap());
        let prefixes = PrefixSet::build(patterns.collect()).unwrap();
        let mut communities = Vec::new();
        for i in 0..size {
            let text = format!("{}:{}", i >> 16, i & 0xffff);
            CommunitySet::<Community>::parse(&text, &mut communities).unwrap();
            CommunitySet::<Community>::parse(&format!("{}:*", i & 0xffff), &mut communities)
                .unwrap();
        }
        let communities = CommunitySet::<Community>::build(communities).unwrap();
        let net = "203.0.113.0/28".parse().unwrap();
        (
            prefixes.probes(net).count(),
            communities.probes(Community(u32::MAX)).count(),
        )
    };
    assert_eq!(cost(10), cost(50_000));
    let numbers = Ranges::new(
        (0..50_000)
            .map(|i| ranges::parse(&(i * 2).to_string(), u64::MAX).unwrap())
            .collect(),
    );
    assert!(numbers.len().ilog2() < 16, "a look-up halves what is left");
}

#[test]
fn the_first_decision_ends_everything() {
    let rules: Vec<_> = (0..100).map(|_| accept(MatchConfig::default())).collect();
    let all = compiled(&[policy("p", rules)]);
    let chain = all.chain(&texts(&["p", "reject"])).unwrap();
    let mut steps = Steps::default();
    let (verdict, ..) = chain.run(&context("10.0.0.0/8"), &mut attributes(), &mut steps);
    assert_eq!((verdict, steps.0), (Verdict::Accept, 1));
}

#[test]
fn a_path_as_text_is_made_once_and_only_if_asked_for() {
    let matches = MatchConfig {
        as_path: texts(&["_1_"]),
        ..MatchConfig::default()
    };
    let mut builder_sees = attributes();
    let route = context("10.0.0.0/8");
    let mut subject = Subject {
        route: &route,
        attributes: &mut builder_sees,
        tag: 0,
        placement: Placement::default(),
        text: None,
    };
    let all = compiled(&[
        policy("p", vec![accept(matches)]),
        policy("q", vec![accept(MatchConfig::default())]),
    ]);
    let run = |name: &str, subject: &mut Subject<'_>| all.0[name].run(subject, &mut ());
    run("q", &mut subject);
    assert!(subject.text.is_none());
    run("p", &mut subject);
    assert!(subject.text.is_some());
}

#[test]
fn next_hops_with_two_addresses_match_by_either() {
    let (global, local) = ("2001:db8::1".parse().unwrap(), "fe80::1".parse().unwrap());
    for (item, expected) in [
        ("2001:db8::1", true),
        ("fe80::/10", true),
        ("fe80::2", false),
    ] {
        let rule = accept(MatchConfig {
            next_hop: texts(&[item]),
            ..MatchConfig::default()
        });
        let all = compiled(&[policy("p", vec![rule])]);
        let chain = all.chain(&texts(&["p"])).unwrap();
        let mut route = attributes();
        route.next_hop = NextHop::V6WithLinkLocal(global, local);
        let verdict = all.evaluate(&chain, &context("2001:db8::/32"), &mut route);
        assert_eq!(verdict == Verdict::Accept, expected, "{item}");
    }
}

#[test]
fn a_route_without_a_peer_has_neither_peer_nor_group() {
    let rule = accept(MatchConfig {
        peer: texts(&["0.0.0.0/0", "::/0"]),
        ..MatchConfig::default()
    });
    let all = compiled(&[policy("p", vec![rule])]);
    let chain = all.chain(&texts(&["p"])).unwrap();
    let route = RouteContext {
        peer: None,
        group: None,
        ..context("10.0.0.0/8")
    };
    assert_eq!(
        all.evaluate(&chain, &route, &mut attributes()),
        Verdict::Reject
    );
    let route = RouteContext {
        peer: Some(IpAddr::from([192, 0, 2, 1])),
        ..route
    };
    assert_eq!(
        all.evaluate(&chain, &route, &mut attributes()),
        Verdict::Accept
    );
}
