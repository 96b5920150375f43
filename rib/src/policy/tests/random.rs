//! Random policies and routes over a small world: what is compiled does what the reference does.

use bgp_core::attributes::{AsPath, NextHop, Origin};
use bgp_core::{Attributes, Family};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;
use super::reference::Reference;

fn number() -> impl Strategy<Value = String> {
    (0..6_u32, 0..4_u32, 0..5).prop_map(|(low, more, kind)| match kind {
        0 => low.to_string(),
        1 => format!("{low}-{}", low + more),
        2 => format!("ge {low}"),
        3 => format!("le {low}"),
        _ => format!("ge {low} le {}", low + more),
    })
}

fn prefix() -> impl Strategy<Value = IpNet> {
    (any::<bool>(), 0..4_u8, 0..=4_u8).prop_map(|(ipv4, bits, len)| {
        let net = match ipv4 {
            true => IpNet::new(IpAddr::from([bits << 6, 0, 0, 0]), len),
            false => IpNet::new(
                IpAddr::from([u16::from(bits) << 14, 0, 0, 0, 0, 0, 0, 0]),
                len,
            ),
        };
        net.unwrap().trunc()
    })
}

fn pattern() -> impl Strategy<Value = String> {
    (prefix(), 0..3_u8, 0..3_u8, 0..3).prop_map(|(net, from, more, kind)| match kind {
        0 => net.to_string(),
        1 => format!("{net}+"),
        _ => {
            let low = net.prefix_len() + from;
            format!("{net}{{{low},{}}}", low + more)
        }
    })
}

fn expression() -> impl Strategy<Value = String> {
    (1..4, 0..4).prop_map(|(asn, kind)| match kind {
        0 => format!("_{asn}_"),
        1 => format!("^{asn}_"),
        2 => format!("_{asn}$"),
        _ => "^$".to_owned(),
    })
}

fn part(wild: bool) -> impl Strategy<Value = String> {
    let stars = if wild { 1 } else { 0 };
    select(["1", "2", "3", "*"][..3 + stars].to_vec()).prop_map(str::to_owned)
}

fn community(wild: bool) -> impl Strategy<Value = String> {
    (part(wild), part(wild)).prop_map(|(a, b)| format!("{a}:{b}"))
}

fn large(wild: bool) -> impl Strategy<Value = String> {
    (part(wild), part(wild), part(wild)).prop_map(|(a, b, c)| format!("{a}:{b}:{c}"))
}

fn extended(wild: bool) -> impl Strategy<Value = String> {
    let stars = if wild { 1 } else { 0 };
    let administrators = ["1", "2", "70000", "0.1", "10.0.0.1", "*"][..5 + stars].to_vec();
    (
        select(vec!["rt", "soo"]),
        select(administrators),
        part(wild),
    )
        .prop_map(|(name, a, b)| format!("{name}:{a}:{b}"))
}

fn words(all: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    list(select(all).prop_map(str::to_owned))
}

/// Mostly empty, as most conditions of a rule are.
fn list(item: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<String>> {
    prop_oneof![6 => Just(Vec::new()), 1 => vec(item, 1..4)]
}

/// Some items are the named set.
fn or_set(item: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop_oneof![3 => item, 1 => Just("@set".to_owned())]
}

fn conditions() -> impl Strategy<Value = MatchConfig> {
    let lists = (
        list(or_set(pattern())),
        list(number()),
        list(or_set(expression())),
        (
            list(number()),
            list(number()),
            list(number()),
            list(number()),
        ),
        list(or_set(community(true))),
        list(or_set(large(true))),
        list(or_set(extended(true))),
        (
            words(&["10.0.0.1", "10.0.0.0/8", "::/0"]),
            words(&["10.0.0.1", "2001:db8::/32"]),
        ),
        (
            words(&["mesh", "nodes"]),
            words(&["ipv4", "ipv6"]),
            words(&["bgp", "static", "api"]),
        ),
        (
            list(number()),
            list(number()),
            list(number()),
            list(number()),
        ),
        words(&["igp", "egp", "incomplete"]),
    );
    lists.prop_map(
        |(
            prefixes,
            length,
            as_path,
            paths,
            communities,
            large_communities,
            ext_communities,
            hops,
            about,
            numbers,
            origin,
        )| {
            MatchConfig {
                prefixes,
                length,
                as_path,
                as_path_contains: paths.0,
                origin_as: paths.1,
                neighbor_as: paths.2,
                as_path_length: paths.3,
                communities,
                large_communities,
                ext_communities,
                next_hop: hops.0,
                peer: hops.1,
                group: about.0,
                family: about.1,
                source: about.2,
                med: numbers.0,
                local_pref: numbers.1,
                aigp: numbers.2,
                tag: numbers.3,
                origin,
                not: None,
            }
        },
    )
}

fn matches() -> impl Strategy<Value = MatchConfig> {
    let matches = conditions().boxed();
    (matches.clone(), option::weighted(0.3, matches)).prop_map(|(matches, not)| MatchConfig {
        not: not.map(Box::new),
        ..matches
    })
}

fn change() -> impl Strategy<Value = Option<String>> {
    let texts = ["0", "2", "5", "+1", "+4294967295", "-1", "-3", "remove"];
    option::weighted(0.2, select(texts.to_vec()).prop_map(str::to_owned))
}

fn edit(
    one: BoxedStrategy<String>,
    wild: BoxedStrategy<String>,
) -> impl Strategy<Value = CommunitiesConfig> {
    (
        option::weighted(0.1, vec(one.clone(), 0..3)),
        list(or_set(wild)),
        list(one),
    )
        .prop_map(|(replace, remove, add)| CommunitiesConfig {
            replace,
            remove,
            add,
        })
}

fn set() -> impl Strategy<Value = SetConfig> {
    let edits = (
        edit(community(false).boxed(), community(true).boxed()),
        edit(large(false).boxed(), large(true).boxed()),
        edit(extended(false).boxed(), extended(true).boxed()),
    );
    let prepend = (option::of(1..4_u32), option::of(1..3_u8))
        .prop_map(|(asn, count)| PrependConfig { asn, count });
    let asns = || vec(number(), 0..3);
    let path = (asns(), asns(), option::of(1..9_u32)).prop_map(|(remove, replace, with)| {
        let with = with.filter(|_| !replace.is_empty());
        AsPathConfig {
            remove,
            replace,
            with,
        }
    });
    let path = option::weighted(0.2, path).prop_map(Option::unwrap_or_default);
    let origin = option::weighted(0.1, select(vec!["igp", "egp"]).prop_map(str::to_owned));
    (
        change(),
        change(),
        change(),
        edits,
        (path, option::weighted(0.1, prepend)),
        origin,
        0..6_u32,
    )
        .prop_map(
            |(local_pref, med, aigp, edits, (as_path, prepend), origin, tag)| SetConfig {
                local_pref,
                med,
                aigp,
                communities: edits.0,
                large_communities: edits.1,
                ext_communities: edits.2,
                as_path,
                prepend,
                origin,
                next_hop: None,
                // Something is always set, so that no rule does nothing.
                tag: Some(tag),
                ..SetConfig::default()
            },
        )
}

fn action() -> impl Strategy<Value = Action> {
    select(vec![Action::Accept, Action::Reject])
}

/// Policies that jump only to later ones.
fn policies() -> impl Strategy<Value = Vec<PolicyConfig>> {
    let then = |i: usize| {
        let jump = (i + 1..=3).prop_map(|to| {
            Then::Policy(if to == 3 {
                "accept".to_owned()
            } else {
                format!("p{to}")
            })
        });
        prop_oneof![2 => action().prop_map(Then::Decide), 2 => Just(Then::Next), 1 => jump]
    };
    let one = move |i: usize| {
        let rule = (matches(), set(), then(i)).prop_map(|(matches, set, then)| RuleConfig {
            matches,
            set,
            then,
        });
        (vec(rule, 0..5), option::of(action())).prop_map(move |(rules, default)| PolicyConfig {
            name: format!("p{i}"),
            default,
            rules,
        })
    };
    (one(0), one(1), one(2)).prop_map(|(a, b, c)| vec![a, b, c])
}

fn sets() -> impl Strategy<Value = SetsConfig> {
    let named = |items: Vec<String>| [("set".to_owned(), items)].into();
    (
        vec(pattern(), 0..4),
        vec(expression(), 0..3),
        vec(community(true), 0..3),
        vec(large(true), 0..3),
        vec(extended(true), 0..3),
    )
        .prop_map(
            move |(prefixes, as_paths, communities, large, extended)| SetsConfig {
                prefixes: named(prefixes),
                as_paths: named(as_paths),
                communities: named(communities),
                large_communities: named(large),
                ext_communities: named(extended),
            },
        )
}

fn route() -> impl Strategy<Value = (RouteContext<'static>, Attributes)> {
    let peers: Vec<Option<IpAddr>> = ["10.0.0.1", "2001:db8::1"]
        .map(|ip| ip.parse().ok())
        .into_iter()
        .chain([None])
        .collect();
    let context = (
        prefix(),
        select(peers),
        select(vec![None, Some("mesh"), Some("other")]),
        select(vec![RouteSource::Bgp, RouteSource::Static]),
        0..6_u32,
    );
    let context = context.prop_map(|(prefix, peer, group, source, tag)| RouteContext {
        prefix,
        peer,
        group,
        source,
        family: match prefix {
            IpNet::V4(_) => Family::Ipv4Unicast,
            IpNet::V6(_) => Family::Ipv6Unicast,
        },
        local_asn: 3,
        tag,
    });
    let numbers = (
        option::of(0..8_u32),
        option::of(0..8_u32),
        option::of(0..8_u64),
    );
    let lists = (
        vec(community(false), 0..3),
        vec(large(false), 0..3),
        vec(extended(false), 0..3),
    );
    let attributes = (
        vec(1..4_u32, 0..4),
        numbers,
        lists,
        select(vec![Origin::Igp, Origin::Egp]),
    )
        .prop_map(
            |(path, (med, local_pref, aigp), (communities, large, extended), origin)| {
                let next_hop = NextHop::V4([10, 0, 0, 1].into());
                let mut attributes = Attributes::new(origin, AsPath::sequence(path), next_hop);
                (attributes.med, attributes.local_pref, attributes.aigp) = (med, local_pref, aigp);
                attributes.communities = communities.iter().map(|c| c.parse().unwrap()).collect();
                attributes.large_communities = large.iter().map(|c| c.parse().unwrap()).collect();
                attributes.ext_communities = extended.iter().map(|c| c.parse().unwrap()).collect();
                attributes
            },
        );
    (context, attributes)
}

proptest! {
    #[test]
    fn compiled_policies_do_what_the_text_says(
        sets in sets(),
        policies in policies(),
        names in vec(select(vec!["p0", "p1", "p2", "accept"]).prop_map(str::to_owned), 0..4),
        routes in vec(route(), 1..20),
    ) {
        let compiled = Policies::compile(&sets, &policies).unwrap();
        let chain = compiled.chain(&names).unwrap();
        let reference = Reference { sets: &sets, policies: &policies };
        for (context, attributes) in routes {
            let (mut ours, mut theirs, mut explained) = (attributes.clone(), attributes.clone(), attributes.clone());
            let verdict = compiled.evaluate(&chain, &context, &mut ours);
            prop_assert_eq!(verdict, reference.evaluate(&names, &context, &mut theirs));
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(compiled.explain(&chain, &context, &mut explained).0, verdict);
            prop_assert_eq!(&explained, &ours);
            if chain.is_accept_all() || chain.is_reject_all() {
                prop_assert_eq!(verdict == Verdict::Accept, chain.is_accept_all());
                prop_assert_eq!(&ours, &attributes);
            }
            if !chain.looks_at_prefix() {
                let elsewhere = RouteContext { prefix: match context.family {
                    Family::Ipv4Unicast => "198.51.100.0/24".parse().unwrap(),
                    Family::Ipv6Unicast => "2001:db8::/32".parse().unwrap(),
                }, ..context };
                prop_assert_eq!(compiled.evaluate(&chain, &elsewhere, &mut attributes.clone()), verdict);
            }
            if !chain.looks_at_peer() {
                let nobody = RouteContext { peer: None, group: None, ..context };
                prop_assert_eq!(compiled.evaluate(&chain, &nobody, &mut attributes.clone()), verdict);
            }
        }
    }
}
