//! What an operator asks, answered from the engines, in an operator's terms.

mod peer;

use std::sync::{Arc, Weak};

use fib_netlink::{FibRow, RouteState, Way};
use ipnet::IpNet;
use rib::policy::Verdict;
use rib::query::{PathRow, RouteRow};
use rib::{PeerId, Watcher};

use crate::Speaker;
use crate::command::{PeerName, Refusal};
use crate::config::Config;
use crate::fib::next_hop;
use crate::originate::{AGGREGATE, ORIGINATE, STATIC};
use crate::redistribute::{CONNECTED, KERNEL};
use crate::view::{
    Explanation, FibDetail, FibPage, FibStatus, FibView, InterfaceView, NextHopView, PathView,
    PeerView, PrefixCounts, RouteChange, RoutePage, RouteQuery, RouteView, Source, Status, WayView,
};

/// Watchers of routes, each with who holds it: nobody has to say that a client went away.
#[derive(Debug, Default)]
pub(crate) struct RouteWatchers(Vec<(Weak<()>, Watcher)>);

/// A place in the stream of route changes. Dropping it ends the watch.
#[derive(Debug)]
pub struct RouteWatcher(Arc<()>);

impl Speaker {
    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        let counts = self.rib.counts();
        let fib = self.fib.status();
        let fib = FibStatus {
            install: fib.install,
            permitted: fib.permitted,
            installed: fib.installed,
            pending: fib.pending,
            failed: fib.failed,
            strangers: fib.strangers,
            foreign: fib.foreign,
            foreign_left_out: fib.foreign_left_out,
            shadow: fib.shadow,
            different: fib.different,
            missing: fib.missing,
            extra: fib.extra,
        };
        Status {
            asn: self.config.router.asn,
            router_id: self.config.router.router_id,
            started: self.started,
            peers: self.peers.iter().count(),
            established: self
                .peers
                .iter()
                .filter(|peer| peer.is_established())
                .count(),
            prefixes: counts.routes,
            paths: counts.paths,
            attribute_sets: counts.attribute_sets,
            drain: self.drain_view(),
            restart: self.restart_view(),
            peers_held: self.peers.iter().filter(|peer| peer.held.is_some()).count(),
            stations: self.stations(),
            problems: self.problems(&fib),
            fib,
        }
    }

    /// All peers, by name.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerView> {
        self.peers
            .by_name()
            .map(|peer| self.view_peer(peer))
            .collect()
    }

    /// Our links, by their numbers.
    #[must_use]
    pub fn interfaces(&self) -> Vec<InterfaceView> {
        let all = self.fib.interfaces();
        let view = |(index, name, up, addresses): (u32, &str, bool, _)| InterfaceView {
            index,
            name: name.to_owned(),
            up,
            addresses,
        };
        all.map(view).collect()
    }

    /// One peer.
    #[must_use]
    pub fn peer(&self, name: &PeerName) -> Option<PeerView> {
        let id = self.peers.id_of(name)?;
        self.peers.get(id).map(|peer| self.view_peer(peer))
    }

    /// A page of at most `limit` routes behind `after`, which is the last page's [`RoutePage::next`].
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for a peer that there is not.
    pub fn routes(
        &mut self,
        query: &RouteQuery,
        after: Option<IpNet>,
        limit: usize,
    ) -> Result<RoutePage, Refusal> {
        let id_of = |name: &PeerName| self.known(name);
        let query = rib::RouteQuery {
            prefix: query.prefix,
            longer: query.longer,
            best_only: query.best_only,
            received_from: query.received_from.as_ref().map(id_of).transpose()?,
            advertised_to: query.advertised_to.as_ref().map(id_of).transpose()?,
            family: query.family,
        };
        let page = self.rib.routes(&query, after, limit);
        Ok(RoutePage {
            routes: page
                .rows
                .into_iter()
                .map(|row| self.view_route(row))
                .collect(),
            next: page.next,
        })
    }

    /// The number of a peer.
    pub(crate) fn known(&self, name: &PeerName) -> Result<PeerId, Refusal> {
        let id = self.peers.id_of(name);
        id.ok_or_else(|| Refusal::NotFound(format!("peer {name}")))
    }

    /// Why the route to a prefix is what it is.
    #[must_use]
    pub fn explain(&self, prefix: IpNet) -> Option<Explanation> {
        let found = self.rib.explain(prefix)?;
        let mut keys = self.rib.next_hops_of(prefix);
        keys.extend(found.candidates.iter().filter_map(|c| c.next_hop));
        keys.retain(|key| !key.address.is_unspecified());
        keys.sort_unstable();
        keys.dedup();
        let next_hops = keys.into_iter();
        let next_hops = next_hops.map(|key| self.view_next_hop(key, prefix));
        let next_hops = next_hops.collect();
        let (paths, policy) = found
            .candidates
            .into_iter()
            .map(|c| (self.view_path(c.path), c.policy))
            .unzip();
        let name = |id: &PeerId| self.peers.get(*id).map(|peer| peer.name.clone());
        Some(Explanation {
            route: RouteView { prefix, paths },
            policy,
            kernel: self.fib.route(prefix).and_then(|row| row.actual),
            advertised_to: found.advertised_to.iter().filter_map(name).collect(),
            next_hops,
        })
    }

    /// A page of the FIB: at most `limit` rows behind `after`; with `diff_only` what is not as it is wanted.
    #[must_use]
    pub fn fib(&self, after: Option<IpNet>, limit: usize, diff_only: bool) -> FibPage {
        let rows = self.fib.routes(after, limit, diff_only);
        let next = (rows.len() >= limit)
            .then(|| rows.last().map(|row| row.prefix))
            .flatten();
        FibPage {
            rows: rows.into_iter().map(view_fib).collect(),
            next,
        }
    }

    /// All there is to say of one prefix in the kernel. `None`: it is not wanted there, nor is it there, nor would it be
    /// if the policy of `[fib]` let it.
    #[must_use]
    pub fn fib_detail(&self, prefix: IpNet) -> Option<FibDetail> {
        let rows: Vec<_> = self.fib.rows_of(prefix).into_iter().map(view_fib).collect();
        let (rejected, policy) = self.fib_policy_trace(prefix);
        if rows.is_empty() && !rejected {
            return None;
        }
        let keys = self.rib.next_hops_of(prefix).into_iter();
        Some(FibDetail {
            rows,
            policy,
            rejected,
            next_hops: keys.map(|key| self.view_next_hop(key, prefix)).collect(),
        })
    }

    /// How a next hop is reached by routes to `prefix`.
    fn view_next_hop(&self, key: rib::NextHopKey, prefix: IpNet) -> NextHopView {
        let resolution = self.fib.resolve(next_hop(key)).unwrap_or_default();
        let ways = resolution.for_prefix(prefix).cloned().unwrap_or_default();
        let cost = ways.iter().map(|way| way.metric).max();
        let way = |way: &Way| WayView {
            gateway: way.path.gateway,
            interface: self
                .fib
                .interface_name(way.path.interface)
                .map(str::to_owned),
            weight: way.weight,
        };
        let ways: Vec<WayView> = ways.iter().map(way).collect();
        let first = ways.first();
        let through = resolution.through.iter().map(|through| through.prefix);
        // Without one of them, it is reached in a way of its own.
        let is_through = resolution.through.iter().all(|t| t.prefix != prefix) && first.is_some();
        NextHopView {
            address: key.address,
            gateway: first.and_then(|way| way.gateway),
            interface: first.and_then(|way| way.interface.clone()),
            cost,
            through: through.filter(|_| is_through).collect(),
            ways,
        }
    }

    fn fib_policy_trace(&self, prefix: IpNet) -> (bool, Vec<String>) {
        let said = self.config.fib.policy.as_ref();
        let Some((verdict, trace)) = said.and_then(|_| self.rib.explain_fib(prefix)) else {
            return (false, Vec::new());
        };
        let lines = trace.steps.iter().map(ToString::to_string);
        (verdict == Verdict::Reject, lines.collect())
    }

    /// Watches the best routes: all of them come first, then what changes.
    ///
    /// # Errors
    /// [`Refusal::Exhausted`]: too many watch already.
    pub fn watch_routes(&mut self) -> Result<RouteWatcher, Refusal> {
        self.end_dropped_watches();
        let watcher = self.rib.watch(true);
        let full = || Refusal::Exhausted(format!("at most {} may watch", rib::WATCHERS_MAX));
        let watcher = watcher.ok_or_else(full)?;
        let held = Arc::new(());
        self.watchers.0.push((Arc::downgrade(&held), watcher));
        Ok(RouteWatcher(held))
    }

    /// At most `max` routes that changed, each as it is now. None: nothing changed.
    pub fn route_changes(&mut self, watcher: &mut RouteWatcher, max: usize) -> Vec<RouteChange> {
        let mut prefixes = Vec::new();
        let found = self
            .watchers
            .0
            .iter_mut()
            .find(|(held, _)| std::ptr::eq(held.as_ptr(), Arc::as_ptr(&watcher.0)));
        if let Some((_, watcher)) = found {
            self.rib
                .changes(watcher, max, &mut |prefix| prefixes.push(prefix));
        }
        let change = |prefix| {
            let row = self
                .rib
                .route(prefix)
                .filter(|row| row.paths.iter().any(|path| path.best));
            RouteChange {
                prefix,
                route: row.map(|row| self.view_route(row)),
            }
        };
        prefixes.into_iter().map(change).collect()
    }

    /// A watch stands still when nobody reads it, and what it has not seen cannot be forgotten.
    pub(crate) fn end_dropped_watches(&mut self) {
        let (alive, dropped) = std::mem::take(&mut self.watchers.0)
            .into_iter()
            .partition(|(held, _)| held.strong_count() > 0);
        self.watchers.0 = alive;
        let dropped: Vec<(Weak<()>, Watcher)> = dropped;
        for (_, watcher) in dropped {
            self.rib.unwatch(watcher);
        }
    }

    /// The configuration in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    fn problems(&self, fib: &FibStatus) -> Vec<String> {
        let mut problems = Vec::new();
        if fib.install && !fib.permitted {
            problems.push("no route is installed: CAP_NET_ADMIN is missing".to_owned());
        }
        if fib.failed > 0 {
            problems.push(format!(
                "{} routes could not be installed: see `windrose fib list --diff`",
                fib.failed
            ));
        }
        if fib.install && fib.strangers > 0 {
            problems.push(format!(
                "{} routes of another program have our protocol number {}: give `[fib]` another `protocol`",
                fib.strangers, self.config.fib.protocol
            ));
        }
        if fib.foreign_left_out > 0 {
            problems.push(format!(
                "{} of the kernel's routes of others are not kept in mind: they lead to no next hop",
                fib.foreign_left_out
            ));
        }
        let down = self
            .peers
            .iter()
            .filter(|peer| peer.enabled && !peer.is_established())
            .count();
        if down > 0 {
            problems.push(format!("{down} peers are not established"));
        }
        problems
    }

    fn view_route(&self, row: RouteRow) -> RouteView {
        RouteView {
            prefix: row.prefix,
            paths: row
                .paths
                .into_iter()
                .map(|path| self.view_path(path))
                .collect(),
        }
    }

    fn view_path(&self, path: PathRow) -> PathView {
        PathView {
            source: self.source(path.peer),
            attributes: path.attributes,
            tag: path.tag,
            path_id: (path.path_id != 0).then_some(path.path_id),
            accepted: path.reason.is_accepted(),
            valid: path.reason.is_eligible(),
            stale: path.stale,
            best: path.best,
            multipath: path.multipath,
            cost: path.cost,
            reason: path.reason.to_string(),
        }
    }

    pub(crate) fn source(&self, id: PeerId) -> Source {
        if id == ORIGINATE.peer {
            Source::Originate
        } else if id == STATIC.peer {
            Source::Static
        } else if id == CONNECTED.peer {
            Source::Connected
        } else if id == KERNEL.peer {
            Source::Kernel
        } else if id == AGGREGATE.peer {
            Source::Aggregate
        } else if let Some(peer) = self.peers.get(id) {
            Source::Peer(peer.name.clone())
        } else {
            Source::Api(self.injections.owner_of(id).unwrap_or_default().to_owned())
        }
    }
}

fn view_counts(counts: rib::PeerCounts) -> PrefixCounts {
    PrefixCounts {
        received: counts.received.into(),
        accepted: counts.accepted.into(),
        advertised: counts.advertised.into(),
        preferred: counts.preferred.into(),
        changes: counts.changes,
    }
}

fn view_fib(row: FibRow) -> FibView {
    FibView {
        prefix: row.prefix,
        table: row.table,
        metric: row.metric,
        prefsrc: row.prefsrc,
        wanted: row.wanted,
        actual: row.actual,
        state: row.state.name(),
        error: view_error(&row.state),
    }
}

fn view_error(state: &RouteState) -> Option<String> {
    match state {
        RouteState::Failed {
            errno, attempts, ..
        } => Some(format!(
            "{}, {attempts} times",
            fib_netlink::view::errno_text(*errno)
        )),
        RouteState::Foreign { .. } => Some("another program's route is in the way".to_owned()),
        RouteState::Installed
        | RouteState::Pending
        | RouteState::Stale
        | RouteState::Different
        | RouteState::Missing
        | RouteState::Extra => None,
    }
}
