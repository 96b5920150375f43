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
        };
        let (routes, next_page_token) = (vec![route], next.into());
        Ok(Response::new(ListFibResponse {
            routes,
            next_page_token,
        }))
    }
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
PREFIX       STATE      WANTED                 ERROR
10.0.0.0/8   installed  via 10.0.0.2 dev eth0
10.1.0.0/16  failed     via 10.0.0.2 dev eth0  No route to host, again in 4s
10.2.0.0/16  foreign    via 10.0.0.2 dev eth0
";
    assert_eq!(list(Format::Table).await, expected);
}

#[tokio::test]
async fn json_has_the_names_that_scripts_rely_on() {
    let rows: serde_json::Value = serde_json::from_str(&list(Format::Json).await).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    let expected = serde_json::json!({
        "prefix": "10.1.0.0/16", "wanted": "via 10.0.0.2 dev eth0", "actual": null, "state": "failed",
        "error": "No route to host, again in 4s",
    });
    assert_eq!(rows[1], expected);
}
