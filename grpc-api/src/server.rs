//! The server: all services on all listeners, each client bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, select};
use proto::v1::DESCRIPTORS;
use proto::v1::bfd_service_server::BfdServiceServer;
use proto::v1::fib_service_server::FibServiceServer;
use proto::v1::injection_service_server::InjectionServiceServer;
use proto::v1::link_service_server::LinkServiceServer;
use proto::v1::peer_service_server::PeerServiceServer;
use proto::v1::policy_service_server::PolicyServiceServer;
use proto::v1::route_service_server::RouteServiceServer;
use proto::v1::system_service_server::SystemServiceServer;
use tokio::sync::{Semaphore, watch};
use tonic::service::Routes as Router;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::bfd::Bfd;
use crate::core::Core;
use crate::fib::Fib;
use crate::injections::Injections;
use crate::links::Links;
use crate::listener::{Listener, Tls, incoming};
use crate::peers::Peers;
use crate::policies::Policies;
use crate::routes::Routes;
use crate::system::System;

/// Most connections at once on all listeners together; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 128;
/// Most calls at once on a connection, streams among them.
const CALLS_MAX: u32 = 64;
/// Most octets of a request. A batch of injected routes is the largest.
const REQUEST_OCTETS_MAX: usize = 4 << 20;
/// A client that was silent for so long is asked whether it lives …
const KEEPALIVE: Duration = Duration::from_secs(30);
/// … and has so long to answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long calls may take to end at the end; streams never do.
const GRACE: Duration = Duration::from_millis(500);

/// Answers on `listeners` until `shutdown`. An error is one of the TLS files, or of a listener.
pub async fn serve(
    core: Core,
    listeners: Vec<Listener>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = router(core).await?;
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (end, ended) = watch::channel(());
    let mut servers = Vec::new();
    for listener in listeners {
        let (accepted, tls) = incoming(listener, connections.clone())?;
        let mut ended = ended.clone();
        let server = server(tls)?.add_routes(router.clone());
        servers.push(server.serve_with_incoming_shutdown(accepted, async move {
            // An error is the end too.
            let _ = ended.changed().await;
        }));
    }
    let deadline = async move {
        shutdown.await;
        drop(end);
        tokio::time::sleep(GRACE).await;
    };
    let served = join_all(servers);
    match select(std::pin::pin!(served), std::pin::pin!(deadline)).await {
        futures::future::Either::Left((outcomes, _)) => outcomes
            .into_iter()
            .collect::<Result<(), _>>()
            .map_err(io::Error::other),
        futures::future::Either::Right(_) => Ok(()),
    }
}

async fn router(core: Core) -> io::Result<Router> {
    let peers = PeerServiceServer::new(Peers(core.clone()));
    let routes = RouteServiceServer::new(Routes::new(core.clone()));
    let injections = InjectionServiceServer::new(Injections(core.clone()))
        .max_decoding_message_size(REQUEST_OCTETS_MAX);
    let fib = FibServiceServer::new(Fib(core.clone()));
    let bfd = BfdServiceServer::new(Bfd(core.clone()));
    let links = LinkServiceServer::new(Links(core.clone()));
    let policies = PolicyServiceServer::new(Policies(core.clone()));
    let system = SystemServiceServer::new(System(core));
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<PeerServiceServer<Peers>>().await;
    reporter.set_serving::<RouteServiceServer<Routes>>().await;
    reporter
        .set_serving::<InjectionServiceServer<Injections>>()
        .await;
    reporter.set_serving::<FibServiceServer<Fib>>().await;
    reporter.set_serving::<BfdServiceServer<Bfd>>().await;
    reporter.set_serving::<LinkServiceServer<Links>>().await;
    reporter
        .set_serving::<PolicyServiceServer<Policies>>()
        .await;
    reporter.set_serving::<SystemServiceServer<System>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Router::new(peers)
        .add_service(routes)
        .add_service(injections)
        .add_service(fib)
        .add_service(bfd)
        .add_service(links)
        .add_service(policies)
        .add_service(system)
        .add_service(health)
        .add_service(reflection().build_v1().map_err(io::Error::other)?)
        // What clients of before 2024 ask for.
        .add_service(reflection().build_v1alpha().map_err(io::Error::other)?)
        .prepare())
}

fn server(tls: Option<Tls>) -> io::Result<Server> {
    let server = Server::builder()
        .max_concurrent_streams(CALLS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
    let Some(tls) = tls else {
        return Ok(server);
    };
    let mut config = ServerTlsConfig::new().identity(Identity::from_pem(tls.cert, tls.key));
    if let Some(ca) = tls.client_ca {
        config = config.client_ca_root(Certificate::from_pem(ca));
    }
    server.tls_config(config).map_err(io::Error::other)
}
