//! Injection: options, batch files, leases that are held.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use proto::v1;
use proto::v1::as_path_segment::Kind;
use proto::v1::injection_service_server::{InjectionService, InjectionServiceServer};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::*;
use crate::args::{Command, RouteCommand, Windrose};
use crate::client::tests::serve;

/// What `windrose route inject` with these words asks for.
fn asked(words: &[&str]) -> Result<InjectRequest, String> {
    let words = ["windrose", "route", "inject"].iter().chain(words);
    let command = Windrose::try_parse_from(words).unwrap().command;
    let Command::Route(RouteCommand::Inject(inject)) = command else {
        panic!("{command:?}");
    };
    request(inject)
}

/// What it asks for with this file.
fn asked_in_file(text: &str, words: &[&str]) -> Result<InjectRequest, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    asked(&[&["-f", path], words].concat()).map_err(|why| why.replace(path, "FILE"))
}

#[test]
fn every_attribute_can_be_given() {
    let request = asked(&[
        "10.96.0.10",
        "--next-hop=10.0.0.5",
        "--community=65001:100,no-export",
        "--community=65001:101",
        "--large-community=65001:1:2",
        "--ext-community=rt:65001:5",
        "--med=10",
        "--local-pref=200",
        "--as-path=65010 {65011}",
        "--origin=egp",
        "--aigp=100",
        "--path-id=3",
        "--install",
        "--tag=7",
        "--owner=vip",
        "--lease=1500ms",
    ]);
    let request = request.unwrap();
    assert_eq!(request.owner, "vip");
    assert_eq!(
        request.lease,
        Some(prost_types::Duration {
            seconds: 1,
            nanos: 500_000_000
        })
    );
    let route = &request.announce[0];
    assert_eq!(
        (route.prefix.as_str(), route.path_id, route.install),
        ("10.96.0.10/32", 3, true)
    );
    assert_eq!(route.tag, 7);
    let a = route.attributes.as_ref().unwrap();
    assert_eq!(a.next_hop.as_deref(), Some("10.0.0.5"));
    assert_eq!(a.communities, ["65001:100", "no-export", "65001:101"]);
    assert_eq!(a.large_communities, ["65001:1:2"]);
    assert_eq!(a.ext_communities, ["rt:65001:5"]);
    assert_eq!(
        (a.med, a.local_pref, a.aigp),
        (Some(10), Some(200), Some(100))
    );
    assert_eq!(a.origin(), Origin::Egp);
    assert_eq!(a.as_path[1].kind(), Kind::Set);
}

#[test]
fn a_prefix_alone_is_enough_and_means_ourselves() {
    let request = asked(&["10.96.0.0/16"]).unwrap();
    assert_eq!((request.owner.as_str(), request.lease), ("cli", None));
    let attributes = request.announce[0].attributes.as_ref().unwrap();
    assert_eq!(
        (attributes.next_hop.as_deref(), attributes.origin()),
        (None, Origin::Igp)
    );
    let by_name = asked(&["10.96.0.0/16", "--next-hop", "self"]).unwrap();
    assert_eq!(by_name, request);
}

#[test]
fn each_lease_runs_by_itself_unless_an_owner_is_named() {
    let owner = |words: &[&str]| asked(words).unwrap().owner;
    assert_eq!(owner(&["10.0.0.0/8", "--lease", "30s"]), "cli:10.0.0.0/8");
    assert_eq!(owner(&["10.0.0.1", "--lease", "30s"]), "cli:10.0.0.1/32");
    assert_eq!(
        owner(&["10.0.0.0/8", "--lease", "30s", "--owner", "me"]),
        "me"
    );
}

#[test]
fn a_batch_in_toml_and_in_json_is_the_same() {
    let toml = r#"
        owner = "vip"
        lease = "30s"
        replace-all = true
        [[announce]]
        prefix = "10.96.0.10/32"
        next-hop = "10.0.0.5"
        communities = ["65001:100"]
        local-pref = 200
        as-path = "65010"
        [[announce]]
        prefix = "10.96.0.11"
        [[withdraw]]
        prefix = "10.96.0.12/32"
        path-id = 2
    "#;
    let json = json!({
        "owner": "vip", "lease": "30s", "replace_all": true,
        "announce": [
            {"prefix": "10.96.0.10/32", "next_hop": "10.0.0.5", "communities": ["65001:100"],
             "local_pref": 200, "as_path": "65010"},
            {"prefix": "10.96.0.11"},
        ],
        "withdraw": [{"prefix": "10.96.0.12/32", "path_id": 2}],
    });
    let request = asked_in_file(toml, &[]).unwrap();
    assert_eq!(asked_in_file(&json.to_string(), &[]).unwrap(), request);
    assert_eq!(request.owner, "vip");
    assert!(request.replace_all);
    assert_eq!(request.announce.len(), 2);
    assert_eq!(
        request.withdraw,
        [RouteKey {
            prefix: "10.96.0.12/32".into(),
            path_id: 2
        }]
    );
}

#[test]
fn the_batch_of_the_help_is_one() {
    let toml: Vec<&str> = BATCH_HELP
        .lines()
        .filter(|line| line.starts_with("  "))
        .collect();
    let batch = parse_batch(&toml.join("\n")).unwrap();
    assert_eq!((batch.announce.len(), batch.withdraw.len()), (1, 1));
}

#[test]
fn the_command_line_goes_before_the_file() {
    let file = "owner = \"file\"\nlease = \"30s\"\n[[announce]]\nprefix = \"10.0.0.0/8\"";
    let request = asked_in_file(file, &["--owner", "me", "--lease", "5s"]).unwrap();
    assert_eq!(request.owner, "me");
    assert_eq!(request.lease.map(seconds), Some(5.0));
}

#[test]
fn mistakes_say_where_they_are() {
    let why = asked_in_file(
        "[[announce]]\nprefix = \"10.0.0.0/8\"\nnexthop = \"10.0.0.5\"",
        &[],
    )
    .unwrap_err();
    assert!(why.starts_with("FILE: TOML parse error at line 3"), "{why}");
    let why = asked_in_file("[[announce]]\nmed = 5", &[]).unwrap_err();
    assert_eq!(
        why,
        "FILE: announce[0]: a prefix is missing: write prefix = \"10.96.0.10/32\""
    );
    let why = asked_in_file("{\"announce\": 5}", &[]).unwrap_err();
    assert!(why.contains("line 1 column 14"), "{why}");
    let why = asked(&["10.0.0.0/8", "--as-path", "65001 x"]).unwrap_err();
    assert_eq!(
        why,
        "`x` is no AS number: write a path as in `65001 65002 {65003}`"
    );
    let why = asked(&["10.0.0.0/8", "--hold"]).unwrap_err();
    assert_eq!(why, "--hold renews a lease: give one, as in --lease 30s");
}

#[test]
fn what_was_done_is_said_in_a_line() {
    let done = Injected {
        owner: "vip",
        announced: 1,
        withdrawn: 0,
        lease_s: Some(1.5),
    };
    assert_eq!(
        done.line(),
        "1 route injected, 0 withdrawn, owner vip with a lease of 1.5s"
    );
    let json = serde_json::to_value(&done).unwrap();
    assert_eq!(
        json,
        json!({"owner": "vip", "announced": 1, "withdrawn": 0, "lease_s": 1.5})
    );
}

/// A daemon that has forgotten the routes when they are renewed for the second time, as after a restart.
struct Forgetful {
    calls: UnboundedSender<&'static str>,
    renewed: AtomicBool,
}

#[tonic::async_trait]
impl InjectionService for Forgetful {
    async fn inject(
        &self,
        _: Request<InjectRequest>,
    ) -> Result<Response<v1::InjectResponse>, Status> {
        self.calls.send("inject").unwrap();
        Ok(Response::new(v1::InjectResponse::default()))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        self.calls.send("renew").unwrap();
        if self.renewed.swap(true, Ordering::Relaxed) {
            return Err(Status::not_found("owner"));
        }
        Ok(Response::new(v1::RenewResponse {}))
    }

    async fn withdraw(
        &self,
        _: Request<WithdrawRequest>,
    ) -> Result<Response<v1::WithdrawResponse>, Status> {
        pending().await
    }

    async fn list_owners(
        &self,
        _: Request<ListOwnersRequest>,
    ) -> Result<Response<v1::ListOwnersResponse>, Status> {
        pending().await
    }
}

#[tokio::test]
async fn a_lease_that_is_held_is_renewed_and_its_routes_put_in_again_when_they_are_gone() {
    let (calls, mut called) = unbounded_channel();
    let renewed = AtomicBool::new(false);
    let (channel, _dir) = serve(Routes::new(InjectionServiceServer::new(Forgetful {
        calls,
        renewed,
    })))
    .await;
    let request = asked(&["10.0.0.0/8", "--lease", "30ms"]).unwrap();
    let lease = request.lease.unwrap();
    let mut client = Client::new(channel);
    tokio::spawn(async move { renew(&mut client, request, lease).await });
    for expected in ["renew", "renew", "inject", "renew", "inject"] {
        assert_eq!(called.recv().await, Some(expected));
    }
}
