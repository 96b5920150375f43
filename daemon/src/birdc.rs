//! A control socket that `birdc` and what scrapes BIRD can read: status, protocols, routes. It changes nothing.
//!
//! Whatever is asked becomes a [`Query`]; a client's task asks the core page by page and writes each page before it
//! asks for the next, so that a client that does not read costs one page and nothing else.

mod condition;
mod protocols;
mod query;
mod reply;
mod routes;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use grpc_api::Core;
use ipnet::IpNet;
use speaker::Speaker;
use speaker::command::{PeerName, Refusal};
use speaker::view::{PeerView, RoutePage, RouteQuery, Status};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use query::{Query, Routes};
use reply::Reply;

/// Clients at once; others wait in the kernel's queue.
const CLIENTS_MAX: usize = 8;
/// Octets of a command. Whoever sends more is no `birdc`.
const LINE_MAX: u64 = 4096;
/// Prefixes that are asked for, formatted and written at a time.
const PAGE: usize = 256;
/// A client that takes no octet for so long is let go.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long nothing is accepted after the kernel gave no connection, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What names of protocols and moments are worked out from.
#[derive(Debug)]
struct Scene {
    status: Status,
    peers: Vec<PeerView>,
    /// Now, by both clocks.
    now: (Instant, SystemTime),
}

/// Binds the socket of `birdc`, as the API's are.
///
/// # Errors
/// As the kernel says, with the path.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    grpc_api::bind_unix(path).map_err(|error| {
        let what = format!("the socket for birdc at {}: {error}", path.display());
        io::Error::new(error.kind(), what)
    })
}

/// Answers on `listener` for ever.
pub(crate) async fn serve(listener: UnixListener, core: Core) {
    let listener = match tokio::net::UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "no socket for birdc"),
    };
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let core = core.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &core).await {
                        tracing::debug!(%error, "birdc: a client is let go");
                    }
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One client, until it goes away.
async fn converse(stream: UnixStream, core: &Core) -> io::Result<()> {
    let (read, mut client) = stream.into_split();
    let mut commands = BufReader::new(read);
    write(&mut client, Reply::greeting()).await?;
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut commands).take(LINE_MAX);
        bounded.read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            return Ok(());
        }
        let query = query::parse(&String::from_utf8_lossy(&line));
        answer(&mut client, core, query).await?;
    }
}

/// A part of an answer, which a client must take in time.
async fn write(client: &mut (impl tokio::io::AsyncWrite + Unpin), text: String) -> io::Result<()> {
    tokio::time::timeout(WRITE_TIME_MAX, client.write_all(text.as_bytes())).await?
}

async fn answer(
    client: &mut (impl tokio::io::AsyncWrite + Unpin),
    core: &Core,
    query: Query,
) -> io::Result<()> {
    let text = match query {
        Query::Refused(code, why) => Reply::only(code, &why),
        Query::Restrict => Reply::only(16, "Access restricted"),
        Query::Nothing => Reply::only(0, ""),
        Query::Status => protocols::status(&scene(core).await?),
        Query::BfdSessions => {
            let sessions = core.liveness.sessions().await;
            protocols::bfd_sessions(&scene(core).await?, &sessions)
        }
        Query::Protocols { all, name } => {
            protocols::protocols(&scene(core).await?, all, name.as_deref())
        }
        Query::Interfaces { summary } => {
            let ask = core.ask(|speaker, _, _| speaker.interfaces());
            protocols::interfaces(&ask.await.map_err(io::Error::other)?, summary)
        }
        Query::Routes(routes) => return show_routes(client, core, routes).await,
    };
    write(client, text).await
}

async fn scene(core: &Core) -> io::Result<Scene> {
    let ask = core.ask(|speaker, now, _| (speaker.status(), speaker.peers(), now));
    let (status, peers, now) = ask.await.map_err(io::Error::other)?;
    Ok(Scene {
        status,
        peers,
        now: (now, SystemTime::now()),
    })
}

async fn show_routes(
    client: &mut (impl tokio::io::AsyncWrite + Unpin),
    core: &Core,
    asked: Routes,
) -> io::Result<()> {
    let scene = scene(core).await?;
    let mut listing = match routes::Listing::new(&scene, &asked) {
        Ok(listing) => listing,
        Err(unknown) => return write(client, unknown).await,
    };
    for (table, family) in asked.tables() {
        listing.table(table);
        let question = RouteQuery {
            family: Some(family),
            ..listing.question()
        };
        let mut after = None;
        loop {
            let (page, told) = page(core, question.clone(), &listing, after).await?;
            after = page.next;
            write(client, listing.page(&page, &told)).await?;
            if after.is_none() {
                break;
            }
        }
        write(client, listing.end_of_table()).await?;
    }
    write(client, listing.finish()).await
}

/// A page of routes, or of the one that covers what is asked for most closely; and which of them the peer is told that is
/// asked about.
async fn page(
    core: &Core,
    question: RouteQuery,
    listing: &routes::Listing<'_>,
    after: Option<IpNet>,
) -> io::Result<(RoutePage, BTreeSet<IpNet>)> {
    let (within, peer) = (listing.within(), listing.peer());
    let ask = core.ask(move |speaker, _, _| {
        let page = match within {
            Some(host) => closest(speaker, &question, host)?,
            None => speaker.routes(&question, after, PAGE)?,
        };
        let told = peer.map(|peer| told(speaker, &page, &peer));
        Ok::<_, Refusal>((page, told.unwrap_or_default()))
    });
    let answered = ask.await.map_err(io::Error::other)?;
    // A peer that went away meanwhile has no routes.
    Ok(answered.unwrap_or_default())
}

/// The longest prefix that covers `host` and has a route.
fn closest(
    speaker: &mut Speaker,
    question: &RouteQuery,
    host: IpNet,
) -> Result<RoutePage, Refusal> {
    let mut found = RoutePage::default();
    for prefix in std::iter::successors(Some(host), IpNet::supernet) {
        let prefix = Some(prefix.trunc());
        let question = RouteQuery {
            prefix,
            ..question.clone()
        };
        found = speaker.routes(&question, None, PAGE)?;
        if !found.routes.is_empty() {
            break;
        }
    }
    Ok(RoutePage {
        next: None,
        ..found
    })
}

/// The prefixes of a page that a peer is told.
fn told(speaker: &mut Speaker, page: &RoutePage, peer: &PeerName) -> BTreeSet<IpNet> {
    let mut is_told = |prefix: &IpNet| {
        let question = RouteQuery {
            prefix: Some(*prefix),
            advertised_to: Some(peer.clone()),
            ..RouteQuery::default()
        };
        let told = speaker.routes(&question, None, 1);
        told.is_ok_and(|page| !page.routes.is_empty())
    };
    let prefixes = page.routes.iter().map(|route| route.prefix);
    prefixes.filter(|prefix| is_told(prefix)).collect()
}

#[cfg(test)]
mod tests;
