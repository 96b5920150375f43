//! The configuration as the speaker runs it: parsed, inherited, defaults filled in, nothing left to look up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bgp_core::Attributes;
use bgp_core::capability::Role;
use bgp_core::family::PerFamily;
use bgp_fsm::PeerAs;
use ipnet::IpNet;
use rib::peer::PrivateAs;
use rib::policy::{PolicyConfig, SetsConfig};

use crate::command::PeerName;

mod redistribute;

pub use redistribute::{Interfaces, Redistribute, RedistributeConnected, RedistributeKernel};

/// All of it. Two equal configurations behave alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[router]`.
    pub router: Router,
    /// `[[peer]]`, by address; no two are the same.
    pub peers: Vec<Peer>,
    /// `[[peer-range]]`; the longest prefix that covers an address rules.
    pub ranges: Vec<PeerRange>,
    /// `[[originate]]`.
    pub originate: Vec<Originate>,
    /// `[[static]]`.
    pub statics: Vec<Static>,
    /// `[[aggregate]]`.
    pub aggregates: Vec<Aggregate>,
    /// `[redistribute]`.
    pub redistribute: Redistribute,
    /// `[fib]`.
    pub fib: Fib,
    /// `[probe]` and `[score]`.
    pub probe: Probe,
    /// `[[policy]]`.
    pub policies: Vec<PolicyConfig>,
    /// Named sets that policies use.
    pub sets: SetsConfig,
    /// `[[bmp]]`, at most [`crate::bmp::STATIONS_MAX`]; no two are the same.
    pub stations: Vec<Station>,
}

impl Config {
    /// A router without peers and routes, and else with the defaults of the configuration file.
    #[must_use]
    pub fn new(asn: u32, router_id: Ipv4Addr) -> Self {
        let router = Router {
            asn,
            router_id,
            listen: Vec::new(),
            cluster_id: router_id,
            client_to_client: true,
            multipath: 16,
            multipath_cost_tolerance: 10,
        };
        Self {
            router,
            peers: Vec::new(),
            ranges: Vec::new(),
            originate: Vec::new(),
            statics: Vec::new(),
            aggregates: Vec::new(),
            redistribute: Redistribute::default(),
            fib: Fib::default(),
            probe: Probe::default(),
            policies: Vec::new(),
            sets: SetsConfig::default(),
            stations: Vec::new(),
        }
    }
}

/// `[[bmp]]`: a monitoring station (RFC 7854), to which we connect.
#[derive(Clone, Debug, PartialEq)]
pub struct Station {
    /// Where it listens.
    pub address: SocketAddr,
    /// Our end, if not what the kernel picks.
    pub local_address: Option<IpAddr>,
    /// How we name ourselves: sysName.
    pub system_name: String,
    /// What it is told.
    pub ribs: Ribs,
    /// Time between Statistics Reports; `None`: there are none.
    pub statistics: Option<Duration>,
    /// The first wait after a connection that failed or ended; each further one is twice as long.
    pub connect_retry: Duration,
    /// To where it doubles.
    pub connect_retry_max: Duration,
}

/// The tables that a station is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ribs {
    /// Adj-RIB-In before import policy.
    pub pre_policy: bool,
    /// Adj-RIB-In after it.
    pub post_policy: bool,
    /// Adj-RIB-Out after export policy (RFC 8671).
    pub adj_rib_out: bool,
    /// Loc-RIB (RFC 9069).
    pub loc_rib: bool,
}

impl Ribs {
    pub(crate) const fn stages(self) -> rib::Stages {
        rib::Stages {
            pre: self.pre_policy,
            post: self.post_policy,
        }
    }
}

/// `[router]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// Our AS number, not zero.
    pub asn: u32,
    /// BGP Identifier, not zero.
    pub router_id: Ipv4Addr,
    /// Where we listen for peers.
    pub listen: Vec<SocketAddr>,
    /// RFC 4456 §7.
    pub cluster_id: Ipv4Addr,
    /// What a client told is reflected to the other clients (RFC 4456 §6).
    pub client_to_client: bool,
    /// ECMP width, 1..=128.
    pub multipath: u8,
    /// Per cent within which AIGP and costs still count as equal.
    pub multipath_cost_tolerance: u8,
}

/// What a peer and a range have in common, a group's part filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerOptions {
    /// The group it inherited from.
    pub group: Option<String>,
    /// For the operator.
    pub description: Option<String>,
    /// What `birdc` calls it, if not after its address.
    pub birdc_name: Option<String>,
    /// Families we offer.
    pub families: PerFamily<bool>,
    /// We never connect, only accept.
    pub passive: bool,
    /// False: configured, but kept down until `peer enable`.
    pub enabled: bool,
    /// Our end, if not what the kernel picks.
    pub local_address: Option<IpAddr>,
    /// Our AS number towards the peer, if not the router's.
    pub local_as: Option<LocalAs>,
    /// The device to which the session is bound; the scope of a link-local address.
    pub interface: Option<String>,
    /// The peer's TCP port.
    pub port: u16,
    /// Most hops to an eBGP peer; `None` is directly connected (TTL 1). iBGP has no limit.
    pub multihop: Option<u8>,
    /// RFC 5082.
    pub gtsm: bool,
    /// RFC 2385, TCP MD5.
    pub password: Option<Secret>,
    /// RFC 5925, TCP-AO.
    pub tcp_ao: Option<TcpAo>,
    /// Hold Time, zero or at least three seconds.
    pub hold_time: Duration,
    /// KEEPALIVE interval; `None` is a third of the agreed hold time.
    pub keepalive: Option<Duration>,
    /// ConnectRetryTime.
    pub connect_retry: Duration,
    /// IdleHoldTime after an error.
    pub idle_hold: Duration,
    /// To where it doubles.
    pub idle_hold_max: Duration,
    /// SendHoldTime (RFC 9687 §3); `None` is twice the hold time, at least eight minutes.
    pub send_hold: Option<Duration>,
    /// A route reflector's client (RFC 4456).
    pub rr_client: bool,
    /// A route server's client (RFC 7947).
    pub rs_client: bool,
    /// How often our own AS may stand in an AS_PATH.
    pub allow_local_as: u8,
    /// What becomes of AS numbers for private use in what an external peer is told (RFC 6996).
    pub remove_private_as: PrivateAs,
    /// Our AS number takes the place of an external peer's in what it is told.
    pub as_override: bool,
    /// The AS_PATHs of an external peer must begin with its AS (RFC 4271 §6.3). Those of a route server do not.
    pub enforce_first_as: bool,
    /// Routes whose AS_PATH has an AS_SET are taken all the same (RFC 9774 §3 says otherwise).
    pub allow_as_sets: bool,
    /// RFC 8950 is offered.
    pub extended_next_hop: bool,
    /// Graceful restart is offered (RFC 4724, RFC 8538).
    pub graceful_restart: Option<GracefulRestart>,
    /// We take several paths a prefix (RFC 7911).
    pub add_path_receive: bool,
    /// We tell several, where the peer takes them.
    pub add_path_send: bool,
    /// Up to so many, 1..=255.
    pub add_path_limit: u8,
    /// AIGP is on (RFC 7311 §3.1).
    pub aigp: bool,
    /// How the next hop is written.
    pub next_hop: NextHopMode,
    /// Import policies; `None` on an external session accepts nothing (RFC 8212), on an internal one all.
    pub import: Option<Vec<String>>,
    /// Export policies; `None` likewise.
    pub export: Option<Vec<String>>,
    /// Its link is measured (RFC 8762).
    pub probe: bool,
    /// In the authenticated mode, with this secret (§4.4); not an empty one.
    pub probe_key: Option<Secret>,
    /// What its link can carry, in bit/s.
    pub capacity: Option<u64>,
    /// It is told what our links carry, where we are the next hop (draft-ietf-idr-link-bandwidth).
    pub link_bandwidth: bool,
    /// BFD watches the path to it (RFC 5882).
    pub bfd: Option<Bfd>,
    /// The limit on prefixes.
    pub max_prefixes: Option<MaxPrefixes>,
    /// RFC 9234 §4.
    pub role: Option<Role>,
    /// The peer must send a role too (RFC 9234 §4.2).
    pub strict_role: bool,
}

/// `[[peer]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Its address; a link-local one has [`PeerOptions::interface`].
    pub address: IpAddr,
    /// Its AS number.
    pub asn: u32,
    /// The rest.
    pub options: PeerOptions,
}

/// `[[peer-range]]`: whoever connects from within becomes a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerRange {
    /// Where from.
    pub prefix: IpNet,
    /// AS numbers taken; empty is any.
    pub asns: Vec<u32>,
    /// At most so many peers at once.
    pub limit: usize,
    /// The rest.
    pub options: PeerOptions,
}

impl Peer {
    /// How it is named.
    #[must_use]
    pub fn name(&self) -> PeerName {
        PeerName::new(self.address, self.options.interface.as_deref())
    }
}

impl PeerRange {
    /// Which AS numbers are taken.
    #[must_use]
    pub fn peer_as(&self) -> PeerAs {
        if self.asns.is_empty() {
            PeerAs::Any
        } else {
            PeerAs::OneOf(self.asns.clone())
        }
    }

    /// The options of a peer from it, which is never connected to.
    #[must_use]
    pub fn peer_options(&self) -> PeerOptions {
        PeerOptions {
            passive: true,
            ..self.options.clone()
        }
    }
}

/// `local-as` (RFC 7705 §3.3): who we are to a peer that knows us by another AS number than the router's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalAs {
    /// The AS number.
    pub asn: u32,
    /// It is not put before what the peer tells.
    pub no_prepend: bool,
    /// It stands in the place of the router's own in what the peer is told, rather than before it.
    pub replace_as: bool,
    /// A peer that does not know it is tried with the router's own, and the other way round.
    pub dual_as: bool,
}

/// `next-hop`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NextHopMode {
    /// As the RFC has it: ourselves to external peers, unchanged to internal ones.
    Standard,
    /// Always ourselves.
    Myself,
    /// Never changed.
    Unchanged,
    /// This one, for routes of its own family.
    Address(IpAddr),
}

/// `graceful-restart`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GracefulRestart {
    /// How long peers keep our routes until our session is back: whole seconds, less than 4096.
    pub restart_time: Duration,
    /// How long they may keep them after that (RFC 9494): whole seconds, 24 bits of them. `None`: it is not offered.
    pub long_lived: Option<Duration>,
}

/// `[probe]` and `[score]`: how links are measured and judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// Where neighbors answer probes, and we do (RFC 8762 §4.1).
    pub port: u16,
    /// Pace, budget, and what makes a cost.
    pub node: path_score::node::Config,
    /// Both directions of a link count as the worse of the two does: WireGuard takes packets only from the peer to which
    /// it would send the answer, where peers share a device.
    pub symmetric: bool,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            port: path_score::stamp::PORT,
            node: path_score::node::Config::default(),
            symmetric: false,
        }
    }
}

/// `bfd`, with its profile filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bfd {
    /// The profile's name.
    pub profile: String,
    /// Timers and authentication.
    pub session: bfd::Config,
    /// No BGP session without a BFD session that is up.
    pub strict: bool,
}

/// `max-prefixes`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MaxPrefixes {
    /// Most prefixes received, of all families together.
    pub limit: u32,
    /// Per cent of it at which a notice is given.
    pub warn_at: u8,
    /// What happens beyond.
    pub then: MaxPrefixesAction,
}

/// What happens when a peer goes over its limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MaxPrefixesAction {
    /// A notice, no more.
    Warn,
    /// The session ends (Cease/1) and stays down until the operator enables it.
    Stop,
    /// The session ends (Cease/1) and may come back after this time.
    Restart(Duration),
}

/// `tcp-ao`: a Master Key Tuple (RFC 5925 §3.1) for all connections with a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TcpAo {
    /// The master key.
    pub key: Secret,
    /// SendID: the KeyID of what we send.
    pub send_id: u8,
    /// RecvID: the KeyID of what we take.
    pub receive_id: u8,
    /// How segments are authenticated.
    pub algorithm: AoAlgorithm,
}

/// The algorithms that all implementations have (RFC 5926 §3.1): a MAC of 96 bits, and the derivation of its keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AoAlgorithm {
    /// HMAC-SHA-1-96.
    HmacSha1,
    /// AES-128-CMAC-96.
    Aes128Cmac,
}

/// A key of TCP MD5 or TCP-AO. Never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// `[[originate]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Originate {
    /// What is announced.
    pub prefix: IpNet,
    /// With these; the next hop is ourselves.
    pub attributes: Attributes,
    /// A mark for policies; zero: none.
    pub tag: u32,
    /// On which condition.
    pub when: When,
}

/// When an `[[originate]]` is announced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum When {
    /// Always.
    Always,
    /// While one of our interfaces has this address, as a VIP that VRRP moves.
    AddressPresent(IpAddr),
    /// While there is a best route to exactly this prefix, or the kernel has one.
    RoutePresent(IpNet),
}

/// `[[static]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Static {
    /// Where to.
    pub prefix: IpNet,
    /// Which way.
    pub via: StaticVia,
    /// Announced to peers too.
    pub originate: bool,
    /// A mark for policies; zero: none.
    pub tag: u32,
}

/// `via`.
#[derive(Clone, Debug, PartialEq)]
pub enum StaticVia {
    /// These next hops share the traffic.
    NextHops(Vec<StaticNextHop>),
    /// Packets are dropped silently.
    Blackhole,
    /// Packets are refused with ICMP.
    Unreachable,
    /// Packets are refused with ICMP, as forbidden.
    Prohibit,
}

/// One next hop of a static route.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticNextHop {
    /// Its address.
    pub address: IpAddr,
    /// The device, if it is not to be looked up.
    pub interface: Option<String>,
    /// Its share, 1..=255.
    pub weight: u8,
}

/// `[[aggregate]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What is announced while there is a route beneath it.
    pub prefix: IpNet,
    /// What is beneath it is not told.
    pub summary_only: bool,
    /// With these; AS_PATH, ORIGIN and ATOMIC_AGGREGATE follow from what is beneath it.
    pub attributes: Attributes,
    /// A mark for policies; zero: none.
    pub tag: u32,
    /// Packets that nothing beneath it leads on are dropped in our kernel (RFC 4632 §5.1).
    pub discard: bool,
}

/// `[fib]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fib {
    /// Whether next hops are resolved and routes are worked out for the kernel.
    pub install: bool,
    /// They are not written, but compared with what the kernel has of others.
    pub shadow: bool,
    /// The kernel's table.
    pub table: u32,
    /// The routes' metric.
    pub metric: u32,
    /// The routes' protocol number. Routes with another one are never changed.
    pub protocol: u8,
    /// Preferred source address for IPv4.
    pub prefsrc_v4: Option<Ipv4Addr>,
    /// Preferred source address for IPv6.
    pub prefsrc_v6: Option<Ipv6Addr>,
    /// Nexthop objects and groups, where the kernel has them.
    pub nexthop_groups: bool,
    /// Routes stay when the daemon ends.
    pub keep_on_exit: bool,
    /// Policies that say which routes are installed, and where; `None`: all, as said above.
    pub policy: Option<Vec<String>>,
}

impl Fib {
    /// Whether routes are written to the kernel.
    #[must_use]
    pub const fn writes(&self) -> bool {
        self.install && !self.shadow
    }
}

impl Default for Fib {
    fn default() -> Self {
        Self {
            install: true,
            shadow: false,
            table: 254,
            metric: 20,
            protocol: 186,
            prefsrc_v4: None,
            prefsrc_v6: None,
            nexthop_groups: true,
            keep_on_exit: false,
            policy: None,
        }
    }
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self {
            group: None,
            description: None,
            birdc_name: None,
            families: PerFamily {
                ipv4: true,
                ipv6: false,
            },
            passive: false,
            enabled: true,
            local_address: None,
            local_as: None,
            interface: None,
            port: 179,
            multihop: None,
            gtsm: false,
            password: None,
            tcp_ao: None,
            hold_time: Duration::from_secs(90),
            keepalive: None,
            connect_retry: Duration::from_secs(5),
            idle_hold: Duration::from_secs(1),
            idle_hold_max: Duration::from_secs(60),
            send_hold: None,
            rr_client: false,
            rs_client: false,
            allow_local_as: 0,
            remove_private_as: PrivateAs::Keep,
            as_override: false,
            enforce_first_as: true,
            allow_as_sets: false,
            extended_next_hop: false,
            graceful_restart: None,
            add_path_receive: false,
            add_path_send: false,
            add_path_limit: 8,
            aigp: false,
            next_hop: NextHopMode::Standard,
            import: None,
            export: None,
            probe: false,
            probe_key: None,
            capacity: None,
            link_bandwidth: false,
            bfd: None,
            max_prefixes: None,
            role: None,
            strict_role: false,
        }
    }
}
