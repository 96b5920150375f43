//! PeerService against a real speaker.

use std::os::unix::fs::MetadataExt as _;

use proto::v1;
use proto::v1::SessionState;
use proto::v1::watch_peers_response::Change;
use tonic::{Code, Streaming};

use super::lab::{Lab, fault};

fn get(peer: &str) -> v1::GetPeerRequest {
    v1::GetPeerRequest { peer: peer.into() }
}

fn disable(peer: &str) -> v1::DisablePeerRequest {
    v1::DisablePeerRequest {
        peer: peer.into(),
        message: Some("maintenance".into()),
    }
}

#[tokio::test]
async fn peers_are_listed_in_order_and_in_pages() {
    let lab = Lab::new().await;
    let mut peers = lab.peers().await;
    let all = peers
        .list_peers(v1::ListPeersRequest::default())
        .await
        .unwrap()
        .into_inner();
    let addresses: Vec<&str> = all.peers.iter().map(|peer| peer.address.as_str()).collect();
    assert_eq!(
        (addresses, all.next_page_token.as_str()),
        (vec!["10.0.0.2", "10.0.0.3"], "")
    );

    let mut request = v1::ListPeersRequest {
        page_size: 1,
        ..v1::ListPeersRequest::default()
    };
    let first = peers
        .list_peers(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.peers.len(), first.next_page_token.as_str()),
        (1, "10.0.0.2")
    );
    request.page_token = first.next_page_token;
    let second = peers
        .list_peers(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            second.peers[0].address.as_str(),
            second.next_page_token.as_str()
        ),
        ("10.0.0.3", "")
    );
    request.page_token = "x".into();
    assert_eq!(
        fault(&peers.list_peers(request).await.unwrap_err()),
        "page_token"
    );
}

#[tokio::test]
async fn a_peer_is_shown_or_named_as_missing() {
    let lab = Lab::new().await;
    let mut peers = lab.peers().await;
    let peer = peers
        .get_peer(get("10.0.0.2"))
        .await
        .unwrap()
        .into_inner()
        .peer
        .unwrap();
    assert_eq!((peer.asn, peer.enabled), (65002, true));
    assert_eq!(peer.families[0].family(), v1::Family::Ipv4);
    let missing = peers.get_peer(get("10.0.0.9")).await.unwrap_err();
    assert_eq!(
        (missing.code(), missing.message()),
        (Code::NotFound, "peer 10.0.0.9: not found")
    );
    assert_eq!(
        fault(&peers.get_peer(get("tokyo")).await.unwrap_err()),
        "peer"
    );
}

#[tokio::test]
async fn orders_reach_the_peer() {
    let lab = Lab::new().await;
    let mut peers = lab.peers().await;
    peers.disable_peer(disable("10.0.0.2")).await.unwrap();
    let peer = peers
        .get_peer(get("10.0.0.2"))
        .await
        .unwrap()
        .into_inner()
        .peer
        .unwrap();
    assert_eq!((peer.enabled, peer.state()), (false, SessionState::Idle));
    peers
        .enable_peer(v1::EnablePeerRequest {
            peer: "10.0.0.2".into(),
        })
        .await
        .unwrap();
    let peer = peers
        .get_peer(get("10.0.0.2"))
        .await
        .unwrap()
        .into_inner()
        .peer
        .unwrap();
    assert!(peer.enabled);
    let reset = v1::ResetPeerRequest {
        peer: "10.0.0.9".into(),
        message: None,
    };
    assert_eq!(
        peers.reset_peer(reset).await.unwrap_err().code(),
        Code::NotFound
    );
    let refresh = v1::RefreshPeerRequest {
        peer: "10.0.0.2".into(),
        family: Some(9),
    };
    assert_eq!(
        fault(&peers.refresh_peer(refresh).await.unwrap_err()),
        "family"
    );
    let long = v1::DisablePeerRequest {
        message: Some("x".repeat(256)),
        ..disable("10.0.0.2")
    };
    assert_eq!(
        fault(&peers.disable_peer(long).await.unwrap_err()),
        "message"
    );
}

async fn next(changes: &mut Streaming<v1::WatchPeersResponse>) -> v1::Peer {
    match changes.message().await.unwrap().unwrap().change {
        Some(Change::Updated(peer)) => peer,
        change => panic!("{change:?}"),
    }
}

#[tokio::test]
async fn a_watch_tells_each_peer_and_then_its_changes() {
    let lab = Lab::new().await;
    let mut peers = lab.peers().await;
    let all = peers
        .watch_peers(v1::WatchPeersRequest::default())
        .await
        .unwrap();
    let mut all = all.into_inner();
    assert_eq!(next(&mut all).await.address, "10.0.0.2");
    assert_eq!(next(&mut all).await.address, "10.0.0.3");
    let one = v1::WatchPeersRequest {
        peer: Some("10.0.0.3".into()),
    };
    let mut one = peers.watch_peers(one).await.unwrap().into_inner();
    assert_eq!(next(&mut one).await.address, "10.0.0.3");

    peers.disable_peer(disable("10.0.0.2")).await.unwrap();
    let peer = next(&mut all).await;
    assert_eq!((peer.address.as_str(), peer.enabled), ("10.0.0.2", false));
    peers.disable_peer(disable("10.0.0.3")).await.unwrap();
    let peer = next(&mut one).await;
    assert_eq!((peer.address.as_str(), peer.enabled), ("10.0.0.3", false));
}

#[tokio::test]
async fn a_peer_is_added_changed_and_deleted_by_whoever_asks() {
    let lab = Lab::new().await;
    let mut client = lab.peers().await;
    let add = |config: &str| v1::AddPeerRequest {
        config: config.into(),
        keep: true,
    };
    let added = client.add_peer(add("10.0.0.9")).await.unwrap().into_inner();
    assert_eq!((added.peer.as_str(), added.report), ("10.0.0.9", None));
    // Who asked is on the record, by the socket's word.
    let us = std::fs::metadata(&lab.path).unwrap().uid();
    let us = format!("the API, uid {us}");
    assert_eq!(added.warnings, [us]);
    let bad = client.add_peer(add("bad")).await.unwrap().into_inner();
    assert_eq!(bad.report.as_deref(), Some("line 1: bad"));
    let twice = client.add_peer(add("twice")).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    let update = v1::UpdatePeerRequest {
        config: "10.0.0.9".into(),
        keep: false,
    };
    let updated = client.update_peer(update).await.unwrap().into_inner();
    assert_eq!(updated.changes, ["asn 1 -> 2"]);
    let delete = |peer: &str| v1::DeletePeerRequest {
        peer: peer.into(),
        keep: false,
    };
    client.delete_peer(delete("10.0.0.3")).await.unwrap();
    let nobody = client.delete_peer(delete("10.0.0.7")).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    let nonsense = client.delete_peer(delete("me")).await.unwrap_err();
    assert_eq!(fault(&nonsense), "peer");
}

#[tokio::test]
async fn what_is_not_of_the_file_is_told_apart() {
    let lab = Lab::new().await;
    let list = v1::ListPeersRequest::default();
    let peers = lab.peers().await.list_peers(list).await.unwrap();
    let rows: Vec<_> = peers
        .into_inner()
        .peers
        .into_iter()
        .map(|peer| (peer.address, peer.added, peer.kept))
        .collect();
    let row = |address: &str, added| (address.to_owned(), added, added);
    assert_eq!(rows, [row("10.0.0.2", false), row("10.0.0.3", true)]);
}
