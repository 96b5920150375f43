//! Whatever an operator writes: no panic, and mistakes that say where they are.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;

/// Fragments of what is right, put together wrongly, and anything else.
fn text() -> impl Strategy<Value = String> {
    let fragments = prop::sample::select(vec![
        "10.0.0.0/8",
        "::/0",
        "/",
        "+",
        "{",
        "}",
        ",",
        "ge",
        "le",
        " ",
        "-",
        ":",
        "*",
        "@",
        "@set",
        "rt:",
        "soo:",
        "lb:",
        "0x",
        "65001",
        "4294967295",
        "18446744073709551616",
        "no-export",
        "^",
        "$",
        "_",
        "(",
        ")",
        "[",
        "]",
        "\\",
        "|",
        "(?x)",
        "#",
        "{1000}",
        "accept",
        "igp",
        "é",
        "remove",
    ]);
    prop_oneof![
        vec(fragments, 0..6).prop_map(|parts| parts.concat()),
        any::<String>(),
    ]
}

fn matches() -> impl Strategy<Value = MatchConfig> {
    vec(vec(text(), 0..3), 20).prop_map(|lists| {
        let mut lists = lists.into_iter();
        let mut next = || lists.next().unwrap_or_default();
        MatchConfig {
            prefixes: next(),
            length: next(),
            as_path: next(),
            as_path_contains: next(),
            origin_as: next(),
            neighbor_as: next(),
            as_path_length: next(),
            communities: next(),
            large_communities: next(),
            ext_communities: next(),
            next_hop: next(),
            peer: next(),
            group: next(),
            family: next(),
            source: next(),
            med: next(),
            local_pref: next(),
            origin: next(),
            aigp: next(),
            tag: next(),
            not: None,
        }
    })
}

fn set() -> impl Strategy<Value = SetConfig> {
    (
        vec(prop::option::of(text()), 5),
        vec(vec(text(), 0..3), 3),
        any::<Option<(Option<u32>, Option<u8>)>>(),
    )
        .prop_map(|(words, lists, prepend)| {
            let mut words = words.into_iter();
            let mut next = || words.next().flatten();
            let edit = CommunitiesConfig {
                replace: lists.first().cloned(),
                remove: lists.get(1).cloned().unwrap_or_default(),
                add: lists.get(2).cloned().unwrap_or_default(),
            };
            SetConfig {
                local_pref: next(),
                med: next(),
                aigp: next(),
                origin: next(),
                next_hop: next(),
                prefsrc: next(),
                table: prepend.and_then(|(asn, _)| asn),
                metric: prepend.and_then(|(asn, _)| asn),
                communities: edit.clone(),
                large_communities: edit.clone(),
                as_path: AsPathConfig {
                    remove: edit.remove.clone(),
                    replace: edit.add.clone(),
                    with: prepend.and_then(|(asn, _)| asn),
                },
                ext_communities: edit,
                prepend: prepend.map(|(asn, count)| PrependConfig { asn, count }),
                tag: None,
            }
        })
}

proptest! {
    #[test]
    fn nothing_that_is_written_panics(
        matches in matches(),
        set in set(),
        name in text(),
        jump in text(),
        items in vec(text(), 0..4),
    ) {
        let one = |texts: &[String]| [("set".to_owned(), texts.to_vec())].into();
        let sets = SetsConfig {
            prefixes: one(&items),
            as_paths: one(&items),
            communities: one(&items),
            large_communities: one(&items),
            ext_communities: one(&items),
        };
        let rule = RuleConfig { matches, set, then: Then::Policy(jump) };
        let policy = PolicyConfig { name, default: None, rules: vec![rule] };
        if let Err(errors) = Policies::compile(&sets, &[policy]) {
            for error in errors {
                prop_assert!(error.path.starts_with("policy[0]") || error.path.starts_with("sets."));
                prop_assert!(!error.message.is_empty());
            }
        }
    }
}
