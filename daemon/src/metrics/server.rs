//! HTTP/1.1 for `/metrics` and `/healthz`. A request, an answer, and the connection is closed.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use grpc_api::Core;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{Counts, Metrics, ask, ask_links, render};

/// Connections at once; others wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 16;
/// A connection that takes longer is closed.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);
/// Octets of a request's head.
const HEAD_MAX: usize = 16 * 1024;
/// How long nothing is accepted after the kernel gave no connection, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers on `listener` for ever.
pub(crate) async fn serve(listener: TcpListener, metrics: Metrics) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "no metrics"),
    };
    let Metrics {
        core,
        notices,
        counts,
    } = metrics;
    let counting = Arc::clone(&counts);
    tokio::spawn(async move { counting.follow(notices).await });
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (core, counts) = (core.clone(), Arc::clone(&counts));
                tokio::spawn(async move {
                    let answered = connection(stream, core, counts);
                    // Whoever is too slow is cut off.
                    let _ = tokio::time::timeout(CONNECTION_TIME_MAX, answered).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, core: Core, counts: Arc<Counts>) {
    let service = service_fn(|request| answer(request, &core, &counts));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "metrics: a client went away, or is none");
    }
}

async fn answer(
    request: Request<Incoming>,
    core: &Core,
    counts: &Counts,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = respond(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "only GET is answered\n".to_owned(),
        );
        response
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let silent = || {
        respond(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "the core does not answer\n".to_owned(),
        )
    };
    Ok(match request.uri().path() {
        "/metrics" => match ask(core).await {
            Some((status, peers, watches)) => {
                let links = ask_links(core).await;
                let text = render(&status, &peers, (&watches, &links), counts);
                respond(StatusCode::OK, OPENMETRICS, text)
            }
            None => silent(),
        },
        "/healthz" => match ask(core).await {
            Some((status, ..)) if status.problems.is_empty() => {
                respond(StatusCode::OK, TEXT, "ok\n".to_owned())
            }
            // It works, and says what could be better.
            Some((status, ..)) => respond(
                StatusCode::OK,
                TEXT,
                format!("ok\n{}\n", status.problems.join("\n")),
            ),
            None => silent(),
        },
        _ => respond(
            StatusCode::NOT_FOUND,
            TEXT,
            "there are /metrics and /healthz\n".to_owned(),
        ),
    })
}

fn respond(code: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
