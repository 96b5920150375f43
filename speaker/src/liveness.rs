//! BFD as its client sees it (RFC 5882): which paths are watched, for which peers, and what follows when one fails.
//!
//! The sessions themselves live where a full table cannot delay them: the driver keeps a [`bfd::Bfd`], opens and closes
//! its sessions as [`Effect::Bfd`] says, and reports with [`Event::Bfd`](crate::Event::Bfd).

mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bfd::{Hops, Path, Reason, State};
use bgp_fsm::{Input, Stop};
use rib::PeerId;

use crate::command::PeerName;
use crate::event::Effect;
use crate::peer::Peer;
use crate::{Notice, Speaker};

pub use reports::{NOTICES_MAX, Reports};

/// Whether a session is to be there, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BfdOrder {
    /// What it watches.
    pub path: Path,
    /// `None`: nobody wants it any more.
    pub config: Option<bfd::Config>,
}

/// What became of a session since the last report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BfdReport {
    /// What it watches.
    pub path: Path,
    /// How it is now.
    pub state: State,
    /// It was up and failed since, whatever it is now; the first reason.
    pub failed: Option<Reason>,
}

/// A path that is watched, as an operator sees it.
#[derive(Clone, Debug)]
pub struct WatchView {
    /// What is watched.
    pub path: Path,
    /// How it is.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// How often it failed.
    pub failures: u64,
    /// Why it last did.
    pub last_failure: Option<Reason>,
    /// Whose sessions rely on it.
    pub peers: Vec<PeerName>,
}

/// All paths that are watched.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    paths: BTreeMap<Path, Watch>,
    /// Peers came or went, or changed: what is watched is to be worked out anew.
    stale: bool,
}

#[derive(Debug)]
struct Watch {
    config: bfd::Config,
    users: BTreeSet<PeerId>,
    state: State,
    since: Instant,
    failures: u64,
    last_failure: Option<Reason>,
}

impl Watches {
    /// See the field.
    pub(crate) const fn mark_stale(&mut self) {
        self.stale = true;
    }

    /// How a path is; `None`: it is not watched.
    pub(crate) fn state(&self, path: &Path) -> Option<State> {
        Some(self.paths.get(path)?.state)
    }
}

impl Peer {
    /// The path that BFD watches for it. Over several hops its packets may cross routers, as the session's do.
    pub(crate) fn watched_path(&self) -> Option<Path> {
        self.options.bfd.as_ref()?;
        let several = self.options.multihop.is_some_and(|hops| hops > 1);
        Some(Path {
            remote: self.name.address,
            local: self.options.local_address,
            interface: self.interface().map(str::to_owned),
            hops: if several { Hops::Several } else { Hops::Single },
        })
    }
}

impl Speaker {
    /// Orders the sessions that peers ask for, and gives up those that none does any more.
    pub(crate) fn watch_paths(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.watches.stale) {
            return;
        }
        self.measure_links(now, out);
        let mut wanted: BTreeMap<Path, (bfd::Config, BTreeSet<PeerId>)> = BTreeMap::new();
        for peer in self.peers.iter().filter(|peer| peer.enabled) {
            let (Some(path), Some(options)) = (peer.watched_path(), &peer.options.bfd) else {
                continue;
            };
            let entry = wanted.entry(path);
            let (config, users) = entry.or_insert_with(|| (options.session.clone(), [].into()));
            // Who shares a session gets the one that is sooner to see a failure.
            config.transmit = config.transmit.min(options.session.transmit);
            config.receive = config.receive.min(options.session.receive);
            config.multiplier = config.multiplier.min(options.session.multiplier);
            users.insert(peer.id);
        }
        let paths = &mut self.watches.paths;
        paths.retain(|path, _| {
            let stays = wanted.contains_key(path);
            if !stays {
                let path = path.clone();
                out.push(Effect::Bfd(BfdOrder { path, config: None }));
            }
            stays
        });
        for (path, (config, users)) in wanted {
            let known = paths.get(&path).map(|watch| &watch.config);
            if known != Some(&config) {
                let (path, config) = (path.clone(), Some(config.clone()));
                out.push(Effect::Bfd(BfdOrder { path, config }));
            }
            let watch = paths.entry(path).or_insert_with(|| Watch {
                config: config.clone(),
                users: BTreeSet::new(),
                state: State::Down,
                since: now,
                failures: 0,
                last_failure: None,
            });
            (watch.config, watch.users) = (config, users);
        }
    }

    /// A session changed. That a path failed ends the BGP sessions that rely on it at once (RFC 5882 §3.2, RFC 9384).
    pub(crate) fn bfd_report(&mut self, now: Instant, report: &BfdReport, out: &mut Vec<Effect>) {
        let Some(watch) = self.watches.paths.get_mut(&report.path) else {
            return;
        };
        if watch.state != report.state || report.failed.is_some() {
            watch.since = now;
            out.push(Effect::Notice(Notice::Bfd(report.clone())));
        }
        watch.state = report.state;
        let Some(reason) = report.failed else { return };
        watch.failures += 1;
        watch.last_failure = Some(reason);
        let users = watch.users.clone();
        let relies = |id: &PeerId| self.peers.get(*id).is_some_and(Peer::is_established);
        if !users.iter().any(relies) {
            return;
        }
        self.failed.push(report.path.clone());
        // The kernel's next hops come first: to end sessions takes as long as they have routes.
        if !self.suspect(now, &report.path, out) {
            self.follow_failures(now, out);
        }
    }

    /// Has the FIB use what is spare instead of next hops behind a path. Says whether that is under way.
    fn suspect(&mut self, now: Instant, path: &Path, out: &mut Vec<Effect>) -> bool {
        let index = |name: &String| self.fib.interface(name);
        let interface = path.interface.as_ref().and_then(index);
        let neighbor = path.remote;
        let before = out.len();
        let input = fib_netlink::Input::Suspect {
            neighbor,
            interface,
        };
        self.fib_input(now, input, out);
        self.fib_suspects = true;
        let kernel = |effect: &Effect| matches!(effect, Effect::Kernel(_));
        out.iter().skip(before).any(kernel)
    }

    /// The sessions that rely on paths that failed end.
    pub(crate) fn follow_failures(&mut self, now: Instant, out: &mut Vec<Effect>) {
        for path in std::mem::take(&mut self.failed) {
            let users = self.watches.paths.get(&path).map(|w| w.users.clone());
            for id in users.into_iter().flatten() {
                if self.peers.get(id).is_some_and(Peer::is_established) {
                    self.drive(now, id, Input::Stop(Stop::BfdDown), out);
                }
            }
        }
    }

    /// The FIB heard all that follows from failures.
    pub(crate) fn settle_failures(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let done = self.failed.is_empty() && (!self.fib_behind || self.is_restarting());
        if done && std::mem::take(&mut self.fib_suspects) {
            self.fib_input(now, fib_netlink::Input::Settled, out);
        }
    }

    /// `strict`: whether a session with the peer must wait until its path is known to carry packets.
    pub(crate) fn waits_for_path(&self, peer: &Peer) -> bool {
        let strict = peer.options.bfd.as_ref().is_some_and(|bfd| bfd.strict);
        let state = || self.watches.state(&peer.watched_path()?);
        strict && peer.range.is_none() && state() != Some(State::Up)
    }

    /// Nothing is watched any more: neighbors are told, so that none sees a failure.
    pub(crate) fn unwatch_all(&mut self, out: &mut Vec<Effect>) {
        self.watches.stale = false;
        for (path, _) in std::mem::take(&mut self.watches.paths) {
            out.push(Effect::Bfd(BfdOrder { path, config: None }));
        }
    }

    /// How BFD sees the way to a peer; `None`: it is not asked to.
    pub(crate) fn bfd_state(&self, peer: &Peer) -> Option<State> {
        let path = peer.watched_path()?;
        Some(self.watches.state(&path).unwrap_or(State::Down))
    }

    /// All paths that are watched.
    #[must_use]
    pub fn watches(&self) -> Vec<WatchView> {
        let name = |id: &PeerId| Some(self.peers.get(*id)?.name.clone());
        let all = self.watches.paths.iter();
        all.map(|(path, watch)| WatchView {
            path: path.clone(),
            state: watch.state,
            since: watch.since,
            failures: watch.failures,
            last_failure: watch.last_failure,
            peers: watch.users.iter().filter_map(name).collect(),
        })
        .collect()
    }
}
