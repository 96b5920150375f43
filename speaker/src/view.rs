//! What an operator sees: plain values, made when asked for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bgp_core::family::PerFamily;
use bgp_core::{Attributes, Family};
use bgp_fsm::State;
use ipnet::IpNet;
use rib::Drain;

use crate::command::PeerName;

/// `windrose status`.
#[derive(Clone, Debug)]
pub struct Status {
    /// Our AS number.
    pub asn: u32,
    /// BGP Identifier.
    pub router_id: Ipv4Addr,
    /// When the speaker started.
    pub started: Instant,
    /// Peers configured, ranges' peers among them.
    pub peers: usize,
    /// Peers in Established.
    pub established: usize,
    /// Prefixes in the Loc-RIB of each family.
    pub prefixes: PerFamily<usize>,
    /// Paths in all Adj-RIBs-In.
    pub paths: usize,
    /// Distinct attribute sets.
    pub attribute_sets: usize,
    /// The kernel's side.
    pub fib: FibStatus,
    /// Whether we are about to leave.
    pub drain: DrainView,
    /// Whether we have just restarted.
    pub restart: RestartView,
    /// Peers of which routes are held stale.
    pub peers_held: usize,
    /// Monitoring stations.
    pub stations: Vec<StationView>,
    /// What is not as it should be, in words; empty is healthy.
    pub problems: Vec<String>,
}

/// How far our own graceful restart is (RFC 4724 §4.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RestartView {
    /// Where it is.
    pub stage: RestartStage,
    /// When that is over, if nothing else happens.
    pub until: Option<Instant>,
    /// Peers that have yet to tell what they know.
    pub awaited: usize,
}

/// See [`RestartView`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RestartStage {
    /// There is none, or it is over.
    #[default]
    None,
    /// The kernel is asked for its routes.
    Asking,
    /// Routes are heard; nothing is chosen, told or installed.
    Deferring,
}

/// Routes of a peer that are held stale (RFC 4724 §4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HeldView {
    /// When they go, unless the peer tells them again.
    pub until: Instant,
    /// Its Restart Time was over: they are kept for long, and anything else is preferred (RFC 9494).
    pub long_lived: bool,
    /// The peer is back, and is telling them.
    pub back: bool,
}

/// How far a graceful shutdown is (RFC 8326).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DrainView {
    /// What peers are told.
    pub stage: Drain,
    /// Since when it is in that stage.
    pub since: Option<Instant>,
    /// When routes are withdrawn, if they are not yet.
    pub withdraws: Option<Instant>,
    /// Peers with a session that have yet to be told something.
    pub peers_pending: usize,
}

/// A monitoring station (BMP).
#[derive(Clone, Debug)]
pub struct StationView {
    /// Where it listens.
    pub address: SocketAddr,
    /// Connected.
    pub up: bool,
    /// Since when it is, or is not.
    pub since: Instant,
    /// Peers whose Peer Up it was told, and not their Peer Down.
    pub peers: usize,
    /// Connections that came up.
    pub connected: u64,
    /// Connections given up because it was too slow.
    pub overruns: u64,
    /// Messages told.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
    /// Why the last connection ended or could not be made.
    pub last_error: Option<String>,
}

/// The kernel's side of [`Status`].
#[derive(Clone, Debug, Default)]
pub struct FibStatus {
    /// Configured to install.
    pub install: bool,
    /// The kernel lets us (CAP_NET_ADMIN).
    pub permitted: bool,
    /// Routes in the kernel that are ours and wanted.
    pub installed: usize,
    /// Routes on their way.
    pub pending: usize,
    /// Routes the kernel refused, waiting for the next try.
    pub failed: usize,
    /// Routes of another program that have our protocol number.
    pub strangers: usize,
    /// Routes of others that are kept in mind.
    pub foreign: usize,
    /// Routes of others for which there is no room.
    pub foreign_left_out: usize,
    /// Nothing is installed; `installed` are those that another program installed as we would.
    pub shadow: bool,
    /// Where its route does something else.
    pub different: usize,
    /// Where it has none.
    pub missing: usize,
    /// Where it has one and we would have none.
    pub extra: usize,
}

/// A row of `windrose peer list`.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Its address.
    pub address: IpAddr,
    /// The interface that scopes it or to which it is bound.
    pub interface: Option<String>,
    /// Its AS number; that of the session for a range that takes several.
    pub asn: u32,
    /// For the operator.
    pub description: Option<String>,
    /// What `birdc` calls it, if not after its address.
    pub birdc_name: Option<String>,
    /// The group it inherited from.
    pub group: Option<String>,
    /// It came from a `[[peer-range]]`.
    pub dynamic: bool,
    /// False: kept down by the operator.
    pub enabled: bool,
    /// RFC 4271 §8.2.2.
    pub state: State,
    /// Since when it is in that state.
    pub since: Instant,
    /// Prefixes received, accepted and advertised.
    pub prefixes: PerFamily<PrefixCounts>,
    /// Stale routes of it, if it has any.
    pub held: Option<HeldView>,
    /// Our restart waits for it.
    pub awaited: bool,
    /// Why the last session or attempt ended.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Instant>,
    /// Families of the session; those configured while it is down.
    pub families: Vec<Family>,
    /// The session, while there is one.
    pub session: Option<SessionView>,
    /// Our AS number towards it.
    pub local_asn: u32,
    /// What we offer, in words, in the order of the codes.
    pub offered: Vec<String>,
    /// What its session is timed by.
    pub timers: TimersView,
    /// The limit on its prefixes.
    pub limit: Option<LimitView>,
    /// TTL of what we send; `None`: the system's.
    pub ttl: Option<u8>,
    /// Least TTL of what we take (RFC 5082).
    pub min_ttl: Option<u8>,
    /// `tcp-md5` or `tcp-ao`; `None`: nothing.
    pub authentication: Option<&'static str>,
    /// Sessions that came up since start.
    pub established_count: u64,
    /// Messages received and sent, UPDATEs among them.
    pub messages: MessageCounts,
    /// Attributes discarded, and routes treated as withdrawn (RFC 7606).
    pub malformed: (u64, u64),
    /// The link to it is measured.
    pub probed: bool,
    /// How BFD sees the way to it; `None`: it is not asked to.
    pub bfd: Option<bfd::State>,
    /// Names of the policies in use; `None`: none configured.
    pub import: Option<Vec<String>>,
    /// Likewise.
    pub export: Option<Vec<String>>,
}

/// Counts of one family.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PrefixCounts {
    /// In the Adj-RIB-In.
    pub received: u64,
    /// Of those, what policy and the RFC's checks let through.
    pub accepted: u64,
    /// In the Adj-RIB-Out.
    pub advertised: u64,
    /// Of those accepted, the best ones.
    pub preferred: u64,
    /// How often they changed since the session came up.
    pub changes: rib::ChangeCounts,
}

/// A link of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InterfaceView {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It can carry packets.
    pub up: bool,
    /// Its addresses, those of IPv4 first.
    pub addresses: Vec<IpAddr>,
}

/// Counts of messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MessageCounts {
    /// All received.
    pub received: u64,
    /// All sent.
    pub sent: u64,
    /// UPDATEs received.
    pub updates_received: u64,
    /// UPDATEs sent.
    pub updates_sent: u64,
}

/// What a session agreed on.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The peer's BGP Identifier.
    pub identifier: Ipv4Addr,
    /// Our end.
    pub local_address: Option<IpAddr>,
    /// Agreed; `None` is no keepalives.
    pub hold_time: Option<Duration>,
    /// What the peer offered, in words, in its order.
    pub capabilities: Vec<String>,
    /// AS numbers of four octets.
    pub four_octet_as: bool,
    /// What came of both offers, in words.
    pub agreed: Vec<String>,
    /// Between our KEEPALIVEs, before jitter; `None`: none are sent.
    pub keepalive: Option<Duration>,
}

/// Timers as they are configured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TimersView {
    /// What we offer; zero: none.
    pub hold_time: Duration,
    /// `None`: a third of the agreed hold time.
    pub keepalive: Option<Duration>,
    /// ConnectRetryTime.
    pub connect_retry: Duration,
    /// IdleHoldTime after an error, to where it doubles.
    pub idle_hold: (Duration, Duration),
    /// SendHoldTime (RFC 9687); `None`: none.
    pub send_hold: Option<Duration>,
}

/// `max-prefixes`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitView {
    /// So many prefixes.
    pub limit: u32,
    /// At so many a notice is given.
    pub warn_at: u32,
    /// `warn`, `stop` or `restart`.
    pub then: &'static str,
}

/// Which routes are asked for. Everything absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct RouteQuery {
    /// This prefix.
    pub prefix: Option<IpNet>,
    /// All within it, instead of just it.
    pub longer: bool,
    /// Only best paths.
    pub best_only: bool,
    /// As this peer sent them, before policy.
    pub received_from: Option<PeerName>,
    /// As this peer is told them.
    pub advertised_to: Option<PeerName>,
    /// Of this family.
    pub family: Option<Family>,
}

/// A page of routes, in the order of their prefixes.
#[derive(Clone, Debug, Default)]
pub struct RoutePage {
    /// At most as many as asked for.
    pub routes: Vec<RouteView>,
    /// Where the next page begins: pass it as `after`. `None`: that was all.
    pub next: Option<IpNet>,
}

/// A row of `windrose route list`.
#[derive(Clone, Debug)]
pub struct RouteView {
    /// Where to.
    pub prefix: IpNet,
    /// Its paths, the best one first.
    pub paths: Vec<PathView>,
}

/// Where a path came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A peer.
    Peer(PeerName),
    /// `[[originate]]`.
    Originate,
    /// `[[static]]`.
    Static,
    /// `[redistribute] connected`.
    Connected,
    /// `[redistribute] kernel`.
    Kernel,
    /// `[[aggregate]]`.
    Aggregate,
    /// The API, with the owner's name.
    Api(String),
}

/// One path of a route.
#[derive(Clone, Debug)]
pub struct PathView {
    /// Where it came from.
    pub source: Source,
    /// All its attributes.
    pub attributes: Attributes,
    /// A mark of policies; zero: none.
    pub tag: u32,
    /// RFC 7911.
    pub path_id: Option<u32>,
    /// Policy and the RFC's checks let it through.
    pub accepted: bool,
    /// It may be chosen.
    pub valid: bool,
    /// It waits for its peer to come back.
    pub stale: bool,
    /// It is the best one.
    pub best: bool,
    /// It shares the traffic with the best one.
    pub multipath: bool,
    /// The interior cost to its next hop; `None`: not reachable or not known.
    pub cost: Option<u64>,
    /// The step that removed it, or that made it best, or why it is not valid.
    pub reason: String,
}

/// `windrose route explain`.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The route, each path with the step that settled it.
    pub route: RouteView,
    /// For each path, in the same order: what the import policy did, a line a rule that spoke.
    pub policy: Vec<Vec<String>>,
    /// What the kernel holds, in words.
    pub kernel: Option<String>,
    /// Who is told.
    pub advertised_to: Vec<PeerName>,
    /// The next hops of its paths, and how each is reached.
    pub next_hops: Vec<NextHopView>,
}

/// A row of `windrose fib list`.
#[derive(Clone, Debug)]
pub struct FibView {
    /// Where to.
    pub prefix: IpNet,
    /// The kernel's table.
    pub table: u32,
    /// The route's metric there.
    pub metric: u32,
    /// Its preferred source: the one that is wanted, or else the one that is there.
    pub prefsrc: Option<IpAddr>,
    /// What we want there, in the kernel's words; `None`: nothing.
    pub wanted: Option<String>,
    /// What is there; `None`: nothing.
    pub actual: Option<String>,
    /// `installed`, `pending`, `failed`, `foreign` or `stale`; in shadow mode `different`, `missing` or `extra`.
    pub state: &'static str,
    /// What the kernel said, and when the next try is.
    pub error: Option<String>,
}

/// `windrose fib show`.
#[derive(Clone, Debug)]
pub struct FibDetail {
    /// Where the route is wanted and where it is; several while it moves.
    pub rows: Vec<FibView>,
    /// What the policy of `[fib]` did with the best path, a line a rule that spoke. Empty without a policy, or a path.
    pub policy: Vec<String>,
    /// The policy keeps it out of the kernel.
    pub rejected: bool,
    /// The next hops of the paths that share its traffic, and how each is reached.
    pub next_hops: Vec<NextHopView>,
}

/// How a next hop is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NextHopView {
    /// The path's.
    pub address: IpAddr,
    /// Who takes the packets; `None`: the next hop cannot be reached.
    pub gateway: Option<IpAddr>,
    /// Over which link.
    pub interface: Option<String>,
    /// The interior cost.
    pub cost: Option<u32>,
    /// The routes of ours that lead to it.
    pub through: Vec<IpNet>,
    /// All that take the packets, the one above first.
    pub ways: Vec<WayView>,
}

/// A neighbor that takes packets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WayView {
    /// Its address.
    pub gateway: Option<IpAddr>,
    /// Over which link.
    pub interface: Option<String>,
    /// Its share of the traffic.
    pub weight: u8,
}

/// A page of [`FibView`]s.
#[derive(Clone, Debug, Default)]
pub struct FibPage {
    /// At most as many as asked for.
    pub rows: Vec<FibView>,
    /// Pass it as `after`. `None`: that was all.
    pub next: Option<IpNet>,
}

/// Who injected what.
#[derive(Clone, Debug)]
pub struct OwnerView {
    /// The owner.
    pub owner: String,
    /// How long its routes live after it was last heard.
    pub lease: Option<Duration>,
    /// How much is left of it.
    pub lease_left: Option<Duration>,
    /// How many routes are its.
    pub routes: usize,
}

/// A route that changed.
#[derive(Clone, Debug)]
pub struct RouteChange {
    /// Where to.
    pub prefix: IpNet,
    /// What it is now; `None`: there is none any more.
    pub route: Option<RouteView>,
}
