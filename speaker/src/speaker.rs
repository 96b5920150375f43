//! The speaker: events in, effects out, one deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp_fsm::{Input, Output, PeerAs, Side, State, Stop};
use bytes::Bytes;
use fib_netlink::Fib;
use rib::policy::{Chain, Policies, PolicyError, RouteSource};
use rib::{PeerId, Rib};

use crate::bmp::Stations;
use crate::command::{PeerName, Refusal};
use crate::config::{Config, PeerRange};
use crate::drain::Draining;
use crate::event::{ConnId, Effect, Event};
use crate::fib::{fib_config, has_spares};
use crate::foreign::Foreign;
use crate::inject::Injections;
use crate::links::Links;
use crate::liveness::Watches;
use crate::originate::{AGGREGATE, Configured, ORIGINATE, STATIC};
use crate::peer::Peer;
use crate::peers::Peers;
use crate::query::RouteWatchers;
use crate::record::Tapes;
use crate::redistribute::{CONNECTED, KERNEL};
use crate::restart::{Deferral, Restart};

/// After a start, routes of an earlier life are removed once all peers have told what they know, but at
/// the latest after this time.
const STARTUP_MAX: Duration = Duration::from_secs(30);
/// A peer that has said nothing for so long after it came up has told what it knows.
const STARTUP_QUIET: Duration = Duration::from_secs(3);
/// How long sessions and routes may take to end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct Speaker {
    pub(crate) config: Config,
    pub(crate) policies: Arc<Policies>,
    pub(crate) peers: Peers,
    pub(crate) rib: Rib,
    pub(crate) fib: Fib,
    pub(crate) configured: Configured,
    pub(crate) foreign: Foreign,
    pub(crate) injections: Injections,
    pub(crate) watchers: RouteWatchers,
    /// Links that are measured.
    pub(crate) links: Links,
    /// What BFD watches.
    pub(crate) watches: Watches,
    pub(crate) stations: Stations,
    pub(crate) tapes: Tapes,
    pub(crate) conns: BTreeMap<ConnId, (PeerId, Side)>,
    pub(crate) last_conn: u64,
    pub(crate) started: Instant,
    pub(crate) seed: u64,
    /// Taken and given back by `drive`, to spare an allocation an event.
    pub(crate) outputs: Vec<Output>,
    /// Likewise, of the FIB planner's.
    pub(crate) fib_outputs: Vec<fib_netlink::Output>,
    /// Likewise, of `feed_fib`.
    pub(crate) fib_changes: Vec<fib_netlink::Input>,
    /// The FIB planner has not seen all changes of the RIB yet.
    pub(crate) fib_behind: bool,
    /// It began to install while running, and has not been told all yet.
    pub(crate) fib_begins: bool,
    /// Aggregates have not seen all changes of the RIB yet.
    pub(crate) aggregates_behind: bool,
    /// Paths that failed: what the FIB does at once is done, what follows from it is not.
    pub(crate) failed: Vec<bfd::Path>,
    /// The FIB waits for what follows.
    pub(crate) fib_suspects: bool,
    /// After a shutdown, the kernel is as it shall stay.
    pub(crate) fib_ended: bool,
    /// What our OPENs say of our own restart.
    pub(crate) restart: Restart,
    /// How far that restart is.
    pub(crate) deferral: Deferral,
    /// Whether we are about to leave.
    pub(crate) draining: Draining,
    life: Life,
}

/// Where the speaker is between start and end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    /// Kernel routes of an earlier life are kept until this moment, or until all peers have told all.
    Starting(Instant),
    Running,
    /// Ends when the FIB is empty, or at this moment.
    Ending(Instant),
    Ended,
}

impl Speaker {
    /// A speaker that waits for [`Speaker::start`]. `seed` decides all that is random: jitter and hashes.
    ///
    /// # Errors
    /// What is wrong with the configuration: its policies do not compile, a peer names one that there is not, or two
    /// peers are the same. In words.
    pub fn new(config: Config, now: Instant, seed: u64) -> Result<Self, String> {
        let policies = Arc::new(check(&config)?);
        let mut speaker = Self {
            rib: Rib::new(rib_config(&config, seed)),
            fib: Fib::new(fib_config(&config)),
            policies,
            peers: Peers::default(),
            configured: Configured::default(),
            foreign: Foreign::default(),
            injections: Injections::default(),
            watchers: RouteWatchers::default(),
            links: Links::default(),
            watches: Watches::default(),
            stations: Stations::default(),
            tapes: Tapes::default(),
            conns: BTreeMap::new(),
            last_conn: 0,
            started: now,
            seed,
            outputs: Vec::new(),
            fib_outputs: Vec::new(),
            fib_changes: Vec::new(),
            fib_behind: false,
            fib_begins: false,
            aggregates_behind: false,
            failed: Vec::new(),
            fib_suspects: false,
            fib_ended: false,
            restart: Restart::default(),
            deferral: Deferral::None,
            draining: Draining::No,
            life: Life::Starting(now + STARTUP_MAX),
            config,
        };
        speaker.rib.set_policies(Arc::clone(&speaker.policies));
        speaker.use_fib_policy();
        speaker.rib.tell_spares(has_spares(&speaker.config));
        for (source, route) in [
            (ORIGINATE, RouteSource::Originate),
            (STATIC, RouteSource::Static),
            (CONNECTED, RouteSource::Connected),
            (KERNEL, RouteSource::Kernel),
            (AGGREGATE, RouteSource::Aggregate),
        ] {
            speaker.rib.declare_local(source.peer, route);
        }
        speaker.set_aggregates();
        // The first dump is to come.
        speaker.want_foreign();
        Ok(speaker)
    }

    /// The policy of `[fib]` as it is now. Says whether it is another one.
    pub(crate) fn use_fib_policy(&mut self) -> bool {
        // The names were checked with the configuration.
        let chain = fib_chain(&self.config, &self.policies);
        chain.is_ok_and(|chain| self.rib.set_fib_policy(chain))
    }

    /// Begins: peers are started, local routes announced, the kernel is asked for what it has.
    pub fn start(&mut self, now: Instant, out: &mut Vec<Effect>) {
        out.push(Effect::Probe(self.config.probe));
        self.begin_restart(now, out);
        for index in 0..self.config.peers.len() {
            self.add_configured(now, index, out);
        }
        self.tell_listen_keys(out);
        self.configure_stations(now, None, out);
        self.environment_changed();
        self.settle(now, out);
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        self.follow_failures(now, out);
        let Some(event) = self.station_event(now, event, out) else {
            return self.settle(now, out);
        };
        match event {
            Event::Timeout => self.timeout(now, out),
            Event::Connected { conn, local } => self.connected(now, conn, local, out),
            Event::ConnectFailed { conn, why } => self.closed(now, conn, Some(&why), out),
            Event::Received { conn, data } => {
                self.drive_conn(now, conn, |side| Input::Received(side, data), out);
            }
            Event::Blocked { conn } => self.drive_conn(now, conn, Input::Blocked, out),
            Event::Progress { conn } => self.drive_conn(now, conn, Input::Progress, out),
            Event::Closed { conn } => self.closed(now, conn, None, out),
            Event::Kernel(input) => self.kernel_input(now, input, out),
            Event::Bfd(report) => self.bfd_report(now, &report, out),
            Event::Link(report) => self.link_report(now, &report, out),
            Event::Shutdown => self.shutdown(now, out),
        }
        self.settle(now, out);
    }

    /// When to call with [`Event::Timeout`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let peers = self
            .peers
            .iter()
            .filter_map(|peer| peer.fsm.deadline())
            .min();
        let life = match self.life {
            Life::Starting(latest) => Some(self.startup_ends(latest)),
            Life::Ending(latest) => Some(latest),
            Life::Running | Life::Ended => None,
        };
        let behind = self.is_behind().then_some(self.started);
        [
            peers,
            life,
            behind,
            self.fib.deadline(),
            self.injections.deadline(),
            self.restart_deadline(),
            self.refresh_deadline(),
            self.draining.deadline(),
            self.stations.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The connections on which there is something to say: those of stations, then sessions, the oldest one first.
    pub fn ready(&self, out: &mut Vec<ConnId>) {
        self.ready_stations(out);
        if self.defers() {
            return;
        }
        let pending = self
            .peers
            .iter()
            .filter(|peer| self.rib.has_pending(peer.id));
        let stations = out.len();
        out.extend(pending.filter_map(|peer| Some(peer.session_conn()?.id)));
        if let Some(sessions) = out.get_mut(stations..) {
            sessions.sort_unstable();
        }
    }

    /// Takes what there is to say on `conn`, about `max` bytes of it. True if there is more.
    pub fn transmit(&mut self, conn: ConnId, max: usize, out: &mut Vec<Bytes>) -> bool {
        let Some(&(id, _)) = self.conns.get(&conn) else {
            return self.transmit_station(conn, max, out).unwrap_or_default();
        };
        if self.defers() {
            return false;
        }
        let before = out.len();
        let more = self.rib.transmit(id, max, out);
        if let Some(peer) = self.peers.get_mut(id) {
            peer.updates_sent += out
                .iter()
                .skip(before)
                .map(|messages| count_messages(messages))
                .sum::<u64>();
        }
        more
    }

    /// Counts up whenever a best path changed.
    #[must_use]
    pub fn routes_version(&self) -> u64 {
        self.rib.version()
    }

    /// What must be done after anything happened: next hops, the FIB's share of the changes, conditions.
    pub(crate) fn settle(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.watch_paths(now, out);
        self.redistribute();
        self.track_next_hops(now, out);
        self.look_around(now, out);
        self.follow_aggregates();
        self.check_restart(now, out);
        self.feed_fib(now, out);
        self.settle_failures(now, out);
        self.check_stations(now, out);
        self.check_life(now, out);
    }

    fn timeout(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for id in self.peers.ids() {
            let due = self.peers.get(id).and_then(|peer| peer.fsm.deadline());
            if due.is_some_and(|at| at <= now) {
                self.drive(now, id, Input::Timeout, out);
            }
        }
        if self.fib.deadline().is_some_and(|at| at <= now) {
            self.fib_input(now, fib_netlink::Input::Timeout, out);
        }
        self.expire_leases(now, out);
        self.expire_held(now, out);
        self.expire_refreshes(now);
        self.check_drain(now, out);
        self.stations_timeout(now, out);
        self.end_dropped_watches();
    }

    /// Adds and starts a peer of the configuration.
    pub(crate) fn add_configured(&mut self, now: Instant, index: usize, out: &mut Vec<Effect>) {
        let Some(peer) = self.config.peers.get(index).cloned() else {
            return;
        };
        let (id, name) = (self.peers.next_id(), peer.name());
        let asn = PeerAs::Exactly(peer.asn);
        self.peers.insert(Peer::new(
            id,
            name,
            asn,
            peer.options,
            (&self.config.router, self.restart),
            now,
            self.seed,
        ));
        self.watches.mark_stale();
        let waits = |peer: &Peer| peer.options.graceful_restart.is_some() && self.asks_kernel();
        if self
            .peers
            .get(id)
            .is_some_and(|peer| peer.enabled && !waits(peer))
        {
            self.drive(now, id, Input::Start, out);
        }
    }

    /// A peer for somebody who connects from within a range.
    pub(crate) fn peer_from_range(
        &mut self,
        now: Instant,
        name: &PeerName,
        out: &mut Vec<Effect>,
    ) -> Result<PeerId, &'static str> {
        let (index, range) = self.range_of(name.address).ok_or("it is no peer of ours")?;
        let of_range = |peer: &&Peer| peer.range == Some(index);
        if self.peers.iter().filter(of_range).count() >= range.limit {
            return Err("its range is full");
        }
        if !range.options.enabled {
            return Err("its range is disabled");
        }
        let (asn, options) = (range.peer_as(), range.peer_options());
        let id = self.peers.next_id();
        let mut peer = Peer::new(
            id,
            name.clone(),
            asn,
            options,
            (&self.config.router, self.restart),
            now,
            self.seed,
        );
        peer.range = Some(index);
        self.peers.insert(peer);
        self.watches.mark_stale();
        self.drive(now, id, Input::Start, out);
        Ok(id)
    }

    /// The range that rules an address: the one with the longest prefix.
    pub(crate) fn range_of(&self, address: IpAddr) -> Option<(usize, &PeerRange)> {
        let ranges = self.config.ranges.iter().enumerate();
        let covering = ranges.filter(|(_, range)| range.prefix.contains(&address));
        covering.max_by_key(|(_, range)| range.prefix.prefix_len())
    }

    /// A peer from a range lives as long as its connection, and as long as it is to stay down.
    pub(crate) fn drop_dynamic(&mut self, id: PeerId) {
        let gone = |peer: &Peer| {
            let waits = peer.fsm.state() == State::Idle;
            let goes = !peer.is_connected() && !waits && peer.held.is_none();
            peer.range.is_some() && peer.accepted && goes
        };
        if self.peers.get(id).is_some_and(gone) {
            self.peers.remove(id);
            self.watches.mark_stale();
        }
    }

    /// Once a shutdown has begun, nothing new begins.
    pub(crate) fn refuse_at_end(&self) -> Result<(), Refusal> {
        match self.life {
            Life::Starting(_) | Life::Running => Ok(()),
            Life::Ending(_) | Life::Ended => {
                Err(Refusal::Precondition("it is shutting down".to_owned()))
            }
        }
    }

    /// Routes of an earlier life go once we know what holds; a shutdown ends once the kernel is clean.
    fn check_life(&mut self, now: Instant, out: &mut Vec<Effect>) {
        match self.life {
            Life::Starting(latest) if now >= self.startup_ends(latest) => {
                self.life = Life::Running;
                self.end_restart();
                self.fib_begins = false;
                self.fib_input(now, fib_netlink::Input::StartupDone, out);
            }
            Life::Running if self.fib_begins && !self.fib_behind && self.fib.is_synchronized() => {
                self.fib_begins = false;
                self.fib_input(now, fib_netlink::Input::StartupDone, out);
            }
            Life::Ending(latest) if now >= latest || self.fib_ended => {
                self.life = Life::Ended;
                out.push(Effect::Ended);
            }
            Life::Starting(_) | Life::Running | Life::Ending(_) | Life::Ended => {}
        }
    }

    /// Whether something that happened has not led to all that follows from it.
    fn is_behind(&self) -> bool {
        // While a restart is under way, the FIB hears nothing.
        let fib = self.fib_behind && !self.is_restarting();
        let rest = self.aggregates_behind || self.foreign.has_changes();
        fib || rest || self.configured.is_behind() || !self.failed.is_empty()
    }

    /// When the routes of an earlier life may go: once all that was heard of the kernel and of the peers has led to
    /// what is wanted. A peer that does not come up holds them until `latest`, and no longer.
    fn startup_ends(&self, latest: Instant) -> Instant {
        if self.is_behind()
            || !self.fib.is_synchronized()
            || self.fib.is_resolving()
            || self.is_restarting()
        {
            return latest;
        }
        let mut ends = self.started;
        for peer in self.peers.iter().filter(|peer| peer.enabled) {
            match peer.settles(STARTUP_QUIET) {
                Some(at) => ends = ends.max(at),
                None => return latest,
            }
        }
        ends.min(latest)
    }

    /// What belongs to the start may take that much longer after `begin`.
    pub(crate) fn extend_startup(&mut self, begin: Instant) {
        self.life = Life::Starting(begin + STARTUP_MAX);
    }

    fn shutdown(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.refuse_at_end().is_err() {
            return;
        }
        for id in self.peers.ids() {
            let graceful = |peer: &Peer| peer.options.graceful_restart.is_some();
            let stop = if self.peers.get(id).is_some_and(graceful) {
                self.fib.keep_on_exit();
                Stop::Restart
            } else {
                Stop::Shutdown { message: None }
            };
            self.drive(now, id, Input::Stop(stop), out);
        }
        self.unwatch_all(out);
        self.end_stations(now, out);
        self.life = Life::Ending(now + SHUTDOWN_MAX);
        self.fib_input(now, fib_netlink::Input::Shutdown, out);
    }
}

/// The compiled policies of a configuration in which nothing refers to what is not there.
pub(crate) fn check(config: &Config) -> Result<Policies, String> {
    let policies = Policies::compile(&config.sets, &config.policies).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        errors.join("; ")
    })?;
    let peers = config.peers.iter().map(|peer| &peer.options);
    let ranges = config.ranges.iter().map(|range| &range.options);
    for options in peers.chain(ranges) {
        for names in options.import.iter().chain(&options.export) {
            policies.chain(names).map_err(|error| error.to_string())?;
        }
    }
    fib_chain(config, &policies).map_err(|error| error.to_string())?;
    for name in config.redistribute.policies() {
        let chain = policies.chain(std::slice::from_ref(name));
        chain.map_err(|error| error.to_string())?;
    }
    let mut names = BTreeSet::new();
    for peer in &config.peers {
        let name = peer.name();
        if !names.insert(name.clone()) {
            return Err(format!("peer {name} is there twice"));
        }
    }
    Ok(policies)
}

/// What may enter the kernel.
pub(crate) fn fib_chain(config: &Config, policies: &Policies) -> Result<Chain, PolicyError> {
    let names = config.fib.policy.as_ref();
    names.map_or_else(|| Ok(Chain::accept_all()), |names| policies.chain(names))
}

pub(crate) fn rib_config(config: &Config, seed: u64) -> rib::Config {
    rib::Config {
        local_asn: config.router.asn,
        identifier: config.router.router_id,
        cluster_id: config.router.cluster_id,
        client_to_client: config.router.client_to_client,
        multipath: rib::Multipath {
            width: config.router.multipath,
            tolerance: config.router.multipath_cost_tolerance,
        },
        seed,
        // Off the way of the packets, as a reflector is, next hops are others' business.
        assume_reachable: !config.fib.install,
        fib: config.fib.install,
    }
}

/// Whole messages in `bytes`, by their lengths (RFC 4271 §4.1).
fn count_messages(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some([high, low]) = bytes.get(16..18) {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        bytes = bytes.get(len.max(1)..).unwrap_or_default();
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests;
