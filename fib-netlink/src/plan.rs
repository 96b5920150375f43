//! Wanted and actual are two columns of one table; this is the difference. Start, overrun, crash and
//! a route deleted by hand are the same to it: the columns differ.

mod answer;
mod configure;
mod contest;
mod observe;
mod resolve;
mod shadow;
mod show;
mod strangers;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_core::family::PerFamily;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::nexthops::Nexthops;
use crate::op::Path;
use crate::resolve::Resolver;
use crate::retry::{Retries, Subject};
use crate::source::{SourceId, Sources};
use crate::table::{Key, Place, Row, Slot, Table};
use crate::{Input, NextHop, Notice, Output, Placement, PreferredSource, Wanted};
use contest::Contests;
use strangers::Strangers;

/// Changes in one batch, at most: two milliseconds of the kernel's, 64 KiB of netlink with nexthop objects. With four of them
/// under way the kernel has work while a few thousand routes come in, and what is urgent waits for eight milliseconds at most.
pub const OPS_MAX: usize = 1_000;
/// Batches sent and not yet answered, at most.
pub const BATCHES_MAX: usize = 4;
/// Changes of what is wanted are gathered for so long, unless they fill a batch sooner.
pub const GATHER: Duration = Duration::from_millis(1);

/// The metric IPv6 gives to a route that has none (`IP6_RT_PRIO_USER`).
const IPV6_METRIC_DEFAULT: u32 = 1024;

/// How routes are installed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FibConfig {
    /// False: nothing is ever written; next hops are resolved all the same.
    pub install: bool,
    /// Without `install`: what would be installed is compared with what the kernel has of others.
    pub shadow: bool,
    /// The kernel's table for our routes.
    pub table: u32,
    /// `RTA_PRIORITY` of our routes.
    pub metric: u32,
    /// The protocol number that makes a route ours.
    pub protocol: u8,
    /// Preferred source addresses.
    pub prefsrc: PreferredSource,
    /// Nexthop objects and groups, if the kernel has them.
    pub nexthop_groups: bool,
    /// Routes stay after [`Input::Shutdown`].
    pub keep_on_exit: bool,
    /// The tables in which next hops are looked up; the first one that knows the way rules.
    pub resolve_tables: Vec<u32>,
    /// The default route is good enough to reach a next hop.
    pub resolve_via_default: bool,
}

impl Default for FibConfig {
    fn default() -> Self {
        Self {
            install: true,
            shadow: false,
            table: 254,
            metric: 20,
            protocol: 186,
            prefsrc: PreferredSource::default(),
            nexthop_groups: true,
            keep_on_exit: false,
            resolve_tables: vec![254],
            resolve_via_default: true,
        }
    }
}

/// Nothing of ours is there.
const NOTHING: (Slot, SourceId) = (Slot::NOTHING, SourceId::NONE);
/// Perhaps something of ours is there, perhaps not.
const UNKNOWN: (Slot, SourceId) = (Slot::UNKNOWN, SourceId::NONE);

/// The planner.
#[derive(Debug)]
pub struct Fib {
    config: FibConfig,
    resolver: Resolver,
    table: Table,
    nexthops: Nexthops,
    retries: Retries,
    contests: Contests<Key>,
    /// Of next hops to which routes of ours lead.
    flips: Contests<NextHop>,
    strangers: Strangers,
    /// The foreign route that the kernel told of last: a dump has those of one place one after the other.
    foreign_before: Option<(IpNet, Place)>,
    /// Next hops of which somebody wants to hear, counted.
    tracked: BTreeMap<NextHop, u32>,
    flights: VecDeque<Flight>,
    next_batch: u64,
    knowledge: Knowledge,
    phase: Phase,
    permitted: bool,
    sources: Sources,
    /// The kernel has nexthop objects; true until it says otherwise.
    nexthop_objects: bool,
    /// Routes are not installed any more: what is there goes.
    retiring: bool,
    /// Neighbors are said to be gone, and what follows from it has not been told.
    suspects: bool,
    /// When the queues are to be looked at, if something is in them.
    look_at: Option<Instant>,
    /// When next hops are to be resolved again, if routes of ours that may lead to them changed.
    resolve_at: Option<Instant>,
    totals: Totals,
}

/// What we know of the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Knowledge {
    /// A dump is under way; with `again`, something was lost meanwhile.
    Dumping { first: bool, again: bool },
    /// All there is.
    Complete,
    /// Not all: once all batches are answered, a dump is asked for.
    Lossy,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Routes of an earlier life are left alone.
    Starting,
    Running,
    Ending,
    Ended,
}

/// A batch that is not answered.
#[derive(Debug)]
struct Flight {
    id: u64,
    pending: Vec<Pending>,
}

/// What an operation of a batch is about.
#[derive(Clone, Copy, Debug)]
enum Pending {
    /// Makes a route; `swept`: one of ours that may have been there was removed just before.
    Put { key: Key, swept: bool },
    /// Changes the route that is there.
    Replace { key: Key },
    /// Removes a route.
    Remove { key: Key },
    /// Makes or changes a nexthop object.
    Object { index: usize, replace: bool },
    /// Removes a nexthop object.
    ObjectGone { index: usize, id: u32 },
    /// It does not matter if it was not there.
    Sweep,
}

#[derive(Debug, Default)]
struct Totals {
    changes: u64,
    refused: u64,
    resyncs: u64,
}

impl Fib {
    /// A planner that knows nothing of the kernel yet: its driver dumps the kernel's state first.
    #[must_use]
    pub fn new(config: FibConfig) -> Self {
        let mut fib = Self {
            resolver: Resolver::new(config.resolve_tables.clone(), config.resolve_via_default),
            table: Table::default(),
            nexthops: Nexthops::new(config.nexthop_groups),
            retries: Retries::default(),
            contests: Contests::default(),
            flips: Contests::default(),
            strangers: Strangers::default(),
            foreign_before: None,
            tracked: BTreeMap::new(),
            flights: VecDeque::new(),
            next_batch: 0,
            knowledge: Knowledge::Dumping {
                first: true,
                again: false,
            },
            phase: Phase::Starting,
            permitted: true,
            sources: Sources::default(),
            nexthop_objects: true,
            retiring: false,
            suspects: false,
            look_at: None,
            resolve_at: None,
            totals: Totals::default(),
            config,
        };
        fib.want_default_sources();
        fib.resolver.all_tables = fib.config.shadow;
        fib
    }

    /// Takes in what happened at `now`, and pushes what follows from it.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Wanted { prefix, route, at } => {
                let prefix = prefix.trunc();
                self.want(now, prefix, route, at, out);
                self.lead(now, prefix);
            }
            Input::Suspect {
                neighbor,
                interface,
            } => self.suspect(now, neighbor, interface),
            Input::Settled => self.trust_all(now),
            Input::Configure(config) => self.configure(now, config, out),
            Input::Track(next_hop) => self.track(next_hop, out),
            Input::Untrack(next_hop) => self.untrack(now, next_hop),
            Input::Links { next_hop, links } => self.links(now, next_hop, links),
            Input::Kernel(facts) => self.observe(now, facts, out),
            Input::Overrun => self.overrun(out),
            Input::Heard(notice) => out.push(Output::Notice(notice)),
            Input::Retell => self.distrust(),
            Input::Completed { batch, failures } => self.completed(now, batch, &failures, out),
            Input::StartupDone => self.started(now, out),
            Input::Shutdown => self.shutdown(now, out),
            Input::Timeout => {}
        }
        self.proceed(now, out);
    }

    /// When to call with [`Input::Timeout`], if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.phase == Phase::Ended {
            return None;
        }
        let look = self
            .look_at
            .filter(|_| self.may_write() && self.flights.len() < BATCHES_MAX);
        let held = self.resolver.held_until();
        [look, self.retries.deadline(), self.resolve_at, held]
            .into_iter()
            .flatten()
            .min()
    }

    /// How it is configured.
    #[must_use]
    pub fn config(&self) -> &FibConfig {
        &self.config
    }

    /// The index of a link.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<u32> {
        self.resolver.interface(name)
    }

    /// The name of a link.
    #[must_use]
    pub fn interface_name(&self, index: u32) -> Option<&str> {
        self.resolver.interface_name(index)
    }

    /// All links: index, name, whether it is up, and its addresses.
    pub fn interfaces(&self) -> impl Iterator<Item = (u32, &str, bool, Vec<IpAddr>)> {
        self.resolver.interfaces()
    }

    /// Whether the kernel's state is known: its first dump is complete, and nothing was lost since.
    #[must_use]
    pub fn is_synchronized(&self) -> bool {
        matches!(self.knowledge, Knowledge::Complete)
    }

    /// The families in which the kernel has routes of ours: before [`Input::StartupDone`], of an earlier life too.
    #[must_use]
    pub fn has_routes(&self) -> PerFamily<bool> {
        let mut has = PerFamily::default();
        let there = self
            .table
            .iter()
            .filter(|(_, row)| row.actual != Slot::NOTHING);
        for (key, _) in there {
            match key.prefix {
                IpNet::V4(_) => has.ipv4 = true,
                IpNet::V6(_) => has.ipv6 = true,
            }
        }
        has
    }

    /// From now on routes stay after [`Input::Shutdown`], whatever the configuration said.
    pub const fn keep_on_exit(&mut self) {
        self.config.keep_on_exit = true;
    }

    /// Whether one of our links has this address.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.resolver.has_address(address)
    }

    /// All addresses of the link that has this one, in their order; none if no link has it.
    #[must_use]
    pub fn addresses_beside(&self, address: IpAddr) -> Vec<IpAddr> {
        self.resolver.addresses_beside(address)
    }

    /// Whether the kernel has a route to exactly this prefix that is not ours, in a table where next hops are looked up.
    #[must_use]
    pub fn has_route(&self, prefix: IpNet) -> bool {
        self.resolver.has_route(prefix.trunc())
    }

    fn want(
        &mut self,
        now: Instant,
        prefix: IpNet,
        route: Option<Wanted>,
        at: Placement,
        out: &mut Vec<Output>,
    ) {
        if matches!(self.phase, Phase::Ending | Phase::Ended) {
            return;
        }
        let wanted = match route {
            Some(Wanted::Unicast(members)) if !members.is_empty() => {
                Slot::at(self.nexthops.want(members, &mut self.resolver))
            }
            Some(Wanted::Blackhole) => Slot::BLACKHOLE,
            Some(Wanted::Unreachable) => Slot::UNREACHABLE,
            Some(Wanted::Prohibit) => Slot::PROHIBIT,
            Some(Wanted::Unicast(_)) | None => Slot::NOTHING,
        };
        if wanted == Slot::NOTHING {
            return self.want_nowhere(now, prefix);
        }
        let source = match wanted.index() {
            Some(_) => self.source(prefix, at, out),
            None => SourceId::NONE,
        };
        let place = self.table.place(self.place(prefix, at));
        let key = Key { prefix, place };
        self.want_at(now, key, wanted, source);
        if self.table.is_spread() {
            self.want_only(now, key);
        }
    }

    /// Where there is another way, next hops behind a neighbor are not used until [`Input::Settled`].
    fn suspect(&mut self, now: Instant, neighbor: IpAddr, interface: Option<u32>) {
        let through = |(path, _): &(Path, u8)| {
            let device = interface.is_none_or(|index| index == path.interface);
            path.gateway == Some(neighbor) && device
        };
        let is_behind = |next_hop: NextHop, paths: &[(Path, u8)]| {
            next_hop.address == neighbor || !paths.is_empty() && paths.iter().all(through)
        };
        self.suspects = true;
        self.nexthops.suspect(is_behind, &self.resolver);
        self.look_by(now);
    }

    fn trust_all(&mut self, now: Instant) {
        if std::mem::take(&mut self.suspects) {
            self.nexthops.trust_all(&self.resolver);
            self.look_by(now);
        }
    }

    fn want_only(&mut self, now: Instant, key: Key) {
        for (other, row) in self.table.elsewhere(key) {
            if row.wanted != Slot::NOTHING {
                self.want_at(now, other, Slot::NOTHING, SourceId::NONE);
            }
        }
    }

    fn want_nowhere(&mut self, now: Instant, prefix: IpNet) {
        if let Some(place) = self.table.only_place() {
            let key = Key { prefix, place };
            return self.want_at(now, key, Slot::NOTHING, SourceId::NONE);
        }
        let rows: SmallVec<[Key; 2]> = self.table.rows_of(prefix).map(|(key, _)| key).collect();
        for key in rows {
            self.want_at(now, key, Slot::NOTHING, SourceId::NONE);
            self.settled(key);
        }
    }

    fn want_at(&mut self, now: Instant, key: Key, wanted: Slot, source: SourceId) {
        let mut before = (Slot::NOTHING, SourceId::NONE);
        let writes = !self.shadows();
        self.table.update(key, |row| {
            before = (row.wanted, row.wanted_source);
            (row.wanted, row.wanted_source) = (wanted, source);
            row.set_adopted(row.is_adopted() && wanted == Slot::NOTHING);
            writes && before != (wanted, source)
        });
        self.unwant(before.0);
        if before != (wanted, source) {
            self.retries.forget(&Subject::Row(key));
            self.look_by(now + GATHER);
        }
    }

    fn unwant(&mut self, wanted: Slot) {
        if let Some(set) = wanted.index()
            && let Some(gone) = self.nexthops.unwant(set, &mut self.resolver)
        {
            self.retries.forget(&Subject::Set(gone));
        }
    }

    fn overrun(&mut self, out: &mut Vec<Output>) {
        out.push(Output::Notice(Notice::Overrun));
        self.distrust();
    }

    /// What we know may be wrong: the kernel is to be asked for all of it.
    fn distrust(&mut self) {
        self.knowledge = match self.knowledge {
            Knowledge::Dumping { first, .. } => Knowledge::Dumping { first, again: true },
            Knowledge::Complete | Knowledge::Lossy => Knowledge::Lossy,
        };
    }

    fn started(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.phase != Phase::Starting {
            return;
        }
        self.phase = Phase::Running;
        self.nexthops.started();
        let mut stale = 0;
        self.table.scan(|_, row| {
            let unwanted = row.wanted == Slot::NOTHING && row.actual != Slot::NOTHING;
            stale += usize::from(unwanted);
            unwanted
        });
        if stale > 0 && self.may_ever_write() {
            out.push(Output::Notice(Notice::StaleRemoved { routes: stale }));
        }
        self.look_by(now);
    }

    fn shutdown(&mut self, now: Instant, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Ending | Phase::Ended) {
            return;
        }
        if self.config.keep_on_exit || !self.may_ever_write() {
            self.phase = Phase::Ended;
            out.push(Output::Ended);
            return;
        }
        self.phase = Phase::Ending;
        self.forget_wanted();
        self.nexthops.started();
        self.look_by(now);
    }

    /// Nothing is wanted any more.
    fn forget_wanted(&mut self) {
        let mut wanted = Vec::new();
        self.table.scan(|_, row| {
            wanted.push(std::mem::replace(&mut row.wanted, Slot::NOTHING));
            row.wanted_source = SourceId::NONE;
            row.actual != Slot::NOTHING
        });
        for slot in wanted {
            self.unwant(slot);
        }
        self.resolver.forget_ours();
        self.retries = Retries::default();
    }

    fn proceed(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.phase == Phase::Ended {
            return;
        }
        while let Some(subject) = self.retries.pop_due(now) {
            self.retry(now, subject);
        }
        self.resolve_due(now, out);
        self.ask_anew(out);
        if self.may_write()
            && (self.look_at.is_some_and(|at| at <= now) || self.table.queued() >= OPS_MAX)
        {
            self.write(now, out);
        }
        let nothing_left = self.look_at.is_none() && self.flights.is_empty();
        if self.retiring && (nothing_left && self.may_write() || !self.permitted) {
            self.retiring = false;
            if self.config.shadow {
                // What is left with our number is others' from now on.
                self.distrust();
                self.ask_anew(out);
            }
        }
        if self.phase == Phase::Ending && (nothing_left && self.may_write() || !self.permitted) {
            self.phase = Phase::Ended;
            out.push(Output::Ended);
        }
    }

    /// What was lost is asked for, once nothing is under way.
    fn ask_anew(&mut self, out: &mut Vec<Output>) {
        if self.knowledge == Knowledge::Lossy && self.flights.is_empty() {
            self.knowledge = Knowledge::Dumping {
                first: false,
                again: false,
            };
            self.totals.resyncs += 1;
            out.push(Output::Resync);
        }
    }

    fn retry(&mut self, now: Instant, subject: Subject) {
        match subject {
            Subject::Row(key) => self.table.update(key, |_| true),
            Subject::Hop(next_hop) => self.nexthops.retry_hop(next_hop, &self.resolver),
            Subject::Set(members) => self.nexthops.retry_set(&members, &self.resolver),
            Subject::Object(id) => self.nexthops.retry_object(id),
        }
        self.look_by(now);
    }

    /// The queues are to be looked at by then.
    fn look_by(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn may_ever_write(&self) -> bool {
        (self.config.install || self.retiring) && self.permitted
    }

    fn may_write(&self) -> bool {
        self.may_ever_write() && self.knowledge == Knowledge::Complete
    }

    fn place(&self, prefix: IpNet, at: Placement) -> Place {
        let metric = at.metric.unwrap_or(self.config.metric);
        Place {
            table: at.table.unwrap_or(self.config.table),
            metric: match prefix {
                IpNet::V6(_) if metric == 0 => IPV6_METRIC_DEFAULT,
                IpNet::V4(_) | IpNet::V6(_) => metric,
            },
            tos: 0,
        }
    }

    /// Of this row, the kernel will have `actual` once all that was sent is carried out.
    fn set_actual(&mut self, key: Key, actual: (Slot, SourceId), look: bool) {
        self.change_row(key, actual.0, |row| {
            (row.actual, row.actual_source) = actual;
            row.set_seen(true);
            look
        });
    }

    /// Changes a row, whose actual column becomes `actual`.
    fn change_row(&mut self, key: Key, actual: Slot, change: impl FnOnce(&mut Row) -> bool) {
        if let Some(object) = actual.index() {
            self.nexthops.hold(object);
        }
        let mut before = Slot::NOTHING;
        self.table.update(key, |row| {
            before = row.actual;
            change(row)
        });
        if let Some(object) = before.index() {
            self.nexthops.release(object);
        }
    }
}

#[cfg(test)]
mod tests;
