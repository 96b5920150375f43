//! InjectionService against a real speaker.

use std::time::Duration;

use proto::v1;
use tonic::Code;

use super::lab::{Lab, batch, fault, route};

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn key(prefix: &str) -> v1::RouteKey {
    v1::RouteKey {
        prefix: prefix.into(),
        path_id: 0,
    }
}

fn withdraw(owner: &str, prefix: &str) -> v1::WithdrawRequest {
    v1::WithdrawRequest {
        owner: owner.into(),
        routes: vec![key(prefix)],
    }
}

fn renew(owner: &str) -> v1::RenewRequest {
    v1::RenewRequest {
        owner: owner.into(),
    }
}

#[tokio::test]
async fn a_route_is_put_in_replaced_and_taken_out() {
    let lab = Lab::new().await;
    let mut injections = lab.injections().await;
    let mut mixed = batch("a", &["10.1.0.0/16", "2001:db8::/32"]);
    mixed.announce[1].attributes = Some(v1::Attributes {
        next_hop: Some("10.0.0.5".into()),
        ..v1::Attributes::default()
    });
    let refused = injections.inject(mixed).await.unwrap_err();
    assert_eq!(
        fault(&refused),
        "announce[1].next_hop",
        "an IPv6 prefix has no IPv4 next hop"
    );

    let done = injections
        .inject(batch("a", &["10.1.0.0/16", "10.2.0.0/16"]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((done.announced, done.withdrawn), (2, 0));
    assert_eq!(
        lab.prefixes().await,
        ["10.1.0.0/16", "10.2.0.0/16", "10.100.0.0/16"]
    );

    let all_others = v1::InjectRequest {
        replace_all: true,
        ..batch("a", &["10.2.0.0/16"])
    };
    let done = injections.inject(all_others).await.unwrap().into_inner();
    assert_eq!((done.announced, done.withdrawn), (1, 1));
    assert_eq!(lab.prefixes().await, ["10.2.0.0/16", "10.100.0.0/16"]);

    let done = injections
        .withdraw(withdraw("a", "10.2.0.0/16"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(done.withdrawn, 1);
    assert_eq!(lab.prefixes().await, ["10.100.0.0/16"]);
}

#[tokio::test]
async fn one_bad_route_and_nothing_changes() {
    let lab = Lab::new().await;
    let mut injections = lab.injections().await;
    injections
        .inject(batch("a", &["10.1.0.0/16"]))
        .await
        .unwrap();
    let before = lab.prefixes().await;

    let mut bad = batch("a", &["10.2.0.0/16", "10.3.0.0/16", "10.4.0.1/16"]);
    bad.withdraw = vec![key("10.1.0.0/16")];
    assert_eq!(
        fault(&injections.inject(bad).await.unwrap_err()),
        "announce[2].prefix"
    );
    assert_eq!(lab.prefixes().await, before);

    let mut missing = batch("a", &["10.2.0.0/16"]);
    missing.withdraw = vec![key("10.1.0.0/16"), key("10.9.0.0/16")];
    assert_eq!(
        injections.inject(missing).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(lab.prefixes().await, before);

    let twice = batch("a", &["10.2.0.0/16", "10.2.0.0/16"]);
    assert_eq!(
        fault(&injections.inject(twice).await.unwrap_err()),
        "announce[1].prefix"
    );
    assert_eq!(lab.prefixes().await, before);
}

#[tokio::test]
async fn wrong_owners_and_leases_are_refused_by_their_field() {
    let lab = Lab::new().await;
    let mut injections = lab.injections().await;
    assert_eq!(
        fault(&injections.inject(batch("", &[])).await.unwrap_err()),
        "owner"
    );
    for lease in [0, -1, 100_000_000_000] {
        let request = v1::InjectRequest {
            lease: seconds(lease),
            ..batch("a", &["10.1.0.0/16"])
        };
        assert_eq!(
            fault(&injections.inject(request).await.unwrap_err()),
            "lease",
            "{lease}"
        );
    }
    let nothing = v1::WithdrawRequest {
        owner: "a".into(),
        routes: vec![],
    };
    assert_eq!(
        fault(&injections.withdraw(nothing).await.unwrap_err()),
        "routes"
    );
    let missing = injections
        .withdraw(withdraw("a", "10.1.0.0/16"))
        .await
        .unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(
        injections.renew(renew("a")).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn routes_go_when_their_owner_was_silent_for_its_lease() {
    let lab = Lab::new().await;
    let mut injections = lab.injections().await;
    let leased = v1::InjectRequest {
        lease: seconds(30),
        ..batch("leased", &["10.1.0.0/16"])
    };
    injections.inject(leased).await.unwrap();
    injections
        .inject(batch("kept", &["10.2.0.0/16"]))
        .await
        .unwrap();

    lab.pass(Duration::from_secs(20)).await;
    injections.renew(renew("leased")).await.unwrap();
    lab.pass(Duration::from_secs(20)).await;
    assert_eq!(
        lab.prefixes().await,
        ["10.1.0.0/16", "10.2.0.0/16", "10.100.0.0/16"]
    );
    lab.pass(Duration::from_secs(10)).await;
    assert_eq!(lab.prefixes().await, ["10.2.0.0/16", "10.100.0.0/16"]);
    assert_eq!(
        injections.renew(renew("leased")).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn to_withdraw_one_route_leaves_the_lease_of_the_others() {
    let lab = Lab::new().await;
    let mut injections = lab.injections().await;
    let leased = v1::InjectRequest {
        lease: seconds(30),
        ..batch("a", &["10.1.0.0/16", "10.2.0.0/16"])
    };
    injections.inject(leased).await.unwrap();
    injections
        .withdraw(withdraw("a", "10.1.0.0/16"))
        .await
        .unwrap();
    lab.pass(Duration::from_secs(30)).await;
    assert_eq!(lab.prefixes().await, ["10.100.0.0/16"]);
}

#[tokio::test]
async fn owners_are_listed_by_name_and_in_pages() {
    let lab = Lab::new().await;
    let mut injections = lab.injections().await;
    injections
        .inject(batch("b", &["10.1.0.0/16", "10.2.0.0/16"]))
        .await
        .unwrap();
    let leased = v1::InjectRequest {
        lease: seconds(30),
        ..batch("a", &["10.1.0.0/16"])
    };
    injections.inject(leased).await.unwrap();
    lab.pass(Duration::from_secs(10)).await;

    let mut request = v1::ListOwnersRequest {
        page_size: 1,
        ..v1::ListOwnersRequest::default()
    };
    let page = injections
        .list_owners(request.clone())
        .await
        .unwrap()
        .into_inner();
    let a = v1::Owner {
        name: "a".into(),
        routes: 1,
        lease_left: seconds(20),
    };
    assert_eq!((page.owners, page.next_page_token.as_str()), (vec![a], "a"));
    request.page_token = page.next_page_token;
    let page = injections.list_owners(request).await.unwrap().into_inner();
    let b = v1::Owner {
        name: "b".into(),
        routes: 2,
        lease_left: None,
    };
    assert_eq!((page.owners, page.next_page_token.as_str()), (vec![b], ""));
}

#[tokio::test]
async fn a_route_to_install_needs_a_next_hop() {
    let lab = Lab::new().await;
    let mut injections = lab.injections().await;
    let own = v1::InjectedRoute {
        install: true,
        ..route("10.1.0.0/16")
    };
    let request = v1::InjectRequest {
        announce: vec![own],
        ..batch("a", &[])
    };
    assert_eq!(
        fault(&injections.inject(request).await.unwrap_err()),
        "announce[0].next_hop"
    );
}
