//! `RouteService`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::v1;
use proto::v1::route_service_server::RouteService;
use speaker::view::RouteChange;
use speaker::{RouteWatcher, Speaker};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::Core;
use crate::page;
use crate::{dump, record};

/// Most changes of one message of a watch.
const CHANGES_MAX: usize = 128;
/// Changes within this time are told together.
const TOGETHER: Duration = Duration::from_millis(20);
/// Watches that wait for a client to come back, at most …
const PARKED_MAX: usize = 16;
/// … and how long.
const PARKED_FOR: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Routes {
    core: Core,
    parked: Parked,
    /// Watches so far.
    watches: AtomicU64,
}

impl Routes {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            core,
            parked: Parked::default(),
            watches: AtomicU64::new(0),
        }
    }
}

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
            .core
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
            .core
            .ask(move |speaker, _, _| speaker.explain(prefix))
            .await?;
        let explanation = explanation.ok_or_else(|| convert::no_route(prefix))?;
        Ok(Response::new(convert::explanation(explanation)))
    }

    type WatchRoutesStream = ReceiverStream<Message>;

    async fn watch_routes(
        &self,
        request: Request<v1::WatchRoutesRequest>,
    ) -> Result<Response<Self::WatchRoutesStream>, Status> {
        let token = request.into_inner().resume_token.unwrap_or_default();
        let (client, messages) = mpsc::channel(1);
        if let Some(client) = self.parked.resume(&token, client) {
            let watcher = self
                .core
                .ask(|speaker, _, _| speaker.watch_routes())
                .await?;
            let feed = Feed {
                core: self.core.clone(),
                changed: self.core.routes_changed.clone(),
                watcher: Some(watcher.map_err(convert::status)?),
                id: self.watches.fetch_add(1, Ordering::Relaxed),
                messages: 0,
                synced: false,
            };
            tokio::spawn(feed.run(client, self.parked.clone()));
        }
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    type DumpRoutesStream = ReceiverStream<dump::Message>;

    async fn dump_routes(
        &self,
        _: Request<v1::DumpRoutesRequest>,
    ) -> Result<Response<Self::DumpRoutesStream>, Status> {
        let (client, messages) = mpsc::channel(1);
        tokio::spawn(dump::run(self.core.clone(), client));
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    type RecordUpdatesStream = ReceiverStream<record::Message>;

    async fn record_updates(
        &self,
        _: Request<v1::RecordUpdatesRequest>,
    ) -> Result<Response<Self::RecordUpdatesStream>, Status> {
        let recorder = self.core.ask(|speaker, _, _| speaker.record()).await?;
        let recorder = recorder.map_err(convert::status)?;
        let (client, messages) = mpsc::channel(1);
        tokio::spawn(record::run(self.core.clone(), recorder, client));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

type Message = Result<v1::WatchRoutesResponse, Status>;

/// Watches whose clients went away, by the token of their last message. Each waits in its own task.
#[derive(Clone, Debug, Default)]
struct Parked(Arc<Mutex<Waiting>>);

type Waiting = BTreeMap<String, oneshot::Sender<mpsc::Sender<Message>>>;

impl Parked {
    /// Gives the client to the watch of this token; or back, if there is none.
    fn resume(&self, token: &str, client: mpsc::Sender<Message>) -> Option<mpsc::Sender<Message>> {
        let waiting = self.lock().remove(token);
        match waiting {
            Some(waiting) => waiting.send(client).err(),
            None => Some(client),
        }
    }

    /// Waits for a client that comes back with this token.
    async fn wait(&self, token: String) -> Option<mpsc::Sender<Message>> {
        let (waiting, client) = oneshot::channel();
        {
            let mut parked = self.lock();
            if parked.len() >= PARKED_MAX {
                return None;
            }
            parked.insert(token.clone(), waiting);
        }
        let client = tokio::time::timeout(PARKED_FOR, client).await;
        self.lock().remove(&token);
        client.ok()?.ok()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nobody panics while holding it; and the map would be sound all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One watch. It looks only when its client can take what it finds, so nothing waits for a client anywhere.
/// It is a task of its own, so that a look is never cut short.
struct Feed {
    core: Core,
    changed: watch::Receiver<u64>,
    /// Lent to the core while it looks; gone if the core is. The watch ends when it is dropped.
    watcher: Option<RouteWatcher>,
    id: u64,
    messages: u64,
    synced: bool,
}

impl Feed {
    /// Serves one client, and then another that resumes where the first left off, until none comes.
    async fn run(mut self, mut client: mpsc::Sender<Message>, parked: Parked) -> Option<()> {
        loop {
            self.serve(&client).await?;
            client = parked.wait(self.token()).await?;
        }
    }

    /// Until the client goes away. `None`: the daemon ends.
    async fn serve(&mut self, client: &mpsc::Sender<Message>) -> Option<()> {
        while let Ok(room) = client.reserve().await {
            // Marked as seen before the look, so that what changes in the meantime wakes us.
            self.changed.mark_unchanged();
            let (changes, more) = self.look().await?;
            if self.messages == 0 || !changes.is_empty() || (!self.synced && !more) {
                room.send(Ok(self.message(changes, more)));
                continue;
            }
            drop(room);
            let changed = async {
                self.changed.changed().await.ok()?;
                tokio::time::sleep(TOGETHER).await;
                Some(())
            };
            tokio::select! {
                changed = changed => changed?,
                () = client.closed() => {}
            }
        }
        Some(())
    }

    /// What changed, and whether there may be more. `None`: the daemon ends.
    async fn look(&mut self) -> Option<(Vec<RouteChange>, bool)> {
        let mut watcher = self.watcher.take()?;
        let look = move |speaker: &mut Speaker, _, _: &mut Vec<_>| {
            let changes = speaker.route_changes(&mut watcher, CHANGES_MAX);
            (watcher, changes)
        };
        let (watcher, changes) = self.core.ask(look).await.ok()?;
        self.watcher = Some(watcher);
        let more = changes.len() >= CHANGES_MAX;
        Some((changes, more))
    }

    fn message(&mut self, changes: Vec<RouteChange>, more: bool) -> v1::WatchRoutesResponse {
        self.messages += 1;
        v1::WatchRoutesResponse {
            changes: changes.into_iter().map(convert::route_change).collect(),
            resume_token: self.token(),
            reset: self.messages == 1,
            synced: !more && !std::mem::replace(&mut self.synced, !more),
        }
    }

    /// Names the last message: a client that gives it back has heard all.
    fn token(&self) -> String {
        format!("{:x}-{:x}-{:x}", self.core.epoch, self.id, self.messages)
    }
}
