//! SystemService against a real speaker.

use proto::v1;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::lab::Lab;
use proto::v1::fib_service_client::FibServiceClient;

const SERVICES: [&str; 5] = [
    "windrose.v1.FibService",
    "windrose.v1.InjectionService",
    "windrose.v1.PeerService",
    "windrose.v1.RouteService",
    "windrose.v1.SystemService",
];

#[tokio::test]
async fn status_tells_who_we_are_and_how() {
    let lab = Lab::new().await;
    lab.pass(std::time::Duration::from_secs(90)).await;
    let status = lab
        .system()
        .await
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (status.asn, status.router_id.as_str()),
        (65001, "10.255.0.1")
    );
    assert_eq!((status.peers, status.established), (2, 0));
    assert_eq!((status.prefixes_ipv4, status.prefixes_ipv6), (1, 0));
    assert_eq!(status.uptime.unwrap().seconds, 90);
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert!(!status.fib.unwrap().install);
    assert!(!status.problems.is_empty(), "two peers are down");
}

#[tokio::test]
async fn a_configuration_is_checked_compared_taken_and_shown() {
    let lab = Lab::new().await;
    let mut system = lab.system().await;
    let check = |text: &str| v1::CheckConfigRequest { text: text.into() };
    let answer = system
        .check_config(check("good"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.report, None);
    let answer = system
        .check_config(check("bad"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.report.as_deref(), Some("line 1: bad"));

    let diff = |text: Option<&str>| v1::DiffConfigRequest {
        text: text.map(Into::into),
    };
    let answer = system
        .diff_config(diff(Some("x")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (answer.changes, answer.report),
        (vec!["Some(\"x\")".into()], None)
    );
    let answer = system.diff_config(diff(None)).await.unwrap().into_inner();
    assert_eq!(answer.changes, ["None"]);
    let answer = system
        .diff_config(diff(Some("bad")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.report.as_deref(), Some("line 1: bad"));

    let answer = system
        .reload_config(v1::ReloadConfigRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (answer.changes, answer.report),
        (vec!["peer 10.0.0.9 added".into()], None)
    );
    let answer = system
        .reload_config(v1::ReloadConfigRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.report.as_deref(), Some("line 2: bad"));

    let answer = system
        .get_config(v1::GetConfigRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.text, "[router]");
}

#[tokio::test]
async fn a_drain_is_begun_shown_and_called_off() {
    let lab = Lab::new().await;
    let mut system = lab.system().await;
    let answer = system.drain(v1::DrainRequest { grace: None }).await;
    let drain = answer.unwrap().into_inner().drain.unwrap();
    assert_eq!(drain.state(), v1::DrainState::Draining);
    assert_eq!(drain.withdraws_in.unwrap().seconds, 60);
    lab.pass(std::time::Duration::from_secs(61)).await;
    let status = system.get_status(v1::GetStatusRequest {}).await;
    let drain = status.unwrap().into_inner().drain.unwrap();
    assert_eq!(drain.state(), v1::DrainState::Drained);
    assert_eq!(drain.withdraws_in, None);
    for was_draining in [true, false] {
        let answer = system.undrain(v1::UndrainRequest {}).await.unwrap();
        let answer = answer.into_inner();
        assert_eq!(answer.was_draining, was_draining);
        assert_eq!(answer.drain.unwrap().state(), v1::DrainState::None);
    }
    let request = v1::DrainRequest {
        grace: Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        }),
    };
    let refused = system.drain(request).await.unwrap_err();
    assert_eq!(super::lab::fault(&refused), "grace");
}

#[tokio::test]
async fn the_fib_is_listed() {
    let lab = Lab::new().await;
    let mut fib = FibServiceClient::new(lab.channel().await);
    let page = fib
        .list_fib(v1::ListFibRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((page.routes, page.next_page_token.as_str()), (vec![], ""));
    let request = v1::ListFibRequest {
        page_token: "x".into(),
        ..v1::ListFibRequest::default()
    };
    let refused = fib.list_fib(request).await.unwrap_err();
    assert_eq!(super::lab::fault(&refused), "page_token");
}

#[tokio::test]
async fn every_service_is_healthy() {
    let lab = Lab::new().await;
    let mut health = HealthClient::new(lab.channel().await);
    for service in SERVICES.into_iter().chain([""]) {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service}");
    }
}

#[tokio::test]
async fn reflection_lists_every_service() {
    let lab = Lab::new().await;
    let mut client = ServerReflectionClient::new(lab.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures::stream::iter([request]);
    let mut answers = client
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(names.contains(&service), "{service} in {names:?}");
    }
}
