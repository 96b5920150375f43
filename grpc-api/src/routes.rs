//! `RouteService`.

use std::pin::Pin;

use futures::stream::{self, Stream};
use proto::v1;
use proto::v1::route_service_server::RouteService;
use speaker::RouteWatcher;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::Core;
use crate::page;

/// Most changes of one message of a watch.
const CHANGES_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Routes(pub(crate) Core);

#[tonic::async_trait]
impl RouteService for Routes {
    async fn list_routes(
        &self,
        request: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<v1::ListRoutesResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size);
        let after = convert::prefix_token(&request.page_token).map_err(convert::status)?;
        let query = convert::route_query(request).map_err(convert::status)?;
        let page = self
            .0
            .ask(move |speaker, _, _| speaker.routes(&query, after, size))
            .await?;
        let page = page.map_err(convert::status)?;
        let next = page.next.map(|prefix| prefix.to_string());
        let (routes, next_page_token) =
            page::fill(page.routes, next, convert::route, |route| &route.prefix);
        Ok(Response::new(v1::ListRoutesResponse {
            routes,
            next_page_token,
        }))
    }

    async fn explain_route(
        &self,
        request: Request<v1::ExplainRouteRequest>,
    ) -> Result<Response<v1::ExplainRouteResponse>, Status> {
        let prefix =
            convert::prefix("prefix", &request.into_inner().prefix).map_err(convert::status)?;
        let explanation = self
            .0
            .ask(move |speaker, _, _| speaker.explain(prefix))
            .await?;
        let explanation = explanation.ok_or_else(|| convert::no_route(prefix))?;
        Ok(Response::new(convert::explanation(explanation)))
    }

    type WatchRoutesStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchRoutesResponse, Status>> + Send>>;

    async fn watch_routes(
        &self,
        request: Request<v1::WatchRoutesRequest>,
    ) -> Result<Response<Self::WatchRoutesStream>, Status> {
        let token = request.into_inner().resume_token;
        let from =
            convert::resume_point(self.0.epoch, token.as_deref()).map_err(convert::status)?;
        let watcher = self
            .0
            .ask(move |speaker, _, _| speaker.watch_routes(from))
            .await?;
        let watch = Watch {
            core: self.0.clone(),
            changed: self.0.routes_changed.clone(),
            watcher: Some(watcher),
            token: from.unwrap_or_default(),
            begun: from.is_some(),
            synced: false,
        };
        let messages = stream::try_unfold(watch, |mut watch| async move {
            let message = watch.next().await?;
            Ok(message.map(|message| (message, watch)))
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

/// One client that watches routes. It is a cursor: nothing waits for it anywhere.
struct Watch {
    core: Core,
    changed: watch::Receiver<u64>,
    /// Lent to the core while it looks; gone if the core went away with it.
    watcher: Option<RouteWatcher>,
    token: u64,
    /// The client was told that the whole table follows, or knows how it was.
    begun: bool,
    synced: bool,
}

impl Watch {
    /// `None`: the daemon ends.
    async fn next(&mut self) -> Result<Option<v1::WatchRoutesResponse>, Status> {
        loop {
            // Marked as seen before the look, so that what changes while we look wakes us.
            self.changed.mark_unchanged();
            let Some(mut watcher) = self.watcher.take() else {
                return Ok(None);
            };
            let look = move |speaker: &mut speaker::Speaker, _, _: &mut Vec<_>| {
                let changes = speaker.route_changes(&mut watcher, CHANGES_MAX);
                (watcher, changes)
            };
            let (watcher, changes) = self.core.ask(look).await?;
            self.watcher = Some(watcher);
            let caught_up = changes.len() < CHANGES_MAX;
            if changes.is_empty() && self.synced && self.begun {
                if self.changed.changed().await.is_err() {
                    return Ok(None);
                }
                continue;
            }
            self.token = changes.last().map_or(self.token, |change| change.token);
            return Ok(Some(v1::WatchRoutesResponse {
                changes: changes.into_iter().map(convert::route_change).collect(),
                resume_token: convert::resume_token(self.core.epoch, self.token),
                reset: !std::mem::replace(&mut self.begun, true),
                synced: caught_up && !std::mem::replace(&mut self.synced, caught_up),
            }));
        }
    }
}
