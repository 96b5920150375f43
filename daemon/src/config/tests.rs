//! Every rule, the report of a file full of mistakes, the effective configuration, overrides, and noise.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use speaker::Speaker;
use speaker::config::{AoAlgorithm, LocalAs, NextHopMode, Secret, StaticVia, When};

use super::*;

const EVERYTHING: &str = include_str!("../../tests/config/everything.toml");
const MISTAKES: &str = include_str!("../../tests/config/mistakes.toml");
const MISTAKES_REPORT: &str = include_str!("../../tests/config/mistakes.txt");
const EXAMPLE: &str = include_str!("../../../packaging/windrose.toml");
const ROUTER: &str = "[router]\nasn = 65001\nrouter-id = \"10.255.0.1\"\n";
const PEER: &str =
    "[[peer]]\naddress = \"10.0.0.2\"\nasn = 65002\nimport = [\"accept\"]\nexport = [\"accept\"]\n";

/// What `windrose import bird` makes of whole configurations of BIRD.
#[test]
fn what_is_imported_from_bird_is_good() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bird/tests/data");
    let mut count = 0;
    for folder in ["", "calico", "dn42"] {
        for entry in fs::read_dir(data.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "expected")
            {
                let text = fs::read_to_string(&path).unwrap();
                let (toml, _) = text.split_once("# ---- report ----").unwrap();
                if let Err(report) = parse_with(toml, &path, &[], &[]) {
                    panic!("{report}");
                }
                count += 1;
            }
        }
    }
    assert!(count >= 4, "{count}");
}

fn read_text(text: &str) -> Result<LoadedConfig, String> {
    parse_with(text, Path::new("w.toml"), &[], &[])
}

fn good(text: &str) -> LoadedConfig {
    read_text(text).unwrap_or_else(|report| panic!("{report}\n---\n{text}"))
}

fn bad(text: &str) -> String {
    read_text(text).expect_err(text)
}

/// A file whose last lines are `more` is wrong in just one way, which is told by `what`.
fn wrong(more: &str, what: &str) {
    let report = bad(&format!("{ROUTER}{more}"));
    assert!(
        report.contains(what),
        "expected {what:?} in\n{report}\n---\n{more}"
    );
    assert!(report.ends_with("1 mistake in w.toml"), "{report}");
}

/// Likewise of a peer with these keys.
fn wrong_peer(keys: &str, what: &str) {
    wrong(&format!("{PEER}{keys}\n"), what);
}

#[test]
fn a_file_full_of_mistakes_is_reported_at_once_each_with_line_and_remedy() {
    let report = parse_with(MISTAKES, Path::new("windrose.toml"), &[], &[]).unwrap_err();
    if std::env::var_os("WINDROSE_BLESS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/mistakes.txt");
        fs::write(file, format!("{report}\n")).unwrap();
        return;
    }
    assert_eq!(report, MISTAKES_REPORT.trim_end());
    assert!(!report.contains("not to be shown"));
}

#[test]
fn every_key_loads_and_acts() {
    let loaded = good(EVERYTHING);
    assert_eq!(loaded.warnings, Vec::<String>::new(), "all keys act");
}

#[test]
fn values_arrive_where_they_belong() {
    let config = good(EVERYTHING).speaker;
    assert!(config.originate.iter().any(|route| route.tag == 7));
    assert!(config.statics.iter().any(|route| route.tag == 8));
    let peer = config.peers.iter().find(|peer| peer.asn == 65002).unwrap();
    assert_eq!(peer.options.password, Some(Secret(b"open sesame".to_vec())));
    assert_eq!(peer.options.send_hold, Some(Duration::from_secs(480)));
    assert_eq!(peer.options.next_hop, NextHopMode::Myself, "inherited");
    let local = config.peers.iter().find(|peer| peer.asn == 65003).unwrap();
    assert_eq!(local.options.interface.as_deref(), Some("wg-tyo"));
    assert_eq!(local.options.next_hop, NextHopMode::Unchanged, "its own");
    let range = config
        .ranges
        .iter()
        .find(|range| range.limit == 500)
        .unwrap();
    assert!(
        range.options.rr_client && range.options.families.ipv6,
        "of the group and its parent"
    );
    assert_eq!(
        config
            .originate
            .iter()
            .filter(|route| route.when != When::Always)
            .count(),
        2
    );
    assert!(
        config
            .statics
            .iter()
            .any(|route| route.via == StaticVia::Unreachable)
    );
    assert_eq!(config.fib.prefsrc_v6, Some("2001:db8::1".parse().unwrap()));
    let chain = ["to-kernel", "accept"].map(str::to_owned);
    assert_eq!(config.fib.policy, Some(chain.into()));
}

/// A route server's AS is in no path (RFC 7947 §2.2.2.2): whoever says that the peer is one need not say more.
#[test]
fn the_first_as_of_all_but_a_route_server_is_checked() {
    for (keys, checked) in [
        ("", true),
        ("role = \"peer\"", true),
        ("role = \"rs-server\"", true),
        ("role = \"rs-client\"", false),
        ("role = \"rs-client\"\nenforce-first-as = true", true),
        ("enforce-first-as = false", false),
    ] {
        let config = good(&format!("{ROUTER}{PEER}{keys}\n"));
        let options = &config.speaker.peers[0].options;
        assert_eq!(options.enforce_first_as, checked, "{keys}");
    }
}

/// Whether clients are told of each other changes without a session noticing.
#[test]
fn client_to_client_reflection_is_on_and_turned_off_in_place() {
    let old = good(ROUTER);
    assert!(old.speaker.router.client_to_client);
    let new = good(&format!("{ROUTER}client-to-client = false\n"));
    let changes = diff(&old, &new);
    assert_eq!(
        changes,
        ["[router]: client-to-client true -> false (in place)"]
    );
}

#[test]
fn defaults_are_those_of_the_speaker() {
    let config = good(&format!("{ROUTER}{PEER}"));
    let expected = speaker::config::PeerOptions {
        import: Some(vec!["accept".to_owned()]),
        export: Some(vec!["accept".to_owned()]),
        ..Default::default()
    };
    assert_eq!(config.speaker.peers[0].options, expected);
    assert_eq!(config.speaker.fib, speaker::config::Fib::default());
    assert_eq!(
        config.speaker.router.cluster_id,
        config.speaker.router.router_id
    );
    assert_eq!(
        config.daemon.api.listen[0].to_string(),
        "unix:/run/windrose/api.sock"
    );
    assert_eq!(config.daemon.metrics, None);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn the_effective_configuration_reads_back_as_itself() {
    for text in [EVERYTHING, EXAMPLE, ROUTER] {
        let first = good(text);
        let shown = effective(&first);
        assert!(!shown.contains("open sesame"));
        let shown = shown.replace("password = \"…\"", "password = \"open sesame\"");
        let second = good(&shown);
        assert_eq!(first.speaker, second.speaker);
        assert_eq!(first.daemon, second.daemon);
        assert_eq!(diff(&first, &second), Vec::<String>::new());
    }
}

#[test]
fn the_packaged_example_loads_without_a_warning() {
    assert_eq!(good(EXAMPLE).warnings, Vec::<String>::new());
}

#[test]
fn where_in_the_kernel_routes_are_is_for_the_policy_of_fib_to_say() {
    let policy = |set: &str| {
        format!("[[policy]]\nname = \"k\"\n[[policy.rule]]\nset = {{ {set} }}\nthen = \"accept\"\n")
    };
    let fib = "[fib]\npolicy = [\"k\"]\n";
    good(&format!(
        "{ROUTER}{fib}{}",
        policy("table = 1000, prefsrc = \"::1\"")
    ));
    wrong(&format!("{fib}{}", policy("table = 0")), "0 is no table");
    wrong(
        &format!("{fib}{}", policy("prefsrc = \"eth0\"")),
        "`eth0` is no preferred source",
    );
    wrong("[fib]\npolicy = [\"k\"]\n", "there is no policy `k`");
    let peer =
        "[[peer]]\naddress = \"10.0.0.2\"\nasn = 65002\nimport = [\"k\"]\nexport = [\"accept\"]\n";
    wrong(
        &format!("{peer}{}", policy("metric = 5")),
        "policy `k` sets `metric`, which is the kernel's and no peer's",
    );
}

#[test]
fn router_rules() {
    for (text, what) in [
        ("", "`[router]` is missing"),
        ("[router]\nrouter-id = \"10.0.0.1\"\n", "`asn` is missing"),
        ("[router]\nasn = 65001\n", "`router-id` is missing"),
        (
            "[router]\nasn = 0\nrouter-id = \"10.0.0.1\"\n",
            "AS 0 is nobody's",
        ),
        (
            "[router]\nasn = 23456\nrouter-id = \"10.0.0.1\"\n",
            "AS 23456 stands for others",
        ),
        (
            "[router]\nasn = 65535\nrouter-id = \"10.0.0.1\"\n",
            "AS 65535 is reserved",
        ),
        (
            "[router]\nasn = 4294967296\nrouter-id = \"10.0.0.1\"\n",
            "4294967296 is out of range",
        ),
        (
            "[router]\nasn = 1.5\nrouter-id = \"10.0.0.1\"\n",
            "this is a fraction",
        ),
        (
            "[router]\nasn = 65001\nrouter-id = \"0.0.0.0\"\n",
            "0.0.0.0 identifies nobody",
        ),
        (
            "[router]\nasn = 65001\nrouter-id = \"::1\"\n",
            "`::1` is not an IPv4 address",
        ),
        ("router = 5\n", "a table is expected, this is a number"),
    ] {
        let report = bad(text);
        assert!(report.contains(what), "{what}\n{report}");
        assert!(report.ends_with("1 mistake in w.toml"), "{report}");
    }
    wrong("multipath = 0\n", "0 is out of range");
    wrong("multipath = 129\n", "write a number from 1 to 128");
    wrong("listen = [\"0.0.0.0:0\"]\n", "port 0 cannot be listened on");
    wrong("listen = \"0.0.0.0:179\"\n", "write `[\"0.0.0.0:179\"]`");
    wrong("listen = [\"0.0.0.0\"]\n", "is not an address with a port");
    wrong(
        "multipath-cost-tolerance = \"101%\"\n",
        "`101%` is no percentage",
    );
    wrong("rooter-id = \"10.0.0.1\"\n", "did you mean `router-id`?");
    wrong("[ruoter]\n", "did you mean `router`?");
}

#[test]
fn peer_rules() {
    wrong_peer("hold-time = \"2s\"", "below three seconds");
    wrong_peer("hold-time = \"1s\"", "below three seconds");
    wrong_peer("hold-time = \"3500ms\"", "whole seconds");
    wrong_peer("hold-time = 90", "write it with a unit, as in `\"90s\"`");
    wrong_peer(
        "hold-time = \"90\"",
        "write it with a unit, as in `\"90s\"`",
    );
    wrong_peer("hold-time = \"90 s\"", "`90 s` is no duration");
    wrong_peer("hold-time = \"99999s\"", "99999s is out of range");
    wrong_peer(
        "connect-retry = \"0s\"",
        "write a duration from 10ms to 65535s",
    );
    wrong_peer("keepalive = \"90s\"", "not shorter than `hold-time`");
    wrong_peer("idle-hold = \"61s\"", "longer than `idle-hold-max`");
    wrong_peer("families = []", "carries nothing");
    wrong_peer("families = [\"ipv5\"]", "`ipv5` is no family");
    wrong_peer("pasword = \"x\"", "unknown key `pasword`");
    wrong_peer("pasword = \"x\"", "did you mean `password`?");
    wrong_peer("password = \"\"", "the password is empty");
    wrong_peer(
        &format!("password = \"{}\"", "x".repeat(81)),
        "TCP takes 80",
    );
    wrong_peer("port = 0", "write a number from 1 to 65535");
    wrong_peer("multihop = 0", "0 is out of range");
    wrong_peer(
        "passive = \"yes\"",
        "write `true` or `false`, without quotes",
    );
    wrong_peer("group = \"mesh\"", "there is no peer group `mesh`");
    wrong_peer("bfd = \"fast\"", "there is no BFD profile `fast`");
    wrong_peer("bfd = 5", "true or false is expected");
    wrong_peer("add-path = \"all\"", "`all` means nothing here");
    wrong_peer(
        "next-hop = \"selfish\"",
        "write `\"self\"`, `\"unchanged\"` or an address",
    );
    wrong_peer("local-address = \"2001:db8::1\"", "of different families");
}

#[test]
fn peer_rules_between_keys() {
    wrong_peer("rr-client = true", "only internal peers are `rr-client`");
    wrong_peer("strict-role = true", "`strict-role` needs a `role`");
    wrong_peer(
        "role = \"friend\"",
        "write `\"provider\"` or `\"customer\"`",
    );
    wrong_peer("max-prefixes = { warn-at = \"80%\" }", "`limit` is missing");
    wrong_peer(
        "max-prefixes = { limit = 5, restart-after = \"1m\" }",
        "does nothing without a restart",
    );
    wrong_peer(
        "max-prefixes = { limit = 5, them = \"warn\" }",
        "did you mean `then`?",
    );
    wrong_peer(
        "interface = \"a-name-that-is-too-long\"",
        "is no interface's name",
    );
    let internal = "[[peer]]\naddress = \"10.0.0.2\"\nasn = 65001\n";
    wrong(
        &format!("{internal}rs-client = true\n"),
        "only external peers are `rs-client`",
    );
    for (key, value) in [("as-override", "true"), ("remove-private-as", "\"all\"")] {
        let line = format!("{key} = {value}\n");
        let what = "an internal peer's paths are left alone";
        wrong(&format!("{internal}{line}"), what);
        let what = "which a route server leaves alone (RFC 7947)";
        wrong_peer(&format!("rs-client = true\n{line}"), what);
    }
    wrong_peer("remove-private-as = true", "a word is expected");
    wrong_peer("local-as = \"65100\"", "a number is expected");
    wrong_peer("local-as = { asn = 0 }", "AS 0 is nobody's");
    wrong_peer("local-as = { replace-as = true }", "`asn` is missing");
    wrong_peer(
        "local-as = { asn = 65100, replace-sa = true }",
        "did you mean `replace-as`?",
    );
    wrong(
        &format!("{internal}role = \"peer\"\n"),
        "only external sessions have a role",
    );
    wrong("[[peer]]\nasn = 65002\n", "`address` is missing");
    wrong("[[peer]]\naddress = \"10.0.0.2\"\n", "`asn` is missing");
    wrong(
        "[peer]\naddress = \"10.0.0.2\"\n",
        "write `[[peer]]` above its keys",
    );
}

#[test]
fn a_local_as_is_a_number_or_says_how_paths_show_it() {
    let group = "[[peer-group]]\nname = \"g\"\nlocal-as = { asn = 65100, replace-as = false }\n";
    let of = |keys: &str| {
        let config = good(&format!("{ROUTER}{group}{PEER}{keys}\n"));
        config.speaker.peers[0].options.local_as.unwrap()
    };
    let number = LocalAs {
        asn: 65100,
        no_prepend: true,
        replace_as: true,
        dual_as: false,
    };
    assert_eq!(of("local-as = 65100"), number);
    assert_eq!(of("local-as = { asn = 65100 }"), number);
    let both = LocalAs {
        replace_as: false,
        ..number
    };
    assert_eq!(of("group = \"g\""), both);
    let all = LocalAs {
        no_prepend: false,
        dual_as: true,
        ..both
    };
    let text = "local-as = { asn = 65100, no-prepend = false, replace-as = false, dual-as = true }";
    assert_eq!(of(text), all);
    // What is shown can be read again.
    let loaded = good(&format!("{ROUTER}{PEER}{text}\n"));
    assert!(effective(&loaded).lines().any(|line| line == text));
    // It decides who is external.
    wrong_peer(
        "local-as = 65002\nrs-client = true",
        "only external peers are `rs-client`",
    );
}

#[test]
fn addresses_of_peers() {
    let peer = |address: &str| PEER.replace("10.0.0.2", address);
    wrong(&peer("10.0.0.300"), "`10.0.0.300` is not an IP address");
    wrong(&peer("0.0.0.0"), "is no machine's address");
    wrong(&peer("224.0.0.5"), "is no machine's address");
    wrong(&peer("fe80::2"), "says nothing without its interface");
    wrong(&peer("10.0.0.2%eth0"), "is not link-local");
    wrong(
        &format!("{}interface = \"eth1\"\n", peer("fe80::2%eth0")),
        "but the address is on `eth0`",
    );
    wrong(&peer("10.255.0.1"), "is an address of ours, by `router-id`");
    wrong(
        &format!("listen = [\"10.0.0.2:179\"]\n{PEER}"),
        "is an address of ours, by `listen`",
    );
    wrong(&format!("{PEER}{PEER}"), "10.0.0.2 is a peer already");
    good(&format!(
        "{ROUTER}{}{}",
        peer("fe80::2%eth0"),
        peer("fe80::2%eth1")
    ));
    let twice = format!("{}{}", peer("fe80::2%eth0"), peer("fe80::2%eth0"));
    wrong(&twice, "fe80::2%eth0 is a peer already");
}

#[test]
fn peers_have_names_for_birdc_each_its_own() {
    let named = |last: u8, name: &str| {
        let peer = PEER.replace("10.0.0.2", &format!("10.0.0.{last}"));
        format!("{peer}birdc-name = \"{name}\"\n")
    };
    let loaded = good(&format!("{ROUTER}{}", named(2, "Mesh_10_0_0_2")));
    let name = loaded.speaker.peers[0].options.birdc_name.as_deref();
    assert_eq!(name, Some("Mesh_10_0_0_2"));
    wrong(
        &format!("{}{}", named(2, "to-tokyo"), named(3, "to-tokyo")),
        "`to-tokyo` is the `birdc-name` of 10.0.0.2 already",
    );
    wrong(&named(2, "to tokyo"), "`to tokyo` is no name of a protocol");
    wrong(&named(2, ""), "`` is no name of a protocol");
    wrong(
        "[[peer-group]]\nname = \"mesh\"\nbirdc-name = \"to-tokyo\"\n",
        "birdc-name",
    );
}

#[test]
fn passwords_in_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    let key = format!("password-file = {:?}", file.display().to_string());
    wrong_peer(&key, "cannot be read");
    fs::write(&file, "sesame\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    wrong_peer(&key, "everybody may read or change");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let loaded = good(&format!("{ROUTER}{PEER}{key}\n"));
    assert_eq!(
        loaded.speaker.peers[0].options.password,
        Some(Secret(b"sesame".to_vec()))
    );
    wrong_peer(
        &format!("{key}\npassword = \"x\""),
        "both `password` and `password-file`",
    );
    wrong_peer("password-file = \"/dev/zero\"", "TCP takes 80");
}

#[test]
fn external_peers_without_policy_are_warned_about() {
    let loaded = good(&format!(
        "{ROUTER}[[peer]]\naddress = \"10.0.0.2\"\nasn = 65002\nexport = [\"accept\"]\n"
    ));
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(
        loaded.warnings[0].starts_with("w.toml:4:1: nothing is accepted from"),
        "{:?}",
        loaded.warnings
    );
    let internal = good(&format!(
        "{ROUTER}[[peer]]\naddress = \"10.0.0.2\"\nasn = 65001\n"
    ));
    assert_eq!(internal.warnings, Vec::<String>::new());
}

#[test]
fn groups() {
    wrong("[[peer-group]]\nhold-time = \"9s\"\n", "`name` is missing");
    wrong(
        "[[peer-group]]\nname = \"a\"\n[[peer-group]]\nname = \"a\"\n",
        "there are two peer groups `a`",
    );
    wrong(
        "[[peer-group]]\nname = \"a\"\naddress = \"10.0.0.1\"\n",
        "unknown key `address`",
    );
    let cycle = "[[peer-group]]\nname = \"a\"\ngroup = \"b\"\n[[peer-group]]\nname = \"b\"\ngroup = \"a\"\n";
    let report = bad(&format!("{ROUTER}{cycle}"));
    assert!(
        report.contains("inherits from itself: a <- b <- a"),
        "{report}"
    );
    wrong(
        "[[peer-group]]\nname = \"a\"\ngroup = \"a\"\n",
        "inherits from itself: a <- a",
    );
    let near = format!("[[peer-group]]\nname = \"mesh\"\n{PEER}group = \"mash\"\n");
    wrong(&near, "did you mean `mesh`?");
    // A mistake of a group is told once, however many inherit it.
    let other = PEER.replace("10.0.0.2", "10.0.0.3");
    let twice = format!(
        "[[peer-group]]\nname = \"g\"\nhold-time = 5\n{PEER}group = \"g\"\n{other}group = \"g\"\n"
    );
    wrong(&twice, "a duration is expected");
}

#[test]
fn ranges() {
    let range = |keys: &str| {
        format!("[[peer-range]]\nimport = [\"accept\"]\nexport = [\"accept\"]\n{keys}\n")
    };
    wrong(&range("prefix = \"10.1.0.0/16\""), "`asns` is missing");
    wrong(&range("asns = \"any\""), "`prefix` is missing");
    wrong(
        &range("prefix = \"10.1.0.0/16\"\nasns = []"),
        "nobody's AS number",
    );
    wrong(
        &range("prefix = \"10.1.0.0/16\"\nasns = [0]"),
        "AS 0 is nobody's",
    );
    wrong(
        &range("prefix = \"10.1.0.0/16\"\nasns = \"all\""),
        "write `asns = [65001]`",
    );
    wrong(
        &range("prefix = \"10.1.0.0/16\"\nasn = 65001\nasns = \"any\""),
        "a range has `asns`",
    );
    wrong(
        &range("prefix = \"10.1.0.0/16\"\nasns = \"any\"\nlimit = 0"),
        "0 is out of range",
    );
    let one = range("prefix = \"10.1.0.0/16\"\nasns = \"any\"");
    wrong(
        &format!("{one}{one}"),
        "10.1.0.0/16 is a peer range already",
    );
    let inner = one.replace("/16", "/24");
    let loaded = good(&format!("{ROUTER}{one}{inner}"));
    assert!(
        loaded.warnings[0].contains("10.1.0.0/24 lies within the range 10.1.0.0/16"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn originated_and_static_routes() {
    let originate = |keys: &str| format!("[[originate]]\n{keys}\n");
    wrong(&originate("med = 1"), "`prefix` is missing");
    wrong(
        &originate("prefix = \"10.1.0.7/16\""),
        "write `\"10.1.0.0/16\"`",
    );
    wrong(&originate("prefix = \"10.1.0.0/33\""), "is not a prefix");
    wrong(
        &originate("prefix = \"10.1.0.0\""),
        "as in `\"10.1.0.0/32\"`",
    );
    wrong(&originate("prefix = \"224.0.0.0/8\""), "is multicast");
    wrong(
        &originate("prefix = \"10.1.0.0/16\"\ncommunities = [\"65001:70000\"]"),
        "is no community",
    );
    wrong(
        &originate("prefix = \"10.1.0.0/16\"\nlarge-communities = [\"1:2\"]"),
        "is no large community",
    );
    wrong(
        &originate("prefix = \"10.1.0.0/16\"\next-communities = [\"rt\"]"),
        "is no extended community",
    );
    wrong(
        &originate("prefix = \"10.1.0.0/16\"\nmed = -1"),
        "-1 is out of range",
    );
    wrong(
        &originate("prefix = \"10.1.0.0/16\"\nwhen = \"never\""),
        "write `\"always\"`",
    );
    wrong(
        &originate("prefix = \"10.1.0.0/16\"\nwhen = {}"),
        "one condition is expected",
    );
    wrong(
        &originate("prefix = \"10.1.0.0/16\"\nwhen = { route-present = \"10.1.0.0/16\" }"),
        "its own condition",
    );
    let one = originate("prefix = \"10.1.0.0/16\"");
    wrong(&format!("{one}{one}"), "10.1.0.0/16 is there twice");
    let route = |via: &str| format!("[[static]]\nprefix = \"10.1.0.0/16\"\nvia = {via}\n");
    wrong("[[static]]\nprefix = \"10.1.0.0/16\"\n", "`via` is missing");
    wrong(&route("\"black-hole\""), "no way to send packets");
    wrong(&route("[]"), "leads nowhere");
    wrong(
        &route("[\"fe80::1\"]"),
        "says nothing without its interface",
    );
    wrong(
        &route("[{ address = \"10.0.0.1\", weight = 0 }]"),
        "0 is out of range",
    );
    wrong(&route("[\"10.1.2.3\"]"), "lies within 10.1.0.0/16");
    wrong(
        "[[static]]\nprefix = \"2001:db8::/32\"\nvia = [\"10.0.0.1\"]\n",
        "through an IPv4 address",
    );
}

#[test]
fn a_prefix_that_covers_the_way_to_a_peer_is_refused() {
    let peer = format!("{PEER}local-address = \"10.0.0.1\"\n");
    let originate =
        |prefix: &str, more: &str| format!("{peer}[[originate]]\nprefix = \"{prefix}\"\n{more}");
    wrong(
        &originate("10.0.0.0/16", ""),
        "10.0.0.0/16 covers the peer network: 10.0.0.2",
    );
    wrong(&originate("10.0.0.1/32", ""), "our end of a session");
    good(&format!(
        "{ROUTER}{}",
        originate("10.0.0.0/16", "covers-peers = true\n")
    ));
    good(&format!("{ROUTER}{}", originate("0.0.0.0/0", "")));
    let route = |more: &str| format!("{peer}[[static]]\nprefix = \"10.0.0.0/24\"\n{more}");
    wrong(&route("via = \"blackhole\"\n"), "cuts off 10.0.0.2");
    wrong(
        &route("via = [\"192.0.2.1\"]\noriginate = true\n"),
        "covers the peer network",
    );
    good(&format!("{ROUTER}{}", route("via = [\"192.0.2.1\"]\n")));
}

#[test]
fn fib_api_and_metrics() {
    wrong("[fib]\nprotocol = 2\n", "those of the kernel");
    wrong("[fib]\ntable = 0\n", "0 is out of range");
    wrong(
        "[fib]\nprefsrc = [\"10.0.0.1\", \"10.0.0.3\"]\n",
        "one preferred source",
    );
    wrong("[fib]\ninstal = true\n", "did you mean `install`?");
    wrong(
        "[fib]\ninstall = \"shade\"\n",
        "true, false or \"shadow\" is expected",
    );
    let shadow = good(&format!("{ROUTER}[fib]\ninstall = \"shadow\"\n"));
    assert!(shadow.speaker.fib.install && !shadow.speaker.fib.writes());
    assert!(effective(&shadow).contains("install = \"shadow\""));
    assert_eq!(good(&effective(&shadow)).speaker, shadow.speaker);
    wrong(
        "[api]\nlisten = [\"/run/x\"]\n",
        "nothing the API can listen on",
    );
    wrong(
        "[api]\nlisten = [\"unix:run/x\"]\n",
        "a socket's path is absolute",
    );
    wrong("[api]\nlisten = [\"tcp://127.0.0.1:0\"]\n", "port 0");
    wrong(
        "[api]\nlisten = [\"unix:/a\", \"unix:/a\"]\n",
        "unix:/a is there twice",
    );
    wrong(
        "[api.tls]\ncert = \"/nowhere/cert\"\nkey = \"/dev/null\"\n",
        "/nowhere/cert cannot be read",
    );
    wrong("[api.tls]\nkey = \"/dev/null\"\n", "`cert` is missing");
    wrong("[metrics]\n", "`listen` is missing");
    wrong(
        "[metrics]\nlisten = \"localhost\"\n",
        "is not an address with a port",
    );
    let open = good(&format!(
        "{ROUTER}[api]\nlisten = [\"tcp://0.0.0.0:50051\"]\n"
    ));
    assert!(
        open.warnings[0].contains("can change routes"),
        "{:?}",
        open.warnings
    );
}

#[test]
fn policies() {
    let rule = |rule: &str| format!("[[policy]]\nname = \"p\"\n[[policy.rule]]\n{rule}\n");
    wrong_peer(
        "description = \"x\"\n[[policy]]\nname = \"accept\"",
        "is built in",
    );
    wrong("[[policy]]\n", "`name` is missing");
    wrong(
        "[[policy]]\nname = \"p\"\ndefault = \"maybe\"\n",
        "is no decision",
    );
    wrong(
        &rule("then = \"accpet\""),
        "`accpet` is nothing a rule can do",
    );
    wrong(&rule("then = { policy = \"q\" }"), "there is no policy `q`");
    wrong(
        &rule("match = { prefix = [\"10.0.0.0/8\"] }\nthen = \"accept\""),
        "did you mean `prefixes`?",
    );
    wrong(
        &rule("match = { prefixes = [true] }\nthen = \"accept\""),
        "a text or a number is expected",
    );
    wrong(
        &rule("set = { prepend = { count = 0 } }\nthen = \"accept\""),
        "write a number from 1 to 32",
    );
    wrong(
        &rule("set = { as-path = { remove = [\"x\"] } }\nthen = \"accept\""),
        "`x` is no condition on a number",
    );
    wrong(
        &rule("set = { as-path = { with = 65009 } }\nthen = \"accept\""),
        "nothing is replaced with it",
    );
    wrong(
        &rule("set = { next-hop = \"us\" }\nthen = \"accept\""),
        "write `self` or an address",
    );
    wrong(
        &rule("set = { prepend = { asn = 0 } }\nthen = \"accept\""),
        "AS 0 is nobody's",
    );
    let report = bad(&format!(
        "{ROUTER}{}",
        rule("match = { as-path = [\"^1$\", \"^65010(\"] }\nthen = \"accept\"")
    ));
    assert!(report.starts_with("w.toml:7:29: "), "{report}");
    let report = bad(&format!(
        "{ROUTER}[sets.prefixes]\n\"a.b\" = [\"10.0.0.0/8\", \"ten\"]\n"
    ));
    assert!(report.starts_with("w.toml:5:24: "), "{report}");
    wrong_peer(
        "description = \"x\"\n[[policy]]\nname = \"from-nodes\"\n[[peer]]\naddress = \"10.0.0.9\"\nasn = 65001\nimport = [\"from-node\"]",
        "did you mean `from-nodes`?",
    );
}

#[test]
fn words_and_inner_keys_are_checked() {
    wrong(
        "[wireguard]\nmode = \"both\"\n",
        "write one of `per-peer`, `shared`",
    );
    wrong_peer(
        "graceful-restart = { restart-timer = \"1s\" }",
        "did you mean `restart-time`?",
    );
}

#[test]
fn peers_that_share_a_device_share_no_traffic_and_have_symmetric_costs() {
    let peers = |first: &str, second: &str| {
        format!(
            "[[peer]]\naddress = \"10.255.0.2\"\nasn = 65002\n{first}\n\
             [[peer]]\naddress = \"10.255.0.3\"\nasn = 65003\n{second}\n"
        )
    };
    let same = peers("interface = \"wg0\"", "interface = \"wg0\"");
    let shared = "[wireguard]\nmode = \"shared\"\n";
    let loaded = good(&format!("{ROUTER}{shared}{same}"));
    assert_eq!(loaded.speaker.router.multipath, 1, "the default");
    assert!(loaded.speaker.probe.symmetric && loaded.daemon.wireguard.manage);
    let loaded = good(&format!("{ROUTER}{same}"));
    assert_eq!(loaded.speaker.router.multipath, MULTIPATH);
    assert!(!loaded.speaker.probe.symmetric && !loaded.daemon.wireguard.manage);

    let refused = |section: &str, peers: &str, what: &str| {
        let report = bad(&format!("{ROUTER}multipath = 4\n{section}{peers}"));
        assert!(report.contains(what), "{report}");
    };
    refused(
        shared,
        &same,
        "share traffic between 10.255.0.2 and 10.255.0.3 over wg0",
    );
    refused(
        shared,
        &peers("", ""),
        "over one device, as far as is known",
    );
    let apart = peers("interface = \"wg0\"", "interface = \"wg1\"");
    good(&format!("{ROUTER}multipath = 4\n{shared}{apart}"));
    let named = format!("{shared}interfaces = [\"wg1\"]\n");
    good(&format!("{ROUTER}multipath = 4\n{named}{same}"));
    wrong(
        &format!(
            "{shared}[[static]]\nprefix = \"10.9.0.0/16\"\nvia = [\"10.255.0.2\", \"10.255.0.3\"]\n"
        ),
        "write one next hop in its `via`",
    );
    wrong(
        "[wireguard]\nmanage-allowed-ips = true\n",
        "or write `mode = \"shared\"`",
    );
    wrong(
        "[wireguard]\nuapi-dir = \"run\"\n",
        "a directory's path is absolute",
    );
}

/// RFC 8092 §3: "Duplicate BGP Large Community values MUST NOT be transmitted."
#[test]
fn a_large_community_that_is_written_twice_is_told_once() {
    let config = good(&format!(
        "{ROUTER}[[originate]]\nprefix = \"10.9.0.0/16\"\nlarge-communities = [\"1:2:3\", \"1:2:4\", \"1:2:3\"]\n"
    ));
    let large = &config.speaker.originate[0].attributes.large_communities;
    let large: Vec<_> = large.iter().map(ToString::to_string).collect();
    assert_eq!(large, ["1:2:3", "1:2:4"]);
}

#[test]
fn aggregates_are_read_checked_and_shown() {
    let config = good(&format!(
        "{ROUTER}[[aggregate]]\nprefix = \"10.9.0.0/16\"\n[[aggregate]]\nprefix = \"10.8.0.0/16\"\nsummary-only = true\nmed = 5\ncommunities = [\"65001:7\"]\ntag = 3\ndiscard = false\n"
    ));
    let [first, second] = config.speaker.aggregates.as_slice() else {
        panic!("{:?}", config.speaker.aggregates)
    };
    assert_eq!(first.attributes.med, Some(5));
    assert_eq!(
        (first.summary_only, first.tag, first.discard),
        (true, 3, false)
    );
    assert_eq!(
        (second.summary_only, second.tag, second.discard),
        (false, 0, true)
    );
    let shown = effective(&config);
    assert_eq!(
        good(&shown).speaker.aggregates,
        config.speaker.aggregates,
        "{shown}"
    );
    wrong(
        "[[aggregate]]\nprefix = \"10.0.0.1/8\"\n",
        "write `\"10.0.0.0/8\"`",
    );
    wrong(
        "[[aggregate]]\nprefix = \"10.0.0.0/8\"\n[[aggregate]]\nprefix = \"10.0.0.0/8\"\n",
        "10.0.0.0/8 is there twice",
    );
    wrong_peer(
        "[[aggregate]]\nprefix = \"10.0.0.0/8\"",
        "10.0.0.0/8 covers the peer network",
    );
}

#[test]
fn what_is_redistributed_is_read_checked_and_shown() {
    let config = good(&format!(
        "{ROUTER}[redistribute]\nconnected = {{ interfaces = [\"br-*\", \"!eth0\"] }}\nkernel = {{ protocols = [\"static\", 42, 4], table = 7, policy = \"reject\" }}\n"
    ));
    let redistribute = &config.speaker.redistribute;
    let connected = redistribute.connected.as_ref().unwrap();
    assert_eq!(connected.policy, "accept");
    assert!(connected.interfaces.contain("br-pod"));
    assert!(!connected.interfaces.contain("eth0"));
    let kernel = redistribute.kernel.as_ref().unwrap();
    assert_eq!(
        (kernel.protocols.as_slice(), kernel.table),
        (&[4, 42][..], 7)
    );
    assert!(kernel.interfaces.is_any());
    let shown = effective(&config);
    assert_eq!(good(&shown).speaker.redistribute, *redistribute, "{shown}");
    let by_hand = good(&format!("{ROUTER}[redistribute]\nkernel = {{}}\n"));
    let kernel = by_hand.speaker.redistribute.kernel.unwrap();
    assert_eq!(
        (kernel.protocols.as_slice(), kernel.table),
        (&[3, 4][..], 254)
    );
    for (inside, what) in [
        (
            "connected = { interface = [\"a\"] }",
            "did you mean `interfaces`?",
        ),
        ("connected = { interfaces = [\"!\"] }", "`!` is no pattern"),
        (
            "connected = { protocols = [\"static\"] }",
            "unknown key `protocols`",
        ),
        (
            "connected = { policy = \"acept\" }",
            "did you mean `accept`?",
        ),
        (
            "kernel = { protocols = [\"kernel\"] }",
            "write `connected` for them",
        ),
        ("kernel = { protocols = [186] }", "were installed by BGP"),
        (
            "kernel = { protocols = [\"ospfv9\"] }",
            "is no protocol of routes",
        ),
        ("kernel = { protocols = [] }", "or leave `kernel` out"),
        (
            "kernel = { protocols = [77] }\n[fib]\nprotocol = 77",
            "are our own",
        ),
    ] {
        wrong(&format!("[redistribute]\n{inside}\n"), what);
    }
}

#[test]
fn a_file_that_is_no_toml_is_reported_with_the_rest() {
    let report = bad("[router]\nasn = = 5\nrouter-id = \"10.0.0.300\"\n[[peer\n");
    assert!(report.contains("w.toml:2:"), "{report}");
    assert!(report.contains("this is no TOML"), "{report}");
    assert!(
        report.contains("w.toml:3:13: `10.0.0.300` is not an IPv4 address"),
        "{report}"
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let report = load(Path::new("/nowhere/windrose.toml"), &[]).unwrap_err();
    assert!(
        report.contains("/nowhere/windrose.toml: cannot be read"),
        "{report}"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("latin1.toml");
    fs::write(&file, b"[router]\ndescription = \"\xfc\"\n").unwrap();
    let report = load(&file, &[]).unwrap_err();
    assert!(
        report.contains("latin1.toml:2:16: this is no UTF-8"),
        "{report}"
    );
}

#[test]
fn variables_override_the_file() {
    let with = |name: &str, value: &str| {
        let environment = [(name.to_owned(), value.to_owned())];
        parse_with(
            &format!("{ROUTER}{PEER}"),
            Path::new("w.toml"),
            &environment,
            &[],
        )
    };
    assert_eq!(
        with("WINDROSE__ROUTER__ASN", "65009")
            .unwrap()
            .speaker
            .router
            .asn,
        65009
    );
    let id = with("WINDROSE__ROUTER__ROUTER_ID", "10.9.9.9")
        .unwrap()
        .speaker
        .router
        .router_id;
    assert_eq!(id, Ipv4Addr::new(10, 9, 9, 9));
    assert!(
        !with("WINDROSE__FIB__INSTALL", "false")
            .unwrap()
            .speaker
            .fib
            .install
    );
    let api = with("WINDROSE__API__LISTEN", "[\"unix:/tmp/a\"]")
        .unwrap()
        .daemon
        .api;
    assert_eq!(api.listen[0].to_string(), "unix:/tmp/a");
    let report = with("WINDROSE__ROUTER__ASN", "many").unwrap_err();
    assert!(
        report.starts_with("WINDROSE__ROUTER__ASN: a number is expected"),
        "{report}"
    );
    for (name, what) in [
        (
            "WINDROSE_ASN",
            "WINDROSE_ASN: no such variable: write `WINDROSE__SECTION__KEY`",
        ),
        (
            "WINDROSE__ROUTER__ANS",
            "WINDROSE__ROUTER__ANS: no such variable: did you mean `asn`?",
        ),
        (
            "WINDROSE__PEER__HOLD_TIME",
            "which no variable can override",
        ),
    ] {
        let warnings = with(name, "5").unwrap().warnings;
        assert!(
            warnings.len() == 1 && warnings[0].contains(what),
            "{name}: {warnings:?}"
        );
    }
    assert_eq!(
        with("WINDROSE_API", "unix:/x").unwrap().warnings,
        Vec::<String>::new()
    );
}

#[test]
fn noise_never_panics_and_the_report_is_bounded() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let words = [
        "[[",
        "]]",
        "=",
        "\"",
        "{",
        "}",
        "\n",
        "%",
        "99999999999",
        "é",
        "\u{7f}",
        "'''",
        "peer",
        "0",
        "-",
        "\\u",
    ];
    for _ in 0..300 {
        let mut octets = EVERYTHING.as_bytes().to_vec();
        for _ in 0..=random(20) {
            let at = random(octets.len());
            match random(4) {
                0 => drop(octets.remove(at)),
                1 => octets[at] = u8::try_from(random(256)).unwrap(),
                2 => drop(octets.splice(at..at, words[random(words.len())].bytes())),
                _ => {
                    let end = (at + random(200)).min(octets.len());
                    octets.drain(at..end);
                }
            }
        }
        let text = String::from_utf8_lossy(&octets);
        match read_text(&text) {
            Ok(loaded) => drop(effective(&loaded)),
            Err(report) => {
                let shown = report
                    .lines()
                    .filter(|line| line.starts_with("w.toml:"))
                    .count();
                assert!((1..=report::MISTAKES_MAX).contains(&shown), "{report}");
            }
        }
    }
}

#[test]
fn mistakes_beyond_the_bound_are_counted() {
    let many: String = (0..80).map(|i| format!("key{i} = 1\n")).collect();
    let report = bad(&format!("{ROUTER}{many}"));
    assert!(
        report.ends_with("80 mistakes in w.toml; 30 of them not shown"),
        "{report}"
    );
}

#[test]
fn tcp_ao_has_a_key_and_two_ids() {
    let read = |keys: &str| {
        let report = Report::default();
        let tree = tree::parse(&format!("tcp-ao = {keys}"), &report);
        let root = Reader::new(&tree, At::File(0, 0), &report);
        let ao = secrets::read_tcp_ao(&root);
        ao.filter(|_| report.is_clean())
            .ok_or_else(|| report.render(keys, "w.toml"))
    };
    let ao = read("{ password = \"compass\" }").unwrap();
    assert_eq!((ao.send_id, ao.receive_id), (1, 1));
    assert_eq!(ao.key, Secret(b"compass".to_vec()));
    assert_eq!(ao.algorithm, AoAlgorithm::HmacSha1);
    let all =
        "{ password = \"x\", send-id = 0, receive-id = 255, algorithm = \"aes-128-cmac-96\" }";
    let ao = read(all).unwrap();
    assert_eq!((ao.send_id, ao.receive_id), (0, 255));
    assert_eq!(ao.algorithm, AoAlgorithm::Aes128Cmac);
    for (keys, what) in [
        ("true", "a table is expected"),
        ("{ send-id = 1 }", "`password` is missing"),
        ("{ password = \"\" }", "the password is empty"),
        ("{ password = \"x\", send-id = 256 }", "256 is out of range"),
        ("{ password = \"x\", algorithm = \"md5\" }", "hmac-sha-1-96"),
        (
            "{ password = \"x\", recieve-id = 1 }",
            "did you mean `receive-id`?",
        ),
    ] {
        let report = read(keys).unwrap_err();
        assert!(report.contains(what), "{what} is not in\n{report}");
    }
}

/// A key that does nothing would be believed in: where the kernel has no TCP-AO, there is no session.
#[test]
fn tcp_ao_is_refused_where_the_kernel_has_none() {
    let text = format!("{ROUTER}{PEER}tcp-ao = {{ password = \"compass\" }}\n");
    match (read_text(&text), crate::gate::ao_refusal()) {
        (Ok(loaded), None) => {
            let shown = effective(&loaded);
            assert!(shown.contains("tcp-ao = { password = \"…\""), "{shown}");
        }
        (Err(report), Some(_)) => {
            assert!(
                report.contains("w.toml:9:10: this kernel has no TCP-AO"),
                "{report}"
            );
            assert!(report.contains("CONFIG_TCP_AO"), "{report}");
            assert!(!report.contains("compass"), "{report}");
        }
        (loaded, refusal) => panic!("{loaded:?} but {refusal:?}"),
    }
    let both = bad(&format!("{text}password = \"x\"\n"));
    assert!(both.contains("a session has TCP MD5 or TCP-AO"), "{both}");
    // Who has one inherits none of the others.
    let group = "[[peer-group]]\nname = \"g\"\npassword = \"y\"\n";
    let one = read_text(&format!(
        "{ROUTER}{group}{}",
        text.replace(ROUTER, "")
            .replace("tcp-ao", "group = \"g\"\ntcp-ao")
    ));
    assert!(one.err().is_none_or(|report| !report.contains("not both")));
}

/// What `diff` says of a change is what the speaker does with it.
#[test]
fn a_diff_tells_what_the_speaker_will_do() {
    let base = format!("{ROUTER}[[peer-group]]\nname = \"g\"\n{PEER}");
    for keys in [
        "hold-time = \"30s\"",
        "families = [\"ipv4\", \"ipv6\"]",
        "passive = true",
        "local-address = \"10.0.0.1\"",
        "local-as = 65100",
        "local-as = { asn = 65001, replace-as = false }",
        "remove-private-as = \"replace\"",
        "as-override = true",
        "interface = \"eth0\"",
        "port = 1179",
        "multihop = 2",
        "gtsm = true",
        "password = \"x\"",
        "keepalive = \"10s\"",
        "connect-retry = \"7s\"",
        "idle-hold = \"2s\"",
        "idle-hold-max = \"70s\"",
        "send-hold = \"9m\"",
        "rs-client = true",
        "allow-local-as = 1",
        "enforce-first-as = false",
        "allow-as-sets = true",
        "extended-next-hop = true",
        "add-path = \"both\"",
        "add-path-limit = 3",
        "aigp = true",
        "next-hop = \"self\"",
        "role = \"peer\"",
        "description = \"x\"",
        "max-prefixes = { limit = 5 }",
        "group = \"g\"",
    ] {
        let (old, new) = (good(&base), good(&format!("{base}{keys}\n")));
        let changes = diff(&old, &new);
        assert_eq!(changes.len(), 1, "{keys}: {changes:?}");
        let now = Instant::now();
        let mut out = Vec::new();
        let mut speaker = Speaker::new(old.speaker, now, 1).unwrap();
        speaker.start(now, &mut out);
        let done = speaker.configure(now, new.speaker, &mut out).unwrap();
        let told = changes[0].ends_with("(session restarts)");
        assert_eq!(told, done.restarted == 1, "{changes:?} but {done:?}");
    }
}

#[test]
fn a_diff_is_a_line_a_change() {
    let old = good(&format!(
        "{ROUTER}{PEER}password = \"a\"\n[[originate]]\nprefix = \"10.1.0.0/16\"\n"
    ));
    let other = PEER.replace("10.0.0.2", "10.0.0.3");
    let new = format!(
        "{}{PEER}password = \"b\"\nhold-time = \"30s\"\nidle-hold = \"2s\"\n{other}",
        ROUTER.replace("65001", "65009")
    );
    assert_eq!(
        diff(&old, &good(&new)),
        [
            "[router]: asn 65001 -> 65009 (all sessions restart)",
            "peer 10.0.0.2: password … -> … (session restarts)",
            "peer 10.0.0.2: hold-time 90s -> 30s (session restarts)",
            "peer 10.0.0.2: idle-hold 1s -> 2s (in place)",
            "peer 10.0.0.3: added (AS 65002)",
            "originate 10.1.0.0/16: removed (withdrawn)",
        ]
    );
}

#[test]
fn all_of_fib_but_its_protocol_changes_in_place() {
    let fib = |lines: &str| good(&format!("{ROUTER}{PEER}[fib]\n{lines}"));
    let (old, new) = (fib(""), fib("table = 100\nmetric = 5\nprotocol = 200\n"));
    assert_eq!(
        diff(&old, &new),
        [
            "[fib]: table 254 -> 100 (in place)",
            "[fib]: metric 20 -> 5 (in place)",
            "[fib]: protocol 186 -> 200 (only with a restart of windrosed)",
        ]
    );
}

#[test]
fn a_static_route_may_prohibit() {
    let text = "[[static]]\nprefix = \"10.66.0.0/16\"\nvia = \"prohibit\"\n";
    let config = good(&format!("{ROUTER}{PEER}{text}"));
    assert_eq!(config.speaker.statics[0].via, StaticVia::Prohibit);
    assert!(effective(&config).contains("via = \"prohibit\""));
}

#[test]
fn systemd_accepts_the_unit() {
    let unit = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/windrosed.service"
    );
    let text = fs::read_to_string(unit).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("windrosed.service");
    // The program is not installed here; `true` stands for it.
    fs::write(&copy, text.replace("/usr/bin/windrosed", "/bin/true")).unwrap();
    let verify = std::process::Command::new("systemd-analyze")
        .arg("verify")
        .arg("--man=no")
        .arg(&copy)
        .output();
    let Ok(verify) = verify else {
        eprintln!(
            "SKIPPED: there is no systemd-analyze on this machine; the unit was not verified"
        );
        return;
    };
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(
        verify.status.success() && !said.contains("windrosed.service"),
        "{said}"
    );
}

const PROFILE: &str = "[bfd.profile.fast]\ntransmit = \"50ms\"\nreceive = \"60ms\"\nmultiplier = 4\nstrict = true\n\
    authentication = { type = \"meticulous-keyed-sha1\", key-id = 3, password = \"not to be shown\" }\n";

#[test]
fn a_peer_has_the_bfd_of_its_profile_or_the_default_one() {
    let config = good(&format!(
        "{ROUTER}{PROFILE}{PEER}bfd = \"fast\"\n[[peer]]\naddress = \"10.0.0.3\"\nasn = 65003\nbfd = true\n"
    ));
    let bfd = |i: usize| config.speaker.peers[i].options.bfd.clone().unwrap();
    let (fast, default) = (bfd(0), bfd(1));
    assert_eq!(fast.session.transmit, Duration::from_millis(50));
    assert_eq!(fast.session.receive, Duration::from_millis(60));
    assert_eq!(fast.session.multiplier.get(), 4);
    assert!(fast.strict && fast.session.authentication.is_some());
    assert_eq!(default.session.transmit, Duration::from_millis(300));
    assert_eq!(default.session.multiplier.get(), 3);
    assert!(!default.strict && default.session.authentication.is_none());
    let shown = effective(&config);
    assert!(shown.contains("[bfd.profile.fast]") && !shown.contains("not to be shown"));
    let plain = shown
        .lines()
        .filter(|line| !line.starts_with("authentication"));
    let again = good(&plain.collect::<Vec<_>>().join("\n"));
    let strict = again.speaker.peers[0].options.bfd.clone().unwrap();
    assert!(strict.strict && strict.session.multiplier.get() == 4);
}

#[test]
fn what_is_wrong_with_bfd_is_told() {
    wrong(
        "[bfd.profile.fast]\ntransmit = 50\n",
        "write it with a unit",
    );
    wrong(
        "[bfd.profile.fast]\ntransmit = \"1ms\"\n",
        "from 10ms to 60s",
    );
    wrong("[bfd.profile.fast]\nmultiplier = 0\n", "0 is out of range");
    wrong(
        "[bfd.profile.fast]\ntransmitt = \"1s\"\n",
        "did you mean `transmit`?",
    );
    wrong("[bfd]\nprofiles = 1\n", "did you mean `profile`?");
    let key = |of: &str| format!("[bfd.profile.fast]\nauthentication = {{ {of} }}\n");
    wrong(&key("key-id = 1, password = \"x\""), "`type` is missing");
    wrong(
        &key("type = \"sha1\", key-id = 1, password = \"x\""),
        "`sha1` means nothing here",
    );
    wrong(
        &key("type = \"simple\", key-id = 1"),
        "`password` is missing",
    );
    wrong(
        &key("type = \"simple\", key-id = 1, password = \"seventeen octets!\""),
        "this type takes 1 to 16",
    );
    wrong(
        &format!(
            "{PROFILE}[[peer-range]]\nprefix = \"10.10.0.0/20\"\nasns = [65001]\nbfd = \"fast\"\n"
        ),
        "name a profile without `strict`",
    );
}

#[test]
fn how_links_are_measured_is_read_and_shown() {
    let config = good(&format!(
        "{ROUTER}[probe]\nport = 8620\ninterval = \"50ms\"\nbudget = \"2mbit\"\n\
         [score]\nloss-weight = \"2s\"\nhold-down = \"20s\"\nmargin = \"30%\"\n{PEER}probe = true\n"
    ));
    let probe = config.speaker.probe;
    assert_eq!((probe.port, probe.node.budget), (8620, 2_000_000));
    assert_eq!(probe.node.interval, Duration::from_millis(50));
    let judge = probe.node.judge;
    assert_eq!(judge.weights.loss, Duration::from_secs(2));
    assert_eq!(judge.hold_down, Duration::from_secs(20));
    assert!((judge.margin - 0.3).abs() < 1e-9);
    assert!(config.speaker.peers[0].options.probe);
    let again = good(&effective(&config));
    assert_eq!(again.speaker.probe, probe);
    wrong("[probe]\nport = 0\n", "write a number from 1 to 65535");
    wrong("[probe]\ninterval = \"5ms\"\n", "from 20ms to 1s");
    wrong("[probe]\nbudget = \"fast\"\n", "`fast` is no rate");
    wrong("[probe]\nbudget = \"0mbit\"\n", "`0mbit` is no rate");
    wrong("[probe]\nbudget = \"99999999999gbit\"\n", "is no rate");
    wrong("[score]\nmargin = 20\n", "a percentage is expected");
    wrong("[score]\nhold-down = \"1h\"\n", "from 1s to 300s");
}

#[test]
fn a_station_is_told_what_the_file_says_and_else_adj_rib_in_before_policy() {
    let config = good(&format!("{ROUTER}[[bmp]]\naddress = \"192.0.2.9\"\n"));
    let station = &config.speaker.stations[0];
    assert_eq!(station.address, "192.0.2.9:11019".parse().unwrap());
    assert!(station.ribs.pre_policy && !station.ribs.post_policy);
    assert!(!station.ribs.adj_rib_out && !station.ribs.loc_rib);
    assert!(!station.system_name.is_empty());
    assert_eq!(station.statistics, Some(Duration::from_secs(60)));
    let quiet = "[[bmp]]\naddress = \"2001:db8::9\"\nstatistics = \"0s\"\nribs = [\"loc-rib\"]\n";
    let quiet = &good(&format!("{ROUTER}{quiet}")).speaker.stations[0];
    assert_eq!(quiet.statistics, None);
    assert!(quiet.ribs.loc_rib && !quiet.ribs.pre_policy);
}

#[test]
fn mistakes_about_stations_are_reported() {
    let station = |keys: &str| format!("[[bmp]]\naddress = \"192.0.2.9\"\n{keys}\n");
    wrong(&station("ribs = []"), "sees nothing");
    wrong(&station("ribs = [\"adj-rib-in\"]"), "means nothing here");
    wrong(&station("connect-retry = \"0s\""), "out of range");
    wrong(
        &station("connect-retry = \"60s\"\nconnect-retry-max = \"30s\""),
        "shorter than the first one",
    );
    wrong(&station("local-address = \"2001:db8::1\""), "IPv6");
    wrong(&station("system-name = \"\""), "a system's name");
    wrong(&(station("") + &station("")), "is there twice");
    let many: String = (1..=9)
        .map(|n| format!("[[bmp]]\naddress = \"192.0.2.{n}\"\n"))
        .collect();
    wrong(&many, "more than 8 stations");
    wrong("[[bmp]]\nport = 5000\n", "address");
}

/// RFC 9494 §5: nobody gets it who did not ask for it; §3.1: the time is 24 bits of seconds.
#[test]
fn long_lived_graceful_restart_is_off_unless_it_is_asked_for() {
    let times = |graceful: &str| {
        let config = good(&format!("{ROUTER}{PEER}graceful-restart = {graceful}\n"));
        let graceful = config.speaker.peers[0].options.graceful_restart;
        graceful.map(|graceful| graceful.long_lived.map(|time| time.as_secs()))
    };
    assert_eq!(times("false"), None);
    assert_eq!(times("true"), Some(None));
    assert_eq!(times("{ restart-time = \"5s\" }"), Some(None));
    assert_eq!(times("{ long-lived = \"1h\" }"), Some(Some(3600)));
    for (time, what) in [
        ("0s", "0s is out of range"),
        ("1500ms", "a stale time has whole seconds"),
        ("195d", "195d is out of range"),
    ] {
        let line = format!("graceful-restart = {{ long-lived = \"{time}\" }}");
        wrong_peer(&line, what);
    }
}
