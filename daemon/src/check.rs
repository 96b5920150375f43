//! What `windrose link check` wants to know: settings of the kernel, WireGuard's peers, and what padded probes find.

mod probes;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bgp_core::family::PerFamily;
use fib_netlink::kernel::{Board, Wireguard};
use grpc_api::{BoxFuture, LinkChecks};
use speaker::check::{Context, HostFacts, LinkFacts, Subject};
use speaker::wireguard::{Peer, peer_for};

/// Links that are looked at at once: each has a thread that mostly waits.
const AT_ONCE: usize = 32;

/// See the module.
pub(crate) struct Checks {
    /// Where userspace implementations of WireGuard have their sockets.
    uapi_dir: PathBuf,
    /// Where AllowedIPs follow routes: how the devices are.
    board: Option<Arc<Board>>,
}

impl Checks {
    /// `board`: how devices are, where AllowedIPs follow routes.
    pub(crate) fn new(
        wireguard: &crate::config::Wireguard,
        board: Option<Arc<Board>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            uapi_dir: wireguard.uapi_dir.clone(),
            board,
        })
    }
}

impl LinkChecks for Checks {
    fn host(&self) -> HostFacts {
        let sysctl = |name: &str| number(&Path::new("/proc/sys/net").join(name));
        HostFacts {
            hash_policy: PerFamily {
                ipv4: sysctl("ipv4/fib_multipath_hash_policy"),
                ipv6: sysctl("ipv6/fib_multipath_hash_policy"),
            },
            compat_mode: sysctl("ipv4/nexthop_compat_mode"),
        }
    }

    fn links(&self, context: Context, subjects: Vec<Subject>) -> BoxFuture<'_, Vec<LinkFacts>> {
        let (uapi_dir, board) = (self.uapi_dir.clone(), self.board.clone());
        let work = move || {
            let mut all = Vec::new();
            for some in subjects.chunks(AT_ONCE) {
                thread::scope(|scope| {
                    let look = |subject| {
                        let (uapi_dir, board) = (uapi_dir.clone(), board.as_deref());
                        scope.spawn(move || facts(context, subject, uapi_dir, board))
                    };
                    let threads: Vec<_> = some.iter().map(look).collect();
                    let done = threads.into_iter().map(|t| t.join().unwrap_or_default());
                    all.extend(done);
                });
            }
            all
        };
        Box::pin(async { tokio::task::spawn_blocking(work).await.unwrap_or_default() })
    }

    fn tunnel(&self, device: String, remote: IpAddr) -> BoxFuture<'_, Option<Peer>> {
        let uapi_dir = self.uapi_dir.clone();
        let work = move || {
            let peers = Wireguard::new(uapi_dir).read(&device).ok()??;
            peer_for(&peers, remote).cloned()
        };
        Box::pin(async { tokio::task::spawn_blocking(work).await.ok()? })
    }
}

fn facts(
    context: Context,
    subject: &Subject,
    uapi_dir: PathBuf,
    board: Option<&Board>,
) -> LinkFacts {
    let device = subject.path.interface.as_deref().unwrap_or_default();
    let class = Path::new("/sys/class/net").join(device);
    let setting = |family: &str, of: &str, name: &str| {
        number(
            &Path::new("/proc/sys/net")
                .join(family)
                .join("conf")
                .join(of)
                .join(name),
        )
    };
    let read = Wireguard::new(uapi_dir).read(device);
    let status = board.map(Board::status).unwrap_or_default();
    let status = status.into_iter().find(|status| status.device == device);
    let mtu = fs::read_to_string(class.join("mtu")).ok();
    let mtu = mtu.and_then(|text| text.trim().parse().ok());
    let forwards = |family: &str| setting(family, device, "forwarding").map(|on: u8| on != 0);
    let strictest = [
        setting("ipv4", "all", "rp_filter"),
        setting("ipv4", device, "rp_filter"),
    ];
    LinkFacts {
        there: class.exists(),
        // The larger number counts; 2 is the looser one.
        rp_filter: strictest.into_iter().flatten().max(),
        forwarding: PerFamily {
            ipv4: forwards("ipv4"),
            ipv6: forwards("ipv6"),
        },
        tunnel: match read {
            Ok(peers) => peers.map(Ok),
            Err(errno) => {
                let why = std::io::Error::from_raw_os_error(errno);
                Some(Err(format!("the peers of {device} cannot be read: {why}")))
            }
        },
        missing: status.map(|status| status.missing),
        now: crate::startup::wall_clock(),
        probes: mtu
            .filter(|_| subject.probed)
            .and_then(|mtu| probes::send(&subject.path, context.port, mtu)),
    }
}

fn number(path: &Path) -> Option<u8> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
