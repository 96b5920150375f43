//! Links, as clients ask for them.

use proto::v1::link_finding::Verdict;
use proto::v1::link_service_client::LinkServiceClient;

use proto::v1::{CheckLinksRequest, GetLinkRequest};

use super::lab::Lab;

#[tokio::test]
async fn a_link_is_shown_with_the_wireguard_peer_behind_it() {
    let lab = Lab::new().await;
    let mut client = LinkServiceClient::new(lab.channel().await);
    let peer = "10.0.0.2".to_owned();
    let answer = client.get_link(GetLinkRequest { peer }).await.unwrap();
    let tunnel = answer.into_inner().link.unwrap().tunnel.unwrap();
    assert_eq!(tunnel.endpoint.as_deref(), Some("198.18.2.2:51820"));
    assert_eq!(tunnel.handshake_age.unwrap().seconds, 60);
    assert_eq!((tunnel.received_octets, tunnel.sent_octets), (7, 0));
    assert_eq!(tunnel.public_key.len(), 44);
}

#[tokio::test]
async fn a_check_tells_of_the_machine_and_of_each_link_or_of_one() {
    let lab = Lab::new().await;
    let mut client = LinkServiceClient::new(lab.channel().await);
    let mut check = async |peer: Option<&str>| {
        let peer = peer.map(str::to_owned);
        let answer = client.check_links(CheckLinksRequest { peer }).await?;
        Ok::<_, tonic::Status>(answer.into_inner().findings)
    };
    let findings = check(None).await.unwrap();
    let shown: Vec<_> = findings
        .iter()
        .map(|f| (f.check.as_str(), f.verdict(), f.interface.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            ("hash-policy", Verdict::Warning, None),
            ("device", Verdict::Bad, Some("wg-nyc"))
        ]
    );
    let peer = findings[1].peer.clone().unwrap();
    assert_eq!(check(Some(&peer)).await.unwrap().len(), 2);
    let unknown = check(Some("10.0.0.9")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let bad = check(Some("nobody")).await.unwrap_err();
    assert_eq!(bad.code(), tonic::Code::InvalidArgument);
}
