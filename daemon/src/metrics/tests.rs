//! A scrape of a speaker, over HTTP.

use std::time::Instant;

use speaker::Speaker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::config;

const CONFIG: &str = "[router]\nasn = 65001\nrouter-id = \"10.255.0.1\"\n[[peer]]\naddress = \"127.0.0.2\"\nasn = 65001\n";

fn speaker() -> Speaker {
    let loaded = config::parse(CONFIG, std::path::Path::new("w.toml"), &[]).unwrap();
    let now = Instant::now();
    let mut speaker = Speaker::new(loaded.speaker, now, 1).unwrap();
    speaker.start(now, &mut Vec::new());
    speaker
}

#[test]
fn a_scrape_has_the_state_of_peers_tables_and_the_kernel() {
    let speaker = speaker();
    let counts = Counts::default();
    let prefix = "10.0.0.0/8".parse().unwrap();
    counts.count(&Notice::Fib(fib_netlink::Notice::InstallFailed {
        prefix,
        errno: 22,
        more: 2,
    }));
    let text = render(
        &speaker.status(),
        &speaker.peers(),
        (&speaker.watches(), &[link()]),
        &counts,
    );
    for line in [
        "windrose_build_info{version=\"0.1.0\"} 1",
        "windrose_peers 1",
        "windrose_peer_up{peer=\"127.0.0.2\"} 0",
        "windrose_peer_prefixes{peer=\"127.0.0.2\",family=\"ipv4\",kind=\"received\"} 0",
        "windrose_messages_total{peer=\"127.0.0.2\",direction=\"sent\"} 0",
        "windrose_rib_prefixes{family=\"ipv6\"} 0",
        "windrose_fib_routes{state=\"failed\"} 0",
        "windrose_fib_foreign_routes{state=\"kept\"} 0",
        "windrose_fib_foreign_routes{state=\"left-out\"} 0",
        "windrose_fib_failures_total 3",
        "windrose_link_probe{neighbor=\"192.0.2.1\",interface=\"wg0\",probe=\"none\"} 1",
        "windrose_link_probe{neighbor=\"192.0.2.1\",interface=\"wg0\",probe=\"icmp\"} 0",
        "windrose_link_cost_microseconds{neighbor=\"192.0.2.1\",interface=\"wg0\",direction=\"out\"} 100000",
        "windrose_link_rejected_total{neighbor=\"192.0.2.1\",interface=\"wg0\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(
        text.contains("windrose_process_resident_memory_bytes "),
        "{text}"
    );
    assert!(
        text.contains("windrose_process_cpu_seconds_total "),
        "{text}"
    );
    // What nobody has measured is not said to be none.
    assert!(!text.contains("windrose_link_loss{"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

/// One that nobody has answered on.
fn link() -> LinkView {
    let path = speaker::links::LinkPath {
        remote: "192.0.2.1".parse().unwrap(),
        local: None,
        interface: Some("wg0".into()),
    };
    let (now, id) = (Instant::now(), path_score::LinkId(1));
    let mut node = path_score::Node::new(path_score::node::Config::default(), Duration::ZERO);
    let link = path_score::node::LinkConfig {
        peer: path.remote,
        admin: path_score::Cost::default(),
        key: None,
        ssid: 1,
        echo_key: path_score::stamp::Key::new(b"scrape").unwrap(),
    };
    node.open(now, id, &link, &mut Vec::new());
    let view = node.views().next().unwrap();
    LinkView { path, view }
}

struct NoControl;

impl grpc_api::Liveness for NoControl {
    fn links(&self) -> grpc_api::BoxFuture<'_, Vec<LinkView>> {
        Box::pin(async { Vec::new() })
    }
    fn sessions(&self) -> grpc_api::BoxFuture<'_, Vec<grpc_api::BfdSession>> {
        Box::pin(async { Vec::new() })
    }
}

impl grpc_api::ConfigControl for NoControl {
    fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn diff(&self, _: Option<&str>) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
    fn reload(&self) -> grpc_api::BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn effective(&self) -> String {
        String::new()
    }
    fn change_peer(
        &self,
        _: grpc_api::PeerOrder,
        _: String,
    ) -> grpc_api::BoxFuture<'_, Result<grpc_api::PeerDone, speaker::command::Refusal>> {
        let refusal = speaker::command::Refusal::Precondition(String::new());
        Box::pin(async { Err(refusal) })
    }
    fn added_peers(&self) -> std::collections::BTreeMap<speaker::command::PeerName, bool> {
        Default::default()
    }
}

async fn get(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn metrics_and_health_are_served_and_nothing_else() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (jobs, mut taken) = mpsc::channel::<Job>(4);
    let (notices, _) = broadcast::channel(4);
    let (_, routes_changed) = watch::channel(0);
    let core = Core {
        jobs,
        notices: notices.clone(),
        routes_changed,
        config: Arc::new(NoControl),
        checks: crate::check::Checks::new(&config::Wireguard::default(), None),
        liveness: Arc::new(NoControl),
        epoch: 0,
        clock: || Duration::from_secs(1_700_000_000),
    };
    tokio::spawn(serve(
        listener,
        Metrics::new(core, notices.subscribe(), None),
    ));
    let core = tokio::spawn(async move {
        let mut speaker = speaker();
        while let Some(job) = taken.recv().await {
            job(&mut speaker, Instant::now(), &mut Vec::new());
        }
    });
    let metrics = get(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        metrics.starts_with("HTTP/1.1 200 OK") && metrics.contains("windrose_peers 1"),
        "{metrics}"
    );
    let health = get(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(health.starts_with("HTTP/1.1 200 OK"), "{health}");
    let nothing = get(address, "GET /secret HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
    let post = get(
        address,
        "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    let noise = get(address, "\u{1}\u{2}noise\r\n\r\n").await;
    assert!(
        noise.is_empty() || noise.starts_with("HTTP/1.1 400"),
        "{noise}"
    );
    core.abort();
    let _ = core.await;
    let silent = get(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(silent.starts_with("HTTP/1.1 503"), "{silent}");
}
