//! How the FIB is shown.

use proto::v1::ListFibResponse;
use proto::v1::fib_service_server::{FibService, FibServiceServer};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::*;
use crate::client::tests::serve;
use crate::output::Format;

/// A table of three pages.
struct Pages;

#[tonic::async_trait]
impl FibService for Pages {
    async fn list_fib(
        &self,
        request: Request<ListFibRequest>,
    ) -> Result<Response<ListFibResponse>, Status> {
        let request = request.into_inner();
        assert!(request.diff_only);
        let (prefix, state, next) = match request.page_token.as_str() {
            "" => ("10.0.0.0/8", State::Installed, "second"),
            "second" => ("10.1.0.0/16", State::Failed, "third"),
            "third" => ("10.2.0.0/16", State::Foreign, ""),
            token => return Err(Status::invalid_argument(token)),
        };
        let route = FibRoute {
            prefix: prefix.into(),
            wanted: Some("via 10.0.0.2 dev eth0".into()),
            actual: None,
            state: state.into(),
            error: (state == State::Failed).then(|| "No route to host, again in 4s".into()),
            table: 254,
            metric: 20,
            prefsrc: None,
        };
        let (routes, next_page_token) = (vec![route], next.into());
        Ok(Response::new(ListFibResponse {
            routes,
            next_page_token,
        }))
    }

    async fn show_fib(
        &self,
        request: Request<ShowFibRequest>,
    ) -> Result<Response<ShowFibResponse>, Status> {
        let hop = |address: &str, reached: bool| FibNextHop {
            address: address.into(),
            gateway: reached.then(|| "10.0.0.2".into()),
            interface: reached.then(|| "eth0".into()),
            cost: reached.then_some(20),
            through: reached.then(|| "10.9.0.0/24".into()).into_iter().collect(),
            ways: reached.then(two_ways).into_iter().flatten().collect(),
        };
        fn two_ways() -> [FibWay; 2] {
            [("10.0.0.2", 1), ("10.0.0.3", 2)].map(|(gateway, weight)| FibWay {
                gateway: Some(gateway.into()),
                interface: Some("eth0".into()),
                weight,
            })
        }
        Ok(Response::new(ShowFibResponse {
            routes: vec![FibRoute {
                prefix: request.into_inner().prefix,
                wanted: Some("via 10.9.0.1, via 10.9.0.2".into()),
                actual: None,
                state: State::Pending.into(),
                error: None,
                table: 1000,
                metric: 7,
                prefsrc: Some("10.200.0.1".into()),
            }],
            policy: vec!["to-kernel rule[0]: table 1000, metric 7; accept".into()],
            rejected: false,
            next_hops: vec![hop("10.9.0.1", true), hop("10.9.0.2", false)],
        }))
    }
}

#[tokio::test]
async fn one_prefix_is_shown_with_its_place_its_policy_and_its_next_hops() {
    let (channel, _dir) = serve(Routes::new(FibServiceServer::new(Pages))).await;
    let mut out = Vec::new();
    let mut printer = Printer::new(Format::Table, false, &mut out);
    let prefix = "10.3.0.0/16".to_owned();
    run(FibCommand::Show { prefix }, channel, &mut printer)
        .await
        .unwrap();
    let expected = "\
10.3.0.0/16
  table 1000 metric 7 src 10.200.0.1, pending
    wanted: via 10.9.0.1, via 10.9.0.2
    there: nothing
  policy: to-kernel rule[0]: table 1000, metric 7; accept
  next hop 10.9.0.1: via 10.0.0.2 dev eth0 weight 1, via 10.0.0.3 dev eth0 weight 2, cost 20, through 10.9.0.0/24
  next hop 10.9.0.2: not reachable
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

async fn list(format: Format) -> String {
    let (channel, _dir) = serve(Routes::new(FibServiceServer::new(Pages))).await;
    let mut out = Vec::new();
    let mut printer = Printer::new(format, false, &mut out);
    run(FibCommand::List { diff: true }, channel, &mut printer)
        .await
        .unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn all_pages_are_one_table() {
    let expected = "\
PREFIX       STATE      TABLE  METRIC  WANTED                 ERROR
10.0.0.0/8   installed    254      20  via 10.0.0.2 dev eth0
10.1.0.0/16  failed       254      20  via 10.0.0.2 dev eth0  No route to host, again in 4s
10.2.0.0/16  foreign      254      20  via 10.0.0.2 dev eth0
";
    assert_eq!(list(Format::Table).await, expected);
}

#[tokio::test]
async fn json_has_the_names_that_scripts_rely_on() {
    let rows: serde_json::Value = serde_json::from_str(&list(Format::Json).await).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    let expected = serde_json::json!({
        "prefix": "10.1.0.0/16", "wanted": "via 10.0.0.2 dev eth0", "actual": null, "state": "failed",
        "error": "No route to host, again in 4s", "table": 254, "metric": 20, "prefsrc": null,
    });
    assert_eq!(rows[1], expected);
}
