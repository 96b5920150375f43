//! How links are shown.

use proto::v1::link_service_server::{LinkService, LinkServiceServer};
use proto::v1::{
    CheckLinksResponse, GetLinkResponse, LinkMeasure, ListLinksResponse, WatchLinksResponse,
};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::*;
use crate::client::tests::serve;
use crate::output::Format;

struct Links;

fn lossy() -> Link {
    Link {
        peer: "10.255.12.2".into(),
        interface: Some("wg-nyc".into()),
        state: State::Lossy.into(),
        cost_age: Some(prost_types::Duration {
            seconds: 75,
            nanos: 0,
        }),
        cost_out_us: 420_500,
        cost_in_us: 80_000,
        measure: Some(LinkMeasure {
            rtt_us: Some(160_000),
            jitter_us: 1_200,
            loss_out_10s: 0.2,
            ..LinkMeasure::default()
        }),
        interval_us: 20_000,
        probes_sent: 5_000,
        probe: Probe::Stamp.into(),
        tunnel: Some(Tunnel {
            public_key: "key".into(),
            endpoint: None,
            handshake_age: Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            }),
            received_octets: 7,
            sent_octets: 9,
        }),
        moves: vec![LinkMove {
            age: Some(prost_types::Duration {
                seconds: 75,
                nanos: 0,
            }),
            outward: true,
            from_us: 80_000,
            to_us: 420_500,
            why: "it loses more than it may".into(),
            loss_1s: 0.25,
            loss_10s: 0.05,
            rtt_us: None,
        }],
        ..Link::default()
    }
}

#[tonic::async_trait]
impl LinkService for Links {
    type WatchLinksStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<WatchLinksResponse, Status>>>;

    async fn list_links(
        &self,
        request: Request<ListLinksRequest>,
    ) -> Result<Response<ListLinksResponse>, Status> {
        let (link, next) = match request.into_inner().page_token.as_str() {
            "" => (
                Link {
                    moves: Vec::new(),
                    ..lossy()
                },
                "1",
            ),
            "1" => {
                let link = Link {
                    peer: "10.255.14.2".into(),
                    state: State::Good.into(),
                    probe: Probe::Icmp.into(),
                    ..Link::default()
                };
                (link, "2")
            }
            "2" => {
                let link = Link {
                    peer: "10.255.13.2".into(),
                    state: State::Unanswered.into(),
                    cost_out_us: 100_000,
                    ..Link::default()
                };
                (link, "")
            }
            token => return Err(Status::invalid_argument(token)),
        };
        Ok(Response::new(ListLinksResponse {
            links: vec![link],
            next_page_token: next.into(),
        }))
    }

    async fn get_link(
        &self,
        request: Request<GetLinkRequest>,
    ) -> Result<Response<GetLinkResponse>, Status> {
        assert_eq!(request.into_inner().peer, "10.255.12.2");
        Ok(Response::new(GetLinkResponse {
            link: Some(lossy()),
        }))
    }

    async fn watch_links(
        &self,
        _: Request<WatchLinksRequest>,
    ) -> Result<Response<Self::WatchLinksStream>, Status> {
        let message = Ok(WatchLinksResponse {
            link: Some(lossy()),
        });
        Ok(Response::new(tokio_stream::iter(vec![message])))
    }

    /// Of one peer, all is well.
    async fn check_links(
        &self,
        request: Request<CheckLinksRequest>,
    ) -> Result<Response<CheckLinksResponse>, Status> {
        let finding = |check: &str, verdict: Verdict, remedy: Option<&str>| LinkFinding {
            peer: Some("10.255.12.2".into()),
            interface: Some("wg-nyc".into()),
            check: check.into(),
            verdict: verdict.into(),
            found: "what was found".into(),
            remedy: remedy.map(str::to_owned),
        };
        let mut findings = vec![
            finding("clock", Verdict::Warning, Some("NTP")),
            finding("rp-filter", Verdict::Good, None),
        ];
        if request.into_inner().peer.is_none() {
            findings.push(finding("mtu", Verdict::Bad, Some("a smaller MTU")));
        }
        Ok(Response::new(CheckLinksResponse { findings }))
    }
}

#[tokio::test]
async fn what_is_bad_is_shown_and_is_a_failure_and_what_is_odd_is_none() {
    let run = |peer: Option<&str>, format| {
        let peer = peer.map(str::to_owned);
        async move {
            let (channel, _dir) = serve(Routes::new(LinkServiceServer::new(Links))).await;
            let mut out = Vec::new();
            let mut printer = Printer::new(format, false, &mut out);
            let done = run(LinkCommand::Check { peer }, channel, &mut printer).await;
            (done, String::from_utf8(out).unwrap())
        }
    };
    let (done, table) = run(None, Format::Table).await;
    let failure = done.unwrap_err();
    assert_eq!(
        (failure.exit_code(), failure.to_string()),
        (1, "one thing is wrong".to_owned())
    );
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("bad") && line.contains("a smaller MTU")),
        "{table}"
    );
    let (done, json) = run(Some("10.255.12.2"), Format::Json).await;
    assert!(done.is_ok());
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[0]["verdict"], "warning");
    assert_eq!(
        (&rows[1]["check"], &rows[1]["remedy"]),
        (&"rp-filter".into(), &serde_json::Value::Null)
    );
}

async fn shown(command: LinkCommand, format: Format) -> String {
    let (channel, _dir) = serve(Routes::new(LinkServiceServer::new(Links))).await;
    let mut out = Vec::new();
    let mut printer = Printer::new(format, false, &mut out);
    run(command, channel, &mut printer).await.unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn links_are_rows_of_all_pages() {
    let table = shown(LinkCommand::List, Format::Table).await;
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 4, "{table}");
    for word in [
        "10.255.12.2",
        "wg-nyc",
        "lossy",
        "160.0ms",
        "20.0%",
        "420.5ms",
        "1m15s",
    ] {
        assert!(rows[1].contains(word), "{word}: {table}");
    }
    assert!(rows[3].contains("unanswered"), "{table}");
}

#[tokio::test]
async fn json_has_the_fields_of_the_contract() {
    let rows: serde_json::Value =
        serde_json::from_str(&shown(LinkCommand::List, Format::Json).await).unwrap();
    let row = &rows[0];
    assert_eq!(row["rtt_us"], 160_000);
    assert_eq!(row["loss_out"], 0.2);
    assert_eq!(row["loss_in"], 0.0);
    assert_eq!(row["cost"], 420_500);
    assert_eq!(
        (&row["state"], &row["probe"]),
        (&"lossy".into(), &"stamp".into())
    );
    assert_eq!(
        (&row["since_s"], &row["probes_sent"]),
        (&75.into(), &5_000.into())
    );
    assert_eq!(rows[1]["probe"], "icmp");
    assert_eq!(rows[2]["rtt_us"], serde_json::Value::Null);
    assert_eq!(rows[2]["probe"], "none");
}

#[tokio::test]
async fn one_link_comes_with_its_history() {
    let show = || LinkCommand::Show {
        peer: "10.255.12.2".into(),
    };
    let text = shown(show(), Format::Table).await;
    assert!(
        text.contains("1m15s ago, out: 80.0ms -> 420.5ms, it loses more than it may"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&shown(show(), Format::Json).await).unwrap();
    assert_eq!(json["history"][0]["to"], 420_500, "{json}");
    assert_eq!(json["tunnel"]["handshake_age_s"], 60, "{json}");
    assert!(text.contains("7 received, 9 sent"), "{text}");
    assert!(text.contains("STAMP"), "{text}");
    let history = LinkCommand::History {
        peer: "10.255.12.2".into(),
    };
    let table = shown(history, Format::Table).await;
    assert!(table.lines().nth(1).unwrap().contains("420.5ms"), "{table}");
}

#[tokio::test]
async fn a_watch_is_a_line_a_change() {
    let text = shown(LinkCommand::Watch, Format::Table).await;
    assert_eq!(
        text.trim(),
        "10.255.12.2  lossy  cost 420.5ms  loss out 20.0% in 0.0%"
    );
    let json: serde_json::Value =
        serde_json::from_str(&shown(LinkCommand::Watch, Format::Ndjson).await).unwrap();
    assert_eq!(json["state"], "lossy");
}

/// The round trip is all that echo knows.
#[test]
fn a_link_that_echo_measures_says_so() {
    let row = LinkRow::from(Link {
        probe: Probe::Icmp.into(),
        ..lossy()
    });
    assert_eq!(
        row.line(),
        "10.255.12.2  lossy  cost 420.5ms  loss 20.0% there and back"
    );
    let (_, words) = row.details().into_iter().nth(7).unwrap();
    assert!(format!("{words:?}").contains("ICMP echo"), "{words:?}");
}
