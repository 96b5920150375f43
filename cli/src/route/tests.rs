//! How routes are shown; the names of their JSON fields.

use proto::v1::source::{Local, Source};
use proto::v1::{
    AsPathSegment, Attributes, FibNextHop, Origin, Path, PolicyTrace, Route, UnknownAttribute,
    as_path_segment,
};
use serde_json::json;

use super::*;
use crate::output::Format;

fn source(source: Source) -> Option<proto::v1::Source> {
    Some(proto::v1::Source {
        source: Some(source),
    })
}

fn learned() -> Path {
    let kind = as_path_segment::Kind::Set.into();
    let attributes = Attributes {
        origin: Origin::Igp.into(),
        as_path: vec![
            AsPathSegment {
                kind: 0,
                asns: vec![65001, 65002],
            },
            AsPathSegment {
                kind,
                asns: vec![65003],
            },
        ],
        next_hop: Some("10.0.0.2".into()),
        med: Some(10),
        local_pref: Some(200),
        communities: vec!["65001:100".into()],
        large_communities: vec!["65001:1:2".into()],
        originator_id: Some("10.255.0.9".into()),
        cluster_list: vec!["10.255.0.1".into()],
        unknown: vec![UnknownAttribute {
            flags: 0xe0,
            r#type: 99,
            value: vec![0, 255],
        }],
        ..Attributes::default()
    };
    Path {
        source: source(Source::Peer("10.0.0.2".into())),
        attributes: Some(attributes),
        valid: true,
        best: true,
        cost: Some(20),
        reason: "best: it is the only one with this LOCAL_PREF".into(),
        ..Path::default()
    }
}

fn injected() -> Path {
    let attributes = Attributes {
        origin: Origin::Incomplete.into(),
        ..Attributes::default()
    };
    Path {
        source: source(Source::Owner("vip".into())),
        attributes: Some(attributes),
        valid: true,
        reason: "lower LOCAL_PREF".into(),
        ..Path::default()
    }
}

fn route() -> Route {
    Route {
        prefix: "10.0.0.0/8".into(),
        paths: vec![learned(), injected()],
    }
}

#[test]
fn json_has_the_names_that_scripts_rely_on() {
    let row = serde_json::to_value(RouteRow::from(route())).unwrap();
    assert_eq!(
        (&row["prefix"], &row["best"]),
        (&json!("10.0.0.0/8"), &json!("10.0.0.2"))
    );
    let contract = json!({
        "peer": "10.0.0.2", "next_hop": "10.0.0.2", "as_path": "65001 65002 {65003}", "origin": "igp",
        "med": 10, "local_pref": 200, "aigp": null, "cost": 20, "communities": ["65001:100"],
        "large_communities": ["65001:1:2"], "ext_communities": [], "originator_id": "10.255.0.9",
        "cluster_list": ["10.255.0.1"], "path_id": null, "valid": true, "stale": false, "best": true,
        "reason": "best: it is the only one with this LOCAL_PREF",
    });
    for (name, value) in contract.as_object().unwrap() {
        assert_eq!(row["paths"][0].get(name), Some(value), "{name}");
    }
    assert_eq!(
        row["paths"][0]["unknown"],
        json!([{"type": 99, "flags": 0xe0, "value": "00ff"}])
    );
    assert_eq!(row["paths"][1]["peer"], "api:vip");
}

#[test]
fn routes_of_our_own_are_named_by_where_they_come_from() {
    let peer = |from| {
        let path = Path {
            source: source(from),
            ..Path::default()
        };
        PathRow::from(path).peer
    };
    assert_eq!(peer(Source::Local(Local::Originate.into())), "originate");
    assert_eq!(peer(Source::Local(Local::Static.into())), "static");
    assert_eq!(peer(Source::Local(Local::Connected.into())), "connected");
    assert_eq!(peer(Source::Local(Local::Kernel.into())), "kernel");
    assert_eq!(peer(Source::Local(Local::Aggregate.into())), "aggregate");
    assert_eq!(peer(Source::Owner("x".into())), "api:x");
}

#[test]
fn a_route_with_no_valid_path_has_no_best() {
    let row = RouteRow::from(Route {
        paths: vec![injected()],
        ..route()
    });
    assert_eq!(row.best, None);
    assert_eq!(row.line(), "10.0.0.0/8  no path is valid");
}

#[test]
fn the_list_has_a_line_for_each_path() {
    let print = |format| {
        let mut out = Vec::new();
        let mut printer = Printer::new(format, false, &mut out);
        let mut list = printer.list();
        list.row(&RouteRow::from(route())).unwrap();
        list.finish::<RouteRow>().unwrap();
        String::from_utf8(out).unwrap()
    };
    let expected = "
   PREFIX      NEXT HOP  FROM      LOCAL PREF  MED  AS PATH              ORIGIN      COMMUNITIES
>  10.0.0.0/8  10.0.0.2  10.0.0.2         200   10  65001 65002 {65003}  igp         65001:100 65001:1:2
*                        api:vip                                         incomplete
";
    assert_eq!(format!("\n{}", print(Format::Table)), expected);
    assert!(print(Format::Wide).contains("lower LOCAL_PREF"));
}

#[test]
fn an_explanation_tells_of_each_path() {
    let answer = ExplainRouteResponse {
        route: Some(route()),
        policy: vec![PolicyTrace {
            lines: vec!["from-nodes, rule 1: accepted".into()],
        }],
        kernel: Some("via 10.0.0.2 dev eth0".into()),
        advertised_to: vec!["10.0.0.3".into(), "10.0.0.4".into()],
        next_hops: vec![FibNextHop {
            address: "10.9.0.1".into(),
            gateway: Some("10.0.0.2".into()),
            interface: Some("eth0".into()),
            cost: Some(20),
            through: vec!["10.9.0.0/16".into()],
            ways: Vec::new(),
        }],
    };
    let explained = Explained::from(answer);
    let expected = "\
10.0.0.0/8
> next hop 10.0.0.2 from 10.0.0.2, cost 20
      AS path 65001 65002 {65003}, origin igp, local pref 200, MED 10, communities 65001:100 65001:1:2, \
originator 10.255.0.9, clusters 10.255.0.1
      best: it is the only one with this LOCAL_PREF
      policy: from-nodes, rule 1: accepted
* next hop self from api:vip
      AS path empty, origin incomplete
      lower LOCAL_PREF
  next hop 10.9.0.1: via 10.0.0.2 dev eth0, cost 20, through 10.9.0.0/16
  in the kernel: via 10.0.0.2 dev eth0
  told to: 10.0.0.3, 10.0.0.4";
    assert_eq!(explained.lines().join("\n"), expected);
    let json = serde_json::to_value(&explained).unwrap();
    assert_eq!(
        json["paths"][0]["policy"],
        json!(["from-nodes, rule 1: accepted"])
    );
    assert_eq!(json["paths"][1]["policy"], json!([]));
}

#[test]
fn an_event_is_a_route_with_what_happened_and_where_to_go_on() {
    let change = RouteChange {
        prefix: "10.0.0.0/8".into(),
        route: Some(route()),
    };
    let (event, line) = Event::of(change, "a-1");
    assert_eq!(
        line,
        "+ 10.0.0.0/8  next hop 10.0.0.2 from 10.0.0.2, cost 20"
    );
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(json["event"], "updated");
    assert_eq!(json["resume_token"], "a-1");
    assert_eq!(json["best"], "10.0.0.2");
    let change = RouteChange {
        prefix: "10.0.0.0/8".into(),
        route: None,
    };
    let (event, line) = Event::of(change, "a-2");
    assert_eq!(line, "- 10.0.0.0/8");
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(
        json,
        json!({"event": "removed", "resume_token": "a-2", "prefix": "10.0.0.0/8"})
    );
}

#[test]
fn an_address_alone_is_a_host() {
    assert_eq!(host("10.0.0.1".into()), "10.0.0.1/32");
    assert_eq!(host("2001:db8::1".into()), "2001:db8::1/128");
    assert_eq!(host("10.0.0.0/8".into()), "10.0.0.0/8");
    assert_eq!(host("x".into()), "x");
}
