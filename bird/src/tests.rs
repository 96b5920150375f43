//! Small configurations and what becomes of them; noise; and filters whose rules do what BIRD would.

mod noise;
mod same;

use std::collections::BTreeMap;

use super::*;

/// Files by their names.
struct Shelf(BTreeMap<&'static str, String>);

impl Files for Shelf {
    fn include(&mut self, pattern: &str, _from: &str) -> Result<Vec<(String, String)>, String> {
        let fit = |name: &&&str| fits_pattern(pattern, name);
        let names: Vec<_> = self.0.keys().filter(fit).collect();
        let read = |name: &&&str| Some((name.to_string(), self.0.get(**name)?.clone()));
        Ok(names.iter().filter_map(read).collect())
    }
}

fn imported(text: &str) -> Imported {
    import("bird.conf", text, &mut ()).unwrap_or_else(|note| panic!("{note}"))
}

fn refused(text: &str) -> String {
    import("bird.conf", text, &mut ()).unwrap_err().to_string()
}

/// A session with these statements and this channel.
fn session(statements: &str, channel: &str) -> Imported {
    imported(&format!(
        "router id 10.0.0.1;\nprotocol bgp p {{ local as 65001; neighbor 10.0.0.2 as 65002; {statements}\nipv4 {{ {channel} }}; }}\n"
    ))
}

fn lost(imported: &Imported) -> Vec<String> {
    imported.lost.iter().map(Note::to_string).collect()
}

/// The keys of the session, and nothing lost.
fn has(imported: &Imported, lines: &[&str]) {
    assert_eq!(lost(imported), Vec::<String>::new());
    for line in lines {
        assert!(
            imported.toml.lines().any(|l| l == *line),
            "no {line} in\n{}",
            imported.toml
        );
    }
}

#[test]
fn options_of_a_session_become_keys_of_a_peer() {
    let made = session(
        "multihop 3; ttl security on; password \"p\"; passive; hold time 30; keepalive time 9; \
         connect retry time 7; error wait time 3, 9; allow local as 2; add paths rx; \
         graceful restart on; graceful restart time 60; local role customer; require roles; \
         description \"d\"; source address 10.0.0.9; neighbor 10.0.0.2 port 1790 as 65002;",
        "import limit 10 action restart; extended next hop; next hop address 10.0.0.7;",
    );
    has(
        &made,
        &[
            "multihop = 3",
            "gtsm = true",
            "password = \"p\"",
            "passive = true",
            "hold-time = \"30s\"",
            "keepalive = \"9s\"",
            "connect-retry = \"7s\"",
            "idle-hold = \"3s\"",
            "idle-hold-max = \"9s\"",
            "allow-local-as = 2",
            "add-path = \"receive\"",
            "graceful-restart = { restart-time = \"60s\" }",
            "role = \"customer\"",
            "strict-role = true",
            "description = \"d\"",
            "local-address = \"10.0.0.9\"",
            "port = 1790",
            "max-prefixes = { limit = 10, then = \"restart\" }",
            "extended-next-hop = true",
            "next-hop = \"10.0.0.7\"",
        ],
    );
}

#[test]
fn what_bird_does_by_itself_is_written() {
    let made = session("", "");
    has(
        &made,
        &[
            "hold-time = \"240s\"",
            "import = [\"accept\"]",
            "export = [\"reject\"]",
            "multipath = 1 # BIRD: one path, without `merge paths`",
            "install = false",
        ],
    );
}

#[test]
fn birds_metric_is_not_carried_over_and_others_are() {
    let kernel = |metric| {
        imported(&format!(
            "protocol kernel {{ metric {metric}; ipv4 {{ export all; }}; }}"
        ))
    };
    assert!(!kernel(32).toml.contains("\nmetric"));
    assert!(kernel(50).toml.contains("\nmetric = 50"));
}

#[test]
fn a_session_whose_as_is_another_has_a_local_as() {
    let made = imported(
        "router id 10.0.0.1;
         protocol bgp a { local as 65001; neighbor 10.0.0.2 as 65002; }
         protocol bgp b { local as 65001; neighbor 10.0.0.3 as 65002; }
         protocol bgp c { local as 65009; neighbor 10.0.0.4 as 65002; }",
    );
    has(&made, &["asn = 65001", "local-as = 65009"]);
}

#[test]
fn every_statement_without_translation_is_listed_with_its_line() {
    let made = imported(
        "router id 10.0.0.1;
         protocol bgp p {
           local as 65001;
           neighbor 10.0.0.2 as 65002;
           confederation 65000;
           ipv4 {
             preference 120;
             import all;
           };
         }
         protocol babel { }
         protocol pipe { table a; peer table b; }
         ipv4 table a;",
    );
    let lines: Vec<u32> = made.lost.iter().map(|note| note.line).collect();
    assert_eq!(lines, [5, 7, 11, 12, 13]);
}

#[test]
fn what_of_a_filter_has_no_translation_is_listed_and_the_rest_is_there() {
    let made = session(
        "",
        "import filter { bgp_med = 5;\nif roa_check(t) = ROA_INVALID then reject;\npreference = 200;\ngw = 10.0.0.9;\naccept; };",
    );
    let lines: Vec<u32> = made.lost.iter().map(|note| note.line).collect();
    assert_eq!(lines, [4, 5, 6], "{:?}", made.lost);
    assert!(made.toml.contains("set = { med = 5 }"), "{}", made.toml);
}

#[test]
fn mistakes_have_their_line() {
    assert_eq!(
        refused("\nprotocol bgp {"),
        "bird.conf:2: `{` is not closed"
    );
    assert_eq!(
        refused("router id 1.1.1.1;\n}"),
        "bird.conf:2: `}` closes nothing"
    );
    assert_eq!(
        refused("\n\n\"abc"),
        "bird.conf:3: a text begins with `\"` and does not end on this line"
    );
    assert_eq!(
        refused("/* x"),
        "bird.conf:1: a comment begins with `/*` and does not end"
    );
    assert_eq!(refused("\n@"), "bird.conf:2: `@` has no place here");
}

#[test]
fn files_are_included_where_they_are_named_and_lines_are_theirs() {
    let mut shelf = Shelf(BTreeMap::from([
        ("p/a.conf", "neighbor 10.0.0.2 as 65002;".to_owned()),
        ("p/b.conf", "\nconfederation 3;".to_owned()),
    ]));
    let text = "router id 10.0.0.1; protocol bgp x { local as 65001; include \"p/*.conf\"; }";
    let made = import("bird.conf", text, &mut shelf).unwrap();
    assert_eq!(lost(&made), ["p/b.conf:2: `confederation 3`"]);
}

#[test]
fn files_that_include_each_other_end() {
    let each = |other: &str| format!("include \"{other}\"; include \"{other}\";");
    let mut shelf = Shelf(BTreeMap::from([("a", each("b")), ("b", each("a"))]));
    let note = import("bird.conf", "include \"a\";", &mut shelf).unwrap_err();
    assert!(note.what.contains("deep"), "{note}");
}

#[test]
fn functions_that_call_themselves_end() {
    let text = "router id 10.0.0.1;
        function f(int a) { if f(a) then return f(a); return f(a); }
        protocol bgp p { local as 65001; neighbor 10.0.0.2 as 65002; import where f(1); }";
    let made = imported(text);
    assert!(
        made.lost
            .iter()
            .any(|note| note.what.contains("call each other")),
        "{:?}",
        made.lost
    );
}

#[test]
fn path_masks_become_keys_or_expressions() {
    let conditions = [
        ("bgp_path ~ [= * 5 * =]", "as-path-contains = [5]"),
        ("bgp_path ~ [= 5 * =]", "neighbor-as = [5]"),
        ("bgp_path ~ [= * 5 =]", "origin-as = [5]"),
        ("bgp_path ~ [= 5 6 =]", "as-path = [\"^5 6$\"]"),
        ("bgp_path ~ [= 5 * 6 =]", "as-path = [\"^5 (.* )?6$\"]"),
        (
            "bgp_path ~ [= * 5 6 * =]",
            "as-path = [\"^(.* )?5 6( .*)?$\"]",
        ),
        ("bgp_path ~ [= 5 6..8 =]", "as-path = [\"^5 (6|7|8)$\"]"),
        ("bgp_path.first = 5", "neighbor-as = [5]"),
        ("bgp_path.last ~ [5, 7..9]", "origin-as = [5, \"7-9\"]"),
        ("5 ~ bgp_path", "as-path-contains = [5]"),
        ("bgp_path.len >= 5", "not = { as-path-length = [\"le 4\"] }"),
        ("net ~ 10.0.0.0/8", "prefixes = [\"10.0.0.0/8+\"]"),
        (
            "net ~ [10.0.0.0/8-]",
            "\"8.0.0.0/5\", \"8.0.0.0/6\", \"10.0.0.0/7\", \"10.0.0.0/8\"]",
        ),
        (
            "net ~ [10.0.0.0/8{7,9}]",
            "prefixes = [\"10.0.0.0/7\", \"10.0.0.0/8 le 9\"]",
        ),
        (
            "net.ip ~ 128.0.0.0/2",
            "prefixes = [\"128.0.0.0/2+\", \"128.0.0.0/1\"]",
        ),
        ("(1, 2) ~ bgp_community", "communities = [\"1:2\"]"),
        (
            "bgp_community ~ [(1, 2..3), (*, 4)]",
            "communities = [\"1:2\", \"1:3\", \"*:4\"]",
        ),
        (
            "(rt, 1, 2) ~ bgp_ext_community",
            "ext-communities = [\"rt:1:2\"]",
        ),
        (
            "bgp_large_community ~ [(1, *, 3)]",
            "large-communities = [\"1:*:3\"]",
        ),
        ("bgp_origin = ORIGIN_IGP", "origin = [\"igp\"]"),
        ("bgp_next_hop ~ 10.1.0.0/16", "next-hop = [\"10.1.0.0/16\"]"),
    ];
    for (condition, expected) in conditions {
        let made = session(
            "",
            &format!("import filter {{ if {condition} then accept; reject; }};"),
        );
        assert_eq!(lost(&made), Vec::<String>::new(), "{condition}");
        assert!(
            made.toml.contains(expected),
            "{condition}: no {expected} in\n{}",
            made.toml
        );
    }
}

#[test]
fn what_is_taken_out_of_a_path_is_as_path_remove() {
    let edits = [
        ("bgp_path.delete(5);", "{ as-path = { remove = [5] } }"),
        (
            "bgp_path.delete([5, 64512..65534]);",
            "{ as-path = { remove = [5, \"64512-65534\"] } }",
        ),
        (
            "bgp_path = delete(bgp_path, 5);",
            "{ as-path = { remove = [5] } }",
        ),
        (
            "bgp_path.filter([7..9, 5]);",
            "{ as-path = { remove = [\"0-4\", 6, \"10-4294967295\"] } }",
        ),
        (
            "bgp_path.filter([0..5, 4294967295]);",
            "{ as-path = { remove = [\"6-4294967294\"] } }",
        ),
        (
            "bgp_path.empty; bgp_path.prepend(9);",
            "{ as-path = { remove = [\"0-4294967295\"] }, prepend = { asn = 9, count = 1 } }",
        ),
    ];
    for (statements, expected) in edits {
        let made = session("", &format!("import filter {{ {statements} accept; }};"));
        has(&made, &[&format!("set = {expected}")]);
    }
}

#[test]
fn and_binds_as_or_does() {
    let made = session(
        "",
        "import where net = 10.0.0.0/8 || net.len = 9 && bgp_med = 1;",
    );
    // (net or length) and MED, which is not net or (length and MED).
    let last = "match = { med = [1] }\nthen = \"accept\"";
    assert!(made.toml.contains(last), "{}", made.toml);
}

#[test]
fn a_template_is_a_group_of_what_its_sessions_share() {
    let made = imported(
        "router id 10.0.0.1;
         template bgp t { local as 65001; hold time 30; passive; ipv4 { import all; export all; }; }
         protocol bgp a from t { neighbor 10.0.0.2 as 65002; }
         protocol bgp b from t { neighbor 10.0.0.3 as 65003; passive off; }",
    );
    has(
        &made,
        &[
            "name = \"t\"",
            "hold-time = \"30s\"",
            "group = \"t\"",
            "passive = true",
        ],
    );
    assert_eq!(made.toml.matches("hold-time").count(), 1);
}

/// A configuration with sessions of both families and these protocols.
fn with(protocols: &str) -> Imported {
    imported(&format!(
        "router id 10.0.0.1;\n{protocols}
         protocol bgp a {{ local as 65001; neighbor 10.0.0.2 as 65002; bfd on; ipv4 {{ export all; }}; ipv6 {{ export all; }}; }}
         protocol bgp b {{ local as 65001; neighbor 10.0.0.3 as 65001; interface \"eth3\"; direct; bfd on; ipv4; ipv6; }}
         protocol bgp c {{ local as 65001; neighbor 10.0.9.9 as 65001; bfd {{ multiplier 7; }}; ipv4; ipv6; }}\n"
    ))
}

fn has_text(made: &Imported, text: &str) {
    assert_eq!(lost(made), Vec::<String>::new());
    assert!(made.toml.contains(text), "no {text} in\n{}", made.toml);
}

#[test]
fn a_kernel_filter_that_makes_differences_is_the_policy_of_fib() {
    let made = with(
        "protocol kernel { metric 0; ipv4 { export filter { if bgp_med = 7 then reject; krt_metric = 50; accept; }; }; }
         protocol kernel { metric 0; ipv6 { export all; }; }",
    );
    has_text(&made, "policy = [\"to-kernel\"]");
    has_text(
        &made,
        "match = { med = [7] }\nthen = \"reject\"\n[[policy.rule]] # bird.conf:2\nset = { metric = 50 }\nthen = \"accept\"",
    );
}

#[test]
fn a_family_without_a_kernel_protocol_is_not_installed() {
    let made = with("protocol kernel { ipv4 { export all; }; }");
    has_text(&made, "policy = [\"to-kernel\"]");
    has_text(
        &made,
        "match = { family = [\"ipv4\"] }\nthen = \"accept\"\n[[policy.rule]] # bird.conf:2\nmatch = { family = [\"ipv6\"] }\nthen = \"reject\"",
    );
}

#[test]
fn tables_of_families_that_differ_are_rules_and_alike_ones_a_key() {
    let kernels = |four, six| {
        with(&format!(
            "protocol kernel {{ kernel table {four}; ipv4 {{ export all; }}; }}
             protocol kernel {{ kernel table {six}; ipv6 {{ export all; }}; }}"
        ))
    };
    has_text(&kernels(100, 100), "install = true\ntable = 100\n");
    let made = kernels(100, 254);
    has_text(&made, "set = { table = 100 }");
    assert!(!made.toml.contains("table = 254"), "{}", made.toml);
}

#[test]
fn static_routes_with_a_source_of_their_own_get_it_by_policy() {
    let made = with(
        "protocol static { ipv4; route 10.9.0.0/16 blackhole; }
         protocol kernel { ipv4 { export filter { if source = RTS_STATIC then krt_prefsrc = 10.0.0.9; else krt_prefsrc = 10.0.0.1; accept; }; }; }
         protocol kernel { ipv6 { export all; }; }",
    );
    has_text(&made, "policy = [\"to-kernel\"]");
    has_text(&made, "set = { prefsrc = \"10.0.0.9\" }");
}

#[test]
fn krt_metric_is_what_bird_looks_at_under_metric_0_alone() {
    let made = with(
        "protocol kernel { ipv4 { export filter { krt_metric = 50; accept; }; }; }
         protocol kernel { ipv6 { export all; }; }",
    );
    assert!(!made.toml.contains("metric = 50"), "{}", made.toml);
    assert!(
        made.notes.iter().any(|note| note.what.contains("metric 0")),
        "{:?}",
        made.notes
    );
}

#[test]
fn interfaces_of_protocol_direct_keep_their_order() {
    let direct = |patterns: &str| {
        with(&format!(
            "protocol direct {{ ipv4; ipv6; interface {patterns}; }}"
        ))
    };
    has_text(
        &direct("-\"cali*\", \"*\""),
        "connected = { interfaces = [\"!cali*\", \"*\"], policy = \"accept\" }",
    );
    // What an earlier pattern includes no later one takes away.
    has_text(
        &direct("\"eth*\", -\"eth0\""),
        "connected = { interfaces = [\"eth*\"], policy = \"accept\" }",
    );
    assert_eq!(lost(&direct("\"eth0\", -\"eth*\", \"*\"")).len(), 1);
    // Without one that includes, there are none.
    assert!(!direct("-\"eth0\"").toml.contains("redistribute"));
}

#[test]
fn what_is_disabled_is_left_out() {
    let made = with(
        "protocol direct { disabled; ipv4; }
         protocol static { disabled; ipv4; route 10.9.0.0/16 blackhole; }
         protocol kernel { disabled; learn; ipv4 { export all; }; }",
    );
    has_text(&made, "install = false");
    for gone in ["redistribute", "10.9.0.0/16"] {
        assert!(!made.toml.contains(gone), "{gone} in\n{}", made.toml);
    }
}

#[test]
fn learnt_routes_go_behind_those_of_bgp_and_are_told_with_local_pref_100() {
    let made = with("protocol kernel { learn; kernel table 7; ipv4 { import all; }; }");
    has_text(&made, "table = 7, policy = \"from-kernel\" }");
    has_text(&made, "set = { local-pref = 0 }");
    has_text(
        &made,
        "match = { source = [\"kernel\"], local-pref = [0] }\nset = { local-pref = 100 }",
    );
    let made = with("protocol kernel { learn; ipv4 { import none; }; }");
    assert!(!made.toml.contains("redistribute"), "{}", made.toml);
}

#[test]
fn timers_of_bfd_are_profiles() {
    let made = with(
        "protocol bfd { interface \"eth3\" { interval 50 ms; }; interface \"*\" { passive; authentication meticulous keyed sha1; password \"p\" { id 4; }; }; multihop { min rx interval 20 ms; }; accept direct; }",
    );
    // Which interface the first session is on is not known.
    assert_eq!(lost(&made).len(), 1, "{:?}", made.lost);
    let made = with(
        "protocol bfd { interface \"*\" { passive; authentication meticulous keyed sha1; password \"p\" { id 4; }; }; multihop { min rx interval 20 ms; }; }",
    );
    has_text(
        &made,
        "[bfd.profile.direct]\ntransmit = \"100ms\"\nreceive = \"10ms\"\nmultiplier = 5\npassive = true\nauthentication = { type = \"meticulous-keyed-sha1\", key-id = 4, password = \"p\" }",
    );
    // An internal session that is not said to be direct is some hops away.
    has_text(
        &made,
        "[bfd.profile.multihop]\ntransmit = \"100ms\"\nreceive = \"20ms\"\nmultiplier = 7",
    );
    has_text(
        &made,
        "multihop = 64\nhold-time = \"240s\"\nbfd = \"multihop\"",
    );
}

#[test]
fn without_a_protocol_of_bfd_nothing_is_watched() {
    let made = with("");
    assert!(!made.toml.contains("bfd"), "{}", made.toml);
    assert_eq!(made.notes.len(), 3, "{:?}", made.notes);
    let made = session("bfd graceful;", "");
    assert_eq!(made.lost.len(), 1, "{:?}", made.lost);
}

fn asked(condition: &str, source: RouteSource) -> Result<String, String> {
    let origin = Origin {
        ipv6: false,
        source,
        protocol: "bgp_10_0_0_2".to_owned(),
        from: Some("10.0.0.2".parse().unwrap()),
    };
    Condition::parse(condition)?.policies(&origin)
}

#[test]
fn a_condition_is_a_policy_for_routes_of_which_it_is_known_who_told_them() {
    let made = asked(
        "net ~ [10.0.0.0/8+] && (65001, 7) ~ bgp_community",
        RouteSource::Bgp,
    );
    let made = made.unwrap();
    let expected = "name = \"where\"\ndefault = \"reject\"\n[[policy.rule]]\nmatch = { communities = [\"65001:7\"], prefixes = [\"10.0.0.0/8+\"] }\nthen = \"accept\"\n";
    assert!(made.contains(expected), "{made}");
    for (condition, source, accept) in [
        ("source = RTS_BGP", RouteSource::Bgp, true),
        ("source = RTS_BGP", RouteSource::Static, false),
        ("proto = \"bgp_10_0_0_2\"", RouteSource::Bgp, true),
        ("proto ~ \"static*\"", RouteSource::Bgp, false),
        ("from = 10.0.0.2", RouteSource::Bgp, true),
        ("true", RouteSource::Device, true),
        ("net.type = NET_IP6", RouteSource::Inherit, false),
    ] {
        let verdict = if accept { "accept" } else { "reject" };
        let made = asked(condition, source).unwrap();
        assert!(
            made.contains(&format!("default = \"{verdict}\"")),
            "{condition}: {made}"
        );
    }
}

#[test]
fn what_of_a_condition_cannot_be_asked_is_said() {
    for (condition, words) in [
        ("preference > 100", "cannot ask for `preference`"),
        ("roa_check(t) = ROA_VALID", "cannot ask for `roa_check(…)`"),
        ("net ~ 10.0.0.0/8 all", "`all` after the condition"),
        ("net ~", "is expected"),
    ] {
        let why = asked(condition, RouteSource::Bgp).unwrap_err();
        assert!(why.contains(words), "{condition}: {why}");
    }
}
