//! `PeerService`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_fsm::State;
use futures::stream::{self, Stream};
use proto::v1;
use proto::v1::peer_service_server::PeerService;
use proto::v1::watch_peers_response::Change;
use speaker::Notice;
use speaker::command::{PeerCommand, PeerName};
use speaker::view::PeerView;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tonic::transport::server::TlsConnectInfo;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::{Core, PeerDone, PeerOrder};
use crate::listener::Client;
use crate::page;

/// Changes within this time are told together.
const TOGETHER: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Peers(pub(crate) Core);

impl Peers {
    async fn command(&self, name: &str, command: PeerCommand) -> Result<(), Status> {
        let name = convert::peer_name("peer", name).map_err(convert::status)?;
        let done = self
            .0
            .ask(move |speaker, now, effects| speaker.peer_command(now, &name, command, effects));
        done.await?.map_err(convert::status)
    }

    /// Has a peer added, changed or removed for whoever asks.
    async fn change<T>(&self, request: &Request<T>, order: PeerOrder) -> Result<PeerDone, Status> {
        let by = client(request);
        let done = self.0.config.change_peer(order, by);
        done.await.map_err(convert::status)
    }

    /// What is known of a peer, and whether it is one of the file.
    fn show(&self, peers: Vec<PeerView>, now: Instant) -> Vec<v1::Peer> {
        let added = self.0.config.added_peers();
        let show = |view: PeerView| {
            let kept = added.get(&convert::name(&view)).copied();
            convert::peer(view, now, kept)
        };
        peers.into_iter().map(show).collect()
    }
}

fn name_of(done: &PeerDone) -> String {
    done.peer
        .as_ref()
        .map(convert::name_text)
        .unwrap_or_default()
}

/// Who asks, in words.
fn client<T>(request: &Request<T>) -> String {
    // With TLS, the connection's own is inside.
    let tls = || request.extensions().get::<TlsConnectInfo<Client>>();
    let client = request.extensions().get::<Client>();
    let client = client.or_else(|| tls().map(TlsConnectInfo::get_ref));
    client.map_or_else(
        || "the API".to_owned(),
        |client| format!("the API, {client}"),
    )
}

#[tonic::async_trait]
impl PeerService for Peers {
    async fn list_peers(
        &self,
        request: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size);
        let after = convert::peer_token(&request.page_token).map_err(convert::status)?;
        let (now, peers) = self.0.ask(|speaker, now, _| (now, speaker.peers())).await?;
        let mut peers: Vec<PeerView> = peers
            .into_iter()
            .filter(|peer| {
                after
                    .as_ref()
                    .is_none_or(|after| convert::name(peer) > *after)
            })
            .collect();
        let more = peers.len() > size;
        peers.truncate(size);
        let next = peers
            .last()
            .filter(|_| more)
            .map(|peer| convert::name_text(&convert::name(peer)));
        let peers = self.show(peers, now);
        let (peers, next_page_token) = page::fill(peers, next, |peer| peer, |peer| &peer.address);
        Ok(Response::new(v1::ListPeersResponse {
            peers,
            next_page_token,
        }))
    }

    async fn get_peer(
        &self,
        request: Request<v1::GetPeerRequest>,
    ) -> Result<Response<v1::GetPeerResponse>, Status> {
        let name =
            convert::peer_name("peer", &request.into_inner().peer).map_err(convert::status)?;
        let asked = name.clone();
        let (now, peer) = self
            .0
            .ask(move |speaker, now, _| (now, speaker.peer(&asked)))
            .await?;
        let peer = peer.ok_or_else(|| convert::no_peer(&name))?;
        let peer = self.show(vec![peer], now).pop();
        Ok(Response::new(v1::GetPeerResponse { peer }))
    }

    async fn enable_peer(
        &self,
        request: Request<v1::EnablePeerRequest>,
    ) -> Result<Response<v1::EnablePeerResponse>, Status> {
        self.command(&request.into_inner().peer, PeerCommand::Enable)
            .await?;
        Ok(Response::new(v1::EnablePeerResponse {}))
    }

    async fn disable_peer(
        &self,
        request: Request<v1::DisablePeerRequest>,
    ) -> Result<Response<v1::DisablePeerResponse>, Status> {
        let request = request.into_inner();
        let message = convert::shutdown_message(request.message).map_err(convert::status)?;
        self.command(&request.peer, PeerCommand::Disable(message))
            .await?;
        Ok(Response::new(v1::DisablePeerResponse {}))
    }

    async fn reset_peer(
        &self,
        request: Request<v1::ResetPeerRequest>,
    ) -> Result<Response<v1::ResetPeerResponse>, Status> {
        let request = request.into_inner();
        let message = convert::shutdown_message(request.message).map_err(convert::status)?;
        self.command(&request.peer, PeerCommand::Reset(message))
            .await?;
        Ok(Response::new(v1::ResetPeerResponse {}))
    }

    async fn refresh_peer(
        &self,
        request: Request<v1::RefreshPeerRequest>,
    ) -> Result<Response<v1::RefreshPeerResponse>, Status> {
        let request = request.into_inner();
        let family = convert::family("family", request.family).map_err(convert::status)?;
        self.command(&request.peer, PeerCommand::Refresh(family))
            .await?;
        Ok(Response::new(v1::RefreshPeerResponse {}))
    }

    async fn add_peer(
        &self,
        request: Request<v1::AddPeerRequest>,
    ) -> Result<Response<v1::AddPeerResponse>, Status> {
        let v1::AddPeerRequest { config, keep } = request.get_ref().clone();
        let done = self.change(&request, PeerOrder::Add { config, keep });
        let done = done.await?;
        Ok(Response::new(v1::AddPeerResponse {
            peer: name_of(&done),
            warnings: done.warnings,
            report: done.report,
        }))
    }

    async fn update_peer(
        &self,
        request: Request<v1::UpdatePeerRequest>,
    ) -> Result<Response<v1::UpdatePeerResponse>, Status> {
        let v1::UpdatePeerRequest { config, keep } = request.get_ref().clone();
        let done = self.change(&request, PeerOrder::Update { config, keep });
        let done = done.await?;
        Ok(Response::new(v1::UpdatePeerResponse {
            peer: name_of(&done),
            warnings: done.warnings,
            report: done.report,
            changes: done.changes,
        }))
    }

    async fn delete_peer(
        &self,
        request: Request<v1::DeletePeerRequest>,
    ) -> Result<Response<v1::DeletePeerResponse>, Status> {
        let v1::DeletePeerRequest { peer, keep } = request.get_ref();
        let peer = convert::peer_name("peer", peer).map_err(convert::status)?;
        let order = PeerOrder::Delete { peer, keep: *keep };
        self.change(&request, order).await?;
        Ok(Response::new(v1::DeletePeerResponse {}))
    }

    type WatchPeersStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchPeersResponse, Status>> + Send>>;

    async fn watch_peers(
        &self,
        request: Request<v1::WatchPeersRequest>,
    ) -> Result<Response<Self::WatchPeersStream>, Status> {
        let only = request.into_inner().peer;
        let only = only
            .map(|name| convert::peer_name("peer", &name))
            .transpose();
        let watch = Watch {
            core: self.0.clone(),
            notices: self.0.notices.subscribe(),
            only: only.map_err(convert::status)?,
            told: BTreeMap::new(),
            changes: Vec::new(),
            started: false,
        };
        let changes = stream::try_unfold(watch, |mut watch| async move {
            let change = watch.next().await?;
            Ok(change.map(|change| {
                (
                    v1::WatchPeersResponse {
                        change: Some(change),
                    },
                    watch,
                )
            }))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// One client that watches peers. It keeps what it was told of each, and is told the difference.
struct Watch {
    core: Core,
    notices: broadcast::Receiver<Arc<Notice>>,
    only: Option<PeerName>,
    told: BTreeMap<PeerName, Told>,
    /// What it has yet to hear, the next one last; at most one for each peer.
    changes: Vec<Change>,
    started: bool,
}

/// What makes a peer worth telling again.
type Told = (State, Instant, bool, Option<Instant>, bool);

impl Watch {
    /// `None`: the daemon ends.
    async fn next(&mut self) -> Result<Option<Change>, Status> {
        loop {
            if let Some(change) = self.changes.pop() {
                return Ok(Some(change));
            }
            if self.started && !self.something_happened().await {
                return Ok(None);
            }
            self.started = true;
            self.compare().await?;
        }
    }

    /// Waits for a notice about peers, and takes all others that are there. False: there will be none.
    async fn something_happened(&mut self) -> bool {
        loop {
            match self.notices.recv().await {
                Ok(notice) if !about_peers(&notice) => {}
                // To be behind is no harm: what is compared is the present.
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return false,
            }
        }
        tokio::time::sleep(TOGETHER).await;
        while matches!(
            self.notices.try_recv(),
            Ok(_) | Err(TryRecvError::Lagged(_))
        ) {}
        true
    }

    async fn compare(&mut self) -> Result<(), Status> {
        let (now, peers) = self
            .core
            .ask(|speaker, now, _| (now, speaker.peers()))
            .await?;
        let added = self.core.config.added_peers();
        let mut gone = std::mem::take(&mut self.told);
        for peer in peers {
            let name = convert::name(&peer);
            if self.only.as_ref().is_some_and(|only| *only != name) {
                continue;
            }
            let held = peer.held.is_some();
            let tell = (
                peer.state,
                peer.since,
                peer.enabled,
                peer.last_error_at,
                held,
            );
            if gone.remove(&name) != Some(tell) {
                let kept = added.get(&name).copied();
                let peer = convert::peer(peer, now, kept);
                self.changes.push(Change::Updated(peer));
            }
            self.told.insert(name, tell);
        }
        let gone = gone
            .keys()
            .map(|name| Change::Removed(convert::name_text(name)));
        self.changes.extend(gone);
        self.changes.reverse();
        Ok(())
    }
}

fn about_peers(notice: &Notice) -> bool {
    match notice {
        Notice::PeerState { .. }
        | Notice::PeerDown { .. }
        | Notice::Bfd(_)
        | Notice::Held { .. }
        | Notice::HeldOver { .. }
        | Notice::Configured { .. }
        | Notice::PeerChanged { .. } => true,
        Notice::Malformed { .. }
        | Notice::EndOfRib { .. }
        | Notice::MaxPrefixes { .. }
        | Notice::Refused { .. }
        | Notice::LeaseExpired { .. }
        | Notice::Restart { .. }
        | Notice::Drain { .. }
        | Notice::RedistributeFull { .. }
        | Notice::Link(_)
        | Notice::StationUp { .. }
        | Notice::StationDown { .. }
        | Notice::Fib(_) => false,
    }
}
