//! RouteService against a real speaker: pages, explanations, watches.

use std::collections::BTreeSet;

use proto::v1;
use tonic::{Code, Streaming};

use super::lab::{Lab, batch, fault};

fn withdraw(prefix: &str) -> v1::WithdrawRequest {
    let routes = vec![v1::RouteKey {
        prefix: prefix.into(),
        path_id: 0,
    }];
    v1::WithdrawRequest {
        owner: "a".into(),
        routes,
    }
}

fn many(count: usize) -> Vec<String> {
    (0..count)
        .map(|i| format!("10.{}.{}.0/24", i / 256, i % 256))
        .collect()
}

async fn inject(lab: &Lab, prefixes: &[String]) {
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    lab.injections()
        .await
        .inject(batch("a", &prefixes))
        .await
        .unwrap();
}

#[tokio::test]
async fn pages_have_a_thousand_routes_and_miss_none() {
    let lab = Lab::new().await;
    inject(&lab, &many(2_500)).await;
    let mut routes = lab.routes().await;
    let mut request = v1::ListRoutesRequest {
        page_size: 5_000,
        ..v1::ListRoutesRequest::default()
    };
    let (mut sizes, mut prefixes) = (Vec::new(), BTreeSet::new());
    loop {
        let page = routes
            .list_routes(request.clone())
            .await
            .unwrap()
            .into_inner();
        sizes.push(page.routes.len());
        prefixes.extend(page.routes.into_iter().map(|route| route.prefix));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [1000, 1000, 501]);
    assert_eq!(prefixes.len(), 2_501);
}

#[tokio::test]
async fn questions_restrict_what_is_listed() {
    let lab = Lab::new().await;
    inject(&lab, &["10.100.7.0/24".into(), "10.1.0.0/16".into()]).await;
    let mut routes = lab.routes().await;
    let within = v1::ListRoutesRequest {
        prefix: Some("10.100.0.0/16".into()),
        longer: true,
        ..v1::ListRoutesRequest::default()
    };
    let page = routes
        .list_routes(within.clone())
        .await
        .unwrap()
        .into_inner();
    let prefixes: Vec<&str> = page
        .routes
        .iter()
        .map(|route| route.prefix.as_str())
        .collect();
    assert_eq!(prefixes, ["10.100.0.0/16", "10.100.7.0/24"]);
    let exactly = v1::ListRoutesRequest {
        longer: false,
        ..within
    };
    let page = routes.list_routes(exactly).await.unwrap().into_inner();
    assert_eq!(page.routes.len(), 1);
    let path = &page.routes[0].paths[0];
    assert!(path.best && path.valid && !path.reason.is_empty());

    let stranger = v1::ListRoutesRequest {
        received_from: Some("10.0.0.9".into()),
        ..v1::ListRoutesRequest::default()
    };
    assert_eq!(
        routes.list_routes(stranger).await.unwrap_err().code(),
        Code::NotFound
    );
    let wrong = v1::ListRoutesRequest {
        prefix: Some("10".into()),
        ..v1::ListRoutesRequest::default()
    };
    assert_eq!(
        fault(&routes.list_routes(wrong).await.unwrap_err()),
        "prefix"
    );
}

#[tokio::test]
async fn a_route_is_explained_or_named_as_missing() {
    let lab = Lab::new().await;
    let mut routes = lab.routes().await;
    let explain = |prefix: &str| v1::ExplainRouteRequest {
        prefix: prefix.into(),
    };
    let answer = routes
        .explain_route(explain("10.100.0.0/16"))
        .await
        .unwrap()
        .into_inner();
    let route = answer.route.unwrap();
    assert_eq!((route.paths.len(), answer.policy.len()), (1, 1));
    let missing = routes
        .explain_route(explain("10.9.0.0/16"))
        .await
        .unwrap_err();
    assert_eq!(
        (missing.code(), missing.message()),
        (Code::NotFound, "route 10.9.0.0/16: not found")
    );
    assert_eq!(
        fault(&routes.explain_route(explain("x")).await.unwrap_err()),
        "prefix"
    );
}

async fn watch(lab: &Lab, token: Option<&str>) -> Streaming<v1::WatchRoutesResponse> {
    let request = v1::WatchRoutesRequest {
        resume_token: token.map(Into::into),
    };
    lab.routes()
        .await
        .watch_routes(request)
        .await
        .unwrap()
        .into_inner()
}

async fn next(messages: &mut Streaming<v1::WatchRoutesResponse>) -> v1::WatchRoutesResponse {
    messages.message().await.unwrap().unwrap()
}

/// Prefixes that changed, with `-` before those that are gone.
fn changes(message: &v1::WatchRoutesResponse) -> Vec<String> {
    let changes = message.changes.iter();
    let named = changes.map(|change| match change.route {
        Some(_) => change.prefix.clone(),
        None => format!("-{}", change.prefix),
    });
    named.collect()
}

#[tokio::test]
async fn a_watch_tells_the_whole_table_and_then_what_changes() {
    let lab = Lab::new().await;
    let mut messages = watch(&lab, None).await;
    let first = next(&mut messages).await;
    assert_eq!((first.reset, first.synced), (true, true));
    assert_eq!(changes(&first), ["10.100.0.0/16"]);

    inject(&lab, &["10.1.0.0/16".into()]).await;
    let second = next(&mut messages).await;
    assert_eq!((second.reset, second.synced), (false, false));
    assert_eq!(changes(&second), ["10.1.0.0/16"]);
    lab.injections()
        .await
        .withdraw(withdraw("10.1.0.0/16"))
        .await
        .unwrap();
    assert_eq!(changes(&next(&mut messages).await), ["-10.1.0.0/16"]);
}

#[tokio::test]
async fn a_large_table_comes_in_parts_and_the_last_says_so() {
    let lab = Lab::new().await;
    inject(&lab, &many(1_000)).await;
    let mut messages = watch(&lab, None).await;
    let mut heard = BTreeSet::new();
    for part in 0.. {
        let message = next(&mut messages).await;
        assert_eq!(message.reset, part == 0);
        heard.extend(changes(&message));
        if message.synced {
            break;
        }
    }
    assert_eq!(heard.len(), 1_001);
}

#[tokio::test]
async fn a_client_that_comes_back_hears_only_what_it_missed() {
    let lab = Lab::new().await;
    let mut messages = watch(&lab, None).await;
    let token = next(&mut messages).await.resume_token;
    drop(messages);
    inject(&lab, &["10.1.0.0/16".into()]).await;
    // Our going away and our coming back are two connections: the one may be noticed after the other.
    for _ in 0..10 {
        let message = next(&mut watch(&lab, Some(&token)).await).await;
        if !message.reset {
            assert_eq!(changes(&message), ["10.1.0.0/16"]);
            return;
        }
        assert_eq!(changes(&message), ["10.1.0.0/16", "10.100.0.0/16"]);
    }
    panic!("the watch did not resume");
}

#[tokio::test]
async fn a_token_of_another_life_starts_with_the_whole_table() {
    let lab = Lab::new().await;
    let mut messages = watch(&lab, Some("6-0-1")).await;
    let first = next(&mut messages).await;
    assert!(first.reset && first.synced);
}

#[tokio::test]
async fn clients_that_go_away_leave_nothing_behind() {
    let lab = Lab::new().await;
    // More than may watch at once: each must have been freed, or waits for its client among a few.
    for _ in 0..200 {
        let mut messages = watch(&lab, None).await;
        next(&mut messages).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up() {
    let lab = Lab::new().await;
    let _idle = watch(&lab, None).await;
    let prefixes = many(2_000);
    for _ in 0..20 {
        inject(&lab, &prefixes).await;
    }
    let mut messages = watch(&lab, None).await;
    assert!(next(&mut messages).await.reset);
    assert_eq!(lab.prefixes().await.len(), 2_001);
}

#[tokio::test]
async fn a_dump_has_a_record_for_each_prefix_and_begins_with_the_peers() {
    let lab = Lab::new().await;
    inject(&lab, &many(2_500)).await;
    let request = v1::DumpRoutesRequest {};
    let mut client = lab.routes().await;
    let mut messages = client.dump_routes(request).await.unwrap().into_inner();
    let mut file = Vec::new();
    while let Some(message) = messages.message().await.unwrap() {
        file.extend(message.records);
    }
    let (mut rest, mut subtypes) = (file.as_slice(), Vec::new());
    while let Some((header, after)) = rest.split_first_chunk::<12>() {
        assert_eq!(header[..6], [0x65, 0x53, 0xf1, 0x00, 0, 13]);
        subtypes.push(u16::from_be_bytes([header[6], header[7]]));
        let len = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        rest = &after[len as usize..];
    }
    assert_eq!(subtypes[0], 1);
    assert_eq!(subtypes[1..], [2; 2_501]);
}
