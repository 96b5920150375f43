//! What a client types, and what it is told: in the forms that `birdc` and exporters of metrics look for.

use std::net::Ipv4Addr;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant, SystemTime};

use bgp_core::Attributes;
use bgp_core::attributes::{NextHop, Origin};
use bgp_fsm::State;
use grpc_api::BfdSession;
use regex::Regex;

use speaker::Speaker;
use speaker::config::{Config, Peer, PeerOptions};
use speaker::view::{
    InterfaceView, PathView, PrefixCounts, RestartStage, RestartView, RoutePage, RouteView, Source,
};

use super::Scene;
use super::protocols::{bfd_sessions, date_and_time, interfaces, protocols, status};
use super::query::{Query, Routes, parse};
use super::reply::Reply;
use super::routes::Listing;

/// A router with a peer in Established and one that is down.
fn scene() -> Scene {
    let now = Instant::now();
    let mut config = Config::new(65001, Ipv4Addr::new(10, 0, 0, 1));
    for (address, asn) in [("10.0.0.2", 65002), ("10.0.0.3", 65003)] {
        config.peers.push(Peer {
            address: address.parse().unwrap(),
            asn,
            options: PeerOptions {
                description: Some(format!("to {address}\n0000 forged")),
                import: Some(vec!["accept".to_owned()]),
                ..PeerOptions::default()
            },
        });
    }
    let mut speaker = Speaker::new(config, now, 1).unwrap();
    speaker.start(now, &mut Vec::new());
    let mut scene = Scene {
        status: speaker.status(),
        peers: speaker.peers(),
        now: (now, SystemTime::now()),
    };
    let first = &mut scene.peers[0];
    first.state = State::Established;
    first.prefixes.ipv4 = PrefixCounts {
        received: 7,
        accepted: 5,
        advertised: 3,
        preferred: 4,
        changes: rib::ChangeCounts {
            updates: 20,
            rejected: 1,
            filtered: 2,
            ignored: 3,
            withdraws: 6,
            withdraws_ignored: 1,
            told: 8,
            withdrawn: 9,
        },
    };
    scene.peers[1].last_error = Some("Connection refused".to_owned());
    scene
}

/// An expression, in ASCII.
fn regex(pattern: &str) -> Regex {
    let ascii = pattern
        .replace(r"\d", "[0-9]")
        .replace(r"\s", "[ \t]")
        .replace(r"\S", "[^ \t]");
    Regex::new(&ascii).unwrap()
}

/// Every line has a code, or goes on under the one before; the last one says that it is the last.
fn well_formed(answer: &str) {
    assert!(answer.ends_with('\n'), "{answer}");
    let lines: Vec<&str> = answer.lines().collect();
    let (last, before) = lines.split_last().unwrap();
    let code = regex(r"^\d{4}-");
    for line in before {
        assert!(line.starts_with(' ') || code.is_match(line), "{line}");
    }
    assert!(regex(r"^\d{4} ").is_match(last), "{last}");
}

#[test]
fn whatever_changes_something_is_denied_and_nonsense_is_a_syntax_error() {
    for line in [
        "configure",
        "configure soft",
        "down",
        "disable bgp_10_0_0_2",
        "restart all",
    ] {
        assert_eq!(
            parse(line),
            Query::Refused(8007, "Access denied".to_owned())
        );
    }
    for line in [
        "foo",
        "show",
        "show nothing",
        "show route where",
        "show route where net ~",
        "show route where true nonsense",
        "show route for",
        "\u{0}",
    ] {
        assert!(matches!(parse(line), Query::Refused(9001, _)), "{line}");
    }
    assert_eq!(parse("restrict"), Query::Restrict);
    assert_eq!(parse("  "), Query::Nothing);
}

#[test]
fn the_words_of_show_route_come_in_any_order() {
    let expected = Routes {
        within: Some("10.0.0.1/32".parse().unwrap()),
        all: true,
        primary: true,
        protocol: Some("bgp_10_0_0_2".to_owned()),
        ..Routes::default()
    };
    for line in [
        "show route for 10.0.0.1 all primary protocol bgp_10_0_0_2",
        "show route protocol \"bgp_10_0_0_2\" primary all for 10.0.0.1/32",
    ] {
        assert_eq!(parse(line), Query::Routes(expected.clone()));
    }
    assert_eq!(expected.tables().count(), 1);
    assert_eq!(Routes::default().tables().count(), 2);
}

#[test]
fn a_condition_ends_where_it_is_one_no_more() {
    let Query::Routes(asked) =
        parse("show route where net ~ [10.0.0.0/8+] && bgp_med > 4 all count")
    else {
        panic!("no routes");
    };
    assert_eq!(
        asked.condition.as_deref(),
        Some("net ~ [10.0.0.0/8+] && bgp_med > 4")
    );
    assert!(asked.all && asked.count);
    let Query::Refused(_, why) = parse("show route where net ~ ;") else {
        panic!("taken");
    };
    assert!(why.starts_with("syntax error, "), "{why}");
}

#[test]
fn links_are_lines_with_their_addresses() {
    let link = |index, name: &str, up, addresses: &[&str]| InterfaceView {
        index,
        name: name.to_owned(),
        up,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
    };
    let all = [
        link(1, "lo", true, &["127.0.0.1", "::1"]),
        link(7, "eth1", false, &["192.0.1.1"]),
    ];
    let said = interfaces(&all, false);
    well_formed(&said);
    assert_eq!(
        said,
        "1001-lo up (index=1)\n1003-\t127.0.0.1\n \t::1\n1001-eth1 down (index=7)\n1003-\t192.0.1.1\n0000 \n"
    );
    assert_eq!(
        interfaces(&all, true),
        "2005-Interface  State  IPv4 address       IPv6 address\n1005-lo         up     127.0.0.1          ::1\n eth1       down   192.0.1.1          \n0000 \n"
    );
}

#[test]
fn a_restart_that_is_under_way_is_told() {
    let mut scene = scene();
    assert!(!status(&scene).contains("Graceful restart"));
    scene.status.restart = RestartView {
        stage: RestartStage::Deferring,
        until: Some(scene.now.0 + Duration::from_secs(3)),
        awaited: 2,
    };
    let said = status(&scene);
    well_formed(&said);
    assert!(
        said.contains("0024-Graceful restart recovery in progress\n   Waiting for 2 channels"),
        "{said}"
    );
}

#[test]
fn an_answer_carries_its_code_once_and_ends_with_a_blank() {
    let mut reply = Reply::default();
    reply.line(1002, "a");
    reply.line(1002, "b");
    reply.line(1006, "c");
    assert_eq!(reply.end(0, ""), "1002-a\n b\n1006-c\n0000 \n");
    assert!(Reply::greeting().starts_with("0001 BIRD 2"));
}

#[test]
fn exporters_find_state_info_and_counts_in_show_protocols_all() {
    let answer = protocols(&scene(), true, None);
    well_formed(&answer);
    // A line a protocol: name, kind, table, state, since, info.
    let head = regex(
        r"^(?:1002\-)?\s?(\S+)\s+(BGP|Kernel|Static|Device)\s+(\S+)\s+(up|start|down)\s+(\d{2}:\d{2}:\d{2}\.\d{3}|\d{4}-\d{2}-\d{2})\s*(.*?)\s*$",
    );
    let rows: Vec<_> = answer
        .lines()
        .filter_map(|line| head.captures(line))
        .collect();
    let of = |name: &str| rows.iter().find(|row| &row[1] == name).unwrap();
    assert_eq!(&of("bgp_10_0_0_2")[4], "up");
    assert_eq!(&of("bgp_10_0_0_2")[6], "Established");
    assert_eq!(&of("bgp_10_0_0_3")[4], "start");
    assert!(of("bgp_10_0_0_3")[6].ends_with("Connection refused"));
    let channel = regex(r"(?m)^\s+Channel ipv4$");
    assert_eq!(channel.find_iter(&answer).count(), 2);
    let routes = regex(
        r"(?m)^\s+Routes:\s+(\d+) imported, (?:(\d+) filtered, )?(\d+) exported(?:, (\d+) preferred)?$",
    );
    let counts: Vec<_> = routes.captures_iter(&answer).collect();
    assert_eq!(counts.len(), 1, "{answer}");
    assert_eq!(
        (&counts[0][1], &counts[0][2], &counts[0][3], &counts[0][4]),
        ("5", "2", "3", "4")
    );
    let changes = regex(r"(?m)^\s+(Import|Export) (updates|withdraws):(?:\s+(?:\d+|---)){5}$");
    assert_eq!(changes.find_iter(&answer).count(), 4, "{answer}");
    let numbers: Vec<Vec<&str>> = changes
        .find_iter(&answer)
        .map(|row| row.as_str().split_whitespace().skip(2).collect())
        .collect();
    assert_eq!(
        numbers,
        [
            ["20", "1", "2", "3", "14"],
            ["6", "0", "---", "1", "5"],
            ["---", "---", "---", "---", "8"],
            ["---", "---", "---", "---", "9"],
        ]
    );
}

/// Calico's probe of readiness, and `calicoctl node status`, look for sessions by such names and for six columns.
#[test]
fn a_peer_is_called_what_its_configuration_says() {
    let mut scene = scene();
    scene.peers[0].birdc_name = Some("Mesh_10_0_0_2".to_owned());
    let answer = protocols(&scene, false, None);
    let row = regex(r"(?m)^ Mesh_10_0_0_2 BGP +--- +up +[0-9:.-]+ +Established *$");
    assert!(row.is_match(&answer), "{answer}");
    assert!(!answer.contains("bgp_10_0_0_2"), "{answer}");
    for name in ["Mesh_10_0_0_2", "Mesh_*"] {
        let found = protocols(&scene, false, Some(name));
        assert!(found.contains("Mesh_10_0_0_2"), "{found}");
    }
    assert!(protocols(&scene, false, Some("bgp_10_0_0_2")).starts_with("8003 "));
}

#[test]
fn a_protocol_is_found_by_its_name_and_by_the_start_of_it() {
    let scene = scene();
    assert_eq!(
        protocols(&scene, false, Some("bgp_10_0_0_3"))
            .lines()
            .count(),
        3
    );
    assert_eq!(protocols(&scene, false, Some("bgp_*")).lines().count(), 4);
    assert!(protocols(&scene, false, Some("nobody")).starts_with("8003 "));
}

#[test]
fn status_and_bfd_sessions_are_well_formed() {
    let said = status(&scene());
    well_formed(&said);
    assert!(
        said.contains("Router ID is 10.0.0.1\n")
            && said.ends_with("0013 Daemon is up and running\n")
    );
    well_formed(&bfd_sessions(&scene(), &[]));
    let scene = scene();
    let session = BfdSession {
        path: bfd::Path {
            remote: "10.0.0.2".parse().unwrap(),
            local: None,
            interface: Some("wg-nyc".to_owned()),
            hops: bfd::Hops::Single,
        },
        state: bfd::State::Up,
        diagnostic: bfd::Diagnostic::NONE,
        since: scene.now.0,
        local_discriminator: NonZeroU32::MIN,
        remote: None,
        multiplier: NonZeroU8::MIN,
        transmit_interval: Some(Duration::from_millis(50)),
        detection_time: Some(Duration::from_millis(150)),
        sent: 0,
        received: 0,
        ups: 1,
        failures: 0,
    };
    let said = bfd_sessions(&scene, &[session]);
    well_formed(&said);
    let row = said.lines().nth(2).unwrap();
    assert!(
        row.starts_with(" 10.0.0.2                  wg-nyc     Up "),
        "{row}"
    );
    assert!(row.ends_with("   0.050    0.150"), "{row}");
}

#[test]
fn days_are_those_of_the_calendar() {
    for (seconds, date) in [
        (0, "1970-01-01"),
        (951_782_399, "2000-02-28"),
        (951_782_400, "2000-02-29"),
        (951_868_800, "2000-03-01"),
        (1_767_225_599, "2025-12-31"),
        (4_107_542_400, "2100-03-01"),
    ] {
        assert_eq!(date_and_time(Duration::from_secs(seconds)).0, date);
    }
    assert_eq!(
        date_and_time(Duration::from_millis(86_399_007)).1,
        "23:59:59.007"
    );
}

fn page() -> RoutePage {
    let path = |source, best| PathView {
        source,
        attributes: Attributes {
            med: Some(5),
            communities: ["65002:7".parse().unwrap()].into_iter().collect(),
            ..Attributes::new(
                Origin::Igp,
                "65002 65009".parse().unwrap(),
                NextHop::V4([10, 0, 0, 2].into()),
            )
        },
        tag: 0,
        path_id: None,
        accepted: true,
        valid: true,
        stale: false,
        best,
        multipath: false,
        cost: Some(0),
        reason: String::new(),
    };
    let peer = Source::Peer(speaker::command::PeerName::new(
        "10.0.0.2".parse().unwrap(),
        None,
    ));
    RoutePage {
        routes: vec![RouteView {
            prefix: "10.9.0.0/16".parse().unwrap(),
            paths: vec![path(peer, true), path(Source::Static, false)],
        }],
        next: None,
    }
}

fn listed(line: &str, page: &RoutePage) -> String {
    let (scene, Query::Routes(asked)) = (scene(), parse(line)) else {
        panic!("{line}");
    };
    let mut listing = match Listing::new(&scene, &asked) {
        Ok(listing) => listing,
        Err(unknown) => return unknown,
    };
    listing.table("master4");
    let told = ["10.9.0.0/16".parse().unwrap()].into();
    let mut said = listing.page(page, &told);
    said.push_str(&listing.end_of_table());
    said + &listing.finish()
}

#[test]
fn a_route_is_a_line_a_path_with_attributes_below_if_they_are_asked_for() {
    let said = listed("show route all", &page());
    well_formed(&said);
    let head =
        regex(r"(?m)^ 10\.9\.0\.0/16 +unicast \[bgp_10_0_0_2 \S+\] \* \(100\) \[AS65009i\]$");
    assert!(
        said.starts_with("1007-Table master4:\n") && head.is_match(&said),
        "{said}"
    );
    for line in [
        " \tvia 10.0.0.2\n1008-\tType: BGP univ\n",
        " \tBGP.as_path: 65002 65009\n",
        " \tBGP.med: 5\n",
        " \tBGP.community: (65002,7)\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!listed("show route", &page()).contains("1008-"));
}

#[test]
fn routes_are_counted_and_picked_by_protocol() {
    let count = listed("show route count", &page());
    assert_eq!(
        count,
        "1007-2 of 2 routes for 1 networks in table master4\n0000 \n"
    );
    let picked = listed("show route protocol static1", &page());
    assert!(
        picked.contains("[static1 ") && !picked.contains("[bgp_"),
        "{picked}"
    );
    assert!(listed("show route protocol nobody", &page()).starts_with("8003 "));
    assert!(listed("show route noexport nobody", &page()).starts_with("8003 "));
    // The peer is told the route; what is its own it cannot be told.
    for (query, count) in [
        ("export bgp_10_0_0_3", 1),
        ("noexport bgp_10_0_0_3", 0),
        ("export bgp_10_0_0_2", 0),
        ("noexport bgp_10_0_0_2", 0),
    ] {
        let said = listed(&format!("show route {query} count"), &page());
        assert!(
            said.starts_with(&format!("1007-{count} of 2 routes for 1 networks")),
            "{query}: {said}"
        );
    }
    let filtered = listed("show route filtered count", &page());
    assert!(filtered.starts_with("1007-0 of 0 routes for 0 networks"));
    for (condition, count) in [
        ("source = RTS_STATIC", 1),
        ("proto ~ \"bgp_*\"", 1),
        ("bgp_med = 5 && net ~ 10.0.0.0/8", 2),
        ("65009 ~ bgp_path && from = 10.0.0.2", 1),
        ("! ((65002, 7) ~ bgp_community)", 0),
    ] {
        let said = listed(&format!("show route where {condition} count"), &page());
        assert!(
            said.starts_with(&format!("1007-{count} of 2 routes")),
            "{condition}: {said}"
        );
    }
    let refused = listed("show route where preference = 100", &page());
    assert_eq!(refused, "8008 windrose cannot ask for `preference`\n");
    assert_eq!(
        listed("show route 10.8.0.0/16", &RoutePage::default()),
        "8001 Network not found\n"
    );
    assert_eq!(listed("show route", &RoutePage::default()), "0000 \n");
}
