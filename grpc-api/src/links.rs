//! `LinkService`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, stream};
use ipnet::IpNet;
use proto::v1;
use proto::v1::link_service_server::LinkService;
use speaker::Notice;
use speaker::check;
use speaker::command::PeerName;
use speaker::links::LinkUse;
use speaker::path_score::LinkId;
use speaker::view::RouteQuery;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::{Core, LinkView};
use crate::page;

/// Prefixes of one peer that are compared with AllowedIPs, at most, and those that are asked for at once.
const ANNOUNCED_MAX: usize = 10_000;
const PAGE: usize = 1_000;

/// A link may change its state without a cost that changes: a watch looks again after this at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Links(pub(crate) Core);

impl Links {
    /// All links, and whose they are.
    async fn all(core: &Core) -> Result<(Instant, Vec<(LinkView, LinkUse)>), Status> {
        let links = core.liveness.links().await;
        let ids: Vec<LinkId> = links.iter().map(|link| link.view.link).collect();
        let (now, mut uses) = core
            .ask(move |speaker, now, _| {
                let uses = ids.into_iter().map(|id| speaker.link_use(id));
                (now, uses.collect::<Vec<_>>())
            })
            .await?;
        let mut uses = uses.drain(..);
        let with_use = |link| (link, uses.next().unwrap_or_default());
        Ok((now, links.into_iter().map(with_use).collect()))
    }
}

#[tonic::async_trait]
impl LinkService for Links {
    type WatchLinksStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchLinksResponse, Status>> + Send>>;

    async fn list_links(
        &self,
        request: Request<v1::ListLinksRequest>,
    ) -> Result<Response<v1::ListLinksResponse>, Status> {
        let v1::ListLinksRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let first = convert::offset(&page_token).map_err(convert::status)?;
        let (now, all) = Self::all(&self.0).await?;
        let (size, count) = (page::size(page_size), all.len());
        let rows = all.into_iter().skip(first).take(size);
        let next = first.saturating_add(size);
        Ok(Response::new(v1::ListLinksResponse {
            links: rows
                .map(|(link, of)| convert::link(&link, &of, now, false))
                .collect(),
            next_page_token: if next < count {
                next.to_string()
            } else {
                String::new()
            },
        }))
    }

    async fn get_link(
        &self,
        request: Request<v1::GetLinkRequest>,
    ) -> Result<Response<v1::GetLinkResponse>, Status> {
        let name = convert::peer_name("peer", &request.into_inner().peer);
        let name = name.map_err(convert::status)?;
        let (now, all) = Self::all(&self.0).await?;
        let found = all.iter().find(|(_, of)| of.peers.contains(&name));
        let (link, of) = found.ok_or_else(|| convert::no_link(&name))?;
        let mut row = convert::link(link, of, now, true);
        if let Some(device) = link.path.interface.clone() {
            let peer = self.0.checks.tunnel(device, link.path.remote).await;
            row.tunnel = peer.map(|peer| convert::tunnel(&peer, (self.0.clock)()));
        }
        Ok(Response::new(v1::GetLinkResponse { link: Some(row) }))
    }

    async fn check_links(
        &self,
        request: Request<v1::CheckLinksRequest>,
    ) -> Result<Response<v1::CheckLinksResponse>, Status> {
        let peer = request.into_inner().peer;
        let peer = peer
            .map(|text| convert::peer_name("peer", &text))
            .transpose();
        let peer = peer.map_err(convert::status)?;
        let core = &self.0;
        let (context, mut subjects) = core.ask(|speaker, _, _| speaker.check_subjects()).await?;
        if let Some(peer) = peer {
            subjects.retain(|subject| subject.peer == peer);
            if subjects.is_empty() {
                return Err(convert::no_device(&peer));
            }
        }
        let host = check::judge_host(&context, &core.checks.host());
        let mut findings: Vec<_> = host
            .into_iter()
            .map(|f| convert::finding(None, f))
            .collect();
        let facts = core.checks.links(context, subjects.clone()).await;
        for (subject, facts) in subjects.iter().zip(&facts) {
            let follows = facts.missing.is_some();
            let announced = match &facts.tunnel {
                Some(Ok(_)) if !follows => announced(core, &subject.peer).await?,
                Some(_) | None => Vec::new(),
            };
            let of_link = check::judge_link(subject, facts, &announced).into_iter();
            findings.extend(of_link.map(|f| convert::finding(Some(subject), f)));
        }
        Ok(Response::new(v1::CheckLinksResponse { findings }))
    }

    async fn watch_links(
        &self,
        _: Request<v1::WatchLinksRequest>,
    ) -> Result<Response<Self::WatchLinksStream>, Status> {
        let watch = Watch {
            core: self.0.clone(),
            notices: self.0.notices.subscribe(),
            told: BTreeMap::new(),
            changed: Vec::new(),
            started: false,
        };
        let changes = stream::try_unfold(watch, |mut watch| async move {
            let link = watch.next().await?;
            Ok(link.map(|link| (v1::WatchLinksResponse { link: Some(link) }, watch)))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

/// What a peer announces, a page at a time; at most [`ANNOUNCED_MAX`].
async fn announced(core: &Core, peer: &PeerName) -> Result<Vec<IpNet>, Status> {
    let mut prefixes = Vec::new();
    let mut after = None;
    loop {
        let query = RouteQuery {
            received_from: Some(peer.clone()),
            ..RouteQuery::default()
        };
        let page = core
            .ask(move |speaker, _, _| speaker.routes(&query, after, PAGE))
            .await?;
        let page = page.map_err(convert::status)?;
        prefixes.extend(page.routes.iter().map(|route| route.prefix));
        after = page.next;
        if after.is_none() || prefixes.len() >= ANNOUNCED_MAX {
            return Ok(prefixes);
        }
    }
}

/// One client that watches links. It keeps what it was told of each, and is told the difference.
struct Watch {
    core: Core,
    notices: broadcast::Receiver<Arc<Notice>>,
    told: BTreeMap<LinkId, (v1::link::State, u64, u64)>,
    /// What it has yet to hear, the next one last; at most one for each link.
    changed: Vec<v1::Link>,
    started: bool,
}

impl Watch {
    /// `None`: the daemon ends.
    async fn next(&mut self) -> Result<Option<v1::Link>, Status> {
        loop {
            if let Some(link) = self.changed.pop() {
                return Ok(Some(link));
            }
            if self.started && !self.something_happened().await {
                return Ok(None);
            }
            self.started = true;
            self.compare().await?;
        }
    }

    /// False: nothing will happen any more.
    async fn something_happened(&mut self) -> bool {
        let news = async {
            loop {
                match self.notices.recv().await {
                    Ok(notice) if matches!(*notice, Notice::Link(_)) => return true,
                    Ok(_) => {}
                    // To be behind is no harm: what is compared is the present.
                    Err(RecvError::Lagged(_)) => return true,
                    Err(RecvError::Closed) => return false,
                }
            }
        };
        tokio::time::timeout(LOOK_AGAIN, news).await.unwrap_or(true)
    }

    async fn compare(&mut self) -> Result<(), Status> {
        let (now, all) = Links::all(&self.core).await?;
        let before = std::mem::take(&mut self.told);
        for (link, of) in all.iter().rev() {
            let row = convert::link(link, of, now, false);
            let told = (row.state(), row.cost_out_us, row.cost_in_us);
            if before.get(&link.view.link) != Some(&told) {
                self.changed.push(row);
            }
            self.told.insert(link.view.link, told);
        }
        Ok(())
    }
}
