//! A peer: what is configured, its session, and what there is to say about it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bgp_core::capability::{AddPathMode, Capability, GracefulRestart, LongLived};
use bgp_core::family::PerFamily;
use bgp_core::{Code, Family};
use bgp_fsm::{End, Fsm, PeerAs, Session, Side, State};
use bytes::Bytes;
use rib::PeerId;
use rib::peer::LocalAddresses;

use crate::command::PeerName;
use crate::config::{PeerOptions, Router};
use crate::event::{ConnId, Gate};
use crate::restart::{Held, Restart};

/// RFC 9687 §4: the larger of eight minutes and twice the hold time.
const SEND_HOLD_LEAST: Duration = Duration::from_secs(8 * 60);
/// RFC 9494 §4.1: 24 bits of seconds.
const STALE_TIME_MAX: u32 = (1 << 24) - 1;
/// What we send has to cross no router.
const TTL_DIRECT: u8 = 1;
/// RFC 5082 §3.
const TTL_GTSM: u8 = 255;

/// See the module.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) name: PeerName,
    pub(crate) asn: PeerAs,
    pub(crate) options: PeerOptions,
    /// The range it came from has this index in the configuration.
    pub(crate) range: Option<usize>,
    /// One from a range has had its connection.
    pub(crate) accepted: bool,
    /// Not kept down by the operator.
    pub(crate) enabled: bool,
    /// We are the router's own AS to it for now, in spite of `local-as`.
    pub(crate) as_router: bool,
    pub(crate) fsm: Fsm,
    conns: [Option<Conn>; 2],
    pub(crate) since: Instant,
    pub(crate) last_error: Option<(String, Instant)>,
    pub(crate) established_count: u64,
    /// UPDATEs sent, End-of-RIB among them.
    pub(crate) updates_sent: u64,
    /// Attributes discarded, and routes treated as withdrawn.
    pub(crate) malformed: (u64, u64),
    /// Families of which all has been heard.
    pub(crate) heard_all: PerFamily<bool>,
    /// Families of which it is telling all again, and until when that must be done (RFC 7313 §4).
    pub(crate) refreshing: PerFamily<Option<Instant>>,
    /// When it last sent an UPDATE, or came up.
    pub(crate) last_update: Instant,
    /// The notice about its limit was given.
    pub(crate) warned: bool,
    /// The last attempt to connect to it failed.
    pub(crate) unreachable: bool,
    /// The NOTIFICATION that was sent last.
    pub(crate) notified: Option<Bytes>,
    /// What was agreed on when it was last up.
    pub(crate) agreed: Option<Box<Session>>,
    /// Its stale routes (RFC 4724 §4.2), if it has any.
    pub(crate) held: Option<Held>,
    /// What the RIB was told of where the session is.
    pub(crate) place: Place,
}

/// Where a session is among our links, which the kernel may tell only after it came up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    /// Our addresses there.
    pub(crate) local: LocalAddresses,
    /// The index of its device, if it is bound to one.
    pub(crate) interface: Option<u32>,
}

/// A TCP connection of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    /// Our end, once it is up.
    pub(crate) local: Option<SocketAddr>,
    /// The peer's port.
    pub(crate) remote_port: u16,
}

impl Peer {
    /// A peer that has not been started.
    pub(crate) fn new(
        id: PeerId,
        name: PeerName,
        asn: PeerAs,
        options: PeerOptions,
        (router, restart): (&Router, Restart),
        now: Instant,
        seed: u64,
    ) -> Self {
        let local_asn = own_asn(&options, router, false);
        let config = fsm_config(&asn, &options, (router, local_asn), restart);
        Self {
            id,
            name,
            asn,
            enabled: options.enabled,
            as_router: false,
            options,
            range: None,
            accepted: false,
            fsm: Fsm::new(config, seed ^ u64::from(id.0)),
            conns: [None; 2],
            since: now,
            last_error: None,
            established_count: 0,
            updates_sent: 0,
            malformed: (0, 0),
            heard_all: PerFamily::default(),
            refreshing: PerFamily::default(),
            last_update: now,
            warned: false,
            unreachable: false,
            notified: None,
            agreed: None,
            held: None,
            place: Place::default(),
        }
    }

    /// The session is up.
    pub(crate) fn is_established(&self) -> bool {
        self.fsm.state() == State::Established
    }

    /// The connection of `side`.
    pub(crate) const fn conn(&self, side: Side) -> Option<Conn> {
        match side {
            Side::Outgoing => self.conns[0],
            Side::Incoming => self.conns[1],
        }
    }

    /// The place of the connection of `side`.
    pub(crate) const fn conn_mut(&mut self, side: Side) -> &mut Option<Conn> {
        match side {
            Side::Outgoing => &mut self.conns[0],
            Side::Incoming => &mut self.conns[1],
        }
    }

    /// It has a connection, or asks for one.
    pub(crate) fn is_connected(&self) -> bool {
        self.conns.iter().any(Option::is_some)
    }

    /// The connection of the session, while it is up.
    pub(crate) fn session_conn(&self) -> Option<Conn> {
        self.fsm
            .session()
            .and_then(|session| self.conn(session.side))
    }

    /// The peer's AS number: agreed on, else configured, else zero.
    pub(crate) fn asn(&self) -> u32 {
        match (self.fsm.session(), &self.asn) {
            (Some(session), _) => session.peer_asn,
            (None, PeerAs::Exactly(asn)) => *asn,
            (None, PeerAs::OneOf(_) | PeerAs::Any) => 0,
        }
    }

    /// Our AS number towards the peer.
    pub(crate) fn local_asn(&self, router: &Router) -> u32 {
        own_asn(&self.options, router, self.as_router)
    }

    /// What the state machine needs of its configuration.
    pub(crate) fn fsm_config(&self, router: &Router, restart: Restart) -> bgp_fsm::Config {
        let local_asn = self.local_asn(router);
        fsm_config(&self.asn, &self.options, (router, local_asn), restart)
    }

    /// A peer that knows us by two AS numbers did not know the one we said: it is tried with the other.
    pub(crate) fn is_told(&mut self, end: &End) {
        let dual = self.options.local_as.is_some_and(|local| local.dual_as);
        match end {
            End::Told(told) if dual && told.meaning() == Some(Code::BadPeerAs) => {
                self.as_router = !self.as_router;
            }
            End::Told(_) | End::Fault(_) | End::Lost | End::Stopped(_) => {}
        }
    }

    /// Where to connect to.
    pub(crate) const fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.name.address, self.options.port)
    }

    /// The name of the device it is bound to, or that scopes its address.
    pub(crate) fn interface(&self) -> Option<&str> {
        let scope = self.name.interface.as_deref();
        scope.or(self.options.interface.as_deref())
    }

    /// The options of its sockets. Who may be of several ASes counts as external unless all of them are ours.
    pub(crate) fn gate(&self, router: &Router) -> Gate {
        let local_asn = self.local_asn(router);
        let external = match &self.asn {
            PeerAs::Exactly(asn) => *asn != local_asn,
            PeerAs::OneOf(asns) => asns.iter().any(|asn| *asn != local_asn),
            PeerAs::Any => true,
        };
        let hops = self.options.multihop;
        let ttl = match (self.options.gtsm, external, hops) {
            (true, _, _) => Some(TTL_GTSM),
            (false, true, None) => Some(TTL_DIRECT),
            (false, true, Some(hops)) => Some(hops),
            (false, false, _) => None,
        };
        Gate {
            ttl,
            min_ttl: self
                .options
                .gtsm
                .then(|| TTL_GTSM - (hops.unwrap_or(1).max(1) - 1)),
            md5: self.options.password.clone(),
            ao: self.options.tcp_ao.clone(),
            interface: self.interface().map(str::to_owned),
        }
    }

    /// A connection could not be made. Why the last session ended is worth more than that nobody is there since.
    pub(crate) fn attempt_failed(&mut self, why: &str, now: Instant) {
        const PREFIX: &str = "cannot connect: ";
        self.unreachable = true;
        if self
            .last_error
            .as_ref()
            .is_none_or(|(last, _)| last.starts_with(PREFIX))
        {
            self.last_error = Some((format!("{PREFIX}{why}"), now));
        }
    }

    /// When it will have told what it knows, if nothing more comes: at once after its End-of-RIB markers, else after
    /// it was silent for `quiet`. `None`: it has no session.
    pub(crate) fn settles(&self, quiet: Duration) -> Option<Instant> {
        let session = self.fsm.session()?;
        let heard = |family| *self.heard_all.get(family) || !*session.families.get(family);
        let told_all = Family::ALL.into_iter().all(heard);
        Some(self.last_update + if told_all { Duration::ZERO } else { quiet })
    }
}

/// Our AS number towards a peer with these options.
fn own_asn(options: &PeerOptions, router: &Router, as_router: bool) -> u32 {
    let local = options.local_as.filter(|_| !as_router);
    local.map_or(router.asn, |local| local.asn)
}

fn fsm_config(
    asn: &PeerAs,
    options: &PeerOptions,
    (router, local_asn): (&Router, u32),
    restart: Restart,
) -> bgp_fsm::Config {
    bgp_fsm::Config {
        local_asn,
        identifier: router.router_id,
        peer_asn: asn.clone(),
        hold_time: options.hold_time,
        keepalive: options.keepalive,
        connect_retry: options.connect_retry,
        idle_hold: options.idle_hold,
        idle_hold_max: options.idle_hold_max,
        send_hold: Some(
            options
                .send_hold
                .unwrap_or_else(|| SEND_HOLD_LEAST.max(options.hold_time * 2)),
        ),
        passive: options.passive,
        capabilities: capabilities(local_asn, options, restart),
        families: options.families,
        strict_role: options.strict_role,
    }
}

/// What we offer, in the order of the capability codes.
fn capabilities(local_asn: u32, options: &PeerOptions, restart: Restart) -> Vec<Capability> {
    let families = || {
        Family::ALL
            .into_iter()
            .filter(|family| *options.families.get(*family))
    };
    let mut all: Vec<_> = families()
        .map(|family| Capability::Multiprotocol(family.into()))
        .collect();
    all.push(Capability::RouteRefresh);
    if options.extended_next_hop && options.families.ipv4 {
        all.push(Capability::ExtendedNextHop(vec![(
            Family::Ipv4Unicast.into(),
            2,
        )]));
    }
    all.push(Capability::ExtendedMessage);
    all.extend(options.role.map(Capability::Role));
    all.extend(options.graceful_restart.map(|graceful| {
        Capability::GracefulRestart(GracefulRestart {
            restarting: restart.restarting,
            notification: true,
            restart_time: u16::try_from(graceful.restart_time.as_secs()).unwrap_or(u16::MAX),
            families: families()
                .map(|family| (family.into(), *restart.forwarding.get(family)))
                .collect(),
        })
    }));
    all.push(Capability::FourOctetAs(local_asn));
    let mode = match (options.add_path_receive, options.add_path_send) {
        (false, false) => None,
        (true, false) => Some(AddPathMode::Receive),
        (false, true) => Some(AddPathMode::Send),
        (true, true) => Some(AddPathMode::Both),
    };
    all.extend(mode.map(|mode| {
        let rows = families().map(|family| (family.into(), mode));
        Capability::AddPath(rows.collect())
    }));
    all.push(Capability::EnhancedRouteRefresh);
    let long_lived = options.graceful_restart.and_then(|g| g.long_lived);
    all.extend(long_lived.map(|time| {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let rows = families().map(|family| LongLived {
            family: family.into(),
            forwarding: *restart.forwarding.get(family),
            stale_time: seconds.min(STALE_TIME_MAX),
        });
        Capability::LongLivedGracefulRestart(rows.collect())
    }));
    all
}
