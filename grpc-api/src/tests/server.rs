//! The server itself: TLS, limits, clients that go away.

use std::net::TcpListener;
use std::time::Duration;

use proto::v1;
use proto::v1::system_service_client::SystemServiceClient;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::lab::{Lab, core};
use crate::{Listener, Tls, serve};

/// An authority, and a certificate of its for `localhost`.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key.
    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

async fn asks(endpoint: Endpoint) -> Result<u32, Code> {
    let channel: Channel = endpoint.connect().await.map_err(|_| Code::Unavailable)?;
    let answer = SystemServiceClient::new(channel)
        .get_status(v1::GetStatusRequest {})
        .await;
    answer
        .map(|status| status.into_inner().asn)
        .map_err(|status| status.code())
}

#[tokio::test]
async fn over_tcp_only_a_client_with_a_certificate_is_served() {
    let ours = Authority::new();
    let (cert, key) = ours.sign();
    let tls = Tls {
        cert: cert.into(),
        key: key.into(),
        client_ca: Some(ours.pem.clone().into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (core, _) = core();
    tokio::spawn(serve(
        core,
        vec![Listener::Tcp(listener, Some(tls))],
        std::future::pending(),
    ));

    let trusting = ClientTlsConfig::new()
        .domain_name("localhost")
        .ca_certificate(Certificate::from_pem(&ours.pem));
    let endpoint = |config: ClientTlsConfig| {
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}")).unwrap();
        endpoint.tls_config(config).unwrap()
    };
    let with = |authority: &Authority| {
        let (cert, key) = authority.sign();
        endpoint(trusting.clone().identity(Identity::from_pem(cert, key)))
    };
    assert_eq!(asks(with(&ours)).await, Ok(65001));
    assert!(
        asks(endpoint(trusting.clone())).await.is_err(),
        "no certificate"
    );
    assert!(
        asks(with(&Authority::new())).await.is_err(),
        "somebody else's certificate"
    );
    let plain = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    assert!(asks(plain).await.is_err(), "no TLS");
}

#[tokio::test]
async fn a_key_that_is_none_is_an_error_at_the_start() {
    let tls = Tls {
        cert: b"x".to_vec(),
        key: b"y".to_vec(),
        client_ca: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (core, _) = core();
    let served = serve(
        core,
        vec![Listener::Tcp(listener, Some(tls))],
        std::future::pending(),
    );
    assert!(served.await.is_err());
}

#[tokio::test]
async fn the_server_ends_though_a_stream_is_open() {
    let lab = Lab::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (shutdown, ended) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(
        lab.core.clone(),
        vec![Listener::Tcp(listener, None)],
        async {
            let _ = ended.await;
        },
    ));
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut peers = v1::peer_service_client::PeerServiceClient::new(channel);
    let mut stream = peers
        .watch_peers(v1::WatchPeersRequest::default())
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    drop(shutdown);
    let ended = tokio::time::timeout(Duration::from_secs(10), served).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let lab = Lab::new().await;
    let request = super::lab::batch(&"x".repeat(5 << 20), &[]);
    let refused = lab.injections().await.inject(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(lab.prefixes().await, ["10.100.0.0/16"]);
}
