//! A real speaker in a thread, a server on a Unix socket, and time that passes when a test says so.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU32};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proto::v1;
use proto::v1::injection_service_client::InjectionServiceClient;
use proto::v1::peer_service_client::PeerServiceClient;
use proto::v1::route_service_client::RouteServiceClient;
use proto::v1::system_service_client::SystemServiceClient;
use rib::policy::{Action, MatchConfig, PolicyConfig, RuleConfig, SetConfig, Then};
use speaker::check::{Context, HostFacts, LinkFacts, Subject};
use speaker::config::{Config, Fib, Originate, Peer, PeerOptions, Router, When};
use speaker::{Effect, Event, Speaker, bfd, path_score};
use tempfile::TempDir;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use bgp_core::Attributes;
use bgp_core::attributes::{AsPath, NextHop, Origin};
use bgp_core::family::PerFamily;

use speaker::command::{PeerName, Refusal};
use speaker::links::LinkPath;
use speaker::wireguard::{Peer as TunnelPeer, PeerKey};

use crate::{
    BfdSession, BoxFuture, ConfigControl, Core, JOBS_MAX, Job, LinkChecks, LinkView, Listener,
    Liveness, NOTICES_MAX, PeerDone, PeerOrder, bind_unix, serve,
};

pub(super) struct Lab {
    pub(super) core: Core,
    pub(super) path: PathBuf,
    now: Arc<AtomicU64>,
    /// Ends the server when it is dropped.
    _shutdown: oneshot::Sender<()>,
    _dir: TempDir,
}

impl Lab {
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let (core, now) = core();
        let (shutdown, ended) = oneshot::channel::<()>();
        let listener = Listener::Unix(bind_unix(&path).unwrap());
        tokio::spawn(serve(core.clone(), vec![listener], async {
            let _ = ended.await;
        }));
        Self {
            core,
            path,
            now,
            _shutdown: shutdown,
            _dir: dir,
        }
    }

    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("unix:{}", self.path.display())).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(super) async fn peers(&self) -> PeerServiceClient<Channel> {
        PeerServiceClient::new(self.channel().await)
    }

    pub(super) async fn routes(&self) -> RouteServiceClient<Channel> {
        RouteServiceClient::new(self.channel().await)
    }

    pub(super) async fn injections(&self) -> InjectionServiceClient<Channel> {
        InjectionServiceClient::new(self.channel().await)
    }

    pub(super) async fn system(&self) -> SystemServiceClient<Channel> {
        SystemServiceClient::new(self.channel().await)
    }

    /// Time passes, and the speaker is told.
    pub(super) async fn pass(&self, time: Duration) {
        self.now
            .fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
        let told = self
            .core
            .ask(|speaker, now, effects| speaker.handle(now, Event::Timeout, effects));
        told.await.unwrap();
    }

    /// The prefixes of all routes, in order.
    pub(super) async fn prefixes(&self) -> Vec<String> {
        let mut client = self.routes().await;
        let mut request = v1::ListRoutesRequest::default();
        let mut prefixes = Vec::new();
        loop {
            let page = client
                .list_routes(request.clone())
                .await
                .unwrap()
                .into_inner();
            prefixes.extend(page.routes.into_iter().map(|route| route.prefix));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return prefixes;
            }
        }
    }
}

/// The field that an INVALID_ARGUMENT names.
pub(super) fn fault(status: &Status) -> &str {
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    status
        .metadata()
        .get("windrose-field")
        .unwrap()
        .to_str()
        .unwrap()
}

/// A route to inject, to ourselves.
pub(super) fn route(prefix: &str) -> v1::InjectedRoute {
    v1::InjectedRoute {
        prefix: prefix.into(),
        ..v1::InjectedRoute::default()
    }
}

pub(super) fn batch(owner: &str, prefixes: &[&str]) -> v1::InjectRequest {
    v1::InjectRequest {
        owner: owner.into(),
        announce: prefixes.iter().map(|prefix| route(prefix)).collect(),
        ..v1::InjectRequest::default()
    }
}

/// What the daemon does: runs jobs between events, and passes notices on.
pub(super) fn core() -> (Core, Arc<AtomicU64>) {
    let start = Instant::now();
    let (jobs, mut queue) = mpsc::channel::<Job>(JOBS_MAX);
    let (notices, _) = broadcast::channel(NOTICES_MAX);
    let (changed, routes_changed) = watch::channel(0);
    let now = Arc::new(AtomicU64::new(0));
    let core = Core {
        jobs,
        notices: notices.clone(),
        routes_changed,
        config: Arc::new(Files::default()),
        liveness: Arc::new(Neighbors(start)),
        checks: Arc::new(Devices),
        epoch: 7,
        clock: || Duration::from_secs(1_700_000_000),
    };
    let clock = now.clone();
    std::thread::spawn(move || {
        let mut speaker = Speaker::new(config(), start, 1).unwrap();
        let mut effects = Vec::new();
        speaker.start(start, &mut effects);
        while let Some(job) = queue.blocking_recv() {
            let now = start + Duration::from_millis(clock.load(Ordering::SeqCst));
            job(&mut speaker, now, &mut effects);
            for effect in effects.drain(..) {
                if let Effect::Notice(notice) = effect {
                    let _ = notices.send(Arc::new(notice));
                }
            }
            changed.send_modify(|count| *count += 1);
        }
    });
    (core, now)
}

fn config() -> Config {
    let passive = |address: &str, asn| Peer {
        address: address.parse().unwrap(),
        asn,
        options: PeerOptions {
            passive: true,
            probe: asn == 65002,
            interface: (asn == 65002).then(|| "wg-nyc".to_owned()),
            ..PeerOptions::default()
        },
    };
    let ourselves = NextHop::V4(Ipv4Addr::UNSPECIFIED);
    Config {
        router: Router {
            asn: 65001,
            router_id: Ipv4Addr::new(10, 255, 0, 1),
            listen: Vec::new(),
            cluster_id: Ipv4Addr::new(10, 255, 0, 1),
            client_to_client: true,
            multipath: 16,
            multipath_cost_tolerance: 0,
        },
        peers: vec![passive("10.0.0.2", 65002), passive("10.0.0.3", 65001)],
        ranges: Vec::new(),
        originate: vec![Originate {
            tag: 0,
            prefix: "10.100.0.0/16".parse().unwrap(),
            attributes: Attributes::new(Origin::Igp, AsPath::default(), ourselves),
            when: When::Always,
        }],
        statics: Vec::new(),
        aggregates: Vec::new(),
        redistribute: Default::default(),
        probe: Default::default(),
        fib: Fib {
            install: false,
            policy: Some(vec!["placing".into()]),
            ..Fib::default()
        },
        policies: vec![marking(), placing()],
        sets: rib::policy::SetsConfig::default(),
        stations: Vec::new(),
    }
}

/// Routes of 10/8 get a LOCAL_PREF and a tag; others are rejected.
/// Where in the kernel routes of ours are.
fn placing() -> PolicyConfig {
    let ours = RuleConfig {
        matches: MatchConfig {
            source: vec!["originate".into()],
            ..MatchConfig::default()
        },
        set: SetConfig {
            table: Some(1000),
            prefsrc: Some("10.0.0.9".into()),
            ..SetConfig::default()
        },
        ..RuleConfig::default()
    };
    PolicyConfig {
        name: "placing".into(),
        default: Some(Action::Accept),
        rules: vec![ours],
    }
}

fn marking() -> PolicyConfig {
    PolicyConfig {
        name: "marking".into(),
        default: Some(Action::Reject),
        rules: vec![RuleConfig {
            matches: MatchConfig {
                prefixes: vec!["10.0.0.0/8+".into()],
                ..MatchConfig::default()
            },
            set: SetConfig {
                local_pref: Some("200".into()),
                tag: Some(7),
                ..SetConfig::default()
            },
            then: Then::Decide(Action::Accept),
        }],
    }
}

/// A machine that spreads no flows, with a WireGuard device.
struct Devices;

impl LinkChecks for Devices {
    fn host(&self) -> HostFacts {
        HostFacts {
            hash_policy: PerFamily {
                ipv4: Some(0),
                ipv6: None,
            },
            compat_mode: None,
        }
    }

    fn links(&self, _: Context, subjects: Vec<Subject>) -> BoxFuture<'_, Vec<LinkFacts>> {
        Box::pin(async move { subjects.iter().map(|_| LinkFacts::default()).collect() })
    }

    fn tunnel(&self, device: String, _: IpAddr) -> BoxFuture<'_, Option<TunnelPeer>> {
        let peer = TunnelPeer {
            endpoint: Some("198.18.2.2:51820".parse().unwrap()),
            last_handshake: Some(Duration::from_secs(1_699_999_940)),
            received: 7,
            ..TunnelPeer::new(PeerKey([1; 32]))
        };
        Box::pin(async move { (device == "wg-nyc").then_some(peer) })
    }
}

/// Two BFD sessions: one is up, one was never heard.
struct Neighbors(Instant);

impl Liveness for Neighbors {
    fn links(&self) -> BoxFuture<'_, Vec<LinkView>> {
        let path = LinkPath {
            remote: "10.0.0.2".parse().unwrap(),
            local: None,
            interface: Some("wg-nyc".into()),
        };
        let config = path_score::node::Config::default();
        let mut node = path_score::Node::new(config, Duration::ZERO);
        let link = path_score::node::LinkConfig {
            peer: path.remote,
            admin: path_score::Cost::default(),
            key: None,
            ssid: 1,
            echo_key: path_score::stamp::Key::new(b"lab").unwrap(),
        };
        node.open(self.0, path_score::LinkId(1), &link, &mut Vec::new());
        let view = node.views().next().unwrap();
        Box::pin(async { vec![LinkView { path, view }] })
    }

    fn sessions(&self) -> BoxFuture<'_, Vec<BfdSession>> {
        let one = NonZeroU32::MIN;
        let session = |address: &str, state, remote| BfdSession {
            path: bfd::Path {
                remote: address.parse().unwrap(),
                local: None,
                interface: None,
                hops: bfd::Hops::Single,
            },
            state,
            diagnostic: bfd::Diagnostic::NONE,
            since: self.0,
            local_discriminator: one,
            remote,
            multiplier: NonZeroU8::MIN,
            transmit_interval: Some(Duration::from_millis(50)),
            detection_time: remote.map(|_| Duration::from_millis(150)),
            sent: 1,
            received: 2,
            ups: 3,
            failures: 4,
        };
        let remote = bfd::Remote {
            discriminator: one,
            state: bfd::State::Up,
            diagnostic: bfd::Diagnostic::NONE,
            required_min_rx: Duration::from_millis(50),
            desired_min_tx: Duration::from_millis(50),
            multiplier: 3,
            demand: false,
        };
        let all = vec![
            session("10.0.0.2", bfd::State::Up, Some(remote)),
            session("10.0.0.3", bfd::State::Down, None),
        ];
        Box::pin(async { all })
    }
}

/// Configurations that are good unless they are `bad`.
#[derive(Default)]
struct Files(Mutex<u32>);

impl ConfigControl for Files {
    fn check(&self, text: &str) -> Result<(), String> {
        match text {
            "bad" => Err("line 1: bad".into()),
            _ => Ok(()),
        }
    }

    fn diff(&self, text: Option<&str>) -> Result<Vec<String>, String> {
        self.check(text.unwrap_or_default())?;
        Ok(vec![format!("{text:?}")])
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, String>> {
        Box::pin(async {
            let mut reloads = self.0.lock().unwrap();
            *reloads += 1;
            match *reloads {
                1 => Ok(vec!["peer 10.0.0.9 added".into()]),
                _ => Err("line 2: bad".into()),
            }
        })
    }

    fn effective(&self) -> String {
        "[router]".into()
    }

    fn change_peer(
        &self,
        order: PeerOrder,
        by: String,
    ) -> BoxFuture<'_, Result<PeerDone, Refusal>> {
        let name = |text: &str| PeerName::new(text.parse().unwrap(), None);
        let done = |peer| PeerDone {
            peer: Some(peer),
            report: None,
            warnings: vec![by],
            changes: vec!["asn 1 -> 2".into()],
        };
        let outcome = match order {
            PeerOrder::Add { config, .. } if config == "bad" => Ok(PeerDone {
                report: Some("line 1: bad".into()),
                ..PeerDone::default()
            }),
            PeerOrder::Add { config, .. } if config == "twice" => {
                Err(Refusal::Exists("10.0.0.2 is there".into()))
            }
            PeerOrder::Add { config, .. } | PeerOrder::Update { config, .. } => {
                Ok(done(name(&config)))
            }
            PeerOrder::Delete { peer, .. } if peer == name("10.0.0.3") => Ok(done(peer)),
            PeerOrder::Delete { peer, .. } => Err(Refusal::NotFound(format!("peer {peer}"))),
        };
        Box::pin(async { outcome })
    }

    fn added_peers(&self) -> BTreeMap<PeerName, bool> {
        BTreeMap::from([(PeerName::new("10.0.0.3".parse().unwrap(), None), true)])
    }
}
