//! How BFD sessions are shown.

use proto::v1::bfd_service_server::{BfdService, BfdServiceServer};
use proto::v1::{BfdNeighbor, BfdState, ListBfdSessionsResponse};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::*;
use crate::client::tests::serve;
use crate::output::Format;

/// One that is up on the first page, one that was never heard on the second.
struct Pages;

#[tonic::async_trait]
impl BfdService for Pages {
    async fn list_bfd_sessions(
        &self,
        request: Request<ListBfdSessionsRequest>,
    ) -> Result<Response<ListBfdSessionsResponse>, Status> {
        let (session, next) = match request.into_inner().page_token.as_str() {
            "" => {
                let neighbor = BfdNeighbor {
                    discriminator: 9,
                    state: BfdState::Up.into(),
                    multiplier: 5,
                    ..BfdNeighbor::default()
                };
                let session = BfdSession {
                    address: "10.0.0.2".into(),
                    interface: Some("wg-nyc".into()),
                    state: BfdState::Up.into(),
                    state_age: Some(prost_types::Duration {
                        seconds: 75,
                        nanos: 0,
                    }),
                    diagnostic: 1,
                    local_discriminator: 7,
                    neighbor: Some(neighbor),
                    multiplier: 3,
                    transmit_us: Some(50_000),
                    detection_us: Some(150_000),
                    failures: 2,
                    last_failure: Some("heard nothing for a detection time".into()),
                    peers: vec!["10.0.0.2".into()],
                    ..BfdSession::default()
                };
                (session, "1")
            }
            "1" => {
                let session = BfdSession {
                    address: "10.0.0.3".into(),
                    state: BfdState::Down.into(),
                    transmit_us: Some(1_000_000),
                    ..BfdSession::default()
                };
                (session, "")
            }
            token => return Err(Status::invalid_argument(token)),
        };
        Ok(Response::new(ListBfdSessionsResponse {
            sessions: vec![session],
            next_page_token: next.into(),
        }))
    }
}

async fn list(format: Format) -> String {
    let (channel, _dir) = serve(Routes::new(BfdServiceServer::new(Pages))).await;
    let mut out = Vec::new();
    let mut printer = Printer::new(format, false, &mut out);
    run(BfdCommand::List, channel, &mut printer).await.unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn sessions_are_rows_of_all_pages() {
    let table = list(Format::Table).await;
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    for word in ["10.0.0.2", "wg-nyc", "up", "1m15s", "50ms", "150ms", "2"] {
        assert!(rows[1].contains(word), "{word}: {table}");
    }
    assert!(
        rows[2].contains("down") && rows[2].contains("1000ms"),
        "{table}"
    );
}

#[tokio::test]
async fn json_tells_what_is_not_known_as_null() {
    let rows: serde_json::Value = serde_json::from_str(&list(Format::Json).await).unwrap();
    assert_eq!(rows[0]["state"], "up");
    assert_eq!(rows[0]["uptime_s"], 75);
    assert_eq!(rows[0]["diagnostic"], "control detection time expired");
    assert_eq!(rows[0]["remote_state"], "up");
    assert_eq!(rows[0]["detection_us"], 150_000);
    assert_eq!(rows[1]["uptime_s"], serde_json::Value::Null);
    assert_eq!(rows[1]["remote_discriminator"], serde_json::Value::Null);
}
