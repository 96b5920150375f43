//! The translation, both ways, and which field an error names.

use std::time::Duration;

use speaker::command::Refusal;
use speaker::view::{PathView, RouteView, Source};

use super::*;
use proto::v1;
use proto::v1::as_path_segment::Kind;

/// The field at fault.
fn fault<T: std::fmt::Debug>(parsed: Result<T, Refusal>) -> String {
    let refusal = parsed.unwrap_err();
    let Refusal::Invalid { field, .. } = refusal else {
        panic!("{refusal:?}");
    };
    field
}

fn segment(kind: Kind, asns: &[u32]) -> v1::AsPathSegment {
    v1::AsPathSegment {
        kind: kind.into(),
        asns: asns.to_vec(),
    }
}

fn all_attributes() -> v1::Attributes {
    v1::Attributes {
        origin: v1::Origin::Egp.into(),
        as_path: vec![
            segment(Kind::Sequence, &[65001, 4_200_000_000]),
            segment(Kind::Set, &[65003, 65004]),
        ],
        next_hop: Some("2001:db8::1".into()),
        link_local_next_hop: Some("fe80::1".into()),
        med: Some(0),
        local_pref: Some(200),
        aigp: Some(u64::MAX),
        communities: vec!["65001:100".into(), "no-export".into()],
        large_communities: vec!["65001:1:2".into()],
        ext_communities: vec!["rt:65001:5".into()],
        ipv6_ext_communities: vec!["0x0002000000000000000000000000000000000005".into()],
        atomic_aggregate: true,
        ..v1::Attributes::default()
    }
}

fn inject(prefix: &str, attributes: v1::Attributes) -> v1::InjectRequest {
    v1::InjectRequest {
        owner: "test".into(),
        announce: vec![v1::InjectedRoute {
            prefix: prefix.into(),
            attributes: Some(attributes),
            ..v1::InjectedRoute::default()
        }],
        ..v1::InjectRequest::default()
    }
}

#[test]
fn all_attributes_that_can_be_injected_come_back_as_they_went() {
    let mut batch = batch(inject("2001:db8::/32", all_attributes())).unwrap();
    let injection = batch.announce.pop().unwrap();
    let path = PathView {
        source: Source::Api(batch.owner),
        attributes: injection.attributes,
        tag: 0,
        path_id: None,
        accepted: true,
        valid: true,
        stale: false,
        best: true,
        multipath: false,
        cost: None,
        reason: String::new(),
    };
    let route = route(RouteView {
        prefix: injection.prefix,
        paths: vec![path],
    });
    assert_eq!(route.prefix, "2001:db8::/32");
    assert_eq!(route.paths[0].attributes, Some(all_attributes()));
}

#[test]
fn no_next_hop_is_ourselves_in_both_directions() {
    for prefix in ["10.0.0.0/8", "2001:db8::/32"] {
        let batch = batch(inject(prefix, v1::Attributes::default())).unwrap();
        let attributes = attributes(batch.announce[0].attributes.clone());
        assert_eq!(attributes.next_hop, None);
        assert_eq!(attributes.origin(), v1::Origin::Igp);
    }
}

#[test]
fn each_wrong_attribute_is_named() {
    type Break = fn(&mut v1::Attributes);
    let cases: &[(&str, Break)] = &[
        ("next_hop", |a| a.next_hop = Some("10.0.0".into())),
        ("next_hop", |a| a.next_hop = Some("0.0.0.0".into())),
        ("next_hop", |a| a.next_hop = Some("224.0.0.1".into())),
        ("next_hop", |a| a.next_hop = Some("127.0.0.1".into())),
        ("next_hop", |a| {
            a.link_local_next_hop = Some("fe80::1".into())
        }),
        ("communities[1]", |a| {
            a.communities = vec!["1:2".into(), "70000:1".into()]
        }),
        ("large_communities[0]", |a| {
            a.large_communities = vec!["1:2".into()]
        }),
        ("ext_communities[0]", |a| {
            a.ext_communities = vec!["rt:x".into()]
        }),
        ("ipv6_ext_communities[0]", |a| {
            a.ipv6_ext_communities = vec!["0x1".into()]
        }),
        ("as_path[0]", |a| {
            a.as_path = vec![segment(Kind::Sequence, &[65001, 0])]
        }),
        ("as_path[1]", |a| {
            a.as_path = vec![
                segment(Kind::Set, &[1]),
                v1::AsPathSegment {
                    kind: 9,
                    asns: vec![1],
                },
            ];
        }),
        ("origin", |a| a.origin = 9),
        ("originator_id", |a| {
            a.originator_id = Some("10.0.0.1".into())
        }),
        ("cluster_list", |a| a.cluster_list = vec!["10.0.0.1".into()]),
        ("aggregator", |a| {
            a.aggregator = Some(v1::Aggregator::default())
        }),
        ("only_to_customer", |a| a.only_to_customer = Some(1)),
        ("unknown", |a| {
            a.unknown = vec![v1::UnknownAttribute::default()]
        }),
    ];
    for (field, break_it) in cases {
        let mut attributes = v1::Attributes::default();
        break_it(&mut attributes);
        let fault = fault(batch(inject("10.0.0.0/8", attributes)));
        assert_eq!(fault, format!("announce[0].{field}"));
    }
}

/// RFC 8092 §3: "Duplicate BGP Large Community values MUST NOT be transmitted."
#[test]
fn a_large_community_that_is_injected_twice_is_told_once() {
    let attributes = v1::Attributes {
        large_communities: ["1:2:3", "1:2:4", "1:2:3"].map(str::to_owned).into(),
        ..v1::Attributes::default()
    };
    let batch = batch(inject("10.0.0.0/8", attributes)).unwrap();
    let large = batch.announce[0].attributes.large_communities.iter();
    let large: Vec<_> = large.map(ToString::to_string).collect();
    assert_eq!(large, ["1:2:3", "1:2:4"]);
}

#[test]
fn attributes_that_no_message_holds_are_refused() {
    let communities = (0..1000).map(|i| format!("65001:{i}")).collect();
    let attributes = v1::Attributes {
        communities,
        ..v1::Attributes::default()
    };
    let refused = batch(inject("10.0.0.0/8", attributes));
    assert_eq!(fault(refused), "announce[0]");
}

#[test]
fn a_prefix_has_a_length_and_no_host_bits() {
    assert_eq!(
        prefix("prefix", "10.1.0.0/16").unwrap().to_string(),
        "10.1.0.0/16"
    );
    for wrong in [
        "",
        "10.0.0.0",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "2001:db8::1/32",
    ] {
        assert_eq!(fault(prefix("prefix", wrong)), "prefix", "{wrong}");
    }
    let refusal = prefix("announce[3].prefix", "10.1.2.3/8").unwrap_err();
    let text = "announce[3].prefix: `10.1.2.3/8` has bits set beyond its length: write 10.0.0.0/8";
    assert_eq!(refusal.to_string(), text);
}

#[test]
fn a_peer_is_an_address_and_a_link_local_one_has_its_interface() {
    assert_eq!(peer_name("peer", "10.0.0.2").unwrap().interface, None);
    let name = peer_name("peer", "fe80::2%wg-nyc").unwrap();
    assert_eq!(name_text(&name), "fe80::2%wg-nyc");
    for wrong in [
        "",
        "tokyo",
        "10.0.0.2/32",
        "10.0.0.2%eth0",
        "fe80::2",
        "fe80::2%",
    ] {
        assert_eq!(fault(peer_name("peer", wrong)), "peer", "{wrong}");
    }
}

#[test]
fn owner_lease_and_message_are_bounded() {
    assert_eq!(fault(owner_name(String::new())), "owner");
    assert_eq!(fault(owner_name("x".repeat(65))), "owner");
    assert_eq!(fault(owner_name("a\nb".into())), "owner");
    assert!(owner_name("x".repeat(64)).is_ok());
    let lease = Some(prost_types::Duration {
        seconds: -1,
        nanos: 0,
    });
    let request = v1::InjectRequest {
        lease,
        ..inject("10.0.0.0/8", v1::Attributes::default())
    };
    assert_eq!(fault(batch(request)), "lease");
    let lease = Some(prost_types::Duration {
        seconds: 30,
        nanos: 0,
    });
    let request = v1::InjectRequest {
        lease,
        ..inject("10.0.0.0/8", v1::Attributes::default())
    };
    assert_eq!(batch(request).unwrap().lease, Some(Duration::from_secs(30)));
    assert_eq!(fault(shutdown_message(Some("é".repeat(128)))), "message");
    assert!(shutdown_message(Some("x".repeat(255))).is_ok());
}

#[test]
fn a_question_that_makes_no_sense_is_refused_by_its_field() {
    type Break = fn(&mut v1::ListRoutesRequest);
    let cases: &[(&str, Break)] = &[
        ("prefix", |q| q.prefix = Some("10.0.0.1/8".into())),
        ("longer", |q| q.longer = true),
        ("received_from", |q| q.received_from = Some("x".into())),
        ("family", |q| q.family = Some(0)),
        ("advertised_to", |q| {
            q.received_from = Some("10.0.0.2".into());
            q.advertised_to = Some("10.0.0.2".into());
        }),
    ];
    for (field, break_it) in cases {
        let mut request = v1::ListRoutesRequest::default();
        break_it(&mut request);
        assert_eq!(fault(route_query(request)), *field);
    }
}

#[test]
fn a_refusal_becomes_the_error_of_its_kind_and_names_the_field() {
    let invalid = Refusal::Invalid {
        field: "announce[3].prefix".into(),
        why: "no".into(),
    };
    let error = status(invalid);
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
    assert_eq!(error.message(), "announce[3].prefix: no");
    assert_eq!(
        error.metadata().get("windrose-field").unwrap(),
        "announce[3].prefix"
    );
    let cases = [
        (
            Refusal::NotFound("peer 10.0.0.9".into()),
            tonic::Code::NotFound,
        ),
        (
            Refusal::Precondition("not now".into()),
            tonic::Code::FailedPrecondition,
        ),
        (
            Refusal::Exhausted("too many".into()),
            tonic::Code::ResourceExhausted,
        ),
    ];
    for (refusal, code) in cases {
        assert_eq!(status(refusal).code(), code);
    }
}
